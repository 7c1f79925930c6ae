// Package bind is how a phone or a FIDO2 hardware key becomes a security key of
// somebody: a passkey is registered for Keyhold and the key begins to work, in one
// transaction over the sign-in and the room of security keys. It decides who may
// register it and where: the holder by the link in their mail, or an administrator
// with the holder's key at the desk.
package bind

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// Tx is the storage of the rooms that this flow joins.
type Tx interface {
	securitykey.Tx
	signin.Tx
}

// Config is what the flow is made from.
type Config struct {
	Store tx.Runner[Tx]
	Clock clock.Clock
	Party *signin.RelyingParty
	// LinkKey is the key of the activation links, which whoever mails them has too.
	LinkKey secret.Bytes
}

// Service is the flow's door. Use New.
type Service struct {
	c    Config
	gate activity.Gate[Tx]
}

// New returns the flow.
func New(c Config) *Service {
	return &Service{c: c, gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}}
}

const actActivate = "security_key.activate"

// note is what a registration remembers: which key it is for, and the session in
// which it was begun.
type note struct {
	Key     id.SecurityKey
	Link    id.Activation // of a registration by link
	Session id.Session
}

// over is the answer to a ceremony that is unknown, spent, too old, or for something
// else.
func over() *fault.Error {
	return fault.Conflict("ceremony_over", "This took too long or was used before. Start again.")
}

// claim is a key that is being registered, and by what right.
type claim struct {
	key    securitykey.SecurityKey
	person signin.Person
	// byMailbox says that whoever registers it has shown no more than a mailbox.
	byMailbox bool
}

// right finds the key that is to be registered and decides whether the caller may. Its
// faults are recorded already.
type right func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (claim, *fault.Error, error)

// byLink is the right of the holder who has the link: in a session of their own, since a
// link is no more than a mailbox.
func (s *Service) byLink(by auth.Caller, link secret.Bytes) right {
	return func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (claim, *fault.Error, error) {
		if by.Kind != auth.User && by.Kind != auth.Administrator {
			return s.refuse(ctx, t, by, "", fault.Forbidden("person_only", "Only the person whose key it is may do this."), now)
		}
		k, f, err := securitykey.FindByLink(ctx, t, s.c.LinkKey, link, now)
		if f != nil || err != nil {
			return claim{}, f, err
		}
		if k.Workspace != by.Workspace || k.User != by.User {
			return claim{}, securitykey.DeadLink(), nil
		}
		if k.Kind == securitykey.ContactlessCard {
			return claim{}, fault.Conflict("not_a_passkey", "A card is activated with its number."), nil
		}
		f, err = securitykey.MayTake(ctx, t, by, standing, k)
		if err != nil {
			return claim{}, nil, err
		}
		if f != nil {
			return s.refuse(ctx, t, by, k.ID, f, now)
		}
		return s.claim(ctx, t, k, standing.ByMailbox)
	}
}

// atDesk is the right of an administrator who has the holder's hardware key before them.
func (s *Service) atDesk(by auth.Caller, key id.SecurityKey) right {
	return func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (claim, *fault.Error, error) {
		if by.Kind != auth.Administrator {
			return s.refuse(ctx, t, by, key, fault.Forbidden("person_only", "Only an administrator at the panel may do this, not a program."), now)
		}
		if f := auth.CheckStepUp(by, now); f != nil {
			return s.refuse(ctx, t, by, key, f, now)
		}
		// Who waited for the latch may have lost their rights meanwhile.
		if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
			return claim{}, nil, err
		}
		standing, err := t.CallerStanding(ctx, by, now)
		if err != nil {
			return claim{}, nil, err
		}
		if f := auth.Check(by, standing, auth.SecurityKeysWrite); f != nil {
			return s.refuse(ctx, t, by, key, f, now)
		}
		k, found, err := t.FindSecurityKey(ctx, by.Workspace, key)
		if err != nil {
			return claim{}, nil, err
		}
		if !found {
			return claim{}, securitykey.Unknown(), nil
		}
		f, err := securitykey.MayGive(ctx, t, by, standing, k.User)
		if err != nil {
			return claim{}, nil, err
		}
		if f != nil {
			return s.refuse(ctx, t, by, key, f, now)
		}
		switch {
		case k.Kind != securitykey.FIDO2:
			return claim{}, fault.Conflict("not_at_the_desk", "Only a FIDO2 key is registered here. A phone is approved on the phone itself."), nil
		case k.Life == securitykey.Active:
			return claim{}, fault.Conflict("key_active", "This key works already."), nil
		case k.Shown() == securitykey.Suspended || k.Holder.Suspended:
			return claim{}, fault.Conflict("key_suspended", "The key or its holder is suspended. Activate them first."), nil
		}
		return s.claim(ctx, t, k, false)
	}
}

func (s *Service) claim(ctx context.Context, t Tx, k securitykey.SecurityKey, byMailbox bool) (claim, *fault.Error, error) {
	p, found, err := t.FindPerson(ctx, k.Workspace, k.User)
	if err == nil && !found {
		return claim{}, securitykey.DeadLink(), nil
	}
	return claim{key: k, person: p, byMailbox: byMailbox}, nil, err
}

// refuse records a refusal.
func (s *Service) refuse(ctx context.Context, t Tx, by auth.Caller, key id.SecurityKey, f *fault.Error, now time.Time) (claim, *fault.Error, error) {
	return claim{}, f, activity.Refuse(ctx, t, by, attempt(auth.Signed, key), f.Code, now)
}

func attempt(need auth.Permission, key id.SecurityKey) activity.Attempt {
	a := activity.Attempt{Action: actActivate, Need: need, SecurityKey: key}
	if key != "" {
		a.Target = activity.Party{Type: "security_key", ID: string(key)}
	}
	return a
}

// BeginByLink asks for the passkey of the phone or the hardware key that the link is
// for. The caller is the holder in a session of their own. A dead link is a NotFound
// fault; who holds keys and has shown no more than a mailbox is refused (Forbidden).
func (s *Service) BeginByLink(ctx context.Context, by auth.Caller, link secret.Bytes) (signin.Challenge, error) {
	return s.begin(ctx, by, attempt(auth.OwnKeys, ""), s.byLink(by, link))
}

// FinishByLink makes the phone or the hardware key that answered a security key that
// works, and spends the link. It asks again what BeginByLink asks.
func (s *Service) FinishByLink(ctx context.Context, by auth.Caller, link secret.Bytes, c id.Ceremony, response []byte) (securitykey.SecurityKey, error) {
	return s.finish(ctx, by, attempt(auth.OwnKeys, ""), s.byLink(by, link), c, response)
}

// BeginAtDesk asks for the passkey of a hardware key that an administrator has before
// them. The caller is a person at the panel with security_keys.write, a fresh passkey,
// and all permissions that the holder has.
func (s *Service) BeginAtDesk(ctx context.Context, by auth.Caller, key id.SecurityKey) (signin.Challenge, error) {
	return s.begin(ctx, by, attempt(auth.SecurityKeysWrite, key), s.atDesk(by, key))
}

// FinishAtDesk makes the hardware key that answered a security key of its holder that
// works. It asks again what BeginAtDesk asks.
func (s *Service) FinishAtDesk(ctx context.Context, by auth.Caller, key id.SecurityKey, c id.Ceremony, response []byte) (securitykey.SecurityKey, error) {
	return s.finish(ctx, by, attempt(auth.SecurityKeysWrite, key), s.atDesk(by, key), c, response)
}

func holding(k securitykey.Kind) signin.Holding {
	if k == securitykey.Smartphone {
		return signin.HeldByPhone
	}
	return signin.HeldByHardwareKey
}

func (s *Service) begin(ctx context.Context, by auth.Caller, a activity.Attempt, may right) (signin.Challenge, error) {
	var challenge signin.Challenge
	err := s.gate.Write(ctx, by, a, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		c, f, err := may(ctx, t, standing, now)
		if f != nil || err != nil {
			return f, err
		}
		existing, err := t.ListPasskeys(ctx, c.key.Workspace, c.key.User)
		if err != nil {
			return nil, err
		}
		if len(existing) >= signin.MaxPasskeys {
			return fault.Conflict("too_many_passkeys", "This person has as many passkeys as one may have. One has to be removed first."), nil
		}
		var ceremony signin.Ceremony
		challenge, ceremony, err = s.c.Party.NewRegistrationOn(holding(c.key.Kind), c.person, existing, note{Key: c.key.ID, Link: c.key.Link.ID, Session: by.Session}, now)
		if err != nil {
			return nil, err
		}
		return nil, t.InsertCeremony(ctx, ceremony, now)
	})
	if err != nil {
		return signin.Challenge{}, err
	}
	return challenge, nil
}

func (s *Service) finish(ctx context.Context, by auth.Caller, a activity.Attempt, may right, ceremony id.Ceremony, response []byte) (securitykey.SecurityKey, error) {
	passkey, remembered, err := s.check(ctx, by, a, ceremony, response)
	if err != nil {
		return securitykey.SecurityKey{}, err
	}
	made, err := passkey.Make()
	if err != nil {
		return securitykey.SecurityKey{}, err
	}
	var out securitykey.SecurityKey
	err = s.gate.Write(ctx, by, a, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		c, f, err := may(ctx, t, standing, now)
		if f != nil || err != nil {
			return f, err
		}
		if remembered.Key != c.key.ID || remembered.Link != c.key.Link.ID || passkey.User != c.key.User {
			return over(), nil
		}
		taken, err := t.TakeCeremony(ctx, ceremony, now)
		if err != nil {
			return nil, err
		}
		if !taken {
			return over(), nil
		}
		existing, err := t.ListPasskeys(ctx, c.key.Workspace, c.key.User)
		if err != nil {
			return nil, err
		}
		passkey.SecurityKey, passkey.Name = c.key.ID, c.key.Name
		passkey.ByMailbox = c.byMailbox && len(existing) > 0
		actor := activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}
		// The models are asked before anything is written that a fault would keep.
		if out, f, err = securitykey.Bind(ctx, t, by, actor, c.key, securitykey.Bound{AAGUID: made.AAGUID, Attestation: made.Attestation}, now); f != nil || err != nil {
			return f, err
		}
		f, err = signin.AddPasskey(ctx, t, by, c.person, passkey, now)
		if err == nil && f != nil {
			return nil, f // the key is not to work without its passkey
		}
		return nil, err
	})
	if err != nil {
		return securitykey.SecurityKey{}, err
	}
	return out, nil
}

// check judges the answer outside the transaction that writes. The ceremony is one of
// the caller's session.
func (s *Service) check(ctx context.Context, by auth.Caller, a activity.Attempt, ceremony id.Ceremony, response []byte) (signin.Passkey, note, error) {
	var c signin.Ceremony
	var p signin.Person
	err := s.gate.Read(ctx, by, a, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		if c, found, err = t.FindCeremony(ctx, ceremony); err != nil {
			return err
		}
		if !found || c.Workspace != by.Workspace || c.User == "" {
			return over()
		}
		p, _, err = t.FindPerson(ctx, c.Workspace, c.User)
		return err
	})
	if err != nil {
		return signin.Passkey{}, note{}, err
	}
	var remembered note
	passkey, err := s.c.Party.CheckRegistration(c, p, response, &remembered, s.c.Clock.Now())
	if err != nil {
		return signin.Passkey{}, note{}, err
	}
	if remembered.Key == "" || remembered.Session == "" || remembered.Session != by.Session {
		return signin.Passkey{}, note{}, over()
	}
	return passkey, remembered, nil
}
