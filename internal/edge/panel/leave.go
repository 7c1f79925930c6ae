package panel

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// leaveView is the page that asks before a user is suspended or deleted.
type leaveView struct {
	Shell    shell
	Heading  string
	Lead     string
	Effects  []string
	Left     []string // what goes on working
	LeftLead string
	Keys     []keyLink // API keys that go on working
	Disable  choice    // offered if it has a name
	Notice   notice    // shown if it has a title
	Summary  summary
	Confirm  field // to be typed, if it has a name
	Phrase   string
	Revision string
	Action   string
	Do       string
	Cancel   string
	StepUp   bool
}

// registerLeave is the route registration of how users are suspended and go.
func (p *Panel) registerLeave(mux *http.ServeMux) {
	mux.Handle("GET /users/{id}/suspend", p.form(auth.UsersWrite, p.askSuspend))
	mux.Handle("POST /users/{id}/suspend", p.signed(p.suspend))
	mux.Handle("POST /users/{id}/activate", p.signed(p.activate))
	mux.Handle("POST /users/{id}/invite", p.signed(p.invite))
	mux.Handle("GET /users/{id}/delete", p.form(auth.UsersWrite, p.askDelete))
	mux.Handle("POST /users/{id}/delete", p.signed(p.delete))
	mux.Handle("GET /users/bulk", p.form(auth.UsersWrite, p.askMany))
	mux.Handle("POST /users/bulk", p.signed(p.many))
}

// isRuleFault says whether an error is shown in the page that asked, and with which
// status: what breaks a rule, and what is beyond the person's permissions.
func isRuleFault(err error) (*fault.Error, int, bool) {
	if f, ok := isFormFault(err); ok {
		return f, http.StatusUnprocessableEntity, true
	}
	f, ok := fault.As(err)
	return f, http.StatusForbidden, ok && f.Kind == fault.KindForbidden && f.Code != stepUpCode
}

func (p *Panel) askSuspend(w http.ResponseWriter, r *http.Request, v visit) error {
	ties, err := p.c.Leave.FindTies(r.Context(), v.caller, userID(r))
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, leaveTemplate(p.suspendView(v, ties, nil)))
}

func (p *Panel) suspendView(v visit, ties leave.Ties, form url.Values) leaveView {
	u := ties.User
	view := leaveView{
		Shell:   p.shell(v, textUsersSuspend, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: u.Name(), Path: userPath(u.ID)}),
		Heading: "Suspend " + u.Name() + "?", Lead: textLeaveSuspendLead, Effects: []string{textLeaveNothing, sessionsText(ties.Sessions), textLeaveBack},
		LeftLead: textLeaveLeft, Left: append(leftOf(ties.Left), unconfirmedTexts(v, ties.Left)...), Keys: keyLinks(v, ties.Left),
		Action: userPath(u.ID) + "/suspend", Do: textLeaveSuspendDo, Cancel: userPath(u.ID),
	}
	if ties.DigitalKeys > 0 {
		view.Effects = append(view.Effects, endsDigitalKeysText(ties.DigitalKeys))
	}
	if ties.Left.Count > 0 && v.can(auth.APIKeysWrite) {
		view.Disable = choice{Name: "disable_created_api_keys", Value: "on", Label: textLeaveKeys, Help: textLeaveKeysHelp, Checked: form.Has("disable_created_api_keys")}
	}
	return view
}

// leftOf says what goes on working of somebody.
func leftOf(l leave.Left) []string {
	if l.Count == 0 {
		return []string{textLeftWebsites}
	}
	return []string{textLeftWebsites, leftText(l.Count)}
}

func keyLinks(v visit, l leave.Left) []keyLink {
	var out []keyLink
	for _, k := range l.APIKeys {
		out = append(out, v.keyLink(k))
	}
	return out
}

func (p *Panel) suspend(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	user := userID(r)
	done, cause := p.c.Leave.Suspend(r.Context(), v.caller, user, leave.Options{DisableCreatedAPIKeys: form.Has("disable_created_api_keys")})
	if cause == nil && len(unconfirmedTexts(v, done.Left)) > 0 {
		return p.show(w, r, http.StatusOK, doorsLeftTemplate(p.doorsLeft(v, done)))
	}
	if cause == nil {
		p.setFlash(w, "user_suspended")
		redirect(w, r, userPath(user))
		return nil
	}
	f, status, shown := isRuleFault(cause)
	if !shown && !needsStepUp(cause) {
		return cause
	}
	ties, err := p.c.Leave.FindTies(r.Context(), v.caller, user)
	if err != nil {
		return err
	}
	view := p.suspendView(v, ties, form)
	if view.StepUp = !shown; shown {
		view.Summary, _ = wrong(f)
	}
	return p.show(w, r, status, leaveTemplate(view))
}

// doorsLeft says which doors have not confirmed that a suspended user's keys are gone.
func (p *Panel) doorsLeft(v visit, done leave.Outcome) doorsLeftView {
	u := done.User
	return doorsLeftView{
		Shell:   p.shell(v, textUsersSuspend, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: u.Name(), Path: userPath(u.ID)}),
		Heading: suspendedUserText(u.Name()), Lead: endedDigitalKeysText(done.DigitalKeys), Doors: unconfirmedTexts(v, done.Left), Path: userPath(u.ID),
	}
}

// doorsLeftView is the page after an act that some doors have not heard of.
type doorsLeftView struct {
	Shell   shell
	Heading string
	Lead    string
	Doors   []string
	Path    string
}

func (p *Panel) activate(w http.ResponseWriter, r *http.Request, v visit) error {
	user := userID(r)
	if _, err := p.c.Leave.Activate(r.Context(), v.caller, user); err != nil {
		return err
	}
	p.setFlash(w, "user_activated")
	redirect(w, r, userPath(user))
	return nil
}

func (p *Panel) invite(w http.ResponseWriter, r *http.Request, v visit) error {
	u, err := p.c.Directory.Invite(r.Context(), v.caller, userID(r))
	if err != nil {
		return err
	}
	p.setFlash(w, "user_invited")
	redirect(w, r, userPath(u.ID))
	return nil
}

func (p *Panel) askDelete(w http.ResponseWriter, r *http.Request, v visit) error {
	ties, err := p.c.Leave.FindTies(r.Context(), v.caller, userID(r))
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, leaveTemplate(p.deleteView(v, ties)))
}

func (p *Panel) deleteView(v visit, ties leave.Ties) leaveView {
	u := ties.User
	view := leaveView{
		Shell:   p.shell(v, textUsersDelete, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: u.Name(), Path: userPath(u.ID)}),
		Heading: "Delete " + u.Name() + "?", Lead: textLeaveDeleteLead, Effects: []string{textLeaveDeleteUser},
		LeftLead: textLeaveLeft, Left: []string{textLeaveDeleteRecord, textLeftWebsites}, Keys: keyLinks(v, ties.Left),
		Confirm: confirmField(""), Phrase: u.Name(), Revision: strconv.FormatInt(u.Revision, 10),
		Action: userPath(u.ID) + "/delete", Do: textLeaveDeleteDo, Cancel: userPath(u.ID),
	}
	if ties.SecurityKeys > 0 {
		view.Effects = append(view.Effects, keysGoText(ties.SecurityKeys))
	}
	if ties.DigitalKeys > 0 {
		view.Effects = append(view.Effects, deletesDigitalKeysText(ties.DigitalKeys))
	}
	if ties.Administrator {
		view.Effects = append(view.Effects, textLeaveDeleteAdmin)
	}
	if ties.Left.Count > 0 {
		view.Left = append(view.Left, textLeaveDeleteKeys)
	}
	return view
}

// confirmField is where the name of what goes is typed.
func confirmField(typed string) field {
	return field{Name: "confirm", Label: textLeaveType, Value: typed, Type: "text", Autocomplete: "off", Required: true, Wide: true, MaxLength: 400}
}

// isTyped says whether somebody typed the phrase.
func isTyped(typed, phrase string) bool {
	return strings.Join(strings.Fields(directory.Fold(typed)), " ") == strings.Join(strings.Fields(directory.Fold(phrase)), " ")
}

// typeAgain is the fault for another phrase than the one asked for.
func typeAgain() *fault.Error {
	return fault.Invalid("not_confirmed", textLeaveWrong, fault.Field{Name: "confirm", Message: textLeaveTypeWrong})
}

func (p *Panel) delete(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	user := userID(r)
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	ties, err := p.c.Leave.FindTies(r.Context(), v.caller, user)
	if err != nil {
		return err
	}
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), ties.User.Name()) {
		cause = p.c.Leave.Delete(r.Context(), v.caller, user, revision)
	}
	if cause == nil {
		p.setFlash(w, "user_deleted")
		redirect(w, r, "/users")
		return nil
	}
	view := p.deleteView(v, ties)
	view.Confirm = confirmField(form.Get("confirm"))
	f, status, shown := isRuleFault(cause)
	switch {
	case shown:
		var texts map[string]string
		view.Summary, texts = wrong(f, "confirm")
		view.Confirm.Error = texts["confirm"]
	case needsStepUp(cause):
		view.StepUp = true
	case f != nil && f.Kind == fault.KindPrecondition:
		status = http.StatusUnprocessableEntity
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textUserChanged, Text: textLeaveWrong}
	default:
		return cause
	}
	return p.show(w, r, status, leaveTemplate(view))
}
