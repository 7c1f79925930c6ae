package webauthn_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/webauthn"
)

const challenge = "AAECAwQFBgcICQoLDA0ODw"

// register makes a credential for a page at o, all the way from its options to what it
// gets.
func register(t *testing.T, o webauthn.Origin, options []byte, uv bool) (ctap.Credential, webauthn.RegistrationResponse) {
	t.Helper()
	parsed, err := webauthn.ParseCreation(options)
	if err != nil {
		t.Fatal(err)
	}
	rpID, err := webauthn.RPIDFor(o, parsed.RPID, own)
	if err != nil {
		t.Fatal(err)
	}
	clientData := webauthn.ClientData(webauthn.Create, parsed.Challenge, o)
	hash := sha256.Sum256(clientData)
	c, made, err := ctap.MakeCredential(parsed.Request(rpID, hash[:]), parsed.Attest(), uv)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := webauthn.NewRegistration(parsed, c, made, clientData, uv)
	if err != nil {
		t.Fatal(err)
	}
	return c, answer
}

func signIn(t *testing.T, o webauthn.Origin, options []byte, c ctap.Credential, uv bool) webauthn.AuthenticationResponse {
	t.Helper()
	parsed, err := webauthn.ParseRequest(options)
	if err != nil {
		t.Fatal(err)
	}
	rpID, err := webauthn.RPIDFor(o, parsed.RPID, own)
	if err != nil {
		t.Fatal(err)
	}
	clientData := webauthn.ClientData(webauthn.Get, parsed.Challenge, o)
	hash := sha256.Sum256(clientData)
	made, err := ctap.GetAssertion(parsed.Request(rpID, hash[:]), c, uv)
	if err != nil {
		t.Fatal(err)
	}
	return webauthn.NewAuthentication(parsed, c, made, clientData, uv)
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestResponses_areAcceptedByAWebsite: github.com/go-webauthn/webauthn is the website.
func TestResponses_areAcceptedByAWebsite(t *testing.T) {
	for _, algorithm := range ctap.Algorithms() {
		for _, attestation := range []string{"none", "direct"} {
			for _, o := range []webauthn.Origin{at("https://login.example.org"), framed("https://login.example.org", "https://shop.example.com")} {
				t.Run(fmt.Sprint(algorithm, attestation, o.CrossOrigin), func(t *testing.T) {
					c, registration := register(t, o, put(t, creationJSON, map[string]string{
						"pubKeyCredParams": fmt.Sprintf(`[{"type":"public-key","alg":%d}]`, algorithm), "attestation": `"` + attestation + `"`,
						"extensions.credentialProtectionPolicy": `"userVerificationRequired"`, "extensions.hmacCreateSecret": "true",
					}), true)
					created, err := protocol.ParseCredentialCreationResponseBytes(marshal(t, registration))
					if err != nil {
						t.Fatal(err)
					}
					_, err = created.Verify(challenge, "example.org", []string{"https://login.example.org"}, nil, []string{"https://shop.example.com"},
						protocol.TopOriginExplicitVerificationMode, o.CrossOrigin, true, true, nil,
						[]protocol.CredentialParameter{{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(algorithm)}},
						protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
					if err != nil {
						t.Fatalf("Verify() = %v (%+v)", err, err)
					}
					if want := map[string]string{"none": "none", "direct": "packed"}[attestation]; created.Response.AttestationObject.Format != want {
						t.Errorf("format = %s, want %s", created.Response.AttestationObject.Format, want)
					}
					data := created.Response.AttestationObject.AuthData
					if !bytes.Equal(data.AttData.CredentialPublicKey, c.Public) || !data.Flags.HasBackupEligible() || !data.Flags.HasBackupState() {
						t.Errorf("authenticator data = %+v, want it of %+v", data, c)
					}
					if aaguid := data.AttData.AAGUID; !bytes.Equal(aaguid, ctap.AAGUID[:]) {
						t.Errorf("AAGUID = %x, want %x", aaguid, ctap.AAGUID)
					}

					answer := signIn(t, o, put(t, requestJSON, nil), c, true)
					asserted, err := protocol.ParseCredentialRequestResponseBytes(marshal(t, answer))
					if err != nil {
						t.Fatal(err)
					}
					verify := func(challenge string, public []byte) error {
						return asserted.Verify(challenge, "example.org", "", []string{"https://login.example.org"}, nil, []string{"https://shop.example.com"},
							protocol.TopOriginExplicitVerificationMode, o.CrossOrigin, true, true, public, protocol.SignaturePolicy{})
					}
					if err := verify(challenge, c.Public); err != nil {
						t.Errorf("Verify() = %v (%+v)", err, err)
					}
					if verify("AAAA", c.Public) == nil {
						t.Error("Verify() takes another challenge")
					}
					if other, _ := register(t, o, []byte(creationJSON), true); verify(challenge, other.Public) == nil {
						t.Error("Verify() takes another key")
					}
					if !bytes.Equal(asserted.Response.UserHandle, []byte{1, 2}) {
						t.Errorf("userHandle = %x, want 0102", asserted.Response.UserHandle)
					}
				})
			}
		}
	}
}

func TestRegistrationResponse_isWhatBrowsersWrite(t *testing.T) {
	o := at("https://example.org")
	c, answer := register(t, o, put(t, creationJSON, map[string]string{
		"extensions": `{"credProps":true,"hmacCreateSecret":true,"largeBlob":{},"prf":{"eval":{"first":"YQ"}}}`,
	}), true)
	text := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	public, err := ctap.PublicSPKI(c.Public)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": text(c.ID), "rawId": text(c.ID), "type": "public-key", "authenticatorAttachment": "cross-platform",
		"response": map[string]any{
			"clientDataJSON":     text([]byte(`{"type":"webauthn.create","challenge":"` + challenge + `","origin":"https://example.org","crossOrigin":false}`)),
			"attestationObject":  text(answer.Response.AttestationObject),
			"authenticatorData":  text(answer.Response.AuthenticatorData),
			"transports":         []any{"hybrid", "nfc"},
			"publicKey":          text(public),
			"publicKeyAlgorithm": float64(-7),
		},
		"clientExtensionResults": map[string]any{
			"credProps": map[string]any{"rk": true}, "hmacCreateSecret": true, "largeBlob": map[string]any{"supported": false},
			"prf": map[string]any{"enabled": true, "results": map[string]any{"first": text(c.PRF(salted("a"), true))}},
		},
	}
	var got map[string]any
	if err := json.Unmarshal(marshal(t, answer), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	if !bytes.HasSuffix(answer.Response.AttestationObject, answer.Response.AuthenticatorData) {
		t.Error("the attestation object has other authenticator data")
	}
	var read webauthn.RegistrationResponse
	if err := json.Unmarshal(marshal(t, answer), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(answer, read); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}

	_, plain := register(t, o, []byte(creationJSON), true)
	if got := string(marshal(t, plain.ClientExtensionResults)); got != "{}" {
		t.Errorf("clientExtensionResults = %s, want {}", got)
	}
	_, hidden := register(t, o, put(t, creationJSON, map[string]string{
		"authenticatorSelection.residentKey": `"discouraged"`, "extensions": `{"credProps":true,"prf":{}}`,
	}), true)
	if got, want := string(marshal(t, hidden.ClientExtensionResults)), `{"credProps":{"rk":false},"prf":{"enabled":true}}`; got != want {
		t.Errorf("clientExtensionResults = %s, want %s", got, want)
	}
}

func TestAuthenticationResponse_isWhatBrowsersWrite(t *testing.T) {
	o := at("https://example.org")
	c, _ := register(t, o, []byte(creationJSON), true)
	text := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	answer := signIn(t, o, put(t, requestJSON, nil), c, true)
	want := map[string]any{
		"id": text(c.ID), "rawId": text(c.ID), "type": "public-key", "authenticatorAttachment": "cross-platform",
		"response": map[string]any{
			"clientDataJSON":    text([]byte(`{"type":"webauthn.get","challenge":"` + challenge + `","origin":"https://example.org","crossOrigin":false}`)),
			"authenticatorData": text(answer.Response.AuthenticatorData),
			"signature":         text(answer.Response.Signature),
			"userHandle":        "AQI",
		},
		"clientExtensionResults": map[string]any{},
	}
	var got map[string]any
	if err := json.Unmarshal(marshal(t, answer), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	hidden, _ := register(t, o, put(t, creationJSON, map[string]string{"authenticatorSelection.residentKey": `"discouraged"`}), true)
	answer = signIn(t, o, put(t, requestJSON, map[string]string{"allowCredentials": `[{"type":"public-key","id":"` + text(hidden.ID) + `"}]`}), hidden, true)
	if raw := string(marshal(t, answer)); strings.Contains(raw, "userHandle") {
		t.Errorf("JSON = %s, want no userHandle", raw)
	}
}

func TestAuthenticationResponse_hasThePRF(t *testing.T) {
	o := at("https://example.org")
	c, _ := register(t, o, []byte(creationJSON), true)
	id := base64.RawURLEncoding.EncodeToString(c.ID)
	allow := `[{"type":"public-key","id":"` + id + `"},{"type":"public-key","id":"AQ"}]`
	both := `{"first":"YQ","second":"Yg"}`
	for name, w := range map[string]struct {
		prf  string
		uv   bool
		want *webauthn.PRFResults
	}{
		"not asked":      {"", true, nil},
		"no inputs":      {`{}`, true, &webauthn.PRFResults{}},
		"two inputs":     {`{"eval":` + both + `}`, true, &webauthn.PRFResults{Results: &webauthn.PRFValues{First: c.PRF(salted("a"), true), Second: c.PRF(salted("b"), true)}}},
		"not verified":   {`{"eval":` + both + `}`, false, &webauthn.PRFResults{}},
		"by credential":  {`{"eval":` + both + `,"evalByCredential":{"` + id + `":{"first":"Yw"}}}`, true, &webauthn.PRFResults{Results: &webauthn.PRFValues{First: c.PRF(salted("c"), true)}}},
		"by another one": {`{"evalByCredential":{"AQ":{"first":"Yw"}}}`, true, &webauthn.PRFResults{}},
	} {
		answer := signIn(t, o, put(t, requestJSON, map[string]string{"allowCredentials": allow, "extensions.prf": w.prf}), c, w.uv)
		if diff := cmp.Diff(w.want, answer.ClientExtensionResults.PRF); diff != "" {
			t.Errorf("%s: prf (-want +got):\n%s", name, diff)
		}
	}
}

func TestURLBase64_refusesWhatItWouldNotWrite(t *testing.T) {
	for _, text := range []string{`"AA=="`, `"+/+/"`, `"AB"`, `"A"`, `"AA\n"`, `1`} {
		var b webauthn.URLBase64
		if err := json.Unmarshal([]byte(text), &b); err == nil {
			t.Errorf("%s is read as %x", text, b)
		}
	}
}
