// Package holder is the app: what people who hold keys see of themselves, in the
// browser of any phone. It turns requests into calls of rooms and their answers
// into pages; a session of the app opens nothing of the panel.
package holder

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/edge/kit/assets"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// Prefix is where the app's paths begin.
const Prefix = "/app"

// SignIn is what the app asks of the sign-in room.
type SignIn interface {
	Account(ctx context.Context, by auth.Caller) (signin.Account, error)
	BeginCode(ctx context.Context, by auth.Caller, email string) (secret.Bytes, time.Time, error)
	ProveCode(ctx context.Context, by auth.Caller, browser secret.Bytes, code string) ([]signin.Entry, error)
	OpenByCode(ctx context.Context, by auth.Caller, browser secret.Bytes, w id.Workspace) (signin.Opened, error)
	BeginPasskey(ctx context.Context, by auth.Caller) (signin.Challenge, error)
	FinishPasskey(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) (signin.Passkey, error)
	DeletePasskey(ctx context.Context, by auth.Caller, passkey id.Passkey) error
	OwnSessions(ctx context.Context, by auth.Caller) ([]signin.Session, error)
	EndOwnSession(ctx context.Context, by auth.Caller, session id.Session) error
	SignOut(ctx context.Context, by auth.Caller) error
	OpenByAccessPass(ctx context.Context, by auth.Caller, email string, code secret.Bytes) (signin.Opened, error)
}

// Record is what the app asks of the record of activities.
type Record interface {
	Own(ctx context.Context, by auth.Caller, r page.Request) (page.Page[activity.Event], error)
	Changes(ctx context.Context, by auth.Caller, since time.Time) ([]activity.Change, error)
}

// Config is what the app is made from. All fields are required.
type Config struct {
	Kit     *kit.Kit
	Assets  *assets.Assets
	Cursors kit.Cursors
	SignIn  SignIn
	Record  Record

	SecurityKeys SecurityKeys
	Bind         Bind
	DigitalKeys  DigitalKeys
	Unlock       Unlock
	Signals      Signals
}

// Holder answers the app's routes. Use New.
type Holder struct{ c Config }

// New returns the app. It answers nothing until Register.
func New(c Config) *Holder { return &Holder{c: c} }

// Register is the app's route registration. mux is to stand behind the kit's Observe
// and Protect.
func (h *Holder) Register(mux *http.ServeMux) {
	mux.Handle("GET "+Prefix+"/sign-in", h.open(h.signInPage))
	mux.Handle("POST "+Prefix+"/sign-in", h.open(h.askCode))
	mux.Handle("GET "+Prefix+"/code", h.open(h.codePage))
	mux.Handle("POST "+Prefix+"/code", h.open(h.proveCode))
	mux.Handle("POST "+Prefix+"/enter", h.open(h.enter))
	mux.Handle("GET "+Prefix+"/pass", h.open(h.passPage))
	mux.Handle("POST "+Prefix+"/pass", h.open(h.openByPass))
	mux.Handle("POST "+Prefix+"/sign-out", h.open(h.signOut))
	mux.Handle("POST "+Prefix+"/theme", h.open(h.setTheme))

	mux.Handle("GET "+Prefix, h.signed(h.account))
	mux.Handle("GET "+Prefix+"/activity", h.signed(h.activities))
	mux.Handle("GET "+Prefix+"/live", h.open(h.live))
	mux.Handle("POST "+Prefix+"/passkeys/options", h.data(h.passkeyOptions))
	mux.Handle("POST "+Prefix+"/passkeys", h.data(h.addPasskey))
	mux.Handle("POST "+Prefix+"/passkeys/{id}/delete", h.signed(h.deletePasskey))
	mux.Handle("POST "+Prefix+"/sessions/{id}/end", h.signed(h.endSession))
	h.registerSecurityKeys(mux)
	h.registerDigitalKeys(mux)
	h.registerInstall(mux)
	mux.Handle(Prefix+"/", h.open(func(http.ResponseWriter, *http.Request) error {
		return fault.NotFound("page_not_found", textNotFound)
	}))
}

// visit is one request of one person. Of somebody who is not signed in only now,
// zone, theme and flash are known.
type visit struct {
	caller  auth.Caller
	account signin.Account
	now     time.Time
	zone    *time.Location
	path    string
	theme   string
	flash   string
}

func (h *Holder) stranger(r *http.Request) visit {
	return visit{now: h.c.Kit.Clock().Now(), zone: time.UTC, path: r.URL.Path, theme: kit.Theme(r), flash: kit.Flash(r)}
}

// visitor returns the visit of a signed-in person, of the app or the panel, and an
// Unauthenticated fault for anybody else.
func (h *Holder) visitor(r *http.Request) (visit, error) {
	v := h.stranger(r)
	var err error
	if v.caller, err = h.c.Kit.SessionCaller(r); err != nil {
		return v, err
	}
	if v.account, err = h.c.SignIn.Account(r.Context(), v.caller); err != nil {
		return v, err
	}
	if zone, err := time.LoadLocation(v.account.Person.Timezone); err == nil {
		v.zone = zone
	}
	return v, nil
}

// open wraps what anybody may ask for.
func (h *Holder) open(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kit.Prepare(w, r)
		if err := handle(w, r); err != nil {
			h.fail(w, r, h.stranger(r), err)
		}
	})
}

// signed wraps what needs a session.
func (h *Holder) signed(handle func(http.ResponseWriter, *http.Request, visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kit.Prepare(w, r)
		v, err := h.visitor(r)
		if err == nil {
			err = handle(w, r, v)
		}
		if err != nil {
			h.fail(w, r, v, err)
		}
	})
}

// data wraps what our own scripts ask for: JSON in, JSON or a problem out.
func (h *Holder) data(handle func(r *http.Request, by auth.Caller) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kit.Prepare(w, r)
		by, err := h.c.Kit.SessionCaller(r)
		var answer any
		if err == nil {
			answer, err = handle(r, by)
		}
		if err != nil {
			kit.WriteProblem(w, r, err, errorTitle, func(f fault.Field) string { return f.Name + " " + f.Message + "." })
			return
		}
		kit.WriteJSON(w, http.StatusOK, "application/json", answer)
	})
}

func (h *Holder) show(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	return h.c.Kit.Show(w, r, status, h.c.Assets.Path("icons.svg"), c)
}

// fail answers an error with a page. Who has no session is sent to sign in.
func (h *Holder) fail(w http.ResponseWriter, r *http.Request, v visit, err error) {
	f := kit.NoteError(r.Context(), err)
	if f.Kind == fault.KindUnauthenticated && kit.IsRead(r) {
		to := Prefix + "/sign-in"
		if r.URL.Path != Prefix {
			to += "?" + url.Values{"next": {kit.SafeNext(r.URL.RequestURI(), Prefix)}}.Encode()
		}
		kit.Redirect(w, r, to, true)
		return
	}
	kit.RetryAfter(w.Header(), f)
	status := kit.Status(f)
	err = h.show(w, r, status, errorTemplate(errorView{
		Shell: h.shell(v, errorTitle(status)), Status: strconv.Itoa(status), Message: f.Public, RequestID: kit.RequestID(r.Context()),
		SignIn: f.Kind == fault.KindUnauthenticated,
	}))
	if err != nil {
		_ = kit.NoteError(r.Context(), err) // it is answered below
		http.Error(w, textErrorPlain+kit.RequestID(r.Context()), http.StatusInternalServerError)
	}
}

// shell is what stands around every page.
type shell struct {
	Document  kit.Document
	Toast     string
	Signed    bool
	Panel     bool // the session opens the panel as well
	Name      string
	Initials  string
	Workspace string
	Links     []navLink
	Themes    []themeChoice
	Path      string
	Stream    string // where the page hears of news
}

type navLink struct {
	Name    string
	Path    string
	Icon    string
	Current bool
}

type themeChoice struct {
	Name    string
	Value   string
	Icon    string
	Checked bool
}

// errorView is the page for an answer that says no.
type errorView struct {
	Shell     shell
	Status    string
	Message   string
	RequestID string
	SignIn    bool
}

func (h *Holder) shell(v visit, title string) shell {
	a := h.c.Assets
	s := shell{
		Document: kit.Document{
			Title: title, Theme: v.theme, Now: v.now.Format(time.RFC3339), Zone: v.account.Person.Timezone,
			Style: a.Path("app.css"), Script: a.Path("app.js"), Icon: a.Path("favicon.svg"),
			Manifest: Prefix + "/manifest.webmanifest", Touch: a.Path("app-192.png"),
		},
		Stream: Prefix + "/live",
		Toast:  flashText(v.flash), Signed: v.account.Person.User != "", Panel: v.caller.Kind == auth.Administrator,
		Name: v.account.Person.Name, Initials: kit.Initials(v.account.Person.Name), Workspace: v.account.Person.WorkspaceName, Path: v.path,
		Links: []navLink{{Name: textHome, Path: Prefix, Icon: "key", Current: v.path == Prefix}},
		Themes: []themeChoice{
			{Name: textThemeSystem, Value: "auto", Icon: "device-desktop", Checked: v.theme == ""},
			{Name: textThemeLight, Value: "light", Icon: "sun", Checked: v.theme == "light"},
			{Name: textThemeDark, Value: "dark", Icon: "moon", Checked: v.theme == "dark"},
		},
	}
	if !v.account.Standing.KeysOnly {
		s.Links = append(s.Links, navLink{Name: textActivity, Path: Prefix + "/activity", Icon: "history", Current: v.path == Prefix+"/activity"})
	}
	if a.Built() {
		s.Document.Font = a.Path("inter-latin.woff2")
	}
	return s
}

func (h *Holder) setTheme(w http.ResponseWriter, r *http.Request) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	h.c.Kit.SetTheme(w, form.Get("theme"))
	kit.Redirect(w, r, kit.SafeNext(form.Get("next"), Prefix), false)
	return nil
}
