// Package cose signs and verifies COSE_Sign1 messages (RFC 9052 §4.2) with Ed25519:
// what must hold at a door without the connection over which it came. It decides
// nothing about what is signed.
package cose

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/veraison/go-cose"
)

// MaxMessage bounds what is read as one message, in bytes.
const MaxMessage = 8 << 20

// ErrNotSigned is in the error for a message that none of the keys signed, or that is
// no message at all.
var ErrNotSigned = errors.New("this is not signed by a key that is trusted here")

// Sign returns payload as a tagged COSE_Sign1 message, signed with key over payload and
// external, which whoever verifies must bring along.
func Sign(key ed25519.PrivateKey, payload, external []byte) ([]byte, error) {
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, fmt.Errorf("making a signer: %w", err)
	}
	m := cose.NewSign1Message()
	m.Headers.Protected.SetAlgorithm(cose.AlgorithmEdDSA)
	m.Payload = payload
	if err := m.Sign(nil, external, signer); err != nil { // Ed25519 needs no randomness
		return nil, fmt.Errorf("signing: %w", err)
	}
	return m.MarshalCBOR()
}

// Verify returns the payload of a message that one of the keys signed, with external
// as Sign had it. Every other message is ErrNotSigned.
func Verify(message, external []byte, keys ...ed25519.PublicKey) ([]byte, error) {
	m, err := read(message)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			continue
		}
		verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, key)
		if err != nil {
			return nil, fmt.Errorf("making a verifier: %w", err)
		}
		if m.Verify(external, verifier) == nil {
			return m.Payload, nil
		}
	}
	return nil, ErrNotSigned
}

// Claimed returns the payload of a message without asking who signed it: whoever reads
// it knows by other means which key to verify with, and does so before believing it.
func Claimed(message []byte) ([]byte, error) {
	m, err := read(message)
	if err != nil {
		return nil, err
	}
	return m.Payload, nil
}

func read(message []byte) (*cose.Sign1Message, error) {
	if len(message) > MaxMessage {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrNotSigned, MaxMessage)
	}
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(message); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSigned, err)
	}
	if m.Payload == nil {
		return nil, fmt.Errorf("%w: it has no payload", ErrNotSigned)
	}
	return &m, nil
}
