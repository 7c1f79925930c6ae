package outbox

import "github.com/keyhold/keyhold/internal/base/seal"

// DigitalKey is what mails about a digital key tell of it. Times are Unix milliseconds.
type DigitalKey struct {
	ID          string            `json:"id"`
	Description string            `json:"description,omitempty"`
	Doors       []DigitalKeyDoor  `json:"doors"`
	Timezone    string            `json:"timezone"`
	StartsAt    int64             `json:"starts_at"`
	ExpiresAt   int64             `json:"expires_at"`
	Hours       []DigitalKeyHours `json:"hours,omitempty"`
	Types       []string          `json:"types"` // pin, app, keycard
}

// DigitalKeyDoor is a lock that the key opens.
type DigitalKeyDoor struct {
	Name     string `json:"name"`
	Place    string `json:"place,omitempty"`
	Timezone string `json:"timezone"`
}

// DigitalKeyHours are hours of the week outside which the key does not open: minutes of
// the day, and days from 0 for Sunday.
type DigitalKeyHours struct {
	Days []int `json:"days"`
	From int   `json:"from"`
	To   int   `json:"to"`
}

// DigitalKeyPIN is a PIN on its way into a mail. Sealed is the PIN under the workspace's
// sealing key, bound to the key's id and Seal.
type DigitalKeyPIN struct {
	WorkspaceID string `json:"workspace_id"`
	KeyID       string `json:"key_id"`
	Seal        string `json:"seal"`
	Sealed      []byte `json:"sealed"`
}

// Identity names the row to which Sealed is bound.
func (p DigitalKeyPIN) Identity() seal.Identity {
	return seal.Identity{Workspace: p.WorkspaceID, Owner: p.KeyID, Kind: "digital_key_mail", ID: p.Seal}
}

// DigitalKeyIssued brings a person a digital key. The mail's button leads to the app.
type DigitalKeyIssued struct {
	To        Recipient      `json:"to"`
	Workspace string         `json:"workspace"`
	Key       DigitalKey     `json:"key"`
	PIN       *DigitalKeyPIN `json:"pin,omitempty"` // nil if the mail does not say it
	By        string         `json:"by"`
	At        int64          `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.digital_key_issued".
func (DigitalKeyIssued) MessageKind() string { return "mail.digital_key_issued" }

// DigitalKeyChanged tells a person that their digital key is another one now, and how.
type DigitalKeyChanged struct {
	To        Recipient      `json:"to"`
	Workspace string         `json:"workspace"`
	Key       DigitalKey     `json:"key"`
	NewPIN    bool           `json:"new_pin"`
	PIN       *DigitalKeyPIN `json:"pin,omitempty"` // nil if the mail does not say it
	By        string         `json:"by"`
	At        int64          `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.digital_key_changed".
func (DigitalKeyChanged) MessageKind() string { return "mail.digital_key_changed" }

// DigitalKeyCancelled tells a person that their digital key opens no more.
type DigitalKeyCancelled struct {
	To        Recipient  `json:"to"`
	Workspace string     `json:"workspace"`
	Key       DigitalKey `json:"key"`
	By        string     `json:"by"`
	At        int64      `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.digital_key_cancelled".
func (DigitalKeyCancelled) MessageKind() string { return "mail.digital_key_cancelled" }
