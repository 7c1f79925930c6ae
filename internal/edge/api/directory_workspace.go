package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// workspaceBody is the workspace as the API shows it.
type workspaceBody struct {
	ID              string    `json:"id" example:"ws_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name            string    `json:"name"`
	Language        string    `json:"language" doc:"BCP 47, for whoever has none of their own; empty for English."`
	Timezone        string    `json:"timezone" doc:"IANA name, for whoever has none of their own; empty for UTC."`
	CheckpointEmail string    `json:"checkpoint_email" doc:"Who gets checkpoints of the activity record by e-mail; empty for nobody."`
	APIKeyMaxDays   int       `json:"api_key_max_days" doc:"How many days an API key's token may live, of those that are there too; 0 for no limit."`
	CreatedAt       time.Time `json:"created_at"`
}

type workspaceOutput struct {
	ETag string `header:"ETag" doc:"The settings' revision, for If-Match."`
	Body workspaceBody
}

func workspaceAnswer(w directory.Workspace) *workspaceOutput {
	return &workspaceOutput{ETag: etag(w.Revision), Body: workspaceBody{
		ID: string(w.ID), Name: w.Name, Language: w.Language, Timezone: w.Timezone, CheckpointEmail: w.CheckpointEmail, APIKeyMaxDays: w.APIKeyMaxDays,
		CreatedAt: w.CreatedAt,
	}}
}

type patchWorkspaceInput struct {
	IfMatch string `header:"If-Match" doc:"Change the settings only if this is their ETag."`
	Body    struct {
		Name            patchText `json:"name,omitempty"`
		Language        patchText `json:"language,omitempty"`
		Timezone        patchText `json:"timezone,omitempty"`
		CheckpointEmail patchText `json:"checkpoint_email,omitempty"`
		APIKeyMaxDays   patchDays `json:"api_key_max_days,omitempty"`
	}
}

// patchDays is a number in a merge patch (RFC 7396): absent, or set, where null
// removes and so sets 0.
type patchDays struct{ value *int }

// UnmarshalJSON reads a whole number or null.
func (p *patchDays) UnmarshalJSON(b []byte) error {
	var n int
	if err := json.Unmarshal(b, &n); err != nil { // null leaves 0
		return err
	}
	p.value = &n
	return nil
}

// Schema describes a whole number or null.
func (patchDays) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeInteger, Nullable: true, Minimum: new(0.0), Maximum: new(float64(directory.MaxAPIKeyDays)),
		Description: "Also binds the keys that are there. Null or 0 for no limit.",
	}
}

func (a *restAPI) registerWorkspace() {
	register(a, operation("get-workspace", http.MethodGet, "/workspace", "Get the workspace", "Needs the permission workspace.read."), a.getWorkspace)
	register(a, operation("patch-workspace", http.MethodPatch, "/workspace", "Change the workspace's settings",
		"A merge patch (RFC 7396). Needs the permission workspace.write and, from a panel session, a fresh passkey to change checkpoint_email.",
		http.StatusPreconditionFailed), a.patchWorkspace)
}

func (a *restAPI) getWorkspace(ctx context.Context, by auth.Caller, _ *struct{}) (*workspaceOutput, error) {
	w, err := a.c.Directory.Workspace(ctx, by)
	if err != nil {
		return nil, err
	}
	return workspaceAnswer(w), nil
}

func (a *restAPI) patchWorkspace(ctx context.Context, by auth.Caller, in *patchWorkspaceInput) (*workspaceOutput, error) {
	w, err := a.c.Directory.UpdateWorkspace(ctx, by, directory.Settings{
		Name: in.Body.Name.value, Language: in.Body.Language.value, Timezone: in.Body.Timezone.value, CheckpointEmail: in.Body.CheckpointEmail.value,
		APIKeyMaxDays: in.Body.APIKeyMaxDays.value,
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return workspaceAnswer(w), nil
}
