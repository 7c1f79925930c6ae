package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/vault"
	"github.com/keyhold/keyhold/internal/store"
)

func countedFromRecord(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	one, two := newSecurityKey(ada, "Badge"), newSecurityKey(ada, "Phone")
	insertSecurityKeys(t, d, one, two)
	shop, bank := newCredential(ada, "shop.example", Start()), newCredential(ada, "bank.example", Start())
	insertCredentials(t, d, shop, bank)
	foreign := newCredential(User(t, d.Store, other, "eve"), "shop.example", Start())
	insertCredentials(t, d, foreign)
	at := func(minutes int) time.Time { return Start().Add(time.Duration(minutes) * time.Minute) }
	write := func(c vault.Credential, k id.SecurityKey, action string, o activity.Outcome, minutes int) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			return activity.Append(ctx, tx, auth.Job(w, "test"), activity.Event{Action: action, Outcome: o, Target: c.Party(), SecurityKey: k}, at(minutes))
		})
	}
	write(shop, one.ID, vault.UseAction, activity.Success, 40)
	write(shop, two.ID, vault.UseAction, activity.Success, 10)
	write(shop, one.ID, vault.UseAction, activity.Refused, 50)
	write(shop, one.ID, "credential.delete", activity.Success, 60)
	write(bank, two.ID, vault.UseAction, activity.Success, 5)
	write(foreign, two.ID, vault.UseAction, activity.Success, 5) // of another workspace: a forged line moves nothing there
	seal := func() {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			_, err := activity.SealNext(ctx, tx, w)
			return err
		})
	}
	seal()
	seal()
	check := func(shopUses, bankUses int64) {
		t.Helper()
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			s, _, err := tx.FindCredential(ctx, w, shop.ID)
			if err != nil || s.Uses != shopUses || !s.LastUsedAt.Equal(at(40)) || s.LastKey != one.ID {
				t.Errorf("the shop's credential has %d uses, the last at %v by %s (%v)", s.Uses, s.LastUsedAt, s.LastKey, err)
			}
			b, _, err := tx.FindCredential(ctx, w, bank.ID)
			if err != nil || b.Uses != bankUses || !b.LastUsedAt.Equal(at(5)) || b.LastKey != two.ID {
				t.Errorf("the bank's credential has %d uses, the last at %v by %s (%v)", b.Uses, b.LastUsedAt, b.LastKey, err)
			}
			f, _, err := tx.FindCredential(ctx, other, foreign.ID)
			if err != nil || f.Uses != 0 {
				t.Errorf("another workspace's credential has %d uses (%v)", f.Uses, err)
			}
			return err
		})
	}
	check(2, 1)
	// A use that is sealed later, but was before.
	write(shop, two.ID, vault.UseAction, activity.Success, 20)
	seal()
	check(3, 1)
	if n := Count(t, d, `SELECT total FROM securitykey WHERE id = $1`, string(one.ID)); n != 1 {
		t.Errorf("the badge has %d uses, want 1", n)
	}
	if n := Count(t, d, `SELECT total FROM securitykey WHERE id = $1`, string(two.ID)); n != 4 {
		t.Errorf("the phone has %d uses, want 4", n)
	}
	if n := Count(t, d, `SELECT SUM(n) FROM tick WHERE workspace = $1 AND name = 'login.success'`, w); n != 5 {
		t.Errorf("%d sign-ins are counted, want 5", n)
	}
	if n := Count(t, d, `SELECT n FROM tick WHERE workspace = $1 AND name = 'login.success' AND quarter = $2`, w, Start().Truncate(15*time.Minute).UnixMilli()); n < 2 {
		t.Errorf("%d sign-ins in the first quarter, want those of then", n)
	}
}
