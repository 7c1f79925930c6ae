package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// timeout bounds reaching the server, and then each message.
const timeout = 30 * time.Second

// server is where mail is handed over.
type server struct {
	host     string
	port     int
	user     string
	password secret.Bytes
	security security
	helo     string
	roots    *x509.CertPool // nil for the system's
}

// security says how the way to the server is protected.
type security int

const (
	opportunistic security = iota // STARTTLS if the server offers it, with any certificate
	startTLS                      // STARTTLS or nothing
	implicitTLS                   // TLS from the first byte
)

// parseURL reads SMTP_URL. Its errors never repeat the URL, which has a password.
func parseURL(text string) (s server, from string, err error) {
	u, err := url.Parse(text)
	if err != nil {
		// What the parser says can hold a part of the password.
		return server{}, "", errors.New("SMTP_URL is not a URL: write special characters of user and password as %XX")
	}
	switch {
	case text == "":
		return server{}, "", errors.New("SMTP_URL is empty: it reads smtp://user:password@host:port?from=address")
	case u.Scheme != "smtp" && u.Scheme != "smtps":
		return server{}, "", errors.New("SMTP_URL must begin with smtp:// or smtps://")
	case u.Hostname() == "":
		return server{}, "", errors.New("SMTP_URL names no host")
	case u.Path != "" && u.Path != "/", u.Fragment != "":
		return server{}, "", errors.New("SMTP_URL has something after the host: write special characters of user and password as %XX")
	}
	s = server{host: u.Hostname(), user: u.User.Username()}
	password, hasPassword := u.User.Password()
	s.password = secret.FromString(password)
	if (s.user != "") != (hasPassword && password != "") {
		return server{}, "", errors.New("SMTP_URL needs user and password together, or neither")
	}
	from, err = s.parseOptions(u.RawQuery)
	if err != nil {
		return server{}, "", err
	}
	switch {
	case u.Scheme == "smtps":
		s.security, s.port = implicitTLS, 465
	case s.user != "" && !isLoopback(s.host):
		s.security, s.port = startTLS, 587
	case s.user != "":
		s.port = 587
	default:
		s.port = 25
	}
	if p := u.Port(); p != "" {
		if s.port, err = strconv.Atoi(p); err != nil || s.port < 1 || s.port > 65535 {
			return server{}, "", errors.New("SMTP_URL has a port that is not between 1 and 65535")
		}
	}
	return s, from, nil
}

// parseOptions reads what stands behind the question mark and returns the sender.
func (s *server) parseOptions(query string) (from string, err error) {
	options, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("SMTP_URL has options that cannot be read: write special characters as %XX")
	}
	for name, values := range options {
		switch {
		case len(values) > 1:
			return "", fmt.Errorf("SMTP_URL has the option %s twice", name)
		case name == "from":
			from = values[0]
		case name == "tls" && values[0] == "required":
			s.security = startTLS
		case name == "tls":
			return "", errors.New("SMTP_URL has tls= with something else than required")
		default:
			return "", fmt.Errorf("SMTP_URL has an unknown option %q: there are from and tls", name)
		}
	}
	return from, nil
}

// parseSender reads the sender's address.
func parseSender(text string) (mail.Address, error) {
	if text == "" {
		return mail.Address{}, errors.New("SMTP_URL names no sender: add ?from=address")
	}
	sender, err := mail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, fmt.Errorf("the sender %q of SMTP_URL is not an e-mail address (a + in it is written %%2B)", text)
	}
	if sender.Name = line(sender.Name); sender.Name == "" {
		sender.Name = productName
	}
	return *sender, nil
}

func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// domain returns the host of u as mail writes it: a name, or an address in
// brackets (RFC 5321 §4.1.3).
func domain(u *url.URL) string {
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case ip.Is4():
		return "[" + host + "]"
	}
	return "[IPv6:" + ip.WithZone("").String() + "]"
}

// send hands msg over in a connection of its own.
func (s server) send(ctx context.Context, msg *gomail.Msg) error {
	// Past the dialling the library does not hear of ctx, and it leaves a connection
	// open whose greeting fails: all are closed when this is over.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(dialing, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	client, err := gomail.NewClient(s.host, s.options(dial)...)
	if err != nil {
		return fmt.Errorf("preparing the way to the mail server: %w", err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() {
		return nil // what fails after the server said yes is no failure of the message
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return &failure{permanent: isFinal(err), err: fmt.Errorf("mail server %s: %w", s.host, err)}
}

func (s server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil || s.security != implicitTLS {
		return conn, err
	}
	encrypted := tls.Client(conn, s.tls())
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error tells more
		return nil, err
	}
	return encrypted, nil
}

func (s server) tls() *tls.Config {
	return &tls.Config{
		ServerName: s.host, MinVersion: tls.VersionTLS12, RootCAs: s.roots,
		// Where clear text would do as well, a certificate that proves nothing still
		// keeps those out who only listen (RFC 7435).
		InsecureSkipVerify: s.security == opportunistic, //nolint:gosec // never with a password on the wire but to this machine
	}
}

func (s server) options(dial gomail.DialContextFunc) []gomail.Option {
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTimeout(timeout), gomail.WithHELO(s.helo), gomail.WithTLSConfig(s.tls()), gomail.WithDialContextFunc(dial),
	}
	switch s.security {
	case startTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case opportunistic:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case implicitTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS)) // dial has seen to it
	}
	if s.user != "" {
		options = append(options, gomail.WithUsername(s.user), gomail.WithPassword(s.password.ExposeString()),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	return options
}

// isFinal says whether the server refused this very message for good: its
// recipient or its content, by a code of 500 or above. A refused greeting,
// password or sender is about all mail until somebody mends the settings: those
// messages wait.
func isFinal(err error) bool {
	var refused *gomail.SendError
	if !errors.As(err, &refused) || refused.ErrorCode() < 500 {
		return false
	}
	return slices.Contains([]gomail.SendErrReason{gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose}, refused.Reason)
}
