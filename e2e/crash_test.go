package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/store/storetest"
)

// TestCrash_losesNothingAcknowledged kills the server with SIGKILL under load and
// asks it, started again, for all that its clients were told is done.
func TestCrash_losesNothingAcknowledged(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { crash(t, "") })
	t.Run("postgres", func(t *testing.T) { crash(t, storetest.PostgresURL(t)) })
}

// crashTrials is how often the server is killed: KEYHOLD_CRASH_TRIALS, else 30, or
// 3 with -short.
func crashTrials(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("KEYHOLD_CRASH_TRIALS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("KEYHOLD_CRASH_TRIALS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 3
	}
	return 30
}

type verified struct {
	Whole      bool `json:"whole"`
	Workspaces []struct {
		Through  int64 `json:"sealed_through"`
		Unsealed int64 `json:"not_yet_sealed"`
	} `json:"workspaces"`
}

func crash(t *testing.T, database string) {
	p := newPlace(t, database)
	var w struct{ ID string }
	p.command(t, &w, "workspace", "create", "Crash", "--json")
	var key struct{ Token string }
	p.command(t, &key, "api-key", "create", "load", "--json")

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	trials := crashTrials(t)
	total, lost, unknown := 0, 0, 0
	for trial := range trials {
		// Somewhere between the first acknowledgement and some hundreds.
		oracle := load(t, p.serve(t), key.Token, trial, 1+random.IntN(300))
		s := p.serve(t)
		lost += missing(t, s, key.Token, oracle.acknowledged)
		total += len(oracle.acknowledged)
		unknown += oracle.unanswered
		halves(t, s, key.Token)
		var v verified
		p.command(t, &v, "activity", "verify", "--json")
		if !v.Whole {
			t.Errorf("trial %d: the activity record is not whole", trial)
		}
		s.kill()
	}
	t.Logf("seed %d: %d kills, %d acts acknowledged, %d lost, %d requests cut off without an answer", seed, trials, total, lost, unknown)
	if lost > 0 {
		t.Errorf("acknowledged acts lost = %d of %d, want 0", lost, total)
	}
	if total < trials {
		t.Errorf("acknowledged acts = %d in %d trials: the load was none", total, trials)
	}
}

// clientLog is what the clients of one trial know.
type clientLog struct {
	mu           sync.Mutex
	acknowledged []string // ids of users, guarded by mu
	unanswered   int      // guarded by mu
}

// load creates users by eight clients and kills the server once so many were
// acknowledged.
func load(t *testing.T, s *server, token string, trial, until int) *clientLog {
	t.Helper()
	oracle := &clientLog{}
	enough := make(chan struct{})
	var once sync.Once
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				status, body, err := s.call(client, http.MethodPost, "/api/v1/users", token,
					fmt.Sprintf(`{"email":"u-%d-%d-%d@example.com","first_name":"Crash"}`, trial, c, n))
				oracle.mu.Lock()
				if err != nil {
					oracle.unanswered++
					oracle.mu.Unlock()
					once.Do(func() { close(enough) })
					return
				}
				id, _ := body["id"].(string)
				if status != http.StatusCreated || id == "" {
					t.Errorf("POST /users = %d %v, want 201", status, body)
				}
				oracle.acknowledged = append(oracle.acknowledged, id)
				if len(oracle.acknowledged) >= until {
					once.Do(func() { close(enough) })
				}
				oracle.mu.Unlock()
			}
		})
	}
	<-enough
	s.kill()
	clients.Wait()
	return oracle
}

// missing counts the acknowledged users that are not there, or without the one
// activity that tells of them.
func missing(t *testing.T, s *server, token string, ids []string) int {
	t.Helper()
	n := 0
	for _, id := range ids {
		status, _, err := s.call(http.DefaultClient, http.MethodGet, "/api/v1/users/"+id, token, "")
		if err != nil {
			t.Fatal(err)
		}
		_, lines, err := s.call(http.DefaultClient, http.MethodGet, "/api/v1/activities?action=user.create&user="+id, token, "")
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := lines["data"].([]any); status != http.StatusOK || len(data) != 1 {
			t.Errorf("the acknowledged user %s: GET = %d, %d activities, want 200 and 1", id, status, len(data))
			n++
		}
	}
	return n
}

// halves looks for acts of which one part is there and another is not: each user
// has one activity, and the tally counts them.
func halves(t *testing.T, s *server, token string) {
	t.Helper()
	count := func(path string) any {
		_, body, err := s.call(http.DefaultClient, http.MethodGet, path, token, "")
		if err != nil {
			t.Fatal(err)
		}
		return body["total"]
	}
	tally := count("/api/v1/users?limit=1&total=true")
	counted := count("/api/v1/users?limit=1&total=true&status=not_invited")
	lines := count("/api/v1/activities?limit=1&total=true&action=user.create")
	if tally != lines || tally != counted {
		t.Errorf("users by the tally = %v, counted = %v, activities of their making = %v; want the same", tally, counted, lines)
	}
}
