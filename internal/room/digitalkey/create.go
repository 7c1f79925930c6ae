package digitalkey

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// plan is a new key, prepared outside the transaction.
type plan struct {
	key    DigitalKey
	pins   []mark
	chosen bool
	card   mark
}

// Create gives a user a key. The caller needs digital_keys.write. It is a Conflict if the
// user is suspended, a lock is full or has enough keys that survive its lease, the PIN cannot be used
// (one answer, whatever the reason), or somebody else has the card. The new key's PIN is in
// the answer and nowhere else in the clear.
func (s *Service) Create(ctx context.Context, by auth.Caller, n NewKey) (Issued, error) {
	wrong := n.check()
	var p plan
	if wrong == nil {
		d, err := s.draftOf(ctx, by.Workspace, n.Locks, "")
		if err != nil {
			return Issued{}, err
		}
		if p, err = n.prepare(d, s.gate.Clock.Now()); err != nil {
			return Issued{}, err
		}
	}
	out := Issued{}
	attempt := activity.Attempt{Action: "digital_key.create", Need: auth.DigitalKeysWrite, Target: activity.Party{Type: "user", ID: string(n.User)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = Issued{}
		a, f, err := begin(ctx, t, by, attempt, now)
		if f != nil || err != nil {
			return f, err
		}
		if wrong != nil {
			return wrong, nil
		}
		out, f, err = a.create(ctx, n, p)
		return f, err
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

// prepare makes the key with all that is sealed. What the draft does not know is for the
// transaction to refuse.
func (n NewKey) prepare(d draft, now time.Time) (plan, error) {
	var c checker // it was checked before
	p := plan{chosen: !n.PIN.IsEmpty()}
	zone := ""
	if i := slices.IndexFunc(d.locks, func(l Lock) bool { return l.ID == n.Locks[0] }); i >= 0 {
		zone = d.locks[i].Timezone
	}
	span := n.Span.resolve(&c, zone)
	p.key = DigitalKey{
		ID: id.New[id.KindDigitalKey](now), Workspace: d.workspace, User: n.User, Description: c.description(n.Description),
		StartsAt: span.StartsAt, ExpiresAt: span.ExpiresAt, Timezone: span.Timezone, Weekly: c.weekly(n.Weekly), Role: c.role(n.Role), Types: c.types(n.Types),
		SurvivesLease: n.SurvivesLease, Notify: n.Notify, Revision: 1,
	}
	if len(d.locks) < len(n.Locks) {
		return p, nil
	}
	var err error
	if p.key.Has(PIN) {
		p.key.PINLength = n.digits()
		if p.pins, err = d.pinMarks(n.User, p.key.ID, n.PIN, p.key.PINLength); err != nil {
			return p, err
		}
	}
	if number := c.card(n.CardType, n.CardNumber); !number.IsEmpty() {
		if p.card, err = d.cardMark(n.User, p.key.ID, number); err != nil {
			return p, err
		}
		p.key.CardType, p.key.CardSealed = card.UID, p.card.sealed
	}
	return p, nil
}

// digits is how many digits the key's PIN has.
func (n NewKey) digits() int {
	switch {
	case !n.PIN.IsEmpty():
		return len(n.PIN.Expose())
	case n.PINLength != 0:
		return n.PINLength
	}
	return DefaultDigits
}

func (a *act) create(ctx context.Context, n NewKey, p plan) (Issued, *fault.Error, error) {
	there, err := a.t.LockUser(ctx, a.by.Workspace, n.User)
	if err != nil {
		return Issued{}, nil, err
	}
	locks, err := a.findLocks(ctx, n.Locks)
	if err != nil {
		return Issued{}, nil, err
	}
	if f := lacking(n, locks, p.key.Types); f != nil {
		return Issued{}, f, nil
	}
	if there {
		if a.user, there, err = a.t.FindDigitalKeyUser(ctx, a.by.Workspace, n.User); err != nil {
			return Issued{}, nil, err
		}
	}
	k := p.key
	switch {
	case !there:
		return Issued{}, invalid(fault.Field{Name: "user", Message: "does not exist"}), nil
	case a.user.Suspended:
		return Issued{}, userSuspended(), nil
	}
	if f := spanRule(k.StartsAt, k.ExpiresAt, k.Weekly, k.Timezone, a.now); f != nil {
		return Issued{}, f, nil
	}
	k.Locks, k.CreatedAt, k.CreatedBy = byName(locks), a.now, a.by.Name
	k.Holder = Holder{Name: a.user.To.Name, Email: a.user.To.Email}
	k.ExpandedUntil, k.Receipts = k.expandedUntil(a.now), Confirmed{Locks: len(locks)}
	if f, err := a.survivors(ctx, k); f != nil || err != nil {
		return Issued{}, f, err
	}
	pin, f, err := a.claim(ctx, &k, p)
	if f != nil || err != nil {
		return Issued{}, f, err
	}
	if locks, err = a.holdLocks(ctx, n.Locks); err != nil {
		return Issued{}, nil, err
	}
	if f := lacking(n, locks, k.Types); f != nil {
		return Issued{}, f, nil // one was removed meanwhile
	}
	if f, err := a.room(ctx, locks); f != nil || err != nil {
		return Issued{}, f, err
	}
	return Issued{Key: k, PIN: pin.text}, nil, a.issue(ctx, k, locks, pin, p.card)
}

// room answers which lock holds as many keys as a controller can. Their rows are held.
func (a *act) room(ctx context.Context, locks []Lock) (*fault.Error, error) {
	for _, l := range locks {
		n, err := a.t.CountLockGrants(ctx, a.by.Workspace, l.ID, a.now)
		if err != nil {
			return nil, err
		}
		if n >= grant.MaxGrants {
			return fault.Conflict("lock_full", "The lock “"+l.Name+"” holds as many digital keys as it can: cancel some first."), nil
		}
	}
	return nil, nil
}

// lacking answers which locks are not there, or cannot be opened as is asked.
func lacking(n NewKey, locks []Lock, types []Type) *fault.Error {
	var c checker
	c.wrong(len(locks) < len(n.Locks), "locks", "name a lock that does not exist")
	if f := c.fault(); f != nil {
		return f
	}
	c.capable(locks, types)
	return c.fault()
}

// capable checks that each lock can be opened in each way.
func (c *checker) capable(locks []Lock, types []Type) {
	for _, l := range locks {
		for _, t := range types {
			c.wrong(!slices.Contains(l.Capabilities, t), "types", "name "+string(t)+", by which the lock “"+l.Name+"” cannot be opened")
		}
	}
}

// claim gives the key its PIN and its card.
func (a *act) claim(ctx context.Context, k *DigitalKey, p plan) (pin mark, f *fault.Error, err error) {
	if len(p.pins) > 0 {
		if pin, f, err = a.takePIN(ctx, *k, p.pins, p.chosen); f != nil || err != nil {
			return mark{}, f, err
		}
		k.PINSealed = pin.sealed
	}
	if len(p.card.sealed) > 0 {
		if f, err = a.takeCard(ctx, *k, p.card); f != nil || err != nil {
			return mark{}, f, err
		}
	}
	return pin, nil, nil
}

// issue writes a new key with all that goes with it.
func (a *act) issue(ctx context.Context, k DigitalKey, locks []Lock, pin, card mark) error {
	if err := a.t.InsertDigitalKey(ctx, k); err != nil {
		return err
	}
	if err := a.keepMarks(ctx, k, pin, card, nil); err != nil {
		return err
	}
	if err := a.tellDoors(ctx, k, pin, card); err != nil {
		return err
	}
	once.Note(ctx, string(k.ID))
	if err := a.append(ctx, a.attempt.Action, typesText(k.Types), k); err != nil || !k.Notify.Email {
		return err
	}
	return a.mail(ctx, k, outbox.DigitalKeyIssued{
		To: a.user.To, Workspace: a.user.Workspace, Key: letter(k, locks), PIN: pin.mailedPIN(k), By: a.by.Name, At: a.now.UnixMilli(),
	})
}

// keepMarks writes whose the key's PIN and card are.
func (a *act) keepMarks(ctx context.Context, k DigitalKey, pin, card mark, before reserve) error {
	if k.Has(PIN) {
		if err := a.keepTags(ctx, k, pin, PIN, before); err != nil {
			return err
		}
	}
	if len(k.CardSealed) > 0 {
		return a.keepTags(ctx, k, card, Keycard, before)
	}
	return nil
}

func typesText(all []Type) string {
	text := make([]string, len(all))
	for i, t := range all {
		text[i] = string(t)
	}
	return strings.Join(text, ", ")
}

// freeTries is how many wrong PINs a keypad takes before it pauses.
const freeTries = 5

// Preview returns what a form shows before a key is made; nothing is written. Locks that do
// not exist are left out. The caller needs digital_keys.write. Its faults are about the span
// only.
func (s *Service) Preview(ctx context.Context, by auth.Caller, n NewKey) (Outlook, error) {
	var out Outlook
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "digital_key.preview", Need: auth.DigitalKeysWrite}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		out = Outlook{}
		zone := ""
		var locks []Lock
		for _, l := range n.Locks[:min(len(n.Locks), MaxLocks)] {
			lock, found, err := t.FindKeyLock(ctx, by.Workspace, l, now)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			if zone == "" {
				zone = lock.Timezone
			}
			locks = append(locks, lock)
		}
		var f *fault.Error
		if out.Span, f = Resolve(n.Span, zone); f != nil {
			return f
		}
		if f := spanRule(out.Span.StartsAt, out.Span.ExpiresAt, nil, "", now); f != nil {
			return f
		}
		for _, l := range locks {
			look, err := lookAt(ctx, t, by.Workspace, l, n, out.Span)
			if err != nil {
				return err
			}
			out.Locks = append(out.Locks, look)
		}
		return nil
	})
	return out, err
}

func lookAt(ctx context.Context, t Tx, w id.Workspace, l Lock, n NewKey, span Resolved) (LockOutlook, error) {
	out := LockOutlook{
		Lock: LockName{ID: l.ID, Name: l.Name, Timezone: l.Timezone}, Lease: time.Duration(l.LeaseSeconds) * time.Second, LeaseUntil: l.LeaseUntil, Online: l.Online, Enrolled: l.Enrolled,
	}
	digits := n.digits()
	if !slices.Contains(n.Types, PIN) || digits < grant.MinPIN || digits > grant.MaxPIN {
		return out, nil
	}
	others, err := t.CountTags(ctx, w, l.ID, digits, span.StartsAt, span.ExpiresAt)
	if err != nil {
		return out, err
	}
	out.PINs, out.Odds = int(others)+1, 1
	for range digits {
		out.Odds *= 10
	}
	out.Odds = max(1, out.Odds/(freeTries*out.PINs))
	return out, nil
}
