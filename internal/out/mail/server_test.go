package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// post is a real mail server on the loopback that answers as it is told.
type post struct {
	*smtp.Server
	address string

	mu       sync.Mutex
	answers  map[string]error // by command: MAIL, RCPT, DATA; guarded by mu
	got      []received       // guarded by mu
	hello    string           // guarded by mu
	password string           // what AUTH accepts; empty for no AUTH
	hang     chan struct{}    // if set, DATA is answered once it is closed
}

type received struct {
	From, User string
	To         []string
	Raw        []byte
	TLS        bool
}

// start serves until the test ends. prepare may change the server before.
func start(t *testing.T, prepare func(*post)) *post {
	t.Helper()
	p := &post{answers: map[string]error{}}
	p.Server = smtp.NewServer(p)
	p.Domain, p.EnableSMTPUTF8, p.AllowInsecureAuth = "mail.example.com", true, true
	p.ErrorLog = log.New(io.Discard, "", 0)
	if prepare != nil {
		prepare(p)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	var served sync.WaitGroup
	served.Go(func() { _ = p.Serve(l) })
	t.Cleanup(func() {
		_ = p.Close()
		_ = l.Close() // Close knows it only once Serve has begun
		served.Wait()
	})
	return p
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) { return &session{post: p, conn: c}, nil }

func (p *post) answer(command string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers[command]
}

func (p *post) all() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

type session struct {
	post *post
	conn *smtp.Conn
	now  received
}

func (s *session) Reset()        { s.now = received{User: s.now.User} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string {
	if s.post.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != s.post.password {
			return smtp.ErrAuthFailed
		}
		s.now.User = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.post.mu.Lock()
	s.post.hello = s.conn.Hostname()
	s.post.mu.Unlock()
	s.now.From = from
	return s.post.answer("MAIL")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.now.To = append(s.now.To, to)
	return s.post.answer("RCPT")
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.post.hang != nil {
		<-s.post.hang
	}
	if err := s.post.answer("DATA"); err != nil {
		return err
	}
	_, s.now.TLS = s.conn.TLSConnectionState()
	s.now.Raw = raw
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.post.got = append(s.post.got, s.now)
	return nil
}

// selfSigned returns a certificate for the loopback that nobody vouches for.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := clock.System{}.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func roots(t *testing.T, c tls.Certificate) *tls.Config {
	t.Helper()
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{RootCAs: pool}
}

// deliver sends a sample by a mailer of the URL.
func deliver(t *testing.T, smtpURL string, roots *tls.Config) error {
	t.Helper()
	s, err := New(Config{URL: smtpURL, PublicURL: public(t, "https://keys.example.com:8443/"), Clock: clock.NewManual(noon()), TLS: roots})
	if err != nil {
		t.Fatalf("New() error = %v", err)
	}
	return s.Deliver(t.Context(), message(t, samples()["passkey_registered"]))
}

func TestDeliver_arrives(t *testing.T) {
	p := start(t, nil)
	if err := deliver(t, "smtp://"+p.address+"?from=Keys+%3Ckeyhold@example.com%3E", nil); err != nil {
		t.Fatalf("Deliver() error = %v", err)
	}
	if len(p.all()) != 1 {
		t.Fatalf("mails: want 1, got %d", len(p.all()))
	}
	got := p.all()[0]
	if got.From != "keyhold@example.com" || !cmp.Equal(got.To, []string{"ada@example.com"}) || p.hello != "keys.example.com" {
		t.Errorf("envelope: want from keyhold@example.com to ada@example.com by keys.example.com, got %q to %q by %q", got.From, got.To, p.hello)
	}
	e := parsed(t, got.Raw)
	for name, want := range map[string]string{
		"From":       `"Keys" <keyhold@example.com>`,
		"To":         `"Ada Lovelace" <ada@example.com>`,
		"Subject":    "A passkey was added to your account",
		"Message-Id": "<job_01jt0000000000000000000000@keys.example.com>",
	} {
		if got := e.GetHeader(name); got != want {
			t.Errorf("header %s: want %q, got %q", name, want, got)
		}
	}
	for _, want := range []string{"Ada’s phone", "Europe/Berlin", "Example & Sons", "https://keys.example.com:8443/"} {
		if !strings.Contains(e.Text, want) {
			t.Errorf("text: want %q in it, got %s", want, e.Text)
		}
	}
	if !strings.Contains(e.HTML, "Example &amp; Sons") {
		t.Errorf("HTML: want the workspace escaped in it, got %s", e.HTML)
	}
}

func TestDeliver_toAnAddressBeyondASCII(t *testing.T) {
	p := start(t, nil)
	s := newMailer(t, "smtp://"+p.address+"?from=keyhold@example.com")
	to := outbox.Recipient{Email: "zoë@bäcker.example", Name: "Zoë"}
	if err := s.Deliver(t.Context(), message(t, outbox.PasskeyRegistered{To: to})); err != nil {
		t.Fatalf("Deliver() error = %v", err)
	}
	if got := p.all()[0].To; !cmp.Equal(got, []string{to.Email}) {
		t.Errorf("recipient: want %s, got %q", to.Email, got)
	}
}

func TestDeliver_tellsRefusalsApart(t *testing.T) {
	refusal := func(code int) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "no such thing"}
	}
	for _, c := range []struct {
		command   string
		code      int
		permanent bool
	}{
		{"RCPT", 550, true},
		{"DATA", 554, true},
		{"RCPT", 450, false},
		{"DATA", 452, false},
		{"MAIL", 451, false},
		{"MAIL", 550, false}, // the sender, which is a setting
	} {
		p := start(t, func(p *post) { p.answers[c.command] = refusal(c.code) })
		err := deliver(t, "smtp://"+p.address+"?from=keyhold@example.com", nil)
		wantPermanent(t, c.command+" refused", err, c.permanent)
		if err == nil || !strings.Contains(err.Error(), "no such thing") {
			t.Errorf("%s refused with %d: want the server's words, got %v", c.command, c.code, err)
		}
	}
}

func TestDeliver_deadServerIsTransient(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = deliver(t, "smtp://"+l.Addr().String()+"?from=keyhold@example.com", nil)
	wantPermanent(t, "Deliver() to a server that is down", err, false)
}

func TestDeliver_endsWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	p := start(t, func(p *post) { p.hang = hang })
	s := newMailer(t, "smtp://"+p.address+"?from=keyhold@example.com")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	watch := clock.StartStopwatch()
	err := s.Deliver(ctx, message(t, samples()["email_changed"]))
	if got := watch.Elapsed(); got > timeout/2 {
		t.Errorf("Deliver() that is cut after 50 ms: want it to return soon, got %v", got)
	}
	wantPermanent(t, "Deliver() that is cut", err, false)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Deliver() that is cut: want its context's error, got %v", err)
	}
}

// TestDeliver_takenIsDelivered has a server that hangs up once it has the mail.
func TestDeliver_takenIsDelivered(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	defer served.Wait()
	defer func() { _ = l.Close() }()
	served.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		text := textproto.NewConn(conn)
		defer func() { _ = text.Close() }()
		_ = text.PrintfLine("220 hello")
		for {
			command, err := text.ReadLine()
			switch {
			case err != nil:
				return
			case command != "DATA":
				_ = text.PrintfLine("250 yes")
				continue
			}
			_ = text.PrintfLine("354 go on")
			_, _ = text.ReadDotBytes()
			_ = text.PrintfLine("250 taken")
			return
		}
	})
	if err := deliver(t, "smtp://"+l.Addr().String()+"?from=keyhold@example.com", nil); err != nil {
		t.Errorf("Deliver() of a mail that the server took: want no error, got %v", err)
	}
}

func TestDeliver_authenticates(t *testing.T) {
	p := start(t, func(p *post) { p.password = "p@ss/word" })
	if err := deliver(t, "smtp://mailer:p%40ss%2Fword@"+p.address+"?from=keyhold@example.com", nil); err != nil {
		t.Fatalf("Deliver() error = %v", err)
	}
	if got := p.all()[0].User; got != "mailer" {
		t.Errorf("user: want mailer, got %q", got)
	}
	err := deliver(t, "smtp://mailer:canary-wrong@"+p.address+"?from=keyhold@example.com", nil)
	wantPermanent(t, "Deliver() with a wrong password", err, false) // it is a setting
	if err == nil || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), "canary") {
		t.Errorf("Deliver() with a wrong password: want the server's answer without the password, got %v", err)
	}
}

func TestDeliver_encrypts(t *testing.T) {
	certificate := selfSigned(t)
	known := roots(t, certificate)
	withTLS := func(p *post) {
		p.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		p.password = "secret"
	}
	const from = "from=keyhold@example.com"
	for _, c := range []struct {
		name, url string // %s for the address
		roots     *tls.Config
		prepare   func(*post)
		encrypted bool
		fails     bool
	}{
		{"opportunistic with a known certificate", "smtp://%s?" + from, known, withTLS, true, false},
		{"opportunistic with an unknown certificate", "smtp://%s?" + from, nil, withTLS, true, false},
		{"opportunistic without", "smtp://%s?" + from, nil, nil, false, false},
		{"required with a known certificate", "smtp://mailer:secret@%s?tls=required&" + from, known, withTLS, true, false},
		{"required with an unknown certificate", "smtp://%s?tls=required&" + from, nil, withTLS, false, true},
		{"required without", "smtp://%s?tls=required&" + from, nil, nil, false, true},
	} {
		p := start(t, c.prepare)
		err := deliver(t, strings.Replace(c.url, "%s", p.address, 1), c.roots)
		switch {
		case c.fails:
			wantPermanent(t, c.name, err, false)
			if len(p.all()) != 0 {
				t.Errorf("%s: want no mail, got %d", c.name, len(p.all()))
			}
		case err != nil:
			t.Errorf("%s: Deliver() error = %v", c.name, err)
		case p.all()[0].TLS != c.encrypted:
			t.Errorf("%s: want encrypted = %v, got %v", c.name, c.encrypted, p.all()[0].TLS)
		}
	}
}

func TestDeliver_overTLSFromTheFirstByte(t *testing.T) {
	certificate := selfSigned(t)
	p := &post{answers: map[string]error{}, password: "secret"}
	p.Server = smtp.NewServer(p)
	p.ErrorLog = log.New(io.Discard, "", 0)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = p.Serve(l) })
	defer served.Wait()
	defer func() {
		_ = p.Close()
		_ = l.Close()
	}()
	address := l.Addr().String()
	if err := deliver(t, "smtps://mailer:secret@"+address+"?from=keyhold@example.com", roots(t, certificate)); err != nil {
		t.Fatalf("Deliver() error = %v", err)
	}
	if got := p.all()[0]; !got.TLS || got.User != "mailer" {
		t.Errorf("mail: want it encrypted and from mailer, got encrypted = %v from %q", got.TLS, got.User)
	}
	wantPermanent(t, "Deliver() to a certificate that nobody knows", deliver(t, "smtps://mailer:secret@"+address+"?from=keyhold@example.com", nil), false)
}

func TestNew_readsTheURL(t *testing.T) {
	for text, want := range map[string]struct {
		host     string
		port     int
		security security
		from     string
	}{
		"smtp://localhost?from=k@example.com":                              {"localhost", 25, opportunistic, "k@example.com"},
		"smtp://relay.example.com:2525/?from=k@example.com":                {"relay.example.com", 2525, opportunistic, "k@example.com"},
		"smtp://u:p@mail.example.com?from=k@example.com":                   {"mail.example.com", 587, startTLS, "k@example.com"},
		"smtp://u:p@127.0.0.1?from=k@example.com":                          {"127.0.0.1", 587, opportunistic, "k@example.com"},
		"smtp://u:p@[::1]?from=k@example.com":                              {"::1", 587, opportunistic, "k@example.com"},
		"smtp://u:p@localhost?from=k@example.com&tls=required":             {"localhost", 587, startTLS, "k@example.com"},
		"smtp://relay.example.com?tls=required&from=k@example.com":         {"relay.example.com", 25, startTLS, "k@example.com"},
		"smtps://u:p@mail.example.com?from=Keys%20%3Ck%2Bx@example.com%3E": {"mail.example.com", 465, implicitTLS, "k+x@example.com"},
		"smtps://mail.example.com:4650?from=k@example.com":                 {"mail.example.com", 4650, implicitTLS, "k@example.com"},
		"smtps://mail.example.com":                                         {"mail.example.com", 465, implicitTLS, "default@example.com"},
	} {
		s, err := New(Config{URL: text, From: "default@example.com", PublicURL: public(t, "https://keys.example.com"), Clock: clock.System{}})
		if err != nil {
			t.Errorf("New(%q) error = %v", text, err)
			continue
		}
		if got := s.server; got.host != want.host || got.port != want.port || got.security != want.security || s.from.Address != want.from {
			t.Errorf("New(%q): want %+v, got %s:%d, security %d, from %s", text, want, got.host, got.port, got.security, s.from.Address)
		}
	}
}

func TestNew_namesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                         "is empty",
		"mail.example.com:25":                      "must begin with smtp:// or smtps://",
		"https://mail.example.com":                 "must begin with smtp:// or smtps://",
		"smtp:///?from=k@example.com":              "names no host",
		"smtp://h/x?from=k@example.com":            "something after the host",
		"smtp://u:canary#x@h?from=k@example.com":   "special characters",
		"smtp://u:canary/x@h?from=k@example.com":   "special characters",
		"smtp://u:canary%x@h?from=k@example.com":   "special characters",
		"smtp://u@h?from=k@example.com":            "user and password together",
		"smtp://:canary@h?from=k@example.com":      "user and password together",
		"smtp://h:0?from=k@example.com":            "port",
		"smtp://h:99999?from=k@example.com":        "port",
		"smtp://u:canary@h":                        "names no sender",
		"smtp://h?from=nobody":                     `"nobody"`,
		"smtp://h?from=k+x@example.com":            "%2B",
		"smtp://h?from=k@example.com&tls=no":       "tls=",
		"smtp://h?from=k@example.com&sender=x":     `"sender"`,
		"smtp://h?from=k@example.com&from=l@x.com": "twice",
		"smtp://h?from=%zz":                        "special characters",
	} {
		_, err := New(Config{URL: text, PublicURL: public(t, "https://keys.example.com"), Clock: clock.System{}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "SMTP_URL") {
			t.Errorf("New(%q): want an error with SMTP_URL and %q, got %v", text, want, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("New(%q): want an error without the password, got %v", text, err)
		}
	}
	if _, err := New(Config{URL: "smtp://h?from=k@example.com"}); err == nil || !strings.Contains(err.Error(), "public URL") {
		t.Errorf("New() without the public URL: want an error that names it, got %v", err)
	}
}

func TestDomain(t *testing.T) {
	for text, want := range map[string]string{
		"https://keys.example.com:8443/x": "keys.example.com",
		"http://127.0.0.1:8080":           "[127.0.0.1]",
		"http://[2001:db8::1]:8080":       "[IPv6:2001:db8::1]",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := domain(u); got != want {
			t.Errorf("domain(%s): want %s, got %s", text, want, got)
		}
	}
}
