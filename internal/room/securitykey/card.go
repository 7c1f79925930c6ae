package securitykey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// CardDigest returns the keyed hash by which a card's number is looked up, in hex.
func CardDigest(key, number secret.Bytes) string {
	mac := hmac.New(sha256.New, key.Expose())
	mac.Write([]byte(card.UID + "\x00"))
	mac.Write(card.Raw(number))
	return hex.EncodeToString(mac.Sum(nil))
}

// newCard reads and seals a card's number for a key of a user.
func newCard(s Secrets, w id.Workspace, u id.User, k id.SecurityKey, cardType, typed string) (Card, *fault.Error, error) {
	number, ok := card.Parse(typed)
	switch {
	case cardType != "" && cardType != card.UID:
		return Card{}, invalid(fault.Field{Name: "card_type", Message: "must be uid"}), nil
	case !ok:
		return Card{}, invalid(fault.Field{Name: "card_number", Message: "must be the card's UID in hex: 4, 7 or 10 bytes"}), nil
	}
	sealed, err := s.Sealing.Seal(number, CardIdentity(w, u, k))
	if err != nil {
		return Card{}, nil, err
	}
	return Card{Type: card.UID, Digest: CardDigest(s.CardKey, number), Sealed: sealed}, nil, nil
}

func invalid(fields ...fault.Field) *fault.Error {
	return fault.Invalid("invalid_fields", "Some fields need your attention.", fields...)
}
