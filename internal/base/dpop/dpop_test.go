package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// at is a moment in whole seconds.
var at = time.Unix(1_790_000_000, 0).UTC()

// key returns always the same key.
func key() *ecdsa.PrivateKey {
	d := make([]byte, 32)
	for i := range d {
		d[i] = byte(i + 1)
	}
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		panic(err)
	}
	return k
}

func TestParse_readsWhatSignWrote(t *testing.T) {
	nonces := dpop.NewNonces(secret.FromString("k"))
	want := dpop.Claims{Method: "POST", URL: "https://keys.example.com/authenticator/v1/taps?a=1&b=<2>", IssuedAt: at, ID: "j", Nonce: nonces.Issue(at), TokenHash: dpop.TokenHash("t"), BodyHash: dpop.BodyHash(nil)}
	header, err := dpop.Sign(key(), want)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dpop.Parse(header)
	if err != nil || p.Claims != want {
		t.Fatalf("Parse() = %+v, %v; want %+v", p.Claims, err, want)
	}
	if !p.Key.Equal(&key().PublicKey) || p.Thumbprint != dpop.Thumbprint(p.Key) {
		t.Error("Parse() has another key or thumbprint")
	}
}
