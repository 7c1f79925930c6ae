package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// InsertAdministrator satisfies signin.Tx.
func (t *Tx) InsertAdministrator(ctx context.Context, a signin.Administrator) error {
	return t.must(ctx, `
		INSERT INTO signin_administrator (id, workspace, user_id, owner, permissions, revision, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, a.ID, a.Workspace, a.User, a.Owner, a.Permissions.Text(), max(a.Revision, 1), millis(a.CreatedAt))
}

const administratorColumns = `a.id, a.workspace, a.user_id, a.owner, a.permissions, a.revision, a.created_at`

func scanAdministrator(row scanner) (a signin.Administrator, err error) {
	var permissions string
	var created int64
	err = row.Scan(&a.ID, &a.Workspace, &a.User, &a.Owner, &permissions, &a.Revision, &created)
	a.Permissions, a.CreatedAt = auth.PermissionsFromText(permissions), moment(created)
	return a, err
}

// FindAdministrator satisfies signin.Tx.
func (t *Tx) FindAdministrator(ctx context.Context, w id.Workspace, u id.User) (signin.Administrator, bool, error) {
	return find(ctx, t, scanAdministrator, `
		SELECT `+administratorColumns+` FROM signin_administrator a WHERE a.workspace = $1 AND a.user_id = $2`, w, u)
}

// WorkspaceHasOwner satisfies signin.Tx.
func (t *Tx) WorkspaceHasOwner(ctx context.Context, w id.Workspace) (bool, error) {
	return t.exists(ctx, `
		SELECT 1 FROM signin_administrator a WHERE a.workspace = $1 AND a.owner = TRUE AND EXISTS (
			SELECT 1 FROM signin_passkey p WHERE p.workspace = a.workspace AND p.user_id = a.user_id AND p.confirmed_at > 0)`, w)
}

// InsertPasskey satisfies signin.Tx.
func (t *Tx) InsertPasskey(ctx context.Context, p signin.Passkey) error {
	return t.must(ctx, `
		INSERT INTO signin_passkey (id, workspace, user_id, credential_id, record, name, created_at, last_used_at, confirmed_at, confirmed_by, security_key,
			by_mailbox)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		p.ID, p.Workspace, p.User, p.CredentialID, p.Record, p.Name, millis(p.CreatedAt), millis(p.LastUsedAt), millis(p.ConfirmedAt), p.ConfirmedBy,
		p.SecurityKey, p.ByMailbox)
}

// UpdatePasskeyUse satisfies signin.Tx. Whoever suspends the security key writes the
// same row: a sign-in with it comes before that or fails.
func (t *Tx) UpdatePasskeyUse(ctx context.Context, p signin.Passkey) (bool, error) {
	k, found, err := find(ctx, t, value[id.SecurityKey], `
		UPDATE signin_passkey SET record = $3, last_used_at = $4 WHERE workspace = $1 AND id = $2 RETURNING security_key`,
		p.Workspace, p.ID, p.Record, millis(p.LastUsedAt))
	if err != nil || !found || k == "" {
		return found, err
	}
	return t.one(ctx, `
		UPDATE securitykey SET last_activity_at = $3, used_at = $3, total = total + 1, noticed_at = 0
		WHERE workspace = $1 AND id = $2 AND suspended_at = 0`, p.Workspace, k, millis(p.LastUsedAt))
}

const passkeyColumns = `p.id, p.workspace, p.user_id, p.credential_id, p.record, p.name, p.created_at, p.last_used_at, p.confirmed_at, p.confirmed_by,
	p.security_key, p.by_mailbox, EXISTS (SELECT 1 FROM securitykey k WHERE k.workspace = p.workspace AND k.id = p.security_key AND k.suspended_at <> 0)`

func scanPasskey(row scanner) (p signin.Passkey, err error) {
	var created, used, confirmed int64
	err = row.Scan(&p.ID, &p.Workspace, &p.User, &p.CredentialID, &p.Record, &p.Name, &created, &used, &confirmed, &p.ConfirmedBy,
		&p.SecurityKey, &p.ByMailbox, &p.KeySuspended)
	p.CreatedAt, p.LastUsedAt, p.ConfirmedAt = moment(created), moment(used), moment(confirmed)
	return p, err
}

// FindPasskey satisfies signin.Tx.
func (t *Tx) FindPasskey(ctx context.Context, credentialID []byte) (signin.Passkey, bool, error) {
	return find(ctx, t, scanPasskey, `SELECT `+passkeyColumns+` FROM signin_passkey p WHERE p.credential_id = $1`, credentialID)
}

// ListPasskeys satisfies signin.Tx.
func (t *Tx) ListPasskeys(ctx context.Context, w id.Workspace, u id.User) ([]signin.Passkey, error) {
	return collect(ctx, t, scanPasskey, `
		SELECT `+passkeyColumns+` FROM signin_passkey p
		WHERE p.workspace = $1 AND p.user_id = $2 ORDER BY p.created_at, p.id LIMIT 100`, w, u)
}

// InsertSession satisfies signin.Tx.
func (t *Tx) InsertSession(ctx context.Context, s signin.Session) error {
	return t.must(ctx, `
		INSERT INTO signin_session (id, workspace, user_id, digest, opened_by, scope, passkey_id, pass_id, ip, agent, created_at, expires_at,
			last_seen_at, step_up_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		s.ID, s.Workspace, s.User, s.Digest, string(s.OpenedBy), string(s.Scope), s.Passkey, s.Pass, s.IP, s.Agent, millis(s.CreatedAt), millis(s.ExpiresAt),
		millis(s.LastSeenAt), millis(s.StepUpAt), millis(s.EndedAt))
}

const sessionColumns = `s.id, s.workspace, s.user_id, s.digest, s.opened_by, s.scope, s.passkey_id, s.pass_id, s.ip, s.agent,
	s.created_at, s.expires_at, s.last_seen_at, s.step_up_at, s.ended_at`

func scanSession(row scanner) (s signin.Session, err error) {
	var created, expires, seen, stepUp, ended int64
	err = row.Scan(&s.ID, &s.Workspace, &s.User, &s.Digest, &s.OpenedBy, &s.Scope, &s.Passkey, &s.Pass, &s.IP, &s.Agent,
		&created, &expires, &seen, &stepUp, &ended)
	s.CreatedAt, s.ExpiresAt, s.LastSeenAt = moment(created), moment(expires), moment(seen)
	s.StepUpAt, s.EndedAt = moment(stepUp), moment(ended)
	return s, err
}

// FindSession satisfies signin.Tx.
func (t *Tx) FindSession(ctx context.Context, digest []byte) (signin.Session, bool, error) {
	return find(ctx, t, scanSession, `SELECT `+sessionColumns+` FROM signin_session s WHERE s.digest = $1`, digest)
}

// SeeSession satisfies signin.Tx.
func (t *Tx) SeeSession(ctx context.Context, w id.Workspace, s id.Session, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_session SET last_seen_at = $3 WHERE workspace = $1 AND id = $2 AND ended_at = 0 AND last_seen_at < $3`, w, s, millis(now))
	return err
}

// StepUpSession satisfies signin.Tx.
func (t *Tx) StepUpSession(ctx context.Context, w id.Workspace, s id.Session, now time.Time) error {
	return t.must(ctx, `UPDATE signin_session SET step_up_at = $3 WHERE workspace = $1 AND id = $2`, w, s, millis(now))
}

// EndSession satisfies signin.Tx.
func (t *Tx) EndSession(ctx context.Context, w id.Workspace, s id.Session, now time.Time) (bool, error) {
	return t.one(ctx, `UPDATE signin_session SET ended_at = $3 WHERE workspace = $1 AND id = $2 AND ended_at = 0`, w, s, millis(now))
}

// InsertSetupLink satisfies signin.Tx.
func (t *Tx) InsertSetupLink(ctx context.Context, l signin.SetupLink) error {
	return t.must(ctx, `
		INSERT INTO signin_setup_link (id, workspace, user_id, digest, signs_in, created_at, expires_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		l.ID, l.Workspace, l.User, l.Digest, l.SignsIn, millis(l.CreatedAt), millis(l.ExpiresAt), millis(l.UsedAt))
}

// FindSetupLink satisfies signin.Tx.
func (t *Tx) FindSetupLink(ctx context.Context, digest []byte) (signin.SetupLink, bool, error) {
	return find(ctx, t, func(row scanner) (l signin.SetupLink, err error) {
		var created, expires, used int64
		err = row.Scan(&l.ID, &l.Workspace, &l.User, &l.Digest, &l.SignsIn, &created, &expires, &used)
		l.CreatedAt, l.ExpiresAt, l.UsedAt = moment(created), moment(expires), moment(used)
		return l, err
	}, `
		SELECT id, workspace, user_id, digest, signs_in, created_at, expires_at, used_at FROM signin_setup_link WHERE digest = $1`, digest)
}

// SpendSetupLink satisfies signin.Tx.
func (t *Tx) SpendSetupLink(ctx context.Context, w id.Workspace, l id.SetupLink, now time.Time) (bool, error) {
	return t.one(ctx, `
		UPDATE signin_setup_link SET used_at = $3 WHERE workspace = $1 AND id = $2 AND used_at = 0 AND expires_at > $3`, w, l, millis(now))
}

// WithdrawSetupLinks satisfies signin.Tx.
func (t *Tx) WithdrawSetupLinks(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	_, err := t.exec(ctx, `
		UPDATE signin_setup_link SET used_at = $3 WHERE workspace = $1 AND user_id = $2 AND used_at = 0`, w, u, millis(now))
	return err
}

// ceremonySweep bounds how many dead ceremonies one new ceremony clears away.
const ceremonySweep = 20

// InsertCeremony satisfies signin.Tx.
func (t *Tx) InsertCeremony(ctx context.Context, c signin.Ceremony, now time.Time) error {
	if _, err := t.exec(ctx, `
		DELETE FROM signin_ceremony WHERE id IN (
			SELECT id FROM signin_ceremony WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, millis(now), ceremonySweep); err != nil {
		return err
	}
	return t.must(ctx, `
		INSERT INTO signin_ceremony (id, workspace, user_id, purpose, data, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		c.ID, c.Workspace, c.User, string(c.Purpose), c.Data, millis(c.ExpiresAt))
}

// FindCeremony satisfies signin.Tx.
func (t *Tx) FindCeremony(ctx context.Context, c id.Ceremony) (signin.Ceremony, bool, error) {
	return find(ctx, t, func(row scanner) (c signin.Ceremony, err error) {
		var expires int64
		err = row.Scan(&c.ID, &c.Workspace, &c.User, &c.Purpose, &c.Data, &expires)
		c.ExpiresAt = moment(expires)
		return c, err
	}, `SELECT id, workspace, user_id, purpose, data, expires_at FROM signin_ceremony WHERE id = $1`, c)
}

// TakeCeremony satisfies signin.Tx.
func (t *Tx) TakeCeremony(ctx context.Context, c id.Ceremony, now time.Time) (bool, error) {
	return t.one(ctx, `DELETE FROM signin_ceremony WHERE id = $1 AND expires_at > $2`, c, millis(now))
}

const personColumns = `u.id, w.id, w.name, u.email, u.first_name, u.last_name, CASE WHEN u.language = '' THEN w.language ELSE u.language END, CASE WHEN u.timezone = '' THEN w.timezone ELSE u.timezone END, u.auditable, u.suspended_at, w.suspended_at`

func scanPerson(row scanner) (p signin.Person, err error) {
	var first, last string
	var userSuspended, workspaceSuspended int64
	err = row.Scan(&p.User, &p.Workspace, &p.WorkspaceName, &p.Email, &first, &last, &p.Language, &p.Timezone, &p.Auditable,
		&userSuspended, &workspaceSuspended)
	p.Suspended = userSuspended != 0 || workspaceSuspended != 0
	p.Name = personName(first, last, p.Email)
	return p, err
}

// FindPerson satisfies signin.Tx.
func (t *Tx) FindPerson(ctx context.Context, w id.Workspace, u id.User) (signin.Person, bool, error) {
	p, found, err := find(ctx, t, scanPerson, `
		SELECT `+personColumns+`
		FROM directory_user u JOIN workspace w ON w.id = u.workspace WHERE u.workspace = $1 AND u.id = $2`, w, u)
	if err != nil || found {
		return p, found, err
	}
	workspace, _, err := t.FindWorkspace(ctx, w)
	return signin.Person{Workspace: workspace.ID, WorkspaceName: workspace.Name, Suspended: !workspace.SuspendedAt.IsZero()}, false, err
}

// FindPersonByEmail satisfies signin.Tx.
func (t *Tx) FindPersonByEmail(ctx context.Context, w id.Workspace, folded string) (signin.Person, bool, error) {
	return find(ctx, t, scanPerson, `
		SELECT `+personColumns+`
		FROM directory_user u JOIN workspace w ON w.id = u.workspace WHERE u.workspace = $1 AND u.email_fold = $2`, w, folded)
}

// FindPeopleByEmail satisfies signin.Tx.
func (t *Tx) FindPeopleByEmail(ctx context.Context, folded string) ([]signin.Person, error) {
	return collect(ctx, t, scanPerson, `
		SELECT `+personColumns+`
		FROM directory_user u JOIN workspace w ON w.id = u.workspace WHERE u.email_fold = $1 ORDER BY w.id LIMIT 100`, folded)
}

// MarkUserSeen satisfies signin.Tx. It keeps the tallies of the statuses.
func (t *Tx) MarkUserSeen(ctx context.Context, w id.Workspace, u id.User, now time.Time) error {
	found, err := t.one(ctx, `
		UPDATE directory_user SET status = 'active', last_activity_at = $3 WHERE workspace = $1 AND id = $2`, w, u, millis(now))
	if err != nil || !found {
		return err
	}
	return t.reshow(ctx, w, u)
}
