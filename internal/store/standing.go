package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// CallerStanding satisfies auth.StandingReader.
func (t *Tx) CallerStanding(ctx context.Context, by auth.Caller, now time.Time) (auth.Standing, error) {
	switch by.Kind {
	case auth.System:
		return auth.Standing{Active: true, Permissions: auth.All()}, nil
	case auth.Administrator:
		s, _, err := find(ctx, t, scanStanding, `
			SELECT a.owner, a.permissions
			FROM signin_session s
				JOIN signin_administrator a ON a.workspace = s.workspace AND a.user_id = s.user_id
				JOIN directory_user u ON u.workspace = s.workspace AND u.id = s.user_id
				JOIN workspace w ON w.id = s.workspace
			WHERE s.id = $1 AND s.workspace = $2 AND s.user_id = $3 AND s.scope = 'panel'
				AND s.ended_at = 0 AND s.expires_at > $4 AND s.last_seen_at > $5 AND u.suspended_at = 0 AND w.suspended_at = 0`,
			by.Session, by.Workspace, by.User, millis(now), millis(now.Add(-signin.SessionIdle)))
		return s, err
	case auth.User:
		s, _, err := find(ctx, t, scanUserStanding, `
			SELECT s.scope = 'keys', s.opened_by = 'email_code' OR COALESCE(p.by_mailbox = TRUE AND p.confirmed_at = 0, FALSE)
			FROM signin_session s
				JOIN directory_user u ON u.workspace = s.workspace AND u.id = s.user_id
				JOIN workspace w ON w.id = s.workspace
				LEFT JOIN signin_passkey p ON p.workspace = s.workspace AND p.id = s.passkey_id
			WHERE s.id = $1 AND s.workspace = $2 AND s.user_id = $3
				AND s.ended_at = 0 AND s.expires_at > $4 AND s.last_seen_at > $5 AND u.suspended_at = 0 AND w.suspended_at = 0`,
			by.Session, by.Workspace, by.User, millis(now), millis(now.Add(-signin.SessionIdle)))
		return s, err
	case auth.APIKey:
		k, found, err := find(ctx, t, scanAPIKey, `
			SELECT `+apikeyColumns+` FROM apikey k JOIN workspace w ON w.id = k.workspace LEFT JOIN apikey_use s ON s.key_id = k.id
			WHERE k.id = $1 AND k.workspace = $2 AND w.suspended_at = 0`, by.APIKey, by.Workspace)
		if err != nil || !found {
			return auth.Standing{}, err
		}
		return k.Standing(by.Token, now), nil
	case auth.Lock:
		return t.lockStanding(ctx, by, now)
	case auth.Client:
		return t.clientStanding(ctx, by, now)
	}
	return auth.Standing{}, nil
}

// scanUserStanding reads the row of a person in the app who is accepted.
func scanUserStanding(row scanner) (auth.Standing, error) {
	s := auth.Standing{Active: true}
	err := row.Scan(&s.KeysOnly, &s.ByMailbox)
	if err != nil {
		return auth.Standing{}, err
	}
	return s, nil
}

// scanStanding reads the row of a caller who is accepted.
func scanStanding(row scanner) (auth.Standing, error) {
	var permissions string
	s := auth.Standing{Active: true}
	if err := row.Scan(&s.Owner, &permissions); err != nil {
		return auth.Standing{}, err
	}
	s.Permissions = auth.PermissionsFromText(permissions)
	if s.Owner {
		s.Permissions = auth.All()
	}
	return s, nil
}
