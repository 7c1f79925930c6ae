package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
)

const bearer = "kh_client_test"

// said is one request that the server took.
type said struct {
	method, path string
	body         map[string]any
}

// server judges proofs as Keyhold does, and answers what a test tells it to.
type server struct {
	t       *testing.T
	clock   *clock.Manual
	nonces  dpop.Nonces
	url     *url.URL
	key     *ecdsa.PrivateKey
	agent   string // of the client; empty for none
	answer  func(w http.ResponseWriter, r *http.Request)
	taken   []said
	refused int // for want of a nonce
	seen    map[string]bool
}

func start(t *testing.T) *server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, clock: clock.NewManual(time.Unix(1_790_000_000, 0)), nonces: dpop.NewNonces(secret.FromString("server")), key: key, seen: map[string]bool{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	if s.url, err = url.Parse(h.URL); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) client() *agent.Client {
	return agent.New(agent.Config{Server: s.url, Token: secret.FromString(bearer), Key: s.key, Agent: s.agent, Clock: s.clock})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer "+bearer {
		s.t.Errorf("Authorization = %q, want the token", got)
	}
	want := s.agent
	if want == "" {
		want = "keyhold-agent"
	}
	if got := r.Header.Get("User-Agent"); got != want {
		s.t.Errorf("User-Agent = %q, want %q", got, want)
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/authenticator/v1")
	if !ok {
		s.t.Errorf("path = %q, want one below /authenticator/v1", r.URL.EscapedPath())
	}
	bare := r.Method == http.MethodGet && (path == "/nonce" || path == "/whoami")
	if proof := r.Header.Get("DPoP"); bare != (proof == "") {
		s.t.Errorf("%s %s with the proof %q", r.Method, path, proof)
	}
	if !bare && !s.judge(w, r, body) {
		return
	}
	was := said{method: r.Method, path: path}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &was.body); err != nil || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("the body is %s, %v, of type %q", body, err, r.Header.Get("Content-Type"))
		}
	}
	s.taken = append(s.taken, was)
	s.answer(w, r)
}

// judge says whether the proof fits; otherwise it answers.
func (s *server) judge(w http.ResponseWriter, r *http.Request, body []byte) bool {
	p, err := dpop.Parse(r.Header.Get("DPoP"))
	if err != nil || !p.Key.Equal(&s.key.PublicKey) || s.seen[p.ID] {
		s.t.Errorf("the proof %+v is refused: %v", p.Claims, err)
	}
	s.seen[p.ID] = true
	request := dpop.Request{Method: r.Method, URL: s.url.JoinPath(r.URL.EscapedPath()).String(), Token: bearer, Body: body, Now: s.clock.Now()}
	switch reason := p.Check(request, s.nonces); reason {
	case "":
		return true
	case dpop.ReasonNonce:
		s.refused++
		w.Header().Set("DPoP-Nonce", s.nonces.Issue(s.clock.Now()))
		problem(w, http.StatusUnauthorized, `{"code":"use_dpop_nonce","detail":"Again, with the nonce."}`)
	default:
		s.t.Errorf("the proof %+v does not fit: %s", p.Claims, reason)
		problem(w, http.StatusUnauthorized, `{"code":"unauthenticated"}`)
	}
	return false
}

func problem(w http.ResponseWriter, status int, body string) {
	write(w, status, "application/problem+json", body)
}

func write(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// answers returns a handler that answers the same always.
func answers(status int, kind, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, status, kind, body) }
}

const jsonType = "application/json"

var options = json.RawMessage(`{"rpId": "shop.example", "challenge": "AA"}`)

// each calls every method once, and returns its error.
func each(ctx context.Context, c *agent.Client) map[string]error {
	out := map[string]error{}
	_, out["enrol"] = c.Enrol(ctx, agent.Enrolment{Name: "Front desk", Kind: agent.KindAgent})
	_, out["nonce"] = c.Nonce(ctx)
	_, out["whoami"] = c.Whoami(ctx)
	_, out["info"] = c.Info(ctx)
	_, out["tap"] = c.Tap(ctx, agent.Tap{Operation: agent.PINChange})
	_, out["verify"] = c.Verify(ctx, "t", secret.FromString("1"))
	_, out["make"] = c.MakeCredential(ctx, "t", "", options)
	_, out["get"] = c.GetAssertion(ctx, "t", "", options, "")
	out["change"] = c.ChangePIN(ctx, "t", secret.FromString("1"), secret.FromString("2"))
	return out
}

func TestClient_saysWhatWasAsked(t *testing.T) {
	s := start(t)
	c := s.client()
	ctx := t.Context()
	var jwk any
	if err := json.Unmarshal(dpop.JWK(&s.key.PublicKey), &jwk); err != nil {
		t.Fatal(err)
	}
	ends := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	canonical := sha256.Sum256([]byte(`{"challenge":"AA","rpId":"shop.example"}`)) // RFC 8785
	sum := base64.RawURLEncoding.EncodeToString(canonical[:])
	raw := func(b json.RawMessage, err error) (string, error) { return string(b), err }
	website := map[string]any{"challenge": "AA", "rpId": "shop.example"}
	for _, row := range []struct {
		call   func() (any, error)
		answer string
		said   said
		want   any
	}{
		{
			func() (any, error) {
				return c.Enrol(ctx, agent.Enrolment{Name: "Front desk", Kind: agent.KindAgent, Code: secret.FromString("code")})
			},
			`{"id":"cli_1","state":"approved"}`,
			said{"POST", "/clients", map[string]any{"name": "Front desk", "jwk": jwk, "kind": "agent", "enrolment_code": "code"}},
			agent.Enrolled{ID: "cli_1", State: "approved"},
		},
		{
			func() (any, error) { return c.Enrol(ctx, agent.Enrolment{Name: "x", Kind: "agent"}) },
			`{"id":"cli_2","state":"pending"}`,
			said{"POST", "/clients", map[string]any{"name": "x", "jwk": jwk, "kind": "agent"}},
			agent.Enrolled{ID: "cli_2", State: "pending"},
		},
		{func() (any, error) { return raw(c.Whoami(ctx)) }, `{"a":1}`, said{"GET", "/whoami", nil}, `{"a":1}`},
		{func() (any, error) { return raw(c.Info(ctx)) }, `{"versions":[]}`, said{"GET", "/info", nil}, `{"versions":[]}`},
		{
			func() (any, error) {
				return c.Tap(ctx, agent.Tap{CardNumber: secret.FromString("04A1B2C3"), Source: agent.Typed, Operation: agent.Get, Origin: "https://shop.example", TopOrigin: "https://top.example", CrossOrigin: true, RPID: "shop.example", Options: options})
			},
			`{"tap":"t1","needs":"pin","expires_at":"2026-11-22T15:00:00Z"}`,
			said{"POST", "/taps", map[string]any{
				"card": map[string]any{"type": "uid", "number": "04A1B2C3", "source": "typed"}, "operation": "get", "origin": "https://shop.example",
				"top_origin": "https://top.example", "cross_origin": true, "rp_id": "shop.example", "options_hash": sum,
			}},
			agent.Tapped{Tap: "t1", Needs: agent.NeedsPIN, ExpiresAt: ends},
		},
		{
			func() (any, error) {
				return c.Tap(ctx, agent.Tap{CardNumber: secret.FromString("04A1B2C3"), CardType: "other", Source: agent.Reader, Operation: agent.PINChange})
			},
			`{"tap":"t2","needs":"none","expires_at":"2026-11-22T15:00:00Z"}`,
			said{"POST", "/taps", map[string]any{"card": map[string]any{"type": "other", "number": "04A1B2C3", "source": "reader"}, "operation": "pin_change", "cross_origin": false}},
			agent.Tapped{Tap: "t2", Needs: agent.NeedsNone, ExpiresAt: ends},
		},
		{
			func() (any, error) { return c.Verify(ctx, "t/1", secret.FromString("2468")) },
			`{"uv_token":"u1","expires_at":"2026-11-22T15:00:00Z"}`,
			said{"POST", "/taps/t%2F1/verify", map[string]any{"pin": "2468"}},
			"u1",
		},
		{
			func() (any, error) { return raw(c.MakeCredential(ctx, "t1", "u1", options)) },
			`{"id":"c"}`,
			said{"POST", "/make-credential", map[string]any{"tap": "t1", "uv_token": "u1", "options": website}},
			`{"id":"c"}`,
		},
		{
			func() (any, error) { return c.GetAssertion(ctx, "t1", "", options, "") },
			`{"id":"c","response":{}}`,
			said{"POST", "/get-assertion", map[string]any{"tap": "t1", "options": website}},
			agent.Assertion{Response: json.RawMessage(`{"id":"c","response":{}}`)},
		},
		{
			func() (any, error) { return c.GetAssertion(ctx, "t1", "u1", options, "c") },
			`{"choose":[{"credential_id":"c","user_name":"ann","display_name":"Ann","last_used_at":"2026-11-22T15:00:00Z"},{"credential_id":"d","last_used_at":null}]}`,
			said{"POST", "/get-assertion", map[string]any{"tap": "t1", "uv_token": "u1", "options": website, "credential_id": "c"}},
			agent.Assertion{Choose: []agent.Account{{CredentialID: "c", UserName: "ann", DisplayName: "Ann", LastUsedAt: &ends}, {CredentialID: "d"}}},
		},
		{
			func() (any, error) {
				return nil, c.ChangePIN(ctx, "t1", secret.FromString("2468"), secret.FromString("1357"))
			},
			``,
			said{"POST", "/pin/change", map[string]any{"tap": "t1", "old": "2468", "new": "1357"}},
			nil,
		},
	} {
		s.taken, s.answer = nil, answers(http.StatusOK, jsonType, row.answer)
		got, err := row.call()
		if err != nil {
			t.Errorf("%s: %v", row.said.path, err)
		}
		if d := cmp.Diff(row.want, got); d != "" {
			t.Errorf("%s: the answer differs, want before got:\n%s", row.said.path, d)
		}
		if d := cmp.Diff([]said{row.said}, s.taken, cmp.AllowUnexported(said{})); d != "" {
			t.Errorf("%s: the request differs, want before got:\n%s", row.said.path, d)
		}
	}
	if s.refused != 1 {
		t.Errorf("%d requests lacked a nonce, want the first alone", s.refused)
	}
}

func TestClient_keepsTheNewestNonce(t *testing.T) {
	s := start(t)
	c := s.client()
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		nonce := s.nonces.Issue(s.clock.Now())
		w.Header().Set("DPoP-Nonce", nonce)
		write(w, http.StatusOK, jsonType, `{"nonce":"`+nonce+`"}`)
	}
	if nonce, err := c.Nonce(t.Context()); err != nil || !s.nonces.Good(nonce, s.clock.Now()) {
		t.Fatalf("Nonce() = %q, %v", nonce, err)
	}
	for range 3 {
		if _, err := c.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(dpop.NonceLife - time.Second)
	}
	if s.refused != 0 {
		t.Errorf("%d requests had an old nonce, want none: each answer told a newer one", s.refused)
	}
	s.clock.Advance(time.Hour)
	if _, err := c.Info(t.Context()); err != nil || s.refused != 1 {
		t.Errorf("Info() after an hour = %v, %d refused; want it done at the second try", err, s.refused)
	}
}

func TestClient_saysWhatItIs(t *testing.T) {
	for _, name := range []string{"", "desk/1.2"} {
		s := start(t)
		s.agent, s.answer = name, answers(http.StatusOK, "application/json", `{"a":1}`)
		if _, err := s.client().Info(t.Context()); err != nil { // the server looks
			t.Errorf("Info() as %q: %v", name, err)
		}
	}
}

func TestClient_triesTwiceForANonceAtMost(t *testing.T) {
	tries := 0
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++
		w.Header().Set("DPoP-Nonce", "never enough")
		problem(w, http.StatusUnauthorized, `{"code":"use_dpop_nonce"}`)
	}))
	defer h.Close()
	s := start(t)
	s.url, _ = url.Parse(h.URL)
	_, err := s.client().Info(t.Context())
	var refused *agent.Error
	if !errors.As(err, &refused) || refused.Code != "use_dpop_nonce" || tries != 2 {
		t.Errorf("Info() = %v after %d tries, want use_dpop_nonce after 2", err, tries)
	}
}

func TestClient_triesNothingElseAgain(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusConflict, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		s := start(t)
		s.answer = answers(status, "application/problem+json", `{"code":"other"}`)
		for name, err := range each(t.Context(), s.client()) {
			var refused *agent.Error
			if !errors.As(err, &refused) || refused.Status != status || refused.Code != "other" {
				t.Errorf("%s = %v, want the refusal %d", name, err, status)
			}
		}
		if len(s.taken) != 9 {
			t.Errorf("%d: %d requests, want one for each of 9 calls", status, len(s.taken))
		}
	}
}

func TestClient_tellsRefusalsApart(t *testing.T) {
	s := start(t)
	two, until := 2, time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		problem(w, http.StatusUnprocessableEntity, `{"type":"about:blank","status":422,"code":"pin_invalid","name":"NotAllowedError","detail":"The PIN is wrong.","request_id":"r1","tries_left":2,"paused_until":"2026-11-22T15:00:00Z"}`)
	}
	_, err := s.client().Verify(t.Context(), "t", secret.FromString("1"))
	var got *agent.Error
	if !errors.As(err, &got) {
		t.Fatalf("Verify() = %v, want an Error", err)
	}
	want := &agent.Error{Status: 422, Code: agent.CodePINInvalid, Name: "NotAllowedError", Detail: "The PIN is wrong.", RequestID: "r1", TriesLeft: &two, PausedUntil: &until, RetryAfter: time.Minute}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the error differs, want before got:\n%s", d)
	}
}

func TestClient_believesNoStrangersAnswer(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"a page":  answers(http.StatusOK, "text/html", `{"id":"c","tap":"t","nonce":"n","uv_token":"u"}`),
		"no JSON": answers(http.StatusOK, jsonType, `{`),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"too much":           answers(http.StatusOK, jsonType, `{"id":"`+strings.Repeat("x", 1<<20)+`"}`),
		"an error by others": answers(http.StatusBadGateway, "text/html", `{"code":"use_dpop_nonce"}`),
	} {
		s := start(t)
		s.answer = answer
		for call, err := range each(t.Context(), s.client()) {
			if err == nil && (call != "change" || name == "a redirect" || name == "too much" || name == "an error by others") {
				t.Errorf("%s: %s = nil, want an error", name, call)
			}
			if err != nil && strings.Contains(err.Error(), "use_dpop_nonce") {
				t.Errorf("%s: %s = %v, which no Keyhold server said", name, call, err)
			}
		}
	}
}

func TestClient_needsWhatAnswersAreFor(t *testing.T) {
	s := start(t)
	s.answer = answers(http.StatusOK, jsonType, `{"choose":[]}`)
	errs := each(t.Context(), s.client())
	for _, call := range []string{"enrol", "nonce", "tap", "verify", "get"} {
		if errs[call] == nil {
			t.Errorf("%s = nil for an empty answer, want an error", call)
		}
	}
}

func TestClient_endsWithItsContext(t *testing.T) {
	s := start(t)
	s.answer = answers(http.StatusOK, jsonType, `{}`)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for call, err := range each(ctx, s.client()) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want %v", call, err, context.Canceled)
		}
		if err != nil && strings.Contains(err.Error(), "/taps/") {
			t.Errorf("%s = %v, which tells the tap", call, err)
		}
	}
}

func TestTap_withoutOptionsSaysSo(t *testing.T) {
	s := start(t)
	if _, err := s.client().Tap(t.Context(), agent.Tap{Operation: agent.Create}); err == nil || len(s.taken) != 0 {
		t.Errorf("Tap() = %v and %d requests, want an error and none", err, len(s.taken))
	}
}
