package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// TestStories runs the scripts of this folder. Beside testscript's own commands
// they have:
//
//	start [FLAG...]        run the server until it is ready; sets $URL
//	shutdown               end it with SIGTERM
//	exits CODE keyhold …   run a command that ends with that code; or keyhold-agent
//	http STATUS METHOD PATH [BODY]   a request of $URL, with $TOKEN if there is one
//	until STATUS METHOD PATH [BODY]  that request, again and again until its answer has the status
//	field VAR NAME         set $VAR from a field of the JSON on stdout
//	sealed                 wait until the sequencer has sealed every line
//	sql FILE STATEMENT     change rows of an SQLite file behind the server's back
//
// $PORT is a free port, $TAKEN one that another program has.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: ".", Setup: setUpStory, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start": startServer, "shutdown": stopServer, "exits": exits, "http": request, "until": requestUntil, "field": field, "sealed": awaitSealed, "sql": tamper,
		},
	})
}

// serverKey is where a story keeps its server.
type serverKey struct{}

// holder holds a story's server, if it has one.
type holder struct{ server *server }

func setUpStory(e *testscript.Env) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	e.Defer(func() { _ = taken.Close() }) // nobody connected
	_, takenPort, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		return err
	}
	h := &holder{}
	e.Values[serverKey{}] = h
	e.Defer(func() {
		if h.server != nil {
			h.server.kill()
		}
	})
	e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
	e.Setenv("PORT", port)
	e.Setenv("TAKEN", takenPort)
	e.Setenv("KEYHOLD_LISTEN", "localhost:"+port)
	e.Setenv("KEYHOLD_DATA", filepath.Join(e.WorkDir, "data"))
	return nil
}

// environment returns the story's variables for a program.
func environment(ts *testscript.TestScript) []string {
	env := []string{"HOME=" + ts.Getenv("WORK")}
	for _, name := range []string{"PATH", "TMPDIR", "KEYHOLD_LISTEN", "KEYHOLD_DATA", "KEYHOLD_PUBLIC_URL", "KEYHOLD_DATABASE_URL", "KEYHOLD_METRICS_TOKEN", "KEYHOLD_AGENT_STATE", "KEYHOLD_CLIENT_TOKEN", "KEYHOLD_PIN"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func startServer(ts *testscript.TestScript, neg bool, args []string) {
	h, ok := ts.Value(serverKey{}).(*holder)
	if !ok || neg || h.server != nil {
		ts.Fatalf("usage: start [FLAG...], once")
	}
	s, err := start(environment(ts), args...)
	ts.Check(err)
	h.server = s
	ts.Setenv("URL", s.url)
}

func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	h, ok := ts.Value(serverKey{}).(*holder)
	if !ok || neg || len(args) > 0 || h.server == nil {
		ts.Fatalf("usage: shutdown, after start")
	}
	ts.Check(h.server.stop())
	_, err := fmt.Fprint(ts.Stdout(), h.server.said())
	ts.Check(err)
	h.server = nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	programs := map[string]string{"keyhold": binary, "keyhold-agent": agentBinary}
	if neg || len(args) < 2 || programs[args[1]] == "" {
		ts.Fatalf("usage: exits CODE keyhold|keyhold-agent ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := exec.Command(programs[args[1]], args[2:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment(ts), ts.Getenv("WORK"), ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: http STATUS METHOD PATH [BODY]")
	}
	status, text := send(ts, args)
	_, err := ts.Stdout().Write(text)
	ts.Check(err)
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s %s: status %d, want %s\n%s", args[1], args[2], status, args[0], text)
	}
}

func requestUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: until STATUS METHOD PATH [BODY]")
	}
	for deadline := time.Now().Add(patience); ; {
		status, text := send(ts, args)
		if strconv.Itoa(status) == args[0] {
			_, err := ts.Stdout().Write(text)
			ts.Check(err)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s %s: status %d after %v, want %s\n%s", args[1], args[2], status, patience, args[0], text)
		}
	}
}

// send sends the request that the arguments name, and returns what came back.
func send(ts *testscript.TestScript, args []string) (status int, text []byte) {
	body := ""
	if len(args) == 4 {
		body = args[3]
	}
	client := &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	status, text, err := call(client, args[1], ts.Getenv("URL")+args[2], ts.Getenv("TOKEN"), body)
	ts.Check(err)
	return status, text
}

func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field VAR NAME")
	}
	var values map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &values))
	text, ok := values[args[1]].(string)
	if !ok {
		ts.Fatalf("stdout has no text %q", args[1])
	}
	ts.Setenv(args[0], text)
}

func awaitSealed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: sealed")
	}
	deadline := time.Now().Add(patience)
	for {
		cmd := exec.Command(binary, "activity", "verify", "--json")
		cmd.Env = environment(ts)
		text, err := cmd.Output()
		ts.Check(err)
		if unsealed := bytes.Count(text, []byte(`"not_yet_sealed":`)) - bytes.Count(text, []byte(`"not_yet_sealed":0`)); unsealed == 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not sealed after %v: %s", patience, text)
		}
	}
}

func tamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer func() { _ = db.Close() }() // what was to be done is done
	res, err := db.Exec(args[1])
	ts.Check(err)
	n, err := res.RowsAffected()
	ts.Check(err)
	if n == 0 && !strings.HasPrefix(args[1], "PRAGMA") {
		ts.Fatalf("no row was touched")
	}
}
