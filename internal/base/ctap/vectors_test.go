package ctap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/secret"
)

type vector struct {
	Title                        string
	Registration, Authentication map[string]string
}

func vectors(t *testing.T) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/webauthn-l3-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	if want := 11; len(list) != want {
		t.Fatalf("there are %d vectors, want %d", len(list), want)
	}
	return list
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fromScalar returns the key that a P-256 scalar or an Ed25519 seed stands for.
func fromScalar(t testing.TB, a Algorithm, scalar []byte) Key {
	t.Helper()
	if a == EdDSA {
		return Key{EdDSA, secret.New(ed25519.NewKeyFromSeed(scalar))}
	}
	parsed, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	k, err := fromECDSA(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// flagBits are the flags that the vectors drew at random: a byte with the bits where they
// stand, BS only with BE.
func flagBits(t *testing.T, text string, mask, fixed Flags) Flags {
	t.Helper()
	f := fixed
	if text != "" {
		f |= Flags(unhex(t, text)[0]) & mask
	}
	if f&BE == 0 {
		f &^= BS
	}
	return f
}

// TestVectors derives what W3C WebAuthn Level 3, section "Test Vectors", has.
func TestVectors(t *testing.T) {
	self, x5c := 0, 0
	for _, v := range vectors(t) {
		t.Run(v.Title, func(t *testing.T) {
			algorithm, scalar := ES256, v.Registration["credential_private_key"]
			if strings.Contains(v.Title, "Ed25519") {
				algorithm, scalar = EdDSA, v.Registration["private_key"]
			}
			key := fromScalar(t, algorithm, unhex(t, scalar))
			key, err := ParseKey(algorithm, key.Raw())
			if err != nil {
				t.Fatal(err)
			}
			c := Credential{
				ID: unhex(t, v.Registration["credential_id"]), RPID: "example.org",
				Algorithm: algorithm, Public: key.COSE(), Private: key,
			}
			aaguid := [16]byte(unhex(t, v.Registration["aaguid"]))
			made := flagBits(t, v.Registration["auth_data_UV_BE_BS"], UV|BE|BS, UP)
			hash := sha256.Sum256(unhex(t, v.Registration["clientDataJSON"]))
			object := unhex(t, v.Registration["attestationObject"])
			attest := strings.Contains(v.Title, "Self Attestation")
			answer, err := attestation(c, aaguid, made, hash[:], attest)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(object, []byte("x5c")) { // signed with a certificate that we have not: authData only
				x5c++
				if !bytes.HasSuffix(object, answer.AuthData) {
					t.Errorf("authData = %x, want it to end %x", answer.AuthData, object)
				}
			} else if got := answer.AttestationObject(); !bytes.Equal(got, object) {
				t.Errorf("attestationObject = %x, want %x", got, object)
			}
			if attest {
				self++
			}

			used := flagBits(t, v.Authentication["auth_data_UV_BS"], UV|BS, UP|made&BE)
			hash = sha256.Sum256(unhex(t, v.Authentication["clientDataJSON"]))
			got, err := sign(c, used, hash[:], nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, v.Authentication["authenticatorData"]); !bytes.Equal(got.AuthData, want) {
				t.Errorf("authenticatorData = %x, want %x", got.AuthData, want)
			}
			if want := unhex(t, v.Authentication["signature"]); !bytes.Equal(got.Signature, want) {
				t.Errorf("signature = %x, want %x", got.Signature, want)
			}
		})
	}
	if self != 1 || x5c != 6 {
		t.Errorf("%d self and %d certified attestations, want 1 and 6", self, x5c)
	}
}
