package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// desk is a workstation with a card reader in front of a whole server.
type desk struct {
	*phone
	job     auth.Caller
	holder  directory.User
	key     securitykey.SecurityKey
	token   string
	client  id.Client
	program *agent.Client
}

// The card that lies on the desk, and its PIN.
const (
	deskCard = "04:A1:B2:C3:D4:E5:80"
	deskPIN  = "904417"
)

// through sends requests to a handler as if it were at the server's public address.
type through struct{ h http.Handler }

func (t through) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "192.0.2.7:5000", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	t.h.ServeHTTP(w, in)
	return w.Result(), nil
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return newDeskAt(t, newPhone(t))
}

// newDeskAt puts the desk in front of a server that is there.
func newDeskAt(t *testing.T, p *phone) *desk {
	t.Helper()
	d := &desk{phone: p}
	d.job, d.holder = d.user("Harbour", "ada@example.org")
	_, token, err := d.a.APIKeys.Create(t.Context(), d.job, apikey.NewKey{Name: "Workstations", Type: apikey.Clients})
	if err != nil {
		t.Fatal(err)
	}
	d.token = token.Secret().ExposeString()
	d.key = d.card(d.holder.ID, deskCard, deskPIN)
	d.program = d.newProgram()
	d.client = d.enrol(d.program, "Front desk")
	return d
}

// card gives a user a card that is active.
func (d *desk) card(u id.User, number, pin string) securitykey.SecurityKey {
	d.t.Helper()
	issued, err := d.a.SecurityKeys.Create(d.t.Context(), d.job, u, securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Name: "Badge " + number, Activation: securitykey.ActivateNow, CardNumber: number, Verification: securitykey.ByPIN,
		PIN: secret.FromString(pin), Delivery: securitykey.DeliverResponse,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return issued.Key
}

// newProgram returns a program with a key of its own that nobody knows yet.
func (d *desk) newProgram() *agent.Client {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	return agent.New(agent.Config{
		Server: &url.URL{Scheme: "http", Host: "localhost:8080"}, Token: secret.FromString(d.token), Key: key, Clock: d.clock,
		HTTP: &http.Client{Transport: through{d.h}},
	})
}

// enrol makes a program an approved client.
func (d *desk) enrol(p *agent.Client, name string) id.Client {
	d.t.Helper()
	e, err := p.Enrol(d.t.Context(), agent.Enrolment{Name: name, Kind: agent.KindAgent})
	if err != nil {
		d.t.Fatal(err)
	}
	c, ok := id.Parse[id.KindClient](e.ID)
	if !ok || e.State != string(client.Pending) {
		d.t.Fatalf("Enrol() = %+v, want a client that waits", e)
	}
	if _, err := d.a.Clients.Approve(d.t.Context(), d.job, c); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// site is a website: the library that most Go websites use.
type site struct {
	*webauthn.WebAuthn
	t       *testing.T
	origin  string
	rpID    string
	account *account
}

type account struct {
	id          []byte
	name        string
	credentials []webauthn.Credential
}

func (a *account) WebAuthnID() []byte                         { return a.id }
func (a *account) WebAuthnName() string                       { return a.name }
func (a *account) WebAuthnDisplayName() string                { return a.name }
func (a *account) WebAuthnCredentials() []webauthn.Credential { return a.credentials }

func newSite(t *testing.T, rpID, origin string) *site {
	t.Helper()
	w, err := webauthn.New(&webauthn.Config{RPID: rpID, RPDisplayName: "Shop", RPOrigins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	return &site{WebAuthn: w, t: t, origin: origin, rpID: rpID, account: &account{id: []byte("ada-1"), name: "ada"}}
}

// options is the JSON that the site's page would hand to its browser.
func options[T any](t *testing.T, o T) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tap taps a card for the site and shows the PIN; the token is empty if there is no PIN.
func (d *desk) tap(s *site, operation, number, pin string, o json.RawMessage) (tap, uv string, err error) {
	d.t.Helper()
	in := agent.Tap{CardNumber: secret.FromString(number), Source: agent.Reader, Operation: operation, Origin: s.origin, RPID: s.rpID, Options: o}
	tapped, err := d.program.Tap(d.t.Context(), in)
	if err != nil || pin == "" {
		return tapped.Tap, "", err
	}
	uv, err = d.program.Verify(d.t.Context(), tapped.Tap, secret.FromString(pin))
	return tapped.Tap, uv, err
}

// register registers the site's account with a card.
func (d *desk) register(s *site, number, pin string, with ...webauthn.RegistrationOption) error {
	d.t.Helper()
	creation, session, err := s.BeginRegistration(s.account, with...)
	if err != nil {
		d.t.Fatal(err)
	}
	o := options(d.t, creation.Response)
	tap, uv, err := d.tap(s, agent.Create, number, pin, o)
	if err != nil {
		return err
	}
	raw, err := d.program.MakeCredential(d.t.Context(), tap, uv, o)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(raw)
	if err != nil {
		d.t.Fatalf("%v: %s", err, raw)
	}
	c, err := s.CreateCredential(s.account, *session, parsed)
	if err != nil {
		d.t.Fatalf("the site refuses the registration: %+v", err)
	}
	s.account.credentials = append(s.account.credentials, *c)
	return nil
}

// signIn signs in at the site, which names the account's credentials.
func (d *desk) signIn(s *site, number, pin string) error {
	d.t.Helper()
	assertion, session, err := s.BeginLogin(s.account)
	if err != nil {
		d.t.Fatal(err)
	}
	o := options(d.t, assertion.Response)
	tap, uv, err := d.tap(s, agent.Get, number, pin, o)
	if err != nil {
		return err
	}
	got, err := d.program.GetAssertion(d.t.Context(), tap, uv, o, "")
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(got.Response)
	if err != nil {
		d.t.Fatalf("%v: %s", err, got.Response)
	}
	if _, err := s.ValidateLogin(s.account, *session, parsed); err != nil {
		d.t.Fatalf("the site refuses the sign-in: %+v", err)
	}
	return nil
}

// codeOf returns the code of a refusal, "" for none.
func codeOf(t *testing.T, err error) string {
	t.Helper()
	var e *agent.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	t.Fatal(err)
	return ""
}

func TestAuthenticator_registersAndSignsIn(t *testing.T) {
	d := newDesk(t)
	shop := newSite(t, "shop.example", "https://www.shop.example")
	if err := d.register(shop, deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	if err := d.signIn(shop, deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	if u, _, err := d.a.Directory.Find(t.Context(), d.job, d.holder.ID); err != nil || u.Status != directory.Active || !u.LastActivityAt.Equal(d.clock.Now()) {
		t.Errorf("who signed in with a card is %+v, %v, want them active", u, err)
	}
	// A second card of the same person opens the same account.
	d.card(d.holder.ID, "04:00:00:00:00:00:01", "771203")
	if err := d.signIn(shop, "04:00:00:00:00:00:01", "771203"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.a.SecurityKeys.Suspend(context.WithoutCancel(t.Context()), d.job, d.key.ID); err != nil {
		t.Fatal(err)
	}
	if got := codeOf(t, d.signIn(shop, deskCard, deskPIN)); got != "key_suspended" {
		t.Errorf("a suspended card: %q, want key_suspended", got)
	}
}
