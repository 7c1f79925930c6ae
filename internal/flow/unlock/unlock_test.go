package unlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/unlock"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with a user who is signed in to the app and holds a key of the gate,
// which is online; the shed has no controller.
type house struct {
	storetest.Database
	*unlock.Service
	clock      *clock.Manual
	keys       *digitalkey.Service
	w          id.Workspace
	ada        directory.User
	by         auth.Caller
	gate, shed id.Lock
	key        id.DigitalKey
}

func newHouse(t *testing.T) house {
	t.Helper()
	if _, whole := any((*store.Tx)(nil)).(unlock.Tx); !whole {
		t.Skip("the store does not keep locks yet")
	}
	d := storetest.SQLite(t)
	c, w, secrets := clock.NewManual(storetest.Start()), storetest.Workspace(t, d.Store), storetest.KeySecrets(t)
	h := house{Database: d, clock: c, w: w, ada: storetest.User(t, d.Store, w, "ada")}
	h.gate, h.shed = storetest.DoorOf(t, d, w, "Gate", secrets, true), storetest.DoorOf(t, d, w, "Shed", secrets, false)
	h.Service = unlock.NewService(unlock.Config{Store: store.For[unlock.Tx](d.Store), Clock: c})
	h.keys = digitalkey.NewService(digitalkey.Config{Store: store.For[digitalkey.Tx](d.Store), Clock: c, Sealing: secrets})
	h.by = storetest.AppSession(t, d.Store, h.ada, signin.OpenedByCode, c.Now())
	h.key = h.give(t, h.ada, c.Now(), digitalkey.App, digitalkey.PIN)
	return h
}

// give gives a user a key of both doors for ten minutes.
func (h house) give(t *testing.T, u directory.User, from time.Time, types ...digitalkey.Type) id.DigitalKey {
	t.Helper()
	issued, err := h.keys.Create(t.Context(), auth.Job(h.w, "test"), digitalkey.NewKey{
		Locks: []id.Lock{h.gate, h.shed}, User: u.ID, Types: types, Span: digitalkey.Span{StartsAt: from, ExpiresAt: from.Add(10 * time.Minute)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Key.ID
}

func TestOpen_asksTheLock(t *testing.T) {
	h := newHouse(t)
	got, err := h.Open(t.Context(), h.by, h.key, h.gate)
	now := h.clock.Now()
	if err != nil || got.Op != grant.OpOpen || got.Lock != h.gate || got.DigitalKey != h.key || !got.NotAfter.Equal(now.Add(10*time.Second)) || got.AskedBy != string(h.ada.ID) {
		t.Fatalf("Open() = %+v (%v), want a command of Ada's for ten seconds", got, err)
	}
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		view, whole := any(tx).(unlock.Tx)
		if !whole {
			t.Fatal("the store does not keep locks")
		}
		all, err := view.ListWaitingCommands(ctx, h.w, h.gate, now, 10)
		if len(all) != 1 || all[0].ID != got.ID {
			t.Errorf("the lock has %+v waiting, want the command", all)
		}
		return err
	})
	if found, err := h.Find(t.Context(), h.by, got.ID); err != nil || found.ID != got.ID || found.Outcome != "" {
		t.Errorf("Find() = %+v (%v), want the command, which waits", found, err)
	}
	if lines := storetest.Activities(t, h.Store, h.w, "lock.open"); len(lines) != 0 {
		t.Errorf("%d lines, want none before the door has opened", len(lines))
	}
}

func TestOpen_saysWhatIsInTheWay(t *testing.T) {
	h := newHouse(t)
	bob := storetest.User(t, h.Store, h.w, "bob")
	now := h.clock.Now()
	cancelled := h.give(t, h.ada, now, digitalkey.App)
	if _, err := h.keys.Cancel(t.Context(), auth.Job(h.w, "test"), cancelled); err != nil {
		t.Fatal(err)
	}
	noApp := storetest.DoorOf(t, h.Database, h.w, "Cellar", storetest.KeySecrets(t), true)
	for _, c := range []struct {
		what string
		key  id.DigitalKey
		lock id.Lock
		want string
	}{
		{"a missing key", id.New[id.KindDigitalKey](now), h.gate, "digital_key_not_found"},
		{"somebody else's key", h.give(t, bob, now, digitalkey.App), h.gate, "digital_key_not_found"},
		{"a key of tomorrow", h.give(t, h.ada, now.Add(24*time.Hour), digitalkey.App), h.gate, "digital_key_upcoming"},
		{"a cancelled key", cancelled, h.gate, "digital_key_cancelled"},
		{"a key by PIN", h.give(t, h.ada, now, digitalkey.PIN), h.gate, "digital_key_not_by_app"},
		{"another door", h.key, noApp, "lock_not_of_key"},
		{"a door without a controller", h.key, h.shed, "lock_unreachable"},
	} {
		_, err := h.Open(t.Context(), h.by, c.key, c.lock)
		if f, ok := fault.As(err); !ok || f.Code != c.want {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
		found := false
		for _, line := range storetest.Activities(t, h.Store, h.w, "lock.open") {
			found = found || line.Reason == c.want && line.Outcome == activity.Refused && line.User == h.ada.ID && line.Target.ID == string(c.lock)
		}
		if !found {
			t.Errorf("%s: want a line that says that Ada was refused", c.what)
		}
	}
	storetest.Exec(t, h.Database, `UPDATE smartlock SET capabilities = 'pin' WHERE id = $1`, string(h.gate))
	_, err := h.Open(t.Context(), h.by, h.key, h.gate)
	storetest.Refused(t, err, "lock_not_by_app")
	h.clock.Advance(10 * time.Minute)
	_, err = h.Open(t.Context(), h.by, h.key, h.gate)
	storetest.Refused(t, err, "digital_key_expired")
}

func TestOpen_offlineIsSaid(t *testing.T) {
	h := newHouse(t)
	storetest.Exec(t, h.Database, `UPDATE smartlock SET online_until = $1 WHERE id = $2`, h.clock.Now().UnixMilli(), string(h.gate))
	_, err := h.Open(t.Context(), h.by, h.key, h.gate)
	storetest.Refused(t, err, "lock_unreachable")
}

func TestOpen_tooOften(t *testing.T) {
	h := newHouse(t)
	for range unlock.MaxPresses {
		if _, err := h.Open(t.Context(), h.by, h.key, h.gate); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Open(t.Context(), h.by, h.key, h.gate)
	if f := storetest.Fault(t, err, "too_many_presses"); f.RetryAfter != time.Minute {
		t.Errorf("RetryAfter = %v, want a minute", f.RetryAfter)
	}
	h.clock.Advance(time.Minute)
	if _, err := h.Open(t.Context(), h.by, h.key, h.gate); err != nil {
		t.Errorf("Open() a minute later: %v, want nil", err)
	}
}

func TestStrangers(t *testing.T) {
	h := newHouse(t)
	asked, err := h.Open(t.Context(), h.by, h.key, h.gate)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: "lock.open", Need: auth.Signed, Call: func(by auth.Caller) error {
		_, err := h.Open(t.Context(), by, h.key, h.gate)
		return err
	}})
	_, err = h.Open(t.Context(), storetest.APIKey(t, h.Store, h.w, auth.All()...), h.key, h.gate)
	storetest.Refused(t, err, "person_only")
	other := storetest.Workspace(t, h.Store)
	stranger := storetest.AppSession(t, h.Store, storetest.User(t, h.Store, other, "eve"), signin.OpenedByCode, h.clock.Now())
	_, err = h.Open(t.Context(), stranger, h.key, h.gate)
	storetest.Refused(t, err, "digital_key_not_found")
	bob := storetest.AppSession(t, h.Store, storetest.User(t, h.Store, h.w, "bob"), signin.OpenedByCode, h.clock.Now())
	for who, by := range map[string]auth.Caller{"another workspace": stranger, "another user": bob, "an owner": storetest.Administrator(t, h.Store, h.w, "owner")} {
		if _, err := h.Find(t.Context(), by, asked.ID); storetest.Fault(t, err, "command_not_found").Kind != fault.KindNotFound {
			t.Errorf("Find() as %s: %v, want not found", who, err)
		}
	}
	_, err = h.Find(t.Context(), h.by, id.New[id.KindLockCommand](h.clock.Now()))
	storetest.Refused(t, err, "command_not_found")
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: "lock.command", Need: auth.Signed, Call: func(by auth.Caller) error {
		_, err := h.Find(t.Context(), by, asked.ID)
		return err
	}})
}
