package ctap_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/ctap"
)

func fullCreation() ctap.MakeCredentialRequest {
	r := creation()
	r.Algorithms = []ctap.Algorithm{-257, ctap.EdDSA, ctap.ES256}
	r.Exclude = []ctap.Descriptor{{ctap.PublicKey, []byte{1}}, {"other", []byte{}}}
	r.Resident, r.UP, r.UV = new(true), new(true), new(false)
	r.Protect, r.HMACSecret, r.MinPINLength = ctap.OptionalWithList, true, true
	r.PINAuth, r.PINProtocol, r.EnterpriseAttestation = []byte{}, 2, 1
	return r
}

func fullRequest(t testing.TB) ctap.GetAssertionRequest {
	t.Helper()
	a, err := ctap.NewAgreement()
	if err != nil {
		t.Fatal(err)
	}
	r := request()
	r.Allow = []ctap.Descriptor{{ctap.PublicKey, []byte{1}}}
	r.UP, r.UV = new(false), new(true)
	r.HMACSecret = &ctap.HMACSecretInput{KeyAgreement: a.COSE(), SaltEnc: make([]byte, 48), SaltAuth: make([]byte, 32), Protocol: 2}
	r.PINAuth, r.PINProtocol = make([]byte, 32), 1
	return r
}

func TestDecode_readsWhatEncodeWrites(t *testing.T) {
	for _, want := range []ctap.MakeCredentialRequest{creation(), fullCreation()} {
		raw, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		generic(t, raw)
		got, err := ctap.DecodeMakeCredential(raw)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("DecodeMakeCredential() = %v (-want +got):\n%s", err, diff)
		}
	}
	empty := request()
	empty.Allow = []ctap.Descriptor{}
	for _, want := range []ctap.GetAssertionRequest{request(), empty, fullRequest(t)} {
		raw, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		generic(t, raw)
		got, err := ctap.DecodeGetAssertion(raw)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("DecodeGetAssertion() = %v (-want +got):\n%s", err, diff)
		}
	}
}

// wire is the CBOR of a creation, with members replaced or, by nil, left out.
func wire(t *testing.T, change map[any]any) []byte {
	t.Helper()
	members := map[any]any{
		1: hash(),
		2: map[string]any{"id": "example.org"},
		3: map[string]any{"id": []byte{1}},
		4: []any{map[string]any{"alg": -7, "type": "public-key"}},
	}
	return canonical(t, members, change)
}

func canonical(t *testing.T, members, change map[any]any) []byte {
	t.Helper()
	for name, v := range change {
		members[name] = v
		if v == nil {
			delete(members, name)
		}
	}
	options := cbor.CTAP2EncOptions()
	options.TagsMd, options.IndefLength = cbor.TagsAllowed, cbor.IndefLengthAllowed // for what is planted
	mode, err := options.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := mode.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDecodeMakeCredential_passesOverWhatItDoesNotKnow(t *testing.T) {
	raw := wire(t, map[any]any{
		2:   map[string]any{"id": "example.org", "icon": "x"},
		6:   map[string]any{"unknown": map[string]any{"a": []any{1}}},
		7:   map[string]any{"plat": false},
		4:   []any{map[string]any{"alg": -8, "type": "other"}, map[string]any{"alg": -7, "type": "public-key"}},
		5:   []any{map[string]any{"id": []byte{1}, "type": "public-key", "transports": []string{"nfc"}}},
		100: "new", "text": true, -1: 1,
	})
	got, err := ctap.DecodeMakeCredential(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := ctap.MakeCredentialRequest{
		ClientDataHash: hash(), RP: ctap.RP{ID: "example.org"}, User: ctap.User{ID: []byte{1}},
		Algorithms: []ctap.Algorithm{ctap.ES256}, Exclude: []ctap.Descriptor{{ctap.PublicKey, []byte{1}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DecodeMakeCredential() (-want +got):\n%s", diff)
	}
}

func TestDecodeMakeCredential_refuses(t *testing.T) {
	type members = map[any]any
	entry := map[string]any{"id": []byte{1}, "type": "public-key"}
	many := make([]any, ctap.MaxList+1)
	for i := range many {
		many[i] = entry
	}
	good := wire(t, nil)
	if _, err := ctap.DecodeMakeCredential(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want ctap.Code
	}{
		"nothing":             {nil, ctap.InvalidCBOR},
		"cut":                 {good[:len(good)-1], ctap.InvalidCBOR},
		"more behind":         {append(bytes.Clone(good), 0), ctap.InvalidCBOR},
		"too large":           {make([]byte, ctap.MaxMessage+1), ctap.RequestTooLarge},
		"no map":              {[]byte{0x80}, ctap.CBORUnexpectedType},
		"a number":            {[]byte{0x01}, ctap.CBORUnexpectedType},
		"null":                {[]byte{0xf6}, ctap.InvalidCBOR},
		"empty":               {[]byte{0xa0}, ctap.MissingParameter},
		"no hash":             {wire(t, members{1: nil}), ctap.MissingParameter},
		"no rp":               {wire(t, members{2: nil}), ctap.MissingParameter},
		"no user":             {wire(t, members{3: nil}), ctap.MissingParameter},
		"no algorithms":       {wire(t, members{4: nil}), ctap.MissingParameter},
		"no rp.id":            {wire(t, members{2: map[string]any{"name": "x"}}), ctap.MissingParameter},
		"rp.ID":               {wire(t, members{2: map[string]any{"ID": "example.org"}}), ctap.MissingParameter},
		"no user.id":          {wire(t, members{3: map[string]any{"name": "x"}}), ctap.MissingParameter},
		"no alg":              {wire(t, members{4: []any{map[string]any{"type": "public-key"}}}), ctap.MissingParameter},
		"no type":             {wire(t, members{4: []any{map[string]any{"alg": -7}}}), ctap.MissingParameter},
		"no id to exclude":    {wire(t, members{5: []any{map[string]any{"type": "public-key"}}}), ctap.MissingParameter},
		"no type to exclude":  {wire(t, members{5: []any{map[string]any{"id": []byte{1}}}}), ctap.MissingParameter},
		"a short hash":        {wire(t, members{1: hash()[:31]}), ctap.InvalidLength},
		"a long hash":         {wire(t, members{1: append(hash(), 0)}), ctap.InvalidLength},
		"a text hash":         {wire(t, members{1: strings.Repeat("a", 32)}), ctap.CBORUnexpectedType},
		"a list for the hash": {wire(t, members{1: []int{1, 2}}), ctap.CBORUnexpectedType},
		"a text user.id":      {wire(t, members{3: map[string]any{"id": "ann"}}), ctap.CBORUnexpectedType},
		"bytes for rp.id":     {wire(t, members{2: map[string]any{"id": []byte("example.org")}}), ctap.CBORUnexpectedType},
		"a text alg":          {wire(t, members{4: []any{map[string]any{"alg": "ES256", "type": "public-key"}}}), ctap.CBORUnexpectedType},
		"an algorithm alone":  {wire(t, members{4: []any{-7}}), ctap.CBORUnexpectedType},
		"a map of algorithms": {wire(t, members{4: map[string]any{"alg": -7}}), ctap.CBORUnexpectedType},
		"a number for rk":     {wire(t, members{7: map[string]any{"rk": 1}}), ctap.CBORUnexpectedType},
		"a float alg":         {wire(t, members{4: []any{map[string]any{"alg": -7.5, "type": "public-key"}}}), ctap.CBORUnexpectedType},
		"an empty user.id":    {wire(t, members{3: map[string]any{"id": []byte{}}}), ctap.MissingParameter},
		"an empty rp.id":      {wire(t, members{2: map[string]any{"id": ""}}), ctap.MissingParameter},
		"a long user.id":      {wire(t, members{3: map[string]any{"id": make([]byte, 65)}}), ctap.LimitExceeded},
		"a long name":         {wire(t, members{3: map[string]any{"id": []byte{1}, "name": strings.Repeat("a", 1025)}}), ctap.LimitExceeded},
		"a long rp.id":        {wire(t, members{2: map[string]any{"id": strings.Repeat("a", 254)}}), ctap.LimitExceeded},
		"a long id":           {wire(t, members{5: []any{map[string]any{"id": make([]byte, 1024), "type": "public-key"}}}), ctap.LimitExceeded},
		"many to exclude":     {wire(t, members{5: many}), ctap.LimitExceeded},
		"up is false":         {wire(t, members{7: map[string]any{"up": false}}), ctap.InvalidOption},
		"protection 0":        {wire(t, members{6: map[string]any{"credProtect": 0}}), ctap.InvalidParameter},
		"protection 4":        {wire(t, members{6: map[string]any{"credProtect": 4}}), ctap.InvalidOption},
		"protection -1":       {wire(t, members{6: map[string]any{"credProtect": -1}}), ctap.CBORUnexpectedType},
		"protocol 0":          {wire(t, members{9: 0}), ctap.InvalidParameter},
		"protocol 256":        {wire(t, members{9: 256}), ctap.InvalidParameter},
		"enterprise 0":        {wire(t, members{10: 0}), ctap.InvalidParameter},
		"too deep":            {wire(t, members{11: []any{[]any{[]any{[]any{1}}}}}), ctap.InvalidCBOR},
		"not UTF-8":           {bytes.Replace(wire(t, nil), []byte("example"), []byte("exa\xffple"), 1), ctap.InvalidCBOR},
		"a tag":               {wire(t, members{11: cbor.RawMessage{0xc1, 0x01}}), ctap.InvalidCBOR},
		"null inside":         {wire(t, members{11: cbor.RawMessage{0xf6}}), ctap.InvalidCBOR},
		"undefined inside":    {wire(t, members{11: cbor.RawMessage{0xf7}}), ctap.InvalidCBOR},
		"a long integer":      {wire(t, members{11: cbor.RawMessage{0x18, 0x01}}), ctap.InvalidCBOR},
		"a half float":        {wire(t, members{11: cbor.RawMessage{0xf9, 0x3c, 0x00}}), ctap.InvalidCBOR},
		"indefinite bytes":    {wire(t, members{11: cbor.RawMessage{0x5f, 0x41, 0x01, 0xff}}), ctap.InvalidCBOR},
		"an indefinite map":   {append(append([]byte{0xbf}, good[1:]...), 0xff), ctap.InvalidCBOR},
		"a name twice":        {bytes.Replace(bytes.Replace(good, []byte{0xa4, 0x01}, []byte{0xa5, 0x01}, 1), good[1:36], append(bytes.Clone(good[1:36]), good[1:36]...), 1), ctap.InvalidCBOR},
		"names out of order":  {swapped(good), ctap.InvalidCBOR},
	} {
		_, err := ctap.DecodeMakeCredential(c.raw)
		t.Run(name, func(t *testing.T) { refused(t, err, c.want) })
	}
}

// swapped puts the hash behind the rest.
func swapped(good []byte) []byte {
	out := append([]byte{good[0]}, good[36:]...)
	return append(out, good[1:36]...)
}

func TestDecodeGetAssertion_refuses(t *testing.T) {
	type members = map[any]any
	build := func(change members) []byte { return canonical(t, members{1: "example.org", 2: hash()}, change) }
	secretInput := func(change map[any]any) members {
		in := members{1: members{1: 2}, 2: make([]byte, 32), 3: make([]byte, 16)}
		return members{4: map[string]any{"hmac-secret": cbor.RawMessage(canonical(t, in, change))}}
	}
	for _, good := range [][]byte{build(nil), build(secretInput(nil))} {
		if _, err := ctap.DecodeGetAssertion(good); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		raw  []byte
		want ctap.Code
	}{
		"no rp":            {build(members{1: nil}), ctap.MissingParameter},
		"no hash":          {build(members{2: nil}), ctap.MissingParameter},
		"a short hash":     {build(members{2: []byte{1}}), ctap.InvalidLength},
		"rk":               {build(members{5: map[string]any{"rk": true}}), ctap.UnsupportedOption},
		"an allowed text":  {build(members{3: []any{"x"}}), ctap.CBORUnexpectedType},
		"allowed bytes":    {build(members{3: []byte{1}}), ctap.CBORUnexpectedType},
		"protocol 0":       {build(members{7: 0}), ctap.InvalidParameter},
		"no key agreement": {build(secretInput(members{1: nil})), ctap.MissingParameter},
		"no salts":         {build(secretInput(members{2: nil})), ctap.MissingParameter},
		"no salt code":     {build(secretInput(members{3: nil})), ctap.MissingParameter},
		"salt protocol 0":  {build(secretInput(members{4: 0})), ctap.InvalidParameter},
		"a boolean input":  {build(members{4: map[string]any{"hmac-secret": true}}), ctap.CBORUnexpectedType},
	} {
		_, err := ctap.DecodeGetAssertion(c.raw)
		t.Run(name, func(t *testing.T) { refused(t, err, c.want) })
	}
}

func seeds(f *testing.F) {
	f.Helper()
	for _, r := range []interface{ Encode() ([]byte, error) }{creation(), fullCreation(), request(), fullRequest(f)} {
		raw, err := r.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, text := range []string{"", "a0", "bf01ff", "a10140", "a201410101410", "f6"} {
		raw, _ := hex.DecodeString(text) // an odd one gives what came before
		f.Add(raw)
	}
}

// fuzz checks that what is read is written again: the same bytes, or fewer if there was
// something unknown in it, and that those are read as the same.
func fuzz[R interface{ Encode() ([]byte, error) }](t *testing.T, decode func([]byte) (R, error), raw []byte) {
	t.Helper()
	r, err := decode(raw)
	if err != nil {
		return
	}
	written, err := r.Encode()
	if err != nil {
		t.Fatalf("%x is read but not written: %v", raw, err)
	}
	if len(written) > len(raw) || len(written) == len(raw) && !bytes.Equal(written, raw) {
		t.Errorf("%x is written as %x", raw, written)
	}
	again, err := decode(written)
	if diff := cmp.Diff(r, again); diff != "" || err != nil {
		t.Errorf("%x is read again with %v (-want +got):\n%s", written, err, diff)
	}
}

func FuzzDecodeMakeCredential(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) { fuzz(t, ctap.DecodeMakeCredential, raw) })
}

func FuzzDecodeGetAssertion(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) { fuzz(t, ctap.DecodeGetAssertion, raw) })
}
