package panel

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// newAdministratorView is the page that makes a user an administrator.
type newAdministratorView struct {
	Shell   shell
	Summary summary
	Pick    pickView
	Grant   grantView
	Confirm bool // a fresh passkey is asked for
}

// pickView is the box in which a user is searched for and chosen.
type pickView struct {
	Query string
	Error string
	Found []choice
	Say   string // what stands there instead of users
}

// pickLimit is how many users are shown to choose from.
const pickLimit = 8

func (p *Panel) newAdministrator(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showNewAdministrator(w, r, v, r.URL.Query(), nil, false)
}

// showNewAdministrator shows the form with what was entered.
func (p *Panel) showNewAdministrator(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, confirm bool) error {
	view := newAdministratorView{
		Shell: p.shell(v, textAddAdministrator, crumb{Name: textNavWorkspace}, crumb{Name: textAdministrators, Path: administratorsPath}), Confirm: confirm,
	}
	texts := map[string]string{}
	status := formStatus(f)
	if f != nil {
		view.Summary, texts = wrong(f, "user", "preset", "permissions")
	}
	if confirm {
		status = http.StatusForbidden
	}
	var err error
	if view.Pick, err = p.pick(r, v, form, texts["user"]); err != nil {
		return err
	}
	view.Grant = v.grantView(form, texts["permissions"]+texts["preset"])
	return p.show(w, r, status, newAdministratorTemplate(view))
}

// pick searches for the users to choose from. The chosen one stays among them.
func (p *Panel) pick(r *http.Request, v visit, form url.Values, problem string) (pickView, error) {
	out := pickView{Query: form.Get("q"), Error: problem, Say: textPickStart}
	var users []directory.User
	if strings.TrimSpace(out.Query) != "" {
		found, err := p.c.Directory.List(r.Context(), v.caller, out.Query, directory.Query{Page: page.Request{Limit: pickLimit}})
		if err != nil {
			return out, err
		}
		users, out.Say = found.Items, textPickNone
	}
	chosen, _ := id.Parse[id.KindUser](form.Get("user"))
	if chosen != "" && !slices.ContainsFunc(users, func(u directory.User) bool { return u.ID == chosen }) {
		u, _, err := p.c.Directory.Find(r.Context(), v.caller, chosen)
		if _, isFault := fault.As(err); err != nil && !isFault {
			return out, err
		}
		if err == nil {
			users = slices.Insert(users, 0, u)
		}
	}
	for _, u := range users {
		out.Found = append(out.Found, choice{Name: "user", Value: string(u.ID), Label: u.Name(), Help: u.Email, Checked: u.ID == chosen})
	}
	return out, nil
}

func (p *Panel) addAdministrator(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	if form.Get("user") == "" {
		f := fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "user", Message: textPickMissing})
		return p.showNewAdministrator(w, r, v, form, f, false)
	}
	user, ok := id.Parse[id.KindUser](form.Get("user"))
	if !ok {
		user = "" // the room says of it what it says of everybody who is not there
	}
	preset, names := granted(form)
	s, err := p.c.SignIn.AddAdministrator(r.Context(), v.caller, signin.NewAdministrator{User: user, Permissions: names, Preset: preset, Owner: form.Has("owner")})
	if f, ok := isFormFault(err); ok {
		return p.showNewAdministrator(w, r, v, form, f, false)
	}
	if needsStepUp(err) {
		return p.showNewAdministrator(w, r, v, form, nil, true)
	}
	return p.done(w, r, err, "administrator_added", administratorPath(s.ID))
}
