package lockgate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// errNoWorkspace ends a handshake that asks for no workspace that is here.
var errNoWorkspace = errors.New("no workspace has this server name")

// certifier secures connections: each workspace has a name, a certificate and a CA of its
// own.
type certifier struct {
	authorities smartlock.AuthorityReader
	clock       clock.Clock

	mu    sync.Mutex
	known map[string]known // guarded by mu; by server name
}

// known is how connections to a workspace are secured, as long as its CA is the same.
type known struct {
	ca     []byte
	config *tls.Config
}

// listen returns the listener with TLS around it.
func (c *certifier) listen(inner net.Listener) net.Listener {
	return tls.NewListener(inner, &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return c.of(hello.Context(), hello.ServerName) },
	})
}

// of returns how connections to the workspace with that server name are secured.
func (c *certifier) of(ctx context.Context, name string) (*tls.Config, error) {
	w, ok := smartlock.WorkspaceOfServerName(name)
	if !ok {
		return nil, errNoWorkspace
	}
	a, err := c.authorities.AuthorityOf(ctx, w)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, found := c.known[name]; found && bytes.Equal(k.ca, a.CA.Raw) {
		return k.config, nil
	}
	certificate, err := a.ServerCertificate()
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.CA)
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, Time: c.clock.Now,
	}
	c.known[name] = known{ca: a.CA.Raw, config: config}
	return config, nil
}

// bounded returns the listener with at most n connections open at once: others wait.
func bounded(inner net.Listener, n int) net.Listener {
	return &boundedListener{Listener: inner, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type boundedListener struct {
	net.Listener
	free   chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept satisfies net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &boundedConn{Conn: c, leave: func() { <-l.free }}, nil
}

// Close satisfies net.Listener.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close satisfies net.Conn.
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}
