package link_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/keyhold/keyhold/internal/base/cose"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/door/link"
)

func TestEnrol_keepsAnIdentityForItsOwnerOnly(t *testing.T) {
	s := newServer(t)
	path := t.TempDir()
	want, err := link.Enrol(t.Context(), s.enrol.URL, s.token.Secret().ExposeString()+"\n", path)
	if err != nil {
		t.Fatalf("Enrol() = %v", err)
	}
	f, err := link.OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got, err := f.Identity()
	if err != nil || got.Lock != s.lock || got.Name != "Side door" || !got.Secret.Equal(want.Secret) || !got.Key.Equal(want.Key) || len(got.SigningKeys) != 2 || got.Link != s.linkURL() || got.Epoch != 1 {
		t.Errorf("Identity() = %+v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(path, "identity.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the identity has mode %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := link.Enrol(t.Context(), s.enrol.URL, s.token.Secret().ExposeString(), path); !errors.Is(err, link.ErrFolderLocked) {
		t.Errorf("Enrol() of a folder in use = %v, want ErrFolderLocked", err)
	}
}

func TestEnrol_refusesEveryAnswerButTheRightOne(t *testing.T) {
	for name, change := range map[string]func(*server){
		"signed by another root": func(s *server) { s.root = key(9) },
		"another's root in it":   func(s *server) { s.change = func(e *grant.Enrolment) { e.Root = public(key(9)) } },
		"for another lock":       func(s *server) { s.change = func(e *grant.Enrolment) { e.Lock = string(id.New[id.KindLock](now())) } },
		"a certificate for another key": func(s *server) {
			s.change = func(e *grant.Enrolment) { e.Certificate = s.clientCertificate(s.lock, public(key(9))) }
		},
		"a certificate of another CA": func(s *server) { s.change = func(e *grant.Enrolment) { e.CA = s.otherCA().ca.Raw } },
		"a link in the clear":         func(s *server) { s.change = func(e *grant.Enrolment) { e.Link = "ws://localhost/locks/v1/link" } },
		"a page": func(s *server) {
			s.answers = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }
		},
		"nonsense": func(s *server) {
			s.answers = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/cose")
				_, _ = w.Write([]byte("nonsense"))
			}
		},
		"a way elsewhere": func(s *server) {
			s.answers = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://localhost:1/", http.StatusTemporaryRedirect)
			}
		},
		"too much": func(s *server) {
			s.answers = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/cose")
				_, _ = w.Write(make([]byte, 1<<20))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			change(s)
			path := t.TempDir()
			if _, err := link.Enrol(t.Context(), s.enrol.URL, s.token.Secret().ExposeString(), path); err == nil {
				t.Fatal("Enrol() took it")
			}
			f, err := link.OpenFolder(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if _, err := f.Identity(); !errors.Is(err, link.ErrNotEnrolled) {
				t.Errorf("Identity() = %v, want ErrNotEnrolled", err)
			}
		})
	}
}

// otherCA returns the server with a CA of the same name that has another key.
func (s *server) otherCA() *server {
	other, c := *s, *s.ca
	other.ca, other.caKey, c.PublicKey = nil, key(8), nil
	other.ca = other.certificate(&c, public(other.caKey))
	return &other
}

func TestEnrol_forgedAnswerSaysSo(t *testing.T) {
	s := newServer(t)
	s.root = key(9)
	if _, err := link.Enrol(t.Context(), s.enrol.URL, s.token.Secret().ExposeString(), t.TempDir()); !errors.Is(err, cose.ErrNotSigned) {
		t.Errorf("Enrol() = %v, want cose.ErrNotSigned", err)
	}
}

func TestEnrol_saysWhatTheServerSaid(t *testing.T) {
	s := newServer(t)
	s.answers = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusGone)
		_, _ = w.Write([]byte(`{"title":"Gone","detail":"This token was used already."}`))
	}
	_, err := link.Enrol(t.Context(), s.enrol.URL, s.token.Secret().ExposeString(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "This token was used already.") {
		t.Errorf("Enrol() = %v, want the server's words", err)
	}
}

func TestEnrol_sendsTheTokenToNobodyElse(t *testing.T) {
	s := newServer(t)
	asked := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody was asked") }))
	defer asked.Close()
	for _, url := range []string{"http://keys.example.com", "keys.example.com", "ftp://localhost", asked.URL + "/elsewhere", "https://user@localhost", ""} {
		if _, err := link.Enrol(t.Context(), url, s.token.Secret().ExposeString(), t.TempDir()); err == nil {
			t.Errorf("Enrol(%q) sent it", url)
		}
	}
	if _, err := link.Enrol(t.Context(), asked.URL, "khe_nonsense", t.TempDir()); err == nil {
		t.Error("Enrol() took what is no token")
	}
}

func TestEnrol_leavesAnotherDoorsFolderAlone(t *testing.T) {
	one, two := newServer(t), newServer(t)
	path := t.TempDir()
	if _, err := link.Enrol(t.Context(), one.enrol.URL, one.token.Secret().ExposeString(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Enrol(t.Context(), one.enrol.URL, one.token.Secret().ExposeString(), path); err != nil {
		t.Errorf("enrolling the same door again = %v", err)
	}
	if _, err := link.Enrol(t.Context(), two.enrol.URL, two.token.Secret().ExposeString(), path); err == nil {
		t.Error("another door's folder was taken")
	}
}

func TestRun_opensOverTheLink(t *testing.T) {
	r := newServer(t).run()
	r.next()
	r.write(grant.Encode(grant.TypeEventAck, grant.EventAck{}))
	var batch grant.Events
	if err := grant.ReadSigned(r.read(grant.TypeEvents).Body, grant.TypeEvents, string(r.lock), &batch, r.doorKey()); err != nil || batch.Events[0].Reason != grant.ReasonBoot {
		t.Fatalf("the first batch is %+v, %v", batch, err)
	}
	r.write(grant.Encode(grant.TypeEventAck, grant.EventAck{Through: 1}))
	r.beacon(now())
	r.sign(grant.TypeCommand, grant.Command{Type: grant.TypeCommand, Lock: string(r.lock), ID: grant.CommandID{1}, Op: grant.OpOpen, NotAfter: now().Add(10 * time.Second).UnixMilli()})
	var got grant.Result
	if err := grant.Read(r.read(grant.TypeResult).Body, &got); err != nil || got.Outcome != grant.Opened {
		t.Errorf("the result is %+v, %v", got, err)
	}
	if d := <-r.opened; d != 5*time.Second {
		t.Errorf("the bolt opened for %v, want 5s", d)
	}
	if err := grant.ReadSigned(r.read(grant.TypeEvents).Body, grant.TypeEvents, string(r.lock), &batch, r.doorKey()); err != nil || batch.Events[0].Medium != grant.Panel {
		t.Errorf("the next batch is %+v, %v", batch, err)
	}
	// What happens at the door is told without being asked.
	r.write(grant.Encode(grant.TypeEventAck, grant.EventAck{Through: 2}))
	r.link.Tap([]byte{1, 2, 3, 4})
	if err := grant.ReadSigned(r.read(grant.TypeEvents).Body, grant.TypeEvents, string(r.lock), &batch, r.doorKey()); err != nil || batch.Events[0].Reason != grant.ReasonUnknownCard {
		t.Errorf("the card's batch is %+v, %v", batch, err)
	}
}

// doorKey is the key that the door made for itself.
func (r *running) doorKey() ed25519.PublicKey {
	r.t.Helper()
	i, err := r.folder.Identity()
	if err != nil {
		r.t.Fatal(err)
	}
	return public(i.Key)
}

func TestRun_malformedFrameEndsThatLinkOnly(t *testing.T) {
	r := newServer(t).run()
	r.next()
	first := r.hello
	r.write([]byte("nonsense"))
	if _, _, err := r.conn.Read(r.ctx); err == nil {
		// The state came first: then the connection ends.
		for err == nil {
			_, _, err = r.conn.Read(r.ctx)
		}
	}
	r.next()
	if r.hello.Boot != first.Boot || string(r.hello.Nonce) == string(first.Nonce) {
		t.Errorf("the next hello is %+v after %+v, want another nonce of the same start", r.hello, first)
	}
}

func TestCut_dropsAndForbidsTheNetwork(t *testing.T) {
	r := newServer(t).run()
	r.next()
	r.link.Cut(true)
	var err error
	for err == nil {
		_, _, err = r.conn.Read(r.ctx)
	}
	ctx, stop := context.WithTimeout(r.ctx, 700*time.Millisecond) // longer than the first retries
	defer stop()
	select {
	case <-r.conns:
		t.Error("a connection came though the network is cut")
	case <-ctx.Done():
	}
	r.link.Cut(false)
	r.next()
}

func TestRun_trustsTheWorkspacesOwnServerOnly(t *testing.T) {
	for name, change := range map[string]func(*server){
		"another name": func(s *server) {
			s.leaf = tls.Certificate{Certificate: [][]byte{s.serverCertificate("ws-2.locks.keyhold.internal").Raw}, PrivateKey: key(4)}
		},
		"another CA": func(s *server) {
			s.leaf = tls.Certificate{Certificate: [][]byte{s.otherCA().serverCertificate(serverName).Raw}, PrivateKey: key(4)}
		},
		"a controller's certificate": func(s *server) {
			s.leaf = tls.Certificate{Certificate: [][]byte{s.certificate(&x509.Certificate{
				DNSNames: []string{serverName}, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}, public(key(4))).Raw}, PrivateKey: key(4)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			change(s)
			r := s.run()
			for {
				select {
				case <-r.conns:
					t.Fatal("the door talks to it")
				case <-r.ctx.Done():
					t.Fatal("nothing happened")
				case line := <-s.complaints:
					if strings.Contains(line, "remote error: tls: bad certificate") {
						return
					}
					t.Error(line)
				}
			}
		})
	}
}

func TestRun_saysThatItsCertificateIsRefused(t *testing.T) {
	s := newServer(t)
	s.link.TLS.ClientCAs = x509.NewCertPool() // as of a lock that was deleted: nobody is accepted
	r := s.run()
	for {
		select {
		case <-r.ctx.Done():
			t.Fatal("nothing is logged")
		case line := <-r.logged:
			if strings.Contains(line, "refuses this door's certificate") {
				return
			}
		}
	}
}

func TestRun_renewsItsCertificate(t *testing.T) {
	s := newServer(t)
	s.life = time.Minute // a minute of two is left
	r := s.run()
	r.next()
	r.sign(grant.TypeBeacon, grant.Beacon{Type: grant.TypeBeacon, Lock: string(r.lock), Now: now().Add(25 * time.Second).UnixMilli(), Epoch: 1, Nonce: r.hello.Nonce})
	var ask grant.Renew
	if err := grant.Read(r.read(grant.TypeRenew).Body, &ask); err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(ask.CSR)
	if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != string(r.lock) {
		t.Fatalf("the request is %+v, %v", csr, err)
	}
	k, _ := csr.PublicKey.(ed25519.PublicKey)
	r.life = 90 * 24 * time.Hour
	next := r.clientCertificate(r.lock, k)
	r.write(grant.Encode(grant.TypeCertificate, grant.Certificate{Certificate: next}))
	// A result is the sign that the frame before was taken.
	r.sign(grant.TypeCommand, grant.Command{Type: grant.TypeCommand, Lock: string(r.lock), ID: grant.CommandID{1}, Op: grant.OpOpen, NotAfter: 1})
	r.read(grant.TypeResult)
	if i, err := r.folder.Identity(); err != nil || string(i.Certificate.Raw) != string(next) {
		t.Errorf("the folder keeps another certificate, %v", err)
	}
	// One for another key ends the link, and is not kept.
	r.write(grant.Encode(grant.TypeCertificate, grant.Certificate{Certificate: r.clientCertificate(r.lock, public(key(9)))}))
	r.next()
	if i, err := r.folder.Identity(); err != nil || string(i.Certificate.Raw) != string(next) {
		t.Errorf("the folder keeps another certificate, %v", err)
	}
	_ = r.conn.Close(websocket.StatusNormalClosure, "")
}

func TestFolder_keepsWhatWasWritten(t *testing.T) {
	path := t.TempDir()
	f, err := link.OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := f.Read("a"); found || err != nil {
		t.Errorf("Read() of nothing = %v, %v", found, err)
	}
	for _, err := range []error{f.Write("a", []byte("1")), f.Write("a", []byte("2")), f.Append("a", []byte("3")), f.Append("b", []byte("4")), f.Write("c", nil), f.Remove("c"), f.Remove("c")} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "door", ".new-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = link.OpenFolder(path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	names, err := f.List()
	if err != nil || strings.Join(names, " ") != "a b" {
		t.Errorf("List() = %v, %v", names, err)
	}
	if data, found, err := f.Read("a"); string(data) != "23" || !found || err != nil {
		t.Errorf("Read() = %q, %v, %v", data, found, err)
	}
}
