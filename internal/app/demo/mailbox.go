// Package demo is what a demonstration has in place of the world. Its mailbox is
// a real mail server that keeps what it gets, and a page to read it on.
package demo

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jhillyerd/enmime/v2"

	"github.com/keyhold/keyhold/internal/base/clock"
)

const (
	// mailboxKeeps and mailboxBytes bound what the mailbox keeps: the oldest go first.
	mailboxKeeps = 500
	mailboxBytes = 64 << 20
	// messageBytes bounds one message.
	messageBytes      = 2 << 20
	messageRecipients = 50
	smtpIdle          = time.Minute
)

// Message is a mail that arrived.
type Message struct {
	ID         string    `json:"id"`
	To         []string  `json:"to"` // as the envelope says
	From       string    `json:"from"`
	Subject    string    `json:"subject"`
	Text       string    `json:"text"`
	HTML       string    `json:"html"`
	ReceivedAt time.Time `json:"received_at"`
	Raw        []byte    `json:"-"` // as it came
}

// Mailbox is a mail server on the loopback that takes all mail and keeps the last
// of it in memory. It is safe for use by several goroutines. Use OpenMailbox.
type Mailbox struct {
	clock    clock.Clock
	listener net.Listener
	server   *smtp.Server
	handler  http.Handler
	served   sync.WaitGroup

	mu       sync.RWMutex
	messages []Message // oldest first; guarded by mu
	size     int       // bytes of all raw messages; guarded by mu
	last     int       // the last message's number; guarded by mu
}

// OpenMailbox starts a mailbox on a free port of 127.0.0.1. Whoever opens it
// closes it.
func OpenMailbox(c clock.Clock) (*Mailbox, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it binds at once
	if err != nil {
		return nil, err
	}
	b := &Mailbox{clock: c, listener: listener}
	b.handler = newMailboxHandler(b)
	b.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{box: b}, nil }))
	b.server.Domain = "mailbox.localhost"
	b.server.MaxMessageBytes, b.server.MaxRecipients = messageBytes, messageRecipients
	b.server.ReadTimeout, b.server.WriteTimeout = smtpIdle, smtpIdle
	b.server.EnableSMTPUTF8 = true
	b.server.ErrorLog = log.New(io.Discard, "", 0)
	b.served.Go(func() { _ = b.server.Serve(listener) }) // ends by Close
	return b, nil
}

// Close ends the mail server. What it keeps can still be read.
func (b *Mailbox) Close() error {
	err := b.server.Close()
	// The server knows the listener only once it serves.
	if closed := b.listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	b.served.Wait()
	return err
}

// SMTPURL returns the setting SMTP_URL by which mail gets here, but for the
// sender.
func (b *Mailbox) SMTPURL() string { return "smtp://" + b.listener.Addr().String() }

// Messages returns what the mailbox keeps, newest first.
func (b *Mailbox) Messages() []Message {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]Message, 0, len(b.messages))
	for i := len(b.messages) - 1; i >= 0; i-- {
		out = append(out, b.messages[i])
	}
	return out
}

// Find returns the message of that id, if it is still kept.
func (b *Mailbox) Find(id string) (Message, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, m := range b.messages {
		if m.ID == id {
			return m, true
		}
	}
	return Message{}, false
}

// ServeHTTP shows the mailbox: the list at /, and all links relative, so that it
// may stand under a prefix that http.StripPrefix takes away.
func (b *Mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.handler.ServeHTTP(w, r) }

// add keeps a message and lets the oldest go.
func (b *Mailbox) add(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	m.ID, m.ReceivedAt = strconv.Itoa(b.last), b.clock.Now()
	b.messages = append(b.messages, m)
	b.size += len(m.Raw)
	for len(b.messages) > mailboxKeeps || b.size > mailboxBytes {
		b.size -= len(b.messages[0].Raw)
		b.messages[0] = Message{} // its memory is not to wait for the next growth
		b.messages = b.messages[1:]
	}
}

// mailSession is one connection to the mail server.
type mailSession struct {
	box  *Mailbox
	from string
	to   []string
}

func (d *mailSession) Reset() { d.from, d.to = "", nil }

func (d *mailSession) Logout() error { return nil }

func (d *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	return nil
}

func (d *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

func (d *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // too large, or the connection broke
	}
	d.box.add(readMessage(raw, d.from, d.to))
	return nil
}

// readMessage makes a message of what came. What is no mail is shown as it is.
func readMessage(raw []byte, from string, to []string) Message {
	m := Message{From: from, To: to, Raw: raw}
	e, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		m.Text = strings.ToValidUTF8(string(raw), "\ufffd")
		return m
	}
	m.Subject, m.Text, m.HTML = e.GetHeader("Subject"), e.Text, withPictures(e)
	if sender := e.GetHeader("From"); sender != "" {
		m.From = sender
	}
	return m
}

// withPictures returns the mail's HTML with the pictures that it brings along in it.
func withPictures(e *enmime.Envelope) string {
	html := e.HTML
	for _, part := range append(slices.Clone(e.Inlines), e.OtherParts...) {
		if part.ContentID != "" && part.ContentType == "image/png" {
			html = strings.ReplaceAll(html, `"cid:`+part.ContentID+`"`, `"data:image/png;base64,`+base64.StdEncoding.EncodeToString(part.Content)+`"`)
		}
	}
	return html
}
