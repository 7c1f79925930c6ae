package dpop_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
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
	signer, digest := key(), sha256.Sum256([]byte(header))
	signature, err := ecdsa.SignASN1(rand.Reader, signer, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	// In turns, so that what else the machine does meets both.
	b.Run("parse and check", func(b *testing.B) {
		var alone, whole time.Duration
		for b.Loop() {
			watch := clock.StartStopwatch()
			if !ecdsa.VerifyASN1(&signer.PublicKey, digest[:], signature) {
				b.Fatal("refused")
			}
			alone += watch.Elapsed()
			watch = clock.StartStopwatch()
			p, err := dpop.Parse(header)
			if err != nil {
				b.Fatal(err)
			}
			if reason := p.Check(request, nonces); reason != "" {
				b.Fatal(reason)
			}
			whole += watch.Elapsed()
		}
		b.ReportMetric(float64(alone.Nanoseconds())/float64(b.N), "ns/verification")
		b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "ns/proof")
		b.ReportMetric(float64(whole)/float64(alone), "times")
	})
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			if _, err := dpop.Sign(signer, claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}
