package kit_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
)

// cursors signs for every workspace but ws_none, each with a key of its own.
func cursors() kit.Cursors {
	return kit.Cursors{Secrets: func(_ context.Context, w id.Workspace) (secret.Bytes, error) {
		if w == "ws_none" {
			return secret.Bytes{}, errors.New("no key")
		}
		return secret.FromString("key of " + string(w)), nil
	}}
}

func TestCursors_roundTrip(t *testing.T) {
	c, ctx := cursors(), context.Background()
	for _, want := range []page.Position{{}, {Value: "ada", ID: "user_1"}, {Value: "Ä\x00\"\\", ID: "x"}, {Value: strings.Repeat("a", 1200), ID: "x"}, {ID: "only"}} {
		text, err := c.Encode(ctx, "ws_1", "users sort=name", want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decode(ctx, "ws_1", "users sort=name", text)
		if err != nil || got != want {
			t.Errorf("Decode(Encode(%+v)) = %+v (%v)", want, got, err)
		}
	}
	if _, err := c.Encode(ctx, "ws_none", "q", page.Position{ID: "x"}); err == nil {
		t.Error("Encode() = nil without a key, want an error")
	}
}

func TestCursors_refuse(t *testing.T) {
	c, ctx := cursors(), context.Background()
	text, err := c.Encode(ctx, "ws_1", "users sort=name", page.Position{Value: "ada", ID: "user_1"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string][3]string{
		"another workspace": {"ws_2", "users sort=name", text}, "another query": {"ws_1", "users sort=email", text}, "no query": {"ws_1", "", text},
		"cut": {"ws_1", "users sort=name", text[:len(text)-4]}, "too long": {"ws_1", "users sort=name", strings.Repeat("A", 4096)},
		"no base64": {"ws_1", "users sort=name", "!!!"}, "padded": {"ws_1", "users sort=name", text + "="}, "only a sum": {"ws_1", "users sort=name", text[:43]},
		// The query's length is signed: its end cannot become the body's beginning.
		"a piece of the query": {"ws_1", "users sort=nam", text},
	}
	for i := range raw {
		changed := append([]byte{}, raw...)
		changed[i] ^= 1
		bad["byte "+string(rune('a'+i))] = [3]string{"ws_1", "users sort=name", base64.RawURLEncoding.EncodeToString(changed)}
	}
	for what, in := range bad {
		got, err := c.Decode(ctx, id.Workspace(in[0]), in[1], in[2])
		if f, ok := fault.As(err); !ok || f.Code != "invalid_cursor" || !got.IsZero() {
			t.Errorf("%s: Decode() = %+v (%v), want invalid_cursor", what, got, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	c, ctx := cursors(), context.Background()
	for _, p := range []page.Position{{Value: "ada", ID: "user_1"}, {Value: "1772443800000", ID: "act_1"}, {ID: "x"}} {
		text, err := c.Encode(ctx, "ws_1", "q", p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("ws_1", "q", text)
	}
	f.Add("", "", "")
	f.Add("ws_1", "q", "AAAA")
	f.Fuzz(func(t *testing.T, w, query, text string) {
		p, err := c.Decode(ctx, id.Workspace(w), query, text)
		if w == "ws_none" {
			return
		}
		if err != nil {
			if f, ok := fault.As(err); !ok || f.Code != "invalid_cursor" {
				t.Errorf("Decode(%q) = %v, want a position or invalid_cursor", text, err)
			}
			return
		}
		again, err := c.Encode(ctx, id.Workspace(w), query, p)
		if err != nil || text != "" && again == "" {
			t.Errorf("Decode(%q) = %+v, which encodes as %q (%v)", text, p, again, err)
		}
	})
}
