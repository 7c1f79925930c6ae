package ctap

import "github.com/fxamacker/cbor/v2"

// InfoOptions says what differs between answers to authenticatorGetInfo. UV is nil where
// no verification but the PIN can be had, else whether it is set up. PINLess says that a
// credential may be made without verification.
type InfoOptions struct {
	PINSet       bool
	UV           *bool
	PINLess      bool
	MinPINLength int
}

// Info is what authenticatorGetInfo answers (CTAP 2.1 §6.4).
type Info struct {
	Versions     []string        `json:"versions"`
	Extensions   []string        `json:"extensions"`
	AAGUID       string          `json:"aaguid"`
	Options      map[string]bool `json:"options"`
	MaxMsgSize   int             `json:"max_msg_size"`
	PINProtocols []int           `json:"pin_uv_auth_protocols"`
	MaxList      int             `json:"max_credential_count_in_list"`
	MaxID        int             `json:"max_credential_id_length"`
	Transports   []string        `json:"transports"`
	Algorithms   []Algorithm     `json:"algorithms"`
	MinPINLength int             `json:"min_pin_length"`
	Firmware     int             `json:"firmware_version"`
}

// firmware is raised with what this package can do.
const firmware = 1

// Transports returns how a website may reach Keyhold (WebAuthn L3 §5.8.4): through another
// device, and by a card that is tapped.
func Transports() []string { return []string{"hybrid", "nfc"} }

// GetInfo returns what the authenticator can do.
func GetInfo(o InfoOptions) Info {
	options := map[string]bool{
		"plat":             false,
		"rk":               true,
		"up":               true,
		"clientPin":        o.PINSet,
		"makeCredUvNotRqd": o.PINLess,
	}
	if o.UV != nil {
		options["uv"] = *o.UV
	}
	return Info{
		Versions:     []string{"FIDO_2_0", "FIDO_2_1"},
		Extensions:   []string{"credProtect", "hmac-secret"},
		AAGUID:       AAGUIDText,
		Options:      options,
		MaxMsgSize:   MaxMessage,
		PINProtocols: []int{int(PINProtocolTwo), int(PINProtocolOne)},
		MaxList:      MaxList,
		MaxID:        MaxID,
		Transports:   Transports(),
		Algorithms:   Algorithms(),
		MinPINLength: max(o.MinPINLength, 4),
		Firmware:     firmware,
	}
}

// Encode returns the answer as a CTAP transport sends it, without the status byte.
func (i Info) Encode() []byte {
	type algorithm struct {
		Algorithm Algorithm `cbor:"alg"`
		Type      string    `cbor:"type"`
	}
	list := make([]algorithm, len(i.Algorithms))
	for n, a := range i.Algorithms {
		list[n] = algorithm{a, PublicKey}
	}
	return encode(struct {
		Versions     []string        `cbor:"1,keyasint"`
		Extensions   []string        `cbor:"2,keyasint"`
		AAGUID       cbor.ByteString `cbor:"3,keyasint"`
		Options      map[string]bool `cbor:"4,keyasint"`
		MaxMsgSize   int             `cbor:"5,keyasint"`
		PINProtocols []int           `cbor:"6,keyasint"`
		MaxList      int             `cbor:"7,keyasint"`
		MaxID        int             `cbor:"8,keyasint"`
		Transports   []string        `cbor:"9,keyasint"`
		Algorithms   []algorithm     `cbor:"10,keyasint"`
		MinPINLength int             `cbor:"13,keyasint"`
		Firmware     int             `cbor:"14,keyasint"`
	}{
		i.Versions, i.Extensions, cbor.ByteString(AAGUID[:]), i.Options, i.MaxMsgSize, i.PINProtocols, i.MaxList, i.MaxID,
		i.Transports, list, i.MinPINLength, i.Firmware,
	})
}
