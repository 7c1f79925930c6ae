package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// passkeyBody is a passkey as the API shows it.
type passkeyBody struct {
	ID          string     `json:"id" example:"psk_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name        string     `json:"name"`
	Confirmed   bool       `json:"confirmed" doc:"Whether it opens the panel, for an administrator; else it opens the app."`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	ConfirmedBy *string    `json:"confirmed_by" doc:"The user who confirmed it; null if nobody had to."`
	CreatedAt   time.Time  `json:"created_at"`
	LastUsedAt  *time.Time `json:"last_used_at"`
}

func renderPasskey(k signin.Passkey) passkeyBody {
	return passkeyBody{
		ID: string(k.ID), Name: k.Name, Confirmed: !k.ConfirmedAt.IsZero(), ConfirmedAt: optionalTime(k.ConfirmedAt),
		ConfirmedBy: optionalID(k.ConfirmedBy), CreatedAt: k.CreatedAt, LastUsedAt: optionalTime(k.LastUsedAt),
	}
}

// sessionBody is an open session as the API shows it.
type sessionBody struct {
	ID         string    `json:"id" example:"ses_01jd3v9b8eexav2f6hqdr3wzkt"`
	Scope      string    `json:"scope" enum:"panel,app" doc:"What it opens; the panel's opens the app too."`
	OpenedBy   string    `json:"opened_by" enum:"passkey,link,email_code"`
	Passkey    *string   `json:"passkey" doc:"The passkey that opened it, if one did."`
	IP         string    `json:"ip"`
	Agent      string    `json:"agent"`
	Current    bool      `json:"current" doc:"Whether it is the session that asks."`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

func renderSession(by auth.Caller) func(s signin.Session) sessionBody {
	return func(s signin.Session) sessionBody {
		return sessionBody{
			ID: string(s.ID), Scope: string(s.Scope), OpenedBy: string(s.OpenedBy), Passkey: optionalID(s.Passkey), IP: s.IP, Agent: s.Agent,
			Current: s.ID == by.Session, CreatedAt: s.CreatedAt, LastSeenAt: s.LastSeenAt, ExpiresAt: s.ExpiresAt,
		}
	}
}

// optionalID is an id for JSON: null if there is none.
func optionalID[K id.Kind](v id.ID[K]) *string {
	if v == "" {
		return nil
	}
	text := string(v)
	return &text
}

// whole is a page that holds the whole of a short list.
func whole[T any](items []T) page.Page[T] { return page.Page[T]{Items: items, Total: -1} }

// PasskeyPath names one passkey of the caller's own.
type PasskeyPath struct {
	ID string `path:"id" doc:"The passkey's id: psk_…"`
}

// SessionPath names one session of the caller's own.
type SessionPath struct {
	ID string `path:"id" doc:"The session's id: ses_…"`
}

// unknownPasskey is the room's answer for a passkey that is not there.
func unknownPasskey() *fault.Error {
	return fault.NotFound("passkey_not_found", "This passkey does not exist.")
}

type passkeyOutput struct{ Body passkeyBody }

type patchPasskeyInput struct {
	PasskeyPath
	Body struct {
		Name patchText `json:"name,omitempty"`
	}
}

func (a *restAPI) registerAccount() {
	register(a, operation("list-my-passkeys", http.MethodGet, "/me/passkeys", "List my passkeys", "For people who are signed in."), a.listOwnPasskeys)
	register(a, operation("patch-my-passkey", http.MethodPatch, "/me/passkeys/{id}", "Rename a passkey of mine",
		"A merge patch (RFC 7396). For people who are signed in.", http.StatusNotFound), a.renamePasskey)
	register(a, operation("delete-my-passkey", http.MethodDelete, "/me/passkeys/{id}", "Remove a passkey of mine",
		"For people who are signed in; at the panel with a fresh passkey. The sessions that it opened end. An administrator keeps one that opens the panel.",
		http.StatusNotFound, http.StatusConflict), a.deletePasskey)
	register(a, operation("list-my-sessions", http.MethodGet, "/me/sessions", "List my open sessions", "For people who are signed in."), a.listOwnSessions)
	register(a, operation("end-my-session", http.MethodDelete, "/me/sessions/{id}", "End a session of mine", "For people who are signed in.", http.StatusNotFound), a.endOwnSession)
}

func (a *restAPI) listOwnPasskeys(ctx context.Context, by auth.Caller, _ *struct{}) (*listOutput[passkeyBody], error) {
	all, err := a.c.SignIn.OwnPasskeys(ctx, by)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", renderPasskey)
}

func (a *restAPI) renamePasskey(ctx context.Context, by auth.Caller, in *patchPasskeyInput) (*passkeyOutput, error) {
	passkey, _ := id.Parse[id.KindPasskey](in.ID) // what is none is not found
	if in.Body.Name.value == nil {
		all, err := a.c.SignIn.OwnPasskeys(ctx, by)
		if err != nil {
			return nil, err
		}
		for _, k := range all {
			if k.ID == passkey {
				return &passkeyOutput{Body: renderPasskey(k)}, nil
			}
		}
		return nil, unknownPasskey()
	}
	k, err := a.c.SignIn.RenamePasskey(ctx, by, passkey, *in.Body.Name.value)
	if err != nil {
		return nil, err
	}
	return &passkeyOutput{Body: renderPasskey(k)}, nil
}

func (a *restAPI) deletePasskey(ctx context.Context, by auth.Caller, in *PasskeyPath) (*struct{}, error) {
	passkey, _ := id.Parse[id.KindPasskey](in.ID) // what is none is not found
	return nil, a.c.SignIn.DeletePasskey(ctx, by, passkey)
}

func (a *restAPI) listOwnSessions(ctx context.Context, by auth.Caller, _ *struct{}) (*listOutput[sessionBody], error) {
	all, err := a.c.SignIn.OwnSessions(ctx, by)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", renderSession(by))
}

func (a *restAPI) endOwnSession(ctx context.Context, by auth.Caller, in *SessionPath) (*struct{}, error) {
	session, _ := id.Parse[id.KindSession](in.ID) // what is none is not found
	return nil, a.c.SignIn.EndOwnSession(ctx, by, session)
}
