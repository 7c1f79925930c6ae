package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// groupBody is a group as the API shows it.
type groupBody struct {
	ID          string    `json:"id" example:"grp_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Builtin     bool      `json:"builtin" doc:"True for Everyone, which holds all users always and cannot be changed."`
	MemberCount int       `json:"member_count"`
	CreatedAt   time.Time `json:"created_at"`
}

func renderGroup(g directory.Group) groupBody {
	return groupBody{ID: string(g.ID), Name: g.Name, Description: g.Description, Builtin: g.Builtin, MemberCount: g.Members, CreatedAt: g.CreatedAt}
}

// groupOutput is the answer with one group.
type groupOutput struct {
	ETag     string `header:"ETag" doc:"The group's revision, for If-Match."`
	Location string `header:"Location"`
	Body     groupBody
}

func groupAnswer(g directory.Group) *groupOutput {
	return &groupOutput{ETag: etag(g.Revision), Location: Prefix + "/groups/" + string(g.ID), Body: renderGroup(g)}
}

// GroupPath names one group. It is exported for huma, as ListInput is.
type GroupPath struct {
	ID string `path:"id" doc:"The group's id: grp_…"`
}

// group is as UserPath.user.
func (p GroupPath) group() id.Group {
	g, _ := id.Parse[id.KindGroup](p.ID)
	return g
}

type memberPath struct {
	GroupPath
	User string `path:"user" doc:"The user's id: user_…"`
}

type listGroupsInput struct {
	ListInput
	Q    string `query:"q" maxLength:"400" doc:"Beginnings of words of the name; all must be found."`
	Sort string `query:"sort" doc:"name or created_at, followed by ,ascend or ,descend."`
}

type createGroupInput struct {
	Body struct {
		Name        string   `json:"name"`
		Description string   `json:"description,omitempty"`
		Members     []string `json:"members,omitempty" nullable:"false" maxItems:"200" doc:"Ids of the first members: user_…"`
	}
}

type patchGroupInput struct {
	GroupPath
	IfMatch string `header:"If-Match" doc:"Change the group only if this is its ETag."`
	Body    struct {
		Name        patchText `json:"name,omitempty"`
		Description patchText `json:"description,omitempty"`
	}
}

type deleteGroupInput struct {
	GroupPath
	IfMatch string `header:"If-Match" doc:"Delete the group only if this is its ETag."`
}

type listMembersInput struct {
	GroupPath
	ListInput
	Q      string `query:"q" maxLength:"400" doc:"Beginnings of words in name, e-mail address, user id or employee id; all must be found."`
	Status string `query:"status" enum:"not_invited,pending,active,suspended" doc:"Only users of this status."`
	Sort   string `query:"sort" doc:"name, email, user_id, created_at or last_activity_at, followed by ,ascend or ,descend."`
}

// registerGroups is the route registration of the groups' operations.
func (a *restAPI) registerGroups() {
	const reads, writes = "Needs the permission users.read.", "Needs the permission users.write."
	register(a, operation("list-groups", http.MethodGet, "/groups", "List groups", reads), a.listGroups)
	create := operation("create-group", http.MethodPost, "/groups", "Create a group", writes, http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createGroup, a.repeatGroup)
	register(a, operation("get-group", http.MethodGet, "/groups/{id}", "Get a group", reads, http.StatusNotFound), a.getGroup)
	changing := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	register(a, operation("patch-group", http.MethodPatch, "/groups/{id}", "Change a group",
		"A merge patch (RFC 7396). Everyone cannot be changed. "+writes, changing...), a.patchGroup)
	register(a, operation("delete-group", http.MethodDelete, "/groups/{id}", "Delete a group",
		"Its members stay users. Everyone cannot be deleted. "+writes, changing...), a.deleteGroup)
	register(a, operation("list-members", http.MethodGet, "/groups/{id}/members", "List a group's members", reads, http.StatusNotFound), a.listMembers)
	joining := []int{http.StatusNotFound, http.StatusConflict}
	register(a, operation("put-member", http.MethodPut, "/groups/{id}/members/{user}", "Add a user to a group",
		"Whoever is in it stays. "+writes, joining...), a.putMember)
	register(a, operation("delete-member", http.MethodDelete, "/groups/{id}/members/{user}", "Remove a user from a group",
		"Whoever is not in it stays out. "+writes, joining...), a.deleteMember)
}

func (a *restAPI) listGroups(ctx context.Context, by auth.Caller, in *listGroupsInput) (*listOutput[groupBody], error) {
	name := queryName("groups", in.Q, in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, directory.GroupSorts())
	if err != nil {
		return nil, err
	}
	p, err := a.c.Directory.ListGroups(ctx, by, in.Q, directory.GroupQuery{Page: r})
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderGroup)
}

func (a *restAPI) createGroup(ctx context.Context, by auth.Caller, in *createGroupInput) (*groupOutput, error) {
	n := directory.NewGroup{Name: in.Body.Name, Description: in.Body.Description}
	for _, text := range in.Body.Members {
		u, ok := id.Parse[id.KindUser](text)
		if !ok {
			return nil, fieldFault("members", "holds what is no user's id")
		}
		n.Members = append(n.Members, u)
	}
	g, err := a.c.Directory.CreateGroup(ctx, by, n)
	if err != nil {
		return nil, err
	}
	return groupAnswer(g), nil
}

func (a *restAPI) repeatGroup(ctx context.Context, as auth.Caller, _ *createGroupInput, note string) (*groupOutput, error) {
	return a.getGroup(ctx, as, &GroupPath{ID: note})
}

func (a *restAPI) getGroup(ctx context.Context, by auth.Caller, in *GroupPath) (*groupOutput, error) {
	group, err := a.c.Directory.FindGroup(ctx, by, in.group())
	if err != nil {
		return nil, err
	}
	return groupAnswer(group), nil
}

func (a *restAPI) patchGroup(ctx context.Context, by auth.Caller, in *patchGroupInput) (*groupOutput, error) {
	group, err := a.c.Directory.UpdateGroup(ctx, by, in.group(), directory.GroupChange{Name: in.Body.Name.value, Description: in.Body.Description.value}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return groupAnswer(group), nil
}

func (a *restAPI) deleteGroup(ctx context.Context, by auth.Caller, in *deleteGroupInput) (*struct{}, error) {
	return nil, a.c.Directory.DeleteGroup(ctx, by, in.group(), revisionOf(in.IfMatch))
}

func (a *restAPI) listMembers(ctx context.Context, by auth.Caller, in *listMembersInput) (*listOutput[UserBody], error) {
	name := queryName("members", in.ID, in.Q, in.Status, in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, directory.Sorts())
	if err != nil {
		return nil, err
	}
	_, p, err := a.c.Directory.Members(ctx, by, in.group(), in.Q, directory.Query{Status: directory.Status(in.Status), Page: r})
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderUser)
}

func (a *restAPI) putMember(ctx context.Context, by auth.Caller, in *memberPath) (*struct{}, error) {
	return nil, a.c.Directory.AddMember(ctx, by, in.group(), UserPath{ID: in.User}.user())
}

func (a *restAPI) deleteMember(ctx context.Context, by auth.Caller, in *memberPath) (*struct{}, error) {
	return nil, a.c.Directory.RemoveMember(ctx, by, in.group(), UserPath{ID: in.User}.user())
}

func (a *restAPI) listUserGroups(ctx context.Context, by auth.Caller, in *UserPath) (*listOutput[groupBody], error) {
	_, groups, err := a.c.Directory.Find(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	out := &listOutput[groupBody]{Body: listBody[groupBody]{Data: make([]groupBody, 0, len(groups))}}
	for _, g := range groups {
		out.Body.Data = append(out.Body.Data, renderGroup(g))
	}
	return out, nil
}
