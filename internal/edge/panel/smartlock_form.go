package panel

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// lockFormView is the page that registers or changes a lock.
type lockFormView struct {
	Shell        shell
	Heading      string
	Action       string
	Cancel       string
	Save         string
	Revision     string
	Once         string
	Notice       notice // shown if it has a title
	Summary      summary
	Fields       []field
	Capabilities []choice
	CapError     string
}

// newLockForm returns the values of a form that was not filled in yet.
func newLockForm(zone string) url.Values {
	form := url.Values{"timezone": {zone}, "open_seconds": {strconv.Itoa(smartlock.DefaultOpenSeconds)}, "lease_hours": {strconv.Itoa(smartlock.DefaultLeaseSeconds / 3600)}}
	for _, c := range smartlock.Capabilities() {
		form.Add("capabilities", string(c))
	}
	return form
}

// storedLockForm returns the values of a form over what is stored.
func storedLockForm(l smartlock.Lock) url.Values {
	form := url.Values{
		"name": {l.Name}, "place": {l.Place}, "timezone": {l.Timezone}, "open_seconds": {strconv.Itoa(l.OpenSeconds)}, "lease_hours": {hoursOf(l.LeaseSeconds)},
		"revision": {strconv.FormatInt(l.Revision, 10)},
	}
	for _, c := range l.Capabilities {
		form.Add("capabilities", string(c))
	}
	return form
}

// hoursOf writes seconds as hours, as short as it goes: "24", "0.5".
func hoursOf(seconds int) string { return strconv.FormatFloat(float64(seconds)/3600, 'g', 6, 64) }

// secondsOf reads hours. What is no number becomes -1, which no setting may be.
func secondsOf(hours string) int {
	h, err := strconv.ParseFloat(strings.Replace(strings.TrimSpace(hours), ",", ".", 1), 64)
	if err != nil || h < 0 || h > 1e6 {
		return -1
	}
	return int(h*3600 + 0.5)
}

func intOf(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	return n
}

// fillLockForm puts a form's values, and what is wrong with them, into the page.
func fillLockForm(view *lockFormView, form url.Values, f *fault.Error) {
	texts := map[string]string{}
	if f != nil {
		named := *f // the form asks for hours
		named.Fields = nil
		for _, wrongField := range f.Fields {
			if wrongField.Name == "lease_seconds" {
				wrongField = fault.Field{Name: "lease_hours", Message: textLockLeaseWrong}
			}
			named.Fields = append(named.Fields, wrongField)
		}
		view.Summary, texts = wrong(&named, "name", "place", "timezone", "capabilities", "open_seconds", "lease_hours")
	}
	text := func(name, label, help string, required bool, most int) field {
		return field{
			Name: name, Label: label, Help: help, Value: form.Get(name), Error: texts[name], Type: "text", Autocomplete: "off", Required: required, MaxLength: most,
		}
	}
	zone := text("timezone", fieldLabel("timezone"), textLockZoneHelp, true, 100)
	zone.Suggestions = "timezones"
	view.Fields = []field{
		text("name", fieldLabel("name"), textLockNameHelp, true, 100), text("place", textLockPlace, textLockPlaceHelp, false, 100), zone,
		text("open_seconds", textLockOpenSeconds, textLockOpenHelp, true, 4), text("lease_hours", textLockLeaseHours, textLockLeaseHelp, true, 8),
	}
	view.CapError = texts["capabilities"]
	for _, c := range smartlock.Capabilities() {
		offer := choice{Name: "capabilities", Value: string(c), Label: capabilityText(c), Help: capabilityHelp(c)}
		for _, have := range form["capabilities"] {
			offer.Checked = offer.Checked || have == string(c)
		}
		view.Capabilities = append(view.Capabilities, offer)
	}
}

func capabilitiesOf(form url.Values) []smartlock.Capability {
	out := []smartlock.Capability{}
	for _, c := range form["capabilities"] {
		out = append(out, smartlock.Capability(c))
	}
	return out
}

func (p *Panel) newLockView(v visit, form url.Values) lockFormView {
	return lockFormView{
		Shell: p.shell(v, textLocksNew, crumb{Name: textNavDigitalKeys}, crumb{Name: textLocksTitle, Path: locksPath}), Heading: textLocksNew, Action: locksPath + "/new",
		Cancel: locksPath, Save: textLocksNew, Once: onceName(form),
	}
}

func (p *Panel) newLock(w http.ResponseWriter, r *http.Request, v visit) error {
	form := newLockForm(v.zone.String())
	view := p.newLockView(v, form)
	fillLockForm(&view, form, nil)
	return p.show(w, r, http.StatusOK, lockFormTemplate(view))
}

func (p *Panel) createLock(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	n := smartlock.NewLock{
		Name: form.Get("name"), Place: form.Get("place"), Timezone: strings.TrimSpace(form.Get("timezone")), Capabilities: capabilitiesOf(form),
		OpenSeconds: intOf(form.Get("open_seconds")), LeaseSeconds: secondsOf(form.Get("lease_hours")),
	}
	var f *fault.Error
	if len(n.Capabilities) == 0 {
		f = fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "capabilities", Message: "needs at least one"})
	}
	var l smartlock.Lock
	if f == nil {
		l, err = p.c.Locks.Create(onceContext(r, v, form), v.caller, n)
		if repeat, ok := errors.AsType[*once.Repeated](err); ok {
			redirect(w, r, locksPath+"/"+repeat.Note)
			return nil
		}
		if formFault, ok := isFormFault(err); ok {
			f = formFault
		} else if err != nil {
			return err
		}
	}
	if f != nil {
		view := p.newLockView(v, form)
		fillLockForm(&view, form, f)
		return p.show(w, r, http.StatusUnprocessableEntity, lockFormTemplate(view))
	}
	p.setFlash(w, "lock_created")
	redirect(w, r, lockPath(l.ID))
	return nil
}

func (p *Panel) editLockView(v visit, l smartlock.Lock, form url.Values) lockFormView {
	return lockFormView{
		Shell: p.lockShell(v, l, textUserEdit), Heading: textUserEdit + " " + l.Name, Action: lockPath(l.ID) + "/edit", Cancel: lockPath(l.ID), Save: textEditAPIKeySave,
		Revision: form.Get("revision"),
	}
}

func (p *Panel) editLock(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.c.Locks.Find(r.Context(), v.caller, lockID(r))
	if err != nil {
		return err
	}
	form := storedLockForm(l)
	view := p.editLockView(v, l, form)
	fillLockForm(&view, form, nil)
	return p.show(w, r, http.StatusOK, lockFormTemplate(view))
}

func (p *Panel) updateLock(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	l, err := p.c.Locks.Find(r.Context(), v.caller, lockID(r))
	if err != nil {
		return err
	}
	list := capabilitiesOf(form)
	_, cause := p.c.Locks.Change(r.Context(), v.caller, l.ID, smartlock.Change{
		Name: new(form.Get("name")), Place: new(form.Get("place")), Timezone: new(strings.TrimSpace(form.Get("timezone"))), Capabilities: &list,
		OpenSeconds: new(intOf(form.Get("open_seconds"))), LeaseSeconds: new(secondsOf(form.Get("lease_hours"))),
	}, revision)
	if cause == nil {
		p.setFlash(w, "lock_saved")
		redirect(w, r, lockPath(l.ID))
		return nil
	}
	f, isFault := fault.As(cause)
	switch {
	case isFault && f.Kind == fault.KindPrecondition:
		form.Set("revision", strconv.FormatInt(l.Revision, 10))
		view := p.editLockView(v, l, form)
		fillLockForm(&view, form, nil)
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textLockChanged, Text: textKeyChangedHelp}
		stored := storedLockForm(l)
		for i := range view.Fields {
			view.Fields[i].Note = nowStored(view.Fields[i], stored)
		}
		return p.show(w, r, http.StatusUnprocessableEntity, lockFormTemplate(view))
	case isFault && (f.Kind == fault.KindInvalid || f.Kind == fault.KindConflict):
		view := p.editLockView(v, l, form)
		fillLockForm(&view, form, f)
		return p.show(w, r, http.StatusUnprocessableEntity, lockFormTemplate(view))
	}
	return cause
}
