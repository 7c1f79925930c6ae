package panel

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// The steps of the wizard for a new user. What was entered travels in the form:
// nothing is kept on the server before the last step.
const (
	stepInfo   = "info"
	stepGroups = "groups"
	stepReview = "review"
	stepCreate = "create" // the end
)

// wizardView is one step of the wizard.
type wizardView struct {
	Shell   shell
	Step    string
	Steps   []wizardStep
	Next    string // where the main button leads
	Save    string // what it says
	Enter   string // where the Enter key leads
	Back    string // "" on the first step
	Kept    []choice
	Form    userFormView // the first step's fields
	Search  string
	Chosen  []choice
	Offered []choice
	More    bool
	NoGroup bool // there are no groups but Everyone
	Review  []detail
	Names   []string // of the chosen groups
	Invite  choice
	Summary summary
}

// wizardStep is a line of the list of steps.
type wizardStep struct {
	Name    string
	Value   string
	Number  string
	Done    bool
	Past    bool // nothing leads back to it
	Current bool
}

// wizardFields are the fields of the first step that travel through the others.
func wizardFields() []string {
	return []string{"first_name", "last_name", "email", "user_id", "phone", "employee_id", "language", "timezone", "auditable"}
}

func (p *Panel) newUser(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showWizard(w, r, v, newUserForm(), stepInfo, nil)
}

// wizard goes to the step that was pressed, but not past a step whose fields are
// wrong.
func (p *Panel) wizard(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	to := form.Get("to")
	if !slices.Contains([]string{stepInfo, stepGroups, stepReview, stepCreate}, to) {
		return fault.Invalid("invalid_form", textFormUnreadable)
	}
	n := newUserOf(form)
	if f := n.Check(); f != nil && to != stepInfo {
		return p.showWizard(w, r, v, form, stepInfo, f)
	}
	if to != stepCreate {
		return p.showWizard(w, r, v, form, to, nil)
	}
	u, err := p.c.Directory.Create(r.Context(), v.caller, n)
	if f, ok := isFormFault(err); ok {
		return p.showWizard(w, r, v, form, stepOf(f), f)
	}
	if err != nil {
		return err
	}
	code := "user_created"
	if n.Invite {
		code = "user_created_invited"
	}
	p.setFlash(w, code)
	redirect(w, r, userPath(u.ID))
	return nil
}

// stepOf returns the step on which a fault is mended.
func stepOf(f *fault.Error) string {
	if len(f.Fields) > 0 && f.Fields[0].Name == "groups" {
		return stepGroups
	}
	return stepInfo
}

func newUserOf(form url.Values) directory.NewUser {
	n := directory.NewUser{
		UserID: form.Get("user_id"), Email: form.Get("email"), FirstName: form.Get("first_name"), LastName: form.Get("last_name"),
		Phone: form.Get("phone"), EmployeeID: form.Get("employee_id"), Language: form.Get("language"), Timezone: form.Get("timezone"),
		Auditable: new(form.Has("auditable")), Invite: form.Has("invite"),
	}
	for _, text := range form["groups"] {
		if g, ok := id.Parse[id.KindGroup](text); ok && !slices.Contains(n.Groups, g) {
			n.Groups = append(n.Groups, g)
		}
	}
	return n
}

func (p *Panel) showWizard(w http.ResponseWriter, r *http.Request, v visit, form url.Values, step string, f *fault.Error) error {
	view := wizardView{
		Shell: p.shell(v, textNewUserTitle, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}), Step: step, Steps: wizardSteps(step),
	}
	if f != nil {
		view.Summary, _ = wrong(f, append(wizardFields(), "groups")...)
	}
	var err error
	switch step {
	case stepInfo:
		view.Next, view.Save = stepGroups, textWizardNext
		view.Form.fill(form, f, nil)
		view.keep(form, "groups", "invite")
	case stepGroups:
		view.Next, view.Save, view.Back = stepReview, textWizardNext, stepInfo
		view.keep(form, append(wizardFields(), "invite")...)
		err = p.offerGroups(r.Context(), v, form, &view)
	case stepReview:
		view.Next, view.Save, view.Back = stepCreate, textWizardCreate, stepGroups
		view.keep(form, append(wizardFields(), "groups")...)
		view.Invite = choice{Name: "invite", Value: "on", Label: textWizardInvite, Help: textWizardInvited, Checked: form.Has("invite")}
		err = p.review(r.Context(), v, form, &view)
	}
	if err != nil {
		return err
	}
	if view.Enter = view.Next; step == stepGroups {
		view.Enter = stepGroups // the one field there is a search
	}
	return p.show(w, r, formStatus(f), wizardTemplate(view))
}

func wizardSteps(current string) []wizardStep {
	return markSteps(current, []wizardStep{
		{Name: textWizardInfo, Value: stepInfo, Number: "1"},
		{Name: textWizardGroups, Value: stepGroups, Number: "2"},
		{Name: textWizardReview, Value: stepReview, Number: "3"},
	})
}

// markSteps says which of the steps is shown and which are done.
func markSteps(current string, steps []wizardStep) []wizardStep {
	for i := range steps {
		if steps[i].Value == current {
			steps[i].Current = true
			break
		}
		steps[i].Done = true
	}
	return steps
}

// keep carries fields of other steps along.
func (view *wizardView) keep(form url.Values, names ...string) {
	for _, name := range names {
		for _, value := range form[name] {
			view.Kept = append(view.Kept, choice{Name: name, Value: value})
		}
	}
}

// chosenGroups returns the groups that the form names, as far as they are there.
func (p *Panel) chosenGroups(ctx context.Context, v visit, form url.Values) ([]directory.Group, error) {
	var out []directory.Group
	for _, g := range newUserOf(form).Groups[:min(len(newUserOf(form).Groups), page.MaxLimit)] {
		group, err := p.c.Directory.FindGroup(ctx, v.caller, g)
		if f, ok := fault.As(err); ok && f.Kind == fault.KindNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, group)
	}
	return out, nil
}

// offerGroups fills the second step: the chosen groups, and others that a search
// finds.
func (p *Panel) offerGroups(ctx context.Context, v visit, form url.Values, view *wizardView) error {
	chosen, err := p.chosenGroups(ctx, v, form)
	if err != nil {
		return err
	}
	view.Search = form.Get("find")
	found, err := p.c.Directory.ListGroups(ctx, v.caller, view.Search, directory.GroupQuery{Page: page.Request{Limit: page.DefaultLimit}})
	if err != nil {
		return err
	}
	known := map[id.Group]bool{}
	for _, g := range chosen {
		known[g.ID] = true
		view.Chosen = append(view.Chosen, groupChoice(g, true))
	}
	for _, g := range found.Items {
		if !g.Builtin && !known[g.ID] {
			view.Offered = append(view.Offered, groupChoice(g, false))
		}
	}
	view.More = !found.Next.IsZero()
	view.NoGroup = len(view.Chosen) == 0 && len(view.Offered) == 0 && view.Search == ""
	return nil
}

func groupChoice(g directory.Group, checked bool) choice {
	return choice{Name: "groups", Value: string(g.ID), Label: g.Name, Help: g.Description, Checked: checked}
}

// review fills the last step: what will be created.
func (p *Panel) review(ctx context.Context, v visit, form url.Values, view *wizardView) error {
	chosen, err := p.chosenGroups(ctx, v, form)
	if err != nil {
		return err
	}
	for _, g := range chosen {
		view.Names = append(view.Names, g.Name)
	}
	for _, name := range wizardFields() {
		d := detail{Label: fieldLabel(name), Value: form.Get(name)}
		switch {
		case name == "auditable" && form.Has(name):
			d.Value = textYes
		case name == "auditable":
			d.Value = textNo
		case name == "user_id" && d.Value == "":
			d.Value = form.Get("email")
		}
		view.Review = append(view.Review, d)
	}
	return nil
}
