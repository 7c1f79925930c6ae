package authenticate

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/field"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// Card is a card as a client's reader, or a person, told it.
type Card struct {
	Type   string
	Number string
	Source string // "typed" or "reader"
}

// TapRequest is a card that is tapped for an operation.
type TapRequest struct {
	Card        Card
	Operation   client.Operation
	Origin      webauthn.Origin
	RPID        string // as the website asks for it; empty for the origin's host
	OptionsHash string // webauthn.OptionsHash of the options that will follow
}

// check returns the RP ID, or what is wrong with the request.
func (r TapRequest) check(own string) (rpID string, f *fault.Error, err error) {
	var c field.Checker
	if r.Card.Type != card.UID {
		c.Wrong("card.type", "must be uid")
	}
	if r.Card.Source != "typed" && r.Card.Source != "reader" {
		c.Wrong("card.source", "must be typed or reader")
	}
	switch r.Operation {
	case client.PINChange:
		if r.Origin != (webauthn.Origin{}) || r.RPID != "" || r.OptionsHash != "" {
			c.Wrong("operation", "pin_change is for no website")
		}
		return "", c.Fault(), nil
	case client.Create, client.Get:
	default:
		c.Wrong("operation", "must be create, get or pin_change")
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(r.OptionsHash); err != nil || len(raw) != 32 {
		c.Wrong("options_hash", "must be the base64url of a SHA-256")
	}
	if f := c.Fault(); f != nil {
		return "", f, nil
	}
	rpID, err = webauthn.RPIDFor(r.Origin, r.RPID, own)
	if err != nil {
		f, err = faultOf(err)
	}
	return rpID, f, err
}

// Tap answers what a tapped card needs before it is good for the operation. A card that
// nobody has, or that works without a PIN elsewhere only, needs a PIN as any other, which
// never fits. A card that is suspended or not active yet is told so; a policy's no is
// NotAllowed. The caller is a client.
func (s *Service) Tap(ctx context.Context, by auth.Caller, r TapRequest) (client.Tap, error) {
	keys, err := s.secrets.SecretsOf(ctx, by.Workspace)
	if err != nil {
		return client.Tap{}, err
	}
	rpID, wrong, err := r.check(s.rpID)
	if err != nil {
		return client.Tap{}, err
	}
	var out client.Ticket
	attempt := attemptOf(r.Operation)
	attempt.RPID = rpID
	err = s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p := s.begin(t, by, r.Operation, now)
		p.attempt.RPID = rpID
		if wrong != nil {
			return p.reject(ctx, wrong)
		}
		c, found, err := t.FindClient(ctx, by.Workspace, by.Client)
		if err != nil {
			return nil, err
		}
		if !found {
			return fault.Unauthenticated(), nil
		}
		number, ok := c.ReaderFormat.Read(r.Card.Number)
		if !ok {
			return p.reject(ctx, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "card.number", Message: "is no card's number in the form that this client's readers have"}))
		}
		out = client.Ticket{Tap: client.Tap{
			ID: id.New[id.KindTouch](now), Workspace: by.Workspace, Client: by.Client, CardDigest: securitykey.CardDigest(keys.CardKey, number), Operation: r.Operation,
			Origin: r.Origin.Origin, TopOrigin: r.Origin.TopOrigin, CrossOrigin: r.Origin.CrossOrigin, RPID: rpID, OptionsHash: r.OptionsHash,
			Needs: client.NeedsPIN, Stamp: client.Stamp{Client: c.Revision}, CreatedAt: now, ExpiresAt: now.Add(client.TapLife),
		}}
		if f, err := p.tap(ctx, &out, c); f != nil || err != nil {
			return f, err
		}
		if err := t.TouchClient(ctx, by.Workspace, by.Client, by.IP, by.Agent, now); err != nil {
			return nil, err
		}
		return nil, t.InsertTap(ctx, out.Tap)
	})
	if err != nil {
		return client.Tap{}, err
	}
	if out.SecurityKey != "" && r.Operation == client.Get {
		s.recent.keepTicket(out)
	}
	return out.Tap, nil
}

// tap finds whose card it is, and what that needs.
func (p *pass) tap(ctx context.Context, out *client.Ticket, c client.Client) (*fault.Error, error) {
	k, known, err := p.t.FindSecurityKeyByCard(ctx, p.by.Workspace, out.CardDigest)
	if err != nil {
		return nil, err
	}
	unknown := 0
	if !known {
		unknown = 1
		if _, _, err := p.t.FindAnyCard(ctx, p.by.Workspace); err != nil { // the same work as for a card that is known
			return nil, err
		}
	}
	p.about(k.ID, k.Name, k.User, out.CardDigest, out.RPID)
	if f, err := p.pressure(ctx, unknownCards, unknown); f != nil || err != nil {
		return f, err
	}
	holder, err := p.t.FindTapHolder(ctx, p.by.Workspace, k.User)
	if err != nil || !known {
		return nil, err
	}
	switch {
	case !k.SuspendedAt.IsZero() || k.Holder.Suspended:
		return p.reject(ctx, suspended())
	case k.Life != securitykey.Active:
		return p.reject(ctx, fault.Forbidden("key_not_active", "This security key is not active yet."))
	}
	if f, err := p.ask(ctx, Question{User: k.User, SecurityKey: k.ID, Kind: k.Kind, RPID: out.RPID}); f != nil || err != nil {
		return f, err
	}
	out.SecurityKey, out.User, out.Stamp.Key, out.Stamp.User = k.ID, k.User, k.Revision, holder.Revision
	out.Now, out.Active, out.KeyName, out.UserName, out.KeySeen = out.Stamp, true, k.Name, k.Holder.Name, k.LastActivityAt
	out.Auditable, out.UserSeen, out.CardSealed = holder.Auditable, holder.SeenAt, k.Card.Sealed
	if k.Verification == securitykey.Pinless && c.PinlessAllowed {
		out.Needs = client.NeedsNone
	}
	return nil, nil
}

// Verified is what became of a PIN. Token is empty unless it is right.
type Verified struct {
	Token     secret.Bytes
	ExpiresAt time.Time
	Try       securitykey.Try // what is left, if the PIN is wrong
}

// Verify compares the PIN of a tapped card and returns a token: verification for this tap and,
// for a while, for others of the same card at the same client and relying party. Wrong ones
// are counted exactly; the answers of a card that nobody has are those of one that somebody
// has. A PIN that must be changed first is a Conflict, pin_must_change. The caller is the tap's
// client.
func (s *Service) Verify(ctx context.Context, by auth.Caller, touch id.Touch, pin secret.Bytes) (Verified, error) {
	keys, err := s.secrets.SecretsOf(ctx, by.Workspace)
	if err != nil {
		return Verified{}, err
	}
	var out Verified
	var digest string
	err = s.gate.Write(ctx, by, attemptOf(client.Get), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = Verified{}
		k, found, err := t.FindTicket(ctx, by.Workspace, touch)
		if err != nil {
			return nil, err
		}
		p := s.begin(t, by, client.Get, now)
		if found && k.Client == by.Client {
			p = s.begin(t, by, k.Operation, now)
			p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
		}
		if !found || k.Operation == client.PINChange || !k.Good(by.Client, k.Operation, now) {
			return p.reject(ctx, client.NoTap())
		}
		if f, err := p.compare(ctx, keys, k, pin, &out.Try); f != nil || err != nil {
			return f, err
		}
		v, token := client.NewVerification(keys.PINKey, k, now)
		out.Token, out.ExpiresAt = token, v.ExpiresAt
		digest = v.Digest
		return nil, t.InsertVerification(ctx, v)
	})
	if err == nil {
		s.recent.keepRenewed(digest, s.gate.Clock.Now())
	}
	return out, err
}

// compare tries the PIN of a ticket's card.
func (p *pass) compare(ctx context.Context, keys securitykey.Secrets, k client.Ticket, pin secret.Bytes, try *securitykey.Try) (*fault.Error, error) {
	var card securitykey.SecurityKey
	if k.SecurityKey != "" {
		if f := moved(k); f != nil {
			return p.reject(ctx, f)
		}
		var err error
		if card, _, err = p.t.FindSecurityKey(ctx, p.by.Workspace, k.SecurityKey); err != nil {
			return nil, err
		}
		if f, err := p.ask(ctx, Question{User: k.User, SecurityKey: k.SecurityKey, Kind: card.Kind, RPID: k.RPID}); f != nil || err != nil {
			return f, err
		}
	} else if _, _, err := p.t.FindAnyCard(ctx, p.by.Workspace); err != nil { // the same work as for a card that is known
		return nil, err
	}
	if f, err := p.pressure(ctx, wrongPINs, 0); f != nil || err != nil {
		return f, err
	}
	var err error
	if card.Verification == securitykey.ByPIN {
		*try, err = securitykey.TryPINFor(ctx, p.t, p.by, keys, card, pin, k.RPID, p.now)
	} else {
		*try, err = securitykey.TryUnknown(ctx, p.t, p.by, keys, k.CardDigest, pin, k.RPID, p.now)
	}
	if err != nil {
		return nil, err
	}
	if try.Fault != nil {
		if try.Wrong {
			_, err = p.count(ctx, wrongPINs, 1)
		}
		return try.Fault, err
	}
	if card.PIN.MustChange && p.op != client.PINChange {
		return p.reject(ctx, fault.Conflict("pin_must_change", "Choose another PIN before you go on: this one was given to you."))
	}
	return nil, nil
}

// ChangePIN gives a tapped card another PIN, if the present one is known: each call spends a
// try of it. What the workspace's rules say against the new one is told (Invalid) only to who
// knows the present one. The tap is for that (pin_change); it is spent, and all others of the
// card are void. The caller is the tap's client.
func (s *Service) ChangePIN(ctx context.Context, by auth.Caller, touch id.Touch, old, next secret.Bytes) (securitykey.Try, error) {
	keys, err := s.secrets.SecretsOf(ctx, by.Workspace)
	if err != nil {
		return securitykey.Try{}, err
	}
	var k client.Ticket
	var fresh securitykey.PINChange
	if err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		if k, _, err = t.FindTicket(ctx, by.Workspace, touch); err == nil {
			fresh, err = securitykey.ReadPINChange(ctx, t, keys, by.Workspace, k.User)
		}
		return err
	}); err != nil {
		return securitykey.Try{}, err
	}
	if err := fresh.Prepare(k.SecurityKey, old, next); err != nil {
		return securitykey.Try{}, err
	}
	var try securitykey.Try
	err = s.gate.Write(ctx, by, attemptOf(client.PINChange), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		try = securitykey.Try{}
		p := s.begin(t, by, client.PINChange, now)
		k, found, err := t.FindTicket(ctx, by.Workspace, touch)
		if err != nil {
			return nil, err
		}
		if found && k.Client == by.Client {
			p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, "")
		}
		if !found || !k.Good(by.Client, client.PINChange, now) {
			return p.reject(ctx, client.NoTap())
		}
		if f, err := p.compare(ctx, keys, k, old, &try); f != nil || err != nil {
			return f, err
		}
		if fresh.Fault != nil {
			return fresh.Fault, nil
		}
		if spent, err := t.SpendTicket(ctx, k, client.Use{}, now); err != nil || !spent {
			return client.NoTap(), err
		}
		return nil, fresh.Write(ctx, t, by, k.SecurityKey, now)
	})
	return try, err
}
