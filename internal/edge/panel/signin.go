package panel

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// signInView is the page where people sign in.
type signInView struct {
	Shell shell
	Next  string
}

// challenge is what the passkey script gets.
type challenge struct {
	Ceremony string          `json:"ceremony"`
	Options  json.RawMessage `json:"options"`
}

func newChallenge(c signin.Challenge) challenge {
	return challenge{Ceremony: string(c.Ceremony), Options: c.Options}
}

// answer is what the passkey script sends back.
type answer struct {
	Ceremony string          `json:"ceremony"`
	Response json.RawMessage `json:"response"`
	Next     string          `json:"next"`
	Link     string          `json:"link"`
}

// ceremony returns the id of the ceremony that is answered.
func (a answer) ceremony() (id.Ceremony, error) {
	c, ok := id.Parse[id.KindCeremony](a.Ceremony)
	if !ok {
		return "", fault.Invalid("invalid_ceremony", textFormUnreadable)
	}
	return c, nil
}

// landing is where the script goes once a passkey was accepted.
type landing struct {
	Location string `json:"location"`
}

func (p *Panel) signInPage(w http.ResponseWriter, r *http.Request) error {
	next := safeNext(r.URL.Query().Get("next"))
	if _, err := p.visitor(r); err == nil {
		redirect(w, r, next)
		return nil
	}
	return p.show(w, r, http.StatusOK, signInTemplate(signInView{Shell: p.shell(p.stranger(r), textSignInTitle), Next: next}))
}

func (p *Panel) signInOptions(_ http.ResponseWriter, r *http.Request) (any, error) {
	c, err := p.c.SignIn.BeginSignIn(r.Context(), kit.Nobody(r.Context()))
	return newChallenge(c), err
}

func (p *Panel) signIn(w http.ResponseWriter, r *http.Request) (any, error) {
	var in answer
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	ceremony, err := in.ceremony()
	if err != nil {
		return nil, err
	}
	opened, err := p.c.SignIn.FinishSignIn(r.Context(), kit.Nobody(r.Context()), ceremony, in.Response)
	if err != nil {
		return nil, err
	}
	p.admit(w, r, opened)
	if opened.Caller.Kind == auth.User {
		return landing{Location: appNext(in.Next)}, nil
	}
	return landing{Location: safeNext(in.Next)}, nil
}

// appNext returns next if it is a page of the app, else the app's first.
func appNext(next string) string {
	next = kit.SafeNext(next, appPath)
	if path, _, _ := strings.Cut(next, "?"); path == appPath || strings.HasPrefix(path, appPath+"/") {
		return next
	}
	return appPath
}

// admit gives the browser the session that was opened for it.
func (p *Panel) admit(w http.ResponseWriter, r *http.Request, opened signin.Opened) {
	kit.NoteCaller(r.Context(), opened.Caller)
	p.c.Kit.SetSession(w, opened.Token, opened.ExpiresAt)
}

func (p *Panel) signOut(w http.ResponseWriter, r *http.Request) error {
	caller, err := p.c.Kit.SessionCaller(r)
	if err == nil {
		err = p.c.SignIn.SignOut(r.Context(), caller)
	}
	if f, ok := fault.As(err); err != nil && (!ok || f.Kind != fault.KindUnauthenticated) {
		return err
	}
	p.c.Kit.ClearSession(w)
	p.setFlash(w, "signed_out")
	redirect(w, r, "/sign-in")
	return nil
}

// registerSignIn is the route registration of how people come in.
func (p *Panel) registerSignIn(mux *http.ServeMux) {
	mux.Handle("GET /sign-in", p.open(p.signInPage))
	mux.Handle("POST /sign-in/options", p.data(p.signInOptions))
	mux.Handle("POST /sign-in", p.data(p.signIn))
	mux.Handle("POST /sign-out", p.open(p.signOut))
	mux.Handle("GET /setup", p.open(p.setupPage))
	mux.Handle("POST /setup/options", p.data(p.setupOptions))
	mux.Handle("POST /setup", p.data(p.setup))
	mux.Handle("POST /setup/continue", p.open(p.setupContinue))
	mux.Handle("GET /confirm", p.signed(p.confirmPage))
	mux.Handle("POST /confirm/options", p.data(p.confirmOptions))
	mux.Handle("POST /confirm", p.data(p.confirm))
}
