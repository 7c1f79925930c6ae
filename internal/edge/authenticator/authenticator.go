// Package authenticator answers the programs of workstations, which hold Clients keys and a
// key pair of their own: they relay what a website asks a security key for. It reads
// requests, has client, card and vault decide, and renders. It knows no other key and no
// session.
package authenticator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/flow/enrol"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
)

// Prefix is where the paths of this edge begin.
const Prefix = "/authenticator"

// Config is what the edge is made from.
type Config struct {
	Keys         *apikey.Service
	Clients      *client.Service
	Authenticate *authenticate.Service
	Enrol        *enrol.Service
	// PublicURL is where programs reach the server: proofs name it.
	PublicURL *url.URL
}

type edge struct{ c Config }

// Register mounts the edge on mux.
//
// route registration
func Register(mux *http.ServeMux, c Config) {
	e := &edge{c: c}
	const v1 = Prefix + "/v1"
	mux.HandleFunc("GET "+v1+"/whoami", e.whoami)
	mux.HandleFunc("GET "+v1+"/nonce", e.nonce)
	mux.HandleFunc("POST "+v1+"/clients", e.enrol)
	mux.HandleFunc("GET "+v1+"/info", e.asClient(e.info))
	mux.HandleFunc("POST "+v1+"/taps", e.asClient(e.tap))
	mux.HandleFunc("POST "+v1+"/taps/{tap}/verify", e.asClient(e.verify))
	mux.HandleFunc("POST "+v1+"/make-credential", e.asClient(e.makeCredential))
	mux.HandleFunc("POST "+v1+"/get-assertion", e.asClient(e.getAssertion))
	mux.HandleFunc("POST "+v1+"/pin/change", e.asClient(e.changePIN))
	mux.HandleFunc(Prefix+"/", kit.RefuseUnknown)
}

// maxBody bounds a request's body, in bytes: options are at most half of it.
const maxBody = 128 << 10

// maxAlone bounds the body of who shows no token, in bytes.
const maxAlone = 8 << 10

// request is a request whose token was accepted, or one that may have none.
type request struct {
	w     http.ResponseWriter
	r     *http.Request
	body  []byte
	token string
	by    auth.Caller // of the API key, or of the client
	id    apikey.Identity
}

// open reads a request and accepts its token, or answers and returns false.
func (e *edge) open(w http.ResponseWriter, r *http.Request) (*request, bool) {
	w.Header().Set("Cache-Control", "no-store")
	q := &request{w: w, r: r}
	text, _, ok := kit.Bearer(r)
	if !ok {
		q.refuse(r.Context(), fault.Unauthenticated())
		return nil, false
	}
	q.token = text
	err := e.c.Keys.IdentifyInto(r.Context(), kit.Nobody(r.Context()), text, apikey.Clients, &q.id)
	if err != nil {
		q.refuse(r.Context(), err)
		return nil, false
	}
	q.by = q.id.Caller
	kit.NoteCaller(r.Context(), q.by)
	ok = q.readBody(r.Context(), maxBody)
	return q, ok
}

// readBody reads the body, or answers and returns false.
func (q *request) readBody(ctx context.Context, most int64) bool {
	var err error
	if q.body, err = io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, most)); err != nil {
		q.refuse(ctx, fault.Invalid("body_too_large", "The body is too large, or broke off."))
		return false
	}
	return true
}

// shown returns what the request shows for its proof.
func (e *edge) shown(q *request) client.Shown {
	proofs := q.r.Header.Values("DPoP")
	s := client.Shown{Token: q.token, Method: q.r.Method, URL: e.c.PublicURL.JoinPath(q.r.URL.EscapedPath()).String(), Body: q.body}
	if len(proofs) == 1 { // RFC 9449 §4.3 check 1
		s.Proof = proofs[0]
	}
	return s
}

// handler answers a client that proved itself.
type handler func(ctx context.Context, q *request) (any, error)

// asClient has the token and the proof checked before the handler runs.
func (e *edge) asClient(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, ok := e.open(w, r)
		if !ok {
			return
		}
		ctx := r.Context()
		by, err := e.c.Clients.Verify(ctx, q.by, e.shown(q))
		if err != nil {
			q.refuseWithNonce(ctx, e, err)
			return
		}
		q.by = by
		kit.NoteCaller(ctx, by)
		answer, err := h(ctx, q)
		if err != nil {
			q.refuse(ctx, e.whyNot(ctx, by, err))
			return
		}
		status := http.StatusOK
		if _, is := answer.(tapped); is {
			status = http.StatusCreated
		}
		kit.WriteJSON(w, status, "application/json", answer)
	}
}

// whyNot returns a better error for a client that is nobody any more.
func (e *edge) whyNot(ctx context.Context, by auth.Caller, err error) error {
	if f, is := fault.As(err); !is || f.Code != fault.Unauthenticated().Code {
		return err
	}
	if why := e.c.Clients.WhyNot(ctx, by); why != nil {
		return why
	}
	return err
}

// refuseWithNonce answers an error, with a fresh nonce if that is what is wanted.
func (q *request) refuseWithNonce(ctx context.Context, e *edge, err error) {
	if f, is := fault.As(err); is && f.Code == client.UseNonce().Code {
		q.w.Header().Set("DPoP-Nonce", e.c.Clients.Nonce(ctx, q.by))
	}
	q.refuse(ctx, err)
}

// problem is an answer that says no, with what clients are told besides.
type problem struct {
	*kit.Problem
	Name        string     `json:"name,omitempty"`         // of the error in WebAuthn
	TriesLeft   *int       `json:"tries_left,omitempty"`   // of a PIN
	PausedUntil *time.Time `json:"paused_until,omitempty"` // before then no PIN is compared
}

// names are the errors of WebAuthn by the codes of their answers.
//
// constant: a table.
var names = map[string]string{
	"not_allowed_error":   ctap.NotAllowedError,
	"invalid_state_error": ctap.InvalidStateError,
	"not_supported_error": ctap.NotSupportedError,
	"constraint_error":    ctap.ConstraintError,
	"security_error":      ctap.SecurityError,
	"unknown_error":       ctap.UnknownError,
	"syntax_error":        ctap.SyntaxError,
	"type_error":          ctap.TypeError,
}

func (q *request) refuse(ctx context.Context, err error) {
	p := problem{Problem: kit.ProblemOf(ctx, err)}
	p.Name = names[p.Code]
	if tried, is := err.(*tryError); is { //nolint:errorlint // never wrapped: it is made here
		if tried.try.Left > 0 || p.Code == "pin_locked" {
			p.TriesLeft = &tried.try.Left
		}
		if !tried.try.PausedUntil.IsZero() {
			p.PausedUntil = &tried.try.PausedUntil
		}
	}
	for name := range p.GetHeaders() {
		q.w.Header().Set(name, p.GetHeaders().Get(name))
	}
	if p.Status == http.StatusUnauthorized {
		q.w.Header().Add("WWW-Authenticate", `DPoP algs="ES256"`)
	}
	kit.WriteJSON(q.w, p.Status, p.ContentType(""), p)
}

// read reads the body's one JSON object. Unknown members are refused.
func read[T any](q *request) (in T, err error) {
	d := json.NewDecoder(strings.NewReader(string(q.body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, fault.Invalid("invalid_json", "The body is not the JSON that is wanted here.").Because(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return in, fault.Invalid("invalid_json", "There is more than one JSON value in the body.")
	}
	return in, nil
}

// hidden is text that must not be seen, as JSON brings it.
type hidden struct{ secret.Bytes }

// UnmarshalJSON reads a string.
func (h *hidden) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	h.Bytes = secret.FromString(text)
	return nil
}
