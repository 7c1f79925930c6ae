// Package mail sends the outbox's messages to people. It decides how they read
// and how they travel to the mail server; it refuses to know who is told of what,
// which the rooms decide when they write a message.
package mail

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Config is what a mailer is made from.
type Config struct {
	// URL is the setting SMTP_URL: smtp://user:password@host:port?from=address.
	//
	// With smtps the connection is encrypted from its beginning. With smtp it is
	// encrypted by STARTTLS, and must be if there are credentials and the host is
	// another machine, or with tls=required; otherwise it is encrypted if the
	// server can, whatever its certificate. The port is 465 for smtps, 587 for smtp
	// with credentials and 25 without.
	URL string
	// From is the sender if URL names none: an address, with or without a name.
	From string
	// PublicURL is where people reach this Keyhold.
	PublicURL *url.URL
	Clock     clock.Clock
	// CodeKey is the key of the codes for signing in, which the sign-in room has too.
	CodeKey secret.Bytes
	// Sealing returns a workspace's sealing key, under which PINs stand in messages.
	Sealing func(ctx context.Context, workspaceID string) (seal.Key, error)
	// TLS holds the roots by which the server is known. Nil for the system's.
	TLS *tls.Config
}

// Mailer sends mail. It is safe for use by several goroutines. Use New.
type Mailer struct {
	server server
	from   mail.Address
	public *url.URL
	clock  clock.Clock
	codes  secret.Bytes
	keyOf  func(ctx context.Context, workspaceID string) (seal.Key, error)
}

// New returns a mailer. Its errors name the setting that is wrong and what is
// wrong with it, and hold no password. It does not call the server.
func New(c Config) (*Mailer, error) {
	if c.PublicURL == nil || c.PublicURL.Hostname() == "" {
		return nil, errors.New("the public URL is needed for mail, with its host")
	}
	post, from, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	if from == "" {
		from = c.From
	}
	sender, err := parseSender(from)
	if err != nil {
		return nil, err
	}
	post.helo = domain(c.PublicURL)
	if c.TLS != nil {
		post.roots = c.TLS.RootCAs
	}
	return &Mailer{server: post, from: sender, public: c.PublicURL, clock: c.Clock, codes: c.CodeKey, keyOf: c.Sealing}, nil
}

// Deliver hands the message to the mail server. An error whose method Permanent
// says true tells that it can never arrive: its kind or its address is unknown,
// or the server refused it for good.
func (s *Mailer) Deliver(ctx context.Context, m outbox.Message) error {
	to, l, err := s.read(ctx, m)
	if known := (*failure)(nil); errors.As(err, &known) {
		return err
	}
	if err != nil {
		return &failure{permanent: true, err: err}
	}
	msg, err := s.compose(ctx, m.ID, to, l)
	if err != nil {
		return &failure{permanent: true, err: err}
	}
	return s.server.send(ctx, msg)
}

// read returns whom a message of the outbox goes to and what it says. An error that
// is no failure is permanent.
func (s *Mailer) read(ctx context.Context, m outbox.Message) (outbox.Recipient, letter, error) {
	switch m.Kind {
	case outbox.PasskeyRegistered{}.MessageKind():
		return readAs(m, func(p outbox.PasskeyRegistered) (outbox.Recipient, letter) { return p.To, passkeyRegistered(p) })
	case outbox.APIKeyCreated{}.MessageKind():
		return readAs(m, func(p outbox.APIKeyCreated) (outbox.Recipient, letter) { return p.To, apiKeyCreated(p) })
	case outbox.APIKeyReset{}.MessageKind():
		return readAs(m, func(p outbox.APIKeyReset) (outbox.Recipient, letter) { return p.To, apiKeyReset(p) })
	case outbox.APIKeyExpiring{}.MessageKind():
		return readAs(m, func(p outbox.APIKeyExpiring) (outbox.Recipient, letter) { return p.To, apiKeyExpiring(p) })
	case outbox.APIKeyLeaked{}.MessageKind():
		return readAs(m, func(p outbox.APIKeyLeaked) (outbox.Recipient, letter) { return p.To, apiKeyLeaked(p) })
	case outbox.EmailChanged{}.MessageKind():
		return readAs(m, func(p outbox.EmailChanged) (outbox.Recipient, letter) { return p.To, emailChanged(p) })
	case outbox.PasskeyWaits{}.MessageKind():
		return readAs(m, func(p outbox.PasskeyWaits) (outbox.Recipient, letter) { return p.To, passkeyWaits(p) })
	case outbox.AdministratorAdded{}.MessageKind():
		return readAs(m, func(p outbox.AdministratorAdded) (outbox.Recipient, letter) { return p.To, administratorAdded(p) })
	case outbox.SignInCode{}.MessageKind():
		return readAs(m, func(p outbox.SignInCode) (outbox.Recipient, letter) {
			return p.To, signInCode(p, token.EmailCode(s.codes, p.Code))
		})
	case outbox.Invitation{}.MessageKind():
		return readAs(m, func(p outbox.Invitation) (outbox.Recipient, letter) { return p.To, invitation(p) })
	case outbox.ActivityCheckpoint{}.MessageKind():
		return readAs(m, func(p outbox.ActivityCheckpoint) (outbox.Recipient, letter) { return p.To, activityCheckpoint(p) })
	case outbox.SecurityKeyActivation{}.MessageKind():
		return readAs(m, func(p outbox.SecurityKeyActivation) (outbox.Recipient, letter) {
			return p.To, activation(p, token.Link(s.codes, p.Link).ExposeString())
		})
	case outbox.SecurityKeyPIN{}.MessageKind():
		return s.readPIN(ctx, m)
	case outbox.SecurityKeyNotice{}.MessageKind():
		return readAs(m, func(p outbox.SecurityKeyNotice) (outbox.Recipient, letter) { return p.To, keyNotice(p) })
	case outbox.LockAlarm{}.MessageKind():
		return readAs(m, func(p outbox.LockAlarm) (outbox.Recipient, letter) { return p.To, lockAlarm(p) })
	case outbox.LockLease{}.MessageKind():
		return readAs(m, func(p outbox.LockLease) (outbox.Recipient, letter) { return p.To, lockLease(p) })
	case outbox.AccessPassIssued{}.MessageKind():
		return readAs(m, func(p outbox.AccessPassIssued) (outbox.Recipient, letter) { return p.To, accessPassIssued(p) })
	case outbox.DigitalKeyIssued{}.MessageKind(), outbox.DigitalKeyChanged{}.MessageKind():
		return s.readDigitalKey(ctx, m)
	case outbox.DigitalKeyCancelled{}.MessageKind():
		return readAs(m, func(p outbox.DigitalKeyCancelled) (outbox.Recipient, letter) { return p.To, digitalKeyCancelled(p) })
	}
	return outbox.Recipient{}, letter{}, fmt.Errorf("no mail is known of the kind %q", m.Kind)
}

// readPIN opens the PIN of a message. The workspace's key may be out of reach for a
// while: that is no reason to give up.
func (s *Mailer) readPIN(ctx context.Context, m outbox.Message) (outbox.Recipient, letter, error) {
	var p outbox.SecurityKeyPIN
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		return outbox.Recipient{}, letter{}, fmt.Errorf("reading a %s message: %w", m.Kind, err)
	}
	if s.keyOf == nil || p.WorkspaceID != string(m.Workspace) {
		return outbox.Recipient{}, letter{}, fmt.Errorf("no sealing key is known for a %s message of %s", m.Kind, line(p.WorkspaceID))
	}
	key, err := s.keyOf(ctx, p.WorkspaceID)
	if err != nil {
		return outbox.Recipient{}, letter{}, &failure{err: fmt.Errorf("reading the sealing key of %s: %w", p.WorkspaceID, err)}
	}
	pin, err := key.Open(p.Sealed, p.Identity())
	if err != nil {
		return outbox.Recipient{}, letter{}, fmt.Errorf("opening a PIN: %w", err)
	}
	return p.To, keyPIN(p, pin.ExposeString()), nil
}

func readAs[P outbox.Payload](m outbox.Message, write func(P) (outbox.Recipient, letter)) (outbox.Recipient, letter, error) {
	var p P
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		return outbox.Recipient{}, letter{}, fmt.Errorf("reading a %s message: %w", m.Kind, err)
	}
	to, l := write(p)
	return to, l, nil
}

// messageID is the same at each try, so that a mail that left twice can be known
// as one.
func (s *Mailer) messageID(job id.Job) string { return string(job) + "@" + domain(s.public) }

// failure is why a message did not leave.
type failure struct {
	permanent bool
	err       error
}

// Error says what happened.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// Permanent says whether another try is of no use.
func (f *failure) Permanent() bool { return f.permanent }
