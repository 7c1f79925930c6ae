package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/keyhold/keyhold/internal/store/storetest"
)

// TestRevocation lets three servers share a PostgreSQL, withdraws API keys at one of
// them and uses them at all: while all are well, while one is frozen (SIGSTOP), and
// while one is cut off from the database. Every request and every withdrawal goes
// into a history that must be that of one key (porcupine): what began before the
// withdrawal was asked for is accepted, and nothing is that began after it was answered,
// not even when it reached a server that was frozen meanwhile. While it is being
// answered, each server may say what it knows. KEYHOLD_REVOCATIONS sets how many
// withdrawals there are in a phase; the figures are logged.
func TestRevocation(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers and a PostgreSQL: make check runs it")
	}
	c := newCluster(t, 3)
	n := c.revocations(t)
	c.phase(t, "all are well", n, func(withdraw func()) { withdraw() })
	c.phase(t, "one is frozen", max(n/10, 3), func(withdraw func()) {
		c.freeze(t, syscall.SIGSTOP)
		withdraw()
		c.freeze(t, syscall.SIGCONT)
	})
	c.phase(t, "one is cut off", max(n/10, 3), func(withdraw func()) {
		c.link.cut.Store(true)
		withdraw()
		c.link.cut.Store(false)
	})
	c.check(t)
}

// cluster is several servers over one database, the last of which can be cut off.
type cluster struct {
	servers []*server
	link    *link
	token   string // an Admin key that withdraws
	client  *http.Client
	begin   time.Time

	mu      sync.Mutex
	history []porcupine.Operation // guarded by mu
	late    atomic.Int64          // requests begun after a withdrawal was answered
}

func (c *cluster) revocations(t *testing.T) int {
	text := os.Getenv("KEYHOLD_REVOCATIONS")
	if text == "" {
		return 30
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KEYHOLD_REVOCATIONS is %q, want a number", text)
	}
	return n
}

// link forwards connections, until it is cut: then it holds what comes, as a network
// does that drops everything.
type link struct {
	address string
	cut     atomic.Bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: listener.Addr().String()}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				_ = from.Close()
				continue
			}
			go l.copy(to, from)
			go l.copy(from, to)
		}
	}()
	return l
}

func (l *link) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for l.cut.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	database := storetest.PostgresURL(t)
	c := &cluster{begin: time.Now(), client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	address, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	c.link = newLink(t, address.Host)
	var keys []byte
	for i := range n {
		dir := t.TempDir()
		if i == n-1 {
			address.Host = c.link.address
		}
		env := append(os.Environ(), "KEYHOLD_DATABASE_URL="+address.String(), "KEYHOLD_API_RATE=0")
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "keyhold.key")
		if i == 0 {
			c.token = firstKey(t, dir, env)
			if keys, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(file, keys, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := start(env, "--data", dir, "--listen", "localhost:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.kill)
		c.servers = append(c.servers, s)
	}
	time.Sleep(time.Second) // all have a lease
	return c
}

// firstKey makes a workspace and its first key by the commands.
func firstKey(t *testing.T, dir string, env []string) string {
	t.Helper()
	var key struct{ Token string }
	for _, args := range [][]string{{"workspace", "create", "Cluster"}, {"api-key", "create", "withdraws"}} {
		cmd := exec.CommandContext(t.Context(), binary, append(args, "--json", "--data", dir)...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("keyhold %v: %v", args, err)
		}
		if err := json.Unmarshal(out, &key); err != nil {
			t.Fatal(err)
		}
	}
	return key.Token
}

func (c *cluster) freeze(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := c.servers[len(c.servers)-1].cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// The operations of a key's history. A withdrawal is two: from its beginning on the key
// may be refused, from its end on it must be. Both lie between call and answer.
const (
	opUse = iota
	opBegin
	opEnd
)

// The states of a key.
const (
	good = iota
	going
	gone
)

type input struct {
	key string
	op  int
}

// model is a key as it may be seen from outside.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			by := map[string][]porcupine.Operation{}
			for _, o := range history {
				in, _ := o.Input.(input)
				by[in.key] = append(by[in.key], o)
			}
			out := make([][]porcupine.Operation, 0, len(by))
			for _, h := range by {
				out = append(out, h)
			}
			return out
		},
		Init: func() any { return good },
		Step: func(state, in, out any) (bool, any) {
			asked, _ := in.(input)
			switch {
			case asked.op == opBegin:
				return state == good, going
			case asked.op == opEnd:
				return state == going, gone
			case state == going:
				return true, state
			}
			return out == (state == good), state
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprint(in, out) },
	}
}

func (c *cluster) now() int64 { return int64(time.Since(c.begin)) }

func (c *cluster) record(client int, in input, out any, call int64) {
	end := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: end})
}

// use uses a key at a server. What is neither accepted nor refused (503, no answer)
// says nothing, and is not recorded. It returns whether it was accepted.
func (c *cluster) use(client, at int, key, token string) bool {
	call := c.now()
	status, _, err := callOnce(c.client, http.MethodGet, c.servers[at].url+"/api/v1/me", token, "")
	if err == nil && (status == http.StatusOK || status == http.StatusUnauthorized) {
		c.record(client, input{key, opUse}, status == http.StatusOK, call)
	}
	return err == nil && status == http.StatusOK
}

func callOnce(client *http.Client, method, address, token, body string) (int, []byte, error) {
	return call(client, method, address, token, body)
}

// phase withdraws n keys at the first two servers while clients use them at all three,
// and asks all three again once each withdrawal was answered.
func (c *cluster) phase(t *testing.T, name string, n int, trouble func(withdraw func())) {
	t.Helper()
	var took []time.Duration
	accepted := 0
	for i := range n {
		key, token := c.create(t)
		var users sync.WaitGroup
		stop := make(chan struct{})
		for u := range 3 * len(c.servers) {
			users.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond): // or the load is all there is
						c.use(100*i+u, u%len(c.servers), key, token)
					}
				}
			})
		}
		time.Sleep(30 * time.Millisecond) // it is kept in every memory
		var after sync.WaitGroup
		var wrong atomic.Int64
		trouble(func() {
			call := c.now()
			began := time.Now()
			status, text, err := callOnce(c.client, http.MethodPost, c.servers[i%2].url+"/api/v1/api-keys/"+key+"/disable", c.token, "{}")
			took = append(took, time.Since(began))
			if err != nil || status != http.StatusOK {
				t.Fatalf("%s: disabling answers %d %s (%v)", name, status, text, err)
			}
			c.record(98, input{key, opBegin}, nil, call)
			c.record(99, input{key, opEnd}, nil, call)
			for a := range 120 {
				after.Go(func() {
					c.late.Add(1)
					if c.use(1000+a, a%len(c.servers), key, token) {
						wrong.Add(1)
					}
				})
			}
			time.Sleep(20 * time.Millisecond) // they are on their way, also to a frozen server
		})
		after.Wait()
		close(stop)
		users.Wait()
		accepted += int(wrong.Load())
	}
	slices.Sort(took)
	t.Logf("%s: %d withdrawals, answered after %v (median), %v (p99), %v (slowest); accepted afterwards: %d", name, n,
		took[len(took)/2].Round(100*time.Microsecond), took[len(took)*99/100].Round(100*time.Microsecond), took[len(took)-1].Round(100*time.Microsecond), accepted)
	if accepted > 0 {
		t.Errorf("%s: %d requests were accepted that began after the withdrawal was answered, want none", name, accepted)
	}
}

// create makes a key, and returns its id and its token.
func (c *cluster) create(t *testing.T) (id, token string) {
	t.Helper()
	status, text, err := callOnce(c.client, http.MethodPost, c.servers[0].url+"/api/v1/api-keys", c.token, `{"name":"withdrawn","type":"admin","permissions":["users.read"]}`)
	var key struct{ ID, Token string }
	if err != nil || status != http.StatusCreated || json.Unmarshal(text, &key) != nil {
		t.Fatalf("creating a key answers %d %s (%v)", status, text, err)
	}
	return key.ID, key.Token
}

// check hands the history to porcupine.
func (c *cluster) check(t *testing.T) {
	t.Helper()
	uses := 0
	for _, o := range c.history {
		if in, _ := o.Input.(input); in.op == opUse {
			uses++
		}
	}
	t.Logf("history: %d operations, %d uses with an answer, %d begun after a withdrawal was answered", len(c.history), uses, c.late.Load())
	if verdict := porcupine.CheckOperationsTimeout(model(), c.history, time.Minute); verdict != porcupine.Ok {
		t.Errorf("the history is %s, want that of keys that are withdrawn", verdict)
	}
	// The check can fail: one accepted use at the end of a withdrawn key's history.
	for _, o := range slices.Backward(c.history) {
		in, _ := o.Input.(input)
		if in.op != opEnd {
			continue
		}
		end := c.now()
		planted := append(slices.Clone(c.history), porcupine.Operation{ClientId: 1, Input: input{in.key, opUse}, Output: true, Call: end, Return: end + 1})
		if porcupine.CheckOperationsTimeout(model(), planted, time.Minute) == porcupine.Ok {
			t.Error("a use that was accepted after the withdrawal is not noticed")
		}
		return
	}
	t.Error("nothing was withdrawn")
}
