package securitykey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// maxTyped bounds what is read as a card's number, in bytes.
const maxTyped = 64

// cardNumber reads a card's number as it was typed or read: hex, with separators or
// without. It returns upper-case hex; ok is false if that is no card's number.
func cardNumber(typed string) (number secret.Bytes, ok bool) {
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
	if err != nil || len(raw) != 4 && len(raw) != 7 && len(raw) != 10 {
		return secret.Bytes{}, false
	}
	return secret.FromString(strings.ToUpper(text)), true
}

// cardDigest returns the keyed hash by which a card's number is looked up.
func cardDigest(key, number secret.Bytes) string {
	raw, err := hex.DecodeString(number.ExposeString())
	if err != nil {
		return "" // cardNumber has read it
	}
	mac := hmac.New(sha256.New, key.Expose())
	mac.Write([]byte(CardUID + "\x00"))
	mac.Write(raw)
	return hex.EncodeToString(mac.Sum(nil))
}

// newCard reads and seals a card's number for a key of a user.
func newCard(s Secrets, w id.Workspace, u id.User, k id.SecurityKey, cardType, typed string) (Card, *fault.Error, error) {
	number, ok := cardNumber(typed)
	switch {
	case cardType != "" && cardType != CardUID:
		return Card{}, invalid(fault.Field{Name: "card_type", Message: "must be uid"}), nil
	case !ok:
		return Card{}, invalid(fault.Field{Name: "card_number", Message: "must be the card's UID in hex: 4, 7 or 10 bytes"}), nil
	}
	sealed, err := s.Sealing.Seal(number, CardIdentity(w, u, k))
	if err != nil {
		return Card{}, nil, err
	}
	return Card{Type: CardUID, Digest: cardDigest(s.CardKey, number), Sealed: sealed}, nil, nil
}

func invalid(fields ...fault.Field) *fault.Error {
	return fault.Invalid("invalid_fields", "Some fields need your attention.", fields...)
}
