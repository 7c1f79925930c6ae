package activity

import (
	"context"
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/tx"
)

// Refusal identifies like refusals: one caller, one act, one reason.
type Refusal struct {
	Workspace id.Workspace
	Caller    string // kind and id and, for a client, the card
	Action    string
	Reason    string
}

// GateTx is what the gate needs of a transaction.
type GateTx interface {
	auth.StandingReader
	Tx
	// CountRefusal counts a like refusal and returns how many a new line stands
	// for: 1 for the first, 0 while the window that began with the last line is
	// open (it was only counted), and all that were counted, this one included,
	// once it is over.
	CountRefusal(ctx context.Context, r Refusal, now time.Time, window time.Duration) (int, error)
	// InsertOnce writes the row of a request that is done at most once. It returns
	// false, and what the first left, if the request was done before: then body is
	// the first one's. A request under way elsewhere is waited for.
	InsertOnce(ctx context.Context, w id.Workspace, r *once.Request, now time.Time) (first bool, body, note string, err error)
	// NoteOnce keeps what a repeat is answered from.
	NoteOnce(ctx context.Context, r *once.Request, note string) error
	// DeleteOnce forgets a request that was refused: it may be sent again.
	DeleteOnce(ctx context.Context, r *once.Request) error
	// AdmitProof returns the standing of a caller who proved itself, and remembers its proof
	// until it is too old in any case. fresh is false if the proof was spent before, at
	// whatever server.
	AdmitProof(ctx context.Context, by auth.Caller, now time.Time) (s auth.Standing, fresh bool, err error)
	// AwaitWithdrawals makes Write wait for what was withdrawn before: a repeat is
	// not answered before the first is over.
	AwaitWithdrawals()
}

// Attempt says what is tried, for the rule and for the refusal's line. Need
// auth.Signed means that being signed in is enough.
type Attempt struct {
	Action string
	Need   auth.Permission
	Target Party
	// SecurityKey is the key with which it is tried, or that it is tried on.
	SecurityKey id.SecurityKey
	// User is whom it concerns, if that is not the caller; RPID the website it is for.
	User id.User
	RPID string
	// Card tells the refusals of a client apart: like ones of one card are one line a minute.
	// A workstation is many people's. It is the key's id or, where nobody has the card, its
	// digest: the work is the same then.
	Card string
}

// Gate runs a room's work for callers who are allowed to, and for nobody else:
// the one way to be allowed. It reads the caller's standing inside the same
// transaction as the work and writes refusals into the record.
type Gate[T GateTx] struct {
	Store tx.Runner[T]
	Clock clock.Clock
}

// Work is what a writing service method does once its caller is allowed to.
type Work[T any] func(ctx context.Context, t T, standing auth.Standing, now time.Time) (*fault.Error, error)

// Look is what a reading service method does once its caller is allowed to.
type Look[T any] func(ctx context.Context, t T, standing auth.Standing, now time.Time) error

// Write runs fn in a writing transaction if by may make the attempt. A request
// with an idempotency key (package once) is done at most once: its repeat ends
// with *once.Repeated, and fn is not run. A client's proof is spent here, whatever
// comes of the request: whatever a client asks for is a Write.
func (g Gate[T]) Write(ctx context.Context, by auth.Caller, a Attempt, fn Work[T]) error {
	r, hasKey := once.From(ctx)
	return g.Store.Write(ctx, func(ctx context.Context, t T) (*fault.Error, error) {
		now := g.Clock.Now()
		standing, fresh, err := standingOf(ctx, t, by, now)
		if err != nil {
			return nil, fmt.Errorf("reading the caller's standing: %w", err)
		}
		if !fresh {
			return fault.BadProof(), Refuse(ctx, t, by, a, "proof_replayed", now)
		}
		if refusal := auth.Check(by, standing, a.Need); refusal != nil {
			return refusal, Refuse(ctx, t, by, a, refusal.Code, now)
		}
		if !hasKey {
			return fn(ctx, t, standing, now)
		}
		ctx = once.With(ctx, r) // a transaction has a context of its own
		first, body, note, err := t.InsertOnce(ctx, by.Workspace, r, now)
		switch {
		case err != nil:
			return nil, fmt.Errorf("keeping an idempotency key: %w", err)
		case !first && body != r.Body:
			return once.Reused(), nil
		case !first:
			t.AwaitWithdrawals()
			return nil, &once.Repeated{Note: note}
		}
		_ = r.Noted() // what an earlier run of this function left is not true any more
		f, err := fn(ctx, t, standing, now)
		if err != nil {
			return nil, err
		}
		if f != nil {
			return f, t.DeleteOnce(ctx, r)
		}
		return nil, t.NoteOnce(ctx, r, r.Noted())
	})
}

// standingOf reads the caller's standing, and spends the proof of one who has one: fresh is
// false if it was spent before.
func standingOf(ctx context.Context, t GateTx, by auth.Caller, now time.Time) (s auth.Standing, fresh bool, err error) {
	if by.Proof != (auth.Proof{}) {
		return t.AdmitProof(ctx, by, now)
	}
	s, err = t.CallerStanding(ctx, by, now)
	return s, true, err
}

// Read runs fn over a snapshot if by may make the attempt. A refusal, fn's own
// Forbidden fault among them, is written in a transaction of its own.
func (g Gate[T]) Read(ctx context.Context, by auth.Caller, a Attempt, fn Look[T]) error {
	var refusal *fault.Error
	err := g.Store.Read(ctx, func(ctx context.Context, t T) error {
		now := g.Clock.Now()
		standing, err := t.CallerStanding(ctx, by, now)
		if err != nil {
			return fmt.Errorf("reading the caller's standing: %w", err)
		}
		if refusal = auth.Check(by, standing, a.Need); refusal != nil {
			return nil //nolint:nilerr // the refusal is answered once the snapshot is closed
		}
		return fn(ctx, t, standing, now)
	})
	if f, ok := fault.As(err); ok && f.Kind == fault.KindForbidden {
		refusal, err = f, nil
	}
	if err != nil || refusal == nil {
		return err
	}
	return g.Store.Write(ctx, func(ctx context.Context, t T) (*fault.Error, error) {
		return refusal, Refuse(ctx, t, by, a, refusal.Code, g.Clock.Now())
	})
}

// Refuse writes the refusal of an attempt. Repeated refusals of one caller, act
// and reason are one line a minute with a count. Without a known workspace there
// is no record to write to: those go to log and metrics only.
func Refuse(ctx context.Context, t GateTx, by auth.Caller, a Attempt, reason string, now time.Time) error {
	if by.Workspace == "" {
		return nil
	}
	caller := string(by.Kind) + " " + by.Identity()
	if by.Kind == auth.Client && a.Card != "" {
		caller += " " + a.Card
	}
	n, err := t.CountRefusal(ctx, Refusal{Workspace: by.Workspace, Caller: caller, Action: a.Action, Reason: reason}, now, RefusalWindow)
	if err != nil {
		return fmt.Errorf("counting a refusal: %w", err)
	}
	if n == 0 {
		return nil
	}
	e := Event{Action: a.Action, Outcome: Refused, Reason: reason, Count: n, Target: a.Target, User: by.User, SecurityKey: a.SecurityKey, RPID: a.RPID}
	if a.User != "" {
		e.User = a.User
	}
	return Append(ctx, t, by, e, now)
}
