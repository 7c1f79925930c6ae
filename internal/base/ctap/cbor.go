package ctap

import (
	"bytes"
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// Limits of what is read.
const (
	MaxMessage    = 7609 // bytes of one request, as in CTAP 2.1 §11.2.4 for the HID transport
	MaxList       = 128  // entries of a list
	MaxName       = 1024 // bytes of a name of a website or a person
	MaxRPID       = 253  // bytes of an RP ID
	MaxUserID     = 64   // bytes of a user handle (WebAuthn L3 §5.4.3)
	MaxID         = 1023 // bytes of a credential ID (WebAuthn L3 §4)
	maxDepth      = 4    // CTAP 2.1 §8
	maxPairs      = 32
	maxTypeLength = 32
)

// encMode writes and decMode reads the CTAP2 canonical CBOR encoding form (CTAP 2.1 §8).
//
// constant: modes do not change.
var (
	encMode = must(cbor.CTAP2EncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  MaxList,
		MaxMapPairs:       maxPairs,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MapKeyByteString:  cbor.MapKeyByteStringAllowed,
		NaN:               cbor.NaNDecodeForbidden,
		Inf:               cbor.InfDecodeForbidden,
		SimpleValues: must(cbor.NewSimpleValueRegistryFromDefaults(
			cbor.WithRejectedSimpleValue(22), cbor.WithRejectedSimpleValue(23))), // null, undefined
	}.DecMode())
)

// must is for options that are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// encode writes v. What is encoded here are our own types, which always can be.
func encode(v any) []byte { return must(encMode.Marshal(v)) }

// decode reads body, which must be one item in canonical form, into the wire struct v.
// Members that v does not have are passed over (CTAP 2.1 §6.1).
func decode(body []byte, v any) error {
	if len(body) > MaxMessage {
		return Refuse(RequestTooLarge, "the request is too large")
	}
	var whole any
	if err := decMode.Unmarshal(body, &whole); err != nil {
		return refuseCBOR(err)
	}
	again, err := encMode.Marshal(whole)
	if err != nil || !bytes.Equal(again, body) {
		return Refuse(InvalidCBOR, "the request is not in canonical form")
	}
	if err := decMode.Unmarshal(body, v); err != nil {
		return refuseCBOR(err)
	}
	return nil
}

func refuseCBOR(err error) error {
	var kind *cbor.UnmarshalTypeError
	var array *cbor.MaxArrayElementsError
	var pairs *cbor.MaxMapPairsError
	switch {
	case errors.As(err, &kind):
		return Refuse(CBORUnexpectedType, "a member of the request has another type")
	case errors.As(err, &array), errors.As(err, &pairs):
		return Refuse(LimitExceeded, "a list in the request is too long")
	default:
		return Refuse(InvalidCBOR, "the request is not valid CBOR")
	}
}
