package webauthn

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"unicode/utf8"

	"github.com/gowebpki/jcs"

	"github.com/keyhold/keyhold/internal/base/ctap"
)

// Limits of options.
const (
	MaxOptions   = 64 << 10 // bytes
	MaxChallenge = 1024     // bytes
	maxDepth     = 16
)

// OptionsHash returns what a tap is bound to: base64url of the SHA-256 of the canonical
// form (RFC 8785) of an options object. It refuses with a TypeError what is too large or
// too deep, and what two readers could read differently: duplicate names, invalid UTF-8,
// lone surrogates.
func OptionsHash(raw []byte) (string, error) {
	canonical, err := canonicalize(raw)
	if err != nil {
		return "", err
	}
	return hash(canonical), nil
}

func hash(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func canonicalize(raw []byte) ([]byte, error) {
	switch {
	case len(raw) > MaxOptions:
		return nil, malformed("the options are too large")
	case !utf8.Valid(raw):
		return nil, malformed("the options are not UTF-8")
	case tooDeep(raw):
		return nil, malformed("the options are nested too deep")
	}
	canonical, err := jcs.Transform(raw)
	if err != nil {
		return nil, malformed("the options are not the JSON of one reader")
	}
	if canonical[0] != '{' {
		return nil, malformed("the options are no object")
	}
	return canonical, nil
}

// tooDeep says whether raw opens more arrays and objects within each other than are read.
func tooDeep(raw []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// object reads the members of a JSON object by their exact names, which encoding/json does
// not for structs. The first member with another type than asked for stays in err; what is
// absent or null is the zero value. Its children share err.
type object struct {
	members map[string]any
	path    string
	err     *error
}

// read returns the object in canonical JSON.
func read(canonical []byte) object {
	o := object{err: new(error)}
	if json.Unmarshal(canonical, &o.members) != nil {
		o.fail("")
	}
	return o
}

func (o object) fail(name string) {
	if *o.err == nil {
		*o.err = malformed("the options' " + o.path + name + " is missing, malformed or too long")
	}
}

func (o object) has(name string) bool { return o.members[name] != nil }

// value returns a member of JSON's type T, or its zero value if it is absent.
func value[T any](o object, name string) T {
	v, ok := o.members[name].(T)
	if !ok && o.has(name) {
		o.fail(name)
	}
	return v
}

func (o object) text(name string) string { return value[string](o, name) }

func (o object) flag(name string) bool { return value[bool](o, name) }

// required returns a text that has to be there.
func (o object) required(name string) string {
	s := o.text(name)
	if !o.has(name) || len(s) > ctap.MaxName {
		o.fail(name)
	}
	return s
}

// number returns a whole number of 32 bits, signed or not.
func (o object) number(name string) int64 {
	n := value[float64](o, name)
	if n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxUint32 {
		o.fail(name)
		return 0
	}
	return int64(n)
}

// bytes returns what has to be there in base64url, of least to most bytes.
func (o object) bytes(name string, least, most int) []byte {
	b, ok := decodeBase64(o.text(name))
	if !ok || !o.has(name) || len(b) < least || len(b) > most {
		o.fail(name)
		return nil
	}
	return b
}

// texts returns a list of texts.
func (o object) texts(name string) []string {
	var read []string
	for _, v := range value[[]any](o, name) {
		s, ok := v.(string)
		if !ok {
			o.fail(name)
			return nil
		}
		read = append(read, s)
	}
	return read
}

// child returns an object, empty if it is absent.
func (o object) child(name string) object {
	return object{members: value[map[string]any](o, name), path: o.path + name + ".", err: o.err}
}

// children returns a list of at most most objects.
func (o object) children(name string, most int) []object {
	list := value[[]any](o, name)
	if len(list) > most {
		o.fail(name)
		return nil
	}
	read := make([]object, len(list))
	for i, v := range list {
		members, ok := v.(map[string]any)
		if !ok {
			o.fail(name)
		}
		read[i] = object{members: members, path: o.path + name + ".", err: o.err}
	}
	return read
}
