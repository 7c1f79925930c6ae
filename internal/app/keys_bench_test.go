package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store"
)

// TestMain lets the test binary be the servers that BenchmarkKeys compares with.
func TestMain(m *testing.M) {
	switch os.Getenv("KEYHOLD_BENCH_FLOOR") {
	case "empty":
		serveFloor(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{\"ok\":true}\n")
		}))
	case "huma":
		mux := http.NewServeMux()
		type output struct {
			Body struct {
				OK bool `json:"ok"`
			}
		}
		huma.Get(humago.New(mux, huma.DefaultConfig("floor", "1")), "/api/v1/me", func(context.Context, *struct{}) (*output, error) {
			out := &output{}
			out.Body.OK = true
			return out, nil
		})
		serveFloor(mux)
	case "keyhold":
		if err := serveProfiled(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// serveProfiled serves until SIGTERM, and writes a CPU profile: what the compiler
// builds the server by (make profile).
func serveProfiled() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := Settings{Data: os.Getenv("KEYHOLD_BENCH_DATA"), Listen: os.Getenv("KEYHOLD_BENCH_ADDRESS"), LogFormat: "json", PublicURL: os.Getenv("KEYHOLD_PUBLIC_URL")}.Parse()
	if err != nil {
		return err
	}
	out, err := os.Create(os.Getenv("KEYHOLD_BENCH_PROFILE"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	log, _ := NewLog(os.Stderr)
	a, err := Open(ctx, c, Options{}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	l, err := Listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return a.Serve(ctx, l, "bench", func() {})
}

func serveFloor(h http.Handler) {
	// The same server as ours: what is compared is the handler.
	s := &http.Server{
		Addr: os.Getenv("KEYHOLD_BENCH_ADDRESS"), Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1)
}

// BenchmarkKeys measures what GET /api/v1/me costs the server in CPU time, beside an
// empty net/http handler and an empty huma operation in the same run, with 1,000,
// 100,000 and 1,000,000 keys in SQLite, used at random by 32 clients; and how much
// memory it takes, how fast it is ready and how long the first verification of a key
// takes. KEYHOLD_BENCH_KEYS lists other numbers; with KEYHOLD_BENCH_PROFILE the server
// writes a CPU profile to that file.
func BenchmarkKeys(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "keyhold")
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "github.com/keyhold/keyhold/cmd/keyhold").CombinedOutput(); err != nil {
		b.Fatalf("building keyhold: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	empty := startProcess(b, self, "KEYHOLD_BENCH_FLOOR=empty")
	throughHuma := startProcess(b, self, "KEYHOLD_BENCH_FLOOR=huma")
	for _, text := range strings.Fields(strings.ReplaceAll(cmpOr(os.Getenv("KEYHOLD_BENCH_KEYS"), "1000,100000,1000000"), ",", " ")) {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) { benchmarkKeys(b, binary, n, empty, throughHuma) })
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func benchmarkKeys(b *testing.B, binary string, n int, empty, throughHuma *process) {
	dir := b.TempDir()
	tokens := manyKeys(b, dir, n)

	var k *process
	if os.Getenv("KEYHOLD_BENCH_PROFILE") == "" {
		k = startProcess(b, binary, "", "serve", "--data", dir, "--api-rate", "6000")
	} else {
		b.Setenv("KEYHOLD_BENCH_DATA", dir)
		k = startProcess(b, os.Args[0], "KEYHOLD_BENCH_FLOOR=keyhold")
	}
	b.ReportMetric(k.boot.Seconds()*1000, "ms-to-ready")
	cold := k.times(b, tokens, 200)
	b.ReportMetric(float64(cold[len(cold)/2].Microseconds()), "µs-cold-median")
	b.ReportMetric(float64(cold[len(cold)*99/100].Microseconds()), "µs-cold-p99")
	k.load(b, tokens, max(len(tokens), 20_000), true) // each key once: all are warm
	b.ReportMetric(k.memory(b), "MB-warm")
	const round = 60_000
	var mine, its, humas, ratios []float64
	for range 5 {
		a, e, h := k.cost(b, tokens, round), empty.cost(b, tokens, round), throughHuma.cost(b, tokens, round)
		mine, its, humas, ratios = append(mine, a), append(its, e), append(humas, h), append(ratios, a/e)
	}
	b.ReportMetric(middle(mine), "µs-me")
	b.ReportMetric(middle(its), "µs-empty")
	b.ReportMetric(middle(humas), "µs-huma")
	b.ReportMetric(middle(ratios), "×-empty")
	b.ReportMetric(middle(humas)/middle(its), "×-huma-empty")
	b.ReportMetric(0, "ns/op") // the work was done and measured outside
}

func middle(v []float64) float64 {
	return slices.Sorted(slices.Values(v))[len(v)/2]
}

// manyKeys makes a workspace with n Admin keys in the folder, and returns their
// tokens.
func manyKeys(b *testing.B, dir string, n int) []string {
	c, err := Settings{Data: dir, Listen: "localhost:8080", LogFormat: "json"}.Parse()
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(b.Context(), c, Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	w, err := a.Join.CreateWorkspace(b.Context(), auth.Job("", "bench"), "Bench")
	if err != nil {
		b.Fatal(err)
	}
	pepper, now := a.peppers(), a.clock.Now()
	var tokens []string
	for len(tokens) < n {
		err := store.For[apikey.Tx](a.store).Write(b.Context(), func(ctx context.Context, t apikey.Tx) (*fault.Error, error) {
			for range min(5000, n-len(tokens)) {
				s := token.Issue(token.KindAdmin)
				if err := t.InsertAPIKey(ctx, apikey.Key{
					ID: id.New[id.KindAPIKey](now), Workspace: w.Workspace.ID, TokenID: s.ID, TokenHash: s.Hash(pepper.Known[pepper.Current]), Pepper: pepper.Current,
					Name: fmt.Sprintf("Integration %d of the bench", len(tokens)), Type: apikey.Admin, Permissions: auth.All(), CreatedAt: now, IssuedAt: now,
					EndsAt: apikey.Never(), WarnAt: apikey.Never(), CreatedBy: activity.Party{Type: "system", ID: "bench", Name: "bench"}, Revision: 1,
				}); err != nil {
					return nil, err
				}
				tokens = append(tokens, s.Secret().ExposeString())
			}
			return nil, b.Context().Err()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		b.Fatal(err)
	}
	rand.Shuffle(len(tokens), func(i, j int) { tokens[i], tokens[j] = tokens[j], tokens[i] })
	return tokens
}

// process is a server under measurement.
type process struct {
	cmd     *exec.Cmd
	address string
	boot    time.Duration
}

// startProcess runs a server on a free port until the benchmark ends, and waits
// until it answers.
func startProcess(b *testing.B, path, variable string, args ...string) *process {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p := &process{address: l.Addr().String()}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	if variable == "" {
		args = append(args, "--listen", p.address)
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), variable, "KEYHOLD_BENCH_ADDRESS="+p.address)
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log // the request log is on
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
		_ = log.Close()
	})
	for time.Since(begin) < 30*time.Second {
		resp, err := http.Get("http://" + p.address + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			p.boot = time.Since(begin)
			return p
		}
		time.Sleep(time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	b.Fatalf("the server did not answer in 30 s:\n%s", text)
	return nil
}

// times returns how long the first request of n keys takes, sorted.
func (p *process) times(b *testing.B, tokens []string, n int) []time.Duration {
	b.Helper()
	c := p.dial(b)
	defer c.close()
	if err := c.get(tokens[0]); err != nil { // the connection itself
		b.Fatal(err)
	}
	var out []time.Duration
	for i := range min(n, len(tokens)-1) {
		begin := time.Now()
		if err := c.get(tokens[i+1]); err != nil {
			b.Fatal(err)
		}
		out = append(out, time.Since(begin))
	}
	slices.Sort(out)
	return out
}

// cost returns the server's CPU time a request, in microseconds.
func (p *process) cost(b *testing.B, tokens []string, n int) float64 {
	b.Helper()
	p.load(b, tokens, n/10, false) // warm up
	before := p.cpu(b)
	p.load(b, tokens, n, false)
	return float64((p.cpu(b) - before).Microseconds()) / float64(n)
}

// load sends n requests from 32 clients, with keys at random or each in its turn.
func (p *process) load(b *testing.B, tokens []string, n int, inTurn bool) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, 32)
	for i := range errs {
		c := p.dial(b)
		group.Go(func() {
			defer c.close()
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for {
				turn := int(next.Add(1) - 1)
				if turn >= n || errs[i] != nil {
					return
				}
				if !inTurn {
					turn = random.IntN(len(tokens))
				}
				errs[i] = c.get(tokens[turn%len(tokens)])
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu(b *testing.B) time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick
}

// memory returns the process's resident set in MB.
func (p *process) memory(b *testing.B) float64 {
	time.Sleep(2 * time.Second) // let it settle
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Rss") {
			b.Log(strings.TrimSpace(line))
		}
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}

// caller sends requests over one connection, with little of its own: the load
// generator shares the machine.
type caller struct {
	c net.Conn
	r *bufio.Reader
	b []byte
}

func (p *process) dial(b *testing.B) *caller {
	b.Helper()
	c, err := new(net.Dialer).DialContext(b.Context(), "tcp", p.address)
	if err != nil {
		b.Fatal(err)
	}
	return &caller{c: c, r: bufio.NewReader(c)}
}

func (c *caller) close() { _ = c.c.Close() }

func (c *caller) get(token string) error {
	c.b = append(c.b[:0], "GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1\r\nAccept: application/json\r\nAuthorization: Bearer "...)
	c.b = append(c.b, token...)
	c.b = append(c.b, "\r\n\r\n"...)
	if _, err := c.c.Write(c.b); err != nil {
		return err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("GET /api/v1/me answers %s", status)
	}
	length := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return err
			}
		}
	}
	_, err = c.r.Discard(length)
	return err
}
