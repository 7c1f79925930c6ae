package panel

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// digitalKeyFormView is the page that makes or changes a digital key.
type digitalKeyFormView struct {
	Shell       shell
	Heading     string
	Action      string
	Preview     string // where the form is sent to be shown in words
	Cancel      string
	Save        string
	Once        string
	Revision    string
	Locked      bool // locks and user are as they are
	Notice      notice
	Summary     summary
	Description field
	Locks       lockPick
	Holder      string
	Times       []field
	Range       rangeView
	Hours       []hoursRow
	HoursOpen   bool
	HoursError  string
	Pick        pickView
	Roles       []choice
	Types       []choice
	PIN         keyPINView
	Card        field
	Mail        []choice
	Survives    choice
	Looks       []lockLook
	Errors      map[string]string
}

// lockPick is the list from which locks are chosen.
type lockPick struct {
	Query  string
	Search bool // there are so many that they are looked for
	Found  []choice
	Say    string
	Error  string
}

// keyPINView is how a key gets its PIN.
type keyPINView struct {
	Sources []choice
	Lengths []choice
	PIN     field
}

// lockLook says what a key would be at one lock.
type lockLook struct{ Name, Lease, Odds string }

// pinKeep leaves the PIN as it is.
const pinKeep = "keep"

// locksShown is how many locks are shown to choose from, locksFew with how many nobody has to
// look for one.
const (
	locksShown = 50
	locksFew   = 10
)

// newDigitalKeyForm returns the values of a form that was not filled in yet, with what the
// address says.
func (p *Panel) newDigitalKeyForm(r *http.Request, v visit) (url.Values, error) {
	in := r.URL.Query()
	form := url.Values{
		"role": {string(digitalkey.RoleUser)}, "pin_source": {pinGenerate}, "pin_length": {strconv.Itoa(digitalkey.DefaultDigits)}, "notify_email": {"on"},
		"q": in["q"], "lq": in["lq"], "user": in["user"], "card": in["card"], "locks": append(in["locks"], in["lock"]...),
	}
	zone := v.zone
	locks, err := p.chosenLocks(r.Context(), v, form)
	if err != nil {
		return nil, err
	}
	types := digitalkey.Types()[:2]
	if len(locks) > 0 {
		zone = zoneNamed(locks[0].Timezone)
		types = nil
		for _, t := range digitalkey.Types()[:2] {
			if !slices.ContainsFunc(locks, func(l smartlock.Lock) bool { return !l.Has(smartlock.Capability(t)) }) {
				types = append(types, t)
			}
		}
	}
	if form.Get("card") != "" {
		types = []digitalkey.Type{digitalkey.Keycard}
	}
	for _, t := range types {
		form.Add("types", string(t))
	}
	usual := rangePresets(v.now, zone)[0]
	form.Set("starts_at", usual.Starts)
	form.Set("expires_at", usual.Ends)
	return form, nil
}

// lockIDs are the locks that the form names, each once.
func lockIDs(form url.Values) []id.Lock {
	var out []id.Lock
	for _, text := range form["locks"] {
		if l, ok := id.Parse[id.KindLock](text); ok && !slices.Contains(out, l) && len(out) <= digitalkey.MaxLocks {
			out = append(out, l)
		}
	}
	return out
}

// chosenLocks returns the locks that the form names and that are there.
func (p *Panel) chosenLocks(ctx context.Context, v visit, form url.Values) ([]smartlock.Lock, error) {
	var out []smartlock.Lock
	for _, l := range lockIDs(form) {
		lock, err := p.c.Locks.Find(ctx, v.caller, l)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, lock)
	}
	return out, nil
}

// pickLocks returns the locks to choose from. The chosen ones stay among them.
func (p *Panel) pickLocks(ctx context.Context, v visit, form url.Values, problem string) (lockPick, error) {
	out := lockPick{Query: form.Get("lq"), Error: problem}
	counts, err := p.c.Locks.Counts(ctx, v.caller)
	if err != nil {
		return out, err
	}
	out.Search = counts.Total > locksFew
	locks, err := p.chosenLocks(ctx, v, form)
	if err != nil {
		return out, err
	}
	chosen := len(locks)
	found, err := p.c.Locks.List(ctx, v.caller, smartlock.Query{Words: search.Words(out.Query), Page: page.Request{Limit: locksShown}})
	if err != nil {
		return out, err
	}
	for _, l := range found.Items {
		if !slices.ContainsFunc(locks[:chosen], func(have smartlock.Lock) bool { return have.ID == l.ID }) {
			locks = append(locks, l)
		}
	}
	switch {
	case counts.Total == 0:
		out.Say = textFormLocksNothing
	case len(found.Items) == 0:
		out.Say = textFormLocksNone
	case !found.Next.IsZero():
		out.Say = textFormLocksMore
	}
	for i, l := range locks {
		c := choice{Name: "locks", Value: string(l.ID), Label: l.Name, Checked: i < chosen}
		var ways []string
		for _, way := range l.Capabilities {
			ways = append(ways, capabilityText(way))
		}
		c.Help = strings.Join(ways, ", ")
		if l.Place != "" {
			c.Help = l.Place + ". " + c.Help
		}
		out.Found = append(out.Found, c)
	}
	return out, nil
}

// keyFormFields are the names of the form's inputs that errors are shown beside.
func keyFormFields() []string {
	return []string{"description", "locks", "starts_at", "expires_at", "weekly_hours", "user", "role", "types", "pin", "keycard", "survives_lease", "notify"}
}

// fillDigitalKeyForm puts a form's values, and what is wrong with them, into the page.
func fillDigitalKeyForm(view *digitalKeyFormView, form url.Values, f *fault.Error) {
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, keyFormFields()...)
	}
	view.Errors = texts
	view.Description = field{
		Name: "description", Label: textFormDescription, Help: textFormDescriptionHelp, Value: form.Get("description"), Error: texts["description"], Type: "text", Autocomplete: "off",
		Wide: true, MaxLength: digitalkey.MaxDescription,
	}
	at := func(name, label string) field {
		return field{Name: name, Label: label, Value: form.Get(name), Error: texts[name], Type: "datetime-local", Autocomplete: "off", Required: true}
	}
	view.Times = []field{at("starts_at", textFormStarts), at("expires_at", textFormEnds)}
	for i := range view.Range.Presets {
		s := &view.Range.Presets[i]
		s.Selected = s.Starts == form.Get("starts_at") && s.Ends == form.Get("expires_at")
	}
	fillHours(view, form, texts)
	radio := func(name, value, label, help string) choice {
		return choice{Name: name, Value: value, Label: label, Help: help, Checked: form.Get(name) == value}
	}
	box := func(name, label, help string) choice {
		return choice{Name: name, Value: "on", Label: label, Help: help, Checked: form.Has(name)}
	}
	view.Roles = []choice{
		radio("role", string(digitalkey.RoleUser), textFormRoleUser, textFormRoleUserHelp), radio("role", string(digitalkey.RoleAdmin), textFormRoleAdmin, textFormRoleAdminHelp),
	}
	for _, t := range digitalkey.Types() {
		view.Types = append(view.Types, choice{Name: "types", Value: string(t), Label: keyTypeText(t), Help: keyTypeHelp(t), Checked: slices.Contains(form["types"], string(t))})
	}
	view.PIN.Sources = append(view.PIN.Sources, radio("pin_source", pinGenerate, textFormPINMake, textFormPINMakeHelp), radio("pin_source", pinTyped, textFormPINType, textFormPINTypeHelp))
	for n := grant.MinPIN; n <= grant.MaxPIN; n++ {
		view.PIN.Lengths = append(view.PIN.Lengths, radio("pin_length", strconv.Itoa(n), count(n, "digit"), ""))
	}
	view.PIN.PIN = field{Name: "pin", Label: textFormPIN, Value: form.Get("pin"), Error: texts["pin"], Type: "text", Autocomplete: "off", MaxLength: grant.MaxPIN}
	view.Card = field{Name: "card", Label: textFormCard, Help: textFormCardNumberHelp, Value: form.Get("card"), Error: texts["keycard"], Type: "text", Autocomplete: "off", Wide: true, MaxLength: 64}
	view.Mail = []choice{box("notify_email", textFormMailKey, textFormMailKeyHelp), box("notify_pin", textFormMailPIN, textFormMailPINHelp)}
	view.Survives = box("survives_lease", textFormSurvives, textFormSurvivesHelp)
}

// fillHours shows the rows of weekly hours: those that were filled in, one at least, and
// another if it is asked for.
func fillHours(view *digitalKeyFormView, form url.Values, texts map[string]string) {
	view.HoursError = texts["weekly_hours"]
	rows := hoursRows(form)
	view.HoursOpen = rows > 0 || form.Get("to") == toAddHours || view.HoursError != ""
	if rows == 0 || form.Get("to") == toAddHours {
		rows++
	}
	for i := range min(rows, digitalkey.MaxHours) {
		n := strconv.Itoa(i)
		row := hoursRow{Number: strconv.Itoa(i + 1)}
		for _, d := range weekdays() {
			value := strconv.Itoa(int(d))
			row.Days = append(row.Days, choice{Name: "days_" + n, Value: value, Label: d.String()[:3], Help: d.String(), Checked: slices.Contains(form["days_"+n], value)})
		}
		row.From = field{Name: "from_" + n, Label: textFormHoursFrom, Value: form.Get("from_" + n), Type: "time", Autocomplete: "off"}
		row.To = field{Name: "to_" + n, Label: textFormHoursTo, Value: form.Get("to_" + n), Type: "time", Autocomplete: "off"}
		view.Hours = append(view.Hours, row)
	}
}

// toAddHours asks for another row of weekly hours.
const toAddHours = "add-hours"

// hoursRows is how many rows of weekly hours hold something.
func hoursRows(form url.Values) int {
	rows := 0
	for i := range digitalkey.MaxHours {
		n := strconv.Itoa(i)
		if len(form["days_"+n]) > 0 || form.Get("from_"+n) != "" || form.Get("to_"+n) != "" {
			rows = i + 1
		}
	}
	return rows
}

// readHoursRows reads the weekly hours. Empty rows are none.
func readHoursRows(form url.Values) ([]digitalkey.Hours, *fault.Error) {
	out := []digitalkey.Hours{}
	for i := range hoursRows(form) {
		n := strconv.Itoa(i)
		days, from, to := form["days_"+n], form.Get("from_"+n), form.Get("to_"+n)
		if len(days) == 0 && from == "" && to == "" {
			continue
		}
		var h digitalkey.Hours
		for _, day := range weekdays() {
			if slices.Contains(days, strconv.Itoa(int(day))) {
				h.Days = append(h.Days, day)
			}
		}
		var ok, okTo bool
		h.From, ok = minutesOf(from)
		h.To, okTo = minutesOf(to)
		if !ok || !okTo || len(h.Days) == 0 {
			return nil, wrongField("weekly_hours", textFormHoursNeeds)
		}
		out = append(out, h)
	}
	return out, nil
}

// readDigitalKey reads a new key from the form.
func readDigitalKey(form url.Values) (digitalkey.NewKey, *fault.Error) {
	n := digitalkey.NewKey{
		Description: form.Get("description"), Locks: lockIDs(form), Role: digitalkey.Role(form.Get("role")), SurvivesLease: form.Has("survives_lease"),
		Span: digitalkey.Span{LocalStarts: form.Get("starts_at"), LocalExpires: form.Get("expires_at"), Timezone: form.Get("timezone")},
	}
	if u, ok := id.Parse[id.KindUser](form.Get("user")); ok {
		n.User = u
	}
	n.Types = keyTypesOf(form)
	n.Notify = keyNotifyOf(form)
	if slices.Contains(n.Types, digitalkey.PIN) {
		if form.Get("pin_source") == pinTyped {
			n.PIN = secret.FromString(strings.TrimSpace(form.Get("pin")))
		} else {
			n.PINLength, _ = strconv.Atoi(form.Get("pin_length")) // 0 is the default
		}
	}
	if slices.Contains(n.Types, digitalkey.Keycard) {
		n.CardNumber = strings.TrimSpace(form.Get("card"))
	}
	var f *fault.Error
	n.Weekly, f = readHoursRows(form)
	if f == nil && slices.Contains(n.Types, digitalkey.PIN) && form.Get("pin_source") == pinTyped && n.PIN.IsEmpty() {
		f = wrongField("pin", textNeeded)
	}
	return n, f
}

func keyTypesOf(form url.Values) []digitalkey.Type {
	out := []digitalkey.Type{}
	for _, t := range form["types"] {
		if !slices.Contains(out, digitalkey.Type(t)) {
			out = append(out, digitalkey.Type(t))
		}
	}
	return out
}

func keyNotifyOf(form url.Values) digitalkey.Notify {
	return digitalkey.Notify{
		Email: form.Has("notify_email"), ShowPIN: form.Has("notify_email") && form.Has("notify_pin") && slices.Contains(form["types"], string(digitalkey.PIN)),
	}
}

// outlook fills in what the form means: the span in words, and each lock.
func (p *Panel) outlook(ctx context.Context, v visit, form url.Values, n digitalkey.NewKey, view *digitalKeyFormView) error {
	zone, given := n.Span.Timezone, n.Span.Timezone
	if zone == "" {
		locks, err := p.chosenLocks(ctx, v, form)
		if err != nil {
			return err
		}
		if len(locks) > 0 {
			zone, given = locks[0].Timezone, locks[0].Timezone
		} else {
			zone = v.zone.String()
		}
	}
	n.Span.Timezone = zone
	o, err := p.c.DigitalKeys.Preview(ctx, v.caller, n)
	f, isForm := isFormFault(err)
	if err != nil && !isForm {
		return err
	}
	if isForm {
		o = digitalkey.Outlook{}
	}
	view.Range = v.newRangeView(o, zone)
	if given == "" {
		view.Range.Zone = ""
		view.Range.Notes = append([]string{textFormZoneNone + zone + "."}, view.Range.Notes...)
	}
	if isForm {
		s, _ := wrong(f)
		for _, item := range s.Items {
			view.Range.Error = strings.TrimSpace(view.Range.Error + " " + item.Text)
		}
	}
	for _, l := range o.Locks {
		look := lockLook{Name: l.Lock.Name, Lease: leaseText(l, v, n.SurvivesLease), Odds: oddsText(l)}
		if view.Locked && form.Get("pin_source") == pinKeep {
			look.Odds = "" // its own PIN would be counted twice
		}
		view.Looks = append(view.Looks, look)
	}
	return nil
}
