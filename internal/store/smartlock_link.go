package store

import (
	"context"
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// UpdateLockLink satisfies smartlock.LinkTx.
func (t *Tx) UpdateLockLink(ctx context.Context, l smartlock.Lock, now time.Time) error {
	c, s, d := l.Controller, l.Sync, l.State
	return t.must(ctx, `
		UPDATE smartlock SET epoch = $3, version = $4, applied_epoch = $5, applied_version = $6, lease_until = $7, lease_warned = $8,
			enrol_digest = $9, enrol_expires_at = $10, enrolled_at = $11, era = $12, cert_serial = $13, cert_next = $14, cert_expires_at = $15, public_key = $16,
			link = $17, online_until = $18, last_seen_at = $19, software = $20, clock = $21, bolt = $22, door = $23, battery = $24,
			event_through = $25, event_hash = $26,
			pulse = CASE WHEN CAST($27 AS BIGINT) = 0 THEN pulse WHEN pulse < CAST($27 AS BIGINT) THEN CAST($27 AS BIGINT) ELSE pulse + 1 END
		WHERE workspace = $1 AND id = $2`,
		l.Workspace, l.ID, s.Epoch, s.Version, s.AppliedEpoch, s.AppliedVersion, unixSeconds(s.LeaseUntil), c.LeaseWarnedHours,
		bytes(c.TokenDigest), millis(c.TokenExpiresAt), millis(c.EnrolledAt), c.Era, c.Serial, c.NextSerial, millis(c.CertificateEnds), bytes(c.PublicKey),
		d.Link, millis(d.OnlineUntil), millis(d.LastSeenAt), c.Software, string(c.Clock), d.Bolt, d.Door, d.Battery,
		c.EventThrough, bytes(c.EventHash), millis(now))
}

// BumpLock satisfies smartlock.LinkTx.
func (t *Tx) BumpLock(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error) {
	version, found, err := find(ctx, t, value[int64], `
		UPDATE smartlock SET version = version + 1, pulse = CASE WHEN pulse < CAST($3 AS BIGINT) THEN CAST($3 AS BIGINT) ELSE pulse + 1 END
		WHERE workspace = $1 AND id = $2 RETURNING version`, w, l, millis(now))
	if err == nil && !found {
		err = fmt.Errorf("raising the version of lock %s, which is not there", l)
	}
	return version, err
}

// CountLockGrants satisfies digitalkey.DoorTx.
func (t *Tx) CountLockGrants(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM smartlock_grant WHERE workspace = $1 AND lock_id = $2 AND removed = FALSE AND not_after > $3`, w, l, millis(now))
}

// grantRow is a grant as it is kept.
type grantRow struct {
	id      grant.ID
	removed bool
	grant   grant.Grant // zero if it is removed
}

func scanGrant(row scanner) (g grantRow, err error) {
	var key id.DigitalKey
	var body []byte
	if err := row.Scan(&key, &g.removed, &body); err != nil {
		return g, err
	}
	raw := key.Bytes()
	if len(raw) != len(g.id) {
		return g, fmt.Errorf("a grant is named %q", key)
	}
	if g.id = grant.ID(raw); g.removed {
		return g, nil
	}
	return g, grant.Read(body, &g.grant)
}

// ListGrants satisfies smartlock.LinkTx.
func (t *Tx) ListGrants(ctx context.Context, w id.Workspace, l id.Lock, ended time.Time) ([]grant.Grant, error) {
	rows, err := collect(ctx, t, scanGrant, `
		SELECT grant_id, removed, body FROM smartlock_grant
		WHERE workspace = $1 AND lock_id = $2 AND removed = FALSE AND not_after > $3 ORDER BY grant_id LIMIT $4`, w, l, millis(ended), grant.MaxGrants)
	if err != nil {
		return nil, fmt.Errorf("listing the grants of lock %s: %w", l, err)
	}
	out := make([]grant.Grant, len(rows))
	for i, r := range rows {
		out[i] = r.grant
	}
	return out, nil
}

// ListGrantChanges satisfies smartlock.LinkTx.
func (t *Tx) ListGrantChanges(ctx context.Context, w id.Workspace, l id.Lock, after int64) (put []grant.Grant, removed []grant.ID, err error) {
	rows, err := collect(ctx, t, scanGrant, `
		SELECT grant_id, removed, body FROM smartlock_grant
		WHERE workspace = $1 AND lock_id = $2 AND version > $3 ORDER BY version, grant_id LIMIT $4`, w, l, after, grant.MaxGrants+1)
	if err != nil {
		return nil, nil, fmt.Errorf("listing changed grants of lock %s: %w", l, err)
	}
	for _, r := range rows {
		if r.removed {
			removed = append(removed, r.id)
		} else {
			put = append(put, r.grant)
		}
	}
	return put, removed, nil
}

// ConfirmGrants satisfies smartlock.LinkTx.
func (t *Tx) ConfirmGrants(ctx context.Context, w id.Workspace, l id.Lock, version int64, now, free time.Time) (int64, error) {
	if _, err := t.exec(ctx, `
		UPDATE digitalkey_tag SET until_at = $4
		WHERE workspace = $1 AND lock_id = $2 AND until_at > $4 AND key_id IN (
			SELECT grant_id FROM smartlock_grant WHERE workspace = $1 AND lock_id = $2 AND removed = TRUE AND applied_at = 0 AND version <= $3)`,
		w, l, version, millis(free)); err != nil {
		return 0, err
	}
	return t.exec(ctx, `
		UPDATE smartlock_grant SET applied_at = $4 WHERE workspace = $1 AND lock_id = $2 AND applied_at = 0 AND version <= $3`, w, l, version, millis(now))
}

// UnconfirmGrants satisfies smartlock.LinkTx.
func (t *Tx) UnconfirmGrants(ctx context.Context, w id.Workspace, l id.Lock) error {
	_, err := t.exec(ctx, `UPDATE smartlock_grant SET applied_at = 0 WHERE workspace = $1 AND lock_id = $2 AND removed = FALSE AND applied_at <> 0`, w, l)
	return err
}

// ListUnsafe satisfies smartlock.LinkTx.
func (t *Tx) ListUnsafe(ctx context.Context, w id.Workspace, now time.Time, limit int) ([]smartlock.Unsafe, error) {
	return collect(ctx, t, func(row scanner) (u smartlock.Unsafe, err error) {
		var changed, safe, online int64
		err = row.Scan(&u.Lock, &u.LockName, &u.DigitalKey, &changed, &safe, &online)
		u.ChangedAt, u.SafeAt, u.Online = moment(changed), moment(safe), online > millis(now)
		return u, err
	}, `
		SELECT g.lock_id, l.name, g.grant_id, g.changed_at, g.safe_at, l.online_until
		FROM smartlock_grant g JOIN smartlock l ON l.workspace = g.workspace AND l.id = g.lock_id
		WHERE g.workspace = $1 AND g.removed = TRUE AND g.applied_at = 0 AND g.safe_at > $2
		ORDER BY g.safe_at DESC, g.grant_id DESC, g.lock_id DESC LIMIT $3`, w, millis(now), limit)
}

// ListLeaseEnding satisfies smartlock.LinkTx.
func (t *Tx) ListLeaseEnding(ctx context.Context, now, before time.Time, after id.Lock, limit int) ([]smartlock.Lock, error) {
	return collect(ctx, t, scanLock, `
		SELECT `+lockColumns+` FROM smartlock l
		WHERE l.era > 0 AND l.lease_until > $1 AND l.lease_until <= $2 AND l.online_until <= $3 AND l.id > $4 ORDER BY l.id LIMIT $5`,
		unixSeconds(now), unixSeconds(before), millis(now), after, limit)
}

// PruneGrants satisfies smartlock.LinkTx.
func (t *Tx) PruneGrants(ctx context.Context, ended, now time.Time, limit int) (int64, error) {
	return t.exec(ctx, `
		DELETE FROM smartlock_grant WHERE (lock_id, grant_id) IN (
			SELECT lock_id, grant_id FROM smartlock_grant
			WHERE not_after < $1 AND (applied_at <> 0 OR safe_at <= $2) ORDER BY not_after, lock_id, grant_id LIMIT $3)`, millis(ended), millis(now), limit)
}

// PruneCommands satisfies smartlock.LinkTx.
func (t *Tx) PruneCommands(ctx context.Context, before time.Time, limit int) (int64, error) {
	return t.exec(ctx, `
		DELETE FROM smartlock_command WHERE id IN (SELECT id FROM smartlock_command WHERE created_at < $1 ORDER BY created_at, id LIMIT $2)`, millis(before), limit)
}

const lockCommandColumns = `id, workspace, lock_id, op, grant_id, asked_kind, asked_by, asked_name, created_at, not_after, done_at, outcome, reason, sealed`

func scanLockCommand(row scanner) (c smartlock.Command, err error) {
	var created, until, done int64
	err = row.Scan(&c.ID, &c.Workspace, &c.Lock, &c.Op, &c.DigitalKey, &c.AskedKind, &c.AskedBy, &c.AskedName, &created, &until, &done, &c.Outcome, &c.Reason, &c.Sealed)
	c.CreatedAt, c.NotAfter, c.DoneAt = moment(created), moment(until), moment(done)
	if len(c.Sealed) == 0 {
		c.Sealed = nil
	}
	return c, err
}

// InsertLockCommand satisfies smartlock.CommandTx.
func (t *Tx) InsertLockCommand(ctx context.Context, c smartlock.Command) error {
	return t.must(ctx, `
		INSERT INTO smartlock_command (id, workspace, lock_id, op, grant_id, asked_kind, asked_by, asked_name, created_at, not_after, done_at, outcome, reason, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		c.ID, c.Workspace, c.Lock, c.Op, c.DigitalKey, c.AskedKind, c.AskedBy, c.AskedName, millis(c.CreatedAt), millis(c.NotAfter), millis(c.DoneAt),
		string(c.Outcome), c.Reason, bytes(c.Sealed))
}

// FindLockCommand satisfies smartlock.CommandTx.
func (t *Tx) FindLockCommand(ctx context.Context, w id.Workspace, c id.LockCommand) (smartlock.Command, bool, error) {
	return find(ctx, t, scanLockCommand, `SELECT `+lockCommandColumns+` FROM smartlock_command WHERE workspace = $1 AND id = $2`, w, c)
}

// ListWaitingCommands satisfies smartlock.CommandTx.
func (t *Tx) ListWaitingCommands(ctx context.Context, w id.Workspace, l id.Lock, now time.Time, limit int) ([]smartlock.Command, error) {
	return collect(ctx, t, scanLockCommand, `
		SELECT `+lockCommandColumns+` FROM smartlock_command
		WHERE lock_id = $2 AND workspace = $1 AND done_at = 0 AND not_after > $3 ORDER BY id LIMIT $4`, w, l, millis(now), limit)
}

// FinishLockCommand satisfies smartlock.CommandTx.
func (t *Tx) FinishLockCommand(ctx context.Context, c smartlock.Command) (bool, error) {
	return t.one(ctx, `
		UPDATE smartlock_command SET done_at = $3, outcome = $4, reason = $5, sealed = $6 WHERE workspace = $1 AND id = $2 AND done_at = 0`,
		c.Workspace, c.ID, millis(c.DoneAt), string(c.Outcome), c.Reason, bytes(c.Sealed))
}
