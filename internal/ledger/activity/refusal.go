package activity

import (
	"context"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
)

// OverdueRefusal is what was counted of like refusals in a window that is over,
// and of which no line tells yet. Count leaves out the refusal that opened the
// window: that one had a line of its own.
type OverdueRefusal struct {
	Refusal
	Since time.Time // when the window began
	Count int
}

// OverdueTx is what writing overdue refusals needs of a transaction.
type OverdueTx interface {
	Tx
	// TakeOverdueRefusals deletes at most limit windows that are over at now and
	// returns them, oldest first, those without a counted refusal included.
	TakeOverdueRefusals(ctx context.Context, now time.Time, window time.Duration, limit int) ([]OverdueRefusal, error)
}

// WriteOverdue writes the line that stands for the refusals counted in r, or
// nothing if none were. What only the single refusals knew, the caller's name and
// address and the target, is not in it.
func WriteOverdue(ctx context.Context, t Tx, r OverdueRefusal, now time.Time) error {
	if r.Count == 0 {
		return nil
	}
	kind, identity, _ := strings.Cut(r.Caller, " ")
	key := ""
	if auth.Kind(kind) == auth.Client {
		identity, key, _ = strings.Cut(identity, " ")
	}
	e := Event{
		Workspace: r.Workspace, Action: r.Action, Outcome: Refused, Reason: r.Reason, Count: r.Count,
		Actor: Party{Type: kind, ID: identity},
	}
	if k, is := id.Parse[id.KindSecurityKey](key); is { // else it is the digest of a card that nobody has
		e.SecurityKey = k
	}
	if auth.Kind(kind) == auth.Client {
		e.Client = id.Client(identity)
	}
	if auth.Kind(kind) == auth.Administrator || auth.Kind(kind) == auth.User {
		e.User = id.User(identity)
	}
	return Append(ctx, t, auth.Caller{}, e, now)
}
