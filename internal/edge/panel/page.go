package panel

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// homePath is where a signed-in person lands.
const homePath = "/dashboard"

// appPath is where somebody lands whose session opens the app only, appOnlyCode the
// code of the fault that keeps them out of the panel.
const (
	appPath     = "/app"
	appOnlyCode = "app_session"
)

// visit is one request of one person. In pages that are open to anybody only
// now, zone and path are set.
type visit struct {
	caller  auth.Caller
	account signin.Account
	now     time.Time
	zone    *time.Location
	path    string // path and query of the page, for coming back
	theme   string // "light", "dark" or "" for the system's
	flash   string // the code of the toast to show
}

// can says whether the person's standing holds a permission. It decides what is
// shown, never what is done.
func (v visit) can(p auth.Permission) bool { return v.account.Standing.Permissions.Has(p) }

func (p *Panel) stranger(r *http.Request) visit {
	return visit{now: p.c.Kit.Clock().Now(), zone: time.UTC, path: r.URL.RequestURI(), theme: kit.Theme(r), flash: kit.Flash(r)}
}

// visitor returns the visit of somebody who is signed in to the panel, a fault for
// anybody else.
func (p *Panel) visitor(r *http.Request) (visit, error) {
	v := p.stranger(r)
	var err error
	if v.caller, err = p.c.Kit.SessionCaller(r); err != nil {
		return v, err
	}
	if v.caller.Kind == auth.User {
		return v, fault.Forbidden(appOnlyCode, textAppOnly)
	}
	if v.account, err = p.c.SignIn.Account(r.Context(), v.caller); err != nil {
		return v, err
	}
	if zone, err := time.LoadLocation(v.account.Person.Timezone); err == nil {
		v.zone = zone
	}
	return v, nil
}

// open wraps what anybody may ask for.
func (p *Panel) open(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kit.Prepare(w, r)
		if err := h(w, r); err != nil {
			p.fail(w, r, p.stranger(r), err)
		}
	})
}

// signed wraps what needs a session.
func (p *Panel) signed(h func(http.ResponseWriter, *http.Request, visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kit.Prepare(w, r)
		v, err := p.visitor(r)
		if err == nil {
			err = h(w, r, v)
		}
		if err != nil {
			p.fail(w, r, v, err)
		}
	})
}

// form wraps a page that asks for an act: the sign-in room is asked first, so that
// who lacks the permission is told at once and not after the form was filled in.
func (p *Panel) form(need auth.Permission, h func(http.ResponseWriter, *http.Request, visit) error) http.Handler {
	return p.signed(func(w http.ResponseWriter, r *http.Request, v visit) error {
		if err := p.c.SignIn.Ask(r.Context(), v.caller, need); err != nil {
			return err
		}
		return h(w, r, v)
	})
}

// data wraps what our own scripts ask for: JSON in, JSON or a problem out.
func (p *Panel) data(h func(http.ResponseWriter, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kit.Prepare(w, r)
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			// A plain form came here: the page's script does not run.
			p.fail(w, r, p.stranger(r), fault.Invalid("script_needed", textScriptNeeded))
			return
		}
		answer, err := h(w, r)
		if err != nil {
			writeProblem(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, "application/json", answer)
	})
}

// show renders a page whole before it writes the first byte.
func (p *Panel) show(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	return p.c.Kit.Show(w, r, status, p.c.Assets.Path("icons.svg"), c)
}

// fail answers an error with a page. A person without a session is sent to sign
// in and comes back.
func (p *Panel) fail(w http.ResponseWriter, r *http.Request, v visit, err error) {
	f := kit.NoteError(r.Context(), err)
	if f.Kind == fault.KindUnauthenticated && kit.IsRead(r) {
		toSignIn(w, r)
		return
	}
	if f.Code == appOnlyCode && kit.IsRead(r) {
		redirect(w, r, appPath)
		return
	}
	kit.RetryAfter(w.Header(), f)
	status := kit.Status(f)
	err = p.show(w, r, status, errorTemplate(errorPage{
		Shell: p.shell(v, errorTitle(status)), Status: strconv.Itoa(status), Message: f.Public, RequestID: kit.RequestID(r.Context()), Back: homePath,
		SignIn: f.Kind == fault.KindUnauthenticated,
	}))
	if err != nil {
		_ = kit.NoteError(r.Context(), errors.Join(f, err)) // it is answered below
		http.Error(w, textErrorPlain+kit.RequestID(r.Context()), http.StatusInternalServerError)
	}
}

// toSignIn sends to the sign-in page. What htmx loads is a part of a page: there
// the whole page has to go.
func toSignIn(w http.ResponseWriter, r *http.Request) {
	next := kit.SafeNext(r.URL.RequestURI(), "/")
	to := "/sign-in"
	if next != "/" {
		to += "?" + url.Values{"next": {next}}.Encode()
	}
	kit.Redirect(w, r, to, true)
}

// redirect sends the browser on with a GET, to a path of this site.
func redirect(w http.ResponseWriter, r *http.Request, to string) { kit.Redirect(w, r, to, false) }

// safeNext returns next if it is a path of this site, else where everybody lands.
func safeNext(next string) string { return kit.SafeNext(next, homePath) }

func readForm(r *http.Request) (url.Values, error) { return kit.ReadForm(r) }

func readJSON(r *http.Request, into any) error { return kit.ReadJSON(r, into) }

func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	kit.WriteProblem(w, r, err, errorTitle, func(f fault.Field) string { return sentence(fieldLabel(f.Name), f.Message) })
}

func writeJSON(w http.ResponseWriter, status int, kind string, body any) {
	kit.WriteJSON(w, status, kind, body)
}

func (p *Panel) setFlash(w http.ResponseWriter, code string) { p.c.Kit.SetFlash(w, code) }

func (p *Panel) setTheme(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	p.c.Kit.SetTheme(w, form.Get("theme"))
	redirect(w, r, safeNext(form.Get("next")))
	return nil
}

func (p *Panel) home(w http.ResponseWriter, r *http.Request) error {
	to := homePath
	if !p.c.Kit.HasSession(r) {
		to = "/sign-in"
	}
	redirect(w, r, to)
	return nil
}

func (p *Panel) unknown(w http.ResponseWriter, r *http.Request) error {
	f := fault.NotFound("page_not_found", textPageNotFound)
	if v, err := p.visitor(r); err == nil {
		p.fail(w, r, v, f)
		return nil
	}
	return f
}

// list is how a list was asked for in the URL.
type list struct {
	path   string
	params url.Values // filters and sort, without the cursor
	sorts  []string   // by which it can be sorted, its default first
	page   page.Request
}

// readList reads sort and position of a list. A sort is a column's name, with a
// minus before it for descending. keep names the filters that the list has.
func (p *Panel) readList(r *http.Request, v visit, sorts []string, keep ...string) (list, error) {
	in := r.URL.Query()
	l := list{path: r.URL.Path, params: url.Values{}, sorts: sorts}
	for _, name := range keep {
		if value := in.Get(name); value != "" {
			l.params.Set(name, value)
		}
	}
	by, descending := strings.CutPrefix(in.Get("sort"), "-")
	if slices.Contains(sorts, by) {
		l.page.Sort, l.page.Descending = by, descending
		l.params.Set("sort", in.Get("sort"))
	}
	var err error
	l.page.After, err = p.c.Cursors.Decode(r.Context(), v.caller.Workspace, l.query(), in.Get("cursor"))
	return l, err
}

// query names the list for its cursors.
func (l list) query() string { return l.path + "?" + l.params.Encode() }

// url returns the list's address with some parameters set anew; "" removes one.
func (l list) url(pairs ...string) string {
	out := url.Values{}
	for name, values := range l.params {
		out[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if out.Del(pairs[i]); pairs[i+1] != "" {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	if len(out) == 0 {
		return l.path
	}
	return l.path + "?" + out.Encode()
}

// pager returns the ways to the list's other pages.
func (p *Panel) pager(ctx context.Context, v visit, l list, next page.Position) (pager, error) {
	var out pager
	if !l.page.After.IsZero() {
		out.First = l.url()
	}
	cursor, err := p.c.Cursors.Encode(ctx, v.caller.Workspace, l.query(), next)
	if cursor != "" {
		out.Next = l.url("cursor", cursor)
	}
	return out, err
}

// restart sends back to a list's first page when its cursor is of another list
// or another time; it returns err if that is not what happened.
func restart(w http.ResponseWriter, r *http.Request, l list, err error) error {
	if f, ok := fault.As(err); !ok || f.Code != "invalid_cursor" {
		return err
	}
	redirect(w, r, l.url())
	return nil
}
