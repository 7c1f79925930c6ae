package panel

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// groupsView is the page Groups.
type groupsView struct {
	Shell    shell
	Query    string
	Sort     string // the sort that the search form keeps
	CanWrite bool
	Count    string
	Columns  []column
	Rows     []groupRow
	Empty    empty
	Pages    pager
}

// groupRow is a group in a list.
type groupRow struct {
	ID          string
	Path        string
	Name        string
	Description string
	Members     string
	Builtin     bool
	Created     moment
}

// groupView is a group's page.
type groupView struct {
	Shell       shell
	Path        string
	Name        string
	Description string
	Members     string
	Created     moment
	Refresh     string
	Builtin     bool
	CanChange   bool // may, and it is not Everyone
	Query       string
	Sort        string
	Columns     []column
	Rows        []userRow
	Empty       empty
	Pages       pager
	Add         string // what was typed to find somebody to add
	Asked       bool   // something was
	Candidates  []candidate
	More        bool // more were found than are shown
}

// candidate is somebody who could be added to a group.
type candidate struct {
	personRow
	In bool // is a member
}

// groupFormView is the page that makes or changes a group.
type groupFormView struct {
	Shell    shell
	Heading  string
	Action   string
	Save     string
	Cancel   string
	Revision string // "" for a new group
	Notice   notice // shown if it has a title
	Summary  summary
	Fields   []field
}

func groupPath(g id.Group) string { return "/groups/" + string(g) }

// groupID returns the group whom the address names, as userID does.
func groupID(r *http.Request) id.Group {
	g, _ := id.Parse[id.KindGroup](r.PathValue("id"))
	return g
}

// registerGroups is the route registration of the groups' pages.
func (p *Panel) registerGroups(mux *http.ServeMux) {
	mux.Handle("GET /groups", p.signed(p.groups))
	mux.Handle("GET /groups/new", p.form(auth.UsersWrite, p.newGroup))
	mux.Handle("POST /groups", p.signed(p.createGroup))
	mux.Handle("GET /groups/{id}", p.signed(p.group))
	mux.Handle("GET /groups/{id}/edit", p.form(auth.UsersWrite, p.editGroup))
	mux.Handle("POST /groups/{id}/edit", p.signed(p.updateGroup))
	mux.Handle("GET /groups/{id}/delete", p.form(auth.UsersWrite, p.askDeleteGroup))
	mux.Handle("POST /groups/{id}/delete", p.signed(p.deleteGroup))
	mux.Handle("POST /groups/{id}/members", p.signed(p.addMember))
	mux.Handle("POST /groups/{id}/members/remove", p.signed(p.removeMember))
}

func newGroupRow(v visit, g directory.Group) groupRow {
	return groupRow{
		ID: string(g.ID), Path: groupPath(g.ID), Name: g.Name, Description: g.Description, Members: thousands(g.Members), Builtin: g.Builtin, Created: v.moment(g.CreatedAt),
	}
}

func (p *Panel) groups(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, directory.GroupSorts(), "q")
	if err != nil {
		return restart(w, r, l, err)
	}
	view := groupsView{
		Shell: p.shell(v, textGroupsTitle, crumb{Name: textNavUsers}), Query: l.params.Get("q"), Sort: l.params.Get("sort"), CanWrite: v.can(auth.UsersWrite),
		Columns: []column{
			l.column(textColumnName, directory.SortName, ""),
			{Name: textGroupMembers, Class: "kh-number"},
			l.timeColumn(textColumnCreated, directory.SortCreated, "kh-middle"),
		},
		Empty: empty{Icon: "search-off", Title: textGroupsNone, Text: textGroupsNoneHelp, Action: textGroupsClear, Path: l.url("q", "")},
	}
	l.page.WithTotal = view.Query == ""
	found, err := p.c.Directory.ListGroups(r.Context(), v.caller, view.Query, directory.GroupQuery{Page: l.page})
	if err != nil {
		return err
	}
	if found.Total >= 0 {
		view.Count = count(found.Total, "group")
	}
	for _, g := range found.Items {
		view.Rows = append(view.Rows, newGroupRow(v, g))
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, groupsTemplate(view))
}

func (p *Panel) group(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, directory.Sorts(), "q", "add")
	if err != nil {
		return restart(w, r, l, err)
	}
	g, found, err := p.c.Directory.Members(r.Context(), v.caller, groupID(r), l.params.Get("q"), directory.Query{Page: l.page})
	if err != nil {
		return err
	}
	view := groupView{
		Shell: p.shell(v, g.Name, crumb{Name: textNavUsers}, crumb{Name: textGroupsTitle, Path: "/groups"}), Path: groupPath(g.ID),
		Name: g.Name, Description: g.Description, Members: count(g.Members, "member"), Created: v.moment(g.CreatedAt), Refresh: v.path, Builtin: g.Builtin,
		CanChange: v.can(auth.UsersWrite) && !g.Builtin, Query: l.params.Get("q"), Sort: l.params.Get("sort"), Add: l.params.Get("add"),
		Columns: []column{
			l.column(textColumnName, directory.SortName, ""),
			l.column(textColumnEmail, directory.SortEmail, "kh-middle"),
			{Name: textColumnStatus, Class: "kh-middle"},
		},
		Empty: empty{Icon: "users-group", Title: textGroupMembersNone, Text: textGroupMembersHelp},
	}
	if view.CanChange {
		view.Columns = append(view.Columns, column{Name: textActionsLabel, Class: "kh-end"})
	}
	if view.Query != "" {
		view.Empty = empty{Icon: "search-off", Title: textUsersFoundNone, Text: textGroupFindNone, Action: textUsersClear, Path: l.url("q", "")}
	}
	for _, u := range found.Items {
		view.Rows = append(view.Rows, userRow{ID: string(u.ID), Path: userPath(u.ID), Name: u.Name(), Initials: initials(u.Name()), Email: u.Email, Status: statusBadge(u.Shown())})
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	if view.CanChange && view.Add != "" {
		view.Asked = true
		if view.Candidates, view.More, err = p.candidates(r.Context(), v, g, view.Add); err != nil {
			return err
		}
	}
	return p.show(w, r, http.StatusOK, groupTemplate(view))
}

// maxCandidates bounds how many people a search for a new member shows.
const maxCandidates = 8

// candidates finds users to add, and says of each whether they are members. Both
// lists are in the same order, so the members among the first found are among the
// first found members.
func (p *Panel) candidates(ctx context.Context, v visit, g directory.Group, text string) ([]candidate, bool, error) {
	q := directory.Query{Page: page.Request{Limit: maxCandidates}}
	all, err := p.c.Directory.List(ctx, v.caller, text, q)
	if err != nil {
		return nil, false, err
	}
	q.Group = g.ID
	members, err := p.c.Directory.List(ctx, v.caller, text, q)
	if err != nil {
		return nil, false, err
	}
	in := map[id.User]bool{}
	for _, u := range members.Items {
		in[u.ID] = true
	}
	var out []candidate
	for _, u := range all.Items {
		out = append(out, candidate{personRow: newPersonRow(u), In: in[u.ID]})
	}
	return out, !all.Next.IsZero(), nil
}

func (p *Panel) addMember(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeMember(w, r, v, p.c.Directory.AddMember, "member_added")
}

func (p *Panel) removeMember(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeMember(w, r, v, p.c.Directory.RemoveMember, "member_removed")
}

// changeMember does something to a membership from the group's page.
func (p *Panel) changeMember(w http.ResponseWriter, r *http.Request, v visit,
	do func(ctx context.Context, by auth.Caller, group id.Group, user id.User) error, done string,
) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	u, _ := id.Parse[id.KindUser](form.Get("user"))
	if err := do(r.Context(), v.caller, groupID(r), u); err != nil {
		return err
	}
	p.setFlash(w, done)
	redirect(w, r, groupPath(groupID(r)))
	return nil
}

func (p *Panel) newGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.show(w, r, http.StatusOK, groupFormTemplate(p.newGroupView(v, url.Values{}, nil)))
}

func (p *Panel) newGroupView(v visit, form url.Values, f *fault.Error) groupFormView {
	view := groupFormView{
		Shell: p.shell(v, textGroupsNew, crumb{Name: textNavUsers}, crumb{Name: textGroupsTitle, Path: "/groups"}), Heading: textGroupsNew,
		Action: "/groups", Save: textGroupCreate, Cancel: "/groups",
	}
	view.fill(form, f, nil)
	return view
}

// fill puts the form's values into the view, as userFormView's does.
func (view *groupFormView) fill(form url.Values, f *fault.Error, stored url.Values) {
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "description")
	}
	input := func(name, help string, length int) field {
		out := field{Name: name, Label: fieldLabel(name), Help: help, Value: form.Get(name), Error: texts[name], Type: "text", Autocomplete: "off", Wide: true, MaxLength: length}
		switch now := stored.Get(name); {
		case stored == nil || now == form.Get(name):
		case now == "":
			out.Note = textUserNowEmpty
		default:
			out.Note = textUserNowStored + now
		}
		return out
	}
	name := input("name", textGroupNameHelp, 100)
	name.Required = true
	view.Fields = []field{name, input("description", "", 400)}
}

func (p *Panel) createGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	g, err := p.c.Directory.CreateGroup(r.Context(), v.caller, directory.NewGroup{Name: form.Get("name"), Description: form.Get("description")})
	if f, ok := isFormFault(err); ok {
		return p.show(w, r, http.StatusUnprocessableEntity, groupFormTemplate(p.newGroupView(v, form, f)))
	}
	if err != nil {
		return err
	}
	p.setFlash(w, "group_created")
	redirect(w, r, groupPath(g.ID))
	return nil
}

func (p *Panel) editGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	g, err := p.c.Directory.FindGroup(r.Context(), v.caller, groupID(r))
	if err != nil {
		return err
	}
	view := p.editGroupView(v, g)
	view.fill(storedGroupForm(g), nil, nil)
	return p.show(w, r, http.StatusOK, groupFormTemplate(view))
}

func storedGroupForm(g directory.Group) url.Values {
	return url.Values{"name": {g.Name}, "description": {g.Description}}
}

func (p *Panel) editGroupView(v visit, g directory.Group) groupFormView {
	return groupFormView{
		Shell:   p.shell(v, textGroupEdit, crumb{Name: textNavUsers}, crumb{Name: textGroupsTitle, Path: "/groups"}, crumb{Name: g.Name, Path: groupPath(g.ID)}),
		Heading: textGroupEdit + " " + g.Name, Action: groupPath(g.ID) + "/edit", Save: textGroupSave, Cancel: groupPath(g.ID), Revision: strconv.FormatInt(g.Revision, 10),
	}
}

// formRevision reads the revision that a form was made from.
func formRevision(form url.Values) (int64, error) {
	n, err := strconv.ParseInt(form.Get("revision"), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.Invalid("invalid_form", textFormUnreadable).Because(err)
	}
	return n, nil
}

func (p *Panel) updateGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	group := groupID(r)
	_, cause := p.c.Directory.UpdateGroup(r.Context(), v.caller, group, directory.GroupChange{Name: new(form.Get("name")), Description: new(form.Get("description"))}, revision)
	if cause == nil {
		p.setFlash(w, "group_saved")
		redirect(w, r, groupPath(group))
		return nil
	}
	f, shown := isFormFault(cause)
	changed := f != nil && f.Kind == fault.KindPrecondition
	if !shown && !changed {
		return cause
	}
	g, err := p.c.Directory.FindGroup(r.Context(), v.caller, group)
	if err != nil {
		return err
	}
	view := p.editGroupView(v, g)
	if changed {
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textGroupChanged, Text: textGroupChangedHelp}
		view.fill(form, nil, storedGroupForm(g))
	} else {
		view.Revision = form.Get("revision")
		view.fill(form, f, nil)
	}
	return p.show(w, r, http.StatusUnprocessableEntity, groupFormTemplate(view))
}

func (p *Panel) askDeleteGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	g, err := p.c.Directory.FindGroup(r.Context(), v.caller, groupID(r))
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, leaveTemplate(p.deleteGroupView(v, g)))
}

func (p *Panel) deleteGroupView(v visit, g directory.Group) leaveView {
	return leaveView{
		Shell:   p.shell(v, textGroupDelete, crumb{Name: textNavUsers}, crumb{Name: textGroupsTitle, Path: "/groups"}, crumb{Name: g.Name, Path: groupPath(g.ID)}),
		Heading: "Delete the group " + g.Name + "?", Lead: textLeaveDeleteLead, Effects: []string{textGroupGone, membersText(g.Members)},
		Confirm: confirmField(""), Phrase: g.Name, Revision: strconv.FormatInt(g.Revision, 10),
		Action: groupPath(g.ID) + "/delete", Do: textGroupDeleteDo, Cancel: groupPath(g.ID),
	}
}

func (p *Panel) deleteGroup(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	g, err := p.c.Directory.FindGroup(r.Context(), v.caller, groupID(r))
	if err != nil {
		return err
	}
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), g.Name) {
		cause = p.c.Directory.DeleteGroup(r.Context(), v.caller, g.ID, revision)
	}
	if cause == nil {
		p.setFlash(w, "group_deleted")
		redirect(w, r, "/groups")
		return nil
	}
	view := p.deleteGroupView(v, g)
	view.Confirm = confirmField(form.Get("confirm"))
	f, shown := isFormFault(cause)
	switch {
	case shown:
		var texts map[string]string
		view.Summary, texts = wrong(f, "confirm")
		view.Confirm.Error = texts["confirm"]
	case f != nil && f.Kind == fault.KindPrecondition:
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textGroupChanged, Text: textLeaveWrong}
	default:
		return cause
	}
	return p.show(w, r, http.StatusUnprocessableEntity, leaveTemplate(view))
}
