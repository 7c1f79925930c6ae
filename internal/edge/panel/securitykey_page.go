package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// securityKeyView is a security key's page. One of its tabs is shown.
type securityKeyView struct {
	Shell      shell
	Row        securityKeyRow
	Refresh    string
	Notice     notice // what was not done, if it has a title
	Hints      []keyHint
	Tabs       []tab
	Tab        string
	Details    []detail
	Activities []activityRow
	Columns    []column
	Empty      empty
	Pages      pager
}

// keyHint says what a key waits for, and leads to what is to be done.
type keyHint struct {
	Tone   string
	Icon   string
	Title  string
	Text   string
	Action string // "" for nothing to do
	Path   string
	Post   bool // the path is a form's
}

// findSecurityKey returns the key that the address names.
func (p *Panel) findSecurityKey(r *http.Request, v visit) (securitykey.Detail, error) {
	return p.c.SecurityKeys.Find(r.Context(), v.caller, securityKeyID(r))
}

// securityKeyShell is the shell of a page about a key, or of the key's own page.
func (p *Panel) securityKeyShell(v visit, k securitykey.SecurityKey, title string) shell {
	trail := []crumb{{Name: textNavSecurityKeys}, {Name: textNavKeysAll, Path: securityKeysPath}}
	if title != "" {
		return p.shell(v, title, append(trail, crumb{Name: k.Name, Path: securityKeyPath(k.ID)})...)
	}
	return p.shell(v, k.Name, trail...)
}

func (p *Panel) securityKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findSecurityKey(r, v)
	if err != nil {
		return err
	}
	return p.showSecurityKey(w, r, v, found, notice{}, http.StatusOK)
}

// showSecurityKey answers with the key's page and what was not done.
func (p *Panel) showSecurityKey(w http.ResponseWriter, r *http.Request, v visit, found securitykey.Detail, n notice, status int) error {
	k, path := found.Key, securityKeyPath(found.Key.ID)
	view := securityKeyView{
		Shell: p.securityKeyShell(v, k, ""), Row: v.securityKeyRow(k), Refresh: v.path, Notice: n, Hints: v.keyHints(k), Tab: tabDetails,
	}
	if n.Title != "" {
		view.Refresh, view.Shell.Path = path, path // where an act was asked for has no page of its own
	}
	if r.URL.Query().Get("tab") == tabActivities {
		view.Tab = tabActivities
		if err := p.fillSecurityKeyActivities(r, v, k, &view); err != nil {
			return restartTab(w, r, tabActivities, err)
		}
	} else {
		view.Details = v.securityKeyDetails(found)
	}
	view.Tabs = []tab{{Name: textTabDetails, Path: path, Icon: "id", Current: view.Tab == tabDetails}}
	if v.can(auth.ActivitiesRead) {
		view.Tabs = append(view.Tabs, tab{Name: textTabActivities, Path: path + "?tab=" + tabActivities, Icon: "history", Current: view.Tab == tabActivities})
	}
	return p.show(w, r, status, securityKeyTemplate(view))
}

// keyHints say what a key waits for.
func (v visit) keyHints(k securitykey.SecurityKey) []keyHint {
	acts := v.securityKeyActs(k)
	var out []keyHint
	add := func(h keyHint, may bool) {
		if !may {
			h.Action = ""
		}
		out = append(out, h)
	}
	switch {
	case !k.SuspendedAt.IsZero():
		add(keyHint{Tone: "danger", Icon: "ban", Title: suspendedSinceText(relative(v.now, k.SuspendedAt)), Text: textKeySuspendedText}, false)
	case k.ToConfirm:
		add(keyHint{Tone: "info", Icon: "circle-check", Title: textKeyWaitsTitle, Text: textKeyWaitsText, Action: textKeyConfirm, Path: acts.Path + "/confirm"}, acts.Confirm)
	case k.Life == securitykey.New:
		add(keyHint{Tone: "info", Icon: "mail", Title: textKeyNewTitle, Text: textKeyNewText, Action: textKeySend, Path: acts.Path + "/resend-activation", Post: true}, acts.Resend)
	case k.Life == securitykey.Pending && !v.now.Before(k.Link.ExpiresAt):
		add(keyHint{Tone: "info", Icon: "mail", Title: textKeyLinkOver, Text: textKeyLinkOverText, Action: textKeyResend, Path: acts.Path + "/resend-activation", Post: true}, acts.Resend)
	case k.Life == securitykey.Pending:
		add(keyHint{Tone: "info", Icon: "mail", Title: textKeyPendingTitle, Text: linkUntilText(v.exactly(k.Link.ExpiresAt))}, false)
	}
	if acts.Register {
		add(keyHint{Tone: "info", Icon: "device-usb", Title: textKeyAtDeskTitle, Text: textKeyAtDeskText, Action: textKeyRegister, Path: acts.Path + "/register"}, true)
	}
	switch {
	case k.PIN.Locked():
		add(keyHint{Tone: "danger", Icon: "lock", Title: textPINLockedTitle, Text: textPINLockedText, Action: textKeyResetPIN, Path: acts.Path + "/reset-pin"}, acts.Reset)
	case v.now.Before(k.PIN.PausedUntil):
		add(keyHint{Tone: "info", Icon: "clock", Title: textPINPausedTitle, Text: pausedUntilText(v.exactly(k.PIN.PausedUntil))}, false)
	}
	if !k.NoticedAt.IsZero() && k.SuspendedAt.IsZero() {
		add(keyHint{Tone: "info", Icon: "clock", Title: textKeyNoticedTitle, Text: noticedText(relative(v.now, k.NoticedAt))}, false)
	}
	return out
}

// securityKeyDetails are what is stored of a key.
func (v visit) securityKeyDetails(found securitykey.Detail) []detail {
	k := found.Key
	words := kindWords(k.Kind)
	out := []detail{{Label: textColumnKind, Value: words.Name, Help: words.Help, Wide: true}, {Label: textColumnModel, Value: k.Model}}
	switch k.Kind {
	case securitykey.ContactlessCard:
		number := detail{Label: textCardNumber, Value: found.CardNumber, Code: true}
		if k.Card.Named && k.Life != securitykey.Active {
			number.Help = textCardNamed
		}
		out = append(out, number)
	case securitykey.FIDO2:
		out = append(out, detail{Label: textAAGUID, Value: k.AAGUID, Code: true})
	case securitykey.Smartphone:
		proximity := textProximityOff
		if k.Proximity {
			proximity = textProximityOn
		}
		out = append(out, detail{Label: textProximity, Value: proximity})
	}
	verified := detail{Label: textVerification, Value: verificationText(k)}
	if k.Kind == securitykey.FIDO2 {
		verified.Help = textVerifyPINFIDO2
	}
	out = append(out, verified)
	if k.Kind == securitykey.ContactlessCard {
		out = append(out, v.pinDetail(k))
	}
	return append(
		out,
		detail{Label: textDeviceAccess, Value: textSingleAccount},
		detail{Label: textColumnCreated, Time: v.moment(k.CreatedAt)}, detail{Label: textKeyActivated, Time: v.moment(k.ActivatedAt), Value: textNever},
		detail{Label: textColumnLastActive, Time: v.moment(k.LastActivityAt), Value: textNever, Help: usesText(k.Total)},
		detail{Label: textAPIKeyID, Value: string(k.ID), Code: true},
	)
}

// pinDetail says how a card's PIN is.
func (v visit) pinDetail(k securitykey.SecurityKey) detail {
	d := detail{Label: textPIN, Value: textPINNone}
	switch {
	case len(k.PIN.Verifier) == 0:
	case k.PIN.Locked():
		d.Value, d.Help = textPINLocked, textPINLockedText
	case v.now.Before(k.PIN.PausedUntil):
		d.Value, d.Help = textPINPaused, pausedUntilText(v.exactly(k.PIN.PausedUntil))
	default:
		d.Value = pinSetText(relative(v.now, k.PIN.SetAt))
	}
	if k.PIN.MustChange && len(k.PIN.Verifier) > 0 && d.Help == "" {
		d.Help = textPINMustChange
	}
	return d
}

func (p *Panel) fillSecurityKeyActivities(r *http.Request, v visit, k securitykey.SecurityKey, view *securityKeyView) error {
	l, err := p.readList(r, v, nil, "tab")
	if err != nil {
		return err
	}
	l.page.Descending = true
	found, err := p.c.Record.List(r.Context(), v.caller, activity.Query{SecurityKey: k.ID, Page: l.page})
	if err != nil {
		return err
	}
	called, err := p.namesIn(r.Context(), v, false, found.Items...)
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		row := newActivityRow(v, e, string(k.ID))
		row.Key, row.KeyPath = "", "" // it is this one
		called.put(&row, e)
		view.Activities = append(view.Activities, row)
	}
	view.Columns = activityColumns(false)
	view.Empty = empty{Icon: "history", Title: textActivitiesNone, Text: textKeyActivitiesNone}
	view.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return err
}
