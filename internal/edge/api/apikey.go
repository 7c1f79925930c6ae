package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// KeyBody is an API key as the API shows it.
type KeyBody struct {
	ID          string     `json:"id" example:"key_01jd3v9b8eexav2f6hqdr3wzkt"`
	TokenID     string     `json:"token_id" doc:"The public part of the token."`
	Name        string     `json:"name"`
	Type        string     `json:"type" enum:"admin,shared_mobile,clients"`
	Status      string     `json:"status" enum:"active,expired,disabled"`
	Permissions []string   `json:"permissions" nullable:"false"`
	ExpiresAt   *time.Time `json:"expires_at" doc:"Null for never."`
	CreatedAt   time.Time  `json:"created_at"`
	CreatedBy   partyBody  `json:"created_by"`
}

func renderAPIKey(k apikey.Key, now time.Time) KeyBody {
	return KeyBody{
		ID: string(k.ID), TokenID: k.TokenID, Name: k.Name, Type: string(k.Type), Status: string(k.Status(now)),
		Permissions: k.Permissions.Strings(), ExpiresAt: optionalTime(k.ExpiresAt), CreatedAt: k.CreatedAt, CreatedBy: renderParty(k.CreatedBy),
	}
}

type createAPIKeyInput struct {
	Body struct {
		Name        string     `json:"name" maxLength:"400"`
		Type        string     `json:"type" enum:"admin,shared_mobile,clients"`
		Permissions []string   `json:"permissions,omitempty" maxItems:"100" doc:"For Admin keys; all of the creator's if it is left out."`
		ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"Never, if it is left out."`
	}
}

// createdAPIKeyBody is a key with the token that is shown this once.
type createdAPIKeyBody struct {
	KeyBody
	Token              string `json:"token,omitempty" doc:"The secret. It is shown this once."`
	SecretAlreadyShown bool   `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no token."`
}

type createdAPIKeyOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         createdAPIKeyBody
}

type listAPIKeysInput struct {
	ListInput
	Type string `query:"type" enum:"admin,shared_mobile,clients" doc:"Only keys of this type."`
	Sort string `query:"sort" doc:"name or created_at, followed by ,ascend or ,descend."`
}

func (a *restAPI) registerAPIKeys() {
	register(a, operation("list-api-keys", http.MethodGet, "/api-keys", "List API keys", "Needs the permission api_keys.read."), a.listAPIKeys)
	create := operation("create-api-key", http.MethodPost, "/api-keys", "Create an API key",
		"Needs the permission api_keys.write. An Admin key needs all permissions and, from a panel session, a fresh passkey. The token is in this answer only.")
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createAPIKey, func(ctx context.Context, as auth.Caller, _ *createAPIKeyInput, note string) (*createdAPIKeyOutput, error) {
		k, err := a.c.APIKeys.Find(ctx, as, id.APIKey(note))
		if err != nil {
			return nil, err
		}
		return &createdAPIKeyOutput{
			CacheControl: "no-store", Body: createdAPIKeyBody{KeyBody: renderAPIKey(k, a.c.Kit.Clock().Now()), SecretAlreadyShown: true},
		}, nil
	})
}

func (a *restAPI) listAPIKeys(ctx context.Context, by auth.Caller, in *listAPIKeysInput) (*listOutput[KeyBody], error) {
	name := queryName("api-keys", in.Type, in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, apikey.Sorts())
	if err != nil {
		return nil, err
	}
	p, err := a.c.APIKeys.List(ctx, by, apikey.Query{Type: apikey.Type(in.Type), Page: r})
	if err != nil {
		return nil, err
	}
	now := a.c.Kit.Clock().Now()
	return listAnswer(ctx, a, by, p, name, func(k apikey.Key) KeyBody { return renderAPIKey(k, now) })
}

func (a *restAPI) createAPIKey(ctx context.Context, by auth.Caller, in *createAPIKeyInput) (*createdAPIKeyOutput, error) {
	n := apikey.NewKey{Name: in.Body.Name, Type: apikey.Type(in.Body.Type), Permissions: in.Body.Permissions}
	if in.Body.ExpiresAt != nil {
		n.ExpiresAt = *in.Body.ExpiresAt
	}
	k, t, err := a.c.APIKeys.Create(ctx, by, n)
	if err != nil {
		return nil, err
	}
	return &createdAPIKeyOutput{
		CacheControl: "no-store",
		Body:         createdAPIKeyBody{KeyBody: renderAPIKey(k, k.CreatedAt), Token: t.Secret().ExposeString()},
	}, nil
}
