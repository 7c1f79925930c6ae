// Package once carries a request's idempotency key from the edge to the
// transaction of its act. It decides what names a request and what a repeat is
// told; it refuses to know how the row is kept.
package once

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
)

// Lifetime is how long a key is remembered.
const Lifetime = 24 * time.Hour

// MaxKey bounds a key's length, in bytes.
const MaxKey = 200

// Request is one request with an idempotency key. The zero value is not valid:
// use New.
type Request struct {
	Digest string // of workspace, caller, method, path and key
	Body   string // of the body
	note   string
}

// New returns the request of a caller. The key is not kept, only a digest.
func New(by auth.Caller, method, path, key string, body []byte) *Request {
	h := sha256.New()
	for _, part := range []string{string(by.Workspace), string(by.Kind), by.Identity(), method, path, key} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	sum := sha256.Sum256(body)
	return &Request{Digest: hex.EncodeToString(h.Sum(nil)), Body: hex.EncodeToString(sum[:])}
}

type contextKey struct{}

// With returns a context that carries the request.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// From returns the request that the context carries, or false.
func From(ctx context.Context) (*Request, bool) {
	r, ok := ctx.Value(contextKey{}).(*Request)
	return r, ok
}

// Note keeps what a repeat of the request in ctx is answered from: the id of what
// was made, or a short text without secrets. Without a request it does nothing.
// Call it inside the act's transaction.
func Note(ctx context.Context, text string) {
	if r, ok := From(ctx); ok {
		r.note = text
	}
}

// failure is a row of a bulk act that failed, as it is noted.
type failure struct {
	Code   string `json:"c"`
	Public string `json:"p"`
}

// NoteFailures notes for a repeat of a bulk act which of its rows failed, and why. Like
// Note it is called inside the act's transaction.
func NoteFailures[K ~string](ctx context.Context, faults map[K]*fault.Error) {
	failed := make(map[K]failure, len(faults))
	for row, f := range faults {
		failed[row] = failure{f.Code, f.Public}
	}
	text, err := json.Marshal(failed)
	if err != nil {
		text = []byte("{}") // a map of texts: json writes it
	}
	Note(ctx, string(text))
}

// Failures returns what NoteFailures noted, each as a Conflict.
func Failures[K ~string](note string) map[K]*fault.Error {
	var failed map[K]failure
	_ = json.Unmarshal([]byte(note), &failed) // our own note
	faults := make(map[K]*fault.Error, len(failed))
	for row, f := range failed {
		faults[row] = fault.Conflict(f.Code, f.Public)
	}
	return faults
}

// Noted returns what Note kept, and forgets it.
func (r *Request) Noted() string {
	note := r.note
	r.note = ""
	return note
}

// Repeated is the error with which an act ends whose request was answered before.
// Nothing was done; Note is what the first one left.
type Repeated struct{ Note string }

// Error says that the request is a repeat.
func (*Repeated) Error() string { return "this request was answered before" }

// Reused is the fault for a key that came with another body before.
func Reused() *fault.Error {
	return fault.Invalid("idempotency_key_reused", "This Idempotency-Key was used with another body before.",
		fault.Field{Name: "Idempotency-Key", Message: "belongs to another request; send a new one"})
}
