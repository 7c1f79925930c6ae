package store

import (
	"context"

	"github.com/keyhold/keyhold/internal/base/id"
)

// FindWorkspaceSecret returns a secret of a workspace as it is sealed.
func (t *Tx) FindWorkspaceSecret(ctx context.Context, w id.Workspace, kind string) ([]byte, bool, error) {
	return find(ctx, t, value[[]byte], `SELECT sealed FROM workspace_secret WHERE workspace = $1 AND kind = $2`, w, kind)
}

// InsertWorkspaceSecret writes a sealed secret of a workspace, unless it has one of the
// kind already: whoever writes first wins.
func (t *Tx) InsertWorkspaceSecret(ctx context.Context, w id.Workspace, kind string, sealed []byte) error {
	_, err := t.exec(ctx, `
		INSERT INTO workspace_secret (workspace, kind, sealed) VALUES ($1, $2, $3) ON CONFLICT (workspace, kind) DO NOTHING`, w, kind, sealed)
	return err
}
