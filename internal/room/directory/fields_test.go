package directory_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/keyhold/keyhold/internal/room/directory"
)

func TestFold(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "Ada": "ada", "ZOË": "zoe", "Ångström": "angstrom", "Cafe\u0301": "cafe", "ﬁ": "fi", "ＡＢＣ": "abc", "ß": "ß", "Ж": "ж", "İ": "i", "李": "李",
		"½": "1⁄2", "K": "k",
	} {
		if got := directory.Fold(s); got != want {
			t.Errorf("Fold(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestFold_isStable(t *testing.T) {
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if once := directory.Fold(string(r)); directory.Fold(once) != once {
			t.Errorf("Fold(%U) = %q, folded again %q", r, once, directory.Fold(once))
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "  ": "", "Ada": "ada", "ada ADA": "ada", "a ab abc": "abc", "lovelace, ada": "ada lovelace,", "x\x00y": "x y", "1 2 3 4 5 6 7 8 9": "1 2 3 4 5 6 7 8",
		strings.Repeat("é", 300): strings.Repeat("e", 64),
	} {
		if got := strings.Join(directory.Words(text), " "); got != want {
			t.Errorf("Words(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"", "Ada", "Zoë", "e\u0301\u0302", "İstanbul", "\xff", "ǅ", "ﷺ", "\u1e9b\u0323", "ϴ", "\U0001f511"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		folded := directory.Fold(s)
		if again := directory.Fold(folded); again != folded {
			t.Errorf("Fold(Fold(%q)) = %q, want %q: two spellings of one name would be two", s, again, folded)
		}
		if !utf8.ValidString(folded) {
			t.Errorf("Fold(%q) = %q, which is not valid UTF-8", s, folded)
		}
	})
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"", "ada lovelace", "a a a", "\x00\xff", strings.Repeat("x ", 300), strings.Repeat("é", 200), "' OR 1=1 --", "%_\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := directory.Words(s)
		if len(words) > 8 || !slices.IsSorted(words) {
			t.Errorf("Words(%q) = %q, want at most 8, sorted", s, words)
		}
		for i, w := range words {
			if w == "" || len(w) > 64 || !utf8.ValidString(w) || strings.ContainsAny(w, " \x00\n") {
				t.Errorf("Words(%q)[%d] = %q, want 1 to 64 bytes of text without space", s, i, w)
			}
			if i > 0 && strings.HasPrefix(w, words[i-1]) {
				t.Errorf("Words(%q) = %q, want none that begins another", s, words)
			}
		}
	})
}

// Who searches for any part of a name as it is written finds the person.
func TestTerms_holdTheDomainOfAnAddress(t *testing.T) {
	terms := directory.Terms(directory.User{Email: "Ada.Lovelace@Example.org"})
	for _, want := range []string{"ada.lovelace@example.org", "ada", "lovelace", "example", "org", "example.org"} {
		if !slices.Contains(terms, want) {
			t.Errorf("Terms() = %q, want %q among them", terms, want)
		}
	}
}

func FuzzTerms(f *testing.F) {
	for _, s := range []string{"Ada", "O'Brien-Smith", "van der Berg", "Zoë", "李 雷", "100%_sure", strings.Repeat("long", 40), "a\u0301\u0302 b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		terms := directory.Terms(directory.User{FirstName: s})
		if !slices.IsSorted(terms) || len(slices.Compact(slices.Clone(terms))) != len(terms) {
			t.Errorf("Terms(%q) = %q, want each once", s, terms)
		}
		if len(s) > 400 { // more than a search looks at
			return
		}
		for _, w := range directory.Words(s) {
			if !slices.ContainsFunc(terms, func(term string) bool { return strings.HasPrefix(term, w) }) {
				t.Errorf("%q is found by none of its own words: %q is not among %q", s, w, terms)
			}
		}
	})
}
