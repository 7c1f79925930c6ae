package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// secretTx is the storage of the workspaces' secrets.
type secretTx interface {
	FindWorkspaceSecret(ctx context.Context, w id.Workspace, kind string) ([]byte, bool, error)
	InsertWorkspaceSecret(ctx context.Context, w id.Workspace, kind string, sealed []byte) error
}

// secrets reads the workspaces' secrets, and makes those that a workspace has not yet.
// They never change, so the unsealed forms are kept.
type secrets struct {
	store     tx.Runner[secretTx]
	directory *directory.Service
	keeper    seal.Keeper

	mu    sync.Mutex
	known map[id.Workspace]securitykey.Secrets // guarded by mu
}

// SecretsOf satisfies securitykey.SecretsReader.
func (s *secrets) SecretsOf(ctx context.Context, w id.Workspace) (securitykey.Secrets, error) {
	s.mu.Lock()
	known, ok := s.known[w]
	s.mu.Unlock()
	if ok {
		return known, nil
	}
	me, err := s.directory.Me(ctx, auth.Job(w, "secrets"))
	if err != nil {
		return securitykey.Secrets{}, err
	}
	var out securitykey.Secrets
	if out.Sealing, err = seal.OpenKey(ctx, s.keeper, string(w), me.Workspace.SealingKey); err != nil {
		return securitykey.Secrets{}, err
	}
	if out.CardKey, err = s.secretOf(ctx, w, "card_key", out.Sealing); err != nil {
		return securitykey.Secrets{}, err
	}
	if out.PINKey, err = s.secretOf(ctx, w, "pin_key", out.Sealing); err != nil {
		return securitykey.Secrets{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[w] = out
	return out, nil
}

// secretOf returns one secret of a workspace. If two servers make it at once, both use
// the one that was written first.
func (s *secrets) secretOf(ctx context.Context, w id.Workspace, kind string, key seal.Key) (secret.Bytes, error) {
	of := seal.Identity{Workspace: string(w), Owner: string(w), Kind: kind, ID: string(w)}
	var sealed []byte
	var found bool
	look := func(ctx context.Context, t secretTx) (err error) {
		sealed, found, err = t.FindWorkspaceSecret(ctx, w, kind)
		return err
	}
	err := s.store.Read(ctx, look)
	if err != nil {
		return secret.Bytes{}, err
	}
	if !found {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh) // crypto/rand.Read never returns an error
		mine, err := key.Seal(secret.New(fresh), of)
		if err != nil {
			return secret.Bytes{}, err
		}
		err = s.store.Write(ctx, func(ctx context.Context, t secretTx) (*fault.Error, error) {
			if err := t.InsertWorkspaceSecret(ctx, w, kind, mine); err != nil {
				return nil, err
			}
			return nil, look(ctx, t)
		})
		if err != nil {
			return secret.Bytes{}, err
		}
	}
	opened, err := key.Open(sealed, of)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the key file does not fit this database: %w", err)
	}
	return opened, nil
}
