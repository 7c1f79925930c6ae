package cose_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/keyhold/keyhold/internal/base/cose"
)

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// public returns the key's public half: the last 32 bytes (RFC 8032).
func public(k ed25519.PrivateKey) ed25519.PublicKey { return ed25519.PublicKey(k[32:]) }

func TestSign_isWhatTheStandardSays(t *testing.T) {
	got, err := cose.Sign(key(1), []byte("hello"), []byte("ext"))
	if err != nil {
		t.Fatal(err)
	}
	// RFC 9052 §4.2 and §4.4, by hand: tag 18, [protected {1: -8}, {}, payload, signature
	// over ["Signature1", protected, external, payload]].
	structure := append([]byte{0x84, 0x6a}, "Signature1"...)
	structure = append(structure, 0x43, 0xa1, 0x01, 0x27, 0x43, 'e', 'x', 't', 0x45, 'h', 'e', 'l', 'l', 'o')
	want := append([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27, 0xa0, 0x45, 'h', 'e', 'l', 'l', 'o', 0x58, 0x40}, ed25519.Sign(key(1), structure)...)
	if !bytes.Equal(got, want) {
		t.Errorf("Sign() = %s, want %s", hex.EncodeToString(got), hex.EncodeToString(want))
	}
}

func TestVerify(t *testing.T) {
	message, err := cose.Sign(key(1), []byte("hello"), []byte("ext"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cose.Verify(message, []byte("ext"), public(key(2)), public(key(1))); err != nil || string(got) != "hello" {
		t.Errorf("Verify() = %q, %v, want it by the second key", got, err)
	}
	if got, err := cose.Claimed(message); err != nil || string(got) != "hello" {
		t.Errorf("Claimed() = %q, %v", got, err)
	}
	changed := bytes.Replace(message, []byte("hello"), []byte("jello"), 1)
	none, err := cose.Sign(key(1), nil, []byte("ext"))
	if err != nil {
		none = nil // it cannot even be made
	}
	for name, c := range map[string]struct {
		message, external []byte
		keys              []ed25519.PublicKey
	}{
		"another key":        {message, []byte("ext"), []ed25519.PublicKey{public(key(2))}},
		"no key":             {message, []byte("ext"), nil},
		"a key of no length": {message, []byte("ext"), []ed25519.PublicKey{{}}},
		"other external":     {message, []byte("exe"), []ed25519.PublicKey{public(key(1))}},
		"another payload":    {changed, []byte("ext"), []ed25519.PublicKey{public(key(1))}},
		"no payload":         {none, []byte("ext"), []ed25519.PublicKey{public(key(1))}},
		"cut":                {message[:len(message)-1], []byte("ext"), []ed25519.PublicKey{public(key(1))}},
		"more behind":        {append(bytes.Clone(message), 0), []byte("ext"), []ed25519.PublicKey{public(key(1))}},
		"nothing":            {nil, []byte("ext"), []ed25519.PublicKey{public(key(1))}},
		"too long":           {make([]byte, cose.MaxMessage+1), []byte("ext"), []ed25519.PublicKey{public(key(1))}},
	} {
		if got, err := cose.Verify(c.message, c.external, c.keys...); !errors.Is(err, cose.ErrNotSigned) || got != nil {
			t.Errorf("%s: Verify() = %q, %v, want ErrNotSigned", name, got, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	good, err := cose.Sign(key(1), []byte("hello"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xd2, 0x84})
	f.Fuzz(func(t *testing.T, message []byte) {
		_, _ = cose.Claimed(message)
		if got, err := cose.Verify(message, nil, public(key(1))); err == nil && string(got) != "hello" {
			t.Errorf("%x was accepted as %q", message, got)
		}
	})
}
