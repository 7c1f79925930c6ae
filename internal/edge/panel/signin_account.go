package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// accountView is the page of one's own account.
type accountView struct {
	Shell    shell
	Name     string
	Email    string
	Initials string
	Role     string
	Passkeys []passkeyRow
	Fresh    bool   // a passkey may be added without another confirmation
	Confirm  string // where that confirmation is given
	Summary  summary
	Sessions []sessionRow
	EndAll   string // "" if there is no other session
	Held     []string
}

const accountPath = "/account"

func (p *Panel) accountPage(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showAccount(w, r, v, http.StatusOK, summary{})
}

func (p *Panel) showAccount(w http.ResponseWriter, r *http.Request, v visit, status int, s summary) error {
	sessions, err := p.c.SignIn.OwnSessions(r.Context(), v.caller)
	if err != nil {
		return err
	}
	person, standing := v.account.Person, v.account.Standing
	view := accountView{
		Shell: p.shell(v, textAccountTitle), Name: person.Name, Email: person.Email, Initials: initials(person.Name), Summary: s,
		Role:  roleText(signin.Administrator{Owner: standing.Owner, Permissions: standing.Permissions}),
		Fresh: auth.CheckStepUp(v.caller, v.now) == nil, Confirm: "/confirm?next=" + accountPath, Held: permissionLabels(standing.Permissions),
	}
	for _, k := range v.account.Passkeys {
		path := accountPath + "/passkeys/" + string(k.ID)
		view.Passkeys = append(view.Passkeys, passkeyRow{
			ID: string(k.ID), Name: k.Name, State: passkeyBadge(k), Added: v.moment(k.CreatedAt), LastUsed: v.moment(k.LastUsedAt),
			Rename: path + "/rename", Remove: path + "/remove", Label: textPasskeyName,
		})
	}
	for _, session := range sessions {
		row := newSessionRow(v, session)
		if !row.Current {
			row.End = accountPath + "/sessions/" + string(session.ID) + "/end"
			view.EndAll = accountPath + "/sessions/end"
		}
		view.Sessions = append(view.Sessions, row)
	}
	return p.show(w, r, status, accountTemplate(view))
}

func (p *Panel) addPasskeyOptions(_ http.ResponseWriter, r *http.Request) (any, error) {
	caller, err := p.c.Kit.SessionCaller(r)
	if err != nil {
		return nil, err
	}
	c, err := p.c.SignIn.BeginPasskey(r.Context(), caller)
	return newChallenge(c), err
}

func (p *Panel) addPasskey(w http.ResponseWriter, r *http.Request) (any, error) {
	var in answer
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	caller, err := p.c.Kit.SessionCaller(r)
	if err != nil {
		return nil, err
	}
	ceremony, err := in.ceremony()
	if err != nil {
		return nil, err
	}
	if _, err := p.c.SignIn.FinishPasskey(r.Context(), caller, ceremony, in.Response); err != nil {
		return nil, err
	}
	p.c.Kit.SetFlash(w, "passkey_added")
	return landing{Location: accountPath}, nil
}

func (p *Panel) renamePasskey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	passkey, _ := id.Parse[id.KindPasskey](r.PathValue("passkey")) // what is none is not found
	_, err = p.c.SignIn.RenamePasskey(r.Context(), v.caller, passkey, form.Get("name"))
	if f, ok := isFormFault(err); ok {
		s, _ := wrong(f)
		return p.showAccount(w, r, v, http.StatusUnprocessableEntity, s)
	}
	return p.done(w, r, err, "passkey_renamed", accountPath)
}

func (p *Panel) deletePasskey(w http.ResponseWriter, r *http.Request, v visit) error {
	for _, k := range v.account.Passkeys {
		if string(k.ID) != r.PathValue("passkey") {
			continue
		}
		return p.perform(w, r, &act{
			view: actView{
				Shell: p.shell(v, textRemovePasskeyTitle, crumb{Name: textAccountTitle, Path: accountPath}), Heading: textRemovePasskeyTitle, Lead: textRemovePasskeyLead,
				Points: []string{textRemovePasskeyEnds}, Facts: v.passkeyFacts(v.account.Person.Name, k)[1:],
				Action: accountPath + "/passkeys/" + string(k.ID) + "/remove", Button: textRemovePasskeyTitle, Danger: true, Cancel: accountPath,
			},
			do: func() (string, error) {
				return "passkey_removed", p.c.SignIn.DeletePasskey(r.Context(), v.caller, k.ID)
			},
			then: accountPath,
		})
	}
	return unknownPasskey()
}

func (p *Panel) endOwnSession(w http.ResponseWriter, r *http.Request, v visit) error {
	session, _ := id.Parse[id.KindSession](r.PathValue("session")) // what is none is not found
	return p.done(w, r, p.c.SignIn.EndOwnSession(r.Context(), v.caller, session), "session_ended", accountPath)
}

func (p *Panel) endOwnSessions(w http.ResponseWriter, r *http.Request, v visit) error {
	_, err := p.c.SignIn.EndOwnSessions(r.Context(), v.caller)
	return p.done(w, r, err, "sessions_ended", accountPath)
}

// registerAccount is the route registration of one's own account.
func (p *Panel) registerAccount(mux *http.ServeMux) {
	mux.Handle("GET /account", p.signed(p.accountPage))
	mux.Handle("POST /account/passkeys/options", p.data(p.addPasskeyOptions))
	mux.Handle("POST /account/passkeys", p.data(p.addPasskey))
	mux.Handle("POST /account/passkeys/{passkey}/rename", p.signed(p.renamePasskey))
	for _, method := range []string{"GET ", "POST "} {
		mux.Handle(method+"/account/passkeys/{passkey}/remove", p.signed(p.deletePasskey))
	}
	mux.Handle("POST /account/sessions/{session}/end", p.signed(p.endOwnSession))
	mux.Handle("POST /account/sessions/end", p.signed(p.endOwnSessions))
}
