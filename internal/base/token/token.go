// Package token makes and reads the secrets that are shown once: API key tokens
// in the published format, and one-time secrets for sessions and links. It knows
// the form of a secret, never whether it is valid.
package token

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Kind is the type part of an API key token.
type Kind string

// The kinds of API key tokens, as they stand in the token.
const (
	KindAdmin  Kind = "admin"
	KindMobile Kind = "mobile"
	KindClient Kind = "client"
)

const (
	alphabet  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idLen     = 12
	secretLen = 32
	crcLen    = 6
	// maxLen bounds what Parse looks at; the longest kind has six letters.
	maxLen = len("kh_mobile_") + idLen + 1 + secretLen + crcLen
	minLen = len("kh_admin_") + idLen + 1 + secretLen + crcLen
	// tailLen is what follows the kind.
	tailLen = 1 + idLen + 1 + secretLen + crcLen
)

// Pattern finds API key tokens in text, for secret scanners (RE2 syntax).
const Pattern = `kh_(admin|mobile|client)_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}`

// Token is an API key's secret half: kh_<type>_<token id>_<secret><crc>. ID is
// public; the whole is not.
type Token struct {
	Kind  Kind
	ID    string
	whole secret.Bytes
}

// Issue returns a new token of the kind with 190 bits of randomness.
func Issue(kind Kind) Token {
	tokenID := random(idLen)
	head := "kh_" + string(kind) + "_" + tokenID + "_" + random(secretLen)
	return Token{Kind: kind, ID: tokenID, whole: secret.FromString(head + checksum(head))}
}

// Parse reads a token. It returns false for anything that is not a whole token
// with the right checksum, without saying why.
func Parse(s string) (Token, bool) {
	if len(s) > maxLen || len(s) < minLen || s[:3] != "kh_" {
		return Token{}, false
	}
	tail := len(s) - tailLen // of the kind
	kind := Kind(s[3:tail])
	if kind != KindAdmin && kind != KindMobile && kind != KindClient {
		return Token{}, false
	}
	tokenID, rest := s[tail+1:tail+1+idLen], s[tail+2+idLen:]
	if s[tail] != '_' || s[tail+1+idLen] != '_' || !isBase62(tokenID) || !isBase62(rest) {
		return Token{}, false
	}
	head := s[:len(s)-crcLen]
	if !isChecksum(s[len(s)-crcLen:], head) {
		return Token{}, false
	}
	return Token{Kind: kind, ID: tokenID, whole: secret.FromString(s)}, true
}

// Secret returns the whole token, the secret that is shown once.
func (t Token) Secret() secret.Bytes { return t.whole }

// Hash returns HMAC-SHA256 of the whole token under pepper: what is stored.
func (t Token) Hash(pepper secret.Bytes) []byte {
	mac := hmac.New(sha256.New, pepper.Expose())
	mac.Write(t.whole.Expose())
	return mac.Sum(nil)
}

// NewOneTime returns a secret of 43 base62 characters (256 bits) for a session
// or a link.
func NewOneTime() secret.Bytes { return secret.FromString(random(43)) }

// Digest returns SHA-256 of a one-time secret: what is stored. Its entropy makes
// a keyed or slow hash needless.
func Digest(s secret.Bytes) []byte {
	sum := sha256.Sum256(s.Expose())
	return sum[:]
}

// emailCodes is how many codes by e-mail there are: eight digits.
const emailCodes = 100_000_000

// EmailCode returns the code of eight digits that belongs to the id under key, each
// equally likely: what is sent by e-mail and typed again.
func EmailCode(key secret.Bytes, id string) string {
	// What lies above the largest multiple would favour some codes.
	const limit = math.MaxUint32 / emailCodes * emailCodes
	for round := byte(0); ; round++ {
		mac := hmac.New(sha256.New, key.Expose())
		mac.Write([]byte{round})
		mac.Write([]byte(id))
		for sum := mac.Sum(nil); len(sum) > 0; sum = sum[4:] {
			if v := binary.BigEndian.Uint32(sum); v < limit {
				return fmt.Sprintf("%08d", v%emailCodes)
			}
		}
	}
}

// passAlphabet are the characters of temporary access passes: none of them is taken
// for another. There are 32, so that each is equally likely.
const passAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// NewAccessPass returns the code of a temporary access pass of n characters.
func NewAccessPass(n int) secret.Bytes {
	out := make([]byte, n)
	_, _ = rand.Read(out) // crypto/rand.Read never returns an error
	for i, b := range out {
		out[i] = passAlphabet[b%byte(len(passAlphabet))]
	}
	return secret.New(out)
}

// AccessPassDigest returns what is stored of the code of the temporary access pass of
// that id: HMAC-SHA256 under key, since the shortest codes could be guessed from a
// plain hash. The code is read as people type it: in any case, with spaces and hyphens.
func AccessPassDigest(key secret.Bytes, id string, code secret.Bytes) []byte {
	mac := hmac.New(sha256.New, key.Expose())
	mac.Write([]byte("keyhold/access-pass/v1\x00"))
	mac.Write([]byte(id))
	mac.Write([]byte{0})
	mac.Write(typedPass(code.Expose()))
	return mac.Sum(nil)
}

// typedPass returns a typed code without what people put between its characters, in
// upper case.
func typedPass(code []byte) []byte {
	const maxTyped = 200 // more is no code, however it is written
	out := make([]byte, 0, min(len(code), maxTyped))
	if len(code) > maxTyped {
		return out
	}
	for _, c := range code {
		switch {
		case c == ' ' || c == '-' || c == '\t':
		case c >= 'a' && c <= 'z':
			out = append(out, c-'a'+'A')
		default:
			out = append(out, c)
		}
	}
	return out
}

// linkLen is the length of a link's proof: 16 bytes in base64url without padding.
const linkLen = 22

// Link returns the secret of a link that is sent by e-mail: it belongs to the id under
// key and stands in no table.
func Link(key secret.Bytes, id string) secret.Bytes {
	return secret.FromString(id + "." + linkProof(key, id))
}

// LinkID returns the id to which a link's secret belongs under key; ok is false if it
// belongs to none.
func LinkID(key secret.Bytes, value secret.Bytes) (id string, ok bool) {
	id, proof, found := strings.Cut(value.ExposeString(), ".")
	if !found || len(proof) != linkLen || len(id) > 100 {
		return "", false
	}
	return id, secret.FromString(proof).Equal(secret.FromString(linkProof(key, id)))
}

func linkProof(key secret.Bytes, id string) string {
	mac := hmac.New(sha256.New, key.Expose())
	mac.Write([]byte("keyhold/link/v1\x00"))
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// random returns n base62 characters, each equally likely.
func random(n int) string {
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		_, _ = rand.Read(buf[:]) // crypto/rand.Read never returns an error
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte; what lies above would favour some letters.
			if b < 248 && len(out) < n {
				out = append(out, alphabet[b%62])
			}
		}
	}
	return string(out)
}

// checksum returns CRC-32 (IEEE) of s as a base62 number of six characters, most
// significant first.
func checksum(s string) string {
	out := sum(s)
	return string(out[:])
}

// isChecksum says whether text is the checksum of s.
func isChecksum(text, s string) bool {
	out := sum(s)
	return text == string(out[:])
}

func sum(s string) (out [crcLen]byte) {
	var buffer [maxLen]byte
	v := crc32.ChecksumIEEE(append(buffer[:0], s...))
	for i := crcLen - 1; i >= 0; i-- {
		out[i] = alphabet[v%62]
		v /= 62
	}
	return out
}

func isBase62(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// Enrolment is what a door's controller enrols with, once:
// khe_<lock>_<secret>_<base64url of the SHA-256 of the workspace's lock root key>. The
// digest lets the controller know the server's answer from everybody else's.
type Enrolment struct {
	Lock   id.Lock
	Root   [sha256.Size]byte
	secret string
}

const enrolmentHead = "khe_"

// NewEnrolment returns a new token for the lock with 190 bits of randomness.
func NewEnrolment(lock id.Lock, root [sha256.Size]byte) Enrolment {
	return Enrolment{Lock: lock, Root: root, secret: random(secretLen)}
}

// ParseEnrolment reads an enrolment's token. It returns false for anything else.
func ParseEnrolment(s string) (Enrolment, bool) {
	const rootLen = 43 // of 32 bytes in base64url
	lockLen := len(string(id.New[id.KindLock](time.UnixMilli(0))))
	if len(s) != len(enrolmentHead)+lockLen+1+secretLen+1+rootLen || !strings.HasPrefix(s, enrolmentHead) {
		return Enrolment{}, false
	}
	rest := s[len(enrolmentHead):]
	lock, ok := id.Parse[id.KindLock](rest[:lockLen])
	mid, tail := rest[lockLen:lockLen+1+secretLen+1], rest[lockLen+1+secretLen+1:]
	part := mid[1 : 1+secretLen]
	root, err := base64.RawURLEncoding.Strict().DecodeString(tail)
	if !ok || mid[0] != '_' || mid[1+secretLen] != '_' || !isBase62(part) || err != nil {
		return Enrolment{}, false
	}
	return Enrolment{Lock: lock, Root: [sha256.Size]byte(root), secret: part}, true
}

// Secret returns the whole token, the secret that is shown once.
func (e Enrolment) Secret() secret.Bytes {
	return secret.FromString(enrolmentHead + string(e.Lock) + "_" + e.secret + "_" + base64.RawURLEncoding.EncodeToString(e.Root[:]))
}

// Digest returns SHA-256 of the whole token: what is stored.
func (e Enrolment) Digest() []byte { return Digest(e.Secret()) }
