package store

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/directory"
)

const clientColumns = `c.id, c.workspace, c.name, c.kind, c.state, c.thumbprint, c.public_key, c.pinless_allowed, c.reader_format, c.api_key,
	c.created_at, c.created_ip, c.approved_at, c.approved_by, c.revoked_at, c.last_seen_at, c.last_ip, c.agent, c.revision`

func scanClient(row scanner) (c client.Client, err error) {
	var created, approved, revoked, seen int64
	err = row.Scan(&c.ID, &c.Workspace, &c.Name, &c.Kind, &c.State, &c.Thumbprint, &c.PublicKey, &c.PinlessAllowed, &c.ReaderFormat, &c.APIKey,
		&created, &c.CreatedIP, &approved, &c.ApprovedBy, &revoked, &seen, &c.LastIP, &c.Agent, &c.Revision)
	c.CreatedAt, c.ApprovedAt, c.RevokedAt, c.LastSeenAt = moment(created), moment(approved), moment(revoked), moment(seen)
	return c, err
}

// clientTerms are the words under which a client is found: cut as those of a group are.
func clientTerms(c client.Client) []string {
	return directory.GroupTerms(directory.Group{Name: c.Name})
}

// InsertClient satisfies client.ProgramTx.
func (t *Tx) InsertClient(ctx context.Context, c client.Client) error {
	if err := t.must(ctx, `
		INSERT INTO client (id, workspace, name, name_fold, kind, state, thumbprint, public_key, pinless_allowed, reader_format, api_key,
			created_at, created_ip, approved_at, approved_by, revoked_at, last_seen_at, last_ip, agent, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
		c.ID, c.Workspace, c.Name, directory.Fold(c.Name), string(c.Kind), string(c.State), c.Thumbprint, c.PublicKey, c.PinlessAllowed, string(c.ReaderFormat), c.APIKey,
		millis(c.CreatedAt), c.CreatedIP, millis(c.ApprovedAt), c.ApprovedBy, millis(c.RevokedAt), millis(c.LastSeenAt), c.LastIP, c.Agent, c.Revision); err != nil {
		return err
	}
	if err := t.addTally(ctx, c.Workspace, "clients/"+string(c.State), 1); err != nil {
		return err
	}
	return t.addTerms(ctx, c.Workspace, "client", string(c.ID), clientTerms(c))
}

// UpdateClient satisfies client.ProgramTx.
func (t *Tx) UpdateClient(ctx context.Context, c client.Client) error {
	was, _, err := find(ctx, t, value[string], `SELECT state FROM client WHERE workspace = $1 AND id = $2`, c.Workspace, c.ID)
	if err != nil {
		return err
	}
	if err := t.must(ctx, `
		UPDATE client SET name = $3, name_fold = $4, state = $5, pinless_allowed = $6, reader_format = $7, approved_at = $8, approved_by = $9, revoked_at = $10, revision = $11
		WHERE workspace = $1 AND id = $2`, c.Workspace, c.ID, c.Name, directory.Fold(c.Name), string(c.State), c.PinlessAllowed, string(c.ReaderFormat),
		millis(c.ApprovedAt), c.ApprovedBy, millis(c.RevokedAt), c.Revision); err != nil {
		return err
	}
	if was != string(c.State) {
		if err := t.moveTally(ctx, c.Workspace, "clients/"+was, "clients/"+string(c.State)); err != nil {
			return err
		}
	}
	return t.replaceTerms(ctx, c.Workspace, "client", string(c.ID), clientTerms(c))
}

// DeleteClient satisfies client.ProgramTx.
func (t *Tx) DeleteClient(ctx context.Context, w id.Workspace, c id.Client) error {
	if err := t.must(ctx, `DELETE FROM client WHERE workspace = $1 AND id = $2 AND state = 'revoked'`, w, c); err != nil {
		return err
	}
	if err := t.addTally(ctx, w, "clients/revoked", -1); err != nil {
		return err
	}
	return t.removeTerms(ctx, w, "client", string(c))
}

// LockClient satisfies client.ProgramTx.
func (t *Tx) LockClient(ctx context.Context, w id.Workspace, c id.Client) (client.Client, bool, error) {
	there, err := t.one(ctx, `UPDATE client SET revision = revision WHERE workspace = $1 AND id = $2`, w, c)
	if err != nil || !there {
		return client.Client{}, false, err
	}
	return t.FindClient(ctx, w, c)
}

// FindClient satisfies client.ProgramTx.
func (t *Tx) FindClient(ctx context.Context, w id.Workspace, c id.Client) (client.Client, bool, error) {
	return find(ctx, t, scanClient, `SELECT `+clientColumns+` FROM client c WHERE c.workspace = $1 AND c.id = $2`, w, c)
}

// FindClientByKey satisfies client.ProgramTx.
func (t *Tx) FindClientByKey(ctx context.Context, w id.Workspace, thumbprint string) (client.Client, bool, error) {
	return find(ctx, t, scanClient, `SELECT `+clientColumns+` FROM client c WHERE c.workspace = $1 AND c.thumbprint = $2`, w, thumbprint)
}

// ClientNameTaken satisfies client.ProgramTx.
func (t *Tx) ClientNameTaken(ctx context.Context, w id.Workspace, name string, except id.Client) (bool, error) {
	n, err := t.number(ctx, `
		SELECT COUNT(*) FROM client WHERE workspace = $1 AND name_fold = $2 AND state <> 'revoked' AND id <> $3`, w, directory.Fold(name), except)
	return n > 0, err
}

// ListClients satisfies client.ProgramTx.
func (t *Tx) ListClients(ctx context.Context, w id.Workspace, q client.Query) (page.Page[client.Client], error) {
	l := &listQuery{from: "client c"}
	l.filter("c.workspace = ?", w)
	possible, _, err := l.search(ctx, t, w, "client", "c.id", q.Words)
	if err != nil || !possible {
		return page.Page[client.Client]{Total: totalOfNone(q.Page)}, err
	}
	if q.State != "" {
		l.filter("c.state = ?", string(q.State))
	}
	by, position := ordering{column: "c.name_fold"}, func(c client.Client) page.Position {
		return page.Position{Value: directory.Fold(c.Name), ID: string(c.ID)}
	}
	switch q.Page.Sort {
	case client.SortCreated:
		by, position = ordering{column: "c.created_at", number: true}, func(c client.Client) page.Position {
			return page.Position{Value: strconv.FormatInt(millis(c.CreatedAt), 10), ID: string(c.ID)}
		}
	case client.SortLastSeen:
		by, position = ordering{column: "c.last_seen_at", number: true}, func(c client.Client) page.Position {
			return page.Position{Value: strconv.FormatInt(millis(c.LastSeenAt), 10), ID: string(c.ID)}
		}
	}
	return list(ctx, t, l, clientColumns, by, "c.id", q.Page, scanClient, position)
}

// CountClients satisfies client.ProgramTx.
func (t *Tx) CountClients(ctx context.Context, w id.Workspace) (client.Counts, error) {
	var n [3]int64
	for i, s := range client.States() {
		var err error
		if n[i], err = t.tally(ctx, w, "clients/"+string(s)); err != nil {
			return client.Counts{}, err
		}
	}
	return client.Counts{Total: int(n[0] + n[1]), Pending: int(n[0]), Approved: int(n[1]), Revoked: int(n[2])}, nil
}

// APIKeyEnrols satisfies client.Tx.
func (t *Tx) APIKeyEnrols(ctx context.Context, w id.Workspace, k id.APIKey) (bool, error) {
	n, err := t.number(ctx, `SELECT COUNT(*) FROM apikey WHERE workspace = $1 AND id = $2 AND leaked_at = 0 AND created_by_type <> 'client'`, w, k)
	return n > 0, err
}

// StopOwnAPIKey satisfies client.Tx.
func (t *Tx) StopOwnAPIKey(ctx context.Context, w id.Workspace, c id.Client, own id.APIKey, now time.Time) (client.OwnKey, bool, error) {
	k, found, err := find(ctx, t, scanAPIKey, `
		SELECT `+apikeyColumns+` FROM apikey k LEFT JOIN apikey_use s ON s.key_id = k.id
		WHERE k.workspace = $1 AND k.id = $3 AND k.created_by_id = $2 AND k.created_by_type = 'client' AND k.disabled_at = 0`, w, c, own)
	if err != nil || !found {
		return client.OwnKey{}, false, err
	}
	stopped, err := t.StopAPIKey(ctx, w, k.ID, now)
	return client.OwnKey{ID: k.ID, Name: k.Name, Subjects: k.Subjects()}, stopped, err
}

const enrolmentCodeColumns = `id, workspace, digest, uses, uses_left, created_by, created_at, expires_at`

func scanEnrolmentCode(row scanner) (c client.Code, err error) {
	var created, expires int64
	err = row.Scan(&c.ID, &c.Workspace, &c.Digest, &c.Uses, &c.Left, &c.CreatedBy, &created, &expires)
	c.CreatedAt, c.ExpiresAt = moment(created), moment(expires)
	return c, err
}

// InsertEnrolmentCode satisfies client.CodeTx. It clears away some that are over.
func (t *Tx) InsertEnrolmentCode(ctx context.Context, c client.Code) error {
	if _, err := t.exec(ctx, `
		DELETE FROM client_code WHERE id IN (SELECT id FROM client_code WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2)`, millis(c.CreatedAt), onceSweep); err != nil {
		return err
	}
	return t.must(ctx, `
		INSERT INTO client_code (id, workspace, digest, uses, uses_left, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		c.ID, c.Workspace, c.Digest, c.Uses, c.Left, c.CreatedBy, millis(c.CreatedAt), millis(c.ExpiresAt))
}

// SpendEnrolmentCode satisfies client.CodeTx.
func (t *Tx) SpendEnrolmentCode(ctx context.Context, w id.Workspace, digest []byte, now time.Time) (client.Code, bool, error) {
	return find(ctx, t, scanEnrolmentCode, `
		UPDATE client_code SET uses_left = uses_left - 1 WHERE workspace = $1 AND digest = $2 AND uses_left > 0 AND expires_at > $3
		RETURNING `+enrolmentCodeColumns, w, digest, millis(now))
}

// ListEnrolmentCodes satisfies client.CodeTx.
func (t *Tx) ListEnrolmentCodes(ctx context.Context, w id.Workspace, now time.Time, limit int) ([]client.Code, error) {
	return collect(ctx, t, scanEnrolmentCode, `
		SELECT `+enrolmentCodeColumns+` FROM client_code WHERE workspace = $1 AND uses_left > 0 AND expires_at > $2 ORDER BY id DESC LIMIT $3`, w, millis(now), limit)
}

// ListAllEnrolmentCodes satisfies client.CodeTx.
func (t *Tx) ListAllEnrolmentCodes(ctx context.Context, now time.Time, limit int) ([]client.Code, error) {
	return collect(ctx, t, scanEnrolmentCode, `
		SELECT c.id, c.workspace, c.digest, c.uses, c.uses_left, c.created_by, c.created_at, c.expires_at
		FROM client_code c JOIN workspace w ON w.id = c.workspace
		WHERE c.expires_at > $1 AND c.uses_left > 0 AND w.suspended_at = 0 ORDER BY c.expires_at, c.id LIMIT $2`, millis(now), limit)
}

// DeleteEnrolmentCode satisfies client.CodeTx.
func (t *Tx) DeleteEnrolmentCode(ctx context.Context, w id.Workspace, c id.EnrolmentCode) (client.Code, bool, error) {
	return find(ctx, t, scanEnrolmentCode, `DELETE FROM client_code WHERE workspace = $1 AND id = $2 RETURNING `+enrolmentCodeColumns, w, c)
}

// spendProof remembers a proof; false if it was spent before.
func (t *Tx) spendProof(ctx context.Context, w id.Workspace, p auth.Proof) (bool, error) {
	return t.one(ctx, `
		INSERT INTO client_proof (workspace, thumbprint, proof, until_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (until_at, workspace, thumbprint, proof) DO NOTHING`, w, p.Key, p.ID, millis(p.Until))
}

// AdmitProof satisfies activity.GateTx. What is usually so is asked by one statement.
func (t *Tx) AdmitProof(ctx context.Context, by auth.Caller, now time.Time) (s auth.Standing, fresh bool, err error) {
	if by.Kind == auth.Client {
		if fresh, err = t.admitClient(ctx, by, now); err != nil || fresh {
			return auth.Standing{Active: fresh}, fresh, err
		}
	}
	if fresh, err = t.spendProof(ctx, by.Workspace, by.Proof); err != nil {
		return auth.Standing{}, false, err
	}
	s, err = t.CallerStanding(ctx, by, now)
	return s, fresh, err
}

// admitClient spends the proof of a client that is accepted; false if it is not, or the proof
// was spent.
func (t *Tx) admitClient(ctx context.Context, by auth.Caller, now time.Time) (bool, error) {
	p := by.Proof
	return t.one(ctx, `
		INSERT INTO client_proof (workspace, thumbprint, proof, until_at)
		SELECT c.workspace, $5, $6, $7 FROM client c JOIN workspace w ON w.id = c.workspace JOIN apikey k ON k.workspace = c.workspace AND k.id = $3
		WHERE `+clientStands+`
		ON CONFLICT (until_at, workspace, thumbprint, proof) DO NOTHING`, by.Workspace, by.Client, by.APIKey, millis(now), p.Key, p.ID, millis(p.Until))
}

// clientStands is when a client c of a workspace w is accepted with an API key k.
const clientStands = `c.workspace = $1 AND c.id = $2 AND c.state = 'approved' AND w.suspended_at = 0 AND k.type = 'clients' AND k.disabled_at = 0 AND k.ends_at > $4`

// clientStanding is the standing of a client's program that showed an API key.
func (t *Tx) clientStanding(ctx context.Context, by auth.Caller, now time.Time) (auth.Standing, error) {
	n, err := t.number(ctx, `
		SELECT COUNT(*) FROM client c JOIN workspace w ON w.id = c.workspace JOIN apikey k ON k.workspace = c.workspace AND k.id = $3
		WHERE `+clientStands,
		by.Workspace, by.Client, by.APIKey, millis(now))
	return auth.Standing{Active: n > 0}, err
}
