package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// everyone returns the builtin group.
func (h house) everyone(t testing.TB) directory.Group {
	t.Helper()
	found, err := h.ListGroups(t.Context(), h.by, "everyone", directory.GroupQuery{})
	if err != nil || len(found.Items) != 1 {
		t.Fatalf("ListGroups(everyone) = %+v (%v), want one", found, err)
	}
	return found.Items[0]
}

// members returns the user ids of a group's members, as they are listed.
func (h house) members(t testing.TB, g id.Group, text string) string {
	t.Helper()
	_, found, err := h.Members(t.Context(), h.by, g, text, directory.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range found.Items {
		names = append(names, u.UserID)
	}
	return strings.Join(names, " ")
}

func TestCreateGroup_members(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	g, err := h.CreateGroup(t.Context(), h.by, directory.NewGroup{Name: "Night", Members: []id.User{u.ID, u.ID, h.by.User}})
	if err != nil || g.Members != 2 || h.members(t, g.ID, "") != "ada owner" {
		t.Errorf("CreateGroup() = %+v (%v) with %q, want Ada and the owner", g, err, h.members(t, g.ID, ""))
	}
	foreign := storetest.User(t, h.Store, storetest.Workspace(t, h.Store), "foreign")
	_, err = h.CreateGroup(t.Context(), h.by, directory.NewGroup{Name: "Day", Members: []id.User{u.ID, foreign.ID}})
	if f := storetest.Fault(t, err, "invalid_fields"); !slices.Equal(storetest.FieldNames(f), []string{"members"}) {
		t.Errorf("CreateGroup() = %v with another workspace's user, want the field members", err)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_group WHERE name = 'Day'`); n != 0 {
		t.Errorf("%d groups Day, want none", n)
	}
	_, err = h.CreateGroup(t.Context(), h.by, directory.NewGroup{Name: "Crowd", Members: make([]id.User, directory.MaxMembers+1)})
	storetest.Refused(t, err, "invalid_fields")
}

func TestListGroups_searchesAndPages(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"Night shift", "Day shift", "Café", "Shift leaders"} {
		h.clock.Advance(time.Minute)
		h.group(t, name)
	}
	for _, c := range []struct {
		text, sort, want string
		total            int
	}{
		{"", "", "Café, Day shift, Everyone, Night shift, Shift leaders", 5},
		{"", directory.SortCreated, "Everyone, Night shift, Day shift, Café, Shift leaders", 5},
		{"shift", "", "Day shift, Night shift, Shift leaders", 3},
		{"sh ni", "", "Night shift", 1},
		{"cafe", "", "Café", 1},
		{"ift", "", "", 0},
	} {
		var got []string
		q := directory.GroupQuery{Page: page.Request{Limit: 2, Sort: c.sort, WithTotal: true}}
		for {
			p, err := h.ListGroups(t.Context(), h.by, c.text, q)
			if err != nil || p.Total != c.total {
				t.Fatalf("ListGroups(%q) = total %d (%v), want %d", c.text, p.Total, err, c.total)
			}
			for _, g := range p.Items {
				got = append(got, g.Name)
			}
			if q.Page.After = p.Next; p.Next.IsZero() {
				break
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("ListGroups(%q) by %q = %q, want %q", c.text, c.sort, got, c.want)
		}
	}
}

func TestUpdateGroup(t *testing.T) {
	h := newHouse(t)
	g, other := h.group(t, "Night"), h.group(t, "Day")
	got, err := h.UpdateGroup(t.Context(), h.by, g.ID, directory.GroupChange{Name: new(" Late "), Description: new("After ten.")}, 1)
	want := g
	want.Name, want.Description, want.Revision = "Late", "After ten.", 2
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("UpdateGroup() error %v (-want +got):\n%s", err, diff)
	}
	if got, err = h.FindGroup(t.Context(), h.by, g.ID); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("FindGroup() = %+v (%v), want %+v", got, err, want)
	}
	line := storetest.Activity(t, h.Store, h.w, "group.update")
	if line.Detail != "name, description" || line.Target != (activity.Party{Type: "group", ID: string(g.ID), Name: "Late"}) {
		t.Errorf("the line is %+v, want name and description of Late", line)
	}
	if found, err := h.ListGroups(t.Context(), h.by, "night", directory.GroupQuery{}); err != nil || len(found.Items) != 0 {
		t.Errorf("the old name finds %+v (%v), want nothing", found.Items, err)
	}
	if _, err := h.UpdateGroup(t.Context(), h.by, g.ID, directory.GroupChange{Name: new("Late")}, 0); err != nil {
		t.Errorf("UpdateGroup() = %v for no change, want nil", err)
	}
	storetest.Activity(t, h.Store, h.w, "group.update") // still one
	for code, call := range map[string]func() error{
		"revision_changed": func() error {
			_, err := h.UpdateGroup(t.Context(), h.by, g.ID, directory.GroupChange{Name: new("X")}, 1)
			return err
		},
		"group_name_taken": func() error {
			_, err := h.UpdateGroup(t.Context(), h.by, other.ID, directory.GroupChange{Name: new("LATE")}, 0)
			return err
		},
		"invalid_fields": func() error {
			_, err := h.UpdateGroup(t.Context(), h.by, other.ID, directory.GroupChange{Name: new(" ")}, 0)
			return err
		},
	} {
		storetest.Refused(t, call(), code)
	}
	if _, err := h.UpdateGroup(t.Context(), h.by, g.ID, directory.GroupChange{Name: new("LATE")}, 0); err != nil {
		t.Errorf("UpdateGroup() = %v to its own name in capitals, want nil", err)
	}
}

func TestMembers_comeAndGo(t *testing.T) {
	h := newHouse(t)
	u, g := h.create(t, ada()), h.group(t, "Night")
	for range 2 { // the second changes nothing
		if err := h.AddMember(t.Context(), h.by, g.ID, u.ID); err != nil {
			t.Fatal(err)
		}
	}
	line := storetest.Activity(t, h.Store, h.w, "group.add_member")
	if line.User != u.ID || line.Target.ID != string(g.ID) {
		t.Errorf("the line is %+v, want Ada into Night", line)
	}
	if got, err := h.FindGroup(t.Context(), h.by, g.ID); err != nil || got.Members != 1 {
		t.Errorf("FindGroup() = %d members (%v), want 1", got.Members, err)
	}
	if got := h.members(t, g.ID, "love"); got != "ada" {
		t.Errorf("Members(love) = %q, want ada", got)
	}
	if got := h.members(t, g.ID, "owner"); got != "" {
		t.Errorf("Members(owner) = %q, want nobody", got)
	}
	if got := h.members(t, h.everyone(t).ID, ""); got != "ada owner" {
		t.Errorf("Members() of Everyone = %q, want all", got)
	}
	if n := h.everyone(t).Members; n != 2 {
		t.Errorf("Everyone has %d members, want 2", n)
	}
	for range 2 {
		if err := h.RemoveMember(t.Context(), h.by, g.ID, u.ID); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Activity(t, h.Store, h.w, "group.remove_member")
	if got, err := h.FindGroup(t.Context(), h.by, g.ID); err != nil || got.Members != 0 {
		t.Errorf("FindGroup() = %d members (%v), want 0", got.Members, err)
	}
	outcomes, err := h.AddMembers(t.Context(), h.by, g.ID, []id.User{u.ID, "user_none", h.by.User})
	if err != nil || len(outcomes) != 3 || outcomes[0].Fault != nil || outcomes[1].Fault.Code != "user_not_found" || outcomes[2].Name != h.by.Name {
		t.Errorf("AddMembers() = %+v (%v), want two in and one not found", outcomes, err)
	}
	_, err = h.AddMembers(t.Context(), h.by, g.ID, make([]id.User, directory.MaxMembers+1))
	storetest.Refused(t, err, "invalid_fields")
}

func TestDeleteGroup_leavesItsMembers(t *testing.T) {
	h := newHouse(t)
	g := h.group(t, "Night")
	n := ada()
	n.Groups = []id.Group{g.ID}
	u := h.create(t, n)
	storetest.Refused(t, h.DeleteGroup(t.Context(), h.by, g.ID, 7), "revision_changed")
	if err := h.DeleteGroup(t.Context(), h.by, g.ID, 1); err != nil {
		t.Fatal(err)
	}
	if line := storetest.Activity(t, h.Store, h.w, "group.delete"); line.Target.Name != "Night" {
		t.Errorf("the line is %+v, want Night", line)
	}
	_, groups, err := h.Find(t.Context(), h.by, u.ID)
	if err != nil || len(groups) != 1 || !groups[0].Builtin {
		t.Errorf("groups of the user = %+v (%v), want Everyone alone", groups, err)
	}
	storetest.Refused(t, h.DeleteGroup(t.Context(), h.by, g.ID, 0), "group_not_found")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM tally WHERE name LIKE 'members/%'`); n != 0 {
		t.Errorf("%d counters of members, want none", n)
	}
	h.group(t, "Night") // the name is free again
}

func TestEveryone_cannotBeChanged(t *testing.T) {
	h := newHouse(t)
	everyone := h.everyone(t).ID
	for name, call := range map[string]func() error{
		"update": func() error {
			_, err := h.UpdateGroup(t.Context(), h.by, everyone, directory.GroupChange{Description: new("x")}, 0)
			return err
		},
		"delete":  func() error { return h.DeleteGroup(t.Context(), h.by, everyone, 0) },
		"add":     func() error { return h.AddMember(t.Context(), h.by, everyone, h.by.User) },
		"remove":  func() error { return h.RemoveMember(t.Context(), h.by, everyone, h.by.User) },
		"addMany": func() error { _, err := h.AddMembers(t.Context(), h.by, everyone, []id.User{h.by.User}); return err },
	} {
		if f := storetest.Fault(t, call(), "builtin_group"); f.Kind != fault.KindConflict {
			t.Errorf("%s: kind %d, want a conflict", name, f.Kind)
		}
	}
}

// Another workspace's group and one that never was get the same answer.
func TestGroups_otherWorkspaceIsAbsent(t *testing.T) {
	h := newHouse(t)
	u, g := h.create(t, ada()), h.group(t, "Night")
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	for name, call := range map[string]func(id.Group) error{
		"FindGroup": func(g id.Group) error { _, err := h.FindGroup(t.Context(), other, g); return err },
		"UpdateGroup": func(g id.Group) error {
			_, err := h.UpdateGroup(t.Context(), other, g, directory.GroupChange{Name: new("X")}, 0)
			return err
		},
		"DeleteGroup":  func(g id.Group) error { return h.DeleteGroup(t.Context(), other, g, 0) },
		"AddMember":    func(g id.Group) error { return h.AddMember(t.Context(), other, g, other.User) },
		"RemoveMember": func(g id.Group) error { return h.RemoveMember(t.Context(), other, g, other.User) },
		"AddMembers":   func(g id.Group) error { _, err := h.AddMembers(t.Context(), other, g, nil); return err },
		"Members": func(g id.Group) error {
			_, _, err := h.Members(t.Context(), other, g, "", directory.Query{})
			return err
		},
	} {
		foreign, missing := call(g.ID), call(id.New[id.KindGroup](storetest.Start()))
		if diff := cmp.Diff(storetest.Fault(t, missing, "group_not_found"), storetest.Fault(t, foreign, "group_not_found"), cmpopts.IgnoreUnexported(fault.Error{})); diff != "" {
			t.Errorf("%s tells another workspace's group from a missing one (-missing +foreign):\n%s", name, diff)
		}
	}
	mine, err := h.CreateGroup(t.Context(), other, directory.NewGroup{Name: "Mine"})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, h.AddMember(t.Context(), other, mine.ID, u.ID), "user_not_found")
	found, err := h.List(t.Context(), other, "", directory.Query{Group: g.ID})
	if err != nil || len(found.Items) != 0 {
		t.Errorf("List() of another workspace's group shows %+v (%v)", found.Items, err)
	}
}

func TestCounts(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		n := ada()
		n.UserID, n.Email, n.Invite = fmt.Sprint("u", i), fmt.Sprintf("u%d@example.org", i), i == 0
		h.create(t, n)
	}
	got, err := h.Counts(t.Context(), h.by)
	if want := (directory.Counts{Total: 4, NotInvited: 3, Pending: 1, WithoutKey: 4}); err != nil || got != want {
		t.Errorf("Counts() = %+v (%v), want %+v", got, err, want)
	}
}

func TestInvite(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	got, err := h.Invite(t.Context(), h.by, u.ID)
	if err != nil || got.Status != directory.Pending || got.Revision != 2 || h.find(t, u.ID).Status != directory.Pending {
		t.Fatalf("Invite() = %+v (%v), want Ada pending", got, err)
	}
	_, err = h.Invite(t.Context(), h.by, u.ID)
	if f := storetest.Fault(t, err, "invited_just_now"); f.Kind != fault.KindTooMany || f.RetryAfter != directory.InviteEvery {
		t.Errorf("a second at once = %+v, want too many", f)
	}
	h.clock.Advance(directory.InviteEvery)
	if got, err = h.Invite(t.Context(), h.by, u.ID); err != nil || got.Revision != 2 {
		t.Errorf("Invite() = %+v (%v) a minute later, want another mail and no change", got, err)
	}
	if lines := storetest.Activities(t, h.Store, h.w, "user.invite"); len(lines) != 2 || lines[0].User != u.ID {
		t.Errorf("lines %+v, want two of Ada", lines)
	}
	var mails []string
	for _, m := range storetest.Messages(t, h.Store) {
		mails = append(mails, m.Kind+" "+string(m.Payload))
	}
	if len(mails) != 2 || !strings.HasPrefix(mails[0], "mail.invitation ") || !strings.Contains(mails[0], "ada@example.org") || !strings.Contains(mails[0], "Harbour") {
		t.Errorf("mails %q, want two invitations of Ada", mails)
	}
	h.clock.Advance(directory.InviteEvery)
	for code, change := range map[string]string{
		"user_active":    `UPDATE directory_user SET status = 'active' WHERE id = $1`,
		"user_suspended": `UPDATE directory_user SET suspended_at = 1 WHERE id = $1`,
	} {
		v := h.create(t, directory.NewUser{Email: code + "@example.org", FirstName: "X"})
		storetest.Exec(t, h.Database, change, string(v.ID))
		_, err := h.Invite(t.Context(), h.by, v.ID)
		storetest.Refused(t, err, code)
	}
}

func TestCreate_invitesAtOnce(t *testing.T) {
	h := newHouse(t)
	n := ada()
	n.Invite = true
	u := h.create(t, n)
	if u.Status != directory.Pending || len(storetest.Messages(t, h.Store)) != 1 {
		t.Errorf("Create() = %+v with %d mails, want pending with one", u, len(storetest.Messages(t, h.Store)))
	}
	if diff := cmp.Diff(u, h.find(t, u.ID)); diff != "" {
		t.Errorf("Find() (-created +found):\n%s", diff)
	}
	storetest.Activity(t, h.Store, h.w, "user.invite")
}
