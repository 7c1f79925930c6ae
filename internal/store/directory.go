package store

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// InsertWorkspace satisfies directory.Tx.
func (t *Tx) InsertWorkspace(ctx context.Context, w directory.Workspace) error {
	if err := t.must(ctx, `
		INSERT INTO workspace (id, name, sealing_key, cursor_secret, created_at)
		VALUES ($1, $2, $3, $4, $5)`, w.ID, w.Name, w.SealingKey, w.CursorSecret, millis(w.CreatedAt)); err != nil {
		return err
	}
	return t.must(ctx, `INSERT INTO activity_head (workspace, idx, hash) VALUES ($1, 0, $2)`, w.ID, []byte{})
}

const workspaceColumns = `w.id, w.name, w.sealing_key, w.cursor_secret, w.language, w.timezone, w.checkpoint_email,
	w.suspended_at, w.revision, w.created_at, w.api_key_max_days`

func scanWorkspace(row scanner) (w directory.Workspace, err error) {
	var suspended, created int64
	err = row.Scan(&w.ID, &w.Name, &w.SealingKey, &w.CursorSecret, &w.Language, &w.Timezone, &w.CheckpointEmail, &suspended, &w.Revision, &created, &w.APIKeyMaxDays)
	w.SuspendedAt, w.CreatedAt = moment(suspended), moment(created)
	return w, err
}

// FindWorkspace satisfies directory.Tx.
func (t *Tx) FindWorkspace(ctx context.Context, w id.Workspace) (directory.Workspace, bool, error) {
	return find(ctx, t, scanWorkspace, `SELECT `+workspaceColumns+` FROM workspace w WHERE w.id = $1`, w)
}

// ListWorkspaces satisfies join.Tx.
func (t *Tx) ListWorkspaces(ctx context.Context) ([]directory.Workspace, error) {
	return collect(ctx, t, scanWorkspace, `SELECT `+workspaceColumns+` FROM workspace w ORDER BY w.name, w.id LIMIT 1000`)
}

// RenameWorkspace satisfies join.Tx.
func (t *Tx) RenameWorkspace(ctx context.Context, w id.Workspace, name string) error {
	return t.must(ctx, `UPDATE workspace SET name = $2 WHERE id = $1`, w, name)
}

const userColumns = `u.id, u.workspace, u.user_id, u.email, u.first_name, u.last_name, u.phone, u.employee_id,
	u.language, u.timezone, u.auditable, u.status, u.suspended_at, u.revision, u.created_at, u.last_activity_at`

func scanUser(row scanner) (u directory.User, err error) {
	var suspended, created, last int64
	err = row.Scan(&u.ID, &u.Workspace, &u.UserID, &u.Email, &u.FirstName, &u.LastName, &u.Phone, &u.EmployeeID,
		&u.Language, &u.Timezone, &u.Auditable, &u.Status, &suspended, &u.Revision, &created, &last)
	u.SuspendedAt, u.CreatedAt, u.LastActivityAt = moment(suspended), moment(created), moment(last)
	return u, err
}

// nameFold is how users are sorted by name: as they are shown.
func nameFold(u directory.User) string { return directory.Fold(u.Name()) }

// InsertUser satisfies directory.Tx. It keeps the search terms and the tally.
func (t *Tx) InsertUser(ctx context.Context, u directory.User) error {
	if err := t.must(ctx, `
		INSERT INTO directory_user (id, workspace, user_id, user_id_fold, email, email_fold, first_name, last_name, name_fold,
			phone, employee_id, language, timezone, auditable, status, shown, suspended_at, revision, created_at, last_activity_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
		u.ID, u.Workspace, u.UserID, directory.Fold(u.UserID), u.Email, directory.Fold(u.Email), u.FirstName, u.LastName, nameFold(u),
		u.Phone, u.EmployeeID, u.Language, u.Timezone, u.Auditable, string(u.Status), string(u.Shown()), millis(u.SuspendedAt), u.Revision,
		millis(u.CreatedAt), millis(u.LastActivityAt)); err != nil {
		return err
	}
	if err := t.addTally(ctx, u.Workspace, "users", 1); err != nil {
		return err
	}
	if err := t.addTally(ctx, u.Workspace, "users/"+string(u.Shown()), 1); err != nil {
		return err
	}
	if err := t.addTally(ctx, u.Workspace, "users/without_key", 1); err != nil {
		return err
	}
	if err := t.addTick(ctx, u.Workspace, "user.create", u.CreatedAt); err != nil {
		return err
	}
	return t.addTerms(ctx, u.Workspace, "user", string(u.ID), directory.Terms(u))
}

// UpdateUser satisfies directory.Tx.
func (t *Tx) UpdateUser(ctx context.Context, u directory.User) error {
	if err := t.must(ctx, `
		UPDATE directory_user SET user_id = $3, user_id_fold = $4, email = $5, email_fold = $6, first_name = $7, last_name = $8,
			name_fold = $9, phone = $10, employee_id = $11, language = $12, timezone = $13, auditable = $14, revision = $15
		WHERE workspace = $1 AND id = $2`,
		u.Workspace, u.ID, u.UserID, directory.Fold(u.UserID), u.Email, directory.Fold(u.Email), u.FirstName, u.LastName,
		nameFold(u), u.Phone, u.EmployeeID, u.Language, u.Timezone, u.Auditable, u.Revision); err != nil {
		return err
	}
	if err := t.replaceTerms(ctx, u.Workspace, "user", string(u.ID), directory.Terms(u)); err != nil {
		return err
	}
	if err := t.retermSecurityKeysOf(ctx, u.Workspace, u.ID); err != nil {
		return err
	}
	return t.retermDigitalKeysOf(ctx, u.Workspace, u.ID)
}

// FindUser satisfies directory.Tx.
func (t *Tx) FindUser(ctx context.Context, w id.Workspace, u id.User) (directory.User, bool, error) {
	return find(ctx, t, scanUser, `SELECT `+userColumns+` FROM directory_user u WHERE u.workspace = $1 AND u.id = $2`, w, u)
}

// UserNameTaken satisfies directory.Tx.
func (t *Tx) UserNameTaken(ctx context.Context, w id.Workspace, folded string, except id.User) (bool, error) {
	return t.exists(ctx, `SELECT 1 FROM directory_user WHERE workspace = $1 AND user_id_fold = $2 AND id <> $3`, w, folded, except)
}

// UserEmailTaken satisfies directory.Tx.
func (t *Tx) UserEmailTaken(ctx context.Context, w id.Workspace, folded string, except id.User) (bool, error) {
	return t.exists(ctx, `SELECT 1 FROM directory_user WHERE workspace = $1 AND email_fold = $2 AND id <> $3`, w, folded, except)
}

// userOrdering returns the order of that name, by the shown name if it is none.
func userOrdering(sort string) (ordering, func(directory.User) string) {
	switch sort {
	case directory.SortEmail:
		return ordering{column: "u.email_fold"}, func(u directory.User) string { return directory.Fold(u.Email) }
	case directory.SortUserID:
		return ordering{column: "u.user_id_fold"}, func(u directory.User) string { return directory.Fold(u.UserID) }
	case directory.SortCreated:
		return ordering{column: "u.created_at", number: true}, func(u directory.User) string { return number(u.CreatedAt) }
	case directory.SortLastActivity:
		return ordering{column: "u.last_activity_at", number: true}, func(u directory.User) string { return number(u.LastActivityAt) }
	}
	return ordering{column: "u.name_fold"}, nameFold
}

func number(at time.Time) string { return strconv.FormatInt(millis(at), 10) }

// ListUsers satisfies directory.Tx. Of the conditions, one that few users fulfil
// finds them before they are sorted; otherwise they are walked in their order and
// the conditions asked of each.
func (t *Tx) ListUsers(ctx context.Context, w id.Workspace, q directory.Query) (page.Page[directory.User], error) {
	l := &listQuery{from: "directory_user u"}
	l.filter("u.workspace = ?", w)
	possible, narrowed, err := l.search(ctx, t, w, "user", "u.id", q.Words)
	if err != nil || !possible {
		return page.Page[directory.User]{Total: totalOfNone(q.Page)}, err
	}
	f, err := t.userFilters(ctx, w, q)
	if err != nil {
		return page.Page[directory.User]{}, err
	}
	l.userFilters(w, q, f, narrowed)
	// Without words and with one filter at most, a tally knows how many there are.
	filters := 0
	for _, is := range []bool{q.Status != "", f.group != "", q.WithoutKey} {
		if is {
			filters++
		}
	}
	tallied := len(q.Words) == 0 && filters < 2
	wantsTotal := q.Page.WithTotal
	q.Page.WithTotal = wantsTotal && !tallied
	o, valueOf := userOrdering(q.Page.Sort)
	out, err := list(ctx, t, l, userColumns, o, "u.id", q.Page, scanUser, func(u directory.User) page.Position {
		return page.Position{Value: valueOf(u), ID: string(u.ID)}
	})
	if err == nil && wantsTotal && tallied {
		out.Total = int(f.fewest)
	}
	return out, err
}

// totalOfNone is the total of an empty list: -1 unless it was asked for.
func totalOfNone(r page.Request) int {
	if r.WithTotal {
		return 0
	}
	return -1
}

// userFilters is what the tallies say of a list's filters.
type userFilters struct {
	group     id.Group // zero for none and for Everyone
	rareShown bool     // few users are of the status
	rareGroup bool     // few users are in the group
	// rareKeyless says that few users have no security key.
	rareKeyless bool
	fewest      int64 // how many the rarest of the filters leaves
}

// userFilters looks up how many users each filter leaves.
func (t *Tx) userFilters(ctx context.Context, w id.Workspace, q directory.Query) (userFilters, error) {
	total, err := t.tally(ctx, w, "users")
	f := userFilters{fewest: total}
	if err != nil {
		return f, err
	}
	if q.Status != "" {
		n, err := t.tally(ctx, w, "users/"+string(q.Status))
		if err != nil {
			return f, err
		}
		f.rareShown, f.fewest = isRare(n, total), min(f.fewest, n)
	}
	if q.WithoutKey {
		n, err := t.tally(ctx, w, "users/without_key")
		if err != nil {
			return f, err
		}
		f.rareKeyless, f.fewest = isRare(n, total), min(f.fewest, n)
	}
	if q.Group == "" {
		return f, nil
	}
	g, found, err := t.FindGroup(ctx, w, q.Group)
	if err != nil || found && g.Builtin {
		return f, err
	}
	f.group = q.Group
	f.rareGroup, f.fewest = isRare(int64(g.Members), total), min(f.fewest, int64(g.Members))
	return f, nil
}

// isRare says whether n of total rows are better found and sorted than met while
// walking: found costs about n steps, and a page of a walk about total/n for each
// of its rows, or many more if those sought lie together at its end.
func isRare(n, total int64) bool { return n <= 5000 || n*n <= total*page.DefaultLimit }

// CountUsers satisfies directory.Tx.
func (t *Tx) CountUsers(ctx context.Context, w id.Workspace) (directory.Counts, error) {
	var n directory.Counts
	for name, to := range map[string]*int{
		"users": &n.Total, "users/not_invited": &n.NotInvited, "users/pending": &n.Pending, "users/active": &n.Active, "users/suspended": &n.Suspended,
		"users/without_key": &n.WithoutKey,
	} {
		v, err := t.tally(ctx, w, name)
		if err != nil {
			return n, err
		}
		*to = int(v)
	}
	return n, nil
}

// inviteRate names the row that says when a user was invited.
func inviteRate(w id.Workspace, u id.User) string { return string(w) + "/invite/" + string(u) }

// TakeInvitation satisfies directory.Tx.
func (t *Tx) TakeInvitation(ctx context.Context, w id.Workspace, u id.User, now time.Time, every time.Duration) (bool, error) {
	return t.one(ctx, `
		INSERT INTO signin_rate (name, since, n) VALUES ($1, $2, 1)
		ON CONFLICT (name) DO UPDATE SET since = excluded.since WHERE signin_rate.since <= $3`,
		inviteRate(w, u), millis(now), millis(now.Add(-every)))
}

// MarkUserInvited satisfies directory.Tx.
func (t *Tx) MarkUserInvited(ctx context.Context, w id.Workspace, u id.User) error {
	changed, err := t.one(ctx, `
		UPDATE directory_user SET status = 'pending', revision = revision + 1 WHERE workspace = $1 AND id = $2 AND status = 'not_invited'`, w, u)
	if err != nil || !changed {
		return err
	}
	return t.reshow(ctx, w, u)
}

// HeldPermissions satisfies directory.Tx.
func (t *Tx) HeldPermissions(ctx context.Context, w id.Workspace, u id.User) (auth.Permissions, error) {
	a, found, err := t.FindAdministrator(ctx, w, u)
	if err != nil || !found {
		return nil, err
	}
	if a.Owner {
		return auth.All(), nil
	}
	return a.Permissions, nil
}
