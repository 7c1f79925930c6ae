package securitykey

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Update changes a key's name, model, proximity or verification. The caller needs
// security_keys.write and, for another verification, every permission that the holder
// has. ifRevision 0 accepts any revision; another one than the key's answers a
// Precondition fault.
func (s *Service) Update(ctx context.Context, by auth.Caller, k id.SecurityKey, c Change, ifRevision int64) (SecurityKey, error) {
	return s.change(ctx, by, "security_key.update", k, c.Verification != nil, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		if ifRevision != 0 && ifRevision != a.old.Revision {
			return SecurityKey{}, fault.Precondition(), nil
		}
		settings, err := settingsOf(ctx, a.t, by.Workspace)
		if err != nil {
			return SecurityKey{}, nil, err
		}
		next, changed, f := c.apply(a.old, settings)
		if f != nil || len(changed) == 0 {
			return next, f, nil
		}
		next.Revision++
		if err := a.write(ctx, next, strings.Join(changed, ", ")); err != nil {
			return SecurityKey{}, nil, err
		}
		if next.Verification == Pinless && a.old.Verification != Pinless {
			err = a.tell(ctx, outbox.KeyPinless, next)
		}
		return next, nil, err
	})
}

// apply returns the key as changed and the public names of the fields that differ.
func (c Change) apply(k SecurityKey, s Settings) (SecurityKey, []string, *fault.Error) {
	var check checker
	var changed []string
	set := func(name string, field *string, to *string, needed bool) {
		if to == nil {
			return
		}
		text := check.text(name, *to)
		check.wrong(needed && text == "", name, "is needed")
		if text != *field {
			*field, changed = text, append(changed, name)
		}
	}
	set("name", &k.Name, c.Name, true)
	set("model", &k.Model, c.Model, false)
	if c.Proximity != nil && *c.Proximity != k.Proximity {
		check.wrong(k.Kind != Smartphone, "proximity", "belongs to smartphones only")
		k.Proximity, changed = *c.Proximity, append(changed, "proximity")
	}
	if c.Verification != nil && *c.Verification != k.Verification {
		check.wrong(*c.Verification == "", "verification", "is needed")
		check.verification(k.Kind, *c.Verification, s)
		if f := check.fault(); f == nil && *c.Verification == ByPIN && k.Life == Active && len(k.PIN.Verifier) == 0 {
			return SecurityKey{}, nil, fault.Conflict("pin_needed", "This card has no PIN yet: reset its PIN instead.")
		}
		if *c.Verification == Pinless {
			k.PIN = PIN{}
		}
		k.Verification, changed = *c.Verification, append(changed, "verification")
	}
	return k, changed, check.fault()
}

// Suspend sets the flag: the key opens nothing until Activate, and the sessions that
// its passkey opened are over. The caller needs security_keys.write. To suspend a
// suspended key changes nothing.
func (s *Service) Suspend(ctx context.Context, by auth.Caller, k id.SecurityKey) (SecurityKey, error) {
	return s.change(ctx, by, "security_key.suspend", k, false, suspend)
}

func suspend(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
	if !a.old.SuspendedAt.IsZero() {
		return a.old, nil, nil
	}
	k, err := a.suspend(ctx, "")
	if err != nil {
		return SecurityKey{}, nil, err
	}
	return k, nil, a.tell(ctx, outbox.KeySuspended, k)
}

// suspend sets the flag of a key that is not suspended.
func (a *act) suspend(ctx context.Context, detail string) (SecurityKey, error) {
	k := a.old
	k.SuspendedAt = a.now
	k.Revision++
	if err := a.write(ctx, k, detail); err != nil {
		return SecurityKey{}, err
	}
	return k, a.t.EndSecurityKeySessions(ctx, k.Workspace, k.ID, a.now)
}

// Activate takes the flag back: the key is as it was. The caller needs
// security_keys.write and every permission that the holder has. To activate a key that
// is not suspended changes nothing.
func (s *Service) Activate(ctx context.Context, by auth.Caller, k id.SecurityKey) (SecurityKey, error) {
	return s.change(ctx, by, "security_key.resume", k, true, resume)
}

func resume(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
	if a.old.SuspendedAt.IsZero() {
		return a.old, nil, nil
	}
	k := a.old
	k.SuspendedAt, k.NoticedAt = time.Time{}, time.Time{}
	if k.Life == Active {
		k.ActivatedAt = a.now // what is unused is counted from here
	}
	k.Revision++
	if err := a.write(ctx, k, ""); err != nil {
		return SecurityKey{}, nil, err
	}
	return k, nil, a.tell(ctx, outbox.KeyResumed, k)
}

// Confirm makes a key active whose holder has done their part and waits. The caller
// needs security_keys.write and every permission that the holder has. A key that does
// not wait answers a Conflict.
func (s *Service) Confirm(ctx context.Context, by auth.Caller, k id.SecurityKey) (SecurityKey, error) {
	return s.change(ctx, by, "security_key.confirm", k, true, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		if !a.old.ToConfirm {
			return SecurityKey{}, fault.Conflict("nothing_to_confirm", "This security key does not wait to be confirmed."), nil
		}
		next, f := a.takes(actActivate)
		if f != nil {
			return SecurityKey{}, f, nil
		}
		c := a.old
		c.Life, c.ToConfirm, c.ActivatedAt = next.life, false, a.now
		c.Revision++
		if err := a.write(ctx, c, ""); err != nil {
			return SecurityKey{}, nil, err
		}
		return c, nil, a.tell(ctx, outbox.KeyActivated, c)
	})
}

// ResendActivation sends the holder of a new or pending key a fresh link. The old one is
// dead, and what the holder gave with it is forgotten. The caller needs
// security_keys.write and every permission that the holder has.
func (s *Service) ResendActivation(ctx context.Context, by auth.Caller, k id.SecurityKey) (SecurityKey, error) {
	return s.change(ctx, by, "security_key.send_activation", k, true, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		next, f := a.takes(actSend)
		if f != nil {
			return SecurityKey{}, f, nil
		}
		c := a.old
		c.Life, c.ToConfirm, c.Link, c.PIN = next.life, false, newLink(a.now), PIN{}
		if !c.Card.Named {
			c.Card = Card{}
		}
		c.Revision++
		if err := a.write(ctx, c, ""); err != nil {
			return SecurityKey{}, nil, err
		}
		if err := a.t.MarkUserInvited(ctx, c.Workspace, c.User); err != nil {
			return SecurityKey{}, nil, err
		}
		return c, nil, a.mailLink(ctx, c)
	})
}

// ResetPIN gives an active card another PIN, suspended or not, and begins its tries
// anew; a card that needed none needs it from then on. The caller needs
// security_keys.write and every permission that the holder has.
func (s *Service) ResetPIN(ctx context.Context, by auth.Caller, k id.SecurityKey, r Reset) (Issued, error) {
	d, err := s.draftOf(ctx, by.Workspace, "", k)
	if err != nil {
		return Issued{}, err
	}
	pin, wrong, err := r.prepare(d, k)
	if err != nil {
		return Issued{}, err
	}
	out, err := s.change(ctx, by, "security_key.pin_reset", k, true, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		switch {
		case a.old.Kind != ContactlessCard:
			return SecurityKey{}, notACard(), nil
		case a.old.Life != Active:
			return SecurityKey{}, fault.Conflict("key_not_active", "This card is not activated yet: its PIN is chosen then."), nil
		case d.owner.User == "":
			return SecurityKey{}, Unknown(), nil // it came while the draft was made
		case wrong != nil:
			return SecurityKey{}, wrong, nil
		}
		c := a.old
		had := len(c.PIN.Verifier) > 0
		c.PIN, c.Verification = pin.pin(r.MustChange, a.now), ByPIN
		c.Revision++
		detail := "set"
		if pin.generated {
			detail = "generated"
		}
		if err := a.write(ctx, c, detail); err != nil {
			return SecurityKey{}, nil, err
		}
		if r.Delivery == DeliverResponse {
			return c, nil, a.tell(ctx, outbox.KeyPINSet, c)
		}
		return c, nil, a.mailPIN(ctx, pin, c, had)
	})
	if err != nil {
		return Issued{}, err
	}
	issued := Issued{Key: out}
	if r.Delivery == DeliverResponse {
		issued.PIN = pin.text
	}
	return issued, nil
}

func (r Reset) prepare(d draft, k id.SecurityKey) (newPIN, *fault.Error, error) {
	if d.owner.User == "" {
		return newPIN{}, nil, nil
	}
	var c checker
	c.delivery(r.Delivery)
	if f := c.fault(); f != nil {
		return newPIN{}, f, nil
	}
	return d.newPIN(k, r.PIN)
}

// Delete removes a key for good, with its passkey and the sessions that this opened;
// its activities stay, and the record that the user had it. The caller needs
// security_keys.write. ifRevision is as Update's.
func (s *Service) Delete(ctx context.Context, by auth.Caller, k id.SecurityKey, ifRevision int64) error {
	_, err := s.change(ctx, by, "security_key.delete", k, false, func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
		if ifRevision != 0 && ifRevision != a.old.Revision {
			return SecurityKey{}, fault.Precondition(), nil
		}
		return remove(ctx, a)
	})
	return err
}

func remove(ctx context.Context, a *act) (SecurityKey, *fault.Error, error) {
	if err := a.t.DeleteSecurityKey(ctx, a.old.Workspace, a.old.ID, a.now); err != nil {
		return SecurityKey{}, nil, err
	}
	if err := a.append(ctx, "", a.old); err != nil {
		return SecurityKey{}, nil, err
	}
	return a.old, nil, a.tell(ctx, outbox.KeyDeleted, a.old)
}

// SuspendMany is Suspend for at most MaxMany keys in one transaction. It answers one
// outcome for each, in their order; a fault of one stops none of the others. The caller
// needs security_keys.write.
func (s *Service) SuspendMany(ctx context.Context, by auth.Caller, ks []id.SecurityKey) ([]Outcome, error) {
	return s.many(ctx, by, "security_key.suspend", ks, false, suspend)
}

// ActivateMany is Activate for many, as SuspendMany is for Suspend.
func (s *Service) ActivateMany(ctx context.Context, by auth.Caller, ks []id.SecurityKey) ([]Outcome, error) {
	return s.many(ctx, by, "security_key.resume", ks, true, resume)
}

// DeleteMany is Delete for many, as SuspendMany is for Suspend.
func (s *Service) DeleteMany(ctx context.Context, by auth.Caller, ks []id.SecurityKey) ([]Outcome, error) {
	return s.many(ctx, by, "security_key.delete", ks, false, remove)
}

// many runs an act on each key. Every act decides before it writes, so a fault leaves
// nothing of its key but the refusal's line.
func (s *Service) many(ctx context.Context, by auth.Caller, action string, ks []id.SecurityKey, g gives, do work) ([]Outcome, error) {
	var out []Outcome
	attempt := activity.Attempt{Action: action, Need: auth.SecurityKeysWrite}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		out = make([]Outcome, 0, len(ks))
		if len(ks) > MaxMany {
			return invalid(fault.Field{Name: "ids", Message: "are too many: at most " + strconv.Itoa(MaxMany)}), nil
		}
		for _, k := range ks {
			a, f, err := beginKey(ctx, t, by, attempt, standing, k, g, now)
			if err == nil && f == nil {
				_, f, err = do(ctx, a)
			}
			if err != nil {
				return nil, err
			}
			o := Outcome{ID: k}
			if f != nil {
				o.Fault = f
			}
			out = append(out, o)
		}
		note(ctx, out)
		return nil, nil
	})
	return out, err
}

// note notes which keys failed and why.
func note(ctx context.Context, all []Outcome) {
	failed := map[id.SecurityKey]*fault.Error{}
	for _, o := range all {
		if f, ok := fault.As(o.Fault); ok {
			failed[o.ID] = f
		}
	}
	once.NoteFailures(ctx, failed)
}

// FromNote returns the outcomes of a bulk act from what it noted for its repeat.
func FromNote(ks []id.SecurityKey, noted string) []Outcome {
	failed := once.Failures[id.SecurityKey](noted)
	out := make([]Outcome, 0, len(ks))
	for _, k := range ks {
		o := Outcome{ID: k}
		if f, bad := failed[k]; bad {
			o.Fault = f
		}
		out = append(out, o)
	}
	return out
}
