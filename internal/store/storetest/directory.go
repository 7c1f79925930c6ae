package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

func directoryCases() []testCase {
	return []testCase{
		{name: "users are filtered by status and group in every order", run: filterUsers},
		{name: "the tallies follow suspension, sign-in and deletion", run: talliesFollow},
		{name: "keys that keys made are found", run: createdAPIKeys},
		{name: "a deleted user leaves nothing behind", run: deletedUser},
	}
}

// group makes a group of the workspace.
func group(t *testing.T, d Database, w id.Workspace, name string) id.Group {
	t.Helper()
	g := directory.Group{ID: id.New[id.KindGroup](Start()), Workspace: w, Name: name, Revision: 1, CreatedAt: Start()}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertGroup(ctx, g) })
	return g.ID
}

func filterUsers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	values := crowd(t, d, w, 40)
	g := group(t, d, w, "Some")
	some := map[string]bool{}
	suspended := map[string]bool{}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		i := 0
		for name := range values[directory.SortName] {
			i++
			if i%2 == 0 {
				some[name] = true
				if _, err := tx.InsertMembership(ctx, w, g, id.User(name), Start()); err != nil {
					return err
				}
			}
			if i%3 == 0 {
				suspended[name] = true
				if err := tx.SuspendUser(ctx, w, id.User(name), Start()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	only := func(sort string, keep func(name string) bool) map[string]string {
		out := map[string]string{}
		for name, value := range values[sort] {
			if keep(name) {
				out[name] = value
			}
		}
		return out
	}
	for _, sort := range directory.Sorts() {
		for _, c := range []struct {
			q    directory.Query
			keep func(name string) bool
		}{
			{directory.Query{Status: directory.Suspended}, func(name string) bool { return suspended[name] }},
			{directory.Query{Status: directory.NotInvited}, func(name string) bool { return !suspended[name] }},
			{directory.Query{Status: directory.Active}, func(string) bool { return false }},
			{directory.Query{Group: g}, func(name string) bool { return some[name] }},
			{directory.Query{Group: everyone(t, d, w)}, func(string) bool { return true }},
			{directory.Query{Group: "grp_none"}, func(string) bool { return false }},
			{directory.Query{Group: g, Status: directory.Suspended}, func(name string) bool { return some[name] && suspended[name] }},
			{directory.Query{Group: g, Status: directory.Suspended, Words: []string{"same"}}, func(name string) bool { return some[name] && suspended[name] }},
		} {
			want := only(sort, c.keep)
			if len(want) == 0 {
				want = map[string]string{}
			}
			list := userLister(t, d, w, c.q)
			bothWays(t, sort, want, list, userName)
			p, err := list(page.Request{Limit: 1, WithTotal: true})
			if err != nil || p.Total != len(want) {
				t.Errorf("%+v: total %d (%v), want %d", c.q, p.Total, err, len(want))
			}
		}
	}
}

// counted compares the tallies of a workspace's users with its rows.
func counted(t *testing.T, d Database, w id.Workspace) {
	t.Helper()
	var got directory.Counts
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		got, err = tx.CountUsers(ctx, w)
		return err
	})
	rows := func(where string) int {
		return Count(t, d, `SELECT COUNT(*) FROM directory_user u WHERE u.workspace = $1 AND `+where, w)
	}
	want := directory.Counts{
		Total: rows(`1 = 1`), NotInvited: rows(`suspended_at = 0 AND status = 'not_invited'`), Pending: rows(`suspended_at = 0 AND status = 'pending'`),
		Active: rows(`suspended_at = 0 AND status = 'active'`), Suspended: rows(`suspended_at <> 0`),
		WithoutKey: rows(`NOT EXISTS (SELECT 1 FROM securitykey k WHERE k.user_id = u.id)`),
	}
	if got != want {
		t.Errorf("tallies %+v, want %+v as the rows are", got, want)
	}
	if n := rows(`shown <> CASE WHEN suspended_at = 0 THEN status ELSE 'suspended' END`); n != 0 {
		t.Errorf("%d users are shown as what they are not", n)
	}
}

func talliesFollow(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	var users []id.User
	for i := range 6 {
		users = append(users, User(t, d.Store, w, fmt.Sprint("u", i)).ID)
	}
	g := group(t, d, w, "Some")
	for name, fn := range map[string]func(ctx context.Context, tx *store.Tx) error{
		"suspend":           func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w, users[0], Start()) },
		"suspend once more": func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w, users[0], Start()) },
		"invite":            func(ctx context.Context, tx *store.Tx) error { return tx.MarkUserInvited(ctx, w, users[1]) },
		"see":               func(ctx context.Context, tx *store.Tx) error { return tx.MarkUserSeen(ctx, w, users[2], Start()) },
		"see who is not":    func(ctx context.Context, tx *store.Tx) error { return tx.MarkUserSeen(ctx, w, "user_none", Start()) },
		"delete":            func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, w, users[3], Start()) },
		"see the suspended": func(ctx context.Context, tx *store.Tx) error { return tx.MarkUserSeen(ctx, w, users[0], Start()) },
		"activate":          func(ctx context.Context, tx *store.Tx) error { return tx.ActivateUser(ctx, w, users[4]) },
		"suspend, delete it": func(ctx context.Context, tx *store.Tx) error {
			if err := tx.SuspendUser(ctx, w, users[5], Start()); err != nil {
				return err
			}
			if _, err := tx.InsertMembership(ctx, w, g, users[5], Start()); err != nil {
				return err
			}
			return tx.DeleteUser(ctx, w, users[5], Start())
		},
	} {
		if err := write(t.Context(), d.Store, fn); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		counted(t, d, w)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.ActivateUser(ctx, w, users[0]) })
	counted(t, d, w)
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if u, _, err := tx.FindUser(ctx, w, users[0]); err != nil || u.Shown() != directory.Active {
			t.Errorf("who signed in while suspended is %q (%v) afterwards, want active", u.Shown(), err)
		}
		if found, _, err := tx.FindGroup(ctx, w, g); err != nil || found.Members != 0 {
			t.Errorf("the group has %d members (%v), want none", found.Members, err)
		}
		return nil
	})
	if n := Count(t, d, `SELECT n FROM tick WHERE workspace = $1 AND name = 'user.delete'`, w); n != 2 {
		t.Errorf("%d deletions counted, want 2", n)
	}
}

func createdAPIKeys(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	ada, bob := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob")
	issue := func(w id.Workspace, name, creator string) apikey.Key {
		k := apikey.Key{
			EndsAt: apikey.Never(), WarnAt: apikey.Never(), ID: id.New[id.KindAPIKey](Start()), Workspace: w, Name: name, Type: apikey.Admin, TokenHash: []byte{1}, CreatedAt: Start(),
			CreatedBy: activity.Party{ID: creator},
		}
		k.TokenID = string(k.ID)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertAPIKey(ctx, k) })
		return k
	}
	first := issue(w, "first", string(ada.ID))
	second := issue(w, "second", string(first.ID))
	issue(w, "third", string(second.ID))
	issue(w, "not hers", string(bob.ID))
	issue(other, "elsewhere", string(ada.ID))
	over := issue(w, "over", string(ada.ID))
	Exec(t, d, `UPDATE apikey SET expires_at = 1, ends_at = 1 WHERE id = $1`, string(over.ID))
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if stopped, err := tx.StopAPIKey(ctx, w, second.ID, Start()); err != nil || !stopped {
			t.Errorf("StopAPIKey() = %v (%v), want true", stopped, err)
		}
		stopped, err := tx.StopAPIKey(ctx, w, second.ID, Start())
		if stopped {
			t.Error("StopAPIKey() = true the second time, want false")
		}
		return err
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		keys, err := tx.ListCreatedAPIKeys(ctx, w, ada.ID, Start(), 10)
		var names []string
		for _, k := range keys {
			names = append(names, k.Name)
		}
		n, countErr := tx.CountCreatedAPIKeys(ctx, w, ada.ID, Start())
		if err != nil || countErr != nil || !slices.Equal(names, []string{"first", "third"}) || n != 2 {
			t.Errorf("keys of Ada %q, counted %d (%v, %v), want the first and the third", names, n, err, countErr)
		}
		return nil
	})
}

func deletedUser(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	owner := Administrator(t, d.Store, w, "ada")
	g := group(t, d, w, "Some")
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.InsertMembership(ctx, w, g, owner.User, Start()); err != nil {
			return err
		}
		if first, err := tx.TakeInvitation(ctx, w, owner.User, Start(), time.Minute); err != nil || !first {
			t.Errorf("TakeInvitation() = %v (%v), want true", first, err)
		}
		if again, err := tx.TakeInvitation(ctx, w, owner.User, Start().Add(time.Minute-1), time.Minute); err != nil || again {
			t.Errorf("TakeInvitation() = %v (%v) at once, want false", again, err)
		}
		return tx.DeleteUser(ctx, w, owner.User, Start())
	})
	for _, table := range []string{
		`signin_session WHERE user_id = $1`, `signin_administrator WHERE user_id = $1`, `directory_membership WHERE user_id = $1`,
		`term WHERE id = $1`, `directory_user WHERE id = $1`, `signin_rate WHERE name LIKE '%' || $1`,
	} {
		if n := Count(t, d, `SELECT COUNT(*) FROM `+table, string(owner.User)); n != 0 {
			t.Errorf("%d rows left in %s", n, table)
		}
	}
	if err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, w, owner.User, Start()) }); err == nil {
		t.Error("DeleteUser() = nil the second time, want an error")
	}
}
