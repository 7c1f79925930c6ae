package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/client"
)

// InsertTap satisfies client.TapTx.
func (t *Tx) InsertTap(ctx context.Context, p client.Tap) error {
	return t.must(ctx, `
		INSERT INTO client_tap (id, workspace, client_id, security_key, user_id, card_digest, operation, origin, top_origin, cross_origin, rp_id, options_hash, needs,
			key_revision, user_revision, client_revision, created_at, expires_at, spent_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0)`,
		p.ID, p.Workspace, p.Client, p.SecurityKey, p.User, p.CardDigest, string(p.Operation), p.Origin, p.TopOrigin, p.CrossOrigin, p.RPID, p.OptionsHash, string(p.Needs),
		p.Stamp.Key, p.Stamp.User, p.Stamp.Client, millis(p.CreatedAt), millis(p.ExpiresAt))
}

// FindTicket satisfies client.TapTx.
func (t *Tx) FindTicket(ctx context.Context, w id.Workspace, p id.Touch) (client.Ticket, bool, error) {
	return find(ctx, t, func(row scanner) (k client.Ticket, err error) {
		var created, expires, spent, keySeen, seen int64
		var first, last, email string
		err = row.Scan(&k.ID, &k.Workspace, &k.Client, &k.SecurityKey, &k.User, &k.CardDigest, &k.Operation, &k.Origin, &k.TopOrigin, &k.CrossOrigin, &k.RPID, &k.OptionsHash, &k.Needs,
			&k.Stamp.Key, &k.Stamp.User, &k.Stamp.Client, &created, &expires, &spent,
			&k.Now.Key, &k.Now.User, &k.Now.Client, &k.Active, &k.KeyName, &first, &last, &email, &k.Auditable, &keySeen, &seen, &k.CardSealed)
		k.CreatedAt, k.ExpiresAt, k.SpentAt = moment(created), moment(expires), moment(spent)
		k.KeySeen, k.UserSeen = moment(keySeen), moment(seen)
		k.UserName = personName(first, last, email)
		if len(k.CardSealed) == 0 {
			k.CardSealed = nil
		}
		return k, err
	}, `
		SELECT p.id, p.workspace, p.client_id, p.security_key, p.user_id, p.card_digest, p.operation, p.origin, p.top_origin, p.cross_origin, p.rp_id, p.options_hash, p.needs,
			p.key_revision, p.user_revision, p.client_revision, p.created_at, p.expires_at, p.spent_at,
			COALESCE(k.revision, 0), COALESCE(u.revision, 0), COALESCE(c.revision, 0), COALESCE(k.shown = 'active' AND u.suspended_at = 0 AND w.suspended_at = 0, FALSE),
			COALESCE(k.name, ''), COALESCE(u.first_name, ''), COALESCE(u.last_name, ''), COALESCE(u.email, ''), COALESCE(u.auditable, TRUE), COALESCE(k.last_activity_at, 0), COALESCE(u.last_activity_at, 0), k.card_sealed
		FROM client_tap p
			JOIN workspace w ON w.id = p.workspace
			LEFT JOIN client c ON c.workspace = p.workspace AND c.id = p.client_id
			LEFT JOIN securitykey k ON k.workspace = p.workspace AND k.id = p.security_key
			LEFT JOIN directory_user u ON u.workspace = p.workspace AND u.id = p.user_id
		WHERE p.workspace = $1 AND p.id = $2`, w, p)
}

// SpendTicket satisfies client.TapTx.
func (t *Tx) SpendTicket(ctx context.Context, k client.Ticket, with client.Use, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE client_tap SET spent_at = $3 WHERE workspace = $1 AND id = $2 AND spent_at = 0 AND expires_at > $3
			AND EXISTS (SELECT 1 FROM securitykey k WHERE k.workspace = $1 AND k.id = $4 AND k.revision = $5 AND k.shown = 'active')
			AND EXISTS (SELECT 1 FROM directory_user u WHERE u.workspace = $1 AND u.id = $6 AND u.revision = $7 AND u.suspended_at = 0)
			AND EXISTS (SELECT 1 FROM client c WHERE c.workspace = $1 AND c.id = $8 AND c.revision = $9)
			AND ($10 = '' OR EXISTS (SELECT 1 FROM client_uv v WHERE v.digest = $10 AND v.workspace = $1 AND v.expires_at > $3 AND v.idle_until > $3
				AND v.client_id = $8 AND v.security_key = $4 AND v.rp_id = $11 AND v.key_revision = $5 AND v.user_revision = $7 AND v.client_revision = $9))
			AND ($12 = '' OR EXISTS (SELECT 1 FROM vault_credential a WHERE a.workspace = $1 AND a.id = $12 AND a.user_id = $6))`,
		k.Workspace, k.ID, millis(now), k.SecurityKey, k.Stamp.Key, k.User, k.Stamp.User, k.Client, k.Stamp.Client, with.Verification, k.RPID, with.Credential)
}

// InsertVerification satisfies client.TapTx.
func (t *Tx) InsertVerification(ctx context.Context, v client.Verification) error {
	return t.must(ctx, `
		INSERT INTO client_uv (digest, workspace, client_id, security_key, rp_id, key_revision, user_revision, client_revision, expires_at, idle_until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		v.Digest, v.Workspace, v.Client, v.SecurityKey, v.RPID, v.Stamp.Key, v.Stamp.User, v.Stamp.Client, millis(v.ExpiresAt), millis(v.IdleUntil))
}

// UseVerification satisfies client.TapTx.
func (t *Tx) UseVerification(ctx context.Context, k client.Ticket, digest string, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE client_uv SET idle_until = $4 WHERE workspace = $1 AND digest = $2 AND expires_at > $3 AND idle_until > $3
			AND client_id = $5 AND security_key = $6 AND rp_id = $7 AND key_revision = $8 AND user_revision = $9 AND client_revision = $10`,
		k.Workspace, digest, millis(now), millis(now.Add(client.VerificationIdle)), k.Client, k.SecurityKey, k.RPID, k.Now.Key, k.Now.User, k.Now.Client)
}

// TouchClient satisfies client.TapTx.
func (t *Tx) TouchClient(ctx context.Context, w id.Workspace, c id.Client, ip, agent string, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE client SET last_seen_at = $3, last_ip = $4, agent = $5 WHERE workspace = $1 AND id = $2 AND last_seen_at <= $6`,
		w, c, millis(now), ip, agent, millis(now.Add(-time.Minute)))
	return err
}

// CountSecurityKeyUse satisfies client.TapTx.
func (t *Tx) CountSecurityKeyUse(ctx context.Context, w id.Workspace, k id.SecurityKey) error {
	_, err := t.exec(ctx, `UPDATE securitykey SET total = total + 1 WHERE workspace = $1 AND id = $2`, w, k)
	return err
}

// MarkSecurityKeySeen satisfies client.TapTx.
func (t *Tx) MarkSecurityKeySeen(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error {
	_, err := t.exec(ctx, `UPDATE securitykey SET last_activity_at = $3, used_at = $3, noticed_at = 0 WHERE workspace = $1 AND id = $2`, w, k, millis(now))
	return err
}

// FindTapHolder satisfies client.TapTx.
func (t *Tx) FindTapHolder(ctx context.Context, w id.Workspace, u id.User) (client.TapHolder, error) {
	h, _, err := find(ctx, t, func(row scanner) (h client.TapHolder, err error) {
		var seen int64
		err = row.Scan(&h.Revision, &h.Auditable, &seen)
		h.SeenAt = moment(seen)
		return h, err
	}, `SELECT revision, auditable, last_activity_at FROM directory_user WHERE workspace = $1 AND id = $2`, w, u)
	return h, err
}

// AddRate satisfies client.TapTx.
func (t *Tx) AddRate(ctx context.Context, name string, by int, now time.Time, window time.Duration) (int64, time.Time, error) {
	type count struct{ n, since int64 }
	c, _, err := find(ctx, t, func(row scanner) (c count, err error) {
		err = row.Scan(&c.n, &c.since)
		return c, err
	}, `
		INSERT INTO signin_rate (name, since, n) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET
			n = CASE WHEN signin_rate.since <= $4 THEN excluded.n ELSE signin_rate.n + excluded.n END,
			since = CASE WHEN signin_rate.since <= $4 THEN excluded.since ELSE signin_rate.since END
		RETURNING n, since`, name, millis(now), by, millis(now.Add(-window)))
	return c.n, moment(c.since), err
}

const (
	// proofSweep bounds how many rows of each kind one call of ForgetProofs removes.
	proofSweep = 5000
	// shadowMemory is how long the tries of a card that nobody has are remembered.
	shadowMemory = 90 * 24 * time.Hour
)

// ForgetProofs satisfies client.Tx.
func (t *Tx) ForgetProofs(ctx context.Context, now time.Time) (more bool, err error) {
	for _, s := range []struct {
		query string
		until time.Time
	}{
		{`DELETE FROM client_proof WHERE (until_at, workspace, thumbprint, proof) IN (
			SELECT until_at, workspace, thumbprint, proof FROM client_proof WHERE until_at <= $1 ORDER BY until_at, workspace, thumbprint, proof LIMIT $2)`, now},
		{`DELETE FROM client_tap WHERE id IN (SELECT id FROM client_tap WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2)`, now.Add(-time.Minute)},
		{`DELETE FROM client_uv WHERE digest IN (SELECT digest FROM client_uv WHERE expires_at <= $1 ORDER BY expires_at, digest LIMIT $2)`, now},
		{`DELETE FROM securitykey_shadow WHERE (workspace, card_digest) IN (
			SELECT workspace, card_digest FROM securitykey_shadow WHERE used_at <= $1 ORDER BY used_at, workspace, card_digest LIMIT $2)`, now.Add(-shadowMemory)},
	} {
		n, err := t.exec(ctx, s.query, millis(s.until), proofSweep)
		if err != nil {
			return false, err
		}
		more = more || n == proofSweep
	}
	return more, nil
}
