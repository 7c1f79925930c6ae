package link_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/door"
	"github.com/keyhold/keyhold/internal/door/link"
)

const serverName = "ws-1.locks.keyhold.internal"

// server is the other side: it enrols, and hands its connections to the test.
type server struct {
	t       *testing.T
	lock    id.Lock
	root    ed25519.PrivateKey
	signing ed25519.PrivateKey
	ca      *x509.Certificate
	caKey   ed25519.PrivateKey
	token   token.Enrolment
	leaf    tls.Certificate // of the link

	enrol *httptest.Server
	link  *httptest.Server
	// change may change the answer to an enrolment before it is signed.
	change func(*grant.Enrolment)
	// answers replaces the answer to an enrolment.
	answers http.HandlerFunc
	life    time.Duration // of certificates

	conns chan *websocket.Conn
	done  chan struct{}
	// complaints are lines of the link server's log.
	complaints lines
}

type lines chan string

func (l lines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default:
	}
	return len(line), nil
}

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }

func public(k ed25519.PrivateKey) ed25519.PublicKey { return ed25519.PublicKey(k[32:]) }

func now() time.Time { return clock.System{}.Now() }

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{
		t: t, lock: id.New[id.KindLock](now()), root: key(1), signing: key(2), caKey: key(3), life: 90 * 24 * time.Hour,
		conns: make(chan *websocket.Conn), done: make(chan struct{}), complaints: make(lines, 100),
	}
	s.token = token.NewEnrolment(s.lock, sha256.Sum256(public(s.root)))
	s.ca = s.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "locks"}, NotBefore: now(), NotAfter: now().Add(50 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, public(s.caKey))
	s.leaf = tls.Certificate{Certificate: [][]byte{s.serverCertificate(serverName).Raw}, PrivateKey: key(4)}
	s.link = httptest.NewUnstartedServer(http.HandlerFunc(s.accept))
	clients := x509.NewCertPool()
	clients.AddCert(s.ca)
	s.link.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.leaf, nil },
	}
	s.link.Config.ErrorLog = log.New(s.complaints, "", 0)
	s.link.StartTLS()
	s.enrol = httptest.NewServer(http.HandlerFunc(s.enrolment))
	t.Cleanup(func() {
		close(s.done)
		s.link.Close()
		s.enrol.Close()
	})
	return s
}

func (s *server) certificate(c *x509.Certificate, k ed25519.PublicKey) *x509.Certificate {
	s.t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c.SerialNumber = serial
	parent := s.ca
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, k, s.caKey)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *server) serverCertificate(name string) *x509.Certificate {
	return s.certificate(&x509.Certificate{
		DNSNames: []string{name}, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, public(key(4)))
}

func (s *server) clientCertificate(lock id.Lock, k ed25519.PublicKey) []byte {
	return s.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: string(lock)}, NotBefore: now().Add(-time.Minute), NotAfter: now().Add(s.life), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, k).Raw
}

func (s *server) linkURL() string {
	return "wss" + strings.TrimPrefix(s.link.URL, "https") + "/locks/v1/link"
}

func (s *server) enrolment(w http.ResponseWriter, r *http.Request) {
	if s.answers != nil {
		s.answers(w, r)
		return
	}
	var ask struct{ Token, CSR string }
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || r.URL.Path != "/locks/v1/enrol" || ask.Token != s.token.Secret().ExposeString() {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	block, _ := pem.Decode([]byte(ask.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != string(s.lock) {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	k, _ := csr.PublicKey.(ed25519.PublicKey)
	e := grant.Enrolment{
		Lock: string(s.lock), Name: "Side door", Root: public(s.root), CA: s.ca.Raw, Certificate: s.clientCertificate(s.lock, k), SigningKeys: [][]byte{public(s.signing), public(key(5))},
		Secret: bytes.Repeat([]byte{7}, grant.SecretSize), Epoch: 1, Link: s.linkURL(), ServerName: serverName, LeaseSeconds: 86400,
	}
	if s.change != nil {
		s.change(&e)
	}
	answer, err := grant.SignEnrolment(e, s.root)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/cose")
	_, _ = w.Write(answer)
}

func (s *server) accept(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	select {
	case s.conns <- conn:
		<-s.done
	case <-s.done:
	}
	_ = conn.CloseNow()
}

// running is a door that is enrolled and whose link runs.
type running struct {
	*server
	ctx    context.Context
	folder *link.Folder
	engine *door.Engine
	link   *link.Link
	opened chan time.Duration
	logged lines
	conn   *websocket.Conn
	hello  grant.Hello
	passed []grant.Frame // that came before what was waited for
}

type bolt chan time.Duration

func (b bolt) Open(d time.Duration) error {
	b <- d
	return nil
}

func (s *server) run() *running {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), 20*time.Second)
	path := s.t.TempDir()
	identity, err := link.Enrol(ctx, s.enrol.URL, s.token.Secret().ExposeString(), path)
	if err != nil {
		s.t.Fatalf("Enrol() = %v", err)
	}
	folder, err := link.OpenFolder(path)
	if err != nil {
		s.t.Fatal(err)
	}
	opened := make(bolt, 10)
	c := identity.Door()
	c.Disk, c.Output, c.Clock, c.Software = folder, opened, link.NewClock(), "test"
	engine, err := door.Open(c)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &running{server: s, ctx: ctx, folder: folder, engine: engine, opened: opened, logged: make(lines, 100)}
	r.link = link.New(link.Config{Engine: engine, Identity: identity, Folder: folder, Log: slog.New(slog.NewTextHandler(r.logged, nil))})
	ended := make(chan error)
	go func() { ended <- r.link.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("Run() = %v, want the context's error", err)
		}
		_ = folder.Close()
	})
	return r
}

// next takes the next connection and reads its hello.
func (r *running) next() {
	r.t.Helper()
	select {
	case r.conn = <-r.conns:
		r.passed = nil
	case <-r.ctx.Done():
		r.t.Fatalf("no connection: %v", r.link.Why())
	}
	if err := grant.Read(r.read(grant.TypeHello).Body, &r.hello); err != nil {
		r.t.Fatal(err)
	}
}

// read reads until a frame of the type comes. Frames may overtake each other: an opening's
// event may come before its result.
func (r *running) read(want grant.Type) grant.Frame {
	r.t.Helper()
	for i, f := range r.passed {
		if f.Type == want {
			r.passed = append(r.passed[:i:i], r.passed[i+1:]...)
			return f
		}
	}
	for {
		_, raw, err := r.conn.Read(r.ctx)
		if err != nil {
			r.t.Fatalf("waiting for %s: %v", want, err)
		}
		f, err := grant.Decode(raw, grant.MaxUp)
		if err != nil {
			r.t.Fatal(err)
		}
		if f.Type == want {
			return f
		}
		r.passed = append(r.passed, f)
	}
}

func (r *running) write(frame []byte) {
	r.t.Helper()
	if err := r.conn.Write(r.ctx, websocket.MessageBinary, frame); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) sign(t grant.Type, body any) {
	r.t.Helper()
	frame, err := grant.Sign(t, string(r.lock), body, r.signing)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(frame)
}

func (r *running) beacon(at time.Time) {
	r.t.Helper()
	r.sign(grant.TypeBeacon, grant.Beacon{Type: grant.TypeBeacon, Lock: string(r.lock), Now: at.UnixMilli(), Epoch: 1, LeaseUntil: at.Add(time.Hour).Unix(), Nonce: r.hello.Nonce})
}
