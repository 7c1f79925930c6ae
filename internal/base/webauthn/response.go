package webauthn

import (
	"fmt"

	"github.com/keyhold/keyhold/internal/base/ctap"
)

// crossPlatform is the attachment of an authenticator that is not built into the machine.
const crossPlatform = "cross-platform"

// RegistrationResponse is RegistrationResponseJSON (WebAuthn L3 §5.1.1), ready for JSON.
type RegistrationResponse struct {
	ID                     URLBase64           `json:"id"`
	RawID                  URLBase64           `json:"rawId"`
	Response               AttestationResponse `json:"response"`
	Attachment             string              `json:"authenticatorAttachment"`
	ClientExtensionResults Results             `json:"clientExtensionResults"`
	Type                   string              `json:"type"`
}

// AttestationResponse is AuthenticatorAttestationResponseJSON. PublicKey is DER
// SubjectPublicKeyInfo.
type AttestationResponse struct {
	ClientDataJSON     URLBase64      `json:"clientDataJSON"`
	AuthenticatorData  URLBase64      `json:"authenticatorData"`
	Transports         []string       `json:"transports"`
	PublicKey          URLBase64      `json:"publicKey"`
	PublicKeyAlgorithm ctap.Algorithm `json:"publicKeyAlgorithm"`
	AttestationObject  URLBase64      `json:"attestationObject"`
}

// AuthenticationResponse is AuthenticationResponseJSON (§5.1.1), ready for JSON.
type AuthenticationResponse struct {
	ID                     URLBase64         `json:"id"`
	RawID                  URLBase64         `json:"rawId"`
	Response               AssertionResponse `json:"response"`
	Attachment             string            `json:"authenticatorAttachment"`
	ClientExtensionResults Results           `json:"clientExtensionResults"`
	Type                   string            `json:"type"`
}

// AssertionResponse is AuthenticatorAssertionResponseJSON. UserHandle is nil if the
// credential is not discoverable.
type AssertionResponse struct {
	ClientDataJSON    URLBase64 `json:"clientDataJSON"`
	AuthenticatorData URLBase64 `json:"authenticatorData"`
	Signature         URLBase64 `json:"signature"`
	UserHandle        URLBase64 `json:"userHandle,omitempty"`
}

// Results are the client extension outputs (§10). What is nil was not asked for.
type Results struct {
	CredProps        *CredProps  `json:"credProps,omitempty"`
	HMACCreateSecret bool        `json:"hmacCreateSecret,omitempty"`
	LargeBlob        *LargeBlob  `json:"largeBlob,omitempty"`
	PRF              *PRFResults `json:"prf,omitempty"`
}

// CredProps says whether the credential is discoverable (§10.1.3).
type CredProps struct {
	RK bool `json:"rk"`
}

// LargeBlob says that none are kept (§10.1.5).
type LargeBlob struct {
	Supported bool `json:"supported"`
}

// PRFResults are the outputs of the PRF (§10.1.4): Enabled is said at a creation only.
type PRFResults struct {
	Enabled *bool      `json:"enabled,omitempty"`
	Results *PRFValues `json:"results,omitempty"`
}

// PRFValues are 32 bytes each. Whoever has them can read what the website's user encrypted
// with them.
type PRFValues struct {
	First  URLBase64 `json:"first"`
	Second URLBase64 `json:"second,omitempty"`
}

// NewRegistration returns what the page gets for a credential that was made: uv says that
// the holder was verified, clientData is that whose hash was in the request.
func NewRegistration(o CreationOptions, c ctap.Credential, made ctap.MakeCredentialResponse, clientData []byte, uv bool) (RegistrationResponse, error) {
	public, err := ctap.PublicSPKI(c.Public)
	if err != nil {
		return RegistrationResponse{}, fmt.Errorf("answering a registration: %w", err)
	}
	results := Results{HMACCreateSecret: o.HMACCreateSecret}
	if o.CredProps {
		results.CredProps = &CredProps{RK: c.Discoverable}
	}
	if o.LargeBlob {
		results.LargeBlob = &LargeBlob{}
	}
	if o.PRF != nil {
		results.PRF = &PRFResults{Enabled: new(true), Results: evaluate(c, o.PRF.Eval, uv)}
	}
	return RegistrationResponse{
		ID:    c.ID,
		RawID: c.ID,
		Response: AttestationResponse{
			ClientDataJSON:     clientData,
			AuthenticatorData:  made.AuthData,
			Transports:         ctap.Transports(),
			PublicKey:          public,
			PublicKeyAlgorithm: c.Algorithm,
			AttestationObject:  made.AttestationObject(),
		},
		Attachment:             crossPlatform,
		ClientExtensionResults: results,
		Type:                   ctap.PublicKey,
	}, nil
}

// NewAuthentication returns what the page gets for an assertion of c, as NewRegistration
// does.
func NewAuthentication(o RequestOptions, c ctap.Credential, made ctap.GetAssertionResponse, clientData []byte, uv bool) AuthenticationResponse {
	answer := AuthenticationResponse{
		ID:    c.ID,
		RawID: c.ID,
		Response: AssertionResponse{
			ClientDataJSON:    clientData,
			AuthenticatorData: made.AuthData,
			Signature:         made.Signature,
		},
		Attachment: crossPlatform,
		Type:       ctap.PublicKey,
	}
	if made.User != nil {
		answer.Response.UserHandle = made.User.ID
	}
	if o.PRF != nil {
		inputs := o.PRF.Eval
		if own, ok := o.PRF.ByCredential[string(c.ID)]; ok {
			inputs = &own
		}
		answer.ClientExtensionResults.PRF = &PRFResults{Results: evaluate(c, inputs, uv)}
	}
	return answer
}

// evaluate returns nil where there is nothing to evaluate, or nothing to do it with, and
// where the holder is not verified: that is another PRF, which pages never see (§10.1.4).
func evaluate(c ctap.Credential, s *Salts, uv bool) *PRFValues {
	if s == nil || !uv {
		return nil
	}
	first := c.PRF(s.First, true)
	if first == nil {
		return nil
	}
	values := &PRFValues{First: first}
	if s.Second != nil {
		values.Second = c.PRF(s.Second, true)
	}
	return values
}
