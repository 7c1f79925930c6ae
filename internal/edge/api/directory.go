package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// UserBody is a user as the API shows it. It is exported for huma, as ListInput is.
type UserBody struct {
	ID             string     `json:"id" example:"user_01jd3v9b8eexav2f6hqdr3wzkt"`
	UserID         string     `json:"user_id" doc:"The organisation's own name for the person."`
	Email          string     `json:"email"`
	FirstName      string     `json:"first_name"`
	LastName       string     `json:"last_name"`
	Phone          string     `json:"phone"`
	EmployeeID     string     `json:"employee_id"`
	Language       string     `json:"language" doc:"BCP 47; empty for the workspace's."`
	Timezone       string     `json:"timezone" doc:"IANA name; empty for the workspace's."`
	Auditable      bool       `json:"auditable" doc:"Whether sign-ins are recorded."`
	Status         string     `json:"status" enum:"not_invited,pending,active,suspended"`
	CreatedAt      time.Time  `json:"created_at"`
	LastActivityAt *time.Time `json:"last_activity_at"`
}

func renderUser(u directory.User) UserBody {
	return UserBody{
		ID: string(u.ID), UserID: u.UserID, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Phone: u.Phone,
		EmployeeID: u.EmployeeID, Language: u.Language, Timezone: u.Timezone, Auditable: u.Auditable, Status: string(u.Shown()),
		CreatedAt: u.CreatedAt, LastActivityAt: optionalTime(u.LastActivityAt),
	}
}

// userOutput is the answer with one user.
type userOutput struct {
	ETag     string `header:"ETag" doc:"The user's revision, for If-Match."`
	Location string `header:"Location"`
	Body     UserBody
}

func userAnswer(u directory.User) *userOutput {
	return &userOutput{ETag: etag(u.Revision), Location: Prefix + "/users/" + string(u.ID), Body: renderUser(u)}
}

// UserPath names one user. It is exported for huma, as ListInput is.
type UserPath struct {
	ID string `path:"id" doc:"The user's id: user_…"`
}

// user returns the id, or the zero id if it cannot be one: no user has that, and
// the room answers it as it answers any that is not there.
func (p UserPath) user() id.User {
	u, _ := id.Parse[id.KindUser](p.ID)
	return u
}

type createUserInput struct {
	Body struct {
		UserID     string   `json:"user_id,omitempty" doc:"The e-mail address if it is left out."`
		Email      string   `json:"email"`
		FirstName  string   `json:"first_name,omitempty" doc:"First or last name is needed."`
		LastName   string   `json:"last_name,omitempty"`
		Phone      string   `json:"phone,omitempty"`
		EmployeeID string   `json:"employee_id,omitempty"`
		Language   string   `json:"language,omitempty"`
		Timezone   string   `json:"timezone,omitempty"`
		Auditable  *bool    `json:"auditable,omitempty" doc:"True if it is left out."`
		Groups     []string `json:"groups,omitempty" nullable:"false" maxItems:"200" doc:"Ids of the groups that the user joins: grp_…"`
		Invite     bool     `json:"invite,omitempty" doc:"Send an invitation at once."`
	}
}

type patchUserInput struct {
	UserPath
	IfMatch string `header:"If-Match" doc:"Change the user only if this is its ETag."`
	Body    struct {
		UserID     patchText `json:"user_id,omitempty"`
		Email      patchText `json:"email,omitempty"`
		FirstName  patchText `json:"first_name,omitempty"`
		LastName   patchText `json:"last_name,omitempty"`
		Phone      patchText `json:"phone,omitempty"`
		EmployeeID patchText `json:"employee_id,omitempty"`
		Language   patchText `json:"language,omitempty"`
		Timezone   patchText `json:"timezone,omitempty"`
		Auditable  *bool     `json:"auditable,omitempty"`
	}
}

// patchText is a text in a merge patch (RFC 7396): absent, or set, where null
// removes and so sets the empty text.
type patchText struct{ value *string }

// UnmarshalJSON reads a text or null.
func (p *patchText) UnmarshalJSON(b []byte) error {
	var s string
	if string(b) != "null" {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	p.value = &s
	return nil
}

// Schema describes a text or null.
func (patchText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true}
}

type listUsersInput struct {
	ListInput
	Q       string `query:"q" maxLength:"400" doc:"Beginnings of words in name, e-mail address, user id or employee id; all must be found."`
	Status  string `query:"status" enum:"not_invited,pending,active,suspended" doc:"Only users of this status."`
	Group   string `query:"group" doc:"Only members of this group: grp_…"`
	Keyless bool   `query:"without_key" doc:"Only users who have no security key."`
	Sort    string `query:"sort" doc:"name, email, user_id, created_at or last_activity_at, followed by ,ascend or ,descend."`
}

// registerUsers is the route registration of the users' operations.
func (a *restAPI) registerUsers() {
	register(a, operation("list-users", http.MethodGet, "/users", "List users", "Needs the permission users.read."), a.listUsers)
	create := operation("create-user", http.MethodPost, "/users", "Create a user", "Needs the permission users.write.", http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createUser, a.repeatUser)
	register(a, operation("get-user", http.MethodGet, "/users/{id}", "Get a user", "Needs the permission users.read.", http.StatusNotFound), a.getUser)
	register(a, operation("patch-user", http.MethodPatch, "/users/{id}", "Change a user",
		"A merge patch (RFC 7396). Needs the permission users.write and, to change the e-mail address of somebody who holds permissions, all of those.",
		http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.patchUser)
	a.registerLeave()
	a.registerGroups()
}

func (a *restAPI) listUsers(ctx context.Context, by auth.Caller, in *listUsersInput) (*listOutput[UserBody], error) {
	name := queryName("users", in.Q, in.Status, in.Group, strconv.FormatBool(in.Keyless), in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, directory.Sorts())
	if err != nil {
		return nil, err
	}
	q := directory.Query{Status: directory.Status(in.Status), WithoutKey: in.Keyless, Page: r}
	if in.Group != "" {
		g, ok := id.Parse[id.KindGroup](in.Group)
		if !ok {
			return nil, fieldFault("group", "is no group's id")
		}
		q.Group = g
	}
	p, err := a.c.Directory.List(ctx, by, in.Q, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderUser)
}

// fieldFault is the fault over one field.
func fieldFault(name, message string) *fault.Error {
	return fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: name, Message: message})
}

func (a *restAPI) createUser(ctx context.Context, by auth.Caller, in *createUserInput) (*userOutput, error) {
	b := in.Body
	n := directory.NewUser{
		UserID: b.UserID, Email: b.Email, FirstName: b.FirstName, LastName: b.LastName, Phone: b.Phone, EmployeeID: b.EmployeeID,
		Language: b.Language, Timezone: b.Timezone, Auditable: b.Auditable, Invite: b.Invite,
	}
	for _, text := range b.Groups {
		g, ok := id.Parse[id.KindGroup](text)
		if !ok {
			return nil, fieldFault("groups", "holds what is no group's id")
		}
		n.Groups = append(n.Groups, g)
	}
	u, err := a.c.Directory.Create(ctx, by, n)
	if err != nil {
		return nil, err
	}
	return userAnswer(u), nil
}

func (a *restAPI) repeatUser(ctx context.Context, as auth.Caller, _ *createUserInput, note string) (*userOutput, error) {
	return a.getUser(ctx, as, &UserPath{ID: note})
}

func (a *restAPI) getUser(ctx context.Context, by auth.Caller, in *UserPath) (*userOutput, error) {
	user, _, err := a.c.Directory.Find(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	return userAnswer(user), nil
}

func (a *restAPI) patchUser(ctx context.Context, by auth.Caller, in *patchUserInput) (*userOutput, error) {
	b := in.Body
	user, err := a.c.Directory.Update(ctx, by, in.user(), directory.Change{
		UserID: b.UserID.value, Email: b.Email.value, FirstName: b.FirstName.value, LastName: b.LastName.value,
		Phone: b.Phone.value, EmployeeID: b.EmployeeID.value, Language: b.Language.value, Timezone: b.Timezone.value, Auditable: b.Auditable,
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return userAnswer(user), nil
}

// etag is a revision as a strong entity tag (RFC 9110 §8.8.3).
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// revisionOf reads If-Match: 0 for none or *, and for a tag that no revision has
// one that none is.
func revisionOf(ifMatch string) int64 {
	if ifMatch == "" || ifMatch == "*" {
		return 0
	}
	n, err := strconv.ParseInt(strings.Trim(ifMatch, `"`), 10, 64)
	if err != nil || n < 1 || ifMatch != etag(n) {
		return -1
	}
	return n
}
