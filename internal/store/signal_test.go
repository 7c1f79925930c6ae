package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// patience is how long a signal may take in a test; it is heard much sooner.
const patience = 10 * time.Second

func TestSignal_isHeardAfterTheCommitOnly(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		d := open(t)
		hub := signal.NewHub()
		d.TellSignalsTo(hub)
		topic := signal.Of("ws_1", signal.Lock, "lock_1")
		heard, cancel := hub.Subscribe(topic)
		defer cancel()
		said := func() bool {
			select {
			case <-heard:
				return true
			default:
				return false
			}
		}
		run := store.For[signal.Tx](d.Store)
		if err := run.Write(t.Context(), func(_ context.Context, tx signal.Tx) (*fault.Error, error) {
			tx.Signal(topic)
			if said() {
				t.Error("a signal is out before the commit")
			}
			return nil, nil //nolint:nilnil // done, without a fault
		}); err != nil || !said() {
			t.Errorf("after the commit: heard nothing, or %v", err)
		}
		if err := run.Write(t.Context(), func(_ context.Context, tx signal.Tx) (*fault.Error, error) {
			tx.Signal(topic)
			return fault.Conflict("so_it_is", "So it is."), nil
		}); err == nil || !said() {
			t.Errorf("after a fault, which commits: heard nothing, or %v", err)
		}
		undone := errors.New("undone")
		if err := run.Write(t.Context(), func(_ context.Context, tx signal.Tx) (*fault.Error, error) {
			tx.Signal(topic)
			return nil, undone
		}); !errors.Is(err, undone) || said() {
			t.Errorf("after a rollback: heard a signal, or %v", err)
		}
	})
}

func TestHear_otherServersSignals(t *testing.T) {
	d := storetest.Postgres(t)
	other := d.Another(t)
	d.TellSignalsTo(signal.NewHub())
	hub := signal.NewHub()
	other.TellSignalsTo(hub)
	topic := signal.Of("ws_1", signal.User, "user_1")
	heard, cancel := hub.Subscribe(topic)
	defer cancel()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- other.Hear(ctx) }()
	<-heard // it listens now: some may have been missed
	if err := store.For[signal.Tx](d.Store).Write(ctx, func(_ context.Context, tx signal.Tx) (*fault.Error, error) {
		tx.Signal(topic, signal.Of("ws_1", signal.User, "user_2"))
		return nil, nil //nolint:nilnil // done, without a fault
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-heard:
	case <-ctx.Done():
		t.Error("another server's signal was not heard")
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Hear() = %v, want it to end with its context", err)
	}
}
