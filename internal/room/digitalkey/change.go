package digitalkey

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The public names of what a change touches beside the fields of a new key.
const (
	changedRole     = "role"
	changedNotify   = "notify"
	changedText     = "description"
	changedStarts   = "starts_at"
	changedExpires  = "expires_at"
	changedZone     = "timezone"
	changedHours    = "weekly_hours"
	changedTypes    = "types"
	changedPIN      = "pin"
	changedCard     = "keycard"
	changedSurvives = "survives_lease"
)

// isTold says whether a door must hear of a change.
func isTold(changed string) bool {
	return changed != changedRole && changed != changedNotify && changed != changedText
}

// moved is a key as a change leaves it, prepared outside the transaction.
type moved struct {
	key     DigitalKey
	changed []string // public names
	wrong   *fault.Error
	pins    []mark // another PIN; empty if it stays or goes
	chosen  bool
	pin     mark // what the key had
	card    mark // as the change leaves it
}

func (m moved) touches(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(m.changed, name) })
}

// Change changes a key that is not over: a Conflict otherwise. A new PIN is in the answer and
// nowhere else in the clear. The caller needs digital_keys.write. ifRevision 0 accepts any
// revision; another one than the key's answers a Precondition fault. What Create refuses is
// refused here too.
func (s *Service) Change(ctx context.Context, by auth.Caller, k id.DigitalKey, c Change, ifRevision int64) (Issued, error) {
	var out Issued
	err := again(func() (err error) {
		out, err = s.tryChange(ctx, by, k, c, ifRevision)
		return err
	})
	return out, err
}

func (s *Service) tryChange(ctx context.Context, by auth.Caller, k id.DigitalKey, c Change, ifRevision int64) (Issued, error) {
	d, err := s.draftOf(ctx, by.Workspace, nil, k)
	if err != nil {
		return Issued{}, err
	}
	m, err := c.prepare(d)
	if err != nil {
		return Issued{}, err
	}
	out := Issued{}
	attempt := attemptOn("digital_key.update", auth.DigitalKeysWrite, k)
	err = s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = Issued{}
		a, f, err := beginKey(ctx, t, by, attempt, k, now)
		if f != nil || err != nil {
			return f, err
		}
		switch status := a.old.Status(now); {
		case ifRevision != 0 && ifRevision != a.old.Revision:
			return fault.Precondition(), nil
		case status == Cancelled || status == Expired:
			return isOver(status), nil
		case d.isStale(a.old):
			return nil, errStale
		case m.wrong != nil:
			return m.wrong, nil
		}
		once.Note(ctx, string(k))
		out, f, err = a.change(ctx, m)
		return f, err
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

// prepare returns the key of the draft as changed. A draft without a key stays empty.
func (c Change) prepare(d draft) (moved, error) {
	m := moved{key: d.key}
	if d.key.ID == "" || d.key.lackingLocks(d.locks) {
		return m, nil
	}
	var err error
	if m.pin, m.card, err = d.kept(); err != nil {
		return m, err
	}
	var check checker
	c.apply(&m, &check)
	number := check.cardOf(c, m.key)
	if len(check.fields) > 0 {
		m.wrong = check.fault()
		return m, nil
	}
	if err := c.prepareCard(&m, d, number); err != nil {
		return m, err
	}
	err = c.preparePIN(&m, d)
	return m, err
}

// lackingLocks says whether a lock of the key is not among those, or it has none any more.
func (k DigitalKey) lackingLocks(all []Lock) bool { return len(all) == 0 || len(all) != len(k.Locks) }

// apply changes what needs no secret.
func (c Change) apply(m *moved, check *checker) {
	k := &m.key
	set := func(is bool, name string) {
		if is {
			m.changed = append(m.changed, name)
		}
	}
	if c.Description != nil {
		text := check.description(*c.Description)
		set(text != k.Description, changedText)
		k.Description = text
	}
	if c.Span != nil {
		span := c.Span.resolve(check, k.Timezone)
		set(!span.StartsAt.Equal(k.StartsAt), changedStarts)
		set(!span.ExpiresAt.Equal(k.ExpiresAt), changedExpires)
		set(span.Timezone != k.Timezone, changedZone)
		k.StartsAt, k.ExpiresAt, k.Timezone = span.StartsAt, span.ExpiresAt, span.Timezone
	}
	if c.Weekly != nil {
		hours := check.weekly(*c.Weekly)
		set(!slices.EqualFunc(hours, k.Weekly, Hours.equal), changedHours)
		k.Weekly = hours
	}
	if c.Role != nil {
		role := check.role(*c.Role)
		set(role != k.Role, changedRole)
		k.Role = role
	}
	if c.Types != nil {
		types := check.types(*c.Types)
		set(!slices.Equal(types, k.Types), changedTypes)
		k.Types = types
	}
	if c.SurvivesLease != nil {
		set(*c.SurvivesLease != k.SurvivesLease, changedSurvives)
		k.SurvivesLease = *c.SurvivesLease
	}
	if c.Notify != nil {
		check.notify(*c.Notify)
		set(*c.Notify != k.Notify, changedNotify)
		k.Notify = *c.Notify
	}
	if c.PIN != nil {
		check.pin(*c.PIN)
		check.wrong(!k.Has(PIN), "pin", "belongs to keys that open by PIN")
	}
}

func (h Hours) equal(other Hours) bool {
	return h.From == other.From && h.To == other.To && slices.Equal(h.Days, other.Days)
}

// cardOf reads the number of another card, empty for none.
func (c *checker) cardOf(change Change, k DigitalKey) secret.Bytes {
	if change.CardNumber == nil {
		return secret.Bytes{}
	}
	c.wrong(*change.CardNumber != "" && !k.Has(Keycard), "keycard", "belongs to keys that open by keycard")
	return c.card("", *change.CardNumber)
}

func (c Change) prepareCard(m *moved, d draft, number secret.Bytes) error {
	k := &m.key
	had := len(k.CardSealed) > 0
	switch {
	case !k.Has(Keycard) || c.CardNumber != nil && number.IsEmpty():
		if had && k.Has(Keycard) {
			m.changed = append(m.changed, changedCard)
		}
		k.CardSealed, k.CardType, m.card = nil, "", mark{}
	case c.CardNumber != nil && !number.Equal(m.card.text):
		next, err := d.cardMark(k.User, k.ID, number)
		if err != nil {
			return err
		}
		m.changed = append(m.changed, changedCard)
		k.CardSealed, k.CardType, m.card = next.sealed, card.UID, next
	}
	return nil
}

func (c Change) preparePIN(m *moved, d draft) error {
	k := &m.key
	if !k.Has(PIN) {
		k.PINSealed, k.PINLength = nil, 0
		return nil
	}
	var chosen secret.Bytes
	switch {
	case c.PIN != nil && !c.PIN.IsEmpty() && c.PIN.Equal(m.pin.text):
		return nil // the one that it has
	case c.PIN != nil:
		chosen = *c.PIN
	case len(k.PINSealed) > 0:
		return nil
	}
	m.chosen = !chosen.IsEmpty()
	switch {
	case m.chosen:
		k.PINLength = len(chosen.Expose())
	case k.PINLength == 0:
		k.PINLength = DefaultDigits
	}
	m.changed = append(m.changed, changedPIN)
	var err error
	m.pins, err = d.pinMarks(k.User, k.ID, chosen, k.PINLength)
	return err
}

// change does what was prepared.
func (a *act) change(ctx context.Context, m moved) (Issued, *fault.Error, error) {
	k, old := m.key, a.old
	k.ExpandedUntil, k.Receipts, k.Holder = old.ExpandedUntil, old.Receipts, old.Holder
	if len(m.changed) == 0 {
		return Issued{Key: old}, nil, nil
	}
	if a.user.Suspended {
		return Issued{}, userSuspended(), nil
	}
	locks, err := a.holdLocks(ctx, k.lockIDs())
	if err != nil {
		return Issued{}, nil, err
	}
	var check checker
	if check.capable(locks, k.Types); m.touches(changedTypes) && check.fault() != nil {
		return Issued{}, check.fault(), nil
	}
	if m.touches(changedStarts, changedExpires, changedZone, changedHours) {
		if f := spanRule(k.StartsAt, k.ExpiresAt, k.Weekly, k.Timezone, a.now); f != nil {
			return Issued{}, f, nil
		}
	}
	if m.touches(changedSurvives) {
		if f, err := a.survivors(ctx, k); f != nil || err != nil {
			return Issued{}, f, err
		}
	}
	pin, f, err := a.reclaim(ctx, &k, m)
	if f != nil || err != nil {
		return Issued{}, f, err
	}
	k.Revision++
	if slices.ContainsFunc(m.changed, isTold) {
		k.ExpandedUntil, k.Receipts.Applied = k.expandedUntil(a.now), 0
		if err := a.retell(ctx, k, locks, pin, m.card); err != nil {
			return Issued{}, nil, err
		}
	}
	out := Issued{Key: k}
	if len(m.pins) > 0 {
		out.PIN = pin.text
	}
	return out, nil, a.writeChange(ctx, k, m, locks, pin)
}

// reclaim gives the changed key its PIN and its card, which must be free in its new time.
func (a *act) reclaim(ctx context.Context, k *DigitalKey, m moved) (pin mark, f *fault.Error, err error) {
	wider := k.StartsAt.Before(a.old.StartsAt) || k.ExpiresAt.After(a.old.ExpiresAt)
	pin = m.pin
	switch {
	case len(m.pins) > 0:
		if pin, f, err = a.takePIN(ctx, *k, m.pins, m.chosen); f != nil || err != nil {
			return mark{}, f, err
		}
		k.PINSealed = pin.sealed
	case k.Has(PIN) && wider:
		if f, err = a.choosePIN(ctx, *k, pin); f != nil || err != nil {
			return mark{}, f, err
		}
	}
	if len(k.CardSealed) > 0 && (wider || m.touches(changedCard)) {
		if f, err = a.takeCard(ctx, *k, m.card); f != nil || err != nil {
			return mark{}, f, err
		}
	}
	return pin, nil, nil
}

// retell tells the doors, and reserves for a while what they knew before.
func (a *act) retell(ctx context.Context, k DigitalKey, locks []Lock, pin, card mark) error {
	safe, err := a.safeAt(ctx, a.old, locks)
	if err != nil {
		return err
	}
	before := reserve{}
	for _, l := range locks {
		before[l.ID] = safe[l.ID].Add(PINRest)
		if err := a.t.EndTags(ctx, k.Workspace, l.ID, k.ID, before[l.ID]); err != nil {
			return err
		}
	}
	if err := a.keepMarks(ctx, k, pin, card, before); err != nil {
		return err
	}
	return a.tellDoors(ctx, k, pin, card)
}

// writeChange stores the key as changed, with the activity's line and the mail.
func (a *act) writeChange(ctx context.Context, k DigitalKey, m moved, locks []Lock, pin mark) error {
	if err := a.t.UpdateDigitalKey(ctx, k); err != nil {
		return err
	}
	if err := a.append(ctx, a.attempt.Action, strings.Join(m.changed, ", "), k); err != nil || !k.Notify.Email {
		return err
	}
	if !m.touches(changedStarts, changedExpires, changedHours, changedTypes, changedPIN, changedCard) {
		return nil
	}
	mail := outbox.DigitalKeyChanged{
		To: a.user.To, Workspace: a.user.Workspace, Key: letter(k, locks), NewPIN: len(m.pins) > 0, By: a.by.Name, At: a.now.UnixMilli(),
	}
	if mail.NewPIN {
		mail.PIN = pin.mailedPIN(k)
	}
	return a.mail(ctx, k, mail)
}

// refreshBatch is how many keys RefreshHours reads at once, pruneBatch how many rows Prune
// removes in a transaction.
const (
	refreshBatch = 100
	pruneBatch   = 500
)

func systemOnly() *fault.Error {
	return fault.Forbidden("system_only", "Only Keyhold itself does this.")
}

// RefreshHours tells the doors the weekly hours of keys anew of which they know too little,
// in all workspaces, and returns of how many keys. Several servers may do it at once. Only
// the system's own jobs may call it.
func (s *Service) RefreshHours(ctx context.Context, by auth.Caller) (int, error) {
	if by.Kind != auth.System {
		return 0, systemOnly()
	}
	for done := 0; ; {
		var due []DigitalKey
		now := s.gate.Clock.Now()
		err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
			due, err = t.ListDueDigitalKeys(ctx, now, now.Add(Refresh), refreshBatch)
			return err
		})
		if err != nil || len(due) == 0 {
			return done, err
		}
		before := done
		for _, k := range due {
			did, err := s.refresh(ctx, auth.Job(k.Workspace, by.Job), k.ID)
			if err != nil {
				return done, err
			}
			if did {
				done++
			}
		}
		if done == before {
			return done, nil // others do them
		}
	}
}

// refresh tells the doors the hours of one key, and says whether there was a need.
func (s *Service) refresh(ctx context.Context, by auth.Caller, k id.DigitalKey) (did bool, err error) {
	err = again(func() error {
		d, err := s.draftOf(ctx, by.Workspace, nil, k)
		if err != nil || d.key.ID == "" || d.key.lackingLocks(d.locks) {
			return err
		}
		pin, card, err := d.kept()
		if err != nil {
			return err
		}
		return s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
			did = false
			now := s.gate.Clock.Now()
			a, f, err := beginKey(ctx, t, by, attemptOn("digital_key.refresh", auth.Signed, k), k, now)
			if f != nil || err != nil {
				return nil, err // gone meanwhile
			}
			next := a.old
			next.ExpandedUntil = next.expandedUntil(now)
			switch status := a.old.Status(now); {
			case status == Cancelled || status == Expired || !a.old.ExpandedUntil.Before(now.Add(Refresh)) || !a.old.ExpandedUntil.Before(next.ExpandedUntil):
				return nil, nil
			case d.isStale(a.old):
				return nil, errStale
			}
			if _, err := a.holdLocks(ctx, next.lockIDs()); err != nil {
				return nil, err
			}
			did = true
			if err := t.UpdateDigitalKey(ctx, next); err != nil {
				return nil, err
			}
			return nil, a.tellDoors(ctx, next, pin, card)
		})
	})
	return did, err
}

// Prune forgets whose PINs and cards were whose once nothing opens with them any more. Only
// the system's own jobs may call it.
func (s *Service) Prune(ctx context.Context, by auth.Caller) error {
	if by.Kind != auth.System {
		return systemOnly()
	}
	for n := int64(pruneBatch); n == pruneBatch; {
		err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (_ *fault.Error, err error) {
			n, err = t.PruneTags(ctx, s.gate.Clock.Now(), pruneBatch)
			return nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
