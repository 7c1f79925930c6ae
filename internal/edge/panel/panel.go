// Package panel is the administrators' face in the browser. It turns requests
// into calls of rooms and flows and their answers into pages; what is allowed
// and what is right it leaves to them, and only hides what the person's standing
// does not open.
package panel

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/edge/kit/assets"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// Directory is what the panel asks of the directory room.
type Directory interface {
	FindGroup(ctx context.Context, by auth.Caller, group id.Group) (directory.Group, error)
	Workspace(ctx context.Context, by auth.Caller) (directory.Workspace, error)
	UpdateWorkspace(ctx context.Context, by auth.Caller, c directory.Settings, ifRevision int64) (directory.Workspace, error)
	List(ctx context.Context, by auth.Caller, text string, q directory.Query) (page.Page[directory.User], error)
	Counts(ctx context.Context, by auth.Caller) (directory.Counts, error)
	FindUsers(ctx context.Context, by auth.Caller, users []id.User) ([]directory.User, error)
	Find(ctx context.Context, by auth.Caller, user id.User) (directory.User, []directory.Group, error)
	Create(ctx context.Context, by auth.Caller, n directory.NewUser) (directory.User, error)
	Update(ctx context.Context, by auth.Caller, user id.User, c directory.Change, ifRevision int64) (directory.User, error)
	Invite(ctx context.Context, by auth.Caller, user id.User) (directory.User, error)
	ListGroups(ctx context.Context, by auth.Caller, text string, q directory.GroupQuery) (page.Page[directory.Group], error)
	CreateGroup(ctx context.Context, by auth.Caller, n directory.NewGroup) (directory.Group, error)
	UpdateGroup(ctx context.Context, by auth.Caller, group id.Group, c directory.GroupChange, ifRevision int64) (directory.Group, error)
	DeleteGroup(ctx context.Context, by auth.Caller, group id.Group, ifRevision int64) error
	Members(ctx context.Context, by auth.Caller, group id.Group, text string, q directory.Query) (directory.Group, page.Page[directory.User], error)
	AddMember(ctx context.Context, by auth.Caller, group id.Group, user id.User) error
	AddMembers(ctx context.Context, by auth.Caller, group id.Group, users []id.User) ([]directory.MemberOutcome, error)
	RemoveMember(ctx context.Context, by auth.Caller, group id.Group, user id.User) error
}

// Leave is what the panel asks of the flow by which people are suspended and go.
type Leave interface {
	FindTies(ctx context.Context, by auth.Caller, user id.User) (leave.Ties, error)
	Suspend(ctx context.Context, by auth.Caller, user id.User, o leave.Options) (leave.Outcome, error)
	Activate(ctx context.Context, by auth.Caller, user id.User) (leave.Outcome, error)
	Delete(ctx context.Context, by auth.Caller, user id.User, ifRevision int64) error
	SuspendMany(ctx context.Context, by auth.Caller, users []id.User, o leave.Options) ([]leave.RowOutcome, error)
	ActivateMany(ctx context.Context, by auth.Caller, users []id.User) ([]leave.RowOutcome, error)
	DeleteMany(ctx context.Context, by auth.Caller, users []id.User) ([]leave.RowOutcome, error)
}

// SignIn is what the panel asks of the sign-in room.
type SignIn interface {
	Ask(ctx context.Context, by auth.Caller, need auth.Permission) error
	Account(ctx context.Context, by auth.Caller) (signin.Account, error)
	BeginSignIn(ctx context.Context, by auth.Caller) (signin.Challenge, error)
	FinishSignIn(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) (signin.Opened, error)
	BeginStepUp(ctx context.Context, by auth.Caller) (signin.Challenge, error)
	FinishStepUp(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) error
	FindSetupLink(ctx context.Context, by auth.Caller, value secret.Bytes) (signin.Link, error)
	SignInByLink(ctx context.Context, by auth.Caller, value secret.Bytes) (signin.Opened, error)
	SignOut(ctx context.Context, by auth.Caller) error

	Administrators(ctx context.Context, by auth.Caller, r page.Request) (page.Page[signin.Seat], error)
	FindAdministrator(ctx context.Context, by auth.Caller, a id.Administrator) (signin.Seat, error)
	AddAdministrator(ctx context.Context, by auth.Caller, n signin.NewAdministrator) (signin.Seat, error)
	ChangeAdministrator(ctx context.Context, by auth.Caller, a id.Administrator, c signin.AdministratorChange, ifRevision int64) (signin.Seat, error)
	RemoveAdministrator(ctx context.Context, by auth.Caller, a id.Administrator) ([]signin.LeftKey, error)
	Passkeys(ctx context.Context, by auth.Caller, a id.Administrator) ([]signin.Passkey, error)
	ConfirmPasskey(ctx context.Context, by auth.Caller, a id.Administrator, passkey id.Passkey) (signin.Passkey, error)
	RemovePasskey(ctx context.Context, by auth.Caller, a id.Administrator, passkey id.Passkey) error
	Sessions(ctx context.Context, by auth.Caller, a id.Administrator) ([]signin.Session, error)
	EndSession(ctx context.Context, by auth.Caller, a id.Administrator, session id.Session) error
	EndSessions(ctx context.Context, by auth.Caller, a id.Administrator) (int, error)

	BeginPasskey(ctx context.Context, by auth.Caller) (signin.Challenge, error)
	FinishPasskey(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) (signin.Passkey, error)
	RenamePasskey(ctx context.Context, by auth.Caller, passkey id.Passkey, name string) (signin.Passkey, error)
	DeletePasskey(ctx context.Context, by auth.Caller, passkey id.Passkey) error
	OwnSessions(ctx context.Context, by auth.Caller) ([]signin.Session, error)
	EndOwnSession(ctx context.Context, by auth.Caller, session id.Session) error
	EndOwnSessions(ctx context.Context, by auth.Caller) (int, error)

	IssueAccessPass(ctx context.Context, by auth.Caller, user id.User, n signin.NewAccessPass) (signin.AccessPass, secret.Bytes, error)
	FindAccessPass(ctx context.Context, by auth.Caller, user id.User) (signin.AccessPass, error)
	WithdrawAccessPass(ctx context.Context, by auth.Caller, user id.User) (signin.AccessPass, error)
}

// Join is what the panel asks of the flow by which administrators come in.
type Join interface {
	BeginPasskey(ctx context.Context, by auth.Caller, value secret.Bytes, o join.Owner) (signin.Challenge, error)
	FinishPasskey(ctx context.Context, by auth.Caller, value secret.Bytes, ceremony id.Ceremony, response []byte) (signin.Opened, error)
}

// APIKeys is what the panel asks of the API key room.
type APIKeys interface {
	Create(ctx context.Context, by auth.Caller, n apikey.NewKey) (apikey.Key, token.Token, error)
	List(ctx context.Context, by auth.Caller, q apikey.Query) (page.Page[apikey.Key], error)
	Find(ctx context.Context, by auth.Caller, key id.APIKey) (apikey.Key, error)
	Descendants(ctx context.Context, by auth.Caller, key id.APIKey) ([]apikey.Key, error)
	Usage(ctx context.Context, by auth.Caller, key id.APIKey) ([]apikey.DayUsage, error)
	MaxDays(ctx context.Context, by auth.Caller) (int, error)
	Update(ctx context.Context, by auth.Caller, key id.APIKey, c apikey.Change, ifRevision int64) (apikey.Key, error)
	Reset(ctx context.Context, by auth.Caller, key id.APIKey, r apikey.Renewal) (apikey.Key, token.Token, error)
	EndOverlap(ctx context.Context, by auth.Caller, key id.APIKey) (apikey.Key, error)
	Disable(ctx context.Context, by auth.Caller, key id.APIKey, descendants bool) (apikey.Key, int, error)
	Enable(ctx context.Context, by auth.Caller, key id.APIKey) (apikey.Key, error)
	Delete(ctx context.Context, by auth.Caller, key id.APIKey, descendants bool, ifRevision int64) (int, error)
}

// SecurityKeys is what the panel asks of the security key room.
type SecurityKeys interface {
	Create(ctx context.Context, by auth.Caller, owner id.User, n securitykey.NewKey) (securitykey.Issued, error)
	Find(ctx context.Context, by auth.Caller, key id.SecurityKey) (securitykey.Detail, error)
	List(ctx context.Context, by auth.Caller, text string, q securitykey.Query) (page.Page[securitykey.SecurityKey], error)
	Counts(ctx context.Context, by auth.Caller) (securitykey.Counts, error)
	Update(ctx context.Context, by auth.Caller, key id.SecurityKey, c securitykey.Change, ifRevision int64) (securitykey.SecurityKey, error)
	Suspend(ctx context.Context, by auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error)
	Activate(ctx context.Context, by auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error)
	Confirm(ctx context.Context, by auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error)
	ResetPIN(ctx context.Context, by auth.Caller, key id.SecurityKey, r securitykey.Reset) (securitykey.Issued, error)
	ResendActivation(ctx context.Context, by auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error)
	Delete(ctx context.Context, by auth.Caller, key id.SecurityKey, ifRevision int64) error
	SuspendMany(ctx context.Context, by auth.Caller, keys []id.SecurityKey) ([]securitykey.Outcome, error)
	ActivateMany(ctx context.Context, by auth.Caller, keys []id.SecurityKey) ([]securitykey.Outcome, error)
	DeleteMany(ctx context.Context, by auth.Caller, keys []id.SecurityKey) ([]securitykey.Outcome, error)
	Settings(ctx context.Context, by auth.Caller) (securitykey.Settings, error)
	UpdateSettings(ctx context.Context, by auth.Caller, c securitykey.SettingsChange, ifRevision int64) (securitykey.Settings, error)
	Unused(ctx context.Context, by auth.Caller, days, grace int) (securitykey.Unused, error)
	History(ctx context.Context, by auth.Caller, user id.User) ([]securitykey.Binding, error)
	Rules(ctx context.Context, by auth.Caller) (securitykey.PINRules, error)
}

// Bind is what the panel asks of the flow by which hardware keys are registered.
type Bind interface {
	BeginAtDesk(ctx context.Context, by auth.Caller, key id.SecurityKey) (signin.Challenge, error)
	FinishAtDesk(ctx context.Context, by auth.Caller, key id.SecurityKey, ceremony id.Ceremony, response []byte) (securitykey.SecurityKey, error)
}

// Record is what the panel asks of the record of activities.
type Record interface {
	List(ctx context.Context, by auth.Caller, q activity.Query) (page.Page[activity.Event], error)
	Changes(ctx context.Context, by auth.Caller, since time.Time) ([]activity.Change, error)
	Find(ctx context.Context, by auth.Caller, a id.Activity) (activity.Event, error)
	Export(ctx context.Context, by auth.Caller, q activity.Query, format activity.Format) (*activity.Export, error)
	Checkpoint(ctx context.Context, by auth.Caller) (activity.SignedCheckpoint, error)
	Verify(ctx context.Context, by auth.Caller, checkpoints ...activity.SignedCheckpoint) (activity.Verdict, error)
}

// Overview is what the panel asks of the overview room.
type Overview interface {
	Dashboard(ctx context.Context, by auth.Caller, zone *time.Location) (overview.Dashboard, error)
}

// Config is what the panel is made from. All fields are required.
type Config struct {
	Kit          *kit.Kit
	Assets       *assets.Assets
	Cursors      kit.Cursors
	Directory    Directory
	Leave        Leave
	SignIn       SignIn
	Join         Join
	APIKeys      APIKeys
	SecurityKeys SecurityKeys
	Bind         Bind
	DigitalKeys  DigitalKeys
	Locks        Locks
	Clients      Clients
	Vault        Vault
	Signals      Signals
	Record       Record
	Overview     Overview
}

// Panel answers the panel's routes. Use New.
type Panel struct{ c Config }

// New returns the panel. It answers nothing until Register.
func New(c Config) *Panel { return &Panel{c: c} }

// Register is the panel's route registration. It takes every path that nobody
// else registers, to answer it with a page that says so. The files under
// assets.Prefix are the caller's to serve. mux is to stand behind the kit's
// Observe and Protect.
func (p *Panel) Register(mux *http.ServeMux) {
	mux.Handle("GET /{$}", p.open(p.home))
	mux.Handle("/", p.open(p.unknown))
	mux.Handle("POST /theme", p.open(p.setTheme))
	mux.Handle("GET /live", p.open(p.live))
	mux.Handle("GET /search", p.signed(p.search))
	p.registerSignIn(mux)
	p.registerUsers(mux)
	p.registerAPIKeys(mux)
	p.registerSecurityKeys(mux)
	p.registerDigitalKeys(mux)
	p.registerLocks(mux)
	p.registerClients(mux)
	p.registerCredentials(mux)
	p.registerActivities(mux)
	p.registerDashboard(mux)
	p.registerAdministrators(mux)
	p.registerSettings(mux)
	p.registerAccount(mux)
}
