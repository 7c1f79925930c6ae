package kit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/edge/kit"
)

// noSessions accepts nobody.
type noSessions struct{}

func (noSessions) VerifySession(context.Context, auth.Caller, secret.Bytes) (auth.Caller, error) {
	return auth.Caller{}, fault.Unauthenticated()
}

func newKit(t *testing.T, public string, proxies ...string) (*kit.Kit, *bytes.Buffer) {
	t.Helper()
	u, err := url.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	c := kit.Config{PublicURL: u, Clock: clock.System{}, Sessions: noSessions{}, Metrics: prometheus.NewRegistry()}
	for _, p := range proxies {
		c.Proxies = append(c.Proxies, netip.MustParsePrefix(p))
	}
	log := &bytes.Buffer{}
	c.Log = slog.New(slog.NewJSONHandler(log, nil))
	return kit.New(c), log
}

func TestObserve_believesForwardingHeadersOfProxiesOnly(t *testing.T) {
	for _, c := range []struct{ name, peer, forwarded, want string }{
		{"no proxy", "203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"a proxy", "10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"an invented first hop", "10.0.0.1:1", "1.2.3.4, 198.51.100.1", "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", "198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"proxies only", "10.0.0.1:1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"nonsense", "10.0.0.1:1", "198.51.100.1, <script>", "10.0.0.1"},
		{"no header", "10.0.0.1:1", "", "10.0.0.1"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:1", "198.51.100.1", "198.51.100.1"},
		{"IPv6", "10.0.0.1:1", "2001:db8::7", "2001:db8::7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, _ := newKit(t, "https://keys.example.com", "10.0.0.0/8")
			var got string
			h := k.Observe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = kit.Nobody(r.Context()).IP }))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = c.peer
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("IP = %q, want %q", got, c.want)
			}
		})
	}
}

func TestObserve_writesOneEventWithoutSecrets(t *testing.T) {
	k, log := newKit(t, "https://keys.example.com")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /things/{id}", func(w http.ResponseWriter, r *http.Request) {
		_ = kit.NoteError(r.Context(), fault.NotFound("thing_not_found", "No.").Because(context.Canceled)) // for the log
		w.WriteHeader(http.StatusNotFound)
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/things/canary-path?link=canary-query", strings.NewReader("canary-body"))
	r.Header.Set("Authorization", "Bearer canary-token")
	r.Header.Set("Cookie", "keyhold_session=canary-cookie")
	rec := httptest.NewRecorder()
	k.Observe(mux).ServeHTTP(rec, r)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("log lines = %d, want 1:\n%s", len(lines), log)
	}
	for _, want := range []string{`"route":"POST /things/{id}"`, `"status":404`, `"fault":"thing_not_found"`, `context canceled`, rec.Header().Get("X-Request-Id")} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the event lacks %s: %s", want, lines[0])
		}
	}
	if strings.Contains(lines[0], "canary") {
		t.Errorf("the event tells a secret: %s", lines[0])
	}
}

func TestObserve_panicIsAnAnswerWithTheRequestIDOnly(t *testing.T) {
	k, log := newKit(t, "https://keys.example.com")
	rec := httptest.NewRecorder()
	h := k.Observe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("private detail") }))
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	id := rec.Header().Get("X-Request-Id")
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "private") || !strings.Contains(rec.Body.String(), id) {
		t.Errorf("answer = %d %q, want 500 with the request id and no detail", rec.Code, rec.Body)
	}
	if !strings.Contains(log.String(), "private detail") || !strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Errorf("the log lacks the panic: %s", log)
	}
}

func TestRedirectToPublic_leadsBrowsersAwayFromBareIPs(t *testing.T) {
	k, _ := newKit(t, "http://localhost:8080")
	h := k.RedirectToPublic(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		host, accept string
		want         int
	}{
		{"127.0.0.1:8080", "text/html", http.StatusTemporaryRedirect},
		{"[::1]:8080", "text/html", http.StatusTemporaryRedirect},
		{"192.0.2.1", "text/html,*/*", http.StatusTemporaryRedirect},
		{"127.0.0.1:8080", "application/json", http.StatusTeapot},
		{"localhost:8080", "text/html", http.StatusTeapot},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/users?q=a", nil)
		r.Host = c.host
		r.Header.Set("Accept", c.accept)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s for %s = %d, want %d", c.host, c.accept, rec.Code, c.want)
		}
		if to := rec.Header().Get("Location"); rec.Code == http.StatusTemporaryRedirect && to != "http://localhost:8080/users?q=a" {
			t.Errorf("Location = %q, want the public URL with path and query", to)
		}
	}
}

func TestSession_cookieIsBoundToItsHostOnHTTPS(t *testing.T) {
	for public, want := range map[string][]string{
		"https://keys.example.com": {"__Host-keyhold_session=v", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"},
		"http://localhost:8080":    {"keyhold_session=v", "Path=/", "HttpOnly", "SameSite=Lax"},
	} {
		k, _ := newKit(t, public)
		rec := httptest.NewRecorder()
		k.SetSession(rec, secret.FromString("v"), time.Now().Add(time.Hour))
		got := rec.Header().Get("Set-Cookie")
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("cookie of %s = %q, want %s in it", public, got, part)
			}
		}
		if strings.HasPrefix(public, "http://") == strings.Contains(got, "Secure") || strings.Contains(got, "Domain") {
			t.Errorf("cookie of %s = %q", public, got)
		}
	}
}

func TestNoteError_databaseOutOfReachIsUnavailable(t *testing.T) {
	f := kit.NoteError(t.Context(), fmt.Errorf("listing users: %w: disk full", tx.ErrUnavailable))
	h := http.Header{}
	kit.RetryAfter(h, f)
	if kit.Status(f) != http.StatusServiceUnavailable || h.Get("Retry-After") != "5" || strings.Contains(f.Public, "disk") {
		t.Errorf("answer = %d, Retry-After %q, %q; want 503, 5 and no detail", kit.Status(f), h.Get("Retry-After"), f.Public)
	}
	if f := kit.NoteError(t.Context(), context.Canceled); kit.Status(f) != http.StatusInternalServerError {
		t.Errorf("another error = %d, want 500", kit.Status(f))
	}
}
