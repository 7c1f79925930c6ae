package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// checkpointBody is a signed checkpoint of the record.
type checkpointBody struct {
	Version   string `json:"version" example:"keyhold/checkpoint/v1"`
	Workspace string `json:"workspace"`
	Index     int64  `json:"index" doc:"The last sealed line."`
	Hash      string `json:"hash" doc:"Its hash in hexadecimal: all lines up to it are in it."`
	At        string `json:"at" example:"2026-12-04T14:00:00.000Z"`
	PublicKey string `json:"public_key" doc:"The server's Ed25519 key, in base64."`
	Signature string `json:"signature" doc:"Over five lines, each ended by a line feed: the version, then workspace, index, hash and at, each as name, space and value; in base64."`
}

type checkpointOutput struct{ Body checkpointBody }

type exportActivitiesInput struct {
	ActivityFilters
	Format string `query:"format" required:"true" enum:"csv,jsonl" doc:"csv with a header, in which cells that a sheet would take for formulas begin with an apostrophe; or jsonl, one activity on each line."`
}

type verifyActivitiesInput struct {
	Body *struct {
		Checkpoint *checkpointBody `json:"checkpoint,omitempty" doc:"One that was kept elsewhere: with it, a record whose end was cut is known too."`
	}
}

type damageBody struct {
	Index int64   `json:"index" doc:"The place in the chain."`
	ID    *string `json:"id" doc:"The line; null if it is gone."`
	What  string  `json:"what" doc:"What is wrong there, for people."`
}

type verdictBody struct {
	Whole      bool         `json:"whole" doc:"Whether no line was changed, removed or reordered."`
	Through    int64        `json:"sealed_through" doc:"The last sealed line."`
	Unsealed   int64        `json:"not_yet_sealed" doc:"Lines without a place in the chain yet."`
	Erased     int64        `json:"erased" doc:"Lines whose personal fields were erased; that breaks nothing."`
	Checkpoint *int64       `json:"checkpoint" doc:"The index at which the record was compared with the checkpoint; null without one."`
	Damages    []damageBody `json:"damages" nullable:"false" doc:"The first hundred places where the record was tampered with."`
}

type verdictOutput struct{ Body verdictBody }

func (a *restAPI) registerActivityRecord() {
	export := operation("export-activities", http.MethodGet, "/activities/export", "Export activities",
		"All lines that match, oldest first, up to now. That somebody took them is a line itself. A connection that ends abnormally means that the file is not whole. Needs the permission activities.read.")
	export.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}, "application/jsonl": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}}
	register(a, export, a.exportActivities)
	register(a, operation("get-activity-checkpoint", http.MethodGet, "/activities/checkpoint", "Get a checkpoint of the record",
		"Keep it where nobody who can change the database can reach it. Needs the permission activities.read.", http.StatusConflict), a.getCheckpoint)
	// A repeat verifies again: there is nothing to do at most once.
	register(a, operation("verify-activities", http.MethodPost, "/activities/verify", "Verify the record",
		"Recomputes every hash of the record. Needs the permission activities.read."), a.verifyActivities)
}

func (a *restAPI) exportActivities(ctx context.Context, by auth.Caller, in *exportActivitiesInput) (*huma.StreamResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	export, err := a.c.Record.Export(ctx, by, q, activity.Format(in.Format))
	if err != nil {
		return nil, err
	}
	name, kind := export.File()
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		kit.Stream(w, r, name, kind, export.WriteTo)
	}}, nil
}

func (a *restAPI) getCheckpoint(ctx context.Context, by auth.Caller, _ *struct{}) (*checkpointOutput, error) {
	signed, err := a.c.Record.Checkpoint(ctx, by)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(signed)
	if err != nil {
		return nil, err
	}
	out := &checkpointOutput{}
	return out, json.Unmarshal(text, &out.Body)
}

func (a *restAPI) verifyActivities(ctx context.Context, by auth.Caller, in *verifyActivitiesInput) (*verdictOutput, error) {
	var checkpoints []activity.SignedCheckpoint
	if in.Body != nil && in.Body.Checkpoint != nil {
		text, err := json.Marshal(in.Body.Checkpoint)
		if err != nil {
			return nil, err
		}
		signed, err := activity.ParseCheckpoint(text)
		if err != nil {
			return nil, unreadableCheckpoint(err)
		}
		checkpoints = append(checkpoints, signed)
	}
	v, err := a.c.Record.Verify(ctx, by, checkpoints...)
	if err != nil {
		return nil, err
	}
	out := &verdictOutput{Body: verdictBody{Whole: len(v.Damages) == 0, Through: v.Through, Unsealed: v.Unsealed, Erased: v.Erased, Damages: []damageBody{}}}
	if v.Checkpoint > 0 {
		out.Body.Checkpoint = &v.Checkpoint
	}
	for _, d := range v.Damages {
		b := damageBody{Index: d.Index, What: d.What}
		if d.ID != "" {
			line := string(d.ID)
			b.ID = &line
		}
		out.Body.Damages = append(out.Body.Damages, b)
	}
	return out, nil
}

// unreadableCheckpoint says what is wrong with the text of a checkpoint.
func unreadableCheckpoint(err error) *fault.Error {
	return fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "checkpoint", Message: "cannot be read: " + err.Error()})
}
