// Package apikey keeps the secrets with which programs call the workspace's own
// API. It decides who may issue one, what it opens and whether a token is still
// good; it refuses to know what programs do with it.
package apikey

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Type says what a key opens.
type Type string

// The types.
const (
	Admin        Type = "admin"         // the REST API
	SharedMobile Type = "shared_mobile" // shared-mobile endpoints only
	Clients      Type = "clients"       // authenticator operations only
)

// Types lists the types.
func Types() []Type { return []Type{Admin, SharedMobile, Clients} }

// kind is the type's part of the token, and false for an unknown type.
func (t Type) kind() (token.Kind, bool) {
	switch t {
	case Admin:
		return token.KindAdmin, true
	case SharedMobile:
		return token.KindMobile, true
	case Clients:
		return token.KindClient, true
	}
	return "", false
}

// Status is computed from the clock, never stored.
type Status string

// The statuses.
const (
	Active   Status = "active"
	Expired  Status = "expired"
	Disabled Status = "disabled"
)

// Never is when a key without an end ends: for comparing and sorting.
//
// It is the last millisecond of the year 9999.
func Never() time.Time { return time.UnixMilli(253402300799999).UTC() }

// Key is the record of an API key. Its secret half, the token, is shown once and
// stored as a keyed hash.
type Key struct {
	ID          id.APIKey
	Workspace   id.Workspace
	TokenID     string // public part of the token
	TokenHash   []byte
	Pepper      int // under which the hash is; 0 if it is not known
	Name        string
	Type        Type
	Permissions auth.Permissions // for Admin keys; empty for the other types
	CreatedAt   time.Time
	IssuedAt    time.Time // of the present token
	ExpiresAt   time.Time // as it was asked for; zero for never
	EndsAt      time.Time // as the workspace's limit leaves it; Never for never
	WarnAt      time.Time // when its watchers are warned next that it ends; Never for not any more
	DisabledAt  time.Time // zero unless it is disabled
	LeakedAt    time.Time // zero unless it was reported as leaked
	AllowedIPs  []netip.Prefix
	CreatedBy   activity.Party
	Root        id.User // the person at the root of the creations; "" for the system
	LastUse     Use
	Retiring    Retiring
	Revision    int64 // counts changes, from 1
}

// Use is when and from where a key was last used, as far as it was written: at most
// UsageInterval late. The zero value says never.
type Use struct {
	At    time.Time
	IP    string
	Agent string
}

// Retiring is the token that a reset leaves good for a while. The zero value says
// that there is none.
type Retiring struct {
	TokenID   string
	TokenHash []byte
	Pepper    int
	EndsAt    time.Time
}

// Active says whether the retiring token is still good at now.
func (r Retiring) Active(now time.Time) bool { return r.TokenID != "" && now.Before(r.EndsAt) }

// Status returns the key's status at now.
func (k Key) Status(now time.Time) Status {
	if !k.DisabledAt.IsZero() {
		return Disabled
	}
	if !now.Before(k.EndsAt) {
		return Expired
	}
	return Active
}

// Allows says whether the key may be used from the address; without a list, from
// everywhere.
func (k Key) Allows(ip string) bool { return allows(k.AllowedIPs, ip) }

func allows(list []netip.Prefix, ip string) bool {
	if len(list) == 0 {
		return true
	}
	a, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// Standing returns what the key may do at now with the token of that public id, ""
// for the key as such: nothing if it is not good, and nothing with API keys if the
// token is retiring.
func (k *Key) Standing(tokenID string, now time.Time) auth.Standing {
	if k.Status(now) != Active {
		return auth.Standing{}
	}
	switch {
	case tokenID == "" || tokenID == k.TokenID:
		return auth.Standing{Active: true, Permissions: k.Permissions}
	case tokenID == k.Retiring.TokenID && k.Retiring.Active(now):
		return auth.Standing{Active: true, Permissions: k.Permissions.Without(auth.APIKeysWrite)}
	}
	return auth.Standing{}
}

// Subjects are what depends on the key's tokens (see package lease): whoever stops the
// key withdraws them.
func (k Key) Subjects() []string {
	out := []string{lease.Token(k.TokenID)}
	if k.Retiring.TokenID != "" {
		out = append(out, lease.Token(k.Retiring.TokenID))
	}
	return out
}

func (k Key) party() activity.Party {
	return activity.Party{Type: "api_key", ID: string(k.ID), Name: k.Name}
}

// End returns when a key ends that was asked to expire then, zero for never, and
// whose token was issued then, in a workspace with that limit in days, 0 for none.
func End(expires, issued time.Time, maxDays int) time.Time {
	end := Never()
	if !expires.IsZero() {
		end = expires
	}
	if last := issued.AddDate(0, 0, maxDays); maxDays > 0 && last.Before(end) {
		end = last
	}
	return end
}

// NewKey is what a key is made from. Name and Type are required. Permissions nil
// means all that the creator has; it must be empty for types other than Admin.
type NewKey struct {
	Name        string
	Type        Type
	Permissions []string
	ExpiresAt   time.Time // zero for never, or as long as the workspace allows
	AllowedIPs  []string  // addresses or CIDRs; empty for everywhere
}

// Query says which keys are wanted. Zero fields do not filter.
type Query struct {
	Begins        string // of the name; or a whole token id
	Type          Type
	Status        Status
	ExpiresBefore time.Time
	UnusedSince   time.Time // not used at or after
	NeverUsed     bool
	CreatorLeft   bool      // the person at the root is gone, suspended, or no administrator
	CreatedBy     id.APIKey // made with this key
	Now           time.Time // what Status is asked for; set by List
	Page          page.Request
}

// The names by which keys are sorted. The default is SortName.
const (
	SortName    = "name"
	SortCreated = "created_at"
	SortExpires = "expires_at"
	SortLastUse = "last_used"
)

// Sorts lists the names by which keys are sorted.
func Sorts() []string { return []string{SortName, SortCreated, SortExpires, SortLastUse} }

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	outbox.Tx
	tx.Latches
	lease.Tx
	InsertAPIKey(ctx context.Context, k Key) error
	// UpdateAPIKey writes all that can change of a key, and counts the change.
	UpdateAPIKey(ctx context.Context, k Key) error
	// DeleteAPIKey removes the key; how it was used is removed later.
	DeleteAPIKey(ctx context.Context, w id.Workspace, k id.APIKey, now time.Time) error
	// LockAPIKey keeps others from changing the key until the transaction ends, and
	// returns it.
	LockAPIKey(ctx context.Context, w id.Workspace, k id.APIKey) (Key, bool, error)
	FindAPIKey(ctx context.Context, w id.Workspace, k id.APIKey) (Key, bool, error)
	// FindAPIKeyByTokenID finds over all workspaces, and finds retiring tokens too:
	// a token says by itself where it belongs.
	FindAPIKeyByTokenID(ctx context.Context, tokenID string) (Key, Place, bool, error)
	ListAPIKeys(ctx context.Context, w id.Workspace, q Query) (page.Page[Key], error)
	// ListDescendants lists the keys that were made with a key, and with those: at
	// most limit, in the order of their names. Disabled and expired ones are among them.
	ListDescendants(ctx context.Context, w id.Workspace, k id.APIKey, limit int) ([]Key, error)
	// ListKeyWatchers returns who is told of what happens to the workspace's API keys:
	// owners and administrators with api_keys.write, and the user that is named. It
	// returns the workspace's name too.
	ListKeyWatchers(ctx context.Context, w id.Workspace, and id.User) ([]outbox.Recipient, string, error)
	// ListOwners returns the addresses of the workspace's owners and its name;
	// ListKeyOwners besides that of the user that is named, if they are an administrator.
	ListOwners(ctx context.Context, w id.Workspace) ([]outbox.Recipient, string, error)
	ListKeyOwners(ctx context.Context, w id.Workspace, and id.User) ([]outbox.Recipient, string, error)
	// APIKeyMaxDays returns the workspace's limit of a key's life, 0 for none.
	APIKeyMaxDays(ctx context.Context, w id.Workspace) (int, error)
	UsageTx
	ExpiryTx
}

// Place is the workspace that a token belongs to.
type Place struct {
	ID        id.Workspace
	Name      string
	Suspended bool
}

// Peppers are the keys of the stored hashes, by number; they are kept outside the
// database. New hashes are under Current.
type Peppers struct {
	Current int
	Known   map[int]secret.Bytes
}

// Leases says whether what is kept in memory may be answered from (lease.Holder).
type Leases interface{ Live() bool }

// Config is what the room is made from. Cache and Leases may be nil: then every
// token is looked up in the database.
type Config struct {
	Store   tx.Runner[Tx]
	Clock   clock.Clock
	Peppers Peppers
	Cache   *Cache
	Leases  Leases
	// Rate is how many requests a key may make in a minute, 0 for no limit; Burst is
	// how many of them at once.
	Rate, Burst int
}

// Service is the room's door. Use New.
type Service struct {
	gate    activity.Gate[Tx]
	c       Config
	hashes  hashes
	reports limiter
	// refusals bounds what is written of good tokens that are refused, by key.
	refusals limiter
	flushed  atomic.Int64 // shards that FlushSome wrote, over and over
}

// New returns the room.
func New(c Config) *Service {
	s := &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, c: c, reports: newLimiter(reportsPerMinute), refusals: newLimiter(refusalsPerMinute)}
	s.hashes.use(c.Peppers)
	if c.Cache != nil {
		c.Cache.rate = rateOf(c.Rate, c.Burst)
	}
	return s
}

// Create issues a key and returns its token, which nobody can read again. The
// caller needs api_keys.write; an Admin key needs all permissions and, from a
// person, a fresh passkey, and no key gets a permission that its creator lacks.
// The workspace's owners are told by e-mail.
func (s *Service) Create(ctx context.Context, by auth.Caller, n NewKey) (Key, token.Token, error) {
	var k Key
	var t token.Token
	var hash stored
	kind, known := n.Type.kind()
	if known {
		t = token.Issue(kind)
		hash = s.hashes.make(t)
	}
	attempt := activity.Attempt{Action: "api_key.create", Need: auth.APIKeysWrite}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, tx Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		// Whoever stops the keys that somebody made takes the same latch: no key comes
		// after it that was begun before.
		standing, f, err := s.behindLatch(ctx, tx, by, attempt, now)
		if f != nil || err != nil {
			return f, err
		}
		maxDays, err := tx.APIKeyMaxDays(ctx, by.Workspace)
		if err != nil {
			return nil, err
		}
		if k, f = n.key(standing, maxDays, now); f != nil {
			return f, nil
		}
		if f := mayIssue(by, k.Type, standing, now); f != nil {
			return f, activity.Refuse(ctx, tx, by, attempt, f.Code, now)
		}
		k.Workspace, k.TokenID, k.TokenHash, k.Pepper = by.Workspace, t.ID, hash.hash, hash.pepper
		k.CreatedBy = activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}
		if k.Root, err = rootOf(ctx, tx, by); err != nil {
			return nil, err
		}
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return nil, err
		}
		if err := tellCreated(ctx, tx, by, k, now); err != nil {
			return nil, err
		}
		once.Note(ctx, string(k.ID))
		return nil, activity.Append(ctx, tx, by, activity.Event{Action: "api_key.create", Detail: string(k.Type), Target: k.party(), User: by.User}, now)
	})
	if err != nil {
		return Key{}, token.Token{}, err
	}
	return k, t, nil
}

// behindLatch takes the latch under which people leave and keys are made and
// stopped, and reads the caller's standing behind it.
func (s *Service) behindLatch(ctx context.Context, t Tx, by auth.Caller, a activity.Attempt, now time.Time) (auth.Standing, *fault.Error, error) {
	if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
		return auth.Standing{}, nil, err
	}
	standing, err := t.CallerStanding(ctx, by, now)
	if err != nil {
		return auth.Standing{}, nil, err
	}
	if f := auth.Check(by, standing, a.Need); f != nil {
		return auth.Standing{}, f, activity.Refuse(ctx, t, by, a, f.Code, now)
	}
	return standing, nil, nil
}

// rootOf returns the person at the root of what the caller makes.
func rootOf(ctx context.Context, t Tx, by auth.Caller) (id.User, error) {
	if by.Kind != auth.APIKey {
		return by.User, nil
	}
	k, _, err := t.FindAPIKey(ctx, by.Workspace, by.APIKey)
	return k.Root, err
}

// mayIssue is the rule of PRODUCT 1 for keys: nobody rises by a key.
func mayIssue(by auth.Caller, t Type, standing auth.Standing, now time.Time) *fault.Error {
	if t != Admin {
		return nil
	}
	if !standing.Permissions.Covers(auth.All()) {
		return fault.Forbidden("beyond_your_permissions", "Creating or resetting an Admin key needs all permissions.")
	}
	return auth.CheckStepUp(by, now)
}

func tellCreated(ctx context.Context, t Tx, by auth.Caller, k Key, now time.Time) error {
	owners, workspace, err := t.ListOwners(ctx, k.Workspace)
	if err != nil {
		return err
	}
	for _, owner := range owners {
		mail := outbox.APIKeyCreated{
			To: owner, Workspace: workspace, APIKey: k.Name, TokenID: k.TokenID, Type: string(k.Type), By: by.Name, At: now.UnixMilli(),
		}
		if err := outbox.Put(ctx, t, k.Workspace, mail, now); err != nil {
			return err
		}
	}
	return nil
}

// List returns one page of the workspace's keys. The caller needs api_keys.read.
func (s *Service) List(ctx context.Context, by auth.Caller, q Query) (page.Page[Key], error) {
	q.Page = q.Page.Bounded()
	var out page.Page[Key]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "api_key.list", Need: auth.APIKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		q.Now = now
		var err error
		out, err = t.ListAPIKeys(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// unknownKey is the answer for a key that is not there or not to be known.
func unknownKey() *fault.Error {
	return fault.NotFound("api_key_not_found", "This API key does not exist.")
}

// Find returns a key. The caller needs api_keys.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, key id.APIKey) (Key, error) {
	var k Key
	err := s.look(ctx, by, "api_key.find", key, func(_ context.Context, _ Tx, found Key) error {
		k = found
		return nil
	})
	return k, err
}

// look runs fn on a key for whom has api_keys.read.
func (s *Service) look(ctx context.Context, by auth.Caller, action string, key id.APIKey, fn func(ctx context.Context, t Tx, k Key) error) error {
	attempt := activity.Attempt{Action: action, Need: auth.APIKeysRead, Target: activity.Party{Type: "api_key", ID: string(key)}}
	return s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		k, found, err := t.FindAPIKey(ctx, by.Workspace, key)
		if err != nil {
			return err
		}
		if !found {
			return unknownKey()
		}
		return fn(ctx, t, k)
	})
}

// DescendantsLimit is how many descendants are listed at the most.
const DescendantsLimit = 200

// Descendants returns the keys that were made with a key and with those, disabled
// and expired ones among them: DescendantsLimit at the most. The caller needs
// api_keys.read.
func (s *Service) Descendants(ctx context.Context, by auth.Caller, key id.APIKey) ([]Key, error) {
	var out []Key
	err := s.look(ctx, by, "api_key.descendants", key, func(ctx context.Context, t Tx, k Key) error {
		var err error
		out, err = t.ListDescendants(ctx, k.Workspace, k.ID, DescendantsLimit)
		return err
	})
	return out, err
}

// MaxDays returns how many days the workspace lets a token live, 0 for no limit. The
// caller needs api_keys.write.
func (s *Service) MaxDays(ctx context.Context, by auth.Caller) (int, error) {
	var n int
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "api_key.create", Need: auth.APIKeysWrite}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		n, err = t.APIKeyMaxDays(ctx, by.Workspace)
		return err
	})
	return n, err
}

// Own returns the key that the caller is. Only API keys may ask.
func (s *Service) Own(ctx context.Context, by auth.Caller) (Key, error) {
	var k Key
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "me.find", Need: auth.Signed}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		k, found, err = t.FindAPIKey(ctx, by.Workspace, by.APIKey)
		if err == nil && !found {
			return fault.Unauthenticated()
		}
		return err
	})
	return k, err
}
