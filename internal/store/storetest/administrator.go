package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

// passkey makes a passkey of a user, confirmed at that moment.
func passkey(t *testing.T, d Database, w id.Workspace, u id.User, name string, confirmed time.Time) signin.Passkey {
	t.Helper()
	k := signin.Passkey{
		ID: id.New[id.KindPasskey](Start()), Workspace: w, User: u, Record: []byte("{}"), Name: name, CreatedAt: Start(), ConfirmedAt: confirmed,
	}
	k.CredentialID = []byte(k.ID)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, k) })
	return k
}

func administrators(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	mia, zoe, ada := Administrator(t, d.Store, w, "mia"), Administrator(t, d.Store, w, "Zoe", auth.UsersRead), Administrator(t, d.Store, w, "Äda", auth.UsersRead)
	Administrator(t, d.Store, other, "foreign")
	User(t, d.Store, w, "plain")
	passkey(t, d, w, ada.User, "one", Start())
	passkey(t, d, w, ada.User, "two", time.Time{})
	Exec(t, d, `UPDATE directory_user SET last_activity_at = $1 WHERE id = $2`, Start().UnixMilli(), zoe.User)
	for sort, want := range map[string][]id.Administrator{
		signin.SortName:         {ada.Administrator, mia.Administrator, zoe.Administrator},
		signin.SortLastActivity: nil, // two have none: their ids decide
		signin.SortCreated:      nil,
	} {
		for _, descending := range []bool{false, true} {
			var got []id.Administrator
			for r := (page.Request{Sort: sort, Descending: descending, Limit: 1, WithTotal: true}); ; {
				var p page.Page[signin.Seat]
				Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
					p, err = tx.ListAdministrators(ctx, w, r)
					return err
				})
				if p.Total != 3 {
					t.Errorf("by %s: %d in all, want 3", sort, p.Total)
				}
				for _, s := range p.Items {
					got = append(got, s.ID)
				}
				if r.After = p.Next; p.Next.IsZero() || len(got) > 3 {
					break
				}
			}
			ordered := slices.Clone(want)
			if descending {
				slices.Reverse(ordered)
			}
			if len(got) != 3 || want != nil && !slices.Equal(got, ordered) {
				t.Errorf("by %s, descending %v: %v, want %v", sort, descending, got, ordered)
			}
			if sort == signin.SortLastActivity && got[2*b2i(!descending)] != zoe.Administrator {
				t.Errorf("by %s, descending %v: %v, want Zoe at the end of those who never were here", sort, descending, got)
			}
		}
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		s, found, err := tx.FindSeat(ctx, w, ada.Administrator)
		if !found || s.Passkeys != 2 || s.Unconfirmed != 1 || s.Person.Name != "Äda Example" || s.Person.WorkspaceName != "Harbour" || s.Revision != 1 || !s.Person.Auditable {
			t.Errorf("FindSeat() = %+v (%v), want Äda with two passkeys, one of them waiting", s, found)
		}
		if _, found, _ := tx.FindSeat(ctx, other, ada.Administrator); found {
			t.Error("FindSeat() finds in another workspace")
		}
		return err
	})
}

// b2i is 1 for true.
func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func administratorChanges(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	first, second, third := Administrator(t, d.Store, w, "first"), Administrator(t, d.Store, w, "second"), Administrator(t, d.Store, w, "third", auth.UsersRead)
	Administrator(t, d.Store, Workspace(t, d.Store), "foreign")
	owners := func(except id.Administrator) (n int64) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.CountOwners(ctx, w, except)
			return err
		})
		return n
	}
	if n := owners(""); n != 2 {
		t.Errorf("%d owners, want 2", n)
	}
	if n := owners(first.Administrator); n != 1 {
		t.Errorf("%d owners but for the first, want 1", n)
	}
	Exec(t, d, `UPDATE directory_user SET suspended_at = 1 WHERE id = $1`, second.User)
	if n := owners(first.Administrator); n != 0 {
		t.Errorf("%d owners but for the first when the second is suspended, want 0", n)
	}
	changed := signin.Administrator{ID: third.Administrator, Workspace: w, User: third.User, Owner: true, Permissions: auth.Permissions{auth.UsersWrite}, Revision: 7, CreatedAt: Start()}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAdministrator(ctx, changed) })
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, _, err := tx.FindAdministrator(ctx, w, third.User)
		same(t, "the changed administrator", got, changed)
		return err
	})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		return tx.DeleteAdministrator(ctx, w, third.Administrator)
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if _, found, err := tx.FindAdministrator(ctx, w, third.User); found || err != nil {
			t.Errorf("a removed administrator is found (%v)", err)
		}
		return nil
	})
}

func passkeyOnce(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada").ID
	k := passkey(t, d, w, u, "one", time.Time{})
	k.ConfirmedAt, k.ConfirmedBy = Start().Add(time.Minute), "user_other"
	if n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.ConfirmPasskey(ctx, k) }); n != 1 {
		t.Errorf("%d of 50 confirmed the passkey, want 1", n)
	}
	find := func() (got signin.Passkey, found bool) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			got, found, err = tx.FindUserPasskey(ctx, w, u, k.ID)
			return err
		})
		return got, found
	}
	got, _ := find()
	same(t, "the confirmed passkey", got, k)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.RenamePasskey(ctx, w, k.ID, "two"); err != nil {
			return err
		}
		return tx.UnconfirmPasskeys(ctx, w, u)
	})
	k.Name, k.ConfirmedAt, k.ConfirmedBy = "two", time.Time{}, ""
	got, _ = find()
	same(t, "the passkey that waits again", got, k)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeletePasskey(ctx, w, k.ID) })
	if _, found := find(); found {
		t.Error("a removed passkey is found")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		used, err := tx.UpdatePasskeyUse(ctx, k)
		if used {
			t.Error("UpdatePasskeyUse() = true for a passkey that is gone")
		}
		return err
	})
}

func passkeyScopes(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	ada, bob := User(t, d.Store, w, "ada").ID, User(t, d.Store, w, "bob").ID
	hers, his := passkey(t, d, w, ada, "hers", Start()), passkey(t, d, w, bob, "his", Start())
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for what, c := range map[string]struct {
			w id.Workspace
			u id.User
		}{"another person": {w, bob}, "another workspace": {other, ada}} {
			if _, found, err := tx.FindUserPasskey(ctx, c.w, c.u, hers.ID); found || err != nil {
				t.Errorf("FindUserPasskey() in the name of %s = %v (%v), want nothing", what, found, err)
			}
		}
		if err := tx.DeletePasskey(ctx, other, hers.ID); err == nil {
			t.Error("DeletePasskey() from another workspace = nil")
		}
		if err := tx.UnconfirmPasskeys(ctx, other, ada); err != nil {
			return err
		}
		return tx.UnconfirmPasskeys(ctx, w, bob)
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		kept, _, err := tx.FindUserPasskey(ctx, w, ada, hers.ID)
		if err != nil {
			return err
		}
		same(t, "her passkey", kept, hers)
		waits, _, err := tx.FindUserPasskey(ctx, w, bob, his.ID)
		if !waits.ConfirmedAt.IsZero() {
			t.Error("his passkey is confirmed still")
		}
		return err
	})
}

func sessionsOf(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u, stranger := User(t, d.Store, w, "ada").ID, User(t, d.Store, w, "bob").ID
	k := passkey(t, d, w, u, "one", Start())
	open := func(of id.User, scope signin.Scope, seen time.Duration, by id.Passkey) id.Session {
		s := signin.Session{
			ID: id.New[id.KindSession](Start()), Workspace: w, User: of, OpenedBy: signin.OpenedByPasskey, Scope: scope, Passkey: by,
			CreatedAt: Start(), ExpiresAt: Start().Add(signin.SessionLifetime), LastSeenAt: Start().Add(seen),
		}
		s.Digest = []byte(s.ID)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSession(ctx, s) })
		return s.ID
	}
	idle := open(u, signin.ScopePanel, 0, "")
	app, panel, byKey, kept := open(u, signin.ScopeApp, 3*time.Minute, ""), open(u, signin.ScopePanel, 2*time.Minute, ""), open(u, signin.ScopePanel, time.Minute, k.ID), open(stranger, signin.ScopePanel, time.Minute, "")
	now := Start().Add(signin.SessionIdle)
	list := func(of id.User) (got []id.Session) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			all, err := tx.ListSessions(ctx, w, of, now)
			for _, s := range all {
				got = append(got, s.ID)
			}
			return err
		})
		return got
	}
	same(t, "the open sessions, without the idle one "+string(idle), list(u), []id.Session{app, panel, byKey})
	end := func(scope signin.Scope, except id.Session, want int) {
		t.Helper()
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.EndUserSessions(ctx, w, u, scope, except, now)
			if n != want {
				t.Errorf("EndUserSessions(%q, but %q) = %d, want %d", scope, except, n, want)
			}
			return err
		})
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.EndPasskeySessions(ctx, w, k.ID, now) })
	same(t, "what the passkey did not open", list(u), []id.Session{app, panel})
	end(signin.ScopePanel, panel, 1) // the idle one
	end(signin.ScopePanel, "", 1)
	same(t, "the app's", list(u), []id.Session{app})
	end("", app, 0)
	end("", "", 1)
	same(t, "none", len(list(u)), 0)
	same(t, "somebody else's", list(stranger), []id.Session{kept})
}
