package keeper

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// signerLabel binds the derived key to its one use.
const signerLabel = "keyhold/checkpoint/v1"

// Signer signs with keys derived from the key file's peppers: as long as the file
// is the same, so are they, and the file holds no more than before. It is safe for
// use by several goroutines.
type Signer struct {
	current ed25519.PrivateKey
	known   []ed25519.PublicKey // of all peppers in the file
}

func newSigner(peppers []secret.Bytes) (*Signer, error) {
	s := &Signer{}
	for i, p := range peppers {
		seed, err := hkdf.Key(sha256.New, p.Expose(), nil, signerLabel, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		private := ed25519.NewKeyFromSeed(seed)
		if i == 0 {
			s.current = private
		}
		s.known = append(s.known, private.Public().(ed25519.PublicKey)) //nolint:errcheck // an Ed25519 key's public half is one
	}
	return s, nil
}

// PublicKey returns the key by which what Sign makes is checked.
func (s *Signer) PublicKey() ed25519.PublicKey {
	return s.current.Public().(ed25519.PublicKey) //nolint:errcheck // see above
}

// Knows says whether a public key belongs to a pepper of the file.
func (s *Signer) Knows(key ed25519.PublicKey) bool {
	for _, k := range s.known {
		if k.Equal(key) {
			return true
		}
	}
	return false
}

// Sign returns the Ed25519 signature of a message (RFC 8032).
func (s *Signer) Sign(message []byte) []byte { return ed25519.Sign(s.current, message) }
