package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience bounds what a test waits for another goroutine.
const patience = 20 * time.Second

// trial is a demo that runs.
type trial struct {
	t     *testing.T
	ready Ready
	stop  context.CancelFunc
	ended chan error
}

func runDemo(t *testing.T, keep string) *trial {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	d := &trial{t: t, stop: stop, ended: make(chan error, 1)}
	ready := make(chan Ready, 1)
	go func() {
		d.ended <- Run(ctx, Config{Listen: "localhost:0", Keep: keep, Version: "test", Log: slog.New(slog.DiscardHandler)}, func(r Ready) error {
			ready <- r
			return nil
		})
	}()
	select {
	case d.ready = <-ready:
	case err := <-d.ended:
		t.Fatalf("Run() = %v before it was ready", err)
	case <-time.After(patience):
		t.Fatal("the demo is not ready in time")
	}
	return d
}

func (d *trial) end() {
	d.t.Helper()
	d.stop()
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("Run() = %v, want nil", err)
		}
	case <-time.After(patience):
		d.t.Fatal("the demo does not end")
	}
}

// ask asks a page below a URL of the demo and reads the answer's JSON.
func (d *trial) ask(method, base, path, body string, out any) (status int, text string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, strings.TrimSuffix(d.ready.URL, "/")+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Host = strings.TrimSuffix(strings.TrimPrefix(base, "http://"), "/")
	r.Header.Set("Content-Type", "application/json")
	if base == d.ready.URL {
		r.Header.Set("Authorization", "Bearer "+d.ready.AdminToken)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if out != nil {
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(out); err != nil {
			d.t.Fatalf("%s: %v: %s", path, err, data)
		}
	}
	return answer.StatusCode, string(data)
}

// virtualState is what a virtual door's page shows, as far as it is looked at.
type virtualState struct {
	Now    time.Time
	Boot   uint64
	Online bool
	Clock  string
	Grants int
	Lease  *time.Time
}

func (d *trial) door(n string) (s virtualState) {
	d.t.Helper()
	d.ask(http.MethodGet, d.ready.DoorURL, "/d/"+n+"/state", "", &s)
	return s
}

// soon asks until it is so.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	over, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-over:
			t.Fatalf("not so in time: %s", what)
		case <-tick.C:
		}
	}
}

func TestRun_doorsAreRealAndFollowTheClock(t *testing.T) {
	d := runDemo(t, "")
	defer d.end()
	var list struct {
		Data []struct {
			Name, Software  string
			Online, Settled bool
		}
	}
	d.ask(http.MethodGet, d.ready.URL, "/api/v1/locks", "", &list)
	for _, l := range list.Data {
		if virtual := l.Name != "Garage"; l.Online != virtual || strings.Contains(l.Software, "demo") != virtual {
			t.Errorf("the lock is %+v, want one that says demo online: %v", l, virtual)
		}
	}
	soon(t, "both doors hold their keys, and a lease on them", func() bool {
		first, second := d.door("1"), d.door("2")
		return first.Grants >= 4 && second.Grants >= 3 && first.Lease != nil && second.Lease != nil
	})
	var said struct {
		Opened bool
		Reason string
	}
	d.ask(http.MethodPost, d.ready.DoorURL, "/d/1/enter", `{"pin":"`+d.ready.DoorPIN+`"}`, &said)
	if !said.Opened {
		t.Errorf("the demo's PIN was refused: %s", said.Reason)
	}
	var events struct {
		Data []struct{ Medium, Outcome string }
	}
	soon(t, "the opening is recorded", func() bool {
		d.ask(http.MethodGet, d.ready.URL, "/api/v1/lock-events?limit=1&outcome=opened", "", &events)
		return len(events.Data) == 1 && events.Data[0].Medium == "pin"
	})
	before := d.door("1").Now
	d.ask(http.MethodPost, d.ready.URL, "/demo/clock", `{"advance":"25h"}`, nil)
	soon(t, "the door's clock follows", func() bool { return d.door("1").Now.Sub(before) > 24*time.Hour })
}

func TestRun_keptDoorsGoOn(t *testing.T) {
	keep := t.TempDir()
	d := runDemo(t, keep)
	if got := d.door("1"); got.Boot != 1 || !got.Online {
		t.Errorf("the first time the door is %+v", got)
	}
	d.end()
	d = runDemo(t, keep)
	if got := d.door("1"); got.Boot != 2 || !got.Online {
		t.Errorf("the second time the door is %+v, want its second start", got)
	}
	d.ask(http.MethodPost, d.ready.URL, "/demo/clock", `{"advance":"25h"}`, nil)
	soon(t, "the door's clock follows", func() bool { return time.Until(d.door("1").Now) > 24*time.Hour })
	d.end()
	// A door that has seen the future is of no use at the present: it is enrolled anew.
	d = runDemo(t, keep)
	if got := d.door("1"); got.Boot != 1 || !got.Online || time.Until(got.Now) > time.Hour {
		t.Errorf("the third time the door is %+v, want a new one", got)
	}
	d.end()
}

func TestRun_doorsPortMayBeTaken(t *testing.T) {
	keep := t.TempDir()
	runDemo(t, keep).end()
	h := newHall(keep, nil)
	address, err := h.listen(t.Context())
	if err != nil || strings.HasSuffix(address, ":0") {
		t.Fatalf("listen() = %q, %v, want the port that the doors know", address, err)
	}
	taken, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	d := runDemo(t, keep)
	if got := d.door("2"); !got.Online {
		t.Errorf("the door is %+v, want it online", got)
	}
	d.end()
}

func TestRun_endsWhenReadyFails(t *testing.T) {
	failed := errors.New("nobody is there")
	err := Run(t.Context(), Config{Listen: "localhost:0", Log: slog.New(slog.DiscardHandler)}, func(Ready) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("Run() = %v, want what ready said", err)
	}
}
