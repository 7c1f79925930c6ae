package signin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Seat is an administrator with what lists show of them.
type Seat struct {
	Administrator
	Person         Person
	Passkeys       int // all of them
	Unconfirmed    int // those that wait for another administrator
	LastActivityAt time.Time
}

// May returns what the administrator may do: all, for an owner.
func (a Administrator) May() auth.Permissions {
	if a.Owner {
		return auth.All()
	}
	return a.Permissions
}

// PresetOf returns the name of the preset that grants just that, "" if none does.
func PresetOf(p auth.Permissions) string {
	for _, preset := range auth.Presets() {
		if p.Covers(preset.Permissions) && preset.Permissions.Covers(p) {
			return preset.Name
		}
	}
	return ""
}

// The names by which administrators are sorted. The default is SortName.
const (
	SortName         = "name"
	SortCreated      = "created_at"
	SortLastActivity = "last_activity_at"
)

// Sorts lists the names by which administrators are sorted.
func Sorts() []string { return []string{SortName, SortCreated, SortLastActivity} }

// NewAdministrator is what an administrator is made from. Permissions and Preset are
// not given both; without either the administrator may do nothing yet.
type NewAdministrator struct {
	User        id.User
	Permissions []string
	Preset      string
	Owner       bool
}

// AdministratorChange is what is to be different. Nil and "" stand for as it is.
type AdministratorChange struct {
	Permissions *[]string
	Preset      string
	Owner       *bool
}

// LeftKey is an API key that goes on working when its creator has left.
type LeftKey struct {
	ID   id.APIKey
	Name string
	Type string
}

func administratorNotFound() *fault.Error {
	return fault.NotFound("administrator_not_found", "This administrator does not exist.")
}

// Administrators lists the workspace's administrators. The caller needs
// administrators.read.
func (s *Service) Administrators(ctx context.Context, by auth.Caller, r page.Request) (page.Page[Seat], error) {
	r = r.Bounded()
	var out page.Page[Seat]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "administrator.list", Need: auth.AdministratorsRead},
		func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
			var err error
			out, err = t.ListAdministrators(ctx, by.Workspace, r)
			return err
		})
	return out, err
}

// FindAdministrator returns one. The caller needs administrators.read.
func (s *Service) FindAdministrator(ctx context.Context, by auth.Caller, a id.Administrator) (Seat, error) {
	var seat Seat
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "administrator.find", Need: auth.AdministratorsRead},
		func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
			var found bool
			var err error
			seat, found, err = t.FindSeat(ctx, by.Workspace, a)
			if err == nil && !found {
				return administratorNotFound()
			}
			return err
		})
	return seat, err
}

// appointing is the gate for what makes, changes and removes administrators: the
// caller needs all permissions and, as a person, a fresh passkey.
func (s *Service) appointing(ctx context.Context, by auth.Caller, a activity.Attempt, fn activity.Work[Tx]) error {
	a.Need = auth.AdministratorsWrite
	return s.gate.Write(ctx, by, a, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		f := auth.CheckStepUp(by, now)
		if !standing.Permissions.Covers(auth.All()) {
			f = fault.Forbidden("beyond_your_permissions", "Making and changing administrators needs all permissions.")
		}
		if f != nil {
			return f, activity.Refuse(ctx, t, by, a, f.Code, now)
		}
		if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
			return nil, err
		}
		f, err := fn(ctx, t, standing, now)
		if err == nil && f != nil && f.Kind == fault.KindForbidden {
			err = activity.Refuse(ctx, t, by, a, f.Code, now)
		}
		return f, err
	})
}

// asOwner says whether a caller counts as an owner: programs never do.
func asOwner(by auth.Caller, s auth.Standing) bool { return s.Owner || by.Kind == auth.System }

func ownersOnly() *fault.Error {
	return fault.Forbidden("owners_only", "Only an owner may make, change or remove an owner.")
}

// AddAdministrator makes a user of the workspace an administrator and tells them by
// e-mail. The caller needs administrators.write and with it all permissions; a
// person a fresh passkey; who makes an owner is one.
func (s *Service) AddAdministrator(ctx context.Context, by auth.Caller, n NewAdministrator) (Seat, error) {
	var seat Seat
	attempt := activity.Attempt{Action: "administrator.create", Target: activity.Party{Type: "user", ID: string(n.User)}}
	err := s.appointing(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		permissions, wrong := grant(n.Permissions, n.Preset)
		p, found, err := t.FindPerson(ctx, by.Workspace, n.User)
		if err != nil {
			return nil, err
		}
		if !found {
			wrong = append([]fault.Field{{Name: "user", Message: "is not a user of this workspace"}}, wrong...)
		}
		if len(wrong) > 0 {
			return fault.Invalid("invalid_fields", "Some fields need your attention.", wrong...), nil
		}
		if n.Owner && !asOwner(by, standing) {
			return ownersOnly(), nil
		}
		if _, found, err = t.FindAdministrator(ctx, by.Workspace, n.User); err != nil {
			return nil, err
		}
		if found {
			return fault.Conflict("administrator_exists", "This user is an administrator already.",
				fault.Field{Name: "user", Message: "is an administrator already"}), nil
		}
		a := Administrator{
			ID: id.New[id.KindAdministrator](now), Workspace: by.Workspace, User: n.User, Owner: n.Owner, Permissions: permissions, Revision: 1, CreatedAt: now,
		}
		if err := t.InsertAdministrator(ctx, a); err != nil {
			return nil, err
		}
		mail := outbox.AdministratorAdded{To: recipient(p), Workspace: p.WorkspaceName, By: by.Name, Owner: n.Owner, At: now.UnixMilli()}
		if err := outbox.Put(ctx, t, by.Workspace, mail, now); err != nil {
			return nil, err
		}
		if seat, _, err = t.FindSeat(ctx, by.Workspace, a.ID); err != nil {
			return nil, err
		}
		once.Note(ctx, string(a.ID))
		return nil, activity.Append(ctx, t, by, activity.Event{
			Action: attempt.Action, Detail: grantText(a), Target: userParty(p), User: p.User,
		}, now)
	})
	if err != nil {
		return Seat{}, err
	}
	return seat, nil
}

// grant reads permissions by name or by preset.
func grant(names []string, preset string) (auth.Permissions, []fault.Field) {
	if preset == "" {
		permissions, unknown, ok := auth.ParsePermissions(names)
		if !ok {
			return nil, []fault.Field{{Name: "permissions", Message: "holds one that does not exist: " + unknown}}
		}
		return permissions, nil
	}
	if len(names) > 0 {
		return nil, []fault.Field{{Name: "preset", Message: "cannot be given together with permissions"}}
	}
	for _, p := range auth.Presets() {
		if p.Name == preset {
			return p.Permissions, nil
		}
	}
	return nil, []fault.Field{{Name: "preset", Message: "does not exist"}}
}

// grantText says in names what an administrator may do, for the record.
func grantText(a Administrator) string {
	switch {
	case a.Owner:
		return "owner"
	case len(a.Permissions) == 0:
		return "nothing"
	}
	return strings.Join(a.Permissions.Strings(), ", ")
}

// ChangeAdministrator changes what an administrator may do, at once. The caller
// needs what AddAdministrator asks for, and is an owner if the administrator is one
// or becomes one. The last owner stays one. ifRevision 0 stands for any.
func (s *Service) ChangeAdministrator(ctx context.Context, by auth.Caller, a id.Administrator, c AdministratorChange, ifRevision int64) (Seat, error) {
	var seat Seat
	attempt := activity.Attempt{Action: "administrator.update", Target: activity.Party{Type: "administrator", ID: string(a)}}
	err := s.appointing(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		var found bool
		var err error
		if seat, found, err = t.FindSeat(ctx, by.Workspace, a); err != nil {
			return nil, err
		}
		if !found {
			return administratorNotFound(), nil
		}
		if ifRevision != 0 && ifRevision != seat.Revision {
			return fault.Precondition(), nil
		}
		next, changed, f := c.apply(seat.Administrator)
		if f != nil {
			return f, nil
		}
		if (seat.Owner || next.Owner) && !asOwner(by, standing) {
			return ownersOnly(), nil
		}
		if len(changed) == 0 {
			return nil, nil
		}
		if seat.Owner && !next.Owner {
			if f, err := leavesOwner(ctx, t, seat.Administrator); f != nil || err != nil {
				return f, err
			}
		}
		next.Revision++
		seat.Administrator = next
		if err := t.UpdateAdministrator(ctx, next); err != nil {
			return nil, err
		}
		return nil, activity.Append(ctx, t, by, activity.Event{
			Action: attempt.Action, Detail: strings.Join(changed, ", "), Target: userParty(seat.Person), User: seat.User,
		}, now)
	})
	if err != nil {
		return Seat{}, err
	}
	return seat, nil
}

// apply returns the administrator as they will be and what is different.
func (c AdministratorChange) apply(a Administrator) (Administrator, []string, *fault.Error) {
	var changed []string
	if c.Permissions != nil || c.Preset != "" {
		var names []string
		if c.Permissions != nil {
			names = *c.Permissions
		}
		permissions, wrong := grant(names, c.Preset)
		if len(wrong) > 0 {
			return a, nil, fault.Invalid("invalid_fields", "Some fields need your attention.", wrong...)
		}
		if !slices.Equal(permissions, a.Permissions) {
			a.Permissions, changed = permissions, append(changed, "permissions")
		}
	}
	if c.Owner != nil && *c.Owner != a.Owner {
		a.Owner, changed = *c.Owner, append(changed, "owner")
	}
	return a, changed, nil
}

// leavesOwner answers the fault if nobody would own the workspace without a.
func leavesOwner(ctx context.Context, t Tx, a Administrator) (*fault.Error, error) {
	left, err := t.CountOwners(ctx, a.Workspace, a.ID)
	if err != nil || left > 0 {
		return nil, err
	}
	return fault.Conflict("last_owner", "This is the last owner of the workspace. Make somebody else an owner first."), nil
}

// RemoveAdministrator takes all rights from an administrator and ends their panel
// sessions; the user stays. It returns the API keys that they created, which go on
// working. The caller needs what ChangeAdministrator asks for; nobody removes
// themselves.
func (s *Service) RemoveAdministrator(ctx context.Context, by auth.Caller, a id.Administrator) ([]LeftKey, error) {
	var left []LeftKey
	attempt := activity.Attempt{Action: "administrator.delete", Target: activity.Party{Type: "administrator", ID: string(a)}}
	err := s.appointing(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		seat, found, err := t.FindSeat(ctx, by.Workspace, a)
		if err != nil {
			return nil, err
		}
		switch {
		case !found:
			return administratorNotFound(), nil
		case seat.User == by.User:
			return fault.Conflict("not_yourself", "You cannot remove yourself. Ask another administrator."), nil
		case seat.Owner && !asOwner(by, standing):
			return ownersOnly(), nil
		}
		if seat.Owner {
			if f, err := leavesOwner(ctx, t, seat.Administrator); f != nil || err != nil {
				return f, err
			}
		}
		if left, err = t.ListAdministratorAPIKeys(ctx, by.Workspace, seat.User); err != nil {
			return nil, err
		}
		if err := dismiss(ctx, t, seat.Administrator, now); err != nil {
			return nil, err
		}
		return nil, activity.Append(ctx, t, by, activity.Event{
			Action: attempt.Action, Detail: grantText(seat.Administrator), Target: userParty(seat.Person), User: seat.User,
		}, now)
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}

// dismiss takes everything that opens the panel: should they become an
// administrator again, their passkeys wait for a confirmation.
func dismiss(ctx context.Context, t Tx, a Administrator, now time.Time) error {
	if err := t.DeleteAdministrator(ctx, a.Workspace, a.ID); err != nil {
		return err
	}
	if err := t.UnconfirmPasskeys(ctx, a.Workspace, a.User); err != nil {
		return err
	}
	if err := t.WithdrawSetupLinks(ctx, a.Workspace, a.User, now); err != nil {
		return err
	}
	_, err := t.EndUserSessions(ctx, a.Workspace, a.User, ScopePanel, "", now)
	return err
}
