// Package auth says who calls and what they may. A Caller is made by a verifying
// room method and handed through every service method; Check is the one rule by
// which a caller's standing allows or refuses.
package auth

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// Kind says what sort of caller it is.
type Kind string

// The kinds of callers. The zero Kind is refused everywhere, as Anonymous is.
const (
	Anonymous     Kind = "anonymous"
	Administrator Kind = "administrator" // a person at the panel
	User          Kind = "user"          // a person in the app, who may see what is their own
	APIKey        Kind = "api_key"
	Lock          Kind = "lock"   // a door's controller, on its own link only
	Client        Kind = "client" // a workstation's program, for authenticator operations only
	System        Kind = "system"
)

// Caller is who asks. Which ids are set depends on Kind: an Administrator has
// User, Administrator and Session; a User has User and Session; an APIKey has
// APIKey; a Lock
// has Lock and, as its Token, the serial number of its certificate; a Client has Client, the
// APIKey and Token that it showed, and its Proof; a System caller has Job.
type Caller struct {
	Kind          Kind
	Workspace     id.Workspace // zero for Anonymous, and for a System job over all workspaces
	User          id.User
	Administrator id.Administrator
	Session       id.Session
	APIKey        id.APIKey
	Lock          id.Lock
	Client        id.Client
	Proof         Proof
	Token         string // the public id of the token that an APIKey showed; "" for the key as such
	Job           string // what a System caller is: "command line", "demo", …
	Name          string // for activities: the person's or the key's name
	IP            string
	Agent         string
	RequestID     string
	StepUpAt      time.Time // the last time the person proved presence with a passkey
}

// Proof is what a client's program proved itself with (RFC 9449): it is good for one
// writing transaction. The zero value is none.
type Proof struct {
	Key   string    // the thumbprint of the program's key (RFC 7638)
	ID    string    // the proof's own id
	Until time.Time // when it is too old in any case
}

// Nobody returns the anonymous caller of a request.
func Nobody(ip, agent, requestID string) Caller {
	return Caller{Kind: Anonymous, IP: ip, Agent: agent, RequestID: requestID}
}

// Job returns the caller of a job of the house itself in a workspace. It is
// allowed everything there: make one only where no person or program asks.
func Job(workspace id.Workspace, name string) Caller {
	return Caller{Kind: System, Workspace: workspace, Job: name, Name: name}
}

// Identity returns the kind-specific id of the caller in text: what an activity
// or a log line calls it. It is empty for Anonymous.
func (c Caller) Identity() string {
	switch c.Kind {
	case Administrator, User:
		return string(c.User)
	case APIKey:
		return string(c.APIKey)
	case Lock:
		return string(c.Lock)
	case Client:
		return string(c.Client)
	case System:
		return c.Job
	}
	return ""
}

// Network returns the part of an IP address that stands for one customer of a provider,
// by which tries are counted: /24 of IPv4, /64 of IPv6. What is no address is "unknown".
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return p.String()
}

// Permission names one right, as REST and the panel show it.
type Permission string

// The permissions. Signed means no permission beyond being accepted as a caller
// of the workspace; OwnKeys the same for what sessions may do that are for keys
// only (Standing.KeysOnly); LockLink is what a door's controller may do and nobody else,
// Authenticate what a client may.
// None of them is ever granted by name.
const (
	Signed              Permission = ""
	OwnKeys             Permission = "own_keys"
	LockLink            Permission = "lock_link"
	Authenticate        Permission = "authenticate"
	UsersRead           Permission = "users.read"
	UsersWrite          Permission = "users.write"
	AdministratorsRead  Permission = "administrators.read"
	AdministratorsWrite Permission = "administrators.write"
	ClientsRead         Permission = "clients.read"
	ClientsWrite        Permission = "clients.write"
	DigitalKeysRead     Permission = "digital_keys.read"
	DigitalKeysWrite    Permission = "digital_keys.write"
	LocksRead           Permission = "locks.read"
	LocksWrite          Permission = "locks.write"
	SecurityKeysRead    Permission = "security_keys.read"
	SecurityKeysWrite   Permission = "security_keys.write"
	ActivitiesRead      Permission = "activities.read"
	APIKeysRead         Permission = "api_keys.read"
	APIKeysWrite        Permission = "api_keys.write"
	WorkspaceRead       Permission = "workspace.read"
	WorkspaceWrite      Permission = "workspace.write"
	permissionsJoin                = " "
)

// Permissions is a set of permissions, sorted and without repeats when it comes
// from All or ParsePermissions.
type Permissions []Permission

// All returns every permission there is.
func All() Permissions {
	return Permissions{
		ActivitiesRead, AdministratorsRead, AdministratorsWrite, APIKeysRead, APIKeysWrite, ClientsRead, ClientsWrite, DigitalKeysRead, DigitalKeysWrite, LocksRead, LocksWrite,
		SecurityKeysRead, SecurityKeysWrite, UsersRead, UsersWrite, WorkspaceRead, WorkspaceWrite,
	}
}

// Preset is a named set of permissions that is offered for administrators.
type Preset struct {
	Name        string // stable: "key_administrator"
	Permissions Permissions
}

// Presets returns the presets whose rooms exist.
func Presets() []Preset {
	var reads Permissions
	for _, p := range All() {
		if strings.HasSuffix(string(p), ".read") {
			reads = append(reads, p)
		}
	}
	return []Preset{
		{Name: "key_administrator", Permissions: Permissions{ActivitiesRead, ClientsRead, ClientsWrite, SecurityKeysRead, SecurityKeysWrite, UsersRead, UsersWrite}},
		{Name: "account_manager", Permissions: Permissions{DigitalKeysRead, DigitalKeysWrite, LocksRead, LocksWrite, UsersRead, UsersWrite}},
		{Name: "auditor", Permissions: reads},
	}
}

// ParsePermissions reads a set from names. It returns the first unknown name and
// false if there is one.
func ParsePermissions(names []string) (set Permissions, unknown string, ok bool) {
	all := All()
	for _, n := range names {
		p := Permission(n)
		if !slices.Contains(all, p) {
			return nil, n, false
		}
		set = append(set, p)
	}
	slices.Sort(set)
	return slices.Compact(set), "", true
}

// Has says whether p is in the set; Signed, OwnKeys, LockLink and Authenticate are in every
// set (Check asks for more).
func (s Permissions) Has(p Permission) bool {
	return p == Signed || p == OwnKeys || p == LockLink || p == Authenticate || slices.Contains(s, p)
}

// Covers says whether every permission of other is in s.
func (s Permissions) Covers(other Permissions) bool {
	for _, p := range other {
		if !s.Has(p) {
			return false
		}
	}
	return true
}

// Strings returns the names of the set's permissions.
func (s Permissions) Strings() []string {
	out := make([]string, len(s))
	for i, p := range s {
		out[i] = string(p)
	}
	return out
}

// Without returns the set without one permission.
func (s Permissions) Without(p Permission) Permissions {
	var out Permissions
	for _, q := range s {
		if q != p {
			out = append(out, q)
		}
	}
	return out
}

// Text returns the set in one string, as the store keeps it.
func (s Permissions) Text() string { return strings.Join(s.Strings(), permissionsJoin) }

// PermissionsFromText is the inverse of Text. Names that this version does not
// know grant nothing and are dropped.
func PermissionsFromText(text string) Permissions {
	var set Permissions
	all := All()
	for name := range strings.FieldsSeq(text) {
		if slices.Contains(all, Permission(name)) {
			set = append(set, Permission(name))
		}
	}
	return set
}

// Standing is what the store says of a caller at this moment.
type Standing struct {
	// Active is false when the session, the key, the administrator or the
	// workspace is ended, expired, suspended or gone.
	Active      bool
	Owner       bool
	Permissions Permissions
	// KeysOnly is a session that may register and activate keys and do nothing else:
	// it was opened by a one-time temporary access pass.
	KeysOnly bool
	// ByMailbox is a session behind which stands no more than a mailbox: an e-mail
	// code, or a passkey that was registered by one. Who holds keys needs more to
	// get another one.
	ByMailbox bool
}

// StandingReader reads a caller's standing inside the transaction that acts on
// it. A caller that is unknown has the zero Standing.
type StandingReader interface {
	CallerStanding(ctx context.Context, by Caller, now time.Time) (Standing, error)
}

// Check is the rule: nil if a caller of that standing may do what needs the
// permission, else the fault to answer.
func Check(by Caller, s Standing, need Permission) *fault.Error {
	if by.Kind == Anonymous || by.Kind == "" || !s.Active {
		return fault.Unauthenticated()
	}
	if (by.Kind == Lock) != (need == LockLink) {
		return fault.Forbidden("lock_only", "Only a door's controller does this, and it does nothing else.")
	}
	if (by.Kind == Client) != (need == Authenticate) {
		return fault.Forbidden("client_only", "Only a client's program does this, and it does nothing else.")
	}
	if s.KeysOnly && need != OwnKeys {
		return fault.Forbidden("keys_only", "You signed in with a one-time pass: it lets you set up your keys, and nothing else.")
	}
	if !s.Permissions.Has(need) {
		return fault.Forbidden("missing_permission", "This needs the permission "+string(need)+".")
	}
	return nil
}

// StepUpAge is how old a proof of presence may be for a dangerous act.
const StepUpAge = 10 * time.Minute

// CheckStepUp is the rule for dangerous acts: a person must have used a passkey
// within StepUpAge. Programs have no presence to prove and pass.
func CheckStepUp(by Caller, now time.Time) *fault.Error {
	if by.Kind == Administrator && now.Sub(by.StepUpAt) >= StepUpAge {
		return fault.Forbidden("step_up_required", "Confirm with your passkey first: this act needs a fresh one.")
	}
	return nil
}
