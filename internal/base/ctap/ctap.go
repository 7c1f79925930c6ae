// Package ctap is the core of a FIDO2 authenticator (CTAP 2.1): it reads and writes
// requests and answers, decides which credential fits and what an answer reveals, makes
// credentials and signs. It does no I/O and knows nothing of cards, PINs, people and how
// credentials are kept: whoever calls it says whether the holder was verified.
package ctap

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// AAGUID names Keyhold as a model of authenticator (WebAuthn L3 §6.5.1). It was drawn at
// random, once.
//
// constant: never written to.
var AAGUID = [16]byte{0x57, 0x7b, 0xf2, 0xf9, 0xa6, 0x39, 0x72, 0x03, 0x3c, 0x5c, 0xc9, 0xd3, 0x5f, 0x7a, 0xfd, 0xf8}

// AAGUIDText is the AAGUID as metadata services and relying parties write it.
const AAGUIDText = "577bf2f9-a639-7203-3c5c-c9d35f7afdf8"

// IDSize is the length of a credential ID that is made here, in bytes.
const IDSize = 32

// hashSize is the length of a client data hash.
const hashSize = sha256.Size

// RP is a website as it names itself.
type RP struct{ ID, Name string }

// User is an account at a website. ID is the user handle, which holds nothing that tells
// who it is.
type User struct {
	ID                []byte
	Name, DisplayName string
}

// PublicKey is the type of every credential (WebAuthn L3 §5.8.2).
const PublicKey = "public-key"

// Descriptor names a credential. One of another type than PublicKey matches nothing.
type Descriptor struct {
	Type string
	ID   []byte
}

// names says whether one of the descriptors names the credential with this ID.
func names(list []Descriptor, id []byte) bool {
	return slices.ContainsFunc(list, func(d Descriptor) bool { return d.Type == PublicKey && slices.Equal(d.ID, id) })
}

// Protection says when a credential may be found (credProtect, CTAP 2.1 §12.1). The zero
// value is not set and acts as Optional.
type Protection int

// The levels of protection.
const (
	Optional         Protection = 1 // userVerificationOptional
	OptionalWithList Protection = 2 // userVerificationOptionalWithCredentialIDList
	Required         Protection = 3 // userVerificationRequired
)

// hides says whether a credential with p is not to be found: listed says whether the
// website named it.
func (p Protection) hides(listed, uv bool) bool {
	return !uv && (p == Required || p == OptionalWithList && !listed)
}

// Flags are the flags of authenticator data (WebAuthn L3 §6.1).
type Flags byte

// The flags.
const (
	UP Flags = 1 << 0 // the user is present
	UV Flags = 1 << 2 // the user is verified
	BE Flags = 1 << 3 // the credential may be backed up
	BS Flags = 1 << 4 // the credential is backed up
	AT Flags = 1 << 6 // attested credential data follow
	ED Flags = 1 << 7 // extension outputs follow
)

// flags returns those of every answer: credentials are kept in a database that is backed
// up, which is so from their making on.
func flags(up, uv bool) Flags {
	f := BE | BS
	if up {
		f |= UP
	}
	if uv {
		f |= UV
	}
	return f
}

// Credential is one public key credential source (WebAuthn L3 §4) with what belongs to
// it. ID is at most MaxID bytes, IDSize if it was made here; Public is the COSE_Key of
// Private. Secret is CredRandomWithoutUV ‖ CredRandomWithUV of hmac-secret (CTAP 2.1
// §12.5), 32 bytes each; it is made for every credential, whether asked for or not.
type Credential struct {
	ID           []byte
	RPID         string
	User         User
	Algorithm    Algorithm
	Public       []byte
	Private      Key
	Discoverable bool
	Protect      Protection
	HMACSecret   bool
	Secret       secret.Bytes
}

// authData returns authenticator data (WebAuthn L3 §6.1). The signature counter is always
// 0: a credential is used from several machines. attested and extensions may be nil.
func authData(rpID string, f Flags, attested, extensions []byte) []byte {
	hash := sha256.Sum256([]byte(rpID))
	if len(attested) > 0 {
		f |= AT
	}
	if len(extensions) > 0 {
		f |= ED
	}
	data := make([]byte, 0, len(hash)+5+len(attested)+len(extensions))
	data = append(data, hash[:]...)
	data = append(data, byte(f), 0, 0, 0, 0)
	return append(append(data, attested...), extensions...)
}

// attestedData returns attested credential data (WebAuthn L3 §6.5.1).
func attestedData(aaguid [16]byte, id, cose []byte) []byte {
	data := slices.Clone(aaguid[:])
	data = binary.BigEndian.AppendUint16(data, uint16(len(id)))
	return slices.Concat(data, id, cose)
}
