// Package id makes and parses the public identifiers: a prefix that says what
// is named, and a UUIDv7 in base32 (the TypeID form), so that ids sort by the
// moment they were made. Each kind of id is a type of its own: a user's id
// cannot be passed where an API key's is wanted.
package id

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// ID names one thing of kind K. The zero value "" names nothing.
type ID[K Kind] string

// Kind is the set of things that have ids.
type Kind interface{ prefix() string }

// The kinds of ids and their types.
type (
	KindWorkspace     struct{}
	KindUser          struct{}
	KindGroup         struct{}
	KindAdministrator struct{}
	KindAPIKey        struct{}
	KindActivity      struct{}
	KindJob           struct{}
	KindPasskey       struct{}
	KindSession       struct{}
	KindSetupLink     struct{}
	KindCeremony      struct{}
	KindCode          struct{}
	KindSecurityKey   struct{}
	KindAccessPass    struct{}
	KindActivation    struct{}
	KindLock          struct{}
	KindDigitalKey    struct{}
	KindLockCommand   struct{}
	KindLockEvent     struct{}
	KindClient        struct{}
	KindCredential    struct{}
	KindEnrolmentCode struct{}
	KindTouch         struct{}

	Workspace     = ID[KindWorkspace]
	User          = ID[KindUser]
	Group         = ID[KindGroup]
	Administrator = ID[KindAdministrator]
	APIKey        = ID[KindAPIKey]
	Activity      = ID[KindActivity]
	Job           = ID[KindJob]
	Passkey       = ID[KindPasskey]
	Session       = ID[KindSession]
	SetupLink     = ID[KindSetupLink]
	Ceremony      = ID[KindCeremony]
	Code          = ID[KindCode]
	SecurityKey   = ID[KindSecurityKey]
	AccessPass    = ID[KindAccessPass]
	Activation    = ID[KindActivation]
	Lock          = ID[KindLock]
	DigitalKey    = ID[KindDigitalKey]
	LockCommand   = ID[KindLockCommand]
	LockEvent     = ID[KindLockEvent]
	Client        = ID[KindClient]
	Credential    = ID[KindCredential]
	EnrolmentCode = ID[KindEnrolmentCode]
	Touch         = ID[KindTouch]
)

func (KindWorkspace) prefix() string     { return "ws" }
func (KindUser) prefix() string          { return "user" }
func (KindGroup) prefix() string         { return "grp" }
func (KindAdministrator) prefix() string { return "adm" }
func (KindAPIKey) prefix() string        { return "key" }
func (KindActivity) prefix() string      { return "act" }
func (KindJob) prefix() string           { return "job" }
func (KindPasskey) prefix() string       { return "psk" }
func (KindSession) prefix() string       { return "ses" }
func (KindSetupLink) prefix() string     { return "slk" }
func (KindCeremony) prefix() string      { return "cer" }
func (KindCode) prefix() string          { return "code" }
func (KindSecurityKey) prefix() string   { return "sk" }
func (KindAccessPass) prefix() string    { return "tap" }
func (KindActivation) prefix() string    { return "acn" }
func (KindLock) prefix() string          { return "lock" }
func (KindDigitalKey) prefix() string    { return "dk" }
func (KindLockCommand) prefix() string   { return "cmd" }
func (KindLockEvent) prefix() string     { return "evt" }
func (KindClient) prefix() string        { return "cli" }
func (KindCredential) prefix() string    { return "cred" }
func (KindEnrolmentCode) prefix() string { return "enr" }
func (KindTouch) prefix() string         { return "tch" } // "tap" is a temporary access pass

// alphabet is Crockford's base32 in lower case, as TypeID fixes it.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// encodedLen is the length of 128 bits in base32 with two leading zero bits.
const encodedLen = 26

// New returns a new id of kind K. The time part is now; the rest is random.
func New[K Kind](now time.Time) ID[K] {
	var u [16]byte
	_, _ = rand.Read(u[:]) // crypto/rand.Read never returns an error
	ms := uint64(now.UnixMilli())
	u[0], u[1], u[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	u[3], u[4], u[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	u[6] = 0x70 | u[6]&0x0f // version 7, RFC 9562 §5.7
	u[8] = 0x80 | u[8]&0x3f // variant 10
	var k K
	return ID[K](k.prefix() + "_" + encode(u))
}

// Parse returns s as an id of kind K; ok is false if s is of another kind or
// not in canonical form.
func Parse[K Kind](s string) (v ID[K], ok bool) {
	var k K
	body, found := strings.CutPrefix(s, k.prefix()+"_")
	if !found {
		return "", false
	}
	if _, ok := decode(body); !ok {
		return "", false
	}
	return ID[K](s), true
}

// Bytes returns the 16 bytes of the UUID in v. It is nil for an id that Parse
// would refuse.
func (v ID[K]) Bytes() []byte {
	_, body, _ := strings.Cut(string(v), "_")
	u, ok := decode(body)
	if !ok {
		return nil
	}
	return u[:]
}

// FromBytes returns the id of kind K whose UUID is raw; ok is false unless raw
// is 16 bytes long.
func FromBytes[K Kind](raw []byte) (v ID[K], ok bool) {
	if len(raw) != 16 {
		return "", false
	}
	var k K
	return ID[K](k.prefix() + "_" + encode([16]byte(raw))), true
}

func encode(u [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	var out [encodedLen]byte
	for i := encodedLen - 1; i >= 0; i-- {
		out[i] = alphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

func decode(s string) (u [16]byte, ok bool) {
	if len(s) != encodedLen || s[0] > '7' {
		return u, false
	}
	var hi, lo uint64
	for i := range encodedLen {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return u, false
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(d)
	}
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	return u, true
}
