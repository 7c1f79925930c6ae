package securitykey_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

func adaOwner() securitykey.Owner {
	return securitykey.Owner{UserID: "ada-42", To: outbox.Recipient{Email: "Lovelace9@example.org"}}
}

func TestPINRules(t *testing.T) {
	all := securitykey.PINRules{Min: 6, Max: 12, Digit: true, Lower: true, Upper: true, Special: true}
	plain := securitykey.PINRules{Min: 4, Max: 63}
	for _, c := range []struct {
		rules securitykey.PINRules
		pin   string
		want  []string
	}{
		{all, "aB3!xy", nil},
		{all, "aB3!", []string{"is too short: at least 6 characters"}},
		{all, "aB3!xyaB3!xyz", []string{"is too long: at most 12 characters"}},
		{all, "zqkwvr", []string{"needs a digit", "needs an upper-case letter", "needs a special character"}},
		{all, "729418", []string{"needs a lower-case letter", "needs an upper-case letter", "needs a special character"}},
		{plain, "7\n294", []string{"holds a control character"}},
		{plain, "\xff\xfe7294", []string{"is not valid text"}},
		{plain, strings.Repeat("é", 31) + "a", nil},                                       // 63 bytes
		{plain, strings.Repeat("é", 32), []string{"is too long: at most 63 bytes", easy}}, // and one thing over and over
		{plain, "729", []string{"is too short: at least 4 characters"}},
		{securitykey.PINRules{Min: 1, Max: 63}, "729", []string{"is too short: at least 4 characters"}},
	} {
		var got []string
		for _, f := range securitykey.CheckPIN(c.rules, c.pin, adaOwner()) {
			if f.Name != "pin" {
				t.Errorf("%q: the field %s is at fault, want pin", c.pin, f.Name)
			}
			got = append(got, f.Message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.pin, diff)
		}
	}
}

const easy = "is too easy to guess"

func TestPINRules_trivial(t *testing.T) {
	rules := securitykey.PINRules{Min: 4, Max: 63}
	for _, pin := range []string{
		"0000", "777777", "1234", "234567", "7890", "9876", "3210", "abcdef", "fedcba", "ABCDEF", "1212", "123123", "abcabc", "48164816", "qwerty", "ytrewq", "asdf", "1qaz2wsx",
		"password", "Passw0rd", "112233", "ada-42", "xADA-42x", "lovelace9", "Lovelace9@example.org", "2580",
	} {
		if f := securitykey.CheckPIN(rules, pin, adaOwner()); len(f) != 1 || f[0].Message != easy {
			t.Errorf("%q is answered with %v, want that it is too easy", pin, f)
		}
	}
	for _, pin := range []string{"7294", "harbour7", "aceg", "1357", "121213", "4816481"} {
		if f := securitykey.CheckPIN(rules, pin, adaOwner()); len(f) != 0 {
			t.Errorf("%q is answered with %v, want that it is good", pin, f)
		}
	}
	nobody := securitykey.Owner{UserID: "a", To: outbox.Recipient{Email: "b@c"}}
	if f := securitykey.CheckPIN(rules, "a7b2", nobody); len(f) != 0 {
		t.Errorf("a short name forbids a PIN: %v", f)
	}
}

// Every rule can be followed, and what is generated follows it.
func TestGeneratePIN_followsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		r := securitykey.PINRules{Digit: flag("digit"), Lower: flag("lower"), Upper: flag("upper"), Special: flag("special")}
		r.Min = rapid.IntRange(4, 63).Draw(t, "min")
		r.Max = rapid.IntRange(r.Min, 63).Draw(t, "max")
		o := securitykey.Owner{UserID: rapid.StringN(0, 8, 20).Draw(t, "user"), To: outbox.Recipient{Email: rapid.StringN(0, 8, 20).Draw(t, "email")}}
		pin := securitykey.GeneratePIN(r, o)
		if f := securitykey.CheckPIN(r, pin, o); len(f) != 0 {
			t.Fatalf("%q breaks %+v: %v", pin, r, f)
		}
		if n, want := utf8.RuneCountInString(pin), min(max(r.Min, 6), r.Max); n != want {
			t.Fatalf("%q has %d characters, want %d", pin, n, want)
		}
		if strings.ContainsAny(pin, "0Oo1lI") {
			t.Fatalf("%q holds what is taken for something else", pin)
		}
		if !r.Lower && strings.ContainsFunc(pin, unicode.IsLower) || !r.Upper && strings.ContainsFunc(pin, unicode.IsUpper) {
			t.Fatalf("%q holds more than %+v ask for", pin, r)
		}
	})
}

func TestGeneratePIN_isEven(t *testing.T) {
	r := securitykey.PINRules{Min: 6, Max: 6, Digit: true}
	counts, seen := map[rune]int{}, map[string]bool{}
	const n = 20_000
	for range n {
		pin := securitykey.GeneratePIN(r, adaOwner())
		seen[pin] = true
		for _, c := range pin {
			counts[c]++
		}
	}
	for _, c := range "23456789" {
		if want := n * 6 / 8; counts[c] < want*95/100 || counts[c] > want*105/100 {
			t.Errorf("%c came %d times, want about %d", c, counts[c], want)
		}
	}
	if len(counts) != 8 || len(seen) < n*9/10 {
		t.Errorf("%d characters and %d different PINs of %d, want 8 and nearly all", len(counts), len(seen), n)
	}
}

func TestCardNumber(t *testing.T) {
	for typed, want := range map[string]string{
		"04a1b2c3": "04A1B2C3", "04:A1:B2:C3": "04A1B2C3", " 04-a1-b2-c3-d4-e5-f6\t": "04A1B2C3D4E5F6", "04.A1 B2.C3": "04A1B2C3", "00112233445566778899": "00112233445566778899",
		"": "", "04": "", "04A1B2C": "", "04A1B2C3D4": "", "12345678901234567890AB": "", "0x04A1B2C3": "", "04A1B2CG": "", "０４A1B2C3": "", "\x0004A1B2C3": "",
		strings.Repeat(" ", 64) + "04A1B2C3": "",
	} {
		got, ok := securitykey.CardNumber(typed)
		if got != want || ok != (want != "") {
			t.Errorf("%q is read as %q (%v), want %q", typed, got, ok, want)
		}
	}
}

func FuzzCardNumber(f *testing.F) {
	for _, s := range []string{"04:A1:B2:C3", "04a1b2c3d4e5f6", "00112233445566778899", "", "\xff", "04 A1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := securitykey.CardNumber(s)
		if !ok {
			return
		}
		if n := len(got); n != 8 && n != 14 && n != 20 || strings.Trim(got, "0123456789ABCDEF") != "" {
			t.Fatalf("%q is read as %q", s, got)
		}
		if again, ok := securitykey.CardNumber(strings.ToLower(got)); !ok || again != got {
			t.Fatalf("%q is read as %q, and that as %q", s, got, again)
		}
	})
}

// Keys are searched as they are indexed: words are cut and folded as the directory's.
func TestWords_areTheDirectorys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-zÄé .@-]{0,40}`)).Draw(t, "text")
		if got, want := search.Words(text), directory.Words(text); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestModels(t *testing.T) {
	all := securitykey.Models()
	for i, m := range all {
		if m.Name == "" || securitykey.ModelName(strings.ToUpper(m.AAGUID)) != m.Name {
			t.Errorf("the model %+v is not found by its AAGUID", m)
		}
		if i > 0 && all[i-1].Name > m.Name {
			t.Errorf("%s comes after %s", m.Name, all[i-1].Name)
		}
	}
	if securitykey.ModelName("") != "" || securitykey.ModelName("00000000-0000-0000-0000-000000000000") != "" {
		t.Error("no model has a name")
	}
}
