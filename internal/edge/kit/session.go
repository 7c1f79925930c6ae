package kit

import (
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// cookieName is the session cookie's name. The __Host- prefix binds it to the
// host and to https; plain http is accepted on localhost only, where there is none.
func (k *Kit) cookieName() string {
	if k.Secure() {
		return "__Host-keyhold_session"
	}
	return "keyhold_session"
}

// SetSession gives the browser its session's token.
func (k *Kit) SetSession(w http.ResponseWriter, token secret.Bytes, expires time.Time) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is left out on http://localhost only
		Name: k.cookieName(), Value: token.ExposeString(), Path: "/", Expires: expires,
		Secure: k.Secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// ClearSession takes the session's token from the browser.
func (k *Kit) ClearSession(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is left out on http://localhost only
		Name: k.cookieName(), Path: "/", MaxAge: -1, Secure: k.Secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// HasSession says whether the browser carries a session's token, good or not.
func (k *Kit) HasSession(r *http.Request) bool {
	_, err := r.Cookie(k.cookieName())
	return err == nil
}

// SessionCaller returns the caller behind the browser's session. It answers
// Unauthenticated if there is none.
func (k *Kit) SessionCaller(r *http.Request) (auth.Caller, error) {
	cookie, err := r.Cookie(k.cookieName())
	if err != nil {
		return auth.Caller{}, fault.Unauthenticated()
	}
	c, err := k.c.Sessions.VerifySession(r.Context(), Nobody(r.Context()), secret.FromString(cookie.Value))
	if err != nil {
		return auth.Caller{}, err
	}
	NoteCaller(r.Context(), c)
	return c, nil
}

// codeCookie is the name of the cookie that binds a sign-in code to the browser that
// asked for it.
func (k *Kit) codeCookie() string {
	if k.Secure() {
		return "__Host-keyhold_code"
	}
	return "keyhold_code"
}

// SetCode gives the browser the secret to which a sign-in code is bound.
func (k *Kit) SetCode(w http.ResponseWriter, browser secret.Bytes, expires time.Time) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is left out on http://localhost only
		Name: k.codeCookie(), Value: browser.ExposeString(), Path: "/", Expires: expires,
		Secure: k.Secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// ClearCode takes that secret from the browser.
func (k *Kit) ClearCode(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is left out on http://localhost only
		Name: k.codeCookie(), Path: "/", MaxAge: -1, Secure: k.Secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// CodeOf returns the secret to which the browser's sign-in code is bound, or false.
func (k *Kit) CodeOf(r *http.Request) (secret.Bytes, bool) {
	value := cookie(r, k.codeCookie())
	return secret.FromString(value), value != ""
}
