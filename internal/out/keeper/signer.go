package keeper

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"sync/atomic"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// signerLabel binds the derived key to its one use.
const signerLabel = "keyhold/checkpoint/v1"

// Signer signs with keys derived from the key file's peppers: as long as the file
// is the same, so are they, and the file holds no more than before. It is safe for
// use by several goroutines.
type Signer struct{ now atomic.Pointer[signing] }

// signing is what a Signer signs with, and the public keys of all peppers that are or
// were in the file.
type signing struct {
	current ed25519.PrivateKey
	known   []ed25519.PublicKey
}

func newSigning(peppers []secret.Bytes, former []ed25519.PublicKey) (signing, error) {
	var s signing
	for i, p := range peppers {
		private, err := derive(p)
		if err != nil {
			return signing{}, err
		}
		if i == 0 {
			s.current = private
		}
		s.known = append(s.known, publicKey(private))
	}
	s.known = append(s.known, former...)
	return s, nil
}

func derive(pepper secret.Bytes) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, pepper.Expose(), nil, signerLabel, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func publicKey(private ed25519.PrivateKey) ed25519.PublicKey {
	return private.Public().(ed25519.PublicKey) //nolint:errcheck // an Ed25519 key's public half is one
}

// PublicKey returns the key by which what Sign makes is checked.
func (s *Signer) PublicKey() ed25519.PublicKey { return publicKey(s.now.Load().current) }

// Knows says whether a public key belongs to a pepper that is or was in the file.
func (s *Signer) Knows(key ed25519.PublicKey) bool {
	for _, k := range s.now.Load().known {
		if k.Equal(key) {
			return true
		}
	}
	return false
}

// Sign returns the Ed25519 signature of a message (RFC 8032).
func (s *Signer) Sign(message []byte) []byte { return ed25519.Sign(s.now.Load().current, message) }
