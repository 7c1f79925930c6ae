package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/app/demo"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// running is a served Keyhold.
type running struct {
	app  *app.App
	url  string
	log  *syncBuffer
	stop func() // returns once it has ended, its folder free
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func serve(t *testing.T, s app.Settings, o app.Options) *running {
	t.Helper()
	l, err := app.Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listen, s.LogFormat = l.Addr().String(), "json"
	c, err := s.Parse()
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	a, err := app.Open(t.Context(), c, o, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		err := a.Serve(ctx, l, "test", func() { close(ready) })
		ended <- errors.Join(err, a.Close())
	}()
	<-ready
	var once sync.Once
	r := &running{app: a, url: "http://" + l.Addr().String(), log: log, stop: func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Serve() = %v, want nil after a stop", err)
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

// until waits for what another goroutine does, with a deadline.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20 s in vain for %s", what)
		}
	}
}

func TestMail_isNeitherLostNorSentTwiceOverRestarts(t *testing.T) {
	box, err := demo.OpenMailbox(clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }() // the test is over
	now := &clock.Shifted{}
	data := t.TempDir()

	// The mail server is away: the mail waits.
	first := serve(t, app.Settings{Data: data, SMTPURL: "smtp://127.0.0.1:1", MailFrom: "keyhold@example.com"}, app.Options{Clock: now})
	w, err := first.app.Join.CreateWorkspace(t.Context(), auth.Job("", "test"), "Mail")
	if err != nil {
		t.Fatal(err)
	}
	by := auth.Job(w.Workspace.ID, "test")
	if _, err := first.app.Join.Appoint(t.Context(), by, directory.NewUser{Email: "olivia@example.com", FirstName: "Olivia"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.app.APIKeys.Create(t.Context(), by, apikey.NewKey{Name: "sync", Type: apikey.Admin}); err != nil {
		t.Fatal(err)
	}
	until(t, "a failed try in the log", func() bool { return strings.Contains(first.log.String(), "mail.api_key_created") })
	first.stop()
	if got := len(box.Messages()); got != 0 {
		t.Fatalf("mails before the server was there = %d, want 0", got)
	}

	// It is back after a restart: the mail goes out once, and once only.
	settings := app.Settings{Data: data, SMTPURL: box.SMTPURL(), MailFrom: "keyhold@example.com"}
	for i := range 3 {
		now.Advance(5 * time.Minute)
		again := serve(t, settings, app.Options{Clock: now})
		until(t, "the mail", func() bool { return len(box.Messages()) >= 1 })
		if i > 0 {
			// Another mail overtakes nothing: once it is there, an old one would be, too.
			if _, _, err := again.app.APIKeys.Create(t.Context(), by, apikey.NewKey{Name: fmt.Sprint("later ", i), Type: apikey.Admin}); err != nil {
				t.Fatal(err)
			}
			until(t, "the later mail", func() bool { return len(box.Messages()) >= 1+i })
		}
		again.stop()
		if got := len(box.Messages()); got != 1+i {
			t.Errorf("mails after start %d = %d, want %d", i+1, got, 1+i)
		}
	}
}

func TestServe_oneServerHoldsAFolderAndAnswersCommands(t *testing.T) {
	data := t.TempDir()
	r := serve(t, app.Settings{Data: data}, app.Options{})
	c, err := app.Settings{Data: data, Listen: "localhost:0", LogFormat: "json"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	if a, err := app.Open(t.Context(), c, app.Options{}, quiet); !errors.Is(err, app.ErrFolderLocked) {
		t.Errorf("a second Open() = %v, %v, want ErrFolderLocked", a, err)
	}
	if _, err := app.Migrate(t.Context(), c); !errors.Is(err, app.ErrFolderLocked) {
		t.Errorf("Migrate() while a server runs = %v, want ErrFolderLocked", err)
	}
	if info, err := os.Stat(filepath.Join(data, "admin.sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("admin.sock = %v, %v, want mode 0600", info, err)
	}
	made, err := app.Do[app.CreatedWorkspace](t.Context(), c, quiet, app.CreateWorkspace{Name: "Over the socket"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.Do[app.CreatedAPIKey](t.Context(), c, quiet, app.CreateAPIKey{Name: "", Type: "admin"})
	var refused *app.CommandError
	if !errors.As(err, &refused) || refused.Code != "invalid_fields" || !strings.Contains(err.Error(), "name is needed") {
		t.Errorf("a nameless key = %v, want invalid_fields that names the name", err)
	}
	key, err := app.Do[app.CreatedAPIKey](t.Context(), c, quiet, app.CreateAPIKey{Workspace: made.ID, Name: "k", Type: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, r.url+"/api/v1/me", key.Token); got != http.StatusOK {
		t.Errorf("the key that was made over the socket = %d, want 200", got)
	}
	if strings.Contains(r.log.String(), key.Token) || strings.Contains(r.log.String(), key.Token[len(key.Token)-38:]) {
		t.Error("the token is in the log")
	}
	r.stop()
	verdicts, err := app.Verify(t.Context(), c, quiet, made.ID, nil)
	if err != nil || len(verdicts) != 1 || len(verdicts[0].Damages) != 0 {
		t.Errorf("Verify() = %v, %v, want one whole record", verdicts, err)
	}
	if err := os.Remove(filepath.Join(data, "keyhold.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Verify(t.Context(), c, quiet, "", nil); err == nil || !strings.Contains(err.Error(), "keyhold.key") {
		t.Errorf("Verify() without the key file = %v, want a refusal that names it", err)
	}
	if _, err := os.Stat(filepath.Join(data, "keyhold.key")); err == nil {
		t.Error("Verify() made a key file")
	}
	if _, err := app.Open(t.Context(), c, app.Options{}, quiet); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("Open() without the key file = %v, want a refusal that names it", err)
	}
}

func TestServe_protectsWhatItAnswers(t *testing.T) {
	r := serve(t, app.Settings{Data: t.TempDir(), MetricsToken: "canary-metrics"}, app.Options{})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 403} {
		if got := get(t, r.url+path, ""); got != want {
			t.Errorf("GET %s = %d, want %d", path, got, want)
		}
	}
	if got := get(t, r.url+"/metrics", "canary-metrics"); got != http.StatusOK {
		t.Errorf("GET /metrics with its token = %d, want 200", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/sign-in/options", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://evil.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // only the status is asked
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a POST from another origin = %d, want 403", resp.StatusCode)
	}
	if strings.Contains(r.log.String(), "canary-metrics") {
		t.Error("the metrics token is in the log")
	}
}

func get(t *testing.T, url, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // only the status is asked
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestServe_appendsCheckpointsToTheFolder(t *testing.T) {
	data, kept := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	first := serve(t, app.Settings{Data: data}, app.Options{})
	made, err := first.app.Join.CreateWorkspace(t.Context(), auth.Job("", "test"), "Harbour")
	if err != nil {
		t.Fatal(err)
	}
	// What is sealed when a server starts is told of at once.
	await(t, "the record is sealed", func() bool {
		_, err := first.app.Record.Checkpoint(t.Context(), auth.Job(made.Workspace.ID, "test"))
		return err == nil
	})
	first.stop()
	second := serve(t, app.Settings{Data: data, Checkpoints: kept}, app.Options{})
	await(t, "a checkpoint is in the folder", func() bool {
		raw, err := os.ReadFile(filepath.Join(kept, string(made.Workspace.ID)+".jsonl"))
		return err == nil && bytes.HasSuffix(raw, []byte("}\n"))
	})
	second.stop()
}

// await looks until a thing is so, for as long as a slow machine may need.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 3000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not so after half a minute: %s", what)
}
