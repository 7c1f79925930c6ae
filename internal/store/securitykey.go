package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

const securityKeyColumns = `k.id, k.workspace, k.user_id, k.kind, k.name, k.model, k.aaguid, k.life, k.suspended_at, k.verification, k.proximity,
	k.card_type, k.card_digest, k.card_sealed, k.card_named, k.to_confirm, k.link_id, k.link_expires_at,
	k.pin_verifier, k.pin_wrong, k.pin_paused_until, k.pin_must_change, k.pin_set_at,
	k.total, k.created_at, k.activated_at, k.last_activity_at, k.noticed_at, k.revision,
	u.first_name, u.last_name, u.email, u.suspended_at, w.suspended_at`

// securityKeyTables begins with the keys: CROSS JOIN keeps SQLite to that order.
const securityKeyTables = `securitykey k CROSS JOIN directory_user u CROSS JOIN workspace w`

// securityKeyJoin says which rows of the tables belong together.
const securityKeyJoin = `u.workspace = k.workspace AND u.id = k.user_id AND w.id = k.workspace`

func scanSecurityKey(row scanner) (k securitykey.SecurityKey, err error) {
	var suspended, linkExpires, paused, pinSet, created, activated, last, noticed, userSuspended, workspaceSuspended int64
	var firstName, lastName string
	err = row.Scan(&k.ID, &k.Workspace, &k.User, &k.Kind, &k.Name, &k.Model, &k.AAGUID, &k.Life, &suspended, &k.Verification, &k.Proximity,
		&k.Card.Type, &k.Card.Digest, &k.Card.Sealed, &k.Card.Named, &k.ToConfirm, &k.Link.ID, &linkExpires,
		&k.PIN.Verifier, &k.PIN.Wrong, &paused, &k.PIN.MustChange, &pinSet,
		&k.Total, &created, &activated, &last, &noticed, &k.Revision,
		&firstName, &lastName, &k.Holder.Email, &userSuspended, &workspaceSuspended)
	k.SuspendedAt, k.Link.ExpiresAt, k.PIN.PausedUntil, k.PIN.SetAt = moment(suspended), moment(linkExpires), moment(paused), moment(pinSet)
	k.CreatedAt, k.ActivatedAt, k.LastActivityAt, k.NoticedAt = moment(created), moment(activated), moment(last), moment(noticed)
	k.Holder.Name, k.Holder.Suspended = personName(firstName, lastName, k.Holder.Email), userSuspended != 0 || workspaceSuspended != 0
	if len(k.Card.Sealed) == 0 {
		k.Card.Sealed = nil
	}
	if len(k.PIN.Verifier) == 0 {
		k.PIN.Verifier = nil
	}
	return k, err
}

// bytes is b as a column that is never null holds it.
func bytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// LockUser satisfies securitykey.Tx.
func (t *Tx) LockUser(ctx context.Context, w id.Workspace, u id.User) (bool, error) {
	return t.one(ctx, `UPDATE directory_user SET revision = revision WHERE workspace = $1 AND id = $2`, w, u)
}

// FindKeyOwner satisfies securitykey.Tx.
func (t *Tx) FindKeyOwner(ctx context.Context, w id.Workspace, u id.User) (securitykey.Owner, bool, error) {
	return find(ctx, t, func(row scanner) (o securitykey.Owner, err error) {
		var first, last, status string
		var userSuspended, workspaceSuspended int64
		err = row.Scan(&o.User, &o.UserID, &o.To.Email, &first, &last, &o.To.Language, &o.To.Timezone, &o.Workspace, &userSuspended, &workspaceSuspended, &status, &o.Keys)
		o.To.Name = personName(first, last, o.To.Email)
		o.Suspended, o.NotInvited = userSuspended != 0 || workspaceSuspended != 0, status == string(directory.NotInvited)
		return o, err
	}, `
		SELECT u.id, u.user_id, u.email, u.first_name, u.last_name, CASE WHEN u.language = '' THEN w.language ELSE u.language END,
			CASE WHEN u.timezone = '' THEN w.timezone ELSE u.timezone END, w.name, u.suspended_at, w.suspended_at, u.status, u.security_keys
		FROM directory_user u JOIN workspace w ON w.id = u.workspace WHERE u.workspace = $1 AND u.id = $2`, w, u)
}

// ListSecurityKeyWatchers satisfies securitykey.Tx.
func (t *Tx) ListSecurityKeyWatchers(ctx context.Context, w id.Workspace) ([]outbox.Recipient, error) {
	return collect(ctx, t, scanRecipient, `
		SELECT u.email, u.first_name, u.last_name, u.language, u.timezone
		FROM signin_administrator a JOIN directory_user u ON u.workspace = a.workspace AND u.id = a.user_id
		WHERE a.workspace = $1 AND u.suspended_at = 0
			AND (a.owner = TRUE OR ' ' || a.permissions || ' ' LIKE '% security_keys.write %')
		ORDER BY u.id LIMIT 1000`, w)
}

// InsertSecurityKey satisfies securitykey.KeyTx. It keeps the search terms, the
// tallies and the user's count.
func (t *Tx) InsertSecurityKey(ctx context.Context, k securitykey.SecurityKey) error {
	if err := t.must(ctx, `
		INSERT INTO securitykey (id, workspace, user_id, kind, name, name_fold, model, aaguid, life, shown, suspended_at, verification, proximity,
			card_type, card_digest, card_sealed, card_named, to_confirm, link_id, link_expires_at,
			pin_verifier, pin_wrong, pin_paused_until, pin_must_change, pin_set_at,
			total, created_at, activated_at, last_activity_at, used_at, noticed_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)`,
		k.ID, k.Workspace, k.User, string(k.Kind), k.Name, directory.Fold(k.Name), k.Model, k.AAGUID, string(k.Life), string(k.Shown()), millis(k.SuspendedAt),
		string(k.Verification), k.Proximity, k.Card.Type, k.Card.Digest, bytes(k.Card.Sealed), k.Card.Named, k.ToConfirm, k.Link.ID, millis(k.Link.ExpiresAt),
		bytes(k.PIN.Verifier), k.PIN.Wrong, millis(k.PIN.PausedUntil), k.PIN.MustChange, millis(k.PIN.SetAt),
		k.Total, millis(k.CreatedAt), millis(k.ActivatedAt), millis(k.LastActivityAt), millis(k.UsedAt()), millis(k.NoticedAt), k.Revision); err != nil {
		return err
	}
	if err := t.must(ctx, `
		INSERT INTO securitykey_binding (key_id, workspace, user_id, kind, name, model, created_at, activated_at, ended_at, ended_as)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '')`,
		k.ID, k.Workspace, k.User, string(k.Kind), k.Name, k.Model, millis(k.CreatedAt), millis(k.ActivatedAt)); err != nil {
		return err
	}
	if err := t.countKeyOf(ctx, k.Workspace, k.User, 1); err != nil {
		return err
	}
	if err := t.countSecurityKey(ctx, k.Workspace, k.Kind, k.Shown(), 1); err != nil {
		return err
	}
	if err := t.addTick(ctx, k.Workspace, "security_key.create", k.CreatedAt); err != nil {
		return err
	}
	if k.Life == securitykey.Active {
		if err := t.addTick(ctx, k.Workspace, "security_key.activate", k.ActivatedAt); err != nil {
			return err
		}
	}
	return t.retermSecurityKey(ctx, k.Workspace, k.ID)
}

// countKeyOf moves how many keys a user has, and how many users have none.
func (t *Tx) countKeyOf(ctx context.Context, w id.Workspace, u id.User, by int) error {
	n, found, err := find(ctx, t, value[int64], `
		UPDATE directory_user SET security_keys = security_keys + $3 WHERE workspace = $1 AND id = $2 RETURNING security_keys`, w, u, by)
	switch {
	case err != nil:
		return err
	case !found:
		return errors.New("counting the keys of a user who is not there")
	case n == 0:
		return t.addTally(ctx, w, "users/without_key", 1)
	case n == int64(by):
		return t.addTally(ctx, w, "users/without_key", -1)
	}
	return nil
}

// countSecurityKey moves the tallies of the keys.
func (t *Tx) countSecurityKey(ctx context.Context, w id.Workspace, kind securitykey.Kind, shown securitykey.Status, by int64) error {
	for _, name := range []string{"security_keys", "security_keys/" + string(shown), "security_keys/" + string(kind) + "/" + string(shown)} {
		if err := t.addTally(ctx, w, name, by); err != nil {
			return err
		}
	}
	return nil
}

// retermSecurityKey brings the words under which a key is found to what is written of
// it and of its holder.
func (t *Tx) retermSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey) error {
	type row struct{ name, model, first, last, email string }
	r, found, err := find(ctx, t, func(row_ scanner) (r row, err error) {
		err = row_.Scan(&r.name, &r.model, &r.first, &r.last, &r.email)
		return r, err
	}, `
		SELECT k.name, k.model, u.first_name, u.last_name, u.email
		FROM securitykey k JOIN directory_user u ON u.workspace = k.workspace AND u.id = k.user_id WHERE k.workspace = $1 AND k.id = $2`, w, k)
	if err != nil || !found {
		return err
	}
	// Words of a key are cut as those of a user and of a group are.
	terms := directory.Terms(directory.User{FirstName: r.first, LastName: r.last, Email: r.email})
	terms = append(terms, directory.GroupTerms(directory.Group{Name: r.name})...)
	terms = append(terms, directory.GroupTerms(directory.Group{Name: r.model})...)
	slices.Sort(terms)
	return t.replaceTerms(ctx, w, "security_key", string(k), slices.Compact(terms))
}

// retermSecurityKeysOf does that for all keys of a user.
func (t *Tx) retermSecurityKeysOf(ctx context.Context, w id.Workspace, u id.User) error {
	keys, err := t.securityKeyIDs(ctx, w, u)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := t.retermSecurityKey(ctx, w, k); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) securityKeyIDs(ctx context.Context, w id.Workspace, u id.User) ([]id.SecurityKey, error) {
	return collect(ctx, t, value[id.SecurityKey], `SELECT id FROM securitykey WHERE workspace = $1 AND user_id = $2 ORDER BY id LIMIT 1000`, w, u)
}

// shownKey is what the tallies know of a key.
type shownKey struct {
	user      id.User
	kind      securitykey.Kind
	life      securitykey.Status
	shown     securitykey.Status
	activated int64
}

func (t *Tx) findShownKey(ctx context.Context, w id.Workspace, k id.SecurityKey) (shownKey, bool, error) {
	return find(ctx, t, func(row scanner) (s shownKey, err error) {
		err = row.Scan(&s.user, &s.kind, &s.life, &s.shown, &s.activated)
		return s, err
	}, `SELECT user_id, kind, life, shown, activated_at FROM securitykey WHERE workspace = $1 AND id = $2`, w, k)
}

// UpdateSecurityKey satisfies securitykey.KeyTx. Uses are counted by TouchSecurityKey
// alone.
func (t *Tx) UpdateSecurityKey(ctx context.Context, k securitykey.SecurityKey) error {
	old, _, err := t.findShownKey(ctx, k.Workspace, k.ID)
	if err != nil {
		return err
	}
	if err := t.must(ctx, `
		UPDATE securitykey SET name = $3, name_fold = $4, model = $5, aaguid = $6, life = $7, shown = $8, suspended_at = $9, verification = $10, proximity = $11,
			card_type = $12, card_digest = $13, card_sealed = $14, card_named = $15, to_confirm = $16, link_id = $17, link_expires_at = $18,
			pin_verifier = $19, pin_wrong = $20, pin_paused_until = $21, pin_must_change = $22, pin_set_at = $23,
			activated_at = $24, used_at = $25, noticed_at = $26, revision = $27
		WHERE workspace = $1 AND id = $2`,
		k.Workspace, k.ID, k.Name, directory.Fold(k.Name), k.Model, k.AAGUID, string(k.Life), string(k.Shown()), millis(k.SuspendedAt), string(k.Verification), k.Proximity,
		k.Card.Type, k.Card.Digest, bytes(k.Card.Sealed), k.Card.Named, k.ToConfirm, k.Link.ID, millis(k.Link.ExpiresAt),
		bytes(k.PIN.Verifier), k.PIN.Wrong, millis(k.PIN.PausedUntil), k.PIN.MustChange, millis(k.PIN.SetAt),
		millis(k.ActivatedAt), millis(k.UsedAt()), millis(k.NoticedAt), k.Revision); err != nil {
		return err
	}
	if err := t.must(ctx, `
		UPDATE securitykey_binding SET name = $3, model = $4, activated_at = CASE WHEN activated_at = 0 THEN CAST($5 AS BIGINT) ELSE activated_at END
		WHERE workspace = $1 AND key_id = $2`, k.Workspace, k.ID, k.Name, k.Model, millis(k.ActivatedAt)); err != nil {
		return err
	}
	if old.life != securitykey.Active && k.Life == securitykey.Active {
		if err := t.addTick(ctx, k.Workspace, "security_key.activate", k.ActivatedAt); err != nil {
			return err
		}
	}
	if old.shown != k.Shown() {
		kind := "security_keys/" + string(k.Kind) + "/"
		if err := t.moveTally(ctx, k.Workspace, "security_keys/"+string(old.shown), "security_keys/"+string(k.Shown())); err != nil {
			return err
		}
		if err := t.moveTally(ctx, k.Workspace, kind+string(old.shown), kind+string(k.Shown())); err != nil {
			return err
		}
	}
	return t.retermSecurityKey(ctx, k.Workspace, k.ID)
}

// DeleteSecurityKey satisfies securitykey.KeyTx.
func (t *Tx) DeleteSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error {
	return t.endSecurityKey(ctx, w, k, "deleted", now)
}

// endSecurityKey removes a key with all that hangs on it.
func (t *Tx) endSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey, as string, now time.Time) error {
	old, _, err := t.findShownKey(ctx, w, k)
	if err != nil {
		return err
	}
	if err := t.EndSecurityKeySessions(ctx, w, k, now); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM signin_passkey WHERE workspace = $1 AND security_key = $2 AND security_key <> ''`, w, k); err != nil {
		return err
	}
	if err := t.removeTerms(ctx, w, "security_key", string(k)); err != nil {
		return err
	}
	if err := t.must(ctx, `DELETE FROM securitykey WHERE workspace = $1 AND id = $2`, w, k); err != nil {
		return err
	}
	if err := t.must(ctx, `UPDATE securitykey_binding SET ended_at = $3, ended_as = $4 WHERE workspace = $1 AND key_id = $2`, w, k, millis(now), as); err != nil {
		return err
	}
	if err := t.countKeyOf(ctx, w, old.user, -1); err != nil {
		return err
	}
	if err := t.countSecurityKey(ctx, w, old.kind, old.shown, -1); err != nil {
		return err
	}
	return t.addTick(ctx, w, "security_key.delete", now)
}

// deleteSecurityKeysOf removes all keys of a user who is deleted.
func (t *Tx) deleteSecurityKeysOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	keys, err := t.securityKeyIDs(ctx, w, u)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := t.endSecurityKey(ctx, w, k, "user_deleted", now); err != nil {
			return err
		}
	}
	return nil
}

// WithdrawActivations satisfies directory.Tx.
func (t *Tx) WithdrawActivations(ctx context.Context, w id.Workspace, u id.User) error {
	_, err := t.exec(ctx, `
		UPDATE securitykey SET link_id = '', link_expires_at = 0, revision = revision + 1 WHERE workspace = $1 AND user_id = $2 AND link_id <> ''`, w, u)
	return err
}

// LockSecurityKey satisfies securitykey.KeyTx.
func (t *Tx) LockSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey) (securitykey.SecurityKey, bool, error) {
	there, err := t.one(ctx, `UPDATE securitykey SET revision = revision WHERE workspace = $1 AND id = $2`, w, k)
	if err != nil || !there {
		return securitykey.SecurityKey{}, false, err
	}
	return t.FindSecurityKey(ctx, w, k)
}

// FindSecurityKey satisfies securitykey.KeyTx.
func (t *Tx) FindSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey) (securitykey.SecurityKey, bool, error) {
	return find(ctx, t, scanSecurityKey, `
		SELECT `+securityKeyColumns+` FROM `+securityKeyTables+` WHERE `+securityKeyJoin+` AND k.workspace = $1 AND k.id = $2`, w, k)
}

// FindSecurityKeyByLink satisfies securitykey.KeyTx.
func (t *Tx) FindSecurityKeyByLink(ctx context.Context, link id.Activation) (securitykey.SecurityKey, bool, error) {
	return find(ctx, t, scanSecurityKey, `
		SELECT `+securityKeyColumns+` FROM `+securityKeyTables+` WHERE `+securityKeyJoin+` AND k.link_id = $1 AND k.link_id <> ''`, link)
}

// FindSecurityKeyByCard satisfies securitykey.KeyTx.
func (t *Tx) FindSecurityKeyByCard(ctx context.Context, w id.Workspace, digest string) (securitykey.SecurityKey, bool, error) {
	return find(ctx, t, scanSecurityKey, `
		SELECT `+securityKeyColumns+` FROM `+securityKeyTables+` WHERE `+securityKeyJoin+` AND k.workspace = $1 AND k.card_digest = $2 AND k.card_digest <> ''`, w, digest)
}

// FindAnyCard satisfies securitykey.KeyTx.
func (t *Tx) FindAnyCard(ctx context.Context, w id.Workspace) (securitykey.SecurityKey, bool, error) {
	return find(ctx, t, scanSecurityKey, `
		SELECT `+securityKeyColumns+` FROM `+securityKeyTables+` WHERE `+securityKeyJoin+` AND k.workspace = $1 AND k.card_digest <> ''
		ORDER BY k.card_digest LIMIT 1`, w)
}

// ListUserSecurityKeys satisfies securitykey.KeyTx.
func (t *Tx) ListUserSecurityKeys(ctx context.Context, w id.Workspace, u id.User) ([]securitykey.SecurityKey, error) {
	return collect(ctx, t, scanSecurityKey, `
		SELECT `+securityKeyColumns+` FROM `+securityKeyTables+` WHERE `+securityKeyJoin+` AND k.workspace = $1 AND k.user_id = $2
		ORDER BY k.created_at, k.id LIMIT 1000`, w, u)
}

// CountActiveSecurityKeys satisfies securitykey.KeyTx.
func (t *Tx) CountActiveSecurityKeys(ctx context.Context, w id.Workspace, u id.User, except id.SecurityKey) (int64, error) {
	return t.number(ctx, `SELECT COUNT(*) FROM securitykey WHERE workspace = $1 AND user_id = $2 AND life = 'active' AND id <> $3`, w, u, except)
}

// EndSecurityKeySessions satisfies securitykey.KeyTx.
func (t *Tx) EndSecurityKeySessions(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_session SET ended_at = $3
		WHERE workspace = $1 AND ended_at = 0 AND passkey_id <> ''
			AND user_id = (SELECT user_id FROM securitykey WHERE workspace = $1 AND id = $2)
			AND passkey_id IN (SELECT id FROM signin_passkey WHERE workspace = $1 AND security_key = $2 AND security_key <> '')`, w, k, millis(now))
	return err
}

// TouchSecurityKey satisfies securitykey.KeyTx.
func (t *Tx) TouchSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE securitykey SET total = total + 1, last_activity_at = $3, used_at = $3, noticed_at = 0 WHERE workspace = $1 AND id = $2`, w, k, millis(now))
	return err
}

// ListBindings satisfies securitykey.KeyTx.
func (t *Tx) ListBindings(ctx context.Context, w id.Workspace, u id.User) ([]securitykey.Binding, error) {
	return collect(ctx, t, func(row scanner) (b securitykey.Binding, err error) {
		var created, activated, ended int64
		err = row.Scan(&b.Key, &b.Workspace, &b.User, &b.Kind, &b.Name, &b.Model, &created, &activated, &ended, &b.EndedAs)
		b.CreatedAt, b.ActivatedAt, b.EndedAt = moment(created), moment(activated), moment(ended)
		return b, err
	}, `
		SELECT key_id, workspace, user_id, kind, name, model, created_at, activated_at, ended_at, ended_as
		FROM securitykey_binding WHERE workspace = $1 AND user_id = $2 ORDER BY created_at DESC, key_id DESC LIMIT 1000`, w, u)
}

// CountSecurityKeys satisfies securitykey.KeyTx.
func (t *Tx) CountSecurityKeys(ctx context.Context, w id.Workspace) (securitykey.Counts, error) {
	var n securitykey.Counts
	for name, to := range map[string]*int{
		"security_keys": &n.Total, "security_keys/new": &n.New, "security_keys/pending": &n.Pending, "security_keys/active": &n.Active, "security_keys/suspended": &n.Suspended,
	} {
		v, err := t.tally(ctx, w, name)
		if err != nil {
			return n, err
		}
		*to = int(v)
	}
	return n, nil
}

// ListSecurityKeys satisfies securitykey.KeyTx. Of the conditions, one that few keys
// fulfil finds them before they are sorted.
func (t *Tx) ListSecurityKeys(ctx context.Context, w id.Workspace, q securitykey.Query) (page.Page[securitykey.SecurityKey], error) {
	l := &listQuery{from: securityKeyTables, where: []string{securityKeyJoin}}
	l.filter("k.workspace = ?", w)
	possible, narrowed, err := l.search(ctx, t, w, "security_key", "k.id", q.Words)
	if err != nil || !possible {
		return page.Page[securitykey.SecurityKey]{Total: totalOfNone(q.Page)}, err
	}
	n, err := t.securityKeyTallies(ctx, w, q)
	if err != nil {
		return page.Page[securitykey.SecurityKey]{}, err
	}
	o, valueOf := securityKeyOrdering(q)
	l.securityKeyFilters(w, q, isRare(n.shown, n.total), isRare(n.both, n.total), narrowed)
	tallied := len(q.Words) == 0 && q.User == "" && !q.ToConfirm && q.UnusedSince.IsZero() && q.CardDigest == ""
	wantsTotal := q.Page.WithTotal
	q.Page.WithTotal = wantsTotal && !tallied
	out, err := list(ctx, t, l, securityKeyColumns, o, "k.id", q.Page, scanSecurityKey, func(k securitykey.SecurityKey) page.Position {
		return page.Position{Value: valueOf(k), ID: string(k.ID)}
	})
	if err == nil && wantsTotal && tallied {
		out.Total = int(n.both)
	}
	return out, err
}

// securityKeyOrdering returns the order that is asked for. By last activity, what is
// unused is sorted by what it is found by.
func securityKeyOrdering(q securitykey.Query) (ordering, func(securitykey.SecurityKey) string) {
	switch {
	case q.Page.Sort == securitykey.SortCreated:
		return ordering{column: "k.created_at", number: true}, func(k securitykey.SecurityKey) string { return number(k.CreatedAt) }
	case q.Page.Sort == securitykey.SortLastActivity && !q.UnusedSince.IsZero():
		return ordering{column: "k.used_at", number: true}, func(k securitykey.SecurityKey) string { return number(k.UsedAt()) }
	case q.Page.Sort == securitykey.SortLastActivity:
		return ordering{column: "k.last_activity_at", number: true}, func(k securitykey.SecurityKey) string { return number(k.LastActivityAt) }
	}
	return ordering{column: "k.name_fold"}, func(k securitykey.SecurityKey) string { return directory.Fold(k.Name) }
}

// keyTallies is what the tallies say of a list's filters: how many keys there are, of
// the status, and of the status and kind.
type keyTallies struct{ total, shown, both int64 }

func (t *Tx) securityKeyTallies(ctx context.Context, w id.Workspace, q securitykey.Query) (n keyTallies, err error) {
	if n.total, err = t.tally(ctx, w, "security_keys"); err != nil {
		return n, err
	}
	n.shown = n.total
	if q.Status != "" {
		if n.shown, err = t.tally(ctx, w, "security_keys/"+string(q.Status)); err != nil {
			return n, err
		}
	}
	if n.both = n.shown; q.Kind == "" {
		return n, nil
	}
	n.both = 0
	for _, status := range securitykey.Statuses() {
		if q.Status != "" && q.Status != status {
			continue
		}
		some, err := t.tally(ctx, w, "security_keys/"+string(q.Kind)+"/"+string(status))
		if err != nil {
			return n, err
		}
		n.both += some
	}
	return n, nil
}

// SpendPINTry satisfies securitykey.PINTx.
func (t *Tx) SpendPINTry(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) (int, bool, error) {
	n, ok, err := find(ctx, t, value[int64], `
		UPDATE securitykey SET pin_wrong = pin_wrong + 1,
			pin_paused_until = CASE pin_wrong + 1 WHEN $4 THEN CAST($5 AS BIGINT) WHEN $6 THEN CAST($7 AS BIGINT) ELSE 0 END
		WHERE workspace = $1 AND id = $2 AND pin_wrong < $8 AND pin_paused_until <= $3 AND shown = 'active'
		RETURNING pin_wrong`, w, k, millis(now),
		securitykey.FirstRestAfter, millis(now.Add(securitykey.FirstRest)), securitykey.SecondRestAfter, millis(now.Add(securitykey.SecondRest)), securitykey.PINTries)
	return int(n), ok, err
}

// ClearPINTries satisfies securitykey.PINTx.
func (t *Tx) ClearPINTries(ctx context.Context, w id.Workspace, k id.SecurityKey) error {
	return t.must(ctx, `UPDATE securitykey SET pin_wrong = 0, pin_paused_until = 0 WHERE workspace = $1 AND id = $2`, w, k)
}

// FindSecurityKeySettings satisfies securitykey.SettingsTx.
func (t *Tx) FindSecurityKeySettings(ctx context.Context, w id.Workspace) (securitykey.Settings, bool, error) {
	return find(ctx, t, func(row scanner) (s securitykey.Settings, err error) {
		var allowed, blocked string
		err = row.Scan(&s.PIN.Min, &s.PIN.Max, &s.PIN.Digit, &s.PIN.Lower, &s.PIN.Upper, &s.PIN.Special, &s.Pinless, &allowed, &blocked, &s.UnusedDays, &s.GraceDays, &s.Revision)
		s.ModelsAllowed, s.ModelsBlocked = fields(allowed), fields(blocked)
		return s, err
	}, `
		SELECT pin_min, pin_max, pin_digit, pin_lower, pin_upper, pin_special, pinless, models_allowed, models_blocked, unused_days, grace_days, revision
		FROM securitykey_setting WHERE workspace = $1`, w)
}

// fields is strings.Fields with nil for no field.
func fields(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Fields(text)
}

// WriteSecurityKeySettings satisfies securitykey.SettingsTx.
func (t *Tx) WriteSecurityKeySettings(ctx context.Context, w id.Workspace, s securitykey.Settings) (bool, error) {
	return t.one(ctx, `
		INSERT INTO securitykey_setting (workspace, pin_min, pin_max, pin_digit, pin_lower, pin_upper, pin_special, pinless, models_allowed, models_blocked,
			unused_days, grace_days, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (workspace) DO UPDATE SET pin_min = excluded.pin_min, pin_max = excluded.pin_max, pin_digit = excluded.pin_digit, pin_lower = excluded.pin_lower,
			pin_upper = excluded.pin_upper, pin_special = excluded.pin_special, pinless = excluded.pinless, models_allowed = excluded.models_allowed,
			models_blocked = excluded.models_blocked, unused_days = excluded.unused_days, grace_days = excluded.grace_days, revision = excluded.revision
		WHERE securitykey_setting.revision = excluded.revision - 1`,
		w, s.PIN.Min, s.PIN.Max, s.PIN.Digit, s.PIN.Lower, s.PIN.Upper, s.PIN.Special, s.Pinless, strings.Join(s.ModelsAllowed, " "), strings.Join(s.ModelsBlocked, " "),
		s.UnusedDays, s.GraceDays, s.Revision)
}

// ClearUnusedNotices satisfies securitykey.SettingsTx.
func (t *Tx) ClearUnusedNotices(ctx context.Context, w id.Workspace) error {
	_, err := t.exec(ctx, `UPDATE securitykey SET noticed_at = 0 WHERE workspace = $1 AND noticed_at > 0`, w)
	return err
}

// ListUnusedRules satisfies securitykey.UnusedTx.
func (t *Tx) ListUnusedRules(ctx context.Context, after id.Workspace, limit int) ([]securitykey.UnusedRule, error) {
	return collect(ctx, t, func(row scanner) (r securitykey.UnusedRule, err error) {
		err = row.Scan(&r.Workspace, &r.Days, &r.Grace)
		return r, err
	}, `
		SELECT s.workspace, s.unused_days, s.grace_days FROM securitykey_setting s JOIN workspace w ON w.id = s.workspace
		WHERE s.unused_days > 0 AND w.suspended_at = 0 AND s.workspace > $1 ORDER BY s.workspace LIMIT $2`, after, limit)
}

// toldBetween returns the bounds of the moments at which the holder was told.
func toldBetween(q securitykey.UnusedQuery) (from, to int64) {
	const forever = int64(1) << 62
	switch q.Told {
	case securitykey.ToldNever:
		return 0, 0
	case securitykey.ToldBefore:
		return 1, millis(q.ToldBy)
	}
	return 0, forever
}

// ListUnusedSecurityKeys satisfies securitykey.UnusedTx.
func (t *Tx) ListUnusedSecurityKeys(ctx context.Context, w id.Workspace, q securitykey.UnusedQuery) ([]securitykey.SecurityKey, error) {
	from, to := toldBetween(q)
	return collect(ctx, t, scanSecurityKey, `
		SELECT `+securityKeyColumns+` FROM `+securityKeyTables+`
		WHERE `+securityKeyJoin+` AND k.workspace = $1 AND k.used_at <= $2 AND (k.used_at, k.id) > ($3, $4)
			AND NOT (k.shown <> 'active') AND k.noticed_at >= $5 AND k.noticed_at <= $6
		ORDER BY k.used_at, k.id LIMIT $7`, w, millis(q.UsedBy), millis(q.After.UsedAt), q.After.ID, from, to, cmp.Or(q.Limit, 1))
}

// CountUnusedSecurityKeys satisfies securitykey.UnusedTx.
func (t *Tx) CountUnusedSecurityKeys(ctx context.Context, w id.Workspace, q securitykey.UnusedQuery) (int64, error) {
	from, to := toldBetween(q)
	return t.number(ctx, `
		SELECT COUNT(*) FROM securitykey k
		WHERE k.workspace = $1 AND k.used_at <= $2 AND NOT (k.shown <> 'active') AND k.noticed_at >= $3 AND k.noticed_at <= $4`, w, millis(q.UsedBy), from, to)
}

// NoteUnusedNotice satisfies securitykey.UnusedTx.
func (t *Tx) NoteUnusedNotice(ctx context.Context, w id.Workspace, k id.SecurityKey, usedBy, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE securitykey SET noticed_at = $4 WHERE workspace = $1 AND id = $2 AND used_at <= $3 AND noticed_at = 0 AND shown = 'active'`,
		w, k, millis(usedBy), millis(now))
}
