// Package grant is what a door's controller is told and what it tells: grants, the
// frames that carry them, and the events that come back, in the form that goes over the
// wire (deterministic CBOR, RFC 8949 §4.2; docs/locks.md). It decides what is well formed
// and what a grant says about a moment; it refuses to know who holds a grant and how a
// frame travels.
package grant

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// ID names a grant: the 16 bytes of the digital key's id.
type ID [16]byte

// Kinds says by what a grant may be used, as bits.
type Kinds uint8

// The kinds.
const (
	ByPIN Kinds = 1 << iota
	ByApp
	ByCard
	allKinds = ByPIN | ByApp | ByCard
)

// Flags are marks of a grant, as bits.
type Flags uint8

// SurvivesLease lets a grant open after the lease has ended and while the controller does
// not trust its clock.
const (
	SurvivesLease Flags = 1 << iota
	allFlags            = SurvivesLease
)

// Tag is what stands at the door for a PIN or a card's number: see PINTag and CardTag.
type Tag [16]byte

// Window is a span of time in Unix seconds: From belongs to it, To does not.
type Window struct {
	_    struct{} `cbor:",toarray"`
	From int64
	To   int64
}

// Grant is what a controller is told of a digital key. It holds no names. Times are Unix
// seconds; it opens from NotBefore on and before NotAfter.
type Grant struct {
	ID        ID    `cbor:"id"`
	NotBefore int64 `cbor:"not_before"`
	NotAfter  int64 `cbor:"not_after"`
	// Weekly says that the grant opens inside Windows only, which are sorted and do not
	// touch.
	Weekly  bool     `cbor:"weekly,omitempty"`
	Windows []Window `cbor:"windows,omitempty"`
	Kinds   Kinds    `cbor:"kinds"`
	PIN     *Tag     `cbor:"pin,omitempty"`  // with ByPIN
	Card    *Tag     `cbor:"card,omitempty"` // with ByCard, once a card is known
	Flags   Flags    `cbor:"flags"`
}

// Limits of a grant and of what a controller holds.
const (
	MaxWindows = 400   // 35 days with several spans each
	MaxGrants  = 10000 // that one controller holds
	MaxRing    = 10000 // events that a controller keeps
)

// Valid says whether the grant is one that can be.
func (g Grant) Valid() bool {
	if g.NotBefore >= g.NotAfter || g.NotBefore < 0 || g.Kinds == 0 || g.Kinds&^allKinds != 0 || g.Flags&^allFlags != 0 || len(g.Windows) > MaxWindows {
		return false
	}
	if g.Kinds&ByPIN != 0 != (g.PIN != nil) || g.Card != nil && g.Kinds&ByCard == 0 || !g.Weekly && len(g.Windows) > 0 {
		return false
	}
	last := int64(-1)
	for _, w := range g.Windows {
		if w.From <= last || w.From >= w.To {
			return false
		}
		last = w.To
	}
	return true
}

// The reasons why a grant does not open at a moment. Empty for one that does.
const (
	ReasonNotYet       = "not_yet"
	ReasonExpired      = "expired"
	ReasonOutsideHours = "outside_hours"
)

// At says why the grant does not open at the moment, in Unix seconds; empty if it does.
func (g Grant) At(now int64) string {
	switch {
	case now >= g.NotAfter:
		return ReasonExpired
	case now < g.NotBefore:
		return ReasonNotYet
	case !g.Weekly:
		return ""
	}
	for _, w := range g.Windows {
		if now >= w.From && now < w.To {
			return ""
		}
	}
	return ReasonOutsideHours
}

// MinPIN and MaxPIN bound the length of a PIN, in digits.
const (
	MinPIN = 4
	MaxPIN = 6
)

// IsPIN says whether text is a PIN: MinPIN to MaxPIN digits.
func IsPIN(text string) bool {
	if len(text) < MinPIN || len(text) > MaxPIN {
		return false
	}
	for _, r := range []byte(text) {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// PINTag returns what stands at the door for a PIN: HMAC-SHA256 under the lock's secret
// over its length, one byte, and its digits, the first 16 bytes.
func PINTag(lock, pin secret.Bytes) Tag { return tag(lock, pin.Expose()) }

// CardTag returns what stands at the door for a card: as PINTag, over the bytes of the
// card's UID. The two never meet: a grant has a field for each.
func CardTag(lock secret.Bytes, uid []byte) Tag { return tag(lock, uid) }

// SecretIdentity names the row to which a lock's sealed secret is bound.
func SecretIdentity(workspace, lock string) seal.Identity {
	return seal.Identity{Workspace: workspace, Owner: workspace, Kind: "lock_secret", ID: lock}
}

func tag(lock secret.Bytes, value []byte) Tag {
	mac := hmac.New(sha256.New, lock.Expose())
	mac.Write([]byte{byte(len(value))})
	mac.Write(value)
	return Tag(mac.Sum(nil)[:16])
}
