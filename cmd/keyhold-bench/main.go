// Command bench measures a built keyhold from outside: what a request costs the
// server in CPU time beside an empty net/http handler in the same run, how many
// acts a second it commits, how much memory it takes and how fast it starts.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
)

func main() {
	binary := flag.String("binary", "bin/keyhold", "the keyhold to measure")
	requests := flag.Int("requests", 20000, "requests a round")
	rounds := flag.Int("rounds", 5, "rounds of each server, in turn")
	clients := flag.Int("clients", 32, "clients at once")
	empty := flag.String("empty", "", "serve the empty handler on this address (used by bench itself)")
	flag.Parse()
	log.SetFlags(0)
	if *empty != "" {
		serveEmpty(*empty)
		return
	}
	if err := measure(*binary, *requests, *rounds, *clients); err != nil {
		log.Fatal("bench: ", err)
	}
}

// serveEmpty answers every request with a few bytes: the floor of net/http.
func serveEmpty(address string) {
	body := []byte(`{"ok":true}` + "\n")
	s := &http.Server{Addr: address, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the reader has gone
	})}
	log.Fatal(s.ListenAndServe())
}

// process is a server under measurement.
type process struct {
	cmd  *exec.Cmd
	url  string
	dir  string
	boot time.Duration // from exec to the first ready answer
}

func measure(binary string, requests, rounds, clients int) error {
	fmt.Printf("machine: %d CPUs, %s, %s/%s\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if err := measureStart(binary); err != nil {
		return err
	}
	k, err := startKeyhold(binary)
	if err != nil {
		return err
	}
	defer k.stop()
	memory, err := k.memory()
	if err != nil {
		return err
	}
	fmt.Printf("idle memory (RSS, empty database, just ready): %.1f MB\n", memory)
	token, err := k.token(binary)
	if err != nil {
		return err
	}
	floor, err := startEmpty()
	if err != nil {
		return err
	}
	defer floor.stop()
	if err := compare(k, floor, token, requests, rounds, clients); err != nil {
		return err
	}
	if memory, err = k.memory(); err != nil {
		return err
	}
	fmt.Printf("memory after that load: %.1f MB\n", memory)
	return throughput(k, token)
}

// measureStart starts a server on a data folder that exists already, several
// times.
func measureStart(binary string) error {
	dir, err := os.MkdirTemp("", "keyhold-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder of ours in the system's temporary place
	var boots []time.Duration
	for i := range 11 {
		p, err := start(dir, exec.Command(binary, "serve", "--data", dir)) //nolint:gosec,noctx // the binary to measure; stopped below
		if err != nil {
			return err
		}
		p.stop()
		if i == 0 {
			fmt.Printf("start, first (schema made): %s\n", p.boot.Round(time.Millisecond))
			continue
		}
		boots = append(boots, p.boot)
	}
	slices.Sort(boots)
	fmt.Printf("start, exec to ready: median %s, slowest %s of %d\n", boots[len(boots)/2].Round(time.Millisecond), boots[len(boots)-1].Round(time.Millisecond), len(boots))
	return nil
}

func startKeyhold(binary string) (*process, error) {
	dir, err := os.MkdirTemp("", "keyhold-bench-")
	if err != nil {
		return nil, err
	}
	return start(dir, exec.Command(binary, "serve", "--data", dir)) //nolint:gosec,noctx // the binary to measure; stopped by its owner
}

func startEmpty() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start("", exec.Command(self)) //nolint:gosec,noctx // this program; stopped by its owner
}

// start runs a server on a free port and waits until it answers.
func start(dir string, cmd *exec.Cmd) (*process, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(address, ":")
	if dir == "" {
		cmd.Args = append(cmd.Args, "-empty", address)
	} else {
		cmd.Args = append(cmd.Args, "--listen", address, "--public-url", "http://localhost:"+port)
		logs, err := os.Create(filepath.Join(dir, "bench.log")) //nolint:gosec // our own folder
		if err != nil {
			return nil, err
		}
		cmd.Stderr = logs
	}
	watch := clock.StartStopwatch()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, url: "http://" + address, dir: dir}
	client := &http.Client{Timeout: time.Second}
	for watch.Elapsed() < 20*time.Second {
		resp, err := client.Get(p.url + "/readyz") //nolint:noctx // our own server, with a limit
		if err == nil {
			_ = resp.Body.Close() // nothing is read from it
			if resp.StatusCode == http.StatusOK {
				p.boot = watch.Elapsed()
				return p, nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	p.stop()
	return nil, errors.New("the server did not become ready in 20 s")
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Wait()                          // how it ended does not matter here
}

// memory returns the process's resident set in MB.
func (p *process) memory() (float64, error) {
	time.Sleep(2 * time.Second) // let what start-up left settle
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("the process tells no VmRSS")
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

func (p *process) token(binary string) (string, error) {
	out, err := exec.Command(binary, "api-key", "create", "bench", "--json", "--data", p.dir).Output() //nolint:gosec,noctx // the binary to measure
	if err != nil {
		return "", fmt.Errorf("creating an API key: %w", err)
	}
	var key struct{ Token string }
	err = json.Unmarshal(out, &key)
	return key.Token, err
}

// compare loads both servers in turn and prints what a request costs each.
func compare(k, floor *process, token string, requests, rounds, clients int) error {
	var ratios, mine, its []float64
	for range rounds {
		a, err := cost(k, "/api/v1/me", token, requests, clients)
		if err != nil {
			return err
		}
		b, err := cost(floor, "/", token, requests, clients)
		if err != nil {
			return err
		}
		mine, its, ratios = append(mine, a), append(its, b), append(ratios, a/b)
	}
	fmt.Printf("GET /api/v1/me, server CPU a request, %d requests × %d rounds, %d clients:\n", requests, rounds, clients)
	fmt.Printf("  keyhold %.1f µs, empty net/http handler %.1f µs, ratio %.2f (median; %.2f to %.2f)\n",
		median(mine), median(its), median(ratios), slices.Min(ratios), slices.Max(ratios))
	return nil
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// cost returns the server's CPU time a request, in microseconds.
func cost(p *process, path, token string, requests, clients int) (float64, error) {
	if err := load(p, path, token, requests/10, clients); err != nil { // warm up
		return 0, err
	}
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := load(p, path, token, requests, clients); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return float64((after - before).Microseconds()) / float64(requests), err
}

func load(p *process, path, token string, requests, clients int) error {
	var left atomic.Int64
	left.Store(int64(requests))
	return each(clients, func(client *http.Client, _ int) error {
		for left.Add(-1) >= 0 {
			if err := call(client, http.MethodGet, p.url+path, token, nil, http.StatusOK); err != nil {
				return err
			}
		}
		return nil
	})
}

// each runs fn in n clients at once, each with its own connection.
func each(n int, fn func(client *http.Client, i int) error) error {
	var group sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			errs[i] = fn(client, i)
			client.CloseIdleConnections()
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func call(client *http.Client, method, url, token string, body io.Reader, want int) error {
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s answered %d: %s", method, url, resp.StatusCode, text)
	}
	return err
}

// throughput creates users over REST, each with its activity, durable before the
// answer.
func throughput(k *process, token string) error {
	for _, clients := range []int{1, 8, 64} {
		const total = 3000
		watch := clock.StartStopwatch()
		err := each(clients, func(client *http.Client, i int) error {
			for n := range total / clients {
				body := fmt.Sprintf(`{"email":"bench-%d-%d-%d@example.com","first_name":"Bench","last_name":"%d"}`, clients, i, n, n)
				if err := call(client, http.MethodPost, k.url+"/api/v1/users", token, strings.NewReader(body), http.StatusCreated); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Printf("POST /api/v1/users, durable, %2d clients: %.0f a second\n", clients, float64(total/clients*clients)/watch.Elapsed().Seconds())
	}
	return nil
}
