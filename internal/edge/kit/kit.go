// Package kit is the toolbox of the edges: the request event, callers behind
// cookies and tokens, the mapping of faults to statuses, signed cursors and the
// page shell. It decides nothing that a room decides.
package kit

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Sessions verifies what a browser carries; the sign-in room does it.
type Sessions interface {
	VerifySession(ctx context.Context, by auth.Caller, token secret.Bytes) (auth.Caller, error)
}

// Config is what the kit is made from. All fields but Proxies and Stopping are required.
type Config struct {
	PublicURL *url.URL // scheme and host under which browsers reach the server
	Clock     clock.Clock
	Log       *slog.Logger
	Sessions  Sessions
	Metrics   *prometheus.Registry
	// Proxies are the networks whose forwarding headers count.
	Proxies []netip.Prefix
	// Stopping is closed when the server stops: streams end then.
	Stopping <-chan struct{}
}

// Kit is one set of tools, shared by all edges of a server. Use New.
type Kit struct {
	c       Config
	metrics metrics

	mu      sync.Mutex
	streams map[id.Session]int // guarded by mu
}

// New returns the tools and registers their metrics.
func New(c Config) *Kit {
	return &Kit{c: c, metrics: newMetrics(c.Metrics), streams: map[id.Session]int{}}
}

// PublicURL returns the address under which browsers reach the server, with the
// path joined to it.
func (k *Kit) PublicURL(path string) string { return k.c.PublicURL.JoinPath(path).String() }

// Secure says whether the public URL is https.
func (k *Kit) Secure() bool { return k.c.PublicURL.Scheme == "https" }

// Clock returns the server's clock.
func (k *Kit) Clock() clock.Clock { return k.c.Clock }

// clientIP returns the address that the request came from. Forwarding headers
// count only if the connection comes from a configured proxy: then it is the last
// address in X-Forwarded-For that is not a proxy's itself.
func (k *Kit) clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if len(k.c.Proxies) == 0 {
		return host
	}
	peer, err := netip.ParseAddr(host)
	if err != nil || !k.isProxy(peer) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	last := peer
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		last = hop
		if !k.isProxy(hop) {
			break
		}
	}
	return last.Unmap().String()
}

func (k *Kit) isProxy(a netip.Addr) bool {
	for _, p := range k.c.Proxies {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// RedirectToPublic sends a browser that came by a bare IP address to the public
// URL: an IP address is no relying party id, so no passkey works there.
func (k *Kit) RedirectToPublic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isPage := (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Header.Get("Accept"), "text/html")
		if !isPage || !isAddress(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		to := *k.c.PublicURL
		to.Path, to.RawQuery = r.URL.Path, r.URL.RawQuery
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	})
}

// isAddress says whether a request's host is a bare IP address.
func isAddress(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// Protect sets the headers that bound what a page may do, and refuses unsafe
// requests that a browser sends from another origin.
func (k *Kit) Protect(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		NoteFault(r.Context(), "cross_origin")
		http.Error(w, "This request came from another site.", http.StatusForbidden)
	}))
	inner := guard.Handler(next)
	pages, programs := k.protection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := pages
		if forPrograms(r.URL.Path) {
			set = programs
		}
		h := w.Header()
		for _, p := range set {
			h[p.name] = p.value
		}
		inner.ServeHTTP(w, r)
	})
}

// header is one with its value, ready to be set: the slice is shared by all answers,
// and has no room for another value.
type header struct {
	name  string // canonical
	value []string
}

// protection returns the headers of pages and those of answers that programs read,
// which show nothing and open nothing.
func (k *Kit) protection() (pages, programs []header) {
	add := func(list *[]header, name, value string) {
		*list = append(*list, header{http.CanonicalHeaderKey(name), []string{value}[:1:1]})
	}
	add(&pages, "Content-Security-Policy", contentSecurityPolicy)
	add(&pages, "Cross-Origin-Opener-Policy", "same-origin")
	add(&pages, "Permissions-Policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	add(&programs, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	add(&pages, "Referrer-Policy", "no-referrer") // nothing leads on from the others
	for _, list := range []*[]header{&pages, &programs} {
		add(list, "X-Content-Type-Options", "nosniff")
		if k.Secure() {
			add(list, "Strict-Transport-Security", "max-age=31536000")
		}
	}
	return pages, programs
}

// forPrograms says whether what answers at the path is JSON for programs.
func forPrograms(path string) bool {
	return strings.HasPrefix(path, "/api/v1/") || strings.HasPrefix(path, "/authenticator/") || strings.HasPrefix(path, "/shared-mobile/") ||
		strings.HasPrefix(path, "/locks/v1/")
}

const contentSecurityPolicy = "default-src 'self'; script-src 'self'; style-src 'self'; style-src-attr 'none'; " +
	"img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; object-src 'none'"
