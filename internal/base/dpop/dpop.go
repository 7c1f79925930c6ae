// Package dpop is how a client proves itself with every request: a JWT that is signed
// for that very request by a key that never leaves the client (DPoP, RFC 9449). Beyond
// the RFC a proof holds bsh, the hash of the request's body.
//
// It knows what a proof says and whether that fits a request. It does not know which
// keys are enrolled, nor which proofs were seen before: whoever asks compares Thumbprint
// and spends ID.
package dpop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Limits, in bytes.
const (
	MaxProof = 4 << 10
	MaxJWK   = 1 << 10
	MaxID    = 128
)

// ErrInvalid is what every error of Parse and ParseJWK wraps. Their texts say what is
// wrong, for logs; the one who sent it is not told.
var ErrInvalid = errors.New("dpop: not a proof")

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalid, why) }

// Claims is what a proof says of its request.
type Claims struct {
	Method    string    // htm
	URL       string    // htu
	IssuedAt  time.Time // iat, in whole seconds
	ID        string    // jti: 1 to MaxID printable ASCII characters, no spaces
	Nonce     string    // nonce, empty if there is none
	TokenHash string    // ath: TokenHash of the token
	BodyHash  string    // bsh: BodyHash of the body
}

// Proof is a proof whose signature is right. Nobody has said yet that its key is known.
type Proof struct {
	Claims
	Key        *ecdsa.PublicKey
	Thumbprint string // of Key
}

const (
	typ = "dpop+jwt"
	alg = "ES256"
	kty = "EC"
	crv = "P-256"
)

// coordinate is the size of x and of y, in bytes.
const coordinate = 32

// encoded32 is the length of 32 bytes in base64url.
const encoded32 = 43

// strict is base64url without padding and without bits that mean nothing.
//
// constant: an encoding.
var strict = base64.RawURLEncoding.Strict()

// Parse reads the value of a DPoP header and verifies its signature with the key that it
// holds (RFC 9449 §4.3, steps 1 to 7). All claims but the nonce are there. A proof is read
// more strictly than the RFC asks: a JSON member stands once, iat is an integer, and the
// header says nothing that would change what is signed or by which key.
func Parse(header string) (Proof, error) {
	if len(header) > MaxProof {
		return Proof{}, invalid("too long")
	}
	head, rest, _ := strings.Cut(header, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if head == "" || payload == "" || signature == "" {
		return Proof{}, invalid("not three parts")
	}
	sum, ok := decode(signature) // a dot, as of a fourth part, is not base64url
	if !ok {
		return Proof{}, invalid("signature is not base64url")
	}
	text, ok := decode(head)
	if !ok {
		return Proof{}, invalid("header is not base64url")
	}
	point, err := readHeader(string(text))
	if err != nil {
		return Proof{}, err
	}
	if text, ok = decode(payload); !ok {
		return Proof{}, invalid("claims are not base64url")
	}
	var p Proof
	if p.Claims, err = readClaims(string(text)); err != nil {
		return Proof{}, err
	}
	if p.Key, err = point.key(); err != nil {
		return Proof{}, err
	}
	p.Thumbprint = point.thumbprint()
	if err := jwt.SigningMethodES256.Verify(header[:len(head)+1+len(payload)], sum, p.Key); err != nil {
		return Proof{}, invalid("signature is wrong")
	}
	return p, nil
}

// decode decodes base64url. The standard library skips line breaks; here there are none.
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	out, err := strict.DecodeString(s)
	return out, err == nil
}

// decode32 decodes 32 bytes into out.
func decode32(out []byte, s string) bool {
	var in [encoded32]byte
	if len(s) != encoded32 || strings.ContainsAny(s, "\r\n") {
		return false
	}
	copy(in[:], s)
	n, err := strict.Decode(out, in[:])
	return err == nil && n == 32
}

// readHeader reads the JOSE header.
func readHeader(text string) (jwk, error) {
	var theTyp, theAlg string
	var key jwk
	var why error
	found := false
	ok := read(text, func(r *reader, name string) (ok bool) {
		switch name {
		case "typ":
			theTyp, ok = r.str()
		case "alg":
			theAlg, ok = r.str()
		case "jwk":
			found = true
			key, ok = r.jwk()
		case "crit", "b64", "zip", "enc", "jku", "x5u", "x5c":
			why = invalid("header holds " + name) // how it is signed, or another key
		default:
			ok = r.skip() // RFC 7515 §4: what is not understood is ignored
		}
		return ok
	})
	switch {
	case why != nil:
		return jwk{}, why
	case !ok:
		return jwk{}, invalid("header is malformed")
	case theTyp != typ:
		return jwk{}, invalid("typ is not " + typ)
	case theAlg != alg:
		return jwk{}, invalid("alg is not " + alg)
	case !found:
		return jwk{}, invalid("no jwk")
	}
	return key, nil
}

// readClaims reads the payload.
func readClaims(text string) (Claims, error) {
	var c Claims
	var seconds int64
	ok := read(text, func(r *reader, name string) (ok bool) {
		switch name {
		case "htm":
			c.Method, ok = r.str()
		case "htu":
			c.URL, ok = r.str()
		case "iat":
			seconds, ok = r.integer()
		case "jti":
			c.ID, ok = r.str()
		case "nonce":
			c.Nonce, ok = r.str()
		case "ath":
			c.TokenHash, ok = r.str()
		case "bsh":
			c.BodyHash, ok = r.str()
		default:
			ok = r.skip() // RFC 7519 §4: likewise
		}
		return ok
	})
	switch {
	case !ok:
		return Claims{}, invalid("claims are malformed")
	case c.Method == "":
		return Claims{}, invalid("no htm")
	case c.URL == "":
		return Claims{}, invalid("no htu")
	case seconds == 0:
		return Claims{}, invalid("no iat")
	case c.TokenHash == "":
		return Claims{}, invalid("no ath")
	case c.BodyHash == "":
		return Claims{}, invalid("no bsh")
	case !isID(c.ID):
		return Claims{}, invalid("no jti of 1 to 128 printable characters")
	}
	c.IssuedAt = time.Unix(seconds, 0).UTC()
	return c, nil
}

func isID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= MaxID
}

// jwk is a public key as it was written.
type jwk struct{ kty, crv, x, y string }

// ParseJWK reads the public key of a client: a JWK (RFC 7517) of at most MaxJWK bytes, a
// point on P-256 without its private half.
func ParseJWK(raw []byte) (*ecdsa.PublicKey, error) {
	if len(raw) > MaxJWK {
		return nil, invalid("jwk is too long")
	}
	if !utf8.Valid(raw) {
		return nil, invalid("jwk is not UTF-8")
	}
	r := reader{text: string(raw)}
	k, ok := r.jwk()
	if !ok || !r.ended() {
		return nil, invalid("jwk is malformed")
	}
	return k.key()
}

// jwk reads a JWK. It refuses one that tells a private or a symmetric key: whoever
// shows that has lost it.
func (r *reader) jwk() (jwk, bool) {
	var k jwk
	ok := r.object(func(r *reader, name string) (ok bool) {
		switch name {
		case "kty":
			k.kty, ok = r.str()
		case "crv":
			k.crv, ok = r.str()
		case "x":
			k.x, ok = r.str()
		case "y":
			k.y, ok = r.str()
		case "d", "k", "p", "q", "dp", "dq", "qi", "oth":
			return false
		default:
			ok = r.skip() // RFC 7517 §4: likewise. Browsers export ext and key_ops.
		}
		return ok
	})
	return k, ok
}

// key returns the key, or an error unless it is a point on P-256.
func (k jwk) key() (*ecdsa.PublicKey, error) {
	if k.kty != kty || k.crv != crv {
		return nil, invalid("jwk is not on " + crv)
	}
	const uncompressed = 4 // SEC 1 §2.3.3
	point := [1 + 2*coordinate]byte{uncompressed}
	if !decode32(point[1:1+coordinate], k.x) || !decode32(point[1+coordinate:], k.y) {
		return nil, invalid("jwk has no x and y of 32 bytes")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point[:])
	if err != nil {
		return nil, invalid("jwk is not on the curve")
	}
	return key, nil
}

// text returns the members that RFC 7638 §3.2 names, in its order. The values of a key
// that key has read need no escapes.
func (k jwk) text() []byte {
	return []byte(`{"crv":"` + crv + `","kty":"` + kty + `","x":"` + k.x + `","y":"` + k.y + `"}`)
}

func (k jwk) thumbprint() string { return hash(k.text()) }

// of returns a key as it is written. It panics if the key is not on P-256.
func of(key *ecdsa.PublicKey) jwk {
	point, err := key.Bytes()
	if err != nil || len(point) != 1+2*coordinate || key.Curve != elliptic.P256() {
		panic("dpop: a key that is not on P-256")
	}
	return jwk{kty, crv, strict.EncodeToString(point[1 : 1+coordinate]), strict.EncodeToString(point[1+coordinate:])}
}

// Thumbprint returns the key's name, base64url without padding (RFC 7638). It panics if
// the key is not on P-256.
func Thumbprint(key *ecdsa.PublicKey) string { return of(key).thumbprint() }

// JWK returns the key as ParseJWK reads it. It panics if the key is not on P-256.
func JWK(key *ecdsa.PublicKey) json.RawMessage { return of(key).text() }

// TokenHash returns what ath holds for a token (RFC 9449 §4.2).
func TokenHash(token string) string { return hash([]byte(token)) }

// BodyHash returns what bsh holds for a request's body, which may be empty.
func BodyHash(body []byte) string { return hash(body) }

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	var out [encoded32]byte
	strict.Encode(out[:], sum[:])
	return string(out[:])
}

// Sign returns a proof of the claims for the DPoP header, signed by the key, which is on
// P-256. An empty nonce is left out.
func Sign(key *ecdsa.PrivateKey, c Claims) (string, error) {
	if key.Curve != elliptic.P256() {
		return "", errors.New("dpop: signing with a key that is not on P-256")
	}
	head := `{"typ":"` + typ + `","alg":"` + alg + `","jwk":` + string(of(&key.PublicKey).text()) + `}`
	payload, err := json.Marshal(struct {
		Method    string `json:"htm"`
		URL       string `json:"htu"`
		IssuedAt  int64  `json:"iat"`
		ID        string `json:"jti"`
		Nonce     string `json:"nonce,omitempty"`
		TokenHash string `json:"ath"`
		BodyHash  string `json:"bsh"`
	}{c.Method, c.URL, c.IssuedAt.Unix(), c.ID, c.Nonce, c.TokenHash, c.BodyHash})
	if err != nil {
		return "", fmt.Errorf("dpop: signing: %w", err)
	}
	text := strict.EncodeToString([]byte(head)) + "." + strict.EncodeToString(payload)
	signature, err := jwt.SigningMethodES256.Sign(text, key)
	if err != nil {
		return "", fmt.Errorf("dpop: signing: %w", err)
	}
	return text + "." + strict.EncodeToString(signature), nil
}
