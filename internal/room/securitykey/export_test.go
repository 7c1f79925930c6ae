package securitykey

import (
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// What only tests call.

func CheckPIN(r PINRules, pin string, o Owner) []fault.Field {
	return r.check(secret.FromString(pin), o)
}

func GeneratePIN(r PINRules, o Owner) string { return r.generate(o).ExposeString() }

func CardNumber(typed string) (string, bool) {
	number, ok := card.Parse(typed)
	return number.ExposeString(), ok
}
