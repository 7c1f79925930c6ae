package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// door makes a lock whose controller is online.
func (p *phone) door(job auth.Caller, name string) (smartlock.Lock, *storetest.Controller) {
	p.t.Helper()
	l, err := p.a.Locks.Create(p.t.Context(), job, smartlock.NewLock{Name: name, Place: "Pier 3", Timezone: "Europe/Berlin"})
	if err != nil {
		p.t.Fatal(err)
	}
	e, err := p.a.Locks.IssueEnrolment(p.t.Context(), job, l.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return l, storetest.EnrolController(p.t, p.a.Locks, e.Token.ExposeString())
}

// opens gives a user a key for two hours, and returns its path in the app.
func (p *phone) opens(job auth.Caller, u id.User, l id.Lock, from time.Time, pin string, types ...digitalkey.Type) string {
	p.t.Helper()
	k, err := p.a.DigitalKeys.Create(p.t.Context(), job, digitalkey.NewKey{
		Description: "Key " + from.Format("15:04"), Locks: []id.Lock{l}, User: u, Types: types, PIN: secret.FromString(pin), Span: digitalkey.Span{StartsAt: from, ExpiresAt: from.Add(2 * time.Hour)},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return "/app/digital-keys/" + string(k.Key.ID)
}

// script asks as our own scripts do.
func (p *phone) script(path string) (int, map[string]any) {
	p.t.Helper()
	r := httptest.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://localhost:8080"+path, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	p.h.ServeHTTP(rec, r)
	var out map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		p.t.Fatalf("POST %s = %d %s", path, rec.Code, rec.Body)
	}
	return rec.Code, out
}

func TestHolder_showsMyDoors(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	gate, d := p.door(job, "Gate")
	now := p.clock.Now()
	active := p.opens(job, ada.ID, gate.ID, now, "471108", digitalkey.App, digitalkey.PIN, digitalkey.Keycard)
	upcoming := p.opens(job, ada.ID, gate.ID, now.Add(time.Hour), "", digitalkey.App)
	p.signInByCode("ada@example.org")
	button := active + "/locks/" + string(gate.ID) + "/open"
	home := p.ask("GET", "/app", nil)
	for _, want := range []string{
		`action="` + button + `"`, "Unlock Gate", "Pier 3", "ACTIVE", "Ends in", `data-kh-to="` + now.Add(2*time.Hour).Format(time.RFC3339Nano) + `"`,
		"UPCOMING", "Starts in", `data-kh-to="` + now.Add(time.Hour).Format(time.RFC3339Nano) + `"`, "Mon 2 Mar 10:30 to 12:30, Berlin", "has not confirmed this key yet",
		`action="` + active + `/pin"`, "Show PIN", "A keycard belongs to it",
	} {
		p.want("my doors", home, http.StatusOK, "", want)
	}
	if strings.Contains(home.text, upcoming+"/locks") || strings.Contains(home.text, "471108") {
		t.Error("the page has a button for a key that has not begun, or shows a PIN")
	}
	d.Pull(t)
	d.Confirm(t)
	if home = p.ask("GET", "/app", nil); strings.Contains(home.text, "has not confirmed this key yet") {
		t.Error("the page still says that the lock has not confirmed the key")
	}
	p.clock.Advance(time.Hour)
	p.signInByCode("ada@example.org")
	home = p.ask("GET", "/app", nil)
	p.want("the second has begun", home, http.StatusOK, "", upcoming+"/locks/")
	p.want("the lock is cut off", home, http.StatusOK, "", "The lock is out of reach. PIN and card work without it")
	p.clock.Advance(time.Hour)
	p.signInByCode("ada@example.org")
	home = p.ask("GET", "/app", nil)
	p.want("the first is over", home, http.StatusOK, "", "EXPIRED")
	if strings.Contains(home.text, button) || strings.Contains(home.text, active+"/pin") {
		t.Error("the page offers to use a key that is over")
	}
}

func TestHolder_showsAPINWhenAsked(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	gate, _ := p.door(job, "Gate")
	mine := p.opens(job, ada.ID, gate.ID, p.clock.Now(), "471108", digitalkey.PIN)
	bob, err := p.a.Directory.Create(t.Context(), job, directory.NewUser{Email: "bob@example.org", FirstName: "Bob"})
	if err != nil {
		t.Fatal(err)
	}
	his, app := p.opens(job, bob.ID, gate.ID, p.clock.Now(), "908172", digitalkey.PIN), p.opens(job, ada.ID, gate.ID, p.clock.Now(), "", digitalkey.App)
	p.signInByCode("ada@example.org")
	if status, out := p.script(mine + "/pin"); status != http.StatusOK || out["text"] != "471108" {
		t.Errorf("my PIN = %d %v", status, out)
	}
	p.want("my PIN without a script", p.ask("POST", mine+"/pin", url.Values{}), http.StatusOK, "", "471108")
	if got := p.ask("GET", mine+"/pin", nil); got.status == http.StatusOK || strings.Contains(got.text, "471108") {
		t.Errorf("GET of my PIN = %d %s, want it shown by POST only", got.status, got.text)
	}
	for what, path := range map[string]string{"another's": his, "none": "/app/digital-keys/7", "a missing one's": "/app/digital-keys/dk_01jd3v9b8eexav2f6hqdr3wzkt"} {
		for _, act := range []string{"/pin", "/locks/" + string(gate.ID) + "/open"} {
			if status, out := p.script(path + act); status != http.StatusNotFound || out["code"] != "digital_key_not_found" {
				t.Errorf("%s %s = %d %v, want 404", what, act, status, out)
			}
			p.want(what+act, p.ask("POST", path+act, url.Values{}), http.StatusNotFound, "", "")
		}
	}
	if status, out := p.script(app + "/pin"); status != http.StatusConflict || out["code"] != "no_pin" {
		t.Errorf("the PIN of a key without = %d %v", status, out)
	}
	if got := p.another().ask("POST", mine+"/pin", url.Values{}); got.status != http.StatusUnauthorized || strings.Contains(got.text, "471108") {
		t.Errorf("my PIN for nobody = %d %s", got.status, got.text)
	}
}

func TestHolder_opensADoorAndTellsWhatItSaid(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	gate, d := p.door(job, "Gate")
	now := p.clock.Now()
	active, upcoming := p.opens(job, ada.ID, gate.ID, now, "", digitalkey.App), p.opens(job, ada.ID, gate.ID, now.Add(time.Hour), "", digitalkey.App)
	open := active + "/locks/" + string(gate.ID) + "/open"
	p.signInByCode("ada@example.org")
	type said struct {
		status int
		out    map[string]any
	}
	for reason, want := range map[string]string{
		"": "Opened.", grant.ReasonUnknownGrant: "does not know your key yet", grant.ReasonOutsideHours: "opens at certain hours", grant.ReasonLeaseEnded: "has not heard from the server",
		grant.ReasonDoorFailed: "the door did not move", "fire": "The lock refused (fire).",
	} {
		answered := make(chan said, 1)
		go func() {
			status, out := p.script(open)
			answered <- said{status, out}
		}()
		r := grant.Result{Outcome: grant.Opened}
		if reason != "" {
			r.Outcome, r.Reason = grant.Refused, reason
		}
		for d.Do(t, r) == 0 {
			select {
			case a := <-answered:
				t.Fatalf("open = %+v before the door said anything", a)
			default:
			}
		}
		if a := <-answered; a.status != http.StatusOK || a.out["opened"] != (reason == "") || !strings.Contains(fmt.Sprint(a.out["text"]), want) {
			t.Errorf("open with %q = %+v, want %q", reason, a, want)
		}
	}
	form := make(chan page, 1)
	go func() { form <- p.another().with(p).ask("POST", open, url.Values{}) }()
	for d.Do(t, grant.Result{Outcome: grant.Opened}) == 0 {
	}
	p.want("without a script", <-form, http.StatusOK, "", "The door is open")
	later := upcoming + "/locks/" + string(gate.ID) + "/open"
	if status, out := p.script(later); status != http.StatusOK || out["opened"] != false || out["text"] != "Your digital key does not work yet." {
		t.Errorf("an upcoming key = %d %v", status, out)
	}
	p.want("an upcoming key without a script", p.ask("POST", later, url.Values{}), http.StatusConflict, "", "Your digital key does not work yet.")
	p.clock.Advance(smartlock.SeenFor)
	if _, out := p.script(open); out["opened"] != false || !strings.Contains(fmt.Sprint(out["text"]), "cannot be reached") {
		t.Errorf("a door that is cut off = %v", out)
	}
}

// with gives the browser another's session.
func (p *phone) with(other *phone) *phone {
	for name, c := range other.cookies {
		p.cookies[name] = c
	}
	return p
}

func TestHolder_keysOnlySessionSeesNoDoors(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	gate, _ := p.door(job, "Gate")
	mine := p.opens(job, ada.ID, gate.ID, p.clock.Now(), "471108", digitalkey.PIN, digitalkey.App)
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{OneTime: true})
	if home := p.ask("GET", "/app", nil); home.status != http.StatusOK || strings.Contains(home.text, "Gate") || strings.Contains(home.text, mine) {
		t.Errorf("the app = %d, and it names the door: %s", home.status, home.text)
	}
	for _, act := range []string{"/pin", "/locks/" + string(gate.ID) + "/open"} {
		status, out := p.script(mine + act)
		if text, _ := out["text"].(string); strings.Contains(text, "471108") || status != http.StatusForbidden && out["opened"] != false {
			t.Errorf("%s = %d %v, want it refused", act, status, out)
		}
	}
}

// A key that is given appears at once: the stream tells so within a second.
func TestHolder_liveTellsOfAKey(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	gate, _ := p.door(job, "Gate")
	p.signInByCode("ada@example.org")
	home := p.ask("GET", "/app", nil).text
	_, stream, found := strings.Cut(home, "/app/live?pulse=")
	if !found {
		t.Fatal("the page has no stream with its pulse")
	}
	pulse, _, _ := strings.Cut(stream, `"`)
	server := httptest.NewServer(p.h)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/app/live?pulse="+pulse, nil)
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
	lines := bufio.NewScanner(res.Body)
	event := func() string {
		for lines.Scan() {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				return name
			}
		}
		return ""
	}
	if first := event(); first != "clock" {
		t.Fatalf("the first event is %q, want the clock: nothing changed", first)
	}
	begun := time.Now()
	p.opens(job, ada.ID, gate.ID, p.clock.Now(), "", digitalkey.App)
	if next := event(); next != "changed" {
		t.Fatalf("the next event is %q, want changed", next)
	}
	if lines.Scan(); lines.Text() != `data: {"kinds":["digital_key"]}` {
		t.Errorf("changed = %q", lines.Text())
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %v, want a second at most", took)
	}
	cancel()
}
