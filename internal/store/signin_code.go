package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// codeSweep bounds how many dead codes, or counts of tries, one new one clears away.
const codeSweep = 20

// InsertCode satisfies signin.Tx. A code that is over may still be chosen a
// workspace with, for its lifetime once more.
func (t *Tx) InsertCode(ctx context.Context, c signin.Code, now time.Time) error {
	if _, err := t.exec(ctx, `
		DELETE FROM signin_code WHERE id IN (
			SELECT id FROM signin_code WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, millis(now.Add(-signin.CodeLifetime)), codeSweep); err != nil {
		return err
	}
	return t.must(ctx, `
		INSERT INTO signin_code (id, browser, email_fold, tries_left, created_at, expires_at, proved_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		c.ID, c.Browser, c.Email, c.TriesLeft, millis(c.CreatedAt), millis(c.ExpiresAt), millis(c.ProvedAt), millis(c.UsedAt))
}

const codeColumns = `id, browser, email_fold, tries_left, created_at, expires_at, proved_at, used_at`

func scanCode(row scanner) (c signin.Code, err error) {
	var created, expires, proved, used int64
	err = row.Scan(&c.ID, &c.Browser, &c.Email, &c.TriesLeft, &created, &expires, &proved, &used)
	c.CreatedAt, c.ExpiresAt, c.ProvedAt, c.UsedAt = moment(created), moment(expires), moment(proved), moment(used)
	return c, err
}

// FindCode satisfies signin.Tx.
func (t *Tx) FindCode(ctx context.Context, browser []byte) (signin.Code, bool, error) {
	return find(ctx, t, scanCode, `SELECT `+codeColumns+` FROM signin_code WHERE browser = $1`, browser)
}

// SpendCodeTry satisfies signin.Tx.
func (t *Tx) SpendCodeTry(ctx context.Context, browser []byte, now time.Time) (signin.Code, bool, error) {
	return find(ctx, t, scanCode, `
		UPDATE signin_code SET tries_left = tries_left - 1
		WHERE browser = $1 AND tries_left > 0 AND expires_at > $2 AND proved_at = 0
		RETURNING `+codeColumns, browser, millis(now))
}

// MarkCodeProved satisfies signin.Tx.
func (t *Tx) MarkCodeProved(ctx context.Context, c id.Code, now time.Time) error {
	return t.must(ctx, `UPDATE signin_code SET proved_at = $2 WHERE id = $1 AND proved_at = 0`, c, millis(now))
}

// UseCode satisfies signin.Tx.
func (t *Tx) UseCode(ctx context.Context, c id.Code, now, provedAfter time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE signin_code SET used_at = $2 WHERE id = $1 AND used_at = 0 AND proved_at > $3`, c, millis(now), millis(provedAfter))
}

// rateMemory is how long a count of tries is kept: longer than any window, of which the
// longest is the life of an activation link (three days).
const rateMemory = 4 * 24 * time.Hour

// CountRate satisfies signin.Tx. The count is made or raised in one statement, so
// that tries at once are all counted.
func (t *Tx) CountRate(ctx context.Context, name string, now time.Time, window time.Duration) (int64, time.Time, error) {
	// The outer condition is asked again for a row that another transaction has just
	// begun anew.
	if _, err := t.exec(ctx, `
		DELETE FROM signin_rate WHERE since <= $1 AND name IN (
			SELECT name FROM signin_rate WHERE since <= $1 ORDER BY since LIMIT $2)`, millis(now.Add(-rateMemory)), codeSweep); err != nil {
		return 0, time.Time{}, err
	}
	return t.AddRate(ctx, name, 1, now, window)
}

// UncountRate satisfies signin.Tx.
func (t *Tx) UncountRate(ctx context.Context, name string) error {
	_, err := t.exec(ctx, `UPDATE signin_rate SET n = n - 1 WHERE name = $1 AND n > 0`, name)
	return err
}

// CountLogin satisfies signin.Tx.
func (t *Tx) CountLogin(ctx context.Context, w id.Workspace, outcome string, now time.Time) error {
	return t.addTick(ctx, w, "login."+outcome, now)
}
