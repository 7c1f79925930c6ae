package store

import (
	"context"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

const apikeyColumns = `k.id, k.workspace, k.token_id, k.token_hash, k.name, k.type, k.permissions, k.created_at, k.expires_at, k.disabled_at,
	k.created_by_type, k.created_by_id, k.created_by_name`

func scanAPIKey(row scanner) (k apikey.Key, err error) {
	var permissions string
	var created, expires, disabled int64
	err = row.Scan(&k.ID, &k.Workspace, &k.TokenID, &k.TokenHash, &k.Name, &k.Type, &permissions, &created, &expires, &disabled,
		&k.CreatedBy.Type, &k.CreatedBy.ID, &k.CreatedBy.Name)
	k.Permissions, k.CreatedAt, k.ExpiresAt = auth.PermissionsFromText(permissions), moment(created), moment(expires)
	k.DisabledAt = moment(disabled)
	return k, err
}

// InsertAPIKey satisfies apikey.Tx.
func (t *Tx) InsertAPIKey(ctx context.Context, k apikey.Key) error {
	return t.must(ctx, `
		INSERT INTO apikey (id, workspace, token_id, token_hash, name, name_fold, type, permissions, created_at, expires_at,
			created_by_type, created_by_id, created_by_name)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		k.ID, k.Workspace, k.TokenID, k.TokenHash, k.Name, directory.Fold(k.Name), string(k.Type), k.Permissions.Text(), millis(k.CreatedAt), millis(k.ExpiresAt),
		k.CreatedBy.Type, k.CreatedBy.ID, k.CreatedBy.Name)
}

// FindAPIKey satisfies apikey.Tx.
func (t *Tx) FindAPIKey(ctx context.Context, w id.Workspace, k id.APIKey) (apikey.Key, bool, error) {
	return find(ctx, t, scanAPIKey, `SELECT `+apikeyColumns+` FROM apikey k WHERE k.workspace = $1 AND k.id = $2`, w, k)
}

// FindAPIKeyByTokenID satisfies apikey.Tx.
func (t *Tx) FindAPIKeyByTokenID(ctx context.Context, tokenID string) (apikey.Key, bool, error) {
	return find(ctx, t, scanAPIKey, `SELECT `+apikeyColumns+` FROM apikey k WHERE k.token_id = $1`, tokenID)
}

// ListAPIKeys satisfies apikey.Tx.
func (t *Tx) ListAPIKeys(ctx context.Context, w id.Workspace, q apikey.Query) (page.Page[apikey.Key], error) {
	l := &listQuery{from: "apikey k"}
	l.filter("k.workspace = ?", w)
	if q.Type != "" {
		l.filter("k.type = ?", string(q.Type))
	}
	o, valueOf := ordering{column: "k.name_fold"}, func(k apikey.Key) string { return directory.Fold(k.Name) }
	if q.Page.Sort == apikey.SortCreated {
		o, valueOf = ordering{column: "k.created_at", number: true}, func(k apikey.Key) string { return number(k.CreatedAt) }
	}
	return list(ctx, t, l, apikeyColumns, o, "k.id", q.Page, scanAPIKey, func(k apikey.Key) page.Position {
		return page.Position{Value: valueOf(k), ID: string(k.ID)}
	})
}

// ListOwners satisfies apikey.Tx.
func (t *Tx) ListOwners(ctx context.Context, w id.Workspace) ([]outbox.Recipient, string, error) {
	owners, err := collect(ctx, t, func(row scanner) (r outbox.Recipient, err error) {
		var first, last string
		err = row.Scan(&r.Email, &first, &last, &r.Language, &r.Timezone)
		r.Name = personName(first, last, r.Email)
		return r, err
	}, `
		SELECT u.email, u.first_name, u.last_name, u.language, u.timezone
		FROM signin_administrator a CROSS JOIN directory_user u
		WHERE u.workspace = a.workspace AND u.id = a.user_id AND a.workspace = $1 AND a.owner = TRUE ORDER BY u.id LIMIT 100`, w)
	if err != nil {
		return nil, "", err
	}
	workspace, _, err := t.FindWorkspace(ctx, w)
	return owners, workspace.Name, err
}

// personName is a person's name for people.
func personName(first, last, email string) string {
	return directory.User{FirstName: first, LastName: last, Email: email}.Name()
}
