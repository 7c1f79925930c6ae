package webauthn

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/keyhold/keyhold/internal/base/ctap"
)

// Verification is how much a website wants its user verified (WebAuthn L3 §5.8.6).
type Verification string

// The wishes. A value that is none of them is Preferred, as to browsers.
const (
	VerificationRequired    Verification = "required"
	VerificationPreferred   Verification = "preferred"
	VerificationDiscouraged Verification = "discouraged"
)

// Attestation is how much a website wants to know of the authenticator (§5.4.7).
type Attestation string

// The wishes. A value that is none of them is AttestationNone.
const (
	AttestationNone       Attestation = "none"
	AttestationIndirect   Attestation = "indirect"
	AttestationDirect     Attestation = "direct"
	AttestationEnterprise Attestation = "enterprise"
)

// Salts are the inputs of one evaluation of the PRF (§10.1.4), already hashed as hmac-secret
// takes them. Second is nil if there is one only.
type Salts struct{ First, Second []byte }

// PRF is what a website wants of the PRF. Eval is nil if it only asks whether there is one;
// ByCredential has the inputs for one credential by its ID, which go before Eval.
type PRF struct {
	Eval         *Salts
	ByCredential map[string]Salts
}

// verification returns what the website wants, or Required where there are inputs: only the
// PRF of a verified user is shown to pages, which overrides their wish (§10.1.4).
func (p PRF) verification(wanted Verification) Verification {
	if p.Eval != nil || len(p.ByCredential) > 0 {
		return VerificationRequired
	}
	return wanted
}

// CreationOptions are PublicKeyCredentialCreationOptionsJSON (§5.1.8), checked. Hash is
// their OptionsHash. RPID is what the page asks for, empty for its own host. Discoverable is so unless the page
// discourages it. Timeout is in ms, 0 if it is not said. PRF is nil if it is not asked for.
type CreationOptions struct {
	Hash             string
	RPID, RPName     string
	User             ctap.User
	Challenge        []byte
	Algorithms       []ctap.Algorithm
	Timeout          int64
	Exclude          []ctap.Descriptor
	Discoverable     bool
	Verification     Verification
	Hints            []string
	Attestation      Attestation
	Protect          ctap.Protection
	CredProps        bool
	HMACCreateSecret bool
	LargeBlob        bool
	PRF              *PRF
}

// RequestOptions are PublicKeyCredentialRequestOptionsJSON (§5.1.9), checked, with the
// members of CreationOptions.
type RequestOptions struct {
	Hash         string
	RPID         string
	Challenge    []byte
	Timeout      int64
	Allow        []ctap.Descriptor
	Verification Verification
	Hints        []string
	PRF          *PRF
}

// ParseCreation reads the options of a page that wants a credential. A challenge has 1 to
// MaxChallenge bytes: §13.4.3 wants 16 at least, but of the website, not of browsers.
// Unknown members are passed over, as on the web, and null stands for absent. What is
// malformed is a TypeError; if no algorithm is supported it is a NotSupportedError, and a
// NotAllowedError where only another authenticator would do: one that is built into the
// machine, or keeps large blobs.
func ParseCreation(raw []byte) (CreationOptions, error) {
	canonical, err := canonicalize(raw)
	if err != nil {
		return CreationOptions{}, err
	}
	o := read(canonical)
	rp, user, selection := o.child("rp"), o.child("user"), o.child("authenticatorSelection")
	options := CreationOptions{
		Hash:   hash(canonical),
		RPID:   rp.text("id"),
		RPName: rp.required("name"),
		User: ctap.User{
			ID:          user.bytes("id", 1, ctap.MaxUserID),
			Name:        user.required("name"),
			DisplayName: user.required("displayName"),
		},
		Challenge:    o.bytes("challenge", 1, MaxChallenge),
		Algorithms:   algorithms(o),
		Timeout:      timeout(o),
		Exclude:      descriptors(o, "excludeCredentials"),
		Discoverable: discoverable(selection),
		Verification: verification(selection),
		Hints:        o.texts("hints"),
		Attestation:  attestation(o),
	}
	extensions := o.child("extensions")
	options.CredProps = extensions.flag("credProps")
	options.HMACCreateSecret = extensions.flag("hmacCreateSecret")
	options.LargeBlob = extensions.has("largeBlob")
	options.Protect = protection(extensions)
	if extensions.has("prf") {
		options.PRF = prf(extensions.child("prf"))
		options.Verification = options.PRF.verification(options.Verification)
	}
	blob := extensions.child("largeBlob").text("support")
	attachment := selection.text("authenticatorAttachment")
	switch {
	case *o.err != nil:
		return CreationOptions{}, *o.err
	case !slices.ContainsFunc(options.Algorithms, ctap.Algorithm.Supported):
		return CreationOptions{}, ctap.Refuse(ctap.UnsupportedAlgorithm, "none of the website's algorithms is supported")
	case options.PRF != nil && options.PRF.ByCredential != nil:
		return CreationOptions{}, ctap.RefuseAs(ctap.NotSupportedError, ctap.InvalidParameter, "prf has no evalByCredential here")
	case attachment == "platform":
		return CreationOptions{}, ctap.Refuse(ctap.OperationDenied, "the website wants an authenticator that is built in")
	case blob == "required":
		return CreationOptions{}, ctap.Refuse(ctap.OperationDenied, "the website wants an authenticator that keeps large blobs")
	}
	return options, nil
}

// ParseRequest reads the options of a page that wants an assertion, as ParseCreation does.
func ParseRequest(raw []byte) (RequestOptions, error) {
	canonical, err := canonicalize(raw)
	if err != nil {
		return RequestOptions{}, err
	}
	o := read(canonical)
	options := RequestOptions{
		Hash:         hash(canonical),
		RPID:         o.text("rpId"),
		Challenge:    o.bytes("challenge", 1, MaxChallenge),
		Timeout:      timeout(o),
		Allow:        descriptors(o, "allowCredentials"),
		Verification: verification(o),
		Hints:        o.texts("hints"),
	}
	if extensions := o.child("extensions"); extensions.has("prf") {
		options.PRF = prf(extensions.child("prf"))
		options.Verification = options.PRF.verification(options.Verification)
	}
	if *o.err != nil {
		return RequestOptions{}, *o.err
	}
	if err := options.checkPRF(); err != nil {
		return RequestOptions{}, err
	}
	return options, nil
}

// checkPRF refuses inputs for credentials that are not asked for (§10.1.4).
func (o RequestOptions) checkPRF() error {
	if o.PRF == nil || len(o.PRF.ByCredential) == 0 {
		return nil
	}
	if len(o.Allow) == 0 {
		return ctap.RefuseAs(ctap.NotSupportedError, ctap.InvalidParameter, "prf has inputs by credential, and no credential is named")
	}
	for id := range o.PRF.ByCredential {
		if !slices.ContainsFunc(o.Allow, func(d ctap.Descriptor) bool { return string(d.ID) == id }) {
			return ctap.RefuseAs(ctap.SyntaxError, ctap.InvalidParameter, "prf has inputs for a credential that is not named")
		}
	}
	return nil
}

// Attest says whether the website wants an attestation statement.
func (o CreationOptions) Attest() bool { return o.Attestation != AttestationNone }

// Request returns what the authenticator is asked for.
func (o CreationOptions) Request(rpID string, clientDataHash []byte) ctap.MakeCredentialRequest {
	return ctap.MakeCredentialRequest{
		ClientDataHash: clientDataHash,
		RP:             ctap.RP{ID: rpID, Name: o.RPName},
		User:           o.User,
		Algorithms:     o.Algorithms,
		Exclude:        o.Exclude,
		Resident:       new(o.Discoverable),
		Protect:        o.Protect,
		HMACSecret:     o.HMACCreateSecret || o.PRF != nil,
	}
}

// Request returns what the authenticator is asked for. The PRF is not in it: its outputs
// go into the answer by NewAuthentication, so that nobody encrypts for himself.
func (o RequestOptions) Request(rpID string, clientDataHash []byte) ctap.GetAssertionRequest {
	return ctap.GetAssertionRequest{RPID: rpID, ClientDataHash: clientDataHash, Allow: o.Allow}
}

// algorithms returns pubKeyCredParams in their order. None are those that §5.1.3 step 10
// says; those of another type do not count.
func algorithms(o object) []ctap.Algorithm {
	const rs256, most = -257, 64
	if !o.has("pubKeyCredParams") {
		o.fail("pubKeyCredParams")
		return nil
	}
	list := o.children("pubKeyCredParams", most)
	if len(list) == 0 {
		return []ctap.Algorithm{ctap.ES256, rs256}
	}
	var read []ctap.Algorithm
	for _, p := range list {
		kind := p.required("type")
		alg := p.number("alg")
		if !p.has("alg") {
			p.fail("alg")
		}
		if kind == ctap.PublicKey {
			read = append(read, ctap.Algorithm(alg))
		}
	}
	return read
}

func descriptors(o object, name string) []ctap.Descriptor {
	var read []ctap.Descriptor
	for _, d := range o.children(name, ctap.MaxList) {
		_ = d.texts("transports") // they are of the right type; nothing here is reached by them
		read = append(read, ctap.Descriptor{Type: d.required("type"), ID: d.bytes("id", 1, ctap.MaxID)})
	}
	return read
}

func timeout(o object) int64 {
	ms := o.number("timeout")
	if ms < 0 {
		o.fail("timeout")
	}
	return ms
}

func verification(o object) Verification {
	switch v := Verification(o.text("userVerification")); v {
	case VerificationRequired, VerificationDiscouraged:
		return v
	default:
		return VerificationPreferred
	}
}

func attestation(o object) Attestation {
	_ = o.texts("attestationFormats") // a hint; there is one format
	switch a := Attestation(o.text("attestation")); a {
	case AttestationIndirect, AttestationDirect, AttestationEnterprise:
		return a
	default:
		return AttestationNone
	}
}

// discoverable says no if the website discourages it. requireResidentKey counts where
// residentKey has no value that is known (§5.4.4), but makes no difference then.
func discoverable(selection object) bool {
	_ = selection.flag("requireResidentKey")
	return selection.text("residentKey") != "discouraged"
}

func protection(extensions object) ctap.Protection {
	_ = extensions.flag("enforceCredentialProtectionPolicy") // it always is
	switch extensions.text("credentialProtectionPolicy") {
	case "":
		return 0
	case "userVerificationOptional":
		return ctap.Optional
	case "userVerificationOptionalWithCredentialIDList":
		return ctap.OptionalWithList
	case "userVerificationRequired":
		return ctap.Required
	default:
		extensions.fail("credentialProtectionPolicy")
		return 0
	}
}

func prf(o object) *PRF {
	read := &PRF{}
	if o.has("eval") {
		read.Eval = new(salts(o.child("eval")))
	}
	if o.has("evalByCredential") {
		by := o.child("evalByCredential")
		if len(by.members) > ctap.MaxList {
			o.fail("evalByCredential")
			return read
		}
		read.ByCredential = map[string]Salts{}
		for _, name := range slices.Sorted(maps.Keys(by.members)) {
			id, ok := decodeBase64(name)
			if !ok {
				*o.err = ctap.RefuseAs(ctap.SyntaxError, ctap.InvalidParameter, "prf has inputs for what is no credential")
				return read
			}
			read.ByCredential[string(id)] = salts(by.child(name))
		}
	}
	return read
}

// salts reads the inputs and makes of them what hmac-secret takes (§10.1.4).
func salts(o object) Salts {
	s := Salts{First: salt(o.bytes("first", 0, MaxOptions))}
	if o.has("second") {
		s.Second = salt(o.bytes("second", 0, MaxOptions))
	}
	return s
}

func salt(input []byte) []byte {
	hash := sha256.Sum256(slices.Concat([]byte("WebAuthn PRF\x00"), input))
	return hash[:]
}
