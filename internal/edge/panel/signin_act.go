package panel

import (
	"net/http"

	"github.com/a-h/templ"
)

// actView is the page that asks before something is done that matters.
type actView struct {
	Shell   shell
	Heading string
	Lead    string
	Facts   []detail
	Points  []string // what will happen
	Action  string
	Button  string
	Danger  bool
	Cancel  string
	Summary summary
	Confirm bool // a fresh passkey is asked for
}

// act is one such page: GET asks, POST does. do returns the code of the toast.
type act struct {
	view actView
	do   func() (flash string, err error)
	then string
	// page, if it is set and returns one, is shown once it is done.
	page func() templ.Component
}

// perform answers a request for an act.
func (p *Panel) perform(w http.ResponseWriter, r *http.Request, a *act) error {
	if r.Method != http.MethodPost {
		return p.show(w, r, http.StatusOK, actTemplate(a.view))
	}
	flash, err := a.do()
	if f, ok := isFormFault(err); ok {
		a.view.Summary, _ = wrong(f)
		return p.show(w, r, formStatus(f), actTemplate(a.view))
	}
	if needsStepUp(err) {
		a.view.Confirm = true
		return p.show(w, r, http.StatusForbidden, actTemplate(a.view))
	}
	if err != nil {
		return err
	}
	if a.page != nil {
		if c := a.page(); c != nil {
			return p.show(w, r, http.StatusOK, c)
		}
	}
	p.c.Kit.SetFlash(w, flash)
	redirect(w, r, a.then)
	return nil
}

// done answers a form that asks for nothing before it is done.
func (p *Panel) done(w http.ResponseWriter, r *http.Request, err error, flash, then string) error {
	if err != nil {
		return err
	}
	p.c.Kit.SetFlash(w, flash)
	redirect(w, r, then)
	return nil
}
