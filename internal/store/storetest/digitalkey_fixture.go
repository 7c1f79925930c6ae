package storetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// SealingOf satisfies digitalkey.SealingReader, with one key for all workspaces.
func (f FixedSecrets) SealingOf(context.Context, id.Workspace) (seal.Key, error) {
	return f.Sealing, nil
}

// DoorOf writes a lock of Berlin past the room that makes them, open to all types. One that
// is enrolled has a lease of a day from Start and is online for an hour.
func DoorOf(t testing.TB, d Database, w id.Workspace, name string, s FixedSecrets, enrolled bool) id.Lock {
	t.Helper()
	l, query, args := DoorRow(t, w, name, s, enrolled)
	Exec(t, d, query, args...)
	return l
}

// DoorRow returns the statement that writes the lock of DoorOf.
func DoorRow(t testing.TB, w id.Workspace, name string, s FixedSecrets, enrolled bool) (l id.Lock, query string, args []any) {
	t.Helper()
	l = id.New[id.KindLock](Start())
	key := make([]byte, grant.SecretSize)
	_, _ = rand.Read(key) // crypto/rand.Read never returns an error
	sealed, err := s.Sealing.Seal(secret.New(key), grant.SecretIdentity(string(w), string(l)))
	if err != nil {
		t.Fatal(err)
	}
	era, at, lease, online := 0, int64(0), int64(0), int64(0)
	if enrolled {
		era, at, lease, online = 1, Start().UnixMilli(), Start().Add(24*time.Hour).Unix(), Start().Add(time.Hour).UnixMilli()
	}
	return l, `
		INSERT INTO smartlock (id, workspace, name, name_fold, place, timezone, capabilities, open_seconds, lease_seconds, secret_sealed, epoch, version,
			applied_epoch, applied_version, lease_until, lease_warned, enrol_digest, enrol_expires_at, enrolled_at, era, cert_serial, cert_next, cert_expires_at,
			public_key, link, online_until, last_seen_at, software, clock, bolt, door, battery, event_through, event_hash, created_at, revision, pulse)
		VALUES ($1, $2, $3, $4, 'Cellar', 'Europe/Berlin', 'pin app keycard', 5, 86400, $5, 1, 0, 1, 0, $6, 0, $7, 0, $8, $9, '', '', 0, $10, '', $11, 0, '', '', '', '', -1, 0, $12, $13, 1, 1)`,
		[]any{string(l), string(w), name, directory.Fold(name), sealed, lease, []byte{}, at, era, []byte{}, online, []byte{}, Start().UnixMilli()}
}

// Payload reads what a message of the outbox says.
func Payload(t testing.TB, m outbox.Message, into any) {
	t.Helper()
	if err := json.Unmarshal(m.Payload, into); err != nil {
		t.Fatalf("reading a %s message: %v", m.Kind, err)
	}
}
