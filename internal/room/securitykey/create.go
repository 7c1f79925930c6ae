package securitykey

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// draft is what an act that seals something knows before its transaction.
type draft struct {
	workspace id.Workspace
	secrets   Secrets
	settings  Settings
	owner     Owner // zero if there is no such user
}

// draftOf reads what is needed to seal something for a user, or for the holder of a key
// if one is named. Who may not act learns nothing of it: the gate comes afterwards.
func (s *Service) draftOf(ctx context.Context, w id.Workspace, u id.User, k id.SecurityKey) (draft, error) {
	d := draft{workspace: w, settings: DefaultSettings()}
	if w == "" {
		return d, nil
	}
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		if d.settings, err = settingsOf(ctx, t, w); err != nil {
			return err
		}
		if k != "" {
			key, _, err := t.FindSecurityKey(ctx, w, k)
			if err != nil {
				return err
			}
			u = key.User
		}
		d.owner, _, err = t.FindKeyOwner(ctx, w, u)
		return err
	})
	if err != nil {
		return d, err
	}
	d.secrets, err = s.secrets.SecretsOf(ctx, w)
	return d, err
}

// Create gives a user a key. The caller needs security_keys.write and every permission
// that the user holds. It is a Conflict if the user is suspended or has MaxKeys, or
// somebody has the card.
func (s *Service) Create(ctx context.Context, by auth.Caller, owner id.User, n NewKey) (Issued, error) {
	d, err := s.draftOf(ctx, by.Workspace, owner, "")
	if err != nil {
		return Issued{}, err
	}
	var k SecurityKey
	var pin newPIN
	var wrong *fault.Error
	if d.owner.User != "" {
		if k, pin, wrong, err = n.prepare(d, owner, s.gate.Clock.Now()); err != nil {
			return Issued{}, err
		}
	}
	out := Issued{}
	attempt := activity.Attempt{Action: "security_key.create", Need: auth.SecurityKeysWrite, Target: activity.Party{Type: "user", ID: string(owner)}}
	err = s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		a, f, err := begin(ctx, t, by, attempt, standing, owner, true, now)
		switch {
		case f != nil || err != nil:
			return f, err
		case d.owner.User == "":
			return unknownUser(), nil // they came while the draft was made
		case wrong != nil:
			return wrong, nil
		case a.owner.Suspended:
			return userSuspended(), nil
		case a.owner.Keys >= MaxKeys:
			return fault.Conflict("too_many_keys", "This user has "+strconv.Itoa(MaxKeys)+" security keys: delete one first."), nil
		}
		if f, err := a.claimCard(ctx, k.Card); f != nil || err != nil {
			return f, err
		}
		out = Issued{Key: k}
		out.Key.Holder = Holder{Name: a.owner.To.Name, Email: a.owner.To.Email}
		if err := t.InsertSecurityKey(ctx, out.Key); err != nil {
			return nil, err
		}
		once.Note(ctx, string(k.ID))
		if err := a.append(ctx, string(k.Kind), out.Key); err != nil {
			return nil, err
		}
		return nil, a.handOver(ctx, n, pin, out.Key)
	})
	if err != nil {
		return Issued{}, err
	}
	if n.Delivery == DeliverResponse {
		out.PIN = pin.text
	}
	return out, nil
}

// handOver tells the holder of their new key what they need to know.
func (a *act) handOver(ctx context.Context, n NewKey, pin newPIN, k SecurityKey) error {
	switch n.Activation {
	case ActivateEmail:
		if err := a.t.MarkUserInvited(ctx, k.Workspace, k.User); err != nil {
			return err
		}
		return a.mailLink(ctx, k)
	case ActivateNow:
		if err := appendLine(ctx, a.t, a.by, "security_key.activate", "", k, a.now); err != nil {
			return err
		}
		if len(pin.verifier) > 0 && n.Delivery != DeliverResponse {
			return a.mailPIN(ctx, pin, k, false)
		}
		return a.tell(ctx, outbox.KeyActivated, k)
	}
	return nil
}

// mailLink sends the holder the link with which they activate the key.
func (a *act) mailLink(ctx context.Context, k SecurityKey) error {
	return outbox.PutUntil(ctx, a.t, k.Workspace, outbox.SecurityKeyActivation{
		To: a.owner.To, Workspace: a.owner.Workspace, Kind: string(k.Kind), Key: k.Name, Link: string(k.Link.ID),
		ExpiresAt: k.Link.ExpiresAt.UnixMilli(), By: a.by.Name, At: a.now.UnixMilli(),
	}, a.now, k.Link.ExpiresAt)
}

// newLink returns a fresh link.
func newLink(now time.Time) Link {
	return Link{ID: id.New[id.KindActivation](now), ExpiresAt: now.Add(LinkLifetime)}
}

// claimCard answers a Conflict if somebody in the workspace has the card: one that
// waits to be confirmed is taken too. Two at once do not both get it.
func (a *act) claimCard(ctx context.Context, c Card) (*fault.Error, error) {
	if c.Digest == "" {
		return nil, nil
	}
	w := a.workspace()
	if err := a.t.Latch(ctx, string(w)+"/cards"); err != nil {
		return nil, err
	}
	other, taken, err := a.t.FindSecurityKeyByCard(ctx, w, c.Digest)
	if err != nil || !taken {
		return nil, err
	}
	public := "This card is registered already."
	if a.standing.Permissions.Has(auth.UsersRead) {
		public = "This card is registered already: " + other.Holder.Name + " has it."
	}
	return fault.Conflict("card_registered", public, fault.Field{Name: "card_number", Message: "belongs to a card that is registered already"}), nil
}

// workspace is where the act takes place.
func (a *act) workspace() id.Workspace {
	if a.old.Workspace != "" {
		return a.old.Workspace
	}
	return a.by.Workspace
}

// prepare checks the fields, and returns the key with its card sealed and the PIN that
// it gets at once, if it gets one.
func (n NewKey) prepare(d draft, owner id.User, now time.Time) (SecurityKey, newPIN, *fault.Error, error) {
	var c checker
	k := SecurityKey{
		ID: id.New[id.KindSecurityKey](now), Workspace: d.workspace, User: owner, Kind: n.Kind, Model: c.text("model", n.Model),
		Life: New, Verification: n.Verification, Proximity: n.Proximity, CreatedAt: now, Revision: 1,
	}
	if k.Name = c.text("name", n.Name); k.Name == "" {
		k.Name = n.Kind.title()
	}
	c.newKey(n, d.settings)
	if k.Verification == "" {
		k.Verification = n.Kind.verification()
	}
	if f := c.fault(); f != nil {
		return SecurityKey{}, newPIN{}, f, nil
	}
	if n.CardNumber != "" {
		card, f, err := newCard(d.secrets, d.workspace, owner, k.ID, n.CardType, n.CardNumber)
		if f != nil || err != nil {
			return SecurityKey{}, newPIN{}, f, err
		}
		k.Card = card
		k.Card.Named = true
	}
	switch n.Activation {
	case ActivateEmail:
		k.Life, k.Link = Pending, newLink(now)
	case ActivateNow:
		k.Life, k.ActivatedAt = Active, now
	}
	if n.Activation != ActivateNow || k.Verification != ByPIN {
		return k, newPIN{}, nil, nil
	}
	pin, f, err := d.newPIN(k.ID, n.PIN)
	if f != nil || err != nil {
		return SecurityKey{}, newPIN{}, f, err
	}
	k.PIN = pin.pin(n.MustChange, now)
	return k, pin, nil, nil
}

// title is what a key of the kind is called that got no name.
func (k Kind) title() string {
	switch k {
	case ContactlessCard:
		return "Card"
	case Smartphone:
		return "Phone"
	case FIDO2:
		return "Security key"
	}
	return ""
}

// verification is how the holder of a key of the kind proves to be the holder, unless
// something else is decided.
func (k Kind) verification() Verification {
	if k == Smartphone {
		return ByPhone
	}
	return ByPIN
}

// checker gathers the fields at fault.
type checker struct{ fields []fault.Field }

func (c *checker) wrong(is bool, name, message string) {
	if is {
		c.fields = append(c.fields, fault.Field{Name: name, Message: message})
	}
}

func (c *checker) fault() *fault.Error {
	if len(c.fields) == 0 {
		return nil
	}
	return invalid(c.fields...)
}

// maxText is how many characters a name may have.
const maxText = 100

// text returns a line of text in its stored form.
func (c *checker) text(name, s string) string {
	valid := utf8.ValidString(s)
	s = strings.TrimSpace(norm.NFC.String(strings.ToValidUTF8(s, "")))
	c.wrong(!valid || strings.ContainsFunc(s, isForbidden), name, "holds a character that is not allowed")
	c.wrong(utf8.RuneCountInString(s) > maxText, name, "is too long: at most "+strconv.Itoa(maxText)+" characters")
	return s
}

// isForbidden says whether r may not stand in a line of text: controls, and the marks
// that turn the direction of what follows.
func isForbidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// newKey checks what fits together.
func (c *checker) newKey(n NewKey, s Settings) {
	card := n.Kind == ContactlessCard
	c.wrong(n.Kind.title() == "", "kind", "must be contactless_card, smartphone or fido2")
	c.verification(n.Kind, n.Verification, s)
	c.wrong(!card && (n.CardNumber != "" || n.CardType != ""), "card_number", "belongs to contactless cards only")
	c.wrong(card && n.CardNumber == "" && n.CardType != "", "card_number", "is needed")
	c.wrong(n.Proximity && n.Kind != Smartphone, "proximity", "belongs to smartphones only")
	switch n.Activation {
	case Assigned, ActivateEmail:
		c.wrong(!n.PIN.IsEmpty(), "pin", "is chosen when the card is activated: leave it out")
	case ActivateNow:
		c.wrong(!card, "activation", "must be email: only a card can be activated here and now")
		c.wrong(card && n.CardNumber == "", "card_number", "is needed to activate the card now")
		c.wrong(card && n.Verification == Pinless && !n.PIN.IsEmpty(), "pin", "must be left out: the card needs none")
	default:
		c.wrong(true, "activation", "must be now or email")
	}
	c.delivery(n.Delivery)
}

func (c *checker) delivery(d Delivery) {
	c.wrong(d != "" && d != DeliverEmail && d != DeliverResponse, "pin_delivery", "must be email or response")
}

// verification checks how the holder of a key of the kind proves to be the holder.
func (c *checker) verification(k Kind, v Verification, s Settings) {
	switch {
	case v == "" || v == k.verification():
	case v == Pinless && k == ContactlessCard:
		c.wrong(!s.Pinless, "verification", "must not be pinless: this workspace allows no cards without a PIN")
	default:
		c.wrong(true, "verification", "must be "+string(k.verification())+" for a key of this kind")
	}
}
