package signin

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// deadLink is the answer to every link that does not work, whatever the reason.
func deadLink() *fault.Error {
	return fault.NotFound("setup_link_not_found", "This link does not work. It may have been used, replaced, or be too old.")
}

// NewSetupLink returns a link for a user of the workspace, or for its first owner
// if user is zero, and the secret that opens it. Nothing is written.
func NewSetupLink(w id.Workspace, user id.User, signsIn bool, now time.Time) (SetupLink, secret.Bytes) {
	value := token.NewOneTime()
	return SetupLink{
		ID: id.New[id.KindSetupLink](now), Workspace: w, User: user, Digest: token.Digest(value), SignsIn: signsIn,
		CreatedAt: now, ExpiresAt: now.Add(SetupLinkLife),
	}, value
}

// WriteSetupLink writes a link and its line into the caller's transaction; links
// that the same person had before stop working.
func WriteSetupLink(ctx context.Context, t Tx, by auth.Caller, l SetupLink, now time.Time) error {
	if err := t.WithdrawSetupLinks(ctx, l.Workspace, l.User, now); err != nil {
		return err
	}
	if err := t.InsertSetupLink(ctx, l); err != nil {
		return err
	}
	return activity.Append(ctx, t, by, activity.Event{
		Workspace: l.Workspace, Action: "setup_link.issue", Target: activity.Party{Type: "setup_link", ID: string(l.ID)}, User: l.User,
	}, now)
}

// IssueSetupLink makes a setup link. email, folded as the directory folds it, names
// an administrator of the caller's workspace; empty means the first owner, and is refused with a Conflict
// once there is an owner with a passkey. Only the system's own jobs may call it.
func (s *Service) IssueSetupLink(ctx context.Context, by auth.Caller, email string) (secret.Bytes, time.Time, error) {
	if by.Kind != auth.System {
		return secret.Bytes{}, time.Time{}, fault.Forbidden("system_only", "Setup links are issued on the server's command line.")
	}
	var value secret.Bytes
	var expires time.Time
	err := s.gate.Write(ctx, by, activity.Attempt{Action: "setup_link.issue", Need: auth.Signed},
		func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
			user, f, err := linkHolder(ctx, t, by.Workspace, email)
			if f != nil || err != nil {
				return f, err
			}
			var l SetupLink
			l, value = NewSetupLink(by.Workspace, user, s.links, now)
			expires = l.ExpiresAt
			return nil, WriteSetupLink(ctx, t, by, l, now)
		})
	return value, expires, err
}

func linkHolder(ctx context.Context, t Tx, w id.Workspace, email string) (id.User, *fault.Error, error) {
	if email == "" {
		has, err := t.WorkspaceHasOwner(ctx, w)
		if err != nil {
			return "", nil, err
		}
		if has {
			return "", fault.Conflict("owner_exists", "This workspace has an owner. Name the administrator whom the link is for by e-mail address."), nil
		}
		return "", nil, nil
	}
	p, found, err := t.FindPersonByEmail(ctx, w, email)
	if err != nil {
		return "", nil, err
	}
	if found {
		_, found, err = t.FindAdministrator(ctx, w, p.User)
	}
	if err != nil {
		return "", nil, err
	}
	if !found {
		return "", fault.NotFound("administrator_not_found", "No administrator of this workspace has the e-mail address "+email+"."), nil
	}
	return p.User, nil, nil
}

// Link is what the holder of a setup link is shown.
type Link struct {
	SetupLink SetupLink
	Person    Person // only the workspace's part is set for a first owner
}

// FindSetupLink returns a link that still works, without spending it. Whoever
// has the secret may call.
func (s *Service) FindSetupLink(ctx context.Context, by auth.Caller, value secret.Bytes) (Link, error) {
	var out Link
	err := s.store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		out, err = OpenLink(ctx, t, value, s.clock.Now())
		return err
	})
	return out, err
}

// OpenLink finds a working link by its secret inside a transaction. It does not
// spend it.
func OpenLink(ctx context.Context, t Tx, value secret.Bytes, now time.Time) (Link, error) {
	l, found, err := t.FindSetupLink(ctx, token.Digest(value))
	if err != nil {
		return Link{}, err
	}
	if !found || !l.UsedAt.IsZero() || !now.Before(l.ExpiresAt) {
		return Link{}, deadLink()
	}
	out := Link{SetupLink: l}
	if out.Person, found, err = t.FindPerson(ctx, l.Workspace, l.User); err != nil {
		return Link{}, err
	}
	if !found && l.User != "" || out.Person.Suspended {
		return Link{}, deadLink()
	}
	return out, nil
}

// SpendLink spends a link inside a transaction; it answers the fault for a dead
// link if somebody was faster.
func SpendLink(ctx context.Context, t Tx, l SetupLink, now time.Time) (*fault.Error, error) {
	spent, err := t.SpendSetupLink(ctx, l.Workspace, l.ID, now)
	if err != nil {
		return nil, err
	}
	if !spent {
		return deadLink(), nil
	}
	return nil, nil
}

// SignInByLink opens a session by a link that may do so, and spends it. Links do
// so in a demo only; elsewhere the answer is that of a dead link.
func (s *Service) SignInByLink(ctx context.Context, by auth.Caller, value secret.Bytes) (Opened, error) {
	var opened Opened
	err := s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		l, err := OpenLink(ctx, t, value, now)
		if f, ok := fault.As(err); ok {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		if !s.links || !l.SetupLink.SignsIn || l.SetupLink.User == "" {
			return deadLink(), nil
		}
		if f, err := SpendLink(ctx, t, l.SetupLink, now); f != nil || err != nil {
			return f, err
		}
		opened, err = s.rp.OpenSession(ctx, t, by, l.Person, OpenedByLink, Passkey{}, now)
		return nil, err
	})
	return opened, err
}
