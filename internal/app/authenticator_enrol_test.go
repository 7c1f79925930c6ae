package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/id"
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
	me, _ := id.Parse[id.KindClient](got.ID)
	if err := d.a.Clients.Revoke(t.Context(), d.job, me, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.program.Whoami(t.Context()); codeOf(t, err) != "unauthenticated" {
		t.Errorf("the token of a client that is revoked: %v", err)
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

// What is asked without a token, as it stands in the answer.
func TestAuthenticator_enrolsByACodeAlone_answers(t *testing.T) {
	d := newDesk(t)
	_, code, err := d.a.Clients.IssueCode(t.Context(), d.job, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	key := newDeviceKey(t)
	body := `{"name":"Kiosk","kind":"extension","jwk":` + string(dpop.JWK(&key.PublicKey)) + `,"enrolment_code":"` + code.ExposeString() + `"}`
	ask := func(body, nonce string, header http.Header) *httptest.ResponseRecorder {
		t.Helper()
		proof, err := dpop.Sign(key, dpop.Claims{
			Method: "POST", URL: "http://localhost:8080/authenticator/v1/clients", IssuedAt: d.clock.Now(), ID: rand.Text(), Nonce: nonce, TokenHash: dpop.TokenHash(""), BodyHash: dpop.BodyHash([]byte(body)),
		})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost:8080/authenticator/v1/clients", strings.NewReader(body))
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/json")
		r.Header.Add("DPoP", proof)
		w := httptest.NewRecorder()
		d.h.ServeHTTP(w, r)
		return w
	}
	first := ask(body, "", http.Header{})
	nonce := first.Header().Get("DPoP-Nonce")
	if first.Code != http.StatusUnauthorized || nonce == "" || !strings.Contains(first.Body.String(), `"use_dpop_nonce"`) {
		t.Fatalf("without a nonce: %d %v %s", first.Code, first.Header(), first.Body)
	}
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status int
		code   string
	}{
		"an empty token":    {body, http.Header{"Authorization": {"Bearer "}}, http.StatusUnauthorized, "unauthenticated"},
		"another scheme":    {body, http.Header{"Authorization": {"Basic eA=="}}, http.StatusUnauthorized, "unauthenticated"},
		"an empty code":     {strings.Replace(body, code.ExposeString(), "", 1), http.Header{}, http.StatusUnauthorized, "unauthenticated"},
		"no JSON":           {"enrolment_code", http.Header{}, http.StatusUnauthorized, "unauthenticated"},
		"a member too many": {strings.Replace(body, "{", `{"token":"x",`, 1), http.Header{}, http.StatusUnauthorized, "unauthenticated"},
		"two proofs":        {body, http.Header{"Dpop": {"x"}}, http.StatusUnauthorized, "invalid_dpop_proof"},
		"too long a body":   {body + strings.Repeat(" ", 8<<10), http.Header{}, http.StatusUnprocessableEntity, "body_too_large"},
		"another code":      {strings.Replace(body, code.ExposeString(), "AAAA-BBBB-CCCC-DDDD", 1), http.Header{}, http.StatusUnprocessableEntity, "enrolment_code_invalid"},
		"no name":           {strings.Replace(body, "Kiosk", "", 1), http.Header{}, http.StatusUnprocessableEntity, "invalid_fields"},
	} {
		got := ask(c.body, nonce, c.header)
		if got.Code != c.status || !strings.Contains(got.Body.String(), `"code":"`+c.code+`"`) || strings.Contains(got.Body.String(), "kh_client_") {
			t.Errorf("%s: %d %s, want %d %s", name, got.Code, got.Body, c.status, c.code)
		}
	}
	made := ask(body, nonce, http.Header{})
	var answer map[string]any
	if err := json.Unmarshal(made.Body.Bytes(), &answer); err != nil || made.Code != http.StatusCreated || made.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s, %v", made.Code, made.Header(), made.Body, err)
	}
	if answer["name"] != "Kiosk" || answer["kind"] != "extension" || answer["state"] != "approved" || answer["reader_format"] != "hex" || answer["pinless_allowed"] != false || len(answer) != 8 {
		t.Errorf("the answer is %v", answer)
	}
	if again := ask(body, nonce, http.Header{}); again.Code != http.StatusUnprocessableEntity || strings.Contains(again.Body.String(), "kh_client_") {
		t.Errorf("again: %d %s", again.Code, again.Body)
	}
}
