package panel

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// editAPIKeyView is the page that changes an API key.
type editAPIKeyView struct {
	Shell    shell
	Heading  string
	Path     string
	Revision string
	Notice   notice // shown if it has a title
	Summary  summary
	Name     field
	IPs      field
	Expiry   expiryView
	Confirm  bool // a fresh passkey is asked for
}

// storedAPIKeyForm returns the values of a form over what is stored.
func storedAPIKeyForm(v visit, k apikey.Key) url.Values {
	return url.Values{
		"name": {k.Name}, "allowed_ips": {addressText(k)}, "expiry": {expiryKeep}, "expires_on": {v.lastDay(k.ExpiresAt)},
		"revision": {strconv.FormatInt(k.Revision, 10)},
	}
}

// addressText is a key's list of addresses, one a line.
func addressText(k apikey.Key) string {
	return strings.Join(addressList(k), "\n")
}

// addressList is a key's list of addresses as people write them.
func addressList(k apikey.Key) []string {
	var out []string
	for _, p := range k.AllowedIPs {
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
		} else {
			out = append(out, p.String())
		}
	}
	return out
}

func (p *Panel) findAPIKey(r *http.Request, v visit) (apikey.Key, error) {
	return p.c.APIKeys.Find(r.Context(), v.caller, apiKeyID(r))
}

// apiKeyShell is the shell of a page about a key.
func (p *Panel) apiKeyShell(v visit, k apikey.Key, title string) shell {
	return p.apiKeysShell(v, title, crumb{Name: k.Name, Path: apiKeyPath(k.ID)})
}

func (p *Panel) editAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	maxDays, err := p.c.APIKeys.MaxDays(r.Context(), v.caller)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, editAPIKeyTemplate(p.editAPIKeyView(v, k, maxDays, storedAPIKeyForm(v, k), nil)))
}

func (p *Panel) editAPIKeyView(v visit, k apikey.Key, maxDays int, form url.Values, f *fault.Error) editAPIKeyView {
	view := editAPIKeyView{
		Shell: p.apiKeyShell(v, k, textAPIKeyEdit), Heading: textAPIKeyEdit + " " + k.Name, Path: apiKeyPath(k.ID), Revision: form.Get("revision"),
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "allowed_ips", "expires_at", "expires_on")
	}
	view.Name, view.IPs = apiKeyNameField(form, texts), apiKeyIPsField(form, texts)
	view.Expiry = v.expiryView(form, choice{Label: textAPIKeyKeep, Help: v.endText(k)}, k.IssuedAt, maxDays, texts)
	return view
}

// endText says when a key ends.
func (v visit) endText(k apikey.Key) string {
	switch {
	case !k.EndsAt.Before(apikey.Never()):
		return textNever
	case v.now.Before(k.EndsAt):
		return textAPIKeyUntil + day(k.EndsAt.Add(-time.Nanosecond), v.zone)
	}
	return endedText(day(k.EndsAt, v.zone))
}

func (p *Panel) updateAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	key := apiKeyID(r)
	ends, f := v.expiry(form)
	var cause error
	if f != nil {
		cause = f
	} else {
		_, cause = p.c.APIKeys.Update(r.Context(), v.caller, key, apikey.Change{
			Name: new(form.Get("name")), ExpiresAt: ends, AllowedIPs: new(addressLines(form.Get("allowed_ips"))),
		}, revision)
	}
	if cause == nil {
		p.setFlash(w, "api_key_saved")
		redirect(w, r, apiKeyPath(key))
		return nil
	}
	return p.refuseAPIKeyUpdate(w, r, v, form, cause)
}

// refuseAPIKeyUpdate shows the form again with what was entered. If somebody else was
// faster, it also shows what they stored and goes on from there.
func (p *Panel) refuseAPIKeyUpdate(w http.ResponseWriter, r *http.Request, v visit, form url.Values, cause error) error {
	f, shown := isFormFault(cause)
	changed := f != nil && f.Kind == fault.KindPrecondition
	stepUp := needsStepUp(cause)
	if !shown && !changed && !stepUp {
		return cause
	}
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	maxDays, err := p.c.APIKeys.MaxDays(r.Context(), v.caller)
	if err != nil {
		return err
	}
	status := http.StatusUnprocessableEntity
	if !shown {
		f = nil
	}
	stored := storedAPIKeyForm(v, k)
	if changed {
		form.Set("revision", stored.Get("revision"))
	}
	view := p.editAPIKeyView(v, k, maxDays, form, f)
	if changed {
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textAPIKeyChanged, Text: textAPIKeyChangedHelp}
		view.Name.Note, view.IPs.Note = nowStored(view.Name, stored), nowStored(view.IPs, stored)
	}
	if view.Confirm = stepUp; stepUp {
		status = http.StatusForbidden
	}
	return p.show(w, r, status, editAPIKeyTemplate(view))
}

// nowStored says what is stored of a field, "" if it is what was entered.
func nowStored(f field, stored url.Values) string {
	now := stored.Get(f.Name)
	switch {
	case now == strings.ReplaceAll(f.Value, "\r", ""):
		return ""
	case now == "":
		return textUserNowEmpty
	}
	return textUserNowStored + strings.ReplaceAll(now, "\n", ", ")
}
