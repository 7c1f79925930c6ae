package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/id"
	pages "github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// terminal is an approved client whose key the test has, to make proofs that are not right.
type terminal struct {
	*desk
	key *ecdsa.PrivateKey
	me  id.Client
}

// terminal enrols one more client.
func (d *desk) terminal(name string) *terminal {
	d.t.Helper()
	t := d.stranger()
	t.me = t.enrol(t.program, name)
	return t
}

// stranger is a terminal that is not enrolled.
func (d *desk) stranger() *terminal {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	own := *d
	own.program = agent.New(agent.Config{
		Server: &url.URL{Scheme: "http", Host: "localhost:8080"}, Token: secret.FromString(d.token), Key: key, Clock: d.clock, HTTP: &http.Client{Transport: through{d.h}},
	})
	return &terminal{desk: &own, key: key}
}

// shot is a request as a client sends it.
type shot struct {
	method, path, body string
	token              string
	proofs             []string
}

// told is what came back.
type told struct {
	status int
	header http.Header
	text   string
	Code   string `json:"code"`
	Name   string `json:"name"`
}

// fire sends a request as it is.
func (t *terminal) fire(s shot) told {
	t.t.Helper()
	r, err := http.NewRequestWithContext(t.t.Context(), s.method, "http://localhost:8080/authenticator/v1"+s.path, strings.NewReader(s.body))
	if err != nil {
		t.t.Fatal(err)
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, p := range s.proofs {
		r.Header.Add("DPoP", p)
	}
	res, err := through{t.h}.RoundTrip(r)
	if err != nil {
		t.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it is in memory
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.t.Fatal(err)
	}
	out := told{status: res.StatusCode, header: res.Header, text: string(text)}
	_ = json.Unmarshal(text, &out) // an answer without a code has none
	return out
}

// proof returns a proof for a request that is right but for what spoil does to it.
func (t *terminal) proof(s shot, spoil func(c *dpop.Claims)) string {
	t.t.Helper()
	c := dpop.Claims{
		Method: s.method, URL: "http://localhost:8080/authenticator/v1" + s.path, IssuedAt: t.clock.Now(), ID: rand.Text(),
		Nonce: t.a.Clients.Nonce(t.t.Context(), auth.Caller{}), TokenHash: dpop.TokenHash(s.token), BodyHash: dpop.BodyHash([]byte(s.body)),
	}
	if spoil != nil {
		spoil(&c)
	}
	text, err := dpop.Sign(t.key, c)
	if err != nil {
		t.t.Fatal(err)
	}
	return text
}

// tapShot is a tap of the desk's card without a proof.
func (t *terminal) tapShot() shot {
	return shot{method: http.MethodPost, path: "/taps", token: t.token, body: `{"card":{"type":"uid","number":"` + deskCard + `","source":"reader"},"operation":"get",` +
		`"origin":"https://www.shop.example","rp_id":"shop.example","options_hash":"` + dpop.BodyHash([]byte("{}")) + `"}`}
}

// line is a line of the record as these tests compare it.
type line struct {
	action, reason string // reason is empty for success
	user           id.User
	key            id.SecurityKey
	rpID           string
	client         id.Client
}

// lines returns what the record says of clients and sign-ins beyond what it said before.
func (d *desk) lines(seen map[id.Activity]bool) []line {
	d.t.Helper()
	all, err := d.a.Record.List(d.t.Context(), d.job, activity.Query{Page: pages.Request{Limit: pages.MaxLimit}})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []line
	for _, e := range all.Items {
		first := !seen[e.ID]
		seen[e.ID] = true
		if !first || !slices.Contains([]string{"credential.register", "credential.use", "credential.delete", "security_key.pin_try", "security_key.pin_change", "client.use", "client.touch", "client.enrol"}, e.Action) {
			continue
		}
		out = append(out, line{e.Action, e.Reason, e.User, e.SecurityKey, e.RPID, e.Client})
	}
	slices.SortFunc(out, func(a, b line) int { return strings.Compare(a.action+a.reason, b.action+b.reason) })
	return out
}

// TestAuthenticator_refusesProofs sends a tap that would be good with proofs that are not.
func TestAuthenticator_refusesProofs(t *testing.T) {
	d := newDesk(t)
	c, other := d.terminal("Back desk"), d.terminal("Gate")
	_, token, err := d.a.APIKeys.Create(t.Context(), d.job, apikey.NewKey{Name: "More workstations", Type: apikey.Clients})
	if err != nil {
		t.Fatal(err)
	}
	good := c.tapShot()
	stale, seen := "", map[id.Activity]bool{}
	d.lines(seen)
	for name, try := range map[string]struct {
		spoil func(s *shot)
		want  string // the code; empty for accepted
	}{
		"right":          {func(s *shot) { s.proofs = []string{c.proof(*s, nil)} }, ""},
		"none":           {func(*shot) {}, "invalid_dpop_proof"},
		"an empty one":   {func(s *shot) { s.proofs = []string{""} }, "invalid_dpop_proof"},
		"two":            {func(s *shot) { s.proofs = []string{c.proof(*s, nil), c.proof(*s, nil)} }, "invalid_dpop_proof"},
		"the same twice": {func(s *shot) { p := c.proof(*s, nil); s.proofs = []string{p, p} }, "invalid_dpop_proof"},
		"for another body": {func(s *shot) {
			s.proofs = []string{c.proof(*s, nil)}
			s.body = strings.Replace(s.body, "shop.example\"", "shop.example\" ", 1)
		}, "invalid_dpop_proof"},
		"for no body": {func(s *shot) {
			s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.BodyHash = dpop.BodyHash(nil) })}
		}, "invalid_dpop_proof"},
		"for another method": {func(s *shot) { s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.Method = http.MethodPut })} }, "invalid_dpop_proof"},
		"for another path":   {func(s *shot) { s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.URL += "/tap_1/verify" })} }, "invalid_dpop_proof"},
		"for another server": {func(s *shot) {
			s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.URL = "http://keyhold.example/authenticator/v1/taps" })}
		}, "invalid_dpop_proof"},
		"of another token": {func(s *shot) {
			s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.TokenHash = dpop.TokenHash(token.Secret().ExposeString()) })}
		}, "invalid_dpop_proof"},
		"long ago": {func(s *shot) {
			s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.IssuedAt = c.IssuedAt.Add(-6 * time.Minute) })}
		}, "invalid_dpop_proof"},
		"from the future": {func(s *shot) {
			s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.IssuedAt = c.IssuedAt.Add(6 * time.Minute) })}
		}, "invalid_dpop_proof"},
		"with an old nonce": {func(s *shot) { s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.Nonce = stale })} }, "use_dpop_nonce"},
		"without a nonce":   {func(s *shot) { s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.Nonce = "" })} }, "use_dpop_nonce"},
		"with a nonce of its own": {func(s *shot) {
			s.proofs = []string{c.proof(*s, func(c *dpop.Claims) { c.Nonce = strings.Repeat("A", 43) })}
		}, "use_dpop_nonce"},
		"by a key that nobody has": {func(s *shot) { s.proofs = []string{d.stranger().proof(*s, nil)} }, "client_unknown"},
		"by a key, signed by another": {func(s *shot) {
			mine, theirs := strings.Split(c.proof(*s, nil), "."), strings.Split(other.proof(*s, nil), ".")
			s.proofs = []string{mine[0] + "." + mine[1] + "." + theirs[2]}
		}, "invalid_dpop_proof"},
	} {
		d.clock.Advance(activity.RefusalWindow) // each refusal has a line
		s := good
		if name == "with an old nonce" {
			stale = d.a.Clients.Nonce(t.Context(), auth.Caller{})
			d.clock.Advance(dpop.NonceLife)
		}
		try.spoil(&s)
		got := c.fire(s)
		if got.Code != try.want || try.want == "" && got.status != http.StatusCreated {
			t.Errorf("a proof %s: %d %q, want %q: %s", name, got.status, got.Code, try.want, got.text)
		}
		if fresh := got.header.Get("DPoP-Nonce") != ""; fresh != (try.want == "use_dpop_nonce") {
			t.Errorf("a proof %s: a fresh nonce is %v", name, fresh)
		}
		want := []line{{"client.use", try.want, "", "", "", ""}}
		if try.want == "" || try.want == "use_dpop_nonce" {
			want = nil
		}
		if got := d.lines(seen); !slices.Equal(got, want) {
			t.Errorf("a proof %s: the record says %+v, want %+v", name, got, want)
		}
		if try.want == "invalid_dpop_proof" && got.status != http.StatusUnauthorized {
			t.Errorf("a proof %s: %d, want 401", name, got.status)
		}
	}
}

// TestAuthenticator_refusesTheKeyAlone sends a token that somebody copied, without the key
// of any client.
func TestAuthenticator_refusesTheKeyAlone(t *testing.T) {
	d := newDesk(t)
	c := d.terminal("Back desk")
	for _, path := range []string{"/taps", "/taps/" + string(id.New[id.KindTouch](d.clock.Now())) + "/verify", "/make-credential", "/get-assertion", "/pin/change", "/clients"} {
		if got := c.fire(shot{method: http.MethodPost, path: path, token: d.token, body: "{}"}); got.status != http.StatusUnauthorized || got.Code != "invalid_dpop_proof" {
			t.Errorf("POST %s with the token alone: %d %q, want 401 invalid_dpop_proof", path, got.status, got.Code)
		}
	}
	if got := c.fire(shot{method: http.MethodGet, path: "/info", token: d.token}); got.Code != "invalid_dpop_proof" {
		t.Errorf("GET /info with the token alone: %d %q, want invalid_dpop_proof", got.status, got.Code)
	}
	s := c.tapShot()
	s.proofs = []string{c.proof(s, nil)}
	s.token = ""
	if got := c.fire(s); got.Code != "unauthenticated" {
		t.Errorf("a proof without a token: %d %q, want unauthenticated", got.status, got.Code)
	}
}

func TestAuthenticator_refusesCopiedProofs(t *testing.T) {
	d := newDesk(t)
	c := d.terminal("Back desk")
	seen := map[id.Activity]bool{}
	d.lines(seen)
	s := c.tapShot()
	s.proofs = []string{c.proof(s, nil)}
	if got := c.fire(s); got.status != http.StatusCreated {
		t.Fatalf("the first time: %d %s", got.status, got.text)
	}
	if got := c.fire(s); got.Code != "invalid_dpop_proof" {
		t.Errorf("the same request again: %d %q, want invalid_dpop_proof", got.status, got.Code)
	}
	if got, want := d.lines(seen), []line{{"credential.use", "proof_replayed", "", "", "shop.example", c.me}}; !slices.Equal(got, want) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	// An ID is good for one call, whatever that is.
	spent := ""
	info := shot{method: http.MethodGet, path: "/info", token: d.token}
	info.proofs = []string{c.proof(info, func(c *dpop.Claims) { spent = c.ID })}
	if got := c.fire(info); got.status != http.StatusOK {
		t.Fatalf("the first call: %d %s", got.status, got.text)
	}
	s.proofs = []string{c.proof(s, func(c *dpop.Claims) { c.ID = spent })}
	if got := c.fire(s); got.Code != "invalid_dpop_proof" {
		t.Errorf("its ID at another call: %d %q, want invalid_dpop_proof", got.status, got.Code)
	}
	// Another client may have the same ID: it knows nothing of this one's.
	other := d.terminal("Gate")
	s.proofs = []string{other.proof(s, func(c *dpop.Claims) { c.ID = spent })}
	if got := other.fire(s); got.status != http.StatusCreated {
		t.Errorf("its ID at another client: %d %s, want 201", got.status, got.text)
	}
	// The nonce is over before the ID is forgotten.
	d.clock.Advance(2 * time.Minute)
	if _, err := d.a.Clients.Prune(t.Context(), d.job); err != nil {
		t.Fatal(err)
	}
	s.proofs = []string{c.proof(s, nil)}
	if got := c.fire(s); got.status != http.StatusCreated {
		t.Fatal(got.text)
	}
	d.clock.Advance(2*time.Minute - time.Millisecond)
	if _, err := d.a.Clients.Prune(t.Context(), d.job); err != nil {
		t.Fatal(err)
	}
	if got := c.fire(s); got.Code != "invalid_dpop_proof" {
		t.Errorf("again at the end of the nonce's life: %d %q, want invalid_dpop_proof", got.status, got.Code)
	}
}

// TestAuthenticator_aProofAtOnce sends one request many times at once: one is accepted.
func TestAuthenticator_aProofAtOnce(t *testing.T) {
	d := newDesk(t)
	c := d.terminal("Back desk")
	for range 10 {
		s := c.tapShot()
		s.proofs = []string{c.proof(s, nil)}
		var all sync.WaitGroup
		var mu sync.Mutex
		codes := map[string]int{}
		for range 4 {
			all.Go(func() {
				got := c.fire(s)
				mu.Lock()
				defer mu.Unlock()
				codes[got.Code]++
			})
		}
		all.Wait()
		if codes[""] != 1 || codes["invalid_dpop_proof"] != 3 {
			t.Fatalf("four times at once: %v, want one accepted and three refused", codes)
		}
	}
}

// TestAuthenticator_refusesClients asks as programs that are not approved, and with keys
// that are not for clients.
func TestAuthenticator_refusesClients(t *testing.T) {
	d := newDesk(t)
	seen := map[id.Activity]bool{}
	d.lines(seen)
	ask := func(c *terminal, token string) told {
		s := c.tapShot()
		s.token = token
		s.proofs = []string{c.proof(s, nil)}
		return c.fire(s)
	}
	waits := d.stranger()
	e, err := waits.program.Enrol(t.Context(), agent.Enrolment{Name: "Waits", Kind: agent.KindAgent})
	if err != nil {
		t.Fatal(err)
	}
	waits.me, _ = id.Parse[id.KindClient](e.ID)
	if got := ask(waits, d.token); got.status != http.StatusForbidden || got.Code != "client_pending" {
		t.Errorf("a client that waits: %d %q, want 403 client_pending", got.status, got.Code)
	}
	gone := d.terminal("Gone")
	if err := d.a.Clients.Revoke(t.Context(), d.job, gone.me, 0); err != nil {
		t.Fatal(err)
	}
	if got := ask(gone, d.token); got.status != http.StatusForbidden || got.Code != "client_revoked" {
		t.Errorf("a client that was revoked: %d %q, want 403 client_revoked", got.status, got.Code)
	}
	if _, err := gone.program.Enrol(t.Context(), agent.Enrolment{Name: "Back again", Kind: agent.KindAgent}); codeOf(t, err) != "client_revoked" {
		t.Errorf("its key again: %v, want client_revoked", err)
	}
	got := slices.DeleteFunc(d.lines(seen), func(l line) bool { return l.reason == "" })
	want := []line{{"client.enrol", "client_revoked", "", "", "", ""}, {"client.use", "client_pending", "", "", "", waits.me}, {"client.use", "client_revoked", "", "", "", gone.me}}
	if !slices.Equal(got, want) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	c := d.terminal("Back desk")
	for _, kind := range []apikey.Type{apikey.Admin, apikey.SharedMobile} {
		_, token, err := d.a.APIKeys.Create(t.Context(), d.job, apikey.NewKey{Name: "A key of another type", Type: kind})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(c, token.Secret().ExposeString()); got.status != http.StatusForbidden || got.Code != "wrong_key_type" {
			t.Errorf("a key of the type %s: %d %q, want 403 wrong_key_type", kind, got.status, got.Code)
		}
	}
	// A client of another workspace is nobody here.
	f, err := d.a.Join.CreateWorkspace(t.Context(), auth.Job("", "test"), "Lighthouse")
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := d.a.APIKeys.Create(t.Context(), auth.Job(f.Workspace.ID, "test"), apikey.NewKey{Name: "Theirs", Type: apikey.Clients})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(c, token.Secret().ExposeString()); got.Code != "client_unknown" {
		t.Errorf("a client of another workspace: %d %q, want client_unknown", got.status, got.Code)
	}
}

// sameBut says whether two answers are the same but for the ids of their requests.
func sameBut(a, b told) bool {
	blank := func(text string) []byte {
		at := strings.Index(text, `"request_id":"`)
		if at < 0 {
			return []byte(text)
		}
		end := at + len(`"request_id":"`)
		return []byte(text[:end] + text[end+strings.IndexByte(text[end:], '"'):])
	}
	return a.status == b.status && bytes.Equal(blank(a.text), blank(b.text))
}
