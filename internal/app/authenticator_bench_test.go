package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// benchCards is how many people sign in, each with a card, at a client of its own; benchAt
// is how many do so at once.
const (
	benchCards  = 256
	benchAt     = 32
	benchPublic = "http://localhost:8080"
	benchPIN    = "904417"
)

// office is who takes part: everybody has registered at a website.
type office struct {
	token string
	cards []*benchCard
}

// benchCard is a card that lies on a reader.
type benchCard struct {
	number string
	key    *ecdsa.PrivateKey
	uv     string
	tap    string
	nonce  string
}

// requestOptions is what the website asks for.
const requestOptions = `{"challenge":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","rpId":"shop.example","userVerification":"required","timeout":60000}`

const creationOptions = `{"rp":{"id":"shop.example","name":"Shop"},"user":{"id":"YWRh","name":"ada","displayName":"Ada"},` +
	`"challenge":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","pubKeyCredParams":[{"type":"public-key","alg":-7}]}`

// BenchmarkAuthenticator measures what a sign-in at a website costs the server in CPU time,
// with a verification that is live, the client's proof and the activity that is durable,
// beside the sum of what it cannot do without: one P-256 verification, one P-256 signature, a
// request to an empty POST handler and one group-committed activity, in the same run.
func BenchmarkAuthenticator(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "keyhold")
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "github.com/keyhold/keyhold/cmd/keyhold").CombinedOutput(); err != nil {
		b.Fatalf("building keyhold: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	o := newOffice(b, dir)
	empty := startProcess(b, self, "KEYHOLD_BENCH_FLOOR=empty")
	var k *process
	b.Setenv("KEYHOLD_PUBLIC_URL", benchPublic)
	if os.Getenv("KEYHOLD_BENCH_PROFILE") == "" {
		k = startProcess(b, binary, "", "serve", "--data", dir, "--api-rate", "0")
	} else {
		b.Setenv("KEYHOLD_BENCH_DATA", dir)
		k = startProcess(b, os.Args[0], "KEYHOLD_BENCH_FLOOR=keyhold")
	}
	kept := newRecord(b)
	const rounds = 10
	var taps, verifies, signs, floors, verify, sign, rows []float64
	var slow []time.Duration
	var spent time.Duration
	for round := range rounds + 1 {
		tap := k.costOf(b, o, "tap", o.tap)
		verified := k.costOf(b, o, "verify", o.verify)
		for range 3 {
			signed, times, took := k.timed(b, o, "assertion", o.assert)
			if round > 0 {
				signs, slow, spent = append(signs, signed), append(slow, times...), spent+took
			}
			tap = k.costOf(b, o, "tap", o.tap)
		}
		k.costOf(b, o, "sign", o.assert)
		if round == 0 { // it warms up
			kept.cost(b, 4*benchCards)
			continue
		}
		taps, verifies = append(taps, tap), append(verifies, verified)
		floors = append(floors, empty.costOf(b, o, "empty", o.empty))
		v, s := ecdsaCost(b)
		verify, sign, rows = append(verify, v), append(sign, s), append(rows, kept.cost(b, 4*benchCards))
	}
	slices.Sort(slow)
	floor := middle(verify) + middle(sign) + middle(floors) + middle(rows)
	one := middle(signs)
	for _, m := range []struct {
		value float64
		unit  string
	}{
		{one, "µs-assertion"},
		{middle(verify), "µs-P256-verify"},
		{middle(sign), "µs-P256-sign"},
		{middle(floors), "µs-empty-POST"},
		{middle(rows), "µs-activity"},
		{one / floor, "×-floor"},
		{middle(taps), "µs-tap"},
		{middle(verifies), "µs-verify"},
		{(one + middle(taps) + middle(verifies)) / one, "×-whole"},
		{float64(len(slow)) / spent.Seconds(), "assertions/s"},
		{float64(slow[len(slow)/2].Microseconds()) / 1000, "ms-median"},
		{float64(slow[len(slow)*99/100].Microseconds()) / 1000, "ms-p99"},
	} {
		b.ReportMetric(m.value, m.unit)
	}
	b.ReportMetric(0, "ns/op") // the work was done and measured outside
}

// newOffice fills a data folder.
func newOffice(b *testing.B, dir string) *office {
	b.Helper()
	c, err := Settings{Data: dir, Listen: "localhost:8080", LogFormat: "json"}.Parse()
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(b.Context(), c, Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	f, err := a.Join.CreateWorkspace(b.Context(), auth.Job("", "bench"), "Bench")
	if err != nil {
		b.Fatal(err)
	}
	job := auth.Job(f.Workspace.ID, "bench")
	_, token, err := a.APIKeys.Create(b.Context(), job, apikey.NewKey{Name: "Workstations", Type: apikey.Clients})
	if err != nil {
		b.Fatal(err)
	}
	o := &office{token: token.Secret().ExposeString()}
	h, err := a.Handler("bench")
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchCards {
		o.cards = append(o.cards, o.hire(b, a, h, job, i))
	}
	if err := a.Close(); err != nil {
		b.Fatal(err)
	}
	return o
}

// hire makes a person with a card and a client, and registers them at the website.
func (o *office) hire(b *testing.B, a *App, h http.Handler, job auth.Caller, i int) *benchCard {
	b.Helper()
	u, err := a.Directory.Create(b.Context(), job, directory.NewUser{Email: fmt.Sprintf("user%d@example.org", i), FirstName: "User", LastName: strconv.Itoa(i)})
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := &benchCard{number: fmt.Sprintf("04A1B2C3%06X", i), key: key}
	if _, err := a.SecurityKeys.Create(b.Context(), job, u.ID, securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: c.number, Verification: securitykey.ByPIN, PIN: secret.FromString(benchPIN),
	}); err != nil {
		b.Fatal(err)
	}
	inside := direct{h}
	var e struct{ ID string }
	o.must(b, inside, c, "/clients", fmt.Appendf(nil, `{"name":"Desk %d","kind":"agent","jwk":%s}`, i, dpop.JWK(&key.PublicKey)), &e)
	all, err := a.Clients.List(b.Context(), job, client.Query{State: client.Pending})
	if err != nil || len(all.Items) != 1 {
		b.Fatal(err, len(all.Items))
	}
	if _, err := a.Clients.Approve(b.Context(), job, all.Items[0].ID); err != nil {
		b.Fatal(err)
	}
	hash, err := webauthn.OptionsHash([]byte(creationOptions))
	if err != nil {
		b.Fatal(err)
	}
	var tapped struct{ Tap string }
	o.must(b, inside, c, "/taps", c.tapBody("create", hash), &tapped)
	var verified struct {
		Token string `json:"uv_token"`
	}
	o.must(b, inside, c, "/taps/"+tapped.Tap+"/verify", []byte(`{"pin":"`+benchPIN+`"}`), &verified)
	o.must(b, inside, c, "/make-credential", fmt.Appendf(nil, `{"tap":%q,"uv_token":%q,"options":%s}`, tapped.Tap, verified.Token, creationOptions), nil)
	return c
}

func (c *benchCard) tapBody(operation, hash string) []byte {
	return fmt.Appendf(nil, `{"card":{"type":"uid","number":%q,"source":"reader"},"operation":%q,"origin":"https://shop.example","rp_id":"shop.example","options_hash":%q}`, c.number, operation, hash)
}

// sender sends a request and returns the answer.
type sender interface {
	send(path string, headers, body []byte) (status int, nonce string, answer []byte, err error)
}

// direct calls the handler in this process.
type direct struct{ h http.Handler }

func (d direct) send(path string, headers, body []byte) (int, string, []byte, error) {
	r, err := http.NewRequest(http.MethodPost, benchPublic+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	for line := range bytes.SplitSeq(bytes.TrimSpace(headers), []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(": "))
		r.Header.Set(string(name), string(value))
	}
	resp, err := through(d).RoundTrip(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("DPoP-Nonce"), answer, err
}

func (c *caller) send(path string, headers, body []byte) (status int, nonce string, answer []byte, err error) {
	c.b = fmt.Appendf(c.b[:0], "POST %s HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench/1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", path, len(body))
	c.b = append(c.b, headers...)
	c.b = append(c.b, "\r\n"...)
	c.b = append(c.b, body...)
	if _, err := c.c.Write(c.b); err != nil {
		return 0, "", nil, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("DPoP-Nonce"), answer, err
}

// request is a request that is made before it is sent: what it costs to prove oneself is the
// client's.
type request struct{ headers, body []byte }

func (o *office) request(c *benchCard, path string, body []byte) (request, error) {
	proof, err := dpop.Sign(c.key, dpop.Claims{
		Method: "POST", URL: benchPublic + path, IssuedAt: time.Now(), ID: crand.Text(), Nonce: c.nonce, TokenHash: dpop.TokenHash(o.token), BodyHash: dpop.BodyHash(body),
	})
	return request{headers: fmt.Appendf(nil, "Authorization: Bearer %s\r\nDPoP: %s\r\n", o.token, proof), body: body}, err
}

const v1 = "/authenticator/v1"

// ask sends a request, once more with the nonce that it is told.
func (o *office) ask(s sender, c *benchCard, path string, body []byte, out any) error {
	path = v1 + path
	for again := true; ; again = false {
		r, err := o.request(c, path, body)
		if err != nil {
			return err
		}
		status, nonce, answer, err := s.send(path, r.headers, r.body)
		switch {
		case err != nil:
			return err
		case status == http.StatusUnauthorized && nonce != "" && again:
			c.nonce = nonce
			continue
		case status/100 != 2:
			return fmt.Errorf("%s answers %d: %s", path, status, answer)
		case out == nil:
			return nil
		}
		return json.Unmarshal(answer, out)
	}
}

func (o *office) must(b *testing.B, s sender, c *benchCard, path string, body []byte, out any) {
	b.Helper()
	if err := o.ask(s, c, path, body, out); err != nil {
		b.Fatal(err)
	}
}

// step makes the request of a card, and takes its answer.
type step func(c *benchCard) (path string, body []byte, take func(answer []byte) error)

func (o *office) tap(c *benchCard) (string, []byte, func([]byte) error) {
	hash, err := webauthn.OptionsHash([]byte(requestOptions))
	return "/taps", c.tapBody("get", hash), func(answer []byte) error {
		var tapped struct{ Tap string }
		err = errors.Join(err, json.Unmarshal(answer, &tapped))
		c.tap = tapped.Tap
		return err
	}
}

func (o *office) verify(c *benchCard) (string, []byte, func([]byte) error) {
	return "/taps/" + c.tap + "/verify", []byte(`{"pin":"` + benchPIN + `"}`), func(answer []byte) error {
		var verified struct {
			Token string `json:"uv_token"`
		}
		err := json.Unmarshal(answer, &verified)
		c.uv = verified.Token
		return err
	}
}

func (o *office) assert(c *benchCard) (string, []byte, func([]byte) error) {
	return "/get-assertion", fmt.Appendf(nil, `{"tap":%q,"uv_token":%q,"options":%s}`, c.tap, c.uv, requestOptions), func(answer []byte) error {
		if !bytes.Contains(answer, []byte(`"signature"`)) {
			return fmt.Errorf("no signature: %s", answer)
		}
		return nil
	}
}

// empty is the same request to a server that does nothing.
func (o *office) empty(c *benchCard) (string, []byte, func([]byte) error) {
	path, body, _ := o.assert(c)
	return path, body, func([]byte) error { return nil }
}

// costOf returns the server's CPU time of one step of a card, in microseconds.
func (p *process) costOf(b *testing.B, o *office, what string, s step) float64 {
	b.Helper()
	cost, _, _ := p.timed(b, o, what, s)
	if cost == 0 {
		b.Fatalf("%s costs nothing", what)
	}
	return cost
}

// timed has every card make one step, benchAt at once. The requests are made before, with
// their proofs.
func (p *process) timed(b *testing.B, o *office, what string, s step) (cost float64, times []time.Duration, took time.Duration) {
	b.Helper()
	type sent struct {
		path string
		request
		take func([]byte) error
	}
	all := make([]sent, len(o.cards))
	for i, c := range o.cards {
		path, body, take := s(c)
		if i == 0 && what != "empty" {
			c.nonce = p.nonce(b, o)
		}
		c.nonce = o.cards[0].nonce
		r, err := o.request(c, v1+path, body)
		if err != nil {
			b.Fatal(err)
		}
		all[i] = sent{v1 + path, r, take}
	}
	times = make([]time.Duration, len(all))
	errs := make([]error, benchAt)
	var next atomic.Int64
	var group sync.WaitGroup
	connections := make([]*caller, benchAt)
	for i := range connections {
		connections[i] = p.dial(b)
	}
	before, begin := p.cpuFine(b), time.Now()
	for i, conn := range connections {
		group.Go(func() {
			for {
				turn := int(next.Add(1) - 1)
				if turn >= len(all) || errs[i] != nil {
					return
				}
				sent := time.Now()
				status, _, answer, err := conn.send(all[turn].path, all[turn].headers, all[turn].body)
				times[turn] = time.Since(sent)
				if err == nil && status/100 != 2 {
					err = fmt.Errorf("%s answers %d: %s", all[turn].path, status, answer)
				}
				if err == nil {
					err = all[turn].take(answer)
				}
				errs[i] = err
			}
		})
	}
	group.Wait()
	took = time.Since(begin)
	cost = float64((p.cpuFine(b) - before).Nanoseconds()) / 1000 / float64(len(all))
	for _, c := range connections {
		c.close()
	}
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	return cost, times, took
}

// nonce asks for a fresh nonce.
func (p *process) nonce(b *testing.B, o *office) string {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+p.address+v1+"/nonce", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Host = "localhost:8080"
	r.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Header.Get("DPoP-Nonce")
}

// cpuFine returns the CPU time that the process has used, from the scheduler's own count.
func (p *process) cpuFine(b *testing.B) time.Duration {
	b.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task/*/schedstat")
	if err != nil || len(tasks) == 0 {
		b.Fatal("the process has no tasks", err)
	}
	var sum time.Duration
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // that thread has ended
		}
		n, err := strconv.ParseInt(string(bytes.Fields(text)[0]), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum
}

// own returns the CPU time that this process has used.
func own(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ecdsaCost returns what one verification and one signature on P-256 cost, in microseconds.
func ecdsaCost(b *testing.B) (verify, sign float64) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("what is signed"))
	const n = 500
	var signature []byte
	begin := own(b)
	for range n {
		if signature, err = ecdsa.SignASN1(crand.Reader, key, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
	sign = float64((own(b) - begin).Nanoseconds()) / 1000 / n
	begin = own(b)
	for range n {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			b.Fatal("a signature does not verify")
		}
	}
	return float64((own(b) - begin).Nanoseconds()) / 1000 / n, sign
}

// record is an empty database into which activities are written as the server writes them:
// of as many people, and beside as many others.
type record struct {
	run tx.Runner[activity.Tx]
	by  auth.Caller
}

func newRecord(b *testing.B) *record {
	b.Helper()
	s := storetest.Open(b)
	r := &record{run: store.For[activity.Tx](s), by: auth.Job(storetest.Workspace(b, s), "bench")}
	r.by.IP, r.by.Agent, r.by.RequestID = "192.0.2.7", "bench/1", "req_bench"
	return r
}

// cost returns what one durable activity costs where benchAt are written at once, in
// microseconds, over as many as the server has written meanwhile.
func (r *record) cost(b *testing.B, n int) float64 {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, benchAt)
	begin := own(b)
	for i := range errs {
		group.Go(func() {
			for errs[i] == nil {
				turn := next.Add(1)
				if turn > int64(n) {
					return
				}
				who := strconv.FormatInt(turn*7919%benchCards, 10)
				e := activity.Event{
					Action: "credential.use", Actor: activity.Party{Type: "user", ID: "user_01jd3v9b8eexav2f6hqdr3w" + who, Name: "User " + who},
					Target: activity.Party{Type: "credential", ID: "cred_01jd3v9b8eexav2f6hqdr3w" + who, Name: "ada at shop.example"},
					User:   id.User("user_01jd3v9b8eexav2f6hqdr3w" + who), SecurityKey: id.SecurityKey("sk_01jd3v9b8eexav2f6hqdr3w" + who), RPID: "shop.example", Client: id.Client("cli_01jd3v9b8eexav2f6hqdr3w" + who),
				}
				errs[i] = r.run.Write(b.Context(), func(ctx context.Context, t activity.Tx) (*fault.Error, error) {
					return nil, activity.Append(ctx, t, r.by, e, clock.System{}.Now())
				})
			}
		})
	}
	group.Wait()
	cost := float64((own(b) - begin).Nanoseconds()) / 1000 / float64(n)
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	return cost
}
