package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// BenchmarkProof measures what the server does with a proof, beside the one verification
// that nobody can save.
func BenchmarkProof(b *testing.B) {
	nonces := dpop.NewNonces(secret.FromString("0123456789abcdef0123456789abcdef"))
	request := dpop.Request{Method: "POST", URL: "https://keys.example.com/authenticator/v1/get-assertion", Token: "kh_client_AAAAAAAAAAAA_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBCCCCCC", Body: make([]byte, 800), Now: at}
	claims := dpop.Claims{Method: request.Method, URL: request.URL, IssuedAt: at, ID: "Zm9vYmFyYmF6cXV4MTIzNA", Nonce: nonces.Issue(at), TokenHash: dpop.TokenHash(request.Token), BodyHash: dpop.BodyHash(request.Body)}
	header, err := dpop.Sign(key(), claims)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verification alone", func(b *testing.B) {
		signer, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		digest := sha256.Sum256([]byte(header))
		signature, err := ecdsa.SignASN1(rand.Reader, signer, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !ecdsa.VerifyASN1(&signer.PublicKey, digest[:], signature) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("parse and check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := dpop.Parse(header)
			if err != nil {
				b.Fatal(err)
			}
			if reason := p.Check(request, nonces); reason != "" {
				b.Fatal(reason)
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		signer := key()
		for b.Loop() {
			if _, err := dpop.Sign(signer, claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}
