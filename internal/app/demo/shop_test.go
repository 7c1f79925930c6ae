package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/webauthn"
)

const shopOrigin = "http://shop.localhost:8080"

// shopper is a browser at the shop, with an authenticator in software.
type shopper struct {
	t      *testing.T
	send   func(*http.Request) *http.Response
	origin string // what its pages say that they are
	cookie string
	uv     bool
	keys   []ctap.Credential
}

// openShop opens a shop whose clock stands still.
func openShop(t *testing.T) (*shop, *clock.Manual) {
	t.Helper()
	now := clock.NewManual(time.Date(2026, 12, 4, 14, 0, 5, 0, time.UTC))
	s, err := newShop(shopOrigin, now)
	if err != nil {
		t.Fatal(err)
	}
	return s, now
}

// enter returns another browser at the shop.
func enter(t *testing.T, h http.Handler) *shopper {
	t.Helper()
	return &shopper{t: t, origin: shopOrigin, uv: true, send: func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}}
}

// shopAnswer is what the shop says, whatever it was asked.
type shopAnswer struct {
	status    int
	PublicKey json.RawMessage
	Error     string
	shopState
}

// ask sends a request and keeps the cookie, as browsers do.
func (b *shopper) ask(method, path, body string, change ...func(*http.Request)) shopAnswer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, shopOrigin+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if b.cookie != "" {
		r.AddCookie(&http.Cookie{Name: shopCookie, Value: b.cookie})
	}
	for _, c := range change {
		c(r)
	}
	answer := b.send(r)
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range answer.Cookies() {
		if c.Name != shopCookie || c.Domain != "" || c.Path != "/" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
			b.t.Errorf("the cookie is %v, want one of this host only that no script reads", c)
		}
		if over := c.MaxAge < 0; over != (c.Value == "") || c.MaxAge > 0 {
			b.t.Errorf("the cookie is %v, want it until the browser ends, or to go at once", c)
		}
		b.cookie = c.Value
	}
	out := shopAnswer{status: answer.StatusCode}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(data, &out); err != nil {
			b.t.Fatalf("%s: %v: %s", path, err, data)
		}
	}
	return out
}

func (b *shopper) state() shopState {
	b.t.Helper()
	return b.ask(http.MethodGet, "/state", "").shopState
}

// begin asks for options.
func (b *shopper) begin(path, name string) json.RawMessage {
	b.t.Helper()
	out := b.ask(http.MethodPost, path, toJSON(b.t, map[string]string{"name": name}))
	if out.status != http.StatusOK {
		b.t.Fatalf("%s: %d %s", path, out.status, out.Error)
	}
	return out.PublicKey
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// make makes a key for the options.
func (b *shopper) make(options json.RawMessage) string {
	b.t.Helper()
	o, err := webauthn.ParseCreation(options)
	if err != nil {
		b.t.Fatal(err)
	}
	clientData := webauthn.ClientData(webauthn.Create, o.Challenge, webauthn.Origin{Origin: b.origin})
	hash := sha256.Sum256(clientData)
	key, made, err := ctap.MakeCredential(o.Request(o.RPID, hash[:]), o.Attest(), b.uv)
	if err != nil {
		b.t.Fatal(err)
	}
	b.keys = append(b.keys, key)
	out, err := webauthn.NewRegistration(o, key, made, clientData, b.uv)
	if err != nil {
		b.t.Fatal(err)
	}
	return toJSON(b.t, out)
}

// sign signs in with a key.
func (b *shopper) sign(options json.RawMessage, key ctap.Credential) string {
	b.t.Helper()
	o, err := webauthn.ParseRequest(options)
	if err != nil {
		b.t.Fatal(err)
	}
	clientData := webauthn.ClientData(webauthn.Get, o.Challenge, webauthn.Origin{Origin: b.origin})
	hash := sha256.Sum256(clientData)
	made, err := ctap.GetAssertion(o.Request(o.RPID, hash[:]), key, b.uv)
	if err != nil {
		b.t.Fatal(err)
	}
	return toJSON(b.t, webauthn.NewAuthentication(o, key, made, clientData, b.uv))
}

func (b *shopper) register(name string) shopAnswer {
	b.t.Helper()
	return b.ask(http.MethodPost, "/key/finish", b.make(b.begin("/register/begin", name)))
}

func (b *shopper) addKey() shopAnswer {
	b.t.Helper()
	return b.ask(http.MethodPost, "/key/finish", b.make(b.begin("/add-key/begin", "")))
}

// signIn signs in with a key, by name unless it is empty.
func (b *shopper) signIn(name string, key ctap.Credential) shopAnswer {
	b.t.Helper()
	return b.ask(http.MethodPost, "/sign-in/finish", b.sign(b.begin("/sign-in/begin", name), key))
}

func (b *shopper) signOut() {
	b.t.Helper()
	if out := b.ask(http.MethodPost, "/sign-out", "{}"); out.status != http.StatusOK || b.cookie != "" {
		b.t.Fatalf("signing out: %d %s, the cookie says %q", out.status, out.Error, b.cookie)
	}
}

// is asserts who is signed in.
func (b *shopper) is(want string) {
	b.t.Helper()
	if got := b.state(); got.Name != want {
		b.t.Errorf("%q is signed in, want %q", got.Name, want)
	}
}

// refused asserts a refusal with a word of its reason.
func refused(t *testing.T, what string, got shopAnswer, status int, word string) {
	t.Helper()
	if got.status != status || !strings.Contains(got.Error, word) {
		t.Errorf("%s: %d %q, want %d and %q", what, got.status, got.Error, status, word)
	}
}

func TestShop_registersAndSignsIn(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	b.is("")
	out := b.register(" Ada ")
	want := shopState{"Ada", 1, &shopHow{shopRegister, true, true, true}}
	if got := out.shopState; out.status != http.StatusOK || toJSON(t, got) != toJSON(t, want) {
		t.Errorf("registering: %d %s %+v, want %+v", out.status, out.Error, got, want)
	}
	b.is("Ada")
	b.signOut()
	b.is("")
	for _, name := range []string{"", "ada"} {
		for _, uv := range []bool{true, false} {
			b.uv = uv
			out := b.signIn(name, b.keys[0])
			want := shopState{"Ada", 1, &shopHow{shopSignIn, uv, true, true}}
			if got := b.state(); toJSON(t, got) != toJSON(t, want) {
				t.Errorf("signing in as %q, verified %v: %d %s %+v, want %+v", name, uv, out.status, out.Error, got, want)
			}
			b.signOut()
		}
	}
}

func TestShop_asksAsItSays(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	var asked struct {
		RP                     struct{ ID string }
		Attestation            string
		Timeout                int64
		AuthenticatorSelection struct{ ResidentKey, UserVerification string }
	}
	if err := json.Unmarshal(b.begin("/register/begin", "Ada"), &asked); err != nil {
		t.Fatal(err)
	}
	if a := asked; a.RP.ID != "shop.localhost" || a.Attestation != "none" || a.Timeout != shopPatience.Milliseconds() ||
		a.AuthenticatorSelection.ResidentKey != "preferred" || a.AuthenticatorSelection.UserVerification != "preferred" {
		t.Errorf("a registration asks for %+v", asked)
	}
	for _, name := range []string{"", "Ada"} {
		if name != "" {
			b.register(name)
			b.signOut()
		}
		o, err := webauthn.ParseRequest(b.begin("/sign-in/begin", name))
		if err != nil || o.RPID != "shop.localhost" || o.Verification != webauthn.VerificationPreferred || len(o.Allow) > 0 != (name != "") {
			t.Errorf("a sign-in as %q asks for %+v, %v", name, o, err)
		}
	}
}

func TestShop_secondAccount(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	for _, name := range []string{"Ada", "Bea"} {
		if out := b.register(name); out.Name != name {
			t.Fatalf("registering %s: %d %s", name, out.status, out.Error)
		}
		b.signOut()
	}
	for i, name := range []string{"Ada", "Bea"} {
		if out := b.signIn("", b.keys[i]); out.Name != name {
			t.Errorf("%s's key: %d %s %q", name, out.status, out.Error, out.Name)
		}
		b.signOut()
	}
	refused(t, "a name again", b.ask(http.MethodPost, "/register/begin", `{"name":"ADA"}`), http.StatusConflict, "taken")
	// Both asked while the name was free.
	first, second := enter(t, s), enter(t, s)
	o1, o2 := first.begin("/register/begin", "Cleo"), second.begin("/register/begin", "cleo")
	if out := first.ask(http.MethodPost, "/key/finish", first.make(o1)); out.Name != "Cleo" {
		t.Fatalf("registering: %d %s", out.status, out.Error)
	}
	refused(t, "a name that was taken meanwhile", second.ask(http.MethodPost, "/key/finish", second.make(o2)), http.StatusConflict, "taken")
	second.is("")
}

func TestShop_addsAKey(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	refused(t, "nobody's key", b.ask(http.MethodPost, "/add-key/begin", "{}"), http.StatusUnauthorized, "Sign in first")
	b.begin("/sign-in/begin", "") // has a session, and nobody in it
	refused(t, "nobody's key", b.ask(http.MethodPost, "/add-key/begin", "{}"), http.StatusUnauthorized, "Sign in first")
	b.register("Ada")
	o, err := webauthn.ParseCreation(b.begin("/add-key/begin", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !ctap.Excluded(o.Request(o.RPID, make([]byte, sha256.Size)), b.keys, true) {
		t.Error("the account's key is not excluded")
	}
	if out := b.addKey(); out.Keys != 2 || out.How == nil || out.How.Act != shopAddKey {
		t.Errorf("adding a key: %d %s %+v", out.status, out.Error, out.shopState)
	}
	b.signOut()
	for _, key := range b.keys {
		if out := b.signIn("Ada", key); out.Name != "Ada" {
			t.Errorf("one of two keys: %d %s", out.status, out.Error)
		}
		b.signOut()
	}
	// Without attestation nobody signs a new key's id: somebody may claim another's.
	c := enter(t, s)
	raw := c.make(c.begin("/register/begin", "Bea"))
	refused(t, "an id that is taken", c.ask(http.MethodPost, "/key/finish", claiming(t, raw, c.keys[0].ID, b.keys[0].ID)), http.StatusConflict, "registered here already")
	c.is("")
}

// claiming returns a registration with another id.
func claiming(t *testing.T, raw string, own, other []byte) string {
	t.Helper()
	var r webauthn.RegistrationResponse
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		t.Fatal(err)
	}
	r.ID, r.RawID = other, other
	r.Response.AttestationObject = bytes.ReplaceAll(r.Response.AttestationObject, own, other)
	r.Response.AuthenticatorData = bytes.ReplaceAll(r.Response.AuthenticatorData, own, other)
	return toJSON(t, r)
}

func TestShop_refusesAnswers(t *testing.T) {
	s, now := openShop(t)
	b, other := enter(t, s), enter(t, s)
	b.register("Ada")
	b.signOut()
	other.register("Bea")
	other.signOut()
	key := b.keys[0]
	const finish, no = "/sign-in/finish", http.StatusUnprocessableEntity
	for _, origin := range []string{"http://localhost:8080", "http://shop.localhost", "http://shop.localhost:8081", "https://shop.localhost:8080", "http://evil.shop.localhost:8080"} {
		b.origin = origin
		refused(t, "a sign-in at "+origin, b.signIn("", key), no, "origin")
		refused(t, "a registration at "+origin, b.register("Cleo"), no, "origin")
		b.keys = b.keys[:1]
	}
	b.origin = shopOrigin

	elsewhere := key
	elsewhere.RPID = "localhost"
	wrong := strings.Replace(string(b.begin("/sign-in/begin", "")), `"rpId":"shop.localhost"`, `"rpId":"localhost"`, 1)
	refused(t, "a signature for another RP ID", b.ask(http.MethodPost, finish, b.sign([]byte(wrong), elsewhere)), no, "does not accept")

	forged := key
	forged.Private, forged.Public = other.keys[0].Private, other.keys[0].Public
	refused(t, "another key's signature", b.signIn("", forged), no, "signature")
	refused(t, "another key's signature, by name", b.signIn("Ada", forged), no, "signature")

	stranger := key
	stranger.User.ID = []byte("nobody")
	refused(t, "nobody's handle", b.signIn("", stranger), no, "nobody is registered")
	refused(t, "another account's key, by name", b.ask(http.MethodPost, finish, b.sign(unlisted(t, b.begin("/sign-in/begin", "Ada")), other.keys[0])), no, "does not accept")

	o := b.begin("/sign-in/begin", "")
	now.Advance(shopPatience)
	refused(t, "an answer that comes late", b.ask(http.MethodPost, finish, b.sign(o, key)), http.StatusConflict, "over")
	refused(t, "no answer", b.ask(http.MethodPost, finish, "{}"), no, "does not accept")
	refused(t, "no registration", b.ask(http.MethodPost, "/key/finish", "{"), no, "does not accept")
	b.is("")
	if out := b.signIn("", key); out.Name != "Ada" {
		t.Errorf("after all that: %d %s", out.status, out.Error)
	}
}

// unlisted takes the list of keys out of the options, as a browser would not.
func unlisted(t *testing.T, options json.RawMessage) json.RawMessage {
	t.Helper()
	o := map[string]any{}
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	delete(o, "allowCredentials")
	return json.RawMessage(toJSON(t, o))
}

func TestShop_takesAnAnswerOnce(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	b.register("Ada")
	b.signOut()
	o := b.begin("/sign-in/begin", "")
	before, answer := b.cookie, b.sign(o, b.keys[0])
	if out := b.ask(http.MethodPost, "/sign-in/finish", answer); out.Name != "Ada" {
		t.Fatalf("signing in: %d %s", out.status, out.Error)
	}
	refused(t, "again in the session that it opened", b.ask(http.MethodPost, "/sign-in/finish", answer), http.StatusConflict, "over")
	thief := enter(t, s)
	thief.cookie = before
	refused(t, "again in the session that it was asked in", thief.ask(http.MethodPost, "/sign-in/finish", answer), http.StatusConflict, "over")
	thief.begin("/sign-in/begin", "")
	refused(t, "again for another challenge", thief.ask(http.MethodPost, "/sign-in/finish", answer), http.StatusConflict, "over")
	thief.is("")
	// One that was refused is over as well.
	b.signOut()
	o = b.begin("/sign-in/begin", "")
	b.origin = "http://localhost:8080"
	refused(t, "from elsewhere", b.ask(http.MethodPost, "/sign-in/finish", b.sign(o, b.keys[0])), http.StatusUnprocessableEntity, "origin")
	b.origin = shopOrigin
	refused(t, "a challenge that was refused", b.ask(http.MethodPost, "/sign-in/finish", b.sign(o, b.keys[0])), http.StatusConflict, "over")
	// And it is for its own act.
	o = b.begin("/sign-in/begin", "")
	creation := b.begin("/register/begin", "Bea")
	swapped := func(in json.RawMessage, from json.RawMessage) json.RawMessage {
		a, c := map[string]any{}, map[string]any{}
		if json.Unmarshal(in, &a) != nil || json.Unmarshal(from, &c) != nil {
			t.Fatal("the options are no JSON")
		}
		a["challenge"] = c["challenge"]
		return json.RawMessage(toJSON(t, a))
	}
	refused(t, "a sign-in for a registration's challenge", b.ask(http.MethodPost, "/sign-in/finish", b.sign(swapped(o, creation), b.keys[0])), http.StatusConflict, "over")
	b.is("")
}

func TestShop_sessionsAreOnesOwn(t *testing.T) {
	s, _ := openShop(t)
	b, thief := enter(t, s), enter(t, s)
	b.register("Ada")
	b.signOut()

	// Whoever planted a session before the sign-in does not share it afterwards.
	thief.begin("/sign-in/begin", "")
	b.cookie = thief.cookie
	b.signIn("", b.keys[0])
	b.is("Ada")
	thief.is("")
	b.signOut()

	// Another browser's answer is not taken.
	o := b.begin("/sign-in/begin", "")
	thief.begin("/sign-in/begin", "")
	refused(t, "another session's attempt", thief.ask(http.MethodPost, "/sign-in/finish", b.sign(o, b.keys[0])), http.StatusConflict, "over")
	thief.cookie = ""
	refused(t, "an attempt without a session", thief.ask(http.MethodPost, "/sign-in/finish", b.sign(o, b.keys[0])), http.StatusConflict, "over")
	thief.is("")

	// What was signed out is out, also for who kept the cookie.
	b.signIn("", b.keys[0])
	kept := b.cookie
	b.signOut()
	b.cookie = kept
	b.is("")
	refused(t, "a session that ended", b.ask(http.MethodPost, "/add-key/begin", "{}"), http.StatusUnauthorized, "Sign in first")
}

func TestShop_refusesRequests(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	for what, c := range map[string]struct {
		body, word string
		status     int
		change     func(*http.Request)
	}{
		"no name":            {`{"name":"  "}`, "Type a name", http.StatusConflict, nil},
		"a long name":        {`{"name":"` + strings.Repeat("ä", shopNameRunes+1) + `"}`, "64", http.StatusConflict, nil},
		"a name with a line": {`{"name":"a\nb"}`, "seen", http.StatusConflict, nil},
		"a reversed name":    {`{"name":"a\u202eb"}`, "seen", http.StatusConflict, nil},
		"no JSON":            {`name=Ada`, "cannot be read", http.StatusBadRequest, nil},
		"a form":             {`{"name":"Ada"}`, "JSON", http.StatusUnsupportedMediaType, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
		"much":               {`{"name":"Ada","more":"` + strings.Repeat("x", shopBody) + `"}`, "too large", http.StatusRequestEntityTooLarge, nil},
		"another website":    {`{"name":"Ada"}`, "", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		"an older browser":   {`{"name":"Ada"}`, "", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8080") }},
		"the page itself":    {`{"name":"Ada"}`, "", http.StatusOK, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }},
	} {
		if c.change == nil {
			c.change = func(*http.Request) {}
		}
		refused(t, what, b.ask(http.MethodPost, "/register/begin", c.body, c.change), c.status, c.word)
	}
	refused(t, "an unknown name", b.ask(http.MethodPost, "/sign-in/begin", `{"name":"Zoe"}`), http.StatusNotFound, "Nobody")
	if out := b.ask(http.MethodGet, "/register/begin", ""); out.status != http.StatusMethodNotAllowed && out.status != http.StatusNotFound {
		t.Errorf("a GET begins: %d", out.status)
	}
	b.register("Ada")
	for _, path := range []string{"/register/begin", "/sign-in/begin"} {
		refused(t, path+" while signed in", b.ask(http.MethodPost, path, `{"name":"Bea"}`), http.StatusConflict, "sign out first")
	}
}

func TestShop_isBounded(t *testing.T) {
	s, _ := openShop(t)
	b := enter(t, s)
	b.register("Ada")
	for range shopKeys - 1 {
		if out := b.addKey(); out.status != http.StatusOK {
			t.Fatalf("adding a key: %d %s", out.status, out.Error)
		}
	}
	refused(t, "another key", b.ask(http.MethodPost, "/add-key/begin", "{}"), http.StatusConflict, "all the keys")

	// Sessions: who was not here for longest goes.
	kept, gone := enter(t, s), enter(t, s)
	gone.begin("/sign-in/begin", "")
	name := gone.cookie
	kept.register("Kim")
	for range shopSessions {
		other := enter(t, s)
		other.begin("/sign-in/begin", "")
		kept.is("Kim")
	}
	if n := len(s.sessions); n != shopSessions {
		t.Errorf("%d sessions are kept, want %d", n, shopSessions)
	}
	if s.sessions[name] != nil {
		t.Error("the session that was not used for longest is kept")
	}

	// Attempts: the oldest goes.
	kept.signOut()
	first := kept.begin("/sign-in/begin", "")
	var last json.RawMessage
	for range shopAttempts {
		last = kept.begin("/sign-in/begin", "")
	}
	refused(t, "the oldest attempt", kept.ask(http.MethodPost, "/sign-in/finish", kept.sign(first, kept.keys[0])), http.StatusConflict, "over")
	if out := kept.ask(http.MethodPost, "/sign-in/finish", kept.sign(last, kept.keys[0])); out.Name != "Kim" {
		t.Errorf("the newest attempt: %d %s", out.status, out.Error)
	}

	for i := range shopAccounts - len(s.accounts) {
		enter(t, s).register(fmt.Sprint("Guest ", i))
	}
	refused(t, "another account", enter(t, s).ask(http.MethodPost, "/register/begin", `{"name":"Zoe"}`), http.StatusConflict, "full")
}

func TestShop_isReachedAtItsHostOnly(t *testing.T) {
	s, _ := openShop(t)
	h := byHost(map[string]http.Handler{shopHost: s}, http.NotFoundHandler())
	for host, want := range map[string]int{
		"shop.localhost": http.StatusOK, "shop.localhost:8080": http.StatusOK, "SHOP.localhost:8080": http.StatusOK,
		"localhost:8080": http.StatusNotFound, "mail.localhost:8080": http.StatusNotFound, "evil.shop.localhost:8080": http.StatusNotFound, "myshop.localhost:8080": http.StatusNotFound, "": http.StatusNotFound,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/state", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestShop_page(t *testing.T) {
	s, _ := openShop(t)
	get := func(path string) (string, http.Header) {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: %d", path, w.Code)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		return w.Body.String(), w.Header()
	}
	page, _ := get("/")
	for _, id := range []string{"name", "register", "sign-in", "sign-in-name", "add-key", "sign-out", "who", "how", "message"} {
		if n := strings.Count(page, `id="`+id+`"`); n != 1 {
			t.Errorf("the page has %d elements %q, want one", n, id)
		}
	}
	for _, inline := range []string{"<script>", "<style", "style=", "onclick"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %q, which its policy forbids", inline)
		}
	}
	for path, kind := range map[string]string{"/shop.css": "text/css", "/shop.js": "javascript"} {
		if _, h := get(path); !strings.Contains(h.Get("Content-Type"), kind) {
			t.Errorf("%s is %q", path, h.Get("Content-Type"))
		}
	}
	if !strings.Contains(page, "knows nothing of Keyhold") {
		t.Error("the page does not say what it is")
	}
}
