// Package checkpoint tells the outside once an hour how each activity record ends:
// by mail, and in files of a folder that the operator names. It decides when and
// by which of several servers; what a checkpoint is and proves is package
// activity's.
package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

const (
	// Every is how far apart a workspace's checkpoints are, at the least.
	Every = time.Hour

	interval  = time.Minute
	leaseName = "checkpoint"
	leaseTime = 5 * time.Minute
	// workspacesPage bounds what one transaction looks at.
	workspacesPage = 100
)

// Tx is the storage that checkpoints need.
type Tx interface {
	outbox.Tx
	// TakeLease is the sequencer's: one holder at a time before until.
	TakeLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
	// ListDueCheckpoints lists at most limit workspaces after the given one, in the
	// order of their ids, whose chain is longer than when it was last told of, and
	// that at or before the moment. Workspaces without an address for checkpoints
	// are left out unless all is set.
	ListDueCheckpoints(ctx context.Context, after id.Workspace, before time.Time, all bool, limit int) ([]activity.DueCheckpoint, error)
	// MoveCheckpoint notes how far the workspace's chain was told of; it returns
	// false if it was already told of as far or farther.
	MoveCheckpoint(ctx context.Context, w id.Workspace, index int64, at time.Time) (bool, error)
}

// Config is what a teller of checkpoints is made from.
type Config struct {
	Store  tx.Runner[Tx]
	Clock  clock.Clock
	Signer activity.Signer
	// Folder gets a file <workspace id>.jsonl for each workspace, to which
	// checkpoints are appended; empty for none. It must exist.
	Folder string
	// Holder names this process among all that share the store.
	Holder string
	// Log hears of failures. Nil for silence.
	Log *slog.Logger
}

// Teller tells the outside of checkpoints. Use New.
type Teller struct{ c Config }

// New returns a teller.
func New(c Config) *Teller {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Teller{c: c}
}

// Run looks each minute for workspaces that are due, until ctx ends. A failure is
// logged and tried again the next minute. Call it once.
func (s *Teller) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := s.Tell(ctx); err != nil && ctx.Err() == nil {
			s.c.Log.ErrorContext(ctx, "checkpoint: telling of the records' ends", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Tell tells of all workspaces that are due now, if no other server is at it. A
// workspace that fails does not keep the others from it.
func (s *Teller) Tell(ctx context.Context) error {
	now := s.c.Clock.Now()
	// The lease is taken when there is work only: most minutes cost one read.
	if due, err := s.due(ctx, "", now, 1); err != nil || len(due) == 0 {
		return err
	}
	held, err := s.hold(ctx, now, now.Add(leaseTime))
	if err != nil || !held {
		return err
	}
	var errs []error
	var after id.Workspace
	for {
		due, err := s.due(ctx, after, now, workspacesPage)
		if err != nil {
			errs = append(errs, err)
			break
		}
		for _, d := range due {
			if err := s.tell(ctx, d, now); err != nil {
				errs = append(errs, fmt.Errorf("telling of %s: %w", d.Workspace, err))
			}
			after = d.Workspace
		}
		if len(due) < workspacesPage {
			break
		}
	}
	// What is given back now may be taken by whoever comes first in the next minute.
	_, err = s.hold(ctx, now, now)
	return errors.Join(append(errs, err)...)
}

// due lists at most limit workspaces after the given one that are due now.
func (s *Teller) due(ctx context.Context, after id.Workspace, now time.Time, limit int) ([]activity.DueCheckpoint, error) {
	var due []activity.DueCheckpoint
	err := s.c.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		due, err = t.ListDueCheckpoints(ctx, after, now.Add(-Every), s.c.Folder != "", limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing who is due: %w", err)
	}
	return due, nil
}

// hold takes the lease until a moment, or gives it back if until is not after now.
func (s *Teller) hold(ctx context.Context, now, until time.Time) (bool, error) {
	var held bool
	err := s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		var err error
		held, err = t.TakeLease(ctx, leaseName, s.c.Holder, now, until)
		return nil, err
	})
	return held, err
}

// tell writes the file first: a checkpoint that stands there twice is true twice,
// and one that was noted but never written would be missing.
func (s *Teller) tell(ctx context.Context, d activity.DueCheckpoint, now time.Time) error {
	signed := activity.SignCheckpoint(d.Workspace, d.Head, now, s.c.Signer)
	text, err := json.Marshal(signed)
	if err != nil {
		return err
	}
	if s.c.Folder != "" {
		if err := appendLine(filepath.Join(s.c.Folder, string(d.Workspace)+".jsonl"), text); err != nil {
			return err
		}
	}
	return s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		moved, err := t.MoveCheckpoint(ctx, d.Workspace, d.Head.Index, now)
		if err != nil || !moved || d.Email == "" {
			return nil, err
		}
		return nil, outbox.Put(ctx, t, d.Workspace, outbox.ActivityCheckpoint{
			To:        outbox.Recipient{Email: d.Email, Language: d.Language, Timezone: d.Timezone},
			Workspace: d.Name, Index: d.Head.Index, At: now.UnixMilli(), Checkpoint: string(text),
		}, now)
	})
}

// appendLine adds a line to a file, which it makes if need be, and returns once it
// is on the disk.
func appendLine(path string, line []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600) //nolint:gosec // the operator names the folder, and ids are ours
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// One write, so that a crash leaves no line without its end before the next.
	if _, err := f.Write(append(line[:len(line):len(line)], '\n')); err != nil {
		return err
	}
	return f.Sync()
}
