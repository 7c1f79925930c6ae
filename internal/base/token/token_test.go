package token_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
)

func TestIssue_form(t *testing.T) {
	pattern := regexp.MustCompile("^" + token.Pattern + "$")
	seen := map[string]bool{}
	for _, kind := range []token.Kind{token.KindAdmin, token.KindMobile, token.KindClient} {
		for range 200 {
			issued := token.Issue(kind)
			text := issued.Secret().ExposeString()
			if !pattern.MatchString(text) || !strings.HasPrefix(text, "kh_"+string(kind)+"_"+issued.ID+"_") {
				t.Fatalf("Issue(%s) = %q, want a token of the published form", kind, text)
			}
			parsed, ok := token.Parse(text)
			if !ok || parsed.Kind != kind || parsed.ID != issued.ID || !parsed.Secret().Equal(issued.Secret()) {
				t.Fatalf("Parse(%q) = %v, %v, want what was issued", text, parsed.ID, ok)
			}
			if seen[text] || seen[issued.ID] {
				t.Fatalf("Issue(%s) gave %q twice", kind, text)
			}
			seen[text], seen[issued.ID] = true, true
		}
	}
}

// Computed elsewhere (Python's zlib.crc32): other programs check tokens too.
func TestParse_knownChecksum(t *testing.T) {
	const head, sum = "kh_admin_000000000000_00000000000000000000000000000000", "4R0B7h"
	if parsed, ok := token.Parse(head + sum); !ok || parsed.ID != "000000000000" {
		t.Errorf("Parse(%q) = %q, %v, want it accepted", head+sum, parsed.ID, ok)
	}
	if _, ok := token.Parse(head + "000000"); ok {
		t.Errorf("Parse(%q) accepts a wrong checksum", head+"000000")
	}
}

func TestParse_refuses(t *testing.T) {
	text := token.Issue(token.KindAdmin).Secret().ExposeString()
	for _, s := range []string{
		"", "_", "___", "kh___", "kh_admin__", text + "x", text[1:], " " + text, text + "\n", strings.Replace(text, "kh_", "KH_", 1),
		strings.Replace(text, "admin", "root", 1), strings.Replace(text, "admin", "", 1), text[:30] + "_" + text[31:], text[:30] + "ä" + text[32:],
		text[:30] + "-" + text[31:], strings.Repeat("kh_admin_", 1000),
	} {
		if parsed, ok := token.Parse(s); ok || parsed.ID != "" || !parsed.Secret().IsEmpty() {
			t.Errorf("Parse(%q) = %+v, %v, want nothing", s, parsed, ok)
		}
	}
}

func TestHash_keyed(t *testing.T) {
	issued := token.Issue(token.KindClient)
	a, b := issued.Hash(secret.FromString("a")), issued.Hash(secret.FromString("b"))
	if len(a) != 32 || string(a) == string(b) || string(a) != string(issued.Hash(secret.FromString("a"))) {
		t.Errorf("hashes %x and %x under two peppers, want 32 bytes each, of their own", a, b)
	}
	if got := fmt.Sprintf("%v %+v %s", issued, issued, issued.Secret()); strings.Contains(got, issued.Secret().ExposeString()[22:]) {
		t.Errorf("a token prints as %q, want it redacted", got)
	}
}

func TestNewOneTime(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 500 {
		s := token.NewOneTime()
		text := s.ExposeString()
		if len(text) != 43 || seen[text] {
			t.Fatalf("NewOneTime() = %q, want 43 letters, each time others", text)
		}
		seen[text] = true
		for _, r := range text {
			letters[r]++
		}
		if len(token.Digest(s)) != 32 {
			t.Fatalf("Digest() has %d bytes, want 32", len(token.Digest(s)))
		}
	}
	if len(letters) != 62 {
		t.Errorf("%d letters are in use, want 62", len(letters))
	}
	if string(token.Digest(secret.FromString("a"))) == string(token.Digest(secret.FromString("b"))) {
		t.Error("two secrets have one digest")
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range []token.Kind{token.KindAdmin, token.KindMobile, token.KindClient} {
		f.Add(token.Issue(kind).Secret().ExposeString())
	}
	f.Add("")
	f.Add("kh_admin_000000000000_000000000000000000000000000000004R0B7h")
	f.Add("kh_admin_00000000000_000000000000000000000000000000000000000")
	f.Add("kh_client_\x00\xff")
	pattern := regexp.MustCompile("^" + token.Pattern + "$")
	f.Fuzz(func(t *testing.T, s string) {
		parsed, ok := token.Parse(s)
		if !ok {
			return
		}
		if parsed.Secret().ExposeString() != s || !pattern.MatchString(s) {
			t.Errorf("Parse(%q) accepts it, want only what the scanners' pattern finds", s)
		}
		if _, ok := token.Parse(s[:len(s)-1]); ok {
			t.Errorf("Parse() accepts %q without its last letter", s)
		}
	})
}

func TestEmailCode(t *testing.T) {
	key := secret.FromString("key")
	if a, b := token.EmailCode(key, "code_1"), token.EmailCode(key, "code_1"); a != b {
		t.Errorf("one id has the codes %s and %s, want one", a, b)
	}
	if token.EmailCode(key, "code_1") == token.EmailCode(secret.FromString("another"), "code_1") {
		t.Error("two keys give one code")
	}
	const n = 20_000
	var seen [8][10]int
	for i := range n {
		code := token.EmailCode(key, fmt.Sprint("code_", i))
		if len(code) != 8 {
			t.Fatalf("the code %q has %d digits, want 8", code, len(code))
		}
		for place, digit := range code {
			seen[place][digit-'0']++
		}
	}
	for place, digits := range seen {
		for digit, times := range digits {
			if times < n/10*85/100 || times > n/10*115/100 {
				t.Errorf("the digit %d stands %d times in place %d of %d codes, want about %d", digit, times, place, n, n/10)
			}
		}
	}
}

func TestNewAccessPass(t *testing.T) {
	const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	seen := map[byte]int{}
	for range 2000 {
		code := token.NewAccessPass(48).Expose()
		if len(code) != 48 {
			t.Fatalf("%d characters, want 48", len(code))
		}
		for _, c := range code {
			seen[c]++
		}
	}
	for _, c := range []byte(alphabet) {
		if n := seen[c]; n < 2700 || n > 3300 { // 3000 each, within more than five deviations
			t.Errorf("%c came %d times of 96000, want about 3000", c, n)
		}
		delete(seen, c)
	}
	if len(seen) != 0 {
		t.Errorf("characters %v, want none but %s", seen, alphabet)
	}
}

func TestAccessPassDigest(t *testing.T) {
	key, code := secret.FromString("key"), secret.FromString("ABCD2345")
	want := token.AccessPassDigest(key, "tap_1", code)
	for typed, same := range map[string]bool{
		"ABCD2345": true, "abcd2345": true, " ABCD-2345 ": true, "a-b c\td2345": true, "ABCD2346": false, "": false, "ABCD2345A": false, "ABCD_2345": false,
		strings.Repeat(" ", 193) + "ABCD2345": false,
	} {
		if got := token.AccessPassDigest(key, "tap_1", secret.FromString(typed)); bytes.Equal(got, want) != same {
			t.Errorf("%q is the code: %v, want %v", typed, !same, same)
		}
	}
	for what, other := range map[string][]byte{
		"another id":  token.AccessPassDigest(key, "tap_2", code),
		"another key": token.AccessPassDigest(secret.FromString("yek"), "tap_1", code),
	} {
		if bytes.Equal(other, want) {
			t.Errorf("the digest is the same under %s", what)
		}
	}
}

func FuzzAccessPassDigest(f *testing.F) {
	f.Add([]byte("ABCD2345"))
	f.Add([]byte(" abcd-2345\t"))
	f.Add(bytes.Repeat([]byte("-"), 201))
	key := secret.FromString("key")
	f.Fuzz(func(t *testing.T, typed []byte) {
		digest := token.AccessPassDigest(key, "tap_1", secret.New(typed))
		if len(digest) != 32 {
			t.Errorf("a digest of %d bytes, want 32", len(digest))
		}
		spaced := append([]byte(" -"), typed...)
		if len(spaced) <= 200 && !bytes.Equal(digest, token.AccessPassDigest(key, "tap_1", secret.New(spaced))) {
			t.Errorf("%q is another code with a space before it", typed)
		}
	})
}

func TestEnrolment(t *testing.T) {
	lock := id.New[id.KindLock](time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC))
	root := sha256.Sum256([]byte("root"))
	e := token.NewEnrolment(lock, root)
	text := e.Secret().ExposeString()
	if !strings.HasPrefix(text, "khe_"+string(lock)+"_") || !strings.HasSuffix(text, "_"+base64.RawURLEncoding.EncodeToString(root[:])) {
		t.Errorf("Secret() = %s", text)
	}
	got, ok := token.ParseEnrolment(text)
	if !ok || got.Lock != lock || got.Root != root || !bytes.Equal(got.Digest(), e.Digest()) {
		t.Errorf("ParseEnrolment() = %+v, %v", got, ok)
	}
	if bytes.Equal(token.NewEnrolment(lock, root).Digest(), e.Digest()) {
		t.Error("two tokens are alike")
	}
	for name, bad := range map[string]string{
		"empty": "", "cut": text[:len(text)-1], "longer": text + "a", "another head": "kha" + text[3:], "no lock": strings.Replace(text, "lock_", "user_", 1),
		"a line of its own": text[:len(text)-1] + "\n", "a secret with a dot": text[:len("khe_")+len(lock)+2] + "." + text[len("khe_")+len(lock)+3:],
	} {
		if _, ok := token.ParseEnrolment(bad); ok {
			t.Errorf("%s: ParseEnrolment(%q) is accepted", name, bad)
		}
	}
}

func FuzzParseEnrolment(f *testing.F) {
	f.Add(token.NewEnrolment(id.New[id.KindLock](time.UnixMilli(1)), sha256.Sum256(nil)).Secret().ExposeString())
	f.Fuzz(func(t *testing.T, s string) {
		if e, ok := token.ParseEnrolment(s); ok && e.Secret().ExposeString() != s {
			t.Errorf("ParseEnrolment(%q) reads %q", s, e.Secret().ExposeString())
		}
	})
}
