package securitykey

import (
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The bounds of trying links and cards. Links that work are not counted: a whole office
// may activate its keys at once.
const (
	deadPerNetwork = 30
	networkWindow  = 10 * time.Minute
	cardTries      = 5
)

// DeadLink is the one answer to a link that does not work, whatever the reason.
func DeadLink() *fault.Error {
	return fault.NotFound("activation_not_found", "This activation link does not work any more. Ask an administrator for a new one.")
}

// FindByLink returns the key that a link activates, held until the transaction ends, or
// the fault of a link that does not work. Whose link it is, is not asked.
func FindByLink(ctx context.Context, t Tx, linkKey, value secret.Bytes, now time.Time) (SecurityKey, *fault.Error, error) {
	name, ok := token.LinkID(linkKey, value)
	if !ok {
		return SecurityKey{}, DeadLink(), nil
	}
	link, ok := id.Parse[id.KindActivation](name)
	if !ok {
		return SecurityKey{}, DeadLink(), nil
	}
	k, found, err := t.FindSecurityKeyByLink(ctx, link)
	if err != nil || !found {
		return SecurityKey{}, DeadLink(), err
	}
	if _, err := t.LockUser(ctx, k.Workspace, k.User); err != nil {
		return SecurityKey{}, nil, err
	}
	if k, found, err = t.LockSecurityKey(ctx, k.Workspace, k.ID); err != nil {
		return SecurityKey{}, nil, err
	}
	if !found || k.Link.ID != link || !now.Before(k.Link.ExpiresAt) || k.Shown() != Pending || k.Holder.Suspended {
		return SecurityKey{}, DeadLink(), nil
	}
	return k, nil, nil
}

// asHolder is who acts with a link: a caller who is nobody acts for its holder.
func asHolder(by auth.Caller, k SecurityKey) auth.Caller {
	if by.Kind != auth.Anonymous && by.Kind != "" {
		return by
	}
	return auth.Caller{Kind: auth.User, Workspace: k.Workspace, User: k.User, Name: k.Holder.Name, IP: by.IP, Agent: by.Agent, RequestID: by.RequestID}
}

// open begins an act with a link: it finds its key, for nobody or for the holder's own
// session. For anybody else the link is as dead as one that never was.
func (s *Service) open(ctx context.Context, t Tx, by auth.Caller, link secret.Bytes, now time.Time) (*act, *fault.Error, error) {
	a := &act{t: t, now: now, attempt: activity.Attempt{Action: "security_key.activate", Need: auth.OwnKeys}}
	var err error
	if by.Kind != auth.Anonymous && by.Kind != "" {
		if a.standing, err = t.CallerStanding(ctx, by, now); err != nil {
			return nil, nil, err
		}
		if f := auth.Check(by, a.standing, auth.OwnKeys); f != nil {
			return nil, f, activity.Refuse(ctx, t, by, a.attempt, f.Code, now)
		}
	}
	k, f, err := FindByLink(ctx, t, s.linkKey, link, now)
	if err != nil {
		return nil, nil, err
	}
	a.by = asHolder(by, k)
	if f == nil && a.by.User != k.User {
		f = DeadLink()
	}
	if f != nil {
		f, err = slow(ctx, t, by, f, now)
		return nil, f, err
	}
	a.old, a.attempt.Target, a.attempt.SecurityKey = k, k.party(), k.ID
	a.owner, _, err = t.FindKeyOwner(ctx, k.Workspace, k.User)
	return a, nil, err
}

// slow returns the fault of a dead link, or another one to a network that has tried too
// many.
func slow(ctx context.Context, t Tx, by auth.Caller, f *fault.Error, now time.Time) (*fault.Error, error) {
	n, since, err := t.CountRate(ctx, "link_network/"+auth.Network(by.IP), now, networkWindow)
	if err != nil || n <= deadPerNetwork {
		return f, err
	}
	return fault.TooMany("too_many_tries", "Too many links of your network did not work. Try again in a few minutes.", since.Add(networkWindow).Sub(now)), nil
}

// OpenLink tells whoever has an activation link what it is for. It spends nothing. A
// link that does not work is a NotFound fault, whatever the reason; it does not work in
// somebody else's session. Anybody may call it.
func (s *Service) OpenLink(ctx context.Context, by auth.Caller, link secret.Bytes) (Invitation, error) {
	var in Invitation
	err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		in = Invitation{}
		a, f, err := s.open(ctx, t, by, link, s.gate.Clock.Now())
		if f != nil || err != nil {
			return f, err
		}
		settings, err := settingsOf(ctx, t, a.old.Workspace)
		if err != nil {
			return nil, err
		}
		needs, err := MayTake(ctx, t, by, a.standing, a.old)
		in = Invitation{Key: a.old, Workspace: a.owner.Workspace, Rules: settings.PIN, CardNamed: a.old.Card.Named, NeedsProof: needs != nil}
		return nil, err
	})
	return in, err
}

// ActivateCard activates the card of an activation link with the number that the holder
// gives. If the administrator named no card, or a mailbox is not enough (see MayTake),
// the card waits to be confirmed. The link is spent; another card than the named one and
// one that somebody has spend a try, of which there are few. Anybody may call it.
func (s *Service) ActivateCard(ctx context.Context, by auth.Caller, link secret.Bytes, c CardActivation) (SecurityKey, error) {
	d, in, err := s.draftByLink(ctx, by, link)
	if err != nil {
		return SecurityKey{}, err
	}
	card, pin, wrong, err := c.prepare(d, in)
	if err != nil {
		return SecurityKey{}, err
	}
	var out SecurityKey
	err = s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		a, f, err := s.open(ctx, t, by, link, s.gate.Clock.Now())
		if f != nil || err != nil {
			return f, err
		}
		if a.old.Revision != in.Revision {
			// It was changed since the PIN was made, which may not be what it needs now.
			return fault.Conflict("key_changed", "This security key was just changed. Try again."), nil
		}
		if wrong != nil {
			return wrong, nil
		}
		if f, err := a.takeCard(ctx, card); f != nil || err != nil {
			return f, err
		}
		mailbox, err := MayTake(ctx, t, by, a.standing, a.old)
		if err != nil {
			return nil, err
		}
		k := a.old
		k.Link, k.ToConfirm = Link{}, !k.Card.Named || mailbox != nil
		if !k.Card.Named {
			k.Card = card
		}
		if k.Verification == ByPIN {
			k.PIN = pin.pin(false, a.now)
		}
		out = k
		f, err = a.finishCard(ctx, &out, pin)
		return f, err
	})
	if err != nil {
		return SecurityKey{}, err
	}
	return out, nil
}

// draftByLink reads what is needed to seal what the holder of a link gives.
func (s *Service) draftByLink(ctx context.Context, by auth.Caller, link secret.Bytes) (draft, SecurityKey, error) {
	in, err := s.OpenLink(ctx, by, link)
	if err != nil {
		return draft{}, SecurityKey{}, err
	}
	d, err := s.draftOf(ctx, in.Key.Workspace, in.Key.User, "")
	return d, in.Key, err
}

// prepare checks what the holder gave, and seals it.
func (c CardActivation) prepare(d draft, k SecurityKey) (Card, newPIN, *fault.Error, error) {
	if k.Kind != ContactlessCard {
		return Card{}, newPIN{}, notACard(), nil
	}
	card, f, err := newCard(d.secrets, k.Workspace, k.User, k.ID, "", c.Number)
	if f != nil || err != nil {
		return Card{}, newPIN{}, f, err
	}
	if k.Verification != ByPIN {
		if !c.PIN.IsEmpty() {
			f = invalid(fault.Field{Name: "pin", Message: "must be left out: the card needs none"})
		}
		return card, newPIN{}, f, nil
	}
	pin, f, err := d.newPIN(k.ID, c.PIN)
	return card, pin, f, err
}

// takeCard answers a fault if the card is not the one that was named, or is somebody's.
// After a few of those the link is dead.
func (a *act) takeCard(ctx context.Context, c Card) (*fault.Error, error) {
	var f *fault.Error
	var err error
	if a.old.Card.Named {
		if c.Digest == a.old.Card.Digest {
			return nil, nil
		}
		f = fault.Invalid("card_mismatch", "This is not the card that your administrator chose for you.",
			fault.Field{Name: "card_number", Message: "is another card's"})
	} else if f, err = a.claimCard(ctx, c); f == nil || err != nil {
		return nil, err
	}
	if err := a.record(ctx, f.Code); err != nil {
		return nil, err
	}
	n, _, err := a.t.CountRate(ctx, "link_card/"+string(a.old.Link.ID), a.now, LinkLifetime)
	if err != nil || n < cardTries {
		return f, err
	}
	k := a.old
	k.Link = Link{}
	k.Revision++
	if err := a.t.UpdateSecurityKey(ctx, k); err != nil {
		return nil, err
	}
	return f, a.record(ctx, "link_spent")
}

// finishCard writes the card that its holder has done their part for, and tells who
// has to know.
func (a *act) finishCard(ctx context.Context, k *SecurityKey, pin newPIN) (*fault.Error, error) {
	detail := "to confirm"
	if !k.ToConfirm {
		next, f := a.takes(actActivate)
		if f != nil {
			return f, nil
		}
		k.Life, k.ActivatedAt, detail = next.life, a.now, ""
	}
	k.Revision++
	if err := a.write(ctx, *k, detail); err != nil {
		return nil, err
	}
	if pin.generated {
		if err := a.mailPIN(ctx, pin, *k, false); err != nil {
			return nil, err
		}
	}
	if !k.ToConfirm {
		return nil, a.tell(ctx, outbox.KeyActivated, *k)
	}
	return nil, a.tellWatchers(ctx, outbox.KeyWaits, *k)
}

// tellWatchers mails the administrators what the holder did.
func (a *act) tellWatchers(ctx context.Context, did string, k SecurityKey) error {
	watchers, err := a.t.ListSecurityKeyWatchers(ctx, k.Workspace)
	if err != nil {
		return err
	}
	return notify(ctx, a.t, a.by, a.owner, watchers, outbox.SecurityKeyNotice{Did: did}, k, a.now)
}

// Bound is what a phone or a hardware key told of itself when it was registered.
type Bound struct {
	AAGUID      string // a UUID; empty or zero if it tells none
	Attestation string // the format of its attestation
}

// Bind makes a phone or a hardware key active whose passkey was just registered in this
// transaction, and drops its link. actor is who registered it. A model that the
// workspace does not allow is a Forbidden fault, which is recorded: the passkey is not
// to be kept then. Whether by may do it was decided before (MayTake, MayGive).
func Bind(ctx context.Context, t Tx, by auth.Caller, actor activity.Party, k SecurityKey, b Bound, now time.Time) (SecurityKey, *fault.Error, error) {
	a := &act{t: t, by: asHolder(by, k), now: now, attempt: activity.Attempt{Action: "security_key.activate", Target: k.party(), SecurityKey: k.ID}}
	found, err := t.LockUser(ctx, k.Workspace, k.User)
	if err == nil && found {
		a.old, found, err = t.LockSecurityKey(ctx, k.Workspace, k.ID)
	}
	if err != nil {
		return SecurityKey{}, nil, err
	}
	if !found || a.old.Link.ID != k.Link.ID {
		return SecurityKey{}, DeadLink(), nil
	}
	if a.owner, _, err = t.FindKeyOwner(ctx, k.Workspace, k.User); err != nil {
		return SecurityKey{}, nil, err
	}
	if a.old.Kind == ContactlessCard {
		return SecurityKey{}, fault.Conflict("a_card", "A contactless card holds no passkey."), nil
	}
	next, f := a.takes(actActivate)
	if f != nil {
		return SecurityKey{}, f, nil
	}
	settings, err := settingsOf(ctx, t, k.Workspace)
	if err != nil {
		return SecurityKey{}, nil, err
	}
	bound := a.old
	bound.AAGUID = cleanAAGUID(b.AAGUID)
	if bound.Kind == FIDO2 && !settings.allows(bound.AAGUID) {
		return a.refuse(ctx, fault.Forbidden("model_not_allowed", "This workspace does not allow security keys of this model."))
	}
	if bound.Model == "" {
		bound.Model = ModelName(bound.AAGUID)
	}
	bound.Life, bound.ActivatedAt, bound.Link, bound.ToConfirm = next.life, now, Link{}, false
	bound.Revision++
	if err := t.UpdateSecurityKey(ctx, bound); err != nil {
		return SecurityKey{}, nil, err
	}
	detail := ""
	if b.Attestation != "" {
		detail = "attestation " + b.Attestation
	}
	if err := activity.Append(ctx, t, a.by, activity.Event{
		Workspace: k.Workspace, Action: a.attempt.Action, Detail: detail, Actor: actor, Target: bound.party(), User: k.User, SecurityKey: k.ID,
	}, now); err != nil {
		return SecurityKey{}, nil, err
	}
	return bound, nil, a.tell(ctx, outbox.KeyActivated, bound)
}

// allows says whether a FIDO2 key of the model may be registered. A key that tells no
// model is of none that is listed.
func (s Settings) allows(aaguid string) bool {
	if aaguid != "" && slices.Contains(s.ModelsBlocked, aaguid) {
		return false
	}
	return len(s.ModelsAllowed) == 0 || slices.Contains(s.ModelsAllowed, aaguid)
}
