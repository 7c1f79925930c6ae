package outbox

// What a LockAlarm tells of.
const (
	AlarmKeypadPaused      = "keypad_paused"       // too many wrong PINs
	AlarmOpenedAfterCancel = "opened_after_cancel" // with a key that was cancelled before; the lock had not heard
	AlarmRecordLost        = "record_lost"         // events are missing, or do not follow on those before
)

// LockAlarm tells who watches the doors of something that is not as it should be.
type LockAlarm struct {
	To         Recipient `json:"to"`
	Workspace  string    `json:"workspace"`
	Lock       string    `json:"lock"` // the id
	LockName   string    `json:"lock_name"`
	What       string    `json:"what"`
	At         int64     `json:"at"`                    // Unix milliseconds, by the door's clock
	Count      int       `json:"count"`                 // of keypad_paused: how many wrong PINs
	DigitalKey string    `json:"digital_key,omitempty"` // the id
	User       string    `json:"user,omitempty"`        // the name of the key's holder
}

// MessageKind returns "mail.lock_alarm".
func (LockAlarm) MessageKind() string { return "mail.lock_alarm" }

// LockLease warns that a lock that is offline soon decides nothing more by itself.
type LockLease struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	Lock      string    `json:"lock"` // the id
	LockName  string    `json:"lock_name"`
	Hours     int       `json:"hours"`   // at most so many are left
	EndsAt    int64     `json:"ends_at"` // Unix milliseconds
}

// MessageKind returns "mail.lock_lease".
func (LockLease) MessageKind() string { return "mail.lock_lease" }
