package id_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
)

func TestNew_sortsByTime(t *testing.T) {
	start := time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)
	var made []string
	seen := map[string]bool{}
	for i := range 300 {
		v := string(id.New[id.KindUser](start.Add(time.Duration(i) * time.Millisecond)))
		if _, ok := id.Parse[id.KindUser](v); !ok || len(v) != len("user_")+26 || seen[v] {
			t.Fatalf("New() = %q, want a new id in canonical form", v)
		}
		seen[v] = true
		made = append(made, v)
	}
	if !slices.IsSorted(made) {
		t.Error("ids do not sort by the moment they were made")
	}
	if a, b := id.New[id.KindUser](start), id.New[id.KindUser](start); a == b {
		t.Errorf("two ids of one moment are both %q", a)
	}
}

func TestNew_isUUIDv7(t *testing.T) {
	at := time.UnixMilli(0x0192_3456_789a)
	raw := id.New[id.KindGroup](at).Bytes()
	if len(raw) != 16 || !bytes.HasPrefix(raw, []byte{0x01, 0x92, 0x34, 0x56, 0x78, 0x9a}) || raw[6]>>4 != 7 || raw[8]>>6 != 2 {
		t.Errorf("New() = %x, want a UUID of version 7, variant 10, of that moment", raw)
	}
}

// The examples of the TypeID specification.
func TestParse_knownForms(t *testing.T) {
	for text, want := range map[string]string{
		"user_00000000000000000000000000": "00000000000000000000000000000000",
		"user_00000000000000000000000001": "00000000000000000000000000000001",
		"user_0000000000000000000000000a": "0000000000000000000000000000000a",
		"user_0123456789abcdefghjkmnpqrs": "0110c8531d0952d8d73e1194e95b5f19",
		"user_7zzzzzzzzzzzzzzzzzzzzzzzzz": "ffffffffffffffffffffffffffffffff",
		"user_01h455vb4pex5vsknk084sn02q": "01890a5dac96774bbcceb302099a8057",
	} {
		v, ok := id.Parse[id.KindUser](text)
		if !ok || hex.EncodeToString(v.Bytes()) != want {
			t.Errorf("Parse(%q) = %x, %v, want %s", text, v.Bytes(), ok, want)
		}
		if again, ok := id.FromBytes[id.KindUser](v.Bytes()); !ok || again != v {
			t.Errorf("FromBytes(%x) = %q, %v, want %q", v.Bytes(), again, ok, v)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	good := string(id.New[id.KindUser](time.UnixMilli(1)))
	for _, s := range []string{
		"", "user_", "user", good[:len(good)-1], good + "0", " " + good, good + " ", strings.ToUpper(good), "grp_" + good[5:], good[5:], "user__" + good[6:],
		"user_8zzzzzzzzzzzzzzzzzzzzzzzzz", "user_0000000000000000000000000u", "user_0000000000000000000000000i", "user_000000000000000000000000\x00\x00", "user_ä0000000000000000000000000",
	} {
		if v, ok := id.Parse[id.KindUser](s); ok || v != "" {
			t.Errorf("Parse(%q) = %q, %v, want nothing", s, v, ok)
		}
	}
	for _, n := range []int{0, 15, 17} {
		if v, ok := id.FromBytes[id.KindUser](make([]byte, n)); ok || v != "" {
			t.Errorf("FromBytes() of %d bytes = %q, %v, want nothing", n, v, ok)
		}
	}
	if b := id.User("user_x").Bytes(); b != nil {
		t.Errorf("Bytes() of no id = %x, want nil", b)
	}
}

func TestKinds_haveTheirPrefixes(t *testing.T) {
	at := time.UnixMilli(1)
	made := []string{
		string(id.New[id.KindWorkspace](at)), string(id.New[id.KindUser](at)), string(id.New[id.KindGroup](at)), string(id.New[id.KindAdministrator](at)),
		string(id.New[id.KindAPIKey](at)), string(id.New[id.KindActivity](at)), string(id.New[id.KindJob](at)), string(id.New[id.KindPasskey](at)),
		string(id.New[id.KindSession](at)), string(id.New[id.KindSetupLink](at)), string(id.New[id.KindCeremony](at)),
	}
	seen := map[string]bool{}
	for _, v := range made {
		prefix, _, _ := strings.Cut(v, "_")
		if seen[prefix] || prefix == "" {
			t.Errorf("the prefix %q stands for two kinds", prefix)
		}
		seen[prefix] = true
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "user_", "user_01h455vb4pex5vsknk084sn02q", "user_7zzzzzzzzzzzzzzzzzzzzzzzzz", "user_8zzzzzzzzzzzzzzzzzzzzzzzzz", "ws_01h455vb4pex5vsknk084sn02q", "user_\xff\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := id.Parse[id.KindUser](s)
		if !ok {
			return
		}
		again, ok := id.FromBytes[id.KindUser](v.Bytes())
		if !ok || string(again) != s {
			t.Errorf("Parse(%q) is %x, whose one form is %q: two spellings of one id", s, v.Bytes(), again)
		}
	})
}
