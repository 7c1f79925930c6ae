package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/store/storetest"
)

// clients write at once.
const clients = 8

// TestCrash kills the server with SIGKILL under load, again and again. What a
// client was told to be done is there afterwards, with its line, and the record
// is whole.
func TestCrash(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { crash(t, "") })
	t.Run("postgres", func(t *testing.T) { crash(t, storetest.PostgresURL(t)) })
}

func trials(t *testing.T) int {
	if text := os.Getenv("KEYHOLD_CRASH_TRIALS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KEYHOLD_CRASH_TRIALS is %q, want a number", text)
		}
		return n
	}
	if testing.Short() {
		return 3
	}
	return 30
}

// site is an installation that is killed and started again.
type site struct {
	args   []string
	env    []string
	token  string
	server *server
	client *http.Client
}

func crash(t *testing.T, database string) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	s := newSite(t, database)
	acknowledged, found, lines := 0, 0, 0
	for trial := range trials(t) {
		oracle := s.loadAndKill(t, trial, time.Duration(100+random.IntN(300))*time.Millisecond)
		s.start(t)
		acknowledged += len(oracle)
		for userID, id := range oracle {
			if s.userIs(t, id, userID) {
				found++
			}
			if s.lineOf(t, id) {
				lines++
			}
		}
		s.verify(t)
	}
	t.Logf("%d acknowledged, %d found, %d with their line, %d lost", acknowledged, found, lines, acknowledged-found)
	if acknowledged != found || acknowledged != lines {
		t.Errorf("seed %d: of %d acknowledged users %d are found and %d have their line, want all", seed, acknowledged, found, lines)
	}
	if acknowledged < 2*trials(t) {
		t.Errorf("only %d users acknowledged in %d trials: this was no load", acknowledged, trials(t))
	}
	s.halfDone(t)
	if err := s.server.stop(); err != nil {
		t.Error(err)
	}
}

// newSite makes a workspace and a key by the commands, and starts the server.
func newSite(t *testing.T, database string, more ...string) *site {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		args: append([]string{"--data", t.TempDir(), "--listen", "localhost:" + port}, more...),
		env:  append(os.Environ(), "KEYHOLD_DATABASE_URL="+database, "KEYHOLD_API_RATE=0"),
		client: &http.Client{
			Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: clients},
		},
	}
	s.command(t, nil, "workspace", "create", "Crash")
	var key struct{ Token string }
	s.command(t, &key, "api-key", "create", "load")
	s.token = key.Token
	s.start(t)
	t.Cleanup(func() { s.server.kill() })
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	var err error
	if s.server, err = start(s.env, s.args...); err != nil {
		t.Fatal(err)
	}
}

// command runs a command of the binary and reads its JSON into out.
func (s *site) command(t *testing.T, out any, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append(append(args, "--json"), s.args...)...)
	cmd.Env = s.env
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("keyhold %v: %v\n%s", args, err, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("keyhold %v: %v\n%s", args, err, text)
		}
	}
}

func (s *site) call(method, path, body string) (int, []byte, error) {
	return call(s.client, method, s.server.url+"/api/v1"+path, s.token, body)
}

// loadAndKill lets the clients make users until the server is killed, and returns
// the ids of those that it acknowledged, by their user ids.
func (s *site) loadAndKill(t *testing.T, trial int, after time.Duration) map[string]string {
	t.Helper()
	var mu sync.Mutex
	oracle := map[string]string{}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for n := 0; ; n++ {
				userID := fmt.Sprintf("t%d-c%d-%d", trial, c, n)
				body := fmt.Sprintf(`{"user_id":%q,"email":"%s@example.org","first_name":"Load"}`, userID, userID)
				status, text, err := s.call(http.MethodPost, "/users", body)
				if err != nil {
					return // the server is dead: nothing was promised
				}
				var made struct{ ID string }
				if status != http.StatusCreated || json.Unmarshal(text, &made) != nil {
					t.Errorf("making %s: status %d: %s", userID, status, text)
					return
				}
				mu.Lock()
				oracle[userID] = made.ID
				mu.Unlock()
			}
		})
	}
	<-time.After(after) // the moment of the crash
	s.server.kill()
	all.Wait()
	s.client.CloseIdleConnections()
	return oracle
}

// get reads an answer of the API into out and says whether it was found.
func (s *site) get(t *testing.T, path string, out any) bool {
	t.Helper()
	status, text, err := s.call(http.MethodGet, path, "")
	if err != nil {
		t.Fatal(err)
	}
	if status == http.StatusNotFound {
		return false
	}
	if err := json.Unmarshal(text, out); err != nil || status != http.StatusOK {
		t.Fatalf("%s: status %d (%v): %s", path, status, err, text)
	}
	return true
}

func (s *site) userIs(t *testing.T, id, userID string) bool {
	t.Helper()
	var u struct {
		UserID string `json:"user_id"`
	}
	found := s.get(t, "/users/"+id, &u)
	if !found || u.UserID != userID {
		t.Errorf("%s, acknowledged as %s: found %v as %q", userID, id, found, u.UserID)
	}
	return found && u.UserID == userID
}

// page is a list's answer, as far as it is looked at.
type page struct {
	Data []struct {
		Action string
		Target struct{ ID string }
	}
	NextCursor *string `json:"next_cursor"`
	Total      int
}

func (s *site) lineOf(t *testing.T, id string) bool {
	t.Helper()
	var p page
	s.get(t, "/activities?action=user.create&user="+id, &p)
	if len(p.Data) != 1 || p.Data[0].Target.ID != id {
		t.Errorf("%s has the lines %+v, want one", id, p.Data)
		return false
	}
	return true
}

// halfDone counts: there are as many users as lines that tell of their making,
// whether they were acknowledged or not.
func (s *site) halfDone(t *testing.T) {
	t.Helper()
	var users, lines page
	s.get(t, "/users?limit=1&total=true", &users)
	s.get(t, "/activities?limit=1&total=true&action=user.create&outcome=success", &lines)
	if users.Total != lines.Total {
		t.Errorf("%d users and %d lines that tell of their making, want as many", users.Total, lines.Total)
	}
}

func (s *site) verify(t *testing.T) {
	t.Helper()
	var v struct {
		Whole      bool
		Workspaces []struct {
			Through  int64 `json:"sealed_through"`
			Unsealed int64 `json:"not_yet_sealed"`
		}
	}
	s.command(t, &v, "activity", "verify")
	if !v.Whole || len(v.Workspaces) != 1 || v.Workspaces[0].Through+v.Workspaces[0].Unsealed == 0 {
		t.Errorf("the record is %+v, want it whole", v)
	}
}
