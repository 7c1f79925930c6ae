package webauthn

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
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
	hash := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(hash[:]), nil
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
	members map[string]json.RawMessage
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

func (o object) has(name string) bool {
	raw, ok := o.members[name]
	return ok && string(raw) != "null"
}

// value reads a member, if it is there, into a value of JSON's own types.
func (o object) value(name string, v any) {
	if o.has(name) && json.Unmarshal(o.members[name], v) != nil {
		o.fail(name)
	}
}

func (o object) text(name string) string {
	var s string
	o.value(name, &s)
	return s
}

// required returns a text that has to be there.
func (o object) required(name string) string {
	s := o.text(name)
	if !o.has(name) || len(s) > ctap.MaxName {
		o.fail(name)
	}
	return s
}

func (o object) flag(name string) bool {
	var b bool
	o.value(name, &b)
	return b
}

// number returns a whole number of 32 bits, signed or not.
func (o object) number(name string) (int64, bool) {
	if !o.has(name) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(o.members[name]), 10, 64)
	if err != nil || n < -1<<31 || n >= 1<<32 {
		o.fail(name)
		return 0, false
	}
	return n, true
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
	var list []*string
	o.value(name, &list)
	var read []string
	for _, s := range list {
		if s == nil {
			o.fail(name)
			return nil
		}
		read = append(read, *s)
	}
	return read
}

// child returns an object, empty if it is absent.
func (o object) child(name string) object {
	c := object{path: o.path + name + ".", err: o.err}
	if o.has(name) && json.Unmarshal(o.members[name], &c.members) != nil {
		o.fail(name)
	}
	return c
}

// children returns a list of at most most objects.
func (o object) children(name string, most int) []object {
	var list []map[string]json.RawMessage
	o.value(name, &list)
	if len(list) > most {
		o.fail(name)
		return nil
	}
	read := make([]object, len(list))
	for i, members := range list {
		if members == nil {
			o.fail(name)
		}
		read[i] = object{members: members, path: o.path + name + ".", err: o.err}
	}
	return read
}
