package demo

import (
	"context"
	"fmt"

	"github.com/descope/virtualwebauthn"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// hand is an owner's hand with an authenticator in it: software, so that the
// demo's past has real sign-ins. Nobody holds its passkey once the demo is seeded.
type hand struct {
	app           *app.App
	nobody        auth.Caller
	party         virtualwebauthn.RelyingParty
	authenticator virtualwebauthn.Authenticator
	credential    virtualwebauthn.Credential
}

// newHand registers a passkey for an owner by a setup link, as a browser would.
func newHand(ctx context.Context, a *app.App, w id.Workspace, origin string, who person) (*hand, error) {
	h := &hand{
		app: a, nobody: auth.Nobody(who.ip, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36", ""),
		party:         virtualwebauthn.RelyingParty{ID: "localhost", Name: "Keyhold", Origin: origin},
		authenticator: virtualwebauthn.NewAuthenticator(), credential: newCredential(),
	}
	link, _, err := a.SignIn.IssueSetupLink(ctx, auth.Job(w, "command line"), directory.Fold(who.email))
	if err != nil {
		return nil, err
	}
	c, err := a.Join.BeginPasskey(ctx, h.nobody, link, join.Owner{})
	if err != nil {
		return nil, err
	}
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		return nil, fmt.Errorf("reading registration options: %w", err)
	}
	h.authenticator.Options.UserHandle = []byte(options.UserID)
	response := virtualwebauthn.CreateAttestationResponse(h.party, h.authenticator, h.credential, *options)
	opened, err := a.Join.FinishPasskey(ctx, h.nobody, link, c.Ceremony, []byte(response))
	if err != nil {
		return nil, err
	}
	return h, a.SignIn.SignOut(ctx, opened.Caller)
}

// signIn signs the owner in with the passkey and returns the caller.
func (h *hand) signIn(ctx context.Context) (auth.Caller, error) {
	c, err := h.app.SignIn.BeginSignIn(ctx, h.nobody)
	if err != nil {
		return auth.Caller{}, err
	}
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		return auth.Caller{}, fmt.Errorf("reading sign-in options: %w", err)
	}
	response := virtualwebauthn.CreateAssertionResponse(h.party, h.authenticator, h.credential, *options)
	opened, err := h.app.SignIn.FinishSignIn(ctx, h.nobody, c.Ceremony, []byte(response))
	return opened.Caller, err
}

// newCredential returns a new key pair. The library writes a coordinate of the
// public key that begins with a zero a byte too short (RFC 9053 §7.1.1): those are
// thrown away.
func newCredential() virtualwebauthn.Credential {
	const publicKeyLength = 77 // CBOR of an EC2 key with two coordinates of 32 bytes
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(c.Key.AttestationData()) == publicKeyLength {
			return c
		}
	}
}
