package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/store"
)

func tags(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	l, k, twin := id.New[id.KindLock](Start()), id.New[id.KindDigitalKey](Start()), id.New[id.KindDigitalKey](Start())
	pin := digitalkey.Tag{Workspace: w, Lock: l, Kind: digitalkey.PIN, Tag: grant.Tag{1, 255}, Key: k, User: "user_ada", Digits: 6, From: at(0), Until: at(5)}
	card := pin
	card.Kind, card.Digits = digitalkey.Keycard, 0
	ask := func(base digitalkey.Tag, change func(q *digitalkey.Tag)) (got digitalkey.Tag, found bool) {
		t.Helper()
		q := base
		q.Key = twin
		change(&q)
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			got, found, err = tx.FindTag(ctx, q)
			return err
		})
		return got, found
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		first := pin
		first.Until = at(1)
		for _, g := range []digitalkey.Tag{first, pin, card} { // the second takes the first one's place
			if err := tx.InsertTag(ctx, g); err != nil {
				return err
			}
		}
		return nil
	})
	got, found := ask(pin, func(*digitalkey.Tag) {})
	if same(t, "a tag", got, pin); !found {
		t.Error("FindTag() = false, want the tag")
	}
	for what, c := range map[string]struct {
		base   digitalkey.Tag
		change func(q *digitalkey.Tag)
		want   bool
	}{
		"the key's own":                {pin, func(q *digitalkey.Tag) { q.Key = k }, false},
		"one that ends where it is":    {pin, func(q *digitalkey.Tag) { q.From, q.Until = at(-1), at(0) }, false},
		"one that begins at its end":   {pin, func(q *digitalkey.Tag) { q.From, q.Until = at(5), at(6) }, false},
		"one that overlaps a little":   {pin, func(q *digitalkey.Tag) { q.From, q.Until = at(5).Add(-time.Millisecond), at(6) }, true},
		"one around it":                {pin, func(q *digitalkey.Tag) { q.From, q.Until = at(-1), at(6) }, true},
		"another lock's":               {pin, func(q *digitalkey.Tag) { q.Lock = id.New[id.KindLock](Start()) }, false},
		"another workspace's":          {pin, func(q *digitalkey.Tag) { q.Workspace = other }, false},
		"another PIN":                  {pin, func(q *digitalkey.Tag) { q.Tag[1] = 254 }, false},
		"the same user's PIN":          {pin, func(*digitalkey.Tag) {}, true},
		"the same user's card":         {card, func(*digitalkey.Tag) {}, false},
		"a card that another user has": {card, func(q *digitalkey.Tag) { q.User = "user_bob" }, true},
	} {
		if _, found := ask(c.base, c.change); found != c.want {
			t.Errorf("%s: FindTag() = %v, want %v", what, found, c.want)
		}
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for digits, want := range map[int]int64{6: 1, 4: 0} {
			if n, err := tx.CountTags(ctx, w, l, digits, at(4), at(9)); n != want || err != nil {
				t.Errorf("CountTags(%d) = %d (%v), want %d", digits, n, err, want)
			}
		}
		if n, err := tx.CountTags(ctx, w, l, 6, at(5), at(9)); n != 0 || err != nil {
			t.Errorf("CountTags() after its end = %d (%v), want 0", n, err)
		}
		for _, end := range []time.Time{at(2), at(3)} { // the later one changes nothing
			if err := tx.EndTags(ctx, w, l, k, end); err != nil {
				return err
			}
		}
		return tx.EndTags(ctx, other, l, k, at(1))
	})
	if got, _ := ask(pin, func(*digitalkey.Tag) {}); !got.Until.Equal(at(2)) {
		t.Errorf("the tag ends at %v, want %v", got.Until, at(2))
	}
}

func pruneTags(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for n := range 5 {
			g := digitalkey.Tag{
				Workspace: w, Lock: "lock_a", Kind: digitalkey.PIN, Tag: grant.Tag{byte(n)}, Key: "dk_a", User: "user_a", Digits: 4, From: Start(), Until: Start().Add(time.Duration(n+1) * time.Hour),
			}
			if err := tx.InsertTag(ctx, g); err != nil {
				return err
			}
		}
		for _, want := range []int64{2, 1, 0} {
			if n, err := tx.PruneTags(ctx, Start().Add(4*time.Hour), 2); n != want || err != nil {
				t.Errorf("PruneTags() = %d (%v), want %d", n, err, want)
			}
		}
		return nil
	})
}

func grantVersions(t *testing.T, d Database) {
	w, secrets := Workspace(t, d.Store), KeySecrets(t)
	gate, shed := DoorOf(t, d, w, "Gate", secrets, true), DoorOf(t, d, w, "shed", secrets, false)
	u := User(t, d.Store, w, "ada")
	k := newDigitalKey(u, "k", gate, shed)
	insertDigitalKeys(t, d, k)
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	g := grant.Grant{ID: grant.ID(k.ID.Bytes()), NotBefore: at(0).Unix(), NotAfter: at(90).Unix(), Kinds: grant.ByApp}
	receipts := func(want ...digitalkey.Receipt) {
		t.Helper()
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.ListReceipts(ctx, w, k.ID, at(0))
			same(t, "the receipts", got, want)
			return err
		})
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, l := range []id.Lock{gate, shed} {
			if err := tx.PutGrant(ctx, w, l, k.ID, g, at(0)); err != nil {
				return err
			}
		}
		return nil
	})
	receipts(
		digitalkey.Receipt{Lock: gate, LockName: "Gate", Version: 1, ChangedAt: at(0), Online: true},
		digitalkey.Receipt{Lock: shed, LockName: "shed", Version: 1, ChangedAt: at(0)},
	)
	if got, _ := findDigitalKey(t, d, w, k.ID); got.Receipts != (digitalkey.Confirmed{Locks: 2}) {
		t.Errorf("the key is confirmed as %+v, want on none of two", got.Receipts)
	}
	// A shorter end: by what it was before, the gate opens until its lease ends.
	g.NotAfter = at(2).Unix()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.PutGrant(ctx, w, gate, k.ID, g, at(1)) })
	lease := at(24)
	receipts(
		digitalkey.Receipt{Lock: gate, LockName: "Gate", Version: 2, ChangedAt: at(1), AtLatest: lease, Online: true},
		digitalkey.Receipt{Lock: shed, LockName: "shed", Version: 1, ChangedAt: at(0)},
	)
	Exec(t, d, `UPDATE smartlock_grant SET applied_at = $1 WHERE lock_id = $2`, at(1).UnixMilli(), string(gate))
	g.Flags = grant.SurvivesLease
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for range 2 { // what was not confirmed is reckoned with: at most the end that survives
			if err := tx.PutGrant(ctx, w, gate, k.ID, g, at(1)); err != nil {
				return err
			}
		}
		for range 2 { // the second finds nothing to remove
			for _, l := range []id.Lock{gate, shed} {
				if err := tx.RemoveGrant(ctx, w, l, k.ID, at(1), at(3)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	receipts(
		digitalkey.Receipt{Lock: gate, LockName: "Gate", Version: 5, Removed: true, ChangedAt: at(1), AtLatest: at(3), Online: true},
		digitalkey.Receipt{Lock: shed, LockName: "shed", Version: 2, Removed: true, ChangedAt: at(1), AppliedAt: at(1), AtLatest: at(3)},
	)
	for l, want := range map[id.Lock]int{gate: 5, shed: 2} {
		if n := Count(t, d, `SELECT version FROM smartlock WHERE id = $1`, string(l)); n != want {
			t.Errorf("the version of %s is %d, want %d", l, n, want)
		}
	}
	other := Workspace(t, d.Store)
	err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
		return tx.PutGrant(ctx, other, "lock_none", k.ID, g, at(0))
	})
	if err == nil {
		t.Error("PutGrant() to no lock = nil, want an error")
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, err := tx.ListReceipts(ctx, other, k.ID, at(0))
		if len(got) != 0 {
			t.Errorf("the receipts elsewhere are %+v, want none", got)
		}
		return err
	})
}

// doorRace is a workspace with two users and a door, for which keys are made at once.
type doorRace struct {
	room *digitalkey.Service
	by   auth.Caller
	n    [2]digitalkey.NewKey
}

func newDoorRace(t *testing.T, d Database) doorRace {
	t.Helper()
	w, secrets := Workspace(t, d.Store), KeySecrets(t)
	r := doorRace{by: auth.Job(w, "race")}
	r.room = digitalkey.NewService(digitalkey.Config{Store: store.For[digitalkey.Tx](d.Store), Clock: clock.NewManual(Start()), Sealing: secrets})
	gate := DoorOf(t, d, w, "Gate", secrets, true)
	for i, name := range []string{"ada", "bob"} {
		r.n[i] = digitalkey.NewKey{
			Locks: []id.Lock{gate}, User: User(t, d.Store, w, name).ID, Types: []digitalkey.Type{digitalkey.PIN},
			Span: digitalkey.Span{StartsAt: Start(), ExpiresAt: Start().Add(time.Hour)},
		}
	}
	return r
}

func onePINTwice(t *testing.T, d Database) {
	for range raceRounds {
		r := newDoorRace(t, d)
		var got [2]string
		choose := func(i int) func() {
			return func() {
				n := r.n[i]
				n.PIN = secret.FromString("835296")
				_, err := r.room.Create(t.Context(), r.by, n)
				got[i] = answer(t, err)
			}
		}
		meet(choose(0), choose(1))
		if got != [2]string{"", "pin_unavailable"} && got != [2]string{"pin_unavailable", ""} {
			t.Fatalf("the two are answered with %q, want that one wins", got)
		}
	}
}

func cancelledMeanwhile(t *testing.T, d Database) {
	for round := range raceRounds {
		r := newDoorRace(t, d)
		issued, err := r.room.Create(t.Context(), r.by, r.n[0])
		if err != nil {
			t.Fatal(err)
		}
		k, code := issued.Key.ID, ""
		meet(func() {
			end := digitalkey.Span{StartsAt: Start(), ExpiresAt: Start().Add(2 * time.Hour)}
			_, err := r.room.Change(t.Context(), r.by, k, digitalkey.Change{Span: &end}, 0)
			code = answer(t, err)
		}, func() {
			if _, err := r.room.Cancel(t.Context(), r.by, k); err != nil {
				t.Error(err)
			}
		})
		got, err := r.room.Find(t.Context(), r.by, k)
		if err != nil || got.Key.Status(Start()) != digitalkey.Cancelled || !got.Receipts[0].Removed || code != "" && code != "digital_key_over" {
			t.Fatalf("round %d: the change is answered with %q, the key is %+v (%v); want it cancelled", round, code, got, err)
		}
	}
}

func keysAtOnce(t *testing.T, d Database) {
	const n = 12
	r := newDoorRace(t, d)
	var all []func()
	for i := range n {
		all = append(all, func() {
			if _, err := r.room.Create(t.Context(), r.by, r.n[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	meet(all...)
	var versions []string
	for _, row := range rowsOf(t, d, `SELECT g.version FROM smartlock_grant g WHERE g.workspace = '`+string(r.by.Workspace)+`' ORDER BY g.version`) {
		versions = append(versions, row[0])
	}
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i+1))
	}
	if !slices.Equal(versions, want) {
		t.Errorf("the versions are %q, want %q", versions, want)
	}
}
