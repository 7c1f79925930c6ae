package panel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// apiKeyFormView is the page that makes an API key.
type apiKeyFormView struct {
	Shell            shell
	Once             string // names the form, so that it makes one key
	Summary          summary
	Name             field
	Types            []choice
	NotAdmin         bool // the person may not create Admin keys
	Permissions      []choice
	PermissionsError string
	IPs              field
	Expiry           expiryView
	Confirm          bool // a fresh passkey is asked for
}

// apiKeyView is the page that shows a token, once.
type apiKeyView struct {
	Shell   shell
	Heading string
	Token   string
	Facts   []detail
	Example string
	Then    string
}

// permissionOrder lists all permissions as people read them: what belongs together
// side by side.
func permissionOrder() auth.Permissions {
	out := auth.Permissions{auth.UsersRead, auth.UsersWrite, auth.APIKeysRead, auth.APIKeysWrite}
	for _, permission := range auth.All() {
		if !out.Has(permission) {
			out = append(out, permission)
		}
	}
	return out
}

// onceContext makes the act of a form be done at most once: a form that was sent
// before ends with *once.Repeated, also if its fields were changed meanwhile.
func onceContext(r *http.Request, v visit, form url.Values) context.Context {
	ctx := r.Context()
	if name := form.Get("once"); name != "" && len(name) <= once.MaxKey {
		ctx = once.With(ctx, once.New(v.caller, r.Method, r.URL.Path, name, nil))
	}
	return ctx
}

// onceName returns the name of a form, a new one unless it was sent before.
func onceName(form url.Values) string {
	if name := form.Get("once"); name != "" {
		return name
	}
	return rand.Text()
}

// typesOffered are the types of keys that the person may create.
func (v visit) typesOffered() []apikey.Type {
	if v.canIssueAdminKey() {
		return apikey.Types()
	}
	return slices.DeleteFunc(apikey.Types(), func(t apikey.Type) bool { return t == apikey.Admin })
}

func (p *Panel) newAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	maxDays, err := p.c.APIKeys.MaxDays(r.Context(), v.caller)
	if err != nil {
		return err
	}
	form := url.Values{"type": {string(v.typesOffered()[0])}, "permissions": permissionOrder().Strings(), "expiry": {defaultExpiry(maxDays)}}
	return p.show(w, r, http.StatusOK, apiKeyFormTemplate(p.apiKeyFormView(v, form, maxDays, nil)))
}

// apiKeysShell is the shell of a page below the list.
func (p *Panel) apiKeysShell(v visit, title string, more ...crumb) shell {
	return p.shell(v, title, append([]crumb{{Name: textNavIntegrations}, {Name: textNavAuthentication}, {Name: textAPIKeysTitle, Path: apiKeysPath}}, more...)...)
}

func (p *Panel) apiKeyFormView(v visit, form url.Values, maxDays int, f *fault.Error) apiKeyFormView {
	view := apiKeyFormView{Shell: p.apiKeysShell(v, textAPIKeysNew), Once: onceName(form), NotAdmin: !v.canIssueAdminKey()}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "type", "permissions", "allowed_ips", "expires_at", "expires_on")
	}
	view.Name = apiKeyNameField(form, texts)
	for _, t := range v.typesOffered() {
		view.Types = append(view.Types, choice{Name: "type", Value: string(t), Label: apiKeyType(t), Help: apiKeyOpens(t), Checked: form.Get("type") == string(t)})
	}
	for _, permission := range permissionOrder() {
		label, help := permissionLabel(permission)
		view.Permissions = append(view.Permissions, choice{
			Name: "permissions", Value: string(permission), Label: label, Help: help, Checked: slices.Contains(form["permissions"], string(permission)),
		})
	}
	view.PermissionsError = texts["permissions"]
	view.IPs = apiKeyIPsField(form, texts)
	view.Expiry = v.expiryView(form, choice{}, v.now, maxDays, texts)
	return view
}

func apiKeyNameField(form url.Values, texts map[string]string) field {
	return field{
		Name: "name", Label: fieldLabel("name"), Help: textAPIKeyNameHelp, Value: form.Get("name"), Error: texts["name"], Type: "text", Autocomplete: "off",
		Required: true, Wide: true, MaxLength: 100,
	}
}

func apiKeyIPsField(form url.Values, texts map[string]string) field {
	return field{
		Name: "allowed_ips", Label: textAPIKeyIPs, Help: textAPIKeyIPsHelp, Value: form.Get("allowed_ips"), Error: texts["allowed_ips"], Wide: true, MaxLength: 4000,
	}
}

// addressLines reads addresses, one a line or separated by commas or spaces.
func addressLines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r <= ' ' })
}

func (p *Panel) createAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	n := apikey.NewKey{Name: form.Get("name"), Type: apikey.Type(form.Get("type")), AllowedIPs: addressLines(form.Get("allowed_ips"))}
	if n.Type == apikey.Admin { // the others have none: what is ticked is not shown then
		n.Permissions = append([]string{}, form["permissions"]...) // none ticked is not "all"
	}
	ends, f := v.expiry(form)
	var k apikey.Key
	var t token.Token
	if f == nil && ends == nil { // a new key has no end to keep
		return fault.Invalid("invalid_form", textFormUnreadable)
	}
	if f == nil {
		n.ExpiresAt = *ends
		k, t, err = p.c.APIKeys.Create(onceContext(r, v, form), v.caller, n)
	}
	if repeat, ok := errors.AsType[*once.Repeated](err); ok {
		return p.showRepeat(w, r, v, textAPIKeyAgainCreated, repeat)
	}
	if f == nil {
		f, _ = isFormFault(err)
	}
	if f == nil && err == nil {
		return p.show(w, r, http.StatusOK, apiKeyTemplate(p.apiKeyView(v, textAPIKeyDoneTitle, k, t)))
	}
	return p.refuseAPIKeyForm(w, r, v, form, f, err)
}

// refuseAPIKeyForm shows the form for a new key again.
func (p *Panel) refuseAPIKeyForm(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, cause error) error {
	stepUp := needsStepUp(cause)
	if !stepUp && (f == nil || f.Kind != fault.KindInvalid && f.Kind != fault.KindConflict) {
		return cause
	}
	maxDays, err := p.c.APIKeys.MaxDays(r.Context(), v.caller)
	if err != nil {
		return err
	}
	status := http.StatusUnprocessableEntity
	if stepUp {
		f, status = nil, http.StatusForbidden
	}
	view := p.apiKeyFormView(v, form, maxDays, f)
	view.Confirm = stepUp
	return p.show(w, r, status, apiKeyFormTemplate(view))
}

// againView is a page that only says something and leads on.
type againView struct {
	Shell  shell
	Title  string
	Text   string
	Action string
	Path   string // "" for nowhere
}

// showRepeat says that a form was sent before and leads to what it made.
func (p *Panel) showRepeat(w http.ResponseWriter, r *http.Request, v visit, title string, repeat *once.Repeated) error {
	view := againView{Shell: p.apiKeysShell(v, title), Title: title, Text: textAPIKeyAgainText, Action: textAPIKeyAgainOpen}
	if k, ok := id.Parse[id.KindAPIKey](repeat.Note); ok && v.can(auth.APIKeysRead) {
		view.Path = apiKeyPath(k)
	}
	return p.show(w, r, http.StatusOK, againTemplate(view))
}

// apiKeyView shows a new token, this once.
func (p *Panel) apiKeyView(v visit, heading string, k apikey.Key, t token.Token) apiKeyView {
	expires := detail{Label: textColumnExpires, Value: textNever}
	if k.EndsAt.Before(apikey.Never()) {
		expires.Value = day(k.EndsAt, v.zone) + ", " + relative(v.now, k.EndsAt)
	}
	view := apiKeyView{
		Shell: p.apiKeysShell(v, heading), Heading: heading, Token: t.Secret().ExposeString(), Then: apiKeyPath(k.ID),
		Facts: []detail{
			{Label: textColumnName, Value: k.Name},
			{Label: textColumnType, Value: apiKeyType(k.Type)},
			expires,
			{Label: textAPIKeyTokenID, Value: k.TokenID},
		},
		Example: fmt.Sprintf("curl -H \"Authorization: Bearer $KEYHOLD_TOKEN\" %s", p.c.Kit.PublicURL(apiKeyTry(k.Type))),
	}
	if !v.can(auth.APIKeysRead) {
		view.Then = homePath
	}
	return view
}

// reset adds to the page what becomes of the token before.
func (view *apiKeyView) reset(v visit, old string, r apikey.Retiring) {
	value := old + ": " + textAPIKeyStopped
	if r.Active(v.now) {
		value = old + ": " + textAPIKeyUntil + r.EndsAt.In(v.zone).Format("2 January 2006, 15:04") + ", " + relative(v.now, r.EndsAt)
	}
	view.Facts = append(view.Facts, detail{Label: textAPIKeyOld, Value: value})
}
