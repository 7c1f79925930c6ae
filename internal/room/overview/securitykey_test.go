package overview_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestDashboard_keysNeedAttention(t *testing.T) {
	both(t, func(t *testing.T, d storetest.Database) {
		r := newRoom(t, d)
		holder := storetest.User(t, d.Store, r.w, "holder")
		keep := func(w id.Workspace, u id.User, name string, wrong int, waits bool) id.SecurityKey {
			k := securitykey.SecurityKey{
				ID: id.New[id.KindSecurityKey](r.clock.Now()), Workspace: w, User: u, Kind: securitykey.ContactlessCard, Name: name, Life: securitykey.Pending,
				Verification: securitykey.ByPIN, ToConfirm: waits, CreatedAt: r.clock.Now(), Revision: 1, PIN: securitykey.PIN{Wrong: wrong},
			}
			storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSecurityKey(ctx, k) })
			return k.ID
		}
		keep(r.w, holder.ID, "fine", securitykey.PINTries-1, false)
		locked := keep(r.w, holder.ID, "locked", securitykey.PINTries, false)
		keep(r.w, holder.ID, "waits", 0, true)
		keep(r.w, holder.ID, "waits too", 0, true)
		other := newRoom(t, d)
		stranger := storetest.User(t, d.Store, other.w, "stranger")
		keep(other.w, stranger.ID, "of another workspace", securitykey.PINTries, true)

		want := overview.Attention{KeysToConfirm: 2, LockedPINs: []overview.LockedPIN{{ID: locked, Name: "locked", Holder: holder.Name()}}}
		for _, p := range auth.All() {
			got := r.dashboard(t, storetest.Administrator(t, d.Store, r.w, string(p), p)).Attention
			if p == auth.SecurityKeysRead && !cmp.Equal(got, want) {
				t.Errorf("Attention = %+v, want %+v", got, want)
			}
			if p != auth.SecurityKeysRead && (got.KeysToConfirm > 0 || len(got.LockedPINs) > 0) {
				t.Errorf("with %s: Attention = %+v, want nothing of keys", p, got)
			}
		}
		for i := range overview.AttentionLimit + 1 {
			keep(r.w, holder.ID, fmt.Sprint("more ", i), securitykey.PINTries, false)
		}
		if got := r.dashboard(t, storetest.Administrator(t, d.Store, r.w, "reader", auth.SecurityKeysRead)).Attention; len(got.LockedPINs) != overview.AttentionLimit {
			t.Errorf("LockedPINs = %d, want %d", len(got.LockedPINs), overview.AttentionLimit)
		}
	})
}
