package panel

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// userFormView is the page that changes a user; a wizard's first step has its
// fields too.
type userFormView struct {
	Shell     shell
	Heading   string
	Action    string
	Save      string
	Cancel    string
	Revision  string
	Notice    notice // shown if it has a title
	Summary   summary
	Person    []field
	Contact   []field
	Auditable choice
}

// userInputs are the names of the form's inputs that may be at fault.
func userInputs() []string {
	return []string{"first_name", "last_name", "email", "user_id", "phone", "employee_id", "language", "timezone", "groups"}
}

// newUserForm returns the values of an empty form.
func newUserForm() url.Values { return url.Values{"auditable": {"on"}} }

// storedUserForm returns the values of a form over what is stored.
func storedUserForm(u directory.User) url.Values {
	form := url.Values{
		"first_name": {u.FirstName}, "last_name": {u.LastName}, "email": {u.Email}, "user_id": {u.UserID}, "phone": {u.Phone},
		"employee_id": {u.EmployeeID}, "language": {u.Language}, "timezone": {u.Timezone},
	}
	if u.Auditable {
		form.Set("auditable", "on")
	}
	return form
}

// fill puts the form's values into the view, with what is wrong with them and,
// if stored is set, what is stored now where that differs.
func (view *userFormView) fill(form url.Values, f *fault.Error, stored url.Values) {
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, userInputs()...)
	}
	input := func(name, kind string, length int) field {
		out := field{
			Name: name, Label: fieldLabel(name), Help: fieldHelp(name), Value: form.Get(name), Error: texts[name],
			Type: kind, Autocomplete: "off", MaxLength: length,
		}
		switch now := stored.Get(name); {
		case stored == nil || now == form.Get(name):
		case now == "":
			out.Note = textUserNowEmpty
		default:
			out.Note = textUserNowStored + now
		}
		return out
	}
	email := input("email", "email", 254)
	email.Required = true
	language, timezone := input("language", "text", 35), input("timezone", "text", 64)
	language.Suggestions, timezone.Suggestions = "languages", "timezones"
	view.Person = []field{input("first_name", "text", 100), input("last_name", "text", 100), email, input("user_id", "text", 254)}
	view.Contact = []field{input("phone", "tel", 40), input("employee_id", "text", 100), language, timezone}
	view.Auditable = choice{Name: "auditable", Value: "on", Label: textAuditable, Help: textAuditableHelp, Checked: form.Has("auditable")}
}

// formStatus is the status of a form's page: 422 if it says what is wrong.
func formStatus(f *fault.Error) int {
	if f != nil {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

func (p *Panel) editUser(w http.ResponseWriter, r *http.Request, v visit) error {
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	view := p.editUserView(v, u)
	view.fill(storedUserForm(u), nil, nil)
	return p.show(w, r, http.StatusOK, userFormTemplate(view))
}

func (p *Panel) editUserView(v visit, u directory.User) userFormView {
	return userFormView{
		Shell:   p.shell(v, textEditUserTitle, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: u.Name(), Path: userPath(u.ID)}),
		Heading: fmt.Sprintf("%s %s", textEditUserTitle, u.Name()), Action: userPath(u.ID) + "/edit", Save: textEditUserSave, Cancel: userPath(u.ID),
		Revision: strconv.FormatInt(u.Revision, 10),
	}
}

func (p *Panel) updateUser(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	user := userID(r)
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	value := func(name string) *string { return new(form.Get(name)) }
	_, err = p.c.Directory.Update(r.Context(), v.caller, user, directory.Change{
		UserID: value("user_id"), Email: value("email"), FirstName: value("first_name"), LastName: value("last_name"), Phone: value("phone"),
		EmployeeID: value("employee_id"), Language: value("language"), Timezone: value("timezone"), Auditable: new(form.Has("auditable")),
	}, revision)
	if err != nil {
		return p.refuseUpdate(w, r, v, form, err)
	}
	p.setFlash(w, "user_saved")
	redirect(w, r, userPath(user))
	return nil
}

// refuseUpdate shows the form again with what was entered. If somebody else was
// faster, it also shows what they stored and goes on from there.
func (p *Panel) refuseUpdate(w http.ResponseWriter, r *http.Request, v visit, form url.Values, cause error) error {
	f, shown := isFormFault(cause)
	changed := f != nil && f.Kind == fault.KindPrecondition
	if !shown && !changed {
		return cause
	}
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	view := p.editUserView(v, u)
	if changed {
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textUserChanged, Text: textUserChangedHelp}
		view.fill(form, nil, storedUserForm(u))
	} else {
		view.Revision = form.Get("revision")
		view.fill(form, f, nil)
	}
	return p.show(w, r, http.StatusUnprocessableEntity, userFormTemplate(view))
}
