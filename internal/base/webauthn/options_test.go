package webauthn_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/webauthn"
)

const (
	creationJSON = `{"rp":{"id":"example.org","name":"Example"},"user":{"id":"AQI","name":"ann","displayName":"Ann"},` +
		`"challenge":"AAECAwQFBgcICQoLDA0ODw","pubKeyCredParams":[{"type":"public-key","alg":-7}]}`
	requestJSON = `{"challenge":"AAECAwQFBgcICQoLDA0ODw","rpId":"example.org"}`
)

// put returns options with members replaced, by their dotted names, with JSON; "" takes one
// away.
func put(t testing.TB, options string, change map[string]string) []byte {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(options), &members); err != nil {
		t.Fatal(err)
	}
	for path, value := range change {
		at, names := members, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		last := names[len(names)-1]
		if value == "" {
			delete(at, last)
			continue
		}
		at[last] = json.RawMessage(value)
	}
	raw, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func hashOf(t *testing.T, raw []byte) string {
	t.Helper()
	hash, err := webauthn.OptionsHash(raw)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func salted(input string) []byte {
	h := sha256.Sum256([]byte("WebAuthn PRF\x00" + input))
	return h[:]
}

func TestParseCreation(t *testing.T) {
	plain := func(change func(*webauthn.CreationOptions)) webauthn.CreationOptions {
		o := webauthn.CreationOptions{
			RPID: "example.org", RPName: "Example", User: ctap.User{ID: []byte{1, 2}, Name: "ann", DisplayName: "Ann"},
			Challenge: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Algorithms: []ctap.Algorithm{ctap.ES256},
			Discoverable: true, Verification: webauthn.VerificationPreferred, Attestation: webauthn.AttestationNone,
		}
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, c := range map[string]struct {
		change map[string]string
		want   webauthn.CreationOptions
	}{
		"the least":      {nil, plain(nil)},
		"no rp.id":       {map[string]string{"rp.id": ""}, plain(func(o *webauthn.CreationOptions) { o.RPID = "" })},
		"unknown member": {map[string]string{"new": `{"a":[1]}`, "rp.icon": `"x"`, "extensions.new": `1`}, plain(nil)},
		"other case":     {map[string]string{"RP": `{"id":"evil.example"}`, "Challenge": `"AAAA"`, "rp.ID": `"evil.example"`}, plain(nil)},
		"null is absent": {map[string]string{"timeout": "null", "excludeCredentials": "null", "authenticatorSelection": "null", "extensions": "null", "attestation": "null"}, plain(nil)},
		"unknown values": {map[string]string{
			"attestation": `"x"`, "authenticatorSelection.userVerification": `"x"`, "authenticatorSelection.residentKey": `"x"`,
			"authenticatorSelection.authenticatorAttachment": `"x"`, "hints": `[]`,
		}, plain(nil)},
		"everything": {map[string]string{
			"pubKeyCredParams":   `[{"type":"public-key","alg":-8},{"type":"other","alg":-7},{"type":"public-key","alg":-257},{"type":"public-key","alg":-7}]`,
			"timeout":            "6e4",
			"excludeCredentials": `[{"type":"public-key","id":"AQ","transports":["usb"]},{"type":"other","id":"Ag"}]`,
			"authenticatorSelection": `{"authenticatorAttachment":"cross-platform","residentKey":"required","requireResidentKey":true,` +
				`"userVerification":"required"}`,
			"hints": `["security-key"]`, "attestation": `"direct"`, "attestationFormats": `["packed"]`,
			"extensions": `{"credProps":true,"hmacCreateSecret":true,"credentialProtectionPolicy":"userVerificationRequired",` +
				`"enforceCredentialProtectionPolicy":true,"prf":{"eval":{"first":"YQ","second":""}},"largeBlob":{"support":"preferred"},"minPinLength":true}`,
		}, plain(func(o *webauthn.CreationOptions) {
			o.Algorithms = []ctap.Algorithm{ctap.EdDSA, -257, ctap.ES256}
			o.Timeout, o.Hints, o.Attestation = 60000, []string{"security-key"}, webauthn.AttestationDirect
			o.Exclude = []ctap.Descriptor{{Type: "public-key", ID: []byte{1}}, {Type: "other", ID: []byte{2}}}
			o.Verification, o.Protect = webauthn.VerificationRequired, ctap.Required
			o.CredProps, o.HMACCreateSecret, o.LargeBlob = true, true, true
			o.PRF = &webauthn.PRF{Eval: &webauthn.Salts{First: salted("a"), Second: salted("")}}
		})},
		"no algorithms said":    {map[string]string{"pubKeyCredParams": "[]"}, plain(func(o *webauthn.CreationOptions) { o.Algorithms = []ctap.Algorithm{ctap.ES256, -257} })},
		"discouraged":           {map[string]string{"authenticatorSelection.residentKey": `"discouraged"`}, plain(func(o *webauthn.CreationOptions) { o.Discoverable = false })},
		"discouraged, UV":       {map[string]string{"authenticatorSelection.userVerification": `"discouraged"`}, plain(func(o *webauthn.CreationOptions) { o.Verification = webauthn.VerificationDiscouraged })},
		"resident not required": {map[string]string{"authenticatorSelection.requireResidentKey": "false"}, plain(nil)},
		"preferred":             {map[string]string{"authenticatorSelection.residentKey": `"preferred"`}, plain(nil)},
		"prf with inputs": {map[string]string{"extensions.prf": `{"eval":{"first":"YQ"}}`, "authenticatorSelection.userVerification": `"discouraged"`}, plain(func(o *webauthn.CreationOptions) {
			o.PRF, o.Verification = &webauthn.PRF{Eval: &webauthn.Salts{First: salted("a")}}, webauthn.VerificationRequired
		})},
		"prf without inputs": {map[string]string{"extensions.prf": "{}"}, plain(func(o *webauthn.CreationOptions) { o.PRF = &webauthn.PRF{} })},
		"a short challenge":  {map[string]string{"challenge": `"AA"`}, plain(func(o *webauthn.CreationOptions) { o.Challenge = []byte{0} })},
		"enterprise":         {map[string]string{"attestation": `"enterprise"`}, plain(func(o *webauthn.CreationOptions) { o.Attestation = webauthn.AttestationEnterprise })},
	} {
		raw := put(t, creationJSON, c.change)
		c.want.Hash = hashOf(t, raw)
		got, err := webauthn.ParseCreation(raw)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: ParseCreation() = %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestParseRequest(t *testing.T) {
	plain := func(change func(*webauthn.RequestOptions)) webauthn.RequestOptions {
		o := webauthn.RequestOptions{
			RPID:         "example.org",
			Challenge:    []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
			Verification: webauthn.VerificationPreferred,
		}
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, c := range map[string]struct {
		change map[string]string
		want   webauthn.RequestOptions
	}{
		"the least": {nil, plain(nil)},
		"no rpId":   {map[string]string{"rpId": ""}, plain(func(o *webauthn.RequestOptions) { o.RPID = "" })},
		"no inputs": {map[string]string{"extensions.prf": "{}", "userVerification": `"discouraged"`}, plain(func(o *webauthn.RequestOptions) {
			o.PRF, o.Verification = &webauthn.PRF{}, webauthn.VerificationDiscouraged
		})},
		"inputs": {map[string]string{"extensions.prf.eval": `{"first":"YQ"}`, "userVerification": `"discouraged"`}, plain(func(o *webauthn.RequestOptions) {
			o.PRF, o.Verification = &webauthn.PRF{Eval: &webauthn.Salts{First: salted("a")}}, webauthn.VerificationRequired
		})},
		"other case": {map[string]string{"rpID": `"evil.example"`}, plain(nil)},
		"everything": {map[string]string{
			"timeout": "1", "userVerification": `"required"`, "hints": `["hybrid"]`,
			"allowCredentials": `[{"type":"public-key","id":"AQ","transports":[]},{"type":"public-key","id":"Ag"}]`,
			"extensions":       `{"prf":{"eval":{"first":"YQ"},"evalByCredential":{"AQ":{"first":"Yg","second":"Yw"}}},"appid":"x"}`,
		}, plain(func(o *webauthn.RequestOptions) {
			o.Timeout, o.Verification, o.Hints = 1, webauthn.VerificationRequired, []string{"hybrid"}
			o.Allow = []ctap.Descriptor{{Type: "public-key", ID: []byte{1}}, {Type: "public-key", ID: []byte{2}}}
			o.PRF = &webauthn.PRF{
				Eval:         &webauthn.Salts{First: salted("a")},
				ByCredential: map[string]webauthn.Salts{"\x01": {First: salted("b"), Second: salted("c")}},
			}
		})},
	} {
		raw := put(t, requestJSON, c.change)
		c.want.Hash = hashOf(t, raw)
		got, err := webauthn.ParseRequest(raw)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: ParseRequest() = %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// deep is an array of n arrays in each other.
func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// planted are texts that no reader of options takes, whatever is in them.
func planted() map[string]string {
	return map[string]string{
		"nothing":                     "",
		"null":                        "null",
		"a list":                      "[" + creationJSON + "]",
		"a text":                      `"x"`,
		"a number":                    "1",
		"cut":                         creationJSON[:len(creationJSON)-1],
		"more behind":                 creationJSON + "x",
		"two objects":                 creationJSON + creationJSON,
		"a comma behind":              strings.TrimSuffix(creationJSON, "}") + ",}",
		"a comment":                   "/**/" + creationJSON,
		"a byte order mark":           "\ufeff" + creationJSON,
		"a member twice":              strings.TrimSuffix(creationJSON, "}") + `,"challenge":"AAAA"}`,
		"a member twice, escaped":     strings.TrimSuffix(creationJSON, "}") + `,"\u0063hallenge":"AAAA"}`,
		"a member twice, inside":      strings.Replace(creationJSON, `"id":"example.org"`, `"id":"example.org","id":"evil.example"`, 1),
		"a member twice, unknown":     strings.TrimSuffix(creationJSON, "}") + `,"x":1,"x":1}`,
		"not UTF-8":                   strings.Replace(creationJSON, "Ann", "A\xff", 1),
		"an overlong letter":          strings.Replace(creationJSON, "Ann", "A\xc0\xaf", 1),
		"a surrogate in UTF-8":        strings.Replace(creationJSON, "Ann", "A\xed\xa0\x80", 1),
		"a lone surrogate":            strings.Replace(creationJSON, "Ann", `\ud800`, 1),
		"a lone low surrogate":        strings.Replace(creationJSON, "Ann", `\udc00`, 1),
		"a surrogate and a letter":    strings.Replace(creationJSON, "Ann", `\ud800\u0041`, 1),
		"two high surrogates":         strings.Replace(creationJSON, "Ann", `\ud800\ud800`, 1),
		"a control character":         strings.Replace(creationJSON, "Ann", "A\nn", 1),
		"an escape that is none":      strings.Replace(creationJSON, "Ann", `\x41`, 1),
		"too deep":                    strings.TrimSuffix(creationJSON, "}") + `,"x":` + deep(16) + "}",
		"far too deep":                strings.TrimSuffix(creationJSON, "}") + `,"x":` + deep(30000) + "}",
		"too large":                   strings.TrimSuffix(creationJSON, "}") + `,"x":"` + strings.Repeat("a", webauthn.MaxOptions) + `"}`,
		"single quotes":               strings.ReplaceAll(creationJSON, `"`, "'"),
		"a number that is none":       strings.TrimSuffix(creationJSON, "}") + `,"x":NaN}`,
		"a number too large":          strings.TrimSuffix(creationJSON, "}") + `,"x":1e999}`,
		"a number with a zero before": strings.TrimSuffix(creationJSON, "}") + `,"x":01}`,
		"a name that is no text":      strings.TrimSuffix(creationJSON, "}") + `,1:1}`,
	}
}

func TestParse_refusesWhatTwoReadersCouldReadDifferently(t *testing.T) {
	for name, raw := range planted() {
		t.Run(name, func(t *testing.T) {
			_, err := webauthn.ParseCreation([]byte(raw))
			named(t, err, ctap.TypeError)
			_, err = webauthn.ParseRequest([]byte(raw))
			named(t, err, ctap.TypeError)
			got, err := webauthn.OptionsHash([]byte(raw))
			named(t, err, ctap.TypeError)
			if got != "" {
				t.Errorf("OptionsHash() = %q, want none", got)
			}
		})
	}
	most := strings.TrimSuffix(creationJSON, "}") + `,"x":` + deep(15) + "}"
	if _, err := webauthn.ParseCreation([]byte(most)); err != nil {
		t.Errorf("ParseCreation() = %v for what is as deep as may be", err)
	}
}

func TestParseCreation_refuses(t *testing.T) {
	list := func(n int, entry string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(entry+",", n), ",") + "]"
	}
	for name, c := range map[string]struct {
		path, value, want string
	}{
		"no rp":                         {"rp", "", ctap.TypeError},
		"no rp.name":                    {"rp.name", "", ctap.TypeError},
		"a null rp.name":                {"rp.name", "null", ctap.TypeError},
		"a long rp.name":                {"rp.name", `"` + strings.Repeat("a", 1025) + `"`, ctap.TypeError},
		"a text for rp":                 {"rp", `"example.org"`, ctap.TypeError},
		"a number for rp.id":            {"rp.id", "1", ctap.TypeError},
		"a list for rp.id":              {"rp.id", `["example.org"]`, ctap.TypeError},
		"no user":                       {"user", "", ctap.TypeError},
		"no user.id":                    {"user.id", "", ctap.TypeError},
		"an empty user.id":              {"user.id", `""`, ctap.TypeError},
		"a user.id of 65 bytes":         {"user.id", `"` + base64.RawURLEncoding.EncodeToString(make([]byte, 65)) + `"`, ctap.TypeError},
		"a user.id that is no base64":   {"user.id", `"a.b"`, ctap.TypeError},
		"a user.id of bytes":            {"user.id", "[1,2]", ctap.TypeError},
		"no user.name":                  {"user.name", "", ctap.TypeError},
		"no user.displayName":           {"user.displayName", "", ctap.TypeError},
		"a number for user.name":        {"user.name", "1", ctap.TypeError},
		"no challenge":                  {"challenge", "", ctap.TypeError},
		"an empty challenge":            {"challenge", `""`, ctap.TypeError},
		"a null challenge":              {"challenge", "null", ctap.TypeError},
		"a padded challenge":            {"challenge", `"AA=="`, ctap.TypeError},
		"a challenge in base64":         {"challenge", `"+/+/"`, ctap.TypeError},
		"a challenge with a line":       {"challenge", `"AAAA\nAAAA"`, ctap.TypeError},
		"a challenge with a space":      {"challenge", `"AAAA AAAA"`, ctap.TypeError},
		"a challenge with loose bits":   {"challenge", `"AB"`, ctap.TypeError},
		"a long challenge":              {"challenge", `"` + base64.RawURLEncoding.EncodeToString(make([]byte, 1025)) + `"`, ctap.TypeError},
		"a number for the challenge":    {"challenge", "1", ctap.TypeError},
		"no pubKeyCredParams":           {"pubKeyCredParams", "", ctap.TypeError},
		"a text for pubKeyCredParams":   {"pubKeyCredParams", `"ES256"`, ctap.TypeError},
		"a number in pubKeyCredParams":  {"pubKeyCredParams", "[-7]", ctap.TypeError},
		"null in pubKeyCredParams":      {"pubKeyCredParams", "[null]", ctap.TypeError},
		"no alg":                        {"pubKeyCredParams", `[{"type":"public-key"}]`, ctap.TypeError},
		"no type of alg":                {"pubKeyCredParams", `[{"alg":-7}]`, ctap.TypeError},
		"a text for alg":                {"pubKeyCredParams", `[{"type":"public-key","alg":"-7"}]`, ctap.TypeError},
		"half an alg":                   {"pubKeyCredParams", `[{"type":"public-key","alg":-7.5}]`, ctap.TypeError},
		"a huge alg":                    {"pubKeyCredParams", `[{"type":"public-key","alg":-70000000000}]`, ctap.TypeError},
		"65 algs":                       {"pubKeyCredParams", list(65, `{"type":"public-key","alg":-7}`), ctap.TypeError},
		"RS256 only":                    {"pubKeyCredParams", `[{"type":"public-key","alg":-257}]`, ctap.NotSupportedError},
		"only algs of another type":     {"pubKeyCredParams", `[{"type":"other","alg":-7}]`, ctap.NotSupportedError},
		"a text for timeout":            {"timeout", `"1"`, ctap.TypeError},
		"a timeout before":              {"timeout", "-1", ctap.TypeError},
		"half a timeout":                {"timeout", "0.5", ctap.TypeError},
		"a huge timeout":                {"timeout", "4294967296", ctap.TypeError},
		"an object to exclude":          {"excludeCredentials", "{}", ctap.TypeError},
		"129 to exclude":                {"excludeCredentials", list(129, `{"type":"public-key","id":"AQ"}`), ctap.TypeError},
		"no id to exclude":              {"excludeCredentials", `[{"type":"public-key"}]`, ctap.TypeError},
		"no type to exclude":            {"excludeCredentials", `[{"id":"AQ"}]`, ctap.TypeError},
		"an empty id to exclude":        {"excludeCredentials", `[{"type":"public-key","id":""}]`, ctap.TypeError},
		"a padded id to exclude":        {"excludeCredentials", `[{"type":"public-key","id":"AQ=="}]`, ctap.TypeError},
		"a long id to exclude":          {"excludeCredentials", `[{"type":"public-key","id":"` + strings.Repeat("A", 1366) + `"}]`, ctap.TypeError},
		"a text for transports":         {"excludeCredentials", `[{"type":"public-key","id":"AQ","transports":"usb"}]`, ctap.TypeError},
		"a number in transports":        {"excludeCredentials", `[{"type":"public-key","id":"AQ","transports":[1]}]`, ctap.TypeError},
		"a text to select by":           {"authenticatorSelection", `"x"`, ctap.TypeError},
		"platform":                      {"authenticatorSelection.authenticatorAttachment", `"platform"`, ctap.NotAllowedError},
		"a number for attachment":       {"authenticatorSelection.authenticatorAttachment", "1", ctap.TypeError},
		"a flag for residentKey":        {"authenticatorSelection.residentKey", "true", ctap.TypeError},
		"a text for requireResidentKey": {"authenticatorSelection.requireResidentKey", `"true"`, ctap.TypeError},
		"a flag for userVerification":   {"authenticatorSelection.userVerification", "true", ctap.TypeError},
		"a text for hints":              {"hints", `"hybrid"`, ctap.TypeError},
		"null in hints":                 {"hints", "[null]", ctap.TypeError},
		"a flag for attestation":        {"attestation", "true", ctap.TypeError},
		"a text for attestationFormats": {"attestationFormats", `"packed"`, ctap.TypeError},
		"a list of extensions":          {"extensions", "[]", ctap.TypeError},
		"a text for credProps":          {"extensions.credProps", `"true"`, ctap.TypeError},
		"a number for hmacCreateSecret": {"extensions.hmacCreateSecret", "1", ctap.TypeError},
		"a number for the policy":       {"extensions.credentialProtectionPolicy", "3", ctap.TypeError},
		"a policy that is none":         {"extensions.credentialProtectionPolicy", `"required"`, ctap.TypeError},
		"a text to enforce the policy":  {"extensions.enforceCredentialProtectionPolicy", `"true"`, ctap.TypeError},
		"a flag for prf":                {"extensions.prf", "true", ctap.TypeError},
		"a text for eval":               {"extensions.prf.eval", `"YQ"`, ctap.TypeError},
		"no first":                      {"extensions.prf.eval", `{"second":"YQ"}`, ctap.TypeError},
		"a first that is no base64":     {"extensions.prf.eval", `{"first":"a b"}`, ctap.TypeError},
		"a second that is no base64":    {"extensions.prf.eval", `{"first":"YQ","second":"="}`, ctap.TypeError},
		"by credential":                 {"extensions.prf.evalByCredential", `{"AQ":{"first":"YQ"}}`, ctap.NotSupportedError},
		"by no credential":              {"extensions.prf.evalByCredential", `{}`, ctap.NotSupportedError},
		"a flag for largeBlob":          {"extensions.largeBlob", "true", ctap.TypeError},
		"large blobs required":          {"extensions.largeBlob.support", `"required"`, ctap.NotAllowedError},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := webauthn.ParseCreation(put(t, creationJSON, map[string]string{c.path: c.value}))
			named(t, err, c.want)
			if diff := cmp.Diff(webauthn.CreationOptions{}, got); diff != "" {
				t.Errorf("ParseCreation() gives (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRequest_refuses(t *testing.T) {
	many := map[string]any{}
	for i := range 129 {
		many[base64.RawURLEncoding.EncodeToString([]byte{1, byte(i)})] = map[string]string{"first": "YQ"}
	}
	by, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	allow := `[{"type":"public-key","id":"AQ"}]`
	for name, c := range map[string]struct {
		change map[string]string
		want   string
	}{
		"no challenge":              {map[string]string{"challenge": ""}, ctap.TypeError},
		"a padded challenge":        {map[string]string{"challenge": `"AA=="`}, ctap.TypeError},
		"a number for rpId":         {map[string]string{"rpId": "1"}, ctap.TypeError},
		"a text to allow":           {map[string]string{"allowCredentials": `"AQ"`}, ctap.TypeError},
		"no id to allow":            {map[string]string{"allowCredentials": `[{"type":"public-key"}]`}, ctap.TypeError},
		"a flag for verification":   {map[string]string{"userVerification": "true"}, ctap.TypeError},
		"a text for timeout":        {map[string]string{"timeout": `"1"`}, ctap.TypeError},
		"a text for hints":          {map[string]string{"hints": `"x"`}, ctap.TypeError},
		"a text for extensions":     {map[string]string{"extensions": `"x"`}, ctap.TypeError},
		"by credential, none named": {map[string]string{"extensions.prf.evalByCredential": `{"AQ":{"first":"YQ"}}`}, ctap.NotSupportedError},
		"by another credential":     {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": `{"Ag":{"first":"YQ"}}`}, ctap.SyntaxError},
		"by an empty id":            {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": `{"":{"first":"YQ"}}`}, ctap.SyntaxError},
		"by a padded id":            {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": `{"AQ==":{"first":"YQ"}}`}, ctap.SyntaxError},
		"by credential, no first":   {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": `{"AQ":{}}`}, ctap.TypeError},
		"by credential, a text":     {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": `{"AQ":"YQ"}`}, ctap.TypeError},
		"by credential, null":       {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": `{"AQ":null}`}, ctap.TypeError},
		"by too many":               {map[string]string{"allowCredentials": allow, "extensions.prf.evalByCredential": string(by)}, ctap.TypeError},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := webauthn.ParseRequest(put(t, requestJSON, c.change))
			named(t, err, c.want)
			if diff := cmp.Diff(webauthn.RequestOptions{}, got); diff != "" {
				t.Errorf("ParseRequest() gives (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptions_request(t *testing.T) {
	hash := bytes.Repeat([]byte{7}, 32)
	o, err := webauthn.ParseCreation(put(t, creationJSON, map[string]string{
		"rp.id": "", "authenticatorSelection.residentKey": `"discouraged"`, "extensions.prf": "{}",
		"excludeCredentials": `[{"type":"public-key","id":"AQ"}]`, "attestation": `"indirect"`,
		"extensions.credentialProtectionPolicy": `"userVerificationOptionalWithCredentialIDList"`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := ctap.MakeCredentialRequest{
		ClientDataHash: hash, RP: ctap.RP{ID: "example.org", Name: "Example"},
		User: ctap.User{ID: []byte{1, 2}, Name: "ann", DisplayName: "Ann"}, Algorithms: []ctap.Algorithm{ctap.ES256},
		Exclude: []ctap.Descriptor{{Type: "public-key", ID: []byte{1}}}, Resident: new(false), Protect: ctap.OptionalWithList, HMACSecret: true,
	}
	if diff := cmp.Diff(want, o.Request("example.org", hash)); diff != "" || !o.Attest() {
		t.Errorf("Request(), Attest() = %v (-want +got):\n%s", o.Attest(), diff)
	}
	r, err := webauthn.ParseRequest(put(t, requestJSON, map[string]string{"allowCredentials": `[{"type":"public-key","id":"AQ"}]`}))
	if err != nil {
		t.Fatal(err)
	}
	wanted := ctap.GetAssertionRequest{RPID: "example.org", ClientDataHash: hash, Allow: []ctap.Descriptor{{Type: "public-key", ID: []byte{1}}}}
	if diff := cmp.Diff(wanted, r.Request("example.org", hash)); diff != "" {
		t.Errorf("Request() (-want +got):\n%s", diff)
	}
}

func TestOptionsHash(t *testing.T) {
	sum := func(canonical string) string {
		h := sha256.Sum256([]byte(canonical))
		return base64.RawURLEncoding.EncodeToString(h[:])
	}
	// The second is the example of RFC 8785 §3.2.2 and §3.2.3.
	for raw, canonical := range map[string]string{
		" { \"b\" : [ 1.0 , 2e1 ] ,\n\"a\":\"\\u0041\" } ": `{"a":"A","b":[1,20]}`,
		`{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
		  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`: `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\ud83d\ude00":1,"\ufb33":2}`: "{\"\U0001F600\":1,\"\ufb33\":2}", // by UTF-16 units
	} {
		got, err := webauthn.OptionsHash([]byte(raw))
		if want := sum(canonical); err != nil || got != want {
			t.Errorf("OptionsHash(%s) = %q, %v, want %q", raw, got, err, want)
		}
	}
}

func FuzzOptionsHash(f *testing.F) {
	f.Add([]byte(creationJSON))
	f.Add([]byte(requestJSON))
	for _, raw := range planted() {
		if len(raw) < 1024 {
			f.Add([]byte(raw))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := webauthn.OptionsHash(raw)
		if err != nil {
			named(t, err, ctap.TypeError)
			return
		}
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatalf("%q has a hash and is no object: %v", raw, err)
		}
		again, err := json.Marshal(members) // another order, other escapes, the same object
		if err != nil {
			t.Fatal(err)
		}
		if second, err := webauthn.OptionsHash(again); err == nil && second != got {
			t.Errorf("%q and %q have other hashes", raw, again)
		}
	})
}

func FuzzParseCreation(f *testing.F) {
	f.Add([]byte(creationJSON))
	f.Add(put(f, creationJSON, map[string]string{
		"excludeCredentials": `[{"type":"public-key","id":"AQ"}]`, "extensions.prf.eval": `{"first":"YQ","second":"Yg"}`,
		"authenticatorSelection": `{"residentKey":"required"}`, "timeout": "1", "hints": `["x"]`,
	}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := webauthn.ParseCreation(raw)
		if err != nil {
			return
		}
		if _, err := webauthn.OptionsHash(raw); err != nil {
			t.Errorf("%q is read and has no hash: %v", raw, err)
		}
		// All that is read can be made.
		if _, _, err := ctap.MakeCredential(o.Request("example.org", make([]byte, 32)), o.Attest(), true); err != nil {
			t.Errorf("%q is read and not made: %v", raw, err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(requestJSON))
	f.Add(put(f, requestJSON, map[string]string{
		"allowCredentials": `[{"type":"public-key","id":"AQ"}]`, "extensions.prf.evalByCredential": `{"AQ":{"first":"YQ"}}`,
	}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := webauthn.ParseRequest(raw)
		if err != nil {
			return
		}
		if _, err := o.Request("example.org", make([]byte, 32)).Encode(); err != nil && len(raw) < 4096 {
			t.Errorf("%q is read and not asked: %v", raw, err)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	raw := put(b, requestJSON, map[string]string{
		"allowCredentials": `[{"type":"public-key","id":"AAECAwQFBgcICQoLDA0ODw","transports":["nfc"]}]`,
		"timeout":          "60000", "userVerification": `"required"`,
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := webauthn.ParseRequest(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOptionsHash(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := webauthn.OptionsHash([]byte(creationJSON)); err != nil {
			b.Fatal(err)
		}
	}
}
