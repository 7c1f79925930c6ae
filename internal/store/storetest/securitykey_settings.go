package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
)

func keySettings(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	s := securitykey.Settings{
		PIN: securitykey.PINRules{Min: 4, Max: 63, Digit: true, Upper: true}, Pinless: true, ModelsAllowed: []string{"a", "b"}, UnusedDays: 30, GraceDays: 7, Revision: 1,
	}
	put := func(want bool) {
		t.Helper()
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			ok, err := tx.WriteSecurityKeySettings(ctx, w, s)
			if ok != want {
				t.Errorf("writing revision %d = %v, want %v", s.Revision, ok, want)
			}
			return err
		})
	}
	look := func() (out securitykey.Settings, there bool) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			out, there, err = tx.FindSecurityKeySettings(ctx, w)
			return err
		})
		return out, there
	}
	if _, there := look(); there {
		t.Error("settings are there that nobody wrote")
	}
	put(true)
	put(false) // somebody else wrote the first ones
	got, _ := look()
	same(t, "settings", got, s)
	s.Revision, s.ModelsAllowed, s.ModelsBlocked, s.PIN.Lower = 2, nil, []string{"c"}, true
	put(true)
	got, _ = look()
	same(t, "changed settings", got, s)
}

func unusedKeys(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	keys := make([]securitykey.SecurityKey, 5)
	for i := range keys {
		keys[i] = newSecurityKey(ada, fmt.Sprint(i))
		keys[i].ActivatedAt = at(i)
	}
	keys[1].SuspendedAt, keys[3].NoticedAt = at(9), at(9)
	keys[4].Life = securitykey.Pending
	insertSecurityKeys(t, d, keys...)
	found := func(q securitykey.UnusedQuery) string {
		t.Helper()
		names, n := []string(nil), int64(0)
		q.Limit = 1
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			if n, err = tx.CountUnusedSecurityKeys(ctx, w, q); err != nil {
				return err
			}
			for {
				some, err := tx.ListUnusedSecurityKeys(ctx, w, q)
				if err != nil || len(some) == 0 {
					return err
				}
				names = append(names, some[0].Name)
				q.After = securitykey.Place{UsedAt: some[0].UsedAt(), ID: some[0].ID}
			}
		})
		if int(n) != len(names) {
			t.Errorf("%+v: %d counted, want %d", q, n, len(names))
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		q    securitykey.UnusedQuery
		want string
	}{
		{securitykey.UnusedQuery{UsedBy: at(9)}, "0 2 3"},
		{securitykey.UnusedQuery{UsedBy: at(2)}, "0 2"},
		{securitykey.UnusedQuery{UsedBy: at(9), Told: securitykey.ToldNever}, "0 2"},
		{securitykey.UnusedQuery{UsedBy: at(9), Told: securitykey.ToldBefore, ToldBy: at(9)}, "3"},
		{securitykey.UnusedQuery{UsedBy: at(9), Told: securitykey.ToldBefore, ToldBy: at(8)}, ""},
	} {
		if got := found(c.q); got != c.want {
			t.Errorf("%+v finds %q, want %q", c.q, got, c.want)
		}
	}
	note := func(k securitykey.SecurityKey, usedBy time.Time) (noted bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			noted, err = tx.NoteUnusedNotice(ctx, w, k.ID, usedBy, at(20))
			return err
		})
		return noted
	}
	for i, want := range []bool{true, false, false, false, false} { // used meanwhile is 2
		if got := note(keys[i], at(1)); got != want {
			t.Errorf("noting %d = %v, want %v", i, got, want)
		}
	}
	if note(keys[0], at(1)) {
		t.Error("noted twice")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.ClearUnusedNotices(ctx, w) })
	if got := found(securitykey.UnusedQuery{UsedBy: at(9), Told: securitykey.ToldNever}); got != "0 2 3" {
		t.Errorf("after forgetting %q, want %q", got, "0 2 3")
	}
}

func unusedRules(t *testing.T, d Database) {
	var want []securitykey.UnusedRule
	for i := range 4 {
		w := Workspace(t, d.Store)
		s := securitykey.Settings{PIN: securitykey.PINRules{Min: 6, Max: 6}, UnusedDays: 10 * i, GraceDays: 7, Revision: 1}
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.WriteSecurityKeySettings(ctx, w, s)
			if i == 3 {
				err = errors.Join(err, tx.SuspendWorkspace(ctx, w, Start()))
			}
			return err
		})
		if i == 1 || i == 2 {
			want = append(want, securitykey.UnusedRule{Workspace: w, Days: 10 * i, Grace: 7})
		}
	}
	slices.SortFunc(want, func(a, b securitykey.UnusedRule) int {
		return strings.Compare(string(a.Workspace), string(b.Workspace))
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, err := tx.ListUnusedRules(ctx, "", 10)
		same(t, "the rules", got, want)
		if err != nil {
			return err
		}
		got, err = tx.ListUnusedRules(ctx, want[0].Workspace, 10)
		same(t, "the rules after the first", got, want[1:])
		return err
	})
}

func securityKeyWatchers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	Administrator(t, d.Store, w, "owner")
	Administrator(t, d.Store, w, "keys", auth.SecurityKeysWrite)
	Administrator(t, d.Store, w, "reader", auth.SecurityKeysRead, auth.APIKeysWrite)
	gone := Administrator(t, d.Store, w, "gone", auth.SecurityKeysWrite)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w, gone.User, Start()) })
	var got []string
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListSecurityKeyWatchers(ctx, w)
		for _, r := range all {
			got = append(got, r.Email)
		}
		return err
	})
	slices.Sort(got)
	same(t, "who is told", got, []string{"keys@example.org", "owner@example.org"})
}

func workspaceSecret(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	for _, sealed := range []string{"first", "second"} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			return tx.InsertWorkspaceSecret(ctx, w, "pin_key", []byte(sealed))
		})
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, found, err := tx.FindWorkspaceSecret(ctx, w, "pin_key")
		if string(got) != "first" || !found {
			t.Errorf("the secret is %q (%v), want the first", got, found)
		}
		if _, found, _ := tx.FindWorkspaceSecret(ctx, w, "card_key"); found {
			t.Error("a secret of another kind is there")
		}
		return err
	})
}
