package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// InsertOutboxMessage satisfies outbox.Tx.
func (t *Tx) InsertOutboxMessage(ctx context.Context, m outbox.Message) error {
	return t.must(ctx, `
		INSERT INTO outbox (id, workspace, kind, payload, state, attempts, created_at, due_at, expires_at, holder, lease_until, ended_at, last_error)
		VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $5, $6, '', 0, 0, '')`,
		m.ID, m.Workspace, m.Kind, []byte(m.Payload), millis(m.CreatedAt), millis(m.ExpiresAt))
}

// The inner query is materialized: otherwise PostgreSQL may run it once for every
// row of the table, each time stepping over what it has locked before, and take
// more than the limit.
const leaseOutbox = `
	WITH due AS MATERIALIZED (
		SELECT id FROM outbox WHERE state = 'waiting' AND due_at <= $2 AND lease_until <= $2 ORDER BY due_at, id LIMIT $4`

const leaseOutboxUpdate = `)
	UPDATE outbox SET holder = $1, lease_until = $3, attempts = attempts + 1
	WHERE id IN (SELECT id FROM due)
	RETURNING id, workspace, kind, payload, created_at, expires_at, attempts`

// The two engines' forms of taking messages: PostgreSQL steps over rows that
// another worker is just taking.
const (
	leaseOutboxSQLite   = leaseOutbox + leaseOutboxUpdate
	leaseOutboxPostgres = leaseOutbox + ` FOR UPDATE SKIP LOCKED` + leaseOutboxUpdate
)

// LeaseOutboxMessages satisfies outbox.WorkTx.
func (t *Tx) LeaseOutboxMessages(ctx context.Context, holder string, now, until time.Time, limit int) ([]outbox.Message, error) {
	query := leaseOutboxSQLite
	if t.postgres {
		query = leaseOutboxPostgres
	}
	return collect(ctx, t, func(row scanner) (m outbox.Message, err error) {
		var created, expires int64
		var payload []byte
		err = row.Scan(&m.ID, &m.Workspace, &m.Kind, &payload, &created, &expires, &m.Attempts)
		m.Payload, m.CreatedAt, m.ExpiresAt = payload, moment(created), moment(expires)
		return m, err
	}, query, holder, millis(now), millis(until), limit)
}

// A message with a sealed PIN is not kept once it has left or was given up: the last
// argument but one of both queries names its kind, the last is what is left of it.

// FinishOutboxMessage satisfies outbox.WorkTx.
func (t *Tx) FinishOutboxMessage(ctx context.Context, m id.Job, holder string, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE outbox SET state = 'done', ended_at = $3, last_error = '', payload = CASE WHEN kind = $4 THEN $5 ELSE payload END
		WHERE id = $1 AND holder = $2 AND state = 'waiting'`, m, holder, millis(now), outbox.SecurityKeyPIN{}.MessageKind(), []byte(`{}`))
}

// PostponeOutboxMessage satisfies outbox.WorkTx.
func (t *Tx) PostponeOutboxMessage(ctx context.Context, m id.Job, holder string, due time.Time, reason string) (bool, error) {
	return t.one(ctx, `
		UPDATE outbox SET due_at = $3, last_error = $4, holder = '', lease_until = 0 WHERE id = $1 AND holder = $2 AND state = 'waiting'`,
		m, holder, millis(due), reason)
}

// GiveUpOutboxMessage satisfies outbox.WorkTx.
func (t *Tx) GiveUpOutboxMessage(ctx context.Context, m id.Job, holder string, now time.Time, reason string) (bool, error) {
	return t.one(ctx, `
		UPDATE outbox SET state = 'dead', ended_at = $3, last_error = $4, payload = CASE WHEN kind = $5 THEN $6 ELSE payload END
		WHERE id = $1 AND holder = $2 AND state = 'waiting'`,
		m, holder, millis(now), reason, outbox.SecurityKeyPIN{}.MessageKind(), []byte(`{}`))
}

// TakeLease takes or renews the lease of that name for holder; it returns false
// while somebody else's has not run out.
func (t *Tx) TakeLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	return t.one(ctx, `
		INSERT INTO lease (name, holder, until) VALUES ($1, $2, $4)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE lease.holder = excluded.holder OR lease.until <= $3`, name, holder, millis(now), millis(until))
}
