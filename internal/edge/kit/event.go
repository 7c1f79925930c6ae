package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
)

// event gathers what is known of a request: it becomes one log line at the end.
type event struct {
	ip, agent, requestID string

	mu     sync.Mutex
	caller noted  // guarded by mu
	fault  string // guarded by mu
	err    error  // guarded by mu
	stream bool   // it lasts as long as its reader stays; set by the handler alone
}

// noted is what the line says of a caller.
type noted struct {
	kind      auth.Kind
	workspace id.Workspace
	id        string
}

// observed is what a request needs of us, made at once.
type observed struct {
	event    event
	recorder recorder
	id       [1]string // the header's value
}

type eventKey struct{}

func eventOf(ctx context.Context) *event {
	e, ok := ctx.Value(eventKey{}).(*event)
	if !ok {
		return &event{}
	}
	return e
}

// Nobody returns the anonymous caller of the request: its IP, agent and id.
func Nobody(ctx context.Context) auth.Caller {
	e := eventOf(ctx)
	return auth.Nobody(e.ip, e.agent, e.requestID)
}

// RequestID returns the request's id.
func RequestID(ctx context.Context) string { return eventOf(ctx).requestID }

// NoteCaller puts the caller into the request's log line.
func NoteCaller(ctx context.Context, c auth.Caller) {
	e := eventOf(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.caller = noted{c.Kind, c.Workspace, c.Identity()}
}

// NoteFault puts the code of the answer into the request's log line.
func NoteFault(ctx context.Context, code string) {
	e := eventOf(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = code
}

// retryUnavailable is when to come back to a database that does not answer.
const retryUnavailable = 5 * time.Second

// NoteError puts an error's cause into the request's log line and returns the
// fault to answer: the one inside err, or an internal one that tells nothing.
func NoteError(ctx context.Context, err error) *fault.Error {
	f, ok := fault.As(err)
	switch {
	case ok:
	case errors.Is(err, tx.ErrUnavailable):
		f = fault.Unavailable("database_unavailable", "The database does not answer right now. Look whether it was done before you repeat it.", retryUnavailable)
	default:
		f = &fault.Error{Code: "internal", Public: "Something went wrong on our side. The request ID helps to find out what."}
	}
	e := eventOf(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault, e.err = f.Code, err
	return f
}

// Status returns the HTTP status of a fault: the one table of the house.
func Status(f *fault.Error) int {
	switch f.Kind {
	case fault.KindInvalid:
		return http.StatusUnprocessableEntity
	case fault.KindUnauthenticated:
		return http.StatusUnauthorized
	case fault.KindForbidden:
		return http.StatusForbidden
	case fault.KindNotFound:
		return http.StatusNotFound
	case fault.KindConflict:
		return http.StatusConflict
	case fault.KindPrecondition:
		return http.StatusPreconditionFailed
	case fault.KindTooMany:
		return http.StatusTooManyRequests
	case fault.KindUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// RetryAfter sets the header of that name if the fault says when to come back.
func RetryAfter(h http.Header, f *fault.Error) {
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
}

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	known *knownSeries
}

// knownSeries holds what was looked up by labels once.
type knownSeries struct {
	mu sync.RWMutex
	of map[series]measured // guarded by mu
}

// series is what the metrics tell apart.
type series struct {
	route, method string
	status        int
}

type measured struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

func (m metrics) of(route, method string, status int) measured {
	s := series{route, method, status}
	m.known.mu.RLock()
	v, ok := m.known.of[s]
	m.known.mu.RUnlock()
	if ok {
		return v
	}
	v = measured{requests: m.requests.WithLabelValues(route, method, strconv.Itoa(status)), seconds: m.seconds.WithLabelValues(route)}
	m.known.mu.Lock()
	defer m.known.mu.Unlock()
	m.known.of[s] = v
	return v
}

// newRequestID returns an id that tells requests apart, and is no secret.
func newRequestID() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	out := [4 + 26]byte{'r', 'e', 'q', '_'}
	hi, lo := rand.Uint64(), rand.Uint64() //nolint:gosec // as the docstring says
	for i := range 13 {
		out[4+i], out[17+i] = letters[hi&31], letters[lo&31]
		hi, lo = hi>>5, lo>>5
	}
	return string(out[:])
}

func newMetrics(reg *prometheus.Registry) metrics {
	m := metrics{
		known: &knownSeries{of: map[series]measured{}},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyhold_http_requests_total", Help: "Requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keyhold_http_request_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"route"}),
	}
	reg.MustRegister(m.requests, m.seconds)
	return m
}

// Observe wraps a whole server: it gives each request an id, recovers panics, and
// writes one log line and the metrics at its end. Query strings, bodies, cookies
// and tokens are never logged.
func (k *Kit) Observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watch := clock.StartStopwatch()
		requestID := newRequestID()
		o := &observed{id: [1]string{requestID}}
		e, rec := &o.event, &o.recorder
		e.ip, e.agent, e.requestID = k.clientIP(r), clean(r.UserAgent()), requestID
		rec.ResponseWriter = w
		r = r.WithContext(context.WithValue(r.Context(), eventKey{}, e))
		w.Header()["X-Request-Id"] = o.id[:]
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					k.finish(r, rec, e, watch)
					panic(p)
				}
				e.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				e.fault = "internal"
				if rec.status == 0 {
					http.Error(rec, "Something went wrong on our side. Request ID: "+requestID, http.StatusInternalServerError)
				}
			}
			k.finish(r, rec, e, watch)
		}()
		next.ServeHTTP(rec, r)
	})
}

func (k *Kit) finish(r *http.Request, rec *recorder, e *event, watch clock.Stopwatch) {
	took := watch.Elapsed()
	e.mu.Lock()
	defer e.mu.Unlock()
	route := r.Pattern
	if route == "" {
		route = "unmatched"
	}
	status := rec.status
	if status == 0 {
		status = http.StatusOK
	}
	m := k.metrics.of(route, method(r.Method), status)
	m.requests.Inc()
	if !e.stream {
		m.seconds.Observe(took.Seconds())
	}
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if !k.c.Log.Enabled(r.Context(), level) {
		return
	}
	var space [14]slog.Attr // as many as there are below
	attrs := append(space[:0],
		slog.String("request_id", e.requestID), slog.String("method", method(r.Method)), slog.String("route", route),
		slog.Int("status", status), slog.Int64("bytes", rec.bytes), slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("ip", e.ip),
	)
	if e.caller.kind != "" {
		attrs = append(attrs, slog.String("workspace", string(e.caller.workspace)),
			slog.String("caller", string(e.caller.kind)), slog.String("caller_id", e.caller.id))
	}
	if e.fault != "" {
		attrs = append(attrs, slog.String("fault", e.fault))
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("error", e.err.Error()))
	}
	at := watch.Start().Add(took)
	if h, ok := k.c.Log.Handler().(attrsHandler); ok {
		_ = h.HandleAttrs(at, level, "request", attrs) // there is nowhere to tell it
		return
	}
	// Without the place in the source, which is the same for all.
	line := slog.NewRecord(at, level, "request", 0)
	line.AddAttrs(attrs...)
	_ = k.c.Log.Handler().Handle(r.Context(), line) // there is nowhere to tell it
}

// attrsHandler is a log's handler that takes a line without a record around it.
type attrsHandler interface {
	HandleAttrs(at time.Time, level slog.Level, message string, attrs []slog.Attr) error
}

// method bounds the metric's label: a caller may send any word as a method.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// clean drops what does not belong into a line of text from foreign text.
func clean(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// recorder remembers status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
