package securitykey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Find returns a key and, of a card, its number. The caller needs security_keys.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, k id.SecurityKey) (Detail, error) {
	var out Detail
	attempt := activity.Attempt{Action: "security_key.find", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "security_key", ID: string(k)}, SecurityKey: k}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		key, found, err := t.FindSecurityKey(ctx, by.Workspace, k)
		if err == nil && !found {
			return Unknown()
		}
		out = Detail{Key: key}
		return err
	})
	if err != nil || len(out.Key.Card.Sealed) == 0 {
		return out, err
	}
	secrets, err := s.secrets.SecretsOf(ctx, by.Workspace)
	if err != nil {
		return Detail{}, err
	}
	number, err := secrets.Sealing.Open(out.Key.Card.Sealed, CardIdentity(by.Workspace, out.Key.User, k))
	out.CardNumber = number.ExposeString()
	return out, err
}

// List returns one page of the workspace's keys. text is what a person typed into a
// search box; it may be the whole number of a card. The caller needs security_keys.read.
func (s *Service) List(ctx context.Context, by auth.Caller, text string, q Query) (page.Page[SecurityKey], error) {
	q.Page, q.Words = q.Page.Bounded(), search.Words(text)
	digest, err := s.digestOf(ctx, by.Workspace, text)
	if err != nil {
		return page.Page[SecurityKey]{}, err
	}
	var out page.Page[SecurityKey]
	err = s.gate.Read(ctx, by, activity.Attempt{Action: "security_key.list", Need: auth.SecurityKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		if digest != "" {
			_, found, err := t.FindSecurityKeyByCard(ctx, by.Workspace, digest)
			if err != nil {
				return err
			}
			if found {
				q.CardDigest, q.Words = digest, nil
			}
		}
		var err error
		out, err = t.ListSecurityKeys(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// digestOf returns the hash of a text that is a card's number, else "".
func (s *Service) digestOf(ctx context.Context, w id.Workspace, text string) (string, error) {
	number, ok := card.Parse(text)
	if !ok || w == "" {
		return "", nil
	}
	secrets, err := s.secrets.SecretsOf(ctx, w)
	if err != nil {
		return "", err
	}
	return CardDigest(secrets.CardKey, number), nil
}

// Counts returns how many keys the workspace has. The caller needs security_keys.read.
func (s *Service) Counts(ctx context.Context, by auth.Caller) (Counts, error) {
	var out Counts
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "security_key.count", Need: auth.SecurityKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = t.CountSecurityKeys(ctx, by.Workspace)
		return err
	})
	return out, err
}

// KeysOf returns all keys of a user, oldest first. The caller needs
// security_keys.read.
func (s *Service) KeysOf(ctx context.Context, by auth.Caller, u id.User) ([]SecurityKey, error) {
	var out []SecurityKey
	attempt := activity.Attempt{Action: "security_key.list", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		_, found, err := t.FindKeyOwner(ctx, by.Workspace, u)
		if err != nil {
			return err
		}
		if !found {
			return unknownUser()
		}
		out, err = t.ListUserSecurityKeys(ctx, by.Workspace, u)
		return err
	})
	return out, err
}

// History returns the record of all keys that a user ever had, newest first; it is
// there also when the user is gone, if they had any. The caller needs
// security_keys.read.
func (s *Service) History(ctx context.Context, by auth.Caller, u id.User) ([]Binding, error) {
	var out []Binding
	attempt := activity.Attempt{Action: "security_key.history", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		if out, err = t.ListBindings(ctx, by.Workspace, u); err != nil || len(out) > 0 {
			return err
		}
		_, found, err := t.FindKeyOwner(ctx, by.Workspace, u)
		if err == nil && !found {
			return unknownUser()
		}
		return err
	})
	return out, err
}
