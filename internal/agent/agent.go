// Package agent is the program's side at a workstation: it proves itself to a Keyhold
// server with a key of its own, and relays what a website asked for together with the
// card that was tapped and the PIN that was typed. It decides nothing: the server is the
// authenticator, and whoever uses this package is the browser's word about the website.
package agent

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/webauthn"
)

// Config is what a client is made from.
type Config struct {
	// Server is where browsers reach the server: https://keys.example.com.
	Server *url.URL
	// Token is of a Clients key. Empty is good for Enrol with a code alone, which returns one.
	Token secret.Bytes
	// Key is this client's own, on P-256. It never leaves.
	Key *ecdsa.PrivateKey
	// HTTP makes the requests. Nil is one that waits 30 seconds. Redirects are not
	// followed, whatever it says: a proof is for one URL.
	HTTP *http.Client
	// Agent is what requests say of the program (User-Agent, RFC 9110 §10.1.5): what
	// administrators see of it. Empty is "keyhold-agent".
	Agent string
	// Clock is the machine's if nil.
	Clock clock.Clock
}

// Client is a client of a server. It is safe for use by several goroutines.
type Client struct {
	config Config
	http   http.Client

	mu    sync.Mutex
	nonce string // guarded by mu: the newest that the server told, empty for none
}

// patience is how long a request may take, answer included.
const patience = 30 * time.Second

// New returns a client. Nothing is sent yet.
func New(c Config) *Client {
	client := &Client{config: c, http: http.Client{Timeout: patience}}
	if c.HTTP != nil {
		client.http = *c.HTTP
	}
	client.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Clock == nil {
		client.config.Clock = clock.System{}
	}
	if c.Agent == "" {
		client.config.Agent = "keyhold-agent"
	}
	return client
}

// The kinds of clients that this package can be.
const (
	KindAgent        = "agent"
	KindSharedMobile = "shared_mobile"
)

// Enrolment is how a client introduces itself. Code approves it at once; without one an
// administrator does. The zero Code is none.
type Enrolment struct {
	Name string
	Kind string
	Code secret.Bytes
}

// Enrolled is what the server made of it. State is "pending" or "approved". Token is that of
// the client's own Clients key, which it gets if it enrolled by a code alone: the server
// tells it this once, and all other calls need it.
type Enrolled struct {
	ID    string
	State string
	Token secret.Bytes
}

// Enrol makes the key known to the server. Without a token the code is needed.
func (c *Client) Enrol(ctx context.Context, e Enrolment) (Enrolled, error) {
	var answer struct {
		ID    string `json:"id"`
		State string `json:"state"`
		Token string `json:"token"`
	}
	err := c.post(ctx, "/clients", struct {
		Name string          `json:"name"`
		JWK  json.RawMessage `json:"jwk"`
		Kind string          `json:"kind"`
		Code string          `json:"enrolment_code,omitempty"`
	}{e.Name, dpop.JWK(&c.config.Key.PublicKey), e.Kind, e.Code.ExposeString()}, &answer)
	alone := c.config.Token.IsEmpty()
	if err == nil && (answer.ID == "" || alone != (answer.Token != "")) {
		err = errAnswer
	}
	return Enrolled{answer.ID, answer.State, secret.FromString(answer.Token)}, err
}

// Nonce asks for a fresh nonce, keeps it for the next call and returns it.
func (c *Client) Nonce(ctx context.Context) (string, error) {
	var out struct {
		Nonce string `json:"nonce"`
	}
	if err := c.call(ctx, request{method: http.MethodGet, path: "/nonce", into: &out}); err != nil {
		return "", err
	}
	if out.Nonce == "" {
		return "", errAnswer
	}
	c.keep(out.Nonce)
	return out.Nonce, nil
}

// Whoami returns what the server says of the token.
func (c *Client) Whoami(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, request{method: http.MethodGet, path: "/whoami", into: &out})
	return out, err
}

// Info returns what authenticator the server is (CTAP 2.1 §6.4, as JSON).
func (c *Client) Info(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, request{method: http.MethodGet, path: "/info", proven: true, into: &out})
	return out, err
}

// The operations of a tap.
const (
	Create    = "create"
	Get       = "get"
	PINChange = "pin_change"
)

// Where a card's number comes from.
const (
	Typed  = "typed"
	Reader = "reader"
)

// Tap is a card at this client, for one operation. Origin, RPID and Options are those of
// the website, and empty for PINChange. TopOrigin is set where a frame asks.
type Tap struct {
	CardNumber  secret.Bytes
	CardType    string // empty is "uid"
	Source      string
	Operation   string
	Origin      string
	TopOrigin   string
	CrossOrigin bool
	RPID        string
	Options     json.RawMessage
}

// What a tap needs before it signs.
const (
	NeedsPIN  = "pin"
	NeedsNone = "none"
)

// Tapped is a tap that the server took. It is spent by the first answer with a signature.
type Tapped struct {
	Tap       string    `json:"tap"`
	Needs     string    `json:"needs"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Tap tells of a card. The server answers the same to a card that it does not know.
func (c *Client) Tap(ctx context.Context, t Tap) (Tapped, error) {
	type card struct {
		Type   string `json:"type"`
		Number string `json:"number"`
		Source string `json:"source"`
	}
	ask := struct {
		Card        card   `json:"card"`
		Operation   string `json:"operation"`
		Origin      string `json:"origin,omitempty"`
		TopOrigin   string `json:"top_origin,omitempty"`
		CrossOrigin bool   `json:"cross_origin"`
		RPID        string `json:"rp_id,omitempty"`
		OptionsHash string `json:"options_hash,omitempty"`
	}{card{t.CardType, t.CardNumber.ExposeString(), t.Source}, t.Operation, t.Origin, t.TopOrigin, t.CrossOrigin, t.RPID, ""}
	if ask.Card.Type == "" {
		ask.Card.Type = "uid"
	}
	if t.Operation != PINChange {
		var err error
		if ask.OptionsHash, err = webauthn.OptionsHash(t.Options); err != nil {
			return Tapped{}, fmt.Errorf("reading the options: %w", err)
		}
	}
	var out Tapped
	err := c.post(ctx, "/taps", ask, &out)
	if err == nil && out.Tap == "" {
		err = errAnswer
	}
	return out, err
}

// Verify shows the tap's PIN and returns the token of it. A wrong one is an *Error with
// the code CodePINInvalid.
func (c *Client) Verify(ctx context.Context, tap string, pin secret.Bytes) (uvToken string, err error) {
	var out struct {
		Token string `json:"uv_token"`
	}
	err = c.post(ctx, "/taps/"+url.PathEscape(tap)+"/verify", struct {
		PIN string `json:"pin"`
	}{pin.ExposeString()}, &out)
	if err == nil && out.Token == "" {
		err = errAnswer
	}
	return out.Token, err
}

// operation is what is asked of a tap.
type operation struct {
	Tap          string          `json:"tap"`
	Token        string          `json:"uv_token,omitempty"`
	Options      json.RawMessage `json:"options"`
	CredentialID string          `json:"credential_id,omitempty"`
}

// MakeCredential registers at the website and returns a RegistrationResponseJSON (WebAuthn
// L3 §5.1). Options are those of the tap. The token is empty if the tap needed none.
func (c *Client) MakeCredential(ctx context.Context, tap, uvToken string, options json.RawMessage) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.post(ctx, "/make-credential", operation{Tap: tap, Token: uvToken, Options: options}, &out)
	return out, err
}

// Account is one of several with which the card can sign in at the website.
type Account struct {
	CredentialID string     `json:"credential_id"`
	UserName     string     `json:"user_name"`
	DisplayName  string     `json:"display_name"`
	LastUsedAt   *time.Time `json:"last_used_at"`
}

// Assertion is a sign-in, or the accounts to choose from: exactly one of the two is set.
// Response is an AuthenticationResponseJSON (WebAuthn L3 §5.1).
type Assertion struct {
	Response json.RawMessage
	Choose   []Account
}

// GetAssertion signs in at the website. CredentialID names one of the accounts that an
// earlier call with the same tap returned; it may be empty. Options are those of the tap.
func (c *Client) GetAssertion(ctx context.Context, tap, uvToken string, options json.RawMessage, credentialID string) (Assertion, error) {
	var out json.RawMessage
	if err := c.post(ctx, "/get-assertion", operation{tap, uvToken, options, credentialID}, &out); err != nil {
		return Assertion{}, err
	}
	var answer struct {
		ID     string    `json:"id"`
		Choose []Account `json:"choose"`
	}
	switch err := json.Unmarshal(out, &answer); {
	case err != nil:
		return Assertion{}, errAnswer
	case len(answer.Choose) > 0:
		return Assertion{Choose: answer.Choose}, nil
	case answer.ID == "":
		return Assertion{}, errAnswer
	}
	return Assertion{Response: out}, nil
}

// ChangePIN sets another PIN of the tapped card. A wrong old one is an *Error as that of
// Verify.
func (c *Client) ChangePIN(ctx context.Context, tap string, old, changed secret.Bytes) error {
	return c.post(ctx, "/pin/change", struct {
		Tap string `json:"tap"`
		Old string `json:"old"`
		New string `json:"new"`
	}{tap, old.ExposeString(), changed.ExposeString()}, nil)
}
