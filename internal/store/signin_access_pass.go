package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// InsertAccessPass satisfies signin.Tx.
func (t *Tx) InsertAccessPass(ctx context.Context, p signin.AccessPass) error {
	return t.must(ctx, `
		INSERT INTO signin_access_pass (id, workspace, user_id, digest, starts_at, expires_at, one_time, created_at, created_by, used_at, ended_at, ended_as)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		p.ID, p.Workspace, p.User, p.Digest, millis(p.StartsAt), millis(p.ExpiresAt), p.OneTime, millis(p.CreatedAt), p.CreatedBy, millis(p.UsedAt),
		millis(p.EndedAt), string(p.EndedAs))
}

// ListAccessPasses satisfies signin.Tx.
func (t *Tx) ListAccessPasses(ctx context.Context, w id.Workspace, u id.User, limit int) ([]signin.AccessPass, error) {
	return collect(ctx, t, func(row scanner) (p signin.AccessPass, err error) {
		var starts, expires, created, used, ended int64
		err = row.Scan(&p.ID, &p.Workspace, &p.User, &p.Digest, &starts, &expires, &p.OneTime, &created, &p.CreatedBy, &used, &ended, &p.EndedAs)
		p.StartsAt, p.ExpiresAt, p.CreatedAt, p.UsedAt, p.EndedAt = moment(starts), moment(expires), moment(created), moment(used), moment(ended)
		return p, err
	}, `
		SELECT id, workspace, user_id, digest, starts_at, expires_at, one_time, created_at, created_by, used_at, ended_at, ended_as
		FROM signin_access_pass WHERE workspace = $1 AND user_id = $2
		ORDER BY created_at DESC, CASE WHEN ended_as = '' THEN 0 ELSE 1 END, id DESC LIMIT $3`, w, u, limit)
}

// EndAccessPasses satisfies signin.Tx.
func (t *Tx) EndAccessPasses(ctx context.Context, w id.Workspace, u id.User, as signin.AccessPassState, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_access_pass SET ended_at = $3, ended_as = $4
		WHERE workspace = $1 AND user_id = $2 AND ended_as = '' AND expires_at > $3 AND (one_time = FALSE OR used_at = 0)`, w, u, millis(now), string(as))
	return err
}

// EndAccessPass satisfies signin.Tx.
func (t *Tx) EndAccessPass(ctx context.Context, w id.Workspace, p id.AccessPass, as signin.AccessPassState, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE signin_access_pass SET ended_at = $3, ended_as = $4 WHERE workspace = $1 AND id = $2 AND ended_as = ''`, w, p, millis(now), string(as))
}

// UseAccessPass satisfies signin.Tx. Whoever ends the pass writes the same row: its
// use comes before that or fails.
func (t *Tx) UseAccessPass(ctx context.Context, w id.Workspace, p id.AccessPass, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE signin_access_pass SET used_at = $3
		WHERE workspace = $1 AND id = $2 AND ended_as = '' AND starts_at <= $3 AND expires_at > $3 AND (one_time = FALSE OR used_at = 0)`, w, p, millis(now))
}

// EndPassSessions satisfies signin.Tx.
func (t *Tx) EndPassSessions(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_session SET ended_at = $3 WHERE workspace = $1 AND user_id = $2 AND pass_id <> '' AND ended_at = 0`, w, u, millis(now))
	return err
}

// APIKeyCreator satisfies signin.Tx.
func (t *Tx) APIKeyCreator(ctx context.Context, w id.Workspace, k id.APIKey) (id.User, error) {
	u, _, err := find(ctx, t, value[id.User], `SELECT creator_user FROM apikey WHERE workspace = $1 AND id = $2`, w, k)
	return u, err
}

// HasActiveSecurityKey satisfies signin.Tx.
func (t *Tx) HasActiveSecurityKey(ctx context.Context, w id.Workspace, u id.User) (bool, error) {
	return t.exists(ctx, `SELECT 1 FROM securitykey WHERE workspace = $1 AND user_id = $2 AND life = 'active' LIMIT 1`, w, u)
}
