package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// TestAuthenticatorWithdrawals lets a client sign in with a card at three servers over one
// PostgreSQL, and withdraws the card, its holder, the client or its Clients key at one of them:
// an operation that began after the answer is refused at all three, be its card tapped and its
// PIN typed before or not. KEYHOLD_WITHDRAWALS sets how many there are of each; the figures
// are logged.
func TestAuthenticatorWithdrawals(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers and a PostgreSQL: make check runs it")
	}
	n := 3
	if text := os.Getenv("KEYHOLD_WITHDRAWALS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("KEYHOLD_WITHDRAWALS is %q, want a number", text)
		}
	}
	c := newCluster(t, 3)
	t.Run("a tap at all servers at once", func(t *testing.T) { newStation(t, c, "At once").once() })
	for _, w := range []struct {
		what     string
		withdraw func(s *station) error
		codes    []string
	}{
		{"a security key is suspended", func(s *station) error {
			return s.post("/security-keys/"+s.card+"/suspend", "{}", http.StatusOK, nil)
		}, []string{"key_suspended"}},
		{"a user is suspended", func(s *station) error { return s.post("/users/"+s.user+"/suspend", "{}", http.StatusOK, nil) }, []string{"key_suspended"}},
		{"a client is revoked", func(s *station) error {
			return s.do(http.MethodDelete, "/clients/"+s.client, "", http.StatusNoContent, nil)
		}, []string{"client_revoked"}},
		{"a Clients key is disabled", func(s *station) error { return s.post("/api-keys/"+s.apiKey+"/disable", "{}", http.StatusOK, nil) }, []string{"unauthenticated"}},
	} {
		t.Run(w.what, func(t *testing.T) {
			var total figures
			for i := range n {
				s := newStation(t, c, fmt.Sprintf("%s %d", w.what, i))
				s.withdrawal(w.withdraw, w.codes, &total)
			}
			slices.Sort(total.took)
			t.Logf("%d times: %d sign-ins before, answered after %v (median), %v (slowest); %d operations begun afterwards, %d accepted", n, total.before.Load(),
				total.took[len(total.took)/2].Round(100*time.Microsecond), total.took[len(total.took)-1].Round(100*time.Microsecond), total.late.Load(), total.wrong.Load())
			if total.wrong.Load() > 0 {
				t.Errorf("%d operations were accepted that began after the answer, want none", total.wrong.Load())
			}
			if total.late.Load() == 0 || total.before.Load() == 0 {
				t.Error("nobody signed in before, or asked afterwards: nothing is shown")
			}
		})
	}
}

// figures are what the test counts.
type figures struct {
	before, late, wrong atomic.Int64
	took                []time.Duration
}

// station is a client of all servers, with a card that is registered at a site.
type station struct {
	t                          *testing.T
	c                          *cluster
	number                     string
	user, card, client, apiKey string
	programs                   []*agent.Client // by server
	tokens                     []string        // good verifications, by server
	asked                      int             // how often REST was asked
}

const (
	stationPIN  = "904417"
	stationSite = "https://www.shop.example"
)

func newStation(t *testing.T, c *cluster, name string) *station {
	t.Helper()
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never returns an error
	s := &station{t: t, c: c, asked: int(raw[0]), number: fmt.Sprintf("04%X", raw)}
	var key struct{ ID, Token string }
	var one struct{ ID string }
	s.must(s.post("/api-keys", `{"name":"`+name+`","type":"clients"}`, http.StatusCreated, &key))
	s.apiKey = key.ID
	s.must(s.post("/users", fmt.Sprintf(`{"email":"ada-%x@example.org","first_name":"Ada","last_name":"Lovelace"}`, raw), http.StatusCreated, &one))
	s.user = one.ID
	s.must(s.post("/users/"+s.user+"/security-keys", `{"kind":"contactless_card","activation":"now","card":{"number":"`+s.number+`"},"pin":"`+stationPIN+`","pin_delivery":"response"}`, http.StatusCreated, &one))
	s.card = one.ID
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	for _, server := range c.servers {
		u, err := url.Parse(server.url)
		s.must(err)
		s.programs = append(s.programs, agent.New(agent.Config{Server: u, Token: secret.FromString(key.Token), Key: own}))
	}
	e, err := s.programs[0].Enrol(t.Context(), agent.Enrolment{Name: name, Kind: agent.KindAgent})
	s.must(err)
	s.client = e.ID
	s.must(s.post("/clients/"+s.client+"/approve", "{}", http.StatusOK, nil))
	create := json.RawMessage(`{"rp":{"id":"shop.example","name":"Shop"},"user":{"id":"YWRh","name":"ada","displayName":"Ada"},"challenge":"` + challenge() + `",` +
		`"pubKeyCredParams":[{"type":"public-key","alg":-7}],"authenticatorSelection":{"residentKey":"required"}}`)
	tap, token, err := s.verify(0, agent.Create, create)
	s.must(err)
	_, err = s.programs[0].MakeCredential(t.Context(), tap, token, create)
	s.must(err)
	for i := range s.programs {
		_, token, err := s.verify(i, agent.Get, loginOptions())
		s.must(err)
		s.tokens = append(s.tokens, token)
	}
	return s
}

func challenge() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never returns an error
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func loginOptions() json.RawMessage {
	return json.RawMessage(`{"rpId":"shop.example","challenge":"` + challenge() + `"}`)
}

func (s *station) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// do asks the REST API of any server, the last one too.
func (s *station) do(method, path, body string, want int, into any) error {
	s.asked++
	status, text, err := call(s.c.client, method, s.c.servers[s.asked%len(s.c.servers)].url+"/api/v1"+path, s.c.token, body)
	switch {
	case err != nil:
		return err
	case status != want:
		return fmt.Errorf("%s %s answers %d, want %d: %s", method, path, status, want, text)
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}

func (s *station) post(path, body string, want int, into any) error {
	return s.do(http.MethodPost, path, body, want, into)
}

// tap taps the card at a server.
func (s *station) tap(at int, operation string, options json.RawMessage) (string, error) {
	tapped, err := s.programs[at].Tap(s.t.Context(), agent.Tap{
		CardNumber: secret.FromString(s.number), Source: agent.Reader, Operation: operation, Origin: stationSite, RPID: "shop.example", Options: options,
	})
	return tapped.Tap, err
}

// verify taps the card and shows its PIN.
func (s *station) verify(at int, operation string, options json.RawMessage) (tap, token string, err error) {
	if tap, err = s.tap(at, operation, options); err != nil {
		return "", "", err
	}
	token, err = s.programs[at].Verify(s.t.Context(), tap, secret.FromString(stationPIN))
	return tap, token, err
}

// waiting is a sign-in that lacks nothing but to be asked for.
type waiting struct {
	at      int
	tap     string
	options json.RawMessage
}

func (s *station) sign(w waiting) error {
	_, err := s.programs[w.at].GetAssertion(s.t.Context(), w.tap, s.tokens[w.at], w.options, "")
	return err
}

// withdrawal signs in at all servers while something is withdrawn, and afterwards.
func (s *station) withdrawal(withdraw func(s *station) error, codes []string, total *figures) {
	s.t.Helper()
	var ready []waiting
	for at := range s.programs {
		for range 4 {
			w := waiting{at: at, options: loginOptions()}
			var err error
			w.tap, err = s.tap(at, agent.Get, w.options)
			s.must(err)
			ready = append(ready, w)
		}
	}
	var answered atomic.Bool
	stop := make(chan struct{})
	var users sync.WaitGroup
	signed := make([]atomic.Int64, len(s.programs))
	for at := range s.programs {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				w := waiting{at: at, options: loginOptions()}
				var err error
				if w.tap, err = s.tap(at, agent.Get, w.options); err != nil {
					continue
				}
				late := answered.Load()
				if err := s.sign(w); err == nil {
					signed[at].Add(1)
					if late {
						total.wrong.Add(1)
					}
				}
			}
		})
	}
	for at := range signed {
		for deadline := time.Now().Add(patience); signed[at].Load() < 3 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // until they are at it
		}
	}
	began := time.Now()
	err := withdraw(s)
	answered.Store(true)
	total.took = append(total.took, time.Since(began))
	if err != nil {
		close(stop)
		users.Wait()
		s.t.Fatal(err)
	}
	var after sync.WaitGroup
	refused := func(what string, err error) {
		total.late.Add(1)
		var e *agent.Error
		switch {
		case err == nil:
			total.wrong.Add(1)
		case !errors.As(err, &e) || !slices.Contains(codes, e.Code):
			s.t.Errorf("%s is refused with %v, want %v", what, err, codes)
		}
	}
	for _, w := range ready {
		after.Go(func() { refused("a sign-in", s.sign(w)) })
		after.Go(func() {
			_, err := s.tap(w.at, agent.Get, loginOptions())
			refused("a tap", err)
		})
	}
	after.Wait()
	close(stop)
	users.Wait()
	for at := range signed {
		total.before.Add(signed[at].Load())
	}
}

// once asks all servers for a signature with one tap: one answers.
func (s *station) once() {
	s.t.Helper()
	for range 10 {
		options := loginOptions()
		tap, err := s.tap(0, agent.Get, options)
		s.must(err)
		var all sync.WaitGroup
		var signed atomic.Int64
		for i := range 3 * len(s.programs) {
			all.Go(func() {
				if s.sign(waiting{i % len(s.programs), tap, options}) == nil {
					signed.Add(1)
				}
			})
		}
		all.Wait()
		if signed.Load() != 1 {
			s.t.Fatalf("one tap at all servers at once gives %d signatures, want one", signed.Load())
		}
	}
}
