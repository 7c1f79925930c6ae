package panel

import (
	"context"
	"net/http"
	"slices"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// userView is a user's page. One of its tabs is shown.
type userView struct {
	Shell      shell
	Path       string
	Name       string
	Initials   string
	Status     badge
	Email      string
	UserID     string
	Created    moment
	Refresh    string
	CanWrite   bool
	CanInvite  bool
	AddDevice  string // where a key is added, "" if the person may not
	Pass       string // where a temporary access pass is made, likewise
	Suspended  bool
	Since      moment   // of the suspension
	Left       []string // what goes on working of a suspended user
	LeftKeys   []keyLink
	CanDisable bool
	Tabs       []tab
	Tab        string
	Details    []detail
	Keys       []securityKeyRow
	Held       []heldRow
	Doors      []digitalKeyRow
	DoorHeads  []column
	NewKey     string // where a digital key is made, "" if the person may not
	Groups     []groupRow
	Joinable   []choice
	Activities []activityRow
	// Credentials are the passkeys that the user has at websites.
	Credentials []credentialRow
	Columns     []column
	Empty       empty
	Pages       pager
}

type tab struct {
	Name    string
	Value   string // in the address
	Path    string
	Icon    string
	Current bool
}

// detail is one line of what is stored of something.
type detail struct {
	Label string
	Value string
	Time  moment   // instead of Value, if it is set
	List  []string // instead of Value, if there is any
	Path  string   // where Value leads, "" for nowhere
	Help  string   // what else is to be said
	Code  bool     // Value is a name for programs
	Wide  bool
}

const (
	tabDetails     = "details"
	tabKeys        = "keys"
	tabGroups      = "groups"
	tabCredentials = "credentials"
	tabActivities  = "activities"
	tabDoors       = "digital-keys"
)

func userPath(u id.User) string { return "/users/" + string(u) }

func (p *Panel) findUser(r *http.Request, v visit) (directory.User, []directory.Group, error) {
	return p.c.Directory.Find(r.Context(), v.caller, userID(r))
}

func (p *Panel) user(w http.ResponseWriter, r *http.Request, v visit) error {
	u, groups, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	path := userPath(u.ID)
	view := userView{
		Shell: p.shell(v, u.Name(), crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}), Path: path,
		Name: u.Name(), Initials: initials(u.Name()), Status: statusBadge(u.Shown()), Email: u.Email, UserID: u.UserID,
		Created: v.moment(u.CreatedAt), Refresh: v.path, CanWrite: v.can(auth.UsersWrite), Suspended: u.Shown() == directory.Suspended, Details: details(v, u),
	}
	view.CanInvite = view.CanWrite && (u.Shown() == directory.NotInvited || u.Shown() == directory.Pending)
	if v.can(auth.SecurityKeysWrite) {
		view.AddDevice = addKeyPath(u.ID)
		if u.ID != v.caller.User { // nobody issues one to themselves
			view.Pass = accessPassPath(u)
		}
	}
	if err := p.fillLeft(r.Context(), v, u, &view); err != nil {
		return err
	}
	view.Tabs = v.userTabs(u, r.URL.Query().Get("tab"))
	for _, t := range view.Tabs {
		if t.Current {
			view.Tab = t.Value
		}
	}
	switch view.Tab {
	case tabActivities:
		if err := p.fillActivities(r, v, u, &view); err != nil {
			return restartTab(w, r, tabActivities, err)
		}
	case tabDoors:
		err = p.fillDoors(r.Context(), v, u, &view)
	case tabGroups:
		err = p.fillGroups(r.Context(), v, groups, &view)
	case tabCredentials:
		if err := p.fillCredentials(r, v, u, &view); err != nil {
			return restartTab(w, r, tabCredentials, err)
		}
	default:
		err = p.fillKeys(r.Context(), v, u, &view)
	}
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, userTemplate(view))
}

// userTabs are the sections of a user's page that the person may see. Without another
// choice the first is shown.
func (v visit) userTabs(u directory.User, chosen string) []tab {
	var out []tab
	add := func(name, value, icon string, may bool) {
		if may {
			out = append(out, tab{Name: name, Value: value, Path: userPath(u.ID) + "?tab=" + value, Icon: icon, Current: value == chosen})
		}
	}
	add(textNavSecurityKeys, tabKeys, "key", v.can(auth.SecurityKeysRead))
	add(textUserTabGroups, tabGroups, "users-group", true)
	add(textUserTabCredentials, tabCredentials, "fingerprint", v.can(auth.SecurityKeysRead))
	add(textTabActivities, tabActivities, "history", v.can(auth.ActivitiesRead))
	add(textUserTabDoors, tabDoors, "door", v.can(auth.DigitalKeysRead))
	out[0].Path = userPath(u.ID)
	if !slices.ContainsFunc(out, func(t tab) bool { return t.Current }) {
		out[0].Current = true
	}
	return out
}

// fillLeft says what goes on working of a suspended user.
func (p *Panel) fillLeft(ctx context.Context, v visit, u directory.User, view *userView) error {
	if !view.Suspended {
		return nil
	}
	ties, err := p.c.Leave.FindTies(ctx, v.caller, u.ID)
	if err != nil {
		return err
	}
	view.Since, view.Left, view.LeftKeys = v.moment(u.SuspendedAt), leftOf(ties.Left), keyLinks(v, ties.Left)
	view.Left = append(view.Left, unconfirmedTexts(v, ties.Left)...)
	view.CanDisable = ties.Left.Count > 0 && view.CanWrite && v.can(auth.APIKeysWrite)
	return nil
}

// fillGroups shows the user's groups and offers the others.
func (p *Panel) fillGroups(ctx context.Context, v visit, groups []directory.Group, view *userView) error {
	in := map[string]bool{}
	for _, g := range groups {
		view.Groups = append(view.Groups, newGroupRow(v, g))
		in[string(g.ID)] = true
	}
	if !view.CanWrite {
		return nil
	}
	all, _, err := p.groupChoices(ctx, v, "")
	view.Joinable = slices.DeleteFunc(all, func(c choice) bool { return in[c.Value] })
	return err
}

func (p *Panel) addUserToGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeUserGroup(w, r, v, p.c.Directory.AddMember, "group_joined")
}

func (p *Panel) removeUserFromGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeUserGroup(w, r, v, p.c.Directory.RemoveMember, "group_left")
}

// changeUserGroup does something to a membership from the user's page.
func (p *Panel) changeUserGroup(w http.ResponseWriter, r *http.Request, v visit,
	do func(ctx context.Context, by auth.Caller, group id.Group, user id.User) error, done string,
) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	back := userPath(userID(r)) + "?tab=" + tabGroups
	g, ok := id.Parse[id.KindGroup](form.Get("group"))
	if !ok { // none was chosen
		redirect(w, r, back)
		return nil
	}
	if err := do(r.Context(), v.caller, g, userID(r)); err != nil {
		return err
	}
	p.setFlash(w, done)
	redirect(w, r, back)
	return nil
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
	called, err := p.namesIn(r.Context(), v, true, found.Items...)
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		view.Activities = append(view.Activities, userActivityRow(v, e, u.ID, called))
	}
	view.Columns = userActivityColumns()
	view.Empty = empty{Icon: "history", Title: textActivitiesNone, Text: textActivitiesNoneFor}
	view.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return err
}

// restartTab sends back to the tab's first page when the cursor does not fit.
func restartTab(w http.ResponseWriter, r *http.Request, shown string, err error) error {
	return restart(w, r, list{path: r.URL.Path, params: map[string][]string{"tab": {shown}}}, err)
}
