package digitalkey

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Cancel ends a key for good: its doors refuse it as soon as they hear of it, and each says
// when at the latest (Receipt). The caller needs digital_keys.write. To cancel a cancelled
// key changes nothing; it is a Conflict if it has expired.
func (s *Service) Cancel(ctx context.Context, by auth.Caller, k id.DigitalKey) (Detail, error) {
	var out Detail
	attempt := attemptOn("digital_key.cancel", auth.DigitalKeysWrite, k)
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = Detail{}
		a, f, err := beginKey(ctx, t, by, attempt, k, now)
		if f != nil || err != nil {
			return f, err
		}
		once.Note(ctx, string(k))
		if f, err := a.cancel(ctx, ByHand); f != nil || err != nil {
			return f, err
		}
		out, err = detailOf(ctx, t, by.Workspace, k, now)
		return nil, err
	})
	if err != nil {
		return Detail{}, err
	}
	return s.withCard(ctx, out)
}

// cancel ends the key that the act is on, unless it is cancelled.
func (a *act) cancel(ctx context.Context, why CancelReason) (*fault.Error, error) {
	switch status := a.old.Status(a.now); status {
	case Cancelled:
		return nil, nil
	case Expired:
		return isOver(status), nil
	}
	k := a.old
	locks, err := a.takeAway(ctx, k)
	if err != nil {
		return nil, err
	}
	k.CancelledAt, k.CancelledBy, k.CancelReason, k.ExpandedUntil = a.now, a.by.Name, why, time.Time{}
	k.Revision++
	if err := a.t.UpdateDigitalKey(ctx, k); err != nil {
		return nil, err
	}
	a.signal(k)
	detail := ""
	if why != ByHand {
		detail = string(why)
	}
	if err := a.append(ctx, "digital_key.cancel", detail, k); err != nil || !k.Notify.Email {
		return nil, err
	}
	return nil, outbox.Put(ctx, a.t, k.Workspace, outbox.DigitalKeyCancelled{
		To: a.user.To, Workspace: a.user.Workspace, Key: letter(k, locks), By: a.by.Name, At: a.now.UnixMilli(),
	}, a.now)
}

// takeAway tells the key's doors to forget it, and reserves its PIN for a while. It returns
// the locks.
func (a *act) takeAway(ctx context.Context, k DigitalKey) ([]Lock, error) {
	locks, err := a.holdLocks(ctx, k.lockIDs())
	if err != nil {
		return nil, err
	}
	safe, err := a.safeAt(ctx, k, locks)
	if err != nil {
		return nil, err
	}
	for _, l := range locks {
		if err := a.t.EndTags(ctx, k.Workspace, l.ID, k.ID, safe[l.ID].Add(PINRest)); err != nil {
			return nil, err
		}
		if err := a.t.RemoveGrant(ctx, k.Workspace, l.ID, k.ID, a.now, safe[l.ID]); err != nil {
			return nil, err
		}
	}
	return locks, nil
}

// CancelMany is Cancel for at most MaxMany keys in one transaction. It answers one outcome
// for each, in their order; a fault of one stops none of the others.
func (s *Service) CancelMany(ctx context.Context, by auth.Caller, ks []id.DigitalKey) ([]Outcome, error) {
	var out []Outcome
	attempt := activity.Attempt{Action: "digital_key.cancel", Need: auth.DigitalKeysWrite}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = make([]Outcome, 0, len(ks))
		if len(ks) > MaxMany {
			return invalid(fault.Field{Name: "ids", Message: "are too many: at most " + strconv.Itoa(MaxMany)}), nil
		}
		a, f, err := begin(ctx, t, by, attempt, now)
		if f != nil || err != nil {
			return f, err
		}
		for _, k := range ks {
			f, err := a.hold(ctx, k)
			if err == nil && f == nil {
				f, err = a.cancel(ctx, ByHand)
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
	failed := map[id.DigitalKey]*fault.Error{}
	for _, o := range all {
		if f, ok := fault.As(o.Fault); ok {
			failed[o.ID] = f
		}
	}
	once.NoteFailures(ctx, failed)
}

// FromNote returns the outcomes of a bulk act from what it noted for its repeat.
func FromNote(ks []id.DigitalKey, noted string) []Outcome {
	failed := once.Failures[id.DigitalKey](noted)
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

// Delete removes a key that is over, for good; its activities and its doors' events stay.
// The caller needs digital_keys.write. It is a Conflict while a door may still open with the
// key. ifRevision 0 accepts any revision; another one than the key's answers a Precondition
// fault.
func (s *Service) Delete(ctx context.Context, by auth.Caller, k id.DigitalKey, ifRevision int64) error {
	attempt := attemptOn("digital_key.delete", auth.DigitalKeysWrite, k)
	return s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		a, f, err := beginKey(ctx, t, by, attempt, k, now)
		if f != nil || err != nil {
			return f, err
		}
		once.Note(ctx, string(k))
		if ifRevision != 0 && ifRevision != a.old.Revision {
			return fault.Precondition(), nil
		}
		if s := a.old.Status(now); s == Upcoming || s == Active {
			return fault.Conflict("digital_key_not_over", "This digital key is not over: cancel it first."), nil
		}
		receipts, err := t.ListReceipts(ctx, by.Workspace, k, now)
		if err != nil {
			return nil, err
		}
		for _, r := range receipts {
			if r.Unsafe(now) {
				return fault.Conflict("digital_key_unsafe", "The lock “"+r.LockName+"” has not confirmed that this key was cancelled, and may still open with it."), nil
			}
		}
		if err := t.DeleteDigitalKey(ctx, by.Workspace, k); err != nil {
			return nil, err
		}
		a.signal(a.old)
		return nil, a.append(ctx, "digital_key.delete", "", a.old)
	})
}

// Unsafe says whether the lock may still open with a key that was taken away, or as it was
// before it was changed.
func (r Receipt) Unsafe(now time.Time) bool {
	return r.AppliedAt.IsZero() && now.Before(r.AtLatest)
}

// EndKeysOf cancels the user's keys that are not over, for good, and returns how many they
// were. It is part of an act of a flow, which has asked whether the caller may; call it
// before the user's row is written: it takes the latch of PINs.
func EndKeysOf(ctx context.Context, t Tx, by auth.Caller, w id.Workspace, u id.User, now time.Time) (int, error) {
	return endKeysOf(ctx, t, by, w, u, now)
}

func endKeysOf(ctx context.Context, t Tx, by auth.Caller, w id.Workspace, u id.User, now time.Time) (int, error) {
	by.Workspace = w
	if err := t.Latch(ctx, string(w)+"/pins"); err != nil {
		return 0, err
	}
	if _, err := t.LockUser(ctx, w, u); err != nil {
		return 0, err
	}
	a := &act{t: t, by: by, now: now}
	for n := 0; ; {
		keys, err := t.ListOpenDigitalKeys(ctx, w, u, now)
		if err != nil || len(keys) == 0 {
			return n, err
		}
		for _, k := range keys {
			f, err := a.hold(ctx, k)
			if err == nil && f == nil {
				f, err = a.cancel(ctx, UserSuspended)
			}
			if err != nil {
				return n, err
			}
			if f == nil {
				n++
			}
		}
	}
}

// RemoveKeysOf is EndKeysOf for a user who is deleted: it removes all keys of theirs, and
// returns how many were not over. What doors have not confirmed stays known.
func RemoveKeysOf(ctx context.Context, t Tx, by auth.Caller, w id.Workspace, u id.User, now time.Time) (int, error) {
	n, err := endKeysOf(ctx, t, by, w, u, now)
	if err != nil {
		return n, err
	}
	for {
		keys, err := t.ListAllDigitalKeys(ctx, w, u)
		if err != nil || len(keys) == 0 {
			return n, err
		}
		for _, k := range keys {
			if err := t.DeleteDigitalKey(ctx, w, k); err != nil {
				return n, err
			}
		}
	}
}
