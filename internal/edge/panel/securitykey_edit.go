package panel

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// editKeyView is the page that changes a security key.
type editKeyView struct {
	Shell         shell
	Heading       string
	Path          string
	Revision      string
	Notice        notice // shown if it has a title
	Summary       summary
	Fields        []field
	Proximity     choice   // asked for if it has a name
	Verifications []choice // asked for if there are any
	VerifyError   string
	VerifyNote    string
	Confirm       bool // a fresh passkey is asked for
}

// storedKeyForm returns the values of a form over what is stored.
func storedKeyForm(k securitykey.SecurityKey) url.Values {
	form := url.Values{"name": {k.Name}, "model": {k.Model}, "verification": {string(k.Verification)}, "revision": {strconv.FormatInt(k.Revision, 10)}}
	if k.Proximity {
		form.Set("proximity", "on")
	}
	return form
}

func (p *Panel) editSecurityKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	return p.showEditKey(w, r, v, found.Key, storedKeyForm(found.Key), nil, editKeyView{}, http.StatusOK)
}

// showEditKey shows the form with its values and what is wrong with them. more holds
// what else the page says.
func (p *Panel) showEditKey(w http.ResponseWriter, r *http.Request, v visit, k securitykey.SecurityKey, form url.Values, f *fault.Error, more editKeyView, status int) error {
	view := more
	view.Shell, view.Heading, view.Path, view.Revision = p.securityKeyShell(v, k, textUserEdit), textUserEdit+" "+k.Name, securityKeyPath(k.ID), form.Get("revision")
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "model", "verification", "proximity")
	}
	view.Fields = []field{keyNameField(form, texts)}
	if k.Kind != securitykey.FIDO2 { // theirs is what the key itself says
		view.Fields = append(view.Fields, keyModelField(form, texts))
	}
	if more.Notice.Title != "" {
		stored := storedKeyForm(k)
		for i := range view.Fields {
			view.Fields[i].Note = nowStored(view.Fields[i], stored)
		}
	}
	if k.Kind == securitykey.Smartphone {
		view.Proximity = proximityChoice(form)
	}
	if k.Kind != securitykey.ContactlessCard { // the others have one way only
		return p.show(w, r, status, editKeyTemplate(view))
	}
	allowed, err := p.pinlessAllowed(r, v)
	if err != nil {
		return err
	}
	view.VerifyError = texts["verification"]
	view.Verifications, view.VerifyNote = verifications(form, allowed || k.Verification == securitykey.Pinless)
	return p.show(w, r, status, editKeyTemplate(view))
}

// pinlessAllowed says whether the workspace lets keys need no PIN. Who may not read
// the settings is told by the room.
func (p *Panel) pinlessAllowed(r *http.Request, v visit) (bool, error) {
	if !v.can(auth.WorkspaceRead) {
		return true, nil
	}
	s, err := p.c.SecurityKeys.Settings(r.Context(), v.caller)
	return s.Pinless, err
}

func keyNameField(form url.Values, texts map[string]string) field {
	return field{
		Name: "name", Label: fieldLabel("name"), Help: textKeyNameHelp, Value: form.Get("name"), Error: texts["name"], Type: "text", Autocomplete: "off", Wide: true, MaxLength: 100,
	}
}

func keyModelField(form url.Values, texts map[string]string) field {
	return field{
		Name: "model", Label: textColumnModel, Help: textKeyModelHelp, Value: form.Get("model"), Error: texts["model"], Type: "text", Autocomplete: "off", Wide: true, MaxLength: 100,
	}
}

func proximityChoice(form url.Values) choice {
	return choice{Name: "proximity", Value: "on", Label: textProximity, Help: textProximityHelp, Checked: form.Has("proximity")}
}

// verifications are the ways in which a card's holder proves to be the holder, and what
// is to be known of them.
func verifications(form url.Values, pinless bool) ([]choice, string) {
	offer := func(value securitykey.Verification, label, help string) choice {
		return choice{Name: "verification", Value: string(value), Label: label, Help: help, Checked: form.Get("verification") == string(value)}
	}
	out := []choice{offer(securitykey.ByPIN, textVerifyPIN, textVerifyPINCard)}
	if !pinless {
		return out, textPinlessOff
	}
	return append(out, offer(securitykey.Pinless, textVerifyPinless, textPinlessWarning)), ""
}

func (p *Panel) updateSecurityKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	k := found.Key
	c := securitykey.Change{Name: new(form.Get("name"))}
	if k.Kind != securitykey.FIDO2 {
		c.Model = new(form.Get("model"))
	}
	if k.Kind == securitykey.Smartphone {
		c.Proximity = new(form.Has("proximity"))
	}
	if asked := securitykey.Verification(form.Get("verification")); k.Kind == securitykey.ContactlessCard && asked != k.Verification {
		c.Verification = &asked // it takes more than the other fields
	}
	_, cause := p.c.SecurityKeys.Update(r.Context(), v.caller, k.ID, c, revision)
	f, status, shown := isRuleFault(cause)
	switch {
	case cause == nil:
		p.setFlash(w, "key_saved")
		redirect(w, r, securityKeyPath(k.ID))
		return nil
	case needsStepUp(cause):
		return p.showEditKey(w, r, v, k, form, nil, editKeyView{Confirm: true}, http.StatusForbidden)
	case f != nil && f.Kind == fault.KindPrecondition:
		form.Set("revision", strconv.FormatInt(k.Revision, 10))
		changed := notice{Tone: "info", Icon: "info-circle", Title: textKeyChanged, Text: textKeyChangedHelp}
		return p.showEditKey(w, r, v, k, form, nil, editKeyView{Notice: changed}, http.StatusUnprocessableEntity)
	case shown:
		return p.showEditKey(w, r, v, k, form, f, editKeyView{}, status)
	}
	return cause
}
