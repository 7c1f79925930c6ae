package leave_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// doors are two doors of a house: the gate hears, in the shed is nobody.
type doors struct {
	house
	keys       *digitalkey.Service
	gate, shed id.Lock
}

func newDoors(t *testing.T, h house) doors {
	t.Helper()
	secrets := storetest.KeySecrets(t)
	return doors{
		house: h, keys: digitalkey.NewService(digitalkey.Config{Store: store.For[digitalkey.Tx](h.Store), Clock: h.clock, Sealing: secrets}),
		gate: storetest.DoorOf(t, h.Database, h.w, "Gate", secrets, true), shed: storetest.DoorOf(t, h.Database, h.w, "Shed", secrets, false),
	}
}

// newKey opens both doors from a moment on for some time.
func (d doors) newKey(u id.User, from time.Time, lasts time.Duration) digitalkey.NewKey {
	return digitalkey.NewKey{
		Locks: []id.Lock{d.gate, d.shed}, User: u, Types: []digitalkey.Type{digitalkey.App, digitalkey.PIN}, Notify: digitalkey.Notify{Email: true},
		Span: digitalkey.Span{StartsAt: from, ExpiresAt: from.Add(lasts)},
	}
}

func (d doors) give(t *testing.T, u id.User, from time.Time, lasts time.Duration) id.DigitalKey {
	t.Helper()
	issued, err := d.keys.Create(t.Context(), d.by, d.newKey(u, from, lasts))
	if err != nil {
		t.Fatal(err)
	}
	return issued.Key.ID
}

// three gives a user an active key, an upcoming one and one that is over, and bob an active
// one.
func (d doors) three(t *testing.T, u id.User) (active, upcoming, over, bobs id.DigitalKey) {
	t.Helper()
	now := d.clock.Now()
	over = d.give(t, u, now, time.Minute)
	active, upcoming, bobs = d.give(t, u, now, 2*time.Hour), d.give(t, u, now.Add(time.Hour), 72*time.Hour), d.give(t, d.user(t, "bob").ID, now, time.Hour)
	d.clock.Advance(time.Minute)
	return active, upcoming, over, bobs
}

func (d doors) status(t *testing.T, k id.DigitalKey) (digitalkey.Status, digitalkey.CancelReason) {
	t.Helper()
	got, err := d.keys.Find(t.Context(), d.by, k)
	if err != nil {
		t.Fatal(err)
	}
	return got.Key.Status(d.clock.Now()), got.Key.CancelReason
}

func TestSuspend_endsDigitalKeys(t *testing.T) {
	d := newDoors(t, newHouse(t))
	ada := d.user(t, "ada")
	active, upcoming, over, bobs := d.three(t, ada.ID)
	if ties, err := d.FindTies(t.Context(), d.by, ada.ID); err != nil || ties.DigitalKeys != 2 {
		t.Errorf("FindTies() = %d digital keys (%v), want the two that are not over", ties.DigitalKeys, err)
	}
	out, err := d.Suspend(t.Context(), d.by, ada.ID, leave.Options{})
	if err != nil || out.DigitalKeys != 2 {
		t.Fatalf("Suspend() ended %d digital keys (%v), want 2", out.DigitalKeys, err)
	}
	// The gate may open until the later one's end or its lease's, whichever is first.
	want := storetest.Start().Add(24 * time.Hour)
	if left := out.Left.Unconfirmed; len(left) != 1 || left[0].Lock != d.gate || left[0].LockName != "Gate" || !left[0].AtLatest.Equal(want) {
		t.Errorf("unconfirmed are %+v, want the gate until %v", left, want)
	}
	for k, want := range map[id.DigitalKey]digitalkey.Status{active: digitalkey.Cancelled, upcoming: digitalkey.Cancelled, over: digitalkey.Expired, bobs: digitalkey.Active} {
		if got, why := d.status(t, k); got != want || got == digitalkey.Cancelled && why != digitalkey.UserSuspended {
			t.Errorf("%s is %s because of %q, want %s", k, got, why, want)
		}
	}
	lines := storetest.Activities(t, d.Store, d.w, "digital_key.cancel")
	if len(lines) != 2 || lines[0].User != ada.ID || lines[0].Detail != "user_suspended" || lines[0].Actor.ID != string(d.by.User) {
		t.Errorf("the lines are %+v, want two by the owner about Ada", lines)
	}
	again, err := d.Suspend(t.Context(), d.by, ada.ID, leave.Options{})
	if err != nil || again.DigitalKeys != 0 {
		t.Errorf("Suspend() again ended %d (%v), want none", again.DigitalKeys, err)
	}
	if _, err := d.keys.Create(t.Context(), d.by, d.newKey(ada.ID, d.clock.Now(), time.Hour)); err == nil {
		t.Error("a suspended user got a key")
	}
	if _, err := d.Activate(t.Context(), d.by, ada.ID); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.status(t, active); got != digitalkey.Cancelled {
		t.Errorf("the key is %s after activation, want it cancelled for good", got)
	}
}

func TestDelete_takesDigitalKeysAlong(t *testing.T) {
	d := newDoors(t, newHouse(t))
	ada := d.user(t, "ada")
	active, upcoming, over, bobs := d.three(t, ada.ID)
	rows, err := d.DeleteMany(t.Context(), d.by, []id.User{ada.ID})
	if err != nil || rows[0].Fault != nil || rows[0].DigitalKeys != 2 || len(rows[0].Left.Unconfirmed) != 1 {
		t.Fatalf("DeleteMany() = %+v (%v), want two digital keys ended and one door that has not heard", rows, err)
	}
	for _, k := range []id.DigitalKey{active, upcoming, over} {
		_, err := d.keys.Find(t.Context(), d.by, k)
		storetest.Refused(t, err, "digital_key_not_found")
	}
	if got, _ := d.status(t, bobs); got != digitalkey.Active {
		t.Errorf("Bob's key is %s, want it active", got)
	}
	// What the gate has not confirmed stays known, and so does whose the PINs were.
	if n := storetest.Count(t, d.Database, `SELECT COUNT(*) FROM smartlock_grant WHERE lock_id = $1 AND removed = TRUE AND applied_at = 0`, string(d.gate)); n != 2 {
		t.Errorf("%d removals wait at the gate, want 2", n)
	}
	if n := storetest.Count(t, d.Database, `SELECT COUNT(*) FROM digitalkey_tag WHERE user_id = $1`, string(ada.ID)); n == 0 {
		t.Error("Ada's PINs are not reserved any more")
	}
}

func TestDelete_refusedEndsNoDigitalKey(t *testing.T) {
	d := newDoors(t, newHouse(t))
	active, _, _, _ := d.three(t, d.by.User) //nolint:dogsled // the others do not matter
	for what, err := range map[string]error{
		"suspended": func() error { _, err := d.Suspend(t.Context(), d.by, d.by.User, leave.Options{}); return err }(), "deleted": d.Delete(t.Context(), d.by, d.by.User, 0),
	} {
		if f, ok := fault.As(err); !ok || f.Code != "not_yourself" {
			t.Errorf("%s: %v, want not_yourself", what, err)
		}
	}
	if got, _ := d.status(t, active); got != digitalkey.Active {
		t.Errorf("the key is %s, want it active", got)
	}
}

// Whoever is suspended while a key is made for them holds none that opens afterwards.
func TestSuspend_whileAKeyIsMade(t *testing.T) {
	for name, open := range map[string]func(testing.TB) storetest.Database{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			d := newDoors(t, houseOn(t, open(t)))
			for round := range 20 {
				u, n := d.user(t, fmt.Sprint("ada", round)), 0
				var both sync.WaitGroup
				both.Go(func() {
					_, err := d.keys.Create(t.Context(), auth.Job(d.w, "race"), d.newKey(u.ID, d.clock.Now(), time.Hour))
					if f, ok := fault.As(err); err != nil && (!ok || f.Code != "user_suspended") {
						t.Error(err)
					}
				})
				both.Go(func() {
					if _, err := d.Suspend(t.Context(), auth.Job(d.w, "race"), u.ID, leave.Options{}); err != nil {
						t.Error(err)
					}
				})
				both.Wait()
				storetest.Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
					n, err = tx.CountOpenDigitalKeysOf(ctx, d.w, u.ID, d.clock.Now())
					return err
				})
				if n != 0 {
					t.Fatalf("round %d: a suspended user holds %d keys", round, n)
				}
			}
		})
	}
}
