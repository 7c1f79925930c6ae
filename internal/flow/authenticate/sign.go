package authenticate

import (
	"context"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// Signing is what a client sends for a signature.
type Signing struct {
	Tap          id.Touch
	Verification secret.Bytes // the token of Verify; empty for none
	Options      []byte       // JSON, as the website gave them to its browser
	Account      []byte       // of an assertion: the id of the credential that was chosen; nil for none

	rpID string       // as the options say
	key  secret.Bytes // of verifications
}

// with returns the request with what it is held against: the RP ID that the options say, and
// the workspace's key of verifications.
func (s *Service) with(ctx context.Context, by auth.Caller, in Signing, rpID string) (Signing, error) {
	keys, err := s.secrets.SecretsOf(ctx, by.Workspace)
	in.rpID, in.key = rpID, keys.PINKey
	return in, err
}

// admit returns the ticket of a tap that is good for the operation with these options.
// Without use nothing is changed: what is in the way is returned, and that a verification is
// good is taken for granted, to be asked by take. With it whatever is in the way is recorded
// as well.
func (p *pass) admit(ctx context.Context, in Signing, hash string, use bool) (k client.Ticket, f *fault.Error, err error) {
	k, found, err := p.t.FindTicket(ctx, p.by.Workspace, in.Tap)
	if err != nil {
		return k, nil, err
	}
	if found && k.Client == p.by.Client {
		p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
	}
	if f = p.inTheWay(in, k, found, hash); f == nil && use {
		f, err = p.verified(ctx, in, k)
	}
	if f == nil && err == nil {
		var reason string
		if reason, err = p.decide(ctx, question(k)); reason != "" && err == nil {
			if f = NotAllowed(); use {
				f, err = p.refuse(ctx, f, reason)
			}
			return k, f, err
		}
	}
	if f != nil && err == nil && use {
		f, err = p.reject(ctx, f)
	}
	return k, f, err
}

// question is what a policy is asked of a ticket: only cards are tapped.
func question(k client.Ticket) Question {
	return Question{User: k.User, SecurityKey: k.SecurityKey, Kind: securitykey.ContactlessCard, RPID: k.RPID}
}

// inTheWay answers what is in the way of a ticket's use.
func (p *pass) inTheWay(in Signing, k client.Ticket, found bool, hash string) *fault.Error {
	switch {
	case !found || !k.Good(p.by.Client, p.op, p.now):
		return client.NoTap()
	case k.OptionsHash != hash:
		return fault.Conflict("options_changed", "These are not the options that the card was tapped for.")
	case moved(k) != nil:
		return moved(k)
	case p.asks(in, k):
		return fault.Forbidden("security_error", "The website asked for another relying party than the card was tapped for.")
	case in.Verification.IsEmpty() && (k.Needs != client.NeedsNone || k.SecurityKey == ""):
		return fault.Forbidden("pin_needed", "This security key needs its PIN.")
	}
	return nil
}

// asks says whether the options are for another relying party than the tap: the hash alone
// binds them to what the client said at the tap, not to what they say themselves.
func (p *pass) asks(in Signing, k client.Ticket) bool {
	rpID, err := webauthn.RPIDFor(originOf(k), in.rpID, p.s.rpID)
	return err != nil || rpID != k.RPID
}

// verified uses the verification that the client showed, if it showed one.
func (p *pass) verified(ctx context.Context, in Signing, k client.Ticket) (*fault.Error, error) {
	if in.Verification.IsEmpty() {
		return nil, nil
	}
	good, err := p.t.UseVerification(ctx, k, client.VerificationDigest(in.key, k, in.Verification), p.now)
	if err != nil || good {
		return nil, err
	}
	return fault.Forbidden("uv_token_not_good", "Type the PIN again: this verification is over, or of something else."), nil
}

// errTapTaken undoes an operation whose tap another one used at the same moment.
var errTapTaken = errors.New("the tap was used at the same moment")

// take spends a ticket that was found good before, if it, the verification and the credential,
// which is empty for none, still are: what is in the way now is recorded and returned.
func (p *pass) take(ctx context.Context, in Signing, k client.Ticket, c id.Credential, hash string) (*fault.Error, error) {
	p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
	if f, err := p.ask(ctx, question(k)); f != nil || err != nil {
		return f, err
	}
	with := client.Use{Credential: c}
	if !in.Verification.IsEmpty() {
		with.Verification = client.VerificationDigest(in.key, k, in.Verification)
	}
	spent, err := p.t.SpendTicket(ctx, k, with, p.now)
	if err != nil {
		return nil, err
	}
	if spent {
		return nil, p.renew(ctx, k, with.Verification)
	}
	// Something moved since: what it was is asked in the order of the protocol.
	if _, f, err := p.admit(ctx, in, hash, true); f != nil || err != nil {
		return f, err
	}
	if c != "" {
		if _, there, err := p.t.FindCredential(ctx, p.by.Workspace, c); err != nil || !there {
			return nil, errors.Join(errGone, err)
		}
	}
	return nil, errTapTaken
}

// renew begins the idle time of a verification anew.
func (p *pass) renew(ctx context.Context, k client.Ticket, digest string) error {
	if digest == "" || !p.s.recent.renews(digest, p.now) {
		return nil
	}
	_, err := p.t.UseVerification(ctx, k, digest, p.now)
	p.renewed = digest
	return err
}

// turnDown answers and records what the options are refused for, before anything was read.
func (s *Service) turnDown(ctx context.Context, by auth.Caller, op client.Operation, in Signing, why error) error {
	f, err := faultOf(why)
	if err != nil {
		return err
	}
	return s.reject(ctx, by, op, in, f)
}

// reject answers f and records it of the tap, in a transaction of its own.
func (s *Service) reject(ctx context.Context, by auth.Caller, op client.Operation, in Signing, f *fault.Error) error {
	return s.gate.Write(ctx, by, attemptOf(op), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p := s.begin(t, by, op, now)
		k, found, err := t.FindTicket(ctx, by.Workspace, in.Tap)
		if err != nil {
			return nil, err
		}
		if found && k.Client == by.Client {
			p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
		}
		return p.reject(ctx, f)
	})
}

// turnDown records what an operation was turned down for when it was looked at: by what is in
// the way now, or else by f, which may be nil for nothing.
func (p *pass) turnDown(ctx context.Context, in Signing, hash string, f *fault.Error) (*fault.Error, error) {
	_, now, err := p.admit(ctx, in, hash, true)
	if now != nil || err != nil || f == nil {
		return now, err
	}
	return p.reject(ctx, f)
}

// look reads what an operation depends on without changing anything.
func (s *Service) look(ctx context.Context, by auth.Caller, op client.Operation, in Signing, hash string) (k client.Ticket, all []vault.Credential, f *fault.Error, err error) {
	now := s.gate.Clock.Now()
	err = s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		k, f, err = s.begin(t, by, op, now).admit(ctx, in, hash, false)
		if f != nil || err != nil {
			return err
		}
		all, err = t.ListPartyCredentials(ctx, by.Workspace, k.User, k.RPID)
		return err
	})
	if f == nil && err == nil {
		s.recent.keepCredentials(ownerOf(k), all, now)
	}
	return k, all, f, err
}

// holds returns the workspace's secrets if the tapped card is its holder's, by what is sealed
// and not by what a row says: a card that was moved to somebody else in the database opens
// nothing.
func (s *Service) holds(ctx context.Context, k client.Ticket) (securitykey.Secrets, error) {
	keys, err := s.secrets.SecretsOf(ctx, k.Workspace)
	if err != nil {
		return securitykey.Secrets{}, err
	}
	if s.recent.holds(k) {
		return keys, nil
	}
	number, err := keys.Sealing.Open(k.CardSealed, securitykey.CardIdentity(k.Workspace, k.User, k.SecurityKey))
	if err != nil {
		return securitykey.Secrets{}, errors.Join(errors.New("a card is not its holder's"), err)
	}
	if securitykey.CardDigest(keys.CardKey, number) != k.CardDigest {
		return securitykey.Secrets{}, errors.New("a card has another number than it was tapped with")
	}
	s.recent.keepHolding(k)
	return keys, nil
}

// seenAgain is how long a user and a key count as seen after a use.
const seenAgain = time.Minute

// touch notes that key and holder did something, and counts it.
func (p *pass) touch(ctx context.Context, k client.Ticket) error {
	if err := p.seen(ctx, k); err != nil {
		return err
	}
	return p.t.CountSecurityKeyUse(ctx, p.by.Workspace, k.SecurityKey)
}

// seen notes that key and holder did something.
func (p *pass) seen(ctx context.Context, k client.Ticket) error {
	if p.now.Sub(k.UserSeen) >= seenAgain {
		if err := p.t.MarkUserSeen(ctx, p.by.Workspace, k.User, p.now); err != nil {
			return err
		}
	}
	if p.now.Sub(k.KeySeen) < seenAgain {
		return nil
	}
	return p.t.MarkSecurityKeySeen(ctx, p.by.Workspace, k.SecurityKey, p.now)
}

// append writes the line of what was done, in the name of who holds the card.
func (p *pass) append(ctx context.Context, k client.Ticket, c vault.Credential) error {
	return activity.Append(ctx, p.t, p.by, activity.Event{
		Action: actionOf(p.op), Actor: activity.Party{Type: "user", ID: string(k.User), Name: k.UserName}, Target: c.Party(),
		User: k.User, SecurityKey: k.SecurityKey, RPID: k.RPID,
	}, p.now)
}

func originOf(k client.Ticket) webauthn.Origin {
	return webauthn.Origin{Origin: k.Origin, TopOrigin: k.TopOrigin, CrossOrigin: k.CrossOrigin}
}
