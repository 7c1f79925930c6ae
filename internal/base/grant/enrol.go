package grant

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/keyhold/keyhold/internal/base/cose"
)

// MaxEnrolment bounds the answer to an enrolment, in bytes.
const MaxEnrolment = 64 << 10

// SignEnrolment returns the answer to an enrolment, signed by the workspace's lock root.
func SignEnrolment(e Enrolment, root ed25519.PrivateKey) ([]byte, error) {
	e.Type = typeEnrolment
	return cose.Sign(root, encode(e), External(e.Lock))
}

// ReadEnrolment reads the answer to an enrolment of the lock. It is signed by the key
// whose SHA-256 the token holds, or the error is cose.ErrNotSigned.
func ReadEnrolment(answer []byte, lock string, rootDigest [sha256.Size]byte) (Enrolment, error) {
	var e Enrolment
	if len(answer) > MaxEnrolment {
		return e, ErrMalformed
	}
	payload, err := cose.Claimed(answer)
	if err != nil {
		return e, err
	}
	if err := Read(payload, &e); err != nil {
		return Enrolment{}, err
	}
	digest := RootDigest(e.Root)
	if subtle.ConstantTimeCompare(digest[:], rootDigest[:]) != 1 {
		return Enrolment{}, cose.ErrNotSigned
	}
	if payload, err = cose.Verify(answer, External(lock), ed25519.PublicKey(e.Root)); err != nil {
		return Enrolment{}, err
	}
	var out Enrolment
	if err := readAbout(payload, typeEnrolment, lock, &out); err != nil {
		return Enrolment{}, err
	}
	return out, nil
}

// RootDigest returns what an enrolment's token holds of the lock root's public key.
func RootDigest(root ed25519.PublicKey) [sha256.Size]byte { return sha256.Sum256(root) }
