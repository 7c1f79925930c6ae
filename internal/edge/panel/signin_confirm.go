package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
)

// stepUpCode is the code of the fault that asks for a fresh passkey.
const stepUpCode = "step_up_required"

// confirmView is the page where a signed-in person proves presence again.
type confirmView struct {
	Shell shell
	Next  string
}

func (p *Panel) confirmPage(w http.ResponseWriter, r *http.Request, v visit) error {
	next := safeNext(r.URL.Query().Get("next"))
	return p.show(w, r, http.StatusOK, confirmTemplate(confirmView{Shell: p.shell(v, textConfirmTitle), Next: next}))
}

func (p *Panel) confirmOptions(_ http.ResponseWriter, r *http.Request) (any, error) {
	caller, err := p.c.Kit.SessionCaller(r)
	if err != nil {
		return nil, err
	}
	c, err := p.c.SignIn.BeginStepUp(r.Context(), caller)
	return newChallenge(c), err
}

func (p *Panel) confirm(_ http.ResponseWriter, r *http.Request) (any, error) {
	var caller auth.Caller
	var in answer
	err := readJSON(r, &in)
	if err != nil {
		return nil, err
	}
	if caller, err = p.c.Kit.SessionCaller(r); err != nil {
		return nil, err
	}
	ceremony, err := in.ceremony()
	if err != nil {
		return nil, err
	}
	if err := p.c.SignIn.FinishStepUp(r.Context(), caller, ceremony, in.Response); err != nil {
		return nil, err
	}
	return landing{Location: safeNext(in.Next)}, nil
}

// needsStepUp says whether an error asks for a fresh passkey.
func needsStepUp(err error) bool {
	f, ok := fault.As(err)
	return ok && f.Code == stepUpCode
}
