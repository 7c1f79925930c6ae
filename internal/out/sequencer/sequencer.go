// Package sequencer gives each line of the record its place in the chain soon
// after it was written, and writes the lines of refusals that were only counted.
// It decides when and by which of several servers; how lines are chained is
// package activity's.
package sequencer

import (
	"context"
	"log/slog"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

const (
	interval  = time.Second
	leaseName = "sequencer"
	leaseTime = 5 * time.Second
	// workspacesPage and refusalsPage bound what one transaction looks at.
	workspacesPage = 100
	refusalsPage   = 500
)

// Tx is the storage that the sequencer needs.
type Tx interface {
	activity.ChainTx
	activity.OverdueTx
	// TakeLease makes holder the holder of the lease of that name before until. It
	// returns false while somebody else holds it, at now. Who holds it already may
	// renew it, and gives it back with an until that is not after now.
	TakeLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
}

// Config is what a sequencer is made from.
type Config struct {
	Store tx.Runner[Tx]
	Clock clock.Clock
	// Holder names this process among all that share the store.
	Holder string
	// Log hears of failures. Nil for silence.
	Log *slog.Logger
}

// Sequencer seals the record. Use New.
type Sequencer struct {
	c     Config
	until time.Time // of the lease that is held; zero for none
}

// New returns a sequencer.
func New(c Config) *Sequencer {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Sequencer{c: c}
}

// Run seals each second, if no other server does, until ctx ends. Then it gives
// the lease back and returns. A failure is logged and tried again at the next
// second. Call it once.
func (s *Sequencer) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.flushRefusals(ctx)
		s.seal(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	s.release(ctx)
}

// hold says whether the lease is held, and takes or renews it when less than half
// of it is left. The lease only keeps servers out of each other's way: what makes
// the chain safe is the fence at its head.
func (s *Sequencer) hold(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if s.until.Sub(s.c.Clock.Now()) > leaseTime/2 {
		return true
	}
	var taken bool
	var until time.Time
	err := s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.c.Clock.Now()
		until = now.Add(leaseTime)
		var err error
		taken, err = t.TakeLease(ctx, leaseName, s.c.Holder, now, until)
		return nil, err
	})
	if err != nil {
		s.log(ctx, "sequencer: taking the lease", err)
	}
	if err != nil || !taken {
		s.until = time.Time{}
		return false
	}
	s.until = until
	return true
}

// release lets another server go on at once.
func (s *Sequencer) release(ctx context.Context) {
	if s.until.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTime)
	defer cancel()
	err := s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.c.Clock.Now()
		_, err := t.TakeLease(ctx, leaseName, s.c.Holder, now, now)
		return nil, err
	})
	if err != nil {
		s.log(ctx, "sequencer: giving the lease back", err)
	}
}

// flushRefusals writes the lines of all refusal windows that are over.
func (s *Sequencer) flushRefusals(ctx context.Context) {
	for s.hold(ctx) {
		var n int
		err := s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
			var err error
			n, err = flushPage(ctx, t, s.c.Clock.Now())
			return nil, err
		})
		if err != nil {
			s.log(ctx, "sequencer: writing counted refusals", err)
			return
		}
		if n < refusalsPage {
			return
		}
	}
}

// flushPage writes the lines of at most refusalsPage windows and returns how many
// windows it took.
func flushPage(ctx context.Context, t Tx, now time.Time) (int, error) {
	overdue, err := t.TakeOverdueRefusals(ctx, now, activity.RefusalWindow, refusalsPage)
	if err != nil {
		return 0, err
	}
	for _, r := range overdue {
		if err := activity.WriteOverdue(ctx, t, r, now); err != nil {
			return 0, err
		}
	}
	return len(overdue), nil
}

// seal seals all that is unsealed, one workspace after the other.
func (s *Sequencer) seal(ctx context.Context) {
	var after id.Workspace
	for s.hold(ctx) {
		var page []id.Workspace
		err := s.c.Store.Read(ctx, func(ctx context.Context, t Tx) error {
			var err error
			page, err = t.UnsealedWorkspaces(ctx, after, workspacesPage)
			return err
		})
		if err != nil {
			s.log(ctx, "sequencer: listing what is unsealed", err)
			return
		}
		for _, w := range page {
			s.sealWorkspace(ctx, w)
			after = w
		}
		if len(page) < workspacesPage {
			return
		}
	}
}

// sealWorkspace seals batch after batch. A workspace that fails does not keep the
// others from being sealed.
func (s *Sequencer) sealWorkspace(ctx context.Context, w id.Workspace) {
	for s.hold(ctx) {
		var n int
		var lost bool
		err := s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
			watched := &fence{ChainTx: t}
			var err error
			n, err = activity.SealNext(ctx, watched, w)
			lost = watched.lost
			return nil, err
		})
		if err != nil && lost {
			s.c.Log.DebugContext(ctx, "sequencer: another one was first", "workspace", string(w), "error", err)
			return
		}
		if err != nil {
			s.log(ctx, "sequencer: sealing", err, "workspace", string(w))
			return
		}
		if n < activity.SealBatch {
			return
		}
	}
}

// fence notes whether the chain's head was moved by another sequencer.
type fence struct {
	activity.ChainTx
	lost bool
}

func (f *fence) MoveActivityHead(ctx context.Context, w id.Workspace, from, to activity.Head) (bool, error) {
	moved, err := f.ChainTx.MoveActivityHead(ctx, w, from, to)
	f.lost = err == nil && !moved
	return moved, err
}

// log writes down a failure, unless it comes of the end of ctx.
func (s *Sequencer) log(ctx context.Context, what string, err error, more ...any) {
	if ctx.Err() == nil {
		s.c.Log.ErrorContext(ctx, what, append([]any{"error", err}, more...)...)
	}
}
