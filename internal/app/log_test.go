package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// written is what a log wrote so far.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *written) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSuffix(w.b.String(), "\n"), "\n")
}

func TestNewLog_writesWhatSlogWrites(t *testing.T) {
	var ours, theirs written
	log, flush := NewLog(&ours)
	for _, l := range []*slog.Logger{log, slog.New(slog.NewJSONHandler(&theirs, nil))} {
		l = l.With("server", "one \"two\"\n")
		l.Info("request", "text", "a <b> & \x01 ü \u2028 \xff", "n", -7, "u", uint64(1)<<63, "f", 1.25, "yes", true, "took", 3*time.Second,
			"at", time.Date(2026, 3, 2, 9, 30, 0, 5, time.UTC), "error", errors.New("no \"disk\""), "list", []string{"a", "b"}, "nothing", nil)
		l.Warn("careful")
		l.Debug("not written")
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	read := func(w *written) (out []map[string]any) {
		for _, line := range w.lines() {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			text, _ := m["time"].(string)
			if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
				t.Errorf("the time of %s: %v", line, err)
			}
			delete(m, "time")
			out = append(out, m)
		}
		return out
	}
	if diff := cmp.Diff(read(&theirs), read(&ours)); diff != "" {
		t.Errorf("lines (-slog +ours):\n%s", diff)
	}
}

// Lines of requests wait for company, and nothing else does; the order stays.
func TestNewLog_gathersRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w written
		log, flush := NewLog(&w)
		log.Info("request", "n", 1)
		log.Info("request", "n", 2)
		if got := w.lines(); got[0] != "" {
			t.Errorf("%q is written at once, want it to wait", got)
		}
		log.Info("ready")
		if got := w.lines(); len(got) != 3 || !strings.Contains(got[0], `"n":1`) || !strings.Contains(got[2], "ready") {
			t.Errorf("%q is written, want three lines in their order", got)
		}
		log.Error("request", "n", 3)
		if got := w.lines(); len(got) != 4 {
			t.Errorf("%q is written, want the failed request too", got)
		}
		log.Info("request", "n", 4)
		time.Sleep(logPatience)
		synctest.Wait()
		if got := w.lines(); len(got) != 5 {
			t.Errorf("%d lines after %v, want five", len(got), logPatience)
		}
		log.Info("request", "n", 5)
		if err := flush(); err != nil || len(w.lines()) != 6 {
			t.Errorf("%d lines after the flush (%v), want six", len(w.lines()), err)
		}
		for range 200 {
			log.Info("request", "text", strings.Repeat("x", 100))
		}
		if got := len(w.lines()); got < 100 {
			t.Errorf("%d lines of many, want them written once they are %d bytes", got, logBatch)
		}
		time.Sleep(logPatience)
	})
}
