package store

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

const activityColumns = `a.id, a.workspace, a.idx, a.at, a.action, a.outcome, a.reason, a.detail, a.count,
	a.actor_type, a.actor_id, a.actor_name, a.ip, a.agent, a.actor_salt, a.actor_digest,
	a.target_type, a.target_id, a.target_name, a.target_salt, a.target_digest,
	a.user_id, a.rp_id, a.security_key, a.client, a.request_id, a.hash`

func scanActivity(row scanner) (r activity.Row, err error) {
	var index sql.NullInt64
	var at int64
	err = row.Scan(&r.ID, &r.Workspace, &index, &at, &r.Action, &r.Outcome, &r.Reason, &r.Detail, &r.Count,
		&r.Actor.Type, &r.Actor.ID, &r.Actor.Name, &r.IP, &r.Agent, &r.ActorSalt, &r.ActorDigest,
		&r.Target.Type, &r.Target.ID, &r.Target.Name, &r.TargetSalt, &r.TargetDigest,
		&r.User, &r.RPID, &r.SecurityKey, &r.Client, &r.RequestID, &r.Hash)
	r.Index, r.At = index.Int64, moment(at)
	r.ActorErased, r.TargetErased = len(r.ActorSalt) == 0, len(r.TargetSalt) == 0
	return r, err
}

func scanEvent(row scanner) (activity.Event, error) {
	r, err := scanActivity(row)
	return r.Event, err
}

// InsertActivity satisfies activity.Tx.
func (t *Tx) InsertActivity(ctx context.Context, r activity.Row) error {
	return t.must(ctx, `
		INSERT INTO activity (id, workspace, at, action, outcome, reason, detail, count,
			actor_type, actor_id, actor_name, ip, agent, actor_salt, actor_digest,
			target_type, target_id, target_name, target_salt, target_digest, user_id, rp_id, security_key, client, request_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)`,
		r.ID, r.Workspace, millis(r.At), r.Action, string(r.Outcome), r.Reason, r.Detail, r.Count,
		r.Actor.Type, r.Actor.ID, r.Actor.Name, r.IP, r.Agent, r.ActorSalt, r.ActorDigest,
		r.Target.Type, r.Target.ID, r.Target.Name, r.TargetSalt, r.TargetDigest, r.User, r.RPID, r.SecurityKey, r.Client, r.RequestID)
}

// CountRefusal satisfies activity.GateTx.
func (t *Tx) CountRefusal(ctx context.Context, r activity.Refusal, now time.Time, window time.Duration) (int, error) {
	// The row is made or counted up in one statement, so that two refusals at once
	// cannot both be the first.
	n, _, err := find(ctx, t, value[int64], `
		INSERT INTO refusal (workspace, caller, action, reason, since, n) VALUES ($1, $2, $3, $4, $5, 0)
		ON CONFLICT (workspace, caller, action, reason) DO UPDATE SET n = refusal.n + 1
		RETURNING CASE WHEN since <= $6 THEN n WHEN n = 0 THEN 1 ELSE 0 END`,
		r.Workspace, r.Caller, r.Action, r.Reason, millis(now), millis(now.Add(-window)))
	if err != nil || n == 0 {
		return 0, err
	}
	return int(n), t.must(ctx, `
		UPDATE refusal SET since = $5, n = 0 WHERE workspace = $1 AND caller = $2 AND action = $3 AND reason = $4`,
		r.Workspace, r.Caller, r.Action, r.Reason, millis(now))
}

// onceSweep bounds how many forgotten requests one new request clears away.
const onceSweep = 20

// InsertOnce satisfies activity.GateTx. The row is written before the act, so that
// a like request under way waits here for the outcome.
func (t *Tx) InsertOnce(ctx context.Context, w id.Workspace, r *once.Request, now time.Time) (first bool, body, note string, err error) {
	if _, err := t.exec(ctx, `
		DELETE FROM once WHERE digest = $1 AND expires_at <= $2 OR digest IN (
			SELECT digest FROM once WHERE expires_at <= $2 ORDER BY expires_at LIMIT $3)`, r.Digest, millis(now), onceSweep); err != nil {
		return false, "", "", err
	}
	first, err = t.one(ctx, `
		INSERT INTO once (workspace, digest, body, note, expires_at) VALUES ($1, $2, $3, '', $4)
		ON CONFLICT (digest) DO NOTHING`, w, r.Digest, r.Body, millis(now.Add(once.Lifetime)))
	if err != nil || first {
		return first, "", "", err
	}
	left, _, err := find(ctx, t, func(row scanner) (left [2]string, err error) {
		err = row.Scan(&left[0], &left[1])
		return left, err
	}, `SELECT body, note FROM once WHERE digest = $1`, r.Digest)
	return false, left[0], left[1], err
}

// NoteOnce satisfies activity.GateTx.
func (t *Tx) NoteOnce(ctx context.Context, r *once.Request, note string) error {
	return t.must(ctx, `UPDATE once SET note = $2 WHERE digest = $1`, r.Digest, note)
}

// DeleteOnce satisfies activity.GateTx.
func (t *Tx) DeleteOnce(ctx context.Context, r *once.Request) error {
	return t.must(ctx, `DELETE FROM once WHERE digest = $1`, r.Digest)
}

// TakeOverdueRefusals satisfies activity.OverdueTx.
func (t *Tx) TakeOverdueRefusals(ctx context.Context, now time.Time, window time.Duration, limit int) ([]activity.OverdueRefusal, error) {
	return collect(ctx, t, func(row scanner) (r activity.OverdueRefusal, err error) {
		var since int64
		err = row.Scan(&r.Workspace, &r.Caller, &r.Action, &r.Reason, &since, &r.Count)
		r.Since = moment(since)
		return r, err
	}, `
		DELETE FROM refusal WHERE (workspace, caller, action, reason) IN (
			SELECT workspace, caller, action, reason FROM refusal WHERE since <= $1 ORDER BY since LIMIT $2)
		RETURNING workspace, caller, action, reason, since, n`, millis(now.Add(-window)), limit)
}

// ListActivities satisfies activity.RecordTx.
func (t *Tx) ListActivities(ctx context.Context, w id.Workspace, q activity.Query) (page.Page[activity.Event], error) {
	l := &listQuery{from: "activity a"}
	l.filter("a.workspace = ?", w)
	if q.User != "" {
		l.filter("a.user_id = ?", q.User)
	}
	if q.SecurityKey != "" {
		l.filter("a.security_key = ?", q.SecurityKey)
	}
	if q.Actor != "" {
		l.filter("a.actor_id = ?", q.Actor)
	}
	if q.Target != "" {
		l.filter("a.target_id = ?", q.Target)
	}
	if q.Action != "" {
		l.filter("a.action = ?", q.Action)
	}
	// What is said twice below lets the partial indexes answer.
	switch q.Outcome {
	case "":
	case activity.Success:
		l.filter("a.outcome = ?", string(q.Outcome))
	default:
		l.filter("a.outcome <> 'success' AND a.outcome = ?", string(q.Outcome))
	}
	if q.RPID != "" {
		l.filter("a.rp_id <> '' AND a.rp_id = ?", q.RPID)
	}
	if !q.From.IsZero() {
		l.filter("a.at >= ?", millis(q.From))
	}
	if !q.To.IsZero() {
		l.filter("a.at < ?", millis(q.To))
	}
	return list(ctx, t, l, activityColumns, ordering{column: "a.at", number: true}, "a.id", q.Page, scanEvent, func(e activity.Event) page.Position {
		return page.Position{Value: strconv.FormatInt(millis(e.At), 10), ID: string(e.ID)}
	})
}

// FindActivity satisfies activity.RecordTx.
func (t *Tx) FindActivity(ctx context.Context, w id.Workspace, a id.Activity) (activity.Event, bool, error) {
	return find(ctx, t, scanEvent, `SELECT `+activityColumns+` FROM activity a WHERE a.workspace = $1 AND a.id = $2`, w, a)
}

// ListChanges satisfies activity.RecordTx.
func (t *Tx) ListChanges(ctx context.Context, w id.Workspace, from time.Time, limit int) ([]activity.Change, error) {
	return collect(ctx, t, func(row scanner) (c activity.Change, err error) {
		var at int64
		err = row.Scan(&c.ID, &at, &c.Action, &c.Outcome, &c.Actor.Type, &c.Actor.ID, &c.Actor.Name, &c.Target.Type, &c.Target.ID, &c.Target.Name)
		c.At = moment(at)
		return c, err
	}, `
		SELECT id, at, action, outcome, actor_type, actor_id, actor_name, target_type, target_id, target_name
		FROM activity WHERE workspace = $1 AND at >= $2 ORDER BY at, id LIMIT $3`, w, millis(from), limit)
}

// ListDueCheckpoints satisfies checkpoint.Tx.
func (t *Tx) ListDueCheckpoints(ctx context.Context, after id.Workspace, before time.Time, all bool, limit int) ([]activity.DueCheckpoint, error) {
	return collect(ctx, t, func(row scanner) (d activity.DueCheckpoint, err error) {
		err = row.Scan(&d.Workspace, &d.Head.Index, &d.Head.Hash, &d.Name, &d.Email, &d.Language, &d.Timezone)
		return d, err
	}, `
		SELECT h.workspace, h.idx, h.hash, w.name, w.checkpoint_email, w.language, w.timezone
		FROM activity_head h
			JOIN workspace w ON w.id = h.workspace
			LEFT JOIN activity_checkpoint c ON c.workspace = h.workspace
		WHERE h.workspace > $1 AND h.idx > COALESCE(c.idx, 0) AND COALESCE(c.at, 0) <= $2 AND (w.checkpoint_email <> '' OR $3 = TRUE)
		ORDER BY h.workspace LIMIT $4`, after, millis(before), all, limit)
}

// MoveCheckpoint satisfies checkpoint.Tx.
func (t *Tx) MoveCheckpoint(ctx context.Context, w id.Workspace, index int64, at time.Time) (bool, error) {
	return t.one(ctx, `
		INSERT INTO activity_checkpoint (workspace, idx, at) VALUES ($1, $2, $3)
		ON CONFLICT (workspace) DO UPDATE SET idx = excluded.idx, at = excluded.at WHERE activity_checkpoint.idx < excluded.idx`, w, index, millis(at))
}

// UnsealedWorkspaces satisfies activity.ChainTx.
func (t *Tx) UnsealedWorkspaces(ctx context.Context, after id.Workspace, limit int) ([]id.Workspace, error) {
	return collect(ctx, t, value[id.Workspace], `
		SELECT DISTINCT workspace FROM activity WHERE idx IS NULL AND workspace > $1 ORDER BY workspace LIMIT $2`, after, limit)
}

// ActivityHead satisfies activity.ChainTx.
func (t *Tx) ActivityHead(ctx context.Context, w id.Workspace) (activity.Head, error) {
	h, _, err := find(ctx, t, func(row scanner) (h activity.Head, err error) {
		err = row.Scan(&h.Index, &h.Hash)
		return h, err
	}, `SELECT idx, hash FROM activity_head WHERE workspace = $1`, w)
	return h, err
}

const unsealedColumns = `a.id, a.at, a.action, a.outcome, a.reason, a.detail, a.count, a.actor_type, a.actor_id, a.actor_digest,
	a.target_type, a.target_id, a.target_digest, a.user_id, a.rp_id, a.security_key, a.client, a.request_id`

// UnsealedActivities satisfies activity.ChainTx. SQLite is told which index: without statistics
// it takes another one, and walks through the whole record.
func (t *Tx) UnsealedActivities(ctx context.Context, w id.Workspace, limit int) ([]activity.Row, error) {
	scan := func(row scanner) (r activity.Row, err error) {
		var at int64
		err = row.Scan(&r.ID, &at, &r.Action, &r.Outcome, &r.Reason, &r.Detail, &r.Count, &r.Actor.Type, &r.Actor.ID, &r.ActorDigest,
			&r.Target.Type, &r.Target.ID, &r.TargetDigest, &r.User, &r.RPID, &r.SecurityKey, &r.Client, &r.RequestID)
		r.Workspace, r.At = w, moment(at)
		return r, err
	}
	if t.postgres {
		return collect(ctx, t, scan, `SELECT `+unsealedColumns+` FROM activity a
			WHERE a.workspace = $1 AND a.idx IS NULL ORDER BY a.at, a.id LIMIT $2`, w, limit)
	}
	return collect(ctx, t, scan, `SELECT `+unsealedColumns+` FROM activity a INDEXED BY activity_unsealed
		WHERE a.workspace = $1 AND a.idx IS NULL ORDER BY a.at, a.id LIMIT $2`, w, limit)
}

// SealActivity satisfies activity.ChainTx.
func (t *Tx) SealActivity(ctx context.Context, r activity.Row) error {
	return t.must(ctx, `
		UPDATE activity SET idx = $3, hash = $4 WHERE workspace = $1 AND id = $2 AND idx IS NULL`, r.Workspace, r.ID, r.Index, r.Hash)
}

// MoveActivityHead satisfies activity.ChainTx.
func (t *Tx) MoveActivityHead(ctx context.Context, w id.Workspace, from, to activity.Head) (bool, error) {
	return t.one(ctx, `
		UPDATE activity_head SET idx = $2, hash = $3 WHERE workspace = $1 AND idx = $4`, w, to.Index, to.Hash, from.Index)
}

// SealedActivities satisfies activity.RecordTx.
func (t *Tx) SealedActivities(ctx context.Context, w id.Workspace, after int64, limit int) ([]activity.Row, error) {
	return collect(ctx, t, scanActivity, `
		SELECT `+activityColumns+` FROM activity a
		WHERE a.workspace = $1 AND a.idx IS NOT NULL AND a.idx > $2 ORDER BY a.idx LIMIT $3`, w, after, limit)
}

// CountUnsealedActivities satisfies activity.RecordTx.
func (t *Tx) CountUnsealedActivities(ctx context.Context, w id.Workspace) (int64, error) {
	if t.postgres {
		return t.number(ctx, `SELECT COUNT(*) FROM activity WHERE workspace = $1 AND idx IS NULL`, w)
	}
	return t.number(ctx, `SELECT COUNT(*) FROM activity INDEXED BY activity_unsealed WHERE workspace = $1 AND idx IS NULL`, w)
}
