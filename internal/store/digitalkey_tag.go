package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// tagKind is the kind of a tag as its column holds it.
func tagKind(t digitalkey.Type) string {
	if t == digitalkey.Keycard {
		return "card"
	}
	return "pin"
}

// FindTag satisfies digitalkey.TagTx.
func (t *Tx) FindTag(ctx context.Context, q digitalkey.Tag) (digitalkey.Tag, bool, error) {
	return find(ctx, t, func(row scanner) (g digitalkey.Tag, err error) {
		var from, until int64
		var tag string
		g.Kind = q.Kind
		if err := row.Scan(&g.Workspace, &g.Lock, &tag, &g.Key, &g.User, &g.Digits, &from, &until); err != nil {
			return g, err
		}
		g.From, g.Until = moment(from), moment(until)
		raw, err := hex.DecodeString(tag)
		if err != nil || len(raw) != len(g.Tag) {
			return g, fmt.Errorf("a tag of %s is none", g.Key)
		}
		g.Tag = grant.Tag(raw)
		return g, nil
	}, `
		SELECT workspace, lock_id, tag, key_id, user_id, digits, from_at, until_at FROM digitalkey_tag
		WHERE workspace = $1 AND lock_id = $2 AND kind = $3 AND tag = $4 AND key_id <> $5 AND from_at < $6 AND until_at > $7 AND (kind = 'pin' OR user_id <> $8)
		ORDER BY from_at, key_id LIMIT 1`,
		q.Workspace, q.Lock, tagKind(q.Kind), hex.EncodeToString(q.Tag[:]), q.Key, millis(q.Until), millis(q.From), q.User)
}

// InsertTag satisfies digitalkey.TagTx.
func (t *Tx) InsertTag(ctx context.Context, g digitalkey.Tag) error {
	return t.must(ctx, `
		INSERT INTO digitalkey_tag (lock_id, kind, tag, key_id, workspace, user_id, digits, from_at, until_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (lock_id, kind, tag, key_id) DO UPDATE SET user_id = excluded.user_id, digits = excluded.digits, from_at = excluded.from_at, until_at = excluded.until_at`,
		g.Lock, tagKind(g.Kind), hex.EncodeToString(g.Tag[:]), g.Key, g.Workspace, g.User, g.Digits, millis(g.From), millis(g.Until))
}

// EndTags satisfies digitalkey.TagTx.
func (t *Tx) EndTags(ctx context.Context, w id.Workspace, l id.Lock, k id.DigitalKey, at time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE digitalkey_tag SET until_at = $4 WHERE workspace = $1 AND lock_id = $2 AND key_id = $3 AND until_at > $4`, w, l, k, millis(at))
	return err
}

// CountTags satisfies digitalkey.TagTx.
func (t *Tx) CountTags(ctx context.Context, w id.Workspace, l id.Lock, digits int, from, until time.Time) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM digitalkey_tag
		WHERE workspace = $1 AND lock_id = $2 AND kind = 'pin' AND digits = $3 AND from_at < $4 AND until_at > $5`, w, l, digits, millis(until), millis(from))
}

// PruneTags satisfies digitalkey.TagTx.
func (t *Tx) PruneTags(ctx context.Context, before time.Time, limit int) (int64, error) {
	return t.exec(ctx, `
		DELETE FROM digitalkey_tag WHERE until_at < $1 AND (lock_id, kind, tag, key_id) IN (
			SELECT lock_id, kind, tag, key_id FROM digitalkey_tag WHERE until_at < $1 ORDER BY until_at LIMIT $2)`, millis(before), limit)
}

// ReadRate satisfies digitalkey.Tx.
func (t *Tx) ReadRate(ctx context.Context, name string, now time.Time, window time.Duration) (int64, error) {
	return t.number(ctx, `SELECT n FROM signin_rate WHERE name = $1 AND since > $2`, name, millis(now.Add(-window)))
}
