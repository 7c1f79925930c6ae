package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// FindWorkspaceSecret returns a secret of a workspace as it is sealed.
func (t *Tx) FindWorkspaceSecret(ctx context.Context, w id.Workspace, kind string) ([]byte, bool, error) {
	return find(ctx, t, value[[]byte], `SELECT sealed FROM workspace_secret WHERE workspace = $1 AND kind = $2`, w, kind)
}

// InsertWorkspaceSecret writes a sealed secret of a workspace, unless it has one of the
// kind already: whoever writes first wins.
func (t *Tx) InsertWorkspaceSecret(ctx context.Context, w id.Workspace, kind string, sealed []byte) error {
	_, err := t.exec(ctx, `
		INSERT INTO workspace_secret (workspace, kind, sealed) VALUES ($1, $2, $3) ON CONFLICT (workspace, kind) DO NOTHING`, w, kind, sealed)
	return err
}

// SpendShadowTry satisfies securitykey.PINTx, as SpendPINTry does.
func (t *Tx) SpendShadowTry(ctx context.Context, w id.Workspace, digest string, now time.Time) (int, bool, error) {
	n, ok, err := find(ctx, t, value[int64], `
		INSERT INTO securitykey_shadow (workspace, card_digest, pin_wrong, pin_paused_until, used_at) VALUES ($1, $2, 1, 0, $3)
		ON CONFLICT (workspace, card_digest) DO UPDATE SET pin_wrong = securitykey_shadow.pin_wrong + 1, used_at = excluded.used_at,
			pin_paused_until = CASE securitykey_shadow.pin_wrong + 1 WHEN $4 THEN CAST($5 AS BIGINT) WHEN $6 THEN CAST($7 AS BIGINT) ELSE 0 END
		WHERE securitykey_shadow.pin_wrong < $8 AND securitykey_shadow.pin_paused_until <= $3
		RETURNING pin_wrong`, w, digest, millis(now),
		securitykey.FirstRestAfter, millis(now.Add(securitykey.FirstRest)), securitykey.SecondRestAfter, millis(now.Add(securitykey.SecondRest)), securitykey.PINTries)
	return int(n), ok, err
}

// FindShadow satisfies securitykey.PINTx.
func (t *Tx) FindShadow(ctx context.Context, w id.Workspace, digest string) (securitykey.PIN, error) {
	p, _, err := find(ctx, t, func(row scanner) (p securitykey.PIN, err error) {
		var paused int64
		err = row.Scan(&p.Wrong, &paused)
		p.PausedUntil = moment(paused)
		return p, err
	}, `SELECT pin_wrong, pin_paused_until FROM securitykey_shadow WHERE workspace = $1 AND card_digest = $2`, w, digest)
	return p, err
}
