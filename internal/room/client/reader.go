package client

import (
	"math/big"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// ReaderFormat says how the readers at a client write a card's number.
type ReaderFormat string

// The formats. Reversed means that the last byte of the number comes first.
const (
	Hex             ReaderFormat = "hex"
	HexReversed     ReaderFormat = "hex_reversed"
	Decimal         ReaderFormat = "decimal"
	DecimalReversed ReaderFormat = "decimal_reversed"
)

// ReaderFormats lists the formats, the usual one first.
func ReaderFormats() []ReaderFormat {
	return []ReaderFormat{Hex, HexReversed, Decimal, DecimalReversed}
}

// maxDecimal bounds a decimal number, in digits: 10 bytes have no more.
const maxDecimal = 25

// Read returns a card's number as readers of this format write it, in the form of card.Parse.
// A decimal number is as long as the shortest kind of number that holds it: 4, 7 or 10 bytes.
// ok is false if that is no card's number.
func (f ReaderFormat) Read(typed string) (number secret.Bytes, ok bool) {
	var raw []byte
	switch f {
	case Decimal, DecimalReversed:
		raw = decimal(strings.TrimSpace(typed))
	default:
		parsed, ok := card.Parse(typed)
		if !ok {
			return secret.Bytes{}, false
		}
		raw = card.Raw(parsed)
	}
	if f == HexReversed || f == DecimalReversed {
		slices.Reverse(raw)
	}
	return card.FromRaw(raw)
}

// decimal returns the bytes of a number in digits, nil if that is none.
func decimal(digits string) []byte {
	if digits == "" || len(digits) > maxDecimal || strings.Trim(digits, "0123456789") != "" {
		return nil
	}
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return nil
	}
	for _, length := range []int{4, 7, 10} {
		if n.BitLen() <= 8*length {
			return n.FillBytes(make([]byte, length))
		}
	}
	return nil
}
