package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
)

// FindTally satisfies overview.Tx.
func (t *Tx) FindTally(ctx context.Context, w id.Workspace, name string) (int64, error) {
	return t.tally(ctx, w, name)
}

// ListTicks satisfies overview.Tx.
func (t *Tx) ListTicks(ctx context.Context, w id.Workspace, name string, from, before time.Time) ([]overview.Tick, error) {
	return collect(ctx, t, func(row scanner) (tick overview.Tick, err error) {
		var at int64
		err = row.Scan(&at, &tick.N)
		tick.Quarter = moment(at)
		return tick, err
	}, `SELECT quarter, n FROM tick WHERE workspace = $1 AND name = $2 AND quarter >= $3 AND quarter < $4 ORDER BY quarter`,
		w, name, millis(from), millis(before))
}

// ListExpiringAPIKeys satisfies overview.Tx.
func (t *Tx) ListExpiringAPIKeys(ctx context.Context, w id.Workspace, now, before time.Time, limit int) ([]overview.Expiring, error) {
	return collect(ctx, t, func(row scanner) (k overview.Expiring, err error) {
		var expires int64
		err = row.Scan(&k.ID, &k.Name, &expires)
		k.ExpiresAt = moment(expires)
		return k, err
	}, `
		SELECT id, name, ends_at FROM apikey
		WHERE workspace = $1 AND disabled_at = 0 AND ends_at > $2 AND ends_at <= $3 ORDER BY ends_at, id LIMIT $4`,
		w, millis(now), millis(before), limit)
}

// ListLeakedAPIKeys satisfies overview.Tx.
func (t *Tx) ListLeakedAPIKeys(ctx context.Context, w id.Workspace, limit int) ([]overview.Leaked, error) {
	return collect(ctx, t, func(row scanner) (k overview.Leaked, err error) {
		err = row.Scan(&k.ID, &k.Name)
		return k, err
	}, `SELECT id, name FROM apikey WHERE workspace = $1 AND leaked_at > 0 ORDER BY leaked_at DESC, id DESC LIMIT $2`, w, limit)
}

// CountAPIKeysLeftBehind satisfies overview.Tx. Keys may be many and who made them
// are few: those are found by hopping along their index, then asked for one by one.
func (t *Tx) CountAPIKeysLeftBehind(ctx context.Context, w id.Workspace, now time.Time, limit int) (int64, error) {
	return t.number(ctx, `
		WITH RECURSIVE creator (id) AS (
			SELECT MIN(creator_user) FROM apikey WHERE workspace = $1 AND creator_user > ''
			UNION ALL
			SELECT (SELECT MIN(k.creator_user) FROM apikey k WHERE k.workspace = $1 AND k.creator_user > c.id) FROM creator c WHERE c.id IS NOT NULL
		)
		SELECT COUNT(*) FROM (
			SELECT 1 FROM creator c CROSS JOIN apikey k
			WHERE c.id IS NOT NULL AND k.workspace = $1 AND k.creator_user = c.id AND k.disabled_at = 0 AND k.ends_at > $2
				AND NOT EXISTS (SELECT 1 FROM signin_administrator a WHERE a.workspace = $1 AND a.user_id = c.id)
				AND NOT EXISTS (SELECT 1 FROM directory_user u WHERE u.workspace = $1 AND u.id = c.id AND u.suspended_at <> 0)
			LIMIT $3) AS left_behind`, w, millis(now), limit)
}

// ListUnconfirmedAdministrators satisfies overview.Tx. Administrators are few, and
// passkeys that nobody has to confirm may be many: it is looked up from the former.
// (CROSS JOIN keeps SQLite to the order in which the tables stand.)
func (t *Tx) ListUnconfirmedAdministrators(ctx context.Context, w id.Workspace, limit int) ([]overview.Person, error) {
	return collect(ctx, t, scanNumbered, `
		SELECT u.id, u.first_name, u.last_name, u.email, COUNT(*)
		FROM signin_administrator a CROSS JOIN signin_passkey p CROSS JOIN directory_user u
		WHERE a.workspace = $1 AND p.workspace = $1 AND p.user_id = a.user_id AND p.confirmed_at = 0 AND u.workspace = $1 AND u.id = a.user_id
		GROUP BY u.id, u.first_name, u.last_name, u.email, u.name_fold ORDER BY u.name_fold, u.id LIMIT $2`, w, limit)
}

// ListSuspendedCreators satisfies overview.Tx. A workspace has few API keys and may
// have many suspended users: it is looked up from the keys.
func (t *Tx) ListSuspendedCreators(ctx context.Context, w id.Workspace, now time.Time, limit int) ([]overview.Person, error) {
	return collect(ctx, t, scanNumbered, `
		SELECT u.id, u.first_name, u.last_name, u.email, COUNT(*)
		FROM apikey k CROSS JOIN directory_user u
		WHERE k.workspace = $1 AND k.disabled_at = 0 AND k.ends_at > $2
			AND u.workspace = $1 AND u.id = k.creator_user AND u.suspended_at <> 0
		GROUP BY u.id, u.first_name, u.last_name, u.email, u.name_fold ORDER BY u.name_fold, u.id LIMIT $3`, w, millis(now), limit)
}

func scanNumbered(row scanner) (p overview.Person, err error) {
	var u directory.User
	err = row.Scan(&p.ID, &u.FirstName, &u.LastName, &u.Email, &p.N)
	p.Name = u.Name()
	return p, err
}

// CountDeadMessages satisfies overview.Tx. Ids sort by the moment they were made, so
// their index leaves only the messages of the time in which one could have been
// given up since: none outlives outbox.Lifetime.
func (t *Tx) CountDeadMessages(ctx context.Context, w id.Workspace, since time.Time, limit int) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM (
			SELECT 1 FROM outbox WHERE id >= $1 AND workspace = $2 AND state = 'dead' AND ended_at >= $3 LIMIT $4) AS dead`,
		firstJob(since.Add(-outbox.Lifetime-time.Hour)), w, millis(since), limit)
}

// CountKeysToConfirm satisfies overview.Tx.
func (t *Tx) CountKeysToConfirm(ctx context.Context, w id.Workspace, limit int) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM (SELECT 1 FROM securitykey WHERE workspace = $1 AND to_confirm = TRUE LIMIT $2) AS waiting`, w, limit)
}

// ListLockedPINs satisfies overview.Tx. The number is in the query, so that the
// index of the locked ones serves it.
func (t *Tx) ListLockedPINs(ctx context.Context, w id.Workspace, limit int) ([]overview.LockedPIN, error) {
	return collect(ctx, t, func(row scanner) (k overview.LockedPIN, err error) {
		var u directory.User
		err = row.Scan(&k.ID, &k.Name, &u.FirstName, &u.LastName, &u.Email)
		k.Holder = u.Name()
		return k, err
	}, `
		SELECT k.id, k.name, u.first_name, u.last_name, u.email
		FROM securitykey k JOIN directory_user u ON u.workspace = k.workspace AND u.id = k.user_id
		WHERE k.workspace = $1 AND k.pin_wrong >= 8 ORDER BY k.id LIMIT $2`, w, limit)
}

// CountDigitalKeysByStatus satisfies overview.Tx.
func (t *Tx) CountDigitalKeysByStatus(ctx context.Context, w id.Workspace, now time.Time) (overview.DigitalKeysByStatus, error) {
	n, err := t.CountDigitalKeys(ctx, w, now)
	return overview.DigitalKeysByStatus{Upcoming: int64(n.Upcoming), Active: int64(n.Active), Expired: int64(n.Expired), Cancelled: int64(n.Cancelled)}, err
}

// firstJob returns the lowest id that a job of that moment may have.
func firstJob(at time.Time) id.Job {
	var raw [16]byte
	ms := uint64(max(0, millis(at)))
	for i := range 6 {
		raw[i] = byte(ms >> (40 - 8*i))
	}
	first, _ := id.FromBytes[id.KindJob](raw[:])
	return first
}
