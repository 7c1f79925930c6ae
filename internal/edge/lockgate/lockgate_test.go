package lockgate_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/edge/lockgate"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// patience bounds what a test waits for another goroutine.
const patience = 20 * time.Second

// house is a server with its two ports.
type house struct {
	storetest.Database
	*smartlock.Service
	gate    *lockgate.Gate
	clock   *clock.Manual
	w       id.Workspace
	by      auth.Caller
	public  *httptest.Server
	address string        // of the link's port
	stop    func()        // as a server that stops
	stopped chan struct{} // closed once Serve returned
}

func newHouse(t *testing.T) *house {
	t.Helper()
	d := storetest.SQLite(t)
	hub := signal.NewHub()
	d.TellSignalsTo(hub)
	h := &house{Database: d, clock: clock.NewManual(storetest.Start()), w: storetest.Workspace(t, d.Store), stopped: make(chan struct{})}
	h.by = auth.Job(h.w, "test")
	h.Service = smartlock.NewService(smartlock.Config{
		Store: store.For[smartlock.Tx](d.Store), Clock: h.clock, Authorities: storetest.LockAuthorities{}, Sealing: storetest.LockSealing{FixedSecrets: storetest.KeySecrets(t)},
		LinkURL: func() string { return "wss://" + h.address + lockgate.LinkPath },
	})
	stopping := make(chan struct{})
	h.gate = lockgate.New(lockgate.Config{Locks: h.Service, Authorities: storetest.LockAuthorities{}, Signals: hub, Clock: h.clock, Log: slog.New(slog.DiscardHandler), Stopping: stopping})
	mux := http.NewServeMux()
	h.gate.RegisterPublic(mux)
	h.public = httptest.NewServer(mux)
	t.Cleanup(h.public.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	go func() {
		defer close(h.stopped)
		if err := h.gate.Serve(context.Background(), listener); err != nil {
			t.Errorf("Serve() = %v, want nil", err)
		}
	}()
	over := false
	h.stop = func() {
		if !over {
			over = true
			close(stopping)
		}
		select {
		case <-h.stopped:
		case <-time.After(patience):
			t.Error("Serve() does not return")
		}
	}
	t.Cleanup(h.stop)
	return h
}

// door is a small controller.
type door struct {
	*house
	lock        id.Lock
	key         ed25519.PrivateKey
	answer      grant.Enrolment
	certificate *tls.Certificate
	conn        *websocket.Conn
}

// post asks to enrol.
func (h *house) post(t *testing.T, body string) (status int, kind string, answer []byte) {
	t.Helper()
	r, err := http.Post(h.public.URL+lockgate.EnrolPath, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	answer, err = io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), answer
}

// enrol makes a lock of the workspace and a controller for it, over the public port.
func (h *house) enrol(t *testing.T, by auth.Caller) *door {
	t.Helper()
	l, err := h.Create(t.Context(), by, smartlock.NewLock{Name: "Front door", Timezone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := h.IssueEnrolment(t.Context(), by, l.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: string(l.ID)}}, key)
	if err != nil {
		t.Fatal(err)
	}
	text := issued.Token.ExposeString()
	body, err := json.Marshal(map[string]string{"token": text, "csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))})
	if err != nil {
		t.Fatal(err)
	}
	status, kind, answer := h.post(t, string(body))
	if status != http.StatusOK || kind != "application/cose" {
		t.Fatalf("the answer to an enrolment is %d %s: %s", status, kind, answer)
	}
	e, _ := token.ParseEnrolment(text)
	d := &door{house: h, lock: l.ID, key: key}
	if d.answer, err = grant.ReadEnrolment(answer, string(l.ID), e.Root); err != nil {
		t.Fatal(err)
	}
	d.certificate = &tls.Certificate{Certificate: [][]byte{d.answer.Certificate}, PrivateKey: key}
	return d
}

// dial opens a link with a certificate, nil for none, to the workspace that has the name.
// status is that of an answer that is no link, 0 for none.
func (d *door) dial(t *testing.T, certificate *tls.Certificate, name string) (conn *websocket.Conn, status int, err error) {
	t.Helper()
	roots := x509.NewCertPool()
	ca, err := x509.ParseCertificate(d.answer.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: name, Time: d.clock.Now}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	conn, r, err := websocket.Dial(ctx, d.answer.Link, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err == nil {
		conn.SetReadLimit(grant.MaxDown)
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn, 0, nil
	}
	if r != nil {
		_ = r.Body.Close() // it says no more than its status
		status = r.StatusCode
	}
	return nil, status, err
}

// open opens the link and says hello.
func (d *door) open(t *testing.T) {
	t.Helper()
	conn, _, err := d.dial(t, d.certificate, d.answer.ServerName)
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	d.say(t, grant.TypeHello, hello())
}

func hello() grant.Hello {
	return grant.Hello{EventFirst: 1, Quality: grant.Trusted, Nonce: bytes.Repeat([]byte{7}, grant.NonceSize), Software: "test/1"}
}

func (d *door) say(t *testing.T, kind grant.Type, body any) {
	t.Helper()
	d.write(t, grant.Encode(kind, body))
}

func (d *door) write(t *testing.T, raw []byte) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := d.conn.Write(ctx, websocket.MessageBinary, raw); err != nil {
		t.Fatal(err)
	}
}

// hear reads the next frame, which is of the kind.
func (d *door) hear(t *testing.T, want grant.Type, v any) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	_, raw, err := d.conn.Read(ctx)
	if err != nil {
		t.Fatalf("waiting for %s: %v", want, err)
	}
	f, err := grant.Decode(raw, grant.MaxDown)
	if err != nil || f.Type != want {
		t.Fatalf("the frame is %s (%v), want %s", f.Type, err, want)
	}
	switch want {
	case grant.TypeEventAck, grant.TypeCertificate:
		err = grant.Read(f.Body, v)
	default:
		err = grant.ReadSigned(f.Body, want, string(d.lock), v, d.answer.SigningKeys[0])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// settle hears the answers to a hello, and says that all of it is in force.
func (d *door) settle(t *testing.T) {
	t.Helper()
	var ack grant.EventAck
	var s grant.Snapshot
	var b grant.Beacon
	d.hear(t, grant.TypeEventAck, &ack)
	d.hear(t, grant.TypeSnapshot, &s)
	if d.hear(t, grant.TypeBeacon, &b); b.LeaseUntil != 0 || !bytes.Equal(b.Nonce, hello().Nonce) {
		t.Errorf("the first beacon is %+v, want no lease", b)
	}
	d.say(t, grant.TypeApplied, grant.Applied{Epoch: s.Epoch, Version: s.Version})
	if d.hear(t, grant.TypeBeacon, &b); b.LeaseUntil != d.clock.Now().Unix()+smartlock.DefaultLeaseSeconds {
		t.Errorf("the beacon after that is %+v, want a lease", b)
	}
}

// ends waits for the link's end.
func (d *door) ends(t *testing.T, want websocket.StatusCode) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for {
		if _, _, err := d.conn.Read(ctx); err != nil {
			if got := websocket.CloseStatus(err); got != want {
				t.Errorf("the link ends with %d (%v), want %d", got, err, want)
			}
			return
		}
	}
}

func (d *door) row(t *testing.T) smartlock.Lock {
	t.Helper()
	l, err := d.Find(t.Context(), auth.Job(d.w, "test"), d.lock)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// soon asks until it is so.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	over := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-over:
			t.Fatalf("not so in time: %s", what)
		case <-tick.C:
		}
	}
}

func TestEnrol_refusesWithAProblem(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("no")}))
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		`{"token":"khe_x","csr":` + quoted(t, csr) + `}`: {http.StatusUnprocessableEntity, "invalid_csr"},
		`{`: {http.StatusUnprocessableEntity, "invalid_json"},
		`{"token":"` + strings.Repeat("x", 17<<10) + `"}`:         {http.StatusUnprocessableEntity, "invalid_json"},
		`{"token":"khe_x","csr":` + quoted(t, d.request(t)) + `}`: {http.StatusForbidden, "enrolment_refused"},
	} {
		status, kind, answer := h.post(t, body)
		var problem struct {
			Code string `json:"code"`
		}
		if err := json.Unmarshal(answer, &problem); err != nil || status != want.status || problem.Code != want.code || kind != "application/problem+json" {
			t.Errorf("%.40s: the answer is %d %s %s, want %d %s", body, status, kind, answer, want.status, want.code)
		}
	}
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// request is a certificate request of the door's key, in PEM.
func (d *door) request(t *testing.T) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, d.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestServe_takesOnlyControllersOfTheWorkspace(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	elsewhere := auth.Job(storetest.Workspace(t, h.Store), "test")
	other := h.enrol(t, elsewhere)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: string(d.lock)}, NotBefore: h.clock.Now(), NotAfter: h.clock.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, self, self, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		server      string
	}{
		"no certificate": {nil, d.answer.ServerName}, "another workspace's": {other.certificate, d.answer.ServerName}, "its own": {&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, d.answer.ServerName},
		"to another workspace": {d.certificate, other.answer.ServerName}, "to nobody": {d.certificate, "example.org"},
	} {
		if _, status, err := d.dial(t, c.certificate, c.server); err == nil || status != 0 {
			t.Errorf("%s: the handshake succeeds (%v)", name, err)
		}
	}
	d.open(t)
	d.settle(t)
	h.clock.Advance(smartlock.CertificateLife + time.Hour)
	if _, _, err := d.dial(t, d.certificate, d.answer.ServerName); err == nil {
		t.Error("the handshake succeeds with a certificate that is over")
	}
}

func TestLink_answersInOrderAndSendsChanges(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	seconds := 9
	if _, err := h.Change(t.Context(), h.by, d.lock, smartlock.Change{OpenSeconds: &seconds}, 0); err != nil {
		t.Fatal(err)
	}
	var delta grant.Delta
	if d.hear(t, grant.TypeDelta, &delta); delta.OpenSeconds != 9 || delta.To != 1 {
		t.Errorf("the delta is %+v", delta)
	}
	d.say(t, grant.TypeApplied, grant.Applied{Epoch: delta.Epoch, Version: delta.To})
	var b grant.Beacon
	d.hear(t, grant.TypeBeacon, &b)
	if !d.row(t).Settled() {
		t.Error("the lock is not settled")
	}
	battery := uint8(50)
	d.say(t, grant.TypeState, grant.State{Door: "open", Lock: "unlocked", Battery: &battery})
	soon(t, "the state is kept", func() bool { return d.row(t).State.Door == "open" && d.row(t).State.Battery == 50 })
	event := grant.Event{Seq: 1, At: h.clock.Now().UnixMilli(), Boot: 1, Clock: grant.Trusted, Outcome: grant.Notice, Reason: grant.ReasonBoot, Count: 1}
	frame, err := grant.Sign(grant.TypeEvents, string(d.lock), grant.Events{Type: grant.TypeEvents, Lock: string(d.lock), Events: []grant.Event{event}}, d.key)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, frame)
	var ack grant.EventAck
	if d.hear(t, grant.TypeEventAck, &ack); ack.Through != 1 {
		t.Errorf("the events are kept through %d, want 1", ack.Through)
	}
	block, _ := pem.Decode([]byte(d.request(t)))
	d.say(t, grant.TypeRenew, grant.Renew{CSR: block.Bytes})
	var c grant.Certificate
	d.hear(t, grant.TypeCertificate, &c)
	d.certificate = &tls.Certificate{Certificate: [][]byte{c.Certificate}, PrivateKey: d.key}
	d.open(t)
	d.hear(t, grant.TypeEventAck, &ack)
}

func TestLink_aCommandGoesThereAndBack(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	asked, err := h.Open(t.Context(), h.by, d.lock)
	if err != nil {
		t.Fatal(err)
	}
	var c grant.Command
	if d.hear(t, grant.TypeCommand, &c); c.ID != grant.CommandID(asked.ID.Bytes()) || c.Op != grant.OpOpen {
		t.Errorf("the command is %+v", c)
	}
	d.say(t, grant.TypeResult, grant.Result{ID: c.ID, Outcome: grant.Opened})
	soon(t, "the command is done", func() bool {
		got, err := h.FindCommand(t.Context(), h.by, asked.ID)
		return err == nil && got.Outcome == grant.Opened
	})
}

func TestLink_aDeletedLockIsRefusedAtOnce(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	if err := h.Delete(t.Context(), h.by, d.lock, 0); err != nil {
		t.Fatal(err)
	}
	d.ends(t, lockgate.StatusRefused)
	if _, status, err := d.dial(t, d.certificate, d.answer.ServerName); err == nil || status != http.StatusUnauthorized {
		t.Errorf("the deleted lock's certificate is answered %d (%v), want 401", status, err)
	}
	if h.gate.Stats().Refused != 1 {
		t.Errorf("the counts are %+v, want one refused", h.gate.Stats())
	}
}

func TestLink_aMalformedFrameEndsThatLinkOnly(t *testing.T) {
	h := newHouse(t)
	good := h.enrol(t, h.by)
	good.open(t)
	good.settle(t)
	for name, raw := range map[string][]byte{
		"no frame": []byte("nonsense"), "nothing": {}, "a frame of the server": grant.Encode(grant.TypeEventAck, grant.EventAck{}), "a body of another": grant.Encode(grant.TypeApplied, grant.EventAck{}),
		"events of nobody": grant.Encode(grant.TypeEvents, grant.EventAck{}),
	} {
		t.Run(name, func(t *testing.T) {
			d := h.enrol(t, h.by)
			d.open(t)
			d.settle(t)
			d.write(t, raw)
			d.ends(t, websocket.StatusPolicyViolation)
		})
	}
	t.Run("no hello first", func(t *testing.T) {
		d := h.enrol(t, h.by)
		conn, _, err := d.dial(t, d.certificate, d.answer.ServerName)
		if err != nil {
			t.Fatal(err)
		}
		d.conn = conn
		d.say(t, grant.TypeApplied, grant.Applied{})
		d.ends(t, websocket.StatusPolicyViolation)
	})
	if _, err := h.Open(t.Context(), h.by, good.lock); err != nil {
		t.Fatal(err)
	}
	var c grant.Command
	good.hear(t, grant.TypeCommand, &c)
}

func TestLink_aHelloAgainIsAnsweredAgain(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	again := hello()
	again.Epoch = d.answer.Epoch + 3 // the server is behind: it was restored
	again.Nonce = bytes.Repeat([]byte{9}, grant.NonceSize)
	d.say(t, grant.TypeHello, again)
	var ack grant.EventAck
	var s grant.Snapshot
	var b grant.Beacon
	d.hear(t, grant.TypeEventAck, &ack)
	d.hear(t, grant.TypeSnapshot, &s)
	d.hear(t, grant.TypeBeacon, &b)
	if s.Epoch != again.Epoch+1 || !bytes.Equal(b.Nonce, again.Nonce) || b.Epoch != s.Epoch {
		t.Errorf("the answers are %+v and %+v", s, b)
	}
}

func TestLink_anEnrolmentAnewEndsTheFormersLink(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	issued, err := h.IssueEnrolment(t.Context(), h.by, d.lock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Enrol(t.Context(), auth.Nobody("192.0.2.1", "", ""), issued.Token.ExposeString(), []byte(d.request(t))); err != nil {
		t.Fatal(err)
	}
	d.ends(t, lockgate.StatusRefused)
}

func TestLink_theNewestReplacesTheFormer(t *testing.T) {
	h := newHouse(t)
	first := h.enrol(t, h.by)
	first.open(t)
	first.settle(t)
	second := *first
	second.open(t)
	first.ends(t, lockgate.StatusReplaced)
	var ack grant.EventAck
	second.hear(t, grant.TypeEventAck, &ack)
	soon(t, "one link is left", func() bool { return h.gate.Stats().Links == 1 })
	if !first.row(t).Online(h.clock.Now()) {
		t.Error("the lock is offline though its newest link is open")
	}
}

func TestLink_offlineIsShownWhenItLeaves(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	if !d.row(t).Online(h.clock.Now()) {
		t.Fatal("the lock is offline though its link is open")
	}
	_ = d.conn.CloseNow() // as a cut cable that is noticed
	soon(t, "the lock is offline", func() bool { return !d.row(t).Online(h.clock.Now()) })
}

func TestServe_linksEndWhenTheServerStops(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.ends(t, websocket.StatusGoingAway)
	}()
	h.stop()
	<-ended
	if d.row(t).Online(h.clock.Now()) || h.gate.Stats().Links != 0 {
		t.Error("the lock is online though its server stopped")
	}
}

func TestLink_tellsAClockThatJumped(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	h.clock.Advance(25 * time.Hour)
	begin := clock.StartStopwatch()
	var b grant.Beacon
	d.hear(t, grant.TypeBeacon, &b)
	if b.Now != h.clock.Now().UnixMilli() {
		t.Errorf("the beacon says %d, want the server's %d", b.Now, h.clock.Now().UnixMilli())
	}
	if e := begin.Elapsed(); e > smartlock.BeaconEvery/2 {
		t.Errorf("it came after %v: that was the next beacon in turn", e)
	}
}

// A controller that heard of a version which it was not sent would say hello again, and
// wait a second for the answer.
func TestLink_noBeaconIsAheadOfWhatWasSent(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.by)
	d.open(t)
	d.settle(t)
	seconds := smartlock.DefaultOpenSeconds
	change := func() {
		seconds = seconds%smartlock.MaxOpenSeconds + 1
		if _, err := h.Change(t.Context(), h.by, d.lock, smartlock.Change{OpenSeconds: &seconds}, 0); err != nil {
			t.Error(err)
		}
	}
	sent := grant.Applied{}
	for sent.Version < 40 {
		change()
		for held := false; !held; {
			ctx, stop := context.WithTimeout(t.Context(), patience)
			_, raw, err := d.conn.Read(ctx)
			stop()
			if err != nil {
				t.Fatal(err)
			}
			f, err := grant.Decode(raw, grant.MaxDown)
			if err != nil {
				t.Fatal(err)
			}
			var b grant.Beacon
			var c grant.Delta
			switch f.Type {
			case grant.TypeDelta:
				if err := grant.ReadSigned(f.Body, f.Type, string(d.lock), &c, d.answer.SigningKeys[0]); err != nil {
					t.Fatal(err)
				}
				sent, held = grant.Applied{Epoch: c.Epoch, Version: c.To}, true
			case grant.TypeBeacon:
				if err := grant.ReadSigned(f.Body, f.Type, string(d.lock), &b, d.answer.SigningKeys[0]); err != nil {
					t.Fatal(err)
				}
				if sent.Version > 0 && b.Version > sent.Version {
					t.Fatalf("a beacon names version %d, but %d was sent last", b.Version, sent.Version)
				}
			default:
				t.Fatalf("the frame is %s", f.Type)
			}
		}
		d.say(t, grant.TypeApplied, sent) // the next change meets the beacon that answers it
	}
}
