package apikey_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// server is the caller of the server's own jobs.
func server() auth.Caller { return auth.Job("", "server") }

// cached returns a house whose room keeps keys in memory, as the only server does.
func cached(t testing.TB) house {
	t.Helper()
	return newHouseWith(t, func(d storetest.Database, c *apikey.Config) {
		c.Cache = apikey.NewCache()
		c.Leases = alone(t, d.Store, c.Cache)
	})
}

// alone returns the lease of the only server of a store, which never runs out by
// itself.
func alone(t testing.TB, s *store.Store, cache *apikey.Cache) *lease.Holder {
	t.Helper()
	h := lease.New(lease.Config{
		Store: store.For[lease.ReplicaTx](s), Forget: cache.Forget, Start: func() lease.Watch { return still{} },
		Pause: func(context.Context, time.Duration) error { return nil }, Signal: s.Signal,
	})
	s.SettleBy(h.Settle)
	if err := h.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// still is a watch of no time.
type still struct{}

func (still) Elapsed() time.Duration    { return 0 }
func (still) Within(time.Duration) bool { return true }

func (h house) flush(t testing.TB) {
	t.Helper()
	if err := h.FlushUsage(t.Context(), server()); err != nil {
		t.Fatal(err)
	}
}

// used asks how often a key was used on the last days, today last.
func (h house) used(t testing.TB, k id.APIKey, want ...int64) {
	t.Helper()
	days, err := h.Usage(t.Context(), h.fresh(t), k)
	if err != nil || len(days) != apikey.UsageDays {
		t.Fatalf("Usage() = %d days (%v), want %d", len(days), err, apikey.UsageDays)
	}
	total := int64(0)
	for i, d := range days {
		if wantDay := h.clock.Now().Truncate(day).AddDate(0, 0, i-apikey.UsageDays+1); !d.Day.Equal(wantDay) {
			t.Fatalf("day %d of Usage() is %v, want %v", i, d.Day, wantDay)
		}
		total += d.N
	}
	for i, n := range want {
		d := days[apikey.UsageDays-len(want)+i]
		if total -= d.N; d.N != n {
			t.Errorf("%d uses on %v, want %d", d.N, d.Day, n)
		}
	}
	if total != 0 {
		t.Errorf("%d uses on other days, want none", total)
	}
}

func TestUsage(t *testing.T) {
	h := cached(t)
	k, text := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Clients})
	other, otherText := h.issue(t, apikey.NewKey{Name: "Other", Type: apikey.Clients})
	h.used(t, k.ID, 0)
	if !k.LastUse.At.IsZero() || !h.find(t, k.ID).LastUse.At.IsZero() {
		t.Error("a key that was never used says when it was")
	}
	for range 3 {
		h.works(t, text, apikey.Clients)
	}
	h.works(t, otherText, apikey.Clients)
	if !h.find(t, k.ID).LastUse.At.IsZero() {
		t.Error("the last use stands in the database before it is flushed: it is to be written in batches")
	}
	h.flush(t)
	h.used(t, k.ID, 3)
	h.used(t, other.ID, 1)
	want := apikey.Use{At: h.clock.Now(), IP: "192.0.2.4", Agent: "robot/2"}
	if got := h.find(t, k.ID).LastUse; got != want {
		t.Errorf("the last use is %+v, want %+v", got, want)
	}
	h.flush(t) // nothing is written twice
	h.used(t, k.ID, 3)

	h.clock.Advance(14*time.Hour + 29*time.Minute) // 23:59
	h.works(t, text, apikey.Clients)
	h.clock.Advance(2 * time.Minute)
	by := auth.Nobody("2001:db8::7", strings.Repeat("ü", 201)+" and more", "req_late")
	if _, err := h.Verify(t.Context(), by, text, apikey.Clients); err != nil {
		t.Fatal(err)
	}
	h.flush(t) // two days of one key at once
	h.used(t, k.ID, 4, 1)
	if got := h.find(t, k.ID).LastUse; got.At != h.clock.Now() || got.IP != "2001:db8::7" || got.Agent != strings.Repeat("ü", 200) {
		t.Errorf("the last use is %+v, want the one after midnight, its agent cut to 400 bytes", got)
	}
	h.clock.Advance((apikey.UsageDays - 1) * day)
	h.used(t, k.ID, append([]int64{1}, make([]int64, apikey.UsageDays-1)...)...)
	h.clock.Advance(day)
	h.used(t, k.ID)
}

// A letter that is cut in two is left out: PostgreSQL would refuse the whole batch.
func TestUsage_agentIsCutBetweenLetters(t *testing.T) {
	h := cached(t)
	k, text := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Clients})
	if _, err := h.Verify(t.Context(), auth.Nobody("192.0.2.4", "x"+strings.Repeat("ü", 300), "req"), text, apikey.Clients); err != nil {
		t.Fatal(err)
	}
	h.flush(t)
	if got := h.find(t, k.ID).LastUse.Agent; got != "x"+strings.Repeat("ü", 199) {
		t.Errorf("the agent is %q, want whole letters", got)
	}
}

// Refused uses are no uses.
func TestUsage_refusalsDoNotCount(t *testing.T) {
	h := cached(t)
	k, text := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Clients, AllowedIPs: []string{"192.0.2.0/24"}})
	_, _ = h.Verify(t.Context(), nobody(), text, apikey.Admin)                             // the wrong type
	_, _ = h.Verify(t.Context(), auth.Nobody("2001:db8::1", "", ""), text, apikey.Clients) // the wrong address
	if _, _, err := h.Disable(t.Context(), h.by, k.ID, false); err != nil {
		t.Fatal(err)
	}
	h.works(t, text, apikey.Clients)
	h.flush(t)
	h.used(t, k.ID, 0)
	if got := h.find(t, k.ID).LastUse; !got.At.IsZero() {
		t.Errorf("the last use is %+v, want never", got)
	}
}

// rerouted runs transactions over whatever store is behind it now.
type rerouted struct{ store **store.Store }

func (r rerouted) Write(ctx context.Context, fn tx.Func[apikey.Tx]) error {
	return store.For[apikey.Tx](*r.store).Write(ctx, fn)
}

func (r rerouted) Read(ctx context.Context, fn func(ctx context.Context, t apikey.Tx) error) error {
	return store.For[apikey.Tx](*r.store).Read(ctx, fn)
}

// What cannot be written is kept for the next time: counts, last uses and hashes.
func TestFlushUsage_failureKeepsAll(t *testing.T) {
	closed, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "closed.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	var now *store.Store
	h := newHouseWith(t, func(d storetest.Database, c *apikey.Config) {
		now = d.Store
		c.Store, c.Cache, c.Peppers = rerouted{&now}, apikey.NewCache(), peppers(1, 2)
		c.Leases = alone(t, d.Store, c.Cache)
	})
	k, text := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Clients})
	if err := h.Repepper(t.Context(), server(), peppers(2, 1)); err != nil {
		t.Fatal(err)
	}
	h.works(t, text, apikey.Clients)
	now = closed
	for range 3 {
		if err := h.FlushUsage(t.Context(), server()); err == nil {
			t.Fatal("FlushUsage() = nil over a closed store")
		}
	}
	h.works(t, text, apikey.Clients) // from memory
	now = h.Store
	h.flush(t)
	h.used(t, k.ID, 2)
	if got := h.find(t, k.ID); got.Pepper != 2 {
		t.Errorf("the hash is under pepper %d after a flush that failed and one that did not, want 2", got.Pepper)
	}
}

func TestSweep(t *testing.T) {
	h := cached(t)
	k, text := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Clients})
	gone, goneText := h.issue(t, apikey.NewKey{Name: "Gone", Type: apikey.Clients})
	h.works(t, text, apikey.Clients)
	h.works(t, goneText, apikey.Clients)
	h.flush(t)
	if _, err := h.Delete(t.Context(), h.by, gone.ID, false, 0); err != nil {
		t.Fatal(err)
	}
	rows := func(key id.APIKey) int {
		return storetest.Count(t, h.Database, `SELECT COUNT(*) FROM apikey_usage WHERE key_id = $1`, string(key)) +
			storetest.Count(t, h.Database, `SELECT COUNT(*) FROM apikey_use WHERE key_id = $1`, string(key))
	}
	sweep := func() {
		t.Helper()
		if err := h.Sweep(t.Context(), server()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if rows(gone.ID) == 0 {
		t.Error("a key's usage is swept as it is deleted: another server may still write it")
	}
	h.clock.Advance(5 * time.Minute)
	sweep()
	if n, there := rows(gone.ID), rows(k.ID); n != 0 || there != 2 {
		t.Errorf("%d rows of the deleted key and %d of the other, want 0 and 2", n, there)
	}
	h.clock.Advance((apikey.UsageDays - 1) * day)
	sweep()
	if n := rows(k.ID); n != 2 {
		t.Errorf("%d rows on the last day on which its usage is shown, want 2", n)
	}
	h.clock.Advance(day)
	sweep()
	if n := rows(k.ID); n != 1 {
		t.Errorf("%d rows a day later, want 1: the last use stays", n)
	}
}

func TestJobs_areTheSystemsOwn(t *testing.T) {
	h := cached(t)
	_, text := h.issue(t, admin())
	for _, by := range []auth.Caller{h.by, h.caller(t, text), nobody(), {}} {
		_, warned := h.WarnExpiring(t.Context(), by)
		_, counted := h.CountStale(t.Context(), by, nil)
		for what, err := range map[string]error{
			"FlushUsage": h.FlushUsage(t.Context(), by), "Sweep": h.Sweep(t.Context(), by), "WarnExpiring": warned, "CountStale": counted,
			"Repepper": h.Repepper(t.Context(), by, peppers(9)),
		} {
			if f, ok := fault.As(err); !ok || f.Code != "system_only" {
				t.Errorf("%s() as %s: %v, want system_only", what, by.Kind, err)
			}
		}
	}
	if !h.works(t, text, apikey.Admin) {
		t.Error("somebody changed the peppers")
	}
}

// stale counts the hashes under other peppers than these.
func (h house) stale(t testing.TB, except ...int) int64 {
	t.Helper()
	n, err := h.CountStale(t.Context(), server(), except)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// with returns a room of another server over the same database.
func (h house) with(p apikey.Peppers) house {
	h.Service = apikey.New(apikey.Config{Store: store.For[apikey.Tx](h.Store), Clock: h.clock, Peppers: p, Cache: apikey.NewCache()})
	return h
}

// After a rotation each token's hash moves to the new pepper as it is used; then the
// old one is not needed any more.
func TestRepepper(t *testing.T) {
	h := cached(t)
	_, used := h.issue(t, admin())
	k, retiring := h.issue(t, admin())
	_, renewed := h.reset(t, k, apikey.Renewal{Overlap: 20 * time.Hour})
	_, unused := h.issue(t, admin())
	texts := []string{used, retiring, renewed, unused}
	for _, text := range texts {
		h.works(t, text, apikey.Admin) // from now on from memory
	}
	if n := h.stale(t, 1); n != 0 {
		t.Errorf("%d hashes are under another pepper than 1, want none", n)
	}
	if n := h.stale(t); n != 4 {
		t.Errorf("%d hashes in all, want 4", n)
	}
	if err := h.Repepper(t.Context(), server(), peppers(2, 1)); err != nil {
		t.Fatal(err)
	}
	if n := h.stale(t, 2); n != 4 {
		t.Errorf("%d hashes are under another pepper than 2, want 4", n)
	}
	_, created := h.issue(t, admin())
	for _, text := range []string{used, retiring, renewed, created} {
		if !h.works(t, text, apikey.Admin) {
			t.Error("a token is refused after a rotation")
		}
	}
	h.flush(t)
	if n := h.stale(t, 2); n != 1 {
		t.Errorf("%d hashes are under another pepper than 2 after their use, want the one that was not used", n)
	}
	only := h.with(peppers(2))
	for text, want := range map[string]bool{used: true, retiring: true, renewed: true, created: true, unused: false} {
		if got := only.works(t, text, apikey.Admin); got != want {
			t.Errorf("without the old pepper a token works = %v, want %v", got, want)
		}
	}
	if !h.works(t, unused, apikey.Admin) {
		t.Error("a token that was not used since the rotation is refused")
	}
	h.flush(t)
	if n := h.stale(t, 2); n != 0 || !only.works(t, unused, apikey.Admin) {
		t.Errorf("%d hashes are left under the old pepper after each was used, want none", n)
	}
	h.clock.Advance(20 * time.Hour) // a retiring token that is over counts no more
	if n := h.stale(t); n != 4 {
		t.Errorf("%d hashes after the overlap, want 4", n)
	}
}

// A server on which a newer pepper is known but not current leaves alone what others
// wrote under it.
func TestRepepper_onlyUpwards(t *testing.T) {
	h := cached(t)
	k, text := h.with(peppers(2, 1)).issue(t, admin())
	behind := h.with(peppers(1, 2))
	if !behind.works(t, text, apikey.Admin) {
		t.Fatal("a token under a pepper that is known, but not current, is refused")
	}
	behind.flush(t)
	if got := h.find(t, k.ID); got.Pepper != 2 {
		t.Errorf("the hash is under pepper %d, want 2 as it was", got.Pepper)
	}
}

// Keys of an earlier version do not say under which pepper they are.
func TestRepepper_unknownPepper(t *testing.T) {
	h := cached(t)
	k, text := h.issue(t, admin())
	storetest.Exec(t, h.Database, `UPDATE apikey SET pepper = 0 WHERE id = $1`, string(k.ID))
	if n := h.stale(t, 1); n != 1 {
		t.Errorf("%d hashes of an unknown pepper are counted, want 1", n)
	}
	if !h.works(t, text, apikey.Admin) {
		t.Fatal("the token is refused")
	}
	h.flush(t)
	if got := h.find(t, k.ID); got.Pepper != 1 || h.stale(t, 1) != 0 {
		t.Errorf("after its use the pepper is %d, want 1", got.Pepper)
	}
}

// Who resets a key while its old hash waits to be written anew loses nothing.
func TestRepepper_resetGoesFirst(t *testing.T) {
	h := cached(t)
	k, old := h.issue(t, admin())
	if err := h.Repepper(t.Context(), server(), peppers(2, 1)); err != nil {
		t.Fatal(err)
	}
	h.works(t, old, apikey.Admin) // its new hash waits
	_, text := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	h.flush(t)
	fresh := h.with(peppers(2))
	if !fresh.works(t, old, apikey.Admin) || !fresh.works(t, text, apikey.Admin) {
		t.Error("after a reset and a late hash a token is refused")
	}
	if _, err := h.EndOverlap(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	h.flush(t)
	if h.works(t, old, apikey.Admin) {
		t.Error("a late hash brought an old token back")
	}
}

// What is used by many is written in parts, none of it twice and none left out.
func TestFlushSome(t *testing.T) {
	h := newMemory(t)
	const keys = 300 // in nearly all groups of shards
	texts := map[id.APIKey]string{}
	for range keys {
		k, text := h.issue(t, apikey.NewKey{Name: "X", Type: apikey.Clients})
		texts[k.ID] = text
	}
	for round := range 2 {
		for _, text := range texts {
			if !h.works(t, text, apikey.Clients) {
				t.Fatal("a new key is refused")
			}
		}
		if err := h.FlushSome(t.Context(), auth.Job("", "server")); err != nil {
			t.Fatal(err)
		}
		if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM apikey_usage WHERE n = $1`, round+1); n != keys {
			t.Errorf("after round %d %d keys have as many uses, want %d", round+1, n, keys)
		}
	}
	storetest.Refused(t, h.FlushSome(t.Context(), h.by), "system_only")
}
