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
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// secretTx is the storage of the workspaces' secrets.
type secretTx interface {
	FindWorkspaceSecret(ctx context.Context, w id.Workspace, kind string) ([]byte, bool, error)
	InsertWorkspaceSecret(ctx context.Context, w id.Workspace, kind string, sealed []byte) error
}

// secrets opens the workspaces' secrets, and makes those that a workspace has not yet.
// They never change, so the unsealed forms are kept.
type secrets struct {
	store     tx.Runner[secretTx]
	directory *directory.Service
	keeper    seal.Keeper

	mu          sync.Mutex
	workspaces  map[id.Workspace]unsealed            // guarded by mu
	known       map[secretName]secret.Bytes          // guarded by mu
	authorities map[id.Workspace]smartlock.Authority // guarded by mu
}

// unsealed is what every workspace has from its beginning.
type unsealed struct {
	sealing seal.Key
	cursors secret.Bytes
}

// secretName names a secret that is made when it is first asked for.
type secretName struct {
	workspace id.Workspace
	kind      string
}

func newSecrets(store tx.Runner[secretTx], d *directory.Service, keeper seal.Keeper) *secrets {
	return &secrets{
		store: store, directory: d, keeper: keeper,
		workspaces: map[id.Workspace]unsealed{}, known: map[secretName]secret.Bytes{}, authorities: map[id.Workspace]smartlock.Authority{},
	}
}

// of opens what the workspace has from its beginning.
func (s *secrets) of(ctx context.Context, w id.Workspace) (unsealed, error) {
	s.mu.Lock()
	out, ok := s.workspaces[w]
	s.mu.Unlock()
	if ok {
		return out, nil
	}
	me, err := s.directory.Me(ctx, auth.Job(w, "secrets"))
	if err != nil {
		return out, err
	}
	if out.sealing, err = seal.OpenKey(ctx, s.keeper, string(w), me.Workspace.SealingKey); err != nil {
		return out, err
	}
	if out.cursors, err = out.sealing.Open(me.Workspace.CursorSecret, join.CursorIdentity(w)); err != nil {
		return out, fmt.Errorf("the key file does not fit this database: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workspaces[w] = out
	return out, nil
}

// CursorsOf returns the secret with which a workspace's cursors are signed.
func (s *secrets) CursorsOf(ctx context.Context, w id.Workspace) (secret.Bytes, error) {
	out, err := s.of(ctx, w)
	return out.cursors, err
}

// SealingOf satisfies smartlock.SealingReader and digitalkey.SealingReader.
func (s *secrets) SealingOf(ctx context.Context, w id.Workspace) (seal.Key, error) {
	out, err := s.of(ctx, w)
	return out.sealing, err
}

// SecretsOf satisfies securitykey.SecretsReader.
func (s *secrets) SecretsOf(ctx context.Context, w id.Workspace) (out securitykey.Secrets, err error) {
	if out.Sealing, err = s.SealingOf(ctx, w); err != nil {
		return securitykey.Secrets{}, err
	}
	if out.CardKey, err = s.secretOf(ctx, w, "card_key"); err != nil {
		return securitykey.Secrets{}, err
	}
	if out.PINKey, err = s.secretOf(ctx, w, "pin_key"); err != nil {
		return securitykey.Secrets{}, err
	}
	return out, nil
}

// authoritySeeds are the kinds of secrets of which a workspace's authority is made, in the
// order of smartlock.NewAuthority.
//
// constant: a list.
var authoritySeeds = [4]string{"lock_root", "lock_ca", "lock_signing", "lock_signing_next"}

// AuthorityOf satisfies smartlock.AuthorityReader.
func (s *secrets) AuthorityOf(ctx context.Context, w id.Workspace) (smartlock.Authority, error) {
	s.mu.Lock()
	known, ok := s.authorities[w]
	s.mu.Unlock()
	if ok {
		return known, nil
	}
	var seeds [4][]byte
	for i, kind := range authoritySeeds {
		seed, err := s.secretOf(ctx, w, kind)
		if err != nil {
			return smartlock.Authority{}, err
		}
		seeds[i] = seed.Expose()
	}
	out, err := smartlock.NewAuthority(w, seeds)
	if err != nil {
		return smartlock.Authority{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorities[w] = out
	return out, nil
}

// secretOf returns one secret of a workspace, 32 bytes. If two servers make it at once, both
// use the one that was written first.
func (s *secrets) secretOf(ctx context.Context, w id.Workspace, kind string) (secret.Bytes, error) {
	name := secretName{w, kind}
	s.mu.Lock()
	known, ok := s.known[name]
	s.mu.Unlock()
	if ok {
		return known, nil
	}
	key, err := s.SealingOf(ctx, w)
	if err != nil {
		return secret.Bytes{}, err
	}
	of := seal.Identity{Workspace: string(w), Owner: string(w), Kind: kind, ID: string(w)}
	var sealed []byte
	var found bool
	look := func(ctx context.Context, t secretTx) (err error) {
		sealed, found, err = t.FindWorkspaceSecret(ctx, w, kind)
		return err
	}
	if err := s.store.Read(ctx, look); err != nil {
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
	open, err := key.Open(sealed, of)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the key file does not fit this database: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[name] = open
	return open, nil
}
