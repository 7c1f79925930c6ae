package grant

import "crypto/sha256"

// Medium is by what a door was to be opened.
type Medium string

// The media. None is for events that are no opening: a start, the lease's end.
const (
	None    Medium = ""
	PIN     Medium = "pin"
	App     Medium = "app"
	Keycard Medium = "keycard"
	Panel   Medium = "panel" // "Open now", by an administrator
)

// Outcome is how it ended.
type Outcome string

// The outcomes.
const (
	Opened  Outcome = "opened"
	Refused Outcome = "refused"
	Notice  Outcome = "notice" // no opening was asked for
)

// Quality says how far a controller trusts its clock.
type Quality string

// The qualities.
const (
	Trusted   Quality = "trusted"   // told by the server since the start
	Battery   Quality = "battery"   // from a battery clock that is not behind what was known
	Untrusted Quality = "untrusted" // neither: the clock runs on from the last known time
)

// The reasons of events, beside those of Grant.At. They are stable.
const (
	ReasonUnknownPIN     = "unknown_pin"
	ReasonUnknownCard    = "unknown_card"
	ReasonUnknownGrant   = "unknown_grant" // a command for a key that the door does not hold
	ReasonWrongKind      = "wrong_kind"    // the key is not to be used by this medium
	ReasonLeaseEnded     = "lease_ended"
	ReasonClockUntrusted = "clock_untrusted"
	ReasonKeypadPaused   = "keypad_paused" // of an event: the keypad pauses from here on
	ReasonLate           = "late"          // a command after its time
	ReasonRepeated       = "repeated"      // a command that was executed before
	ReasonDoorFailed     = "door_failed"   // the door's output did not do it
	ReasonBoot           = "boot"
	ReasonCardTaught     = "card_taught"
	ReasonNoCard         = "no_card" // no card was tapped in time
)

// CommandID names a command, so that it is executed at most once.
type CommandID [16]byte

// Event is one line of a controller's record. Each holds the hash of the one before.
type Event struct {
	Seq     uint64     `cbor:"seq"`
	Prev    [32]byte   `cbor:"prev_hash"`
	At      int64      `cbor:"at"` // the controller's clock, Unix milliseconds
	Boot    uint64     `cbor:"boot"`
	Clock   Quality    `cbor:"clock"`
	Grant   *ID        `cbor:"grant,omitempty"`
	Command *CommandID `cbor:"command,omitempty"`
	Medium  Medium     `cbor:"medium"`
	Outcome Outcome    `cbor:"outcome"`
	Reason  string     `cbor:"reason"`
	Epoch   uint64     `cbor:"epoch"`
	Version uint64     `cbor:"version"` // in force then
	Count   uint32     `cbor:"count"`   // how many like events it stands for, from 1
	Offline bool       `cbor:"offline"` // the link was down
}

// maxReason bounds a reason's length, in bytes.
const maxReason = 32

// Valid says whether the event is one that can be.
func (e Event) Valid() bool {
	switch e.Medium {
	case None, PIN, App, Keycard, Panel:
	default:
		return false
	}
	switch e.Outcome {
	case Opened, Refused, Notice:
	default:
		return false
	}
	switch e.Clock {
	case Trusted, Battery, Untrusted:
	default:
		return false
	}
	return e.Seq > 0 && e.At >= 0 && e.Count > 0 && len(e.Reason) <= maxReason
}

// Hash returns SHA-256 over the event in its form on the wire: what the next one holds.
func (e Event) Hash() [32]byte { return sha256.Sum256(encode(e)) }
