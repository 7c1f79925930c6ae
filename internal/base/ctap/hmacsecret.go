package ctap

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"

	"github.com/keyhold/keyhold/internal/base/secret"
)

const (
	secretSize = 32 // bytes of one CredRandom, and of what comes out
	saltSize   = 32
)

// PRF returns what c's secret makes of a salt of 32 bytes, as hmac-secret has it (CTAP 2.1
// §12.5): HMAC-SHA-256 with the half of the secret that belongs to uv. A credential
// without a secret is of before and gives nil.
func (c Credential) PRF(salt []byte, uv bool) []byte {
	random := c.Secret.Expose()
	if len(random) != 2*secretSize || len(salt) != saltSize {
		return nil
	}
	half := random[:secretSize]
	if uv {
		half = random[secretSize:]
	}
	mac := hmac.New(sha256.New, half)
	mac.Write(salt)
	return mac.Sum(nil)
}

// PINProtocol is a version of the PIN/UV auth protocol (CTAP 2.1 §6.5.4).
type PINProtocol int

// The protocols.
const (
	PINProtocolOne PINProtocol = 1 // §6.5.6
	PINProtocolTwo PINProtocol = 2 // §6.5.7
)

// Agreement is the authenticator's end of a key agreement with a platform: one ephemeral
// P-256 key, for as long as it is kept. The zero value can do nothing.
type Agreement struct{ key *ecdh.PrivateKey }

// NewAgreement makes one at random.
func NewAgreement() (Agreement, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return Agreement{}, fmt.Errorf("making a key: %w", err)
	}
	return Agreement{key}, nil
}

// ParseAgreement returns the Agreement whose Scalar was raw.
func ParseAgreement(raw secret.Bytes) (Agreement, error) {
	key, err := ecdh.P256().NewPrivateKey(raw.Expose())
	if err != nil {
		return Agreement{}, fmt.Errorf("reading a key: %w", err)
	}
	return Agreement{key}, nil
}

// Scalar returns the form that ParseAgreement reads.
func (a Agreement) Scalar() secret.Bytes {
	if a.key == nil {
		return secret.Bytes{}
	}
	return secret.New(a.key.Bytes())
}

// Format prints nothing of the key.
func (Agreement) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt has nowhere to return it

// agreementCOSE begins a COSE_Key for key agreement: kty EC2, alg ECDH-ES+HKDF-256, which
// it is not but says (§6.5.6), crv P-256.
//
// constant: never written to.
var agreementCOSE = []byte{0xa5, 0x01, 0x02, 0x03, 0x38, 0x18, 0x20, 0x01, 0x21, 0x58, coordinate}

// COSE returns the public half, as the platform is told it, or nil for the zero Agreement.
func (a Agreement) COSE() []byte {
	if a.key == nil {
		return nil
	}
	point := a.key.PublicKey().Bytes()[1:]
	return slices.Concat(agreementCOSE, point[:coordinate], coseY, point[coordinate:])
}

// Shared is the secret that both ends of an agreement have. It does not print.
type Shared struct {
	protocol   PINProtocol
	mac, block secret.Bytes
}

// Format prints nothing of the secret.
func (Shared) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt has nowhere to return it

// Agree returns what is shared with the platform that has the public key peer, a COSE_Key
// (§6.5.6 and §6.5.7). It refuses with InvalidParameter what is no such key or protocol.
func (a Agreement) Agree(peer []byte, p PINProtocol) (Shared, error) {
	refused := Refuse(InvalidParameter, "there is no such key agreement")
	rest, ok := bytes.CutPrefix(peer, agreementCOSE)
	if !ok || len(rest) != 2*coordinate+len(coseY) || !bytes.HasPrefix(rest[coordinate:], coseY) || a.key == nil {
		return Shared{}, refused
	}
	public, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{uncompressed}, rest[:coordinate], rest[coordinate+len(coseY):]))
	if err != nil {
		return Shared{}, refused
	}
	z, err := a.key.ECDH(public)
	if err != nil {
		return Shared{}, refused
	}
	switch p {
	case PINProtocolOne:
		key := sha256.Sum256(z)
		return Shared{p, secret.New(key[:]), secret.New(key[:])}, nil
	case PINProtocolTwo:
		zeros := make([]byte, sha256.Size)
		mac, err := hkdf.Key(sha256.New, z, zeros, "CTAP2 HMAC key", sha256.Size)
		if err != nil {
			return Shared{}, fmt.Errorf("deriving a key: %w", err)
		}
		block, err := hkdf.Key(sha256.New, z, zeros, "CTAP2 AES key", sha256.Size)
		if err != nil {
			return Shared{}, fmt.Errorf("deriving a key: %w", err)
		}
		return Shared{p, secret.New(mac), secret.New(block)}, nil
	default:
		return Shared{}, refused
	}
}

// Authenticate returns the code over message that the platform sends beside it.
func (s Shared) Authenticate(message []byte) []byte {
	mac := hmac.New(sha256.New, s.mac.Expose())
	mac.Write(message)
	if s.protocol == PINProtocolOne {
		return mac.Sum(nil)[:16]
	}
	return mac.Sum(nil)
}

// Verify says whether code is that over message, in a time that does not tell where it
// differs.
func (s Shared) Verify(message, code []byte) bool {
	return subtle.ConstantTimeCompare(s.Authenticate(message), code) == 1
}

// Encrypt returns plain, whole blocks of 16 bytes, encrypted with AES-256-CBC: with a zero
// IV for protocol one, with a random one before it for protocol two.
func (s Shared) Encrypt(plain []byte) ([]byte, error) {
	block, err := aes.NewCipher(s.block.Expose())
	if err != nil || len(plain)%aes.BlockSize != 0 {
		return nil, Refuse(InvalidLength, "what is encrypted is not in whole blocks")
	}
	iv := make([]byte, aes.BlockSize)
	if s.protocol == PINProtocolTwo {
		_, _ = rand.Read(iv) // it never fails
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
	if s.protocol == PINProtocolTwo {
		return slices.Concat(iv, out), nil
	}
	return out, nil
}

// Decrypt is the reverse of Encrypt.
func (s Shared) Decrypt(in []byte) ([]byte, error) {
	block, err := aes.NewCipher(s.block.Expose())
	iv := make([]byte, aes.BlockSize)
	if s.protocol == PINProtocolTwo && len(in) >= aes.BlockSize {
		iv, in = in[:aes.BlockSize], in[aes.BlockSize:]
	}
	if err != nil || len(in) == 0 || len(in)%aes.BlockSize != 0 {
		return nil, Refuse(InvalidLength, "what is encrypted is not in whole blocks")
	}
	out := make([]byte, len(in))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, in)
	return out, nil
}

// Answer returns the output of hmac-secret for c, encrypted for the platform (§12.5): one
// or two salts make as many outputs. It refuses with PINAuthInvalid salts that the
// platform did not authenticate.
func (a Agreement) Answer(in HMACSecretInput, c Credential, uv bool) ([]byte, error) {
	protocol := PINProtocol(in.Protocol)
	if protocol == 0 {
		protocol = PINProtocolOne // what says nothing is of CTAP 2.0
	}
	s, err := a.Agree(in.KeyAgreement, protocol)
	if err != nil {
		return nil, err
	}
	if !s.Verify(in.SaltEnc, in.SaltAuth) {
		return nil, Refuse(PINAuthInvalid, "the salts are not authenticated")
	}
	salts, err := s.Decrypt(in.SaltEnc)
	if err != nil {
		return nil, err
	}
	if len(salts) != saltSize && len(salts) != 2*saltSize {
		return nil, Refuse(InvalidLength, "there is not one salt, nor two")
	}
	var out []byte
	for salt := range slices.Chunk(salts, saltSize) {
		made := c.PRF(salt, uv)
		if made == nil {
			return nil, Refuse(InvalidCredential, "this credential has no secret")
		}
		out = append(out, made...)
	}
	return s.Encrypt(out)
}
