// Package search cuts and folds what people type to look for something. It knows nothing of
// what is looked for.
package search

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

// Words returns the folded words of a search text, each once, without those that begin
// another: cut and folded as the words are under which things are found. It has at most eight.
func Words(text string) []string {
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
