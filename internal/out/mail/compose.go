package mail

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
	"rsc.io/qr"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// compose writes the mail, the same at each try but for its date.
func (s *Mailer) compose(ctx context.Context, job id.Job, to outbox.Recipient, l letter) (*gomail.Msg, error) {
	address, err := mail.ParseAddress(to.Email)
	if err != nil || address.Address != to.Email {
		return nil, fmt.Errorf("the recipient's address %q is none", line(to.Email))
	}
	page := s.public
	if l.Path != "" {
		page = s.public.JoinPath(l.Path)
		page.RawQuery = l.Query
	}
	link := page.String()
	picture := ""
	if l.QR != "" {
		picture = "qr." + s.messageID(job)
	}
	var html bytes.Buffer
	if err := letterHTML(l, link, picture).Render(ctx, &html); err != nil { //nolint:contextcheck // Render has it
		return nil, fmt.Errorf("writing the HTML: %w", err)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("part_"+string(job)))
	msg.FromMailAddress(&s.from)
	msg.ToMailAddress(&mail.Address{Name: line(to.Name), Address: address.Address})
	msg.Subject(l.Subject)
	msg.SetMessageIDWithValue(s.messageID(job))
	msg.SetDateWithValue(s.clock.Now())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5
	if l.QR == "" {
		msg.SetBodyString(gomail.TypeTextPlain, letterText(l, link))
		msg.AddAlternativeString(gomail.TypeTextHTML, html.String())
		return msg, nil
	}
	return msg, pictured(msg, letterText(l, link), html.Bytes(), link, picture, "alt_"+string(job))
}

// pictured writes the body of a mail whose HTML shows the link as a QR code. The
// library would give the outer and the inner part the same boundary, or random ones.
func pictured(msg *gomail.Msg, text string, html []byte, link, picture, boundary string) error {
	var inner bytes.Buffer
	parts := multipart.NewWriter(&inner)
	if err := parts.SetBoundary(boundary); err != nil {
		return fmt.Errorf("writing the parts: %w", err)
	}
	for _, part := range []struct {
		kind string
		body []byte
	}{{"text/plain", []byte(text)}, {"text/html", html}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type": {part.kind + "; charset=UTF-8"}, "Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return fmt.Errorf("writing the parts: %w", err)
		}
		encoder := quotedprintable.NewWriter(w)
		if _, err := encoder.Write(part.body); err != nil {
			return fmt.Errorf("writing the parts: %w", err)
		}
		if err := encoder.Close(); err != nil {
			return fmt.Errorf("writing the parts: %w", err)
		}
	}
	if err := parts.Close(); err != nil {
		return fmt.Errorf("writing the parts: %w", err)
	}
	code, err := qr.Encode(link, qr.M)
	if err != nil {
		return fmt.Errorf("drawing the link: %w", err)
	}
	code.Scale = 6
	msg.SetBodyString(gomail.ContentType("multipart/alternative; boundary="+boundary), inner.String(), gomail.WithPartEncoding(gomail.NoEncoding))
	err = msg.EmbedReader("link.png", bytes.NewReader(code.PNG()), gomail.WithFileContentType("image/png"), gomail.WithFileContentID("<"+picture+">"))
	if err != nil {
		return fmt.Errorf("adding the drawing: %w", err)
	}
	return nil
}

// letterText is the letter in plain text.
func letterText(l letter, public string) string {
	var b strings.Builder
	paragraph := func(s string) {
		b.WriteString(wrap(s))
		b.WriteString("\n\n")
	}
	paragraph(l.Greeting)
	paragraph(l.Lead)
	if l.Big != "" {
		b.WriteString("    " + l.Big + "\n\n")
	}
	width := 0
	for _, f := range l.Facts {
		width = max(width, utf8.RuneCountInString(f.Name))
	}
	for _, f := range l.Facts {
		b.WriteString("  " + f.Name + ":" + strings.Repeat(" ", width-utf8.RuneCountInString(f.Name)+2) + f.Value + "\n")
	}
	b.WriteString("\n")
	if l.Block != "" {
		b.WriteString(l.Block + "\n\n")
	}
	paragraph(l.Advice)
	paragraph(l.Action + ": " + public)
	b.WriteString("-- \n")
	b.WriteString(wrap(l.Footer) + "\n")
	return b.String()
}

// wrap breaks a paragraph into lines of at most 72 runes, where its words allow.
func wrap(s string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > 72:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
