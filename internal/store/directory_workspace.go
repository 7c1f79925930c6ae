package store

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// UpdateWorkspace satisfies directory.WorkspaceTx.
func (t *Tx) UpdateWorkspace(ctx context.Context, w directory.Workspace) error {
	return t.must(ctx, `
		UPDATE workspace SET name = $2, language = $3, timezone = $4, checkpoint_email = $5, revision = $6, api_key_max_days = $7 WHERE id = $1`,
		w.ID, w.Name, w.Language, w.Timezone, w.CheckpointEmail, w.Revision, w.APIKeyMaxDays)
}

// SuspendWorkspace satisfies directory.WorkspaceTx.
func (t *Tx) SuspendWorkspace(ctx context.Context, w id.Workspace, since time.Time) error {
	return t.must(ctx, `UPDATE workspace SET suspended_at = $2 WHERE id = $1`, w, millis(since))
}

// EndWorkspaceSessions satisfies directory.WorkspaceTx.
func (t *Tx) EndWorkspaceSessions(ctx context.Context, w id.Workspace, now time.Time) (int64, error) {
	return t.exec(ctx, `UPDATE signin_session SET ended_at = $2 WHERE workspace = $1 AND ended_at = 0`, w, millis(now))
}
