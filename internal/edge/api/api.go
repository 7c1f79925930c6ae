// Package api is the REST API: it parses a request, calls one room or flow, and
// renders the answer. The OpenAPI document is made from the same types.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/edge/kit/assets"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// Prefix is where the API's paths begin.
const Prefix = "/api/v1"

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// Config is what the API is made from. All fields are required.
type Config struct {
	Kit       *kit.Kit
	Assets    *assets.Assets
	Cursors   kit.Cursors
	Directory *directory.Service
	Leave     *leave.Service
	APIKeys   *apikey.Service
	SignIn    *signin.Service
	Record    *activity.Record
	Overview  *overview.Service
	// SecurityKeys is the room of the keys that people sign in with.
	SecurityKeys *securitykey.Service
	DigitalKeys  *digitalkey.Service
	Locks        *smartlock.Service
	// Clients is the room of the programs at workstations, Vault that of the passkeys which
	// people have at websites.
	Clients *client.Service
	Vault   *vault.Service
	Signals *signal.Hub
	Version string
	Log     *slog.Logger // of what no request waits for
	// Reports counts the reports of leaked tokens that are worked on. Whoever stops
	// the server waits for it once no request is under way.
	Reports *sync.WaitGroup
}

// restAPI answers the REST paths.
type restAPI struct {
	c       Config
	huma    huma.API
	reports chan struct{} // holds one for each report that is worked on
}

// Register mounts the API on mux, with its OpenAPI document and the page that shows
// it: route registration.
func Register(mux *http.ServeMux, c Config) error {
	// huma makes all its errors by these two.
	huma.NewErrorWithContext = newProblem
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return newProblem(nil, status, message, errs...)
	}
	config := huma.DefaultConfig("Keyhold", c.Version)
	config.Info.Description = apiDescription
	config.CreateHooks = nil // no $schema fields and links in answers
	config.DocsPath, config.OpenAPIPath, config.SchemasPath = "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An Admin API key's token: kh_admin_…"},
	}
	config.Security = []map[string][]string{{"token": {}}}
	config.Servers = []*huma.Server{{URL: c.Kit.PublicURL("")}}
	a := &restAPI{c: c, huma: humago.New(mux, config), reports: make(chan struct{}, reportsAtOnce)}
	a.huma.UseMiddleware(a.authenticate)

	a.registerMe(mux, config)
	a.registerAccount()
	a.registerAdministrators()
	a.registerUsers()
	a.registerSecurityKeys()
	a.registerDigitalKeys()
	a.registerLocks()
	a.registerClients()
	a.registerCredentials()
	a.registerAccessPasses()
	a.registerActivities()
	a.registerAPIKeys()
	a.registerStatistics()
	a.registerWorkspace()

	document, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	mux.HandleFunc("GET "+Prefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document) // the reader has gone: nothing to do about it
	})
	mux.HandleFunc("GET /api/docs", a.docs)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		kit.Refuse(w, r, fault.NotFound("not_found", "There is nothing at this address."))
	})
	return nil
}

const apiDescription = "The API of a Keyhold workspace. What the panel can do, a program can do here with an Admin API key. " +
	"Errors are RFC 9457 problems with a stable `code`. Lists take `limit` and `cursor` and answer `data` and `next_cursor`. Every POST that has a caller takes an `Idempotency-Key`. " +
	"A token belongs into the `Authorization` header: a request with one in its query is refused. An API key that is used too often answers 429 with `Retry-After`. Times are RFC 3339 in UTC."

type callerKey struct{}

// callerOf returns the caller whom authenticate put into the context.
func callerOf(ctx context.Context) auth.Caller {
	c, _ := ctx.Value(callerKey{}).(auth.Caller)
	return c
}

// authenticate turns a token, or a panel session's cookie, into the caller before
// anything else of the request is looked at. An operation that the document describes
// as open to everybody has no caller.
func (a *restAPI) authenticate(ctx huma.Context, next func(huma.Context)) {
	if needs := ctx.Operation().Security; needs != nil && len(needs) == 0 {
		next(ctx)
		return
	}
	r, w := humago.Unwrap(ctx)
	c, err := a.caller(r)
	if err != nil {
		kit.Refuse(w, r, err)
		return
	}
	inner := context.WithValue(r.Context(), callerKey{}, c)
	if key := r.Header.Get(idempotencyHeader); key != "" && r.Method == http.MethodPost {
		request, err := requestOf(r, c, key)
		if err != nil {
			kit.Refuse(w, r, err)
			return
		}
		inner = once.With(inner, request)
	}
	next(huma.WithContext(ctx, inner))
}

const idempotencyHeader = "Idempotency-Key"

// requestOf returns what names a POST with an idempotency key, and leaves its body
// to be read again.
func requestOf(r *http.Request, c auth.Caller, key string) (*once.Request, error) {
	if len(key) > once.MaxKey {
		return nil, fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: idempotencyHeader, Message: "is too long: at most " + strconv.Itoa(once.MaxKey) + " characters"})
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fault.Invalid("invalid_body", "The body could not be read.").Because(err)
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return once.New(c, r.Method, r.URL.Path, key, body), nil
}

// caller returns who calls. Whoever carries a token in the query is nobody, whatever
// else they carry.
func (a *restAPI) caller(r *http.Request) (auth.Caller, error) {
	text, present, ok := kit.Bearer(r)
	switch {
	case !ok:
		return auth.Caller{}, fault.Unauthenticated()
	case !present:
		return a.c.Kit.SessionCaller(r)
	}
	c, err := a.c.APIKeys.Verify(r.Context(), kit.Nobody(r.Context()), text, apikey.Admin)
	if err == nil {
		kit.NoteCaller(r.Context(), c)
	}
	return c, err
}

// operation describes an operation of the API; errors lists the statuses that it
// answers beside success, 401, 403, 422 and 429.
func operation(id, method, path, summary, description string, errors ...int) huma.Operation {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return huma.Operation{
		OperationID: id, Method: method, Path: Prefix + path, Summary: summary, Description: description, Tags: []string{tag},
		MaxBodyBytes: maxBody, Errors: append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests}, errors...),
	}
}

// handler answers one operation.
type handler[I, O any] func(ctx context.Context, by auth.Caller, in *I) (*O, error)

// register adds an operation whose handler returns faults.
func register[I, O any](a *restAPI, op huma.Operation, handle handler[I, O]) {
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, callerOf(ctx), in)
		if err != nil {
			return nil, kit.ProblemOf(ctx, err)
		}
		return out, nil
	})
}

// registerPost is register for a POST, which takes an Idempotency-Key: a repeat is
// answered by again, from what the first left (see once.Note). By then the gate has
// asked anew whether the caller may, so again reads as a job of the house: a repeat
// tells its caller nothing that the first answer did not.
func registerPost[I, O any](a *restAPI, op huma.Operation, handle handler[I, O],
	again func(ctx context.Context, as auth.Caller, in *I, note string) (*O, error),
) {
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(once.MaxKey)},
		Description: "Makes it safe to send the request again: for 24 hours a repeat with the same key does nothing and is answered with what the first one made, without secrets.",
	})
	register(a, op, func(ctx context.Context, by auth.Caller, in *I) (*O, error) {
		out, err := handle(ctx, by, in)
		if repeat, ok := errors.AsType[*once.Repeated](err); ok {
			return again(ctx, auth.Job(by.Workspace, "repeat"), in, repeat.Note)
		}
		return out, err
	})
}

// optionalTime is a time for JSON: null if it is zero.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
