package api_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// edges are where each type of key belongs.
//
// constant: a table.
var edges = map[string]string{"admin": "/api/v1/me", "clients": "/authenticator/v1/whoami", "shared_mobile": "/shared-mobile/v1/whoami"}

// get sends a GET with these Authorization headers, from that address if it is given.
func (s *server) get(address, from string, authorization ...string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://localhost:8080"+address, nil)
	for _, v := range authorization {
		r.Header.Add("Authorization", v)
	}
	if from != "" {
		r.RemoteAddr = from
	}
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	return answer{status: rec.Code, header: rec.Header(), text: rec.Body.String()}
}

func TestTokens_refusedAreAnsweredAlike(t *testing.T) {
	for typ, edge := range edges {
		t.Run(typ, func(t *testing.T) {
			s, c := standing(t)
			_, good := s.made(s.token, `{"name":"good","type":"`+typ+`"}`)
			if a := s.get(edge, "", good); a.status != http.StatusOK {
				t.Fatalf("the good token = %d %s", a.status, a.text)
			}
			want := outline(s.get(edge, ""))
			if !strings.HasPrefix(want, "401\n") || !strings.Contains(want, "Www-Authenticate: Bearer") {
				t.Fatalf("nobody = %s, want a 401 with WWW-Authenticate", want)
			}
			check := func(what string, a answer) {
				t.Helper()
				if got := outline(a); got != want {
					t.Errorf("%s is answered unlike nobody:\n%s\n%s", what, got, want)
				}
			}
			check("truncated", s.get(edge, "", "Bearer "+good[:len(good)-1]))
			check("cut in the middle", s.get(edge, "", "Bearer "+good[:30]))
			check("extended", s.get(edge, "", "Bearer "+good+"0"))
			check("extended in front", s.get(edge, "", "Bearer 0"+good))
			for i := range len(good) * 8 {
				flipped := []byte(good)
				flipped[i/8] ^= 1 << (i % 8)
				check(fmt.Sprintf("bit %d flipped", i), s.get(edge, "", "Bearer "+string(flipped)))
			}
			parsed, ok := token.Parse(good)
			if !ok {
				t.Fatal("the good token cannot be read")
			}
			check("unknown", s.get(edge, "", "Bearer "+token.Issue(parsed.Kind).Secret().ExposeString()))
			check("header twice", s.get(edge, "", "Bearer "+good, "Bearer "+good))
			check("a bad header first", s.get(edge, "", "Bearer x", good))
			for _, query := range []string{"access_token=" + good, "token=" + good, "api_key=" + good, "q=" + good, "access_token=", "q=a&limit=" + url.QueryEscape("x "+good)} {
				check("header and query "+query[:6], s.get(edge+"?"+query, "", "Bearer "+good))
				check("query "+query[:6]+" alone", s.get(edge+"?"+query, ""))
			}
			check("Basic", s.get(edge, "", "Basic "+good))

			disabled, offToken := s.made(s.token, `{"name":"disabled","type":"`+typ+`"}`)
			check("another", s.get(edge, "", "x"+offToken))
			s.want(s.call(s.token, "POST", path(disabled)+"/disable", ""), http.StatusOK, "")
			check("disabled", s.get(edge, "", offToken))
			deleted, goneToken := s.made(s.token, `{"name":"deleted","type":"`+typ+`"}`)
			if a := s.callEmpty("DELETE", path(deleted), "Authorization", s.token); a.status != http.StatusNoContent {
				t.Errorf("DELETE = %d", a.status)
			}
			check("deleted", s.get(edge, "", goneToken))
			if typ == "admin" {
				reset, oldToken := s.made(s.token, `{"name":"reset","type":"admin"}`)
				s.want(s.call(s.token, "POST", path(reset)+"/reset", ""), http.StatusOK, "")
				check("reset away", s.get(edge, "", oldToken))
			}
			_, late := s.made(s.token, `{"name":"late","type":"`+typ+`","expires_at":"`+c.Now().Add(time.Minute).Format(time.RFC3339)+`"}`)
			if a := s.get(edge, "", late); a.status != http.StatusOK {
				t.Errorf("before its end = %d", a.status)
			}
			c.Advance(time.Minute)
			check("expired", s.get(edge, "", late))
			_, fenced := s.made(s.token, `{"name":"fenced","type":"`+typ+`","allowed_ips":["198.51.100.0/24"]}`)
			check("from elsewhere", s.get(edge, "", fenced))
		})
	}
}

func TestTokens_openOnlyTheirOwnEdge(t *testing.T) {
	s, c := standing(t)
	ends := c.Now().Add(time.Hour).Format(time.RFC3339)
	for typ, own := range edges {
		key, text := s.made(s.token, `{"name":"The `+typ+`","type":"`+typ+`","expires_at":"`+ends+`"}`)
		for needed, edge := range edges {
			a := s.call(text, "GET", edge, "")
			if edge == own {
				if a.status != http.StatusOK {
					t.Errorf("a %s key at %s = %d %s, want 200", typ, edge, a.status, a.text)
				}
				continue
			}
			s.want(a, http.StatusForbidden, "wrong_key_type")
			if !strings.Contains(a.text, "an API key of the type "+needed+".") {
				t.Errorf("a %s key at %s is told %s, want the type that it needs", typ, edge, a.text)
			}
		}
		lines := s.call(s.token, "GET", "/api/v1/activities?action=api_key.use&outcome=refused&actor="+key, "").data()
		if len(lines) != 1 || lines[0]["reason"] != "wrong_key_type" {
			t.Errorf("refusals of the %s key recorded = %v, want one line a minute", typ, lines)
		}
		if typ == "admin" {
			continue
		}
		a := s.call(text, "GET", own, "")
		want := `{"workspace":{"id":"` + string(s.here.Workspace) + `","name":"Here"},"key":{"id":"` + key + `","token_id":"` + strings.Split(text, "_")[2] +
			`","name":"The ` + typ + `","type":"` + typ + `","expires_at":"` + ends + `"},"client":null}`
		if strings.TrimSpace(a.text) != want || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("whoami = %v %s, want no-store and %s", a.header, a.text, want)
		}
		prefix := strings.TrimSuffix(own, "/v1/whoami")
		unknown := s.get(prefix+"/v1/nothing", "", text)
		for _, address := range []string{prefix + "/", prefix + "/v1/taps", prefix + "/v2/whoami", prefix + "/v1/whoami/x"} {
			for _, with := range [][]string{nil, {text}, {s.token}} {
				got := s.get(address, "", with...)
				if got.status != http.StatusNotFound || withoutID(got.text) != withoutID(unknown.text) || strings.HasPrefix(address, prefix+"/v1/") && outline(got) != outline(unknown) {
					t.Errorf("GET %s = %s, want %s", address, outline(got), outline(unknown))
				}
			}
		}
		s.want(s.call(text, "POST", own, "{}"), http.StatusNotFound, "not_found")
	}
}

func TestTokens_ofAnotherWorkspaceFindNothing(t *testing.T) {
	s := newServer(t)
	key, _ := s.made(s.token, `{"name":"Ours","type":"admin"}`)
	const missing = "key_01jd3v9b8eexav2f6hqdr3wzkt"
	for _, c := range [][2]string{
		{"GET", ""}, {"PATCH", ""}, {"DELETE", ""}, {"POST", "/reset"}, {"POST", "/end-overlap"}, {"POST", "/disable"}, {"POST", "/enable"}, {"GET", "/descendants"}, {"GET", "/usage"},
	} {
		theirs := s.call(s.other, c[0], path(key)+c[1], "{}")
		s.want(theirs, http.StatusNotFound, "api_key_not_found")
		for _, none := range []string{missing, "7"} {
			if a := s.call(s.other, c[0], path(none)+c[1], "{}"); outline(a) != outline(theirs) {
				t.Errorf("%s %s of another workspace's key differs from the id %s:\n%s\n%s", c[0], c[1], none, outline(theirs), outline(a))
			}
		}
	}
	if a := s.call(s.token, "GET", path(key), ""); a.body["status"] != "active" || a.header.Get("ETag") != `"1"` {
		t.Errorf("the key = %s %s, want it untouched", a.header.Get("ETag"), a.text)
	}
}

func TestTokens_usedTooOftenWait(t *testing.T) {
	c := clock.NewManual(storetest.Start())
	s := newServerOf(t, app.Settings{APIRate: 60}, app.Options{Clock: c}, slog.DiscardHandler)
	for typ, edge := range edges {
		_, text := s.made(s.token, `{"name":"busy","type":"`+typ+`"}`)
		for i := range 10 {
			if a := s.call(text, "GET", edge, ""); a.status != http.StatusOK {
				t.Fatalf("request %d of the %s key = %d, want 200", i, typ, a.status)
			}
		}
		a := s.call(text, "GET", edge, "")
		if s.want(a, http.StatusTooManyRequests, "rate_limited"); a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After = %q, want 1", a.header.Get("Retry-After"))
		}
		_, another := s.made(s.token, `{"name":"calm","type":"`+typ+`"}`)
		if a := s.call(another, "GET", edge, ""); a.status != http.StatusOK {
			t.Errorf("another %s key = %d, want 200", typ, a.status)
		}
		c.Advance(time.Second)
		if a := s.call(text, "GET", edge, ""); a.status != http.StatusOK {
			t.Errorf("a second later = %d, want 200", a.status)
		}
	}
}

func TestTokens_areGoodFromAllowedAddressesOnly(t *testing.T) {
	s := newServer(t)
	key, text := s.made(s.token, `{"name":"fenced","type":"admin","allowed_ips":["198.51.100.0/24","2001:db8::7"]}`)
	for from, want := range map[string]int{
		"198.51.100.9:1": 200, "[::ffff:198.51.100.9]:1": 200, "[2001:db8::7]:1": 200, "198.51.101.1:1": 401, "[2001:db8::8]:1": 401, "192.0.2.1:1": 401,
	} {
		if a := s.get("/api/v1/me", from, text); a.status != want {
			t.Errorf("from %s = %d, want %d", from, a.status, want)
		}
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?action=api_key.use&outcome=refused", "").data()
	if len(lines) == 0 || lines[0]["reason"] != "ip_not_allowed" || !strings.Contains(fmt.Sprint(lines[0]["target"]), key) {
		t.Errorf("refusals recorded = %v, want ip_not_allowed of the key", lines)
	}
	s.want(s.call(s.token, "PATCH", path(key), `{"allowed_ips":["192.0.2.1"]}`), http.StatusOK, "")
	if a := s.get("/api/v1/me", "198.51.100.9:1", text); a.status != http.StatusUnauthorized {
		t.Errorf("from where it was allowed = %d, want 401", a.status)
	}
}

// report sends a report of a token from that address, and tells how long it took.
func (s *server) report(from, body string, headers ...string) (answer, time.Duration) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://localhost:8080/api/v1/api-keys/report-leaked", strings.NewReader(body))
	r.RemoteAddr = from
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec, watch := httptest.NewRecorder(), clock.StartStopwatch()
	s.h.ServeHTTP(rec, r)
	return answer{status: rec.Code, header: rec.Header(), text: rec.Body.String()}, watch.Elapsed()
}

func TestReportLeaked_isAnsweredAlikeAndWithdrawsAdminKeys(t *testing.T) {
	s := newServer(t)
	adminKey, admin := s.made(s.token, `{"name":"Leaked","type":"admin"}`)
	clientsKey, clients := s.made(s.token, `{"name":"Devices","type":"clients"}`)
	_, expired := s.made(s.token, `{"name":"Off","type":"admin"}`)
	quoted := func(text string) string { return `{"token":"` + text + `"}` }
	type sent struct {
		body    string
		headers []string
	}
	all := []sent{
		{body: quoted(admin)},
		{body: quoted(admin)},
		{body: quoted(clients)},
		{body: quoted(expired[:len(expired)-1])},
		{body: quoted(token.Issue(token.KindAdmin).Secret().ExposeString())},
		{body: quoted("")},
		{body: quoted("nonsense \\u0000 \\ud800")},
		{body: quoted(strings.Repeat("kh_admin_", 7000))},
		{body: quoted("x"), headers: []string{"Authorization", "Bearer " + s.token}},
		{body: quoted("x"), headers: []string{"Authorization", "Bearer nonsense"}},
		{body: quoted("x"), headers: []string{"Cookie", "keyhold_session=nonsense", "Idempotency-Key", strings.Repeat("k", 300)}},
	}
	answers, took := make([]answer, len(all)), make([]time.Duration, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { answers[i], took[i] = s.report(fmt.Sprintf("198.51.100.%d:1", i), one.body, one.headers...) })
	}
	group.Wait()
	for i, a := range answers {
		if a.status != http.StatusAccepted || outline(a) != outline(answers[0]) || strings.TrimSpace(a.text) != `{"status":"received"}` {
			t.Errorf("%.40s = %s, want %s", all[i].body, outline(a), outline(answers[0]))
		}
	}
	// What was to be done was begun long before the answers.
	if fastest := slices.Min(took); fastest < 250*time.Millisecond {
		t.Errorf("the fastest answer took %v: it does not wait for its moment", fastest)
	}
	for deadline := clock.StartStopwatch(); s.call(admin, "GET", "/api/v1/me", "").status != http.StatusUnauthorized; {
		if deadline.Elapsed() > 10*time.Second {
			t.Fatal("the reported Admin key is still accepted")
		}
	}
	a := s.call(s.token, "GET", path(adminKey), "")
	if a.body["status"] != "disabled" || a.body["reported_leaked_at"] == nil {
		t.Errorf("the Admin key = %s, want it disabled and reported", a.text)
	}
	for deadline := clock.StartStopwatch(); s.call(s.token, "GET", path(clientsKey), "").body["reported_leaked_at"] == nil; {
		if deadline.Elapsed() > 10*time.Second {
			t.Fatal("the Clients key is not reported")
		}
	}
	s.want(s.call(expired, "GET", "/api/v1/me", ""), http.StatusOK, "")
	if a := s.call(clients, "GET", "/authenticator/v1/whoami", ""); a.status != http.StatusOK {
		t.Errorf("the Clients key = %d, want it to go on", a.status)
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?action=api_key.report_leaked", "").data()
	if len(lines) != 2 || fmt.Sprint(lines[0]["actor"]) == "" {
		t.Errorf("reports recorded = %v, want one of each key", lines)
	}
}

func TestReportLeaked_isAnsweredBeforeItIsOver(t *testing.T) {
	s := newServer(t)
	_, leaked := s.made(s.token, `{"name":"Leaked","type":"admin"}`)
	db, err := sql.Open("sqlite", filepath.Join(s.data, "keyhold.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // nothing hangs on it
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do := func(statement string) {
		if _, err := other.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	do("BEGIN IMMEDIATE") // nobody else writes from here on
	a, _ := s.report("198.51.100.1:1", `{"token":"`+leaked+`"}`)
	still := s.call(leaked, "GET", "/api/v1/me", "")
	do("ROLLBACK")
	if a.status != http.StatusAccepted || still.status != http.StatusOK {
		t.Errorf("the report = %d while the key is good still (%d), want 202", a.status, still.status)
	}
	for deadline := clock.StartStopwatch(); s.call(leaked, "GET", "/api/v1/me", "").status != http.StatusUnauthorized; {
		if deadline.Elapsed() > 10*time.Second {
			t.Fatal("the reported key is still accepted")
		}
	}
}

func TestReportLeaked_isBounded(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		body   string
		status int
	}{
		{`{`, 400}, {`{}`, 422}, {`{"token":7}`, 422}, {`{"token":"x","more":1}`, 422}, {`{"token":"` + strings.Repeat("x", 70_000) + `"}`, 413},
	} {
		if a, _ := s.report("203.0.113.7:1", c.body); a.status != c.status {
			t.Errorf("%.30s = %d, want %d", c.body, a.status, c.status)
		}
	}
	var group sync.WaitGroup
	answers := make([]answer, 11)
	for i := range answers {
		group.Go(func() { answers[i], _ = s.report("203.0.113.7:1", `{"token":"x"}`) })
	}
	group.Wait()
	statuses := map[int]int{}
	for _, a := range answers {
		statuses[a.status]++
		if a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") == "" {
			t.Error("a 429 without Retry-After")
		}
	}
	if want := map[int]int{202: 10, 429: 1}; !maps.Equal(statuses, want) {
		t.Errorf("eleven reports from one network = %v, want %v", statuses, want)
	}
	many := make([]answer, 40)
	for i := range many {
		group.Go(func() { many[i], _ = s.report(fmt.Sprintf("198.51.100.%d:1", i), `{"token":"x"}`) })
	}
	group.Wait()
	for _, a := range many {
		if a.status != http.StatusAccepted && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1") {
			t.Errorf("one of many reports at once = %d %v, want 202, or 503 with Retry-After", a.status, a.header)
		}
	}
}

// TestTokens_leaveNoTrace shows tokens wherever one can, and looks for pieces of them
// wherever something is written.
func TestTokens_leaveNoTrace(t *testing.T) {
	log := &safeBuffer{}
	s := newServerOf(t, app.Settings{MetricsToken: "metrics", APIRate: 900}, app.Options{}, slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var secrets []string
	for typ := range edges {
		_, text := s.made(s.token, `{"name":"canary","type":"`+typ+`"}`)
		secrets = append(secrets, text)
	}
	key, old := s.made(s.token, `{"name":"rotated","type":"admin","allowed_ips":["192.0.2.1"]}`)
	secrets = append(secrets, old, fmt.Sprint(s.call(s.token, "POST", path(key)+"/reset", `{"overlap_minutes":5}`).body["token"]))

	var answers strings.Builder
	note := func(a answer) {
		fmt.Fprintln(&answers, a.header, a.text)
	}
	for i, text := range secrets {
		_, another := s.made(s.other, `{"name":"another","type":"admin"}`)
		for _, edge := range slices.Sorted(maps.Values(edges)) {
			note(s.get(edge, "", text))
			note(s.get(edge, "198.51.100.1:1", text))
			note(s.get(edge, "", text, text))
			note(s.get(edge, "", text[:len(text)-1]))
			note(s.get(edge+"?access_token="+text, "", text))
			note(s.get(edge+"?q="+text, ""))
			note(s.get(edge+"?"+text+"=1", ""))
			note(s.get(edge+"/"+text, "", text))
		}
		for _, address := range []string{"/" + text, "/api/v1/" + text, "/api/v1/api-keys/" + text, "/api/v1/api-keys/" + text + "/usage", "/authenticator/" + text, "/shared-mobile/v1/" + text, "/api-keys/" + text} {
			note(s.get(address, "", another))
			note(s.callEmpty(http.MethodPost, address, "Authorization", another))
		}
		for _, body := range []string{`{"` + text + `":1}`, `{"name":"x","type":"` + text + `"}`, `{"name":"x","type":"clients","allowed_ips":["` + text + `"]}`, `{"name":"x","type":"admin","permissions":["` + text + `"]}`, `"` + text + `"`, text} {
			note(s.call(another, "POST", "/api/v1/api-keys", body))
		}
		note(s.call(another, "PATCH", path(key), "{}", "If-Match", text))
		for range 40 {
			note(s.get("/api/v1/me", "", text)) // until it is used too often, if it is good there
		}
		a, _ := s.report(fmt.Sprintf("203.0.113.%d:1", i), `{"token":"`+text+`"}`)
		note(a)
	}
	places := map[string]string{
		"log": log.String(), "answers": answers.String(), "metrics": s.get("/metrics", "", "Bearer metrics").text,
		"the record as CSV": s.get("/api/v1/activities/export?format=csv", "", s.token).text, "the record": s.get("/api/v1/activities/export?format=jsonl", "", s.token).text,
		"the keys": s.get("/api/v1/api-keys", "", s.token).text,
	}
	for place, want := range map[string]string{"log": `"route":"GET /authenticator/v1/whoami"`, "answers": `"code":"rate_limited"`, "metrics": "keyhold_http_requests_total", "the record": "api_key.report_leaked", "the keys": "rotated"} {
		if !strings.Contains(places[place], want) {
			t.Errorf("%s has no %s: the test looks in the wrong place", place, want)
		}
	}
	for place, text := range places {
		for _, secret := range secrets {
			half := secret[strings.LastIndex(secret, "_")+1:]
			for i := range len(half) - 7 {
				if at := strings.Index(text, half[i:i+8]); at >= 0 {
					t.Errorf("%s holds a piece of a token: …%s…", place, text[max(at-80, 0):min(at+60, len(text))])
					break
				}
			}
		}
	}
}

// safeBuffer is a buffer for several goroutines.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
