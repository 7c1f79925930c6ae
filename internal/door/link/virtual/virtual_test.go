package virtual

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/door/link"
)

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }

func public(k ed25519.PrivateKey) ed25519.PublicKey { return ed25519.PublicKey(k[32:]) }

func now() time.Time { return clock.System{}.Now() }

// enrolled returns the folder of a door whose server is nowhere.
func enrolled(t *testing.T) string {
	t.Helper()
	lock, _ := id.FromBytes[id.KindLock](bytes.Repeat([]byte{5}, 16))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "locks"}, NotBefore: now(), NotAfter: now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ CSR string }
		_ = json.NewDecoder(r.Body).Decode(&ask)
		block, _ := pem.Decode([]byte(ask.CSR))
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Error(err)
			return
		}
		root, err := x509.CreateCertificate(rand.Reader, ca, ca, public(key(1)), key(1))
		if err != nil {
			t.Error(err)
		}
		leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: string(lock)}, NotBefore: now(), NotAfter: now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, ca, csr.PublicKey, key(1))
		if err != nil {
			t.Error(err)
		}
		answer, err := grant.SignEnrolment(grant.Enrolment{
			Lock: string(lock), Name: "Side <door>", Root: public(key(1)), CA: root, Certificate: leaf, SigningKeys: [][]byte{public(key(2)), public(key(3))},
			Secret: bytes.Repeat([]byte{7}, grant.SecretSize), Epoch: 1, Link: "wss://127.0.0.1:1/locks/v1/link", ServerName: "nowhere.locks.keyhold.internal",
		}, key(1))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/cose")
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	path := t.TempDir()
	if _, err := link.Enrol(t.Context(), server.URL, token.NewEnrolment(lock, sha256.Sum256(public(key(1)))).Secret().ExposeString(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// site is one door and its pages.
type site struct {
	t    *testing.T
	door *Door
	http *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	d, err := Start(t.Context(), DoorConfig{Folder: enrolled(t)})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, door: d, http: httptest.NewServer(New(Config{Doors: []*Door{d, d}}))}
	t.Cleanup(func() {
		s.http.Close()
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tell lets the door hear what a server would say: one grant for two hours from now, by a
// PIN and a card, which survives the lease if flags say so.
func (s *site) tell(flags grant.Flags) {
	s.t.Helper()
	e, lock := s.door.on.engine, s.door.Lock()
	var hello grant.Hello
	f, err := grant.Decode(e.Connected()[0], grant.MaxUp)
	if err != nil || grant.Read(f.Body, &hello) != nil {
		s.t.Fatal(err)
	}
	lockSecret := secret.New(bytes.Repeat([]byte{7}, grant.SecretSize))
	pin, uid := grant.PINTag(lockSecret, secret.FromString("2468")), grant.CardTag(lockSecret, []byte{4, 0xa1, 0xb2, 0xc3})
	for kind, body := range map[grant.Type]any{
		grant.TypeSnapshot: grant.Snapshot{
			Type: grant.TypeSnapshot, Lock: lock, Epoch: hello.Epoch, Version: hello.Version + 1, LeaseUntil: now().Add(time.Hour).Unix(), OpenSeconds: 60,
			Grants: []grant.Grant{{ID: grant.ID{1}, NotBefore: now().Unix() - 60, NotAfter: now().Unix() + 7200, Kinds: grant.ByPIN | grant.ByCard, PIN: &pin, Card: &uid, Flags: flags}},
		},
		grant.TypeBeacon: grant.Beacon{Type: grant.TypeBeacon, Lock: lock, Now: now().UnixMilli(), Epoch: hello.Epoch, Version: hello.Version, LeaseUntil: now().Add(time.Hour).Unix(), Nonce: hello.Nonce},
	} {
		frame, err := grant.Sign(kind, lock, body, key(2))
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := e.Receive(frame); err != nil {
			s.t.Fatal(err)
		}
	}
	e.Disconnected()
}

// post acts on the page; header may be nil.
func (s *site) post(path, body string, header http.Header) (status int, said told, text string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.http.URL+"/d/1/"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}}
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = json.Unmarshal(data, &said) // a refusal is text
	return answer.StatusCode, said, string(data)
}

func (s *site) get(path string) (status int, header http.Header, body string) {
	s.t.Helper()
	answer, err := http.Get(s.http.URL + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(data)
}

func (s *site) act(path, body string, want told) {
	s.t.Helper()
	status, got, text := s.post(path, body, nil)
	if status != http.StatusOK || got.Opened != want.Opened || got.Reason != want.Reason {
		s.t.Errorf("%s %s = %d %s, want %+v", path, body, status, text, want)
	}
}

func TestPage_opensByKeypadAndCard(t *testing.T) {
	s := newSite(t)
	s.tell(0)
	s.act("enter", `{"pin":"9999"}`, told{Reason: grant.ReasonUnknownPIN})
	s.act("enter", `{"pin":"2468"}`, told{Opened: true})
	s.act("tap", `{"uid":"04:a1:b2:c3"}`, told{Opened: true})
	s.act("tap", `{"uid":"04 A1 B2 C4"}`, told{Reason: grant.ReasonUnknownCard})
	if status, _, text := s.post("tap", `{"uid":"04"}`, nil); status != http.StatusUnprocessableEntity || !strings.Contains(text, "hex") {
		t.Errorf("half a card's number = %d %s", status, text)
	}
	_, _, body := s.get("/d/1/state")
	var got shownState
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Open == 0 || got.Wrong != 1 || got.Grants != 1 || got.Online || got.Events[0].Reason != grant.ReasonUnknownCard || got.Clock != string(grant.Trusted) {
		t.Errorf("the state is %s, %v", body, err)
	}
}

func TestPage_movesTheClockAndCutsThePower(t *testing.T) {
	s := newSite(t)
	s.tell(grant.SurvivesLease)
	s.act("clock", `{"move":"-1h"}`, told{})
	if d := s.door.Status().Now.Sub(now()); d < -time.Minute {
		t.Errorf("setting the date back moved the door's time by %v", d)
	}
	s.act("power", `{"on":true}`, told{})
	if got := s.door.Status(); got.Clock != grant.Untrusted || got.Boot != 2 {
		t.Errorf("after a power cut with a date that is behind: %s, start %d", got.Clock, got.Boot)
	}
	s.act("clock", `{"move":"now"}`, told{})
	s.act("power", `{"on":true}`, told{})
	if got := s.door.Status().Clock; got != grant.Battery {
		t.Errorf("the clock is %s, want battery", got)
	}
	s.act("enter", `{"pin":"2468"}`, told{Opened: true})
	s.act("clock", `{"move":"+25h"}`, told{})
	s.act("enter", `{"pin":"2468"}`, told{Reason: grant.ReasonExpired})
	s.act("power", `{"on":false}`, told{})
	s.act("enter", `{"pin":"2468"}`, told{Reason: grant.ReasonExpired})
	if status, _, _ := s.post("clock", `{"move":"-9h"}`, nil); status != http.StatusUnprocessableEntity {
		t.Errorf("another move = %d, want 422", status)
	}
}

func TestPage_cutsTheNetwork(t *testing.T) {
	s := newSite(t)
	for _, cut := range []bool{true, false} {
		s.act("cut", map[bool]string{true: `{"on":true}`, false: `{"on":false}`}[cut], told{})
		if got := state(s.door).Cut; got != cut {
			t.Errorf("cut is %v, want %v", got, cut)
		}
		s.act("power", `{}`, told{})
		if got := state(s.door).Cut; got != cut {
			t.Errorf("after a power cut it is %v, want %v", got, cut)
		}
	}
}

func TestPage_actsForItselfOnly(t *testing.T) {
	s := newSite(t)
	before := s.door.Status().Last
	for name, header := range map[string]http.Header{
		"another site": {"Sec-Fetch-Site": {"cross-site"}}, "another origin": {"Origin": {"https://elsewhere.example"}}, "a form": {"Content-Type": {"text/plain"}},
	} {
		if status, _, _ := s.post("tap", `{"uid":"01020304"}`, header); status < 400 {
			t.Errorf("%s may act: %d", name, status)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://elsewhere.example/d/1/state", nil)
	w := httptest.NewRecorder()
	New(Config{Doors: []*Door{s.door}}).ServeHTTP(w, r)
	if w.Code != http.StatusMisdirectedRequest {
		t.Errorf("another host = %d, want 421", w.Code)
	}
	if got := s.door.Status().Last; got != before {
		t.Error("somebody else acted")
	}
}

func TestPage_isStrict(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{"/": "Side &lt;door&gt;", "/d/1/": "Side &lt;door&gt;", "/virtual.css": "--page", "/virtual.js": "@ts-check"} {
		status, header, body := s.get(path)
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s = %d", path, status)
		}
		if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s has the policy %q", path, csp)
		}
		for _, bad := range []string{"style=\"", "onclick", "<style", "http://", "https://", "innerHTML"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
	}
	for _, path := range []string{"/d/0/", "/d/3/", "/d/x/", "/elsewhere"} {
		if status, _, _ := s.get(path); status != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", path, status)
		}
	}
}

// all returns the first group of each match.
func all(pattern, text string) []string {
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// Nothing stands in the page itself that a policy without unsafe-inline refuses.
func TestPage_hasNothingInline(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/", "/d/1/"} {
		_, _, body := s.get(path)
		for what, pattern := range map[string]string{
			"a script in the page": `<script[^>]*>([^<]+)`, "a script without a file": `<script((?:\s+(?:type|async|defer)(?:="[^"]*")?)*)>`, "a style in the page": `(<style)`,
			"a style of an element": `\s(style\s*=)`, "a handler of an element": `\s(on[a-z]+\s*=)`, "a script's address": `(javascript:)`,
		} {
			if got := all(pattern, body); len(got) > 0 {
				t.Errorf("%s has %s: %q", path, what, got)
			}
		}
	}
	_, _, script := s.get("/virtual.js")
	if got := all(`(\.style\b|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function)`, script); len(got) > 0 {
		t.Errorf("the script writes markup or styles: %q", got)
	}
}

// Whoever does not see the page has all of it too.
func TestPage_isLabelled(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/", "/d/1/"} {
		_, _, body := s.get(path)
		if n := len(all(`(<h1)`, body)); n != 1 {
			t.Errorf("%s has %d first headings, want one", path, n)
		}
		for _, tag := range []string{`<html lang="en">`, "<main", "<title>", `name="viewport"`} {
			if !strings.Contains(body, tag) {
				t.Errorf("%s has no %s", path, tag)
			}
		}
		ids := all(`\sid="([^"]+)"`, body)
		for _, name := range all(`\s(?:for|aria-labelledby|aria-describedby)="([^"]+)"`, body) {
			if !slices.Contains(ids, name) {
				t.Errorf("%s: %q names nothing", path, name)
			}
		}
		if sections, named := len(all(`(<section)`, body)), len(all(`(<section[^>]*aria-labelledby=)`, body)); sections != named {
			t.Errorf("%s: %d of %d sections have a name", path, named, sections)
		}
		for _, input := range all(`(<input[^>]*>)`, body) {
			id := all(`\sid="([^"]+)"`, input)
			labelled := len(id) == 1 && strings.Contains(body, `<label for="`+id[0]+`"`)
			if wrapped := regexp.MustCompile(`<label[^>]*>` + regexp.QuoteMeta(input) + `\s*\w`).MatchString(body); !labelled && !wrapped {
				t.Errorf("%s: %s has no label", path, input)
			}
		}
		for _, words := range all(`<button[^>]*>([^<]*)</button>`, body) {
			if strings.TrimSpace(words) == "" {
				t.Errorf("%s has a button without words", path)
			}
		}
	}
}

func TestStart_wantsAnEnrolledFolderForItself(t *testing.T) {
	if _, err := Start(t.Context(), DoorConfig{Folder: t.TempDir()}); !errors.Is(err, link.ErrNotEnrolled) {
		t.Errorf("Start() = %v, want ErrNotEnrolled", err)
	}
	path := enrolled(t)
	d, err := Start(t.Context(), DoorConfig{Folder: path, Name: "Front"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), DoorConfig{Folder: path}); !errors.Is(err, link.ErrFolderLocked) {
		t.Errorf("Start() = %v, want ErrFolderLocked", err)
	}
	if d.Name() != "Front" {
		t.Errorf("Name() = %q", d.Name())
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if d, err = Start(t.Context(), DoorConfig{Folder: path}); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.CutPower(true); err == nil {
		t.Error("CutPower() of a door that has stopped is no error")
	}
}

func TestPage_leadsToTheOnlyDoor(t *testing.T) {
	s := newSite(t)
	w := httptest.NewRecorder()
	New(Config{Doors: []*Door{s.door}}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://door.localhost:8090/", nil))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "d/1/" {
		t.Errorf("/ = %d to %q, want 303 to d/1/", w.Code, w.Header().Get("Location"))
	}
}
