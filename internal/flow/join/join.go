// Package join is how a workspace begins and how its administrators come in: it
// makes workspaces and turns a setup link and a passkey into a signed-in person.
// The acts span the directory and the sign-in in one transaction.
package join

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// Tx is the storage of the rooms that this flow joins.
type Tx interface {
	directory.Tx
	signin.Tx
	RenameWorkspace(ctx context.Context, w id.Workspace, name string) error
	ListWorkspaces(ctx context.Context) ([]directory.Workspace, error)
}

// Config is what the flow is made from.
type Config struct {
	Store  tx.Runner[Tx]
	Clock  clock.Clock
	Keeper seal.Keeper
	Party  *signin.RelyingParty
	// LinksSignIn lets the links of new workspaces open a session without a
	// passkey. Demo only.
	LinksSignIn bool
}

// Service is the flow's door. Use New.
type Service struct{ c Config }

// New returns the flow.
func New(c Config) *Service { return &Service{c: c} }

// CursorSecret is the kind under which a workspace's cursor secret is sealed.
const CursorSecret = "cursor_secret"

// Founding is a workspace that was just made and the secret of the setup link
// for its first owner.
type Founding struct {
	Workspace directory.Workspace
	Link      secret.Bytes
	ExpiresAt time.Time
}

// systemOnly answers the fault for whoever is not one of the system's own jobs.
func systemOnly(by auth.Caller) *fault.Error {
	if by.Kind != auth.System {
		return fault.Forbidden("system_only", "Workspaces are made on the server's command line.")
	}
	return nil
}

// CreateWorkspace makes a workspace, its builtin group, its sealing key and a
// setup link for its first owner. Only the system's own jobs may call it.
func (s *Service) CreateWorkspace(ctx context.Context, by auth.Caller, name string) (Founding, error) {
	if f := systemOnly(by); f != nil {
		return Founding{}, f
	}
	now := s.c.Clock.Now()
	w := directory.Workspace{ID: id.New[id.KindWorkspace](now), Name: name, CreatedAt: now}
	sealing, wrapped, err := seal.NewKey(ctx, s.c.Keeper, string(w.ID))
	if err != nil {
		return Founding{}, err
	}
	w.SealingKey = wrapped
	cursor := make([]byte, 32)
	_, _ = rand.Read(cursor) // crypto/rand.Read never returns an error
	w.CursorSecret, err = sealing.Seal(secret.New(cursor), CursorIdentity(w.ID))
	if err != nil {
		return Founding{}, err
	}
	link, value := signin.NewSetupLink(w.ID, "", s.c.LinksSignIn, now)
	err = s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		if f, err := directory.Found(ctx, t, by, w, now); f != nil || err != nil {
			return f, err
		}
		return nil, signin.WriteSetupLink(ctx, t, by, link, now)
	})
	return Founding{Workspace: w, Link: value, ExpiresAt: link.ExpiresAt}, err
}

// Appoint makes a user who is an owner of the workspace, without a passkey yet:
// a setup link in their name lets them register one. Only the system's own jobs
// may call it.
func (s *Service) Appoint(ctx context.Context, by auth.Caller, n directory.NewUser) (directory.User, error) {
	if f := systemOnly(by); f != nil {
		return directory.User{}, f
	}
	var u directory.User
	err := s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (f *fault.Error, err error) {
		now := s.c.Clock.Now()
		if u, f, err = directory.Insert(ctx, t, by, by.Workspace, n, now); f != nil || err != nil {
			return f, err
		}
		return nil, insertOwner(ctx, t, by, u, now)
	})
	return u, err
}

func insertOwner(ctx context.Context, t Tx, by auth.Caller, u directory.User, now time.Time) error {
	owner := signin.Administrator{ID: id.New[id.KindAdministrator](now), Workspace: u.Workspace, User: u.ID, Owner: true, CreatedAt: now}
	if err := t.InsertAdministrator(ctx, owner); err != nil {
		return err
	}
	return activity.Append(ctx, t, by, activity.Event{
		Action: "administrator.create", Detail: "owner", Target: activity.Party{Type: "user", ID: string(u.ID), Name: u.Name()}, User: u.ID,
	}, now)
}

// CursorIdentity names the row that a workspace's cursor secret is bound to.
func CursorIdentity(w id.Workspace) seal.Identity {
	return seal.Identity{Workspace: string(w), Owner: string(w), Kind: CursorSecret, ID: string(w)}
}

// Workspaces lists all workspaces by name. Only the system's own jobs may call it.
func (s *Service) Workspaces(ctx context.Context, by auth.Caller) ([]directory.Workspace, error) {
	if f := systemOnly(by); f != nil {
		return nil, f
	}
	var out []directory.Workspace
	err := s.c.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		out, err = t.ListWorkspaces(ctx)
		return err
	})
	return out, err
}

// Owner is what a workspace's first owner tells of themselves.
type Owner struct {
	Workspace string // the workspace's name
	Email     string
	FirstName string
	LastName  string
}

func (o Owner) user(of id.User) directory.NewUser {
	return directory.NewUser{ID: of, Email: o.Email, FirstName: o.FirstName, LastName: o.LastName}
}

// note is what a registration's ceremony remembers.
type note struct {
	Link  id.SetupLink
	Owner Owner
}

// BeginPasskey asks for a new passkey of the person whom the link is for; o is
// read for a first owner only, who names themselves. Whoever has the link's
// secret may call. It answers an Invalid fault that names the fields at fault.
func (s *Service) BeginPasskey(ctx context.Context, by auth.Caller, value secret.Bytes, o Owner) (signin.Challenge, error) {
	now := s.c.Clock.Now()
	var link signin.Link
	var existing []signin.Passkey
	err := s.c.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		if link, err = signin.OpenLink(ctx, t, value, now); err != nil || link.SetupLink.User == "" {
			return err
		}
		existing, err = t.ListPasskeys(ctx, link.SetupLink.Workspace, link.SetupLink.User)
		return err
	})
	if err != nil {
		return signin.Challenge{}, err
	}
	p := link.Person
	if link.SetupLink.User == "" {
		if f := checkOwner(o); f != nil {
			return signin.Challenge{}, f
		}
		p.Workspace, p.User = link.SetupLink.Workspace, id.New[id.KindUser](now)
		p.Email, p.Name = o.Email, directory.User{FirstName: o.FirstName, LastName: o.LastName}.Name()
	}
	challenge, ceremony, err := s.c.Party.NewRegistration(p, existing, note{Link: link.SetupLink.ID, Owner: o}, now)
	if err != nil {
		return signin.Challenge{}, err
	}
	return challenge, s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		return nil, t.InsertCeremony(ctx, ceremony, now)
	})
}

// checkOwner gathers what is wrong with the owner's fields, the workspace's name
// among them.
func checkOwner(o Owner) *fault.Error {
	f := o.user("").Check()
	_, name := directory.CleanWorkspaceName(o.Workspace)
	switch {
	case f == nil:
		return name
	case name != nil:
		f.Fields = append(name.Fields, f.Fields...)
	}
	return f
}

// FinishPasskey registers the passkey that answered the ceremony, spends the link
// and signs the person in; a first owner's user is made in the same transaction.
// Whoever has the link's secret may call.
func (s *Service) FinishPasskey(ctx context.Context, by auth.Caller, value secret.Bytes, ceremony id.Ceremony, response []byte) (signin.Opened, error) {
	var link signin.Link
	var c signin.Ceremony
	err := s.c.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		if link, err = signin.OpenLink(ctx, t, value, s.c.Clock.Now()); err != nil {
			return err
		}
		c, _, err = t.FindCeremony(ctx, ceremony)
		return err
	})
	if err != nil {
		return signin.Opened{}, err
	}
	var remembered note
	key, err := s.c.Party.CheckRegistration(c, link.Person, response, &remembered, s.c.Clock.Now())
	if err != nil {
		return signin.Opened{}, err
	}
	if remembered.Link != link.SetupLink.ID {
		return signin.Opened{}, fault.Conflict("ceremony_over", "This passkey dialog belongs to another link. Start again.")
	}
	var opened signin.Opened
	err = s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (f *fault.Error, err error) {
		opened, f, err = s.admit(ctx, t, by, link, ceremony, key, remembered.Owner)
		return f, err
	})
	return opened, err
}

// admit is FinishPasskey's transaction.
func (s *Service) admit(ctx context.Context, t Tx, by auth.Caller, link signin.Link, ceremony id.Ceremony, key signin.Passkey, o Owner) (signin.Opened, *fault.Error, error) {
	now := s.c.Clock.Now()
	taken, err := t.TakeCeremony(ctx, ceremony, now)
	if err != nil {
		return signin.Opened{}, nil, err
	}
	if !taken {
		return signin.Opened{}, fault.Conflict("ceremony_over", "This took too long or was used before. Start again."), nil
	}
	if f, err := signin.SpendLink(ctx, t, link.SetupLink, now); f != nil || err != nil {
		return signin.Opened{}, f, err
	}
	p := link.Person
	if link.SetupLink.User == "" {
		f, err := s.makeOwner(ctx, t, by, key, o, now)
		if err != nil {
			return signin.Opened{}, nil, err
		}
		if f != nil {
			// The link is to work again with other fields: nothing may remain.
			return signin.Opened{}, nil, f
		}
		var found bool
		if p, found, err = t.FindPerson(ctx, key.Workspace, key.User); err != nil || !found {
			return signin.Opened{}, nil, errors.Join(err, errors.New("the new owner is not to be found"))
		}
	}
	key.ConfirmedAt = now // the link came from the server's command line
	f, err := signin.AddPasskey(ctx, t, by, p, key, now)
	if err != nil {
		return signin.Opened{}, nil, err
	}
	if f != nil {
		// As above: no owner may remain who has no passkey, and no spent link.
		return signin.Opened{}, nil, f
	}
	opened, err := s.c.Party.OpenSession(ctx, t, by, p, signin.OpenedByPasskey, key, now)
	return opened, nil, err
}

// makeOwner makes the first owner's user and names the workspace. The latch lets
// only one person become the first owner, however many links there are.
func (s *Service) makeOwner(ctx context.Context, t Tx, by auth.Caller, key signin.Passkey, o Owner, now time.Time) (*fault.Error, error) {
	w := key.Workspace
	if err := ClaimOwnership(ctx, t, w); err != nil {
		return nil, err
	}
	name, f := directory.CleanWorkspaceName(o.Workspace)
	if f != nil {
		return f, nil
	}
	if err := t.RenameWorkspace(ctx, w, name); err != nil {
		return nil, err
	}
	as := by
	as.Kind, as.Workspace, as.Job, as.Name = auth.System, w, "first-run setup", "first-run setup"
	u, f, err := directory.Insert(ctx, t, as, w, o.user(key.User), now)
	if f != nil || err != nil {
		return f, err
	}
	return nil, insertOwner(ctx, t, as, u, now)
}

// ClaimOwnership makes sure that nobody is the workspace's owner yet and keeps it
// so to the end of the transaction. Otherwise it returns a Conflict fault as an
// error, so that nothing of the transaction remains.
func ClaimOwnership(ctx context.Context, t Tx, w id.Workspace) error {
	if err := t.Latch(ctx, string(w)+"/first_owner"); err != nil {
		return err
	}
	has, err := t.WorkspaceHasOwner(ctx, w)
	if err != nil {
		return err
	}
	if has {
		return fault.Conflict("owner_exists", "This workspace has an owner already.")
	}
	return nil
}
