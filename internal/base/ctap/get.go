package ctap

import (
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// GetAssertionRequest is authenticatorGetAssertion (CTAP 2.1 §6.2). Allow is nil or empty
// if the website names no credential. Options that are nil were not said. HMACSecret is
// the input of that extension, nil if there is none; PINAuth as in MakeCredentialRequest.
type GetAssertionRequest struct {
	RPID             string
	ClientDataHash   []byte
	Allow            []Descriptor
	Resident, UP, UV *bool
	HMACSecret       *HMACSecretInput
	PINAuth          []byte
	PINProtocol      int
}

// HMACSecretInput is the input of hmac-secret at an assertion (CTAP 2.1 §12.5), not yet
// opened: see Agreement. KeyAgreement is a COSE_Key as it came.
type HMACSecretInput struct {
	KeyAgreement      []byte
	SaltEnc, SaltAuth []byte
	Protocol          int
}

type (
	hmacSecretWire struct {
		KeyAgreement cbor.RawMessage  `cbor:"1,keyasint,omitempty"`
		SaltEnc      *cbor.ByteString `cbor:"2,keyasint,omitempty"`
		SaltAuth     *cbor.ByteString `cbor:"3,keyasint,omitempty"`
		Protocol     *uint64          `cbor:"4,keyasint,omitempty"`
	}
	getExtensionsWire struct {
		HMACSecret *hmacSecretWire `cbor:"hmac-secret,omitempty"`
	}
	getWire struct {
		RPID           *string            `cbor:"1,keyasint,omitempty"`
		ClientDataHash *cbor.ByteString   `cbor:"2,keyasint,omitempty"`
		Allow          *[]descriptorWire  `cbor:"3,keyasint,omitempty"`
		Extensions     *getExtensionsWire `cbor:"4,keyasint,omitempty"`
		Options        *optionsWire       `cbor:"5,keyasint,omitempty"`
		PINAuth        *cbor.ByteString   `cbor:"6,keyasint,omitempty"`
		PINProtocol    *uint64            `cbor:"7,keyasint,omitempty"`
	}
)

// DecodeGetAssertion reads the parameters of authenticatorGetAssertion, as
// DecodeMakeCredential does.
func DecodeGetAssertion(body []byte) (GetAssertionRequest, error) {
	var w getWire
	if err := decode(body, &w); err != nil {
		return GetAssertionRequest{}, err
	}
	if w.RPID == nil || w.ClientDataHash == nil {
		return GetAssertionRequest{}, Refuse(MissingParameter, "a parameter is missing")
	}
	r := GetAssertionRequest{RPID: *w.RPID, ClientDataHash: []byte(*w.ClientDataHash), PINAuth: optionalBytes(w.PINAuth)}
	var err error
	if r.Allow, err = descriptors(w.Allow); err != nil {
		return GetAssertionRequest{}, err
	}
	if r.PINProtocol, err = small(w.PINProtocol); err != nil {
		return GetAssertionRequest{}, err
	}
	if w.Options != nil {
		r.Resident, r.UP, r.UV = w.Options.Resident, w.Options.UP, w.Options.UV
	}
	if w.Extensions != nil && w.Extensions.HMACSecret != nil {
		if r.HMACSecret, err = w.Extensions.HMACSecret.input(); err != nil {
			return GetAssertionRequest{}, err
		}
	}
	if err := r.check(); err != nil {
		return GetAssertionRequest{}, err
	}
	return r, nil
}

func (w hmacSecretWire) input() (*HMACSecretInput, error) {
	if w.KeyAgreement == nil || w.SaltEnc == nil || w.SaltAuth == nil {
		return nil, Refuse(MissingParameter, "hmac-secret lacks a parameter")
	}
	protocol, err := small(w.Protocol)
	if err != nil {
		return nil, err
	}
	return &HMACSecretInput{
		KeyAgreement: slices.Clone(w.KeyAgreement),
		SaltEnc:      []byte(*w.SaltEnc),
		SaltAuth:     []byte(*w.SaltAuth),
		Protocol:     protocol,
	}, nil
}

func (r GetAssertionRequest) check() error {
	switch {
	case len(r.ClientDataHash) != hashSize:
		return Refuse(InvalidLength, "the client data hash is not 32 bytes long")
	case r.RPID == "":
		return Refuse(MissingParameter, "the RP ID is missing")
	case len(r.RPID) > MaxRPID:
		return Refuse(LimitExceeded, "the RP ID is too long")
	case r.Resident != nil:
		return Refuse(UnsupportedOption, "rk is no option of an assertion")
	default:
		return nil
	}
}

// Encode returns the request in canonical form.
func (r GetAssertionRequest) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	w := getWire{
		RPID:           &r.RPID,
		ClientDataHash: new(cbor.ByteString(r.ClientDataHash)),
		Allow:          wireDescriptors(r.Allow),
		Options:        wireOptions(r.Resident, r.UP, r.UV),
		PINAuth:        wireBytes(r.PINAuth),
		PINProtocol:    wireSmall(r.PINProtocol),
	}
	if in := r.HMACSecret; in != nil {
		w.Extensions = &getExtensionsWire{&hmacSecretWire{
			KeyAgreement: in.KeyAgreement,
			SaltEnc:      new(cbor.ByteString(in.SaltEnc)),
			SaltAuth:     new(cbor.ByteString(in.SaltAuth)),
			Protocol:     wireSmall(in.Protocol),
		}}
	}
	return encode(w), nil
}

// Fits says whether c may answer r, uv saying that the holder was verified (CTAP 2.1
// §6.2.2 step 7): it is of the same RP ID, is on the website's list or, if there is none,
// discoverable, and its protection does not hide it.
func Fits(r GetAssertionRequest, c Credential, uv bool) bool {
	listed := len(r.Allow) > 0
	if c.RPID != r.RPID || c.Protect.hides(listed, uv) {
		return false
	}
	if listed {
		return names(r.Allow, c.ID)
	}
	return c.Discoverable
}

// GetAssertionResponse is the answer to authenticatorGetAssertion. User is nil for a
// credential that is not discoverable. NumberOfCredentials is 0 where it is not said;
// whoever has several that fit sets it.
type GetAssertionResponse struct {
	CredentialID        []byte
	AuthData            []byte
	Signature           []byte
	User                *User
	NumberOfCredentials int
}

// GetAssertion answers r with c, without extension outputs. It refuses with NoCredentials
// where c does not fit. uv says that the holder was verified; the user counts as present
// unless the request says that it does not ask.
func GetAssertion(r GetAssertionRequest, c Credential, uv bool) (GetAssertionResponse, error) {
	return assertion(r, c, uv, nil)
}

// GetAssertionWithSecret answers r as GetAssertion does, with the output of hmac-secret as
// Agreement.Answer made it for c.
func GetAssertionWithSecret(r GetAssertionRequest, c Credential, uv bool, output []byte) (GetAssertionResponse, error) {
	return assertion(r, c, uv, encode(struct {
		Output []byte `cbor:"hmac-secret"`
	}{output}))
}

func assertion(r GetAssertionRequest, c Credential, uv bool, outputs []byte) (GetAssertionResponse, error) {
	if err := r.check(); err != nil {
		return GetAssertionResponse{}, err
	}
	if !Fits(r, c, uv) {
		return GetAssertionResponse{}, Refuse(NoCredentials, "this credential does not fit")
	}
	answer, err := sign(c, flags(r.UP == nil || *r.UP, uv), r.ClientDataHash, outputs)
	if err != nil {
		return GetAssertionResponse{}, err
	}
	if c.Discoverable {
		answer.User = &User{ID: c.User.ID}
		if uv && len(r.Allow) == 0 { // §6.2.2: what tells who it is takes a verified holder
			answer.User = &c.User
		}
	}
	return answer, nil
}

// sign returns the answer that c gives with these flags.
func sign(c Credential, f Flags, clientDataHash, outputs []byte) (GetAssertionResponse, error) {
	if !slices.Equal(c.Private.COSE(), c.Public) || c.Public == nil {
		return GetAssertionResponse{}, Refuse(IntegrityFailure, "a credential's halves do not belong together")
	}
	data := authData(c.RPID, f, nil, outputs)
	signature, err := c.Private.Sign(slices.Concat(data, clientDataHash))
	if err != nil {
		return GetAssertionResponse{}, err
	}
	return GetAssertionResponse{CredentialID: c.ID, AuthData: data, Signature: signature}, nil
}

// Encode returns the answer as a CTAP transport sends it, without the status byte.
func (r GetAssertionResponse) Encode() []byte {
	w := struct {
		Credential descriptorWire `cbor:"1,keyasint"`
		AuthData   []byte         `cbor:"2,keyasint"`
		Signature  []byte         `cbor:"3,keyasint"`
		User       *userWire      `cbor:"4,keyasint,omitempty"`
		Number     int            `cbor:"5,keyasint,omitempty"`
	}{
		Credential: descriptorWire{ID: new(cbor.ByteString(r.CredentialID)), Type: new(PublicKey)},
		AuthData:   r.AuthData,
		Signature:  r.Signature,
		Number:     r.NumberOfCredentials,
	}
	if r.User != nil {
		w.User = &userWire{ID: cbor.ByteString(r.User.ID), Name: r.User.Name, DisplayName: r.User.DisplayName}
	}
	return encode(w)
}
