package panel

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

const keySettingsPath = "/workspace/security-keys"

// keySettingsView is the page of what the workspace decided about security keys.
type keySettingsView struct {
	Shell    shell
	Tabs     []tab
	Revision string
	Notice   notice
	Summary  summary
	Lengths  []field
	Classes  []choice
	Pinless  choice
	Lists    []modelList
	Unused   []field
	CanTry   bool
	Tried    triedView // shown if it has a title
	CanWrite bool
	Facts    []detail // for who may only read
	Confirm  bool     // a fresh passkey is asked for
}

// modelList is a list of makes to choose from.
type modelList struct {
	Name   string
	Title  string
	Help   string
	Chosen []choice
	Others []choice
	More   field // AAGUIDs that we know no name of
}

// triedView says whom looking after unused keys would reach now.
type triedView struct {
	Title   string
	Notice  []securityKeyRow
	Suspend []securityKeyRow
	// NoticeMore and SuspendMore say how many there are beyond those.
	NoticeMore, SuspendMore string
	None                    string // instead of both
}

// settingsTabs lead to the pages of the settings.
func settingsTabs(current string) []tab {
	return []tab{
		{Name: textSettingsGeneral, Path: settingsPath, Icon: "settings", Current: current == settingsPath},
		{Name: textNavSecurityKeys, Path: keySettingsPath, Icon: "key", Current: current == keySettingsPath},
	}
}

// onOff is a box's value in a form.
func onOff(form url.Values, name string, on bool) {
	if on {
		form.Set(name, "on")
	}
}

func storedKeySettings(s securitykey.Settings) url.Values {
	form := url.Values{
		"pin_min": {strconv.Itoa(s.PIN.Min)}, "pin_max": {strconv.Itoa(s.PIN.Max)}, "unused_days": {strconv.Itoa(s.UnusedDays)}, "grace_days": {strconv.Itoa(s.GraceDays)},
		"models_allowed": s.ModelsAllowed, "models_blocked": s.ModelsBlocked, "revision": {strconv.FormatInt(s.Revision, 10)},
	}
	onOff(form, "pin_digit", s.PIN.Digit)
	onOff(form, "pin_lower", s.PIN.Lower)
	onOff(form, "pin_upper", s.PIN.Upper)
	onOff(form, "pin_special", s.PIN.Special)
	onOff(form, "pinless", s.Pinless)
	return form
}

func (p *Panel) keySettings(w http.ResponseWriter, r *http.Request, v visit) error {
	s, err := p.c.SecurityKeys.Settings(r.Context(), v.caller)
	if err != nil {
		return err
	}
	view := p.keySettingsView(v, storedKeySettings(s), nil)
	if !view.CanWrite {
		view.Facts = keySettingsFacts(s)
	}
	return p.show(w, r, http.StatusOK, keySettingsTemplate(view))
}

func (p *Panel) keySettingsView(v visit, form url.Values, f *fault.Error) keySettingsView {
	view := keySettingsView{
		Shell: p.shell(v, textKeySettings, crumb{Name: textNavWorkspace}, crumb{Name: textSettings, Path: settingsPath}), Tabs: settingsTabs(keySettingsPath),
		Revision: form.Get("revision"), CanWrite: v.can(auth.WorkspaceWrite), CanTry: v.can(auth.SecurityKeysRead),
	}
	view.Shell.Path = keySettingsPath
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "pin_min", "pin_max", "models_allowed_more", "models_blocked_more", "unused_days", "grace_days")
	}
	number := func(name, label, help string) field {
		return field{Name: name, Label: label, Help: help, Value: form.Get(name), Error: texts[name], Type: "number", Autocomplete: "off", MaxLength: 4}
	}
	box := func(name, label string) choice {
		return choice{Name: name, Value: "on", Label: label, Checked: form.Has(name)}
	}
	view.Lengths = []field{number("pin_min", textPINMin, textPINMinHelp), number("pin_max", textPINMax, textPINMaxHelp)}
	view.Classes = []choice{box("pin_digit", textPINDigit), box("pin_lower", textPINLower), box("pin_upper", textPINUpper), box("pin_special", textPINSpecial)}
	view.Pinless = box("pinless", textPinlessAllow)
	view.Pinless.Help = textPinlessWarning
	view.Lists = []modelList{
		newModelList(form, "models_allowed", textModelsAllowed, textModelsAllowedHelp, texts), newModelList(form, "models_blocked", textModelsBlocked, textModelsBlockedHelp, texts),
	}
	view.Unused = []field{number("unused_days", textUnusedDays, textUnusedDaysHelp), number("grace_days", textGraceDays, textGraceDaysHelp)}
	return view
}

// newModelList offers the makes that we know, and a field for others.
func newModelList(form url.Values, name, title, help string, texts map[string]string) modelList {
	out := modelList{Name: name, Title: title, Help: help}
	rest := slices.Clone(form[name])
	for _, m := range securitykey.Models() {
		c := choice{Name: name, Value: m.AAGUID, Label: m.Name, Help: m.AAGUID}
		if i := slices.Index(rest, m.AAGUID); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			c.Checked = true
			out.Chosen = append(out.Chosen, c)
			continue
		}
		out.Others = append(out.Others, c)
	}
	if typed := form.Get(name + "_more"); typed != "" {
		rest = append(rest, addressLines(typed)...)
	}
	out.More = field{Name: name + "_more", Label: textModelsMore, Help: textModelsMoreHelp, Value: strings.Join(rest, "\n"), Error: texts[name+"_more"], Wide: true, MaxLength: 8000}
	return out
}

// keySettingsFacts are the settings for who may only read them.
func keySettingsFacts(s securitykey.Settings) []detail {
	unused := textUnusedOff
	if s.UnusedDays > 0 {
		unused = unusedRuleText(s.UnusedDays, s.GraceDays)
	}
	names := func(aaguids []string) []string {
		var out []string
		for _, a := range aaguids {
			out = append(out, modelText(a))
		}
		return out
	}
	return []detail{
		{Label: textPINRules, Value: pinRulesText(s.PIN), Wide: true},
		{Label: textPinlessAllow, Value: yesNo(s.Pinless)},
		{Label: textModelsAllowed, Value: textModelsAll, List: names(s.ModelsAllowed), Wide: true},
		{Label: textModelsBlocked, Value: textModelsNone, List: names(s.ModelsBlocked), Wide: true},
		{Label: textUnusedKeys, Value: unused, Wide: true},
	}
}

// keySettingsOf reads the form.
func keySettingsOf(form url.Values) (securitykey.SettingsChange, *fault.Error) {
	var fields []fault.Field
	number := func(name string) *int {
		n, err := strconv.Atoi(strings.TrimSpace(form.Get(name)))
		if err != nil {
			fields = append(fields, fault.Field{Name: name, Message: textNumberWrong})
		}
		return &n
	}
	models := func(name string) *[]string {
		out := append([]string{}, form[name]...)
		for _, a := range addressLines(form.Get(name + "_more")) {
			if a = strings.ToLower(a); !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
		return &out
	}
	box := func(name string) *bool { return new(form.Has(name)) }
	c := securitykey.SettingsChange{
		PINMin: number("pin_min"), PINMax: number("pin_max"), PINDigit: box("pin_digit"), PINLower: box("pin_lower"), PINUpper: box("pin_upper"), PINSpecial: box("pin_special"),
		Pinless: box("pinless"), ModelsAllowed: models("models_allowed"), ModelsBlocked: models("models_blocked"),
		UnusedDays: number("unused_days"), GraceDays: number("grace_days"),
	}
	if len(fields) > 0 {
		return c, fault.Invalid("invalid_fields", "Some fields need your attention.", fields...)
	}
	return c, nil
}

func (p *Panel) saveKeySettings(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := strconv.ParseInt(form.Get("revision"), 10, 64)
	if err != nil || revision < 0 {
		return fault.Invalid("invalid_form", textFormUnreadable).Because(err)
	}
	c, f := keySettingsOf(form)
	if f != nil {
		return p.show(w, r, http.StatusUnprocessableEntity, keySettingsTemplate(p.keySettingsView(v, form, f)))
	}
	if form.Get("to") == "try" {
		return p.tryUnused(w, r, v, form, *c.UnusedDays, *c.GraceDays)
	}
	_, err = p.c.SecurityKeys.UpdateSettings(r.Context(), v.caller, c, revision)
	f, status, shown := isRuleFault(err)
	switch {
	case err == nil:
		p.setFlash(w, "settings_saved")
		redirect(w, r, keySettingsPath)
		return nil
	case needsStepUp(err):
		view := p.keySettingsView(v, form, nil)
		view.Confirm = true
		return p.show(w, r, http.StatusForbidden, keySettingsTemplate(view))
	case f != nil && f.Kind == fault.KindPrecondition:
		return p.showChangedKeySettings(w, r, v, form)
	case shown:
		f = renamed(renamed(f, "models_allowed", "models_allowed_more"), "models_blocked", "models_blocked_more")
		return p.show(w, r, status, keySettingsTemplate(p.keySettingsView(v, form, f)))
	}
	return err
}

// showChangedKeySettings shows the form again, with what somebody else stored.
func (p *Panel) showChangedKeySettings(w http.ResponseWriter, r *http.Request, v visit, form url.Values) error {
	s, err := p.c.SecurityKeys.Settings(r.Context(), v.caller)
	if err != nil {
		return err
	}
	stored := storedKeySettings(s)
	form.Set("revision", stored.Get("revision"))
	view := p.keySettingsView(v, form, nil)
	view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textSettingsChanged, Text: textSettingsChangedHelp}
	for _, fields := range [][]field{view.Lengths, view.Unused} {
		for i := range fields {
			fields[i].Note = nowStored(fields[i], stored)
		}
	}
	boxes := append(slices.Clone(view.Classes), view.Pinless)
	for i, c := range boxes {
		if c.Checked != stored.Has(c.Name) {
			boxes[i].Help = textUserNowStored + yesNo(stored.Has(c.Name))
		}
	}
	view.Classes, view.Pinless = boxes[:len(boxes)-1], boxes[len(boxes)-1]
	return p.show(w, r, http.StatusUnprocessableEntity, keySettingsTemplate(view))
}

// tryUnused shows whom looking after unused keys would reach now. Nothing is saved.
func (p *Panel) tryUnused(w http.ResponseWriter, r *http.Request, v visit, form url.Values, days, grace int) error {
	view := p.keySettingsView(v, form, nil)
	view.Tried = triedView{Title: triedText(days, grace)}
	if days == 0 {
		view.Tried = triedView{Title: textUnusedKeys, None: textUnusedOff}
		return p.show(w, r, http.StatusOK, keySettingsTemplate(view))
	}
	found, err := p.c.SecurityKeys.Unused(r.Context(), v.caller, days, grace)
	if f, status, ok := isRuleFault(err); ok {
		return p.show(w, r, status, keySettingsTemplate(p.keySettingsView(v, form, f)))
	}
	if err != nil {
		return err
	}
	rows := func(keys []securitykey.SecurityKey) []securityKeyRow {
		var out []securityKeyRow
		for _, k := range keys {
			out = append(out, v.securityKeyRow(k))
		}
		return out
	}
	view.Tried.Notice, view.Tried.Suspend = rows(found.ToTell), rows(found.ToSuspend)
	view.Tried.NoticeMore, view.Tried.SuspendMore = moreText(found.ToTellCount-len(found.ToTell)), moreText(found.ToSuspendCount-len(found.ToSuspend))
	if len(found.ToTell)+len(found.ToSuspend) == 0 {
		view.Tried.None = textTriedNone
	}
	return p.show(w, r, http.StatusOK, keySettingsTemplate(view))
}
