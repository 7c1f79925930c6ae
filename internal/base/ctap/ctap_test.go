package ctap_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// hash is a client data hash.
func hash() []byte { return bytes.Repeat([]byte{7}, 32) }

func creation() ctap.MakeCredentialRequest {
	return ctap.MakeCredentialRequest{
		ClientDataHash: hash(),
		RP:             ctap.RP{ID: "example.org", Name: "Example"},
		User:           ctap.User{ID: []byte{1, 2}, Name: "ann", DisplayName: "Ann"},
		Algorithms:     []ctap.Algorithm{ctap.ES256},
		Resident:       new(true),
	}
}

func request() ctap.GetAssertionRequest {
	return ctap.GetAssertionRequest{RPID: "example.org", ClientDataHash: hash()}
}

func credential(t testing.TB, change func(*ctap.MakeCredentialRequest)) ctap.Credential {
	t.Helper()
	r := creation()
	if change != nil {
		change(&r)
	}
	c, _, err := ctap.MakeCredential(r, false, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused checks that err is an Error with this code, and returns its name.
func refused(t *testing.T, err error, want ctap.Code) string {
	t.Helper()
	var got *ctap.Error
	if !errors.As(err, &got) || got.Code != want {
		t.Fatalf("error = %v, want %v", err, want)
	}
	return got.Name
}

// verify checks a signature by means of the public key as websites get it.
func verify(t *testing.T, cose, message, signature []byte) {
	t.Helper()
	der, err := ctap.PublicSPKI(cose)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	ok := false
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(k, digest[:], signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, message, signature)
	}
	if !ok {
		t.Errorf("the signature does not verify with %T", public)
	}
}

func TestKey_readsAgainAndSigns(t *testing.T) {
	for _, a := range ctap.Algorithms() {
		made, err := ctap.NewKey(a)
		if err != nil {
			t.Fatal(err)
		}
		k, err := ctap.ParseKey(a, made.Raw())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.COSE(), made.COSE()) || k.Algorithm() != a {
			t.Errorf("%v: COSE() = %x, want %x", a, k.COSE(), made.COSE())
		}
		signature, err := k.Sign([]byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		verify(t, made.COSE(), []byte("message"), signature)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb+verb, k, ctap.Credential{Private: k}); strings.Contains(got, fmt.Sprintf("%x", k.Raw().Expose()[:8])) {
				t.Errorf("%v prints %s", a, got)
			}
		}
	}
}

func TestParseKey_refusesWhatIsNone(t *testing.T) {
	k, err := ctap.NewKey(ctap.ES256)
	if err != nil {
		t.Fatal(err)
	}
	good := k.Raw().Expose()
	order := elliptic256Order()
	for name, c := range map[string]struct {
		algorithm ctap.Algorithm
		raw       []byte
	}{
		"nothing":           {ctap.ES256, nil},
		"a scalar alone":    {ctap.ES256, good[:32]},
		"too long":          {ctap.ES256, append(bytes.Clone(good), 0)},
		"zero":              {ctap.ES256, append(make([]byte, 32), good[32:]...)},
		"the order":         {ctap.ES256, append(order, good[32:]...)},
		"off the curve":     {ctap.ES256, append(bytes.Clone(good[:95]), good[95]^1)},
		"as Ed25519":        {ctap.EdDSA, good},
		"no algorithm":      {0, good},
		"RS256":             {-257, good},
		"a seed of 32":      {ctap.EdDSA, good[:32]},
		"a scalar of EdDSA": {ctap.ES256, good[:64]},
	} {
		if _, err := ctap.ParseKey(c.algorithm, secret.New(c.raw)); err == nil {
			t.Errorf("%s: ParseKey() = no error", name)
		}
	}
	if _, err := (ctap.Key{}).Sign(nil); err == nil || (ctap.Key{}).COSE() != nil {
		t.Error("the zero key signs")
	}
	_, err = ctap.NewKey(-257)
	refused(t, err, ctap.UnsupportedAlgorithm)
	for name, cose := range map[string][]byte{
		"nothing": nil, "cut": k.COSE()[:76], "more": append(k.COSE(), 0), "off the curve": append(k.COSE()[:76], k.COSE()[76]^1),
	} {
		if _, err := ctap.PublicSPKI(cose); err == nil {
			t.Errorf("%s: PublicSPKI() = no error", name)
		}
	}
}

func elliptic256Order() []byte {
	return []byte{
		0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
	}
}

func TestMakeCredential(t *testing.T) {
	for _, algorithm := range ctap.Algorithms() {
		for _, attest := range []bool{false, true} {
			for _, uv := range []bool{false, true} {
				r := creation()
				r.Algorithms = []ctap.Algorithm{-257, algorithm, ctap.ES256, ctap.EdDSA}
				c, answer, err := ctap.MakeCredential(r, attest, uv)
				if err != nil {
					t.Fatal(err)
				}
				if c.Algorithm != algorithm || len(c.ID) != ctap.IDSize || !c.Discoverable || len(c.Secret.Expose()) != 64 {
					t.Errorf("MakeCredential() = %+v, want it of %v", c, algorithm)
				}
				rp := sha256.Sum256([]byte("example.org"))
				flags := ctap.UP | ctap.BE | ctap.BS | ctap.AT
				if uv {
					flags |= ctap.UV
				}
				want := slices.Concat(rp[:], []byte{byte(flags), 0, 0, 0, 0}, ctap.AAGUID[:], []byte{0, 32}, c.ID, c.Public)
				if !bytes.Equal(answer.AuthData, want) {
					t.Errorf("authData = %x, want %x", answer.AuthData, want)
				}
				if attest {
					verify(t, c.Public, append(want, r.ClientDataHash...), answer.Statement.Signature)
					if answer.Format != "packed" || answer.Statement.Algorithm != algorithm {
						t.Errorf("attestation = %+v, want packed of %v", answer, algorithm)
					}
				} else if answer.Format != "none" || answer.Statement.Signature != nil {
					t.Errorf("attestation = %+v, want none", answer)
				}
			}
		}
	}
	a, b := credential(t, nil), credential(t, nil)
	if bytes.Equal(a.ID, b.ID) || a.Secret.Equal(b.Secret) || bytes.Equal(a.Public, b.Public) {
		t.Error("two credentials share what is random")
	}
	if c := credential(t, func(r *ctap.MakeCredentialRequest) { r.Resident = nil }); c.Discoverable {
		t.Error("a credential is discoverable unasked")
	}
}

func TestMakeCredential_writesExtensions(t *testing.T) {
	r := creation()
	r.Protect, r.HMACSecret = ctap.Required, true
	c, answer, err := ctap.MakeCredential(r, false, true)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{0xa2, 0x6b}, "credProtect\x03\x6bhmac-secret\xf5"...)
	if !bytes.HasSuffix(answer.AuthData, want) || ctap.Flags(answer.AuthData[32])&ctap.ED == 0 {
		t.Errorf("authData = %x, want it to end %x", answer.AuthData, want)
	}
	if c.Protect != ctap.Required || !c.HMACSecret {
		t.Errorf("MakeCredential() = %+v, want it protected, with hmac-secret", c)
	}
}

func TestMakeCredential_refuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ctap.MakeCredentialRequest)
		want   ctap.Code
		dom    string
	}{
		"no algorithm":           {func(r *ctap.MakeCredentialRequest) { r.Algorithms = nil }, ctap.UnsupportedAlgorithm, ctap.NotSupportedError},
		"RS256 only":             {func(r *ctap.MakeCredentialRequest) { r.Algorithms = []ctap.Algorithm{-257} }, ctap.UnsupportedAlgorithm, ctap.NotSupportedError},
		"without a user":         {func(r *ctap.MakeCredentialRequest) { r.UP = new(false) }, ctap.InvalidOption, ctap.UnknownError},
		"a short hash":           {func(r *ctap.MakeCredentialRequest) { r.ClientDataHash = hash()[:31] }, ctap.InvalidLength, ctap.UnknownError},
		"no RP ID":               {func(r *ctap.MakeCredentialRequest) { r.RP.ID = "" }, ctap.MissingParameter, ctap.UnknownError},
		"no user handle":         {func(r *ctap.MakeCredentialRequest) { r.User.ID = nil }, ctap.MissingParameter, ctap.UnknownError},
		"a long user handle":     {func(r *ctap.MakeCredentialRequest) { r.User.ID = make([]byte, 65) }, ctap.LimitExceeded, ctap.UnknownError},
		"no such protection":     {func(r *ctap.MakeCredentialRequest) { r.Protect = 4 }, ctap.InvalidOption, ctap.UnknownError},
		"enterprise attestation": {func(r *ctap.MakeCredentialRequest) { r.EnterpriseAttestation = 1 }, ctap.InvalidParameter, ctap.UnknownError},
	} {
		r := creation()
		c.change(&r)
		_, _, err := ctap.MakeCredential(r, true, true)
		if got := refused(t, err, c.want); got != c.dom {
			t.Errorf("%s: name = %s, want %s", name, got, c.dom)
		}
	}
}

func TestExcluded(t *testing.T) {
	plain := credential(t, nil)
	guarded := credential(t, func(r *ctap.MakeCredentialRequest) { r.Protect = ctap.Required })
	listed := credential(t, func(r *ctap.MakeCredentialRequest) { r.Protect = ctap.OptionalWithList })
	other := credential(t, func(r *ctap.MakeCredentialRequest) { r.RP.ID = "example.com" })
	hidden := credential(t, func(r *ctap.MakeCredentialRequest) { r.Resident = new(false) })
	known := []ctap.Credential{plain, guarded, listed, other, hidden}
	entry := func(kind string, c ctap.Credential) []ctap.Descriptor {
		return []ctap.Descriptor{{ctap.PublicKey, []byte("unknown")}, {kind, c.ID}}
	}
	for name, c := range map[string]struct {
		exclude []ctap.Descriptor
		uv      bool
		want    bool
	}{
		"no list":                       {nil, true, false},
		"on the list":                   {entry(ctap.PublicKey, plain), false, true},
		"not discoverable":              {entry(ctap.PublicKey, hidden), false, true},
		"protected, not verified":       {entry(ctap.PublicKey, guarded), false, false},
		"protected, verified":           {entry(ctap.PublicKey, guarded), true, true},
		"listed suffices, not verified": {entry(ctap.PublicKey, listed), false, true},
		"of another website":            {entry(ctap.PublicKey, other), true, false},
		"of another type":               {entry("password", plain), true, false},
		"unknown":                       {[]ctap.Descriptor{{ctap.PublicKey, []byte("x")}, {ctap.PublicKey, nil}}, true, false},
	} {
		r := creation()
		r.Exclude = c.exclude
		if got := ctap.Excluded(r, known, c.uv); got != c.want {
			t.Errorf("%s: Excluded() = %v, want %v", name, got, c.want)
		}
	}
}

func TestFits(t *testing.T) {
	for _, protect := range []ctap.Protection{0, ctap.Optional, ctap.OptionalWithList, ctap.Required} {
		for _, resident := range []bool{false, true} {
			c := credential(t, func(r *ctap.MakeCredentialRequest) { r.Protect, r.Resident = protect, &resident })
			for _, list := range []string{"none", "empty", "it", "another", "another type"} {
				for _, uv := range []bool{false, true} {
					r := request()
					switch list {
					case "empty":
						r.Allow = []ctap.Descriptor{}
					case "it":
						r.Allow = []ctap.Descriptor{{ctap.PublicKey, []byte("x")}, {ctap.PublicKey, c.ID}}
					case "another":
						r.Allow = []ctap.Descriptor{{ctap.PublicKey, []byte("x")}}
					case "another type":
						r.Allow = []ctap.Descriptor{{"password", c.ID}}
					}
					want := false // by the words of CTAP 2.1 §6.2.2 and §12.1
					switch list {
					case "it":
						want = protect != ctap.Required || uv
					case "none", "empty":
						want = resident && (uv || protect == 0 || protect == ctap.Optional)
					}
					if got := ctap.Fits(r, c, uv); got != want {
						t.Errorf("Fits(list %s, protect %d, resident %v, uv %v) = %v, want %v", list, protect, resident, uv, got, want)
					}
					r.RPID = "example.com"
					if ctap.Fits(r, c, uv) {
						t.Error("a credential fits another website")
					}
				}
			}
		}
	}
}

func TestGetAssertion(t *testing.T) {
	for _, algorithm := range ctap.Algorithms() {
		c := credential(t, func(r *ctap.MakeCredentialRequest) { r.Algorithms = []ctap.Algorithm{algorithm} })
		for _, up := range []*bool{nil, new(true), new(false)} {
			for _, uv := range []bool{false, true} {
				r := request()
				r.UP = up
				got, err := ctap.GetAssertion(r, c, uv)
				if err != nil {
					t.Fatal(err)
				}
				rp := sha256.Sum256([]byte("example.org"))
				flags := ctap.BE | ctap.BS
				if up == nil || *up {
					flags |= ctap.UP
				}
				if uv {
					flags |= ctap.UV
				}
				want := append(rp[:], byte(flags), 0, 0, 0, 0)
				if !bytes.Equal(got.AuthData, want) {
					t.Errorf("authData = %x, want %x", got.AuthData, want)
				}
				verify(t, c.Public, append(want, hash()...), got.Signature)
			}
		}
	}
}

func TestGetAssertion_tellsWhoItIsOnlyWhenVerified(t *testing.T) {
	c := credential(t, nil)
	hidden := credential(t, func(r *ctap.MakeCredentialRequest) { r.Resident = nil })
	for name, want := range map[string]struct {
		credential ctap.Credential
		list, uv   bool
		user       *ctap.User
	}{
		"verified":              {c, false, true, &c.User},
		"not verified":          {c, false, false, &ctap.User{ID: c.User.ID}},
		"with a list":           {c, true, true, &ctap.User{ID: c.User.ID}},
		"not discoverable":      {hidden, true, true, nil},
		"unverified and listed": {c, true, false, &ctap.User{ID: c.User.ID}},
	} {
		r := request()
		if want.list {
			r.Allow = []ctap.Descriptor{{ctap.PublicKey, want.credential.ID}}
		}
		got, err := ctap.GetAssertion(r, want.credential, want.uv)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.user, got.User); diff != "" {
			t.Errorf("%s: user (-want +got):\n%s", name, diff)
		}
	}
}

func TestGetAssertion_refuses(t *testing.T) {
	c := credential(t, nil)
	r := request()
	r.RPID = "example.com"
	_, err := ctap.GetAssertion(r, c, true)
	if got := refused(t, err, ctap.NoCredentials); got != ctap.NotAllowedError {
		t.Errorf("name = %s, want %s", got, ctap.NotAllowedError)
	}
	swapped := c
	swapped.Public = credential(t, nil).Public
	_, err = ctap.GetAssertion(request(), swapped, true)
	refused(t, err, ctap.IntegrityFailure)
	swapped.Public, swapped.Private = nil, ctap.Key{}
	_, err = ctap.GetAssertion(request(), swapped, true)
	refused(t, err, ctap.IntegrityFailure)
	r = request()
	r.ClientDataHash = append(hash(), 0)
	_, err = ctap.GetAssertion(r, c, true)
	refused(t, err, ctap.InvalidLength)
	r = request()
	r.Resident = new(true)
	_, err = ctap.GetAssertion(r, c, true)
	refused(t, err, ctap.UnsupportedOption)
}

// generic reads CBOR as whoever knows nothing of our types.
func generic(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := cbor.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := mode.Marshal(v); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("%x is not canonical: %x, %v", raw, again, err)
	}
	return v
}

func TestGetInfo(t *testing.T) {
	info := ctap.GetInfo(ctap.InfoOptions{PINSet: true, UV: new(true), MinPINLength: 6})
	want := map[any]any{
		uint64(1): []any{"FIDO_2_0", "FIDO_2_1"},
		uint64(2): []any{"credProtect", "hmac-secret"},
		uint64(3): ctap.AAGUID[:],
		uint64(4): map[any]any{
			"plat": false, "rk": true, "up": true, "uv": true, "clientPin": true,
			"makeCredUvNotRqd": false,
		},
		uint64(5):  uint64(7609),
		uint64(6):  []any{uint64(2), uint64(1)},
		uint64(7):  uint64(128),
		uint64(8):  uint64(1023),
		uint64(9):  []any{"hybrid", "nfc"},
		uint64(10): []any{map[any]any{"alg": int64(-7), "type": "public-key"}, map[any]any{"alg": int64(-8), "type": "public-key"}},
		uint64(13): uint64(6),
		uint64(14): uint64(1),
	}
	if diff := cmp.Diff(any(want), generic(t, info.Encode())); diff != "" {
		t.Errorf("Encode() (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(info)
	if err != nil || !strings.Contains(string(text), `"aaguid":"`+ctap.AAGUIDText+`"`) {
		t.Errorf("JSON = %s, %v", text, err)
	}
	if got := strings.ReplaceAll(ctap.AAGUIDText, "-", ""); got != fmt.Sprintf("%x", ctap.AAGUID) {
		t.Errorf("AAGUIDText = %s, want %x", got, ctap.AAGUID)
	}
	if _, ok := ctap.GetInfo(ctap.InfoOptions{}).Options["uv"]; ok {
		t.Error("uv is said where there is none")
	}
}

func TestCredentialManagement(t *testing.T) {
	c := credential(t, nil)
	rp := sha256.Sum256([]byte("example.org"))
	public := generic(t, c.Public)
	for name, w := range map[string]struct {
		raw  []byte
		want map[any]any
	}{
		"metadata": {ctap.CredsMetadata(3, 97), map[any]any{uint64(1): uint64(3), uint64(2): uint64(97)}},
		"first RP": {
			ctap.EnumeratedRP(ctap.RP{ID: "example.org", Name: "Example"}, 2),
			map[any]any{uint64(3): map[any]any{"id": "example.org", "name": "Example"}, uint64(4): rp[:], uint64(5): uint64(2)},
		},
		"next RP": {ctap.EnumeratedRP(ctap.RP{ID: "example.org"}, 0), map[any]any{uint64(3): map[any]any{"id": "example.org"}, uint64(4): rp[:]}},
		"first credential": {ctap.EnumeratedCredential(c, 2), map[any]any{
			uint64(6):  map[any]any{"id": []byte{1, 2}, "name": "ann", "displayName": "Ann"},
			uint64(7):  map[any]any{"id": c.ID, "type": "public-key"},
			uint64(8):  public,
			uint64(9):  uint64(2),
			uint64(10): uint64(1),
		}},
	} {
		if diff := cmp.Diff(any(w.want), generic(t, w.raw)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestResponses_encode(t *testing.T) {
	_, made, err := ctap.MakeCredential(creation(), true, true)
	if err != nil {
		t.Fatal(err)
	}
	want := map[any]any{
		uint64(1): "packed", uint64(2): made.AuthData,
		uint64(3): map[any]any{"alg": int64(-7), "sig": made.Statement.Signature},
	}
	if diff := cmp.Diff(any(want), generic(t, made.Encode())); diff != "" {
		t.Errorf("Encode() (-want +got):\n%s", diff)
	}
	got, err := ctap.GetAssertion(request(), credential(t, nil), false)
	if err != nil {
		t.Fatal(err)
	}
	got.NumberOfCredentials = 2
	want = map[any]any{
		uint64(1): map[any]any{"id": got.CredentialID, "type": "public-key"}, uint64(2): got.AuthData, uint64(3): got.Signature,
		uint64(4): map[any]any{"id": []byte{1, 2}}, uint64(5): uint64(2),
	}
	if diff := cmp.Diff(any(want), generic(t, got.Encode())); diff != "" {
		t.Errorf("Encode() (-want +got):\n%s", diff)
	}
}

func TestCode_hasTheNamesOfTheStandard(t *testing.T) {
	for code, want := range map[ctap.Code][2]string{
		0x19: {"CTAP2_ERR_CREDENTIAL_EXCLUDED", "InvalidStateError"},
		0x2e: {"CTAP2_ERR_NO_CREDENTIALS", "NotAllowedError"},
		0x27: {"CTAP2_ERR_OPERATION_DENIED", "NotAllowedError"},
		0x26: {"CTAP2_ERR_UNSUPPORTED_ALGORITHM", "NotSupportedError"},
		0x2b: {"CTAP2_ERR_UNSUPPORTED_OPTION", "ConstraintError"},
		0x34: {"CTAP2_ERR_PIN_AUTH_BLOCKED", "NotAllowedError"},
		0x12: {"CTAP2_ERR_INVALID_CBOR", "UnknownError"},
		0xee: {"CTAP_ERR_0xee", "UnknownError"},
	} {
		if got := ctap.Refuse(code, "x"); code.String() != want[0] || got.Name != want[1] {
			t.Errorf("%#x is %v, %s, want %v", byte(code), code, got.Name, want)
		}
	}
}

func BenchmarkParseKey(b *testing.B) {
	for _, a := range ctap.Algorithms() {
		k, err := ctap.NewKey(a)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(a.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := ctap.ParseKey(a, k.Raw()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, a := range ctap.Algorithms() {
		k, err := ctap.NewKey(a)
		if err != nil {
			b.Fatal(err)
		}
		message := make([]byte, 69)
		b.Run(a.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGetAssertion(b *testing.B) {
	for _, a := range ctap.Algorithms() {
		c := credential(b, func(r *ctap.MakeCredentialRequest) { r.Algorithms = []ctap.Algorithm{a} })
		r := request()
		b.Run(a.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read := c
				var err error
				if read.Private, err = ctap.ParseKey(a, c.Private.Raw()); err != nil {
					b.Fatal(err)
				}
				if _, err := ctap.GetAssertion(r, read, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
