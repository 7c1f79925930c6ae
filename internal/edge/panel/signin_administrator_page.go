package panel

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/a-h/templ"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// administratorView is an administrator's page.
type administratorView struct {
	Shell      shell
	Name       string
	Initials   string
	Role       string
	Email      string
	States     []badge
	Since      moment
	LastActive moment
	Refresh    string
	User       string // "" if the person may not read users
	Remove     string // "" if the person may not
	CanChange  bool
	Action     string
	Revision   string
	Notice     notice // shown if it has a title
	Summary    summary
	Grant      grantView
	Held       []string // instead of the form
	Passkeys   []passkeyRow
	NoPasskeys empty
	Sessions   []sessionRow
	NoSessions empty
	EndAll     string // "" if the person may not, or there is none
	Confirm    bool   // a fresh passkey is asked for
}

// passkeyRow is a passkey in a list. What is "" is not offered.
type passkeyRow struct {
	ID       string
	Name     string
	State    badge
	Added    moment
	LastUsed moment
	Confirm  string
	Remove   string
	Rename   string
	Label    string // of the input that renames it
}

// sessionRow is an open session in a list.
type sessionRow struct {
	Browser  string
	Agent    string
	IP       string
	Opens    string
	How      string
	LastSeen moment
	Current  bool
	End      string
}

// findAdministrator returns the administrator of the request's path.
func (p *Panel) findAdministrator(r *http.Request, v visit) (signin.Seat, error) {
	a, _ := id.Parse[id.KindAdministrator](r.PathValue("id")) // what is none is not found
	return p.c.SignIn.FindAdministrator(r.Context(), v.caller, a)
}

func (p *Panel) administrator(w http.ResponseWriter, r *http.Request, v visit) error {
	s, err := p.findAdministrator(r, v)
	if err != nil {
		return err
	}
	view := p.administratorView(v, s, grantForm(s.Administrator), "")
	return p.showAdministrator(w, r, v, s, http.StatusOK, view)
}

func (p *Panel) administratorView(v visit, s signin.Seat, form url.Values, problem string) administratorView {
	path := administratorPath(s.ID)
	view := administratorView{
		Shell: p.shell(v, s.Person.Name, crumb{Name: textNavWorkspace}, crumb{Name: textAdministrators, Path: administratorsPath}),
		Name:  s.Person.Name, Initials: initials(s.Person.Name), Role: roleText(s.Administrator), Email: s.Person.Email, States: administratorStates(s),
		Since: v.moment(s.CreatedAt), LastActive: v.moment(s.LastActivityAt), Refresh: path, CanChange: v.canChange(s),
		Action: path, Revision: strconv.FormatInt(s.Revision, 10), Grant: v.grantView(form, problem),
		NoPasskeys: empty{Icon: "fingerprint", Title: textPasskeysNone, Text: textPasskeysNoneOf},
		NoSessions: empty{Icon: "device-desktop", Title: textSessionsNone, Text: textSessionsNoneOf},
	}
	if v.can(auth.UsersRead) {
		view.User = userPath(s.User)
	}
	if view.CanChange && s.User != v.caller.User {
		view.Remove = path + "/remove"
	}
	view.Held = permissionLabels(s.May())
	return view
}

func permissionLabels(all auth.Permissions) []string {
	var out []string
	for _, permission := range permissionOrder() {
		if all.Has(permission) {
			label, _ := permissionLabel(permission)
			out = append(out, label)
		}
	}
	return out
}

// showAdministrator fills in passkeys and sessions and shows the page.
func (p *Panel) showAdministrator(w http.ResponseWriter, r *http.Request, v visit, s signin.Seat, status int, view administratorView) error {
	keys, err := p.c.SignIn.Passkeys(r.Context(), v.caller, s.ID)
	if err != nil {
		return err
	}
	sessions, err := p.c.SignIn.Sessions(r.Context(), v.caller, s.ID)
	if err != nil {
		return err
	}
	path, may, self := administratorPath(s.ID), v.canLookAfter(s), s.User == v.caller.User
	for _, k := range keys {
		row := passkeyRow{ID: string(k.ID), Name: k.Name, State: passkeyBadge(k), Added: v.moment(k.CreatedAt), LastUsed: v.moment(k.LastUsedAt)}
		if may && !self {
			row.Remove = path + "/passkeys/" + string(k.ID) + "/remove"
			if k.ConfirmedAt.IsZero() {
				row.Confirm = path + "/passkeys/" + string(k.ID) + "/confirm"
			}
		}
		view.Passkeys = append(view.Passkeys, row)
	}
	for _, session := range sessions {
		row := newSessionRow(v, session)
		if may {
			row.End = path + "/sessions/" + string(session.ID) + "/end"
		}
		view.Sessions = append(view.Sessions, row)
	}
	if may && len(sessions) > 1 {
		view.EndAll = path + "/sessions/end"
	}
	return p.show(w, r, status, administratorTemplate(view))
}

func newSessionRow(v visit, s signin.Session) sessionRow {
	return sessionRow{
		Browser: browserText(s.Agent), Agent: s.Agent, IP: s.IP, Opens: scopeText(s.Scope), How: openedByText(s.OpenedBy), LastSeen: v.moment(s.LastSeenAt),
		Current: s.ID == v.caller.Session && s.ID != "",
	}
}

func (p *Panel) changeAdministrator(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	a, _ := id.Parse[id.KindAdministrator](r.PathValue("id")) // what is none is not found
	revision, err := strconv.ParseInt(form.Get("revision"), 10, 64)
	if err != nil {
		return fault.Invalid("invalid_form", textFormUnreadable).Because(err)
	}
	preset, names := granted(form)
	c := signin.AdministratorChange{Preset: preset}
	if preset == "" {
		c.Permissions = &names
	}
	if v.account.Standing.Owner {
		c.Owner = new(form.Has("owner")) // nobody else is shown the box
	}
	_, err = p.c.SignIn.ChangeAdministrator(r.Context(), v.caller, a, c, revision)
	f, isFault := fault.As(err)
	if err == nil || !isFault || f.Kind == fault.KindForbidden && !needsStepUp(err) || f.Kind == fault.KindNotFound {
		return p.done(w, r, err, "administrator_saved", administratorPath(a))
	}
	s, err := p.c.SignIn.FindAdministrator(r.Context(), v.caller, a)
	if err != nil {
		return err
	}
	status := http.StatusUnprocessableEntity
	view := p.administratorView(v, s, form, "")
	switch {
	case f.Code == stepUpCode:
		status, view.Confirm = http.StatusForbidden, true
	case f.Kind == fault.KindPrecondition:
		view = p.administratorView(v, s, grantForm(s.Administrator), "")
		view.Notice = notice{Tone: "danger", Icon: "alert-triangle", Title: textAdministratorChanged, Text: textAdministratorAgain}
	default:
		view.Summary, _ = wrong(f, "preset", "permissions")
	}
	return p.showAdministrator(w, r, v, s, status, view)
}

func (p *Panel) removeAdministrator(w http.ResponseWriter, r *http.Request, v visit) error {
	s, err := p.findAdministrator(r, v)
	if err != nil {
		return err
	}
	var left []signin.LeftKey
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.administratorShell(v, s, textRemoveAdministrator), Heading: textRemoveAdministrator, Lead: removeAdministratorText(s.Person.Name, s.Person.Email),
			Points: []string{textRemoveEnds, textRemoveStays, textRemoveKeys}, Action: administratorPath(s.ID) + "/remove",
			Button: textRemoveAdministrator, Danger: true, Cancel: administratorPath(s.ID),
		},
		do: func() (string, error) {
			left, err = p.c.SignIn.RemoveAdministrator(r.Context(), v.caller, s.ID)
			return "administrator_removed", err
		},
		then: administratorsPath,
		page: func() templ.Component {
			if len(left) == 0 {
				return nil
			}
			return leftTemplate(p.leftView(v, left))
		},
	})
}

// administratorShell is the shell of a page about an administrator.
func (p *Panel) administratorShell(v visit, s signin.Seat, title string) shell {
	return p.shell(v, title, crumb{Name: textNavWorkspace}, crumb{Name: textAdministrators, Path: administratorsPath}, crumb{Name: s.Person.Name, Path: administratorPath(s.ID)})
}

// leftView says what goes on working of somebody who was removed.
type leftView struct {
	Shell shell
	Keys  []keyLink
	Path  string // of the API keys, "" if the person may not see them
}

func (p *Panel) leftView(v visit, left []signin.LeftKey) leftView {
	view := leftView{Shell: p.shell(v, textRemovedTitle, crumb{Name: textNavWorkspace}, crumb{Name: textAdministrators, Path: administratorsPath})}
	for _, k := range left {
		link := keyLink{Name: k.Name}
		if v.can(auth.APIKeysRead) {
			link.Path, view.Path = apiKeyPath(k.ID), apiKeysLeftPath()
		}
		view.Keys = append(view.Keys, link)
	}
	return view
}

// findPasskey returns the administrator and the passkey of the request's path.
func (p *Panel) findPasskey(r *http.Request, v visit) (signin.Seat, signin.Passkey, error) {
	s, err := p.findAdministrator(r, v)
	if err != nil {
		return s, signin.Passkey{}, err
	}
	keys, err := p.c.SignIn.Passkeys(r.Context(), v.caller, s.ID)
	if err != nil {
		return s, signin.Passkey{}, err
	}
	for _, k := range keys {
		if string(k.ID) == r.PathValue("passkey") {
			return s, k, nil
		}
	}
	return s, signin.Passkey{}, unknownPasskey()
}

// unknownPasskey is the room's answer for a passkey that is not there.
func unknownPasskey() *fault.Error {
	return fault.NotFound("passkey_not_found", "This passkey does not exist.")
}

func (v visit) passkeyFacts(holder string, k signin.Passkey) []detail {
	return []detail{
		{Label: textHolder, Value: holder},
		{Label: fieldLabel("name"), Value: k.Name},
		{Label: textColumnAdded, Time: v.moment(k.CreatedAt)},
		{Label: textColumnLastUsed, Time: v.moment(k.LastUsedAt), Value: textNever},
	}
}

func (p *Panel) confirmPasskey(w http.ResponseWriter, r *http.Request, v visit) error {
	s, k, err := p.findPasskey(r, v)
	if err != nil {
		return err
	}
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.administratorShell(v, s, textConfirmPasskeyTitle), Heading: textConfirmPasskeyTitle, Lead: textConfirmPasskeyLead, Points: []string{textConfirmPasskeyAsk},
			Facts: v.passkeyFacts(s.Person.Name, k), Action: administratorPath(s.ID) + "/passkeys/" + string(k.ID) + "/confirm",
			Button: textConfirmPasskeyTitle, Cancel: administratorPath(s.ID),
		},
		do: func() (string, error) {
			_, err := p.c.SignIn.ConfirmPasskey(r.Context(), v.caller, s.ID, k.ID)
			return "passkey_confirmed", err
		},
		then: administratorPath(s.ID),
	})
}

func (p *Panel) removePasskey(w http.ResponseWriter, r *http.Request, v visit) error {
	s, k, err := p.findPasskey(r, v)
	if err != nil {
		return err
	}
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.administratorShell(v, s, textRemovePasskeyTitle), Heading: textRemovePasskeyTitle, Lead: textRemovePasskeyLead, Points: []string{textRemovePasskeyEnds},
			Facts: v.passkeyFacts(s.Person.Name, k), Action: administratorPath(s.ID) + "/passkeys/" + string(k.ID) + "/remove",
			Button: textRemovePasskeyTitle, Danger: true, Cancel: administratorPath(s.ID),
		},
		do: func() (string, error) {
			return "passkey_removed", p.c.SignIn.RemovePasskey(r.Context(), v.caller, s.ID, k.ID)
		},
		then: administratorPath(s.ID),
	})
}

func (p *Panel) endSession(w http.ResponseWriter, r *http.Request, v visit) error {
	a, _ := id.Parse[id.KindAdministrator](r.PathValue("id"))      // what is none is not found
	session, _ := id.Parse[id.KindSession](r.PathValue("session")) // likewise
	return p.done(w, r, p.c.SignIn.EndSession(r.Context(), v.caller, a, session), "session_ended", administratorPath(a))
}

func (p *Panel) endSessions(w http.ResponseWriter, r *http.Request, v visit) error {
	a, _ := id.Parse[id.KindAdministrator](r.PathValue("id")) // what is none is not found
	_, err := p.c.SignIn.EndSessions(r.Context(), v.caller, a)
	return p.done(w, r, err, "sessions_ended", administratorPath(a))
}
