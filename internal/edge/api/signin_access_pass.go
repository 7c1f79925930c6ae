package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// AccessPassBody is a temporary access pass as the API shows it. It is exported for
// huma, as ListInput is.
type AccessPassBody struct {
	ID        string     `json:"id" example:"tap_01jd3v9b8eexav2f6hqdr3wzkt"`
	StartsAt  time.Time  `json:"starts_at"`
	ExpiresAt time.Time  `json:"expires_at" doc:"From this moment on it is refused."`
	OneTime   bool       `json:"one_time"`
	State     string     `json:"state" enum:"scheduled,valid,used,expired,replaced,withdrawn"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by" doc:"The name of who made it."`
	UsedAt    *time.Time `json:"used_at" doc:"When it was last used; null for never."`
	EndedAt   *time.Time `json:"ended_at" doc:"When it was replaced or withdrawn; null if it was not."`
}

func (a *restAPI) renderAccessPass(p signin.AccessPass) AccessPassBody {
	return AccessPassBody{
		ID: string(p.ID), StartsAt: p.StartsAt, ExpiresAt: p.ExpiresAt, OneTime: p.OneTime, State: string(p.State(a.c.Kit.Clock().Now())),
		CreatedAt: p.CreatedAt, CreatedBy: p.CreatedBy, UsedAt: optionalTime(p.UsedAt), EndedAt: optionalTime(p.EndedAt),
	}
}

type accessPassOutput struct{ Body AccessPassBody }

// issuedPassBody is a pass with the code that is shown this once.
type issuedPassBody struct {
	AccessPassBody
	Code               string `json:"code,omitempty" doc:"The secret. It is shown this once."`
	SecretAlreadyShown bool   `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no code."`
}

type issuedPassOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         issuedPassBody
}

type createAccessPassInput struct {
	UserPath
	Body *struct { // none is one without options
		LifetimeMinutes *int       `json:"lifetime_minutes,omitempty" minimum:"10" maximum:"43200" doc:"60 if it is left out."`
		Length          *int       `json:"length,omitempty" minimum:"8" maximum:"48" doc:"Of the code; 8 if it is left out."`
		StartsAt        *time.Time `json:"starts_at,omitempty" doc:"Now if it is left out; at most a year ahead."`
		OneTime         bool       `json:"one_time,omitempty" doc:"It opens one session, in which keys can be set up and nothing else, for ten minutes. Otherwise it opens the app until it ends."`
	}
}

// registerAccessPasses is the route registration of temporary access passes.
func (a *restAPI) registerAccessPasses() {
	const path = "/users/{id}/temporary-access-pass"
	create := operation("create-temporary-access-pass", http.MethodPost, path, "Make a temporary access pass",
		"With its code the user signs in to the app, never to the panel. It replaces the pass that the user had. The code is in this answer only. Nobody makes one for themselves. "+
			"Needs the permission security_keys.write and all permissions that the user holds.", http.StatusNotFound, http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createAccessPass, a.repeatAccessPass)
	register(a, operation("get-temporary-access-pass", http.MethodGet, path, "Get the last temporary access pass of a user",
		"Its state, never its code. Needs the permission security_keys.read.", http.StatusNotFound), a.getAccessPass)
	register(a, operation("withdraw-temporary-access-pass", http.MethodDelete, path, "Withdraw a temporary access pass",
		"Also ends the sessions that it opened. Needs the permission security_keys.write.", http.StatusNotFound, http.StatusConflict), a.withdrawAccessPass)
}

func (a *restAPI) createAccessPass(ctx context.Context, by auth.Caller, in *createAccessPassInput) (*issuedPassOutput, error) {
	var n signin.NewAccessPass
	if b := in.Body; b != nil {
		n.OneTime = b.OneTime
		if b.LifetimeMinutes != nil {
			n.Lifetime = time.Duration(*b.LifetimeMinutes) * time.Minute
		}
		if b.Length != nil {
			n.Length = *b.Length
		}
		if b.StartsAt != nil {
			n.StartsAt = *b.StartsAt
		}
	}
	p, code, err := a.c.SignIn.IssueAccessPass(ctx, by, in.user(), n)
	if err != nil {
		return nil, err
	}
	return a.issuedPass(p, code.ExposeString()), nil
}

func (a *restAPI) issuedPass(p signin.AccessPass, code string) *issuedPassOutput {
	return &issuedPassOutput{CacheControl: "no-store", Body: issuedPassBody{AccessPassBody: a.renderAccessPass(p), Code: code, SecretAlreadyShown: code == ""}}
}

// repeatAccessPass answers a repeat without the code.
func (a *restAPI) repeatAccessPass(ctx context.Context, as auth.Caller, in *createAccessPassInput, note string) (*issuedPassOutput, error) {
	p, err := a.c.SignIn.FindIssuedPass(ctx, as, in.user(), id.AccessPass(note))
	if err != nil {
		return nil, err
	}
	return a.issuedPass(p, ""), nil
}

func (a *restAPI) getAccessPass(ctx context.Context, by auth.Caller, in *UserPath) (*accessPassOutput, error) {
	p, err := a.c.SignIn.FindAccessPass(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	return &accessPassOutput{Body: a.renderAccessPass(p)}, nil
}

func (a *restAPI) withdrawAccessPass(ctx context.Context, by auth.Caller, in *UserPath) (*struct{}, error) {
	_, err := a.c.SignIn.WithdrawAccessPass(ctx, by, in.user())
	return nil, err
}
