package kit

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/keyhold/keyhold/internal/base/fault"
)

// MaxForm bounds the body of every request to a page.
const MaxForm = 64 << 10

// Prepare makes an answer that is not stored and bounds the request's body.
func Prepare(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, MaxForm)
}

// Show renders a page whole before it writes the first byte. sprite is where the
// icons are. A toast is shown once: its code is taken from the browser.
func (k *Kit) Show(w http.ResponseWriter, r *http.Request, status int, sprite string, c templ.Component) error {
	var body bytes.Buffer
	if err := c.Render(WithSprite(r.Context(), sprite), &body); err != nil {
		return err
	}
	if Flash(r) != "" {
		k.SetCookie(w, flashCookie, "", -1)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the reader is gone: nobody is left to tell
	return nil
}

// IsRead says whether a request only reads.
func IsRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// Redirect sends the browser on with a GET. to is a path of this site: made by us, or
// what SafeNext let pass. What htmx loads is a part of a page: with whole set, the
// whole page goes.
func Redirect(w http.ResponseWriter, r *http.Request, to string, whole bool) {
	if whole && r.Header.Get("HX-Request") == "true" {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// SafeNext returns next if it is a path of this site, else home. What holds a token by
// mistake is not sent on.
func SafeNext(next, home string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) || tokenBegins.MatchString(next) {
		return home
	}
	return next
}

// TextUnreadable is the sentence for a form that could not be read.
const TextUnreadable = "The form could not be read. It may be too large."

// ReadForm reads a form's body.
func ReadForm(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		return nil, fault.Invalid("invalid_form", TextUnreadable).Because(err)
	}
	return r.PostForm, nil
}

// ReadJSON reads a body of our own scripts.
func ReadJSON(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return fault.Invalid("invalid_json", TextUnreadable).Because(err)
	}
	return nil
}

// problem is an error for our own scripts (RFC 9457).
type problem struct {
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Code      string         `json:"code"`
	RequestID string         `json:"request_id"`
	Errors    []problemField `json:"errors,omitempty"`
}

type problemField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// WriteProblem answers our own scripts with an error. title says a status in words,
// sentence what is wrong with a field.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error, title func(status int) string, sentence func(fault.Field) string) {
	f := NoteError(r.Context(), err)
	status := Status(f)
	out := problem{Title: title(status), Status: status, Detail: f.Public, Code: f.Code, RequestID: RequestID(r.Context())}
	for _, field := range f.Fields {
		out.Errors = append(out.Errors, problemField{Field: field.Name, Message: sentence(field)})
	}
	RetryAfter(w.Header(), f)
	WriteJSON(w, status, "application/problem+json", out)
}

// WriteJSON answers with JSON of that media type.
func WriteJSON(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the reader is gone: nobody is left to tell
}

// SetCookie sets a cookie that holds no secret; age is in seconds, below zero to
// remove it. Scripts may read it.
func (k *Kit) SetCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: on localhost there is plain http, and nothing here is secret
		Name: name, Value: value, Path: "/", MaxAge: age, Secure: k.Secure(), SameSite: http.SameSiteLaxMode,
	})
}

// cookie returns a cookie's value, "" if there is none.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// The toast that the next page shows travels as a code in a cookie: never as text,
// so that nobody can put words into the page.
const flashCookie = "keyhold_flash"

// SetFlash leaves the code of a toast for the next page.
func (k *Kit) SetFlash(w http.ResponseWriter, code string) { k.SetCookie(w, flashCookie, code, 60) }

// Flash returns the code of the toast to show, "" for none.
func Flash(r *http.Request) string { return cookie(r, flashCookie) }

// themeCookie holds the person's choice; the page's script sets it too.
const (
	themeCookie = "keyhold_theme"
	themeAge    = 365 * 24 * 3600 // seconds
)

// Theme returns the theme that the person chose: "light", "dark", or "" for the
// system's.
func Theme(r *http.Request) string {
	if v := cookie(r, themeCookie); slices.Contains([]string{"light", "dark"}, v) {
		return v
	}
	return ""
}

// SetTheme keeps the person's choice of a theme; anything but light and dark means
// the system's.
func (k *Kit) SetTheme(w http.ResponseWriter, theme string) {
	if theme == "light" || theme == "dark" {
		k.SetCookie(w, themeCookie, theme, themeAge)
		return
	}
	k.SetCookie(w, themeCookie, "", -1)
}
