package digitalkey

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// recent is how many keys that are over their holder sees.
const recent = 10

func personOnly() *fault.Error {
	return fault.Forbidden("person_only", "Only a person has digital keys of their own.")
}

// Own returns the keys of the caller, who is a person: the active ones, then the upcoming
// ones by their start, then a few that are over, the last ones first.
func (s *Service) Own(ctx context.Context, by auth.Caller) ([]Own, error) {
	var out []Own
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "digital_key.own", Need: auth.Signed}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		out = nil
		if by.User == "" {
			return personOnly()
		}
		keys, err := t.ListUserDigitalKeys(ctx, by.Workspace, by.User, now, recent)
		if err != nil {
			return err
		}
		locks := map[id.Lock]Lock{}
		for _, k := range keys {
			own, err := ownOf(ctx, t, k, locks, now)
			if err != nil {
				return err
			}
			out = append(out, own)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rank := map[Status]int{Active: 0, Upcoming: 1, Expired: 2, Cancelled: 2}
	slices.SortStableFunc(out, func(a, b Own) int { return cmp.Compare(rank[a.Status], rank[b.Status]) })
	return out, nil
}

// ownOf reads what the holder sees of a key. locks are those that were read before.
func ownOf(ctx context.Context, t Tx, k DigitalKey, locks map[id.Lock]Lock, now time.Time) (Own, error) {
	out := Own{Key: k, Status: k.Status(now)}
	receipts, err := t.ListReceipts(ctx, k.Workspace, k.ID, now)
	if err != nil {
		return out, err
	}
	for _, name := range k.Locks {
		l, known := locks[name.ID]
		if !known {
			if l, _, err = t.FindKeyLock(ctx, k.Workspace, name.ID, now); err != nil {
				return out, err
			}
			locks[name.ID] = l
		}
		own := OwnLock{ID: name.ID, Name: name.Name, Place: l.Place, Online: l.Online}
		if i := slices.IndexFunc(receipts, func(r Receipt) bool { return r.Lock == name.ID }); i >= 0 {
			own.Applied = !receipts[i].AppliedAt.IsZero()
		}
		out.Locks = append(out.Locks, own)
	}
	return out, nil
}

// OwnPIN returns the PIN of a key of the caller's that is upcoming or active, and records
// that it was shown. A key of somebody else is as absent as one that never was.
func (s *Service) OwnPIN(ctx context.Context, by auth.Caller, k id.DigitalKey) (secret.Bytes, error) {
	var mine DigitalKey
	attempt := attemptOn("digital_key.show_pin", auth.Signed, k)
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		key, found, err := t.FindDigitalKey(ctx, by.Workspace, k)
		if err != nil {
			return nil, err
		}
		if !found || by.User == "" || key.User != by.User {
			return Unknown(), nil
		}
		if status := key.Status(now); status == Cancelled || status == Expired {
			return isOver(status), nil
		}
		if len(key.PINSealed) == 0 {
			return fault.Conflict("no_pin", "This digital key has no PIN."), nil
		}
		mine = key
		return nil, activity.Append(ctx, t, by, activity.Event{Action: attempt.Action, Target: key.party(), User: key.User}, now)
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	sealing, err := s.sealing.SealingOf(ctx, by.Workspace)
	if err != nil {
		return secret.Bytes{}, err
	}
	return sealing.Open(mine.PINSealed, PINIdentity(mine.Workspace, mine.User, mine.ID))
}
