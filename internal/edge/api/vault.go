package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// usedKeyBody is the security key that something was done with.
type usedKeyBody struct {
	ID   string `json:"id"`
	Name string `json:"name" doc:"Empty if that key is gone."`
}

// CredentialBody is a passkey that a user has at a website. It is exported for huma, as
// ListInput is.
type CredentialBody struct {
	ID              string       `json:"id" example:"cred_01jd3v9b8eexav2f6hqdr3wzkt"`
	User            holderBody   `json:"user" doc:"Whose it is."`
	RPID            string       `json:"rp_id" example:"example.org" doc:"The relying party: the website."`
	RPName          string       `json:"rp_name" doc:"As the website calls itself; empty if it does not say."`
	UserName        string       `json:"user_name" doc:"The account there."`
	DisplayName     string       `json:"display_name" doc:"The account's name for people."`
	Algorithm       string       `json:"algorithm" enum:"ES256,EdDSA"`
	CreatedAt       time.Time    `json:"created_at"`
	CreatedBy       string       `json:"created_by" doc:"The name of who registered it."`
	LastUsedAt      *time.Time   `json:"last_used_at" doc:"Null if it was never used since."`
	LastSecurityKey *usedKeyBody `json:"last_security_key" doc:"With which it was used last; null if it was never used since."`
	Uses            int64        `json:"uses" doc:"How often somebody signed in with it."`
	Discoverable    bool         `json:"discoverable" doc:"It signs in without an account's name."`
}

func renderCredential(c vault.Credential) CredentialBody {
	b := CredentialBody{
		ID: string(c.ID), User: holderBody{ID: string(c.User), Name: c.Holder.Name, Email: c.Holder.Email}, RPID: c.RPID, RPName: c.RPName, UserName: c.UserName,
		DisplayName: c.DisplayName, Algorithm: c.Algorithm.String(), CreatedAt: c.CreatedAt, CreatedBy: c.CreatedBy, LastUsedAt: optionalTime(c.LastUsedAt),
		Uses: c.Uses, Discoverable: c.Discoverable,
	}
	if c.LastKey != "" {
		b.LastSecurityKey = &usedKeyBody{ID: string(c.LastKey), Name: c.LastKeyName}
	}
	return b
}

type credentialOutput struct{ Body CredentialBody }

// CredentialPath names one credential. It is exported for huma, as ListInput is.
type CredentialPath struct {
	ID string `path:"id" doc:"The credential's id: cred_…"`
}

// credential returns the id, or the zero id if it cannot be one: see KeyPath.
func (p CredentialPath) credential() id.Credential {
	c, _ := id.Parse[id.KindCredential](p.ID)
	return c
}

type listCredentialsInput struct {
	UserPath
	ListInput
	Sort string `query:"sort" doc:"created_at,ascend or created_at,descend; the newest first if it is left out."`
}

// registerCredentials is the route registration of the operations of the passkeys that people
// have at websites.
func (a *restAPI) registerCredentials() {
	const read = "Needs the permission security_keys.read."
	register(a, operation("list-user-credentials", http.MethodGet, "/users/{id}/credentials", "List a user's passkeys at websites", read, http.StatusNotFound), a.listCredentials)
	register(a, operation("get-credential", http.MethodGet, "/credentials/{id}", "Get a passkey at a website", read, http.StatusNotFound), a.getCredential)
	register(a, operation("delete-credential", http.MethodDelete, "/credentials/{id}", "Delete a passkey at a website",
		"For good: its holder signs in with it no more, and the website is not told. Needs the permission security_keys.write and all permissions that the holder has.",
		http.StatusNotFound), a.deleteCredential)
}

func (a *restAPI) listCredentials(ctx context.Context, by auth.Caller, in *listCredentialsInput) (*listOutput[CredentialBody], error) {
	sort := in.Sort
	if sort == "" {
		sort = "created_at,descend"
	}
	name := queryName("credentials", in.ID, sort)
	r, err := a.pageOf(ctx, by, in.ListInput, sort, name, []string{"created_at"})
	if err != nil {
		return nil, err
	}
	p, err := a.c.Vault.List(ctx, by, in.user(), r)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderCredential)
}

func (a *restAPI) getCredential(ctx context.Context, by auth.Caller, in *CredentialPath) (*credentialOutput, error) {
	c, err := a.c.Vault.Find(ctx, by, in.credential())
	if err != nil {
		return nil, err
	}
	return &credentialOutput{Body: renderCredential(c)}, nil
}

func (a *restAPI) deleteCredential(ctx context.Context, by auth.Caller, in *CredentialPath) (*struct{}, error) {
	return nil, a.c.Vault.Delete(ctx, by, in.credential())
}
