// Package wake keeps this server's lease: it renews it in time, and at once when
// another server signals that something was withdrawn. It decides when; what a lease
// allows is package lease's.
package wake

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// interval is how often the lease is renewed: four times in its life.
	interval = 500 * time.Millisecond
	// patience bounds one renewal: a later one may find the database again.
	patience = 1500 * time.Millisecond
	// relisten is how long to wait before listening again after a failure.
	relisten = time.Second
)

// Lease is what is renewed (lease.Holder).
type Lease interface {
	Renew(ctx context.Context) error
	Leave(ctx context.Context) error
}

// Config is what a Waker is made from.
type Config struct {
	Lease Lease
	// Listen calls heard for each signal until ctx ends or the connection fails.
	Listen func(ctx context.Context, heard func()) error
	// Log hears of failures. Nil for silence.
	Log *slog.Logger
}

// Waker renews the lease. Use New.
type Waker struct {
	c     Config
	heard chan struct{}
}

// New returns a waker.
func New(c Config) *Waker {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Waker{c: c, heard: make(chan struct{}, 1)}
}

// Run renews the lease until ctx ends. Then it gives the lease up and returns. A
// failure is logged once until it is over: meanwhile the lease runs out, and nothing is
// answered from memory. Call it once.
func (w *Waker) Run(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() { w.listen(ctx) })
	tick := time.NewTicker(interval)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		err := w.once(ctx, w.c.Lease.Renew)
		if ctx.Err() == nil && (err != nil) != failing {
			failing = err != nil
			w.tell(ctx, err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-w.heard:
		}
	}
	listening.Wait()
	if err := w.once(context.WithoutCancel(ctx), w.c.Lease.Leave); err != nil {
		w.c.Log.WarnContext(ctx, "wake: giving the lease up", "error", err.Error())
	}
}

func (w *Waker) once(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return fn(ctx)
}

func (w *Waker) tell(ctx context.Context, err error) {
	if err == nil {
		w.c.Log.InfoContext(ctx, "wake: the lease is renewed again")
		return
	}
	w.c.Log.WarnContext(ctx, "wake: the lease is not renewed, so every API key is looked up in the database", "error", err.Error())
}

func (w *Waker) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.c.Listen(ctx, func() {
			select {
			case w.heard <- struct{}{}:
			default: // a look is due anyway
			}
		})
		if ctx.Err() != nil {
			return
		}
		w.c.Log.WarnContext(ctx, "wake: signals of other servers are not heard, so withdrawals take longer", "error", err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(relisten):
		}
	}
}
