package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/client"
)

// programWith returns a program with a key of its own and that token, which may be empty.
func (d *desk) programWith(key *ecdsa.PrivateKey, with secret.Bytes) *agent.Client {
	return agent.New(agent.Config{
		Server: &url.URL{Scheme: "http", Host: "localhost:8080"}, Token: with, Key: key, Clock: d.clock, HTTP: &http.Client{Transport: through{d.h}},
	})
}

func newDeviceKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAuthenticator_enrolsByACodeAlone(t *testing.T) {
	d := newDesk(t)
	_, code, err := d.a.Clients.IssueCode(t.Context(), d.job, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	key := newDeviceKey(t)
	e := agent.Enrolment{Name: "Back office", Kind: agent.KindAgent, Code: code}
	got, err := d.programWith(key, secret.Bytes{}).Enrol(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if tok, ok := token.Parse(got.Token.ExposeString()); !ok || tok.Kind != token.KindClient || got.State != "approved" {
		t.Fatalf("Enrol() = %+v, want an approved client with a token", got)
	}
	d.program = d.programWith(key, got.Token)
	shop := newSite(t, "shop.example", "https://www.shop.example")
	if err := d.register(shop, deskCard, deskPIN); err != nil {
		t.Fatalf("who enrolled by a code cannot register: %v", err)
	}
	if err := d.signIn(shop, deskCard, deskPIN); err != nil {
		t.Errorf("who enrolled by a code cannot sign in: %v", err)
	}
	_, err = d.programWith(newDeviceKey(t), secret.Bytes{}).Enrol(t.Context(), agent.Enrolment{Name: "Third", Kind: agent.KindAgent, Code: code})
	if got := codeOf(t, err); got != "enrolment_code_invalid" {
		t.Errorf("a spent code: %q", got)
	}
	_, err = d.programWith(newDeviceKey(t), secret.Bytes{}).Enrol(t.Context(), agent.Enrolment{Name: "Third", Kind: agent.KindAgent})
	if got := codeOf(t, err); got != "unauthenticated" {
		t.Errorf("neither token nor code: %q", got)
	}
}
