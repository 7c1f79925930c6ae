package panel

import (
	"net/http"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// registerView is the page on which a hardware key is registered at the desk.
type registerView struct {
	Shell   shell
	Heading string
	Path    string
	Refused string // instead of all else: why it cannot be
	Lead    string
	Steps   []string
	Fresh   bool   // no other confirmation is asked for
	Confirm string // where that confirmation is given
}

func (p *Panel) registerPage(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	k, path := found.Key, securityKeyPath(found.Key.ID)
	view := registerView{
		Shell: p.securityKeyShell(v, k, textKeyRegister), Heading: registerText(k.Name), Path: path, Lead: registerLead(k.Holder.Name),
		Steps: []string{textRegisterPlug, textRegisterPIN, textRegisterTouch}, Fresh: auth.CheckStepUp(v.caller, v.now) == nil,
		Confirm: "/confirm?" + url.Values{"next": {path + "/register"}}.Encode(),
	}
	if !v.securityKeyActs(k).Register {
		view.Refused = textRegisterNot
		if k.Life == securitykey.Active {
			view.Refused = textRegisterDone
		}
	}
	return p.show(w, r, http.StatusOK, registerTemplate(view))
}

func (p *Panel) registerOptions(_ http.ResponseWriter, r *http.Request) (any, error) {
	caller, err := p.c.Kit.SessionCaller(r)
	if err != nil {
		return nil, err
	}
	c, err := p.c.Bind.BeginAtDesk(r.Context(), caller, securityKeyID(r))
	return newChallenge(c), err
}

func (p *Panel) register(w http.ResponseWriter, r *http.Request) (any, error) {
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
	k, err := p.c.Bind.FinishAtDesk(r.Context(), caller, securityKeyID(r), ceremony, in.Response)
	if err != nil {
		return nil, err
	}
	p.c.Kit.SetFlash(w, "key_registered")
	return landing{Location: securityKeyPath(k.ID)}, nil
}
