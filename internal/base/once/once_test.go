package once_test

import (
	"context"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
)

func TestNew_tellsRequestsApart(t *testing.T) {
	by := auth.Caller{Kind: auth.APIKey, Workspace: "ws_1", APIKey: "key_1"}
	other, elsewhere := by, by
	other.APIKey, elsewhere.Workspace = "key_2", "ws_2"
	first := once.New(by, "POST", "/users", "k", []byte("{}"))
	if again := once.New(by, "POST", "/users", "k", []byte("{}")); again.Digest != first.Digest || again.Body != first.Body {
		t.Errorf("New() = %+v, want the same again: %+v", again, first)
	}
	for name, r := range map[string]*once.Request{
		"another caller":        once.New(other, "POST", "/users", "k", nil),
		"another workspace":     once.New(elsewhere, "POST", "/users", "k", nil),
		"another method":        once.New(by, "PUT", "/users", "k", nil),
		"another path":          once.New(by, "POST", "/groups", "k", nil),
		"another key":           once.New(by, "POST", "/users", "l", nil),
		"a border moved":        once.New(by, "POST", "/user", "sk", nil),
		"a border moved to key": once.New(by, "POST", "/usersk", "", nil),
	} {
		if r.Digest == first.Digest {
			t.Errorf("%s has the same digest, want another", name)
		}
	}
	if r := once.New(by, "POST", "/users", "k", []byte("{ }")); r.Digest != first.Digest || r.Body == first.Body {
		t.Errorf("New() with another body = %+v, want the same request and another body than %+v", r, first)
	}
}

func TestNote(t *testing.T) {
	once.Note(context.Background(), "nobody asks") // does nothing
	r := once.New(auth.Caller{}, "POST", "/", "k", nil)
	ctx := once.With(context.Background(), r)
	if got, ok := once.From(ctx); !ok || got != r {
		t.Fatalf("From() = %v, %v, want the request", got, ok)
	}
	once.Note(ctx, "user_1")
	if got := r.Noted(); got != "user_1" {
		t.Errorf("Noted() = %q, want user_1", got)
	}
	if got := r.Noted(); got != "" {
		t.Errorf("Noted() again = %q, want nothing: it is forgotten", got)
	}
}

func TestFailures(t *testing.T) {
	r := once.New(auth.Caller{}, "POST", "/", "k", nil)
	once.NoteFailures(once.With(context.Background(), r), map[id.User]*fault.Error{"user_1": fault.Forbidden("changed", "Somebody changed “it”.")})
	got := once.Failures[id.User](r.Noted())
	if f := got["user_1"]; len(got) != 1 || f == nil || f.Code != "changed" || f.Public != "Somebody changed “it”." || f.Kind != fault.KindConflict {
		t.Errorf("Failures() = %+v, want the one that was noted, as a conflict", got)
	}
	for _, note := range []string{"", "{}", "not ours", "null"} {
		if got := once.Failures[id.User](note); len(got) != 0 {
			t.Errorf("Failures(%q) = %v, want none", note, got)
		}
	}
}
