package panel

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// The steps of the wizard for a new key. What was entered travels in the form:
// nothing is kept on the server before the last step.
const (
	stepKind       = "kind"
	stepOptions    = "options"
	stepActivation = "activation"
	stepDone       = "done"
)

// How a new key begins. The first two are the room's; at the desk a hardware key is
// made and then registered here.
const (
	beginNow    = "now"
	beginEmail  = "email"
	beginDesk   = "desk"
	beginAssign = "assign"
)

// pickHolderView is the page that asks who gets a key.
type pickHolderView struct {
	Shell shell
	Query string
	Found []foundPerson
	Say   string // instead of people
}

// keyWizardView is one step of the wizard.
type keyWizardView struct {
	Shell         shell
	Heading       string
	Path          string
	Cancel        string
	Step          string
	Steps         []wizardStep
	Next, Save    string // where the main button leads and what it says
	Back          string // "" on the first step
	Once          string
	Kept          []choice
	Summary       summary
	Error         string // beside the step's choice
	Kinds         []choice
	Fields        []field
	Verifications []choice
	VerifyNote    string
	Proximity     choice
	Begins        []choice
	Number        field // asked for if it has a name
	PIN           pinView
	HasPIN        bool
	Review        []detail
	Effects       []string
	Confirm       bool // a fresh passkey is asked for
}

// keyDoneView is the wizard's end.
type keyDoneView struct {
	Shell   shell
	Heading string
	Steps   []wizardStep
	Did     []string
	PIN     string // shown once, "" for none
	Next    []string
	Key     string
	User    string
	Another string
}

// keyWizardFields are the fields of each step.
func keyWizardFields(step string) []string {
	switch step {
	case stepKind:
		return []string{"kind"}
	case stepOptions:
		return []string{"name", "model", "verification", "proximity"}
	case stepActivation:
		return []string{"activation", "card_number", "pin_source", "pin", "pin_delivery", "must_change"}
	}
	return nil
}

func keyWizardSteps() []string { return []string{stepKind, stepOptions, stepActivation, stepReview} }

func (p *Panel) pickHolder(w http.ResponseWriter, r *http.Request, v visit) error {
	form := r.URL.Query()
	found, err := p.pick(r, v, url.Values{"q": form["q"]}, "")
	if err != nil {
		return err
	}
	view := pickHolderView{
		Shell: p.shell(v, textSecurityKeysAdd, crumb{Name: textNavSecurityKeys}, crumb{Name: textNavKeysAll, Path: securityKeysPath}), Query: found.Query, Say: found.Say,
	}
	for _, c := range found.Found {
		view.Found = append(view.Found, foundPerson{Name: c.Label, Email: c.Help, Path: addKeyPath(id.User(c.Value))})
	}
	return p.show(w, r, http.StatusOK, pickHolderTemplate(view))
}

func addKeyPath(u id.User) string { return userPath(u) + "/security-keys/new" }

// newKeyForm returns the values of a wizard that was not begun yet.
func newKeyForm() url.Values {
	form := newPINForm()
	form.Set("kind", string(securitykey.ContactlessCard))
	form.Set("verification", string(securitykey.ByPIN))
	return form
}

func (p *Panel) newSecurityKey(w http.ResponseWriter, r *http.Request, v visit) error {
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	form := newKeyForm()
	return p.showKeyWizard(w, r, v, u, form, stepKind, nil, http.StatusOK)
}

// begins are the ways in which a key of a kind can begin, the usual one first.
func begins(k securitykey.Kind) []string {
	switch k {
	case securitykey.Smartphone:
		return []string{beginEmail, beginAssign}
	case securitykey.FIDO2:
		return []string{beginEmail, beginDesk, beginAssign}
	}
	return []string{beginNow, beginEmail, beginAssign}
}

// tidyKeyForm chooses for what the kind leaves no choice, or was not asked for yet.
func tidyKeyForm(form url.Values) {
	kind := securitykey.Kind(form.Get("kind"))
	if offered := begins(kind); !slices.Contains(offered, form.Get("activation")) {
		form.Set("activation", offered[0])
	}
	pinless := form.Get("verification") == string(securitykey.Pinless)
	switch {
	case kind == securitykey.Smartphone:
		form.Set("verification", string(securitykey.ByPhone))
	case kind != securitykey.ContactlessCard || !pinless:
		form.Set("verification", string(securitykey.ByPIN))
	}
}

// asksPIN says whether the key gets a PIN now.
func asksPIN(form url.Values) bool {
	return form.Get("activation") == beginNow && form.Get("verification") == string(securitykey.ByPIN)
}

// keyWizard goes to the step that was pressed, but not past a step whose fields are
// wrong.
func (p *Panel) keyWizard(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	to := form.Get("to")
	if to == "" {
		to = form.Get("again") // sent by the script, after a fresh passkey
	}
	steps := append(keyWizardSteps(), stepCreate)
	at := slices.Index(steps, to)
	if at < 0 {
		return fault.Invalid("invalid_form", textFormUnreadable)
	}
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	tidyKeyForm(form)
	n, f := newKeyOf(form, at)
	if f != nil {
		return p.showKeyWizard(w, r, v, u, form, keyStepOf(f), f, http.StatusUnprocessableEntity)
	}
	if to != stepCreate {
		return p.showKeyWizard(w, r, v, u, form, to, nil, http.StatusOK)
	}
	return p.createKey(w, r, v, u, form, n)
}

// newKeyOf reads the key from the form, and checks the steps before the one that is
// gone to.
func newKeyOf(form url.Values, at int) (securitykey.NewKey, *fault.Error) {
	n := securitykey.NewKey{
		Kind: securitykey.Kind(form.Get("kind")), Name: form.Get("name"), Model: form.Get("model"), Verification: securitykey.Verification(form.Get("verification")),
		CardNumber: strings.TrimSpace(form.Get("card_number")),
	}
	if !slices.Contains(securitykey.Kinds(), n.Kind) && at > 0 {
		return n, wrongField("kind", textNeeded)
	}
	n.Proximity = n.Kind == securitykey.Smartphone && form.Has("proximity")
	switch form.Get("activation") {
	case beginNow:
		n.Activation = securitykey.ActivateNow
	case beginEmail:
		n.Activation = securitykey.ActivateEmail
	default: // at the desk, too, it is assigned first
		n.Activation, n.CardNumber = securitykey.Assigned, ""
	}
	if n.Kind != securitykey.ContactlessCard {
		n.CardNumber = ""
	}
	if n.Kind == securitykey.FIDO2 {
		n.Model = "" // the key itself says
	}
	if at <= slices.Index(keyWizardSteps(), stepActivation) {
		return n, nil
	}
	if n.Activation == securitykey.ActivateNow && n.CardNumber == "" {
		return n, wrongField("card_number", textNeeded)
	}
	if asksPIN(form) {
		reset, f := readPIN(form)
		n.PIN, n.Delivery, n.MustChange = reset.PIN, reset.Delivery, reset.MustChange
		return n, f
	}
	return n, nil
}

// keyStepOf returns the step on which a fault is mended.
func keyStepOf(f *fault.Error) string {
	for _, field := range f.Fields {
		for _, step := range keyWizardSteps() {
			if slices.Contains(keyWizardFields(step), field.Name) {
				return step
			}
		}
	}
	if strings.HasPrefix(f.Code, "card_") {
		return stepActivation
	}
	return stepReview
}

func (p *Panel) createKey(w http.ResponseWriter, r *http.Request, v visit, u directory.User, form url.Values, n securitykey.NewKey) error {
	issued, err := p.c.SecurityKeys.Create(onceContext(r, v, form), v.caller, u.ID, n)
	if repeat, ok := errors.AsType[*once.Repeated](err); ok {
		view := againView{Shell: p.keyWizardShell(v, u, textKeyAgain), Title: textKeyAgain, Text: textKeyAgainText, Action: textKeyOpen, Path: userPath(u.ID)}
		if k, ok := id.Parse[id.KindSecurityKey](repeat.Note); ok {
			view.Path = securityKeyPath(k)
		}
		return p.show(w, r, http.StatusOK, againTemplate(view))
	}
	if needsStepUp(err) {
		return p.showKeyWizard(w, r, v, u, form, stepReview, nil, http.StatusForbidden)
	}
	if f, status, ok := isRuleFault(err); ok {
		return p.showKeyWizard(w, r, v, u, form, keyStepOf(f), f, status)
	}
	if err != nil {
		return err
	}
	if form.Get("activation") == beginDesk {
		redirect(w, r, securityKeyPath(issued.Key.ID)+"/register")
		return nil
	}
	return p.show(w, r, http.StatusOK, keyDoneTemplate(p.keyDoneView(v, u, form, issued)))
}

// renamed returns the fault with another name for one of its fields: the form's.
func renamed(f *fault.Error, from, to string) *fault.Error {
	out := *f
	out.Fields = slices.Clone(f.Fields)
	for i := range out.Fields {
		if out.Fields[i].Name == from {
			out.Fields[i].Name = to
		}
	}
	return &out
}

func (p *Panel) keyWizardShell(v visit, u directory.User, title string) shell {
	return p.shell(v, title, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: u.Name(), Path: userPath(u.ID)})
}

func keyWizardNav(current string) []wizardStep {
	return markSteps(current, []wizardStep{
		{Name: textStepKind, Value: stepKind, Number: "1"},
		{Name: textStepOptions, Value: stepOptions, Number: "2"},
		{Name: textStepActivation, Value: stepActivation, Number: "3"},
		{Name: textWizardReview, Value: stepReview, Number: "4"},
		{Name: textStepDone, Value: stepDone, Number: "5"},
	})
}

func (p *Panel) showKeyWizard(w http.ResponseWriter, r *http.Request, v visit, u directory.User, form url.Values, step string, f *fault.Error, status int) error {
	view := keyWizardView{
		Shell: p.keyWizardShell(v, u, textAddDevice), Heading: addDeviceText(u.Name()), Path: addKeyPath(u.ID), Cancel: userPath(u.ID), Step: step,
		Steps: keyWizardNav(step), Once: onceName(form), Save: textWizardNext, Confirm: f == nil && status == http.StatusForbidden,
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, slices.Concat(keyWizardFields(stepKind), keyWizardFields(stepOptions), keyWizardFields(stepActivation))...)
	}
	steps := keyWizardSteps()
	at := slices.Index(steps, step)
	if at > 0 {
		view.Back = steps[at-1]
	}
	view.Next = append(steps, stepCreate)[at+1]
	for _, other := range steps {
		if other != step {
			view.keep(form, keyWizardFields(other)...)
		}
	}
	var err error
	switch step {
	case stepKind:
		view.fillKinds(form, texts)
	case stepOptions:
		err = p.fillOptions(r, v, form, texts, &view)
	case stepActivation:
		err = p.fillActivation(r, v, u, form, texts, &view)
	default:
		view.Save = textKeyCreate
		view.fillKeyReview(u, form)
	}
	if err != nil {
		return err
	}
	return p.show(w, r, status, keyWizardTemplate(view))
}

// keep carries fields of other steps along.
func (view *keyWizardView) keep(form url.Values, names ...string) {
	for _, name := range names {
		for _, value := range form[name] {
			view.Kept = append(view.Kept, choice{Name: name, Value: value})
		}
	}
}

func (view *keyWizardView) fillKinds(form url.Values, texts map[string]string) {
	view.Error = texts["kind"]
	for _, k := range securitykey.Kinds() {
		words := kindWords(k)
		view.Kinds = append(view.Kinds, choice{Name: "kind", Value: string(k), Label: words.Name, Help: words.Help, Checked: form.Get("kind") == string(k)})
	}
}

func (p *Panel) fillOptions(r *http.Request, v visit, form url.Values, texts map[string]string, view *keyWizardView) error {
	kind := securitykey.Kind(form.Get("kind"))
	name := keyNameField(form, texts)
	name.Help += textKeyNameEmpty + kindWords(kind).Default + "”."
	view.Error, view.Fields = texts["verification"], []field{name}
	if kind != securitykey.FIDO2 {
		view.Fields = append(view.Fields, keyModelField(form, texts))
	}
	if kind == securitykey.Smartphone {
		view.Proximity = proximityChoice(form)
	}
	if kind != securitykey.ContactlessCard { // the others have one way only
		return nil
	}
	allowed, err := p.pinlessAllowed(r, v)
	view.Verifications, view.VerifyNote = verifications(form, allowed)
	return err
}

func (p *Panel) fillActivation(r *http.Request, v visit, u directory.User, form url.Values, texts map[string]string, view *keyWizardView) error {
	kind := securitykey.Kind(form.Get("kind"))
	view.Error = texts["activation"]
	for _, b := range begins(kind) {
		label, help := beginText(b, kind, u.Name(), u.Email)
		view.Begins = append(view.Begins, choice{Name: "activation", Value: b, Label: label, Help: help, Checked: form.Get("activation") == b})
	}
	if kind != securitykey.ContactlessCard {
		return nil
	}
	view.Number = field{
		Name: "card_number", Label: textCardNumber, Help: textCardNumberHelp, Value: form.Get("card_number"), Error: texts["card_number"], Type: "text", Autocomplete: "off", MaxLength: 64,
	}
	if form.Get("verification") != string(securitykey.ByPIN) {
		return nil
	}
	rules, err := p.c.SecurityKeys.Rules(r.Context(), v.caller)
	view.HasPIN, view.PIN = true, newPINView(form, rules, texts)
	return err
}

// fillKeyReview fills the last step: what will be done.
func (view *keyWizardView) fillKeyReview(u directory.User, form url.Values) {
	n, _ := newKeyOf(form, len(keyWizardSteps()))
	words := kindWords(n.Kind)
	name := detail{Label: textColumnName, Value: n.Name}
	if n.Name == "" {
		name.Value = words.Default
	}
	view.Review = []detail{{Label: textColumnHolder, Value: u.Name()}, {Label: textColumnKind, Value: words.Name}, name}
	if n.Kind != securitykey.FIDO2 {
		view.Review = append(view.Review, detail{Label: textColumnModel, Value: n.Model})
	}
	view.Review = append(view.Review, detail{Label: textVerification, Value: verificationWord(n.Verification)})
	if n.Kind == securitykey.Smartphone {
		view.Review = append(view.Review, detail{Label: textProximity, Value: yesNo(n.Proximity)})
	}
	if n.CardNumber != "" {
		view.Review = append(view.Review, detail{Label: textCardNumber, Value: n.CardNumber, Code: true})
	}
	view.Effects = keyEffects(form, u, false)
}

func (p *Panel) keyDoneView(v visit, u directory.User, form url.Values, issued securitykey.Issued) keyDoneView {
	k := issued.Key
	nav := keyWizardNav(stepDone)
	for i := range nav {
		nav[i].Past = true // it is done for good
	}
	return keyDoneView{
		Shell: p.keyWizardShell(v, u, textKeyDone), Heading: keyDoneText(k.Name, u.Name()), Steps: nav, Did: keyEffects(form, u, true), PIN: issued.PIN.ExposeString(),
		Next: keyNext(form, u), Key: securityKeyPath(k.ID), User: userPath(u.ID), Another: addKeyPath(u.ID),
	}
}
