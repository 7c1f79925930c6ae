package api

import (
	"context"
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// leftKeyBody is an API key that goes on working.
type leftKeyBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type" enum:"admin,shared_mobile,clients"`
}

// leftBody is what goes on working of a user who was suspended.
type leftBody struct {
	APIKeys     []leftKeyBody `json:"api_keys" nullable:"false" doc:"Keys that the user created, or that a key of theirs created: at most 200, and only for callers with api_keys.read."`
	APIKeyCount int           `json:"api_key_count" doc:"How many such keys there are."`
}

func renderLeft(l leave.Left) leftBody {
	b := leftBody{APIKeys: make([]leftKeyBody, 0, len(l.APIKeys)), APIKeyCount: l.Count}
	for _, k := range l.APIKeys {
		b.APIKeys = append(b.APIKeys, renderLeftKey(k))
	}
	return b
}

func renderLeftKey(k apikey.Key) leftKeyBody {
	return leftKeyBody{ID: string(k.ID), Name: k.Name, Type: string(k.Type)}
}

// suspendedBody is a user with what is left of them.
type suspendedBody struct {
	UserBody
	Left            leftBody `json:"left" doc:"What goes on working. Websites also keep their own sessions, which Keyhold cannot end."`
	DisabledAPIKeys int      `json:"disabled_api_keys" doc:"How many API keys the call disabled."`
}

type suspendedOutput struct {
	ETag string `header:"ETag" doc:"The user's revision, for If-Match."`
	Body suspendedBody
}

func suspendedAnswer(o leave.Outcome) *suspendedOutput {
	return &suspendedOutput{ETag: etag(o.User.Revision), Body: suspendedBody{UserBody: renderUser(o.User), Left: renderLeft(o.Left), DisabledAPIKeys: o.Disabled}}
}

type suspendInput struct {
	UserPath
	Body *struct { // none is one without options
		DisableCreatedAPIKeys bool `json:"disable_created_api_keys,omitempty" doc:"Also disable the API keys that the user created, and those that such keys created. Needs the permission api_keys.write."`
	}
}

type deleteUserInput struct {
	UserPath
	IfMatch string `header:"If-Match" doc:"Delete the user only if this is its ETag."`
}

type deleteUsersInput struct {
	Body struct {
		IDs []string `json:"ids" nullable:"false" minItems:"1" maxItems:"200" doc:"Ids of users: user_…"`
	}
}

// outcomeBody is what became of one row of a bulk act.
type outcomeBody struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome" enum:"success,failed"`
	Code    string `json:"code" doc:"Why it failed, for programs; empty for success."`
	Detail  string `json:"detail" doc:"Why it failed, for people; empty for success."`
}

func renderOutcome(row string, f *fault.Error) outcomeBody {
	if f == nil {
		return outcomeBody{ID: row, Outcome: "success"}
	}
	return outcomeBody{ID: row, Outcome: "failed", Code: f.Code, Detail: f.Public}
}

type outcomesOutput struct {
	Body struct {
		Data []outcomeBody `json:"data" nullable:"false" doc:"One outcome for each id, in their order."`
	}
}

// registerLeave is the route registration of how users are suspended and go.
func (a *restAPI) registerLeave() {
	leaving := []int{http.StatusNotFound, http.StatusConflict}
	const who = "Needs the permission users.write and all permissions that the user holds; "
	register(a, operation("delete-user", http.MethodDelete, "/users/{id}", "Delete a user",
		who+"for an administrator all permissions. Nobody deletes themselves or the last owner.", append(leaving, http.StatusPreconditionFailed)...), a.deleteUser)
	registerPost(a, operation("delete-users", http.MethodPost, "/users/delete", "Delete several users",
		"As deleting each, in one transaction. Every id has an outcome of its own. Needs the permission users.write."), a.deleteUsers, a.repeatDeleteUsers)
	registerPost(a, operation("suspend-user", http.MethodPost, "/users/{id}/suspend", "Suspend a user",
		"Ends their sessions and refuses all that is theirs. "+who+"nobody suspends themselves or the last owner.", leaving...), a.suspendUser, a.repeatSuspend)
	registerPost(a, operation("activate-user", http.MethodPost, "/users/{id}/activate", "Activate a suspended user",
		who+"a user who is not suspended stays as they are.", leaving...), a.activateUser, a.repeatPath)
	registerPost(a, operation("invite-user", http.MethodPost, "/users/{id}/invite", "Invite a user by e-mail",
		"Once a minute at most. Needs the permission users.write.", append(leaving, http.StatusTooManyRequests)...), a.inviteUser, a.repeatPath)
	register(a, operation("list-user-groups", http.MethodGet, "/users/{id}/groups", "List a user's groups",
		"Everyone first. Needs the permission users.read.", http.StatusNotFound), a.listUserGroups)
}

func (a *restAPI) deleteUser(ctx context.Context, by auth.Caller, in *deleteUserInput) (*struct{}, error) {
	return nil, a.c.Leave.Delete(ctx, by, in.user(), revisionOf(in.IfMatch))
}

func (a *restAPI) deleteUsers(ctx context.Context, by auth.Caller, in *deleteUsersInput) (*outcomesOutput, error) {
	rows, err := a.c.Leave.DeleteMany(ctx, by, userIDs(in.Body.IDs))
	if err != nil {
		return nil, err
	}
	return outcomesAnswer(in.Body.IDs, rows), nil
}

func (a *restAPI) repeatDeleteUsers(_ context.Context, _ auth.Caller, in *deleteUsersInput, note string) (*outcomesOutput, error) {
	return outcomesAnswer(in.Body.IDs, leave.FromNote(userIDs(in.Body.IDs), note)), nil
}

// userIDs parses ids. What is none becomes the zero id, which no user has.
func userIDs(texts []string) []id.User {
	out := make([]id.User, len(texts))
	for i, text := range texts {
		out[i] = UserPath{ID: text}.user()
	}
	return out
}

func outcomesAnswer(texts []string, rows []leave.RowOutcome) *outcomesOutput {
	out := &outcomesOutput{}
	out.Body.Data = make([]outcomeBody, len(rows))
	for i, row := range rows {
		out.Body.Data[i] = renderOutcome(texts[i], row.Fault)
	}
	return out
}

func (a *restAPI) suspendUser(ctx context.Context, by auth.Caller, in *suspendInput) (*suspendedOutput, error) {
	o, err := a.c.Leave.Suspend(ctx, by, in.user(), leave.Options{DisableCreatedAPIKeys: in.Body != nil && in.Body.DisableCreatedAPIKeys})
	if err != nil {
		return nil, err
	}
	return suspendedAnswer(o), nil
}

// repeatSuspend answers a repeat without the names of what is left: it does not
// know whether its caller may read API keys.
func (a *restAPI) repeatSuspend(ctx context.Context, as auth.Caller, _ *suspendInput, note string) (*suspendedOutput, error) {
	ties, err := a.c.Leave.FindTies(ctx, as, UserPath{ID: note}.user())
	if err != nil {
		return nil, err
	}
	return suspendedAnswer(leave.Outcome{User: ties.User, Left: leave.Left{Count: ties.Left.Count}}), nil
}

func (a *restAPI) activateUser(ctx context.Context, by auth.Caller, in *UserPath) (*userOutput, error) {
	o, err := a.c.Leave.Activate(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	return userAnswer(o.User), nil
}

func (a *restAPI) inviteUser(ctx context.Context, by auth.Caller, in *UserPath) (*userOutput, error) {
	user, err := a.c.Directory.Invite(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	return userAnswer(user), nil
}

func (a *restAPI) repeatPath(ctx context.Context, as auth.Caller, _ *UserPath, note string) (*userOutput, error) {
	return a.getUser(ctx, as, &UserPath{ID: note})
}
