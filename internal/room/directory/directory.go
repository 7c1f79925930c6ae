// Package directory keeps the workspace's people: users and the groups that they
// are in. It decides what a user record may hold and who may change it; it
// refuses to know how anybody signs in or which keys they have.
package directory

import (
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Workspace is the tenant: nothing of one can be told from nothing by another.
type Workspace struct {
	ID           id.Workspace
	Name         string
	SealingKey   []byte // wrapped by the keeper
	CursorSecret []byte // sealed under SealingKey
	Language     string // BCP 47, for whoever has none of their own; empty for English
	Timezone     string // IANA, for whoever has none of their own; empty for UTC
	// CheckpointEmail gets a checkpoint of the activity record every hour in which
	// something happened; empty for nobody.
	CheckpointEmail string
	APIKeyMaxDays   int       // how long an API key's token may live; 0 for no limit
	SuspendedAt     time.Time // zero unless the workspace is suspended
	Revision        int64     // counts changes of the settings, from 1
	CreatedAt       time.Time
}

// Status is how far a user has come.
type Status string

// The statuses.
const (
	NotInvited Status = "not_invited" // nobody has told them yet
	Pending    Status = "pending"     // told, has not yet signed in
	Active     Status = "active"      // has signed in
	Suspended  Status = "suspended"   // shown instead of the life while the flag is set
)

// User is a person of the workspace.
type User struct {
	ID             id.User
	Workspace      id.Workspace
	UserID         string // the organisation's own name for the person; unique, case-folded
	Email          string // unique, case-folded
	FirstName      string
	LastName       string
	Phone          string
	EmployeeID     string
	Language       string // BCP 47; empty for the workspace's
	Timezone       string // IANA; empty for the workspace's
	Auditable      bool
	Status         Status    // the life: never Suspended; see Shown
	SuspendedAt    time.Time // zero unless the user is suspended
	Revision       int64     // counts changes, from 1
	CreatedAt      time.Time
	LastActivityAt time.Time // zero if there was none
}

// Shown returns the status that people see: Suspended if the user is, else the
// life's.
func (u User) Shown() Status {
	if !u.SuspendedAt.IsZero() {
		return Suspended
	}
	return u.Status
}

// Name returns the user's name for people: first and last name, or the e-mail
// address if there is neither.
func (u User) Name() string {
	switch {
	case u.FirstName == "" && u.LastName == "":
		return u.Email
	case u.FirstName == "":
		return u.LastName
	case u.LastName == "":
		return u.FirstName
	}
	return u.FirstName + " " + u.LastName
}

// Query says which users are wanted. Zero fields do not filter.
type Query struct {
	Words  []string // folded beginnings of words, all of which must be found
	Status Status   // as it is shown
	Group  id.Group // only its members; Everyone holds all users
	// WithoutKey leaves only users who have no security key.
	WithoutKey bool
	Page       page.Request
}

// The names by which users are sorted. The default is SortName.
const (
	SortName         = "name"
	SortEmail        = "email"
	SortUserID       = "user_id"
	SortCreated      = "created_at"
	SortLastActivity = "last_activity_at"
)

// Sorts lists the names by which users are sorted.
func Sorts() []string {
	return []string{SortName, SortEmail, SortUserID, SortCreated, SortLastActivity}
}

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	outbox.Tx
	tx.Latches
	WorkspaceTx
	InsertWorkspace(ctx context.Context, w Workspace) error
	FindWorkspace(ctx context.Context, w id.Workspace) (Workspace, bool, error)
	InsertUser(ctx context.Context, u User) error
	UpdateUser(ctx context.Context, u User) error
	FindUser(ctx context.Context, w id.Workspace, u id.User) (User, bool, error)
	// UserNameTaken and UserEmailTaken tell whether another user than except has
	// the folded user id or e-mail address.
	UserNameTaken(ctx context.Context, w id.Workspace, folded string, except id.User) (bool, error)
	UserEmailTaken(ctx context.Context, w id.Workspace, folded string, except id.User) (bool, error)
	ListUsers(ctx context.Context, w id.Workspace, q Query) (page.Page[User], error)
	CountUsers(ctx context.Context, w id.Workspace) (Counts, error)
	// TakeInvitation notes that the user is invited now. It returns false if that
	// was less than every ago.
	TakeInvitation(ctx context.Context, w id.Workspace, u id.User, now time.Time, every time.Duration) (bool, error)
	// MarkUserInvited makes a user pending who was not invited.
	MarkUserInvited(ctx context.Context, w id.Workspace, u id.User) error
	// WithdrawActivations ends the links that activate security keys of the user: they
	// were sent to an address that is theirs no more.
	WithdrawActivations(ctx context.Context, w id.Workspace, u id.User) error
	GroupTx
	// HeldPermissions returns what the user may do as an administrator: all for an
	// owner, nothing for somebody who is none.
	HeldPermissions(ctx context.Context, w id.Workspace, u id.User) (auth.Permissions, error)
}

// Service is the room's door. Use New.
type Service struct{ gate activity.Gate[Tx] }

// New returns the room over its storage.
func New(store tx.Runner[Tx], c clock.Clock) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: store, Clock: c}}
}

// UnknownUser is the answer for a user who is not there or not to be known.
func UnknownUser() *fault.Error {
	return fault.NotFound("user_not_found", "This user does not exist.")
}

// Create makes a user. The caller needs users.write. It returns an Invalid fault
// that names every field at fault, or a Conflict if the user id or the e-mail
// address is taken. With n.Invite the user is also sent an invitation.
func (s *Service) Create(ctx context.Context, by auth.Caller, n NewUser) (User, error) {
	var u User
	err := s.gate.Write(ctx, by, activity.Attempt{Action: "user.create", Need: auth.UsersWrite},
		func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (f *fault.Error, err error) {
			if u, f, err = Insert(ctx, t, by, by.Workspace, n, now); err == nil && f == nil {
				once.Note(ctx, string(u.ID))
			}
			return f, err
		})
	return u, err
}

// Insert is Create inside the caller's transaction, for the flows: whoever calls
// it has decided that by may. It checks and writes the user, its memberships and
// the activity.
func Insert(ctx context.Context, t Tx, by auth.Caller, w id.Workspace, n NewUser, now time.Time) (User, *fault.Error, error) {
	u, f := n.user(w, now)
	if f != nil {
		return User{}, f, nil
	}
	if f, err := checkUnique(ctx, t, u); f != nil || err != nil {
		return User{}, f, err
	}
	groups, f, err := checkGroups(ctx, t, w, n.Groups)
	if f != nil || err != nil {
		return User{}, f, err
	}
	if err := t.InsertUser(ctx, u); err != nil {
		return User{}, nil, err
	}
	for _, g := range groups {
		if _, err := t.InsertMembership(ctx, w, g.ID, u.ID, now); err != nil {
			return User{}, nil, err
		}
	}
	if err := activity.Append(ctx, t, by, activity.Event{Workspace: w, Action: "user.create", Target: party(u), User: u.ID}, now); err != nil {
		return User{}, nil, err
	}
	if n.Invite {
		u, f, err = invite(ctx, t, by, u, now)
	}
	return u, f, err
}

// Update changes a user. The caller needs users.write and, to change the e-mail
// address of somebody who holds permissions, all of those. With another address the
// activation links are over that went to the old one. ifRevision 0 accepts
// any revision; another one than the user's answers a Precondition fault.
func (s *Service) Update(ctx context.Context, by auth.Caller, user id.User, c Change, ifRevision int64) (User, error) {
	var u User
	attempt := activity.Attempt{Action: "user.update", Need: auth.UsersWrite, Target: activity.Party{Type: "user", ID: string(user)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		if err := t.Latch(ctx, string(by.Workspace)+"/user_names"); err != nil {
			return nil, err
		}
		old, found, err := t.FindUser(ctx, by.Workspace, user)
		if err != nil {
			return nil, err
		}
		if !found {
			return UnknownUser(), nil
		}
		if ifRevision != 0 && ifRevision != old.Revision {
			return fault.Precondition(), nil
		}
		next, changed, f := c.apply(old)
		if f != nil {
			return f, nil
		}
		u = old
		if len(changed) == 0 {
			return nil, nil
		}
		if next.Email != old.Email {
			held, err := t.HeldPermissions(ctx, by.Workspace, user)
			if err != nil {
				return nil, err
			}
			if by.User != user && !standing.Permissions.Covers(held) {
				f := fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack, so you cannot change their e-mail address.")
				return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
			}
		}
		if f, err := checkUnique(ctx, t, next); f != nil || err != nil {
			return f, err
		}
		next.Revision++
		if err := t.UpdateUser(ctx, next); err != nil {
			return nil, err
		}
		u = next
		if Fold(next.Email) != Fold(old.Email) {
			if err := t.WithdrawActivations(ctx, by.Workspace, user); err != nil {
				return nil, err
			}
		}
		if err := tellEmailChange(ctx, t, by, old, next, now); err != nil {
			return nil, err
		}
		return nil, recordUpdate(ctx, t, by, next, changed, now)
	})
	return u, err
}

// recordUpdate writes what was changed of a user. Whether sign-ins are recorded
// has a line of its own: it decides what the record holds from then on.
func recordUpdate(ctx context.Context, t Tx, by auth.Caller, u User, changed []string, now time.Time) error {
	others := slices.DeleteFunc(slices.Clone(changed), func(name string) bool { return name == "auditable" })
	if len(others) > 0 {
		if err := activity.Append(ctx, t, by, activity.Event{
			Action: "user.update", Detail: joinNames(others), Target: party(u), User: u.ID,
		}, now); err != nil {
			return err
		}
	}
	if len(others) == len(changed) {
		return nil
	}
	detail := "off"
	if u.Auditable {
		detail = "on"
	}
	return activity.Append(ctx, t, by, activity.Event{Action: "user.auditable", Detail: detail, Target: party(u), User: u.ID}, now)
}

// Find returns a user and their groups, Everyone first. The caller needs
// users.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, user id.User) (u User, groups []Group, err error) {
	attempt := activity.Attempt{Action: "user.find", Need: auth.UsersRead, Target: activity.Party{Type: "user", ID: string(user)}}
	err = s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		if u, found, err = t.FindUser(ctx, by.Workspace, user); err != nil {
			return err
		}
		if !found {
			return UnknownUser()
		}
		groups, err = t.ListUserGroups(ctx, by.Workspace, user)
		return err
	})
	return u, groups, err
}

// MaxFound bounds how many users FindUsers is asked for.
const MaxFound = 200

// FindUsers returns those of the users who are there, in the order in which they
// were asked for, each once. The caller needs users.read.
func (s *Service) FindUsers(ctx context.Context, by auth.Caller, users []id.User) ([]User, error) {
	var out []User
	if len(users) > MaxFound {
		return nil, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "ids", Message: "are too many: at most 200"})
	}
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "user.find_many", Need: auth.UsersRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		seen := map[id.User]bool{}
		for _, user := range users {
			if seen[user] {
				continue
			}
			seen[user] = true
			u, found, err := t.FindUser(ctx, by.Workspace, user)
			if err != nil {
				return err
			}
			if found {
				out = append(out, u)
			}
		}
		return nil
	})
	return out, err
}

// List returns one page of the workspace's users. The caller needs users.read.
// text is what a person typed into a search box.
func (s *Service) List(ctx context.Context, by auth.Caller, text string, q Query) (page.Page[User], error) {
	q.Page = q.Page.Bounded()
	q.Words = Words(text)
	var out page.Page[User]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "user.list", Need: auth.UsersRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = t.ListUsers(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// Me is what a caller is told about where they are and what they may.
type Me struct {
	Workspace Workspace
	Standing  auth.Standing
}

// Me returns the caller's workspace and standing. Whoever is accepted may ask.
func (s *Service) Me(ctx context.Context, by auth.Caller) (Me, error) {
	var me Me
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "me.find", Need: auth.Signed}, func(ctx context.Context, t Tx, standing auth.Standing, _ time.Time) error {
		w, found, err := t.FindWorkspace(ctx, by.Workspace)
		if err != nil {
			return err
		}
		if !found {
			return fault.Unauthenticated()
		}
		me = Me{Workspace: w, Standing: standing}
		return nil
	})
	return me, err
}

// Found writes a new workspace with its builtin group into the caller's
// transaction, for the flow that makes workspaces.
func Found(ctx context.Context, t Tx, by auth.Caller, w Workspace, now time.Time) (*fault.Error, error) {
	name, f := CleanWorkspaceName(w.Name)
	if f != nil {
		return f, nil
	}
	w.Name, w.CreatedAt = name, now
	if err := t.InsertWorkspace(ctx, w); err != nil {
		return nil, err
	}
	everyone := Group{ID: id.New[id.KindGroup](now), Workspace: w.ID, Name: "Everyone", Description: "All users of the workspace, always.", Builtin: true, CreatedAt: now}
	if err := t.InsertGroup(ctx, everyone); err != nil {
		return nil, err
	}
	return nil, activity.Append(ctx, t, by, activity.Event{
		Workspace: w.ID, Action: "workspace.create", Target: activity.Party{Type: "workspace", ID: string(w.ID), Name: w.Name},
	}, now)
}

// checkUnique takes the workspace's latch for names and answers a Conflict if the
// user id or e-mail address belongs to somebody else.
func checkUnique(ctx context.Context, t Tx, u User) (*fault.Error, error) {
	if err := t.Latch(ctx, string(u.Workspace)+"/user_names"); err != nil {
		return nil, err
	}
	var fields []fault.Field
	taken, err := t.UserNameTaken(ctx, u.Workspace, Fold(u.UserID), u.ID)
	if err != nil {
		return nil, err
	}
	if taken {
		fields = append(fields, fault.Field{Name: "user_id", Message: "is taken by another user"})
	}
	if taken, err = t.UserEmailTaken(ctx, u.Workspace, Fold(u.Email), u.ID); err != nil {
		return nil, err
	}
	if taken {
		fields = append(fields, fault.Field{Name: "email", Message: "is taken by another user"})
	}
	if len(fields) > 0 {
		return fault.Conflict("user_exists", "Another user has this user ID or e-mail address.", fields...), nil
	}
	return nil, nil
}

// tellEmailChange mails the person at the old address and the new one.
func tellEmailChange(ctx context.Context, t Tx, by auth.Caller, old, next User, now time.Time) error {
	if Fold(old.Email) == Fold(next.Email) {
		return nil
	}
	w, _, err := t.FindWorkspace(ctx, next.Workspace)
	if err != nil {
		return err
	}
	for _, address := range []string{old.Email, next.Email} {
		mail := outbox.EmailChanged{
			To:        outbox.Recipient{Email: address, Name: next.Name(), Language: next.Language, Timezone: next.Timezone},
			Workspace: w.Name, Old: old.Email, New: next.Email, By: by.Name, At: now.UnixMilli(),
		}
		if err := outbox.Put(ctx, t, next.Workspace, mail, now); err != nil {
			return err
		}
	}
	return nil
}

func party(u User) activity.Party {
	return activity.Party{Type: "user", ID: string(u.ID), Name: u.Name()}
}
