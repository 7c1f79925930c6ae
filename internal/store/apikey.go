package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// A key that was never used, or was made by an earlier version, has no row of its
// use.
const apikeyColumns = `k.id, k.workspace, k.token_id, k.token_hash, k.pepper, k.name, k.type, k.permissions, k.created_at, k.issued_at, k.expires_at,
	k.ends_at, k.warn_at, k.disabled_at, k.leaked_at, k.allowed_ips, k.created_by_type, k.created_by_id, k.created_by_name, k.creator_user,
	k.retiring_token_id, k.retiring_hash, k.retiring_pepper, k.retiring_ends_at, k.revision, COALESCE(s.at, 0), COALESCE(s.ip, ''), COALESCE(s.agent, '')`

func scanAPIKey(row scanner) (k apikey.Key, err error) {
	var s apikeyScan
	err = row.Scan(s.fields(&k)...)
	return s.key(k), err
}

// apikeyScan holds what a row has in another form than the key.
type apikeyScan struct {
	permissions, ips                                                             string
	created, issued, expires, ends, warn, disabled, leaked, retiringEnds, lastAt int64
}

func (s *apikeyScan) fields(k *apikey.Key) []any {
	return []any{
		&k.ID, &k.Workspace, &k.TokenID, &k.TokenHash, &k.Pepper, &k.Name, &k.Type, &s.permissions, &s.created, &s.issued, &s.expires,
		&s.ends, &s.warn, &s.disabled, &s.leaked, &s.ips, &k.CreatedBy.Type, &k.CreatedBy.ID, &k.CreatedBy.Name, &k.Root,
		&k.Retiring.TokenID, &k.Retiring.TokenHash, &k.Retiring.Pepper, &s.retiringEnds, &k.Revision, &s.lastAt, &k.LastUse.IP, &k.LastUse.Agent,
	}
}

func (s *apikeyScan) key(k apikey.Key) apikey.Key {
	k.Permissions, k.AllowedIPs = auth.PermissionsFromText(s.permissions), apikey.ParseAllowedIPs(s.ips)
	k.CreatedAt, k.IssuedAt, k.ExpiresAt, k.EndsAt, k.WarnAt = moment(s.created), moment(s.issued), moment(s.expires), moment(s.ends), moment(s.warn)
	k.DisabledAt, k.LeakedAt, k.Retiring.EndsAt, k.LastUse.At = moment(s.disabled), moment(s.leaked), moment(s.retiringEnds), moment(s.lastAt)
	if !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(k.EndsAt) {
		k.EndsAt = k.ExpiresAt // a server of an earlier version wrote it
	}
	if len(k.Retiring.TokenHash) == 0 {
		k.Retiring.TokenHash = nil
	}
	return k
}

// InsertAPIKey satisfies apikey.Tx.
func (t *Tx) InsertAPIKey(ctx context.Context, k apikey.Key) error {
	if err := t.must(ctx, `
		INSERT INTO apikey (id, workspace, token_id, token_hash, pepper, name, name_fold, type, permissions, created_at, issued_at, expires_at, ends_at, warn_at,
			allowed_ips, created_by_type, created_by_id, created_by_name, creator_user, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
		k.ID, k.Workspace, k.TokenID, k.TokenHash, k.Pepper, k.Name, directory.Fold(k.Name), string(k.Type), k.Permissions.Text(),
		millis(k.CreatedAt), millis(k.IssuedAt), millis(k.ExpiresAt), millis(k.EndsAt), millis(k.WarnAt),
		apikey.AllowedIPsText(k.AllowedIPs), k.CreatedBy.Type, k.CreatedBy.ID, k.CreatedBy.Name, k.Root, k.Revision); err != nil {
		return err
	}
	return t.must(ctx, `INSERT INTO apikey_use (key_id, workspace, at, ip, agent) VALUES ($1, $2, 0, '', '')`, k.ID, k.Workspace)
}

// UpdateAPIKey satisfies apikey.Tx.
func (t *Tx) UpdateAPIKey(ctx context.Context, k apikey.Key) error {
	retiring := k.Retiring.TokenHash
	if retiring == nil {
		retiring = []byte{}
	}
	return t.must(ctx, `
		UPDATE apikey SET token_id = $3, token_hash = $4, pepper = $5, name = $6, name_fold = $7, issued_at = $8, expires_at = $9, ends_at = $10,
			warn_at = $11, disabled_at = $12, leaked_at = $13, allowed_ips = $14, retiring_token_id = $15, retiring_hash = $16, retiring_pepper = $17,
			retiring_ends_at = $18, revision = $19
		WHERE workspace = $1 AND id = $2`,
		k.Workspace, k.ID, k.TokenID, k.TokenHash, k.Pepper, k.Name, directory.Fold(k.Name), millis(k.IssuedAt), millis(k.ExpiresAt), millis(k.EndsAt),
		millis(k.WarnAt), millis(k.DisabledAt), millis(k.LeakedAt), apikey.AllowedIPsText(k.AllowedIPs), k.Retiring.TokenID, retiring, k.Retiring.Pepper,
		millis(k.Retiring.EndsAt), k.Revision)
}

// DeleteAPIKey satisfies apikey.Tx.
func (t *Tx) DeleteAPIKey(ctx context.Context, w id.Workspace, k id.APIKey, now time.Time) error {
	if err := t.must(ctx, `DELETE FROM apikey WHERE workspace = $1 AND id = $2`, w, k); err != nil {
		return err
	}
	return t.must(ctx, `INSERT INTO apikey_gone (key_id, workspace, at) VALUES ($1, $2, $3)`, k, w, millis(now))
}

// LockAPIKey satisfies apikey.Tx.
func (t *Tx) LockAPIKey(ctx context.Context, w id.Workspace, k id.APIKey) (apikey.Key, bool, error) {
	there, err := t.one(ctx, `UPDATE apikey SET revision = revision WHERE workspace = $1 AND id = $2`, w, k)
	if err != nil || !there {
		return apikey.Key{}, false, err
	}
	return t.FindAPIKey(ctx, w, k)
}

// FindAPIKey satisfies apikey.Tx.
func (t *Tx) FindAPIKey(ctx context.Context, w id.Workspace, k id.APIKey) (apikey.Key, bool, error) {
	return find(ctx, t, scanAPIKey, `
		SELECT `+apikeyColumns+` FROM apikey k LEFT JOIN apikey_use s ON s.key_id = k.id WHERE k.workspace = $1 AND k.id = $2`, w, k)
}

// FindAPIKeyByTokenID satisfies apikey.Tx.
func (t *Tx) FindAPIKeyByTokenID(ctx context.Context, tokenID string) (apikey.Key, apikey.Place, bool, error) {
	if tokenID == "" {
		return apikey.Key{}, apikey.Place{}, false, nil
	}
	type row struct {
		k apikey.Key
		p apikey.Place
	}
	scan := func(in scanner) (r row, err error) {
		var s apikeyScan
		var suspended int64
		err = in.Scan(append(s.fields(&r.k), &r.p.Name, &suspended)...)
		r.k = s.key(r.k)
		r.p.ID, r.p.Suspended = r.k.Workspace, suspended != 0
		return r, err
	}
	r, found, err := find(ctx, t, scan, `
		SELECT `+apikeyColumns+`, w.name, w.suspended_at FROM apikey k JOIN workspace w ON w.id = k.workspace LEFT JOIN apikey_use s ON s.key_id = k.id
		WHERE k.token_id = $1`, tokenID)
	if err == nil && !found {
		r, found, err = find(ctx, t, scan, `
			SELECT `+apikeyColumns+`, w.name, w.suspended_at FROM apikey k JOIN workspace w ON w.id = k.workspace LEFT JOIN apikey_use s ON s.key_id = k.id
			WHERE k.retiring_token_id = $1 AND k.retiring_token_id <> ''`, tokenID)
	}
	return r.k, r.p, found, err
}

// ListAPIKeys satisfies apikey.Tx.
func (t *Tx) ListAPIKeys(ctx context.Context, w id.Workspace, q apikey.Query) (page.Page[apikey.Key], error) {
	l := &listQuery{from: "apikey k LEFT JOIN apikey_use s ON s.key_id = k.id"}
	o, valueOf := ordering{column: "k.name_fold"}, func(k apikey.Key) string { return directory.Fold(k.Name) }
	switch q.Page.Sort {
	case apikey.SortCreated:
		o, valueOf = ordering{column: "k.created_at", number: true}, func(k apikey.Key) string { return number(k.CreatedAt) }
	case apikey.SortExpires:
		o, valueOf = ordering{column: "k.ends_at", number: true}, func(k apikey.Key) string { return number(k.EndsAt) }
	case apikey.SortLastUse:
		l.from = "apikey_use s JOIN apikey k ON k.id = s.key_id"
		o, valueOf = ordering{column: "s.at", number: true}, func(k apikey.Key) string { return number(k.LastUse.At) }
		l.filter("s.workspace = ?", w)
	}
	l.filter("k.workspace = ?", w)
	l.apikeyFilters(q)
	id := "k.id"
	if q.Page.Sort == apikey.SortLastUse {
		id = "s.key_id"
	}
	return list(ctx, t, l, apikeyColumns, o, id, q.Page, scanAPIKey, func(k apikey.Key) page.Position {
		return page.Position{Value: valueOf(k), ID: string(k.ID)}
	})
}

// ListDescendants satisfies apikey.Tx.
func (t *Tx) ListDescendants(ctx context.Context, w id.Workspace, k id.APIKey, limit int) ([]apikey.Key, error) {
	return collect(ctx, t, scanAPIKey, `
		WITH RECURSIVE made (id) AS (
			SELECT id FROM apikey WHERE workspace = $1 AND created_by_id = $2
			UNION
			SELECT c.id FROM made m JOIN apikey c ON c.workspace = $1 AND c.created_by_id = m.id
		)
		SELECT `+apikeyColumns+` FROM made m JOIN apikey k ON k.workspace = $1 AND k.id = m.id LEFT JOIN apikey_use s ON s.key_id = k.id
		ORDER BY k.name_fold, k.id LIMIT $3`, w, k, limit)
}

// APIKeyMaxDays satisfies apikey.Tx.
func (t *Tx) APIKeyMaxDays(ctx context.Context, w id.Workspace) (int, error) {
	n, err := t.number(ctx, `SELECT api_key_max_days FROM workspace WHERE id = $1`, w)
	return int(n), err
}

// LimitAPIKeys satisfies directory.WorkspaceTx: it brings the ends of all keys to
// the limit. Keys that end at another time than before are warned of anew.
func (t *Tx) LimitAPIKeys(ctx context.Context, w id.Workspace, maxDays int) error {
	_, err := t.exec(ctx, `
		UPDATE apikey SET ends_at = e.ends_at, warn_at = CASE WHEN e.ends_at < CAST($4 AS BIGINT) THEN e.ends_at - CAST($3 AS BIGINT) ELSE CAST($4 AS BIGINT) END, revision = revision + 1
		FROM (
			SELECT id, CASE
				WHEN CAST($2 AS BIGINT) > 0 AND (expires_at = 0 OR issued_at + CAST($2 AS BIGINT) < expires_at) THEN issued_at + CAST($2 AS BIGINT)
				WHEN expires_at = 0 THEN CAST($4 AS BIGINT) ELSE expires_at END AS ends_at
			FROM apikey WHERE workspace = $1
		) e
		WHERE apikey.workspace = $1 AND apikey.id = e.id AND apikey.ends_at <> e.ends_at`,
		w, int64(maxDays)*dayMillis, 30*dayMillis, millis(apikey.Never()))
	return err
}

const dayMillis = int64(24 * time.Hour / time.Millisecond)

// ListDueAPIKeys satisfies apikey.ExpiryTx.
func (t *Tx) ListDueAPIKeys(ctx context.Context, now time.Time, limit int) ([]apikey.Key, error) {
	return collect(ctx, t, scanAPIKey, `
		SELECT `+apikeyColumns+` FROM apikey k LEFT JOIN apikey_use s ON s.key_id = k.id
		WHERE k.warn_at <= $1 AND k.warn_at < 253402300799999 ORDER BY k.warn_at, k.id LIMIT $2`, millis(now), limit)
}

// PostponeWarning satisfies apikey.ExpiryTx.
func (t *Tx) PostponeWarning(ctx context.Context, w id.Workspace, k id.APIKey, from, next time.Time) (bool, error) {
	return t.one(ctx, `UPDATE apikey SET warn_at = $4 WHERE workspace = $1 AND id = $2 AND warn_at = $3`, w, k, millis(from), millis(next))
}

// AddAPIKeyUses satisfies apikey.UsageTx. All who write take the rows in one order.
func (t *Tx) AddAPIKeyUses(ctx context.Context, uses []apikey.Used) error {
	uses = slices.SortedFunc(slices.Values(uses), func(a, b apikey.Used) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Day, b.Day))
	})
	for len(uses) > 0 {
		batch := uses[:min(usesAtOnce, len(uses))]
		uses = uses[len(batch):]
		last, days := make([]any, 0, 5*len(batch)), make([]any, 0, 4*len(batch))
		for i, u := range batch {
			days = append(days, u.Workspace, u.Key, u.Day, u.N)
			if i+1 == len(batch) || batch[i+1].Key != u.Key { // the last of its days
				last = append(last, u.Key, u.Workspace, millis(u.Last.At), u.Last.IP, u.Last.Agent)
			}
		}
		if _, err := t.exec(ctx, upsertUses(len(last)/5), last...); err != nil {
			return err
		}
		if _, err := t.exec(ctx, upsertUsage(len(batch)), days...); err != nil {
			return err
		}
	}
	return nil
}

// usesAtOnce is how many uses one statement writes.
const usesAtOnce = 100

// RehashToken satisfies apikey.UsageTx.
func (t *Tx) RehashToken(ctx context.Context, w id.Workspace, tokenID string, old, hash []byte, pepper int) error {
	if _, err := t.exec(ctx, `UPDATE apikey SET token_hash = $4, pepper = $5 WHERE workspace = $1 AND token_id = $2 AND token_hash = $3`, w, tokenID, old, hash, pepper); err != nil {
		return err
	}
	_, err := t.exec(ctx, `
		UPDATE apikey SET retiring_hash = $4, retiring_pepper = $5
		WHERE workspace = $1 AND retiring_token_id = $2 AND retiring_token_id <> '' AND retiring_hash = $3`, w, tokenID, old, hash, pepper)
	return err
}

// ListAPIKeyUsage satisfies apikey.UsageTx.
func (t *Tx) ListAPIKeyUsage(ctx context.Context, w id.Workspace, k id.APIKey, first int64) ([]apikey.DayUsage, error) {
	return collect(ctx, t, func(row scanner) (u apikey.DayUsage, err error) {
		var day int64
		err = row.Scan(&day, &u.N)
		u.Day = time.UnixMilli(day * dayMillis).UTC()
		return u, err
	}, `SELECT day, n FROM apikey_usage WHERE workspace = $1 AND key_id = $2 AND day >= $3 ORDER BY day LIMIT 1000`, w, k, first)
}

// TrimAPIKeyUsage satisfies apikey.UsageTx.
func (t *Tx) TrimAPIKeyUsage(ctx context.Context, first int64, gone time.Time, limit int) error {
	if _, err := t.exec(ctx, `
		DELETE FROM apikey_usage WHERE (workspace, key_id, day) IN (
			SELECT workspace, key_id, day FROM apikey_usage WHERE day < $1 ORDER BY day LIMIT $2)`, first, limit); err != nil {
		return err
	}
	keys, err := collect(ctx, t, value[id.APIKey], `SELECT key_id FROM apikey_gone WHERE at < $1 ORDER BY at, key_id LIMIT $2`, millis(gone), limit)
	if err != nil {
		return err
	}
	for _, k := range keys {
		for _, query := range []string{
			`DELETE FROM apikey_usage WHERE workspace = (SELECT workspace FROM apikey_gone WHERE key_id = $1) AND key_id = $1`,
			`DELETE FROM apikey_use WHERE key_id = $1`,
			`DELETE FROM apikey_gone WHERE key_id = $1`,
		} {
			if _, err := t.exec(ctx, query, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// CountHashes satisfies apikey.UsageTx.
func (t *Tx) CountHashes(ctx context.Context, except []int, now time.Time) (int64, error) {
	current := &listQuery{from: "apikey k", where: []string{"k.id <> ''"}} // all: except may be empty
	retiring := &listQuery{from: "apikey k", where: []string{"k.retiring_token_id <> ''"}}
	retiring.filter("k.retiring_ends_at > ?", millis(now))
	for _, n := range except {
		current.filter("k.pepper <> ?", n)
		retiring.filter("k.retiring_pepper <> ?", n)
	}
	n, err := t.number(ctx, current.count(), current.args...)
	if err != nil {
		return 0, err
	}
	more, err := t.number(ctx, retiring.count(), retiring.args...)
	return n + more, err
}

func scanRecipient(row scanner) (r outbox.Recipient, err error) {
	var first, last string
	err = row.Scan(&r.Email, &first, &last, &r.Language, &r.Timezone)
	r.Name = personName(first, last, r.Email)
	return r, err
}

// ListOwners satisfies apikey.Tx.
func (t *Tx) ListOwners(ctx context.Context, w id.Workspace) ([]outbox.Recipient, string, error) {
	return t.ListKeyOwners(ctx, w, "")
}

// ListKeyOwners satisfies apikey.Tx.
func (t *Tx) ListKeyOwners(ctx context.Context, w id.Workspace, and id.User) ([]outbox.Recipient, string, error) {
	owners, err := collect(ctx, t, scanRecipient, `
		SELECT u.email, u.first_name, u.last_name, u.language, u.timezone
		FROM directory_user u LEFT JOIN signin_administrator a ON a.workspace = u.workspace AND a.user_id = u.id
		WHERE u.workspace = $1 AND u.id IN (SELECT user_id FROM signin_administrator WHERE workspace = $1 AND owner = TRUE UNION SELECT CAST($2 AS TEXT))
			AND a.id IS NOT NULL
		ORDER BY u.id LIMIT 100`, w, and)
	if err != nil {
		return nil, "", err
	}
	workspace, _, err := t.FindWorkspace(ctx, w)
	return owners, workspace.Name, err
}

// ListKeyWatchers satisfies apikey.Tx.
func (t *Tx) ListKeyWatchers(ctx context.Context, w id.Workspace, and id.User) ([]outbox.Recipient, string, error) {
	watchers, err := collect(ctx, t, scanRecipient, `
		SELECT u.email, u.first_name, u.last_name, u.language, u.timezone
		FROM signin_administrator a JOIN directory_user u ON u.workspace = a.workspace AND u.id = a.user_id
		WHERE a.workspace = $1 AND u.suspended_at = 0
			AND (a.owner = TRUE OR a.user_id = $2 OR ' ' || a.permissions || ' ' LIKE '% api_keys.write %')
		ORDER BY u.id LIMIT 1000`, w, and)
	if err != nil {
		return nil, "", err
	}
	workspace, _, err := t.FindWorkspace(ctx, w)
	return watchers, workspace.Name, err
}

// personName is a person's name for people.
func personName(first, last, email string) string {
	return directory.User{FirstName: first, LastName: last, Email: email}.Name()
}
