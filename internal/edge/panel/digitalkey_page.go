package panel

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// digitalKeyView is a digital key's page. One of its tabs is shown.
type digitalKeyView struct {
	Shell      shell
	Row        digitalKeyRow
	Refresh    string
	Hints      []keyHint
	Tabs       []tab
	Tab        string
	Details    []detail
	Receipts   []receiptRow
	Events     eventList
	Activities []activityRow
	Columns    []column
	Empty      empty
	Pages      pager
}

// receiptRow says whether one door knows the last change.
type receiptRow struct {
	Lock     string
	LockPath string
	What     string
	Changed  moment
	State    badge
	Text     string // since when, or when at the latest
	Turn     string
	Online   badge
}

const tabReceipts = "receipts"

// findDigitalKey returns the key that the address names.
func (p *Panel) findDigitalKey(r *http.Request, v visit) (digitalkey.Detail, error) {
	return p.c.DigitalKeys.Find(r.Context(), v.caller, digitalKeyID(r))
}

// digitalKeyShell is the shell of a page about a key, or of the key's own page.
func (p *Panel) digitalKeyShell(v visit, k digitalkey.DigitalKey, title string) shell {
	trail := []crumb{{Name: textNavDigitalKeys, Path: digitalKeysPath}}
	if title != "" {
		return p.shell(v, title, append(trail, crumb{Name: digitalKeyName(k), Path: digitalKeyPath(k.ID)})...)
	}
	return p.shell(v, digitalKeyName(k), trail...)
}

func (p *Panel) digitalKey(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.findDigitalKey(r, v)
	if err != nil {
		return err
	}
	k, path := found.Key, digitalKeyPath(found.Key.ID)
	view := digitalKeyView{Shell: p.digitalKeyShell(v, k, ""), Row: v.digitalKeyRow(k), Refresh: v.path, Hints: v.digitalKeyHints(found), Tab: tabDetails}
	add := func(name, value, icon string, may bool) {
		if !may {
			return
		}
		t := tab{Name: name, Value: value, Path: path + "?tab=" + value, Icon: icon, Current: r.URL.Query().Get("tab") == value}
		if value == tabDetails {
			t.Path = path
		}
		if t.Current {
			view.Tab = value
		}
		view.Tabs = append(view.Tabs, t)
	}
	add(textTabDetails, tabDetails, "id", true)
	add(textTabReceipts, tabReceipts, "circle-check", true)
	add(textTabEvents, tabEvents, "list-details", v.can(auth.LocksRead))
	add(textTabActivities, tabActivities, "history", v.can(auth.ActivitiesRead))
	if view.Tab == tabDetails {
		view.Tabs[0].Current = true
	}
	switch view.Tab {
	case tabReceipts:
		for _, receipt := range found.Receipts {
			view.Receipts = append(view.Receipts, v.receiptRow(receipt))
		}
	case tabEvents:
		if view.Events, err = p.eventList(r, v, smartlock.EventQuery{DigitalKey: k.ID}, "tab"); err != nil {
			return restart(w, r, list{path: path, params: map[string][]string{"tab": {tabEvents}}}, err)
		}
	case tabActivities:
		if err := p.fillDigitalKeyActivities(r, v, k, &view); err != nil {
			return restartTab(w, r, tabActivities, err)
		}
	default:
		view.Details = v.digitalKeyDetails(found)
	}
	return p.show(w, r, http.StatusOK, digitalKeyTemplate(view))
}

func (v visit) receiptRow(r digitalkey.Receipt) receiptRow {
	row := receiptRow{Lock: r.LockName, What: textReceiptGives, Changed: v.moment(r.ChangedAt), Online: badge{Word: textLockOffline, Tone: "red"}}
	if r.Removed {
		row.What = textReceiptTakes
	}
	if r.Online {
		row.Online = badge{Word: textLockOnline, Tone: "green"}
	}
	if v.can(auth.LocksRead) {
		row.LockPath = lockPath(r.Lock)
	}
	at := func(t time.Time) string {
		local, now := t.In(v.zone), v.now.In(v.zone)
		if local.Format(time.DateOnly) == now.Format(time.DateOnly) {
			return local.Format("15:04:05")
		}
		return local.Format("Mon 2 Jan 15:04:05")
	}
	switch {
	case !r.AppliedAt.IsZero():
		row.State, row.Text = badge{Word: textReceiptsConfirmed, Tone: "green"}, "applied at "+at(r.AppliedAt)
	case !r.AtLatest.IsZero() && !v.now.Before(r.AtLatest):
		row.State, row.Text = badge{Word: textReceiptNot, Tone: "grey"}, "safe since "+at(r.AtLatest)+" (lease)"
	case !r.AtLatest.IsZero():
		row.State, row.Text = badge{Word: textReceiptNot, Tone: "amber"}, "at the latest "+at(r.AtLatest)+" (lease)"
		row.Turn = r.AtLatest.UTC().Format(time.RFC3339Nano)
	default:
		row.State = badge{Word: textReceiptNot, Tone: "amber"}
	}
	return row
}

// digitalKeyHints say what is to be known of a key before all else.
func (v visit) digitalKeyHints(found digitalkey.Detail) []keyHint {
	k := found.Key
	var out []keyHint
	if k.Status(v.now) == digitalkey.Cancelled {
		h := keyHint{Tone: "info", Icon: "ban", Title: "Cancelled", Text: cancelledByText(k, v)}
		var open []string
		for _, r := range found.Receipts {
			if r.AppliedAt.IsZero() && v.now.Before(r.AtLatest) {
				open = append(open, unconfirmedText(r, v))
			}
		}
		out = append(out, h)
		if len(open) > 0 {
			out = append(out, keyHint{
				Tone: "danger", Icon: "alert-triangle", Title: textUnsafeTitle, Text: strings.Join(open, ". ") + ".", Action: textTabReceipts, Path: digitalKeyPath(k.ID) + "?tab=" + tabReceipts,
			})
		}
		return out
	}
	if k.SurvivesLease && k.Status(v.now) != digitalkey.Expired {
		out = append(out, keyHint{Tone: "info", Icon: "alert-triangle", Title: textDigitalKeySurvives, Text: textFormSurvivesHelp})
	}
	if k.Holder.Suspended {
		out = append(out, keyHint{Tone: "danger", Icon: "user-off", Title: "Its holder is suspended", Text: "They cannot open anything by the app."})
	}
	return out
}

// digitalKeyDetails are what is stored of a key.
func (v visit) digitalKeyDetails(found digitalkey.Detail) []detail {
	k, row := found.Key, v.digitalKeyRow(found.Key)
	var locks, hours []string
	for _, l := range row.Locks {
		locks = append(locks, l.Name)
	}
	for _, h := range k.Weekly {
		hours = append(hours, hoursText(h))
	}
	out := []detail{
		{Label: textColumnHolder, Value: row.Holder, Path: row.HolderPath},
		{Label: textEventLock, List: locks},
		{Label: textDigitalKeyWhen, Value: row.Range, Help: spanText(k.ExpiresAt.Sub(k.StartsAt)) + ", by the clocks of " + k.Timezone, Wide: true},
		{Label: textDigitalKeyStarts, Time: v.moment(k.StartsAt)},
		{Label: textDigitalKeyEnds, Time: v.moment(k.ExpiresAt)},
		{Label: textDigitalKeyHours, List: hours, Value: "none: all the time between start and end"},
		{Label: textFormDescription, Value: k.Description},
		{Label: textLockOpensBy, List: row.Types},
		{Label: textDigitalKeyRole, Value: string(k.Role)},
	}
	if len(k.PINSealed) > 0 {
		out = append(out, detail{Label: textFormPIN, Value: count(k.PINLength, "digit"), Help: textDigitalKeyPINSet})
	}
	if k.Has(digitalkey.Keycard) {
		card := detail{Label: textDigitalKeyCard, Value: found.CardNumber, Code: true}
		if found.CardNumber == "" {
			card.Value, card.Code = textDigitalKeyNoCard, false
		}
		out = append(out, card)
	}
	mail := yesNo(k.Notify.Email)
	if k.Notify.ShowPIN {
		mail += ", " + textDigitalKeyMailPIN
	}
	return append(
		out,
		detail{Label: textDigitalKeyMail, Value: mail}, detail{Label: textDigitalKeySurvives, Value: yesNo(k.SurvivesLease)},
		detail{Label: textColumnCreated, Time: v.moment(k.CreatedAt)}, detail{Label: textDigitalKeyCreatedBy, Value: k.CreatedBy},
		detail{Label: textAPIKeyID, Value: string(k.ID), Code: true},
	)
}

func (p *Panel) fillDigitalKeyActivities(r *http.Request, v visit, k digitalkey.DigitalKey, view *digitalKeyView) error {
	l, err := p.readList(r, v, nil, "tab")
	if err != nil {
		return err
	}
	l.page.Descending = true
	found, err := p.c.Record.List(r.Context(), v.caller, activity.Query{Target: string(k.ID), Page: l.page})
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		view.Activities = append(view.Activities, newActivityRow(v, e, string(k.ID)))
	}
	view.Columns = activityColumns(false)
	view.Empty = empty{Icon: "history", Title: textActivitiesNone, Text: textDigitalKeyNoActs}
	view.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return err
}

// keysForCard are the keys of a lock that can have a card, those without one first.
func (p *Panel) keysForCard(r *http.Request, v visit, l id.Lock, number string) ([]keyLink, error) {
	if !v.can(auth.DigitalKeysRead) || !v.can(auth.DigitalKeysWrite) {
		return nil, nil
	}
	var without, having []keyLink
	for _, s := range []digitalkey.Status{digitalkey.Active, digitalkey.Upcoming} {
		found, err := p.c.DigitalKeys.List(r.Context(), v.caller, digitalkey.Query{Status: s, Lock: l, Type: digitalkey.Keycard, Page: page.Request{Limit: locksShown}})
		if err != nil {
			return nil, err
		}
		for _, k := range found.Items {
			link := keyLink{Name: digitalKeyName(k) + ", " + k.Holder.Name, Path: digitalKeyPath(k.ID) + "/edit?" + lockQuery("card", number)}
			if len(k.CardSealed) > 0 {
				having = append(having, link)
			} else {
				without = append(without, link)
			}
		}
	}
	return append(without, having...), nil
}

// storedDigitalKeyForm returns the values of a form over what is stored.
func storedDigitalKeyForm(found digitalkey.Detail) map[string][]string {
	k := found.Key
	zone := zoneNamed(k.Timezone)
	local := func(t time.Time) string {
		t = t.In(zone)
		return t.Format(localLayout + secondsLayout(t))
	}
	length := k.PINLength
	if length == 0 {
		length = digitalkey.DefaultDigits
	}
	form := map[string][]string{
		"revision": {strconv.FormatInt(k.Revision, 10)}, "description": {k.Description}, "starts_at": {local(k.StartsAt)}, "expires_at": {local(k.ExpiresAt)}, "timezone": {k.Timezone},
		"role": {string(k.Role)}, "pin_source": {pinGenerate}, "pin_length": {strconv.Itoa(length)}, "card": {found.CardNumber},
	}
	if len(k.PINSealed) > 0 {
		form["pin_source"] = []string{pinKeep}
	}
	for _, l := range k.Locks {
		form["locks"] = append(form["locks"], string(l.ID))
	}
	for _, t := range k.Types {
		form["types"] = append(form["types"], string(t))
	}
	for name, on := range map[string]bool{"survives_lease": k.SurvivesLease, "notify_email": k.Notify.Email, "notify_pin": k.Notify.ShowPIN} {
		if on {
			form[name] = []string{"on"}
		}
	}
	hoursForm(form, k.Weekly)
	return form
}
