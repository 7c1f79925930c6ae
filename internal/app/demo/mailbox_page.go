package demo

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed mailbox.html mailbox.css
var mailboxFiles embed.FS

const (
	mailboxPolicy = "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// A mail's HTML is foreign: it runs nothing, loads nothing, and has no origin.
	// Its links open as pages of their own.
	messagePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; " +
		"sandbox allow-popups allow-popups-to-escape-sandbox"
)

// newMailboxHandler returns the pages and the JSON of a mailbox.
func newMailboxHandler(b *Mailbox) http.Handler {
	pages := template.Must(template.New("").Funcs(template.FuncMap{"join": strings.Join}).ParseFS(mailboxFiles, "mailbox.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { showMailboxPage(w, pages, "list", b.Messages()) })
	mux.HandleFunc("GET /mailbox.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, mailboxFiles, "mailbox.css")
	})
	mux.HandleFunc("GET /messages/{id}/{$}", b.with(func(w http.ResponseWriter, m Message) { showMailboxPage(w, pages, "message", m) }))
	mux.HandleFunc("GET /messages/{id}/html", b.with(showMessageHTML))
	mux.HandleFunc("GET /messages/{id}/raw", b.with(showMessageRaw))
	mux.HandleFunc("GET /api/messages", func(w http.ResponseWriter, _ *http.Request) { showMailJSON(w, b.Messages()) })
	mux.HandleFunc("GET /api/messages/{id}", b.with(func(w http.ResponseWriter, m Message) { showMailJSON(w, m) }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", mailboxPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// with finds the message that the path names.
func (b *Mailbox) with(show func(http.ResponseWriter, Message)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m, found := b.Find(r.PathValue("id"))
		if !found {
			http.Error(w, "This message is not kept, or not any more.", http.StatusNotFound)
			return
		}
		show(w, m)
	}
}

func showMailboxPage(w http.ResponseWriter, pages *template.Template, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pages.ExecuteTemplate(w, name, data) // the templates are tried by tests; a broken connection has no reader
}

// showMessageHTML shows the mail's HTML for the frame of its page.
func showMessageHTML(w http.ResponseWriter, m Message) {
	w.Header().Set("Content-Security-Policy", messagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(withLinksOut(m.HTML))) // a broken connection has no reader
}

func showMessageRaw(w http.ResponseWriter, m Message) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(m.Raw)))
	_, _ = w.Write(m.Raw) // a broken connection has no reader
}

func showMailJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a broken connection has no reader
}

// withLinksOut makes the links of a mail open outside of the frame.
func withLinksOut(html string) string {
	const base = `<base target="_blank">`
	// Before the doctype it would change how the page is laid out.
	if i := strings.Index(strings.ToLower(html), "<head"); i >= 0 {
		if end := strings.IndexByte(html[i:], '>'); end >= 0 {
			return html[:i+end+1] + base + html[i+end+1:]
		}
	}
	return base + html
}

// When returns the time of arrival for people.
func (m Message) When() string { return m.ReceivedAt.UTC().Format("Mon 2 Jan 2006, 15:04:05 UTC") }

// Stamp returns the time of arrival for machines.
func (m Message) Stamp() string { return m.ReceivedAt.UTC().Format(time.RFC3339) }
