// Package e2e tells stories of the real binaries: the scripts in this folder read
// like a manual, and the tests kill the server under load.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The paths of keyhold, keyhold-lock and keyhold-agent, built once by TestMain.
var binary, doorBinary, agentBinary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keyhold-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary folder
	binary, doorBinary, agentBinary = filepath.Join(dir, "keyhold"), filepath.Join(dir, "keyhold-lock"), filepath.Join(dir, "keyhold-agent")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir,
		"github.com/keyhold/keyhold/cmd/keyhold", "github.com/keyhold/keyhold/cmd/keyhold-lock", "github.com/keyhold/keyhold/cmd/keyhold-agent")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds how long a program may take to start, to stop or to settle.
const patience = 30 * time.Second

// server is a running keyhold.
type server struct {
	cmd   *exec.Cmd
	url   string // http://localhost:PORT
	ended chan struct{}

	mu   sync.Mutex
	text bytes.Buffer // what it said; guarded by mu
}

// start runs the server and waits until it says that it is ready.
func start(environment []string, args ...string) (*server, error) {
	s := &server{cmd: exec.Command(binary, append([]string{"serve"}, args...)...), ended: make(chan struct{})}
	s.cmd.Env = environment
	reader, writer := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = writer, writer
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // how it ended stands in its last words
		_ = writer.Close()
	}()
	ready := make(chan string, 1)
	go s.listen(reader, ready)
	select {
	case s.url = <-ready:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("the server ended:\n%s", s.said())
	case <-time.After(patience):
		s.kill()
		return nil, fmt.Errorf("the server was not ready after %v:\n%s", patience, s.said())
	}
}

// listen keeps what the server says and tells its public URL once it is ready.
func (s *server) listen(r io.Reader, ready chan<- string) {
	defer close(s.ended)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.mu.Lock()
		s.text.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		var event struct {
			Msg       string `json:"msg"`
			PublicURL string `json:"public_url"`
		}
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Msg == "ready" {
			ready <- event.PublicURL
		}
	}
}

// said returns all that the server said.
func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// kill ends the server as a power cut would, without a chance to tidy up.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
}

// stop asks the server to end and waits until it has.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("the server was still running %v after SIGTERM:\n%s", patience, s.said())
	}
	if !strings.Contains(s.said(), `"msg":"stopped"`) {
		return fmt.Errorf("the server did not say that it stopped:\n%s", s.said())
	}
	return nil
}

// freePort returns a port that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	return port, l.Close()
}

// call sends one request of the REST API and returns the answer's status and body.
func call(c *http.Client, method, address, token, body string) (int, []byte, error) {
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }() // read to its end below
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, text, err
}
