package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
)

// server answers as Keyhold does to one client with one card, whose PIN is 2468.
type server struct {
	t      *testing.T
	http   *httptest.Server
	nonces dpop.Nonces
	token  string
	own    string // token of the client's own, which it gets if it enrols without one
	state  string // of the client
	needs  string // of a tap
	many   bool   // accounts
	said   map[string]map[string]any
}

func start(t *testing.T) *server {
	t.Helper()
	for _, name := range []string{envToken, envPIN, envNewPIN, "KEYHOLD_SERVER", "KEYHOLD_ENROLMENT_CODE", "KEYHOLD_AGENT_STATE"} {
		t.Setenv(name, "") // comes back after the test
		_ = os.Unsetenv(name)
	}
	s := &server{t: t, nonces: dpop.NewNonces(secret.FromString("k")), token: token.Issue(token.KindClient).Secret().ExposeString(), state: "approved", needs: "pin", said: map[string]map[string]any{}}
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := clock.System{}.Now()
	body, _ := io.ReadAll(r.Body)
	if want, got := "keyhold-agent/"+version(), r.Header.Get("User-Agent"); got != want {
		s.t.Errorf("User-Agent = %q, want %q", got, want)
	}
	path := strings.TrimPrefix(r.URL.Path, "/authenticator/v1")
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if path != "/whoami" {
		p, err := dpop.Parse(r.Header.Get("DPoP"))
		reason := p.Check(dpop.Request{Method: r.Method, URL: s.http.URL + r.URL.Path, Token: bearer, Body: body, Now: now}, s.nonces)
		switch {
		case err != nil || reason != "" && reason != dpop.ReasonNonce:
			s.t.Errorf("%s with a wrong proof: %v, %s", path, err, reason)
		case reason != "":
			w.Header().Set("DPoP-Nonce", s.nonces.Issue(now))
			s.answer(w, http.StatusUnauthorized, `{"code":"use_dpop_nonce"}`)
			return
		}
	}
	alone := path == "/clients" && r.Header["Authorization"] == nil
	if bearer != s.token && (s.own == "" || bearer != s.own) && !alone {
		s.answer(w, http.StatusUnauthorized, `{"code":"unauthenticated","detail":"Send a valid API key."}`)
		return
	}
	var said map[string]any
	_ = json.Unmarshal(body, &said)
	s.said[path] = said
	switch path {
	case "/clients":
		if said["name"] == "taken" {
			s.answer(w, http.StatusConflict, `{"code":"name_taken","detail":"Another client has this name.","request_id":"r7"}`)
			return
		}
		if alone {
			s.own = token.Issue(token.KindClient).Secret().ExposeString()
			s.answer(w, http.StatusCreated, `{"id":"cli_1","state":"approved","token":"`+s.own+`"}`)
			return
		}
		s.answer(w, http.StatusCreated, `{"id":"cli_1","state":"`+s.state+`"}`)
	case "/whoami":
		s.answer(w, http.StatusOK, `{"workspace":{"name":"Acme"},"key":{"name":"Desks"},"client":null}`)
	case "/info":
		if s.state != "approved" {
			s.answer(w, http.StatusForbidden, `{"code":"client_pending","detail":"This client waits for approval."}`)
			return
		}
		s.answer(w, http.StatusOK, `{"versions":["FIDO_2_1"]}`)
	case "/taps":
		s.answer(w, http.StatusCreated, `{"tap":"t1","needs":"`+s.needs+`","expires_at":"2026-11-22T15:00:00Z"}`)
	case "/taps/t1/verify":
		if said["pin"] != "2468" {
			s.answer(w, http.StatusUnprocessableEntity, `{"code":"pin_invalid","tries_left":2}`)
			return
		}
		s.answer(w, http.StatusOK, `{"uv_token":"u1","expires_at":"2026-11-22T15:00:00Z"}`)
	case "/make-credential":
		s.answer(w, http.StatusOK, `{"id":"made"}`)
	case "/get-assertion":
		if s.many && said["credential_id"] == nil {
			s.answer(w, http.StatusOK, `{"choose":[{"credential_id":"c1","user_name":"ann"},{"credential_id":"c2","user_name":"bob"}]}`)
			return
		}
		s.answer(w, http.StatusOK, `{"id":"signed"}`)
	case "/pin/change":
		w.WriteHeader(http.StatusNoContent)
	default:
		s.t.Errorf("%s was asked", path)
	}
}

func (*server) answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// enrolled enrols and returns the state's path.
func (s *server) enrolled() string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "agent", "agent.json")
	s.t.Setenv(envToken, s.token)
	if code, out, errs := call(s.t, "", "enrol", "--server", s.http.URL, "--name", "Front desk", "--state", path); code != 0 {
		s.t.Fatalf("enrol = %d and\n%s%s", code, out, errs)
	}
	s.t.Setenv(envToken, "")
	return path
}

// call runs the command line.
func call(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	create = `{"rp":{"id":"shop.example","name":"Shop"},"challenge":"AA"}`
	get    = `{"challenge":"AA"}`
)

func TestMain_wrongUseSaysWhatToDo(t *testing.T) {
	s := start(t)
	state := s.enrolled()
	none := filepath.Join(t.TempDir(), "none.json")
	options, pin := file(t, get), file(t, "2468\n")
	admin := file(t, token.Issue(token.KindAdmin).Secret().ExposeString())
	signIn := func(args ...string) []string {
		return append([]string{"tap", "sign-in", "--state", state, "--card", "04A1B2C3", "--origin", "https://shop.example"}, args...)
	}
	for _, c := range []struct {
		args []string
		in   string
		code int
		says string
	}{
		{[]string{"nothing"}, "", exitUsage, "--help"},
		{[]string{"enrol", "--server", s.http.URL}, "", exitUsage, "--name"},
		{[]string{"enrol", "--name", "x"}, "", exitUsage, "--server"},
		{[]string{"enrol", "--name", "x", "--server", s.http.URL, "--state", none}, "", exitUsage, "--token-file"},
		{[]string{"enrol", "--name", "x", "--server", s.http.URL, "--state", none, "--code", " "}, "", exitUsage, "--code"},
		{[]string{"enrol", "--name", "x", "--server", s.http.URL, "--state", none, "--code", "abc", "--token-file", "-"}, "\n", exitUsage, "--token-file"},
		{[]string{"enrol", "--name", "x", "--server", s.http.URL, "--state", none, "--token-file", none}, "", exitFailed, "no such file"},
		{[]string{"enrol", "--name", "x", "--server", s.http.URL, "--state", none, "--token-file", admin}, "", exitUsage, "kh_client_"},
		{[]string{"enrol", "--name", "x", "--server", "http://keys.example.com", "--state", none}, "", exitUsage, "use https"},
		{[]string{"enrol", "--name", "x", "--server", "https://keys.example.com/panel", "--state", none}, "", exitUsage, "address alone"},
		{[]string{"enrol", "--name", "x", "--server", "keys.example.com", "--state", none}, "", exitUsage, "https://keys.example.com"},
		{[]string{"enrol", "--name", "x", "--server", s.http.URL, "--state", state, "--token-file", "-"}, s.token + "\n", exitFailed, "is a client already"},
		{[]string{"enrol", "--name", "taken", "--server", s.http.URL, "--state", none, "--token-file", "-"}, s.token + "\n", exitFailed, "Another client has this name. (409 name_taken, request r7)"},
		{[]string{"status", "--state", none}, "", exitFailed, "keyhold-agent enrol"},
		{[]string{"tap"}, "", exitUsage, "--help"},
		{[]string{"tap", "register", "--state", state, "--card", "04A1B2C3", "--options", options}, "", exitUsage, "--origin"},
		{[]string{"tap", "register", "--state", none, "--card", "04A1B2C3", "--origin", "https://a.example", "--options", options}, "", exitFailed, "keyhold-agent enrol"},
		{[]string{"tap", "register", "--state", state, "--card", "04", "--origin", "https://a.example", "--options", options}, "", exitUsage, "04:A1:B2:C3"},
		{signIn(), "", exitUsage, "--options"},
		{signIn("--options", "-", "--pin-file", "-"), "", exitUsage, "cannot both"},
		{signIn("--options", "-"), get, exitUsage, "$KEYHOLD_PIN"},
		{signIn("--options", "-"), "{", exitFailed, "not the JSON"},
		{signIn("--options", "-"), `{"a":1,"a":2}`, exitFailed, "reading the options"},
		{signIn("--options", none), "", exitFailed, "no such file"},
		{signIn("--options", options), "", exitUsage, "there is no PIN"},
		{signIn("--options", options, "--pin-file", none), "", exitFailed, "no such file"},
		{signIn("--options", options, "--source", "guessed"), "", exitUsage, "--source"},
		{signIn("--options", options, "--origin", "shop"), "", exitUsage, "https://shop.example"},
		{signIn("--options", options), "1111\n", exitFailed, "the PIN is wrong; tries left: 2 (422 pin_invalid)"},
		{[]string{"change-pin", "--state", state, "--card", "04A1B2C3", "--pin-file", pin}, "", exitUsage, "there is no PIN"},
	} {
		if code, out, errs := call(t, c.in, c.args...); code != c.code || !strings.Contains(errs, c.says) || out != "" && code == exitFailed {
			t.Errorf("%v = %d and\n%s%s\nwant %d and %q", c.args, code, out, errs, c.code, c.says)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a refused enrolment left a state")
	}
	if left, _ := os.ReadDir(filepath.Dir(none)); len(left) != 0 {
		t.Errorf("a refused enrolment left %v", left)
	}
}

func TestMain_helps(t *testing.T) {
	for says, args := range map[string][]string{
		"tap sign-in": {},
		"exit status": {"tap", "sign-in", "--help"},
		"KEYHOLD_PIN": {"tap", "register", "--help"},
		"keyhold-agent enrol --server https://keys.example.com": {"enrol", "--help"},
	} {
		if code, out, errs := call(t, "", args...); code != 0 || !strings.Contains(out, says) {
			t.Errorf("%v = %d and\n%s%s\nwant %q", args, code, out, errs, says)
		}
	}
	if code, out, _ := call(t, "", "version"); code != 0 || !strings.HasPrefix(out, "keyhold-agent ") {
		t.Errorf("version = %d and %q", code, out)
	}
}

func TestEnrol_keepsTheKeyForItsOwner(t *testing.T) {
	s := start(t)
	s.state = "pending"
	path := filepath.Join(t.TempDir(), "agent", "agent.json")
	code, out, errs := call(t, s.token+"\r\n", "enrol", "--server", s.http.URL+"/", "--name", "Front desk", "--code", "abc", "--state", path, "--token-file", "-")
	if code != 0 || !strings.Contains(out, `"Front desk" (cli_1)`) || !strings.Contains(out, "App integrations > Clients") {
		t.Fatalf("enrol = %d and\n%s%s", code, out, errs)
	}
	if s.said["/clients"]["enrolment_code"] != "abc" || s.said["/clients"]["kind"] != "agent" {
		t.Errorf("the server heard %v", s.said["/clients"])
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("the folder holds %v, want the state alone", left)
	}
	kept, err := where{path}.load()
	if err != nil || kept.id != "cli_1" || kept.name != "Front desk" || kept.server.String() != s.http.URL || kept.token.ExposeString() != s.token {
		t.Fatalf("load() = %+v, %v", kept, err)
	}
	var jwk json.RawMessage
	if jwk, err = json.Marshal(s.said["/clients"]["jwk"]); err != nil {
		t.Fatal(err)
	}
	if public, err := dpop.ParseJWK(jwk); err != nil || !public.Equal(&kept.key.PublicKey) {
		t.Errorf("the server has another key than the state: %s, %v", jwk, err)
	}
	if want := "\nKey " + dpop.Thumbprint(&kept.key.PublicKey) + ": "; !strings.Contains(out, want) {
		t.Errorf("enrol printed\n%s\nwant %q", out, want)
	}
	if strings.Contains(out+errs, s.token[len(s.token)-20:]) {
		t.Error("the token was printed")
	}
}

func TestStatus_failsUntilApproved(t *testing.T) {
	s := start(t)
	path := s.enrolled()
	code, out, errs := call(t, "", "status", "--state", path)
	kept, err := where{path}.load()
	if err != nil {
		t.Fatal(err)
	}
	want := "Client      Front desk (cli_1)\nKey         " + dpop.Thumbprint(&kept.key.PublicKey) + "\nServer      " + s.http.URL + "\nWorkspace   Acme\nAPI key     Desks\nMay be used yes\n"
	if d := cmp.Diff(want, out); code != 0 || d != "" || errs != "" {
		t.Errorf("status = %d, %s; want before got:\n%s", code, errs, d)
	}
	s.state = "pending"
	if code, out, errs = call(t, "", "status", "--state", path); code != exitFailed || !strings.Contains(out, "May be used no\n") || !strings.Contains(errs, "waits for approval") {
		t.Errorf("status = %d and\n%s%s, want that it waits", code, out, errs)
	}
}

func TestTap_printsWhatTheWebsiteGets(t *testing.T) {
	s := start(t)
	path := s.enrolled()
	for _, c := range []struct {
		name, in, env string
		args          []string
		out           string
		said          map[string]map[string]any // of some calls, some members
	}{
		{
			"register, PIN from a file", "", "",
			[]string{"register", "--options", file(t, create), "--pin-file", file(t, "2468\r\n")},
			`{"id":"made"}`,
			map[string]map[string]any{"/taps": {"operation": "create", "rp_id": "shop.example", "origin": "https://www.shop.example", "cross_origin": false}, "/make-credential": {"tap": "t1", "uv_token": "u1"}},
		},
		{
			"sign in, PIN from the environment", get, "2468",
			[]string{"sign-in", "--options", "-"},
			`{"id":"signed"}`,
			map[string]map[string]any{"/taps": {"operation": "get", "rp_id": "www.shop.example"}, "/get-assertion": {"tap": "t1", "uv_token": "u1"}},
		},
		{
			"sign in, PIN from the input", "2468\n", "",
			[]string{"sign-in", "--options", file(t, `{"publicKey":{"rpId":"shop.example","challenge":"AA"}}`), "--account", "c2", "--source", "reader", "--top-origin", "https://top.example"},
			`{"id":"signed"}`,
			map[string]map[string]any{
				"/taps":          {"rp_id": "shop.example", "cross_origin": true, "top_origin": "https://top.example"},
				"/get-assertion": {"credential_id": "c2", "options": map[string]any{"rpId": "shop.example", "challenge": "AA"}},
			},
		},
		{
			"RP ID as told", "", "2468",
			[]string{"sign-in", "--options", file(t, get), "--rp-id", "other.example"},
			`{"id":"signed"}`,
			map[string]map[string]any{"/taps": {"rp_id": "other.example"}},
		},
	} {
		t.Setenv(envPIN, c.env)
		args := append([]string{"tap"}, c.args...)
		code, out, errs := call(t, c.in, append(args, "--state", path, "--card", "04:a1:b2:c3", "--origin", "https://www.shop.example")...)
		if code != 0 || out != c.out+"\n" {
			t.Errorf("%s: %d and %q, %s; want %s", c.name, code, out, errs, c.out)
		}
		if card, _ := s.said["/taps"]["card"].(map[string]any); card["number"] != "04A1B2C3" {
			t.Errorf("%s: the card is %v, want 04A1B2C3", c.name, card)
		}
		for call, members := range c.said {
			for name, want := range members {
				if d := cmp.Diff(want, s.said[call][name]); d != "" {
					t.Errorf("%s: %s said another %s, want before got:\n%s", c.name, call, name, d)
				}
			}
		}
	}
}

func TestTap_asksForNoPINWhereNoneIsNeeded(t *testing.T) {
	s := start(t)
	path := s.enrolled()
	s.needs = "none"
	args := []string{"tap", "sign-in", "--state", path, "--card", "04A1B2C3", "--origin", "https://shop.example", "--options", file(t, get)}
	if code, out, errs := call(t, "", args...); code != 0 || out != "{\"id\":\"signed\"}\n" || errs != "" || s.said["/taps/t1/verify"] != nil {
		t.Errorf("sign-in = %d, %q and %q, want no question", code, out, errs)
	}
	s.needs = "phone_approval"
	if code, _, errs := call(t, "", args...); code != exitFailed || !strings.Contains(errs, "phone_approval") {
		t.Errorf("sign-in = %d and %q, want that it cannot", code, errs)
	}
}

func TestTap_letsChooseAnAccount(t *testing.T) {
	s := start(t)
	path := s.enrolled()
	s.many = true
	args := []string{"tap", "sign-in", "--state", path, "--card", "04A1B2C3", "--origin", "https://shop.example", "--options", file(t, get), "--pin-file", file(t, "2468")}
	code, out, errs := call(t, "", args...)
	var answer struct {
		Choose []struct {
			ID   string `json:"credential_id"`
			Name string `json:"user_name"`
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); code != exitChoose || err != nil || len(answer.Choose) != 2 || answer.Choose[1].ID != "c2" || !strings.Contains(errs, "--account") {
		t.Fatalf("sign-in = %d, %q and %q; want 3 and both accounts", code, out, errs)
	}
	if code, out, errs = call(t, "", append(args, "--account", answer.Choose[1].ID)...); code != 0 || out != "{\"id\":\"signed\"}\n" {
		t.Errorf("sign-in --account = %d, %q and %q", code, out, errs)
	}
}

func TestChangePIN_takesBothFromTheInput(t *testing.T) {
	s := start(t)
	path := s.enrolled()
	code, out, errs := call(t, "2468\n1357\n", "change-pin", "--state", path, "--card", "04A1B2C3")
	want := map[string]any{"tap": "t1", "old": "2468", "new": "1357"}
	if d := cmp.Diff(want, s.said["/pin/change"]); code != 0 || d != "" || strings.Contains(out+errs, "1357") {
		t.Errorf("change-pin = %d, %q and %q; want before got:\n%s", code, out, errs, d)
	}
	if s.said["/taps"]["operation"] != "pin_change" {
		t.Errorf("the tap was for %v, want pin_change", s.said["/taps"]["operation"])
	}
}

func TestExplain_saysWhenToTryAgain(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		(*server)(nil).answer(w, http.StatusTooManyRequests, `{"code":"pin_paused","name":"NotAllowedError","request_id":"r1"}`)
	}))
	defer h.Close()
	s := start(t)
	path := s.enrolled()
	kept, err := where{path}.load()
	if err != nil {
		t.Fatal(err)
	}
	kept.server.Host = strings.TrimPrefix(h.URL, "http://")
	_, err = kept.client().Info(t.Context())
	if want := "there were too many wrong PINs; try again in " + time.Minute.String() + " (429 pin_paused, the website gets NotAllowedError, request r1)"; explain(err) != want {
		t.Errorf("explain() = %q, want %q", explain(err), want)
	}
}

func TestEnrol_byACodeAlone(t *testing.T) {
	s := start(t)
	path := filepath.Join(t.TempDir(), "agent.json")
	code, out, errs := call(t, "", "enrol", "--server", s.http.URL, "--name", "Front desk", "--code", "abc", "--state", path)
	if code != 0 || !strings.Contains(out, "It may be used") {
		t.Fatalf("enrol = %d and\n%s%s", code, out, errs)
	}
	if s.said["/clients"]["enrolment_code"] != "abc" {
		t.Errorf("the server heard %v", s.said["/clients"])
	}
	kept, err := where{path}.load()
	if err != nil || s.own == "" || kept.token.ExposeString() != s.own {
		t.Fatalf("load() = %+v, %v, want the token that the server told", kept, err)
	}
	if strings.Contains(out+errs, s.own[len(s.own)-20:]) {
		t.Error("the token was printed")
	}
	if code, out, errs := call(t, "", "status", "--state", path); code != 0 {
		t.Errorf("status = %d and\n%s%s", code, out, errs)
	}
}
