package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

type resetAPIKeyInput struct {
	KeyPath
	Body *struct { // none is a reset at once
		OverlapMinutes int       `json:"overlap_minutes,omitempty" minimum:"0" maximum:"1440" doc:"How long the old token stays good; not at all, if it is left out."`
		ExpiresAt      patchTime `json:"expires_at,omitempty"`
	}
}

type disableAPIKeyInput struct {
	KeyPath
	Body *struct { // none is one without options
		Descendants bool `json:"descendants,omitempty" doc:"Also disable the keys that were made with it."`
	}
}

// disabledKeyBody is a key that was disabled, and what went with it.
type disabledKeyBody struct {
	KeyBody
	DescendantsDisabled *int `json:"descendants_disabled,omitempty" nullable:"false" doc:"How many keys that were made with it the call disabled. The answer to a repeat does without."`
}

type disabledKeyOutput struct {
	ETag string `header:"ETag" doc:"The key's revision, for If-Match."`
	Body disabledKeyBody
}

// usageDayBody is how often a key was used on a day.
type usageDayBody struct {
	Date  string `json:"date" format:"date" doc:"The day, of UTC."`
	Count int64  `json:"count" doc:"How many requests it made."`
}

type usageOutput struct {
	Body struct {
		Data []usageDayBody `json:"data" nullable:"false" doc:"Each of the last 90 days, the oldest first."`
	}
}

// registerAPIKeys is the route registration of the API keys' operations.
func (a *restAPI) registerAPIKeys() {
	const write = "Needs the permission api_keys.write"
	const grant = "; for an Admin key its permissions too and, from a panel session, a fresh passkey."
	const over = "From the moment of the answer the old state is accepted by no server. "
	register(a, operation("list-api-keys", http.MethodGet, "/api-keys", "List API keys", "Needs the permission api_keys.read."), a.listAPIKeys)
	create := operation("create-api-key", http.MethodPost, "/api-keys", "Create an API key",
		write+". An Admin key needs all permissions and, from a panel session, a fresh passkey. The token is in this answer only.")
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createAPIKey, func(ctx context.Context, as auth.Caller, _ *createAPIKeyInput, note string) (*createdAPIKeyOutput, error) {
		return a.repeatSecret(ctx, as, note)
	})
	register(a, operation("get-api-key", http.MethodGet, "/api-keys/{id}", "Get an API key", "Needs the permission api_keys.read.", http.StatusNotFound), a.getAPIKey)
	register(a, operation("patch-api-key", http.MethodPatch, "/api-keys/{id}", "Change an API key",
		"A merge patch (RFC 7396). "+over+write+" and, to change the end or the addresses of an Admin key, its permissions and, from a panel session, a fresh passkey.",
		http.StatusNotFound, http.StatusPreconditionFailed), a.patchAPIKey)
	register(a, operation("delete-api-key", http.MethodDelete, "/api-keys/{id}", "Delete an API key",
		over+"The key's activities stay. "+write+".", http.StatusNotFound, http.StatusPreconditionFailed), a.deleteAPIKey)
	registerPost(a, operation("reset-api-key", http.MethodPost, "/api-keys/{id}/reset", "Reset an Admin key",
		"Gives the key a new token, which is in this answer only. The old one ends at once or, with an overlap, after that, and may not manage API keys meanwhile. "+over+
			"Keys of other types answer 409 reset_admin_only: devices are enrolled under them. "+write+", all permissions and, from a panel session, a fresh passkey.",
		http.StatusNotFound, http.StatusConflict), a.resetAPIKey, func(ctx context.Context, as auth.Caller, _ *resetAPIKeyInput, note string) (*createdAPIKeyOutput, error) {
		return a.repeatSecret(ctx, as, note)
	})
	registerPost(a, operation("end-api-key-overlap", http.MethodPost, "/api-keys/{id}/end-overlap", "End the overlap of a reset now",
		"The old token is accepted by no server from the moment of the answer. "+write+".", http.StatusNotFound), a.endOverlap, a.repeatAPIKey)
	registerPost(a, operation("disable-api-key", http.MethodPost, "/api-keys/{id}/disable", "Disable an API key",
		over+"A disabled key stays as it is. "+write+".", http.StatusNotFound), a.disableAPIKey, a.repeatDisable)
	registerPost(a, operation("enable-api-key", http.MethodPost, "/api-keys/{id}/enable", "Enable a disabled API key",
		"Also takes back that the key was reported as leaked. "+write+grant, http.StatusNotFound), a.enableAPIKey, a.repeatAPIKey)
	register(a, operation("list-api-key-descendants", http.MethodGet, "/api-keys/{id}/descendants", "List the keys that were made with an API key",
		"And those that were made with these: at most 200, in the order of their names. Needs the permission api_keys.read.", http.StatusNotFound), a.listDescendants)
	register(a, operation("get-api-key-usage", http.MethodGet, "/api-keys/{id}/usage", "How often an API key was used",
		"Needs the permission api_keys.read.", http.StatusNotFound), a.getUsage)
	a.registerReport()
	a.describeWhoami()
}

// repeatSecret answers the repeat of what showed a token.
func (a *restAPI) repeatSecret(ctx context.Context, as auth.Caller, note string) (*createdAPIKeyOutput, error) {
	k, err := a.c.APIKeys.Find(ctx, as, id.APIKey(note))
	if err != nil {
		return nil, err
	}
	return a.secretAnswer(k, ""), nil
}

func (a *restAPI) repeatAPIKey(ctx context.Context, as auth.Caller, _ *KeyPath, note string) (*keyOutput, error) {
	return a.getAPIKey(ctx, as, &KeyPath{ID: note})
}

func (a *restAPI) repeatDisable(ctx context.Context, as auth.Caller, _ *disableAPIKeyInput, note string) (*disabledKeyOutput, error) {
	k, err := a.c.APIKeys.Find(ctx, as, id.APIKey(note))
	if err != nil {
		return nil, err
	}
	return &disabledKeyOutput{ETag: etag(k.Revision), Body: disabledKeyBody{KeyBody: renderAPIKey(k, a.c.Kit.Clock().Now())}}, nil
}

func (a *restAPI) resetAPIKey(ctx context.Context, by auth.Caller, in *resetAPIKeyInput) (*createdAPIKeyOutput, error) {
	var r apikey.Renewal
	if b := in.Body; b != nil {
		r = apikey.Renewal{Overlap: time.Duration(b.OverlapMinutes) * time.Minute, ExpiresAt: b.ExpiresAt.pointer()}
	}
	k, t, err := a.c.APIKeys.Reset(ctx, by, in.apiKey(), r)
	if err != nil {
		return nil, err
	}
	return a.secretAnswer(k, t.Secret().ExposeString()), nil
}

func (a *restAPI) endOverlap(ctx context.Context, by auth.Caller, in *KeyPath) (*keyOutput, error) {
	k, err := a.c.APIKeys.EndOverlap(ctx, by, in.apiKey())
	if err != nil {
		return nil, err
	}
	return a.keyAnswer(k), nil
}

func (a *restAPI) disableAPIKey(ctx context.Context, by auth.Caller, in *disableAPIKeyInput) (*disabledKeyOutput, error) {
	k, stopped, err := a.c.APIKeys.Disable(ctx, by, in.apiKey(), in.Body != nil && in.Body.Descendants)
	if err != nil {
		return nil, err
	}
	return &disabledKeyOutput{ETag: etag(k.Revision), Body: disabledKeyBody{KeyBody: renderAPIKey(k, a.c.Kit.Clock().Now()), DescendantsDisabled: &stopped}}, nil
}

func (a *restAPI) enableAPIKey(ctx context.Context, by auth.Caller, in *KeyPath) (*keyOutput, error) {
	k, err := a.c.APIKeys.Enable(ctx, by, in.apiKey())
	if err != nil {
		return nil, err
	}
	return a.keyAnswer(k), nil
}

func (a *restAPI) listDescendants(ctx context.Context, by auth.Caller, in *KeyPath) (*listOutput[KeyBody], error) {
	all, err := a.c.APIKeys.Descendants(ctx, by, in.apiKey())
	if err != nil {
		return nil, err
	}
	now := a.c.Kit.Clock().Now()
	return listAnswer(ctx, a, by, whole(all), "", func(k apikey.Key) KeyBody { return renderAPIKey(k, now) })
}

func (a *restAPI) getUsage(ctx context.Context, by auth.Caller, in *KeyPath) (*usageOutput, error) {
	days, err := a.c.APIKeys.Usage(ctx, by, in.apiKey())
	if err != nil {
		return nil, err
	}
	out := &usageOutput{}
	out.Body.Data = make([]usageDayBody, len(days))
	for i, d := range days {
		out.Body.Data[i] = usageDayBody{Date: d.Day.Format(time.DateOnly), Count: d.N}
	}
	return out, nil
}
