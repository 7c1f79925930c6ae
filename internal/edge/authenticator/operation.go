package authenticator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// tapBody is the body of POST /taps.
type tapBody struct {
	Card struct {
		Type   string `json:"type"`
		Number hidden `json:"number"`
		Source string `json:"source"`
	} `json:"card"`
	Operation   string `json:"operation"`
	Origin      string `json:"origin"`
	TopOrigin   string `json:"top_origin"`
	CrossOrigin bool   `json:"cross_origin"`
	RPID        string `json:"rp_id"`
	OptionsHash string `json:"options_hash"`
}

// tapped is a tap, and what it needs.
type tapped struct {
	Tap       string    `json:"tap"`
	Needs     string    `json:"needs"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (e *edge) tap(ctx context.Context, q *request) (any, error) {
	in, err := read[tapBody](q)
	if err != nil {
		return nil, err
	}
	t, err := e.c.Authenticate.Tap(ctx, q.by, authenticate.TapRequest{
		Card:        authenticate.Card{Type: in.Card.Type, Number: in.Card.Number.ExposeString(), Source: in.Card.Source},
		Operation:   client.Operation(in.Operation),
		Origin:      webauthn.Origin{Origin: in.Origin, TopOrigin: in.TopOrigin, CrossOrigin: in.CrossOrigin},
		RPID:        in.RPID,
		OptionsHash: in.OptionsHash,
	})
	if err != nil {
		return nil, err
	}
	return tapped{Tap: string(t.ID), Needs: string(t.Needs), ExpiresAt: t.ExpiresAt}, nil
}

// tryError is a PIN that was refused, with what is left of its tries.
type tryError struct {
	error
	try securitykey.Try
}

// Unwrap returns the fault.
func (e *tryError) Unwrap() error { return e.error }

// tried returns err with what became of the PIN, if it was compared.
func tried(err error, try securitykey.Try) error {
	if try.Fault == nil {
		return err
	}
	return &tryError{error: err, try: try}
}

func (e *edge) verify(ctx context.Context, q *request) (any, error) {
	in, err := read[struct {
		PIN hidden `json:"pin"`
	}](q)
	if err != nil {
		return nil, err
	}
	v, err := e.c.Authenticate.Verify(ctx, q.by, touchOf(q.r.PathValue("tap")), in.PIN.Bytes)
	if err != nil {
		return nil, tried(err, v.Try)
	}
	return struct {
		Token     string    `json:"uv_token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{v.Token.ExposeString(), v.ExpiresAt}, nil
}

// touchOf returns the tap's id, empty for what is none: then there is no such tap.
func touchOf(text string) id.Touch {
	t, _ := id.Parse[id.KindTouch](text)
	return t
}

// signing is the body of a request for a signature.
type signing struct {
	Tap     string          `json:"tap"`
	UVToken hidden          `json:"uv_token"`
	Options json.RawMessage `json:"options"`
	Account string          `json:"credential_id"`
}

func (s signing) parse() (authenticate.Signing, error) {
	out := authenticate.Signing{Tap: touchOf(s.Tap), Verification: s.UVToken.Bytes, Options: s.Options}
	if s.Account == "" {
		return out, nil
	}
	var err error
	if out.Account, err = base64.RawURLEncoding.Strict().DecodeString(s.Account); err != nil {
		return out, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "credential_id", Message: "must be base64url"})
	}
	return out, nil
}

func (e *edge) makeCredential(ctx context.Context, q *request) (any, error) {
	body, err := read[signing](q)
	if err != nil {
		return nil, err
	}
	in, err := body.parse()
	if err != nil {
		return nil, err
	}
	if in.Account != nil {
		return nil, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "credential_id", Message: "belongs to get-assertion"})
	}
	return e.c.Authenticate.MakeCredential(ctx, q.by, in)
}

// account is one of those of which the holder is to choose.
type account struct {
	CredentialID string     `json:"credential_id"`
	UserName     string     `json:"user_name"`
	DisplayName  string     `json:"display_name"`
	LastUsedAt   *time.Time `json:"last_used_at"`
}

func (e *edge) getAssertion(ctx context.Context, q *request) (any, error) {
	body, err := read[signing](q)
	if err != nil {
		return nil, err
	}
	in, err := body.parse()
	if err != nil {
		return nil, err
	}
	answer, choose, err := e.c.Authenticate.GetAssertion(ctx, q.by, in)
	if err != nil || len(choose) == 0 {
		return answer, err
	}
	return struct {
		Choose []account `json:"choose"`
	}{accounts(choose)}, nil
}

func accounts(all []vault.Credential) []account {
	out := make([]account, len(all))
	for i, c := range all {
		out[i] = account{CredentialID: base64.RawURLEncoding.EncodeToString(c.RawID), UserName: c.UserName, DisplayName: c.DisplayName}
		if !c.LastUsedAt.IsZero() {
			out[i].LastUsedAt = &c.LastUsedAt
		}
	}
	return out
}

func (e *edge) changePIN(ctx context.Context, q *request) (any, error) {
	in, err := read[struct {
		Tap string `json:"tap"`
		Old hidden `json:"old"`
		New hidden `json:"new"`
	}](q)
	if err != nil {
		return nil, err
	}
	try, err := e.c.Authenticate.ChangePIN(ctx, q.by, touchOf(in.Tap), in.Old.Bytes, in.New.Bytes)
	if err != nil {
		return nil, tried(err, try)
	}
	return struct{}{}, nil
}
