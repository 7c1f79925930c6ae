package api

import (
	"context"
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// keySettingsBody is what a workspace decided about its security keys.
type keySettingsBody struct {
	PINMin        int      `json:"pin_min" doc:"How many characters a PIN has at least."`
	PINMax        int      `json:"pin_max" doc:"And at most."`
	PINDigit      bool     `json:"pin_digit" doc:"A PIN needs a digit."`
	PINLower      bool     `json:"pin_lower" doc:"A PIN needs a lower-case letter."`
	PINUpper      bool     `json:"pin_upper" doc:"A PIN needs an upper-case letter."`
	PINSpecial    bool     `json:"pin_special" doc:"A PIN needs a character that is neither letter nor digit."`
	Pinless       bool     `json:"pinless" doc:"Cards may be set to need no PIN: whoever finds one gets in where clients allow it."`
	ModelsAllowed []string `json:"models_allowed" nullable:"false" doc:"AAGUIDs. If there is any, no other FIDO2 key is registered."`
	ModelsBlocked []string `json:"models_blocked" nullable:"false" doc:"AAGUIDs of FIDO2 keys that are not registered."`
	UnusedDays    int      `json:"unused_days" doc:"After how many days without use the holder is told; 0 for never."`
	GraceDays     int      `json:"grace_days" doc:"How many days later the key is suspended."`
}

type keySettingsOutput struct {
	ETag string `header:"ETag" doc:"The settings' revision, for If-Match."`
	Body keySettingsBody
}

func keySettingsAnswer(s securitykey.Settings) *keySettingsOutput {
	texts := func(list []string) []string { return append(make([]string, 0, len(list)), list...) }
	return &keySettingsOutput{ETag: etag(s.Revision), Body: keySettingsBody{
		PINMin: s.PIN.Min, PINMax: s.PIN.Max, PINDigit: s.PIN.Digit, PINLower: s.PIN.Lower, PINUpper: s.PIN.Upper, PINSpecial: s.PIN.Special,
		Pinless: s.Pinless, ModelsAllowed: texts(s.ModelsAllowed), ModelsBlocked: texts(s.ModelsBlocked), UnusedDays: s.UnusedDays, GraceDays: s.GraceDays,
	}}
}

type patchKeySettingsInput struct {
	IfMatch string `header:"If-Match" doc:"Change the settings only if this is their ETag."`
	Body    struct {
		PINMin        *int      `json:"pin_min,omitempty"`
		PINMax        *int      `json:"pin_max,omitempty"`
		PINDigit      *bool     `json:"pin_digit,omitempty"`
		PINLower      *bool     `json:"pin_lower,omitempty"`
		PINUpper      *bool     `json:"pin_upper,omitempty"`
		PINSpecial    *bool     `json:"pin_special,omitempty"`
		Pinless       *bool     `json:"pinless,omitempty"`
		ModelsAllowed patchList `json:"models_allowed,omitempty"`
		ModelsBlocked patchList `json:"models_blocked,omitempty"`
		UnusedDays    *int      `json:"unused_days,omitempty"`
		GraceDays     *int      `json:"grace_days,omitempty"`
	}
}

type unusedKeysInput struct {
	UnusedDays int `query:"unused_days" required:"true" doc:"After how many days without use the holder would be told."`
	GraceDays  int `query:"grace_days" required:"true" doc:"How many days later the key would be suspended."`
}

type unusedKeysOutput struct {
	Body struct {
		ToTell         []SecurityKeyBody `json:"to_tell" nullable:"false" doc:"The first keys whose holders would be told now."`
		ToTellCount    int               `json:"to_tell_count" doc:"How many there are."`
		ToSuspend      []SecurityKeyBody `json:"to_suspend" nullable:"false" doc:"The first keys that would be suspended now."`
		ToSuspendCount int               `json:"to_suspend_count" doc:"How many there are."`
	}
}

// registerKeySettings is the route registration of the settings of security keys.
func (a *restAPI) registerKeySettings() {
	register(a, operation("get-security-key-settings", http.MethodGet, "/workspace/security-keys", "Get the settings of security keys",
		"Needs the permission workspace.read."), a.getKeySettings)
	register(a, operation("patch-security-key-settings", http.MethodPatch, "/workspace/security-keys", "Change the settings of security keys",
		"A merge patch (RFC 7396). The rules bind PINs that are set from then on. Needs the permission workspace.write.", http.StatusPreconditionFailed), a.patchKeySettings)
	register(a, operation("list-unused-security-keys", http.MethodGet, "/security-keys/unused", "What looking for unused keys would do",
		"A dry run: nobody is told and nothing is suspended. Needs the permission security_keys.read."), a.listUnusedKeys)
}

func (a *restAPI) getKeySettings(ctx context.Context, by auth.Caller, _ *struct{}) (*keySettingsOutput, error) {
	s, err := a.c.SecurityKeys.Settings(ctx, by)
	if err != nil {
		return nil, err
	}
	return keySettingsAnswer(s), nil
}

func (a *restAPI) patchKeySettings(ctx context.Context, by auth.Caller, in *patchKeySettingsInput) (*keySettingsOutput, error) {
	b := in.Body
	s, err := a.c.SecurityKeys.UpdateSettings(ctx, by, securitykey.SettingsChange{
		PINMin: b.PINMin, PINMax: b.PINMax, PINDigit: b.PINDigit, PINLower: b.PINLower, PINUpper: b.PINUpper, PINSpecial: b.PINSpecial, Pinless: b.Pinless,
		ModelsAllowed: b.ModelsAllowed.value, ModelsBlocked: b.ModelsBlocked.value, UnusedDays: b.UnusedDays, GraceDays: b.GraceDays,
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return keySettingsAnswer(s), nil
}

func (a *restAPI) listUnusedKeys(ctx context.Context, by auth.Caller, in *unusedKeysInput) (*unusedKeysOutput, error) {
	u, err := a.c.SecurityKeys.Unused(ctx, by, in.UnusedDays, in.GraceDays)
	if err != nil {
		return nil, err
	}
	render := func(keys []securitykey.SecurityKey) []SecurityKeyBody {
		out := make([]SecurityKeyBody, 0, len(keys))
		for _, k := range keys {
			out = append(out, a.renderSecurityKey(k))
		}
		return out
	}
	out := &unusedKeysOutput{}
	out.Body.ToTell, out.Body.ToTellCount = render(u.ToTell), u.ToTellCount
	out.Body.ToSuspend, out.Body.ToSuspendCount = render(u.ToSuspend), u.ToSuspendCount
	return out, nil
}
