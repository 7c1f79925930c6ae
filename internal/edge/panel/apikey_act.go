package panel

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// keyLink is an API key in a row of names.
type keyLink struct{ Name, Path string }

func (v visit) keyLink(k apikey.Key) keyLink {
	return keyLink{Name: k.Name + " (" + apiKeyType(k.Type) + ")", Path: apiKeyPath(k.ID)}
}

// madeWith returns the keys that were made with a key and still work.
func (p *Panel) madeWith(ctx context.Context, v visit, k apikey.Key) ([]keyLink, error) {
	made, err := p.c.APIKeys.Descendants(ctx, v.caller, k.ID)
	var out []keyLink
	for _, m := range made {
		if m.Status(v.now) == apikey.Active {
			out = append(out, v.keyLink(m))
		}
	}
	return out, err
}

// stopView is what the pages that disable and delete a key share.
func (p *Panel) stopView(v visit, k apikey.Key, made []keyLink, form url.Values, title string) leaveView {
	view := leaveView{
		Shell: p.apiKeyShell(v, k, title), Heading: title + " " + k.Name + "?", Cancel: apiKeyPath(k.ID), Keys: made, LeftLead: textDisableLeft,
	}
	if len(made) > 0 {
		view.Left = []string{madeLeftText(len(made))}
		view.Disable = choice{Name: "descendants", Value: "on", Label: madeText(len(made)), Checked: form.Has("descendants")}
	}
	return view
}

func (p *Panel) disableView(v visit, k apikey.Key, made []keyLink, form url.Values) leaveView {
	view := p.stopView(v, k, made, form, textAPIKeyDisable)
	view.Lead, view.Effects = textDisableLead, []string{textDisableAtOnce, lastUseText(v, k.LastUse), textDisableBack}
	view.Action, view.Do = apiKeyPath(k.ID)+"/disable", textDisableDo
	return view
}

func (p *Panel) deleteKeyView(v visit, k apikey.Key, made []keyLink, form url.Values) leaveView {
	view := p.stopView(v, k, made, form, textAPIKeyDelete)
	view.Lead, view.Effects = textDeleteKeyLead, []string{textDeleteKeyToken, lastUseText(v, k.LastUse), textDeleteKeyUsage}
	view.Left = append(view.Left, textDeleteKeyRecord)
	view.Confirm, view.Phrase, view.Revision = confirmField(form.Get("confirm")), k.Name, strconv.FormatInt(k.Revision, 10)
	view.Action, view.Do = apiKeyPath(k.ID)+"/delete", textDeleteKeyDo
	return view
}

func (p *Panel) askDisableAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.askStop(w, r, v, p.disableView)
}

func (p *Panel) askDeleteAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.askStop(w, r, v, p.deleteKeyView)
}

// stopPage makes the page that asks before a key is stopped.
type stopPage func(v visit, k apikey.Key, made []keyLink, form url.Values) leaveView

func (p *Panel) askStop(w http.ResponseWriter, r *http.Request, v visit, ask stopPage) error {
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	made, err := p.madeWith(r.Context(), v, k)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, leaveTemplate(ask(v, k, made, url.Values{})))
}

func (p *Panel) disableAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	key := apiKeyID(r)
	_, _, err = p.c.APIKeys.Disable(r.Context(), v.caller, key, form.Has("descendants"))
	return p.done(w, r, err, "api_key_disabled", apiKeyPath(key))
}

func (p *Panel) deleteAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), k.Name) {
		_, cause = p.c.APIKeys.Delete(r.Context(), v.caller, k.ID, form.Has("descendants"), revision)
	}
	if cause == nil {
		p.setFlash(w, "api_key_deleted")
		redirect(w, r, apiKeysPath)
		return nil
	}
	f, shown := isFormFault(cause)
	if !shown && (f == nil || f.Kind != fault.KindPrecondition) {
		return cause
	}
	made, err := p.madeWith(r.Context(), v, k)
	if err != nil {
		return err
	}
	view := p.deleteKeyView(v, k, made, form)
	if shown {
		var texts map[string]string
		view.Summary, texts = wrong(f, "confirm")
		view.Confirm.Error = texts["confirm"]
	} else {
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textAPIKeyChanged, Text: textLeaveWrong}
	}
	return p.show(w, r, http.StatusUnprocessableEntity, leaveTemplate(view))
}

func (p *Panel) enableAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	view := actView{
		Shell: p.apiKeyShell(v, k, textEnableTitle), Heading: textEnableTitle, Lead: textEnableLead, Facts: v.apiKeyFacts(k),
		Action: apiKeyPath(k.ID) + "/enable", Button: textEnableTitle, Cancel: apiKeyPath(k.ID),
	}
	if !k.LeakedAt.IsZero() {
		view.Points = []string{textEnableTakesBack}
		if k.DisabledAt.IsZero() {
			view.Heading, view.Button, view.Lead = textEnableMistake, textEnableMistake, textEnableTakesBack
			view.Points = nil
		}
	}
	return p.perform(w, r, &act{
		view: view,
		do: func() (string, error) {
			_, err := p.c.APIKeys.Enable(r.Context(), v.caller, k.ID)
			return "api_key_enabled", err
		},
		then: apiKeyPath(k.ID),
	})
}

// apiKeyFacts say which key a page is about.
func (v visit) apiKeyFacts(k apikey.Key) []detail {
	return []detail{
		{Label: fieldLabel("name"), Value: k.Name},
		{Label: textColumnType, Value: apiKeyType(k.Type)},
		{Label: textAPIKeyTokenID, Value: k.TokenID, Code: true},
		{Label: textAPIKeyLastUsed, Time: v.moment(k.LastUse.At), Value: textNever},
	}
}

func (p *Panel) endOverlap(w http.ResponseWriter, r *http.Request, v visit) error {
	key := apiKeyID(r)
	_, err := p.c.APIKeys.EndOverlap(r.Context(), v.caller, key)
	return p.done(w, r, err, "overlap_ended", apiKeyPath(key))
}

// resetView is the page that gives a key a new token.
type resetView struct {
	Shell        shell
	Heading      string
	Path         string
	Once         string // names the form, so that it resets once
	Refused      string // instead of the form: why the key cannot be reset
	Summary      summary
	Effects      []string
	Overlaps     []choice
	OverlapError string
	Custom       choice
	Minutes      field
	Expiry       expiryView
	Confirm      bool // a fresh passkey is asked for
}

// overlapCustom is the choice of an overlap of one's own; the others are minutes.
const overlapCustom = "custom"

func (p *Panel) askResetAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	maxDays, err := p.c.APIKeys.MaxDays(r.Context(), v.caller)
	if err != nil {
		return err
	}
	form := url.Values{"overlap": {"0"}, "expiry": {expiryKeep}, "expires_on": {v.lastDay(k.ExpiresAt)}}
	if !v.canKeepEnd(k) {
		form.Set("expiry", defaultExpiry(maxDays))
		form.Del("expires_on")
	}
	return p.show(w, r, http.StatusOK, resetTemplate(p.resetView(v, k, maxDays, form, nil)))
}

// canKeepEnd says whether a new token could end when the key was asked to.
func (v visit) canKeepEnd(k apikey.Key) bool {
	return k.ExpiresAt.IsZero() || v.now.Before(k.ExpiresAt)
}

func (p *Panel) resetView(v visit, k apikey.Key, maxDays int, form url.Values, f *fault.Error) resetView {
	view := resetView{
		Shell: p.apiKeyShell(v, k, textAPIKeyReset), Heading: textAPIKeyReset + " " + k.Name + "?", Path: apiKeyPath(k.ID), Once: onceName(form),
		Effects: []string{textResetNew, textResetAtOnce, lastUseText(v, k.LastUse)},
	}
	if k.Type != apikey.Admin {
		view.Heading, view.Refused = textResetNotTitle, textAPIKeyNotReset
	}
	if k.Retiring.Active(v.now) {
		view.Effects = append(view.Effects, secondResetText(k.Retiring.TokenID))
	}
	if !k.DisabledAt.IsZero() {
		view.Effects = append(view.Effects, textResetStaysDisabled)
	}
	view.Effects = append(view.Effects, textResetTold)
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "overlap_minutes", "minutes", "expires_at", "expires_on")
	}
	offer := func(value, label string) choice {
		return choice{Name: "overlap", Value: value, Label: label, Checked: form.Get("overlap") == value}
	}
	view.Overlaps = []choice{offer("0", textOverlapNone), offer("60", textOverlapHour), offer("1440", textOverlapDay)}
	view.OverlapError, view.Custom = texts["overlap_minutes"], offer(overlapCustom, textOverlapCustom)
	view.Minutes = field{Name: "minutes", Label: textOverlapMinutes, Help: textOverlapHelp, Value: form.Get("minutes"), Error: texts["minutes"], Type: "number", Autocomplete: "off"}
	keep := choice{}
	if v.canKeepEnd(k) {
		next := k
		next.EndsAt = apikey.End(k.ExpiresAt, v.now, maxDays)
		keep = choice{Label: textAPIKeyKeepReset, Help: v.endText(next)}
	}
	view.Expiry = v.expiryView(form, keep, v.now, maxDays, texts)
	return view
}

// renewal reads how a key is to be reset.
func (v visit) renewal(form url.Values) (apikey.Renewal, *fault.Error) {
	text, name := form.Get("overlap"), "overlap_minutes"
	if text == overlapCustom {
		text, name = form.Get("minutes"), "minutes"
	}
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes < 0 || time.Duration(minutes)*time.Minute > apikey.MaxOverlap || name == "minutes" && minutes == 0 {
		return apikey.Renewal{}, wrongField(name, textOverlapWrong)
	}
	ends, f := v.expiry(form)
	return apikey.Renewal{Overlap: time.Duration(minutes) * time.Minute, ExpiresAt: ends}, f
}

func (p *Panel) resetAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	old, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	renewal, f := v.renewal(form)
	if f != nil {
		return p.refuseReset(w, r, v, old, form, f)
	}
	k, t, err := p.c.APIKeys.Reset(onceContext(r, v, form), v.caller, old.ID, renewal)
	if repeat, ok := errors.AsType[*once.Repeated](err); ok {
		return p.showRepeat(w, r, v, textAPIKeyAgainReset, repeat)
	}
	if err != nil {
		return p.refuseReset(w, r, v, old, form, err)
	}
	view := p.apiKeyView(v, textAPIKeyResetTitle, k, t)
	view.reset(v, old.TokenID, k.Retiring)
	return p.show(w, r, http.StatusOK, apiKeyTemplate(view))
}

// refuseReset shows the form again with what was chosen.
func (p *Panel) refuseReset(w http.ResponseWriter, r *http.Request, v visit, k apikey.Key, form url.Values, cause error) error {
	f, shown := isFormFault(cause)
	stepUp := needsStepUp(cause)
	if !shown && !stepUp {
		return cause
	}
	maxDays, err := p.c.APIKeys.MaxDays(r.Context(), v.caller)
	if err != nil {
		return err
	}
	if stepUp {
		view := p.resetView(v, k, maxDays, form, nil)
		view.Confirm = true
		return p.show(w, r, http.StatusForbidden, resetTemplate(view))
	}
	return p.show(w, r, http.StatusUnprocessableEntity, resetTemplate(p.resetView(v, k, maxDays, form, f)))
}
