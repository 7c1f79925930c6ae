package field_test

import (
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/field"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ text, want, message string }{
		{"Front desk", "Front desk", ""},
		{"  Front desk\t", "Front desk", ""},
		{"Cafe\u0301", "Caf\u00e9", ""},
		{"", "", "is needed"},
		{" \u00a0 ", "", "is needed"},
		{"x", "x", "is too short: at least 2 characters"},
		{strings.Repeat("ä", 11), strings.Repeat("ä", 11), "is too long: at most 10 characters"},
		{strings.Repeat("ä", 10), strings.Repeat("ä", 10), ""},
		{"a\x00b", "a\x00b", "holds a character that is not allowed"},
		{"a\u202eb", "a\u202eb", "holds a character that is not allowed"},
		{"a\u2028b", "a\u2028b", "holds a character that is not allowed"},
		{"a\xffb", "a\xffb", "holds a character that is not allowed"},
	} {
		var check field.Checker
		got := check.Line("name", c.text, 2, 10)
		f := check.Fault()
		switch {
		case got != c.want:
			t.Errorf("Line(%q) = %q, want %q", c.text, got, c.want)
		case c.message == "" && f != nil:
			t.Errorf("Line(%q) is at fault: %v, want it good", c.text, f.Fields)
		case c.message != "" && (f == nil || len(f.Fields) != 1 || f.Fields[0].Name != "name" || f.Fields[0].Message != c.message):
			t.Errorf("Line(%q): %v, want name %s", c.text, f, c.message)
		}
	}
}

func TestChecker_tellsAllFields(t *testing.T) {
	var c field.Checker
	if f := c.Fault(); f != nil {
		t.Errorf("Fault() = %v, want nothing found", f)
	}
	c.Wrong("a", "is needed")
	c.Wrong("b", "is unknown")
	if f := c.Fault(); f == nil || len(f.Fields) != 2 || f.Code != "invalid_fields" {
		t.Errorf("Fault() = %v, want both fields", f)
	}
}
