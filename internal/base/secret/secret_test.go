package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/secret"
)

const canary = "correct horse battery staple"

func TestBytes_doNotPrint(t *testing.T) {
	s := secret.FromString(canary)
	holder := struct {
		Name   string
		Secret secret.Bytes
		Point  *secret.Bytes
		List   []secret.Bytes
		hidden secret.Bytes // fmt calls no method of this one
		within struct{ deep []secret.Bytes }
	}{"x", s, &s, []secret.Bytes{s}, s, struct{ deep []secret.Bytes }{[]secret.Bytes{s}}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "holder", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", holder)
	printed := log.String() + s.String() + s.GoString() + errors.Join(fmt.Errorf("with %v", s)).Error()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%T", "%08b"} {
		printed += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, holder)
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), "Y29ycmVjdCBob3JzZ", "99 111 114 114", "99, 111, 114"} {
		if strings.Contains(printed, form) {
			t.Errorf("a secret prints %q in\n%s", form, printed)
		}
	}
	if !strings.Contains(fmt.Sprint(s), "[redacted]") {
		t.Errorf("Sprint() = %q, want [redacted]", fmt.Sprint(s))
	}
}

func TestBytes_doNotMarshal(t *testing.T) {
	s := secret.FromString(canary)
	if _, err := json.Marshal(map[string]any{"a": s}); !errors.Is(err, secret.ErrMarshal) {
		t.Errorf("json.Marshal() = %v, want %v", err, secret.ErrMarshal)
	}
	if _, err := json.Marshal(map[string]any{"a": &s}); !errors.Is(err, secret.ErrMarshal) {
		t.Errorf("json.Marshal() = %v for a pointer, want %v", err, secret.ErrMarshal)
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(s); !errors.Is(err, secret.ErrMarshal) {
		t.Errorf("gob = %v, want %v", err, secret.ErrMarshal)
	}
	if _, err := s.MarshalText(); !errors.Is(err, secret.ErrMarshal) {
		t.Errorf("MarshalText() = %v, want %v", err, secret.ErrMarshal)
	}
}

func TestBytes_compare(t *testing.T) {
	a := secret.FromString(canary)
	for _, c := range []struct {
		other secret.Bytes
		want  bool
	}{
		{secret.New([]byte(canary)), true}, {secret.FromString(canary + "!"), false}, {secret.FromString(strings.ToUpper(canary)), false}, {secret.Bytes{}, false},
	} {
		if a.Equal(c.other) != c.want || c.other.Equal(a) != c.want {
			t.Errorf("Equal(%q) = %v, want %v", c.other.ExposeString(), !c.want, c.want)
		}
	}
	if !(secret.Bytes{}).IsEmpty() || a.IsEmpty() || !(secret.Bytes{}).Equal(secret.New(nil)) {
		t.Error("the zero secret is not the empty one")
	}
}

func TestNew_copies(t *testing.T) {
	raw := []byte(canary)
	s := secret.New(raw)
	clear(raw)
	if s.ExposeString() != canary || !bytes.Equal(s.Expose(), []byte(canary)) {
		t.Errorf("the secret is %q after its source was cleared, want it kept", s.ExposeString())
	}
}
