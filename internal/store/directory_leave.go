package store

import (
	"context"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// AnotherOwner satisfies leave.Tx.
func (t *Tx) AnotherOwner(ctx context.Context, w id.Workspace, u id.User) (bool, error) {
	return t.exists(ctx, `
		SELECT 1 FROM signin_administrator a CROSS JOIN directory_user u
		WHERE u.workspace = a.workspace AND u.id = a.user_id AND a.workspace = $1 AND a.owner = TRUE AND a.user_id <> $2 AND u.suspended_at = 0 LIMIT 1`, w, u)
}

// reshow brings the shown status and the tallies to what was written of the user
// in this transaction, which holds the row since.
func (t *Tx) reshow(ctx context.Context, w id.Workspace, u id.User) error {
	type pair struct{ shown, next string }
	p, found, err := find(ctx, t, func(row scanner) (p pair, err error) {
		err = row.Scan(&p.shown, &p.next)
		return p, err
	}, `
		SELECT shown, CASE WHEN suspended_at = 0 THEN status ELSE 'suspended' END FROM directory_user WHERE workspace = $1 AND id = $2`, w, u)
	if err != nil || !found || p.shown == p.next {
		return err
	}
	if err := t.must(ctx, `UPDATE directory_user SET shown = $3 WHERE workspace = $1 AND id = $2`, w, u, p.next); err != nil {
		return err
	}
	return t.moveTally(ctx, w, "users/"+p.shown, "users/"+p.next)
}

// SuspendUser satisfies leave.Tx.
func (t *Tx) SuspendUser(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	if err := t.must(ctx, `
		UPDATE directory_user SET suspended_at = $3, revision = revision + 1 WHERE workspace = $1 AND id = $2`, w, u, millis(now)); err != nil {
		return err
	}
	return t.reshow(ctx, w, u)
}

// ActivateUser satisfies leave.Tx.
func (t *Tx) ActivateUser(ctx context.Context, w id.Workspace, u id.User) error {
	if err := t.must(ctx, `
		UPDATE directory_user SET suspended_at = 0, revision = revision + 1 WHERE workspace = $1 AND id = $2`, w, u); err != nil {
		return err
	}
	return t.reshow(ctx, w, u)
}

// DeleteUser satisfies leave.Tx.
func (t *Tx) DeleteUser(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	// A change of a key column holds off whoever is about to refer to the row, so
	// that nothing new hangs on it when it goes.
	if err := t.must(ctx, `
		UPDATE directory_user SET email_fold = 'deleted ' || id, user_id_fold = 'deleted ' || id WHERE workspace = $1 AND id = $2`, w, u); err != nil {
		return err
	}
	shown, _, err := find(ctx, t, value[string], `SELECT shown FROM directory_user WHERE workspace = $1 AND id = $2`, w, u)
	if err != nil {
		return err
	}
	if err := t.deleteMemberships(ctx, w, u); err != nil {
		return err
	}
	if err := t.deleteSecurityKeysOf(ctx, w, u, now); err != nil {
		return err
	}
	for _, query := range []string{
		`DELETE FROM vault_credential WHERE workspace = $1 AND user_id = $2`,
		`DELETE FROM signin_access_pass WHERE workspace = $1 AND user_id = $2`,
		`DELETE FROM signin_session WHERE workspace = $1 AND user_id = $2`,
		`DELETE FROM signin_passkey WHERE workspace = $1 AND user_id = $2`,
		`DELETE FROM signin_setup_link WHERE workspace = $1 AND user_id = $2`,
		`DELETE FROM signin_ceremony WHERE workspace = $1 AND user_id = $2`,
		`DELETE FROM signin_administrator WHERE workspace = $1 AND user_id = $2`,
	} {
		if _, err := t.exec(ctx, query, w, u); err != nil {
			return err
		}
	}
	if err := t.removeTerms(ctx, w, "user", string(u)); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM signin_rate WHERE name = $1`, inviteRate(w, u)); err != nil {
		return err
	}
	if err := t.removeTerms(ctx, w, "user", string(u)); err != nil {
		return err
	}
	if err := t.must(ctx, `DELETE FROM directory_user WHERE workspace = $1 AND id = $2`, w, u); err != nil {
		return err
	}
	// Without keys they counted as somebody without one.
	if err := t.addTally(ctx, w, "users/without_key", -1); err != nil {
		return err
	}
	return errors.Join(t.addTally(ctx, w, "users", -1), t.addTally(ctx, w, "users/"+shown, -1), t.addTick(ctx, w, "user.delete", now))
}

func (t *Tx) deleteMemberships(ctx context.Context, w id.Workspace, u id.User) error {
	groups, err := collect(ctx, t, value[id.Group], `
		SELECT group_id FROM directory_membership WHERE workspace = $1 AND user_id = $2 ORDER BY group_id`, w, u)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if _, err := t.DeleteMembership(ctx, w, g, u); err != nil {
			return err
		}
	}
	return nil
}

// EndSessionsOf satisfies leave.Tx.
func (t *Tx) EndSessionsOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_session SET ended_at = $3 WHERE workspace = $1 AND user_id = $2 AND ended_at = 0`, w, u, millis(now))
	return err
}

// CountSessionsOf satisfies leave.Tx.
func (t *Tx) CountSessionsOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) (int, error) {
	n, err := t.number(ctx, `
		SELECT COUNT(*) FROM signin_session WHERE workspace = $1 AND user_id = $2 AND ended_at = 0 AND expires_at > $3 AND last_seen_at > $4`,
		w, u, millis(now), millis(now.Add(-signin.SessionIdle)))
	return int(n), err
}

// CountSecurityKeysOf satisfies leave.Tx.
func (t *Tx) CountSecurityKeysOf(ctx context.Context, w id.Workspace, u id.User) (int, error) {
	n, err := t.number(ctx, `SELECT COUNT(*) FROM securitykey WHERE workspace = $1 AND user_id = $2`, w, u)
	return int(n), err
}

// CountOpenDigitalKeysOf satisfies leave.Tx.
func (t *Tx) CountOpenDigitalKeysOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) (int, error) {
	n, err := t.number(ctx, `SELECT COUNT(*) FROM digitalkey WHERE workspace = $1 AND user_id = $2 AND cancelled_at = 0 AND expires_at > $3`, w, u, millis(now))
	return int(n), err
}

// ListCreatedAPIKeys satisfies leave.Tx.
func (t *Tx) ListCreatedAPIKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time, limit int) ([]apikey.Key, error) {
	return collect(ctx, t, scanAPIKey, `
		WITH RECURSIVE made (id) AS (
			SELECT id FROM apikey WHERE workspace = $1 AND creator_user = $2
			UNION
			SELECT id FROM apikey WHERE workspace = $1 AND created_by_id = $2
			UNION
			SELECT c.id FROM made m JOIN apikey c ON c.workspace = $1 AND c.created_by_id = m.id
		)
		SELECT `+apikeyColumns+` FROM made m JOIN apikey k ON k.workspace = $1 AND k.id = m.id LEFT JOIN apikey_use s ON s.key_id = k.id
		WHERE k.disabled_at = 0 AND k.ends_at > $3 ORDER BY k.name_fold, k.id LIMIT $4`, w, u, millis(now), limit)
}

// CountCreatedAPIKeys satisfies leave.Tx.
func (t *Tx) CountCreatedAPIKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time) (int, error) {
	n, err := t.number(ctx, `
		WITH RECURSIVE made (id) AS (
			SELECT id FROM apikey WHERE workspace = $1 AND creator_user = $2
			UNION
			SELECT id FROM apikey WHERE workspace = $1 AND created_by_id = $2
			UNION
			SELECT c.id FROM made m JOIN apikey c ON c.workspace = $1 AND c.created_by_id = m.id
		)
		SELECT COUNT(*) FROM made m JOIN apikey k ON k.workspace = $1 AND k.id = m.id
		WHERE k.disabled_at = 0 AND k.ends_at > $3`, w, u, millis(now))
	return int(n), err
}

// StopAPIKey satisfies leave.Tx.
func (t *Tx) StopAPIKey(ctx context.Context, w id.Workspace, k id.APIKey, now time.Time) (bool, error) {
	return t.one(ctx, `UPDATE apikey SET disabled_at = $3, revision = revision + 1 WHERE workspace = $1 AND id = $2 AND disabled_at = 0`, w, k, millis(now))
}
