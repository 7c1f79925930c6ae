package panel

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// apiKeyFormView is the page that makes an API key.
type apiKeyFormView struct {
	Shell       shell
	Summary     summary
	Name        field
	Types       []choice
	Permissions []choice
	PermissionsError,
	ExpiryError string
	Expiries []choice
	Custom   choice
	Date     field
	Never    choice
	Confirm  bool // a fresh passkey is asked for
}

// apiKeyView is the page that shows a new key's token, once.
type apiKeyView struct {
	Shell   shell
	Name    string
	Token   string
	Facts   []detail
	Example string
}

// The choices of an expiry beside the presets, which are numbers of days.
const (
	expiryCustom = "custom"
	expiryNever  = "never"
)

// expiryPresets are the offered lifetimes in days; the first is chosen at first.
func expiryPresets() []int { return []int{30, 90, 365} }

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

func newAPIKeyForm() url.Values {
	return url.Values{"type": {string(apikey.Admin)}, "permissions": permissionOrder().Strings(), "expiry": {strconv.Itoa(expiryPresets()[1])}}
}

func (p *Panel) newAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.show(w, r, http.StatusOK, apiKeyFormTemplate(p.apiKeyFormView(v, newAPIKeyForm(), nil)))
}

func (p *Panel) apiKeyFormView(v visit, form url.Values, f *fault.Error) apiKeyFormView {
	view := apiKeyFormView{Shell: p.shell(v, textAPIKeysNew, crumb{Name: textNavIntegrations}, crumb{Name: textNavAuthentication}, crumb{Name: textAPIKeysTitle, Path: "/api-keys"})}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "type", "permissions", "expires_at", "expires_on")
	}
	view.Name = field{Name: "name", Label: fieldLabel("name"), Help: textAPIKeyNameHelp, Value: form.Get("name"), Error: texts["name"], Type: "text", Autocomplete: "off", Required: true, Wide: true, MaxLength: 100}
	view.Types = []choice{{Name: "type", Value: string(apikey.Admin), Label: apiKeyType(apikey.Admin), Help: apiKeyOpens(apikey.Admin), Checked: true}}
	for _, permission := range permissionOrder() {
		label, help := permissionLabel(permission)
		view.Permissions = append(view.Permissions, choice{
			Name: "permissions", Value: string(permission), Label: label, Help: help, Checked: slices.Contains(form["permissions"], string(permission)),
		})
	}
	view.PermissionsError, view.ExpiryError = texts["permissions"], texts["expires_at"]
	expiry := form.Get("expiry")
	for _, days := range expiryPresets() {
		value := strconv.Itoa(days)
		view.Expiries = append(view.Expiries, choice{
			Name: "expiry", Value: value, Label: count(days, "day"), Help: textAPIKeyUntil + day(v.now.AddDate(0, 0, days), v.zone), Checked: expiry == value,
		})
	}
	view.Custom = choice{Name: "expiry", Value: expiryCustom, Label: textAPIKeyCustom, Checked: expiry == expiryCustom}
	view.Never = choice{Name: "expiry", Value: expiryNever, Label: textAPIKeyNever, Help: textAPIKeyNeverHelp, Checked: expiry == expiryNever}
	view.Date = field{Name: "expires_on", Label: textAPIKeyDate, Help: textAPIKeyDateHelp + v.zone.String(), Value: form.Get("expires_on"), Error: texts["expires_on"], Type: "date", Autocomplete: "off"}
	return view
}

// expiry reads when the key is to end. A chosen date is the last day on which it
// works, in the person's time zone.
func (v visit) expiry(form url.Values) (time.Time, *fault.Error) {
	switch choice := form.Get("expiry"); choice {
	case expiryNever:
		return time.Time{}, nil
	case expiryCustom:
		date, err := time.ParseInLocation(time.DateOnly, form.Get("expires_on"), v.zone)
		if err != nil {
			return time.Time{}, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "expires_on", Message: textAPIKeyDateWrong})
		}
		return date.AddDate(0, 0, 1).UTC(), nil
	default:
		days, err := strconv.Atoi(choice)
		if err != nil || !slices.Contains(expiryPresets(), days) {
			return time.Time{}, fault.Invalid("invalid_form", textFormUnreadable).Because(err)
		}
		return v.now.AddDate(0, 0, days), nil
	}
}

func (p *Panel) createAPIKey(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	n := apikey.NewKey{Name: form.Get("name"), Type: apikey.Type(form.Get("type")), Permissions: form["permissions"]}
	if n.Permissions == nil {
		n.Permissions = []string{} // none is ticked: that is not "all"
	}
	var f *fault.Error
	if n.ExpiresAt, f = v.expiry(form); f != nil {
		return p.show(w, r, http.StatusUnprocessableEntity, apiKeyFormTemplate(p.apiKeyFormView(v, form, f)))
	}
	k, t, err := p.c.APIKeys.Create(r.Context(), v.caller, n)
	if f, ok := isFormFault(err); ok {
		return p.show(w, r, http.StatusUnprocessableEntity, apiKeyFormTemplate(p.apiKeyFormView(v, form, f)))
	}
	if needsStepUp(err) {
		view := p.apiKeyFormView(v, form, nil)
		view.Confirm = true
		return p.show(w, r, http.StatusForbidden, apiKeyFormTemplate(view))
	}
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, apiKeyTemplate(p.apiKeyView(v, k, t)))
}

func (p *Panel) apiKeyView(v visit, k apikey.Key, t token.Token) apiKeyView {
	expires := detail{Label: textColumnExpires, Value: textNever}
	if !k.ExpiresAt.IsZero() {
		expires.Value = day(k.ExpiresAt, v.zone) + ", " + relative(v.now, k.ExpiresAt)
	}
	return apiKeyView{
		Shell: p.shell(v, textAPIKeyDoneTitle, crumb{Name: textNavIntegrations}, crumb{Name: textNavAuthentication}, crumb{Name: textAPIKeysTitle, Path: "/api-keys"}),
		Name:  k.Name, Token: t.Secret().ExposeString(),
		Facts: []detail{
			{Label: textColumnName, Value: k.Name},
			{Label: textColumnType, Value: apiKeyType(k.Type)},
			expires,
			{Label: textAPIKeyTokenID, Value: k.TokenID},
		},
		Example: fmt.Sprintf("curl -H \"Authorization: Bearer $KEYHOLD_TOKEN\" %s", p.c.Kit.PublicURL("/api/v1/me")),
	}
}
