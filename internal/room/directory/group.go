package directory

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Group is a set of users. The builtin group Everyone holds all users always.
type Group struct {
	ID          id.Group
	Workspace   id.Workspace
	Name        string
	Description string
	Builtin     bool
	Members     int   // how many users are in it
	Revision    int64 // counts changes of name and description, from 1
	CreatedAt   time.Time
}

// NewGroup is what a group is made from. Name is required.
type NewGroup struct {
	Name        string
	Description string
	Members     []id.User // at most MaxMembers
}

// GroupChange is what is to be changed of a group: nil fields stay.
type GroupChange struct {
	Name        *string
	Description *string
}

// GroupQuery says which groups are wanted.
type GroupQuery struct {
	Words []string // folded beginnings of words of the name
	Page  page.Request
}

// MaxMembers bounds how many users one act puts into a group.
const MaxMembers = 200

// GroupSorts lists the names by which groups are sorted. The default is SortName.
func GroupSorts() []string { return []string{SortName, SortCreated} }

// GroupTx is the storage of groups.
type GroupTx interface {
	InsertGroup(ctx context.Context, g Group) error
	UpdateGroup(ctx context.Context, g Group) error
	// DeleteGroup removes a group and its memberships.
	DeleteGroup(ctx context.Context, w id.Workspace, g id.Group) error
	FindGroup(ctx context.Context, w id.Workspace, g id.Group) (Group, bool, error)
	// GroupNameTaken tells whether another group than except has the folded name.
	GroupNameTaken(ctx context.Context, w id.Workspace, folded string, except id.Group) (bool, error)
	ListGroups(ctx context.Context, w id.Workspace, q GroupQuery) (page.Page[Group], error)
	ListUserGroups(ctx context.Context, w id.Workspace, u id.User) ([]Group, error)
	// InsertMembership returns false if the user is in the group already. It fails
	// at commit if user or group is not there.
	InsertMembership(ctx context.Context, w id.Workspace, g id.Group, u id.User, now time.Time) (bool, error)
	// DeleteMembership returns false if the user was not in the group.
	DeleteMembership(ctx context.Context, w id.Workspace, g id.Group, u id.User) (bool, error)
}

// UnknownGroup is the answer for a group that is not there or not to be known.
func UnknownGroup() *fault.Error {
	return fault.NotFound("group_not_found", "This group does not exist.")
}

// builtin is the answer to whoever would change Everyone.
func builtin() *fault.Error {
	return fault.Conflict("builtin_group", "Everyone holds all users always: it cannot be changed.")
}

func groupAttempt(action string, need auth.Permission, g id.Group) activity.Attempt {
	return activity.Attempt{Action: action, Need: need, Target: activity.Party{Type: "group", ID: string(g)}}
}

func groupParty(g Group) activity.Party {
	return activity.Party{Type: "group", ID: string(g.ID), Name: g.Name}
}

// CreateGroup makes a group with its first members. The caller needs users.write.
// It returns an Invalid fault that names every field at fault, or a Conflict if
// the name is taken.
func (s *Service) CreateGroup(ctx context.Context, by auth.Caller, n NewGroup) (Group, error) {
	var g Group
	err := s.gate.Write(ctx, by, activity.Attempt{Action: "group.create", Need: auth.UsersWrite},
		func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (f *fault.Error, err error) {
			g, f, err = insertGroup(ctx, t, by, n, now)
			once.Note(ctx, string(g.ID))
			return f, err
		})
	return g, err
}

func insertGroup(ctx context.Context, t Tx, by auth.Caller, n NewGroup, now time.Time) (Group, *fault.Error, error) {
	g, f := cleanGroup(Group{Workspace: by.Workspace, Name: n.Name, Description: n.Description, Revision: 1, CreatedAt: now})
	if f != nil {
		return Group{}, f, nil
	}
	if len(n.Members) > MaxMembers {
		return Group{}, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "members", Message: "are too many: at most 200"}), nil
	}
	g.ID = id.New[id.KindGroup](now)
	if f, err := checkGroupName(ctx, t, g); f != nil || err != nil {
		return Group{}, f, err
	}
	var members []User
	for _, u := range n.Members {
		member, found, err := t.FindUser(ctx, by.Workspace, u)
		if err != nil {
			return Group{}, nil, err
		}
		if !found {
			return Group{}, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "members", Message: "names a user who does not exist: " + string(u)}), nil
		}
		members = append(members, member)
	}
	if err := t.InsertGroup(ctx, g); err != nil {
		return Group{}, nil, err
	}
	if err := activity.Append(ctx, t, by, activity.Event{Action: "group.create", Target: groupParty(g)}, now); err != nil {
		return Group{}, nil, err
	}
	for _, u := range members {
		added, err := join(ctx, t, by, g, u, now)
		if err != nil {
			return Group{}, nil, err
		}
		if added {
			g.Members++
		}
	}
	return g, nil, nil
}

// cleanGroup brings a group's fields into their stored form.
func cleanGroup(g Group) (Group, *fault.Error) {
	var c checker
	g.Name = c.text("name", g.Name, 1, 100)
	g.Description = c.text("description", g.Description, 0, 400)
	return g, c.fault()
}

// checkGroupName takes the workspace's latch for names of groups and answers a
// Conflict if the name belongs to another one.
func checkGroupName(ctx context.Context, t Tx, g Group) (*fault.Error, error) {
	if err := t.Latch(ctx, string(g.Workspace)+"/group_names"); err != nil {
		return nil, err
	}
	taken, err := t.GroupNameTaken(ctx, g.Workspace, Fold(g.Name), g.ID)
	if err != nil || !taken {
		return nil, err
	}
	return fault.Conflict("group_name_taken", "A group of this name exists already.", fault.Field{Name: "name", Message: "is taken"}), nil
}

// FindGroup returns a group. The caller needs users.read.
func (s *Service) FindGroup(ctx context.Context, by auth.Caller, group id.Group) (Group, error) {
	var g Group
	err := s.gate.Read(ctx, by, groupAttempt("group.find", auth.UsersRead, group), func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		if g, found, err = t.FindGroup(ctx, by.Workspace, group); err == nil && !found {
			return UnknownGroup()
		}
		return err
	})
	return g, err
}

// ListGroups returns one page of the workspace's groups. The caller needs
// users.read. text is what a person typed into a search box.
func (s *Service) ListGroups(ctx context.Context, by auth.Caller, text string, q GroupQuery) (page.Page[Group], error) {
	q.Page = q.Page.Bounded()
	q.Words = Words(text)
	var out page.Page[Group]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "group.list", Need: auth.UsersRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = t.ListGroups(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// UpdateGroup changes name and description of a group. The caller needs
// users.write. ifRevision 0 accepts any revision; another one than the group's
// answers a Precondition fault. Everyone is not changed (Conflict).
func (s *Service) UpdateGroup(ctx context.Context, by auth.Caller, group id.Group, c GroupChange, ifRevision int64) (Group, error) {
	var g Group
	err := s.gate.Write(ctx, by, groupAttempt("group.update", auth.UsersWrite, group), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		if err := t.Latch(ctx, string(by.Workspace)+"/group_names"); err != nil {
			return nil, err
		}
		old, f, err := findOwnGroup(ctx, t, by, group)
		if f != nil || err != nil {
			return f, err
		}
		if ifRevision != 0 && ifRevision != old.Revision {
			return fault.Precondition(), nil
		}
		next := old
		if c.Name != nil {
			next.Name = *c.Name
		}
		if c.Description != nil {
			next.Description = *c.Description
		}
		if next, f = cleanGroup(next); f != nil {
			return f, nil
		}
		var changed []string
		if next.Name != old.Name {
			changed = append(changed, "name")
		}
		if next.Description != old.Description {
			changed = append(changed, "description")
		}
		if g = old; len(changed) == 0 {
			return nil, nil
		}
		if f, err := checkGroupName(ctx, t, next); f != nil || err != nil {
			return f, err
		}
		next.Revision++
		if err := t.UpdateGroup(ctx, next); err != nil {
			return nil, err
		}
		g = next
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "group.update", Detail: joinNames(changed), Target: groupParty(next)}, now)
	})
	return g, err
}

// DeleteGroup removes a group; its members stay users. The caller needs
// users.write. ifRevision is as in UpdateGroup. Everyone is not deleted (Conflict).
func (s *Service) DeleteGroup(ctx context.Context, by auth.Caller, group id.Group, ifRevision int64) error {
	return s.gate.Write(ctx, by, groupAttempt("group.delete", auth.UsersWrite, group), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		g, f, err := findOwnGroup(ctx, t, by, group)
		if f != nil || err != nil {
			return f, err
		}
		if ifRevision != 0 && ifRevision != g.Revision {
			return fault.Precondition(), nil
		}
		if err := t.DeleteGroup(ctx, by.Workspace, group); err != nil {
			return nil, err
		}
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "group.delete", Target: groupParty(g)}, now)
	})
}

// findOwnGroup returns a group that may be changed: there, and not Everyone.
func findOwnGroup(ctx context.Context, t Tx, by auth.Caller, group id.Group) (Group, *fault.Error, error) {
	g, found, err := t.FindGroup(ctx, by.Workspace, group)
	switch {
	case err != nil:
		return g, nil, err
	case !found:
		return g, UnknownGroup(), nil
	case g.Builtin:
		return g, builtin(), nil
	}
	return g, nil, nil
}

// AddMember puts a user into a group. The caller needs users.write. To add
// somebody who is in it changes nothing. Nobody is added to Everyone (Conflict).
func (s *Service) AddMember(ctx context.Context, by auth.Caller, group id.Group, user id.User) error {
	return s.member(ctx, by, "group.add_member", group, user, func(ctx context.Context, t Tx, g Group, u User, now time.Time) error {
		_, err := join(ctx, t, by, g, u, now)
		return err
	})
}

// RemoveMember takes a user out of a group. The caller needs users.write. To
// remove somebody who is not in it changes nothing. Nobody is taken out of
// Everyone (Conflict).
func (s *Service) RemoveMember(ctx context.Context, by auth.Caller, group id.Group, user id.User) error {
	return s.member(ctx, by, "group.remove_member", group, user, func(ctx context.Context, t Tx, g Group, u User, now time.Time) error {
		removed, err := t.DeleteMembership(ctx, by.Workspace, g.ID, u.ID)
		if err != nil || !removed {
			return err
		}
		return recordMember(ctx, t, by, "group.remove_member", g, u, now)
	})
}

func (s *Service) member(ctx context.Context, by auth.Caller, action string, group id.Group, user id.User,
	do func(ctx context.Context, t Tx, g Group, u User, now time.Time) error,
) error {
	return s.gate.Write(ctx, by, groupAttempt(action, auth.UsersWrite, group), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		g, f, err := findOwnGroup(ctx, t, by, group)
		if f != nil || err != nil {
			return f, err
		}
		u, found, err := t.FindUser(ctx, by.Workspace, user)
		if err != nil {
			return nil, err
		}
		if !found {
			return UnknownUser(), nil
		}
		return nil, do(ctx, t, g, u, now)
	})
}

// MemberOutcome is what became of one user whom AddMembers was to add. Name is
// empty and Fault set for who was not found.
type MemberOutcome struct {
	User  id.User
	Name  string
	Fault *fault.Error
}

// AddMembers puts at most MaxMembers users into a group in one transaction. It
// answers one outcome for each, in their order. The caller needs users.write.
func (s *Service) AddMembers(ctx context.Context, by auth.Caller, group id.Group, users []id.User) ([]MemberOutcome, error) {
	var out []MemberOutcome
	err := s.gate.Write(ctx, by, groupAttempt("group.add_member", auth.UsersWrite, group), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		out = make([]MemberOutcome, 0, len(users))
		if len(users) > MaxMembers {
			return fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "members", Message: "are too many: at most 200"}), nil
		}
		g, f, err := findOwnGroup(ctx, t, by, group)
		if f != nil || err != nil {
			return f, err
		}
		for _, user := range users {
			u, found, err := t.FindUser(ctx, by.Workspace, user)
			if err != nil {
				return nil, err
			}
			if !found {
				out = append(out, MemberOutcome{User: user, Fault: UnknownUser()})
				continue
			}
			if _, err := join(ctx, t, by, g, u, now); err != nil {
				return nil, err
			}
			out = append(out, MemberOutcome{User: user, Name: u.Name()})
		}
		return nil, nil
	})
	return out, err
}

// join puts a user into a group and says whether they were not in it before.
func join(ctx context.Context, t Tx, by auth.Caller, g Group, u User, now time.Time) (bool, error) {
	added, err := t.InsertMembership(ctx, g.Workspace, g.ID, u.ID, now)
	if err != nil || !added {
		return added, err
	}
	return true, recordMember(ctx, t, by, "group.add_member", g, u, now)
}

func recordMember(ctx context.Context, t Tx, by auth.Caller, action string, g Group, u User, now time.Time) error {
	return activity.Append(ctx, t, by, activity.Event{Action: action, Target: groupParty(g), User: u.ID}, now)
}

// Members returns one page of a group's members. The caller needs users.read. text
// is what a person typed into a search box; q.Group is set by group.
func (s *Service) Members(ctx context.Context, by auth.Caller, group id.Group, text string, q Query) (Group, page.Page[User], error) {
	var g Group
	var out page.Page[User]
	q.Page, q.Words, q.Group = q.Page.Bounded(), Words(text), group
	err := s.gate.Read(ctx, by, groupAttempt("group.list_members", auth.UsersRead, group), func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		if g, found, err = t.FindGroup(ctx, by.Workspace, group); err != nil {
			return err
		}
		if !found {
			return UnknownGroup()
		}
		out, err = t.ListUsers(ctx, by.Workspace, q)
		return err
	})
	return g, out, err
}

// checkGroups returns the groups to write memberships for: each asked group once,
// without Everyone, which holds all users by itself.
func checkGroups(ctx context.Context, t Tx, w id.Workspace, asked []id.Group) ([]Group, *fault.Error, error) {
	var out []Group
	seen := map[id.Group]bool{}
	for _, asked := range asked {
		if seen[asked] {
			continue
		}
		seen[asked] = true
		g, found, err := t.FindGroup(ctx, w, asked)
		if err != nil {
			return nil, nil, err
		}
		if !found {
			return nil, fault.Invalid("invalid_user", "The user was not saved.", fault.Field{Name: "groups", Message: "names a group that does not exist: " + string(asked)}), nil
		}
		if !g.Builtin {
			out = append(out, g)
		}
	}
	return out, nil, nil
}
