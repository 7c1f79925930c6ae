package app

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/directory"
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

// canaries is a server of which all that it says is kept, and what must not be in there.
type canaries struct {
	*phone
	config  Config
	log     *heard
	token   string // Admin key
	secrets map[string]bool
}

func newCanaries(t *testing.T) *canaries {
	t.Helper()
	c, err := Settings{Data: t.TempDir(), Listen: "localhost:8080", LogFormat: "json", MetricsToken: "a token that reads metrics"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	out, now := &canaries{config: c, log: &heard{}, secrets: map[string]bool{}}, clock.NewManual(storetest.Start())
	a, err := Open(t.Context(), c, Options{Clock: now}, slog.New(slog.NewJSONHandler(out.log, nil)))
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
	out.phone = &phone{t: t, a: a, h: h, clock: now, cookies: map[string]*http.Cookie{}}
	return out
}

// begin makes a workspace with Ada and an Admin key.
func (c *canaries) begin() (auth.Caller, directory.User) {
	c.t.Helper()
	job, ada := c.user("Harbour", "ada@example.org")
	_, token, err := c.a.APIKeys.Create(c.t.Context(), job, apikey.NewKey{Name: "Robot", Type: apikey.Admin})
	if err != nil {
		c.t.Fatal(err)
	}
	c.token = token.Secret().ExposeString()
	return job, ada
}

func (c *canaries) hide(values ...string) {
	for _, v := range values {
		c.secrets[v] = true
	}
}

// rest asks the API.
func (c *canaries) rest(method, path, body string, status int) map[string]any {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, "http://localhost:8080/api/v1"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	c.h.ServeHTTP(rec, r)
	if rec.Code != status {
		c.t.Fatalf("%s %s = %d %s, want %d", method, path, rec.Code, rec.Body, status)
	}
	var out map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *canaries) text(of map[string]any, name string) string {
	c.t.Helper()
	v, ok := of[name].(string)
	if !ok || v == "" {
		c.t.Fatalf("%s is not in %v", name, of)
	}
	return v
}

// look goes through the log, the metrics, the database and these pages. What is hidden
// stands there as no word of its own.
func (c *canaries) look(pages ...string) {
	c.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.config.Data, databaseFile))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = db.Close() }) // it was only read from
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://localhost:8080/metrics", nil)
	r.Header.Set("Authorization", "Bearer "+c.config.MetricsToken)
	metrics := httptest.NewRecorder()
	c.h.ServeHTTP(metrics, r)
	places := map[string]string{
		"the log": c.log.String(), "the database": storetest.Dump(c.t, storetest.Database{Store: c.a.store, SQL: db}), "the metrics": metrics.Body.String(),
	}
	for _, path := range pages {
		places[path] = c.ask("GET", path, nil).text
	}
	for where, all := range places {
		if len(all) < 200 {
			c.t.Errorf("%s is %q: nothing to look through", where, all)
		}
		for s := range c.secrets {
			found := strings.Contains(strings.ToLower(all), strings.ToLower(s))
			if len(s) < 8 { // so few digits stand in others by chance
				found = regexp.MustCompile(`\b` + regexp.QuoteMeta(s) + `\b`).MatchString(all)
			}
			if found {
				c.t.Errorf("%s holds %q", where, s)
			}
		}
	}
}

// No PIN, card number, pass or activation link stands in the log, the metrics or the
// database (activities and mails that wait are in it), and no answer but the one that
// it is for holds it, whether it was right, wrong or malformed.
func TestCanaries_securityKeys(t *testing.T) {
	p := newCanaries(t)
	job, ada := p.begin()
	keys := "/users/" + string(ada.ID) + "/security-keys"
	p.hide("CAFE0123456789", "ca:fe:01:23:45:67:89", "Canary-7261", "Canary-7262", "Canary-7263", "Canary-7264", "BEEF0123456789", "nothex-canary")
	card := p.text(p.rest("POST", keys, `{"kind":"contactless_card","activation":"now","card":{"number":"ca:fe:01:23:45:67:89"},"pin":"Canary-7261"}`, http.StatusCreated), "id")
	p.rest("POST", keys, `{"kind":"contactless_card","activation":"now","card":{"number":"nothex-canary"},"pin":"Canary-7262"}`, http.StatusUnprocessableEntity)
	p.rest("POST", keys, `{"kind":"contactless_card","activation":"now","card":{"number":"CAFE0123456789"}}`, http.StatusConflict)
	p.rest("POST", "/security-keys/"+card+"/reset-pin", `{"pin":"Canary-7263"}`, http.StatusOK)
	p.hide(p.text(p.rest("POST", "/security-keys/"+card+"/reset-pin", `{"pin_delivery":"response"}`, http.StatusOK), "pin"))
	p.hide(p.text(p.rest("POST", "/users/"+string(ada.ID)+"/temporary-access-pass", `{"length":12}`, http.StatusCreated), "code"))
	p.rest("POST", keys, `{"kind":"contactless_card","activation":"email"}`, http.StatusCreated)
	link := p.link()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	_, proof, _ := strings.Cut(u.Query().Get("link"), ".")
	p.hide(proof, "CANARYPASS77")

	p.ask("POST", "/app/pass", url.Values{"email": {"ada@example.org"}, "code": {"CANARYPASS77"}})
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{})
	for _, old := range []string{"Canary-7264", "Canary-7261"} {
		p.ask("POST", "/app/keys/"+card+"/pin", url.Values{"old": {old}, "pin": {"Canary-7262"}, "again": {"Canary-7262"}})
	}
	p.ask("GET", link, nil)
	p.activate(link, url.Values{"card_number": {"BEEF0123456789"}, "pin": {"Canary-7262"}, "again": {"Canary-7262"}})
	p.activate(link, url.Values{"card_number": {"BEEF0123456789"}, "pin": {"Canary-7262"}, "again": {"Canary-7262"}}) // dead now
	if _, err := p.a.SecurityKeys.List(t.Context(), job, "ca fe 01 23 45 67 89", securitykey.Query{}); err != nil {
		t.Fatal(err)
	}

	if log := p.log.String(); !strings.Contains(log, "/app/keys/{id}/pin") && !strings.Contains(log, "/pin") {
		t.Fatalf("the log does not tell of the requests:\n%s", log)
	}
	p.look("/app", "/app/activity")
}

// So it is with digital keys, their PINs and cards, and with what enrols a door and its
// secret.
func TestCanaries_digitalKeys(t *testing.T) {
	p := newCanaries(t)
	job, ada := p.begin()
	lock := p.text(p.rest("POST", "/locks", `{"name":"Front door","timezone":"Europe/Berlin"}`, http.StatusCreated), "id")
	enrolment := p.text(p.rest("POST", "/locks/"+lock+"/enrolment", "", http.StatusOK), "token")
	p.hide(enrolment, enrolment[len(enrolment)-20:])
	d := storetest.EnrolController(t, p.a.Locks, enrolment)
	p.hide(string(d.Secret()), hex.EncodeToString(d.Secret()), base64.StdEncoding.EncodeToString(d.Secret()), base64.RawURLEncoding.EncodeToString(d.Secret()))
	p.rest("POST", "/locks/"+lock+"/teach-card", "", http.StatusOK)
	if n := d.Do(t, grant.Result{Outcome: grant.Notice, Card: []byte{0xca, 0xfe, 1, 0x23, 0x45, 0x67, 0x89}}); n != 1 {
		t.Fatalf("the door was told %d commands, want 1", n)
	}
	key := func(more string, status int) map[string]any {
		t.Helper()
		return p.rest("POST", "/digital-keys", `{"user":"`+string(ada.ID)+`","locks":["`+lock+`"],"starts_at":"2026-03-02","expires_at":"2026-03-05",`+more+`}`, status)
	}
	p.hide("CAFE0123456789", "ca:fe:01:23:45:67:89", "739142", "739143", "nothex-canary")
	first := key(`"types":["pin","keycard","app"],"pin":"739142","keycard":{"type":"uid","number":"ca:fe:01:23:45:67:89"},"notify":{"email":true,"show_pin":true}`, http.StatusCreated)
	key(`"types":["pin"],"pin":"739142"`, http.StatusConflict)
	key(`"types":["pin","keycard"],"pin":"739143","keycard":{"number":"nothex-canary"}`, http.StatusUnprocessableEntity)
	p.hide(p.text(key(`"types":["pin"],"pin_length":6,"notify":{"email":true,"show_pin":true}`, http.StatusCreated), "pin"))
	k := p.text(first, "id")
	p.hide(p.text(p.rest("PATCH", "/digital-keys/"+k, `{"pin":null}`, http.StatusOK), "pin"))
	d.Pull(t)
	d.Confirm(t)
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{})
	p.clock.Advance(4 * time.Hour) // it has begun
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{})
	own := "/app/digital-keys/" + k + "/pin"
	shown := p.ask("POST", own, url.Values{})
	if shown.status != http.StatusOK {
		t.Fatalf("POST %s = %d %s", own, shown.status, shown.text)
	}
	if log := p.log.String(); !strings.Contains(log, "/pin") || !strings.Contains(log, "/digital-keys") {
		t.Fatalf("the log does not tell of the requests:\n%s", log)
	}
	p.look("/app", "/app/activity", own)
}

// Nor does what a card at a workstation brings: its number, its PIN, right, wrong or malformed,
// the token of a verification, the client's token, an enrolment code, the token that it brings.
func TestCanaries_authenticator(t *testing.T) {
	c := newCanaries(t)
	d := newDeskAt(t, c.phone)
	shop := newSite(t, "shop.example", "https://www.shop.example")
	if err := d.register(shop, deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	o := shop.loginOptions()
	tap, uv, err := d.tap(shop, agent.Get, deskCard, deskPIN, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.program.GetAssertion(t.Context(), tap, uv, o, ""); err != nil {
		t.Fatal(err)
	}
	const stranger, wrong, next = "04DEADBEEF0102", "551239", "880215"
	for _, a := range []struct{ number, pin string }{{deskCard, wrong}, {stranger, wrong}, {"04:DE:AD:BE:EF:01:02:03:04", wrong}, {deskCard, wrong + "\x00"}} {
		if _, _, err := d.tap(shop, agent.Get, a.number, a.pin, o); err == nil {
			t.Errorf("the card %q with the PIN %q is let in", a.number, a.pin)
		}
	}
	if err := d.changePIN(deskCard, deskPIN, next); err != nil {
		t.Fatal(err)
	}
	_, code, err := d.a.Clients.IssueCode(t.Context(), d.job, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{code.ExposeString(), "AAAA-BBBB-CCCC-DDDD"} {
		_, _ = d.newProgram().Enrol(t.Context(), agent.Enrolment{Name: "Canary " + text[:4], Kind: agent.KindAgent, Code: secret.FromString(text)}) // the second is not good
	}
	_, alone, err := d.a.Clients.IssueCode(t.Context(), d.job, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	key := newDeviceKey(t)
	own, err := d.programWith(key, secret.Bytes{}).Enrol(t.Context(), agent.Enrolment{Name: "Canary alone", Kind: agent.KindAgent, Code: alone})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{alone.ExposeString(), "EEEE-FFFF-GGGG-HHHH"} { // neither is good by now
		if _, err := d.programWith(newDeviceKey(t), secret.Bytes{}).Enrol(t.Context(), agent.Enrolment{Name: "Canary", Kind: agent.KindAgent, Code: secret.FromString(text)}); err == nil {
			t.Errorf("the code %s is good", text)
		}
	}
	if _, err := d.programWith(key, own.Token).Info(t.Context()); err != nil {
		t.Error(err)
	}
	c.hide(own.Token.ExposeString(), own.Token.ExposeString()[len("kh_client_")+13:], alone.ExposeString(), strings.ReplaceAll(alone.ExposeString(), "-", ""), "EEEE-FFFF-GGGG-HHHH")
	presented, ok := token.Parse(d.token)
	if !ok {
		t.Fatal("the client's token is none")
	}
	c.hide(deskPIN, wrong, next, strings.ReplaceAll(deskCard, ":", ""), stranger, "DEADBEEF01020304", uv, d.token, presented.Secret().ExposeString(), code.ExposeString(), strings.ReplaceAll(code.ExposeString(), "-", ""), "AAAA-BBBB-CCCC-DDDD")
	c.look()
}
