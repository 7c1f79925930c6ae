// Package card reads the numbers of contactless cards as people type them and as
// readers send them. It refuses to know whose card a number is.
package card

import (
	"encoding/hex"
	"strings"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// UID is the type of a card's number: the card's UID in hex, upper case, 4, 7 or
// 10 bytes in the reader's order.
const UID = "uid"

// maxTyped bounds what is read as a card's number, in bytes.
const maxTyped = 64

// Parse reads a card's number as it was typed or read: hex, with separators or
// without. It returns upper-case hex; ok is false if that is no card's number.
func Parse(typed string) (number secret.Bytes, ok bool) {
	if len(typed) > maxTyped {
		return secret.Bytes{}, false
	}
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t:-.", r) {
			return -1
		}
		return r
	}, strings.TrimSpace(typed))
	raw, err := hex.DecodeString(text)
	if err != nil || !IsUID(raw) {
		return secret.Bytes{}, false
	}
	return secret.FromString(strings.ToUpper(text)), true
}

// IsUID says whether raw has the length of a card's UID.
func IsUID(raw []byte) bool { return len(raw) == 4 || len(raw) == 7 || len(raw) == 10 }

// FromRaw returns the number of a card whose reader told raw; ok is false if that is no
// card's number.
func FromRaw(raw []byte) (number secret.Bytes, ok bool) {
	if !IsUID(raw) {
		return secret.Bytes{}, false
	}
	return secret.FromString(strings.ToUpper(hex.EncodeToString(raw))), true
}

// Raw returns the bytes of a number that Parse or FromRaw returned, nil for any other
// text.
func Raw(number secret.Bytes) []byte {
	raw, err := hex.DecodeString(number.ExposeString())
	if err != nil {
		return nil
	}
	return raw
}
