package securitykey

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The bounds of a search.
const (
	maxWords    = 8
	maxWord     = 64  // bytes
	maxSearched = 400 // bytes
)

// words returns the folded words of a search text, each once, without those that begin
// another: cut and folded as the words are under which keys are found.
func words(text string) []string {
	fold := func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return unicode.ToLower(r)
	}
	text = strings.ToValidUTF8(text[:min(len(text), maxSearched)], " ")
	all := strings.Fields(strings.Map(fold, norm.NFKD.String(text)))
	for i, w := range all {
		all[i] = strings.ToValidUTF8(w[:min(len(w), maxWord)], "")
	}
	slices.Sort(all)
	var out []string
	for i, w := range all {
		if i+1 < len(all) && strings.HasPrefix(all[i+1], w) {
			continue
		}
		out = append(out, w)
	}
	return out[:min(len(out), maxWords)]
}
