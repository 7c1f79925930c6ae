package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhold/keyhold/internal/base/dpop"
)

// at is a moment in whole seconds.
var at = time.Unix(1_790_000_000, 0).UTC()

// key returns always the same key.
func key() *ecdsa.PrivateKey {
	d := make([]byte, 32)
	for i := range d {
		d[i] = byte(i + 1)
	}
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		panic(err)
	}
	return k
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// header returns the JOSE header of a good proof, with old written as put.
func header(old, put string) string {
	return change(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+string(dpop.JWK(&key().PublicKey))+`}`, old, put)
}

// payload returns the claims of a good proof, with old written as put.
func payload(old, put string) string {
	return change(`{"htm":"POST","htu":"https://a.example/x","iat":1790000000,"jti":"j1","nonce":"n","ath":"`+dpop.TokenHash("t")+`","bsh":"`+dpop.BodyHash(nil)+`"}`, old, put)
}

func change(s, old, put string) string {
	if !strings.Contains(s, old) {
		panic(old + " is not in " + s)
	}
	return strings.Replace(s, old, put, 1)
}

// forge signs any two texts with the key.
func forge(head, claims string) string {
	text := b64(head) + "." + b64(claims)
	signature, err := jwt.SigningMethodES256.Sign(text, key())
	if err != nil {
		panic(err)
	}
	return text + "." + b64(string(signature))
}

func good() string { return forge(header("", ""), payload("", "")) }

func TestParse_readsWhatSignWrote(t *testing.T) {
	want := dpop.Claims{Method: "POST", URL: "https://keys.example.com/authenticator/v1/taps?a=1&b=<2>", IssuedAt: at, ID: "j", Nonce: "n", TokenHash: dpop.TokenHash("t"), BodyHash: dpop.BodyHash(nil)}
	for _, nonce := range []string{"n", ""} {
		want.Nonce = nonce
		text, err := dpop.Sign(key(), want)
		if err != nil {
			t.Fatal(err)
		}
		p, err := dpop.Parse(text)
		if err != nil || p.Claims != want {
			t.Fatalf("Parse() = %+v, %v; want %+v", p.Claims, err, want)
		}
		if !p.Key.Equal(&key().PublicKey) || p.Thumbprint != dpop.Thumbprint(p.Key) {
			t.Error("Parse() has another key or thumbprint")
		}
	}
}

// The proof of RFC 9449 §4.1 (figure 2) but for ath and bsh, which it lacks.
func TestParse_knowsTheKeyOfTheRFC(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	_, err := dpop.Parse(proof)
	if err == nil || !strings.Contains(err.Error(), "no ath") {
		t.Errorf("Parse() = %v, want no ath", err)
	}
	k, err := dpop.ParseJWK([]byte(`{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`))
	if err != nil {
		t.Fatal(err)
	}
	// RFC 9449 §6.1 (figure 9) tells its thumbprint.
	if got, want := dpop.Thumbprint(k), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"; got != want {
		t.Errorf("Thumbprint() = %v, want %v", got, want)
	}
}

// RFC 9449 §7.1 (figure 12) tells ath of its token.
func TestTokenHash_isThatOfTheRFC(t *testing.T) {
	if got, want := dpop.TokenHash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"; got != want {
		t.Errorf("TokenHash() = %v, want %v", got, want)
	}
	if got, want := dpop.BodyHash(nil), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"; got != want {
		t.Errorf("BodyHash(nil) = %v, want %v", got, want)
	}
}

func TestParse_readsWhatOthersMayWrite(t *testing.T) {
	for name, text := range map[string]string{
		"spaces":                 forge(header(`"alg":"ES256",`, " \t\"alg\" :\r\n\"ES256\" , "), payload("", "")),
		"unknown members":        forge(header(`"alg"`, `"kid":"1","x":[1,-2.5e+3,{"a":null},[],{}],"alg"`), payload(`"jti"`, `"exp":1.5,"extra":{"jti":true,"b":[false]},"jti"`)),
		"browser's key":          forge(header(`{"crv"`, `{"ext":true,"key_ops":["verify"],"crv"`), payload("", "")),
		"escaped slashes":        forge(header("", ""), payload(`https://a.example/x`, `https:\/\/a.example\/x`)),
		"escaped name":           forge(header("", ""), payload(`"jti"`, `"\u006a\u0074i"`)),
		"no nonce":               forge(header("", ""), payload(`"nonce":"n",`, "")),
		"jti of 128":             forge(header("", ""), payload(`"j1"`, `"`+strings.Repeat("j", 128)+`"`)),
		"other characters in it": forge(header("", ""), payload(`"htm"`, `"x":"é😀\ud83d\ude00","htm"`)),
	} {
		if p, err := dpop.Parse(text); err != nil || p.URL != "https://a.example/x" || !p.IssuedAt.Equal(at) {
			t.Errorf("%s: Parse() = %+v, %v; want it read", name, p.Claims, err)
		}
	}
}

// signedWith returns a good proof's text under another signature.
func signedWith(signature []byte) string {
	text := good()
	return text[:strings.LastIndexByte(text, '.')+1] + b64(string(signature))
}

// mac signs the texts as HS256 does, with the public key as the secret.
func mac(head, claims string) string {
	text := b64(head) + "." + b64(claims)
	m := hmac.New(sha256.New, dpop.JWK(&key().PublicKey))
	m.Write([]byte(text))
	return text + "." + b64(string(m.Sum(nil)))
}

func rs256() string {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"htm": "POST"})
	token.Header["typ"] = "dpop+jwt"
	token.Header["jwk"] = map[string]string{"kty": "RSA", "n": b64(string(k.N.Bytes())), "e": "AQAB"}
	text, err := token.SignedString(k)
	if err != nil {
		panic(err)
	}
	return text
}

func TestParse_refuses(t *testing.T) {
	text := good()
	if _, err := dpop.Parse(text); err != nil {
		t.Fatal(err)
	}
	signature := text[strings.LastIndexByte(text, '.')+1:]
	raw, _ := base64.RawURLEncoding.DecodeString(signature)
	none := make([]byte, 32)
	order, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	same := payload("", "")
	x := change(string(dpop.JWK(&key().PublicKey)), `{"crv":"P-256","kty":"EC","x":"`, "")[:43]
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := ecdsa.SignASN1(rand.Reader, key(), make([]byte, 32))
	for name, c := range map[string]struct{ text, says string }{
		"nothing":              {"", "three parts"},
		"one part":             {"a", "three parts"},
		"two parts":            {text[:strings.LastIndexByte(text, '.')], "three parts"},
		"no signature":         {text[:strings.LastIndexByte(text, '.')+1], "three parts"},
		"four parts":           {text + "." + signature, "not base64url"},
		"five parts, as a JWE": {"a.b.c.d.e", "not base64url"},
		"huge":                 {forge(header("", ""), payload(`"j1"`, `"j1","x":"`+strings.Repeat("x", 4096)+`"`)), "too long"},
		"two proofs":           {text + ", " + text, "not base64url"},
		"a space around":       {" " + text, "not base64url"},
		"padded signature":     {text + "==", "not base64url"},
		"padded header":        {b64(header("", " ")) + "=" + text[strings.IndexByte(text, '.'):], "not base64url"},
		"a line break":         {text[:9] + "\n" + text[9:], "not base64url"},
		"stray bits":           {text[:len(text)-1] + string(text[len(text)-1]+1), "not base64url"},
		"standard base64":      {change(text, ".", "+/."), "not base64url"},

		"alg none":                  {b64(header("ES256", "none")) + "." + b64(same) + ".", "three parts"},
		"alg none with a signature": {forge(header("ES256", "none"), same), "alg"},
		"alg missing":               {forge(header(`"alg":"ES256",`, ""), same), "alg"},
		"alg in lower case":         {forge(header("ES256", "es256"), same), "alg"},
		"ES384":                     {forge(header("ES256", "ES384"), same), "alg"},
		"HS256 by the public key":   {mac(header("ES256", "HS256"), same), "alg"},
		"HS256 said to be ES256":    {mac(header("", ""), same), "signature"},
		"RS256":                     {rs256(), "alg"},
		"typ JWT":                   {forge(header("dpop+jwt", "JWT"), same), "typ"},
		"typ in capitals":           {forge(header("dpop+jwt", "DPoP+JWT"), same), "typ"},
		"typ as a media type":       {forge(header("dpop+jwt", "application/dpop+jwt"), same), "typ"},
		"typ missing":               {forge(header(`"typ":"dpop+jwt",`, ""), same), "typ"},
		"typ is no string":          {forge(header(`"dpop+jwt"`, `1`), same), "malformed"},
		"crit":                      {forge(header(`"alg"`, `"crit":["exp"],"alg"`), same), "crit"},
		"crit in escapes":           {forge(header(`"alg"`, `"\u0063rit":["exp"],"alg"`), same), "crit"},
		"b64":                       {forge(header(`"alg"`, `"b64":false,"alg"`), same), "b64"},
		"a key elsewhere":           {forge(header(`"alg"`, `"jku":"https://b.example","alg"`), same), "jku"},
		"alg twice":                 {forge(header(`"alg"`, `"alg":"ES256","alg"`), same), "malformed"},
		"alg twice, once escaped":   {forge(header(`"alg"`, `"\u0061lg":"ES256","alg"`), same), "malformed"},
		"header is an array":        {forge("["+header("", "")+"]", same), "malformed"},
		"text after the header":     {forge(header("", "")+"{}", same), "malformed"},
		"bytes that are not UTF-8":  {forge(header(`"alg"`, "\"x\":\"\xff\",\"alg\""), same), "malformed"},
		"too deep":                  {forge(header(`"alg"`, `"x":[[[[[[[[[]]]]]]]]],"alg"`), same), "malformed"},

		"no jwk":                {forge(`{"typ":"dpop+jwt","alg":"ES256"}`, same), "no jwk"},
		"jwk is a string":       {forge(`{"typ":"dpop+jwt","alg":"ES256","jwk":"x"}`, same), "malformed"},
		"private half":          {forge(header(`{"crv"`, `{"d":"`+b64(strings.Repeat("d", 32))+`","crv"`), same), "malformed"},
		"private half, escaped": {forge(header(`{"crv"`, `{"\u0064":"`+b64(strings.Repeat("d", 32))+`","crv"`), same), "malformed"},
		"x twice":               {forge(header(`{"crv"`, `{"x":"`+x+`","crv"`), same), "malformed"},
		"P-384":                 {forge(header("P-256", "P-384"), same), "P-256"},
		"secp256k1":             {forge(header("P-256", "secp256k1"), same), "P-256"},
		"kty OKP":               {forge(header(`"EC"`, `"OKP"`), same), "P-256"},
		"kty missing":           {forge(header(`"kty":"EC",`, ``), same), "P-256"},
		"no x":                  {forge(header(`"x":"`+x+`",`, ``), same), "32 bytes"},
		"x of 31 bytes":         {forge(header(x, b64(strings.Repeat("x", 31))), same), "32 bytes"},
		"x of 33 bytes":         {forge(header(x, b64(strings.Repeat("x", 33))), same), "32 bytes"},
		"x with stray bits":     {forge(header(x, x[:42]+"B"), same), "32 bytes"},
		"x with padding":        {forge(header(x, x+"="), same), "32 bytes"},
		"x with a line break":   {forge(header(x, x[:40]+`\n`+x[40:42]), same), "32 bytes"},
		"point off the curve":   {forge(header(x, b64(strings.Repeat("x", 32))), same), "curve"},
		"the point at nowhere":  {forge(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"`+b64(string(none))+`","y":"`+b64(string(none))+`"}}`, same), "curve"},

		"another key":            {forge(change(header("", ""), string(dpop.JWK(&key().PublicKey)), string(dpop.JWK(&other.PublicKey))), same), "signature"},
		"another payload":        {b64(header("", "")) + "." + b64(payload("j1", "j2")) + "." + signature, "signature"},
		"another header":         {b64(header("}", "} ")) + "." + b64(same) + "." + signature, "signature"},
		"truncated signature":    {signedWith(raw[:63]), "signature"},
		"longer signature":       {signedWith(append(raw[:64:64], 0)), "signature"},
		"r is zero":              {signedWith(append(none[:32:32], raw[32:]...)), "signature"},
		"s is zero":              {signedWith(append(raw[:32:32], none...)), "signature"},
		"r and s are zero":       {signedWith(make([]byte, 64)), "signature"},
		"r is the group's order": {signedWith(append(order[:32:32], raw[32:]...)), "signature"},
		"s is the group's order": {signedWith(append(raw[:32:32], order...)), "signature"},
		"an ASN.1 signature":     {signedWith(der), "signature"},

		"no htm":             {forge(header("", ""), payload(`"htm":"POST",`, "")), "htm"},
		"no htu":             {forge(header("", ""), payload(`"htu":"https://a.example/x",`, "")), "htu"},
		"no iat":             {forge(header("", ""), payload(`"iat":1790000000,`, "")), "iat"},
		"no jti":             {forge(header("", ""), payload(`"jti":"j1",`, "")), "jti"},
		"no ath":             {forge(header("", ""), payload(`"ath":"`+dpop.TokenHash("t")+`",`, "")), "ath"},
		"no bsh":             {forge(header("", ""), payload(`,"bsh":"`+dpop.BodyHash(nil)+`"`, "")), "bsh"},
		"names in capitals":  {forge(header("", ""), payload(`"jti"`, `"JTI"`)), "jti"},
		"empty jti":          {forge(header("", ""), payload(`"j1"`, `""`)), "jti"},
		"jti of 129":         {forge(header("", ""), payload(`"j1"`, `"`+strings.Repeat("j", 129)+`"`)), "jti"},
		"jti with a space":   {forge(header("", ""), payload(`"j1"`, `"j 1"`)), "jti"},
		"jti with a break":   {forge(header("", ""), payload(`"j1"`, `"j\u000a1"`)), "jti"},
		"jti beyond ASCII":   {forge(header("", ""), payload(`"j1"`, `"é"`)), "jti"},
		"half a character":   {forge(header("", ""), payload(`"j1"`, `"j\ud83d"`)), "malformed"},
		"jti is a number":    {forge(header("", ""), payload(`"j1"`, `1`)), "malformed"},
		"jti twice":          {forge(header("", ""), payload(`"jti"`, `"jti":"j0","jti"`)), "malformed"},
		"unknown twice":      {forge(header("", ""), payload(`"jti"`, `"a":1,"a":1,"jti"`)), "malformed"},
		"iat is a string":    {forge(header("", ""), payload(`1790000000`, `"1790000000"`)), "malformed"},
		"iat with a point":   {forge(header("", ""), payload(`1790000000`, `1790000000.0`)), "malformed"},
		"iat with exponent":  {forge(header("", ""), payload(`1790000000`, `179e7`)), "malformed"},
		"iat is negative":    {forge(header("", ""), payload(`1790000000`, `-1790000000`)), "malformed"},
		"iat is zero":        {forge(header("", ""), payload(`1790000000`, `0`)), "malformed"},
		"iat begins with 0":  {forge(header("", ""), payload(`1790000000`, `01790000000`)), "malformed"},
		"iat beyond 2^53":    {forge(header("", ""), payload(`1790000000`, `9007199254740993`)), "malformed"},
		"iat is null":        {forge(header("", ""), payload(`1790000000`, `null`)), "malformed"},
		"nonce is null":      {forge(header("", ""), payload(`"n"`, `null`)), "malformed"},
		"claims are a text":  {forge(header("", ""), `"x"`), "malformed"},
		"claims are nothing": {forge(header("", ""), ` `), "malformed"},
		"33 claims":          {forge(header("", ""), payload(`"htm"`, many(26)+`"htm"`)), "malformed"},
		"a comma too much":   {forge(header("", ""), payload(`}`, `,}`)), "malformed"},
		"a comma too few":    {forge(header("", ""), payload(`,`, ` `)), "malformed"},
	} {
		p, err := dpop.Parse(c.text)
		if !errors.Is(err, dpop.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Parse() = %v, want an error that says %q", name, err, c.says)
		}
		if p.Key != nil || p.ID != "" {
			t.Errorf("%s: Parse() = %+v with an error, want nothing", name, p)
		}
	}
}

// many returns that many members.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"m` + string(rune('a'+i)) + `":1,`)
	}
	return b.String()
}

func TestParse_takesUpTo32Claims(t *testing.T) {
	if _, err := dpop.Parse(forge(header("", ""), payload(`"htm"`, many(25)+`"htm"`))); err != nil {
		t.Errorf("Parse() = %v with 32 claims, want them read", err)
	}
}

func TestParseJWK_readsWhatJWKWrote(t *testing.T) {
	text := dpop.JWK(&key().PublicKey)
	k, err := dpop.ParseJWK(text)
	if err != nil || !k.Equal(&key().PublicKey) || !json.Valid(text) {
		t.Errorf("ParseJWK(%s) = %v, %v; want the key", text, k, err)
	}
}

func TestParseJWK_refuses(t *testing.T) {
	text := string(dpop.JWK(&key().PublicKey))
	for name, c := range map[string]struct{ text, says string }{
		"nothing":        {"", "malformed"},
		"null":           {"null", "malformed"},
		"private half":   {change(text, `{`, `{"d":"x",`), "malformed"},
		"symmetric":      {`{"kty":"oct","k":"x"}`, "malformed"},
		"text after":     {text + "x", "malformed"},
		"not UTF-8":      {change(text, `{`, "{\"a\":\"\xff\","), "UTF-8"},
		"kty twice":      {change(text, `{`, `{"kty":"EC",`), "malformed"},
		"too long":       {text + strings.Repeat(" ", 1024), "too long"},
		"P-384":          {change(text, "P-256", "P-384"), "P-256"},
		"names in caps":  {change(text, `"kty"`, `"KTY"`), "P-256"},
		"off the curve":  {`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("x", 32)) + `","y":"` + b64(strings.Repeat("x", 32)) + `"}`, "curve"},
		"y is missing":   {`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("x", 32)) + `"}`, "32 bytes"},
		"with a newline": {`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("x", 32))[:42] + `\n","y":""}`, "32 bytes"},
	} {
		if k, err := dpop.ParseJWK([]byte(c.text)); k != nil || !errors.Is(err, dpop.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: ParseJWK() = %v, %v; want an error that says %q", name, k, err, c.says)
		}
	}
}

func TestSign_refusesAnotherCurve(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dpop.Sign(k, dpop.Claims{}); err == nil {
		t.Error("Sign() with P-384 = nil, want an error")
	}
	defer func() {
		if recover() == nil {
			t.Error("Thumbprint() of P-384 returns, want a panic")
		}
	}()
	dpop.Thumbprint(&k.PublicKey)
}

func FuzzParse(f *testing.F) {
	f.Add(header("", ""), payload("", ""))
	f.Add(header(`"alg"`, `"kid":"1","x":[1,-2.5e+3,{"a":null},[],{}],"alg"`), payload(`"jti"`, `"exp":1.5,"jti"`))
	f.Add(header(`"alg"`, `"\u0061lg":"ES256","alg"`), payload("j1", `\ud83d\ude00`))
	f.Add(header(`{"crv"`, `{"d":"x","crv"`), payload(`1790000000`, `1e9`))
	// Both sides are signed: what is refused is refused for what it says. What is read
	// is what encoding/json and another implementation of JWS read.
	f.Fuzz(func(t *testing.T, head, claims string) {
		text := forge(head, claims)
		p, err := dpop.Parse(text)
		if err != nil {
			if !errors.Is(err, dpop.ErrInvalid) {
				t.Errorf("Parse() = %v, want ErrInvalid", err)
			}
			return
		}
		var h struct {
			Typ, Alg string
			JWK      map[string]any
		}
		var c struct {
			HTM, HTU, JTI, Nonce, ATH, BSH string
			IAT                            int64
		}
		if err := json.Unmarshal(exactly(head), &h); err != nil || h.Typ != "dpop+jwt" || h.Alg != "ES256" || h.JWK["d"] != nil || h.JWK["crv"] != "P-256" {
			t.Errorf("Parse() reads %s, %v", head, err)
		}
		if err := json.Unmarshal(exactly(claims), &c); err != nil || c.HTM != p.Method || c.HTU != p.URL || c.JTI != p.ID || c.Nonce != p.Nonce || c.ATH != p.TokenHash || c.BSH != p.BodyHash || c.IAT != p.IssuedAt.Unix() {
			t.Errorf("Parse() = %+v, want %+v, %v", p.Claims, c, err)
		}
		if _, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation()).Parse(text, func(*jwt.Token) (any, error) { return p.Key, nil }); err != nil {
			t.Errorf("Parse() reads %s, golang-jwt says %v", text, err)
		}
		if len(p.ID) == 0 || len(p.ID) > dpop.MaxID {
			t.Errorf("Parse() reads a jti of %d bytes", len(p.ID))
		}
	})
}

// exactly returns the object without members whose names differ from ours by case only,
// which encoding/json would take for ours.
func exactly(object string) []byte {
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(object), &all) != nil {
		return nil
	}
	for name := range all {
		if name != strings.ToLower(name) || !isASCII(name) {
			delete(all, name)
		}
	}
	out, _ := json.Marshal(all)
	return out
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > 127 {
			return false
		}
	}
	return true
}

func FuzzParseHeader(f *testing.F) {
	f.Add(good())
	f.Add(good() + ".x")
	f.Add("..")
	f.Add(strings.Repeat("A", dpop.MaxProof+1))
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := dpop.Parse(text); err == nil && (p.Key == nil || p.Thumbprint == "" || p.ID == "") {
			t.Errorf("Parse(%q) = %+v, want a whole proof", text, p)
		}
	})
}

func FuzzParseJWK(f *testing.F) {
	f.Add([]byte(dpop.JWK(&key().PublicKey)))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"","y":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := dpop.ParseJWK(text)
		if err != nil {
			return
		}
		if again, err := dpop.ParseJWK(dpop.JWK(k)); err != nil || !again.Equal(k) || !json.Valid(text) {
			t.Errorf("ParseJWK(%s) reads what encoding/json does not, or not twice: %v", text, err)
		}
	})
}

// The key in its usual encoding (RFC 5480) ends with the same point.
func TestJWK_holdsThePoint(t *testing.T) {
	der, err := x509.MarshalPKIXPublicKey(&key().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var k struct{ X, Y []byte }
	var raw struct{ X, Y string }
	if err := json.Unmarshal(dpop.JWK(&key().PublicKey), &raw); err != nil {
		t.Fatal(err)
	}
	k.X, _ = base64.RawURLEncoding.DecodeString(raw.X)
	k.Y, _ = base64.RawURLEncoding.DecodeString(raw.Y)
	if !strings.HasSuffix(string(der), string(k.X)+string(k.Y)) {
		t.Errorf("JWK() = %+v, want the end of %x", raw, der)
	}
}
