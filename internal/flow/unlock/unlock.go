// Package unlock is how people open a door from afar: with a digital key in the app. It
// joins the key's rules and the lock's commands in one transaction. It decides nothing at
// the door: the controller does.
package unlock

import (
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// Tx is the storage of the rooms that this flow joins.
type Tx interface {
	digitalkey.Tx
	smartlock.Tx
}

// The bounds of pressing.
const (
	// MaxPresses is how often a user presses in a minute at most.
	MaxPresses   = 10
	pressesEvery = time.Minute
)

// Config is what the flow is made from.
type Config struct {
	Store tx.Runner[Tx]
	Clock clock.Clock
}

// Service is the flow's door. Use NewService.
type Service struct{ gate activity.Gate[Tx] }

// NewService returns the flow.
func NewService(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}}
}

// Open asks a lock to open by the app with a digital key of the caller's. A key of somebody
// else is as absent as one that never was. Whatever is in the way is a fault with a code of
// its own, and is recorded as an opening that was refused; that the door opened is recorded
// by what the door tells.
func (s *Service) Open(ctx context.Context, by auth.Caller, k id.DigitalKey, l id.Lock) (smartlock.Command, error) {
	var out smartlock.Command
	attempt := activity.Attempt{Action: "lock.open", Need: auth.Signed, Target: activity.Party{Type: "lock", ID: string(l)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = smartlock.Command{}
		p := press{t: t, by: by, attempt: attempt, now: now}
		lock, f, err := p.mayOpen(ctx, k, l)
		if f == nil && err == nil {
			out, f, err = smartlock.Ask(ctx, t, by, lock, grant.OpOpen, k, now)
		}
		if err != nil {
			return nil, err
		}
		if f != nil {
			return f, activity.Refuse(ctx, t, by, p.attempt, f.Code, now)
		}
		once.Note(ctx, string(out.ID))
		return nil, nil
	})
	if err != nil {
		return smartlock.Command{}, err
	}
	return out, nil
}

// press is one press of the button, in its transaction.
type press struct {
	t       Tx
	by      auth.Caller
	attempt activity.Attempt
	now     time.Time
}

// mayOpen returns the lock, or what is in the way of an opening. Every press counts,
// whatever it is for.
func (p *press) mayOpen(ctx context.Context, k id.DigitalKey, l id.Lock) (smartlock.Lock, *fault.Error, error) {
	if p.by.User == "" {
		return smartlock.Lock{}, fault.Forbidden("person_only", "Only a person opens doors with digital keys of their own."), nil
	}
	n, since, err := p.t.CountRate(ctx, string(p.by.Workspace)+"/unlock/"+string(p.by.User), p.now, pressesEvery)
	if err != nil {
		return smartlock.Lock{}, nil, err
	}
	if n > MaxPresses {
		return smartlock.Lock{}, fault.TooMany("too_many_presses", "You pressed too often. Wait a moment.", since.Add(pressesEvery).Sub(p.now)), nil
	}
	key, found, err := p.t.FindDigitalKey(ctx, p.by.Workspace, k)
	if err != nil {
		return smartlock.Lock{}, nil, err
	}
	if !found || key.User != p.by.User {
		return smartlock.Lock{}, digitalkey.Unknown(), nil
	}
	for _, n := range key.Locks {
		if n.ID == l {
			p.attempt.Target.Name = n.Name
		}
	}
	if f := refusal(key, l, p.now); f != nil {
		return smartlock.Lock{}, f, nil
	}
	lock, found, err := p.t.FindLock(ctx, p.by.Workspace, l)
	if err != nil {
		return smartlock.Lock{}, nil, err
	}
	switch {
	case !found:
		return smartlock.Lock{}, noSuchDoor(), nil
	case !lock.Has(smartlock.App):
		return smartlock.Lock{}, fault.Conflict("lock_not_by_app", "This door cannot be opened by the app."), nil
	case !lock.Enrolled() || !lock.Online(p.now):
		return smartlock.Lock{}, fault.Conflict("lock_unreachable", "The lock cannot be reached at the moment. If your key has a PIN or a keycard, use it at the door."), nil
	}
	return lock, nil, nil
}

func noSuchDoor() *fault.Error {
	return fault.Conflict("lock_not_of_key", "This digital key does not open that door.")
}

// refusal answers why the key does not open the lock by the app now.
func refusal(k digitalkey.DigitalKey, l id.Lock, now time.Time) *fault.Error {
	switch k.Status(now) {
	case digitalkey.Upcoming:
		return fault.Conflict("digital_key_upcoming", "Your digital key does not work yet.")
	case digitalkey.Expired:
		return fault.Conflict("digital_key_expired", "Your digital key has expired.")
	case digitalkey.Cancelled:
		return fault.Conflict("digital_key_cancelled", "Your digital key was cancelled.")
	case digitalkey.Active:
	}
	if !k.Has(digitalkey.App) {
		return fault.Conflict("digital_key_not_by_app", "This digital key does not open by the app. Use its PIN or keycard at the door.")
	}
	if !slices.ContainsFunc(k.Locks, func(n digitalkey.LockName) bool { return n.ID == l }) {
		return noSuchDoor()
	}
	return nil
}

// Find returns what became of an opening that the caller asked for. One that somebody else
// asked for is as absent as one that never was.
func (s *Service) Find(ctx context.Context, by auth.Caller, c id.LockCommand) (smartlock.Command, error) {
	var out smartlock.Command
	attempt := activity.Attempt{Action: "lock.command", Need: auth.Signed, Target: activity.Party{Type: "lock_command", ID: string(c)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		got, found, err := t.FindLockCommand(ctx, by.Workspace, c)
		if err != nil {
			return err
		}
		if !found || by.User == "" || got.AskedBy != string(by.User) || got.DigitalKey == "" {
			return fault.NotFound("command_not_found", "This command does not exist.")
		}
		out = got
		return nil
	})
	return out, err
}
