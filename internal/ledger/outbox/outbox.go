// Package outbox holds messages that leave after commit. A room puts a message
// in the transaction of the act that it tells of; a worker takes it once the act
// is durable. It decides when a message is due, tried again or given up; it
// refuses to know how a message travels.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
)

// Payload is the typed content of a message. It holds no secret in the clear.
type Payload interface {
	// MessageKind names the kind of message: "mail.passkey_registered".
	MessageKind() string
}

// Message is one row of the outbox.
type Message struct {
	ID        id.Job
	Workspace id.Workspace
	Kind      string
	Payload   json.RawMessage
	CreatedAt time.Time
	ExpiresAt time.Time // given up then, if it did not leave before
	Attempts  int       // tries begun, this one included
}

// Tx is what a room needs of a transaction to put a message.
type Tx interface {
	InsertOutboxMessage(ctx context.Context, m Message) error
}

// Lifetime is how long a message is tried before it is given up.
const Lifetime = 72 * time.Hour

// Put writes a message of the workspace into the caller's transaction.
func Put(ctx context.Context, t Tx, w id.Workspace, p Payload, now time.Time) error {
	return PutUntil(ctx, t, w, p, now, now.Add(Lifetime))
}

// PutUntil is Put for a message that is of no use after expires.
func PutUntil(ctx context.Context, t Tx, w id.Workspace, p Payload, now, expires time.Time) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("writing a %s message: %w", p.MessageKind(), err)
	}
	return t.InsertOutboxMessage(ctx, Message{
		ID: id.New[id.KindJob](now), Workspace: w, Kind: p.MessageKind(), Payload: body,
		CreatedAt: now, ExpiresAt: expires,
	})
}

// WorkTx is what the worker needs of a transaction.
type WorkTx interface {
	// LeaseOutboxMessages takes at most limit messages that are due at now: none
	// else takes them before until. Each taking counts as an attempt.
	LeaseOutboxMessages(ctx context.Context, holder string, now, until time.Time, limit int) ([]Message, error)
	// FinishOutboxMessage marks a message as delivered, if holder still has it.
	FinishOutboxMessage(ctx context.Context, m id.Job, holder string, now time.Time) (bool, error)
	// PostponeOutboxMessage gives a message back to be tried at due, with the
	// reason of the failure for administrators, if holder still has it.
	PostponeOutboxMessage(ctx context.Context, m id.Job, holder string, due time.Time, reason string) (bool, error)
	// GiveUpOutboxMessage marks a message as dead, if holder still has it.
	GiveUpOutboxMessage(ctx context.Context, m id.Job, holder string, now time.Time, reason string) (bool, error)
}

// Backoff is how long to wait after the given number of failed attempts: 10 s,
// doubling, at most an hour.
func Backoff(attempts int) time.Duration {
	wait := 10 * time.Second
	for range attempts - 1 {
		if wait *= 2; wait >= time.Hour {
			return time.Hour
		}
	}
	return wait
}
