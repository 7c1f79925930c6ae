package apikey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// ExpiryTx is the storage of the warnings before a key ends.
type ExpiryTx interface {
	// ListDueAPIKeys lists, over all workspaces, keys whose warning is due: the
	// longest due first, at most limit.
	ListDueAPIKeys(ctx context.Context, now time.Time, limit int) ([]Key, error)
	// PostponeWarning sets when the key's next warning is due. It returns false if
	// it was not due at from any more: somebody else has it.
	PostponeWarning(ctx context.Context, w id.Workspace, k id.APIKey, from, next time.Time) (bool, error)
}

// warnings are how many days before its end a key's watchers are warned.
func warnings() []int { return []int{30, 7, 1} }

// NextWarning returns when the next warning is due of a key that ends then, Never
// if none is left.
func NextWarning(ends, now time.Time) time.Time {
	for _, days := range warnings() {
		if at := ends.AddDate(0, 0, -days); ends.Before(Never()) && at.After(now) {
			return at
		}
	}
	return Never()
}

// warnBatch is how many warnings one call writes.
const warnBatch = 200

// WarnExpiring warns of the keys that end soon, each once at each of the warnings'
// moments: it tells the key's creator and who may write API keys by e-mail, and the
// record. If a moment was missed (the server was down), the next warning stands for
// it. It returns how many keys it looked at. Only the system's own jobs may call it.
func (s *Service) WarnExpiring(ctx context.Context, by auth.Caller) (int, error) {
	if by.Kind != auth.System {
		return 0, systemOnly()
	}
	var due []Key
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		due, err = t.ListDueAPIKeys(ctx, s.gate.Clock.Now(), warnBatch)
		return err
	})
	if err != nil {
		return 0, err
	}
	for i, k := range due {
		err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
			return nil, warn(ctx, t, by, k, s.gate.Clock.Now())
		})
		if err != nil {
			return i, err
		}
	}
	return len(due), nil
}

func warn(ctx context.Context, t Tx, by auth.Caller, k Key, now time.Time) error {
	mine, err := t.PostponeWarning(ctx, k.Workspace, k.ID, k.WarnAt, NextWarning(k.EndsAt, now))
	if err != nil || !mine {
		return err
	}
	// The row is held now: what was changed since it was listed counts.
	if k, mine, err = t.FindAPIKey(ctx, k.Workspace, k.ID); err != nil || !mine || k.Status(now) != Active {
		return err
	}
	watchers, workspace, err := t.ListKeyWatchers(ctx, k.Workspace, k.Root)
	if err != nil {
		return err
	}
	for _, to := range watchers {
		mail := outbox.APIKeyExpiring{To: to, Workspace: workspace, APIKey: k.Name, KeyID: string(k.ID), TokenID: k.TokenID, Type: string(k.Type), EndsAt: k.EndsAt.UnixMilli(), At: now.UnixMilli()}
		if err := outbox.PutUntil(ctx, t, k.Workspace, mail, now, earlier(now.Add(outbox.Lifetime), k.EndsAt)); err != nil {
			return err
		}
	}
	c := by
	c.Workspace = k.Workspace
	return activity.Append(ctx, t, c, activity.Event{Action: "api_key.expiring", Detail: k.EndsAt.Format(time.RFC3339), Target: k.party()}, now)
}
