package card_test

import (
	"testing"

	"github.com/keyhold/keyhold/internal/base/card"
)

func TestParse(t *testing.T) {
	for typed, want := range map[string]string{
		"04a1b2c3":                       "04A1B2C3",
		" 04:A1:b2:C3:d4:e5:99 ":         "04A1B2C3D4E599",
		"04-a1.b2 c3 d4\te5 99 00 11 22": "04A1B2C3D4E599001122",
		"":                               "",
		"04a1b2":                         "",
		"04a1b2c3d4":                     "",
		"04a1b2cg":                       "",
		"0x04a1b2c3":                     "",
	} {
		number, ok := card.Parse(typed)
		if ok != (want != "") || number.ExposeString() != want {
			t.Errorf("Parse(%q) = %q, %v, want %q", typed, number.ExposeString(), ok, want)
		}
		if !ok {
			continue
		}
		if back, ok := card.FromRaw(card.Raw(number)); !ok || back.ExposeString() != want {
			t.Errorf("FromRaw(Raw(%q)) = %q, %v", want, back.ExposeString(), ok)
		}
	}
	if _, ok := card.FromRaw(make([]byte, 5)); ok {
		t.Error("FromRaw() takes five bytes for a card's number")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("04:A1:B2:C3")
	f.Fuzz(func(t *testing.T, typed string) {
		if number, ok := card.Parse(typed); ok && !card.IsUID(card.Raw(number)) {
			t.Errorf("Parse(%q) is no UID", typed)
		}
	})
}
