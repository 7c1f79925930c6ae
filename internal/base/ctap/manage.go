package ctap

import (
	"crypto/sha256"

	"github.com/fxamacker/cbor/v2"
)

// CredsMetadata returns the answer to getCredsMetadata (CTAP 2.1 §6.8.2): how many
// discoverable credentials there are, and how many more there may be.
func CredsMetadata(existing, remaining int) []byte {
	return encode(struct {
		Existing  int `cbor:"1,keyasint"`
		Remaining int `cbor:"2,keyasint"`
	}{existing, remaining})
}

// EnumeratedRP returns an answer to enumerateRPs (§6.8.3). total is said in the first
// answer only, and 0 in the next ones.
func EnumeratedRP(rp RP, total int) []byte {
	hash := sha256.Sum256([]byte(rp.ID))
	return encode(struct {
		RP    rpWire `cbor:"3,keyasint"`
		Hash  []byte `cbor:"4,keyasint"`
		Total int    `cbor:"5,keyasint,omitempty"`
	}{rpWire(rp), hash[:], total})
}

// EnumeratedCredential returns an answer to enumerateCredentials (§6.8.4). total is said in
// the first answer only, and 0 in the next ones.
func EnumeratedCredential(c Credential, total int) []byte {
	return encode(struct {
		User       userWire        `cbor:"6,keyasint"`
		Credential descriptorWire  `cbor:"7,keyasint"`
		Public     cbor.RawMessage `cbor:"8,keyasint"`
		Total      int             `cbor:"9,keyasint,omitempty"`
		Protect    Protection      `cbor:"10,keyasint"`
	}{
		User:       userWire{ID: cbor.ByteString(c.User.ID), Name: c.User.Name, DisplayName: c.User.DisplayName},
		Credential: descriptorWire{ID: new(cbor.ByteString(c.ID)), Type: new(PublicKey)},
		Public:     c.Public,
		Total:      total,
		Protect:    max(c.Protect, Optional),
	})
}
