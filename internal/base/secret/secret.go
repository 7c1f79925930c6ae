// Package secret holds bytes that must not be seen. A secret.Bytes prints as
// [redacted], refuses to be marshalled, cannot be compared with ==, and leaves
// only by name, through Expose.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// ErrMarshal is returned by every attempt to marshal a secret.
var ErrMarshal = errors.New("a secret does not marshal")

// Bytes is a secret. The zero value is an empty secret.
type Bytes struct {
	// open returns the bytes: fmt calls no method of what it finds in an unexported field of
	// some struct, but it prints a function as an address. Nor is one comparable.
	open func() []byte
}

func closed(b []byte) Bytes { return Bytes{open: func() []byte { return b }} }

// New returns a secret with a copy of b.
func New(b []byte) Bytes { return closed(append([]byte(nil), b...)) }

// FromString returns a secret with the bytes of s.
func FromString(s string) Bytes { return closed([]byte(s)) }

// Expose returns the bytes themselves, not a copy. Whoever calls it answers for
// where they go.
func (s Bytes) Expose() []byte {
	if s.open == nil {
		return nil
	}
	return s.open()
}

// ExposeString returns the secret as text. Whoever calls it answers for where it
// goes.
func (s Bytes) ExposeString() string { return string(s.Expose()) }

// IsEmpty says whether the secret has no bytes.
func (s Bytes) IsEmpty() bool { return len(s.Expose()) == 0 }

// Equal compares in a time that depends on the lengths only.
func (s Bytes) Equal(other Bytes) bool {
	return subtle.ConstantTimeCompare(s.Expose(), other.Expose()) == 1
}

// String returns [redacted].
func (Bytes) String() string { return redacted }

// GoString returns [redacted].
func (Bytes) GoString() string { return redacted }

// Format prints [redacted] for every verb.
func (Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt has nowhere to return it

// MarshalJSON refuses.
func (Bytes) MarshalJSON() ([]byte, error) { return nil, ErrMarshal }

// MarshalText refuses.
func (Bytes) MarshalText() ([]byte, error) { return nil, ErrMarshal }

// MarshalBinary refuses.
func (Bytes) MarshalBinary() ([]byte, error) { return nil, ErrMarshal }
