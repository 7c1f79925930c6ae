package digitalkey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// detailOf reads a key and its receipts.
func detailOf(ctx context.Context, t Tx, w id.Workspace, k id.DigitalKey, now time.Time) (Detail, error) {
	key, found, err := t.FindDigitalKey(ctx, w, k)
	if err != nil {
		return Detail{}, err
	}
	if !found {
		return Detail{}, Unknown()
	}
	receipts, err := t.ListReceipts(ctx, w, k, now)
	return Detail{Key: key, Receipts: receipts}, err
}

// withCard opens the number of the key's card.
func (s *Service) withCard(ctx context.Context, d Detail) (Detail, error) {
	if len(d.Key.CardSealed) == 0 {
		return d, nil
	}
	sealing, err := s.sealing.SealingOf(ctx, d.Key.Workspace)
	if err != nil {
		return Detail{}, err
	}
	number, err := sealing.Open(d.Key.CardSealed, CardIdentity(d.Key.Workspace, d.Key.User, d.Key.ID))
	if err != nil {
		return Detail{}, err
	}
	d.CardNumber = number.ExposeString()
	return d, nil
}

// Find returns a key with its card's number and its receipts; never its PIN. The caller
// needs digital_keys.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, k id.DigitalKey) (Detail, error) {
	var out Detail
	err := s.gate.Read(ctx, by, attemptOn("digital_key.find", auth.DigitalKeysRead, k), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (err error) {
		out, err = detailOf(ctx, t, by.Workspace, k, now)
		return err
	})
	if err != nil {
		return Detail{}, err
	}
	return s.withCard(ctx, out)
}

// Receipts returns how far a key's last changes have come, by the locks' names. The caller
// needs digital_keys.read.
func (s *Service) Receipts(ctx context.Context, by auth.Caller, k id.DigitalKey) ([]Receipt, error) {
	var out Detail
	err := s.gate.Read(ctx, by, attemptOn("digital_key.receipts", auth.DigitalKeysRead, k), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (err error) {
		out, err = detailOf(ctx, t, by.Workspace, k, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.Receipts, nil
}

// List returns one page of the workspace's keys. For Query.Words see package search. The caller needs
// digital_keys.read.
func (s *Service) List(ctx context.Context, by auth.Caller, q Query) (page.Page[DigitalKey], error) {
	q.Page = q.Page.Bounded()
	var out page.Page[DigitalKey]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "digital_key.list", Need: auth.DigitalKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (err error) {
		q.Now = now
		out, err = t.ListDigitalKeys(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// ListOf is List for the keys of one user, who is there: an unknown user is not found.
func (s *Service) ListOf(ctx context.Context, by auth.Caller, u id.User, q Query) (page.Page[DigitalKey], error) {
	q.Page, q.User = q.Page.Bounded(), u
	var out page.Page[DigitalKey]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "digital_key.list", Need: auth.DigitalKeysRead, Target: activity.Party{Type: "user", ID: string(u)}}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		_, found, err := t.FindDigitalKeyUser(ctx, by.Workspace, u)
		if err != nil {
			return err
		}
		if !found {
			return fault.NotFound("user_not_found", "This user does not exist.")
		}
		q.Now = now
		out, err = t.ListDigitalKeys(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// Counts returns how many keys the workspace has. The caller needs digital_keys.read.
func (s *Service) Counts(ctx context.Context, by auth.Caller) (Counts, error) {
	var out Counts
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "digital_key.count", Need: auth.DigitalKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (err error) {
		out, err = t.CountDigitalKeys(ctx, by.Workspace, now)
		return err
	})
	return out, err
}
