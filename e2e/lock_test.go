package e2e

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/token"
)

// house is an installation with a lock link, a user and one lock.
type house struct {
	*site
	t    *testing.T
	user string
	lock string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{site: newSite(t, "", "--lock-listen", "localhost:"+port), t: t}
	var made struct{ ID string }
	h.do(http.MethodPost, "/users", `{"email":"ada@example.org","first_name":"Ada"}`, http.StatusCreated, &made)
	h.user = made.ID
	h.do(http.MethodPost, "/locks", `{"name":"Side door","timezone":"Europe/Berlin","open_seconds":3}`, http.StatusCreated, &made)
	h.lock = made.ID
	return h
}

// do sends a request whose answer has the status, and reads it into out, if there is one.
func (h *house) do(method, path, body string, want int, out any) {
	h.t.Helper()
	status, text, err := h.call(method, path, body)
	if err != nil || status != want {
		h.t.Fatalf("%s %s: status %d (%v), want %d: %s", method, path, status, err, want, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			h.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
}

// until asks until it is so.
func (h *house) until(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !is(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("not so in time: %s", what)
		}
	}
}

// settled says whether the lock is online and knows all that it should.
func (h *house) settled() bool {
	var l struct{ Online, Settled bool }
	h.do(http.MethodGet, "/locks/"+h.lock, "", http.StatusOK, &l)
	return l.Online && l.Settled
}

// decides says whether a door that is settled has its lease as well: the server gives it one
// once the door confirmed its keys, and a door without opens to nobody.
func (h *house) decides(folder string) func() bool {
	return func() bool {
		code, said := lockCommand(h.t, "", "status", "--state", folder)
		return h.settled() && code == 0 && !strings.Contains(said, "never told")
	}
}

func (h *house) token() string {
	h.t.Helper()
	var issued struct{ Token string }
	h.do(http.MethodPost, "/locks/"+h.lock+"/enrolment", "", http.StatusOK, &issued)
	return issued.Token
}

// key makes a digital key by PIN for the next ten minutes and returns its id and PIN.
func (h *house) key() (id, pin string) {
	h.t.Helper()
	var made struct{ ID, PIN string }
	now := time.Now().UTC()
	h.do(http.MethodPost, "/digital-keys", fmt.Sprintf(`{"user":%q,"locks":[%q],"types":["pin"],"starts_at":%q,"expires_at":%q}`,
		h.user, h.lock, now.Add(-time.Minute).Format(time.RFC3339), now.Add(10*time.Minute).Format(time.RFC3339)), http.StatusCreated, &made)
	return made.ID, made.PIN
}

// lockCommand runs keyhold-lock to its end, and returns how that was.
func lockCommand(t *testing.T, in string, args ...string) (code int, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), doorBinary, args...)
	cmd.Stdin = strings.NewReader(in)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("keyhold-lock %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// enrol makes a folder the lock's controller.
func (h *house) enrol() (folder string) {
	h.t.Helper()
	folder = filepath.Join(h.t.TempDir(), "door")
	if code, said := lockCommand(h.t, h.token()+"\n", "enrol", "--server", h.server.url, "--state", folder, "-"); code != 0 {
		h.t.Fatalf("enrol: exit code %d:\n%s", code, said)
	}
	return folder
}

// door is a keyhold-lock that runs.
type door struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // of the standard output

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

// Write keeps what the door logs.
func (d *door) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *door) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// runDoor runs the door; each opening appends a line to the file opened beside its folder.
func runDoor(t *testing.T, folder string) *door {
	t.Helper()
	d := &door{t: t, lines: make(chan string, 64)}
	d.cmd = exec.Command(doorBinary, "run", "--state", folder, "--battery-clock", "--exec", "echo $KEYHOLD_OPEN_SECONDS >> "+folder+".opened")
	d.cmd.Stderr = d
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.lines <- lines.Text()
		}
	}()
	t.Cleanup(d.kill)
	if line := d.next(); !strings.Contains(line, "runs.") {
		t.Fatalf("the door begins with %q", line)
	}
	return d
}

func (d *door) next() string {
	d.t.Helper()
	select {
	case line, more := <-d.lines:
		if !more {
			d.t.Fatalf("the door ended:\n%s", d.logged())
		}
		return line
	case <-time.After(patience):
		d.t.Fatalf("the door says nothing:\n%s", d.logged())
	}
	return ""
}

// does types a line and asserts the door's answer.
func (d *door) does(line, want string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, line+"\n"); err != nil {
		d.t.Fatal(err)
	}
	if got := d.next(); got != want {
		d.t.Errorf("%s: the door says %q, want %q", line, got, want)
	}
}

// kill ends the door as a power cut would.
func (d *door) kill() {
	if d.cmd.ProcessState == nil {
		_ = d.cmd.Process.Kill() // it may have ended by itself
		_ = d.cmd.Wait()         // as above
	}
}

func openings(t *testing.T, folder string) int {
	t.Helper()
	data, err := os.ReadFile(folder + ".opened")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(string(data), "3\n", ""); text != "" {
		t.Errorf("the command was run with other seconds: %q", data)
	}
	return bytes.Count(data, []byte("\n"))
}

// events returns what the server keeps of the door, the oldest first, each by its sequence
// number, outcome and reason.
func (h *house) events() []string {
	h.t.Helper()
	var p struct {
		Data []struct {
			Seq             int
			Outcome, Reason string
		}
	}
	h.do(http.MethodGet, "/locks/"+h.lock+"/events?limit=200", "", http.StatusOK, &p)
	out := make([]string, len(p.Data))
	for i, e := range p.Data {
		out[len(out)-1-i] = strings.TrimSpace(fmt.Sprintf("%d %s %s", e.Seq, e.Outcome, e.Reason))
	}
	return out
}

// TestLock_fromTheTokenToTheRecord is the story of one door.
func TestLock_fromTheTokenToTheRecord(t *testing.T) {
	h := newHouse(t)
	folder := h.enrol()
	d := runDoor(t, folder)
	key, pin := h.key()
	h.until("the door knows the key", h.decides(folder))
	d.does("pin "+pin, "opened")
	d.does("pin 0000", "refused unknown_pin")
	var said struct{ Outcome string }
	h.do(http.MethodPost, "/locks/"+h.lock+"/open", "", http.StatusOK, &said)
	if said.Outcome != "opened" || openings(t, folder) != 2 {
		t.Errorf("the command's outcome is %q, and the door opened %d times, want 2", said.Outcome, openings(t, folder))
	}

	// The power fails: what was told stays told, and nothing is told twice.
	d.kill()
	d = runDoor(t, folder)
	d.does("pin "+pin, "opened")
	h.until("the door is back", h.settled)

	// A cancelled key opens no more, and the server knows it.
	h.do(http.MethodPost, "/digital-keys/"+key+"/cancel", "", http.StatusOK, nil)
	h.until("the cancel is confirmed", h.settled)
	d.does("pin "+pin, "refused unknown_pin")
	want := "1 notice boot, 2 opened, 3 refused unknown_pin, 4 opened, 5 notice boot, 6 opened, 7 refused unknown_pin"
	h.until("the record is whole", func() bool { return len(h.events()) >= 7 })
	if got := strings.Join(h.events(), ", "); got != want {
		t.Errorf("the server keeps\n%s\nwant\n%s", got, want)
	}
	if code, text := lockCommand(t, "", "status", "--state", folder); code != 0 || !strings.Contains(text, "Wrong PINs        2") || !strings.Contains(text, "Running           yes") {
		t.Errorf("status: exit code %d:\n%s", code, text)
	}

	// The lock is deleted: its certificate is good no more, from that moment.
	h.do(http.MethodDelete, "/locks/"+h.lock, "", http.StatusNoContent, nil)
	h.until("the door is told", func() bool { return strings.Contains(d.logged(), "refuses this door's certificate") })
	d.kill()
	d = runDoor(t, folder)
	h.until("it is told again", func() bool { return strings.Contains(d.logged(), "refuses this door's certificate") })
	if log := d.logged(); strings.Contains(log, "the link is up") {
		t.Errorf("a deleted lock's door came in:\n%s", log)
	}
	if err := h.server.stop(); err != nil {
		t.Error(err)
	}
}

// TestLock_believesItsOwnServerOnly: whoever stands between gets neither the door nor the
// token's use.
func TestLock_believesItsOwnServerOnly(t *testing.T) {
	h := newHouse(t)
	text := h.token()
	enrolment, ok := token.ParseEnrolment(text)
	if !ok {
		t.Fatalf("%q is no token", text)
	}
	public, forger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := grant.SignEnrolment(grant.Enrolment{
		Lock: string(enrolment.Lock), Name: "Side door", Root: public, Secret: make([]byte, grant.SecretSize), Epoch: 1, Link: "wss://localhost:1/",
		CA: []byte("ca"), Certificate: []byte("certificate"), SigningKeys: [][]byte{public, public}, ServerName: "x",
	}, forger)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/cose")
		_, _ = w.Write(forged) // the reader has gone
	}))
	folder := filepath.Join(t.TempDir(), "door")
	code, said := lockCommand(t, text, "enrol", "--server", between.URL, "--state", folder, "-")
	between.Close()
	if code != 1 || asked != 1 || !strings.Contains(said, "somebody else than your server answered") {
		t.Errorf("a forged answer: exit code %d:\n%s", code, said)
	}
	if code, said := lockCommand(t, "", "run", "--state", folder, "--exec", "true"); code != 1 || !strings.Contains(said, "belongs to no door") {
		t.Errorf("run after that: exit code %d:\n%s", code, said)
	}
	if code, said := lockCommand(t, text, "enrol", "--server", h.server.url, "--state", folder, "-"); code != 0 {
		t.Errorf("the token at its own server: exit code %d:\n%s", code, said)
	}
	if code, said := lockCommand(t, text, "enrol", "--server", h.server.url, "--state", folder+"2", "-"); code != 1 || !strings.Contains(said, "the server refuses") {
		t.Errorf("the token for the second time: exit code %d:\n%s", code, said)
	}
}

// TestLock_pauseOutlivesThePower: the keypad's pause begins anew after a power cut, and
// grows as if there had been none.
func TestLock_pauseOutlivesThePower(t *testing.T) {
	h := newHouse(t)
	folder := h.enrol()
	d := runDoor(t, folder)
	_, pin := h.key()
	h.until("the door knows the key", h.decides(folder))
	guess := func() string { // one that is wrong
		if pin == "135790" {
			return "pin 135791"
		}
		return "pin 135790"
	}()
	for range 5 {
		d.does(guess, "refused unknown_pin")
	}
	d.does("pin "+pin, "refused keypad_paused")
	d.kill()
	d = runDoor(t, folder)
	began := time.Now()
	d.does("pin "+pin, "refused keypad_paused")
	if testing.Short() {
		return
	}
	const first = 30 * time.Second
	<-time.After(first - 5*time.Second - time.Since(began))
	d.does("pin "+pin, "refused keypad_paused") // it began anew, in full
	<-time.After(first + time.Second - time.Since(began))
	d.does("pin "+pin, "opened")
	d.does(guess, "refused unknown_pin")
	d.kill()
	d = runDoor(t, folder)
	began = time.Now()
	<-time.After(first + 2*time.Second - time.Since(began))
	d.does("pin "+pin, "refused keypad_paused") // the second pause is longer than the first
	if got := openings(t, folder); got != 1 {
		t.Errorf("the door opened %d times, want once", got)
	}
}
