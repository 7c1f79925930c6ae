package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// seconds is the inverse of Unix seconds as a column holds them, 0 for none.
func seconds(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}

// FindKeyLock satisfies digitalkey.DoorTx.
func (t *Tx) FindKeyLock(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (digitalkey.Lock, bool, error) {
	return find(ctx, t, func(row scanner) (k digitalkey.Lock, err error) {
		var capabilities string
		var lease, era, online int64
		err = row.Scan(&k.ID, &k.Name, &k.Place, &k.Timezone, &capabilities, &k.SecretSealed, &k.LeaseSeconds, &lease, &era, &online, &k.Version)
		k.Capabilities, k.LeaseUntil, k.Enrolled, k.Online = typesOf(capabilities), seconds(lease), era > 0, online > millis(now)
		return k, err
	}, `
		SELECT id, name, place, timezone, capabilities, secret_sealed, lease_seconds, lease_until, era, online_until, version
		FROM smartlock WHERE workspace = $1 AND id = $2`, w, l)
}

// LockKeyLock satisfies digitalkey.DoorTx.
func (t *Tx) LockKeyLock(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (digitalkey.Lock, bool, error) {
	there, err := t.one(ctx, `UPDATE smartlock SET revision = revision WHERE workspace = $1 AND id = $2`, w, l)
	if err != nil || !there {
		return digitalkey.Lock{}, false, err
	}
	return t.FindKeyLock(ctx, w, l, now)
}

// raised is a lock whose version was raised.
type raised struct {
	version, era int64
	lease        int64 // its end, in milliseconds
}

// raiseVersion raises what the lock's controller should know.
func (t *Tx) raiseVersion(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (raised, bool, error) {
	return find(ctx, t, func(row scanner) (r raised, err error) {
		var lease int64
		err = row.Scan(&r.version, &r.era, &lease)
		r.lease = millis(seconds(lease))
		return r, err
	}, `UPDATE smartlock SET version = version + 1, pulse = CASE WHEN pulse < CAST($3 AS BIGINT) THEN CAST($3 AS BIGINT) ELSE pulse + 1 END WHERE workspace = $1 AND id = $2 RETURNING version, era, lease_until`, w, l, millis(now))
}

// PutGrant satisfies digitalkey.DoorTx. A lease does not grow before the controller has
// confirmed all changes: what it may hold is bounded by the lease of now.
func (t *Tx) PutGrant(ctx context.Context, w id.Workspace, l id.Lock, k id.DigitalKey, g grant.Grant, now time.Time) error {
	r, _, err := t.raiseVersion(ctx, w, l, now)
	if err != nil {
		return err
	}
	safe, _, err := find(ctx, t, func(row scanner) (safe int64, err error) {
		var notAfter, applied int64
		var survives, removed bool
		err = row.Scan(&notAfter, &survives, &removed, &applied, &safe)
		if applied != 0 {
			safe = 0
		}
		switch {
		case removed || r.era == 0:
		case survives:
			safe = max(safe, notAfter)
		default:
			safe = max(safe, min(notAfter, r.lease))
		}
		return safe, err
	}, `SELECT not_after, survives, removed, applied_at, safe_at FROM smartlock_grant WHERE workspace = $1 AND lock_id = $2 AND grant_id = $3`, w, l, k)
	if err != nil {
		return err
	}
	// A lock that is gone has no row to refer to: the statement fails.
	return t.must(ctx, `
		INSERT INTO smartlock_grant (lock_id, grant_id, workspace, body, version, removed, survives, not_after, changed_at, applied_at, safe_at)
		VALUES ($1, $2, $3, $4, $5, FALSE, $6, $7, $8, 0, $9)
		ON CONFLICT (lock_id, grant_id) DO UPDATE SET body = excluded.body, version = excluded.version, removed = FALSE, survives = excluded.survives,
			not_after = excluded.not_after, changed_at = excluded.changed_at, applied_at = 0, safe_at = excluded.safe_at`,
		l, k, w, g.Body(), r.version, g.Flags&grant.SurvivesLease != 0, millis(time.Unix(g.NotAfter, 0)), millis(now), safe)
}

// RemoveGrant satisfies digitalkey.DoorTx.
func (t *Tx) RemoveGrant(ctx context.Context, w id.Workspace, l id.Lock, k id.DigitalKey, now, safeAt time.Time) error {
	there, err := t.exists(ctx, `SELECT 1 FROM smartlock_grant WHERE workspace = $1 AND lock_id = $2 AND grant_id = $3 AND removed = FALSE`, w, l, k)
	if err != nil || !there {
		return err
	}
	r, _, err := t.raiseVersion(ctx, w, l, now)
	if err != nil {
		return err
	}
	applied := int64(0)
	if r.era == 0 {
		applied = millis(now)
	}
	return t.must(ctx, `
		UPDATE smartlock_grant SET version = $4, removed = TRUE, changed_at = $5, applied_at = $6, safe_at = $7
		WHERE workspace = $1 AND lock_id = $2 AND grant_id = $3`, w, l, k, r.version, millis(now), applied, millis(safeAt))
}

// ListReceipts satisfies digitalkey.DoorTx.
func (t *Tx) ListReceipts(ctx context.Context, w id.Workspace, k id.DigitalKey, now time.Time) ([]digitalkey.Receipt, error) {
	return collect(ctx, t, func(row scanner) (r digitalkey.Receipt, err error) {
		var changed, applied, safe, online int64
		err = row.Scan(&r.Lock, &r.LockName, &r.Version, &r.Removed, &changed, &applied, &safe, &online)
		r.ChangedAt, r.AppliedAt, r.AtLatest, r.Online = moment(changed), moment(applied), moment(safe), online > millis(now)
		return r, err
	}, `
		SELECT g.lock_id, l.name, g.version, g.removed, g.changed_at, g.applied_at, g.safe_at, l.online_until
		FROM smartlock_grant g JOIN smartlock l ON l.workspace = g.workspace AND l.id = g.lock_id
		WHERE g.workspace = $1 AND g.grant_id = $2 ORDER BY l.name_fold, l.id LIMIT 1000`, w, k)
}
