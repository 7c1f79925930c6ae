package activity

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
)

// Query says which lines of the record are wanted. Zero fields do not filter.
// Lines come oldest first; Page.Descending turns that around.
type Query struct {
	User    id.User // whom it concerns
	Actor   string  // the id of who acted
	Target  string  // the id of what was acted on
	Action  string
	Outcome Outcome
	RPID    string
	// SecurityKey is the key with which it was done, or that it was done to.
	SecurityKey id.SecurityKey
	From        time.Time // inclusive
	To          time.Time // exclusive
	Page        page.Request
}

// Change is what others may know of a line at once: that something happened to
// what. Names are empty for who may not read the record.
type Change struct {
	ID      id.Activity
	At      time.Time
	Action  string
	Outcome Outcome
	Actor   Party
	Target  Party
}

// ChangesReach and ChangesLimit bound what Changes returns.
const (
	ChangesReach = 10 * time.Second
	ChangesLimit = 200
)

// RecordTx is what reading the record needs of a transaction.
type RecordTx interface {
	GateTx
	ListActivities(ctx context.Context, w id.Workspace, q Query) (page.Page[Event], error)
	FindActivity(ctx context.Context, w id.Workspace, a id.Activity) (Event, bool, error)
	// ListChanges lists lines from the moment on, oldest first.
	ListChanges(ctx context.Context, w id.Workspace, from time.Time, limit int) ([]Change, error)
	// ChainTx and SealedActivities serve sealing and verifying.
	ChainTx
	// SealedActivities lists rows with an index above after, in its order.
	SealedActivities(ctx context.Context, w id.Workspace, after int64, limit int) ([]Row, error)
	// CountUnsealedActivities counts the rows without an index.
	CountUnsealedActivities(ctx context.Context, w id.Workspace) (int64, error)
}

// Record reads the record. Use NewRecord.
type Record struct {
	gate   Gate[RecordTx]
	signer Signer
}

// NewRecord returns the record over a gate. signer signs its checkpoints.
func NewRecord(gate Gate[RecordTx], signer Signer) *Record {
	return &Record{gate: gate, signer: signer}
}

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

// Find returns one line. The caller needs activities.read. A line of another
// workspace is as absent as one that never was.
func (s *Record) Find(ctx context.Context, by auth.Caller, a id.Activity) (Event, error) {
	var out Event
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.find", Need: auth.ActivitiesRead}, func(ctx context.Context, t RecordTx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		out, found, err = t.FindActivity(ctx, by.Workspace, a)
		if err == nil && !found {
			return fault.NotFound("activity_not_found", "This activity does not exist.")
		}
		return err
	})
	return out, err
}

// Changes returns what happened in the workspace since the moment, at most the
// last ChangesReach and ChangesLimit lines, oldest first: for pages that keep
// themselves up to date. A line may become visible a little after its moment, so
// ask from a few seconds before the last answer and know lines by their ids. Being
// signed in is enough; a User gets nothing, but is refused like all once their
// standing ends.
func (s *Record) Changes(ctx context.Context, by auth.Caller, since time.Time) ([]Change, error) {
	var out []Change
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.follow", Need: auth.Signed}, func(ctx context.Context, t RecordTx, standing auth.Standing, now time.Time) error {
		if by.Kind == auth.User {
			return nil
		}
		if reach := now.Add(-ChangesReach); since.Before(reach) {
			since = reach
		}
		var err error
		out, err = t.ListChanges(ctx, by.Workspace, since, ChangesLimit)
		if !standing.Permissions.Has(auth.ActivitiesRead) {
			for i := range out {
				out[i].Actor.Name, out[i].Target.Name = "", ""
			}
		}
		return err
	})
	return out, err
}

// Own returns one page of the lines that concern the caller, who is a person.
// Whoever else acted is told by name, but not from where.
func (s *Record) Own(ctx context.Context, by auth.Caller, r page.Request) (page.Page[Event], error) {
	q := Query{User: by.User, Page: r.Bounded()}
	var out page.Page[Event]
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.own", Need: auth.Signed}, func(ctx context.Context, t RecordTx, _ auth.Standing, _ time.Time) error {
		if by.User == "" {
			return fault.Forbidden("person_only", "Only a person has activities of their own.")
		}
		var err error
		out, err = t.ListActivities(ctx, by.Workspace, q)
		for i, e := range out.Items {
			if e.Actor.ID != string(by.User) {
				out.Items[i].IP, out.Items[i].Agent = "", ""
			}
		}
		return err
	})
	return out, err
}

// Verify recomputes every hash of the workspace's record from its columns, and
// compares it with the checkpoints that were kept elsewhere: with one, a record
// whose end was cut is known too. A checkpoint of another workspace, a changed one
// and one that this server did not sign are an Invalid fault, since they say
// nothing about the record. The caller needs activities.read.
func (s *Record) Verify(ctx context.Context, by auth.Caller, checkpoints ...SignedCheckpoint) (Verdict, error) {
	var verdict Verdict
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.verify", Need: auth.ActivitiesRead}, func(ctx context.Context, t RecordTx, _ auth.Standing, _ time.Time) error {
		v := NewVerifier(by.Workspace)
		for _, c := range checkpoints {
			if f := checkCheckpoint(by.Workspace, s.signer, c); f != nil {
				return f
			}
			v.Expect(c.Checkpoint)
		}
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
