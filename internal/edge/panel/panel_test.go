package panel

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/edge/kit/assets"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// The rooms are what the panel asks for.
var (
	_ Directory = (*directory.Service)(nil)
	_ SignIn    = (*signin.Service)(nil)
	_ Join      = (*join.Service)(nil)
	_ APIKeys   = (*apikey.Service)(nil)
	_ Record    = (*activity.Record)(nil)

	_ SecurityKeys = (*securitykey.Service)(nil)
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	ada   = id.User("user_01h455vb4pex5vsknk084sn02q")
	grace = id.User("user_01h455vb4pex5vsknk084sn02r")
	staff = id.Group("grp_01h455vb4pex5vsknk084sn02s")
)

func now() time.Time { return time.Date(2026, 12, 4, 14, 3, 0, 0, time.UTC) }

// world is the panel over doubles of the rooms.
type world struct {
	users    []directory.User
	next     page.Position
	events   []activity.Event
	keys     []apikey.Key
	standing auth.Permissions
	signedIn bool
	link     signin.Link
	fault    error // what every writing call answers
	created  directory.NewUser
	changed  directory.Change
	revision int64
	keyRoom
	cardRoom
	doorRoom
	clientRoom
	asked     directory.Query
	record    *activity.Record // what exports are read from
	by        auth.Caller      // who exports
	askedFor  activity.Query
	verdict   activity.Verdict
	verified  []activity.SignedCheckpoint
	dashboard overview.Dashboard
	askedText string

	passkeys  []signin.Passkey
	sessions  []signin.Session
	left      []signin.LeftKey
	appointed signin.NewAdministrator
	regranted signin.AdministratorChange
	did       string       // the last act on passkeys, sessions or administrators
	owner     bool         // the person who is signed in is one
	app       bool         // their session opens the app only
	paused    bool         // the second administrator is
	stepUpAt  time.Time    // now if it is zero
	acts      []string     // what forms asked of the directory and the flow
	rowFault  *fault.Error // what becomes of Ada in a bulk act
}

func newWorld() *world {
	return &world{signedIn: true, standing: auth.All(), users: []directory.User{
		{
			ID: ada, UserID: "ada", Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", Phone: "+44 20 7946 0000", EmployeeID: "E-1",
			Language: "en", Timezone: "Europe/London", Auditable: true, Status: directory.Active, Revision: 3, CreatedAt: now().AddDate(0, 0, -40), LastActivityAt: now().Add(-5 * time.Minute),
		},
		{
			ID: grace, UserID: "grace@example.com", Email: "grace@example.com", FirstName: "Grace", LastName: "Hopper <script>", Auditable: true,
			Status: directory.NotInvited, Revision: 1, CreatedAt: now().Add(-26 * time.Hour),
		},
	}}
}

func (w *world) VerifySession(_ context.Context, by auth.Caller, value secret.Bytes) (auth.Caller, error) {
	if !w.signedIn || value.ExposeString() != "session" {
		return auth.Caller{}, fault.Unauthenticated()
	}
	by.Kind, by.Workspace, by.User, by.Name = auth.Administrator, "ws_1", ada, "Ada Lovelace"
	by.Session, by.StepUpAt = thisOne, w.stepUpAt
	if w.stepUpAt.IsZero() {
		by.StepUpAt = now()
	}
	if w.app {
		by.Kind = auth.User
	}
	return by, nil
}

func (w *world) Account(context.Context, auth.Caller) (signin.Account, error) {
	return signin.Account{
		Person:   signin.Person{User: ada, Workspace: "ws_1", WorkspaceName: "Analytical Engines", Email: "ada@example.com", Name: "Ada Lovelace", Timezone: "Europe/Berlin"},
		Standing: auth.Standing{Active: true, Owner: w.owner, Permissions: w.standing}, Passkeys: w.passkeys,
	}, nil
}

func (w *world) List(_ context.Context, _ auth.Caller, text string, q directory.Query) (page.Page[directory.User], error) {
	w.asked, w.askedText = q, text
	return page.Page[directory.User]{Items: w.users, Next: w.next, Total: len(w.users)}, nil
}

func (w *world) Find(_ context.Context, _ auth.Caller, user id.User) (directory.User, []directory.Group, error) {
	for _, u := range w.users {
		if u.ID == user {
			return u, []directory.Group{{Name: "Everyone", Builtin: true}, {ID: staff, Name: "Staff"}}, nil
		}
	}
	return directory.User{}, nil, directory.UnknownUser()
}

func (w *world) Create(_ context.Context, _ auth.Caller, n directory.NewUser) (directory.User, error) {
	w.created = n
	return w.users[1], w.fault
}

func (w *world) Update(_ context.Context, _ auth.Caller, _ id.User, c directory.Change, ifRevision int64) (directory.User, error) {
	w.changed, w.revision = c, ifRevision
	return w.users[0], w.fault
}

func (w *world) ListGroups(context.Context, auth.Caller, string, directory.GroupQuery) (page.Page[directory.Group], error) {
	return page.Page[directory.Group]{Items: []directory.Group{{ID: "grp_0", Name: "Everyone", Builtin: true}, {ID: staff, Name: "Staff", Description: "Who works here."}}, Total: 2}, nil
}

func (w *world) BeginSignIn(context.Context, auth.Caller) (signin.Challenge, error) {
	return signin.Challenge{Ceremony: "cer_01h455vb4pex5vsknk084sn02q", Options: json.RawMessage(`{"challenge":"AA"}`)}, w.fault
}

func (w *world) FinishSignIn(context.Context, auth.Caller, id.Ceremony, []byte) (signin.Opened, error) {
	opened := signin.Opened{Token: secret.FromString("session"), ExpiresAt: now().Add(time.Hour)}
	if w.app {
		opened.Caller.Kind = auth.User
	}
	return opened, w.fault
}

func (w *world) BeginStepUp(ctx context.Context, by auth.Caller) (signin.Challenge, error) {
	return w.BeginSignIn(ctx, by)
}

func (w *world) FinishStepUp(context.Context, auth.Caller, id.Ceremony, []byte) error { return w.fault }

func (w *world) FindSetupLink(context.Context, auth.Caller, secret.Bytes) (signin.Link, error) {
	return w.link, w.fault
}

func (w *world) SignInByLink(ctx context.Context, by auth.Caller, _ secret.Bytes) (signin.Opened, error) {
	return w.FinishSignIn(ctx, by, "", nil)
}

func (w *world) SignOut(context.Context, auth.Caller) error { return nil }

func (w *world) BeginPasskey(ctx context.Context, by auth.Caller, _ secret.Bytes, _ join.Owner) (signin.Challenge, error) {
	return w.BeginSignIn(ctx, by)
}

func (w *world) FinishPasskey(ctx context.Context, by auth.Caller, _ secret.Bytes, c id.Ceremony, response []byte) (signin.Opened, error) {
	return w.FinishSignIn(ctx, by, c, response)
}

// keyWorld and recordWorld give the rooms their own List and Create.
type (
	keyWorld    struct{ *world }
	recordWorld struct{ *world }
)

func (w *world) Ask(_ context.Context, by auth.Caller, need auth.Permission) error {
	if f := auth.Check(by, auth.Standing{Active: true, Permissions: w.standing}, need); f != nil {
		return f
	}
	return nil
}

func (w *world) Workspace(context.Context, auth.Caller) (directory.Workspace, error) {
	return directory.Workspace{ID: "ws_1", Name: "Harbour Hotel Group", Timezone: "Europe/Berlin", CheckpointEmail: "audit@harbour.example", Revision: 3}, nil
}

func (w *world) UpdateWorkspace(context.Context, auth.Caller, directory.Settings, int64) (directory.Workspace, error) {
	return directory.Workspace{}, w.fault
}

func (recordWorld) Changes(context.Context, auth.Caller, time.Time) ([]activity.Change, error) {
	return nil, nil
}

func (w recordWorld) List(_ context.Context, _ auth.Caller, q activity.Query) (page.Page[activity.Event], error) {
	w.askedFor = q
	return page.Page[activity.Event]{Items: w.events, Next: w.next, Total: -1}, nil
}

// demoToken is well-formed and opens nothing.
const demoToken = "kh_admin_0123456789ab_0123456789ABCDEFGHIJKLMNOPQRSTUV0zd9E0"

func (w *world) serve(t *testing.T) http.Handler {
	t.Helper()
	k := kit.New(kit.Config{
		PublicURL: &url.URL{Scheme: "http", Host: "localhost:8080"}, Clock: clock.NewManual(now()),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Sessions: w, Metrics: prometheus.NewRegistry(),
	})
	mux := http.NewServeMux()
	New(Config{
		Signals: signal.NewHub(),
		Kit:     k, Assets: &assets.Assets{}, Cursors: kit.Cursors{Secrets: func(context.Context, id.Workspace) (secret.Bytes, error) { return secret.FromString("cursor"), nil }},
		Directory: w, Leave: leaveWorld{w}, SignIn: signinWorld{w}, Join: w, APIKeys: keyWorld{w}, SecurityKeys: cardWorld{w}, Bind: cardWorld{w}, DigitalKeys: doorWorld{w}, Locks: lockWorld{w}, Clients: clientWorld{w}, Vault: vaultWorld{w}, Record: recordWorld{w}, Overview: overviewWorld{w},
	}).Register(mux)
	return k.Observe(k.Protect(mux))
}

// ask sends one request with the session's cookie. A form is posted.
func (w *world) ask(t *testing.T, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.AddCookie(&http.Cookie{Name: "keyhold_session", Value: "session"})
	return send(t, w, r)
}

func send(t *testing.T, w *world, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	w.serve(t).ServeHTTP(rec, r)
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s %s: Cache-Control = %q, want no-store", r.Method, r.URL, got)
	}
	return rec
}

func (w *world) events3() {
	admin := activity.Party{Type: "administrator", ID: string(ada), Name: "Ada Lovelace"}
	hopper := activity.Party{Type: "user", ID: string(grace), Name: "Grace Hopper"}
	w.events = []activity.Event{
		{ID: line, Index: 4711, Action: "user.update", Detail: "first_name, email", Agent: "Mozilla/5.0 <b>", RequestID: "req_1", Outcome: activity.Success, At: now().Add(-time.Minute), Actor: admin, Target: hopper, User: grace, IP: "192.0.2.7", Count: 1},
		{Action: "session.open", Outcome: activity.Refused, Reason: "passkey_rejected", At: now().Add(-2 * time.Hour), Actor: activity.Party{Type: "anonymous"}, Target: hopper, User: grace, IP: "2001:db8::1", Count: 12},
		{Action: "api_key.create", Detail: "admin", Outcome: activity.Success, At: now().AddDate(0, -3, 0), Actor: activity.Party{Type: "api_key", ID: "key_1", Name: "Payroll"}, Target: activity.Party{Type: "api_key", ID: "key_2", Name: "Door sync"}, User: grace, ActorErased: false},
		{Action: "user.create", Outcome: activity.Success, At: now().AddDate(-2, 0, 0), Actor: activity.Party{Type: "administrator", ID: string(ada)}, ActorErased: true, Target: hopper, User: grace},
	}
}

func TestPages(t *testing.T) {
	taken := fault.Conflict("user_exists", "Another user has this user ID or e-mail address.", fault.Field{Name: "email", Message: "is taken by another user"})
	changed := url.Values{"revision": {"2"}, "first_name": {"Adah"}, "last_name": {"Lovelace"}, "email": {"ada@example.com"}, "user_id": {"ada"}, "auditable": {"on"}}
	owner := signin.Link{SetupLink: signin.SetupLink{Workspace: "ws_1"}, Person: signin.Person{WorkspaceName: "Analytical Engines"}}
	known := signin.Link{SetupLink: signin.SetupLink{User: ada, SignsIn: true}, Person: signin.Person{User: ada, Name: "Ada Lovelace", WorkspaceName: "Analytical Engines"}}
	tests := []struct {
		name   string
		path   string
		form   url.Values
		world  func(*world)
		status int
	}{
		{"sign_in", "/sign-in?next=/users/new", nil, func(w *world) { w.signedIn = false }, http.StatusOK},
		{"setup_owner", "/setup?link=abc", nil, func(w *world) { w.link = owner }, http.StatusOK},
		{"setup_known", "/setup?link=abc", nil, func(w *world) { w.link = known }, http.StatusOK},
		{"setup_dead", "/setup?link=abc", nil, func(w *world) { w.fault = fault.NotFound("setup_link_not_found", "This link does not work.") }, http.StatusNotFound},
		{"confirm", "/confirm?next=/api-keys", nil, nil, http.StatusOK},
		{"users", "/users?q=a&sort=-created_at", nil, func(w *world) { w.next = page.Position{Value: "1", ID: string(grace)} }, http.StatusOK},
		{"users_none", "/users", nil, func(w *world) { w.users = nil }, http.StatusOK},
		{"users_found_none", "/users?q=zz&status=active", nil, func(w *world) { w.users = nil }, http.StatusOK},
		{"users_reader", "/users", nil, func(w *world) { w.standing = auth.Permissions{auth.UsersRead} }, http.StatusOK},
		{"search", "/search?q=a", nil, nil, http.StatusOK},
		{"search_none", "/search?q=zz", nil, func(w *world) { w.users = nil }, http.StatusOK},
		{"settings", "/settings", nil, nil, http.StatusOK},
		{"settings_reader", "/settings", nil, func(w *world) { w.standing = auth.Permissions{auth.WorkspaceRead} }, http.StatusOK},
		{"settings_changed", "/settings", url.Values{"revision": {"2"}, "name": {"Harbour"}}, func(w *world) { w.fault = fault.Precondition() }, http.StatusUnprocessableEntity},
		{"settings_wrong", "/settings", url.Values{"revision": {"3"}, "name": {""}}, func(w *world) {
			w.fault = fault.Invalid("invalid_workspace", "The settings were not saved.", fault.Field{Name: "name", Message: "is needed"})
		}, http.StatusUnprocessableEntity},
		{"user_new", "/users/new", nil, nil, http.StatusOK},
		{"user_new_wrong", "/users/new", url.Values{"to": {"create"}, "last_name": {"x"}, "first_name": {"<b>"}, "email": {"grace@example.com"}, "groups": {string(staff)}}, func(w *world) { w.fault = taken }, http.StatusUnprocessableEntity},
		{"user_details", "/users/" + string(ada), nil, nil, http.StatusOK},
		{"user_activities", "/users/" + string(grace) + "?tab=activities", nil, (*world).events3, http.StatusOK},
		{"user_activities_none", "/users/" + string(grace) + "?tab=activities", nil, nil, http.StatusOK},
		{"user_unknown", "/users/somebody", nil, nil, http.StatusNotFound},
		{"user_edit", "/users/" + string(ada) + "/edit", nil, nil, http.StatusOK},
		{"user_edit_changed", "/users/" + string(ada) + "/edit", changed, func(w *world) { w.fault = fault.Precondition() }, http.StatusUnprocessableEntity},
		{"not_found", "/nothing/here", nil, nil, http.StatusNotFound},
	}
	for _, tt := range tests {
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

var (
	requestID = regexp.MustCompile(`req_[A-Z0-9]+`)
	onceValue = regexp.MustCompile(`name="once" value="[A-Z2-7]+"`)
	tagBreak  = regexp.MustCompile(`(</?(?:html|head|body|meta|link|script|main|nav|header|section|form|fieldset|div|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|th|td|p|h1|h2|label|input|button|select|option|datalist|dialog)[ >])`)
)

// golden compares a page with its file. Tags begin lines, so that a change reads
// well.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = requestID.ReplaceAllString(got, "req_X")
	got = onceValue.ReplaceAllString(got, `name="once" value="X"`)
	got = strings.TrimSpace(tagBreak.ReplaceAllString(got, "\n$1")) + "\n"
	got = regexp.MustCompile(`\n+`).ReplaceAllString(got, "\n")
	path := filepath.Join("testdata", name+".html")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("page differs from %s (-want +got):\n%s", path, diff)
	}
}

func TestSigned_strangerComesBackAfterSignIn(t *testing.T) {
	for _, path := range []string{"/users?q=a", "/users/new", "/api-keys", "/confirm"} {
		w := newWorld()
		w.signedIn = false
		rec := w.ask(t, path, nil)
		want := "/sign-in?next=" + url.QueryEscape(path)
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != want {
			t.Errorf("GET %s = %d to %q, want 303 to %q", path, rec.Code, rec.Header().Get("Location"), want)
		}
	}
}

func TestSigned_strangersFormIsRefused(t *testing.T) {
	w := newWorld()
	w.signedIn = false
	rec := w.ask(t, "/users/new", url.Values{"to": {"create"}, "email": {"a@example.com"}})
	if rec.Code != http.StatusUnauthorized || w.created.Email != "" {
		t.Errorf("POST /users/new = %d, created %q, want 401 and nothing", rec.Code, w.created.Email)
	}
}

func TestSigned_htmxLeavesThePage(t *testing.T) {
	w := newWorld()
	w.signedIn = false
	r := httptest.NewRequest(http.MethodGet, "/users?q=a", nil)
	r.Header.Set("HX-Request", "true")
	rec := send(t, w, r)
	if got, want := rec.Header().Get("HX-Redirect"), "/sign-in?next=%2Fusers%3Fq%3Da"; got != want {
		t.Errorf("HX-Redirect = %q, want %q", got, want)
	}
}

func TestHome(t *testing.T) {
	w := newWorld()
	if got := w.ask(t, "/", nil).Header().Get("Location"); got != "/dashboard" {
		t.Errorf("with a session: Location = %q, want /dashboard", got)
	}
	if got := send(t, w, httptest.NewRequest(http.MethodGet, "/", nil)).Header().Get("Location"); got != "/sign-in" {
		t.Errorf("without a session: Location = %q, want /sign-in", got)
	}
}

func TestUsers_asksForWhatTheURLSays(t *testing.T) {
	w := newWorld()
	w.next = page.Position{Value: "hopper", ID: string(grace)}
	rec := w.ask(t, "/users?q=gr&status=active&sort=-email", nil)
	want := directory.Query{Status: directory.Active, Page: page.Request{Sort: "email", Descending: true}}
	if diff := cmp.Diff(want, w.asked); diff != "" || w.askedText != "gr" {
		t.Errorf("List(%q) (-want +got):\n%s", w.askedText, diff)
	}
	next := regexp.MustCompile(`href="(/users\?[^"]*cursor=[^"]*)"`).FindStringSubmatch(rec.Body.String())
	if next == nil {
		t.Fatal("the page has no link to the next page")
	}
	w.ask(t, strings.ReplaceAll(next[1], "&amp;", "&"), nil)
	want.Page.After = w.next
	if diff := cmp.Diff(want, w.asked); diff != "" {
		t.Errorf("List() of the next page (-want +got):\n%s", diff)
	}
}

func TestUsers_foreignCursorStartsAnew(t *testing.T) {
	rec := newWorld().ask(t, "/users?q=a&cursor=AAAA", nil)
	if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != "/users?q=a" {
		t.Errorf("= %d to %q, want 303 to /users?q=a", rec.Code, got)
	}
}

func TestCreateUser(t *testing.T) {
	w := newWorld()
	rec := w.ask(t, "/users/new", url.Values{"to": {"create"}, "first_name": {"Grace"}, "email": {"grace@example.com"}, "groups": {string(staff), "nonsense"}, "invite": {"on"}})
	if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != "/users/"+string(grace) {
		t.Errorf("= %d to %q, want 303 to the user", rec.Code, got)
	}
	want := directory.NewUser{FirstName: "Grace", Email: "grace@example.com", Auditable: new(false), Invite: true, Groups: []id.Group{staff}}
	if diff := cmp.Diff(want, w.created); diff != "" {
		t.Errorf("Create() (-want +got):\n%s", diff)
	}
	r := httptest.NewRequest(http.MethodGet, "/users/"+string(grace), nil)
	r.AddCookie(&http.Cookie{Name: "keyhold_session", Value: "session"})
	for _, c := range rec.Result().Cookies() {
		r.AddCookie(c)
	}
	next := send(t, w, r)
	if !strings.Contains(next.Body.String(), "The user was created and invited.") {
		t.Error("the next page shows no toast")
	}
	if got := next.Header().Get("Set-Cookie"); !strings.Contains(got, "keyhold_flash=;") {
		t.Errorf("Set-Cookie = %q, want the toast gone", got)
	}
}

func TestUpdateUser_sendsRevision(t *testing.T) {
	w := newWorld()
	rec := w.ask(t, "/users/"+string(ada)+"/edit", url.Values{"revision": {"3"}, "first_name": {"Ada"}})
	if rec.Code != http.StatusSeeOther || w.revision != 3 || *w.changed.FirstName != "Ada" || *w.changed.Auditable {
		t.Errorf("= %d, revision %d, change %+v", rec.Code, w.revision, w.changed)
	}
}

func TestSignIn_setsTheSession(t *testing.T) {
	w := newWorld()
	r := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader(`{"ceremony":"cer_01h455vb4pex5vsknk084sn02q","response":{},"next":"//evil.example"}`))
	r.Header.Set("Content-Type", "application/json")
	rec := send(t, w, r)
	if got, want := rec.Body.String(), "{\"location\":\"/dashboard\"}\n"; got != want {
		t.Errorf("body = %q, want %q", got, want)
	}
	if got := rec.Header().Get("Set-Cookie"); !strings.HasPrefix(got, "keyhold_session=session;") {
		t.Errorf("Set-Cookie = %q, want the session", got)
	}
}

func TestData_problemNamesFields(t *testing.T) {
	w := newWorld()
	w.fault = fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "email", Message: "is needed"})
	r := httptest.NewRequest(http.MethodPost, "/setup/options", strings.NewReader(`{"link":"abc"}`))
	r.Header.Set("Content-Type", "application/json")
	rec := send(t, w, r)
	if rec.Code != http.StatusUnprocessableEntity || !strings.Contains(rec.Body.String(), `"errors":[{"field":"email","message":"E-mail is needed."}]`) {
		t.Errorf("= %d %s, want 422 with the field", rec.Code, rec.Body)
	}
}

func TestBodies_areBounded(t *testing.T) {
	rec := newWorld().ask(t, "/users/new", url.Values{"first_name": {strings.Repeat("a", kit.MaxForm)}})
	if rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("form: status = %d, want 422", rec.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader(`{"next":"`+strings.Repeat("a", kit.MaxForm)+`"}`))
	r.Header.Set("Content-Type", "application/json")
	if rec := send(t, newWorld(), r); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("JSON: status = %d, want 422", rec.Code)
	}
}

func TestTheme(t *testing.T) {
	rec := newWorld().ask(t, "/theme", url.Values{"theme": {"dark"}, "next": {"/api-keys"}})
	if got := rec.Header().Get("Set-Cookie"); !strings.HasPrefix(got, "keyhold_theme=dark;") || rec.Header().Get("Location") != "/api-keys" {
		t.Errorf("Set-Cookie = %q, Location = %q", got, rec.Header().Get("Location"))
	}
	r := httptest.NewRequest(http.MethodGet, "/sign-in", nil)
	r.AddCookie(&http.Cookie{Name: "keyhold_theme", Value: "dark"})
	if body := send(t, newWorld(), r).Body.String(); !strings.Contains(body, `data-bs-theme="dark"`) {
		t.Error("the page does not carry the theme")
	}
}

func TestRelative(t *testing.T) {
	tests := map[time.Duration]string{
		-10 * time.Second: "just now", -time.Minute: "1 minute ago", -59 * time.Minute: "59 minutes ago", -90 * time.Minute: "1 hour ago",
		-25 * time.Hour: "1 day ago", -59 * 24 * time.Hour: "59 days ago", 90*24*time.Hour - time.Second: "in 90 days", -100 * 24 * time.Hour: "3 months ago", -800 * 24 * time.Hour: "2 years ago",
		10 * time.Second: "in a moment", 3 * time.Hour: "in 3 hours", 30 * 24 * time.Hour: "in 30 days",
	}
	for d, want := range tests {
		if got := relative(now(), now().Add(d)); got != want {
			t.Errorf("relative(%v) = %q, want %q", d, got, want)
		}
	}
}

func FuzzSafeNext(f *testing.F) {
	for _, s := range []string{"/users?q=a", "//evil.example", "/\\evil.example", "https://evil.example", "", "/\t/evil.example", "/%2f/x", "/a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := safeNext(next)
		base := &url.URL{Scheme: "https", Host: "keyhold.example"}
		to, err := base.Parse(got)
		if err != nil || to.Host != base.Host || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\n\t") {
			t.Errorf("safeNext(%q) = %q, which leaves the site", next, got)
		}
	})
}
