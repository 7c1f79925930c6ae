package panel

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
)

const (
	adaSeat   = id.Administrator("adm_01h455vb4pex5vsknk084sn02q")
	graceSeat = id.Administrator("adm_01h455vb4pex5vsknk084sn02r")
	laptop    = id.Passkey("psk_01h455vb4pex5vsknk084sn02q")
	phone     = id.Passkey("psk_01h455vb4pex5vsknk084sn02r")
	thisOne   = id.Session("ses_01h455vb4pex5vsknk084sn02q")
	another   = id.Session("ses_01h455vb4pex5vsknk084sn02r")
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// signinWorld is the sign-in room's part of the world.
type signinWorld struct{ *world }

func (w *world) seats() []signin.Seat {
	return []signin.Seat{
		{
			Administrator: signin.Administrator{ID: adaSeat, User: ada, Owner: true, Revision: 1, CreatedAt: now().AddDate(0, 0, -40)},
			Person:        signin.Person{User: ada, Name: "Ada Lovelace", Email: "ada@example.com"}, Passkeys: 1, LastActivityAt: now().Add(-5 * time.Minute),
		},
		{
			Administrator: signin.Administrator{ID: graceSeat, User: grace, Permissions: auth.Permissions{auth.UsersRead, auth.UsersWrite}, Revision: 4, CreatedAt: now().Add(-26 * time.Hour)},
			Person:        signin.Person{User: grace, Name: "Grace Hopper <script>", Email: "grace@example.com", Suspended: w.paused}, Passkeys: 2, Unconfirmed: 1,
		},
	}
}

func (w signinWorld) Administrators(_ context.Context, _ auth.Caller, r page.Request) (page.Page[signin.Seat], error) {
	w.asked.Page = r
	return page.Page[signin.Seat]{Items: w.seats(), Next: w.next, Total: -1}, nil
}

func (w signinWorld) FindAdministrator(_ context.Context, _ auth.Caller, a id.Administrator) (signin.Seat, error) {
	for _, s := range w.seats() {
		if s.ID == a {
			return s, nil
		}
	}
	return signin.Seat{}, fault.NotFound("administrator_not_found", "This administrator does not exist.")
}

func (w signinWorld) AddAdministrator(_ context.Context, _ auth.Caller, n signin.NewAdministrator) (signin.Seat, error) {
	w.appointed = n
	return w.seats()[1], w.fault
}

func (w signinWorld) ChangeAdministrator(_ context.Context, _ auth.Caller, _ id.Administrator, c signin.AdministratorChange, ifRevision int64) (signin.Seat, error) {
	w.regranted, w.revision = c, ifRevision
	return w.seats()[1], w.fault
}

func (w signinWorld) RemoveAdministrator(_ context.Context, _ auth.Caller, a id.Administrator) ([]signin.LeftKey, error) {
	w.did = "remove " + string(a)
	return w.left, w.fault
}

func (w signinWorld) Passkeys(context.Context, auth.Caller, id.Administrator) ([]signin.Passkey, error) {
	return w.passkeys, nil
}

func (w signinWorld) ConfirmPasskey(_ context.Context, _ auth.Caller, a id.Administrator, k id.Passkey) (signin.Passkey, error) {
	w.did = "confirm " + string(a) + " " + string(k)
	return signin.Passkey{}, w.fault
}

func (w signinWorld) RemovePasskey(_ context.Context, _ auth.Caller, a id.Administrator, k id.Passkey) error {
	w.did = "remove " + string(a) + " " + string(k)
	return w.fault
}

func (w signinWorld) Sessions(context.Context, auth.Caller, id.Administrator) ([]signin.Session, error) {
	return w.sessions, nil
}

func (w signinWorld) EndSession(_ context.Context, _ auth.Caller, a id.Administrator, s id.Session) error {
	w.did = "end " + string(a) + " " + string(s)
	return w.fault
}

func (w signinWorld) EndSessions(_ context.Context, _ auth.Caller, a id.Administrator) (int, error) {
	w.did = "end all " + string(a)
	return 2, w.fault
}

func (w signinWorld) BeginPasskey(ctx context.Context, by auth.Caller) (signin.Challenge, error) {
	return w.BeginSignIn(ctx, by)
}

func (w signinWorld) FinishPasskey(context.Context, auth.Caller, id.Ceremony, []byte) (signin.Passkey, error) {
	w.did = "add"
	return signin.Passkey{}, w.fault
}

func (w signinWorld) RenamePasskey(_ context.Context, _ auth.Caller, k id.Passkey, name string) (signin.Passkey, error) {
	w.did = "rename " + string(k) + " " + name
	return signin.Passkey{}, w.fault
}

func (w signinWorld) DeletePasskey(_ context.Context, _ auth.Caller, k id.Passkey) error {
	w.did = "delete " + string(k)
	return w.fault
}

func (w signinWorld) OwnSessions(context.Context, auth.Caller) ([]signin.Session, error) {
	return w.sessions, nil
}

func (w signinWorld) EndOwnSession(_ context.Context, _ auth.Caller, s id.Session) error {
	w.did = "end own " + string(s)
	return w.fault
}

func (w signinWorld) EndOwnSessions(context.Context, auth.Caller) (int, error) {
	w.did = "end own all"
	return 1, w.fault
}

// entered fills the world with passkeys and sessions.
func (w *world) entered() {
	w.passkeys = []signin.Passkey{
		{ID: laptop, User: ada, Name: "Ada’s laptop", CreatedAt: now().AddDate(0, 0, -40), LastUsedAt: now().Add(-time.Hour), ConfirmedAt: now().AddDate(0, 0, -40)},
		{ID: phone, User: ada, Name: "Passkey of 4 December 2026", CreatedAt: now().Add(-time.Hour)},
	}
	w.sessions = []signin.Session{
		{ID: thisOne, User: ada, Scope: signin.ScopePanel, OpenedBy: signin.OpenedByPasskey, IP: "192.0.2.7", Agent: firefox, LastSeenAt: now()},
		{ID: another, User: ada, Scope: signin.ScopeApp, OpenedBy: signin.OpenedByCode, IP: "2001:db8::1", Agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Mobile Safari/604.1", LastSeenAt: now().Add(-20 * time.Minute)},
	}
}

func stepUp(w *world) {
	w.entered()
	w.fault = fault.Forbidden("step_up_required", "Confirm with your passkey first.")
}

func TestSignInPages(t *testing.T) {
	stale := func(w *world) {
		w.entered()
		w.stepUpAt = now().Add(-time.Hour)
	}
	confirm := "/administrators/" + string(graceSeat) + "/passkeys/" + string(phone)
	newOne := url.Values{"q": {"gr"}, "user": {string(grace)}, "preset": {"auditor"}}
	for _, tt := range []struct {
		name   string
		path   string
		form   url.Values
		world  func(*world)
		status int
	}{
		{"administrators", "/administrators", nil, func(w *world) { w.next = page.Position{Value: "x", ID: "adm_1"} }, http.StatusOK},
		{"administrators_reader", "/administrators", nil, func(w *world) {
			w.standing, w.paused = auth.Permissions{auth.AdministratorsRead}, true
		}, http.StatusOK},
		{"administrator_new", "/administrators/new", nil, nil, http.StatusOK},
		{"administrator_new_found", "/administrators/new?q=a&preset=account_manager", nil, nil, http.StatusOK},
		{"administrator_new_none", "/administrators/new?q=zz", nil, func(w *world) { w.users = nil }, http.StatusOK},
		{"administrator_new_wrong", "/administrators", url.Values{"user": {string(grace)}, "preset": {"custom"}}, func(w *world) {
			w.fault = fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "user", Message: "is not a user of this workspace"})
		}, http.StatusUnprocessableEntity},
		{"administrator_new_nobody", "/administrators", url.Values{"preset": {"custom"}}, nil, http.StatusUnprocessableEntity},
		{"administrator_new_confirm", "/administrators", newOne, stepUp, http.StatusForbidden},
		{"administrator", "/administrators/" + string(graceSeat), nil, (*world).entered, http.StatusOK},
		{"administrator_bare", "/administrators/" + string(graceSeat), nil, nil, http.StatusOK},
		{"administrator_reader", "/administrators/" + string(adaSeat), nil, func(w *world) {
			w.entered()
			w.standing = auth.Permissions{auth.AdministratorsRead}
		}, http.StatusOK},
		{"administrator_changed", "/administrators/" + string(graceSeat), url.Values{"revision": {"3"}, "preset": {"auditor"}}, func(w *world) { w.fault = fault.Precondition() }, http.StatusUnprocessableEntity},
		{"administrator_last_owner", "/administrators/" + string(adaSeat), url.Values{"revision": {"1"}, "preset": {"auditor"}}, func(w *world) {
			w.fault = fault.Conflict("last_owner", "This is the last owner of the workspace. Make somebody else an owner first.")
		}, http.StatusUnprocessableEntity},
		{"administrator_confirm", "/administrators/" + string(graceSeat), url.Values{"revision": {"4"}, "preset": {"auditor"}}, stepUp, http.StatusForbidden},
		{"administrator_remove", "/administrators/" + string(graceSeat) + "/remove", nil, nil, http.StatusOK},
		{"administrator_removed", "/administrators/" + string(graceSeat) + "/remove", url.Values{}, func(w *world) {
			w.left = []signin.LeftKey{{ID: "key_1", Name: "Payroll <sync>", Type: "admin"}}
		}, http.StatusOK},
		{"passkey_confirm", confirm + "/confirm", nil, (*world).entered, http.StatusOK},
		{"passkey_remove_confirm", confirm + "/remove", url.Values{}, stepUp, http.StatusForbidden},
		{"account", "/account", nil, (*world).entered, http.StatusOK},
		{"account_stale", "/account", nil, stale, http.StatusOK},
		{"account_rename_wrong", "/account/passkeys/" + string(laptop) + "/rename", url.Values{"name": {""}}, func(w *world) {
			w.entered()
			w.fault = fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "name", Message: "is required"})
		}, http.StatusUnprocessableEntity},
		{"account_last_passkey", "/account/passkeys/" + string(laptop) + "/remove", url.Values{}, func(w *world) {
			w.entered()
			w.fault = fault.Conflict("last_passkey", "This is your last passkey that opens the panel. Add another one first.")
		}, http.StatusUnprocessableEntity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.world != nil {
				tt.world(w)
			}
			rec := w.ask(t, tt.path, tt.form)
			if rec.Code != tt.status {
				t.Errorf("status = %d, want %d", rec.Code, tt.status)
			}
			golden(t, tt.name, rec.Body.String())
		})
	}
}

// Each form does what it says, and leads on.
func TestSignInForms(t *testing.T) {
	a, own := "/administrators/"+string(graceSeat), "/account/passkeys/"+string(laptop)
	for path, c := range map[string]struct{ did, to, flash string }{
		a + "/remove": {"remove " + string(graceSeat), "/administrators", "administrator_removed"},
		a + "/passkeys/" + string(phone) + "/confirm":   {"confirm " + string(graceSeat) + " " + string(phone), a, "passkey_confirmed"},
		a + "/passkeys/" + string(phone) + "/remove":    {"remove " + string(graceSeat) + " " + string(phone), a, "passkey_removed"},
		a + "/sessions/" + string(another) + "/end":     {"end " + string(graceSeat) + " " + string(another), a, "session_ended"},
		a + "/sessions/end":                             {"end all " + string(graceSeat), a, "sessions_ended"},
		own + "/rename":                                 {"rename " + string(laptop) + " Mine", "/account", "passkey_renamed"},
		own + "/remove":                                 {"delete " + string(laptop), "/account", "passkey_removed"},
		"/account/sessions/" + string(another) + "/end": {"end own " + string(another), "/account", "session_ended"},
		"/account/sessions/end":                         {"end own all", "/account", "sessions_ended"},
	} {
		w := newWorld()
		w.entered()
		rec := w.ask(t, path, url.Values{"name": {"Mine"}})
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != c.to || w.did != c.did || !strings.Contains(rec.Header().Get("Set-Cookie"), c.flash) {
			t.Errorf("POST %s = %d to %q, did %q, %q; want %+v", path, rec.Code, rec.Header().Get("Location"), w.did, rec.Header().Get("Set-Cookie"), c)
		}
		if flashText(c.flash) == "" {
			t.Errorf("the toast %s has no text", c.flash)
		}
	}
}

func TestAddAdministrator_reads(t *testing.T) {
	for name, c := range map[string]struct {
		form url.Values
		want signin.NewAdministrator
	}{
		"a preset":    {url.Values{"user": {string(grace)}, "preset": {"auditor"}, "permissions": {"users.read"}}, signin.NewAdministrator{User: grace, Preset: "auditor"}},
		"permissions": {url.Values{"user": {string(grace)}, "preset": {"custom"}, "permissions": {"users.read", "users.write"}, "owner": {"on"}}, signin.NewAdministrator{User: grace, Permissions: []string{"users.read", "users.write"}, Owner: true}},
		"nothing":     {url.Values{"user": {"somebody"}}, signin.NewAdministrator{Permissions: []string{}}},
	} {
		w := newWorld()
		rec := w.ask(t, "/administrators", c.form)
		if got := w.appointed; got.User != c.want.User || got.Preset != c.want.Preset || !slices.Equal(got.Permissions, c.want.Permissions) || got.Owner != c.want.Owner {
			t.Errorf("%s: AddAdministrator(%+v), want %+v", name, got, c.want)
		}
		if got := rec.Header().Get("Location"); got != "/administrators/"+string(graceSeat) {
			t.Errorf("%s: leads to %q, want the administrator", name, got)
		}
	}
}

func TestChangeAdministrator_reads(t *testing.T) {
	w := newWorld()
	w.owner = true
	w.ask(t, "/administrators/"+string(graceSeat), url.Values{"revision": {"4"}, "preset": {"custom"}, "permissions": {"users.read"}})
	if c := w.regranted; w.revision != 4 || c.Preset != "" || c.Permissions == nil || !slices.Equal(*c.Permissions, []string{"users.read"}) || c.Owner == nil || *c.Owner {
		t.Errorf("an owner's form: %+v at revision %d", c, w.revision)
	}
	w = newWorld()
	w.ask(t, "/administrators/"+string(graceSeat), url.Values{"revision": {"4"}, "preset": {"auditor"}, "owner": {"on"}})
	if c := w.regranted; c.Preset != "auditor" || c.Permissions != nil || c.Owner != nil {
		t.Errorf("the form of one who is no owner: %+v, want the preset alone", c)
	}
	if rec := w.ask(t, "/administrators/"+string(graceSeat), url.Values{"revision": {"x"}}); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("a revision that is none = %d, want 422", rec.Code)
	}
}

func TestPick_asksTheDirectory(t *testing.T) {
	w := newWorld()
	w.ask(t, "/administrators/new?q=gr", nil)
	want := directory.Query{Page: page.Request{Limit: pickLimit}}
	if diff := cmp.Diff(want, w.asked); diff != "" || w.askedText != "gr" {
		t.Errorf("List(%q) (-want +got):\n%s", w.askedText, diff)
	}
}

func TestAddPasskey(t *testing.T) {
	w := newWorld()
	for path, want := range map[string]string{
		"/account/passkeys/options": `{"ceremony":"cer_01h455vb4pex5vsknk084sn02q","options":{"challenge":"AA"}}`,
		"/account/passkeys":         `{"location":"/account"}`,
	} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"ceremony":"cer_01h455vb4pex5vsknk084sn02q","response":{}}`))
		r.Header.Set("Content-Type", "application/json")
		r.AddCookie(&http.Cookie{Name: "keyhold_session", Value: "session"})
		if rec := send(t, w, r); strings.TrimSpace(rec.Body.String()) != want {
			t.Errorf("POST %s = %d %s, want %s", path, rec.Code, rec.Body, want)
		}
	}
	if w.did != "add" {
		t.Errorf("did %q, want a passkey added", w.did)
	}
}

// Whose session opens the app only is sent there.
func TestAppSession_isSentToTheApp(t *testing.T) {
	w := newWorld()
	w.app = true
	for _, path := range []string{"/users", "/account", "/administrators/new"} {
		if rec := w.ask(t, path, nil); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/app" {
			t.Errorf("GET %s = %d to %q, want 303 to /app", path, rec.Code, rec.Header().Get("Location"))
		}
	}
	if rec := w.ask(t, "/users/new", url.Values{"first_name": {"X"}}); rec.Code != http.StatusForbidden || w.created.FirstName != "" {
		t.Errorf("POST /users/new = %d, want 403 and nothing made", rec.Code)
	}
	if rec := w.ask(t, "/sign-in", nil); rec.Code != http.StatusOK {
		t.Errorf("GET /sign-in = %d, want the page: they may have a passkey for the panel", rec.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader(`{"ceremony":"cer_01h455vb4pex5vsknk084sn02q","response":{},"next":"/users"}`))
	r.Header.Set("Content-Type", "application/json")
	if got := strings.TrimSpace(send(t, w, r).Body.String()); got != `{"location":"/app"}` {
		t.Errorf("signing in leads to %s, want the app", got)
	}
}

func TestBrowserText(t *testing.T) {
	for agent, want := range map[string]string{
		firefox: "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":         "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                 "Safari on macOS",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                          "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604": "Safari on iPhone",
		"curl/8.5.0": "curl/8.5.0",
		"":           "Unknown browser",
	} {
		if got := browserText(agent); got != want {
			t.Errorf("browserText(%q) = %q, want %q", agent, got, want)
		}
	}
}
