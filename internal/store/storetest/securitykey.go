package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

func securitykeyCases() []testCase {
	return []testCase{
		{name: "a changed security key comes back as it went", run: changedSecurityKey},
		{name: "of two who change a security key one waits", run: lockedSecurityKey},
		{name: "the tallies follow security keys", run: keyTalliesFollow},
		{name: "a deleted user's security keys go, their record stays", run: keysOfTheDeleted},
		{name: "security keys are found by their holder's name of now", run: keysOfTheRenamed},
		{name: "security keys are filtered, sorted and paged", run: filterSecurityKeys},
		{name: "users without a security key are found", run: keylessUsers},
		{name: "a key's sessions end", run: keySessions},
		{name: "settings of security keys are written once", run: keySettings},
		{name: "unused security keys are told of once", run: unusedKeys},
		{name: "rules for unused keys are listed", run: unusedRules, alone: true},
		{name: "who is told of security keys", run: securityKeyWatchers},
		{name: "a workspace's secret is written once", run: workspaceSecret},
		{name: "of two who use one activation link one wins", run: oneLinkTwice},
		{name: "of two cards that a mailbox activates at once one waits", run: twoLinksAtOnce},
		{name: "of two who make a user's last key one wins", run: lastKeyTwice},
		{name: "who is suspended meanwhile activates nothing", run: suspendedMeanwhile},
		{name: "unused keys are looked after once", run: lookedAfterTwice, alone: true},
		{name: "wrong PINs at once are counted exactly", run: wrongPINs},
		{name: "a right PIN among wrong ones begins anew", run: rightPINs},
	}
}

// newSecurityKey returns an active card that is not written yet.
func newSecurityKey(u directory.User, name string) securitykey.SecurityKey {
	return securitykey.SecurityKey{
		ID: id.New[id.KindSecurityKey](Start()), Workspace: u.Workspace, User: u.ID, Kind: securitykey.ContactlessCard, Name: name,
		Life: securitykey.Active, Verification: securitykey.ByPIN, CreatedAt: Start(), ActivatedAt: Start(), Revision: 1,
		Holder: securitykey.Holder{Name: u.Name(), Email: u.Email},
	}
}

func insertSecurityKeys(t *testing.T, d Database, keys ...securitykey.SecurityKey) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, k := range keys {
			if err := tx.InsertSecurityKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

func findSecurityKey(t *testing.T, d Database, w id.Workspace, k id.SecurityKey) (out securitykey.SecurityKey) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		out, _, err = tx.FindSecurityKey(ctx, w, k)
		return err
	})
	return out
}

func changedSecurityKey(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Second) }
	k := newSecurityKey(u, "Çard \u202d")
	insertSecurityKeys(t, d, k)
	same(t, "a new key", findSecurityKey(t, d, w, k.ID), k)
	k.Name, k.Model, k.AAGUID, k.Life, k.SuspendedAt = "Other", "Model", "aaguid", securitykey.Pending, at(1)
	k.Verification, k.Proximity, k.ToConfirm, k.ActivatedAt, k.NoticedAt, k.Revision = securitykey.Pinless, true, true, at(2), at(3), 2
	k.Card = securitykey.Card{Type: "uid", Digest: "digest", Sealed: allBytes(), Named: true}
	k.Link = securitykey.Link{ID: id.New[id.KindActivation](Start()), ExpiresAt: at(4)}
	k.PIN = securitykey.PIN{Verifier: allBytes(), Wrong: 3, PausedUntil: at(5), MustChange: true, SetAt: at(6)}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSecurityKey(ctx, k) })
	same(t, "a changed key", findSecurityKey(t, d, w, k.ID), k)
	other := Workspace(t, d.Store)
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		byLink, found, err := tx.FindSecurityKeyByLink(ctx, k.Link.ID)
		if err != nil || !found {
			t.Errorf("by its link: %v (%v), want it found", found, err)
		}
		same(t, "by its link", byLink, k)
		byCard, found, err := tx.FindSecurityKeyByCard(ctx, w, "digest")
		if err != nil || !found {
			t.Errorf("by its card: %v (%v), want it found", found, err)
		}
		same(t, "by its card", byCard, k)
		anyCard, found, err := tx.FindAnyCard(ctx, w)
		if err != nil || !found {
			t.Errorf("any card: %v (%v), want it found", found, err)
		}
		same(t, "any card", anyCard, k)
		if _, found, err := tx.FindAnyCard(ctx, other); found || err != nil {
			t.Errorf("any card elsewhere: %v (%v), want nothing", found, err)
		}
		if _, found, err := tx.FindSecurityKeyByCard(ctx, other, "digest"); found || err != nil {
			t.Errorf("by its card elsewhere: %v (%v), want nothing", found, err)
		}
		if _, found, err := tx.FindSecurityKeyByCard(ctx, w, ""); found || err != nil {
			t.Errorf("by no card: %v (%v), want nothing", found, err)
		}
		if _, found, err := tx.FindSecurityKeyByLink(ctx, ""); found || err != nil {
			t.Errorf("by no link: %v (%v), want nothing", found, err)
		}
		return err
	})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.TouchSecurityKey(ctx, w, k.ID, at(7)) })
	k.Total, k.LastActivityAt, k.NoticedAt = 1, at(7), time.Time{}
	same(t, "a used key", findSecurityKey(t, d, w, k.ID), k)
	twin := newSecurityKey(u, "Twin")
	twin.Card.Digest = "digest"
	if err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSecurityKey(ctx, twin) }); err == nil {
		t.Error("two keys have one card, want an error")
	}
}

func lockedSecurityKey(t *testing.T, d Database) {
	u := User(t, d.Store, Workspace(t, d.Store), "ada")
	k := newSecurityKey(u, "Card")
	insertSecurityKeys(t, d, k)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.LockUser(ctx, u.Workspace, u.ID); err != nil {
					return err
				}
				held, _, err := tx.LockSecurityKey(ctx, u.Workspace, k.ID)
				if err != nil {
					return err
				}
				held.Revision++
				return tx.UpdateSecurityKey(ctx, held)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := findSecurityKey(t, d, u.Workspace, k.ID).Revision; got != 11 {
		t.Errorf("revision %d after ten changes at once, want 11", got)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if found, err := tx.LockUser(ctx, u.Workspace, "user_none"); found || err != nil {
			t.Errorf("LockUser() of nobody = %v (%v), want false", found, err)
		}
		_, found, err := tx.LockSecurityKey(ctx, u.Workspace, "sk_none")
		if found {
			t.Error("LockSecurityKey() of none = true")
		}
		return err
	})
}

// keysCounted asks that the tallies are as the rows are.
func keysCounted(t *testing.T, d Database, w id.Workspace) {
	t.Helper()
	tally := func(name string) int {
		return Count(t, d, `SELECT COALESCE((SELECT n FROM tally WHERE workspace = $1 AND name = $2), 0)`, string(w), name)
	}
	rows := func(where string, args ...any) int {
		return Count(t, d, `SELECT COUNT(*) FROM securitykey WHERE workspace = $1`+where, append([]any{string(w)}, args...)...)
	}
	compare := func(name string, n int) {
		t.Helper()
		if got := tally(name); got != n {
			t.Errorf("the tally %s is %d, want %d as the rows are", name, got, n)
		}
	}
	compare("security_keys", rows(""))
	for _, shown := range securitykey.Statuses() {
		compare("security_keys/"+string(shown), rows(` AND shown = $2`, string(shown)))
		for _, kind := range securitykey.Kinds() {
			compare("security_keys/"+string(kind)+"/"+string(shown), rows(` AND shown = $2 AND kind = $3`, string(shown), string(kind)))
		}
	}
	compare("users/without_key", Count(t, d, `
		SELECT COUNT(*) FROM directory_user u WHERE u.workspace = $1 AND NOT EXISTS (SELECT 1 FROM securitykey k WHERE k.user_id = u.id)`, string(w)))
	if n := Count(t, d, `
		SELECT COUNT(*) FROM directory_user u WHERE u.workspace = $1 AND u.security_keys <> (SELECT COUNT(*) FROM securitykey k WHERE k.user_id = u.id)`, string(w)); n != 0 {
		t.Errorf("%d users have another number of keys than is written of them", n)
	}
	if n := rows(` AND shown <> CASE WHEN suspended_at = 0 THEN life ELSE 'suspended' END`); n != 0 {
		t.Errorf("%d keys are shown as what they are not", n)
	}
}

func keyTalliesFollow(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, bob := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob")
	one, two, three := newSecurityKey(ada, "One"), newSecurityKey(ada, "Two"), newSecurityKey(bob, "Three")
	two.Kind, two.Life, two.ActivatedAt = securitykey.FIDO2, securitykey.New, time.Time{}
	insertSecurityKeys(t, d, one, two, three)
	keysCounted(t, d, w)
	for _, change := range []func(k *securitykey.SecurityKey){
		func(k *securitykey.SecurityKey) { k.Life = securitykey.Pending },
		func(k *securitykey.SecurityKey) { k.SuspendedAt = Start() },
		func(k *securitykey.SecurityKey) {
			k.SuspendedAt, k.Life, k.ActivatedAt = time.Time{}, securitykey.Active, Start()
		},
		func(k *securitykey.SecurityKey) { k.Name = "Same life" },
	} {
		change(&two)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSecurityKey(ctx, two) })
		keysCounted(t, d, w)
	}
	for _, k := range []securitykey.SecurityKey{one, two} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSecurityKey(ctx, w, k.ID, Start()) })
		keysCounted(t, d, w)
	}
	for name, want := range map[string]int{"create": 3, "activate": 3, "delete": 2} {
		if n := Count(t, d, `SELECT n FROM tick WHERE workspace = $1 AND name = $2`, string(w), "security_key."+name); n != want {
			t.Errorf("%d ticks of %s, want %d", n, name, want)
		}
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListBindings(ctx, w, ada.ID)
		if err != nil || len(all) != 2 || all[0].EndedAs != "deleted" || all[1].EndedAs != "deleted" {
			t.Errorf("the record %+v (%v), want two that ended", all, err)
		}
		i := slices.IndexFunc(all, func(b securitykey.Binding) bool { return b.Key == two.ID })
		if i < 0 || all[i].Name != "Same life" || !all[i].ActivatedAt.Equal(Start()) || !all[i].EndedAt.Equal(Start()) {
			t.Errorf("the record %+v, want the last name and both moments", all)
		}
		return nil
	})
}

func keysOfTheDeleted(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	User(t, d.Store, w, "bob")
	one, two := newSecurityKey(ada, "One"), newSecurityKey(ada, "Two")
	two.SuspendedAt = Start()
	insertSecurityKeys(t, d, one, two)
	Exec(t, d, `
		INSERT INTO signin_access_pass (id, workspace, user_id, digest, starts_at, expires_at, one_time, created_at, created_by, used_at, ended_at, ended_as)
		VALUES ($1, $2, $3, $4, 1, 2, $5, 1, '', 0, 0, '')`, "tap_"+string(ada.ID), string(w), string(ada.ID), []byte("digest"), true)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, w, ada.ID, Start()) })
	keysCounted(t, d, w)
	if n := Count(t, d, `SELECT COUNT(*) FROM term WHERE workspace = $1 AND kind = 'security_key'`, string(w)); n != 0 {
		t.Errorf("%d terms are left, want none", n)
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM signin_access_pass WHERE workspace = $1`, string(w)); n != 0 {
		t.Errorf("%d access passes are left, want none", n)
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListBindings(ctx, w, ada.ID)
		if err != nil || len(all) != 2 || all[0].EndedAs != "user_deleted" || !all[0].EndedAt.Equal(Start()) {
			t.Errorf("the record %+v (%v), want two that ended with the user", all, err)
		}
		return nil
	})
}

// keysBy returns the names of the keys that a query finds.
func keysBy(t *testing.T, d Database, w id.Workspace, q securitykey.Query) string {
	t.Helper()
	q.Page.WithTotal = true
	q.Page = q.Page.Bounded()
	var names []string
	for {
		var p page.Page[securitykey.SecurityKey]
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			p, err = tx.ListSecurityKeys(ctx, w, q)
			return err
		})
		for _, k := range p.Items {
			names = append(names, k.Name)
		}
		if q.Page.After = p.Next; p.Next.IsZero() {
			if p.Total != len(names) {
				t.Errorf("%+v: total %d, want %d", q, p.Total, len(names))
			}
			return strings.Join(names, " ")
		}
	}
}

func keysOfTheRenamed(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	insertSecurityKeys(t, d, newSecurityKey(ada, "One"))
	ada.LastName, ada.Email = "Lovelace", "countess@example.org"
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, ada) })
	for words, want := range map[string]string{"love": "One", "countess": "One", "one": "One", "example": "One", "ada@example.org": "", "bob": ""} {
		if got := keysBy(t, d, w, securitykey.Query{Words: []string{words}}); got != want {
			t.Errorf("%q finds %q, want %q", words, got, want)
		}
	}
}

func filterSecurityKeys(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, bob := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob")
	elsewhere := User(t, d.Store, Workspace(t, d.Store), "eve")
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	a, b, c, e := newSecurityKey(ada, "a"), newSecurityKey(bob, "B"), newSecurityKey(bob, "c"), newSecurityKey(elsewhere, "e")
	a.CreatedAt, a.LastActivityAt = at(3), at(9)
	b.CreatedAt, b.ActivatedAt, b.Kind, b.Life, b.ToConfirm, b.Card.Digest = at(1), time.Time{}, securitykey.FIDO2, securitykey.Pending, true, "digest"
	c.CreatedAt, c.LastActivityAt, c.Kind, c.SuspendedAt = at(2), at(4), securitykey.FIDO2, at(5)
	insertSecurityKeys(t, d, a, b, c, e)
	pages := func(sort string, down bool) page.Request { return page.Request{Limit: 1, Sort: sort, Descending: down} }
	for _, q := range []struct {
		q    securitykey.Query
		want string
	}{
		{securitykey.Query{Page: pages("", false)}, "a B c"},
		{securitykey.Query{Page: pages(securitykey.SortName, true)}, "c B a"},
		{securitykey.Query{Page: pages(securitykey.SortCreated, false)}, "B c a"},
		{securitykey.Query{Page: pages(securitykey.SortLastActivity, true)}, "a c B"},
		{securitykey.Query{User: bob.ID, Page: pages("", false)}, "B c"},
		{securitykey.Query{User: elsewhere.ID, Page: pages("", false)}, ""},
		{securitykey.Query{Status: securitykey.Active, Page: pages("", false)}, "a"},
		{securitykey.Query{Status: securitykey.Suspended, Page: pages(securitykey.SortCreated, false)}, "c"},
		{securitykey.Query{Kind: securitykey.FIDO2, Page: pages("", false)}, "B c"},
		{securitykey.Query{Kind: securitykey.FIDO2, Status: securitykey.Pending, Page: pages("", false)}, "B"},
		{securitykey.Query{Kind: securitykey.Smartphone, Page: pages("", false)}, ""},
		{securitykey.Query{ToConfirm: true, Page: pages("", false)}, "B"},
		{securitykey.Query{CardDigest: "digest", Page: pages("", false)}, "B"},
		{securitykey.Query{CardDigest: "digest", User: ada.ID, Page: pages("", false)}, ""},
		{securitykey.Query{UnusedSince: at(5), Page: pages(securitykey.SortLastActivity, false)}, "B c"},
		{securitykey.Query{UnusedSince: at(5), Status: securitykey.Pending, Page: pages("", false)}, "B"},
		{securitykey.Query{Words: []string{"bob"}, Status: securitykey.Suspended, Page: pages("", false)}, "c"},
		{securitykey.Query{Words: []string{"bob"}, User: bob.ID, ToConfirm: true, Page: pages("", false)}, "B"},
	} {
		if got := keysBy(t, d, w, q.q); got != q.want {
			t.Errorf("%+v finds %q, want %q", q.q, got, q.want)
		}
	}
}

func keylessUsers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	var users []directory.User
	for i := range 4 {
		users = append(users, User(t, d.Store, w, fmt.Sprint("u", i)))
	}
	insertSecurityKeys(t, d, newSecurityKey(users[1], "One"))
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w, users[2].ID, Start()) })
	found := func(q directory.Query) string {
		t.Helper()
		q.WithoutKey = true
		q.Page = page.Request{Limit: 2, Sort: q.Page.Sort, WithTotal: true}
		var names []string
		for {
			var p page.Page[directory.User]
			Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
				p, err = tx.ListUsers(ctx, w, q)
				return err
			})
			for _, u := range p.Items {
				names = append(names, u.UserID)
			}
			if q.Page.After = p.Next; p.Next.IsZero() {
				if p.Total != len(names) {
					t.Errorf("%+v: total %d, want %d", q, p.Total, len(names))
				}
				return strings.Join(names, " ")
			}
		}
	}
	for _, c := range []struct {
		q    directory.Query
		want string
	}{
		{directory.Query{}, "u0 u2 u3"},
		{directory.Query{Page: page.Request{Sort: directory.SortEmail}}, "u0 u2 u3"},
		{directory.Query{Status: directory.Suspended}, "u2"},
		{directory.Query{Words: []string{"u1"}}, ""},
		{directory.Query{Words: []string{"u3"}}, "u3"},
	} {
		if got := found(c.q); got != c.want {
			t.Errorf("%+v finds %q, want %q", c.q, got, c.want)
		}
	}
}

func keySessions(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	k, other := newSecurityKey(ada, "One"), newSecurityKey(ada, "Two")
	insertSecurityKeys(t, d, k, other)
	open := func(owner id.SecurityKey) auth.Caller {
		by := AppSession(t, d.Store, ada, signin.OpenedByPasskey, Start())
		p := signin.Passkey{ID: id.New[id.KindPasskey](Start()), Workspace: w, User: ada.ID, Record: []byte("{}"), CreatedAt: Start()}
		p.CredentialID = []byte(p.ID)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, p) })
		if owner != "" {
			Exec(t, d, `UPDATE signin_passkey SET security_key = $1 WHERE id = $2`, string(owner), string(p.ID))
		}
		Exec(t, d, `UPDATE signin_session SET passkey_id = $1 WHERE id = $2`, string(p.ID), string(by.Session))
		return by
	}
	mine, others, own := open(k.ID), open(other.ID), open("")
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.EndSecurityKeySessions(ctx, w, k.ID, Start()) })
	for by, want := range map[*auth.Caller]bool{&mine: false, &others: true, &own: true} {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			s, err := tx.CallerStanding(ctx, *by, Start())
			if s.Active != want {
				t.Errorf("a session is %v, want %v", s.Active, want)
			}
			return err
		})
	}
}
