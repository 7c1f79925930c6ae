package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/door"
	"github.com/keyhold/keyhold/internal/door/link"
)

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }

func public(k ed25519.PrivateKey) ed25519.PublicKey { return ed25519.PublicKey(k[32:]) }

func now() time.Time { return clock.System{}.Now() }

// enrolled enrols a door by the command line and returns its folder. Its server is
// nowhere.
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
			Lock: string(lock), Name: "Side door", Root: public(key(1)), CA: root, Certificate: leaf, SigningKeys: [][]byte{public(key(2)), public(key(3))},
			Secret: bytes.Repeat([]byte{7}, grant.SecretSize), Epoch: 1, Link: "wss://127.0.0.1:1/locks/v1/link", ServerName: "nowhere.locks.keyhold.internal",
		}, key(1))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/cose")
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "door")
	var out bytes.Buffer
	in := strings.NewReader(token.NewEnrolment(lock, sha256.Sum256(public(key(1)))).Secret().ExposeString() + "\n")
	if code := Main(t.Context(), []string{"enrol", "--server", server.URL, "--state", path, "-"}, in, &out, &out); code != 0 || !strings.Contains(out.String(), "Side door") {
		t.Fatalf("enrol = %d and\n%s", code, out.String())
	}
	return path
}

type noBolt struct{}

func (noBolt) Open(time.Duration) error { return nil }

// hold lets the door hear of one grant by the PIN 2468, before it runs.
func hold(t *testing.T, path string) {
	t.Helper()
	folder, err := link.OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	i, err := folder.Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := i.Door()
	c.Disk, c.Output, c.Clock = folder, noBolt{}, link.NewClock()
	e, err := door.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	tag := grant.PINTag(i.Secret, secret.FromString("2468"))
	frame, err := grant.Sign(grant.TypeSnapshot, string(i.Lock), grant.Snapshot{
		Type: grant.TypeSnapshot, Lock: string(i.Lock), Epoch: 1, Version: 1, LeaseUntil: now().Add(time.Hour).Unix(), OpenSeconds: 7,
		Grants: []grant.Grant{{ID: grant.ID{1}, NotBefore: now().Unix() - 60, NotAfter: now().Unix() + 3600, Kinds: grant.ByPIN, PIN: &tag}},
	}, key(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Receive(frame); err != nil {
		t.Fatal(err)
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
}
