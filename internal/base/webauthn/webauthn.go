// Package webauthn is what stands between a website and the authenticator (WebAuthn
// Level 3): it reads the options that a page gave its browser, decides which RP ID an
// origin may use, builds the client data, and writes the answer. It does what browsers do
// and refuses what they refuse, with the names of their errors (ctap.Error). It knows
// nothing of who asks, and keeps nothing.
package webauthn

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/keyhold/keyhold/internal/base/ctap"
)

// Operation is what a page asks for.
type Operation string

// The operations.
const (
	Create Operation = "create" // navigator.credentials.create
	Get    Operation = "get"    // navigator.credentials.get
)

// URLBase64 is bytes that are base64url without padding in JSON, as WebAuthn has it.
type URLBase64 []byte

// MarshalText returns the text.
func (b URLBase64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads it, and refuses what MarshalText would not write.
func (b *URLBase64) UnmarshalText(text []byte) error {
	read, ok := decodeBase64(string(text))
	if !ok {
		return errors.New("this is not base64url without padding")
	}
	*b = read
	return nil
}

// String returns the text.
func (b URLBase64) String() string { return base64.RawURLEncoding.EncodeToString(b) }

// decodeBase64 reads base64url without padding and without anything else.
func decodeBase64(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") { // which encoding/base64 passes over
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return b, err == nil
}

func malformed(reason string) *ctap.Error {
	return ctap.RefuseAs(ctap.TypeError, ctap.InvalidParameter, reason)
}

func insecure(reason string) *ctap.Error {
	return ctap.RefuseAs(ctap.SecurityError, ctap.InvalidParameter, reason)
}
