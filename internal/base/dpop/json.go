package dpop

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of JSON texts.
const (
	maxMembers = 32 // of an object
	maxDepth   = 8
)

// reader reads a JSON text (RFC 8259) that is valid UTF-8. encoding/json would take the
// last of two equal members, names in another case, and half of an escaped character.
// Its methods return false for what they do not read, and are not called again then.
type reader struct {
	text  string
	at    int
	depth int
}

// read reads a text that is one object.
func read(text string, member func(r *reader, name string) bool) bool {
	r := reader{text: text}
	return utf8.ValidString(text) && r.object(member) && r.ended()
}

// space skips white space and returns the character after it, 0 at the end.
func (r *reader) space() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take skips white space and takes the character if it follows.
func (r *reader) take(c byte) bool {
	if r.space() != c {
		return false
	}
	r.at++
	return true
}

// ended says whether nothing follows.
func (r *reader) ended() bool { return r.space() == 0 && r.at == len(r.text) }

// object reads an object. It gives the name of each member to member, which reads the
// value. A name stands once.
func (r *reader) object(member func(r *reader, name string) bool) bool {
	if r.depth++; r.depth > maxDepth || !r.take('{') {
		return false
	}
	var names [maxMembers]string
	for n := 0; !r.take('}'); n++ {
		if n == maxMembers || n > 0 && !r.take(',') {
			return false
		}
		name, ok := r.str()
		if !ok || !r.take(':') {
			return false
		}
		for _, other := range names[:n] {
			if name == other {
				return false
			}
		}
		names[n] = name
		if !member(r, name) {
			return false
		}
	}
	r.depth--
	return true
}

// array skips an array.
func (r *reader) array() bool {
	if r.depth++; r.depth > maxDepth || !r.take('[') {
		return false
	}
	for n := 0; !r.take(']'); n++ {
		if n > 0 && !r.take(',') || !r.skip() {
			return false
		}
	}
	r.depth--
	return true
}

// skip skips any value.
func (r *reader) skip() bool {
	var ok bool
	switch r.space() {
	case '{':
		return r.object(func(r *reader, _ string) bool { return r.skip() })
	case '[':
		return r.array()
	case '"':
		_, ok = r.str()
		return ok
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	_, ok = r.number()
	return ok
}

func (r *reader) word(w string) bool {
	ok := strings.HasPrefix(r.text[r.at:], w)
	r.at += len(w)
	return ok
}

// str reads a string.
func (r *reader) str() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	start, escaped := r.at, false
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c < ' ':
			return "", false
		case c == '\\':
			escaped = true
			r.at++ // whatever it is, it does not end the string
		case c == '"':
			r.at++
			if escaped {
				return unescape(r.text[start-1 : r.at])
			}
			return r.text[start : r.at-1], true
		}
	}
	return "", false
}

// unescape reads a string with escapes, in its quotes. The standard library puts U+FFFD
// for half of a surrogate pair; no text here needs that character.
func unescape(quoted string) (string, bool) {
	var s string
	if err := json.Unmarshal([]byte(quoted), &s); err != nil || strings.ContainsRune(s, utf8.RuneError) {
		return "", false
	}
	return s, true
}

// integer reads a number from 1 to 2^53, written as an integer.
func (r *reader) integer() (int64, bool) {
	text, ok := r.number()
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && n <= 1<<53
}

// number reads a number's text (RFC 8259 §6).
func (r *reader) number() (string, bool) {
	r.space()
	start := r.at
	r.any("-")
	if !r.any("0") && !r.digits() {
		return "", false
	}
	if r.any(".") && !r.digits() {
		return "", false
	}
	if r.any("eE") {
		r.any("+-")
		if !r.digits() {
			return "", false
		}
	}
	return r.text[start:r.at], true
}

// any takes the next character if it is one of them.
func (r *reader) any(of string) bool {
	if r.at == len(r.text) || strings.IndexByte(of, r.text[r.at]) < 0 {
		return false
	}
	r.at++
	return true
}

func (r *reader) digits() bool {
	start := r.at
	for r.any("0123456789") {
	}
	return r.at > start
}
