package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/out/mail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func openMailbox(t *testing.T) *Mailbox {
	t.Helper()
	b, err := OpenMailbox(clock.NewManual(time.Date(2026, 12, 4, 14, 0, 5, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close() error = %v", err)
		}
	})
	return b
}

// send hands a raw mail to the mailbox over SMTP.
func send(t *testing.T, b *Mailbox, raw string, to ...string) error {
	t.Helper()
	c, err := smtp.Dial(strings.TrimPrefix(b.SMTPURL(), "smtp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.SendMail("sender@example.com", to, strings.NewReader(raw))
}

const alternative = "From: Keyhold <keyhold@example.com>\r\nTo: Zo=?utf-8?q?=C3=AB?= <zoe@example.com>\r\n" +
	"Subject: =?utf-8?q?B=C3=A4ckerei_=3Cb=3E?=\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n" +
	"--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nPlain <i>text</i>.\r\n" +
	"--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<!doctype html><html><head><title>x</title></head><body><script>alert(1)</script><a href=\"https://keys.example.com/\">Open</a></body></html>\r\n--x--\r\n"

func get(b *Mailbox, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestMailbox_keepsWhatArrives(t *testing.T) {
	b := openMailbox(t)
	if err := send(t, b, alternative, "zoe@example.com", "hidden@example.com"); err != nil {
		t.Fatal(err)
	}
	want := Message{
		ID: "1", To: []string{"zoe@example.com", "hidden@example.com"}, From: "Keyhold <keyhold@example.com>", Subject: "Bäckerei <b>",
		Text: "Plain <i>text</i>.", ReceivedAt: time.Date(2026, 12, 4, 14, 0, 5, 0, time.UTC),
	}
	got, found := b.Find("1")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Message{}, "HTML", "Raw")); !found || diff != "" {
		t.Errorf("Find() (-want +got):\n%s", diff)
	}
	if !strings.Contains(got.HTML, `<a href="https://keys.example.com/">Open</a>`) || string(got.Raw) != alternative {
		t.Errorf("message: want its HTML and its source as sent, got %q and %q", got.HTML, got.Raw)
	}
	if _, found := b.Find("2"); found {
		t.Error("Find() of what never came: want nothing, got a message")
	}
}

func TestMailbox_takesTheHousesMail(t *testing.T) {
	b := openMailbox(t)
	public, err := url.Parse("http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.New(mail.Config{URL: b.SMTPURL(), From: "keyhold@localhost", PublicURL: public, Clock: clock.System{}})
	if err != nil {
		t.Fatal(err)
	}
	p := outbox.PasskeyRegistered{To: outbox.Recipient{Email: "zoë@example.com", Name: "Zoë"}, Workspace: "Demo", Passkey: "Phone"}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Deliver(t.Context(), outbox.Message{ID: "job_1", Kind: p.MessageKind(), Payload: raw}); err != nil {
		t.Fatal(err)
	}
	all := b.Messages()
	if len(all) != 1 || all[0].To[0] != "zoë@example.com" || all[0].Subject != "A passkey was added to your account" || !strings.Contains(all[0].Text, "Hello Zoë,") || all[0].HTML == "" {
		t.Errorf("Messages(): want the mail of the house, got %+v", all)
	}
}

// A picture that came with the mail is shown.
func TestMailbox_showsPictures(t *testing.T) {
	b := openMailbox(t)
	public, err := url.Parse("http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.New(mail.Config{URL: b.SMTPURL(), From: "keyhold@localhost", PublicURL: public, Clock: clock.System{}})
	if err != nil {
		t.Fatal(err)
	}
	p := outbox.SecurityKeyActivation{To: outbox.Recipient{Email: "zoe@example.com"}, Workspace: "Demo", Kind: "smartphone", Key: "Phone", Link: "acn_1"}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Deliver(t.Context(), outbox.Message{ID: "job_1", Kind: p.MessageKind(), Payload: raw}); err != nil {
		t.Fatal(err)
	}
	if html := b.Messages()[0].HTML; !strings.Contains(html, `src="data:image/png;base64,iVBOR`) || strings.Contains(html, "cid:") {
		t.Errorf("the HTML has no picture: %s", html)
	}
}

func TestMailbox_keepsTheLast(t *testing.T) {
	b := openMailbox(t)
	for i := range mailboxKeeps + 3 {
		b.add(Message{Subject: fmt.Sprint(i + 1), Raw: []byte("x")})
	}
	all := b.Messages()
	if len(all) != mailboxKeeps || all[0].Subject != fmt.Sprint(mailboxKeeps+3) || all[len(all)-1].Subject != "4" || b.size != mailboxKeeps {
		t.Errorf("Messages(): want %d, from %d to 4, got %d, from %s to %s", mailboxKeeps, mailboxKeeps+3, len(all), all[0].Subject, all[len(all)-1].Subject)
	}
	big := make([]byte, mailboxBytes/4)
	for range 6 {
		b.add(Message{Raw: big})
	}
	if got := len(b.Messages()); got != 4 {
		t.Errorf("messages of a quarter of all the room: want 4, got %d", got)
	}
}

func TestMailbox_boundsAMessage(t *testing.T) {
	b := openMailbox(t)
	line := strings.Repeat("x", 998) + "\r\n"
	err := send(t, b, "Subject: big\r\n\r\n"+strings.Repeat(line, messageBytes/1000+1), "zoe@example.com")
	var refused *smtp.SMTPError
	if !errors.As(err, &refused) || refused.Code != 552 {
		t.Errorf("sending more than 2 MB: want answer 552, got %v", err)
	}
	if err := send(t, b, "Subject: less\r\n\r\n"+strings.Repeat(line, messageBytes/1000-1), "zoe@example.com"); err != nil {
		t.Errorf("sending less than 2 MB: error = %v", err)
	}
	if got := len(b.Messages()); got != 1 {
		t.Errorf("messages: want 1, got %d", got)
	}
	many := make([]string, messageRecipients+1)
	for i := range many {
		many[i] = fmt.Sprintf("user%d@example.com", i)
	}
	if err := send(t, b, alternative, many...); err == nil {
		t.Errorf("sending to %d people: want an error, got none", len(many))
	}
}

func TestMailbox_showsWhatIsNoMail(t *testing.T) {
	b := openMailbox(t)
	for _, raw := range []string{
		"no header at all\r\n",
		"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html; charset=klingon\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n",
		"Subject: =?utf-8?b?####?=\r\n\r\n\xff\xfe\r\n",
	} {
		if err := send(t, b, raw, "zoe@example.com"); err != nil {
			t.Errorf("sending %q: error = %v", raw, err)
		}
	}
	for _, m := range b.Messages() {
		for _, path := range []string{"", "html", "raw"} {
			if r := get(b, "/messages/"+m.ID+"/"+path); r.Code != http.StatusOK {
				t.Errorf("GET /messages/%s/%s: want 200, got %d", m.ID, path, r.Code)
			}
		}
	}
}

func TestMailbox_closesAtOnce(t *testing.T) {
	b, err := OpenMailbox(clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close() error = %v", err)
	}
	if _, err := smtp.Dial(strings.TrimPrefix(b.SMTPURL(), "smtp://")); err == nil {
		t.Error("dialling a closed mailbox: want an error, got none")
	}
}

func TestMailbox_manyAtOnce(t *testing.T) {
	b := openMailbox(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if err := send(t, b, alternative, "zoe@example.com"); err != nil {
					t.Errorf("sending: error = %v", err)
				}
				b.Messages()
			}
		})
	}
	wg.Wait()
	if got := len(b.Messages()); got != 40 {
		t.Errorf("messages: want 40, got %d", got)
	}
}

func TestMailbox_pages(t *testing.T) {
	b := openMailbox(t)
	empty := get(b, "/").Body.String()
	for range 2 {
		if err := send(t, b, alternative, "zoe@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	b.add(readMessage([]byte("\r\nonly text"), "sender@example.com", []string{strings.Repeat("long", 20) + "@example.com", "two@example.com"}))
	golden(t, "mailbox_empty.html", empty)
	golden(t, "mailbox_list.html", get(b, "/").Body.String())
	golden(t, "mailbox_message.html", get(b, "/messages/1/").Body.String())
	golden(t, "mailbox_message_text.html", get(b, "/messages/3/").Body.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestMailbox_headers(t *testing.T) {
	b := openMailbox(t)
	if err := send(t, b, alternative, "zoe@example.com"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct{ kind, policy string }{
		"/":                {"text/html; charset=utf-8", mailboxPolicy},
		"/mailbox.css":     {"text/css; charset=utf-8", mailboxPolicy},
		"/messages/1/":     {"text/html; charset=utf-8", mailboxPolicy},
		"/messages/1/raw":  {"text/plain; charset=utf-8", mailboxPolicy},
		"/messages/1/html": {"text/html; charset=utf-8", messagePolicy},
		"/api/messages":    {"application/json", mailboxPolicy},
		"/api/messages/1":  {"application/json", mailboxPolicy},
	} {
		r := get(b, path)
		if r.Code != http.StatusOK || r.Header().Get("Content-Type") != want.kind || r.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: want 200 of %s, got %d of %s", path, want.kind, r.Code, r.Header().Get("Content-Type"))
		}
		if got := r.Header().Get("Content-Security-Policy"); got != want.policy {
			t.Errorf("GET %s: want the policy %q, got %q", path, want.policy, got)
		}
	}
	for _, path := range []string{"/messages/2/", "/messages/2/html", "/messages/2/raw", "/api/messages/2", "/messages/x/", "/nothing", "/mailbox.html"} {
		if r := get(b, path); r.Code != http.StatusNotFound {
			t.Errorf("GET %s: want 404, got %d", path, r.Code)
		}
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /: want 405, got %d", w.Code)
	}
	for _, need := range []string{"default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "sandbox allow-popups"} {
		if !strings.Contains(messagePolicy, need) {
			t.Errorf("policy of a mail's HTML: want %q in it, got %q", need, messagePolicy)
		}
	}
	if strings.Contains(messagePolicy, "allow-scripts") || strings.Contains(messagePolicy, "allow-same-origin") {
		t.Errorf("policy of a mail's HTML: want no scripts and no origin, got %q", messagePolicy)
	}
}

func TestMailbox_htmlOpensItsLinksOutside(t *testing.T) {
	for in, want := range map[string]string{
		"<!doctype html><html><HEAD lang=x><title>": `<!doctype html><html><HEAD lang=x><base target="_blank"><title>`,
		"<p>no head": `<base target="_blank"><p>no head`,
		"<head":      `<base target="_blank"><head`,
		"":           `<base target="_blank">`,
	} {
		if got := withLinksOut(in); got != want {
			t.Errorf("withLinksOut(%q): want %q, got %q", in, want, got)
		}
	}
	b := openMailbox(t)
	if err := send(t, b, alternative, "zoe@example.com"); err != nil {
		t.Fatal(err)
	}
	if got := get(b, "/messages/1/html").Body.String(); !strings.Contains(got, `<head><base target="_blank"><title>`) {
		t.Errorf("HTML: want links to open outside, got %s", got)
	}
}

func TestMailbox_json(t *testing.T) {
	b := openMailbox(t)
	if got := get(b, "/api/messages").Body.String(); got != "[]\n" {
		t.Errorf("GET /api/messages of an empty mailbox: want [], got %s", got)
	}
	for _, to := range []string{"one@example.com", "two@example.com"} {
		if err := send(t, b, alternative, to); err != nil {
			t.Fatal(err)
		}
	}
	var all []map[string]any
	if err := json.Unmarshal(get(b, "/api/messages").Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": "2", "to": []any{"two@example.com"}, "from": "Keyhold <keyhold@example.com>", "subject": "Bäckerei <b>", "text": "Plain <i>text</i>.",
		"html": b.Messages()[0].HTML, "received_at": "2026-12-04T14:00:05Z",
	}
	if len(all) != 2 {
		t.Fatalf("GET /api/messages: want 2, got %d", len(all))
	}
	if diff := cmp.Diff(want, all[0]); diff != "" {
		t.Errorf("newest message (-want +got):\n%s", diff)
	}
	var one map[string]any
	if err := json.Unmarshal(get(b, "/api/messages/2").Body.Bytes(), &one); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("GET /api/messages/2 (-want +got):\n%s", diff)
	}
}

func TestMailbox_underAPrefix(t *testing.T) {
	b := openMailbox(t)
	if err := send(t, b, alternative, "zoe@example.com"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.StripPrefix("/mailbox", b))
	defer s.Close()
	at, err := url.Parse(s.URL + "/mailbox/")
	if err != nil {
		t.Fatal(err)
	}
	// The way of a reader: list, message, its frame, its source, back.
	for _, link := range []string{"messages/1/", "html", "raw", "../../mailbox.css"} {
		next, err := at.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Client().Get(next.String())
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || len(content) == 0 {
			t.Errorf("GET %s: want 200, got %d", next, r.StatusCode)
		}
		if strings.HasSuffix(link, "/") {
			at = next
		}
	}
}

func TestMailbox_pagesNeedNobodyElse(t *testing.T) {
	for _, name := range []string{"mailbox.html", "mailbox.css"} {
		raw, err := mailboxFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, refused := range []string{"http://", "https://", "<script", "style=", "!important", "@import", "url("} {
			if bytes.Contains(raw, []byte(refused)) {
				t.Errorf("%s: want no %s, got one", name, refused)
			}
		}
	}
}
