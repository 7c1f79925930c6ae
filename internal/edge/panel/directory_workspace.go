package panel

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/directory"
)

const settingsPath = "/settings"

// settingsView is the page of the workspace's settings.
type settingsView struct {
	Shell    shell
	Tabs     []tab
	Revision string
	Notice   notice
	Summary  summary
	General  []field
	Record   field
	MaxDays  field
	CanWrite bool
	Facts    []detail // for who may only read
	Confirm  bool     // a fresh passkey is asked for
}

// registerSettings is the route registration of the workspace's settings.
func (p *Panel) registerSettings(mux *http.ServeMux) {
	mux.Handle("GET "+settingsPath, p.signed(p.settings))
	mux.Handle("POST "+settingsPath, p.signed(p.saveSettings))
}

func storedSettings(w directory.Workspace) url.Values {
	return url.Values{
		"name": {w.Name}, "language": {w.Language}, "timezone": {w.Timezone}, "checkpoint_email": {w.CheckpointEmail},
		"api_key_max_days": {strconv.Itoa(w.APIKeyMaxDays)},
		"revision":         {strconv.FormatInt(w.Revision, 10)},
	}
}

func (p *Panel) settings(w http.ResponseWriter, r *http.Request, v visit) error {
	stored, err := p.c.Directory.Workspace(r.Context(), v.caller)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, settingsTemplate(p.settingsView(v, storedSettings(stored), nil)))
}

func (p *Panel) settingsView(v visit, form url.Values, f *fault.Error) settingsView {
	view := settingsView{
		Shell: p.shell(v, textSettings, crumb{Name: textNavWorkspace}), Tabs: settingsTabs(settingsPath), Revision: form.Get("revision"), CanWrite: v.can(auth.WorkspaceWrite),
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "language", "timezone", "checkpoint_email", "api_key_max_days")
	}
	input := func(name, label, help, kind string, length int) field {
		return field{Name: name, Label: label, Help: help, Value: form.Get(name), Error: texts[name], Type: kind, Autocomplete: "off", MaxLength: length}
	}
	name := input("name", textSetupWorkspace, textSetupWorkspaceHelp, "text", 100)
	name.Required, name.Wide = true, true
	language := input("language", fieldLabel("language"), textSettingsLanguageHelp, "text", 35)
	timezone := input("timezone", fieldLabel("timezone"), textSettingsTimezoneHelp, "text", 64)
	language.Suggestions, timezone.Suggestions = "languages", "timezones"
	view.General = []field{name, language, timezone}
	view.Record = input("checkpoint_email", textSettingsCheckpoint, textSettingsCheckpointHelp, "email", 254)
	view.Record.Wide = true
	view.MaxDays = input("api_key_max_days", textSettingsMaxDays, textSettingsMaxDaysHelp, "number", 4)
	if !view.CanWrite {
		if view.MaxDays.Value == "0" {
			view.MaxDays.Value = textSettingsNoLimit
		}
		for _, f := range append(view.General, view.Record, view.MaxDays) {
			view.Facts = append(view.Facts, detail{Label: f.Label, Value: f.Value})
		}
	}
	return view
}

// readMaxDays reads the longest life of an API key: nothing means no limit.
func readMaxDays(form url.Values) (*int, *fault.Error) {
	if !form.Has("api_key_max_days") {
		return nil, nil
	}
	days, err := strconv.Atoi(cmp.Or(strings.TrimSpace(form.Get("api_key_max_days")), "0"))
	if err != nil {
		return nil, wrongField("api_key_max_days", textSettingsMaxDaysWrong)
	}
	return &days, nil
}

func (p *Panel) saveSettings(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := strconv.ParseInt(form.Get("revision"), 10, 64)
	if err != nil || revision < 1 {
		return fault.Invalid("invalid_form", textFormUnreadable).Because(err)
	}
	maxDays, f := readMaxDays(form)
	if f != nil {
		return p.show(w, r, http.StatusUnprocessableEntity, settingsTemplate(p.settingsView(v, form, f)))
	}
	value := func(name string) *string { return new(form.Get(name)) }
	_, err = p.c.Directory.UpdateWorkspace(r.Context(), v.caller, directory.Settings{
		Name: value("name"), Language: value("language"), Timezone: value("timezone"), CheckpointEmail: value("checkpoint_email"),
		APIKeyMaxDays: maxDays,
	}, revision)
	f, isFault := fault.As(err)
	switch {
	case err == nil:
		p.setFlash(w, "settings_saved")
		redirect(w, r, settingsPath)
		return nil
	case needsStepUp(err):
		view := p.settingsView(v, form, nil)
		view.Confirm = true
		return p.show(w, r, http.StatusForbidden, settingsTemplate(view))
	case isFault && f.Kind == fault.KindPrecondition:
		stored, err := p.c.Directory.Workspace(r.Context(), v.caller)
		if err != nil {
			return err
		}
		form.Set("revision", strconv.FormatInt(stored.Revision, 10))
		view := p.settingsView(v, form, nil)
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textSettingsChanged, Text: textSettingsChangedHelp}
		now := storedSettings(stored)
		for i, f := range view.General {
			if now.Get(f.Name) != f.Value {
				view.General[i].Note = textUserNowStored + now.Get(f.Name)
			}
		}
		view.Record.Note, view.MaxDays.Note = nowStored(view.Record, now), nowStored(view.MaxDays, now)
		return p.show(w, r, http.StatusUnprocessableEntity, settingsTemplate(view))
	case isFault && f.Kind == fault.KindInvalid:
		return p.show(w, r, http.StatusUnprocessableEntity, settingsTemplate(p.settingsView(v, form, f)))
	}
	return err
}
