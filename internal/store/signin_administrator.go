package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// seat is a row of the list with what it is sorted by.
type seat struct {
	signin.Seat
	nameFold string
}

const seatColumns = administratorColumns + `, u.name_fold, u.last_activity_at, ` + personColumns + `,
	(SELECT COUNT(*) FROM signin_passkey p WHERE p.workspace = a.workspace AND p.user_id = a.user_id),
	(SELECT COUNT(*) FROM signin_passkey p WHERE p.workspace = a.workspace AND p.user_id = a.user_id AND p.confirmed_at = 0)`

// seatTables begins with the administrators, who are few: CROSS JOIN keeps SQLite to
// that order, where it would walk all users by name.
const seatTables = `signin_administrator a CROSS JOIN directory_user u CROSS JOIN workspace w`

// seatJoin says which rows of the tables belong together.
const seatJoin = `u.workspace = a.workspace AND u.id = a.user_id AND w.id = a.workspace`

func scanSeat(row scanner) (s seat, err error) {
	var first, last, permissions string
	var created, active, userSuspended, workspaceSuspended int64
	p := &s.Person
	err = row.Scan(&s.ID, &s.Workspace, &s.User, &s.Owner, &permissions, &s.Revision, &created, &s.nameFold, &active,
		&p.User, &p.Workspace, &p.WorkspaceName, &p.Email, &first, &last, &p.Language, &p.Timezone, &p.Auditable, &userSuspended, &workspaceSuspended,
		&s.Passkeys, &s.Unconfirmed)
	s.Permissions, s.CreatedAt, s.LastActivityAt = auth.PermissionsFromText(permissions), moment(created), moment(active)
	p.Name, p.Suspended = personName(first, last, p.Email), userSuspended != 0 || workspaceSuspended != 0
	return s, err
}

// FindSeat satisfies signin.Tx.
func (t *Tx) FindSeat(ctx context.Context, w id.Workspace, a id.Administrator) (signin.Seat, bool, error) {
	s, found, err := find(ctx, t, scanSeat, `SELECT `+seatColumns+` FROM `+seatTables+` WHERE `+seatJoin+` AND a.workspace = $1 AND a.id = $2`, w, a)
	return s.Seat, found, err
}

// ListAdministrators satisfies signin.Tx.
func (t *Tx) ListAdministrators(ctx context.Context, w id.Workspace, r page.Request) (page.Page[signin.Seat], error) {
	l := &listQuery{from: seatTables, where: []string{seatJoin}}
	l.filter("a.workspace = ?", w)
	o, valueOf := ordering{column: "u.name_fold"}, func(s seat) string { return s.nameFold }
	switch r.Sort {
	case signin.SortCreated:
		o, valueOf = ordering{column: "a.created_at", number: true}, func(s seat) string { return number(s.CreatedAt) }
	case signin.SortLastActivity:
		o, valueOf = ordering{column: "u.last_activity_at", number: true}, func(s seat) string { return number(s.LastActivityAt) }
	}
	found, err := list(ctx, t, l, seatColumns, o, "a.id", r, scanSeat, func(s seat) page.Position {
		return page.Position{Value: valueOf(s), ID: string(s.ID)}
	})
	out := page.Page[signin.Seat]{Next: found.Next, Total: found.Total}
	for _, s := range found.Items {
		out.Items = append(out.Items, s.Seat)
	}
	return out, err
}

// UpdateAdministrator satisfies signin.Tx.
func (t *Tx) UpdateAdministrator(ctx context.Context, a signin.Administrator) error {
	return t.must(ctx, `
		UPDATE signin_administrator SET owner = $3, permissions = $4, revision = $5 WHERE workspace = $1 AND id = $2`,
		a.Workspace, a.ID, a.Owner, a.Permissions.Text(), a.Revision)
}

// DeleteAdministrator satisfies signin.Tx.
func (t *Tx) DeleteAdministrator(ctx context.Context, w id.Workspace, a id.Administrator) error {
	return t.must(ctx, `DELETE FROM signin_administrator WHERE workspace = $1 AND id = $2`, w, a)
}

// CountOwners satisfies signin.Tx.
func (t *Tx) CountOwners(ctx context.Context, w id.Workspace, except id.Administrator) (int64, error) {
	return t.number(ctx, `
		SELECT COUNT(*) FROM signin_administrator a CROSS JOIN directory_user u
		WHERE u.workspace = a.workspace AND u.id = a.user_id AND a.workspace = $1 AND a.owner = TRUE AND a.id <> $2 AND u.suspended_at = 0`, w, except)
}

// ListAdministratorAPIKeys satisfies signin.Tx.
func (t *Tx) ListAdministratorAPIKeys(ctx context.Context, w id.Workspace, u id.User) ([]signin.LeftKey, error) {
	return collect(ctx, t, func(row scanner) (k signin.LeftKey, err error) {
		err = row.Scan(&k.ID, &k.Name, &k.Type)
		return k, err
	}, `
		SELECT id, name, type FROM apikey
		WHERE workspace = $1 AND created_by_id = $2 AND created_by_type = 'administrator' AND disabled_at = 0
		ORDER BY name_fold, id LIMIT 100`, w, u)
}

// FindUserPasskey satisfies signin.Tx.
func (t *Tx) FindUserPasskey(ctx context.Context, w id.Workspace, u id.User, p id.Passkey) (signin.Passkey, bool, error) {
	return find(ctx, t, scanPasskey, `
		SELECT `+passkeyColumns+` FROM signin_passkey p WHERE p.workspace = $1 AND p.user_id = $2 AND p.id = $3`, w, u, p)
}

// RenamePasskey satisfies signin.Tx.
func (t *Tx) RenamePasskey(ctx context.Context, w id.Workspace, p id.Passkey, name string) error {
	return t.must(ctx, `UPDATE signin_passkey SET name = $3 WHERE workspace = $1 AND id = $2`, w, p, name)
}

// ConfirmPasskey satisfies signin.Tx.
func (t *Tx) ConfirmPasskey(ctx context.Context, p signin.Passkey) (bool, error) {
	return t.one(ctx, `
		UPDATE signin_passkey SET confirmed_at = $3, confirmed_by = $4 WHERE workspace = $1 AND id = $2 AND confirmed_at = 0`,
		p.Workspace, p.ID, millis(p.ConfirmedAt), p.ConfirmedBy)
}

// UnconfirmPasskeys satisfies signin.Tx.
func (t *Tx) UnconfirmPasskeys(ctx context.Context, w id.Workspace, u id.User) error {
	_, err := t.exec(ctx, `UPDATE signin_passkey SET confirmed_at = 0, confirmed_by = '' WHERE workspace = $1 AND user_id = $2`, w, u)
	return err
}

// DeletePasskey satisfies signin.Tx.
func (t *Tx) DeletePasskey(ctx context.Context, w id.Workspace, p id.Passkey) error {
	return t.must(ctx, `DELETE FROM signin_passkey WHERE workspace = $1 AND id = $2`, w, p)
}

// ListSessions satisfies signin.Tx.
func (t *Tx) ListSessions(ctx context.Context, w id.Workspace, u id.User, now time.Time) ([]signin.Session, error) {
	return collect(ctx, t, scanSession, `
		SELECT `+sessionColumns+` FROM signin_session s
		WHERE s.workspace = $1 AND s.user_id = $2 AND s.ended_at = 0 AND s.expires_at > $3 AND s.last_seen_at > $4
		ORDER BY s.last_seen_at DESC, s.id DESC LIMIT 1000`, w, u, millis(now), millis(now.Add(-signin.SessionIdle)))
}

// EndUserSessions satisfies signin.Tx.
func (t *Tx) EndUserSessions(ctx context.Context, w id.Workspace, u id.User, scope signin.Scope, except id.Session, now time.Time) (int, error) {
	n, err := t.exec(ctx, `
		UPDATE signin_session SET ended_at = $3
		WHERE workspace = $1 AND user_id = $2 AND ended_at = 0 AND expires_at > $3 AND id <> $4 AND ($5 = '' OR scope = $5)`,
		w, u, millis(now), except, string(scope))
	return int(n), err
}

// EndPasskeySessions satisfies signin.Tx.
func (t *Tx) EndPasskeySessions(ctx context.Context, w id.Workspace, p id.Passkey, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_session SET ended_at = $3 WHERE workspace = $1 AND passkey_id = $2 AND ended_at = 0`, w, p, millis(now))
	return err
}
