package storetest

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// LockAuthorities is a smartlock.AuthorityReader with authorities made from the
// workspaces' ids.
type LockAuthorities struct{}

// AuthorityOf satisfies smartlock.AuthorityReader.
func (LockAuthorities) AuthorityOf(_ context.Context, w id.Workspace) (smartlock.Authority, error) {
	var seeds [4][]byte
	for i := range seeds {
		sum := sha256.Sum256([]byte{byte(i)})
		mixed := sha256.Sum256(append(sum[:], w...))
		seeds[i] = mixed[:]
	}
	return smartlock.NewAuthority(w, seeds)
}

// LockSealing is a smartlock.SealingReader with the sealing key of FixedSecrets.
type LockSealing struct{ FixedSecrets }

// SealingOf satisfies smartlock.SealingReader.
func (s LockSealing) SealingOf(context.Context, id.Workspace) (seal.Key, error) {
	return s.Sealing, nil
}

// LockKey writes a digital key of a user on a lock past the room that makes them.
func LockKey(t testing.TB, d Database, u directory.User, l id.Lock, from, to time.Time) id.DigitalKey {
	t.Helper()
	k := id.New[id.KindDigitalKey](Start())
	Exec(t, d, `
		INSERT INTO digitalkey (id, workspace, user_id, description, starts_at, expires_at, timezone, weekly, role, types, survives, notify_email, notify_pin,
			pin_sealed, pin_length, card_sealed, card_type, expanded_until, created_at, created_by, cancelled_at, cancelled_by, cancel_reason, revision)
		VALUES ($1, $2, $3, 'Key', $4, $5, 'UTC', '', 'ROLE-USER', 'app', FALSE, FALSE, FALSE, $6, 0, $7, '', 0, $8, '', 0, '', '', 1)`,
		string(k), string(u.Workspace), string(u.ID), from.UnixMilli(), to.UnixMilli(), []byte{}, []byte{}, Start().UnixMilli())
	Exec(t, d, `INSERT INTO digitalkey_lock (key_id, lock_id, workspace) VALUES ($1, $2, $3)`, string(k), string(l), string(u.Workspace))
	return k
}

// PutLockGrant writes what a lock's controller should hold of a digital key, and raises
// the lock's version, past the room that does it.
func PutLockGrant(t testing.TB, d Database, w id.Workspace, l id.Lock, k id.DigitalKey, from, to time.Time) grant.Grant {
	t.Helper()
	g := grant.Grant{ID: grant.ID(k.Bytes()), NotBefore: from.Unix(), NotAfter: to.Unix(), Kinds: grant.ByApp}
	raiseLock(t, d, w, l)
	Exec(t, d, `
		INSERT INTO smartlock_grant (lock_id, grant_id, workspace, body, version, removed, survives, not_after, changed_at, applied_at, safe_at)
		SELECT id, $2, workspace, $3, version, FALSE, FALSE, $4, $5, 0, 0 FROM smartlock WHERE id = $1`,
		string(l), string(k), g.Body(), to.UnixMilli(), Start().UnixMilli())
	return g
}

// RemoveLockGrant marks it as to be removed, which is safe at a moment.
func RemoveLockGrant(t testing.TB, d Database, w id.Workspace, l id.Lock, k id.DigitalKey, now, safe time.Time) {
	t.Helper()
	raiseLock(t, d, w, l)
	Exec(t, d, `
		UPDATE smartlock_grant SET removed = TRUE, applied_at = 0, changed_at = $3, safe_at = $4, version = (SELECT version FROM smartlock WHERE id = $1)
		WHERE lock_id = $1 AND grant_id = $2`, string(l), string(k), now.UnixMilli(), safe.UnixMilli())
}

func raiseLock(t testing.TB, d Database, w id.Workspace, l id.Lock) {
	t.Helper()
	Exec(t, d, `UPDATE smartlock SET version = version + 1 WHERE workspace = $1 AND id = $2`, string(w), string(l))
}
