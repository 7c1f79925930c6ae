package smartlock

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// Patience is how long it is worth to wait for a door's answer to a command: it is good
// for grant.CommandLife, and never later.
const Patience = (grant.CommandLife + 1) * time.Second

// maxWaiting is how many commands of a lock are sent at once; there are never so many.
const maxWaiting = 50

// Ask writes a command for a lock that LockLock or FindLock returned, if the lock can hear
// it: whose digital key's right it is, or an administrator's if k is empty. Whoever calls
// it has asked whether by may, and writes the activity.
func Ask(ctx context.Context, t Tx, by auth.Caller, l Lock, op string, k id.DigitalKey, now time.Time) (Command, *fault.Error, error) {
	switch {
	case !l.Enrolled():
		return Command{}, fault.Conflict("lock_not_enrolled", "No controller is enrolled for this lock."), nil
	case !l.Online(now):
		return Command{}, fault.Conflict("lock_unreachable", "The lock is offline, so it does not hear this."), nil
	}
	c := Command{
		ID: id.New[id.KindLockCommand](now), Workspace: l.Workspace, Lock: l.ID, Op: op, DigitalKey: k, AskedKind: string(by.Kind), AskedBy: by.Identity(), AskedName: by.Name,
		CreatedAt: now, NotAfter: now.Add(grant.CommandLife * time.Second),
	}
	t.Signal(signal.Of(l.Workspace, signal.Lock, string(l.ID)))
	return c, nil, t.InsertLockCommand(ctx, c)
}

// Open asks the lock's controller to open the door at once. The caller needs locks.write
// and a fresh step-up. It is a Conflict if no controller would hear it.
func (s *Service) Open(ctx context.Context, by auth.Caller, lock id.Lock) (Command, error) {
	return s.ask(ctx, by, "lock.open_now", lock, grant.OpOpen, true)
}

// Teach asks the lock's controller for the number of the card that is tapped next. The
// caller needs locks.write. It is a Conflict if no controller would hear it or the lock
// reads no cards.
func (s *Service) Teach(ctx context.Context, by auth.Caller, lock id.Lock) (Command, error) {
	return s.ask(ctx, by, "lock.teach", lock, grant.OpTeachCard, false)
}

func (s *Service) ask(ctx context.Context, by auth.Caller, action string, lock id.Lock, op string, fresh stepUp) (Command, error) {
	var out Command
	err := s.change(ctx, by, action, lock, fresh, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		if op == grant.OpTeachCard && !l.Has(Keycard) {
			return fault.Conflict("no_card_reader", "This lock reads no cards."), nil
		}
		c, f, err := Ask(ctx, t, by, l, op, "", now)
		if f != nil || err != nil {
			return f, err
		}
		once.Note(ctx, string(c.ID))
		out = c
		return nil, activity.Append(ctx, t, by, activity.Event{Action: action, Target: l.party()}, now)
	})
	if err != nil {
		return Command{}, err
	}
	return out, nil
}

func unknownCommand() *fault.Error {
	return fault.NotFound("lock_command_not_found", "This command does not exist.")
}

// FindCommand returns a command and what became of it. The caller needs locks.write, as
// whoever gives one does.
func (s *Service) FindCommand(ctx context.Context, by auth.Caller, c id.LockCommand) (Command, error) {
	var out Command
	attempt := activity.Attempt{Action: "lock.command", Need: auth.LocksWrite, Target: activity.Party{Type: "lock_command", ID: string(c)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		found, ok, err := t.FindLockCommand(ctx, by.Workspace, c)
		if err == nil && !ok {
			return unknownCommand()
		}
		out = found
		return err
	})
	return out, err
}

// TaughtCard returns a command and the number of the card that was tapped for it, empty if
// none was. The caller needs locks.write.
func (s *Service) TaughtCard(ctx context.Context, by auth.Caller, c id.LockCommand) (Command, secret.Bytes, error) {
	out, err := s.FindCommand(ctx, by, c)
	if err != nil || len(out.Sealed) == 0 {
		return out, secret.Bytes{}, err
	}
	sealing, err := s.sealing.SealingOf(ctx, out.Workspace)
	if err != nil {
		return Command{}, secret.Bytes{}, err
	}
	number, err := sealing.Open(out.Sealed, TaughtIdentity(out.Workspace, out.ID))
	if err != nil {
		return Command{}, secret.Bytes{}, err
	}
	return out, number, nil
}

// Commands returns what the lock's controller is to do at once, oldest first. The caller
// sends each once: a controller does none of them twice, so a repeat does no harm.
func (s *Service) Commands(ctx context.Context, by auth.Caller, link string) ([]CommandFrame, error) {
	var waiting []Command
	err := s.lookOnLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (err error) {
		waiting, err = t.ListWaitingCommands(ctx, l.Workspace, l.ID, now, maxWaiting)
		return err
	})
	if err != nil || len(waiting) == 0 {
		return nil, err
	}
	a, err := s.authorities.AuthorityOf(ctx, by.Workspace)
	if err != nil {
		return nil, err
	}
	out := make([]CommandFrame, 0, len(waiting))
	for _, c := range waiting {
		frame, err := grant.Sign(grant.TypeCommand, string(c.Lock), c.frame(), a.Signing)
		if err != nil {
			return nil, err
		}
		out = append(out, CommandFrame{ID: c.ID, Frame: frame})
	}
	return out, nil
}

// frame is the command as its controller reads it.
func (c Command) frame() grant.Command {
	out := grant.Command{Type: grant.TypeCommand, Lock: string(c.Lock), ID: grant.CommandID(c.ID.Bytes()), Op: c.Op, NotAfter: c.NotAfter.UnixMilli()}
	if c.DigitalKey != "" {
		g := grant.ID(c.DigitalKey.Bytes())
		out.Grant = &g
	}
	return out
}

// Result notes what became of a command; the first word counts. What no command of the
// lock is changes nothing.
func (s *Service) Result(ctx context.Context, by auth.Caller, link string, r grant.Result) error {
	name := commandOf(r.ID)
	var sealed []byte
	if number, ok := card.FromRaw(r.Card); ok && by.Kind == auth.Lock {
		sealing, err := s.sealing.SealingOf(ctx, by.Workspace)
		if err != nil {
			return err
		}
		if sealed, err = sealing.Seal(number, TaughtIdentity(by.Workspace, name)); err != nil {
			return err
		}
	}
	return s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		c, found, err := t.FindLockCommand(ctx, l.Workspace, name)
		if err != nil || !found || c.Lock != l.ID {
			return nil, err
		}
		if c.DoneAt, c.Outcome, c.Reason = now, r.Outcome, r.Reason; c.Op == grant.OpTeachCard {
			c.Sealed = sealed
		}
		fresh, err := t.FinishLockCommand(ctx, c)
		if err != nil || !fresh {
			return nil, err
		}
		t.Signal(signal.Of(c.Workspace, signal.Command, string(c.ID)))
		if c.Op != grant.OpTeachCard {
			return nil, nil // the event of it has the line
		}
		line := activity.Event{Action: "lock.card_taught", Target: l.party()}
		if len(c.Sealed) == 0 {
			line.Outcome, line.Reason = activity.Failed, r.Reason
		}
		return nil, activity.Append(ctx, t, by, line, now)
	})
}
