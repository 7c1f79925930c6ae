package ctap

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// Algorithm is a COSE algorithm (RFC 9053). The zero value is none.
type Algorithm int64

// The algorithms that a credential can have here.
const (
	ES256 Algorithm = -7 // ECDSA on P-256 with SHA-256
	EdDSA Algorithm = -8 // Ed25519
)

// Algorithms returns the supported algorithms, the preferred one first.
func Algorithms() []Algorithm { return []Algorithm{ES256, EdDSA} }

// Supported says whether a credential can be made with a.
func (a Algorithm) Supported() bool { return a == ES256 || a == EdDSA }

// String returns the name in the COSE registry.
func (a Algorithm) String() string {
	switch a {
	case ES256:
		return "ES256"
	case EdDSA:
		return "EdDSA"
	default:
		return fmt.Sprintf("COSE %d", int64(a))
	}
}

// Lengths of keys in bytes.
const (
	coordinate   = 32
	rawES256     = 3 * coordinate // scalar, x, y
	rawEdDSA     = ed25519.PrivateKeySize
	uncompressed = 4
)

// redacted stands for what does not print.
const redacted = "[redacted]"

// errKey is in the error for what is no key.
var errKey = errors.New("this is no private key of a credential")

// Key is a credential's private key, with its public half. It does not print. The zero
// value can do nothing.
type Key struct {
	algorithm Algorithm
	raw       secret.Bytes
}

// NewKey makes a key at random. It returns an UnsupportedAlgorithm Error for an algorithm
// that is not supported.
func NewKey(a Algorithm) (Key, error) {
	switch a {
	case ES256:
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return Key{}, fmt.Errorf("making a key: %w", err)
		}
		return fromECDSA(made)
	case EdDSA:
		_, made, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return Key{}, fmt.Errorf("making a key: %w", err)
		}
		return Key{EdDSA, secret.New(made)}, nil
	default:
		return Key{}, Refuse(UnsupportedAlgorithm, a.String()+" is not supported")
	}
}

func fromECDSA(k *ecdsa.PrivateKey) (Key, error) {
	scalar, err := k.Bytes()
	if err != nil {
		return Key{}, fmt.Errorf("writing a key: %w", err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		return Key{}, fmt.Errorf("writing a key: %w", err)
	}
	return Key{ES256, secret.New(slices.Concat(scalar, point[1:]))}, nil
}

// ParseKey returns the key whose Raw was raw. The public half stands beside the private
// one, so that none is computed for each assertion; whoever keeps raw vouches for it as a
// whole, by sealing it in one piece. What cannot be a key is an error.
func ParseKey(a Algorithm, raw secret.Bytes) (Key, error) {
	switch b := raw.Expose(); {
	case a == ES256 && len(b) == rawES256:
		k := Key{ES256, raw}
		if _, err := k.ecdsa(); err != nil {
			return Key{}, err
		}
		return k, nil
	case a == EdDSA && len(b) == rawEdDSA:
		return Key{EdDSA, raw}, nil
	default:
		return Key{}, errKey
	}
}

// Raw returns the form that ParseKey reads: for ES256 scalar, x and y of 32 bytes each,
// for EdDSA seed and public key.
func (k Key) Raw() secret.Bytes { return k.raw }

// Format prints nothing of the key. fmt does not ask a field that is not exported how it
// prints.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt has nowhere to return it

// Algorithm returns the key's algorithm.
func (k Key) Algorithm() Algorithm { return k.algorithm }

// COSE returns the public half as a COSE_Key in canonical CBOR (WebAuthn L3 §6.5.1.1), or
// nil for the zero Key.
func (k Key) COSE() []byte {
	raw := k.raw.Expose()
	switch k.algorithm {
	case ES256:
		return slices.Concat(coseES256, raw[coordinate:2*coordinate], coseY, raw[2*coordinate:])
	case EdDSA:
		return slices.Concat(coseEdDSA, raw[ed25519.SeedSize:])
	default:
		return nil
	}
}

// What stands before and between the coordinates of a COSE_Key (RFC 9053 §7).
//
// constant: never written to.
var (
	coseES256 = []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, coordinate} // kty EC2, alg ES256, crv P-256, x
	coseY     = []byte{0x22, 0x58, coordinate}
	coseEdDSA = []byte{0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, coordinate} // kty OKP, alg EdDSA, crv Ed25519, x
)

// PublicSPKI returns the DER SubjectPublicKeyInfo of a public key as COSE returns it.
func PublicSPKI(cose []byte) ([]byte, error) {
	if rest, ok := bytes.CutPrefix(cose, coseES256); ok && len(rest) == 2*coordinate+len(coseY) && bytes.HasPrefix(rest[coordinate:], coseY) {
		point := slices.Concat([]byte{uncompressed}, rest[:coordinate], rest[coordinate+len(coseY):])
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return nil, fmt.Errorf("reading a public key: %w", err)
		}
		return x509.MarshalPKIXPublicKey(public)
	}
	if rest, ok := bytes.CutPrefix(cose, coseEdDSA); ok && len(rest) == ed25519.PublicKeySize {
		return x509.MarshalPKIXPublicKey(ed25519.PublicKey(rest))
	}
	return nil, errors.New("this is no public key of a credential")
}

// ecdsa returns the key as crypto/ecdsa has it. It multiplies no point: that would cost a
// third of a signature. A public half of another key makes signatures that nobody accepts,
// and gives nothing away.
func (k Key) ecdsa() (*ecdsa.PrivateKey, error) {
	raw := k.raw.Expose()
	point := make([]byte, 1, 1+2*coordinate)
	point[0] = uncompressed
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, raw[coordinate:]...))
	if err != nil {
		return nil, errors.Join(errKey, err)
	}
	d := new(big.Int).SetBytes(raw[:coordinate])
	if d.Sign() == 0 || d.Cmp(elliptic.P256().Params().N) >= 0 {
		return nil, errKey
	}
	return &ecdsa.PrivateKey{PublicKey: *public, D: d}, nil //nolint:staticcheck // D is deprecated for who changes it later
}

// Sign returns the signature over message as WebAuthn has it (L3 §6.5.5): for ES256 ASN.1
// over its SHA-256, with the nonce of RFC 6979, for EdDSA the 64 bytes of RFC 8032.
func (k Key) Sign(message []byte) ([]byte, error) {
	switch k.algorithm {
	case ES256:
		private, err := k.ecdsa()
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(message)
		return private.Sign(nil, digest[:], crypto.SHA256)
	case EdDSA:
		return ed25519.Sign(k.raw.Expose(), message), nil
	default:
		return nil, errKey
	}
}
