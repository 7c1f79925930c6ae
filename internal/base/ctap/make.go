package ctap

import (
	"crypto/rand"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// MakeCredentialRequest is authenticatorMakeCredential (CTAP 2.1 §6.1). Algorithms are in
// the website's order, unknown ones among them. Options that are nil were not said.
// Protect, HMACSecret and MinPINLength are extensions. PINAuth is nil if there is none and
// empty where a platform only wants to know which authenticator is touched.
type MakeCredentialRequest struct {
	ClientDataHash        []byte
	RP                    RP
	User                  User
	Algorithms            []Algorithm
	Exclude               []Descriptor
	Resident, UP, UV      *bool
	Protect               Protection
	HMACSecret            bool
	MinPINLength          bool
	PINAuth               []byte
	PINProtocol           int
	EnterpriseAttestation int
}

// The wire forms: see CTAP 2.1 §6.1 for the numbers.
type (
	rpWire struct {
		ID   string `cbor:"id"`
		Name string `cbor:"name,omitempty"`
	}
	userWire struct {
		ID          cbor.ByteString `cbor:"id"`
		Name        string          `cbor:"name,omitempty"`
		DisplayName string          `cbor:"displayName,omitempty"`
	}
	paramWire struct {
		Algorithm *int64  `cbor:"alg"`
		Type      *string `cbor:"type"`
	}
	descriptorWire struct {
		ID   *cbor.ByteString `cbor:"id"`
		Type *string          `cbor:"type"`
	}
	optionsWire struct {
		Resident *bool `cbor:"rk,omitempty"`
		UP       *bool `cbor:"up,omitempty"`
		UV       *bool `cbor:"uv,omitempty"`
	}
	makeExtensionsWire struct {
		Protect      *uint64 `cbor:"credProtect,omitempty"`
		HMACSecret   *bool   `cbor:"hmac-secret,omitempty"`
		MinPINLength *bool   `cbor:"minPinLength,omitempty"`
	}
	makeWire struct {
		ClientDataHash *cbor.ByteString    `cbor:"1,keyasint,omitempty"`
		RP             *rpWire             `cbor:"2,keyasint,omitempty"`
		User           *userWire           `cbor:"3,keyasint,omitempty"`
		Params         *[]paramWire        `cbor:"4,keyasint,omitempty"`
		Exclude        *[]descriptorWire   `cbor:"5,keyasint,omitempty"`
		Extensions     *makeExtensionsWire `cbor:"6,keyasint,omitempty"`
		Options        *optionsWire        `cbor:"7,keyasint,omitempty"`
		PINAuth        *cbor.ByteString    `cbor:"8,keyasint,omitempty"`
		PINProtocol    *uint64             `cbor:"9,keyasint,omitempty"`
		Enterprise     *uint64             `cbor:"10,keyasint,omitempty"`
	}
)

// DecodeMakeCredential reads the parameters of authenticatorMakeCredential. It refuses
// with the code of the standard what is not canonical CBOR, lacks a parameter or passes a
// limit. Members that it does not know are passed over.
func DecodeMakeCredential(body []byte) (MakeCredentialRequest, error) {
	var w makeWire
	if err := decode(body, &w); err != nil {
		return MakeCredentialRequest{}, err
	}
	if w.ClientDataHash == nil || w.RP == nil || w.User == nil || w.Params == nil {
		return MakeCredentialRequest{}, Refuse(MissingParameter, "a parameter is missing")
	}
	r := MakeCredentialRequest{
		ClientDataHash: []byte(*w.ClientDataHash),
		RP:             RP(*w.RP),
		User:           User{ID: []byte(w.User.ID), Name: w.User.Name, DisplayName: w.User.DisplayName},
		PINAuth:        optionalBytes(w.PINAuth),
	}
	var err error
	if r.Algorithms, err = algorithms(*w.Params); err != nil {
		return MakeCredentialRequest{}, err
	}
	if r.Exclude, err = descriptors(w.Exclude); err != nil {
		return MakeCredentialRequest{}, err
	}
	if r.PINProtocol, err = small(w.PINProtocol); err != nil {
		return MakeCredentialRequest{}, err
	}
	if r.EnterpriseAttestation, err = small(w.Enterprise); err != nil {
		return MakeCredentialRequest{}, err
	}
	if w.Options != nil {
		r.Resident, r.UP, r.UV = w.Options.Resident, w.Options.UP, w.Options.UV
	}
	if e := w.Extensions; e != nil {
		protect, err := small(e.Protect)
		if err != nil {
			return MakeCredentialRequest{}, err
		}
		r.Protect = Protection(protect)
		r.HMACSecret = e.HMACSecret != nil && *e.HMACSecret
		r.MinPINLength = e.MinPINLength != nil && *e.MinPINLength
	}
	if err := r.check(); err != nil {
		return MakeCredentialRequest{}, err
	}
	return r, nil
}

// check refuses what no website may ask for, whoever wrote the request.
func (r MakeCredentialRequest) check() error {
	switch {
	case len(r.ClientDataHash) != hashSize:
		return Refuse(InvalidLength, "the client data hash is not 32 bytes long")
	case r.RP.ID == "":
		return Refuse(MissingParameter, "the RP ID is missing")
	case len(r.User.ID) == 0:
		return Refuse(MissingParameter, "the user handle is missing")
	case len(r.RP.ID) > MaxRPID, len(r.RP.Name) > MaxName, len(r.User.ID) > MaxUserID,
		len(r.User.Name) > MaxName, len(r.User.DisplayName) > MaxName:
		return Refuse(LimitExceeded, "a name or a handle is too long")
	case r.Protect < 0 || r.Protect > Required:
		return Refuse(InvalidOption, "there is no such protection")
	case r.UP != nil && !*r.UP:
		return Refuse(InvalidOption, "a credential is not made without a user")
	default:
		return nil
	}
}

// Encode returns the request in canonical form.
func (r MakeCredentialRequest) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	params := make([]paramWire, len(r.Algorithms))
	for i, a := range r.Algorithms {
		params[i] = paramWire{Algorithm: new(int64(a)), Type: new(PublicKey)}
	}
	w := makeWire{
		ClientDataHash: new(cbor.ByteString(r.ClientDataHash)),
		RP:             new(rpWire(r.RP)),
		User:           &userWire{ID: cbor.ByteString(r.User.ID), Name: r.User.Name, DisplayName: r.User.DisplayName},
		Params:         &params,
		Exclude:        wireDescriptors(r.Exclude),
		Options:        wireOptions(r.Resident, r.UP, r.UV),
		PINAuth:        wireBytes(r.PINAuth),
		PINProtocol:    wireSmall(r.PINProtocol),
		Enterprise:     wireSmall(r.EnterpriseAttestation),
	}
	if r.Protect != 0 || r.HMACSecret || r.MinPINLength {
		w.Extensions = &makeExtensionsWire{
			Protect: wireSmall(int(r.Protect)), HMACSecret: wireTrue(r.HMACSecret), MinPINLength: wireTrue(r.MinPINLength),
		}
	}
	return encode(w), nil
}

// MakeCredentialResponse is the answer to authenticatorMakeCredential. Format is "none"
// or "packed"; a packed statement is self attestation (WebAuthn L3 §8.2).
type MakeCredentialResponse struct {
	Format    string
	AuthData  []byte
	Statement Statement
}

// Statement is an attestation statement: empty for none, for packed self attestation the
// credential's algorithm and its signature.
type Statement struct {
	Algorithm Algorithm `cbor:"alg,omitempty"`
	Signature []byte    `cbor:"sig,omitempty"`
}

// AttestationObject returns what a website gets (WebAuthn L3 §6.5.4).
func (r MakeCredentialResponse) AttestationObject() []byte {
	return encode(struct {
		Format    string    `cbor:"fmt"`
		Statement Statement `cbor:"attStmt"`
		AuthData  []byte    `cbor:"authData"`
	}{r.Format, r.Statement, r.AuthData})
}

// Encode returns the answer as a CTAP transport sends it, without the status byte.
func (r MakeCredentialResponse) Encode() []byte {
	return encode(struct {
		Format    string    `cbor:"1,keyasint"`
		AuthData  []byte    `cbor:"2,keyasint"`
		Statement Statement `cbor:"3,keyasint"`
	}{r.Format, r.AuthData, r.Statement})
}

// Excluded says whether one of the credentials in known is on the request's list of those
// that it must not be made beside (CTAP 2.1 §6.1.2 step 12). One that asks for verification
// is not given away without. known may hold credentials of other websites.
func Excluded(r MakeCredentialRequest, known []Credential, uv bool) bool {
	return slices.ContainsFunc(known, func(c Credential) bool {
		return c.RPID == r.RP.ID && names(r.Exclude, c.ID) && !c.Protect.hides(true, uv)
	})
}

// Choose returns the first of the website's algorithms that is supported, or an
// UnsupportedAlgorithm Error (CTAP 2.1 §6.1.2 step 3).
func Choose(asked []Algorithm) (Algorithm, error) {
	for _, a := range asked {
		if a.Supported() {
			return a, nil
		}
	}
	return 0, Refuse(UnsupportedAlgorithm, "none of the website's algorithms is supported")
}

// MakeCredential makes a credential for the request, discoverable only if it says so, and
// the answer to it, with self attestation if attest. uv says that the holder was verified.
// Whether the request is excluded or allowed is the caller's to ask before; the credential
// is the caller's to keep before the answer goes out.
func MakeCredential(r MakeCredentialRequest, attest, uv bool) (Credential, MakeCredentialResponse, error) {
	none := MakeCredentialResponse{}
	if err := r.check(); err != nil {
		return Credential{}, none, err
	}
	algorithm, err := Choose(r.Algorithms)
	if err != nil {
		return Credential{}, none, err
	}
	if r.EnterpriseAttestation != 0 {
		return Credential{}, none, Refuse(InvalidParameter, "there is no enterprise attestation here")
	}
	key, err := NewKey(algorithm)
	if err != nil {
		return Credential{}, none, err
	}
	random := make([]byte, IDSize+2*secretSize)
	_, _ = rand.Read(random) // it never fails
	c := Credential{
		ID:           random[:IDSize:IDSize],
		RPID:         r.RP.ID,
		User:         r.User,
		Algorithm:    algorithm,
		Public:       key.COSE(),
		Private:      key,
		Discoverable: r.Resident != nil && *r.Resident,
		Protect:      r.Protect,
		HMACSecret:   r.HMACSecret,
		Secret:       secret.New(random[IDSize:]),
	}
	answer, err := attestation(c, AAGUID, flags(true, uv), r.ClientDataHash, attest)
	return c, answer, err
}

// attestation returns the answer that hands over c.
func attestation(c Credential, aaguid [16]byte, f Flags, clientDataHash []byte, attest bool) (MakeCredentialResponse, error) {
	data := authData(c.RPID, f, attestedData(aaguid, c.ID, c.Public), makeOutputs(c))
	if !attest {
		return MakeCredentialResponse{Format: "none", AuthData: data}, nil
	}
	signature, err := c.Private.Sign(slices.Concat(data, clientDataHash))
	if err != nil {
		return MakeCredentialResponse{}, err
	}
	return MakeCredentialResponse{"packed", data, Statement{c.Private.Algorithm(), signature}}, nil
}

// makeOutputs returns the extension outputs at c's making, or nil.
func makeOutputs(c Credential) []byte {
	if c.Protect == 0 && !c.HMACSecret {
		return nil
	}
	return encode(makeExtensionsWire{Protect: wireSmall(int(c.Protect)), HMACSecret: wireTrue(c.HMACSecret)})
}
