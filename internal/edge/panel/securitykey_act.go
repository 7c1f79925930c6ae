package panel

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

func (p *Panel) suspendKeyView(v visit, k securitykey.SecurityKey) leaveView {
	view := leaveView{
		Shell: p.securityKeyShell(v, k, textUsersSuspend), Heading: suspendKeyText(k.Name), Lead: textLeaveSuspendLead,
		Effects: []string{suspendEffect(k), textSuspendKeyTold, textSuspendKeyBack}, LeftLead: textLeaveLeft, Left: []string{otherKeysText(k.Holder.Name), textLeftWebsites},
		Action: securityKeyPath(k.ID) + "/suspend", Do: textSuspendKeyDo, Cancel: securityKeyPath(k.ID),
	}
	return view
}

func (p *Panel) deleteSecurityKeyView(v visit, k securitykey.SecurityKey, form url.Values) leaveView {
	return leaveView{
		Shell: p.securityKeyShell(v, k, textUsersDelete), Heading: deleteKeyText(k.Name), Lead: textLeaveDeleteLead,
		Effects: deleteKeyEffects(k), LeftLead: textLeaveLeft, Left: []string{otherKeysText(k.Holder.Name), textDeleteKeyBound, textDeleteKeyRecord},
		Confirm: confirmField(form.Get("confirm")), Phrase: k.Name, Revision: strconv.FormatInt(k.Revision, 10),
		Action: securityKeyPath(k.ID) + "/delete", Do: textDeleteSecurityKeyDo, Cancel: securityKeyPath(k.ID),
	}
}

func (p *Panel) askSuspendKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, leaveTemplate(p.suspendKeyView(v, found.Key)))
}

func (p *Panel) suspendKey(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeKey(w, r, v, p.c.SecurityKeys.Suspend, "key_suspended")
}

func (p *Panel) activateKey(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeKey(w, r, v, p.c.SecurityKeys.Activate, "key_resumed")
}

func (p *Panel) resendActivation(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.changeKey(w, r, v, p.c.SecurityKeys.ResendActivation, "key_sent")
}

// changeKey does something to a key. What was not done is said on the key's page.
func (p *Panel) changeKey(w http.ResponseWriter, r *http.Request, v visit,
	do func(ctx context.Context, by auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error), done string,
) error {
	key := securityKeyID(r)
	_, cause := do(r.Context(), v.caller, key)
	if cause == nil {
		p.setFlash(w, done)
		redirect(w, r, securityKeyPath(key))
		return nil
	}
	if needsStepUp(cause) {
		redirect(w, r, "/confirm?next="+url.QueryEscape(securityKeyPath(key)))
		return nil
	}
	f, status, shown := isRuleFault(cause)
	if !shown || !v.can(auth.SecurityKeysRead) {
		return cause
	}
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	return p.showSecurityKey(w, r, v, found, notice{Tone: "danger", Icon: "alert-circle", Title: textKeyNotDone, Text: f.Public}, status)
}

func (p *Panel) confirmKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	k := found.Key
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.securityKeyShell(v, k, textKeyConfirm), Heading: confirmKeyText(k.Name), Lead: textConfirmKeyLead, Facts: v.keyFacts(found),
			Points: []string{textConfirmKeyAsk, textConfirmKeyThen}, Action: securityKeyPath(k.ID) + "/confirm", Button: textConfirmKeyDo, Cancel: securityKeyPath(k.ID),
		},
		do: func() (string, error) {
			_, err := p.c.SecurityKeys.Confirm(r.Context(), v.caller, k.ID)
			if f, ok := fault.As(err); ok && f.Kind == fault.KindForbidden && f.Code != stepUpCode {
				return "", fault.Conflict(f.Code, f.Public) // it is said in the page
			}
			return "key_confirmed", err
		},
		then: securityKeyPath(k.ID),
	})
}

// keyFacts say which key a page is about.
func (v visit) keyFacts(found securitykey.Detail) []detail {
	k := found.Key
	out := []detail{{Label: textColumnName, Value: k.Name}, {Label: textColumnHolder, Value: k.Holder.Name}, {Label: textColumnKind, Value: kindWords(k.Kind).Name}}
	if found.CardNumber != "" {
		out = append(out, detail{Label: textCardNumber, Value: found.CardNumber, Code: true})
	}
	return out
}

func (p *Panel) askDeleteSecurityKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, leaveTemplate(p.deleteSecurityKeyView(v, found.Key, url.Values{})))
}

func (p *Panel) deleteSecurityKey(w http.ResponseWriter, r *http.Request, v visit) error {
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
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), k.Name) {
		cause = p.c.SecurityKeys.Delete(r.Context(), v.caller, k.ID, revision)
	}
	if cause == nil {
		p.setFlash(w, "key_deleted")
		to := securityKeysPath
		if v.can(auth.UsersRead) {
			to = userPath(k.User)
		}
		redirect(w, r, to)
		return nil
	}
	view := p.deleteSecurityKeyView(v, k, form)
	f, status, shown := isRuleFault(cause)
	switch {
	case shown:
		var texts map[string]string
		view.Summary, texts = wrong(f, "confirm")
		view.Confirm.Error = texts["confirm"]
	case needsStepUp(cause):
		view.StepUp = true
	case f != nil && f.Kind == fault.KindPrecondition:
		status = http.StatusUnprocessableEntity
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textKeyChanged, Text: textLeaveWrong}
	default:
		return cause
	}
	return p.show(w, r, status, leaveTemplate(view))
}

// pinView is the part of a form that says how a card gets its PIN.
type pinView struct {
	Error    string
	Generate choice
	Type     choice
	PIN      field
	Delivery []choice
	Must     choice
	Rules    string
}

// How a form's PIN is made.
const (
	pinGenerate = "generate"
	pinTyped    = "typed"
)

// newPINForm returns the values of a form that was not filled in yet.
func newPINForm() url.Values {
	return url.Values{"pin_source": {pinGenerate}, "pin_delivery": {string(securitykey.DeliverEmail)}, "must_change": {"on"}}
}

func newPINView(form url.Values, rules securitykey.PINRules, texts map[string]string) pinView {
	source := func(value, label, help string) choice {
		return choice{Name: "pin_source", Value: value, Label: label, Help: help, Checked: form.Get("pin_source") == value}
	}
	delivery := func(d securitykey.Delivery, label, help string) choice {
		return choice{Name: "pin_delivery", Value: string(d), Label: label, Help: help, Checked: form.Get("pin_delivery") == string(d)}
	}
	return pinView{
		Error: texts["pin_source"], Rules: pinRulesText(rules),
		Generate: source(pinGenerate, textPINGenerate, textPINGenerateHelp), Type: source(pinTyped, textPINType, ""),
		PIN: field{Name: "pin", Label: textPIN, Help: pinRulesText(rules), Value: form.Get("pin"), Error: texts["pin"], Type: "text", Autocomplete: "off", MaxLength: 63},
		Delivery: []choice{
			delivery(securitykey.DeliverEmail, textPINByMail, textPINByMailHelp), delivery(securitykey.DeliverResponse, textPINShown, textPINShownHelp),
		},
		Must: choice{Name: "must_change", Value: "on", Label: textPINMust, Help: textPINMustHelp, Checked: form.Has("must_change")},
	}
}

// readPIN reads how a card is to get its PIN.
func readPIN(form url.Values) (securitykey.Reset, *fault.Error) {
	out := securitykey.Reset{Delivery: securitykey.Delivery(form.Get("pin_delivery")), MustChange: form.Has("must_change")}
	if form.Get("pin_source") != pinTyped {
		return out, nil
	}
	if form.Get("pin") == "" {
		return out, wrongField("pin", textNeeded)
	}
	out.PIN = secret.FromString(form.Get("pin"))
	return out, nil
}

// resetPINView is the page that gives a card another PIN.
type resetPINView struct {
	Shell   shell
	Heading string
	Path    string
	Once    string
	Refused string // instead of the form
	Summary summary
	Effects []string
	PIN     pinView
	Confirm bool // a fresh passkey is asked for
}

func (p *Panel) askResetPIN(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showResetPIN(w, r, v, newPINForm(), nil, http.StatusOK, false)
}

func (p *Panel) showResetPIN(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, status int, confirm bool) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	rules, err := p.c.SecurityKeys.Rules(r.Context(), v.caller)
	if err != nil {
		return err
	}
	k := found.Key
	view := resetPINView{
		Shell: p.securityKeyShell(v, k, textKeyResetPIN), Heading: resetPINText(k.Name), Path: securityKeyPath(k.ID), Once: onceName(form), Confirm: confirm,
		Effects: []string{textResetPINStops, textResetPINUnlocks, toldText(k.Holder.Name, k.Holder.Email)},
	}
	if k.Kind != securitykey.ContactlessCard {
		view.Refused = textResetPINOther
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "pin")
	}
	view.PIN = newPINView(form, rules, texts)
	return p.show(w, r, status, resetPINTemplate(view))
}

func (p *Panel) resetPIN(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	reset, f := readPIN(form)
	if f != nil {
		return p.showResetPIN(w, r, v, form, f, http.StatusUnprocessableEntity, false)
	}
	key := securityKeyID(r)
	issued, err := p.c.SecurityKeys.ResetPIN(onceContext(r, v, form), v.caller, key, reset)
	if _, ok := errors.AsType[*once.Repeated](err); ok {
		return p.show(w, r, http.StatusOK, againTemplate(againView{
			Shell: p.shell(v, textPINAgain, crumb{Name: textNavSecurityKeys}, crumb{Name: textNavKeysAll, Path: securityKeysPath}),
			Title: textPINAgain, Text: textPINAgainText, Action: textKeyOpen, Path: securityKeyPath(key),
		}))
	}
	if needsStepUp(err) {
		return p.showResetPIN(w, r, v, form, nil, http.StatusForbidden, true)
	}
	if f, status, ok := isRuleFault(err); ok {
		return p.showResetPIN(w, r, v, form, f, status, false)
	}
	if err != nil {
		return err
	}
	if reset.Delivery != securitykey.DeliverResponse {
		p.setFlash(w, "pin_reset_mailed")
		redirect(w, r, securityKeyPath(key))
		return nil
	}
	k := issued.Key
	return p.show(w, r, http.StatusOK, secretTemplate(secretView{
		Shell: p.securityKeyShell(v, k, textPINNew), Heading: textPINNew, Line: textPINOnce, Label: textPIN, Secret: issued.PIN.ExposeString(),
		Facts: []detail{{Label: textColumnName, Value: k.Name}, {Label: textColumnHolder, Value: k.Holder.Name}, {Label: textPINChange, Value: yesNo(k.PIN.MustChange)}}, Then: securityKeyPath(k.ID),
	}))
}

// secretView shows a secret, this once.
type secretView struct {
	Shell   shell
	Heading string
	Line    string
	Label   string
	Secret  string
	Facts   []detail
	Next    []string
	Then    string
}

func yesNo(yes bool) string {
	if yes {
		return textYes
	}
	return textNo
}
