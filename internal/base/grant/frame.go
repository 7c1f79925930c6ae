package grant

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/keyhold/keyhold/internal/base/cose"
)

// Type names a frame.
type Type string

// The frames. "up" goes from the controller to the server.
const (
	TypeHello       Type = "hello"       // up, Hello
	TypeSnapshot    Type = "snapshot"    // down, signed, Snapshot
	TypeDelta       Type = "delta"       // down, signed, Delta
	TypeBeacon      Type = "beacon"      // down, signed, Beacon
	TypeApplied     Type = "applied"     // up, Applied
	TypeEvents      Type = "events"      // up, signed by the lock's key, Events
	TypeEventAck    Type = "event_ack"   // down, EventAck
	TypeCommand     Type = "command"     // down, signed, Command
	TypeResult      Type = "result"      // up, Result
	TypeState       Type = "state"       // up, State
	TypeRenew       Type = "renew"       // up, Renew
	TypeCertificate Type = "certificate" // down, Certificate
	typeEnrolment   Type = "enrolment"
)

// Frame is one message on the link: a type, and a body that is CBOR, or for the signed
// types a COSE_Sign1 message around it.
type Frame struct {
	_    struct{} `cbor:",toarray"`
	Type Type
	Body []byte
}

// Limits of frames, in bytes, and of what they hold.
const (
	MaxUp     = 256 << 10
	MaxDown   = 8 << 20
	MaxBatch  = 200 // events in one frame
	NonceSize = 16
)

// Hello begins a link, and is said again whenever the controller cannot use what it is
// sent. Clock is Unix milliseconds.
type Hello struct {
	Epoch      uint64  `cbor:"epoch"`
	Version    uint64  `cbor:"version"`
	EventFirst uint64  `cbor:"event_first"` // the oldest event that is kept; 1 if there is none
	EventLast  uint64  `cbor:"event_last"`  // the newest; 0 if there was none
	Clock      int64   `cbor:"clock"`
	Quality    Quality `cbor:"quality"`
	Boot       uint64  `cbor:"boot"`
	Nonce      []byte  `cbor:"nonce"`    // NonceSize bytes, new for each hello
	Software   string  `cbor:"software"` // name and version, for people
}

// State is what the door says of itself. The zero values say that it is not known.
type State struct {
	Lock    string `cbor:"lock"`    // "locked", "unlocked" or ""
	Door    string `cbor:"door"`    // "closed", "open" or ""
	Battery *uint8 `cbor:"battery"` // percent, nil if there is none
}

// Snapshot is all that a controller holds from then on. Times are Unix seconds.
type Snapshot struct {
	Type        Type    `cbor:"type"`
	Lock        string  `cbor:"lock"`
	Epoch       uint64  `cbor:"epoch"`
	Version     uint64  `cbor:"version"`
	Issued      int64   `cbor:"issued"`
	LeaseUntil  int64   `cbor:"lease_until"`
	OpenSeconds uint16  `cbor:"open_seconds"`
	Grants      []Grant `cbor:"grants"`
}

// Op is one change: a grant that is put in the place of the one with its id, or one that
// goes. Exactly one of the two is set.
type Op struct {
	Put    *Grant `cbor:"put,omitempty"`
	Remove *ID    `cbor:"remove,omitempty"`
}

// Delta is what changes between two versions.
type Delta struct {
	Type        Type   `cbor:"type"`
	Lock        string `cbor:"lock"`
	Epoch       uint64 `cbor:"epoch"`
	From        uint64 `cbor:"from"`
	To          uint64 `cbor:"to"`
	Issued      int64  `cbor:"issued"`
	LeaseUntil  int64  `cbor:"lease_until"`
	OpenSeconds uint16 `cbor:"open_seconds"`
	Ops         []Op   `cbor:"ops"`
}

// Beacon tells the time and how long the controller may decide by itself. Now is Unix
// milliseconds, LeaseUntil Unix seconds. Nonce is that of the last hello.
type Beacon struct {
	Type       Type   `cbor:"type"`
	Lock       string `cbor:"lock"`
	Now        int64  `cbor:"now"`
	Epoch      uint64 `cbor:"epoch"`
	Version    uint64 `cbor:"version"`
	LeaseUntil int64  `cbor:"lease_until"`
	Nonce      []byte `cbor:"nonce"`
}

// Applied says what is in force at the door, and stays so over a power cut.
type Applied struct {
	Epoch   uint64 `cbor:"epoch"`
	Version uint64 `cbor:"version"`
}

// Events is a batch of events, in their order and without gaps.
type Events struct {
	Type   Type    `cbor:"type"`
	Lock   string  `cbor:"lock"`
	Events []Event `cbor:"events"`
}

// EventAck says through which event the server has the record. After a hello it also says
// from where to go on.
type EventAck struct {
	Through uint64 `cbor:"through"`
}

// The operations of a command.
const (
	OpOpen      = "open"
	OpTeachCard = "teach_card" // tell the number of the card that is tapped next
)

// CommandLife is how long a command is good after it was made, in seconds.
const CommandLife = 10

// TeachSeconds is how long a controller waits for a card after teach_card.
const TeachSeconds = 30

// Command is something to be done now, once. NotAfter is Unix milliseconds.
type Command struct {
	Type     Type      `cbor:"type"`
	Lock     string    `cbor:"lock"`
	ID       CommandID `cbor:"id"`
	Op       string    `cbor:"op"`
	Grant    *ID       `cbor:"grant,omitempty"` // whose right it is; nil for an administrator's
	NotAfter int64     `cbor:"not_after"`
}

// Result is what became of a command.
type Result struct {
	ID      CommandID `cbor:"id"`
	Outcome Outcome   `cbor:"outcome"`
	Reason  string    `cbor:"reason"`
	Card    []byte    `cbor:"card,omitempty"` // of teach_card: the UID
}

// Renew asks for another certificate. CSR is PKCS #10 in DER, for the controller's key.
type Renew struct {
	CSR []byte `cbor:"csr"`
}

// Certificate is the answer, X.509 in DER.
type Certificate struct {
	Certificate []byte `cbor:"certificate"`
}

// Enrolment is what a controller gets for its token. The workspace's lock root signs it,
// and the token holds the digest of Root, so that nobody else can.
type Enrolment struct {
	Type         Type     `cbor:"type"`
	Lock         string   `cbor:"lock"`
	Name         string   `cbor:"name"` // of the lock, for people
	Root         []byte   `cbor:"root"` // Ed25519 public key
	CA           []byte   `cbor:"ca"`   // X.509 in DER
	Certificate  []byte   `cbor:"certificate"`
	SigningKeys  [][]byte `cbor:"signing_keys"` // Ed25519 public keys: the current one and the next
	Secret       []byte   `cbor:"secret"`       // of the lock, for tags
	Epoch        uint64   `cbor:"epoch"`
	Link         string   `cbor:"link"`        // wss://host:port/locks/v1/link
	ServerName   string   `cbor:"server_name"` // what the link's certificate says
	LeaseSeconds uint32   `cbor:"lease_seconds"`
}

// SecretSize is the length of a lock's secret, in bytes.
const SecretSize = 32

// ErrMalformed is in the error for bytes that are no such frame.
var ErrMalformed = errors.New("this is no frame of the lock link")

// External returns what every signature for or by a lock is made over besides.
func External(lock string) []byte { return []byte("keyhold/lock/v1|" + lock) }

// The modes of CBOR.
//
// constant: nobody writes them.
var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 8, MaxArrayElements: MaxGrants + 16, MaxMapPairs: 32, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IntDec: cbor.IntDecConvertNone, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err) // the options above are constants
	}
	return mode
}

// encode writes one of this package's types.
func encode(v any) []byte {
	out, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("grant: %T cannot be written: %v", v, err)) // they all can
	}
	return out
}

// Encode returns an unsigned frame around one of this package's bodies.
func Encode(t Type, body any) []byte { return encode(Frame{Type: t, Body: encode(body)}) }

// Sign returns a signed frame around one of this package's bodies whose Type is t and
// whose Lock is lock.
func Sign(t Type, lock string, body any, key ed25519.PrivateKey) ([]byte, error) {
	message, err := cose.Sign(key, encode(body), External(lock))
	if err != nil {
		return nil, err
	}
	return encode(Frame{Type: t, Body: message}), nil
}

// Decode reads a frame of at most limit bytes. The error is ErrMalformed.
func Decode(raw []byte, limit int) (Frame, error) {
	var f Frame
	if len(raw) > limit {
		return f, fmt.Errorf("%w: it has %d bytes, and %d are allowed", ErrMalformed, len(raw), limit)
	}
	if err := decMode.Unmarshal(raw, &f); err != nil {
		return f, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return f, nil
}

// checked is a body that knows what it must look like.
type checked interface{ check() bool }

// Read reads the body of an unsigned frame into v, a pointer to one of this package's
// types. The error is ErrMalformed.
func Read(body []byte, v any) error {
	if err := decMode.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if c, ok := v.(checked); ok && !c.check() {
		return fmt.Errorf("%w: a value of %T is out of bounds", ErrMalformed, v)
	}
	return nil
}

// signed is a body of a signed frame.
type signed interface{ about() (Type, string) }

// ReadSigned verifies a signed frame's body and reads it into v, a pointer to the body
// that t has. It must be signed by one of the keys for this lock: else the error is
// cose.ErrNotSigned; what is signed and no such body is ErrMalformed.
func ReadSigned(body []byte, t Type, lock string, v any, keys ...ed25519.PublicKey) error {
	payload, err := cose.Verify(body, External(lock), keys...)
	if err != nil {
		return err
	}
	return readAbout(payload, t, lock, v)
}

func readAbout(payload []byte, t Type, lock string, v any) error {
	if err := Read(payload, v); err != nil {
		return err
	}
	s, ok := v.(signed)
	if !ok {
		return fmt.Errorf("%w: %T is not signed", ErrMalformed, v)
	}
	if gotType, gotLock := s.about(); gotType != t || gotLock != lock {
		return fmt.Errorf("%w: it is %s for %s", ErrMalformed, gotType, gotLock)
	}
	return nil
}

func (s *Snapshot) about() (Type, string)  { return s.Type, s.Lock }
func (d *Delta) about() (Type, string)     { return d.Type, d.Lock }
func (b *Beacon) about() (Type, string)    { return b.Type, b.Lock }
func (c *Command) about() (Type, string)   { return c.Type, c.Lock }
func (e *Events) about() (Type, string)    { return e.Type, e.Lock }
func (e *Enrolment) about() (Type, string) { return e.Type, e.Lock }

const maxText = 200 // of what is for people, in bytes

func (h *Hello) check() bool {
	return len(h.Nonce) == NonceSize && len(h.Software) <= maxText && h.Clock >= 0 && h.EventFirst > 0 && h.EventLast < 1<<62 && h.EventFirst <= h.EventLast+1 &&
		(h.Quality == Trusted || h.Quality == Battery || h.Quality == Untrusted) && h.Epoch < 1<<62 && h.Version < 1<<62
}

func (s *State) check() bool {
	return (s.Lock == "" || s.Lock == "locked" || s.Lock == "unlocked") && (s.Door == "" || s.Door == "open" || s.Door == "closed") && (s.Battery == nil || *s.Battery <= 100)
}

func (s *Snapshot) check() bool {
	if len(s.Grants) > MaxGrants || s.OpenSeconds == 0 {
		return false
	}
	seen := make(map[ID]bool, len(s.Grants))
	for _, g := range s.Grants {
		if !g.Valid() || seen[g.ID] {
			return false
		}
		seen[g.ID] = true
	}
	return true
}

func (d *Delta) check() bool {
	if len(d.Ops) > MaxGrants || d.From >= d.To || d.OpenSeconds == 0 {
		return false
	}
	for _, op := range d.Ops {
		if (op.Put == nil) == (op.Remove == nil) || op.Put != nil && !op.Put.Valid() {
			return false
		}
	}
	return true
}

func (a *Applied) check() bool { return a.Epoch < 1<<62 && a.Version < 1<<62 }

func (b *Beacon) check() bool { return len(b.Nonce) == NonceSize && b.Now > 0 }

func (c *Command) check() bool {
	return c.Op == OpOpen || c.Op == OpTeachCard && c.Grant == nil
}

func (e *Events) check() bool {
	if len(e.Events) == 0 || len(e.Events) > MaxBatch {
		return false
	}
	for i, event := range e.Events {
		if !event.Valid() || event.Seq != e.Events[0].Seq+uint64(i) || i > 0 && event.Prev != e.Events[i-1].Hash() {
			return false
		}
	}
	return true
}

func (r *Result) check() bool {
	return len(r.Reason) <= maxReason && (r.Outcome == Opened || r.Outcome == Refused || r.Outcome == Notice) && len(r.Card) <= 10
}

func (r *Renew) check() bool { return len(r.CSR) > 0 && len(r.CSR) <= 8<<10 }

func (c *Certificate) check() bool { return len(c.Certificate) > 0 && len(c.Certificate) <= 8<<10 }

func (e *Enrolment) check() bool {
	if len(e.Root) != ed25519.PublicKeySize || len(e.SigningKeys) != 2 || len(e.Secret) != SecretSize || len(e.Name) > 4*maxText || len(e.Link) > 4*maxText || len(e.ServerName) > maxText {
		return false
	}
	for _, key := range e.SigningKeys {
		if len(key) != ed25519.PublicKeySize {
			return false
		}
	}
	return len(e.CA) > 0 && len(e.Certificate) > 0
}
