package panel

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

func (p *Panel) newDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := p.newDigitalKeyForm(r, v)
	if err != nil {
		return err
	}
	return p.showNewDigitalKey(w, r, v, form, nil, http.StatusOK)
}

// showNewDigitalKey shows the form with what was entered and what that means.
func (p *Panel) showNewDigitalKey(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, status int) error {
	view := digitalKeyFormView{
		Shell: p.shell(v, textDigitalKeysNew, crumb{Name: textNavDigitalKeys, Path: digitalKeysPath}), Heading: textDigitalKeysNew, Action: digitalKeysPath + "/new",
		Preview: digitalKeysPath + "/preview", Cancel: digitalKeysPath, Save: textFormSave, Once: onceName(form),
	}
	if !v.can(auth.DigitalKeysRead) {
		view.Cancel = homePath
	}
	n, _ := readDigitalKey(form) // what is wrong with it is said when it is sent
	if err := p.outlook(r.Context(), v, form, n, &view); err != nil {
		return err
	}
	fillDigitalKeyForm(&view, form, f)
	var err error
	if view.Locks, err = p.pickLocks(r.Context(), v, form, view.Errors["locks"]); err != nil {
		return err
	}
	if view.Pick, err = p.pick(r, v, form, view.Errors["user"]); err != nil {
		return err
	}
	return p.show(w, r, status, digitalKeyFormTemplate(view))
}

// chooseRange takes a preset's times into the form: without the script a preset is a button
// that sends it.
func (p *Panel) chooseRange(r *http.Request, v visit, form url.Values) error {
	wanted := form.Get("preset")
	if wanted == "" {
		return nil
	}
	zone := v.zone
	if name := form.Get("timezone"); name != "" {
		zone = zoneNamed(name)
	} else {
		locks, err := p.chosenLocks(r.Context(), v, form)
		if err != nil {
			return err
		}
		if len(locks) > 0 {
			zone = zoneNamed(locks[0].Timezone)
		}
	}
	for _, s := range rangePresets(v.now, zone) {
		if s.Value == wanted {
			form.Set("starts_at", s.Starts)
			form.Set("expires_at", s.Ends)
		}
	}
	return nil
}

func (p *Panel) previewDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	if err := p.chooseRange(r, v, form); err != nil {
		return err
	}
	return p.showNewDigitalKey(w, r, v, form, nil, http.StatusOK)
}

func (p *Panel) createDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	n, f := readDigitalKey(form)
	var issued digitalkey.Issued
	if f == nil {
		issued, err = p.c.DigitalKeys.Create(onceContext(r, v, form), v.caller, n)
		if repeat, ok := errors.AsType[*once.Repeated](err); ok {
			return p.showDigitalKeyAgain(w, r, v, repeat, n.Types)
		}
		if formFault, status, ok := isRuleFault(err); ok {
			return p.showNewDigitalKey(w, r, v, form, formFault, status)
		}
		if err != nil {
			return err
		}
	}
	if f != nil {
		return p.showNewDigitalKey(w, r, v, form, f, http.StatusUnprocessableEntity)
	}
	return p.showIssued(w, r, v, issued, "digital_key_created")
}

// showDigitalKeyAgain answers a form that was sent before.
func (p *Panel) showDigitalKeyAgain(w http.ResponseWriter, r *http.Request, v visit, repeat *once.Repeated, types []digitalkey.Type) error {
	path := digitalKeysPath
	if k, ok := id.Parse[id.KindDigitalKey](repeat.Note); ok {
		path = digitalKeyPath(k)
	}
	for _, t := range types {
		if t == digitalkey.PIN {
			return p.show(w, r, http.StatusOK, againTemplate(againView{
				Shell: p.shell(v, textFormAgainTitle, crumb{Name: textNavDigitalKeys, Path: digitalKeysPath}), Title: textFormAgainTitle, Text: textFormAgainText,
				Action: textDigitalKeyOpen, Path: path,
			}))
		}
	}
	redirect(w, r, path)
	return nil
}

// showIssued shows a new PIN, this once, or the key's page if there is none.
func (p *Panel) showIssued(w http.ResponseWriter, r *http.Request, v visit, issued digitalkey.Issued, flash string) error {
	k := issued.Key
	then := digitalKeyPath(k.ID)
	if !v.can(auth.DigitalKeysRead) {
		then = homePath
	}
	if issued.PIN.IsEmpty() {
		p.setFlash(w, flash)
		redirect(w, r, then)
		return nil
	}
	w.Header().Set("Cache-Control", "no-store")
	row := v.digitalKeyRow(k)
	var locks []string
	for _, l := range row.Locks {
		locks = append(locks, l.Name)
	}
	facts := []detail{{Label: textDigitalKeyWhen, Value: row.Range, Wide: true}, {Label: textEventLock, List: locks}}
	if k.Holder.Name != "" {
		facts = append([]detail{{Label: textColumnHolder, Value: k.Holder.Name}}, facts...)
	}
	return p.show(w, r, http.StatusOK, secretTemplate(secretView{
		Shell: p.shell(v, textFormPINNew, crumb{Name: textNavDigitalKeys, Path: digitalKeysPath}), Heading: textFormPINNew, Line: textFormPINOnce, Label: textFormPIN,
		Secret: issued.PIN.ExposeString(), Facts: facts, Then: then,
	}))
}
