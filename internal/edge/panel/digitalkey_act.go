package panel

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// manyDigitalKeysView asks before many keys are cancelled, and says what became of each.
type manyDigitalKeysView struct {
	Shell    shell
	Once     string
	Summary  summary
	Effects  []string
	Rows     []digitalKeyRow
	Lead     string
	Outcomes []digitalKeyOutcome
	Unsafe   []unsafeRow
}

type digitalKeyOutcome struct {
	Row    digitalKeyRow
	Status badge
	Detail string // why it was not done
}

// cancelView is the page that asks before a key is cancelled.
func (p *Panel) cancelView(ctx context.Context, v visit, found digitalkey.Detail) (leaveView, error) {
	k := found.Key
	name := digitalKeyName(k) + ", " + k.Holder.Name
	view := leaveView{
		Shell: p.digitalKeyShell(v, k, textCancelKeyDo), Heading: cancelKeyText(name), Lead: textCancelKeyLead, Effects: []string{textCancelKeyEnds, textCancelKeyOnline},
		LeftLead: textCancelKeyLeft, Action: digitalKeyPath(k.ID) + "/cancel", Do: textCancelKeyDo, Cancel: digitalKeyPath(k.ID),
	}
	for _, r := range found.Receipts {
		if r.Online {
			continue
		}
		until := k.ExpiresAt
		if v.can(auth.LocksRead) {
			l, err := p.c.Locks.Find(ctx, v.caller, r.Lock)
			if err != nil {
				return view, err
			}
			if !l.Enrolled() {
				continue
			}
			if !k.SurvivesLease && l.Sync.LeaseUntil.Before(until) {
				until = l.Sync.LeaseUntil
			}
		}
		if v.now.Before(until) {
			view.Left = append(view.Left, cancelOfflineText(r.LockName, v.exactlyIn(until, k.Timezone)))
		}
	}
	return view, nil
}

func (p *Panel) cancelDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	view, err := p.cancelView(r.Context(), v, found)
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return p.show(w, r, http.StatusOK, leaveTemplate(view))
	}
	_, cause := p.c.DigitalKeys.Cancel(r.Context(), v.caller, found.Key.ID)
	if cause == nil {
		p.setFlash(w, "digital_key_cancelled")
		redirect(w, r, digitalKeyPath(found.Key.ID)+"?tab="+tabReceipts)
		return nil
	}
	f, status, shown := isRuleFault(cause)
	switch {
	case shown:
		view.Summary, _ = wrong(f)
	case needsStepUp(cause):
		view.StepUp, status = true, http.StatusForbidden
	default:
		return cause
	}
	return p.show(w, r, status, leaveTemplate(view))
}

func (p *Panel) deleteDigitalKeyView(v visit, k digitalkey.DigitalKey, form url.Values) leaveView {
	return leaveView{
		Shell: p.digitalKeyShell(v, k, textUsersDelete), Heading: deleteLockText("“" + digitalKeyName(k) + "”"), Lead: textLeaveDeleteLead, Effects: []string{textDeleteDKRow},
		LeftLead: textLeaveLeft, Left: []string{textDeleteDKEvents, textDeleteKeyRecord}, Confirm: confirmField(form.Get("confirm")), Phrase: digitalKeyName(k),
		Revision: strconv.FormatInt(k.Revision, 10), Action: digitalKeyPath(k.ID) + "/delete", Do: textDeleteDKDo, Cancel: digitalKeyPath(k.ID),
	}
}

func (p *Panel) deleteDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	k := found.Key
	if r.Method != http.MethodPost {
		return p.show(w, r, http.StatusOK, leaveTemplate(p.deleteDigitalKeyView(v, k, url.Values{})))
	}
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), digitalKeyName(k)) {
		cause = p.c.DigitalKeys.Delete(r.Context(), v.caller, k.ID, revision)
	}
	if cause == nil {
		p.setFlash(w, "digital_key_deleted")
		redirect(w, r, digitalKeysPath)
		return nil
	}
	view := p.deleteDigitalKeyView(v, k, form)
	f, status, shown := isRuleFault(cause)
	switch {
	case shown:
		var texts map[string]string
		view.Summary, texts = wrong(f, "confirm")
		view.Confirm.Error = texts["confirm"]
	case needsStepUp(cause):
		view.StepUp, status = true, http.StatusForbidden
	case f != nil && f.Kind == fault.KindPrecondition:
		status = http.StatusUnprocessableEntity
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textDigitalKeyChanged, Text: textLeaveWrong}
	default:
		return cause
	}
	return p.show(w, r, status, leaveTemplate(view))
}

// selectedDigitalKeys returns the keys that a form or an address names.
func selectedDigitalKeys(form url.Values) []id.DigitalKey {
	var out []id.DigitalKey
	for _, text := range form["ids"] {
		if k, ok := id.Parse[id.KindDigitalKey](text); ok && len(out) < digitalkey.MaxMany && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// foundDigitalKeys are the rows of the keys that are still there.
func (p *Panel) foundDigitalKeys(ctx context.Context, v visit, keys []id.DigitalKey) ([]digitalKeyRow, error) {
	var out []digitalKeyRow
	for _, k := range keys {
		found, err := p.c.DigitalKeys.Find(ctx, v.caller, k)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v.digitalKeyRow(found.Key))
	}
	return out, nil
}

func (p *Panel) askManyDigitalKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showManyDigitalKeys(w, r, v, r.URL.Query(), nil, http.StatusOK)
}

func (p *Panel) showManyDigitalKeys(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, status int) error {
	rows, err := p.foundDigitalKeys(r.Context(), v, selectedDigitalKeys(form))
	if err != nil {
		return err
	}
	view := manyDigitalKeysView{
		Shell: p.shell(v, manyCancelText(len(rows)), crumb{Name: textNavDigitalKeys, Path: digitalKeysPath}), Once: onceName(form), Rows: rows,
		Effects: []string{textCancelKeyEnds, textCancelKeyOnline, textCancelKeysOffline},
	}
	if f != nil {
		view.Summary, _ = wrong(f)
	}
	return p.show(w, r, status, manyDigitalKeysTemplate(view))
}

func (p *Panel) manyDigitalKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	keys := selectedDigitalKeys(form)
	if len(keys) == 0 {
		return p.showManyDigitalKeys(w, r, v, form, nil, http.StatusUnprocessableEntity)
	}
	outcomes, err := p.c.DigitalKeys.CancelMany(onceContext(r, v, form), v.caller, keys) //nolint:contextcheck // it is the request's, with the form's name
	if repeat, ok := errors.AsType[*once.Repeated](err); ok {
		outcomes, err = digitalkey.FromNote(keys, repeat.Note), nil
	}
	if f, status, ok := isRuleFault(err); ok {
		return p.showManyDigitalKeys(w, r, v, form, f, status)
	}
	if err != nil {
		return err
	}
	rows, err := p.foundDigitalKeys(r.Context(), v, keys)
	if err != nil {
		return err
	}
	view := manyDigitalKeysView{Shell: p.shell(v, textLeaveManyResult, crumb{Name: textNavDigitalKeys, Path: digitalKeysPath})}
	failed := 0
	for _, o := range outcomes {
		out := digitalKeyOutcome{Row: digitalKeyRow{Name: string(o.ID)}, Status: badge{Word: textLeaveManyDone, Tone: "green"}}
		if i := slices.IndexFunc(rows, func(row digitalKeyRow) bool { return row.ID == string(o.ID) }); i >= 0 {
			out.Row = rows[i]
			out.Detail = rows[i].Receipts.Word + " confirmed"
		}
		if f, ok := fault.As(o.Fault); ok && o.Fault != nil {
			failed++
			out.Status, out.Detail = badge{Word: textLeaveManyFailed, Tone: "red"}, f.Public
		}
		view.Outcomes = append(view.Outcomes, out)
	}
	view.Lead = manyCancelledText(len(outcomes)-failed, failed)
	if view.Unsafe, err = p.unsafeRows(r.Context(), v); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, manyDigitalKeysResultTemplate(view))
}

func (p *Panel) editDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	form := url.Values(storedDigitalKeyForm(found))
	if number := r.URL.Query().Get("card"); number != "" {
		form.Set("card", number)
		if !found.Key.Has(digitalkey.Keycard) {
			form.Add("types", string(digitalkey.Keycard))
		}
	}
	return p.showEditDigitalKey(w, r, v, found, form, nil, notice{}, http.StatusOK)
}

// showEditDigitalKey shows the form with its values, what they mean and what is wrong with
// them.
func (p *Panel) showEditDigitalKey(w http.ResponseWriter, r *http.Request, v visit, found digitalkey.Detail, form url.Values, f *fault.Error, n notice, status int) error {
	k, path := found.Key, digitalKeyPath(found.Key.ID)
	view := digitalKeyFormView{
		Shell: p.digitalKeyShell(v, k, textUserEdit), Heading: textUserEdit + " " + digitalKeyName(k), Action: path + "/edit", Preview: path + "/preview", Cancel: path, Save: textEditAPIKeySave,
		Revision: form.Get("revision"), Locked: true, Holder: k.Holder.Name, Notice: n,
	}
	form["timezone"] = []string{k.Timezone}
	form["locks"] = nil
	for _, l := range k.Locks {
		form.Add("locks", string(l.ID))
		view.Locks.Found = append(view.Locks.Found, choice{Value: string(l.ID), Label: l.Name})
	}
	key, _ := readDigitalKey(form) // what is wrong with it is said when it is sent
	if err := p.outlook(r.Context(), v, form, key, &view); err != nil {
		return err
	}
	if len(k.PINSealed) > 0 {
		view.PIN.Sources = []choice{{Name: "pin_source", Value: pinKeep, Label: textFormPINKeep, Checked: form.Get("pin_source") == pinKeep}}
	}
	fillDigitalKeyForm(&view, form, f)
	if n.Title != "" {
		stored := url.Values(storedDigitalKeyForm(found))
		view.Description.Note = nowStored(view.Description, stored)
		for i := range view.Times {
			view.Times[i].Note = nowStored(view.Times[i], stored)
		}
	}
	return p.show(w, r, status, digitalKeyFormTemplate(view))
}

func (p *Panel) previewDigitalKeyChange(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	form, err := readForm(r)
	if err != nil {
		return err
	}
	form.Set("timezone", found.Key.Timezone)
	if err := p.chooseRange(r, v, form); err != nil {
		return err
	}
	return p.showEditDigitalKey(w, r, v, found, form, nil, notice{}, http.StatusOK)
}

// digitalKeyChange reads a change: what the form leaves as it is stored stays.
func digitalKeyChange(found digitalkey.Detail, form url.Values) (digitalkey.Change, *fault.Error) {
	stored := url.Values(storedDigitalKeyForm(found))
	types := keyTypesOf(form)
	c := digitalkey.Change{
		Description: new(form.Get("description")), Role: new(digitalkey.Role(form.Get("role"))), Types: &types, SurvivesLease: new(form.Has("survives_lease")), Notify: new(keyNotifyOf(form)),
	}
	if form.Get("starts_at") != stored.Get("starts_at") || form.Get("expires_at") != stored.Get("expires_at") {
		c.Span = &digitalkey.Span{LocalStarts: form.Get("starts_at"), LocalExpires: form.Get("expires_at"), Timezone: found.Key.Timezone}
	}
	hours, f := readHoursRows(form)
	if f != nil {
		return c, f
	}
	if before, _ := readHoursRows(stored); !slices.EqualFunc(hours, before, sameHours) {
		c.Weekly = &hours
	}
	if slices.Contains(types, digitalkey.PIN) {
		switch form.Get("pin_source") {
		case pinTyped:
			if strings.TrimSpace(form.Get("pin")) == "" {
				return c, wrongField("pin", textNeeded)
			}
			c.PIN = new(secret.FromString(strings.TrimSpace(form.Get("pin"))))
		case pinGenerate:
			c.PIN = new(secret.Bytes{})
		}
	}
	if number := strings.TrimSpace(form.Get("card")); slices.Contains(types, digitalkey.Keycard) && number != found.CardNumber {
		c.CardNumber = &number
	}
	return c, nil
}

func sameHours(a, b digitalkey.Hours) bool {
	return slices.Equal(a.Days, b.Days) && a.From == b.From && a.To == b.To
}

func (p *Panel) updateDigitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	c, wrongForm := digitalKeyChange(found, form)
	if wrongForm != nil {
		return p.showEditDigitalKey(w, r, v, found, form, wrongForm, notice{}, http.StatusUnprocessableEntity)
	}
	issued, cause := p.c.DigitalKeys.Change(r.Context(), v.caller, found.Key.ID, c, revision)
	f, status, shown := isRuleFault(cause)
	switch {
	case cause == nil:
		return p.showIssued(w, r, v, issued, "digital_key_saved")
	case needsStepUp(cause):
		redirect(w, r, "/confirm?next="+url.QueryEscape(digitalKeyPath(found.Key.ID)+"/edit"))
		return nil
	case f != nil && f.Kind == fault.KindPrecondition:
		form.Set("revision", strconv.FormatInt(found.Key.Revision, 10))
		changed := notice{Tone: "info", Icon: "info-circle", Title: textDigitalKeyChanged, Text: textKeyChangedHelp}
		return p.showEditDigitalKey(w, r, v, found, form, nil, changed, http.StatusUnprocessableEntity)
	case shown:
		return p.showEditDigitalKey(w, r, v, found, form, f, notice{}, status)
	}
	return cause
}

// giveCard gives a key the card whose number was read at a door.
func (p *Panel) giveCard(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	number := strings.TrimSpace(form.Get("card"))
	var cause error = wrongField("keycard", textCardGiveMissing)
	if number != "" {
		_, cause = p.c.DigitalKeys.Change(r.Context(), v.caller, found.Key.ID, digitalkey.Change{CardNumber: &number}, 0)
	}
	if f, status, ok := isRuleFault(cause); ok {
		stored := url.Values(storedDigitalKeyForm(found))
		stored.Set("card", number)
		return p.showEditDigitalKey(w, r, v, found, stored, f, notice{}, status)
	}
	if cause != nil {
		return cause
	}
	p.setFlash(w, "digital_key_card")
	redirect(w, r, digitalKeyPath(found.Key.ID))
	return nil
}
