package securitykey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

func personOnly() *fault.Error {
	return fault.Forbidden("person_only", "Only a person has security keys of their own.")
}

// OwnKeys returns the keys of the caller, who is a person, oldest first.
func (s *Service) OwnKeys(ctx context.Context, by auth.Caller) ([]SecurityKey, error) {
	var out []SecurityKey
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "security_key.own", Need: auth.OwnKeys}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		if by.User == "" {
			return personOnly()
		}
		var err error
		out, err = t.ListUserSecurityKeys(ctx, by.Workspace, by.User)
		return err
	})
	return out, err
}

// OwnLink returns the link that activates a pending key of the caller's, as the mail has
// it. A key that no link activates answers a Conflict.
func (s *Service) OwnLink(ctx context.Context, by auth.Caller, k id.SecurityKey) (secret.Bytes, error) {
	var link secret.Bytes
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "security_key.own", Need: auth.OwnKeys}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		mine, found, err := t.FindSecurityKey(ctx, by.Workspace, k)
		if err != nil {
			return err
		}
		if !found || by.User == "" || mine.User != by.User {
			return Unknown()
		}
		if mine.Shown() != Pending || mine.Link.ID == "" || !now.Before(mine.Link.ExpiresAt) {
			return fault.Conflict("nothing_to_activate", "This security key is not to be activated now. Ask an administrator to send its activation again.")
		}
		link = token.Link(s.linkKey, string(mine.Link.ID))
		return nil
	})
	return link, err
}

// Rules returns what a PIN must look like in the caller's workspace. Whoever is
// accepted may ask.
func (s *Service) Rules(ctx context.Context, by auth.Caller) (PINRules, error) {
	var rules PINRules
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "security_key.rules", Need: auth.OwnKeys}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		settings, err := settingsOf(ctx, t, by.Workspace)
		rules = settings.PIN
		return err
	})
	return rules, err
}

// own runs an act on a key of the caller's. A key of somebody else is as absent as one
// that never was.
func (s *Service) own(ctx context.Context, by auth.Caller, attempt activity.Attempt, k id.SecurityKey, do work) (SecurityKey, error) {
	var out SecurityKey
	attempt.Target, attempt.SecurityKey = activity.Party{Type: "security_key", ID: string(k)}, k
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		mine, found, err := t.FindSecurityKey(ctx, by.Workspace, k)
		if err != nil {
			return nil, err
		}
		if !found || by.User == "" || mine.User != by.User {
			return Unknown(), nil
		}
		a, f, err := beginKey(ctx, t, by, attempt, standing, k, false, now)
		if f != nil || err != nil {
			return f, err
		}
		once.Note(ctx, string(k))
		out, f, err = do(ctx, a)
		return f, err
	})
	return out, err
}

// ChangePIN gives the caller's own card another PIN, if they know the present one: each
// call spends a try. It takes more than a mailbox: the card is active.
func (s *Service) ChangePIN(ctx context.Context, by auth.Caller, k id.SecurityKey, old, next secret.Bytes) error {
	d, err := s.draftOf(ctx, by.Workspace, by.User, "")
	if err != nil {
		return err
	}
	pin, wrong, err := d.changedPIN(k, old, next)
	if err != nil {
		return err
	}
	_, err = s.own(ctx, by, activity.Attempt{Action: "security_key.pin_change", Need: auth.OwnKeys}, k, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		if !isProved(by, a.standing, a.old.User) {
			return a.refuse(ctx, mailboxOnly())
		}
		if f := usablePIN(a.old); f != nil {
			return SecurityKey{}, f, nil
		}
		if wrong != nil {
			return SecurityKey{}, wrong, nil // nothing was compared, so nothing is spent
		}
		if f, err := TryPIN(ctx, a.t, by, d.secrets, a.old, old, a.now); f != nil || err != nil {
			return SecurityKey{}, f, err
		}
		c := a.old
		c.PIN = pin.pin(false, a.now)
		c.Revision++
		if err := a.write(ctx, c, ""); err != nil {
			return SecurityKey{}, nil, err
		}
		if err := a.t.TouchSecurityKey(ctx, c.Workspace, c.ID, a.now); err != nil {
			return SecurityKey{}, nil, err
		}
		return c, nil, a.tell(ctx, outbox.KeyPINChange, c)
	})
	return err
}

// changedPIN checks and prepares the PIN that takes the place of another one.
func (d draft) changedPIN(k id.SecurityKey, old, next secret.Bytes) (newPIN, *fault.Error, error) {
	switch {
	case d.owner.User == "":
		return newPIN{}, nil, nil // nobody who has a key
	case next.IsEmpty():
		return newPIN{}, invalid(fault.Field{Name: "pin", Message: "is needed"}), nil
	case composed(next).Equal(composed(old)):
		return newPIN{}, invalid(fault.Field{Name: "pin", Message: "must be another one than before"}), nil
	}
	return d.newPIN(k, next)
}

// lostAgain is how long a report of one loss stands for others.
const lostAgain = 24 * time.Hour

// ReportLost suspends the caller's own key at once and tells the administrators and the
// caller. Being signed in is enough. A key that is suspended stays so; that it is lost
// is told once in a while.
func (s *Service) ReportLost(ctx context.Context, by auth.Caller, k id.SecurityKey) (SecurityKey, error) {
	return s.own(ctx, by, activity.Attempt{Action: "security_key.report_lost", Need: auth.Signed}, k, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		n, _, err := a.t.CountRate(ctx, "key_lost/"+string(k), a.now, lostAgain)
		if err != nil {
			return SecurityKey{}, nil, err
		}
		out := a.old
		switch {
		case a.old.SuspendedAt.IsZero():
			if out, err = a.suspend(ctx, ""); err == nil {
				err = a.tell(ctx, outbox.KeySuspended, out)
			}
		case n > 1:
			return out, nil, nil
		default:
			err = a.append(ctx, "suspended before", out)
		}
		if err != nil {
			return SecurityKey{}, nil, err
		}
		return out, nil, a.tellWatchers(ctx, outbox.KeyLost, out)
	})
}
