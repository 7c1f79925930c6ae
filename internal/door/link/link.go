// Package link is the world of a door's controller: its folder on disk, its clock, the
// enrolment, and the connection to the server, over which package door's engine hears and
// tells. It decides whom to trust as the server and when to try again. It refuses to know
// what the frames say, but for the controller's own certificate.
package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/door"
)

const (
	dialIn     = 15 * time.Second
	writeIn    = 10 * time.Second
	pingEvery  = 10 * time.Second
	pingIn     = 10 * time.Second
	firstRetry = 500 * time.Millisecond
	slowestTry = 30 * time.Second
	renewEvery = time.Hour // how often a certificate is asked for, at the most
)

// Clock is the machine's clock, from the moment it is made. Use NewClock.
type Clock struct{ began clock.Stopwatch }

// NewClock returns the machine's clock.
func NewClock() Clock { return Clock{clock.StartStopwatch()} }

// Wall returns the machine's date and time.
func (Clock) Wall() time.Time { return clock.System{}.Now() }

// Elapsed returns the time since the clock was made. It stands still while the machine
// sleeps: a controller must not sleep.
func (c Clock) Elapsed() time.Duration { return c.began.Elapsed() }

// Config is what a link is made from.
type Config struct {
	Engine   *door.Engine
	Identity Identity
	// Folder keeps the identity when its certificate is renewed.
	Folder *Folder
	Log    *slog.Logger // nil for none
}

// Link keeps an engine connected and its time kept. It is safe for use by several
// goroutines. Use New.
type Link struct {
	c     Config
	kicks chan struct{} // something may wait to be sent, or to be done

	mu       sync.Mutex
	identity Identity           // guarded by mu
	cut      bool               // guarded by mu
	uncut    chan struct{}      // closed when it is no longer cut; guarded by mu
	drop     context.CancelFunc // ends the connection that is open; guarded by mu
	why      error              // of the last connection's end; guarded by mu
	renewed  time.Time          // when a certificate was asked for, by the door's time; guarded by mu
}

// New returns a link that is not connected: Run connects it.
func New(c Config) *Link {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Link{c: c, identity: c.Identity, kicks: make(chan struct{}, 1), uncut: make(chan struct{}), drop: func() {}}
}

// Enter is a whole entry at the keypad.
func (l *Link) Enter(pin string) door.Verdict {
	defer l.Kick()
	return l.c.Engine.Enter(pin)
}

// Tap is a card at the reader.
func (l *Link) Tap(uid []byte) door.Verdict {
	defer l.Kick()
	return l.c.Engine.Tap(uid)
}

// Kick makes the link look at once for what the engine has to do and to say.
func (l *Link) Kick() {
	select {
	case l.kicks <- struct{}{}:
	default: // one waits already
	}
}

// Cut drops the connection and forbids the next, or allows it again.
func (l *Link) Cut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case cut && !l.cut:
		l.cut = true
		l.drop()
	case !cut && l.cut:
		l.cut = false
		close(l.uncut)
		l.uncut = make(chan struct{})
	}
}

// Reconnect ends the connection, if there is one, and makes another.
func (l *Link) Reconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
}

// Why says how the last connection ended or why there is none; nil while all is well.
func (l *Link) Why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// Run keeps the link and the engine's time until the context ends, and returns its error.
func (l *Link) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var ticking sync.WaitGroup
	sends := make(chan struct{}, 1)
	ticking.Go(func() { l.tick(ctx, sends) })
	defer ticking.Wait()
	defer stop()
	for wait := time.Duration(0); ; {
		if err := l.pause(ctx, wait); err != nil {
			return err
		}
		heard, err := l.connect(ctx, sends)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.ended(explained(err))
		if heard {
			wait = 0
		}
		wait = min(max(wait*2, firstRetry), slowestTry)
	}
}

// errRefused says that the server knows no controller by the door's certificate.
var errRefused = errors.New("the certificate is not known")

// statusRefused is what the server closes a link with whose certificate is good no more.
const statusRefused websocket.StatusCode = 4401

// explained says what to do where the server does not take the door's certificate.
func explained(err error) error {
	var operation *net.OpError
	alert := errors.As(err, &operation) && operation.Op == "remote error" // so crypto/tls marks an alert of the other side
	if alert || errors.Is(err, errRefused) || websocket.CloseStatus(err) == statusRefused {
		return fmt.Errorf("the server refuses this door's certificate: was the lock deleted, or enrolled elsewhere? Enrol it again: %w", err)
	}
	return err
}

// ended notes how a connection ended. The same twice is logged once.
func (l *Link) ended(err error) {
	l.mu.Lock()
	same := l.why != nil && err != nil && l.why.Error() == err.Error()
	l.why = err
	cut := l.cut
	l.mu.Unlock()
	if !same && !cut {
		l.c.Log.Warn("the link is down", "error", err)
	}
}

// pause waits before the next try: about d, and until the network is not cut.
func (l *Link) pause(ctx context.Context, d time.Duration) error {
	if d > 0 {
		jitter := d/2 + time.Duration(rand.Int64N(int64(d))) //nolint:gosec // doors are not to come all at once; nothing is secret about it
		timer := time.NewTimer(jitter)
		defer timer.Stop()
		l.mu.Lock()
		uncut, cut := l.uncut, l.cut
		l.mu.Unlock()
		if !cut {
			uncut = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-uncut:
		}
	}
	for {
		l.mu.Lock()
		uncut, cut := l.uncut, l.cut
		l.mu.Unlock()
		if !cut {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-uncut:
		}
	}
}

// tick calls the engine in time, and wakes whoever sends.
func (l *Link) tick(ctx context.Context, sends chan<- struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.kicks:
		}
		timer.Reset(l.c.Engine.Tick())
		select {
		case sends <- struct{}{}:
		default:
		}
	}
}

// connect opens one connection and works it until it ends. heard says whether the server
// said anything that the engine took.
func (l *Link) connect(ctx context.Context, sends <-chan struct{}) (heard bool, err error) {
	ctx, drop := context.WithCancel(ctx)
	defer drop()
	l.mu.Lock()
	identity, cut := l.identity, l.cut
	l.drop = drop
	l.mu.Unlock()
	if cut {
		return false, errors.New("the network is cut")
	}
	conn, err := l.dial(ctx, identity)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.CloseNow() }() // the read's error says how it ended
	first := l.c.Engine.Connected()
	defer l.c.Engine.Disconnected()
	l.mu.Lock()
	l.why, l.renewed = nil, time.Time{}
	l.mu.Unlock()
	l.c.Log.Info("the link is up", "server", identity.Link)
	if err := send(ctx, conn, first); err != nil {
		return false, err
	}
	var all sync.WaitGroup
	var sent, pinged error
	all.Go(func() {
		defer drop()
		sent = l.sendAll(ctx, conn, sends)
	})
	all.Go(func() {
		defer drop()
		pinged = ping(ctx, conn)
	})
	heard, err = l.receiveAll(ctx, conn)
	drop()
	all.Wait()
	return heard, errors.Join(ignoreCancel(err), ignoreCancel(sent), ignoreCancel(pinged))
}

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// dial connects to the server and makes sure that it is the one.
func (l *Link) dial(ctx context.Context, identity Identity) (*websocket.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, dialIn)
	defer stop()
	transport := &http.Transport{
		TLSClientConfig: l.tls(identity), TLSHandshakeTimeout: dialIn, DisableKeepAlives: true,
		DialContext: (&net.Dialer{Timeout: dialIn}).DialContext,
	}
	conn, response, err := websocket.Dial(ctx, identity.Link, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		if response != nil && response.Body != nil {
			_ = response.Body.Close() // it was read as far as anybody cares
		}
		if response != nil && response.StatusCode == http.StatusUnauthorized {
			err = errors.Join(errRefused, err)
		}
		return nil, fmt.Errorf("connecting to %s: %w", identity.Link, err)
	}
	conn.SetReadLimit(grant.MaxDown)
	return conn, nil
}

// tls returns how the connection is secured: TLS 1.3, our certificate, and a server that
// the workspace's own CA signed for the one name.
//
// The standard check asks the machine's clock, which a controller without a battery does
// not have at the start. So the check is made here, with the door's time: a certificate
// that begins later than that is good, and one that has ended is not, as far as the door
// knows the time at all.
func (l *Link) tls(identity Identity) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         identity.ServerName,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{identity.Certificate.Raw}, PrivateKey: identity.Key, Leaf: identity.Certificate}},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, see above
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("the server has no certificate")
			}
			leaf := state.PeerCertificates[0]
			at := begin(leaf, identity.CA)
			if s := l.c.Engine.Status(); s.Clock == grant.Trusted && s.Now.After(at) {
				at = s.Now
			}
			roots := x509.NewCertPool()
			roots.AddCert(identity.CA)
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: identity.ServerName, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			return err
		},
	}
}

// send writes frames.
func send(ctx context.Context, conn *websocket.Conn, frames [][]byte) error {
	for _, frame := range frames {
		if err := write(ctx, conn, frame); err != nil {
			return err
		}
	}
	return nil
}

func write(ctx context.Context, conn *websocket.Conn, frame []byte) error {
	ctx, stop := context.WithTimeout(ctx, writeIn)
	defer stop()
	return conn.Write(ctx, websocket.MessageBinary, frame)
}

// sendAll sends what the engine has to say, whenever it is woken.
func (l *Link) sendAll(ctx context.Context, conn *websocket.Conn, sends <-chan struct{}) error {
	for {
		if err := send(ctx, conn, l.c.Engine.Outgoing()); err != nil {
			return err
		}
		if csr := l.wantsCertificate(); csr != nil {
			if err := write(ctx, conn, grant.Encode(grant.TypeRenew, grant.Renew{CSR: csr})); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sends:
		}
	}
}

// receiveAll hands what comes to the engine, and sends its answers.
func (l *Link) receiveAll(ctx context.Context, conn *websocket.Conn) (heard bool, err error) {
	for {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			return heard, err
		}
		if kind != websocket.MessageBinary {
			return heard, fmt.Errorf("%w: it is text", grant.ErrMalformed)
		}
		out, err := l.receive(frame)
		if err != nil {
			return heard, err
		}
		heard = true
		if err := send(ctx, conn, out); err != nil {
			return heard, err
		}
		l.Kick()
	}
}

func (l *Link) receive(frame []byte) ([][]byte, error) {
	if f, err := grant.Decode(frame, grant.MaxDown); err == nil && f.Type == grant.TypeCertificate {
		return nil, l.takeCertificate(f.Body)
	}
	return l.c.Engine.Receive(frame)
}

// ping asks again and again whether the server is there.
func ping(ctx context.Context, conn *websocket.Conn) error {
	every := time.NewTicker(pingEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
		if err := pingOnce(ctx, conn); err != nil {
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

func pingOnce(ctx context.Context, conn *websocket.Conn) error {
	ctx, stop := context.WithTimeout(ctx, pingIn)
	defer stop()
	return conn.Ping(ctx)
}

// wantsCertificate returns a request for the next certificate if a third of the present
// one's life is left, by the door's trusted time; nil if not.
func (l *Link) wantsCertificate() (csr []byte) {
	s := l.c.Engine.Status()
	l.mu.Lock()
	defer l.mu.Unlock()
	have := l.identity.Certificate
	life := have.NotAfter.Sub(have.NotBefore)
	if s.Clock != grant.Trusted || s.Now.Before(have.NotAfter.Add(-life/3)) || s.Now.Before(l.renewed.Add(renewEvery)) {
		return nil
	}
	csr, err := request(l.identity.Lock, l.identity.Key)
	if err != nil {
		return nil // the key is no key: there would be no link
	}
	l.renewed = s.Now
	return csr
}

// takeCertificate checks the next certificate and keeps it. The next connection uses it.
func (l *Link) takeCertificate(body []byte) error {
	var c grant.Certificate
	if err := grant.Read(body, &c); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.identity
	var err error
	if next.Certificate, err = checkCertificate(c.Certificate, next); err != nil {
		return fmt.Errorf("the server's next certificate for this door: %w", err)
	}
	if err := l.c.Folder.keep(next); err != nil {
		return err
	}
	l.identity = next
	l.c.Log.Info("the certificate is renewed", "until", next.Certificate.NotAfter)
	return nil
}
