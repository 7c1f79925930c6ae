package panel

import (
	"net/http"
	"slices"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// usersView is the page All users.
type usersView struct {
	Shell    shell
	Query    string
	Sort     string // the sort that the search form keeps
	Status   string // the counter that the search form keeps
	Keyless  string // likewise
	Counters []statusCounter
	Filtered bool
	CanWrite bool
	Count    string
	Columns  []column
	Rows     []userRow
	Empty    empty
	Pages    pager
}

// statusCounter is how many there are, and the way to list just those.
type statusCounter struct {
	Name    string
	Count   string
	Path    string
	Tone    string // as a badge's
	Current bool
}

// userRow is a user in the list.
type userRow struct {
	ID           string
	Path         string
	Name         string
	Initials     string
	UserID       string
	Email        string
	Status       badge
	Suspended    bool
	Created      moment
	LastActivity moment
}

// statuses are the statuses in the order in which they are counted.
func statuses() []directory.Status {
	return []directory.Status{directory.NotInvited, directory.Active, directory.Pending, directory.Suspended}
}

func (p *Panel) users(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, directory.Sorts(), "q", "status", "without_key")
	if err != nil {
		return restart(w, r, l, err)
	}
	q := directory.Query{Status: directory.Status(l.params.Get("status")), Page: l.page}
	if q.Status != "" && !slices.Contains(statuses(), q.Status) {
		redirect(w, r, l.url("status", ""))
		return nil
	}
	if q.WithoutKey = l.params.Get("without_key") != ""; q.WithoutKey {
		l.params.Set("without_key", toConfirmYes)
	}
	counts, err := p.c.Directory.Counts(r.Context(), v.caller)
	if err != nil {
		return err
	}
	found, err := p.c.Directory.List(r.Context(), v.caller, l.params.Get("q"), q)
	if err != nil {
		return err
	}
	out := p.usersView(v, l, counts)
	for _, u := range found.Items {
		out.Rows = append(out.Rows, userRow{
			ID: string(u.ID), Path: userPath(u.ID), Name: u.Name(), Initials: initials(u.Name()), UserID: u.UserID, Email: u.Email,
			Status: statusBadge(u.Shown()), Suspended: u.Shown() == directory.Suspended, Created: v.moment(u.CreatedAt), LastActivity: v.moment(u.LastActivityAt),
		})
	}
	if out.Query != "" {
		out.Count = foundText(len(out.Rows), !found.Next.IsZero() || !l.page.After.IsZero())
	}
	if out.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, usersTemplate(out))
}

// foundText says how many a search found. Nobody counts beyond a page.
func foundText(n int, more bool) string {
	if more {
		return textUsersMore + count(n, "user") + textUsersFound
	}
	return count(n, "user") + textUsersFound
}

func (p *Panel) usersView(v visit, l list, n directory.Counts) usersView {
	status, keyless := l.params.Get("status"), l.params.Get("without_key")
	out := usersView{
		Shell: p.shell(v, textUsersTitle, crumb{Name: textNavUsers}), Query: l.params.Get("q"), Sort: l.params.Get("sort"), Status: status, Keyless: keyless,
		Filtered: l.params.Get("q") != "" || status != "" || keyless != "", CanWrite: v.can(auth.UsersWrite),
		Columns: []column{
			l.column(textColumnName, directory.SortName, ""),
			l.column(textColumnUserID, directory.SortUserID, "kh-wide"),
			l.column(textColumnEmail, directory.SortEmail, "kh-middle"),
			{Name: textColumnStatus},
			l.timeColumn(textColumnCreated, directory.SortCreated, "kh-widest"),
			l.timeColumn(textColumnLastActive, directory.SortLastActivity, "kh-middle"),
		},
	}
	numbers := map[directory.Status]int{
		"": n.Total, directory.NotInvited: n.NotInvited, directory.Active: n.Active, directory.Pending: n.Pending, directory.Suspended: n.Suspended,
	}
	for _, s := range append([]directory.Status{""}, statuses()...) {
		b := badge{Word: textUsersTotal}
		if s != "" {
			b = statusBadge(s)
		}
		out.Counters = append(out.Counters, statusCounter{
			Name: b.Word, Count: thousands(numbers[s]), Tone: b.Tone, Path: l.url("status", string(s), "without_key", ""), Current: string(s) == status && keyless == "",
		})
	}
	out.Count = count(numbers[directory.Status(status)], "user")
	if v.can(auth.SecurityKeysRead) {
		out.Counters = append(out.Counters, statusCounter{
			Name: textUsersKeyless, Count: thousands(n.WithoutKey), Path: l.url("status", "", "without_key", toConfirmYes), Current: keyless != "",
		})
	}
	if keyless != "" {
		out.Count = keylessText(n.WithoutKey)
	}
	all := l.url("q", "", "status", "", "without_key", "")
	switch {
	case out.Filtered:
		out.Empty = empty{Icon: "search-off", Title: textUsersFoundNone, Text: textUsersFoundHelp, Action: textUsersClear, Path: all}
	case out.CanWrite:
		out.Empty = empty{Icon: "users", Title: textUsersNoneTitle, Text: textUsersNoneText, Action: textUsersNew, Path: "/users/new", Way: wayPrimary}
	default:
		out.Empty = empty{Icon: "users", Title: textUsersNoneTitle, Text: textUsersNoneText}
	}
	return out
}

// userID returns the user whom the address names, the zero id if it cannot be one:
// no user has that, and the room answers it as it answers any who is not there.
func userID(r *http.Request) id.User {
	u, _ := id.Parse[id.KindUser](r.PathValue("id"))
	return u
}

// registerUsers is the route registration of the users' pages.
func (p *Panel) registerUsers(mux *http.ServeMux) {
	mux.Handle("GET /users", p.signed(p.users))
	mux.Handle("GET /users/new", p.form(auth.UsersWrite, p.newUser))
	mux.Handle("POST /users/new", p.signed(p.wizard))
	mux.Handle("GET /users/{id}", p.signed(p.user))
	mux.Handle("GET /users/{id}/edit", p.form(auth.UsersWrite, p.editUser))
	mux.Handle("POST /users/{id}/edit", p.signed(p.updateUser))
	mux.Handle("POST /users/{id}/groups", p.signed(p.addUserToGroup))
	mux.Handle("POST /users/{id}/groups/remove", p.signed(p.removeUserFromGroup))
	p.registerLeave(mux)
	p.registerGroups(mux)
}

// selecting names the behaviour of a table whose rows can be ticked.
func selecting(can bool) string {
	if can {
		return "select"
	}
	return ""
}
