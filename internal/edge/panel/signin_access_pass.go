package panel

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// accessPassView is the page of a user's temporary access pass.
type accessPassView struct {
	Shell    shell
	Heading  string
	Path     string
	User     string
	Once     string
	Summary  summary
	Current  []detail // the last pass, if there was one
	State    badge
	Withdraw bool // the pass still opens something, or will
	Replaces bool
	Presets  []choice
	Custom   choice
	Minutes  field
	LifeErr  string
	Length   field
	OneTime  choice
	Starts   []choice
	StartsAt field
	StartErr string
	Confirm  bool // a fresh passkey is asked for
}

func accessPassPath(u directory.User) string { return userPath(u.ID) + "/access-pass" }

// The choices of a pass: lifetimes in minutes, and when it starts.
const (
	lifeCustom  = "custom"
	startsNow   = "now"
	startsLater = "custom"
	localTime   = "2006-01-02T15:04"
)

// passLives are the offered lifetimes in minutes.
func passLives() []int { return []int{60, 8 * 60, 24 * 60} }

func (p *Panel) accessPass(w http.ResponseWriter, r *http.Request, v visit) error {
	form := url.Values{"lifetime": {"60"}, "length": {"8"}, "starts": {startsNow}}
	return p.showAccessPass(w, r, v, form, nil, http.StatusOK)
}

func (p *Panel) showAccessPass(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, status int) error {
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	view := accessPassView{
		Shell: p.accessPassShell(v, u, textAccessPass), Heading: accessPassText(u.Name()), Path: accessPassPath(u), User: userPath(u.ID), Once: onceName(form),
		Confirm: f == nil && status == http.StatusForbidden,
	}
	view.Shell.Path = view.Path
	pass, err := p.c.SignIn.FindAccessPass(r.Context(), v.caller, u.ID)
	if err != nil && !isNotFound(err) {
		return err
	}
	if err == nil {
		state := pass.State(v.now)
		view.State, view.Current = accessPassBadge(state), v.accessPassFacts(pass)
		view.Withdraw = state == signin.PassScheduled || state == signin.PassValid
		view.Replaces = view.Withdraw
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "lifetime", "minutes", "length", "starts_at")
	}
	view.fillPassForm(v, form, texts)
	return p.show(w, r, status, accessPassTemplate(view))
}

func (view *accessPassView) fillPassForm(v visit, form url.Values, texts map[string]string) {
	offer := func(name, value, label string) choice {
		return choice{Name: name, Value: value, Label: label, Checked: form.Get(name) == value}
	}
	for _, minutes := range passLives() {
		view.Presets = append(view.Presets, offer("lifetime", strconv.Itoa(minutes), minutesText(minutes)))
	}
	view.Custom, view.LifeErr = offer("lifetime", lifeCustom, textPassOther), texts["lifetime"]
	view.Minutes = field{Name: "minutes", Label: textOverlapMinutes, Help: textPassMinutesHelp, Value: form.Get("minutes"), Error: texts["minutes"], Type: "number", Autocomplete: "off"}
	view.Length = field{Name: "length", Label: textPassLength, Help: textPassLengthHelp, Value: form.Get("length"), Error: texts["length"], Type: "number", Autocomplete: "off"}
	view.OneTime = choice{Name: "one_time", Value: "on", Label: textPassOneTime, Help: textPassOneTimeHelp, Checked: form.Has("one_time")}
	view.Starts = []choice{offer("starts", startsNow, textPassNow), offer("starts", startsLater, textPassLater)}
	view.StartsAt = field{
		Name: "starts_at", Label: textPassStartsAt, Help: textPassZone + v.zone.String() + ".", Value: form.Get("starts_at"), Error: texts["starts_at"], Type: "datetime-local", Autocomplete: "off",
	}
}

func (p *Panel) accessPassShell(v visit, u directory.User, title string) shell {
	return p.shell(v, title, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: u.Name(), Path: userPath(u.ID)})
}

// accessPassFacts are what is known of a pass.
func (v visit) accessPassFacts(pass signin.AccessPass) []detail {
	out := []detail{
		{Label: textPassFrom, Value: v.exactly(pass.StartsAt)},
		{Label: textPassUntil, Value: v.exactly(pass.ExpiresAt)},
		{Label: textPassOneTime, Value: yesNo(pass.OneTime)},
		{Label: textPassIssued, Time: v.moment(pass.CreatedAt)},
		{Label: textPassIssuedBy, Value: pass.CreatedBy},
	}
	if !pass.UsedAt.IsZero() {
		out = append(out, detail{Label: textPassUsed, Time: v.moment(pass.UsedAt)})
	}
	return out
}

// newAccessPass reads what pass is asked for.
func (v visit) newAccessPass(form url.Values) (signin.NewAccessPass, *fault.Error) {
	text, name := form.Get("lifetime"), "lifetime"
	if text == lifeCustom {
		text, name = form.Get("minutes"), "minutes"
	}
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes < 10 || minutes > 43_200 {
		return signin.NewAccessPass{}, wrongField(name, textPassMinutesWrong)
	}
	length, err := strconv.Atoi(form.Get("length"))
	if err != nil {
		return signin.NewAccessPass{}, wrongField("length", textPassLengthWrong)
	}
	n := signin.NewAccessPass{Lifetime: time.Duration(minutes) * time.Minute, Length: length, OneTime: form.Has("one_time")}
	if form.Get("starts") != startsLater {
		return n, nil
	}
	at, err := time.ParseInLocation(localTime, form.Get("starts_at"), v.zone)
	switch {
	case err != nil:
		return n, wrongField("starts_at", textPassStartWrong)
	case at.Format(localTime) != form.Get("starts_at"):
		return n, wrongField("starts_at", textPassStartGap)
	}
	n.StartsAt = at.UTC()
	return n, nil
}

func (p *Panel) issueAccessPass(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	n, f := v.newAccessPass(form)
	if f != nil {
		return p.showAccessPass(w, r, v, form, f, http.StatusUnprocessableEntity)
	}
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	pass, code, err := p.c.SignIn.IssueAccessPass(onceContext(r, v, form), v.caller, u.ID, n)
	if _, ok := errors.AsType[*once.Repeated](err); ok {
		return p.show(w, r, http.StatusOK, againTemplate(againView{
			Shell: p.accessPassShell(v, u, textPassAgain), Title: textPassAgain, Text: textPassAgainText, Action: textPassOpen, Path: accessPassPath(u),
		}))
	}
	if needsStepUp(err) {
		return p.showAccessPass(w, r, v, form, nil, http.StatusForbidden)
	}
	if f, status, ok := isRuleFault(err); ok {
		return p.showAccessPass(w, r, v, form, renamed(f, "lifetime_minutes", "lifetime"), status)
	}
	if err != nil {
		return err
	}
	next := []string{textPassNextApp, textPassNextHand}
	if pass.OneTime {
		next = append(next, textPassNextOnce)
	}
	return p.show(w, r, http.StatusOK, secretTemplate(secretView{
		Shell: p.accessPassShell(v, u, textPassReady), Heading: textPassReady, Line: textPassOnce, Label: textAccessPass, Secret: code.ExposeString(),
		Facts: append([]detail{{Label: textPassFor, Value: u.Name()}}, v.accessPassFacts(pass)[:3]...), Next: next, Then: userPath(u.ID),
	}))
}

func (p *Panel) withdrawAccessPass(w http.ResponseWriter, r *http.Request, v visit) error {
	u, _, err := p.findUser(r, v)
	if err != nil {
		return err
	}
	_, err = p.c.SignIn.WithdrawAccessPass(r.Context(), v.caller, u.ID)
	if f, status, ok := isRuleFault(err); ok {
		form := url.Values{"lifetime": {"60"}, "length": {"8"}, "starts": {startsNow}}
		return p.showAccessPass(w, r, v, form, f, status)
	}
	return p.done(w, r, err, "pass_withdrawn", accessPassPath(u))
}
