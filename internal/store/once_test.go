package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// TestOnce sends a request with one idempotency key again and again, also at once.
func TestOnce(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		s := open(t).Store
		w := storetest.Workspace(t, s)
		now := clock.NewManual(storetest.Start())
		gate := activity.Gate[activity.GateTx]{Store: store.For[activity.GateTx](s), Clock: now}
		by := auth.Job(w, "test")
		act := func(body string, f *fault.Error) error {
			ctx := once.With(t.Context(), once.New(by, "POST", "/things", "key", []byte(body)))
			return gate.Write(ctx, by, activity.Attempt{Action: "thing.make"}, func(ctx context.Context, tx activity.GateTx, _ auth.Standing, now time.Time) (*fault.Error, error) {
				if f != nil {
					return f, nil
				}
				once.Note(ctx, "thing_1")
				return nil, activity.Append(ctx, tx, by, activity.Event{Action: "thing.make"}, now)
			})
		}
		storetest.Refused(t, act("a", fault.Conflict("not_now", "Not now.")), "not_now")
		var group sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			group.Go(func() { errs[i] = act("a", nil) })
		}
		group.Wait()
		done := 0
		for _, err := range errs {
			repeat, ok := errors.AsType[*once.Repeated](err)
			switch {
			case err == nil:
				done++
			case !ok || repeat.Note != "thing_1":
				t.Errorf("act = %v (%+v), want a repeat with the note", err, repeat)
			}
		}
		if done != 1 {
			t.Errorf("%d were done, want 1", done)
		}
		storetest.Refused(t, act("b", nil), "idempotency_key_reused")
		if n := len(storetest.Activities(t, s, w, "thing.make")); n != 1 {
			t.Errorf("%d lines, want 1", n)
		}
		now.Advance(once.Lifetime)
		if err := act("b", nil); err != nil {
			t.Errorf("act() a day later = %v, want it done: the key is forgotten", err)
		}
		if n := len(storetest.Activities(t, s, w, "thing.make")); n != 2 {
			t.Errorf("%s lines, want 2", fmt.Sprint(n))
		}
	})
}
