package directory

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// InviteEvery is how long one waits before a user is invited again.
const InviteEvery = time.Minute

// Counts are how many users there are, all of them, by shown status and
// without a security key.
type Counts struct {
	Total      int
	NotInvited int
	Pending    int
	Active     int
	Suspended  int
	WithoutKey int // who have no security key, of any status
}

// Counts returns how many users the workspace has. The caller needs users.read.
func (s *Service) Counts(ctx context.Context, by auth.Caller) (Counts, error) {
	var n Counts
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "user.count", Need: auth.UsersRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		n, err = t.CountUsers(ctx, by.Workspace)
		return err
	})
	return n, err
}

// Invite tells a user by e-mail how to get in; who was not invited is pending from
// then on. The caller needs users.write. It may be sent again after InviteEvery
// (TooMany before), but not to who is active or suspended (Conflict).
func (s *Service) Invite(ctx context.Context, by auth.Caller, user id.User) (User, error) {
	var u User
	attempt := activity.Attempt{Action: "user.invite", Need: auth.UsersWrite, Target: activity.Party{Type: "user", ID: string(user)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		old, found, err := t.FindUser(ctx, by.Workspace, user)
		if err != nil {
			return nil, err
		}
		if !found {
			return UnknownUser(), nil
		}
		once.Note(ctx, string(user))
		var f *fault.Error
		u, f, err = invite(ctx, t, by, old, now)
		return f, err
	})
	return u, err
}

// invite is Invite for a user who is there.
func invite(ctx context.Context, t Tx, by auth.Caller, u User, now time.Time) (User, *fault.Error, error) {
	switch u.Shown() {
	case Suspended:
		return u, fault.Conflict("user_suspended", "This user is suspended: activate them before you invite them."), nil
	case Active:
		return u, fault.Conflict("user_active", "This user has signed in before and needs no invitation."), nil
	case NotInvited, Pending:
	}
	first, err := t.TakeInvitation(ctx, u.Workspace, u.ID, now, InviteEvery)
	if err != nil {
		return u, nil, err
	}
	if !first {
		return u, fault.TooMany("invited_just_now", "This user was invited less than a minute ago.", InviteEvery), nil
	}
	if u.Status == NotInvited {
		if err := t.MarkUserInvited(ctx, u.Workspace, u.ID); err != nil {
			return u, nil, err
		}
		u.Status = Pending
		u.Revision++
	}
	w, _, err := t.FindWorkspace(ctx, u.Workspace)
	if err != nil {
		return u, nil, err
	}
	mail := outbox.Invitation{
		To:        outbox.Recipient{Email: u.Email, Name: u.Name(), Language: u.Language, Timezone: u.Timezone},
		Workspace: w.Name, By: by.Name, At: now.UnixMilli(),
	}
	if err := outbox.Put(ctx, t, u.Workspace, mail, now); err != nil {
		return u, nil, err
	}
	return u, nil, activity.Append(ctx, t, by, activity.Event{Workspace: u.Workspace, Action: "user.invite", Target: party(u), User: u.ID}, now)
}
