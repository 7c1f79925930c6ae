package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// phone is a browser without JavaScript in front of a whole server.
type phone struct {
	t       *testing.T
	a       *App
	h       http.Handler
	clock   *clock.Manual
	cookies map[string]*http.Cookie
}

func newPhone(t *testing.T) *phone {
	t.Helper()
	c, err := Settings{Data: t.TempDir(), Listen: "localhost:8080", LogFormat: "json"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	now := clock.NewManual(storetest.Start())
	a, err := Open(t.Context(), c, Options{Clock: now}, slog.New(slog.DiscardHandler))
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
	return &phone{t: t, a: a, h: h, clock: now, cookies: map[string]*http.Cookie{}}
}

// user makes a workspace with one user of that address.
func (p *phone) user(workspace, email string) (auth.Caller, directory.User) {
	p.t.Helper()
	f, err := p.a.Join.CreateWorkspace(p.t.Context(), auth.Job("", "test"), workspace)
	if err != nil {
		p.t.Fatal(err)
	}
	job := auth.Job(f.Workspace.ID, "test")
	u, err := p.a.Directory.Create(p.t.Context(), job, directory.NewUser{Email: email, FirstName: "Ada", LastName: "Lovelace"})
	if err != nil {
		p.t.Fatal(err)
	}
	return job, u
}

type page struct {
	status   int
	location string
	text     string
}

func (p *phone) ask(method, path string, form url.Values) page {
	p.t.Helper()
	r := httptest.NewRequestWithContext(p.t.Context(), method, "http://localhost:8080"+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	p.h.ServeHTTP(rec, r)
	res := rec.Result()
	defer func() { _ = res.Body.Close() }() // it is in memory
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(p.cookies, c.Name)
			continue
		}
		p.cookies[c.Name] = c
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return page{status: res.StatusCode, location: res.Header.Get("Location"), text: string(text)}
}

// code returns the code of the last mail.
func (p *phone) code() string {
	p.t.Helper()
	code := ""
	for _, m := range storetest.Messages(p.t, p.a.store) {
		var mail outbox.SignInCode
		if m.Kind != mail.MessageKind() {
			continue
		}
		if err := json.Unmarshal(m.Payload, &mail); err != nil {
			p.t.Fatal(err)
		}
		code = token.EmailCode(p.a.keeper.CodeKey(), mail.Code)
	}
	return code
}

func (p *phone) want(what string, got page, status int, location, text string) {
	p.t.Helper()
	if got.status != status || got.location != location || !strings.Contains(got.text, text) {
		p.t.Errorf("%s = %d to %q, want %d to %q with %q in it: %s", what, got.status, got.location, status, location, text, got.text)
	}
}

func TestHolder_signInByCode(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	p.want("the app", p.ask("GET", "/app", nil), http.StatusSeeOther, "/app/sign-in", "")
	p.want("no address", p.ask("POST", "/app/sign-in", url.Values{"email": {"nobody"}}), http.StatusUnprocessableEntity, "", "is not an e-mail address")
	known := p.ask("POST", "/app/sign-in", url.Values{"email": {"Ada@Example.org"}, "next": {"/app/activity"}})
	p.want("a code", known, http.StatusSeeOther, "/app/code?next=%2Fapp%2Factivity", "")
	code := p.code()
	if len(code) != 8 {
		t.Fatalf("code = %q, want eight digits", code)
	}
	wrong := "00000000"
	if code == wrong {
		wrong = "00000001"
	}
	p.want("a wrong code", p.ask("POST", known.location, url.Values{"code": {wrong}}), http.StatusUnprocessableEntity, "", "not right, or it is too old")
	other := &phone{t: t, a: p.a, h: p.h, clock: p.clock, cookies: map[string]*http.Cookie{}}
	other.want("the code in another browser", other.ask("POST", known.location, url.Values{"code": {code}}), http.StatusSeeOther, "/app/sign-in", "")
	other.ask("POST", "/app/sign-in", url.Values{"email": {"stranger@example.org"}})
	other.want("the code for another's question", other.ask("POST", "/app/code", url.Values{"code": {code}}), http.StatusUnprocessableEntity, "", "not right, or it is too old")
	p.want("the right code", p.ask("POST", known.location, url.Values{"code": {" " + code[:4] + " " + code[4:]}}), http.StatusSeeOther, "/app/activity", "")
	p.want("my account", p.ask("GET", "/app", nil), http.StatusOK, "", "Ada Lovelace")
	p.want("my activity", p.ask("GET", "/app/activity", nil), http.StatusOK, "", "Signed in")
	p.want("no such page", p.ask("GET", "/app/nothing", nil), http.StatusNotFound, "", "no page at this address")

	// The session opens nothing of the panel and nothing of the API.
	p.want("the panel", p.ask("GET", "/users", nil), http.StatusSeeOther, "/app", "")
	p.want("the API", p.ask("GET", "/api/v1/users", nil), http.StatusForbidden, "", "missing_permission")

	found, _, err := p.a.Directory.Find(t.Context(), job, ada.ID)
	if err != nil || found.Shown() != directory.Active {
		t.Errorf("Find() = %v, %v, want an active user", found.Shown(), err)
	}
	if _, err := p.a.Directory.SuspendWorkspace(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	p.want("after the suspension", p.ask("GET", "/app", nil), http.StatusSeeOther, "/app/sign-in", "")
}

func TestHolder_unknownAddressLooksAlike(t *testing.T) {
	p := newPhone(t)
	p.user("Harbour", "ada@example.org")
	answers := map[string]page{}
	for _, email := range []string{"ada@example.org", "stranger@example.org"} {
		sent := p.ask("POST", "/app/sign-in", url.Values{"email": {email}})
		page := p.ask("GET", sent.location, nil)
		wrong := p.ask("POST", sent.location, url.Values{"code": {"12"}})
		sent.text += page.text + wrong.text
		answers[email] = sent
	}
	if answers["ada@example.org"] != answers["stranger@example.org"] {
		t.Errorf("a known address is answered %+v, an unknown one %+v", answers["ada@example.org"], answers["stranger@example.org"])
	}
}

func TestHolder_severalWorkspaces(t *testing.T) {
	p := newPhone(t)
	p.user("Harbour", "ada@example.org")
	second, _ := p.user("Lighthouse", "ada@example.org")
	p.user("Elsewhere", "eve@example.org")
	p.ask("POST", "/app/sign-in", url.Values{"email": {"ada@example.org"}})
	listed := p.ask("POST", "/app/code", url.Values{"code": {p.code()}})
	p.want("the workspaces", listed, http.StatusOK, "", "Lighthouse")
	if strings.Contains(listed.text, "Elsewhere") {
		t.Error("a workspace is listed that the address is not in")
	}
	p.want("one of them", p.ask("POST", "/app/enter", url.Values{"workspace": {string(second.Workspace)}}), http.StatusSeeOther, "/app", "")
	p.want("my account", p.ask("GET", "/app", nil), http.StatusOK, "", "Lighthouse")
}

func TestHolder_codesEnd(t *testing.T) {
	p := newPhone(t)
	p.user("Harbour", "ada@example.org")
	p.ask("POST", "/app/sign-in", url.Values{"email": {"ada@example.org"}})
	p.clock.Advance(10 * time.Minute)
	p.want("a code that is too old", p.ask("POST", "/app/code", url.Values{"code": {p.code()}}), http.StatusUnprocessableEntity, "", "not right, or it is too old")
}

// TestLive_endsWithTheSession follows the stream of a signed-in person until an
// administrator suspends the workspace.
func TestLive_endsWithTheSession(t *testing.T) {
	p := newPhone(t)
	job, _ := p.user("Harbour", "ada@example.org")
	p.ask("POST", "/app/sign-in", url.Values{"email": {"ada@example.org"}})
	p.ask("POST", "/app/code", url.Values{"code": {p.code()}})
	server := httptest.NewServer(p.h)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/app/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it ends below
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET /app/live = %d %s, want a stream", res.StatusCode, res.Header.Get("Content-Type"))
	}
	if _, err := p.a.Directory.SuspendWorkspace(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(text), "event: ended\ndata: \"unauthenticated\"") {
		t.Errorf("the stream = %q, %v, want it told that the session ended, and closed", text, err)
	}
	for _, path := range []string{"/app/live", "/live"} {
		got := p.ask("GET", path, nil)
		if got.status != http.StatusOK || !strings.Contains(got.text, "event: ended\ndata: \"unauthenticated\"") {
			t.Errorf("GET %s of a page whose session is over = %d %q, want it told that it ended", path, got.status, got.text)
		}
	}
}
