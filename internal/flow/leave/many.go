package leave

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// MaxMany bounds how many users one bulk act is for.
const MaxMany = 200

// RowOutcome is what became of one user in a bulk act. Name is empty for who was
// not found, Fault nil for success.
type RowOutcome struct {
	User  id.User
	Name  string
	Fault *fault.Error
	Left  Left
	// DigitalKeys is how many digital keys the act ended.
	DigitalKeys int
}

// SuspendMany is Suspend for at most MaxMany users in one transaction. It answers
// one outcome for each, in their order; a fault of one is its outcome and stops
// nobody else. The caller needs users.write.
func (s *Service) SuspendMany(ctx context.Context, by auth.Caller, users []id.User, o Options) ([]RowOutcome, error) {
	return s.many(ctx, by, actSuspend, users, func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error) {
		return p.suspend(ctx, u, o)
	})
}

// ActivateMany is Activate for many, as SuspendMany is for Suspend.
func (s *Service) ActivateMany(ctx context.Context, by auth.Caller, users []id.User) ([]RowOutcome, error) {
	return s.many(ctx, by, actActivate, users, func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error) {
		return p.activate(ctx, u)
	})
}

// DeleteMany is Delete for many, as SuspendMany is for Suspend.
func (s *Service) DeleteMany(ctx context.Context, by auth.Caller, users []id.User) ([]RowOutcome, error) {
	return s.many(ctx, by, actDelete, users, func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error) {
		return p.remove(ctx, u)
	})
}

// many runs an act on each user. Every act decides before it writes, so a fault
// leaves nothing of its row but the refusal's line.
func (s *Service) many(ctx context.Context, by auth.Caller, action string, users []id.User,
	do func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error),
) ([]RowOutcome, error) {
	var out []RowOutcome
	a := activity.Attempt{Action: action, Need: auth.UsersWrite}
	err := s.gate.Write(ctx, by, a, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = make([]RowOutcome, 0, len(users))
		if len(users) > MaxMany {
			return fault.Invalid("invalid_fields", "Some fields need your attention.",
				fault.Field{Name: "ids", Message: "are too many: at most " + text(MaxMany)}), nil
		}
		p, f, err := begin(ctx, t, by, a, now)
		if f != nil || err != nil {
			return f, err
		}
		for _, user := range users {
			row := RowOutcome{User: user}
			u, found, err := t.FindUser(ctx, by.Workspace, user)
			if err != nil {
				return nil, err
			}
			if row.Fault = directory.UnknownUser(); found {
				var done Outcome
				if done, row.Fault, err = do(ctx, p, u); err != nil {
					return nil, err
				}
				row.Name, row.Left, row.DigitalKeys = u.Name(), done.Left, done.DigitalKeys
			}
			out = append(out, row)
		}
		note(ctx, out)
		return nil, nil
	})
	return out, err
}

// note notes which rows failed and why.
func note(ctx context.Context, rows []RowOutcome) {
	failed := map[id.User]*fault.Error{}
	for _, row := range rows {
		if row.Fault != nil {
			failed[row.User] = row.Fault
		}
	}
	once.NoteFailures(ctx, failed)
}

// FromNote returns the outcomes of a bulk act from what it noted for its repeat.
// Names and what is left are not in it.
func FromNote(users []id.User, noted string) []RowOutcome {
	failed := once.Failures[id.User](noted)
	out := make([]RowOutcome, 0, len(users))
	for _, user := range users {
		out = append(out, RowOutcome{User: user, Fault: failed[user]})
	}
	return out
}

func text(n int) string { return strconv.Itoa(n) }
