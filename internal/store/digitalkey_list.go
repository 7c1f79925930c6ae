package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

const digitalKeyColumns = `k.id, k.workspace, k.user_id, k.description, k.starts_at, k.expires_at, k.timezone, k.weekly, k.role, k.types, k.survives,
	k.notify_email, k.notify_pin, k.pin_sealed, k.pin_length, k.card_sealed, k.card_type, k.expanded_until, k.created_at, k.created_by,
	k.cancelled_at, k.cancelled_by, k.cancel_reason, k.revision,
	u.first_name, u.last_name, u.email, u.suspended_at, w.suspended_at`

// digitalKeyTables begins with the keys: CROSS JOIN keeps SQLite to that order.
const digitalKeyTables = `digitalkey k CROSS JOIN directory_user u CROSS JOIN workspace w`

// digitalKeyJoin says which rows of the tables belong together.
const digitalKeyJoin = `u.workspace = k.workspace AND u.id = k.user_id AND w.id = k.workspace`

func scanDigitalKey(row scanner) (k digitalkey.DigitalKey, err error) {
	var starts, expires, expanded, created, cancelled, userSuspended, workspaceSuspended int64
	var weekly, types, firstName, lastName string
	if err := row.Scan(&k.ID, &k.Workspace, &k.User, &k.Description, &starts, &expires, &k.Timezone, &weekly, &k.Role, &types, &k.SurvivesLease,
		&k.Notify.Email, &k.Notify.ShowPIN, &k.PINSealed, &k.PINLength, &k.CardSealed, &k.CardType, &expanded, &created, &k.CreatedBy,
		&cancelled, &k.CancelledBy, &k.CancelReason, &k.Revision,
		&firstName, &lastName, &k.Holder.Email, &userSuspended, &workspaceSuspended); err != nil {
		return k, err
	}
	k.StartsAt, k.ExpiresAt, k.ExpandedUntil, k.CreatedAt, k.CancelledAt = moment(starts), moment(expires), moment(expanded), moment(created), moment(cancelled)
	k.Holder.Name, k.Holder.Suspended = personName(firstName, lastName, k.Holder.Email), userSuspended != 0 || workspaceSuspended != 0
	k.Types = typesOf(types)
	if len(k.PINSealed) == 0 {
		k.PINSealed = nil
	}
	if len(k.CardSealed) == 0 {
		k.CardSealed = nil
	}
	if weekly != "" {
		err = json.Unmarshal([]byte(weekly), &k.Weekly)
	}
	return k, err
}

// FindDigitalKey satisfies digitalkey.KeyTx.
func (t *Tx) FindDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) (digitalkey.DigitalKey, bool, error) {
	keys, err := collect(ctx, t, scanDigitalKey, `
		SELECT `+digitalKeyColumns+` FROM `+digitalKeyTables+` WHERE `+digitalKeyJoin+` AND k.workspace = $1 AND k.id = $2`, w, k)
	if err != nil || len(keys) == 0 {
		return digitalkey.DigitalKey{}, false, err
	}
	return keys[0], true, t.withLocks(ctx, w, keys[:1])
}

// ListDigitalKeys satisfies digitalkey.KeyTx.
func (t *Tx) ListDigitalKeys(ctx context.Context, w id.Workspace, q digitalkey.Query) (page.Page[digitalkey.DigitalKey], error) {
	l := &listQuery{from: digitalKeyTables, where: []string{digitalKeyJoin}}
	l.filter("k.workspace = ?", w)
	possible, narrowed, err := l.search(ctx, t, w, "digital_key", "k.id", q.Words)
	if err != nil || !possible {
		return page.Page[digitalkey.DigitalKey]{Total: totalOfNone(q.Page)}, err
	}
	l.digitalKeyFilters(w, q, narrowed)
	o, valueOf := digitalKeyOrdering(q.Page.Sort)
	tallied := len(q.Words) == 0 && q.User == "" && q.Lock == "" && q.Type == "" && !q.Survivors && (q.Status == "" || q.Status == digitalkey.Cancelled)
	wantsTotal := q.Page.WithTotal
	q.Page.WithTotal = wantsTotal && !tallied
	out, err := list(ctx, t, l, digitalKeyColumns, o, "k.id", q.Page, scanDigitalKey, func(k digitalkey.DigitalKey) page.Position {
		return page.Position{Value: number(valueOf(k)), ID: string(k.ID)}
	})
	if err != nil {
		return out, err
	}
	if wantsTotal && tallied {
		name := "digital_keys"
		if q.Status != "" {
			name = "digital_keys/cancelled"
		}
		n, err := t.tally(ctx, w, name)
		if err != nil {
			return out, err
		}
		out.Total = int(n)
	}
	return out, t.withLocks(ctx, w, out.Items)
}

func digitalKeyOrdering(sort string) (ordering, func(digitalkey.DigitalKey) time.Time) {
	switch sort {
	case digitalkey.SortExpires:
		return ordering{column: "k.expires_at", number: true}, func(k digitalkey.DigitalKey) time.Time { return k.ExpiresAt }
	case digitalkey.SortCreated:
		return ordering{column: "k.created_at", number: true}, func(k digitalkey.DigitalKey) time.Time { return k.CreatedAt }
	}
	return ordering{column: "k.starts_at", number: true}, func(k digitalkey.DigitalKey) time.Time { return k.StartsAt }
}

// CountDigitalKeys satisfies digitalkey.KeyTx. Of the keys that are not over, whose number
// is small, the indexes of those that are not cancelled know.
func (t *Tx) CountDigitalKeys(ctx context.Context, w id.Workspace, now time.Time) (digitalkey.Counts, error) {
	var n digitalkey.Counts
	total, err := t.tally(ctx, w, "digital_keys")
	if err != nil {
		return n, err
	}
	cancelled, err := t.tally(ctx, w, "digital_keys/cancelled")
	if err != nil {
		return n, err
	}
	open, err := t.number(ctx, `SELECT COUNT(*) FROM digitalkey WHERE workspace = $1 AND cancelled_at = 0 AND expires_at > $2`, w, millis(now))
	if err != nil {
		return n, err
	}
	upcoming, err := t.number(ctx, `SELECT COUNT(*) FROM digitalkey WHERE workspace = $1 AND cancelled_at = 0 AND starts_at > $2`, w, millis(now))
	return digitalkey.Counts{
		Total: int(total), Upcoming: int(upcoming), Active: int(open - upcoming), Expired: int(total - cancelled - open), Cancelled: int(cancelled),
	}, err
}

// ListUserDigitalKeys satisfies digitalkey.KeyTx.
func (t *Tx) ListUserDigitalKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time, ended int) ([]digitalkey.DigitalKey, error) {
	open, err := collect(ctx, t, scanDigitalKey, `
		SELECT `+digitalKeyColumns+` FROM `+digitalKeyTables+`
		WHERE `+digitalKeyJoin+` AND k.workspace = $1 AND k.user_id = $2 AND k.cancelled_at = 0 AND k.expires_at > $3
		ORDER BY k.starts_at, k.id LIMIT 1000`, w, u, millis(now))
	if err != nil {
		return nil, err
	}
	over, err := collect(ctx, t, scanDigitalKey, `
		SELECT `+digitalKeyColumns+` FROM `+digitalKeyTables+`
		WHERE `+digitalKeyJoin+` AND k.workspace = $1 AND k.user_id = $2 AND (k.cancelled_at <> 0 OR k.expires_at <= $3)
		ORDER BY CASE WHEN k.cancelled_at = 0 THEN k.expires_at ELSE k.cancelled_at END DESC, k.id DESC LIMIT $4`, w, u, millis(now), ended)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(open, over)
	return all, t.withLocks(ctx, w, all)
}

// ListOpenDigitalKeys satisfies digitalkey.KeyTx: the first of them, if they are many.
func (t *Tx) ListOpenDigitalKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time) ([]id.DigitalKey, error) {
	return collect(ctx, t, value[id.DigitalKey], `
		SELECT id FROM digitalkey WHERE workspace = $1 AND user_id = $2 AND cancelled_at = 0 AND expires_at > $3 ORDER BY id LIMIT 1000`, w, u, millis(now))
}

// ListAllDigitalKeys satisfies digitalkey.KeyTx: the first of them, if they are many.
func (t *Tx) ListAllDigitalKeys(ctx context.Context, w id.Workspace, u id.User) ([]id.DigitalKey, error) {
	return collect(ctx, t, value[id.DigitalKey], `SELECT id FROM digitalkey WHERE workspace = $1 AND user_id = $2 ORDER BY id LIMIT 1000`, w, u)
}

// ListDueDigitalKeys satisfies digitalkey.KeyTx. A key whose doors know its hours to its end
// is not due.
func (t *Tx) ListDueDigitalKeys(ctx context.Context, now, until time.Time, limit int) ([]digitalkey.DigitalKey, error) {
	keys, err := collect(ctx, t, scanDigitalKey, `
		SELECT `+digitalKeyColumns+` FROM `+digitalKeyTables+`
		WHERE `+digitalKeyJoin+` AND k.expanded_until <> 0 AND k.expanded_until < $1 AND k.cancelled_at = 0 AND k.expires_at > $2 AND k.expanded_until < k.expires_at
		ORDER BY k.expanded_until, k.id LIMIT $3`, millis(until), millis(now), limit)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		if err := t.withLocks(ctx, k.Workspace, keys[i:i+1]); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// CountSurvivors satisfies digitalkey.KeyTx.
func (t *Tx) CountSurvivors(ctx context.Context, w id.Workspace, l id.Lock, now time.Time, except id.DigitalKey) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM digitalkey_lock x JOIN digitalkey k ON k.workspace = x.workspace AND k.id = x.key_id
		WHERE x.workspace = $1 AND x.lock_id = $2 AND k.survives = TRUE AND k.cancelled_at = 0 AND k.expires_at > $3 AND k.id <> $4`, w, l, millis(now), except)
}
