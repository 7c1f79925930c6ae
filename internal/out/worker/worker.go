// Package worker takes messages out of the outbox and has them delivered. It
// decides which are tried, tried again and given up, and that no two deliver one
// at the same time; it refuses to know how a message travels.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

const (
	// parallel is how many messages travel at once. No more are taken than can
	// begin at once: a message that waits would wear its lease out.
	parallel = 4
	// interval is how often the outbox is looked at without a Wake.
	interval = time.Second
	// grace is how long deliveries may go on after Run's context ended.
	grace = 10 * time.Second
	// maxReason bounds what is kept of a failure.
	maxReason = 500

	defaultLease = time.Minute
)

// Deliverer hands a message over to whoever carries it on.
type Deliverer interface {
	// Deliver returns nil once m was handed over. An error that has a method
	// Permanent() bool, and says true, ends the message; after any other it is
	// tried again. Deliver returns soon after ctx ends, and is safe for use by
	// several goroutines.
	Deliver(ctx context.Context, m outbox.Message) error
}

// Config is what a worker is made from.
type Config struct {
	Store tx.Runner[outbox.WorkTx]
	Clock clock.Clock
	// Deliver carries the messages. Nil takes none: they wait in the outbox until
	// there is one, or until they expire.
	Deliver Deliverer
	// Holder names this process among all that share the outbox.
	Holder string
	// Lease is how long a message is this worker's, a minute by default. A
	// delivery is cut short when three quarters of it are over.
	Lease time.Duration
	// Log hears what became of messages, by id and kind. Nil for silence.
	Log *slog.Logger
}

// Worker delivers what is in the outbox. Use New.
type Worker struct {
	c    Config
	wake chan struct{}
}

// New returns a worker.
func New(c Config) *Worker {
	if c.Lease <= 0 {
		c.Lease = defaultLease
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{c: c, wake: make(chan struct{}, 1)}
}

// Wake makes Run look at the outbox at once. It never blocks.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default: // it is to look already
	}
}

// Run delivers messages until ctx ends. Then it takes no more, lets those that
// travel arrive for up to ten seconds, writes down what became of them, and
// returns. Call it once.
func (w *Worker) Run(ctx context.Context) {
	if w.c.Deliver == nil {
		<-ctx.Done()
		return
	}
	// Deliveries outlive ctx by the grace.
	travel, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	busy := map[id.Job]bool{}
	done := make(chan id.Job)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		full := w.take(ctx, travel, busy, done)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				waiting = false
			case <-tick.C:
				waiting = false
			case <-w.wake:
				waiting = false
			case m := <-done:
				delete(busy, m)
				waiting = !full // more are due, and there is room for one again
			}
		}
	}
	end := time.NewTimer(grace)
	defer end.Stop()
	for len(busy) > 0 {
		select {
		case m := <-done:
			delete(busy, m)
		case <-end.C:
			cut()
		}
	}
}

// take leases as many messages as there is room for and sets them off. It says
// whether it got that many, so that more may be due.
func (w *Worker) take(ctx, travel context.Context, busy map[id.Job]bool, done chan<- id.Job) bool {
	room := parallel - len(busy)
	if room == 0 {
		return true
	}
	var taken []outbox.Message
	watch := clock.StartStopwatch() // the lease runs from before it is asked for
	err := w.c.Store.Write(ctx, func(ctx context.Context, t outbox.WorkTx) (*fault.Error, error) {
		now := w.c.Clock.Now()
		var err error
		taken, err = t.LeaseOutboxMessages(ctx, w.c.Holder, now, now.Add(w.c.Lease), room)
		return nil, err
	})
	if err != nil {
		if ctx.Err() == nil {
			w.c.Log.Error("outbox: taking messages", "error", err)
		}
		return false
	}
	for _, m := range taken {
		// A lease can be over by the clock while the message still travels, when
		// somebody moved the clock: it does not travel twice for that.
		if busy[m.ID] {
			continue
		}
		busy[m.ID] = true
		go func() {
			w.handle(travel, m, w.c.Lease*3/4-watch.Elapsed())
			done <- m.ID
		}()
	}
	return len(taken) == room
}

// handle delivers a message within the given time and writes down what became of
// it.
func (w *Worker) handle(travel context.Context, m outbox.Message, within time.Duration) {
	if !w.c.Clock.Now().Before(m.ExpiresAt) {
		w.giveUp(travel, m, "it expired before it could be delivered")
		return
	}
	ctx, cancel := context.WithTimeout(travel, within)
	defer cancel()
	err := ctx.Err()
	if err == nil {
		err = w.c.Deliver.Deliver(ctx, m)
	}
	if err == nil {
		w.finish(travel, m)
		return
	}
	reason := clean(err.Error())
	due := w.c.Clock.Now().Add(outbox.Backoff(m.Attempts))
	// A message that would expire before its next try has had its last.
	if isPermanent(err) || !due.Before(m.ExpiresAt) {
		w.giveUp(travel, m, reason)
		return
	}
	w.postpone(travel, m, due, reason)
}

func (w *Worker) finish(ctx context.Context, m outbox.Message) {
	if w.mark(ctx, m, func(ctx context.Context, t outbox.WorkTx) (bool, error) {
		return t.FinishOutboxMessage(ctx, m.ID, w.c.Holder, w.c.Clock.Now())
	}) {
		w.log(ctx, slog.LevelDebug, "outbox: message delivered", m)
	}
}

func (w *Worker) postpone(ctx context.Context, m outbox.Message, due time.Time, reason string) {
	if w.mark(ctx, m, func(ctx context.Context, t outbox.WorkTx) (bool, error) {
		return t.PostponeOutboxMessage(ctx, m.ID, w.c.Holder, due, reason)
	}) {
		w.log(ctx, slog.LevelInfo, "outbox: message postponed", m, "due", due, "reason", reason)
	}
}

func (w *Worker) giveUp(ctx context.Context, m outbox.Message, reason string) {
	if w.mark(ctx, m, func(ctx context.Context, t outbox.WorkTx) (bool, error) {
		return t.GiveUpOutboxMessage(ctx, m.ID, w.c.Holder, w.c.Clock.Now(), reason)
	}) {
		w.log(ctx, slog.LevelWarn, "outbox: message given up", m, "reason", reason)
	}
}

// mark writes down what became of a message, and says whether it could. It tries
// again while the lease lasts: a delivered message that is not marked is
// delivered twice.
func (w *Worker) mark(ctx context.Context, m outbox.Message, fn func(ctx context.Context, t outbox.WorkTx) (bool, error)) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.c.Lease/6)
	defer cancel()
	for {
		var held bool
		err := w.c.Store.Write(ctx, func(ctx context.Context, t outbox.WorkTx) (*fault.Error, error) {
			var err error
			held, err = fn(ctx, t)
			return nil, err
		})
		if err == nil && !held {
			w.log(ctx, slog.LevelWarn, "outbox: the lease was lost to another worker", m)
		}
		if err == nil {
			return held
		}
		w.log(ctx, slog.LevelError, "outbox: marking a message", m, "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(interval):
		}
	}
}

// log names a message without its content, which is about a person.
func (w *Worker) log(ctx context.Context, level slog.Level, what string, m outbox.Message, more ...any) {
	w.c.Log.Log(ctx, level, what,
		append([]any{"message", string(m.ID), "kind", m.Kind, "workspace", string(m.Workspace), "attempt", m.Attempts}, more...)...)
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// clean makes one bounded line of what the world said.
func clean(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
