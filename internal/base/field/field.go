// Package field checks what people type into the fields of a form or a request, and gathers
// all that is wrong with them for one answer. It knows no field's meaning.
package field

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/fault"
)

// Checker gathers the fields at fault. The zero value has found nothing.
type Checker struct{ fields []fault.Field }

// Wrong notes that a field is at fault. message goes on a sentence that begins with the
// field's name: "is needed".
func (c *Checker) Wrong(name, message string) {
	c.fields = append(c.fields, fault.Field{Name: name, Message: message})
}

// Fault returns the answer over all fields at fault, nil if there is none.
func (c *Checker) Fault() *fault.Error {
	if len(c.fields) == 0 {
		return nil
	}
	return fault.Invalid("invalid_fields", "Some fields need your attention.", c.fields...)
}

// Line returns one line of text in its composed form without blanks around it, and notes
// what is wrong with it: it has between least and most characters, and none that controls
// how others are shown.
func (c *Checker) Line(name, text string, least, most int) string {
	text = strings.TrimSpace(norm.NFC.String(text))
	switch n := utf8.RuneCountInString(text); {
	case n == 0 && least > 0:
		c.Wrong(name, "is needed")
	case n < least:
		c.Wrong(name, "is too short: at least "+strconv.Itoa(least)+" characters")
	case n > most:
		c.Wrong(name, "is too long: at most "+strconv.Itoa(most)+" characters")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, IsForbidden):
		c.Wrong(name, "holds a character that is not allowed")
	}
	return text
}

// IsForbidden says whether a character has no place in a name: it controls, or it changes
// the direction in which others are shown (Unicode Bidirectional Algorithm, UAX #9 §2).
func IsForbidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}
