package overview_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestDigitalKeys_countsByTheClock(t *testing.T) {
	both(t, func(t *testing.T, d storetest.Database) {
		r, other := newRoom(t, d), newRoom(t, d)
		now := r.clock.Now()
		keep := func(in room, name string, starts, ends, cancelled time.Time) {
			u := storetest.User(t, d.Store, in.w, name)
			k := digitalkey.DigitalKey{
				ID: id.New[id.KindDigitalKey](now), Workspace: in.w, User: u.ID, StartsAt: starts, ExpiresAt: ends, Timezone: "UTC", Role: digitalkey.RoleUser,
				Types: []digitalkey.Type{digitalkey.App}, CreatedAt: now, CancelledAt: cancelled, Revision: 1,
			}
			storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertDigitalKey(ctx, k) })
		}
		hour, never := time.Hour, time.Time{}
		keep(r, "upcoming", now.Add(hour), now.Add(2*hour), never)
		keep(r, "active", now, now.Add(hour), never)
		keep(r, "also active", now.Add(-hour), now.Add(hour), never)
		keep(r, "expired", now.Add(-hour), now, never)
		keep(r, "cancelled", now, now.Add(hour), now)
		keep(other, "elsewhere", now, now.Add(hour), never)
		r.tick(t, "digital_key.cancel", "2026-03-01T00:00:00Z", 7)
		today := overview.DateOf(now, time.UTC)
		got, err := r.DigitalKeys(t.Context(), r.by, overview.Range{First: overview.Date{Year: 2026, Month: 3, Day: 1}, Last: today, Zone: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		want := overview.DigitalKeysByStatus{Upcoming: 1, Active: 2, Expired: 1, Cancelled: 1}
		if diff := cmp.Diff(want, got.ByStatus); got.Total != 5 || diff != "" {
			t.Errorf("Total = %d, want 5; ByStatus (-want +got):\n%s", got.Total, diff)
		}
		if got.Days[0].Cancelled != 7 || got.Days[len(got.Days)-1].Created != 5 {
			t.Errorf("Days = %+v, want 7 cancelled on the first and 5 created on the last", got.Days)
		}
	})
}
