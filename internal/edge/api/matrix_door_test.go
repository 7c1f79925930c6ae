package api_test

import (
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// doors has all controllers do at once what they are told, whenever they are online:
// whoever opens a door waits for its answer.
func (b *bench) doors() {
	b.t.Helper()
	b.exec(`CREATE TRIGGER matrix_door AFTER INSERT ON smartlock_command WHEN NEW.op = 'open' BEGIN
		UPDATE smartlock_command SET done_at = NEW.created_at, outcome = 'opened' WHERE id = NEW.id; END`)
}

// lock makes a lock: without a controller, with one that is online, or a command for such
// a one.
func (b *bench) lock(w *world, kind string) string {
	b.t.Helper()
	defer b.open(w)()
	l, err := b.app.Locks.Create(b.t.Context(), w.by, smartlock.NewLock{Name: b.next(w), Place: w.name, Timezone: "Europe/Berlin"})
	if err != nil {
		b.t.Fatal(err)
	}
	if kind == "lock" {
		return string(l.ID)
	}
	b.exec(`UPDATE smartlock SET enrolled_at = 1, era = 1, online_until = $2 WHERE id = $1`, string(l.ID), storetest.Start().Add(time.Hour).UnixMilli())
	if kind == "online_lock" {
		return string(l.ID)
	}
	c, err := b.app.Locks.Teach(b.t.Context(), w.by, l.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(c.ID)
}

// digitalKey makes a digital key with a PIN that is active, or was cancelled.
func (b *bench) digitalKey(w *world, kind string) string {
	b.t.Helper()
	ctx, lock, u, now := b.t.Context(), b.lock(w, "lock"), b.user(w), storetest.Start()
	defer b.open(w)()
	k, err := b.app.DigitalKeys.Create(ctx, w.by, digitalkey.NewKey{
		Description: b.next(w), Locks: []id.Lock{id.Lock(lock)}, User: u, Types: []digitalkey.Type{digitalkey.PIN, digitalkey.App},
		Span: digitalkey.Span{StartsAt: now, ExpiresAt: now.AddDate(0, 0, 3)},
	})
	if err == nil && kind == "cancelled_digital_key" {
		_, err = b.app.DigitalKeys.Cancel(ctx, w.by, k.Key.ID)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(k.Key.ID)
}
