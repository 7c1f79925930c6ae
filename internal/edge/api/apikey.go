package api

import (
	"context"
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// KeyBody is an API key as the API shows it.
type KeyBody struct {
	ID               string        `json:"id" example:"key_01jd3v9b8eexav2f6hqdr3wzkt"`
	TokenID          string        `json:"token_id" doc:"The public part of the token."`
	Name             string        `json:"name"`
	Type             string        `json:"type" enum:"admin,shared_mobile,clients"`
	Status           string        `json:"status" enum:"active,expired,disabled"`
	Permissions      []string      `json:"permissions" nullable:"false" doc:"What an Admin key may do; empty for the other types."`
	ExpiresAt        *time.Time    `json:"expires_at" doc:"When the token ends: as it was asked for, or as the workspace's limit leaves it. Null for never."`
	AllowedIPs       []string      `json:"allowed_ips" nullable:"false" doc:"From where the key may be used: addresses and CIDRs. Empty for everywhere."`
	CreatedAt        time.Time     `json:"created_at"`
	CreatedBy        partyBody     `json:"created_by"`
	IssuedAt         time.Time     `json:"issued_at" doc:"When the present token was made: at the creation, or at the last reset."`
	LastUsed         *lastUsedBody `json:"last_used" doc:"Null for never. It is written at most 30 seconds late."`
	Retiring         *retiringBody `json:"retiring" doc:"The token that a reset leaves good for a while; null without one."`
	DisabledAt       *time.Time    `json:"disabled_at" doc:"Null unless the key is disabled."`
	ReportedLeakedAt *time.Time    `json:"reported_leaked_at" doc:"Null unless the token was reported as leaked."`
}

// lastUsedBody is the last use of a key.
type lastUsedBody struct {
	At    time.Time `json:"at"`
	IP    string    `json:"ip"`
	Agent string    `json:"agent" doc:"The program that used it, as it called itself."`
}

// retiringBody is a token on its way out.
type retiringBody struct {
	TokenID string    `json:"token_id"`
	EndsAt  time.Time `json:"ends_at"`
}

func renderAPIKey(k apikey.Key, now time.Time) KeyBody {
	b := KeyBody{
		ID: string(k.ID), TokenID: k.TokenID, Name: k.Name, Type: string(k.Type), Status: string(k.Status(now)),
		Permissions: k.Permissions.Strings(), AllowedIPs: make([]string, 0, len(k.AllowedIPs)), CreatedAt: k.CreatedAt, CreatedBy: renderParty(k.CreatedBy),
		IssuedAt: k.IssuedAt, DisabledAt: optionalTime(k.DisabledAt), ReportedLeakedAt: optionalTime(k.LeakedAt),
	}
	if k.EndsAt.Before(apikey.Never()) {
		b.ExpiresAt = &k.EndsAt
	}
	for _, p := range k.AllowedIPs {
		b.AllowedIPs = append(b.AllowedIPs, addressText(p))
	}
	if !k.LastUse.At.IsZero() {
		b.LastUsed = &lastUsedBody{At: k.LastUse.At, IP: k.LastUse.IP, Agent: k.LastUse.Agent}
	}
	if k.Retiring.Active(now) {
		b.Retiring = &retiringBody{TokenID: k.Retiring.TokenID, EndsAt: k.Retiring.EndsAt}
	}
	return b
}

// addressText is a network as text; one that is a single address is written so.
func addressText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// keyOutput is the answer with one key.
type keyOutput struct {
	ETag string `header:"ETag" doc:"The key's revision, for If-Match."`
	Body KeyBody
}

func (a *restAPI) keyAnswer(k apikey.Key) *keyOutput {
	return &keyOutput{ETag: etag(k.Revision), Body: renderAPIKey(k, a.c.Kit.Clock().Now())}
}

// createdAPIKeyBody is a key with the token that is shown this once.
type createdAPIKeyBody struct {
	KeyBody
	Token              string `json:"token,omitempty" doc:"The secret. It is shown this once."`
	SecretAlreadyShown bool   `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no token."`
}

type createdAPIKeyOutput struct {
	CacheControl string `header:"Cache-Control"`
	ETag         string `header:"ETag" doc:"The key's revision, for If-Match."`
	Location     string `header:"Location"`
	Body         createdAPIKeyBody
}

// secretAnswer is the answer with a key's new token; without one, to a repeat.
func (a *restAPI) secretAnswer(k apikey.Key, token string) *createdAPIKeyOutput {
	return &createdAPIKeyOutput{
		CacheControl: "no-store", ETag: etag(k.Revision), Location: Prefix + "/api-keys/" + string(k.ID),
		Body: createdAPIKeyBody{KeyBody: renderAPIKey(k, a.c.Kit.Clock().Now()), Token: token, SecretAlreadyShown: token == ""},
	}
}

// KeyPath names one API key. It is exported for huma, as ListInput is.
type KeyPath struct {
	ID string `path:"id" doc:"The API key's id: key_…"`
}

// apiKey returns the id, or the zero id if it cannot be one: no key has that, and the
// room answers it as it answers any that is not there.
func (p KeyPath) apiKey() id.APIKey {
	k, _ := id.Parse[id.KindAPIKey](p.ID)
	return k
}

// patchTime is a moment in a merge patch (RFC 7396): absent, or given, where null
// stands for never and is the zero time.
type patchTime struct {
	given bool
	value time.Time
}

// UnmarshalJSON reads a moment or null.
func (p *patchTime) UnmarshalJSON(b []byte) error {
	p.given, p.value = true, time.Time{}
	if string(b) == "null" {
		return nil
	}
	if err := json.Unmarshal(b, &p.value); err != nil {
		return err
	}
	if p.value = p.value.UTC().Truncate(time.Millisecond); p.value.IsZero() {
		p.value = p.value.Add(time.Millisecond) // the year 1 is long ago, and is not never
	}
	return nil
}

// Schema describes a moment or null.
func (patchTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true, Description: "Null for never, or as long as the workspace allows."}
}

// pointer returns the moment, nil if it is absent.
func (p patchTime) pointer() *time.Time {
	if !p.given {
		return nil
	}
	return &p.value
}

type createAPIKeyInput struct {
	Body struct {
		Name        string    `json:"name" maxLength:"400"`
		Type        string    `json:"type" enum:"admin,shared_mobile,clients"`
		Permissions []string  `json:"permissions,omitempty" maxItems:"100" doc:"For Admin keys; all of the creator's if it is left out."`
		ExpiresAt   patchTime `json:"expires_at,omitempty"`
		AllowedIPs  []string  `json:"allowed_ips,omitempty" doc:"Addresses and CIDRs from where the key may be used; everywhere, if it is left out."`
	}
}

type patchAPIKeyInput struct {
	KeyPath
	IfMatch string `header:"If-Match" doc:"Change the key only if this is its ETag."`
	Body    struct {
		Name       patchText `json:"name,omitempty"`
		ExpiresAt  patchTime `json:"expires_at,omitempty"`
		AllowedIPs patchList `json:"allowed_ips,omitempty" doc:"Addresses and CIDRs from where the key may be used; null or empty for everywhere."`
	}
}

type deleteAPIKeyInput struct {
	KeyPath
	IfMatch     string `header:"If-Match" doc:"Delete the key only if this is its ETag."`
	Descendants bool   `query:"descendants" doc:"Also disable the keys that were made with it."`
}

type listAPIKeysInput struct {
	ListInput
	Q             string    `query:"q" maxLength:"400" doc:"The beginning of the name, or a whole token id."`
	Type          string    `query:"type" enum:"admin,shared_mobile,clients" doc:"Only keys of this type."`
	Status        string    `query:"status" enum:"active,expired,disabled" doc:"Only keys of this status."`
	ExpiresBefore time.Time `query:"expires_before" doc:"Only keys that end before this moment."`
	UnusedSince   time.Time `query:"unused_since" doc:"Only keys that were not used at this moment or later."`
	NeverUsed     bool      `query:"never_used" doc:"Only keys that were never used."`
	CreatorLeft   bool      `query:"creator_left" doc:"Only keys behind which stands somebody who is gone, suspended, or no administrator any more."`
	CreatedBy     string    `query:"created_by" doc:"Only keys that were made with this API key: key_…"`
	Sort          string    `query:"sort" doc:"name, created_at, expires_at or last_used, followed by ,ascend or ,descend."`
}

// name names the query with all its filters, for cursors.
func (in *listAPIKeysInput) name() string {
	return queryName("api-keys", in.Q, in.Type, in.Status, in.ExpiresBefore.UTC().Format(time.RFC3339Nano), in.UnusedSince.UTC().Format(time.RFC3339Nano),
		strconv.FormatBool(in.NeverUsed), strconv.FormatBool(in.CreatorLeft), in.CreatedBy, in.Sort)
}

func (a *restAPI) listAPIKeys(ctx context.Context, by auth.Caller, in *listAPIKeysInput) (*listOutput[KeyBody], error) {
	name := in.name()
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, apikey.Sorts())
	if err != nil {
		return nil, err
	}
	q := apikey.Query{
		Begins: in.Q, Type: apikey.Type(in.Type), Status: apikey.Status(in.Status), ExpiresBefore: in.ExpiresBefore, UnusedSince: in.UnusedSince,
		NeverUsed: in.NeverUsed, CreatorLeft: in.CreatorLeft, Page: r,
	}
	if in.CreatedBy != "" {
		k, ok := id.Parse[id.KindAPIKey](in.CreatedBy)
		if !ok {
			return nil, fieldFault("created_by", "is no API key's id")
		}
		q.CreatedBy = k
	}
	p, err := a.c.APIKeys.List(ctx, by, q)
	if err != nil {
		return nil, err
	}
	now := a.c.Kit.Clock().Now()
	return listAnswer(ctx, a, by, p, name, func(k apikey.Key) KeyBody { return renderAPIKey(k, now) })
}

func (a *restAPI) createAPIKey(ctx context.Context, by auth.Caller, in *createAPIKeyInput) (*createdAPIKeyOutput, error) {
	b := in.Body
	k, t, err := a.c.APIKeys.Create(ctx, by, apikey.NewKey{
		Name: b.Name, Type: apikey.Type(b.Type), Permissions: b.Permissions, ExpiresAt: b.ExpiresAt.value, AllowedIPs: b.AllowedIPs,
	})
	if err != nil {
		return nil, err
	}
	return a.secretAnswer(k, t.Secret().ExposeString()), nil
}

func (a *restAPI) getAPIKey(ctx context.Context, by auth.Caller, in *KeyPath) (*keyOutput, error) {
	k, err := a.c.APIKeys.Find(ctx, by, in.apiKey())
	if err != nil {
		return nil, err
	}
	return a.keyAnswer(k), nil
}

func (a *restAPI) patchAPIKey(ctx context.Context, by auth.Caller, in *patchAPIKeyInput) (*keyOutput, error) {
	k, err := a.c.APIKeys.Update(ctx, by, in.apiKey(), apikey.Change{
		Name: in.Body.Name.value, ExpiresAt: in.Body.ExpiresAt.pointer(), AllowedIPs: in.Body.AllowedIPs.value,
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return a.keyAnswer(k), nil
}

func (a *restAPI) deleteAPIKey(ctx context.Context, by auth.Caller, in *deleteAPIKeyInput) (*struct{}, error) {
	_, err := a.c.APIKeys.Delete(ctx, by, in.apiKey(), in.Descendants, revisionOf(in.IfMatch))
	return nil, err
}
