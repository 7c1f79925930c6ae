package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// administratorBody is an administrator as the API shows them.
type administratorBody struct {
	ID                  string     `json:"id" example:"adm_01jd3v9b8eexav2f6hqdr3wzkt"`
	User                userBrief  `json:"user"`
	Owner               bool       `json:"owner" doc:"An owner may everything."`
	Permissions         []string   `json:"permissions" nullable:"false" doc:"What they may do; all, for an owner."`
	Preset              *string    `json:"preset" doc:"The preset that grants just these permissions, if one does."`
	Suspended           bool       `json:"suspended" doc:"Whether the user is suspended."`
	Passkeys            int        `json:"passkeys" doc:"How many they have."`
	UnconfirmedPasskeys int        `json:"unconfirmed_passkeys" doc:"How many of them wait for another administrator."`
	CreatedAt           time.Time  `json:"created_at"`
	LastActivityAt      *time.Time `json:"last_activity_at"`
}

// userBrief is a user inside something else.
type userBrief struct {
	ID    string `json:"id" example:"user_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

func renderAdministrator(s signin.Seat) administratorBody {
	b := administratorBody{
		ID: string(s.ID), User: userBrief{ID: string(s.User), Name: s.Person.Name, Email: s.Person.Email}, Owner: s.Owner, Permissions: s.May().Strings(),
		Suspended: s.Person.Suspended, Passkeys: s.Passkeys, UnconfirmedPasskeys: s.Unconfirmed,
		CreatedAt: s.CreatedAt, LastActivityAt: optionalTime(s.LastActivityAt),
	}
	if preset := signin.PresetOf(s.Permissions); preset != "" && !s.Owner {
		b.Preset = &preset
	}
	return b
}

// administratorOutput is the answer with one administrator.
type administratorOutput struct {
	ETag     string `header:"ETag" doc:"The administrator's revision, for If-Match."`
	Location string `header:"Location"`
	Body     administratorBody
}

func administratorAnswer(s signin.Seat) *administratorOutput {
	return &administratorOutput{ETag: etag(s.Revision), Location: Prefix + "/administrators/" + string(s.ID), Body: renderAdministrator(s)}
}

// AdministratorPath names one administrator. It is exported for huma, as ListInput is.
type AdministratorPath struct {
	ID string `path:"id" doc:"The administrator's id: adm_…"`
}

func (p AdministratorPath) administrator() id.Administrator {
	a, _ := id.Parse[id.KindAdministrator](p.ID) // what is none is not found
	return a
}

// AdministratorPasskeyPath names one passkey of an administrator.
type AdministratorPasskeyPath struct {
	AdministratorPath
	Passkey string `path:"passkey" doc:"The passkey's id: psk_…"`
}

// AdministratorSessionPath names one session of an administrator.
type AdministratorSessionPath struct {
	AdministratorPath
	Session string `path:"session" doc:"The session's id: ses_…"`
}

type listAdministratorsInput struct {
	ListInput
	Sort string `query:"sort" doc:"name, created_at or last_activity_at, followed by ,ascend or ,descend."`
}

type createAdministratorInput struct {
	Body struct {
		User        string   `json:"user" maxLength:"100" doc:"The user's id: user_…"`
		Permissions []string `json:"permissions,omitempty" nullable:"false" maxItems:"100" doc:"None, if it and preset are left out."`
		Preset      string   `json:"preset,omitempty" maxLength:"100" doc:"key_administrator, account_manager or auditor, instead of permissions."`
		Owner       bool     `json:"owner,omitempty" doc:"Only an owner at the panel may say true."`
	}
}

type patchAdministratorInput struct {
	AdministratorPath
	IfMatch string `header:"If-Match" doc:"Change the administrator only if this is its ETag."`
	Body    struct {
		Permissions patchList `json:"permissions,omitempty" doc:"Replaces those of before; null for none."`
		Preset      string    `json:"preset,omitempty" maxLength:"100" doc:"key_administrator, account_manager or auditor, instead of permissions."`
		Owner       *bool     `json:"owner,omitempty" doc:"Only an owner at the panel may change it."`
	}
}

// patchList is a list of names in a merge patch (RFC 7396): absent, or set, where
// null removes and so sets the empty list.
type patchList struct{ value *[]string }

// UnmarshalJSON reads a list or null.
func (p *patchList) UnmarshalJSON(b []byte) error {
	list := []string{}
	if string(b) != "null" {
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
	}
	p.value = &list
	return nil
}

// Schema describes a list or null.
func (patchList) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Nullable: true, MaxItems: new(100), Items: &huma.Schema{Type: huma.TypeString}}
}

// removedAdministratorOutput says what is left of one who was removed.
type removedAdministratorOutput struct {
	Body struct {
		Left struct {
			APIKeys []leftAPIKey `json:"api_keys" nullable:"false" doc:"API keys that they created, which go on working."`
		} `json:"left"`
	}
}

type leftAPIKey struct {
	ID   string `json:"id" example:"key_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name string `json:"name"`
	Type string `json:"type" enum:"admin,shared_mobile,clients"`
}

const allPermissions = "Needs the permission administrators.write and with it all others; from a panel session, a fresh passkey. "

// registerAdministrators is the route registration of administrators.
func (a *restAPI) registerAdministrators() {
	const reads, looksAfter = "Needs the permission administrators.read.", "Needs the permission administrators.write and at least the permissions of that administrator; for an owner's, an owner."
	const byPerson = looksAfter + " Only a person at the panel with a fresh passkey may do it, and not for themselves."
	register(a, operation("list-administrators", http.MethodGet, "/administrators", "List administrators", reads), a.listAdministrators)
	create := operation("create-administrator", http.MethodPost, "/administrators", "Make a user an administrator",
		allPermissions+"The user is told by e-mail.", http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createAdministrator, func(ctx context.Context, as auth.Caller, _ *createAdministratorInput, note string) (*administratorOutput, error) {
		return a.getAdministrator(ctx, as, &AdministratorPath{ID: note})
	})
	register(a, operation("get-administrator", http.MethodGet, "/administrators/{id}", "Get an administrator", reads, http.StatusNotFound), a.getAdministrator)
	register(a, operation("patch-administrator", http.MethodPatch, "/administrators/{id}", "Change what an administrator may do",
		"A merge patch (RFC 7396). "+allPermissions+"Owners are changed by owners. It holds at once, in open sessions too.",
		http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.patchAdministrator)
	remove := operation("delete-administrator", http.MethodDelete, "/administrators/{id}", "Remove an administrator",
		allPermissions+"Their panel sessions end; the user stays. Nobody removes themselves, and the last owner stays.", http.StatusNotFound, http.StatusConflict)
	remove.DefaultStatus = http.StatusOK
	register(a, remove, a.deleteAdministrator)

	register(a, operation("list-administrator-passkeys", http.MethodGet, "/administrators/{id}/passkeys", "List an administrator's passkeys", reads, http.StatusNotFound), a.listPasskeys)
	registerPost(a, operation("confirm-administrator-passkey", http.MethodPost, "/administrators/{id}/passkeys/{passkey}/confirm", "Let a passkey open the panel",
		byPerson, http.StatusNotFound, http.StatusConflict), a.confirmPasskey, a.confirmedPasskey)
	register(a, operation("delete-administrator-passkey", http.MethodDelete, "/administrators/{id}/passkeys/{passkey}", "Remove an administrator's passkey",
		byPerson+" The sessions that it opened end.", http.StatusNotFound), a.removePasskey)
	register(a, operation("list-administrator-sessions", http.MethodGet, "/administrators/{id}/sessions", "List an administrator's open sessions", reads, http.StatusNotFound), a.listSessions)
	register(a, operation("end-administrator-session", http.MethodDelete, "/administrators/{id}/sessions/{session}", "End an administrator's session",
		looksAfter, http.StatusNotFound), a.endSession)
}

func (a *restAPI) listAdministrators(ctx context.Context, by auth.Caller, in *listAdministratorsInput) (*listOutput[administratorBody], error) {
	name := queryName("administrators", in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, signin.Sorts())
	if err != nil {
		return nil, err
	}
	p, err := a.c.SignIn.Administrators(ctx, by, r)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderAdministrator)
}

func (a *restAPI) createAdministrator(ctx context.Context, by auth.Caller, in *createAdministratorInput) (*administratorOutput, error) {
	u, ok := id.Parse[id.KindUser](in.Body.User)
	if !ok {
		u = "" // the room says of it what it says of everybody who is not there
	}
	s, err := a.c.SignIn.AddAdministrator(ctx, by, signin.NewAdministrator{
		User: u, Permissions: in.Body.Permissions, Preset: in.Body.Preset, Owner: in.Body.Owner,
	})
	if err != nil {
		return nil, err
	}
	return administratorAnswer(s), nil
}

func (a *restAPI) getAdministrator(ctx context.Context, by auth.Caller, in *AdministratorPath) (*administratorOutput, error) {
	s, err := a.c.SignIn.FindAdministrator(ctx, by, in.administrator())
	if err != nil {
		return nil, err
	}
	return administratorAnswer(s), nil
}

func (a *restAPI) patchAdministrator(ctx context.Context, by auth.Caller, in *patchAdministratorInput) (*administratorOutput, error) {
	s, err := a.c.SignIn.ChangeAdministrator(ctx, by, in.administrator(), signin.AdministratorChange{
		Permissions: in.Body.Permissions.value, Preset: in.Body.Preset, Owner: in.Body.Owner,
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return administratorAnswer(s), nil
}

func (a *restAPI) deleteAdministrator(ctx context.Context, by auth.Caller, in *AdministratorPath) (*removedAdministratorOutput, error) {
	left, err := a.c.SignIn.RemoveAdministrator(ctx, by, in.administrator())
	if err != nil {
		return nil, err
	}
	out := &removedAdministratorOutput{}
	out.Body.Left.APIKeys = make([]leftAPIKey, 0, len(left))
	for _, k := range left {
		out.Body.Left.APIKeys = append(out.Body.Left.APIKeys, leftAPIKey{ID: string(k.ID), Name: k.Name, Type: k.Type})
	}
	return out, nil
}

func (a *restAPI) listPasskeys(ctx context.Context, by auth.Caller, in *AdministratorPath) (*listOutput[passkeyBody], error) {
	all, err := a.c.SignIn.Passkeys(ctx, by, in.administrator())
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", renderPasskey)
}

func (a *restAPI) confirmPasskey(ctx context.Context, by auth.Caller, in *AdministratorPasskeyPath) (*passkeyOutput, error) {
	passkey, _ := id.Parse[id.KindPasskey](in.Passkey) // what is none is not found
	k, err := a.c.SignIn.ConfirmPasskey(ctx, by, in.administrator(), passkey)
	if err != nil {
		return nil, err
	}
	return &passkeyOutput{Body: renderPasskey(k)}, nil
}

// confirmedPasskey answers the repeat of a confirmation.
func (a *restAPI) confirmedPasskey(ctx context.Context, as auth.Caller, in *AdministratorPasskeyPath, note string) (*passkeyOutput, error) {
	all, err := a.c.SignIn.Passkeys(ctx, as, in.administrator())
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if string(k.ID) == note {
			return &passkeyOutput{Body: renderPasskey(k)}, nil
		}
	}
	return nil, unknownPasskey()
}

func (a *restAPI) removePasskey(ctx context.Context, by auth.Caller, in *AdministratorPasskeyPath) (*struct{}, error) {
	passkey, _ := id.Parse[id.KindPasskey](in.Passkey) // what is none is not found
	return nil, a.c.SignIn.RemovePasskey(ctx, by, in.administrator(), passkey)
}

func (a *restAPI) listSessions(ctx context.Context, by auth.Caller, in *AdministratorPath) (*listOutput[sessionBody], error) {
	all, err := a.c.SignIn.Sessions(ctx, by, in.administrator())
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", renderSession(by))
}

func (a *restAPI) endSession(ctx context.Context, by auth.Caller, in *AdministratorSessionPath) (*struct{}, error) {
	session, _ := id.Parse[id.KindSession](in.Session) // what is none is not found
	return nil, a.c.SignIn.EndSession(ctx, by, in.administrator(), session)
}
