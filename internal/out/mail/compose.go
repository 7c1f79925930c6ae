package mail

import (
	"bytes"
	"context"
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// compose writes the mail, the same at each try but for its date.
func (s *Mailer) compose(ctx context.Context, job id.Job, to outbox.Recipient, l letter) (*gomail.Msg, error) {
	address, err := mail.ParseAddress(to.Email)
	if err != nil || address.Address != to.Email {
		return nil, fmt.Errorf("the recipient's address %q is none", line(to.Email))
	}
	link := s.public.JoinPath(l.Path).String()
	if l.Path == "" {
		link = s.public.String()
	}
	var html bytes.Buffer
	if err := letterHTML(l, link).Render(ctx, &html); err != nil { //nolint:contextcheck // Render has it
		return nil, fmt.Errorf("writing the HTML: %w", err)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("part_"+string(job)))
	msg.FromMailAddress(&s.from)
	msg.ToMailAddress(&mail.Address{Name: line(to.Name), Address: address.Address})
	msg.Subject(l.Subject)
	msg.SetMessageIDWithValue(s.messageID(job))
	msg.SetDateWithValue(s.clock.Now())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5
	msg.SetBodyString(gomail.TypeTextPlain, letterText(l, link))
	msg.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return msg, nil
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
