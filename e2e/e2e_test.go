// Package e2e holds stories and trials against the real binary.
package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binary is the keyhold under test, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keyhold-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system's temporary place is swept anyway
	binary = filepath.Join(dir, "keyhold")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "github.com/keyhold/keyhold/cmd/keyhold")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building keyhold:", err)
		return 1
	}
	return m.Run()
}

// place is where a keyhold lives: its folder, database and port stay over crashes.
type place struct {
	data     string
	database string // URL; empty for SQLite
	listen   string
}

func newPlace(t *testing.T, database string) place {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return place{data: t.TempDir(), database: database, listen: listen}
}

func (p place) args(args ...string) []string {
	args = append(args, "--data", p.data, "--listen", p.listen)
	if p.database != "" {
		args = append(args, "--database-url", p.database)
	}
	return args
}

// command runs a command to its end and reads the JSON that it prints.
func (p place) command(t *testing.T, into any, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, p.args(args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("keyhold %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("keyhold %s printed no JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// server is a running keyhold.
type server struct {
	cmd   *exec.Cmd
	url   string
	ended chan struct{} // closed when the process has ended
}

// serve starts a server and waits until it is ready.
func (p place) serve(t *testing.T) *server {
	t.Helper()
	logs, err := os.OpenFile(filepath.Join(p.data, "test.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, p.args("serve")...)
	cmd.Stderr = logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, url: "http://" + p.listen, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()   // it is killed more often than not
		_ = logs.Close() // nothing more is written
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(s.url + "/readyz"); err == nil {
			_ = resp.Body.Close() // only the status is asked
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-tick.C:
		case <-s.ended:
			text, _ := os.ReadFile(logs.Name()) // for the message only
			t.Fatalf("the server ended before it was ready:\n%s", text)
		case <-deadline:
			t.Fatal("the server was not ready in 30 s")
		}
	}
}

// kill is kill -9.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// call sends a request and reads the JSON answer.
func (s *server) call(client *http.Client, method, path, token, body string) (int, map[string]any, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var out map[string]any
	err = json.Unmarshal(text, &out)
	return resp.StatusCode, out, err
}
