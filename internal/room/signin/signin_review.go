package signin

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// seatWork is what is done about an administrator by somebody who may.
type seatWork func(ctx context.Context, t Tx, seat Seat, now time.Time) (*fault.Error, error)

// Passkeys returns the passkeys of an administrator, oldest first. The caller needs
// administrators.read.
func (s *Service) Passkeys(ctx context.Context, by auth.Caller, a id.Administrator) ([]Passkey, error) {
	var out []Passkey
	err := s.look(ctx, by, "passkey.list", a, func(ctx context.Context, t Tx, u id.User, _ time.Time) (err error) {
		out, err = t.ListPasskeys(ctx, by.Workspace, u)
		return err
	})
	return out, err
}

// Sessions returns the open sessions of an administrator, the last used first. The
// caller needs administrators.read.
func (s *Service) Sessions(ctx context.Context, by auth.Caller, a id.Administrator) ([]Session, error) {
	var out []Session
	err := s.look(ctx, by, "session.list", a, func(ctx context.Context, t Tx, u id.User, now time.Time) (err error) {
		out, err = t.ListSessions(ctx, by.Workspace, u, now)
		return err
	})
	return out, err
}

// look is the gate for reading what belongs to an administrator.
func (s *Service) look(ctx context.Context, by auth.Caller, action string, a id.Administrator, fn func(ctx context.Context, t Tx, u id.User, now time.Time) error) error {
	return s.gate.Read(ctx, by, activity.Attempt{Action: action, Need: auth.AdministratorsRead},
		func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
			seat, found, err := t.FindSeat(ctx, by.Workspace, a)
			if err != nil {
				return err
			}
			if !found {
				return administratorNotFound()
			}
			return fn(ctx, t, seat.User, now)
		})
}

// review is the gate for acts on what lets another administrator in: the caller may
// at least what that administrator may, and is an owner if they are. rule adds to
// it.
func (s *Service) review(ctx context.Context, by auth.Caller, a activity.Attempt, of id.Administrator, rule func(seat Seat, now time.Time) *fault.Error, fn seatWork) error {
	a.Need = auth.AdministratorsWrite
	return s.gate.Write(ctx, by, a, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		seat, found, err := t.FindSeat(ctx, by.Workspace, of)
		if err != nil {
			return nil, err
		}
		if !found {
			return administratorNotFound(), nil
		}
		f := rule(seat, now)
		if f == nil && (!standing.Permissions.Covers(seat.May()) || seat.Owner && !asOwner(by, standing)) {
			f = fault.Forbidden("beyond_your_permissions", "This administrator may do what you may not.")
		}
		if f != nil {
			return f, activity.Refuse(ctx, t, by, a, f.Code, now)
		}
		return fn(ctx, t, seat, now)
	})
}

// ofAnother is the rule for passkeys of another administrator: a person at the
// panel with a fresh passkey, and never for oneself.
func ofAnother(by auth.Caller) func(Seat, time.Time) *fault.Error {
	return func(seat Seat, now time.Time) *fault.Error {
		switch {
		case by.Kind != auth.Administrator:
			return fault.Forbidden("person_only", "Only an administrator who is signed in may do this, not a program.")
		case seat.User == by.User:
			return fault.Forbidden("not_yourself", "Another administrator has to do this for you.")
		}
		return auth.CheckStepUp(by, now)
	}
}

// ConfirmPasskey lets a passkey of another administrator open the panel. The caller
// is a person with administrators.write, a fresh passkey, and at least the holder's
// permissions.
func (s *Service) ConfirmPasskey(ctx context.Context, by auth.Caller, a id.Administrator, passkey id.Passkey) (Passkey, error) {
	var k Passkey
	attempt := activity.Attempt{Action: "passkey.confirm", Target: activity.Party{Type: "passkey", ID: string(passkey)}}
	err := s.review(ctx, by, attempt, a, ofAnother(by), func(ctx context.Context, t Tx, seat Seat, now time.Time) (*fault.Error, error) {
		var found bool
		var err error
		if k, found, err = t.FindUserPasskey(ctx, by.Workspace, seat.User, passkey); err != nil {
			return nil, err
		}
		if !found {
			return passkeyNotFound(), nil
		}
		k.ConfirmedAt, k.ConfirmedBy = now, by.User
		confirmed, err := t.ConfirmPasskey(ctx, k)
		if err != nil {
			return nil, err
		}
		if !confirmed {
			return fault.Conflict("passkey_confirmed", "This passkey is confirmed already."), nil
		}
		once.Note(ctx, string(k.ID))
		return nil, activity.Append(ctx, t, by, activity.Event{Action: attempt.Action, Target: passkeyParty(k), User: seat.User}, now)
	})
	if err != nil {
		return Passkey{}, err
	}
	return k, nil
}

// RemovePasskey removes a passkey of another administrator, or refuses one that
// waits, and ends the sessions that it opened. The caller is one who might confirm
// it. A security key's passkey goes with the key (Conflict).
func (s *Service) RemovePasskey(ctx context.Context, by auth.Caller, a id.Administrator, passkey id.Passkey) error {
	attempt := activity.Attempt{Action: "passkey.delete", Target: activity.Party{Type: "passkey", ID: string(passkey)}}
	return s.review(ctx, by, attempt, a, ofAnother(by), func(ctx context.Context, t Tx, seat Seat, now time.Time) (*fault.Error, error) {
		if err := t.Latch(ctx, string(by.Workspace)+"/passkeys"); err != nil {
			return nil, err
		}
		k, found, err := t.FindUserPasskey(ctx, by.Workspace, seat.User, passkey)
		if err != nil {
			return nil, err
		}
		if !found {
			return passkeyNotFound(), nil
		}
		if k.SecurityKey != "" {
			return ofSecurityKey(), nil
		}
		action := attempt.Action
		if k.ConfirmedAt.IsZero() {
			action = "passkey.reject"
		}
		return nil, removePasskey(ctx, t, by, k, action, now)
	})
}

func anybody(Seat, time.Time) *fault.Error { return nil }

// EndSession ends a session of an administrator. The caller needs
// administrators.write and at least that administrator's permissions.
func (s *Service) EndSession(ctx context.Context, by auth.Caller, a id.Administrator, session id.Session) error {
	return s.review(ctx, by, activity.Attempt{Action: "session.end"}, a, anybody, func(ctx context.Context, t Tx, seat Seat, now time.Time) (*fault.Error, error) {
		return endSession(ctx, t, by, seat.User, session, now)
	})
}

// EndSessions ends all sessions of an administrator but the one that the caller
// calls by, and returns how many that were. The caller needs what EndSession asks
// for.
func (s *Service) EndSessions(ctx context.Context, by auth.Caller, a id.Administrator) (int, error) {
	var n int
	err := s.review(ctx, by, activity.Attempt{Action: "session.end"}, a, anybody, func(ctx context.Context, t Tx, seat Seat, now time.Time) (f *fault.Error, err error) {
		n, err = endSessions(ctx, t, by, seat.User, by.Session, now)
		return nil, err
	})
	return n, err
}
