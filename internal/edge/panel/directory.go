package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// usersView is the page All users.
type usersView struct {
	Shell    shell
	Query    string
	Sort     string // the sort that the search form keeps
	Statuses []choice
	Filtered bool
	Clear    string
	CanWrite bool
	Count    string
	Columns  []column
	Rows     []userRow
	Empty    empty
	Pages    pager
}

// userRow is a user in the list.
type userRow struct {
	Path         string
	Name         string
	Initials     string
	UserID       string
	Email        string
	Status       badge
	Created      moment
	LastActivity moment
}

func (p *Panel) users(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, directory.Sorts(), "q", "status")
	if err != nil {
		return restart(w, r, l, err)
	}
	l.page.WithTotal = true
	q := directory.Query{Status: directory.Status(l.params.Get("status")), Page: l.page}
	found, err := p.c.Directory.List(r.Context(), v.caller, l.params.Get("q"), q)
	if err != nil {
		return err
	}
	out := p.usersView(v, l, found.Total)
	for _, u := range found.Items {
		out.Rows = append(out.Rows, userRow{
			Path: userPath(u.ID), Name: u.Name(), Initials: initials(u.Name()), UserID: u.UserID, Email: u.Email,
			Status: statusBadge(u.Shown()), Created: v.moment(u.CreatedAt), LastActivity: v.moment(u.LastActivityAt),
		})
	}
	if out.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, usersTemplate(out))
}

func (p *Panel) usersView(v visit, l list, total int) usersView {
	status := l.params.Get("status")
	out := usersView{
		Shell: p.shell(v, textUsersTitle, crumb{Name: textNavUsers}), Query: l.params.Get("q"), Sort: l.params.Get("sort"),
		Statuses: []choice{{Label: textUsersAnyStatus, Checked: status == ""}},
		Filtered: l.params.Get("q") != "" || status != "", Clear: l.url("q", "", "status", ""), CanWrite: v.can(auth.UsersWrite),
		Columns: []column{
			l.column(textColumnName, directory.SortName, ""),
			l.column(textColumnUserID, directory.SortUserID, "kh-wide"),
			l.column(textColumnEmail, directory.SortEmail, "kh-middle"),
			{Name: textColumnStatus},
			l.timeColumn(textColumnCreated, directory.SortCreated, "kh-widest"),
			l.timeColumn(textColumnLastActive, directory.SortLastActivity, "kh-middle"),
		},
	}
	for _, s := range []directory.Status{directory.NotInvited, directory.Pending, directory.Active, directory.Suspended} {
		out.Statuses = append(out.Statuses, choice{Value: string(s), Label: statusBadge(s).Word, Checked: string(s) == status})
	}
	if total >= 0 {
		out.Count = count(total, "user")
	}
	switch {
	case out.Filtered:
		out.Empty = empty{Icon: "search-off", Title: textUsersFoundNone, Text: textUsersFoundHelp, Action: textUsersClear, Path: out.Clear}
	case out.CanWrite:
		out.Empty = empty{Icon: "users", Title: textUsersNoneTitle, Text: textUsersNoneText, Action: textUsersNew, Path: "/users/new", Way: wayPrimary}
	default:
		out.Empty = empty{Icon: "users", Title: textUsersNoneTitle, Text: textUsersNoneText}
	}
	return out
}

// registerUsers is the route registration of the users' pages.
func (p *Panel) registerUsers(mux *http.ServeMux) {
	mux.Handle("GET /users", p.signed(p.users))
	mux.Handle("GET /users/new", p.signed(p.newUser))
	mux.Handle("POST /users", p.signed(p.createUser))
	mux.Handle("GET /users/{id}", p.signed(p.user))
	mux.Handle("GET /users/{id}/edit", p.signed(p.editUser))
	mux.Handle("POST /users/{id}/edit", p.signed(p.updateUser))
}
