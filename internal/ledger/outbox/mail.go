package outbox

import "github.com/keyhold/keyhold/internal/base/seal"

// Recipient is whom a mail goes to. Language picks the texts, where there are any
// in it.
type Recipient struct {
	Email    string `json:"email"`
	Name     string `json:"name"`
	Language string `json:"language,omitempty"`
	Timezone string `json:"timezone,omitempty"`
}

// PasskeyRegistered tells a person that a passkey was added to their account.
type PasskeyRegistered struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	Passkey   string    `json:"passkey"`
	At        int64     `json:"at"` // Unix milliseconds
	IP        string    `json:"ip"`
	Agent     string    `json:"agent"`
}

// MessageKind returns "mail.passkey_registered".
func (PasskeyRegistered) MessageKind() string { return "mail.passkey_registered" }

// APIKeyCreated tells an owner that an API key was created.
type APIKeyCreated struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	APIKey    string    `json:"api_key"`
	TokenID   string    `json:"token_id"`
	Type      string    `json:"type"`
	By        string    `json:"by"`
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.api_key_created".
func (APIKeyCreated) MessageKind() string { return "mail.api_key_created" }

// EmailChanged tells a person, at the old address and at the new one, that their
// address was changed by somebody else.
type EmailChanged struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	Old       string    `json:"old"`
	New       string    `json:"new"`
	By        string    `json:"by"`
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.email_changed".
func (EmailChanged) MessageKind() string { return "mail.email_changed" }

// SignInCode brings a person the code with which they sign in to the app. Code is
// its id: the code itself is computed when the mail is written.
type SignInCode struct {
	To        Recipient `json:"to"`
	Code      string    `json:"code"`
	ExpiresAt int64     `json:"expires_at"` // Unix milliseconds
	IP        string    `json:"ip"`
	Agent     string    `json:"agent"`
}

// MessageKind returns "mail.sign_in_code".
func (SignInCode) MessageKind() string { return "mail.sign_in_code" }

// Invitation tells a person that they have an account and how to get in.
type Invitation struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	By        string    `json:"by"`
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.invitation".
func (Invitation) MessageKind() string { return "mail.invitation" }

// ActivityCheckpoint brings whoever keeps them a signed checkpoint of the
// workspace's activity record.
type ActivityCheckpoint struct {
	To         Recipient `json:"to"`
	Workspace  string    `json:"workspace"`
	Index      int64     `json:"index"`
	At         int64     `json:"at"`         // Unix milliseconds
	Checkpoint string    `json:"checkpoint"` // one line of JSON
}

// MessageKind returns "mail.activity_checkpoint".
func (ActivityCheckpoint) MessageKind() string { return "mail.activity_checkpoint" }

// PasskeyWaits tells an owner that an administrator registered a passkey in the app,
// which opens the panel once another administrator has confirmed it.
type PasskeyWaits struct {
	To            Recipient `json:"to"`
	Workspace     string    `json:"workspace"`
	Administrator string    `json:"administrator"` // the id
	Holder        string    `json:"holder"`
	HolderEmail   string    `json:"holder_email"`
	Passkey       string    `json:"passkey"`
	At            int64     `json:"at"` // Unix milliseconds
	IP            string    `json:"ip"`
	Agent         string    `json:"agent"`
}

// MessageKind returns "mail.passkey_waits".
func (PasskeyWaits) MessageKind() string { return "mail.passkey_waits" }

// AdministratorAdded tells a person that they became an administrator, and how they
// get into the panel.
type AdministratorAdded struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	By        string    `json:"by"`
	Owner     bool      `json:"owner"`
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.administrator_added".
func (AdministratorAdded) MessageKind() string { return "mail.administrator_added" }

// APIKeyReset tells an owner, and who made the key, that it has a new token.
type APIKeyReset struct {
	To            Recipient `json:"to"`
	Workspace     string    `json:"workspace"`
	APIKey        string    `json:"api_key"`
	KeyID         string    `json:"key_id"`
	TokenID       string    `json:"token_id"`
	OldTokenID    string    `json:"old_token_id"`
	OverlapEndsAt int64     `json:"overlap_ends_at,omitempty"` // Unix milliseconds; 0 if the old token ended at once
	By            string    `json:"by"`
	IP            string    `json:"ip"`
	At            int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.api_key_reset".
func (APIKeyReset) MessageKind() string { return "mail.api_key_reset" }

// APIKeyExpiring warns that an API key ends soon.
type APIKeyExpiring struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	APIKey    string    `json:"api_key"`
	KeyID     string    `json:"key_id"`
	TokenID   string    `json:"token_id"`
	Type      string    `json:"type"`
	EndsAt    int64     `json:"ends_at"` // Unix milliseconds
	At        int64     `json:"at"`      // Unix milliseconds
}

// MessageKind returns "mail.api_key_expiring".
func (APIKeyExpiring) MessageKind() string { return "mail.api_key_expiring" }

// What was done with an API key whose token was reported as leaked.
const (
	LeakedDisabled    = "disabled"     // an Admin key: it is disabled
	LeakedNoEnrolment = "no_enrolment" // another key: it enrols nothing more
	LeakedRetiring    = "retiring"     // a token that a reset had left good for a while: it ended
)

// APIKeyLeaked tells that somebody reported a key's token as leaked.
type APIKeyLeaked struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	APIKey    string    `json:"api_key"`
	KeyID     string    `json:"key_id"`
	TokenID   string    `json:"token_id"`
	Type      string    `json:"type"`
	Did       string    `json:"did"`
	IP        string    `json:"ip"` // of who reported it
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.api_key_leaked".
func (APIKeyLeaked) MessageKind() string { return "mail.api_key_leaked" }

// SecurityKeyActivation brings a person the link with which they activate a key.
// Link is its id: the link's secret is computed when the mail is written.
type SecurityKeyActivation struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	Kind      string    `json:"kind"`
	Key       string    `json:"key"`
	Link      string    `json:"link"`
	ExpiresAt int64     `json:"expires_at"` // Unix milliseconds
	By        string    `json:"by"`
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.security_key_activation".
func (SecurityKeyActivation) MessageKind() string { return "mail.security_key_activation" }

// SecurityKeyPIN brings a person the PIN that was set or generated for their card.
// Sealed is the PIN under the workspace's sealing key, bound to the key's id and the
// message's Seal.
type SecurityKeyPIN struct {
	To          Recipient `json:"to"`
	Workspace   string    `json:"workspace"`
	WorkspaceID string    `json:"workspace_id"`
	KeyID       string    `json:"key_id"`
	Key         string    `json:"key"`
	Seal        string    `json:"seal"`
	Sealed      []byte    `json:"sealed"`
	MustChange  bool      `json:"must_change"`
	Reset       bool      `json:"reset"` // there was another PIN before
	By          string    `json:"by"`
	At          int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.security_key_pin".
func (SecurityKeyPIN) MessageKind() string { return "mail.security_key_pin" }

// Identity names the row to which Sealed is bound.
func (p SecurityKeyPIN) Identity() seal.Identity {
	return seal.Identity{Workspace: p.WorkspaceID, Owner: p.KeyID, Kind: "pin_mail", ID: p.Seal}
}

// What a SecurityKeyNotice tells of.
const (
	KeyActivated = "activated"
	KeySuspended = "suspended"
	KeyResumed   = "resumed"
	KeyDeleted   = "deleted"
	KeyPINSet    = "pin_set"    // by an administrator, who got it to hand over
	KeyPINChange = "pin_change" // by the holder
	KeyPINLocked = "pin_locked" // too many wrong tries
	KeyPinless   = "pinless"    // it needs no PIN from now on
	KeyUnused    = "unused"     // it is suspended at Until unless it is used
	KeyLost      = "lost"       // to administrators: the holder reported it
	KeyWaits     = "waits"      // to administrators: the holder did their part
)

// SecurityKeyNotice tells a person what happened to a security key.
type SecurityKeyNotice struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	Did       string    `json:"did"`
	KeyID     string    `json:"key_id"`
	Kind      string    `json:"kind"`
	Key       string    `json:"key"`
	Holder    string    `json:"holder"` // the name of who holds it
	By        string    `json:"by"`     // empty if nobody acted
	IP        string    `json:"ip"`
	Agent     string    `json:"agent"`
	Until     int64     `json:"until,omitempty"` // Unix milliseconds
	At        int64     `json:"at"`              // Unix milliseconds
}

// MessageKind returns "mail.security_key_notice".
func (SecurityKeyNotice) MessageKind() string { return "mail.security_key_notice" }

// AccessPassIssued tells a person that a temporary access pass was made for them.
// The code is not in it.
type AccessPassIssued struct {
	To        Recipient `json:"to"`
	Workspace string    `json:"workspace"`
	OneTime   bool      `json:"one_time"`
	StartsAt  int64     `json:"starts_at"`  // Unix milliseconds
	ExpiresAt int64     `json:"expires_at"` // Unix milliseconds
	By        string    `json:"by"`
	At        int64     `json:"at"` // Unix milliseconds
}

// MessageKind returns "mail.access_pass_issued".
func (AccessPassIssued) MessageKind() string { return "mail.access_pass_issued" }
