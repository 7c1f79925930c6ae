package demo

import (
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed shop.html shop.css shop.js
var shopFiles embed.FS

// shopHost is where the shop is, and its RP ID: a site of its own, as websites are to Keyhold.
const shopHost = "shop.localhost"

// shopCookie names a session. It has no domain and so stays with the one host.
const shopCookie = "shop_session"

// shopBody bounds the body of a request.
const shopBody = 64 << 10

const shopPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// newShopHandler returns the page and the JSON of a shop.
func newShopHandler(s *shop) http.Handler {
	mux := http.NewServeMux()
	for path, file := range map[string]string{"/{$}": "shop.html", "/shop.css": "shop.css", "/shop.js": "shop.js"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, shopFiles, file) })
	}
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		state := stateOf(s.find(cookieOf(r)))
		s.mu.Unlock()
		showShopJSON(w, http.StatusOK, state)
	})
	mux.HandleFunc("POST /register/begin", s.act(func(v *visit) (any, error) {
		name, err := v.nameForNobody()
		if err == nil {
			name, err = readShopName(name)
		}
		if err != nil {
			return nil, err
		}
		return s.beginKey(v, shopRegister, &shopAccount{id: []byte(rand.Text()), name: name})
	}))
	mux.HandleFunc("POST /add-key/begin", s.act(func(v *visit) (any, error) {
		if v.session == nil || v.session.account == nil {
			return nil, shopRefusal{http.StatusUnauthorized, "sign in first"}
		}
		return s.beginKey(v, shopAddKey, v.session.account)
	}))
	mux.HandleFunc("POST /key/finish", s.act(func(v *visit) (any, error) {
		err := s.finishKey(v)
		return stateOf(v.session), err
	}))
	mux.HandleFunc("POST /sign-in/begin", s.act(func(v *visit) (any, error) {
		name, err := v.nameForNobody()
		if err != nil {
			return nil, err
		}
		return s.beginSignIn(v, name)
	}))
	mux.HandleFunc("POST /sign-in/finish", s.act(func(v *visit) (any, error) {
		err := s.finishSignIn(v)
		return stateOf(v.session), err
	}))
	mux.HandleFunc("POST /sign-out", s.act(func(v *visit) (any, error) {
		s.end(v)
		return stateOf(nil), nil
	}))
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", shopPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		guarded.ServeHTTP(w, r)
	})
}

// nameForNobody reads the name that a visit brings, empty for none, and refuses whoever is
// signed in already.
func (v *visit) nameForNobody() (string, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(v.body, &in); err != nil {
		return "", shopRefusal{http.StatusBadRequest, "the request cannot be read"}
	}
	if v.session != nil && v.session.account != nil {
		return "", errors.New("you are signed in: sign out first")
	}
	return in.Name, nil
}

// shopState is what the page shows. Name is empty while nobody is signed in.
type shopState struct {
	Name string   `json:"name"`
	Keys int      `json:"keys"`
	How  *shopHow `json:"how"`
}

func stateOf(session *shopSession) shopState {
	if session == nil || session.account == nil {
		return shopState{}
	}
	return shopState{session.account.name, len(session.account.credentials), session.how}
}

// act answers a request that does something. One does at a time.
func (s *shop) act(do func(*visit) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// A form of another page cannot send this type.
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			showShopError(w, shopRefusal{http.StatusUnsupportedMediaType, "this takes JSON"})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, shopBody))
		if err != nil {
			showShopError(w, shopRefusal{http.StatusRequestEntityTooLarge, "the request is too large"})
			return
		}
		had := cookieOf(r)
		cookie, out, err := s.visit(had, body, do)
		if cookie != had {
			c := &http.Cookie{Name: shopCookie, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode} //nolint:gosec // the demo has no https
			if cookie == "" {
				c.MaxAge = -1
			}
			http.SetCookie(w, c)
		}
		if err != nil {
			showShopError(w, err)
			return
		}
		showShopJSON(w, http.StatusOK, out)
	}
}

// visit does it, and returns what the browser's cookie is to say from now on.
func (s *shop) visit(cookie string, body []byte, do func(*visit) (any, error)) (string, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &visit{now: s.clock.Now(), body: body, session: s.find(cookie)}
	if v.session != nil {
		v.cookie = cookie
	}
	out, err := do(v)
	return v.cookie, out, err
}

func cookieOf(r *http.Request) string {
	c, err := r.Cookie(shopCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// showShopError says no. What has no status of its own is a conflict.
func showShopError(w http.ResponseWriter, err error) {
	status := http.StatusConflict
	if refusal, ok := errors.AsType[shopRefusal](err); ok {
		status = refusal.status
	}
	showShopJSON(w, status, map[string]string{"error": sentence(err.Error())})
}

// sentence makes one of an error's words.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(text[size:], ".") + "."
}

func showShopJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a broken connection has no reader
}
