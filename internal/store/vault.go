package store

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/vault"
)

const credentialColumns = `v.id, v.workspace, v.user_id, v.rp_id, v.rp_name, v.user_handle, v.user_name, v.display_name, v.algorithm, v.raw_id, v.public_key, v.sealed,
	v.discoverable, v.protection, v.hmac_secret, v.created_at, v.created_key, v.created_by, v.client_id, v.last_used_at, v.last_key, v.uses`

func scanCredential(row scanner) (c vault.Credential, err error) { return scanCredentialWith(row) }

// scanCredentialWith reads a credential and what else the row has.
func scanCredentialWith(row scanner, more ...any) (c vault.Credential, err error) {
	var created, used int64
	err = row.Scan(append([]any{
		&c.ID, &c.Workspace, &c.User, &c.RPID, &c.RPName, &c.UserHandle, &c.UserName, &c.DisplayName, &c.Algorithm, &c.RawID, &c.PublicKey, &c.Sealed,
		&c.Discoverable, &c.Protection, &c.HMACSecret, &created, &c.CreatedKey, &c.CreatedBy, &c.Client, &used, &c.LastKey, &c.Uses,
	}, more...)...)
	c.CreatedAt, c.LastUsedAt = moment(created), moment(used)
	return c, err
}

// shownCredentialColumns are a credential with its holder and the key that used it last.
const shownCredentialColumns = credentialColumns + `, u.first_name, u.last_name, u.email, COALESCE(k.name, '')`

const shownCredentialTables = `vault_credential v JOIN directory_user u ON u.workspace = v.workspace AND u.id = v.user_id
	LEFT JOIN securitykey k ON k.workspace = v.workspace AND k.id = v.last_key`

func scanShownCredential(row scanner) (vault.Credential, error) {
	var first, last, email, key string
	c, err := scanCredentialWith(row, &first, &last, &email, &key)
	c.Holder, c.LastKeyName = vault.Holder{Name: personName(first, last, email), Email: email}, key
	return c, err
}

// InsertCredential satisfies vault.CredentialTx.
func (t *Tx) InsertCredential(ctx context.Context, c vault.Credential) error {
	return t.must(ctx, `
		INSERT INTO vault_credential (id, workspace, user_id, rp_id, rp_name, user_handle, user_name, display_name, algorithm, raw_id, public_key, sealed,
			discoverable, protection, hmac_secret, created_at, created_key, created_by, client_id, last_used_at, last_key, uses)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
		c.ID, c.Workspace, c.User, c.RPID, c.RPName, c.UserHandle, c.UserName, c.DisplayName, int64(c.Algorithm), c.RawID, c.PublicKey, c.Sealed,
		c.Discoverable, int64(c.Protection), c.HMACSecret, millis(c.CreatedAt), c.CreatedKey, c.CreatedBy, c.Client, millis(c.LastUsedAt), c.LastKey, c.Uses)
}

// DeleteCredential satisfies vault.CredentialTx.
func (t *Tx) DeleteCredential(ctx context.Context, w id.Workspace, c id.Credential) (bool, error) {
	return t.one(ctx, `DELETE FROM vault_credential WHERE workspace = $1 AND id = $2`, w, c)
}

// FindCredential satisfies vault.CredentialTx.
func (t *Tx) FindCredential(ctx context.Context, w id.Workspace, c id.Credential) (vault.Credential, bool, error) {
	return find(ctx, t, scanShownCredential, `
		SELECT `+shownCredentialColumns+` FROM `+shownCredentialTables+` WHERE v.workspace = $1 AND v.id = $2`, w, c)
}

// ListPartyCredentials satisfies vault.CredentialTx.
func (t *Tx) ListPartyCredentials(ctx context.Context, w id.Workspace, u id.User, rpID string) ([]vault.Credential, error) {
	return collect(ctx, t, scanCredential, `
		SELECT `+credentialColumns+` FROM vault_credential v WHERE v.workspace = $1 AND v.user_id = $2 AND v.rp_id = $3
		ORDER BY v.last_used_at DESC, v.id DESC LIMIT 100`, w, u, rpID) // vault.MaxPerParty: SQLite plans anew for each limit that is bound
}

// CountCredentials satisfies vault.CredentialTx.
func (t *Tx) CountCredentials(ctx context.Context, w id.Workspace, u id.User) (int, error) {
	n, err := t.number(ctx, `SELECT COUNT(*) FROM vault_credential WHERE workspace = $1 AND user_id = $2`, w, u)
	return int(n), err
}

// UseCredential satisfies vault.CredentialTx.
func (t *Tx) UseCredential(ctx context.Context, w id.Workspace, c id.Credential, k id.SecurityKey, now time.Time) (bool, error) {
	return t.one(ctx, `UPDATE vault_credential SET last_used_at = $4, last_key = $3, uses = uses + 1 WHERE workspace = $1 AND id = $2`, w, c, k, millis(now))
}

// ListCredentials satisfies vault.CredentialTx.
func (t *Tx) ListCredentials(ctx context.Context, w id.Workspace, u id.User, p page.Request) (page.Page[vault.Credential], error) {
	l := &listQuery{from: shownCredentialTables}
	l.filter("v.workspace = ?", w)
	l.filter("v.user_id = ?", u)
	return list(ctx, t, l, shownCredentialColumns, ordering{column: "v.created_at", number: true}, "v.id", p, scanShownCredential, func(c vault.Credential) page.Position {
		return page.Position{Value: strconv.FormatInt(millis(c.CreatedAt), 10), ID: string(c.ID)}
	})
}

// UserThere satisfies vault.Tx.
func (t *Tx) UserThere(ctx context.Context, w id.Workspace, u id.User) (bool, error) {
	n, err := t.number(ctx, `SELECT COUNT(*) FROM directory_user WHERE workspace = $1 AND id = $2`, w, u)
	return n > 0, err
}
