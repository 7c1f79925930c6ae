package activity

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
)

// Query says which lines of the record are wanted. Zero fields do not filter.
// Lines come oldest first; Page.Descending turns that around.
type Query struct {
	User    id.User
	Action  string
	Outcome Outcome
	From    time.Time // inclusive
	To      time.Time // exclusive
	Page    page.Request
}

// RecordTx is what reading the record needs of a transaction.
type RecordTx interface {
	GateTx
	ListActivities(ctx context.Context, w id.Workspace, q Query) (page.Page[Event], error)
	// ChainTx and SealedActivities serve sealing and verifying.
	ChainTx
	// SealedActivities lists rows with an index above after, in its order.
	SealedActivities(ctx context.Context, w id.Workspace, after int64, limit int) ([]Row, error)
	// CountUnsealedActivities counts the rows without an index.
	CountUnsealedActivities(ctx context.Context, w id.Workspace) (int64, error)
}

// Record reads the record. Use NewRecord.
type Record struct{ gate Gate[RecordTx] }

// NewRecord returns the record over a gate.
func NewRecord(gate Gate[RecordTx]) *Record { return &Record{gate: gate} }

// List returns one page of the workspace's record. The caller needs
// activities.read.
func (s *Record) List(ctx context.Context, by auth.Caller, q Query) (page.Page[Event], error) {
	q.Page = q.Page.Bounded()
	var out page.Page[Event]
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.list", Need: auth.ActivitiesRead}, func(ctx context.Context, t RecordTx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = t.ListActivities(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// Verify recomputes every hash of the workspace's record from its columns. The
// caller needs activities.read.
func (s *Record) Verify(ctx context.Context, by auth.Caller) (Verdict, error) {
	var verdict Verdict
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.verify", Need: auth.ActivitiesRead}, func(ctx context.Context, t RecordTx, _ auth.Standing, _ time.Time) error {
		v := NewVerifier(by.Workspace)
		head, err := t.ActivityHead(ctx, by.Workspace)
		if err != nil {
			return err
		}
		for last := int64(-1 << 62); ; {
			rows, err := t.SealedActivities(ctx, by.Workspace, last, SealBatch)
			if err != nil {
				return err
			}
			for _, row := range rows {
				v.Add(row)
				last = row.Index
			}
			if len(rows) < SealBatch {
				break
			}
		}
		unsealed, err := t.CountUnsealedActivities(ctx, by.Workspace)
		if err != nil {
			return err
		}
		verdict = v.Done(head, unsealed)
		return nil
	})
	return verdict, err
}
