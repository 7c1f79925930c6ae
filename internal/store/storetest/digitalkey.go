package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

func digitalkeyCases() []testCase {
	return []testCase{
		{name: "a changed digital key comes back as it went", run: changedDigitalKey},
		{name: "digital keys are found by their holder's name of now", run: digitalKeysOfTheRenamed},
		{name: "digital keys are filtered, sorted and paged", run: filterDigitalKeys},
		{name: "digital keys are counted by the clock", run: countDigitalKeys},
		{name: "a user's digital keys are listed", run: digitalKeysOfUser},
		{name: "digital keys whose hours are to be told are listed", run: dueDigitalKeys, alone: true},
		{name: "keys that survive a lease are counted", run: countSurvivors},
		{name: "tags are found while they are somebody's", run: tags},
		{name: "tags are pruned after their end", run: pruneTags, alone: true},
		{name: "a lock is what its row says", run: keyLocks},
		{name: "what a door should know has a version", run: grantVersions},
		{name: "a count is read without counting", run: readRate},
		{name: "of two who choose one PIN one wins", run: onePINTwice},
		{name: "a cancelled key stays cancelled, whoever changes it meanwhile", run: cancelledMeanwhile},
		{name: "keys made at once have versions of their own", run: keysAtOnce},
	}
}

// newDigitalKey returns a key for a day that is not written yet.
func newDigitalKey(u directory.User, description string, locks ...id.Lock) digitalkey.DigitalKey {
	k := digitalkey.DigitalKey{
		ID: id.New[id.KindDigitalKey](Start()), Workspace: u.Workspace, User: u.ID, Description: description, StartsAt: Start(), ExpiresAt: Start().Add(24 * time.Hour),
		Timezone: "Europe/Berlin", Role: digitalkey.RoleUser, Types: []digitalkey.Type{digitalkey.App}, CreatedAt: Start(), CreatedBy: "owner", Revision: 1,
		Holder: digitalkey.Holder{Name: u.Name(), Email: u.Email}, Receipts: digitalkey.Confirmed{Locks: len(locks), Applied: len(locks)},
	}
	for _, l := range locks {
		k.Locks = append(k.Locks, digitalkey.LockName{ID: l, Name: "Gate", Timezone: "Europe/Berlin"})
	}
	return k
}

func insertDigitalKeys(t *testing.T, d Database, keys ...digitalkey.DigitalKey) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, k := range keys {
			if err := tx.InsertDigitalKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

func findDigitalKey(t *testing.T, d Database, w id.Workspace, k id.DigitalKey) (out digitalkey.DigitalKey, found bool) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		out, found, err = tx.FindDigitalKey(ctx, w, k)
		return err
	})
	return out, found
}

func changedDigitalKey(t *testing.T, d Database) {
	w, secrets := Workspace(t, d.Store), KeySecrets(t)
	u := User(t, d.Store, w, "ada")
	gate, shed := DoorOf(t, d, w, "Gate", secrets, true), DoorOf(t, d, w, "shed", secrets, false)
	k := newDigitalKey(u, "Çabin \u202d", gate)
	insertDigitalKeys(t, d, k)
	got, _ := findDigitalKey(t, d, w, k.ID)
	same(t, "a new key", got, k)
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Second) }
	k.Description, k.StartsAt, k.ExpiresAt, k.Timezone, k.Role, k.SurvivesLease = "Other", at(1), at(2), "Asia/Kolkata", digitalkey.RoleAdmin, true
	k.Weekly = []digitalkey.Hours{{Days: []time.Weekday{1, 5}, From: 480, To: 1440}, {Days: []time.Weekday{0}, From: 0, To: 1}}
	k.Types, k.Notify, k.PINSealed, k.PINLength = digitalkey.Types(), digitalkey.Notify{Email: true, ShowPIN: true}, allBytes(), 4
	k.CardType, k.CardSealed, k.ExpandedUntil, k.Revision = "uid", allBytes(), at(3), 2
	k.CancelledAt, k.CancelledBy, k.CancelReason = at(4), "owner", digitalkey.UserSuspended
	k.Locks, k.Receipts = append(k.Locks, digitalkey.LockName{ID: shed, Name: "shed", Timezone: "Europe/Berlin"}), digitalkey.Confirmed{Locks: 2, Applied: 2}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateDigitalKey(ctx, k) })
	got, _ = findDigitalKey(t, d, w, k.ID)
	same(t, "a changed key", got, k)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		held, found, err := tx.LockDigitalKey(ctx, w, k.ID)
		same(t, "a held key", held, k)
		if !found {
			t.Error("LockDigitalKey() = false, want true")
		}
		return err
	})
	other := Workspace(t, d.Store)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if _, found, err := tx.LockDigitalKey(ctx, other, k.ID); found || err != nil {
			t.Errorf("LockDigitalKey() elsewhere = %v (%v), want false", found, err)
		}
		if err := tx.DeleteDigitalKey(ctx, other, k.ID); err == nil {
			t.Error("DeleteDigitalKey() elsewhere = nil, want an error")
		}
		return nil
	})
	if _, found := findDigitalKey(t, d, other, k.ID); found {
		t.Error("the key is found elsewhere")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteDigitalKey(ctx, w, k.ID) })
	if _, found := findDigitalKey(t, d, w, k.ID); found {
		t.Error("the deleted key is found")
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM term WHERE workspace = $1 AND kind = 'digital_key'`, string(w)); n != 0 {
		t.Errorf("%d terms of the deleted key are left", n)
	}
}

// digitalKeysBy returns the descriptions of what a query finds, of all pages.
func digitalKeysBy(t *testing.T, d Database, w id.Workspace, q digitalkey.Query) string {
	t.Helper()
	var out []string
	q.Page.WithTotal = true
	for {
		var p page.Page[digitalkey.DigitalKey]
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			p, err = tx.ListDigitalKeys(ctx, w, q)
			return err
		})
		for _, k := range p.Items {
			if len(k.Locks) == 0 || len(k.Locks) != k.Receipts.Locks {
				t.Errorf("%s has the locks %v of %d", k.Description, k.Locks, k.Receipts.Locks)
			}
			out = append(out, k.Description)
		}
		if p.Next.IsZero() {
			if p.Total != len(out) {
				t.Errorf("the total is %d, want %d", p.Total, len(out))
			}
			return strings.Join(out, " ")
		}
		q.Page.After = p.Next
	}
}

func digitalKeysOfTheRenamed(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	insertDigitalKeys(t, d, newDigitalKey(ada, "One", DoorOf(t, d, w, "Gate", KeySecrets(t), true)))
	ada.LastName, ada.Email = "Lovelace", "countess@example.org"
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, ada) })
	for words, want := range map[string]string{"love": "One", "countess": "One", "one": "One", "example": "One", "ada@example.org": "", "bob": ""} {
		if got := digitalKeysBy(t, d, w, digitalkey.Query{Words: []string{words}, Page: page.Request{Limit: 2}}); got != want {
			t.Errorf("%q finds %q, want %q", words, got, want)
		}
	}
}

func filterDigitalKeys(t *testing.T, d Database) {
	w, secrets := Workspace(t, d.Store), KeySecrets(t)
	away := Workspace(t, d.Store)
	ada, bob, eve := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob"), User(t, d.Store, away, "eve")
	gate, shed := DoorOf(t, d, w, "Gate", secrets, true), DoorOf(t, d, w, "Shed", secrets, false)
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	past, now, next, gone := newDigitalKey(ada, "past", gate), newDigitalKey(bob, "now", gate, shed), newDigitalKey(ada, "next", shed), newDigitalKey(bob, "gone", gate)
	past.StartsAt, past.ExpiresAt, past.CreatedAt = at(-3), at(0), at(-3)
	now.StartsAt, now.ExpiresAt, now.CreatedAt, now.SurvivesLease, now.Types = at(0), at(9), at(-4), true, []digitalkey.Type{digitalkey.PIN, digitalkey.Keycard}
	next.StartsAt, next.ExpiresAt, next.CreatedAt, next.Types = at(1), at(2), at(-5), []digitalkey.Type{digitalkey.PIN}
	gone.StartsAt, gone.ExpiresAt, gone.CreatedAt, gone.CancelledAt, gone.CancelReason, gone.SurvivesLease = at(-1), at(3), at(-6), at(-1), digitalkey.ByHand, true
	insertDigitalKeys(t, d, past, now, next, gone, newDigitalKey(eve, "away", DoorOf(t, d, away, "Gate", secrets, true)))
	pages := func(sort string, down bool) page.Request { return page.Request{Limit: 1, Sort: sort, Descending: down} }
	for _, q := range []struct {
		q    digitalkey.Query
		want string
	}{
		{digitalkey.Query{Page: pages("", false)}, "past gone now next"},
		{digitalkey.Query{Page: pages(digitalkey.SortStarts, true)}, "next now gone past"},
		{digitalkey.Query{Page: pages(digitalkey.SortExpires, false)}, "past next gone now"},
		{digitalkey.Query{Page: pages(digitalkey.SortCreated, true)}, "past now next gone"},
		{digitalkey.Query{Status: digitalkey.Expired, Page: pages("", false)}, "past"},
		{digitalkey.Query{Status: digitalkey.Active, Page: pages("", false)}, "now"},
		{digitalkey.Query{Status: digitalkey.Upcoming, Page: pages("", false)}, "next"},
		{digitalkey.Query{Status: digitalkey.Cancelled, Page: pages("", false)}, "gone"},
		{digitalkey.Query{User: ada.ID, Page: pages("", false)}, "past next"},
		{digitalkey.Query{User: ada.ID, Lock: shed, Page: pages("", false)}, "next"},
		{digitalkey.Query{User: eve.ID, Page: pages("", false)}, ""},
		{digitalkey.Query{Lock: gate, Page: pages("", true)}, "now gone past"},
		{digitalkey.Query{Type: digitalkey.PIN, Page: pages("", false)}, "now next"},
		{digitalkey.Query{Type: digitalkey.App, Page: pages("", false)}, "past gone"},
		{digitalkey.Query{Survivors: true, Page: pages("", false)}, "now"},
		{digitalkey.Query{Words: []string{"bob"}, Page: pages("", false)}, "gone now"},
		{digitalkey.Query{Words: []string{"bob", "no"}, Status: digitalkey.Active, Lock: shed, User: bob.ID, Page: pages("", false)}, "now"},
		{digitalkey.Query{Words: []string{"away"}, Page: pages("", false)}, ""},
	} {
		q.q.Now = Start()
		if got := digitalKeysBy(t, d, w, q.q); got != q.want {
			t.Errorf("%+v finds %q, want %q", q.q, got, q.want)
		}
	}
}

func countDigitalKeys(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u, gate := User(t, d.Store, w, "ada"), DoorOf(t, d, w, "Gate", KeySecrets(t), true)
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	span := func(from, to int) digitalkey.DigitalKey {
		k := newDigitalKey(u, "k", gate)
		k.StartsAt, k.ExpiresAt = at(from), at(to)
		return k
	}
	gone := span(0, 9)
	insertDigitalKeys(t, d, span(1, 2), span(0, 1), span(0, 3), span(-1, 0), gone)
	gone.CancelledAt, gone.CancelReason = at(0), digitalkey.ByHand
	for range 2 { // it is counted once
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateDigitalKey(ctx, gone) })
	}
	for n, want := range map[int]digitalkey.Counts{
		0: {Total: 5, Upcoming: 1, Active: 2, Expired: 1, Cancelled: 1}, 1: {Total: 5, Active: 2, Expired: 2, Cancelled: 1}, 3: {Total: 5, Expired: 4, Cancelled: 1},
	} {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.CountDigitalKeys(ctx, w, at(n))
			same(t, fmt.Sprint("the counts at ", n), got, want)
			return err
		})
	}
	for name, want := range map[string]int{"digital_key.create": 5, "digital_key.cancel": 1} {
		if n := Count(t, d, `SELECT COALESCE(SUM(n), 0) FROM tick WHERE workspace = $1 AND name = $2`, string(w), name); n != want {
			t.Errorf("%s is counted %d times, want %d", name, n, want)
		}
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteDigitalKey(ctx, w, gone.ID) })
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, err := tx.CountDigitalKeys(ctx, w, at(3))
		same(t, "the counts without one", got, digitalkey.Counts{Total: 4, Expired: 4})
		return err
	})
}

func digitalKeysOfUser(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u, gate := User(t, d.Store, w, "ada"), DoorOf(t, d, w, "Gate", KeySecrets(t), true)
	at := func(n int) time.Time { return Start().Add(time.Duration(n) * time.Hour) }
	span := func(name string, from, to, cancelled int) digitalkey.DigitalKey {
		k := newDigitalKey(u, name, gate)
		if k.StartsAt, k.ExpiresAt = at(from), at(to); cancelled != 0 {
			k.CancelledAt, k.CancelReason = at(cancelled), digitalkey.ByHand
		}
		return k
	}
	next, active, old, gone, older := span("next", 1, 2, 0), span("active", -1, 1, 0), span("old", -9, -3, 0), span("gone", -9, 9, -2), span("older", -9, -4, 0)
	insertDigitalKeys(t, d, next, active, old, gone, older, newDigitalKey(User(t, d.Store, w, "bob"), "bob", gate))
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListUserDigitalKeys(ctx, w, u.ID, Start(), 2)
		if err != nil {
			return err
		}
		var names []string
		for _, k := range all {
			names = append(names, k.Description)
		}
		same(t, "the user's keys", names, []string{"active", "next", "gone", "old"})
		open, err := tx.ListOpenDigitalKeys(ctx, w, u.ID, Start())
		if err != nil {
			return err
		}
		want := []id.DigitalKey{active.ID, next.ID}
		slices.Sort(want)
		same(t, "the open ones", open, want)
		ids, err := tx.ListAllDigitalKeys(ctx, w, u.ID)
		if n, countErr := tx.CountOpenDigitalKeysOf(ctx, w, u.ID, Start()); n != 2 || len(ids) != 5 || countErr != nil {
			t.Errorf("%d are open and %d in all (%v), want 2 of 5", n, len(ids), countErr)
		}
		return err
	})
}

func dueDigitalKeys(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u, gate := User(t, d.Store, w, "ada"), DoorOf(t, d, w, "Gate", KeySecrets(t), true)
	told := func(name string, until time.Duration) digitalkey.DigitalKey {
		k := newDigitalKey(u, name, gate)
		k.ExpandedUntil = Start().Add(until)
		return k
	}
	gone := told("gone", time.Minute)
	gone.CancelledAt, gone.CancelReason = Start(), digitalkey.ByHand
	insertDigitalKeys(t, d, told("second", 2*time.Minute), told("first", time.Minute), told("third", 3*time.Minute), told("later", time.Hour), told("to its end", 24*time.Hour), gone, newDigitalKey(u, "none", gate))
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		due, err := tx.ListDueDigitalKeys(ctx, Start(), Start().Add(time.Hour), 2)
		if err != nil || len(due) != 2 || due[0].Description != "first" || due[1].Description != "second" || len(due[0].Locks) != 1 {
			t.Errorf("ListDueDigitalKeys() = %+v (%v), want the first two", due, err)
		}
		due, err = tx.ListDueDigitalKeys(ctx, Start().Add(24*time.Hour), Start().Add(48*time.Hour), 9)
		if len(due) != 0 {
			t.Errorf("%d are due after their end, want none", len(due))
		}
		return err
	})
}

func countSurvivors(t *testing.T, d Database) {
	w, secrets := Workspace(t, d.Store), KeySecrets(t)
	u, gate, shed := User(t, d.Store, w, "ada"), DoorOf(t, d, w, "Gate", secrets, true), DoorOf(t, d, w, "Shed", secrets, true)
	one, two, gone, other := newDigitalKey(u, "one", gate), newDigitalKey(u, "two", gate), newDigitalKey(u, "gone", gate), newDigitalKey(u, "other", shed)
	one.SurvivesLease, two.SurvivesLease, gone.SurvivesLease, other.SurvivesLease = true, true, true, true
	gone.CancelledAt, gone.CancelReason = Start(), digitalkey.ByHand
	insertDigitalKeys(t, d, one, two, gone, other, newDigitalKey(u, "plain", gate))
	for _, c := range []struct {
		at     time.Time
		except id.DigitalKey
		want   int64
	}{{Start(), "", 2}, {Start(), one.ID, 1}, {one.ExpiresAt, "", 0}} {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.CountSurvivors(ctx, w, gate, c.at, c.except)
			if n != c.want {
				t.Errorf("%d survive at %v without %q, want %d", n, c.at, c.except, c.want)
			}
			return err
		})
	}
}

func readRate(t *testing.T, d Database) {
	name := string(Workspace(t, d.Store)) + "/test"
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for range 3 {
			if _, _, err := tx.CountRate(ctx, name, Start(), time.Hour); err != nil {
				return err
			}
		}
		for after, want := range map[time.Duration]int64{0: 3, time.Hour - 1e6: 3, time.Hour: 0} {
			if n, err := tx.ReadRate(ctx, name, Start().Add(after), time.Hour); n != want || err != nil {
				t.Errorf("ReadRate() after %v = %d (%v), want %d", after, n, err, want)
			}
		}
		n, err := tx.ReadRate(ctx, name+"x", Start(), time.Hour)
		if n != 0 {
			t.Errorf("ReadRate() of nothing = %d, want 0", n)
		}
		return err
	})
}

func keyLocks(t *testing.T, d Database) {
	w, secrets := Workspace(t, d.Store), KeySecrets(t)
	gate, shed, other := DoorOf(t, d, w, "Gate", secrets, true), DoorOf(t, d, w, "Shed", secrets, false), Workspace(t, d.Store)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, found, err := tx.FindKeyLock(ctx, w, gate, Start())
		if err != nil || !found {
			t.Errorf("FindKeyLock() = %v (%v), want the gate", found, err)
		}
		key := got.SecretSealed
		got.SecretSealed = nil
		same(t, "the gate", got, digitalkey.Lock{
			ID: gate, Name: "Gate", Place: "Cellar", Timezone: "Europe/Berlin", Capabilities: digitalkey.Types(), LeaseSeconds: 86400,
			LeaseUntil: Start().Add(24 * time.Hour), Enrolled: true, Online: true,
		})
		if raw, err := secrets.Sealing.Open(key, grant.SecretIdentity(string(w), string(gate))); err != nil || len(raw.Expose()) != grant.SecretSize {
			t.Errorf("the gate's secret does not open: %v", err)
		}
		got, found, err = tx.LockKeyLock(ctx, w, shed, Start().Add(2*time.Hour))
		if err != nil || !found || got.Enrolled || got.Online || !got.LeaseUntil.IsZero() {
			t.Errorf("LockKeyLock() = %+v, %v (%v), want the shed without a controller", got, found, err)
		}
		if got, _, err = tx.FindKeyLock(ctx, w, gate, Start().Add(time.Hour)); err != nil || got.Online {
			t.Errorf("the gate is online: %v (%v) after an hour, want offline", got.Online, err)
		}
		_, found, err = tx.FindKeyLock(ctx, other, gate, Start())
		if found {
			t.Error("FindKeyLock() elsewhere = true")
		}
		return err
	})
}
