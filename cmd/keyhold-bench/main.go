// Command bench measures a built keyhold from outside: how many acts a second it
// commits, how much memory it takes and how fast it starts. (What a request costs is
// measured by BenchmarkKeys in internal/app.)
package main

import (
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
	"syscall"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
)

func main() {
	binary := flag.String("binary", "bin/keyhold", "the keyhold to measure")
	flag.Parse()
	log.SetFlags(0)
	if err := measure(*binary); err != nil {
		log.Fatal("bench: ", err)
	}
}

// process is a server under measurement.
type process struct {
	cmd  *exec.Cmd
	url  string
	dir  string
	boot time.Duration // from exec to the first ready answer
}

func measure(binary string) error {
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
	if err := throughput(k, token); err != nil {
		return err
	}
	if memory, err = k.memory(); err != nil {
		return err
	}
	fmt.Printf("memory after that load: %.1f MB\n", memory)
	return nil
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
	cmd.Args = append(cmd.Args, "--listen", address, "--public-url", "http://localhost:"+port, "--api-rate", "0")
	logs, err := os.Create(filepath.Join(dir, "bench.log")) //nolint:gosec // our own folder
	if err != nil {
		return nil, err
	}
	cmd.Stderr = logs
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

func (p *process) token(binary string) (string, error) {
	out, err := exec.Command(binary, "api-key", "create", "bench", "--json", "--data", p.dir).Output() //nolint:gosec,noctx // the binary to measure
	if err != nil {
		return "", fmt.Errorf("creating an API key: %w", err)
	}
	var key struct{ Token string }
	err = json.Unmarshal(out, &key)
	return key.Token, err
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
