package api

import (
	"context"
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
)

// meBody says who calls.
type meBody struct {
	Workspace struct {
		ID   string `json:"id" example:"ws_01jd3v9b8eexav2f6hqdr3wzkt"`
		Name string `json:"name"`
	} `json:"workspace"`
	Caller struct {
		Type string `json:"type" enum:"administrator,user,api_key"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"caller"`
	Permissions []string `json:"permissions" nullable:"false"`
	Key         *KeyBody `json:"key" doc:"The API key that calls; null for a person who is signed in."`
}

type meOutput struct{ Body meBody }

func (a *restAPI) registerMe() {
	register(a, operation("get-me", http.MethodGet, "/me", "Who am I?", "Any accepted caller may ask."), a.me)
}

func (a *restAPI) me(ctx context.Context, by auth.Caller, _ *struct{}) (*meOutput, error) {
	me, err := a.c.Directory.Me(ctx, by)
	if err != nil {
		return nil, err
	}
	out := &meOutput{}
	out.Body.Workspace.ID, out.Body.Workspace.Name = string(me.Workspace.ID), me.Workspace.Name
	out.Body.Caller.Type, out.Body.Caller.ID, out.Body.Caller.Name = string(by.Kind), by.Identity(), by.Name
	out.Body.Permissions = me.Standing.Permissions.Strings()
	if by.Kind == auth.APIKey {
		k, err := a.c.APIKeys.Own(ctx, by)
		if err != nil {
			return nil, err
		}
		key := renderAPIKey(k, a.c.Kit.Clock().Now())
		out.Body.Key = &key
	}
	return out, nil
}
