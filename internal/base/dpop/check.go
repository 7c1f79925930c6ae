package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/url"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// Reason says why a proof does not fit its request, for logs and tests. Empty is good.
type Reason string

// The reasons. Only ReasonNonce is told to the caller, as use_dpop_nonce: a proof that is
// right but for it may be made again with a fresh nonce.
const (
	ReasonMethod Reason = "method"
	ReasonURL    Reason = "url"
	ReasonToken  Reason = "token"
	ReasonOld    Reason = "iat_too_old"
	ReasonFuture Reason = "iat_in_future"
	ReasonBody   Reason = "body"
	ReasonNonce  Reason = "nonce" // missing, not ours, or too old
)

// Window is how far iat may be from now, either way. It is wider than a nonce's life:
// that a proof is fresh is shown by its nonce, which holds the server's own time, while
// iat holds that of a client whose clock may be minutes off. It still ends what was
// signed by a clock gone wild.
const Window = 5 * time.Minute

// NonceLife is how long a nonce is good.
const NonceLife = 2 * time.Minute

// nonceSkew is how far ahead the clock of the replica that issued a nonce may be.
const nonceSkew = 5 * time.Second

// ReplayLife is how long a proof's ID is to be remembered from the making of its nonce: by
// then the nonce is over on every replica, as long as their clocks differ by less than ten
// seconds.
const ReplayLife = NonceLife + 30*time.Second

// Request is what a proof is held against. URL is as the client reaches the server; its
// query does not count.
type Request struct {
	Method string
	URL    string
	Token  string
	Body   []byte
	Now    time.Time
}

// Check compares the proof with the request that brought it (RFC 9449 §4.3, steps 8 to
// 12). It looks at the nonce last, so ReasonNonce says that all else fits. The
// caller compares the key with the client's and spends ID.
func (p Proof) Check(r Request, n Nonces) Reason {
	switch {
	case p.Method != r.Method: // case counts (RFC 9110 §9.1)
		return ReasonMethod
	case !sameURL(p.URL, r.URL):
		return ReasonURL
	case !equal(p.TokenHash, TokenHash(r.Token)):
		return ReasonToken
	case r.Now.Sub(p.IssuedAt) > Window:
		return ReasonOld
	case p.IssuedAt.Sub(r.Now) > Window:
		return ReasonFuture
	case !equal(p.BodyHash, BodyHash(r.Body)):
		return ReasonBody
	case !n.Good(p.Nonce, r.Now):
		return ReasonNonce
	}
	return ""
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// sameURL says whether the two name the same target, without query and fragment (RFC 9449
// §4.3), after normalisation by syntax and scheme (RFC 3986 §6.2.2 and §6.2.3).
func sameURL(a, b string) bool {
	if a == b && !strings.ContainsAny(a, "@") {
		return true // nearly always
	}
	a, okA := normal(a)
	b, okB := normal(b)
	return okA && okB && a == b
}

// normal returns an http or https URL in its normal form, without query and fragment.
func normal(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Hostname() == "" {
		return "", false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	switch u.Scheme { // Parse has lower-cased it
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", false
	}
	// The path of a URL with a scheme stands by itself, but for its dot segments.
	if u, err = url.Parse(u.Scheme + "://host" + unescapePath(u.EscapedPath())); err != nil {
		return "", false
	}
	path := new(url.URL).ResolveReference(u).EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path, true
}

// unescapePath writes escapes in capitals, and unreserved characters without (RFC 3986
// §6.2.2.2).
func unescapePath(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			_ = out.WriteByte(path[i]) // it never fails
			continue
		}
		escape := path[i : i+3]
		if c, err := url.PathUnescape(escape); err == nil && isUnreserved(c[0]) {
			_, _ = out.WriteString(c)
		} else {
			_, _ = out.WriteString(strings.ToUpper(escape))
		}
		i += 2
	}
	return out.String()
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// Nonces makes and knows nonces without remembering them: a nonce is the time at which
// it was made and a tag over it. Replicas with the same key accept each other's. It is
// safe for use by several goroutines. The zero value finds none good.
type Nonces struct{ key secret.Bytes }

// nonceLabel parts the key of nonces from whatever else its source is used for.
const nonceLabel = "keyhold/dpop/nonce/v1"

// NewNonces returns the nonces of the key, which may have other uses: theirs is derived
// from it.
func NewNonces(key secret.Bytes) Nonces {
	m := hmac.New(sha256.New, key.Expose())
	m.Write([]byte(nonceLabel))
	return Nonces{secret.New(m.Sum(nil))}
}

// The parts of a nonce, in bytes.
const (
	nonceTime = 8
	nonceTag  = 24
)

// Issue returns a nonce that is good from now for NonceLife.
func (n Nonces) Issue(now time.Time) string {
	var at [nonceTime]byte
	binary.BigEndian.PutUint64(at[:], uint64(now.UnixMilli()))
	return strict.EncodeToString(append(at[:], n.tag(at[:])...))
}

// Good says whether the nonce is one of ours and alive.
func (n Nonces) Good(nonce string, now time.Time) bool {
	if n.key.IsEmpty() || strict.DecodedLen(len(nonce)) != nonceTime+nonceTag {
		return false
	}
	b, ok := decode(nonce)
	if !ok || len(b) != nonceTime+nonceTag || subtle.ConstantTimeCompare(b[nonceTime:], n.tag(b[:nonceTime])) != 1 {
		return false
	}
	age := now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b))))
	return age < NonceLife && age >= -nonceSkew
}

// Over returns when a nonce that was found good is over on every server, whatever their
// clocks say: until then a proof with it is remembered. It is the same for the same nonce.
func (n Nonces) Over(nonce string) time.Time {
	b, ok := decode(nonce)
	if !ok || len(b) != nonceTime+nonceTag {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).Add(ReplayLife)
}

func (n Nonces) tag(at []byte) []byte {
	m := hmac.New(sha256.New, n.key.Expose())
	m.Write(at)
	return m.Sum(nil)[:nonceTag]
}
