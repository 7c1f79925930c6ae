package app

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// heard is a log that is kept.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// No PIN, card number, pass or activation link stands in the log, the metrics or the
// database (activities and mails that wait are in it), and no answer but the one that
// it is for holds it, whether it was right, wrong or malformed.
func TestCanaries_securityKeys(t *testing.T) {
	c, err := Settings{Data: t.TempDir(), Listen: "localhost:8080", LogFormat: "json", MetricsToken: "a token that reads metrics"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	var log heard
	a, err := Open(t.Context(), c, Options{Clock: clock.NewManual(storetest.Start())}, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	h, err := a.Handler("test")
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{t: t, a: a, h: h, cookies: map[string]*http.Cookie{}}
	job, ada := p.user("Harbour", "ada@example.org")
	_, token, err := a.APIKeys.Create(t.Context(), job, apikey.NewKey{Name: "Robot", Type: apikey.Admin})
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]bool{} // what must not be found, and where
	hide := func(values ...string) {
		for _, v := range values {
			secrets[v] = true
		}
	}
	rest := func(path, body string, status int) map[string]any {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost:8080/api/v1"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token.Secret().ExposeString())
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != status {
			t.Fatalf("POST %s = %d %s, want %d", path, rec.Code, rec.Body, status)
		}
		var out map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	text := func(of map[string]any, name string) string {
		t.Helper()
		v, ok := of[name].(string)
		if !ok || v == "" {
			t.Fatalf("%s is not in %v", name, of)
		}
		return v
	}
	keys := "/users/" + string(ada.ID) + "/security-keys"
	hide("CAFE0123456789", "ca:fe:01:23:45:67:89", "Canary-7261", "Canary-7262", "Canary-7263", "Canary-7264", "BEEF0123456789", "nothex-canary")
	card := text(rest(keys, `{"kind":"contactless_card","activation":"now","card":{"number":"ca:fe:01:23:45:67:89"},"pin":"Canary-7261"}`, http.StatusCreated), "id")
	rest(keys, `{"kind":"contactless_card","activation":"now","card":{"number":"nothex-canary"},"pin":"Canary-7262"}`, http.StatusUnprocessableEntity)
	rest(keys, `{"kind":"contactless_card","activation":"now","card":{"number":"CAFE0123456789"}}`, http.StatusConflict)
	rest("/security-keys/"+card+"/reset-pin", `{"pin":"Canary-7263"}`, http.StatusOK)
	hide(text(rest("/security-keys/"+card+"/reset-pin", `{"pin_delivery":"response"}`, http.StatusOK), "pin"))
	hide(text(rest("/users/"+string(ada.ID)+"/temporary-access-pass", `{"length":12}`, http.StatusCreated), "code"))
	rest(keys, `{"kind":"contactless_card","activation":"email"}`, http.StatusCreated)
	link := p.link()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	_, proof, _ := strings.Cut(u.Query().Get("link"), ".")
	hide(proof, "CANARYPASS77")

	p.ask("POST", "/app/pass", url.Values{"email": {"ada@example.org"}, "code": {"CANARYPASS77"}})
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{})
	for _, old := range []string{"Canary-7264", "Canary-7261"} {
		p.ask("POST", "/app/keys/"+card+"/pin", url.Values{"old": {old}, "pin": {"Canary-7262"}, "again": {"Canary-7262"}})
	}
	p.ask("GET", link, nil)
	p.activate(link, url.Values{"card_number": {"BEEF0123456789"}, "pin": {"Canary-7262"}, "again": {"Canary-7262"}})
	p.activate(link, url.Values{"card_number": {"BEEF0123456789"}, "pin": {"Canary-7262"}, "again": {"Canary-7262"}}) // dead now
	if _, err := a.SecurityKeys.List(t.Context(), job, "ca fe 01 23 45 67 89", securitykey.Query{}); err != nil {
		t.Fatal(err)
	}

	if !strings.Contains(log.String(), "/app/keys/{id}/pin") && !strings.Contains(log.String(), "/pin") {
		t.Fatalf("the log does not tell of the requests:\n%s", log.String())
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.Data, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // it was only read from
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/metrics", nil)
	r.Header.Set("Authorization", "Bearer "+c.MetricsToken)
	metrics := httptest.NewRecorder()
	h.ServeHTTP(metrics, r)
	places := map[string]string{
		"the log": log.String(), "the database": storetest.Dump(t, storetest.Database{Store: a.store, SQL: db}), "the metrics": metrics.Body.String(),
		"my keys": p.ask("GET", "/app", nil).text, "my activity": p.ask("GET", "/app/activity", nil).text,
	}
	for where, all := range places {
		if len(all) < 200 {
			t.Errorf("%s is %q: nothing to look through", where, all)
		}
		for s := range secrets {
			if strings.Contains(strings.ToLower(all), strings.ToLower(s)) {
				t.Errorf("%s holds %q", where, s)
			}
		}
	}
}
