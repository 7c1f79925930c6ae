// Package lockgate is where the controllers of doors come in: their enrolment on the public
// port, and the link on a port of its own, with a client's certificate. It carries frames and
// decides nothing: package smartlock does.
package lockgate

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// The paths of this edge: the first on the public port, the second on the link's.
const (
	EnrolPath = "/locks/v1/enrol"
	LinkPath  = "/locks/v1/link"
)

// Bounds of the link's port.
const (
	maxLinks     = 20_000
	maxStarting  = 1_000 // connections that are no links yet
	startTimeout = 10 * time.Second
	maxHeader    = 8 << 10 // bytes
	maxEnrolBody = 16 << 10
)

// Signals tell when something changed.
type Signals interface {
	Subscribe(topic signal.Topic) (heard <-chan struct{}, cancel func())
}

// Config is what a Gate needs. All fields are required but Stopping.
type Config struct {
	Locks       *smartlock.Service
	Authorities smartlock.AuthorityReader
	Signals     Signals
	Clock       clock.Clock
	Log         *slog.Logger
	// Stopping is closed when the server stops: links end then.
	Stopping <-chan struct{}
}

// Stats are counts since the start, but for Links: those that are open now. Frames are
// those of controllers.
type Stats struct{ Links, Opened, Refused, Frames int64 }

// Gate is the edge. Use New. It is safe for use by several goroutines.
type Gate struct {
	c       Config
	certify certifier

	links, opened, refused, told atomic.Int64

	mu      sync.Mutex
	stopped bool           // guarded by mu: no link begins any more
	running sync.WaitGroup // Add is guarded by mu
}

// New returns the edge.
func New(c Config) *Gate {
	return &Gate{c: c, certify: certifier{authorities: c.Authorities, clock: c.Clock, known: map[string]known{}}}
}

// Stats returns the counts.
func (g *Gate) Stats() Stats {
	return Stats{Links: g.links.Load(), Opened: g.opened.Load(), Refused: g.refused.Load(), Frames: g.told.Load()}
}

// RegisterPublic mounts what controllers ask on the public port.
func (g *Gate) RegisterPublic(mux *http.ServeMux) {
	mux.HandleFunc("POST "+EnrolPath, g.enrol)
}

// enrol answers a token and a certificate request with what the controller needs.
func (g *Gate) enrol(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxEnrolBody)
	var in struct {
		Token string `json:"token"`
		CSR   string `json:"csr"`
	}
	if err := kit.ReadJSON(r, &in); err != nil {
		kit.Refuse(w, r, err)
		return
	}
	answer, err := g.c.Locks.Enrol(r.Context(), kit.Nobody(r.Context()), in.Token, []byte(in.CSR))
	if err != nil {
		kit.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/cose")
	_, _ = w.Write(answer) // the reader is gone: nobody is left to tell
}

// Serve takes links from the listener until ctx ends or the server stops, and returns once
// all links have ended.
func (g *Gate) Serve(ctx context.Context, listener net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+LinkPath, g.link)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: startTimeout, IdleTimeout: startTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(g.c.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-ctx.Done():
		case <-g.c.Stopping:
		case <-over:
		}
		g.mu.Lock()
		g.stopped = true
		g.mu.Unlock()
		stop()
		_ = server.Close() // nothing hangs on what is no link yet
	})
	err := server.Serve(g.certify.listen(bounded(listener, maxLinks+maxStarting))) //nolint:contextcheck // a handshake has its own
	close(over)
	watching.Wait()
	g.running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// enter begins a link, if there may be one more.
func (g *Gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped || g.links.Load() >= maxLinks {
		return false
	}
	g.links.Add(1)
	g.running.Add(1)
	return true
}

func (g *Gate) leave() {
	g.links.Add(-1)
	g.running.Done()
}

// link answers whoever showed the certificate of a controller.
func (g *Gate) link(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "There are too many links.", http.StatusServiceUnavailable)
		return
	}
	defer g.leave()
	by, err := g.verify(r)
	if err != nil {
		g.refused.Add(1)
		g.c.Log.Info("a controller was refused", "ip", by.IP, "error", err)
		status := http.StatusServiceUnavailable
		if _, is := fault.As(err); is {
			status = http.StatusUnauthorized
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		g.refused.Add(1)
		return // it was answered
	}
	conn.SetReadLimit(grant.MaxUp)
	g.opened.Add(1)
	l := &link{Gate: g, conn: conn, by: by, name: randomName("link_")}
	code, reason := l.run(r.Context())
	g.c.Log.Info("a lock's link ended", "lock", string(by.Lock), "workspace", string(by.Workspace), "code", int(code), "reason", reason)
}

// verify returns the controller who shows the connection's certificate.
func (g *Gate) verify(r *http.Request) (auth.Caller, error) {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	nobody := auth.Nobody(ip, r.UserAgent(), randomName("req_"))
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nobody, fault.Unauthenticated()
	}
	w, ok := smartlock.WorkspaceOfServerName(r.TLS.ServerName)
	lock, serial, named := smartlock.CertificateOf(r.TLS.PeerCertificates[0])
	if !ok || !named {
		return nobody, fault.Unauthenticated()
	}
	by, err := g.c.Locks.Verify(r.Context(), nobody, lock, serial)
	if err != nil {
		return nobody, err
	}
	if by.Workspace != w {
		return nobody, fault.Unauthenticated()
	}
	return by, nil
}

// randomName returns a name that nobody guesses.
func randomName(prefix string) string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // crypto/rand.Read never returns an error
	return prefix + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
}
