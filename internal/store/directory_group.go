package store

import (
	"context"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// membersTally names the counter of a group's members.
func membersTally(g id.Group) string { return "members/" + string(g) }

// InsertGroup satisfies directory.Tx. It keeps the search terms and the tally.
func (t *Tx) InsertGroup(ctx context.Context, g directory.Group) error {
	if err := t.must(ctx, `
		INSERT INTO directory_group (id, workspace, name, name_fold, description, builtin, revision, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		g.ID, g.Workspace, g.Name, directory.Fold(g.Name), g.Description, g.Builtin, max(g.Revision, 1), millis(g.CreatedAt)); err != nil {
		return err
	}
	if err := t.addTally(ctx, g.Workspace, "groups", 1); err != nil {
		return err
	}
	if !g.Builtin { // that one nobody created
		if err := t.addTick(ctx, g.Workspace, "group.create", g.CreatedAt); err != nil {
			return err
		}
	}
	return t.addTerms(ctx, g.Workspace, "group", string(g.ID), directory.GroupTerms(g))
}

// UpdateGroup satisfies directory.Tx.
func (t *Tx) UpdateGroup(ctx context.Context, g directory.Group) error {
	if err := t.must(ctx, `
		UPDATE directory_group SET name = $3, name_fold = $4, description = $5, revision = $6 WHERE workspace = $1 AND id = $2`,
		g.Workspace, g.ID, g.Name, directory.Fold(g.Name), g.Description, g.Revision); err != nil {
		return err
	}
	return t.replaceTerms(ctx, g.Workspace, "group", string(g.ID), directory.GroupTerms(g))
}

// DeleteGroup satisfies directory.Tx.
func (t *Tx) DeleteGroup(ctx context.Context, w id.Workspace, g id.Group) error {
	// A change of a key column holds off whoever is about to join.
	if err := t.must(ctx, `UPDATE directory_group SET name_fold = 'deleted ' || id WHERE workspace = $1 AND id = $2`, w, g); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM directory_membership WHERE workspace = $1 AND group_id = $2`, w, g); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM tally WHERE workspace = $1 AND name = $2`, w, membersTally(g)); err != nil {
		return err
	}
	if err := t.removeTerms(ctx, w, "group", string(g)); err != nil {
		return err
	}
	return errors.Join(
		t.must(ctx, `DELETE FROM directory_group WHERE workspace = $1 AND id = $2`, w, g),
		t.addTally(ctx, w, "groups", -1))
}

// GroupNameTaken satisfies directory.Tx.
func (t *Tx) GroupNameTaken(ctx context.Context, w id.Workspace, folded string, except id.Group) (bool, error) {
	return t.exists(ctx, `SELECT 1 FROM directory_group WHERE workspace = $1 AND name_fold = $2 AND id <> $3`, w, folded, except)
}

const groupColumns = `g.id, g.workspace, g.name, g.description, g.builtin, g.revision, g.created_at,
	COALESCE((SELECT y.n FROM tally y WHERE y.workspace = g.workspace
		AND y.name = CASE WHEN g.builtin = TRUE THEN 'users' ELSE 'members/' || g.id END), 0)`

func scanGroup(row scanner) (g directory.Group, err error) {
	var created int64
	err = row.Scan(&g.ID, &g.Workspace, &g.Name, &g.Description, &g.Builtin, &g.Revision, &created, &g.Members)
	g.CreatedAt = moment(created)
	return g, err
}

// FindGroup satisfies directory.Tx.
func (t *Tx) FindGroup(ctx context.Context, w id.Workspace, g id.Group) (directory.Group, bool, error) {
	return find(ctx, t, scanGroup, `SELECT `+groupColumns+` FROM directory_group g WHERE g.workspace = $1 AND g.id = $2`, w, g)
}

// ListGroups satisfies directory.Tx.
func (t *Tx) ListGroups(ctx context.Context, w id.Workspace, q directory.GroupQuery) (page.Page[directory.Group], error) {
	l := &listQuery{from: "directory_group g"}
	l.filter("g.workspace = ?", w)
	possible, _, err := l.search(ctx, t, w, "group", "g.id", q.Words)
	if err != nil || !possible {
		return page.Page[directory.Group]{Total: totalOfNone(q.Page)}, err
	}
	wantsTotal := q.Page.WithTotal
	q.Page.WithTotal = wantsTotal && len(q.Words) > 0
	o, valueOf := ordering{column: "g.name_fold"}, func(g directory.Group) string { return directory.Fold(g.Name) }
	if q.Page.Sort == directory.SortCreated {
		o, valueOf = ordering{column: "g.created_at", number: true}, func(g directory.Group) string { return number(g.CreatedAt) }
	}
	out, err := list(ctx, t, l, groupColumns, o, "g.id", q.Page, scanGroup, func(g directory.Group) page.Position {
		return page.Position{Value: valueOf(g), ID: string(g.ID)}
	})
	if err == nil && wantsTotal && len(q.Words) == 0 {
		var n int64
		n, err = t.tally(ctx, w, "groups")
		out.Total = int(n)
	}
	return out, err
}

// ListUserGroups satisfies directory.Tx.
func (t *Tx) ListUserGroups(ctx context.Context, w id.Workspace, u id.User) ([]directory.Group, error) {
	return collect(ctx, t, scanGroup, `
		SELECT `+groupColumns+` FROM directory_group g
		WHERE g.workspace = $1 AND (g.builtin = TRUE OR EXISTS (
			SELECT 1 FROM directory_membership m WHERE m.workspace = g.workspace AND m.group_id = g.id AND m.user_id = $2))
		ORDER BY g.builtin DESC, g.name_fold, g.id LIMIT 1000`, w, u)
}

// InsertMembership satisfies directory.Tx.
func (t *Tx) InsertMembership(ctx context.Context, w id.Workspace, g id.Group, u id.User, now time.Time) (bool, error) {
	added, err := t.one(ctx, `
		INSERT INTO directory_membership (workspace, group_id, user_id, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (workspace, group_id, user_id) DO NOTHING`, w, g, u, millis(now))
	if err != nil || !added {
		return false, err
	}
	return true, t.addTally(ctx, w, membersTally(g), 1)
}

// DeleteMembership satisfies directory.Tx.
func (t *Tx) DeleteMembership(ctx context.Context, w id.Workspace, g id.Group, u id.User) (bool, error) {
	removed, err := t.one(ctx, `DELETE FROM directory_membership WHERE workspace = $1 AND group_id = $2 AND user_id = $3`, w, g, u)
	if err != nil || !removed {
		return false, err
	}
	return true, t.addTally(ctx, w, membersTally(g), -1)
}
