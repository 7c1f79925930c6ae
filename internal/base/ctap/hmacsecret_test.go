package ctap_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/secret"
)

func mac(key, message []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(message)
	return m.Sum(nil)
}

// platform is the other end of an agreement, written from CTAP 2.1 §6.5.6 and §6.5.7.
type platform struct {
	protocol    int
	cose        []byte
	macKey, aes []byte
}

func newPlatform(t *testing.T, protocol int, authenticator []byte) platform {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := append([]byte{4}, authenticator[11:43]...)
	peer, err := ecdh.P256().NewPublicKey(append(point, authenticator[46:]...))
	if err != nil {
		t.Fatal(err)
	}
	z, err := key.ECDH(peer)
	if err != nil {
		t.Fatal(err)
	}
	own := key.PublicKey().Bytes()
	p := platform{protocol: protocol, cose: slices.Concat(authenticator[:11], own[1:33], authenticator[43:46], own[33:])}
	if protocol == 1 {
		digest := sha256.Sum256(z)
		p.macKey, p.aes = digest[:], digest[:]
		return p
	}
	p.macKey, _ = hkdf.Key(sha256.New, z, make([]byte, 32), "CTAP2 HMAC key", 32)
	p.aes, _ = hkdf.Key(sha256.New, z, make([]byte, 32), "CTAP2 AES key", 32)
	return p
}

func (p platform) input(salts []byte) ctap.HMACSecretInput {
	block, _ := aes.NewCipher(p.aes)
	iv := bytes.Repeat([]byte{9}, 16)
	if p.protocol == 1 {
		iv = make([]byte, 16)
	}
	encrypted := make([]byte, len(salts))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(encrypted, salts)
	if p.protocol == 2 {
		encrypted = slices.Concat(iv, encrypted)
	}
	code := mac(p.macKey, encrypted)
	if p.protocol == 1 {
		code = code[:16]
	}
	return ctap.HMACSecretInput{KeyAgreement: p.cose, SaltEnc: encrypted, SaltAuth: code, Protocol: p.protocol}
}

func (p platform) open(output []byte) []byte {
	block, _ := aes.NewCipher(p.aes)
	iv := make([]byte, 16)
	if p.protocol == 2 {
		iv, output = output[:16], output[16:]
	}
	plain := make([]byte, len(output))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, output)
	return plain
}

func TestPRF(t *testing.T) {
	c := credential(t, nil)
	random, salt := c.Secret.Expose(), bytes.Repeat([]byte{3}, 32)
	for uv, want := range map[bool][]byte{false: mac(random[:32], salt), true: mac(random[32:], salt)} {
		if got := c.PRF(salt, uv); !bytes.Equal(got, want) {
			t.Errorf("PRF(uv %v) = %x, want %x", uv, got, want)
		}
	}
	if got := c.PRF(salt[:31], true); got != nil {
		t.Errorf("PRF() = %x for a short salt, want none", got)
	}
	c.Secret = secret.Bytes{}
	if got := c.PRF(salt, true); got != nil {
		t.Errorf("PRF() = %x without a secret, want none", got)
	}
}

func TestAgreement_answersHMACSecret(t *testing.T) {
	made, err := ctap.NewAgreement()
	if err != nil {
		t.Fatal(err)
	}
	a, err := ctap.ParseAgreement(made.Scalar())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %+v %x", a, a, a); strings.Contains(got, fmt.Sprintf("%x", a.Scalar().Expose()[:4])) {
		t.Errorf("an agreement prints %s", got)
	}
	c := credential(t, nil)
	for _, protocol := range []int{1, 2} {
		p := newPlatform(t, protocol, made.COSE())
		shared, err := a.Agree(p.cose, ctap.PINProtocol(protocol))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%v %x", shared, shared); strings.Contains(got, fmt.Sprintf("%x", p.aes[:4])) {
			t.Errorf("what is shared prints %s", got)
		}
		for _, salts := range [][]byte{bytes.Repeat([]byte{1}, 32), append(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)...)} {
			for _, uv := range []bool{false, true} {
				in := p.input(salts)
				if protocol == 1 && !uv {
					in.Protocol = 0 // CTAP 2.0 does not say it
				}
				got, err := a.Answer(in, c, uv)
				if err != nil {
					t.Fatal(err)
				}
				var want []byte
				for salt := range slices.Chunk(salts, 32) {
					want = append(want, c.PRF(salt, uv)...)
				}
				if opened := p.open(got); !bytes.Equal(opened, want) {
					t.Errorf("protocol %d: Answer() = %x, want %x", protocol, opened, want)
				}
				assertion, err := ctap.GetAssertionWithSecret(request(), c, uv, got)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasSuffix(assertion.AuthData, got) || ctap.Flags(assertion.AuthData[32])&ctap.ED == 0 {
					t.Errorf("authData = %x, want it to end %x", assertion.AuthData, got)
				}
				verify(t, c.Public, append(assertion.AuthData, hash()...), assertion.Signature)
			}
		}
	}
}

func TestAgreement_refuses(t *testing.T) {
	a, err := ctap.NewAgreement()
	if err != nil {
		t.Fatal(err)
	}
	c := credential(t, nil)
	bare := c
	bare.Secret = secret.Bytes{}
	for _, protocol := range []int{1, 2} {
		p := newPlatform(t, protocol, a.COSE())
		good := p.input(make([]byte, 32))
		for name, w := range map[string]struct {
			change func(*ctap.HMACSecretInput)
			c      ctap.Credential
			want   ctap.Code
		}{
			"another code":       {func(in *ctap.HMACSecretInput) { in.SaltAuth[0] ^= 1 }, c, ctap.PINAuthInvalid},
			"a short code":       {func(in *ctap.HMACSecretInput) { in.SaltAuth = in.SaltAuth[:15] }, c, ctap.PINAuthInvalid},
			"no code":            {func(in *ctap.HMACSecretInput) { in.SaltAuth = nil }, c, ctap.PINAuthInvalid},
			"other salts":        {func(in *ctap.HMACSecretInput) { in.SaltEnc[0] ^= 1 }, c, ctap.PINAuthInvalid},
			"half a salt":        {func(in *ctap.HMACSecretInput) { *in = p.input(make([]byte, 16)) }, c, ctap.InvalidLength},
			"three salts":        {func(in *ctap.HMACSecretInput) { *in = p.input(make([]byte, 96)) }, c, ctap.InvalidLength},
			"no salt":            {func(in *ctap.HMACSecretInput) { *in = p.input(nil) }, c, ctap.InvalidLength},
			"no protocol":        {func(in *ctap.HMACSecretInput) { in.Protocol = 3 }, c, ctap.InvalidParameter},
			"the other protocol": {func(in *ctap.HMACSecretInput) { in.Protocol = 3 - protocol }, c, ctap.PINAuthInvalid},
			"no key":             {func(in *ctap.HMACSecretInput) { in.KeyAgreement = nil }, c, ctap.InvalidParameter},
			"a cut key":          {func(in *ctap.HMACSecretInput) { in.KeyAgreement = in.KeyAgreement[:70] }, c, ctap.InvalidParameter},
			"off the curve":      {func(in *ctap.HMACSecretInput) { in.KeyAgreement[50] ^= 1 }, c, ctap.InvalidParameter},
			"no secret":          {func(*ctap.HMACSecretInput) {}, bare, ctap.InvalidCredential},
		} {
			in := ctap.HMACSecretInput{
				KeyAgreement: bytes.Clone(good.KeyAgreement), SaltEnc: bytes.Clone(good.SaltEnc),
				SaltAuth: bytes.Clone(good.SaltAuth), Protocol: good.Protocol,
			}
			w.change(&in)
			_, err := a.Answer(in, w.c, true)
			t.Run(fmt.Sprint(name, " ", protocol), func(t *testing.T) { refused(t, err, w.want) })
		}
	}
	if _, err := ctap.ParseAgreement(secret.New(make([]byte, 32))); err == nil {
		t.Error("ParseAgreement() takes zero")
	}
	if zero := (ctap.Agreement{}); zero.COSE() != nil || !zero.Scalar().IsEmpty() {
		t.Error("the zero agreement has a key")
	}
	_, err = (ctap.Agreement{}).Agree(a.COSE(), ctap.PINProtocolTwo)
	refused(t, err, ctap.InvalidParameter)
}
