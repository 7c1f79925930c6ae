package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store"
)

// usageOf returns how often a key was used, by day.
func usageOf(t *testing.T, d Database, k apikey.Key, first int64) map[int64]int64 {
	t.Helper()
	out := map[int64]int64{}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		days, err := tx.ListAPIKeyUsage(ctx, k.Workspace, k.ID, first)
		if !slices.IsSortedFunc(days, func(a, b apikey.DayUsage) int { return a.Day.Compare(b.Day) }) {
			t.Errorf("the days %+v are not in order", days)
		}
		for _, u := range days {
			out[u.Day.Unix()/(24*60*60)] = u.N
		}
		return err
	})
	return out
}

func addUses(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	k, other := newKey(w, "Robot"), newKey(w, "Other")
	insertKeys(t, d, k, other)
	use := func(k apikey.Key, day, n int64, at time.Duration, ip string) apikey.Used {
		return apikey.Used{Workspace: w, Key: k.ID, Day: day, N: n, Last: apikey.Use{At: Start().Add(at), IP: ip, Agent: "agent " + ip}}
	}
	add := func(uses ...apikey.Used) {
		t.Helper()
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.AddAPIKeyUses(ctx, uses) })
	}
	add(use(k, 21, 2, time.Minute, "b"), use(other, 20, 1, 0, "c"), use(k, 20, 3, 0, "a")) // two days of one key
	same(t, "the usage", usageOf(t, d, k, 0), map[int64]int64{20: 3, 21: 2})
	same(t, "the usage from a day on", usageOf(t, d, k, 21), map[int64]int64{21: 2})
	got, _ := findKey(t, d, k)
	same(t, "the last use", got.LastUse, apikey.Use{At: Start().Add(time.Minute), IP: "b", Agent: "agent b"})
	add(use(k, 21, 5, 30*time.Second, "late")) // another server's, that was earlier
	add()
	got, _ = findKey(t, d, k)
	same(t, "the last use after an earlier one", got.LastUse.IP, "b")
	same(t, "the usage", usageOf(t, d, k, 0), map[int64]int64{20: 3, 21: 7})

	const many = 250
	var keys []apikey.Key
	var uses []apikey.Used
	for i := range many {
		keys = append(keys, newKey(w, fmt.Sprint("many", i)))
		uses = append(uses, use(keys[i], 20, int64(i+1), 0, "x"))
		if i%100 == 99 { // the two days of a key fall into two statements
			uses = append(uses, use(keys[i], 21, 1, time.Hour, "y"))
		}
	}
	insertKeys(t, d, keys...)
	rand.Shuffle(len(uses), func(i, j int) { uses[i], uses[j] = uses[j], uses[i] })
	add(uses...)
	for i, k := range keys {
		want := map[int64]int64{20: int64(i + 1)}
		ip := "x"
		if i%100 == 99 {
			want[21], ip = 1, "y"
		}
		same(t, k.Name, usageOf(t, d, k, 0), want)
		if got, _ := findKey(t, d, k); got.LastUse.IP != ip {
			t.Errorf("%s was last used from %q, want %q", k.Name, got.LastUse.IP, ip)
		}
	}
}

func addUsesAtOnce(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	const writers, keysN = 12, 40
	var keys []apikey.Key
	for i := range keysN {
		keys = append(keys, newKey(w, fmt.Sprint("k", i)))
	}
	insertKeys(t, d, keys...)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			var uses []apikey.Used
			for _, j := range rand.Perm(keysN) {
				uses = append(uses, apikey.Used{Workspace: w, Key: keys[j].ID, Day: 20, N: 1, Last: apikey.Use{At: Start().Add(time.Duration(i) * time.Second)}})
			}
			runs := 0
			err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
				runs++
				return tx.AddAPIKeyUses(ctx, uses)
			})
			if err != nil || runs != 1 {
				t.Errorf("Write() = %v after %d runs, want nil after one: no deadlock", err, runs)
			}
		})
	}
	all.Wait()
	for _, k := range keys {
		got, _ := findKey(t, d, k)
		if n := usageOf(t, d, k, 0)[20]; n != writers || got.LastUse.At != Start().Add((writers-1)*time.Second) {
			t.Errorf("%s: %d uses, the last at %v; want %d and the newest", k.Name, n, got.LastUse.At, writers)
		}
	}
}

func trimUsage(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	stays, goes, later := newKey(w, "stays"), newKey(w, "goes"), newKey(w, "later")
	insertKeys(t, d, stays, goes, later)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		var uses []apikey.Used
		for day := range int64(10) {
			for _, k := range []apikey.Key{stays, goes, later} {
				uses = append(uses, apikey.Used{Workspace: w, Key: k.ID, Day: day, N: 1, Last: apikey.Use{At: Start()}})
			}
		}
		return errors.Join(tx.AddAPIKeyUses(ctx, uses), tx.DeleteAPIKey(ctx, w, goes.ID, Start()), tx.DeleteAPIKey(ctx, w, later.ID, Start().Add(time.Minute)))
	})
	trim := func(first int64, gone time.Time, limit int) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.TrimAPIKeyUsage(ctx, first, gone, limit) })
	}
	rows := func(table string) int { return Count(t, d, `SELECT COUNT(*) FROM `+table) }
	trim(4, Start(), 5)
	if n := rows("apikey_usage"); n != 25 || rows("apikey_gone") != 2 {
		t.Errorf("%d rows of usage after a bounded trim, want 25, and no key gone yet", n)
	}
	trim(4, Start().Add(time.Second), 100)
	if n := rows("apikey_usage"); n != 12 || rows("apikey_gone") != 1 || rows("apikey_use") != 2 {
		t.Errorf("%d rows of usage, %d keys gone, %d last uses; want 12, 1 and 2", n, rows("apikey_gone"), rows("apikey_use"))
	}
	same(t, "the usage that stays", usageOf(t, d, stays, 0), map[int64]int64{4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1})
	trim(4, Start().Add(time.Hour), 100)
	if n := rows("apikey_usage"); n != 6 || rows("apikey_gone") != 0 || rows("apikey_use") != 1 {
		t.Errorf("%d rows of usage, %d keys gone, %d last uses; want 6, 0 and 1", n, rows("apikey_gone"), rows("apikey_use"))
	}
}

func rehash(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	k, other := newKey(w, "Robot"), newKey(w, "Other")
	insertKeys(t, d, k, other)
	old := []byte("retiring hash")
	k.Retiring = apikey.Retiring{TokenID: "oldtokenid00", TokenHash: old, Pepper: 1, EndsAt: Start().Add(time.Hour)}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, k) })
	replace := func(w id.Workspace, token string, old, hash []byte) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.RehashToken(ctx, w, token, old, hash, 2) })
	}
	count := func(now time.Time, except ...int) (n int64) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.CountHashes(ctx, except, now)
			return err
		})
		return n
	}
	if a, b, c := count(Start()), count(Start(), 1), count(Start().Add(time.Hour)); a != 3 || b != 0 || c != 2 {
		t.Errorf("%d hashes, %d not under 1, %d after the overlap; want 3, 0 and 2", a, b, c)
	}
	replace(w, k.TokenID, []byte("not that one"), []byte("lost"))
	replace("ws_none", k.TokenID, k.TokenHash, []byte("lost"))
	replace(w, "", []byte{}, []byte("lost"))
	got, _ := findKey(t, d, k)
	same(t, "the key after hashes of others", got, k)
	replace(w, k.TokenID, k.TokenHash, []byte("current hash"))
	k.TokenHash, k.Pepper = []byte("current hash"), 2
	got, _ = findKey(t, d, k)
	same(t, "the key with a new hash", got, k)
	replace(w, "oldtokenid00", old, []byte("new retiring"))
	k.Retiring.TokenHash, k.Retiring.Pepper = []byte("new retiring"), 2
	got, _ = findKey(t, d, k)
	same(t, "the key with a new hash of its retiring token", got, k)
	if a, b, c := count(Start(), 2), count(Start(), 1), count(Start(), 1, 2); a != 1 || b != 2 || c != 0 {
		t.Errorf("%d hashes not under 2, %d not under 1, %d under neither; want 1, 2 and 0", a, b, c)
	}
}
