package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

// openKeeper keeps nothing: it returns what it is given.
type openKeeper struct{}

func (openKeeper) Wrap(_ context.Context, plain secret.Bytes, _ []byte) ([]byte, error) {
	return plain.Expose(), nil
}

func (openKeeper) Unwrap(_ context.Context, wrapped, _ []byte) (secret.Bytes, error) {
	return secret.New(wrapped), nil
}

// FixedSecrets is a securitykey.SecretsReader with the same secrets for all workspaces.
type FixedSecrets struct{ securitykey.Secrets }

// SecretsOf satisfies securitykey.SecretsReader.
func (f FixedSecrets) SecretsOf(context.Context, id.Workspace) (securitykey.Secrets, error) {
	return f.Secrets, nil
}

// KeySecrets returns secrets to test with.
func KeySecrets(t testing.TB) FixedSecrets {
	t.Helper()
	key, _, err := seal.NewKey(t.Context(), openKeeper{}, "ws_test")
	if err != nil {
		t.Fatal(err)
	}
	return FixedSecrets{securitykey.Secrets{CardKey: secret.FromString("card key"), PINKey: secret.FromString("pin key"), Sealing: key}}
}

// AppSession signs a user in to the app and returns them as a caller.
func AppSession(t testing.TB, s *store.Store, u directory.User, opened signin.OpenedBy, now time.Time) auth.Caller {
	t.Helper()
	session := signin.Session{
		ID: id.New[id.KindSession](now), Workspace: u.Workspace, User: u.ID, OpenedBy: opened, Scope: signin.ScopeApp, IP: "198.51.100.7", Agent: "phone/1",
		CreatedAt: now, ExpiresAt: now.Add(signin.SessionLifetime), LastSeenAt: now,
	}
	session.Digest = []byte(session.ID)
	Write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSession(ctx, session) })
	return auth.Caller{
		Kind: auth.User, Workspace: u.Workspace, User: u.ID, Session: session.ID, Name: u.Name(), IP: session.IP, Agent: session.Agent, RequestID: "req_app",
	}
}
