package kit

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
)

// Whoami is what the edges of other keys than Admin's tell of a token and a client.
type Whoami struct {
	Workspace WhoamiWorkspace `json:"workspace"`
	Key       WhoamiKey       `json:"key"`
	Client    *WhoamiClient   `json:"client" doc:"The client that calls, if it proves itself; null for none."`
}

// WhoamiClient is an enrolled program, as it is told what it is.
type WhoamiClient struct {
	ID             string    `json:"id" example:"cli_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name           string    `json:"name"`
	Kind           string    `json:"kind" enum:"extension,agent,ctap_transport,shared_mobile"`
	State          string    `json:"state" enum:"pending,approved,revoked"`
	PinlessAllowed bool      `json:"pinless_allowed"`
	ReaderFormat   string    `json:"reader_format"`
	CreatedAt      time.Time `json:"created_at"`
}

// WhoamiWorkspace is the workspace that a token belongs to.
type WhoamiWorkspace struct {
	ID   string `json:"id" example:"ws_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name string `json:"name"`
}

// WhoamiKey is the key that a token belongs to.
type WhoamiKey struct {
	ID        string     `json:"id" example:"key_01jd3v9b8eexav2f6hqdr3wzkt"`
	TokenID   string     `json:"token_id" doc:"The public part of the token."`
	Name      string     `json:"name"`
	Type      string     `json:"type" enum:"shared_mobile,clients"`
	ExpiresAt *time.Time `json:"expires_at" doc:"Null for never."`
}

// Identify returns the caller behind a token, and what they are told of themselves.
type Identify func(ctx context.Context, by auth.Caller, text string) (auth.Caller, Whoami, error)

// AnswerWhoami answers who calls with the token in the Authorization header. Without
// one, with a token in the query, and with any that identify does not accept, it
// answers one and the same 401.
func AnswerWhoami(w http.ResponseWriter, r *http.Request, identify Identify) {
	w.Header().Set("Cache-Control", "no-store")
	text, _, ok := Bearer(r)
	if !ok {
		Refuse(w, r, fault.Unauthenticated())
		return
	}
	c, me, err := identify(r.Context(), Nobody(r.Context()), text)
	if err != nil {
		Refuse(w, r, err)
		return
	}
	NoteCaller(r.Context(), c)
	WriteJSON(w, http.StatusOK, "application/json", me)
}

// RefuseUnknown answers that there is nothing at the request's address.
func RefuseUnknown(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	Refuse(w, r, fault.NotFound("not_found", "There is nothing at this address."))
}
