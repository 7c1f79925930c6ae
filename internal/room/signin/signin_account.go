package signin

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// MaxPasskeys bounds how many passkeys one person has.
const MaxPasskeys = 20

// maxPasskeyName bounds a passkey's name, in runes.
const maxPasskeyName = 100

// personOnly answers the fault for callers who are no person.
func personOnly(by auth.Caller) *fault.Error {
	if by.Kind == auth.Administrator || by.Kind == auth.User {
		return nil
	}
	return fault.Forbidden("person_only", "Only a person who is signed in may do this, not a program.")
}

func passkeyNotFound() *fault.Error {
	return fault.NotFound("passkey_not_found", "This passkey does not exist.")
}

func sessionNotFound() *fault.Error {
	return fault.NotFound("session_not_found", "This session does not exist, or it has ended.")
}

// own is the gate for acts of people on their own account. fresh asks people in the
// panel for a fresh passkey.
func (s *Service) own(ctx context.Context, by auth.Caller, a activity.Attempt, fresh bool, fn activity.Work[Tx]) error {
	return s.gate.Write(ctx, by, a, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		f := personOnly(by)
		if f == nil && fresh {
			f = auth.CheckStepUp(by, now)
		}
		if f != nil {
			return f, activity.Refuse(ctx, t, by, a, f.Code, now)
		}
		return fn(ctx, t, standing, now)
	})
}

// byMailbox is the rule for a new passkey of somebody who has shown no more than a
// mailbox: who holds security keys needs more, and the passkey of who has another one
// proves no more than the mailbox.
func byMailbox(ctx context.Context, t Tx, by auth.Caller, a activity.Attempt, standing auth.Standing, now time.Time) (bool, *fault.Error, error) {
	if !standing.ByMailbox {
		return false, nil, nil
	}
	// Of two at once only one is the first.
	if err := t.Latch(ctx, string(by.Workspace)+"/passkeys"); err != nil {
		return false, nil, err
	}
	has, err := t.HasActiveSecurityKey(ctx, by.Workspace, by.User)
	if err != nil {
		return false, nil, err
	}
	if has {
		f := strongerProof()
		return false, f, activity.Refuse(ctx, t, by, a, f.Code, now)
	}
	existing, err := t.ListPasskeys(ctx, by.Workspace, by.User)
	return len(existing) > 0, nil, err
}

func strongerProof() *fault.Error {
	return fault.Forbidden("stronger_proof",
		"An e-mail code is not enough for this. Sign in with a passkey, or ask an administrator for a temporary access pass.")
}

// ownNote is what the registration of a signed-in person remembers.
type ownNote struct{ Session id.Session }

// BeginPasskey asks a signed-in person for one more passkey. In the panel they need
// a fresh one first. Who has shown no more than a mailbox and holds security keys
// needs more (Forbidden).
func (s *Service) BeginPasskey(ctx context.Context, by auth.Caller) (Challenge, error) {
	var challenge Challenge
	attempt := activity.Attempt{Action: "passkey.register", Need: auth.OwnKeys}
	err := s.own(ctx, by, attempt, true, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		if _, f, err := byMailbox(ctx, t, by, attempt, standing, now); f != nil || err != nil {
			return f, err
		}
		p, _, err := t.FindPerson(ctx, by.Workspace, by.User)
		if err != nil {
			return nil, err
		}
		existing, err := t.ListPasskeys(ctx, by.Workspace, by.User)
		if err != nil {
			return nil, err
		}
		if len(existing) >= MaxPasskeys {
			return fault.Conflict("too_many_passkeys", "You have as many passkeys as one person may have. Remove one first."), nil
		}
		var c Ceremony
		if challenge, c, err = s.rp.NewRegistration(p, existing, ownNote{by.Session}, now); err != nil {
			return nil, err
		}
		return nil, t.InsertCeremony(ctx, c, now)
	})
	if err != nil {
		return Challenge{}, err
	}
	return challenge, nil
}

// FinishPasskey registers the passkey that answered the ceremony of the same
// session. Registered in the panel it opens the panel; registered in the app it
// opens the app, until another administrator confirms it. What BeginPasskey asks for
// is asked again.
func (s *Service) FinishPasskey(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) (Passkey, error) {
	attempt := activity.Attempt{Action: "passkey.register", Need: auth.OwnKeys}
	var c Ceremony
	var p Person
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		if p, _, err = t.FindPerson(ctx, by.Workspace, by.User); err != nil {
			return err
		}
		c, _, err = t.FindCeremony(ctx, ceremony)
		return err
	})
	if err != nil {
		return Passkey{}, err
	}
	if c.Workspace != by.Workspace || c.User != by.User || by.User == "" {
		return Passkey{}, over()
	}
	var note ownNote
	k, err := s.rp.CheckRegistration(c, p, response, &note, s.clock.Now())
	if err != nil {
		return Passkey{}, err
	}
	if note.Session == "" || note.Session != by.Session {
		return Passkey{}, over()
	}
	err = s.own(ctx, by, attempt, false, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		mailbox, f, err := byMailbox(ctx, t, by, attempt, standing, now)
		if f != nil || err != nil {
			return f, err
		}
		k.ByMailbox = mailbox
		taken, err := t.TakeCeremony(ctx, ceremony, now)
		if err != nil {
			return nil, err
		}
		if !taken {
			return over(), nil
		}
		if by.Kind == auth.Administrator {
			k.ConfirmedAt = now
		}
		if f, err := AddPasskey(ctx, t, by, p, k, now); f != nil || err != nil {
			return f, err
		}
		if by.Kind == auth.Administrator {
			return nil, nil
		}
		return nil, tellWaiting(ctx, t, by, p, k, now)
	})
	if err != nil {
		return Passkey{}, err
	}
	return k, nil
}

// tellWaiting tells the workspace's owners of a passkey of an administrator that
// somebody has to confirm.
func tellWaiting(ctx context.Context, t Tx, by auth.Caller, p Person, k Passkey, now time.Time) error {
	a, found, err := t.FindAdministrator(ctx, p.Workspace, p.User)
	if err != nil || !found {
		return err
	}
	owners, workspace, err := t.ListOwners(ctx, p.Workspace)
	if err != nil {
		return err
	}
	for _, to := range owners {
		if to.Email == p.Email {
			continue // they have a mail about it as its holder
		}
		err := outbox.Put(ctx, t, p.Workspace, outbox.PasskeyWaits{
			To: to, Workspace: workspace, Administrator: string(a.ID), Holder: p.Name, HolderEmail: p.Email, Passkey: k.Name,
			At: now.UnixMilli(), IP: by.IP, Agent: by.Agent,
		}, now)
		if err != nil {
			return err
		}
	}
	return nil
}

// OwnPasskeys returns the caller's passkeys, oldest first.
func (s *Service) OwnPasskeys(ctx context.Context, by auth.Caller) ([]Passkey, error) {
	var out []Passkey
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "passkey.list", Need: auth.OwnKeys}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		if f := personOnly(by); f != nil {
			return f
		}
		var err error
		out, err = t.ListPasskeys(ctx, by.Workspace, by.User)
		return err
	})
	return out, err
}

// RenamePasskey renames a passkey of the caller.
func (s *Service) RenamePasskey(ctx context.Context, by auth.Caller, passkey id.Passkey, name string) (Passkey, error) {
	var k Passkey
	attempt := activity.Attempt{Action: "passkey.rename", Target: activity.Party{Type: "passkey", ID: string(passkey)}}
	err := s.own(ctx, by, attempt, false, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		var found bool
		var err error
		if k, found, err = t.FindUserPasskey(ctx, by.Workspace, by.User, passkey); err != nil {
			return nil, err
		}
		if !found {
			return passkeyNotFound(), nil
		}
		clean, f := cleanPasskeyName(name)
		if f != nil || clean == k.Name {
			return f, nil
		}
		k.Name = clean
		if err := t.RenamePasskey(ctx, by.Workspace, k.ID, clean); err != nil {
			return nil, err
		}
		return nil, activity.Append(ctx, t, by, activity.Event{Action: attempt.Action, Target: passkeyParty(k), User: by.User}, now)
	})
	if err != nil {
		return Passkey{}, err
	}
	return k, nil
}

func cleanPasskeyName(name string) (string, *fault.Error) {
	name = strings.TrimSpace(norm.NFC.String(strings.ToValidUTF8(name, "\ufffd")))
	var message string
	switch {
	case name == "":
		message = "is required"
	case utf8.RuneCountInString(name) > maxPasskeyName:
		message = "is too long: at most 100 characters"
	case strings.ContainsFunc(name, unicode.IsControl):
		message = "contains characters that cannot be shown"
	default:
		return name, nil
	}
	return "", fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "name", Message: message})
}

// DeletePasskey removes a passkey of the caller and ends the sessions that it
// opened. An administrator's passkey that opens the panel is removed in the panel
// only, with a fresh passkey, and never the last one. A security key's passkey goes
// with the key (Conflict), and who has shown no more than a mailbox takes away only
// what they could have added.
func (s *Service) DeletePasskey(ctx context.Context, by auth.Caller, passkey id.Passkey) error {
	attempt := activity.Attempt{Action: "passkey.delete", Target: activity.Party{Type: "passkey", ID: string(passkey)}}
	return s.own(ctx, by, attempt, true, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		if err := t.Latch(ctx, string(by.Workspace)+"/passkeys"); err != nil {
			return nil, err
		}
		k, found, err := t.FindUserPasskey(ctx, by.Workspace, by.User, passkey)
		if err != nil {
			return nil, err
		}
		if !found {
			return passkeyNotFound(), nil
		}
		f, err := mayLose(ctx, t, by, standing, k)
		if err != nil {
			return nil, err
		}
		if f != nil && f.Kind == fault.KindForbidden {
			return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
		}
		if f != nil {
			return f, nil
		}
		return nil, removePasskey(ctx, t, by, k, attempt.Action, now)
	})
}

func ofSecurityKey() *fault.Error {
	return fault.Conflict("belongs_to_security_key", "This passkey belongs to a security key and goes with it: report the key lost, or ask an administrator to delete it.")
}

// mayLose is the rule for one's own passkeys that open the panel: who has only the
// mailbox cannot take them from an administrator, and nobody locks themselves out.
func mayLose(ctx context.Context, t Tx, by auth.Caller, standing auth.Standing, k Passkey) (*fault.Error, error) {
	if k.SecurityKey != "" {
		return ofSecurityKey(), nil
	}
	_, isAdministrator, err := t.FindAdministrator(ctx, k.Workspace, k.User)
	if err != nil {
		return nil, err
	}
	if !isAdministrator || k.ConfirmedAt.IsZero() {
		if standing.ByMailbox && !k.ByMailbox {
			// Otherwise the next one would be the first, which proves more.
			return strongerProof(), nil
		}
		return nil, nil
	}
	if by.Kind != auth.Administrator {
		return fault.Forbidden("panel_only", "This passkey opens the panel: it is removed there."), nil
	}
	all, err := t.ListPasskeys(ctx, k.Workspace, k.User)
	if err != nil {
		return nil, err
	}
	for _, other := range all {
		if other.ID != k.ID && !other.ConfirmedAt.IsZero() {
			return nil, nil
		}
	}
	return fault.Conflict("last_passkey", "This is your last passkey that opens the panel. Add another one first."), nil
}

// removePasskey deletes a passkey, ends the sessions that it opened, and writes the
// line.
func removePasskey(ctx context.Context, t Tx, by auth.Caller, k Passkey, action string, now time.Time) error {
	if err := t.DeletePasskey(ctx, k.Workspace, k.ID); err != nil {
		return err
	}
	if err := t.EndPasskeySessions(ctx, k.Workspace, k.ID, now); err != nil {
		return err
	}
	return activity.Append(ctx, t, by, activity.Event{Action: action, Target: passkeyParty(k), User: k.User}, now)
}

func passkeyParty(k Passkey) activity.Party {
	return activity.Party{Type: "passkey", ID: string(k.ID), Name: k.Name}
}

// OwnSessions returns the caller's open sessions, the last used first.
func (s *Service) OwnSessions(ctx context.Context, by auth.Caller) ([]Session, error) {
	var out []Session
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "session.list"}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		if f := personOnly(by); f != nil {
			return f
		}
		var err error
		out, err = t.ListSessions(ctx, by.Workspace, by.User, now)
		return err
	})
	return out, err
}

// EndOwnSession ends a session of the caller, which may be the one they call by.
func (s *Service) EndOwnSession(ctx context.Context, by auth.Caller, session id.Session) error {
	return s.own(ctx, by, activity.Attempt{Action: "session.end"}, false, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		return endSession(ctx, t, by, by.User, session, now)
	})
}

// EndOwnSessions ends all sessions of the caller but the one they call by, and
// returns how many that were.
func (s *Service) EndOwnSessions(ctx context.Context, by auth.Caller) (int, error) {
	var n int
	err := s.own(ctx, by, activity.Attempt{Action: "session.end"}, false, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (f *fault.Error, err error) {
		n, err = endSessions(ctx, t, by, by.User, by.Session, now)
		return nil, err
	})
	return n, err
}

// endSession ends an open session of the user and writes the line.
func endSession(ctx context.Context, t Tx, by auth.Caller, u id.User, session id.Session, now time.Time) (*fault.Error, error) {
	open, err := t.ListSessions(ctx, by.Workspace, u, now)
	if err != nil {
		return nil, err
	}
	for _, one := range open {
		if one.ID != session {
			continue
		}
		ended, err := t.EndSession(ctx, by.Workspace, session, now)
		if err != nil {
			return nil, err
		}
		if !ended {
			break
		}
		return nil, tellEnd(ctx, t, by, u, "", now)
	}
	return sessionNotFound(), nil
}

// endSessions ends all open sessions of the user but one, and writes one line if
// there were any.
func endSessions(ctx context.Context, t Tx, by auth.Caller, u id.User, except id.Session, now time.Time) (int, error) {
	n, err := t.EndUserSessions(ctx, by.Workspace, u, "", except, now)
	if err != nil || n == 0 {
		return 0, err
	}
	return n, tellEnd(ctx, t, by, u, "all", now)
}

// tellEnd writes the line of a session's end. What people who are not auditable do
// with their own sessions is left out.
func tellEnd(ctx context.Context, t Tx, by auth.Caller, u id.User, detail string, now time.Time) error {
	p, found, err := t.FindPerson(ctx, by.Workspace, u)
	if err != nil || found && !p.Auditable && by.User == u {
		return err
	}
	return activity.Append(ctx, t, by, activity.Event{Action: "session.end", Detail: detail, Target: userParty(p), User: u}, now)
}
