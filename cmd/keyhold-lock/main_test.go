package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a command printed, which may still run.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// find waits until the pattern was printed and returns its first group.
func (o *output) find(ctx context.Context, t *testing.T, pattern string) string {
	t.Helper()
	for {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-o.more:
		case <-ctx.Done():
			t.Fatalf("%s was not printed, but:\n%s", pattern, o)
		}
	}
}

func TestMain_wrongUseSaysWhatToDo(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		in   string
		code int
		says string
	}{
		{[]string{"run", "--state", empty}, "", exitUsage, "--virtual"},
		{[]string{"run", "--state", empty, "--virtual", "--exec", "true"}, "", exitUsage, "choose one"},
		{[]string{"run", "--state", empty, "--exec", "true"}, "", exitFailed, "In the panel"},
		{[]string{"run", "--state", empty, "--virtual", "--listen", "localhost:0"}, "", exitFailed, "In the panel"},
		{[]string{"run", "--state", empty, "--virtual", "--listen", "nowhere"}, "", exitFailed, "--listen"},
		{[]string{"status", "--state", empty}, "", exitFailed, "belongs to no door"},
		{[]string{"enrol", "--server", "https://localhost", "--state", empty, "khe_x"}, "", exitFailed, "khe_"},
		{[]string{"enrol", "--server", "https://localhost", "--state", empty, "-"}, "khe_y\n", exitFailed, "khe_"},
		{[]string{"enrol", "--state", empty, "khe_x"}, "", exitUsage, "--server"},
		{[]string{"open"}, "", exitUsage, "--help"},
	} {
		var out, errs bytes.Buffer
		if code := Main(t.Context(), c.args, strings.NewReader(c.in), &out, &errs); code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v = %d and\n%s\nwant %d and %q", c.args, code, errs.String(), c.code, c.says)
		}
	}
}

func TestMain_helps(t *testing.T) {
	var out bytes.Buffer
	if code := Main(t.Context(), []string{"run", "--help"}, nil, &out, &out); code != 0 || !strings.Contains(out.String(), "card 04A1B2C3") || !strings.Contains(out.String(), "KEYHOLD_OPEN_SECONDS") {
		t.Errorf("run --help = %d and\n%s", code, out.String())
	}
	out.Reset()
	if code := Main(t.Context(), []string{"version"}, nil, &out, &out); code != 0 || !strings.HasPrefix(out.String(), "keyhold-lock ") {
		t.Errorf("version = %d and %q", code, out.String())
	}
}

func TestRun_virtualShowsAPage(t *testing.T) {
	state := enrolled(t)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	out, errs := newOutput(), newOutput()
	ended := make(chan int)
	go func() {
		ended <- Main(ctx, []string{"run", "--state", state, "--virtual", "--listen", "127.0.0.1:0"}, strings.NewReader(""), out, errs)
	}()
	port := out.find(ctx, t, `http://door\.localhost:(\d+)/`)
	answer, err := http.Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "Side door") {
		t.Errorf("the page = %d, %v", answer.StatusCode, err)
	}
	var status bytes.Buffer
	if code := Main(ctx, []string{"status", "--state", state}, nil, &status, &status); code != 0 || !strings.Contains(status.String(), "Running           yes") || !strings.Contains(status.String(), "Side door") {
		t.Errorf("status = %d and\n%s", code, status.String())
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("run = %d and\n%s", code, errs)
	}
	status.Reset()
	if code := Main(t.Context(), []string{"status", "--state", state}, nil, &status, &status); code != 0 || !strings.Contains(status.String(), "Running           no") {
		t.Errorf("status = %d and\n%s", code, status.String())
	}
}

func TestRun_execAnswersLines(t *testing.T) {
	state := enrolled(t)
	hold(t, state)
	opened := filepath.Join(t.TempDir(), "opened")
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	out, errs := newOutput(), newOutput()
	in, feeds := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- Main(ctx, []string{"run", "--state", state, "--battery-clock", "--exec", "echo $KEYHOLD_OPEN_SECONDS >> " + opened}, in, out, errs)
	}()
	for line, want := range map[string]string{
		"pin 9999": `(?m)^refused unknown_pin$`, "card 04a1b2c3": `(?m)^refused unknown_card$`, "pin 2468": `(?m)^opened$`, "knock": `error: a line is`, "card 4": `error: a card's number`,
	} {
		if _, err := io.WriteString(feeds, line+"\n"); err != nil {
			t.Fatal(err)
		}
		out.find(ctx, t, want)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("run = %d and\n%s", code, errs)
	}
	if data, err := os.ReadFile(opened); err != nil || string(data) != "7\n" {
		t.Errorf("the command wrote %q, %v; want the seconds, once", data, err)
	}
}

func TestCommand_failingAtOnceIsAnError(t *testing.T) {
	r := &run{errs: io.Discard}
	c := &command{text: "exit 3", log: r.log()}
	if err := c.Open(time.Second); err == nil {
		t.Error("Open() of a command that fails = nil")
	}
	c.wait()
}
