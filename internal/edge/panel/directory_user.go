package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// userView is a user's page. One of Details and Activities is shown.
type userView struct {
	Shell      shell
	Name       string
	Initials   string
	Status     badge
	Email      string
	UserID     string
	Created    moment
	Refresh    string
	Edit       string // "" if the person may not
	Tabs       []tab
	Tab        string
	Details    []detail
	Groups     []string
	Activities []activityRow
	Columns    []column
	Empty      empty
	Pages      pager
}

type tab struct {
	Name    string
	Path    string
	Icon    string
	Current bool
}

// detail is one line of what is stored of a user.
type detail struct {
	Label string
	Value string
	Time  moment // instead of Value, if it is set
}

const (
	tabDetails    = "details"
	tabActivities = "activities"
)

func userPath(u id.User) string { return "/users/" + string(u) }

// unknownUser is the directory's answer for a user who is not there, for ids that
// cannot be one.
func unknownUser() *fault.Error {
	return fault.NotFound("user_not_found", "This user does not exist.")
}

func (p *Panel) findUser(r *http.Request, v visit) (directory.User, []directory.Group, error) {
	user, ok := id.Parse[id.KindUser](r.PathValue("id"))
	if !ok {
		return directory.User{}, nil, unknownUser()
	}
	return p.c.Directory.Find(r.Context(), v.caller, user)
}

func (p *Panel) user(w http.ResponseWriter, r *http.Request, v visit) error {
	u, groups, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	view := userView{
		Shell: p.shell(v, u.Name(), crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}),
		Name:  u.Name(), Initials: initials(u.Name()), Status: statusBadge(u.Shown()), Email: u.Email, UserID: u.UserID,
		Created: v.moment(u.CreatedAt), Refresh: v.path, Tab: tabDetails,
	}
	if v.can(auth.UsersWrite) {
		view.Edit = userPath(u.ID) + "/edit"
	}
	if r.URL.Query().Get("tab") == tabActivities {
		view.Tab = tabActivities
		if err := p.fillActivities(r, v, u, &view); err != nil {
			return restartTab(w, r, err)
		}
	} else {
		view.Details = details(v, u)
		for _, g := range groups {
			view.Groups = append(view.Groups, g.Name)
		}
	}
	view.Tabs = []tab{{Name: textTabDetails, Path: userPath(u.ID), Icon: "id", Current: view.Tab == tabDetails}}
	if v.can(auth.ActivitiesRead) {
		view.Tabs = append(view.Tabs, tab{Name: textTabActivities, Path: userPath(u.ID) + "?tab=" + tabActivities, Icon: "history", Current: view.Tab == tabActivities})
	}
	return p.show(w, r, http.StatusOK, userTemplate(view))
}

func details(v visit, u directory.User) []detail {
	auditable := textNo
	if u.Auditable {
		auditable = textYes
	}
	return []detail{
		{Label: fieldLabel("first_name"), Value: u.FirstName},
		{Label: fieldLabel("last_name"), Value: u.LastName},
		{Label: fieldLabel("email"), Value: u.Email},
		{Label: fieldLabel("user_id"), Value: u.UserID},
		{Label: fieldLabel("phone"), Value: u.Phone},
		{Label: fieldLabel("employee_id"), Value: u.EmployeeID},
		{Label: fieldLabel("language"), Value: u.Language},
		{Label: fieldLabel("timezone"), Value: u.Timezone},
		{Label: fieldLabel("auditable"), Value: auditable},
		{Label: textColumnStatus, Value: statusBadge(u.Shown()).Word},
		{Label: textColumnCreated, Time: v.moment(u.CreatedAt)},
		{Label: textColumnLastActive, Time: v.moment(u.LastActivityAt), Value: textNever},
	}
}

func (p *Panel) fillActivities(r *http.Request, v visit, u directory.User, view *userView) error {
	l, err := p.readList(r, v, nil, "tab")
	if err != nil {
		return err
	}
	l.page.Descending = true
	found, err := p.c.Record.List(r.Context(), v.caller, activity.Query{User: u.ID, Page: l.page})
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		view.Activities = append(view.Activities, newActivityRow(v, e, string(u.ID)))
	}
	view.Columns = activityColumns(false)
	view.Empty = empty{Icon: "history", Title: textActivitiesNone, Text: textActivitiesNoneFor}
	view.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return err
}

// restartTab sends back to the first activities when the cursor does not fit.
func restartTab(w http.ResponseWriter, r *http.Request, err error) error {
	return restart(w, r, list{path: r.URL.Path, params: map[string][]string{"tab": {tabActivities}}}, err)
}
