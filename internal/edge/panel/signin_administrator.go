package panel

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// administratorsView is the page Administrators.
type administratorsView struct {
	Shell     shell
	OffersNew bool // beside the title; an empty list offers it itself
	Columns   []column
	Rows      []administratorRow
	Empty     empty
	Pages     pager
}

// administratorRow is an administrator in the list.
type administratorRow struct {
	Path         string
	Name         string
	Email        string
	Initials     string
	Role         string
	Passkeys     string
	States       []badge // what needs attention
	Created      moment
	LastActivity moment
}

const administratorsPath = "/administrators"

func administratorPath(a id.Administrator) string { return administratorsPath + "/" + string(a) }

// canAppoint says whether making and changing administrators is offered.
func (v visit) canAppoint() bool { return v.account.Standing.Permissions.Covers(auth.All()) }

// canChange says whether changing that administrator is offered.
func (v visit) canChange(s signin.Seat) bool {
	return v.canAppoint() && (v.account.Standing.Owner || !s.Owner)
}

// canLookAfter says whether acts on that administrator's passkeys and sessions are
// offered.
func (v visit) canLookAfter(s signin.Seat) bool {
	return v.can(auth.AdministratorsWrite) && v.account.Standing.Permissions.Covers(s.May()) && (v.account.Standing.Owner || !s.Owner)
}

func administratorStates(s signin.Seat) []badge {
	var out []badge
	if s.Person.Suspended {
		out = append(out, badge{Word: textSuspended, Tone: "red"})
	}
	if s.Unconfirmed > 0 {
		out = append(out, badge{Word: textWaits, Tone: "amber"})
	}
	return out
}

func (p *Panel) administrators(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, signin.Sorts())
	if err != nil {
		return restart(w, r, l, err)
	}
	found, err := p.c.SignIn.Administrators(r.Context(), v.caller, l.page)
	if err != nil {
		return err
	}
	view := administratorsView{
		Shell: p.shell(v, textAdministrators, crumb{Name: textNavWorkspace}), OffersNew: v.canAppoint() && len(found.Items) > 0,
		Columns: []column{
			l.column(textColumnName, signin.SortName, ""),
			{Name: textColumnRole, Class: "kh-middle"},
			{Name: textColumnPasskeys, Class: "kh-middle"},
			l.timeColumn(textColumnCreated, signin.SortCreated, "kh-wide"),
			l.timeColumn(textColumnLastActive, signin.SortLastActivity, "kh-middle"),
		},
		Empty: empty{Icon: "user-shield", Title: textAdministratorsNone, Text: textAdministratorsHelp},
	}
	if v.canAppoint() {
		view.Empty.Action, view.Empty.Path, view.Empty.Way = textAddAdministrator, administratorsPath+"/new", wayPrimary
	}
	for _, s := range found.Items {
		view.Rows = append(view.Rows, administratorRow{
			Path: administratorPath(s.ID), Name: s.Person.Name, Email: s.Person.Email, Initials: initials(s.Person.Name), Role: roleText(s.Administrator),
			Passkeys: passkeysText(s.Passkeys), States: administratorStates(s), Created: v.moment(s.CreatedAt), LastActivity: v.moment(s.LastActivityAt),
		})
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, administratorsTemplate(view))
}

// grantView is the part of a form that says what somebody may do.
type grantView struct {
	Presets     []presetChoice
	Permissions []choice
	Error       string
	Owner       choice
	OffersOwner bool
}

// presetChoice is a preset to choose; Permissions are what it ticks.
type presetChoice struct {
	choice
	Permissions string
}

// presetCustom is the choice of no preset.
const presetCustom = "custom"

// grantForm returns the values of a form over what an administrator may do.
func grantForm(a signin.Administrator) url.Values {
	form := url.Values{"permissions": a.Permissions.Strings(), "preset": {presetCustom}}
	if preset := signin.PresetOf(a.Permissions); preset != "" {
		form.Set("preset", preset)
	}
	if a.Owner {
		form.Set("owner", "on")
	}
	return form
}

func (v visit) grantView(form url.Values, problem string) grantView {
	out := grantView{Error: problem, OffersOwner: v.account.Standing.Owner}
	out.Owner = choice{Name: "owner", Value: "on", Label: textOwner, Help: textOwnerHelp, Checked: form.Has("owner")}
	ticked := form["permissions"]
	for _, preset := range auth.Presets() {
		label, help := presetText(preset.Name)
		checked := form.Get("preset") == preset.Name
		if checked {
			ticked = preset.Permissions.Strings()
		}
		out.Presets = append(out.Presets, presetChoice{
			choice: choice{Name: "preset", Value: preset.Name, Label: label, Help: help, Checked: checked}, Permissions: preset.Permissions.Text(),
		})
	}
	custom := !slices.ContainsFunc(out.Presets, func(c presetChoice) bool { return c.Checked })
	out.Presets = append(out.Presets, presetChoice{choice: choice{Name: "preset", Value: presetCustom, Label: textCustom, Help: textCustomHelp, Checked: custom}})
	for _, permission := range permissionOrder() {
		label, help := permissionLabel(permission)
		out.Permissions = append(out.Permissions, choice{
			Name: "permissions", Value: string(permission), Label: label, Help: help, Checked: slices.Contains(ticked, string(permission)),
		})
	}
	return out
}

// granted reads what a form says that somebody may do: a preset, or names.
func granted(form url.Values) (preset string, names []string) {
	if preset := form.Get("preset"); preset != presetCustom && preset != "" {
		return preset, nil
	}
	if names := form["permissions"]; names != nil {
		return "", names
	}
	return "", []string{}
}

// registerAdministrators is the route registration of the administrators' pages.
func (p *Panel) registerAdministrators(mux *http.ServeMux) {
	mux.Handle("GET /administrators", p.signed(p.administrators))
	mux.Handle("GET /administrators/new", p.form(auth.AdministratorsWrite, p.newAdministrator))
	mux.Handle("POST /administrators", p.signed(p.addAdministrator))
	mux.Handle("GET /administrators/{id}", p.signed(p.administrator))
	mux.Handle("POST /administrators/{id}", p.signed(p.changeAdministrator))
	for _, method := range []string{"GET ", "POST "} {
		mux.Handle(method+"/administrators/{id}/remove", p.signed(p.removeAdministrator))
		mux.Handle(method+"/administrators/{id}/passkeys/{passkey}/confirm", p.signed(p.confirmPasskey))
		mux.Handle(method+"/administrators/{id}/passkeys/{passkey}/remove", p.signed(p.removePasskey))
	}
	mux.Handle("POST /administrators/{id}/sessions/{session}/end", p.signed(p.endSession))
	mux.Handle("POST /administrators/{id}/sessions/end", p.signed(p.endSessions))
}
