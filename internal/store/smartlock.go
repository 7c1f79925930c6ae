package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

const lockColumns = `l.id, l.workspace, l.name, l.place, l.timezone, l.capabilities, l.open_seconds, l.lease_seconds, l.secret_sealed,
	l.epoch, l.version, l.applied_epoch, l.applied_version, l.lease_until, l.lease_warned, l.enrol_digest, l.enrol_expires_at, l.enrolled_at, l.era,
	l.cert_serial, l.cert_next, l.cert_expires_at, l.public_key, l.link, l.online_until, l.last_seen_at, l.software, l.clock, l.bolt, l.door, l.battery,
	l.event_through, l.event_hash, l.created_at, l.revision, l.pulse`

func scanLock(row scanner) (l smartlock.Lock, err error) {
	var capabilities string
	var lease, tokenEnds, enrolled, certificate, online, seen, created, pulse int64
	c, s, d := &l.Controller, &l.Sync, &l.State
	err = row.Scan(&l.ID, &l.Workspace, &l.Name, &l.Place, &l.Timezone, &capabilities, &l.OpenSeconds, &l.LeaseSeconds, &l.SecretSealed,
		&s.Epoch, &s.Version, &s.AppliedEpoch, &s.AppliedVersion, &lease, &c.LeaseWarnedHours, &c.TokenDigest, &tokenEnds, &enrolled, &c.Era,
		&c.Serial, &c.NextSerial, &certificate, &c.PublicKey, &d.Link, &online, &seen, &c.Software, &c.Clock, &d.Bolt, &d.Door, &d.Battery,
		&c.EventThrough, &c.EventHash, &created, &l.Revision, &pulse)
	for _, name := range strings.Fields(capabilities) {
		l.Capabilities = append(l.Capabilities, smartlock.Capability(name))
	}
	if lease != 0 {
		s.LeaseUntil = time.Unix(lease, 0).UTC()
	}
	c.TokenExpiresAt, c.EnrolledAt, c.CertificateEnds = moment(tokenEnds), moment(enrolled), moment(certificate)
	d.OnlineUntil, d.LastSeenAt, l.CreatedAt, l.Pulse = moment(online), moment(seen), moment(created), moment(pulse)
	for _, b := range []*[]byte{&c.TokenDigest, &c.PublicKey, &c.EventHash} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	return l, err
}

// unixSeconds is a time as a lease's end is kept: Unix seconds, 0 for none.
func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// capabilityText is the set in one string.
func capabilityText(all []smartlock.Capability) string {
	out := make([]string, len(all))
	for i, c := range all {
		out[i] = string(c)
	}
	return strings.Join(out, " ")
}

// InsertLock satisfies smartlock.LockTx.
func (t *Tx) InsertLock(ctx context.Context, l smartlock.Lock) error {
	c, s, d := l.Controller, l.Sync, l.State
	if err := t.must(ctx, `
		INSERT INTO smartlock (id, workspace, name, name_fold, place, timezone, capabilities, open_seconds, lease_seconds, secret_sealed,
			epoch, version, applied_epoch, applied_version, lease_until, lease_warned, enrol_digest, enrol_expires_at, enrolled_at, era,
			cert_serial, cert_next, cert_expires_at, public_key, link, online_until, last_seen_at, software, clock, bolt, door, battery,
			event_through, event_hash, created_at, revision, pulse)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30,
			$31, $32, $33, $34, $35, $36, $37)`,
		l.ID, l.Workspace, l.Name, directory.Fold(l.Name), l.Place, l.Timezone, capabilityText(l.Capabilities), l.OpenSeconds, l.LeaseSeconds, bytes(l.SecretSealed),
		s.Epoch, s.Version, s.AppliedEpoch, s.AppliedVersion, unixSeconds(s.LeaseUntil), c.LeaseWarnedHours, bytes(c.TokenDigest), millis(c.TokenExpiresAt), millis(c.EnrolledAt), c.Era,
		c.Serial, c.NextSerial, millis(c.CertificateEnds), bytes(c.PublicKey), d.Link, millis(d.OnlineUntil), millis(d.LastSeenAt), c.Software, string(c.Clock), d.Bolt, d.Door, d.Battery,
		c.EventThrough, bytes(c.EventHash), millis(l.CreatedAt), l.Revision, millis(l.Pulse)); err != nil {
		return err
	}
	return t.addTerms(ctx, l.Workspace, "lock", string(l.ID), lockTerms(l))
}

// lockTerms are the words under which a lock is found: cut as those of a group are.
func lockTerms(l smartlock.Lock) []string {
	terms := append(directory.GroupTerms(directory.Group{Name: l.Name}), directory.GroupTerms(directory.Group{Name: l.Place})...)
	slices.Sort(terms)
	return slices.Compact(terms)
}

// UpdateLock satisfies smartlock.LockTx.
func (t *Tx) UpdateLock(ctx context.Context, l smartlock.Lock, now time.Time) error {
	if err := t.must(ctx, `
		UPDATE smartlock SET name = $3, name_fold = $4, place = $5, timezone = $6, capabilities = $7, open_seconds = $8, lease_seconds = $9, revision = $10,
			pulse = CASE WHEN pulse < CAST($11 AS BIGINT) THEN CAST($11 AS BIGINT) ELSE pulse + 1 END
		WHERE workspace = $1 AND id = $2`,
		l.Workspace, l.ID, l.Name, directory.Fold(l.Name), l.Place, l.Timezone, capabilityText(l.Capabilities), l.OpenSeconds, l.LeaseSeconds, l.Revision, millis(now)); err != nil {
		return err
	}
	return t.replaceTerms(ctx, l.Workspace, "lock", string(l.ID), lockTerms(l))
}

// DeleteLock satisfies smartlock.LockTx.
func (t *Tx) DeleteLock(ctx context.Context, w id.Workspace, l id.Lock) error {
	for _, query := range []string{
		`DELETE FROM smartlock_command WHERE workspace = $1 AND lock_id = $2`,
		`DELETE FROM smartlock_grant WHERE workspace = $1 AND lock_id = $2`,
		`DELETE FROM digitalkey_tag WHERE workspace = $1 AND lock_id = $2`,
		`DELETE FROM digitalkey_lock WHERE workspace = $1 AND lock_id = $2`,
	} {
		if _, err := t.exec(ctx, query, w, l); err != nil {
			return err
		}
	}
	if err := t.removeTerms(ctx, w, "lock", string(l)); err != nil {
		return err
	}
	return t.must(ctx, `DELETE FROM smartlock WHERE workspace = $1 AND id = $2`, w, l)
}

// LockLock satisfies smartlock.LockTx.
func (t *Tx) LockLock(ctx context.Context, w id.Workspace, l id.Lock) (smartlock.Lock, bool, error) {
	there, err := t.one(ctx, `UPDATE smartlock SET revision = revision WHERE workspace = $1 AND id = $2`, w, l)
	if err != nil || !there {
		return smartlock.Lock{}, false, err
	}
	return t.FindLock(ctx, w, l)
}

// FindLock satisfies smartlock.LockTx.
func (t *Tx) FindLock(ctx context.Context, w id.Workspace, l id.Lock) (smartlock.Lock, bool, error) {
	return find(ctx, t, scanLock, `SELECT `+lockColumns+` FROM smartlock l WHERE l.workspace = $1 AND l.id = $2`, w, l)
}

// FindLockAnywhere satisfies smartlock.LockTx.
func (t *Tx) FindLockAnywhere(ctx context.Context, l id.Lock) (smartlock.Lock, bool, error) {
	return find(ctx, t, scanLock, `SELECT `+lockColumns+` FROM smartlock l WHERE l.id = $1`, l)
}

// lowBattery is when a battery is a problem, in percent.
const lowBattery = 20

// ListLocks satisfies smartlock.LockTx.
func (t *Tx) ListLocks(ctx context.Context, w id.Workspace, q smartlock.Query) (page.Page[smartlock.Lock], error) {
	l := &listQuery{from: "smartlock l"}
	l.filter("l.workspace = ?", w)
	possible, _, err := l.search(ctx, t, w, "lock", "l.id", q.Words)
	if err != nil || !possible {
		return page.Page[smartlock.Lock]{Total: totalOfNone(q.Page)}, err
	}
	switch {
	case q.Online == nil:
	case *q.Online:
		l.filter("l.online_until > ?", millis(q.Now))
	default:
		l.filter("l.online_until <= ?", millis(q.Now))
	}
	if q.Problem {
		l.filter("(l.enrolled_at = 0 OR l.online_until <= ? OR l.battery >= 0 AND l.battery <= 20)", millis(q.Now))
	}
	return list(ctx, t, l, lockColumns, ordering{column: "l.name_fold"}, "l.id", q.Page, scanLock, func(l smartlock.Lock) page.Position {
		return page.Position{Value: directory.Fold(l.Name), ID: string(l.ID)}
	})
}

// CountLocks satisfies smartlock.LockTx.
func (t *Tx) CountLocks(ctx context.Context, w id.Workspace, now time.Time) (smartlock.Counts, error) {
	n, _, err := find(ctx, t, func(row scanner) (n smartlock.Counts, err error) {
		err = row.Scan(&n.Total, &n.Online, &n.Offline, &n.Open, &n.LowBattery, &n.NotEnrolled)
		return n, err
	}, `
		SELECT COUNT(*), COUNT(CASE WHEN online_until > $2 THEN 1 END), COUNT(CASE WHEN enrolled_at <> 0 AND online_until <= $2 THEN 1 END),
			COUNT(CASE WHEN online_until > $2 AND door = 'open' THEN 1 END), COUNT(CASE WHEN battery >= 0 AND battery <= $3 THEN 1 END),
			COUNT(CASE WHEN enrolled_at = 0 THEN 1 END)
		FROM smartlock WHERE workspace = $1`, w, millis(now), lowBattery)
	return n, err
}

// CountOpenKeys satisfies smartlock.LockTx.
func (t *Tx) CountOpenKeys(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM digitalkey_lock d JOIN digitalkey k ON k.workspace = d.workspace AND k.id = d.key_id
		WHERE d.workspace = $1 AND d.lock_id = $2 AND k.cancelled_at = 0 AND k.expires_at > $3`, w, l, millis(now))
}

// CountUnsafe satisfies smartlock.LockTx.
func (t *Tx) CountUnsafe(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM smartlock_grant WHERE workspace = $1 AND lock_id = $2 AND removed = TRUE AND applied_at = 0 AND safe_at > $3`, w, l, millis(now))
}

// LocksPulse satisfies smartlock.LockTx. Each change makes one row's pulse grow, so the
// sum tells of all.
func (t *Tx) LocksPulse(ctx context.Context, w id.Workspace, now time.Time) (pulse, online int64, err error) {
	type sums struct{ pulse, online int64 }
	s, _, err := find(ctx, t, func(row scanner) (s sums, err error) {
		err = row.Scan(&s.pulse, &s.online)
		return s, err
	}, `SELECT CAST(COALESCE(SUM(pulse), 0) AS BIGINT), COUNT(CASE WHEN online_until > $2 THEN 1 END) FROM smartlock WHERE workspace = $1`, w, millis(now))
	return s.pulse, s.online, err
}

// ListLockWatchers satisfies smartlock.Tx.
func (t *Tx) ListLockWatchers(ctx context.Context, w id.Workspace) ([]outbox.Recipient, error) {
	return collect(ctx, t, scanRecipient, `
		SELECT u.email, u.first_name, u.last_name, CASE WHEN u.language = '' THEN w.language ELSE u.language END,
			CASE WHEN u.timezone = '' THEN w.timezone ELSE u.timezone END
		FROM signin_administrator a JOIN directory_user u ON u.workspace = a.workspace AND u.id = a.user_id JOIN workspace w ON w.id = a.workspace
		WHERE a.workspace = $1 AND u.suspended_at = 0
			AND (a.owner = TRUE OR ' ' || a.permissions || ' ' LIKE '% locks.write %')
		ORDER BY u.id LIMIT 1000`, w)
}

// FindWorkspaceName satisfies smartlock.Tx.
func (t *Tx) FindWorkspaceName(ctx context.Context, w id.Workspace) (string, error) {
	name, _, err := find(ctx, t, value[string], `SELECT name FROM workspace WHERE id = $1`, w)
	return name, err
}

// WorkspaceStands satisfies smartlock.Tx.
func (t *Tx) WorkspaceStands(ctx context.Context, w id.Workspace) (bool, error) {
	return t.exists(ctx, `SELECT 1 FROM workspace WHERE id = $1 AND suspended_at = 0`, w)
}

// lockStanding is the standing of a lock's controller, who has shown the certificate of
// that number.
func (t *Tx) lockStanding(ctx context.Context, by auth.Caller, now time.Time) (auth.Standing, error) {
	active, err := t.exists(ctx, `
		SELECT 1 FROM smartlock l JOIN workspace w ON w.id = l.workspace
		WHERE l.id = $1 AND l.workspace = $2 AND (l.cert_serial = $3 OR l.cert_next = $3) AND CAST($3 AS TEXT) <> '' AND l.cert_expires_at > $4 AND w.suspended_at = 0`,
		by.Lock, by.Workspace, by.Token, millis(now))
	return auth.Standing{Active: active}, err
}
