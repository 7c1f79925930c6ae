package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/door/link"
	"github.com/keyhold/keyhold/internal/door/link/virtual"
	"github.com/keyhold/keyhold/internal/flow/unlock"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// How fast a door is to be on loopback, of a hundred times the slowest.
const (
	pressBar   = 50 * time.Millisecond
	buttonBar  = time.Second
	receiptBar = 250 * time.Millisecond
)

// BenchmarkDoor measures a door from end to end, with a real server on disk, the real link
// and the real controller, which keeps what it knows on disk too, in one process:
//
//	press    from a press in the app to the door's answer
//	panel    from an administrator's command over REST to the door's answer
//	button   from a digital key's making over REST to its button in the app, which hears of
//	         it by the live stream
//	receipt  from a cancel over REST to the door's confirmation
func BenchmarkDoor(b *testing.B) {
	d := newBenchDoor(b)
	b.Run("press", func(b *testing.B) { d.presses(b) })
	b.Run("panel", func(b *testing.B) {
		times := make([]time.Duration, 0, 500)
		for range cap(times) {
			begin := time.Now()
			var out struct{ Outcome string }
			d.rest(b, "POST", "/locks/"+string(d.lock)+"/open", "", &out)
			if times = append(times, time.Since(begin)); out.Outcome != string(grant.Opened) {
				b.Fatalf("the door says %q", out.Outcome)
			}
		}
		report(b, times, pressBar)
	})
	b.Run("key", func(b *testing.B) { d.keys(b) })
}

// report reports the median and the slowest of a hundred, and asserts the latter.
func report(b *testing.B, times []time.Duration, bar time.Duration) {
	b.Helper()
	reportAs(b, "", times, bar)
	b.ReportMetric(0, "ns/op") // the work was done and measured here
}

func reportAs(b *testing.B, name string, times []time.Duration, bar time.Duration) {
	b.Helper()
	slices.Sort(times)
	worst := times[len(times)*99/100]
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, name+"ms-p50")
	b.ReportMetric(float64(worst.Microseconds())/1000, name+"ms-p99")
	if worst > bar {
		b.Errorf("%sp99 is %v, want at most %v", name, worst, bar)
	}
}

// benchDoor is a server and a door.
type benchDoor struct {
	a     *App
	url   string
	token string
	job   auth.Caller
	lock  id.Lock
}

func newBenchDoor(b *testing.B) *benchDoor {
	b.Helper()
	l, err := Listen(b.Context(), "localhost:0")
	if err != nil {
		b.Fatal(err)
	}
	c, err := Settings{Data: b.TempDir(), Listen: l.Addr().String(), LockListen: "localhost:0", PublicURL: "http://" + strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1), LogFormat: "json"}.Parse()
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(b.Context(), c, Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, l, "bench", func() { close(ready) }) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	})
	<-ready
	w, err := a.Join.CreateWorkspace(b.Context(), auth.Job("", "bench"), "Bench")
	if err != nil {
		b.Fatal(err)
	}
	d := &benchDoor{a: a, url: c.PublicURL.String(), job: auth.Job(w.Workspace.ID, "bench")}
	_, token, err := a.APIKeys.Create(b.Context(), d.job, apikey.NewKey{Name: "Bench", Type: apikey.Admin})
	if err != nil {
		b.Fatal(err)
	}
	d.token = token.Secret().ExposeString()
	d.hang(b)
	return d
}

// hang registers the lock, and runs its controller until the benchmark ends.
func (d *benchDoor) hang(b *testing.B) {
	b.Helper()
	l, err := d.a.Locks.Create(b.Context(), d.job, smartlock.NewLock{Name: "Front door", Timezone: "Europe/Berlin"})
	if err != nil {
		b.Fatal(err)
	}
	issued, err := d.a.Locks.IssueEnrolment(b.Context(), d.job, l.ID)
	if err != nil {
		b.Fatal(err)
	}
	d.lock = l.ID
	folder := filepath.Join(b.TempDir(), "door")
	if _, err := link.Enrol(b.Context(), d.url, issued.Token.ExposeString(), folder); err != nil {
		b.Fatal(err)
	}
	door, err := virtual.Start(context.Background(), virtual.DoorConfig{Folder: folder, Software: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := door.Stop(); err != nil {
			b.Error(err)
		}
	})
	d.settle(b)
}

// settle waits until the door knows all that it should.
func (d *benchDoor) settle(b *testing.B) {
	b.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		l, err := d.a.Locks.Find(b.Context(), d.job, d.lock)
		if err != nil {
			b.Fatal(err)
		}
		if l.Online(d.a.clock.Now()) && l.Settled() {
			return
		}
		if time.Since(begin) > 30*time.Second {
			b.Fatal("the door does not come")
		}
	}
}

func (d *benchDoor) rest(b *testing.B, method, path, body string, out any) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, d.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 || json.Unmarshal(text, out) != nil {
		b.Fatalf("%s %s: %d, %v: %s", method, path, answer.StatusCode, err, text)
	}
}

// benchPhone is a user who is signed in in the app.
type benchPhone struct {
	d       *benchDoor
	user    id.User
	cookies []*http.Cookie
}

func (d *benchDoor) phone(b *testing.B, email string) *benchPhone {
	b.Helper()
	u, err := d.a.Directory.Create(b.Context(), d.job, directory.NewUser{Email: email, FirstName: "Ada"})
	if err != nil {
		b.Fatal(err)
	}
	_, code, err := d.a.SignIn.IssueAccessPass(b.Context(), d.job, u.ID, signin.NewAccessPass{})
	if err != nil {
		b.Fatal(err)
	}
	p := &benchPhone{d: d, user: u.ID}
	form := url.Values{"email": {email}, "code": {code.ExposeString()}}
	answer := p.send(b, "POST", "/app/pass", "application/x-www-form-urlencoded", form.Encode())
	_ = answer.Body.Close()
	if p.cookies = answer.Cookies(); answer.StatusCode != http.StatusSeeOther {
		b.Fatalf("the sign-in answers %d", answer.StatusCode)
	}
	return p
}

func (p *benchPhone) send(b *testing.B, method, path, kind, body string) *http.Response {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, p.d.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	return answer
}

func (p *benchPhone) read(b *testing.B, method, path, body string) string {
	b.Helper()
	answer := p.send(b, method, path, "application/json", body)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("%s %s: %d, %v: %s", method, path, answer.StatusCode, err, text)
	}
	return string(text)
}

// presses measures presses of users, none more often than one may press.
func (d *benchDoor) presses(b *testing.B) {
	type button struct {
		phone *benchPhone
		path  string
	}
	var buttons []button
	for n := range 30 {
		p := d.phone(b, fmt.Sprintf("user%d@example.org", n))
		k, err := d.a.DigitalKeys.Create(b.Context(), d.job, digitalkey.NewKey{
			User: p.user, Locks: []id.Lock{d.lock}, Types: []digitalkey.Type{digitalkey.App, digitalkey.PIN},
			Span: digitalkey.Span{StartsAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Hour)},
		})
		if err != nil {
			b.Fatal(err)
		}
		buttons = append(buttons, button{p, "/app/digital-keys/" + string(k.Key.ID) + "/locks/" + string(d.lock) + "/open"})
	}
	d.settle(b)
	var times []time.Duration
	for range unlock.MaxPresses {
		for _, at := range buttons {
			begin := time.Now()
			text := at.phone.read(b, "POST", at.path, "{}")
			if times = append(times, time.Since(begin)); !strings.Contains(text, `"opened":true`) {
				b.Fatalf("the door says %s", text)
			}
		}
	}
	report(b, times, pressBar)
}

// keys measures keys that are made and cancelled, one after the other.
func (d *benchDoor) keys(b *testing.B) {
	p := d.phone(b, "holder@example.org")
	stream := p.send(b, "GET", "/app/live?pulse=none", "", "")
	defer func() { _ = stream.Body.Close() }()
	changed := make(chan struct{}, 1)
	go func() {
		for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
			if lines.Text() == "event: changed" {
				changed <- struct{}{}
			}
		}
	}()
	<-changed // none was no pulse
	var buttons, receipts []time.Duration
	for range 200 {
		now := time.Now()
		body := fmt.Sprintf(`{"user":%q,"locks":[%q],"types":["app"],"starts_at":%q,"expires_at":%q}`, p.user, d.lock, now.Add(-time.Minute).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
		var key struct{ ID string }
		begin := time.Now()
		d.rest(b, "POST", "/digital-keys", body, &key)
		for shown := false; !shown; {
			<-changed
			shown = strings.Contains(p.read(b, "GET", "/app", ""), "/app/digital-keys/"+key.ID+"/locks/")
		}
		buttons = append(buttons, time.Since(begin))
		d.settle(b)
		begin = time.Now()
		d.rest(b, "POST", "/digital-keys/"+key.ID+"/cancel", "", &key)
		d.confirmed(b, key.ID)
		receipts = append(receipts, time.Since(begin))
	}
	reportAs(b, "button-", buttons, buttonBar)
	reportAs(b, "receipt-", receipts, receiptBar)
	b.ReportMetric(0, "ns/op") // as above
}

// confirmed waits until the door confirmed the key's last change.
func (d *benchDoor) confirmed(b *testing.B, key string) {
	b.Helper()
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(time.Millisecond) { // the door shares the machine
		var out struct {
			Data []struct {
				Removed   bool
				AppliedAt *time.Time `json:"applied_at"`
			}
		}
		d.rest(b, "GET", "/digital-keys/"+key+"/receipts", "", &out)
		if len(out.Data) == 1 && out.Data[0].Removed && out.Data[0].AppliedAt != nil {
			return
		}
	}
	b.Fatal("the door does not confirm")
}
