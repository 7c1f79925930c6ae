package panel

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// eventsView is the page of what doors did.
type eventsView struct {
	Shell   shell
	Filters []selectFilter
	Keep    []choice // what the filters' form keeps
	Chips   []chip
	List    eventList
}

// eventList is a list of what doors did.
type eventList struct {
	WithLock bool
	Rows     []eventRow
	Empty    empty
	Pages    pager
}

// eventRow is one thing that a door did.
type eventRow struct {
	When     moment
	Lock     string
	LockPath string
	What     string
	Why      string
	Outcome  badge
	User     string
	UserPath string
	KeyPath  string
	Marks    []badge
	Alarm    string // what is to be seen in red; "" for nothing
}

func (v visit) eventRow(e smartlock.Event) eventRow {
	row := eventRow{
		When: v.moment(e.At), Lock: e.LockName, LockPath: lockPath(e.Lock), What: eventText(e), Why: lockReasonText(e.Reason), Outcome: eventBadge(e), User: e.UserName,
	}
	if e.Outcome == grant.Notice || e.Reason == grant.ReasonKeypadPaused {
		row.Why = "" // it is what happened
	}
	if e.User != "" && v.can(auth.UsersRead) {
		row.UserPath = userPath(e.User)
	}
	if e.DigitalKey != "" && v.can(auth.DigitalKeysRead) {
		row.KeyPath = digitalKeyPath(e.DigitalKey)
	}
	if e.Offline {
		row.Marks = append(row.Marks, badge{Word: textEventOffline, Tone: "grey"})
	}
	if e.Clock == grant.Untrusted {
		row.Marks = append(row.Marks, badge{Word: textEventUntrusted, Tone: "amber"})
	}
	if e.Count > 1 {
		row.Marks = append(row.Marks, badge{Word: "× " + strconv.Itoa(e.Count), Tone: "grey"})
	}
	if e.AfterCancel {
		row.Alarm = textEventAfterCancel
	}
	return row
}

// eventList reads a page of events; q says which. keep names what else stands in the address.
func (p *Panel) eventList(r *http.Request, v visit, q smartlock.EventQuery, keep ...string) (eventList, error) {
	var out eventList
	l, err := p.readList(r, v, nil, keep...)
	if err != nil {
		return out, err
	}
	q.Page = l.page
	found, err := p.c.Locks.ListEvents(r.Context(), v.caller, q)
	if err != nil {
		return out, err
	}
	out.WithLock = q.Lock == ""
	for _, e := range found.Items {
		out.Rows = append(out.Rows, v.eventRow(e))
	}
	out.Empty = empty{Icon: "history", Title: textEventsNone, Text: textEventsNoneText}
	out.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return out, err
}

func eventFilter(l list, name, label string, options ...choice) selectFilter {
	f := selectFilter{Name: name, Label: label, Options: append([]choice{{Label: textFilterAny}}, options...)}
	for i, o := range f.Options {
		f.Options[i].Checked = o.Value == l.params.Get(name)
	}
	return f
}

func (p *Panel) lockEvents(w http.ResponseWriter, r *http.Request, v visit) error {
	keep := []string{"lock", "user", "digital_key", "medium", "outcome", "alarming"}
	l, err := p.readList(r, v, nil, keep...)
	if err != nil {
		return restart(w, r, l, err)
	}
	var q smartlock.EventQuery
	q.Lock, _ = id.Parse[id.KindLock](l.params.Get("lock"))
	q.User, _ = id.Parse[id.KindUser](l.params.Get("user"))
	q.DigitalKey, _ = id.Parse[id.KindDigitalKey](l.params.Get("digital_key"))
	if m := grant.Medium(l.params.Get("medium")); slices.Contains([]grant.Medium{grant.PIN, grant.App, grant.Keycard, grant.Panel}, m) {
		q.Medium = m
	}
	if o := grant.Outcome(l.params.Get("outcome")); slices.Contains([]grant.Outcome{grant.Opened, grant.Refused, grant.Notice}, o) {
		q.Outcome = o
	}
	q.Alarming = l.params.Get("alarming") == toConfirmYes
	view := eventsView{Shell: p.shell(v, textEventsTitle, crumb{Name: textNavDigitalKeys})}
	if view.List, err = p.eventList(r, v, q, keep...); err != nil {
		return err
	}
	for _, c := range []struct{ name, label string }{{"lock", textEventsOfLock}, {"user", textEventsOfUser}, {"digital_key", textEventsOfKey}} {
		if value := l.params.Get(c.name); value != "" {
			view.Chips = append(view.Chips, chip{Label: c.label, Path: l.url(c.name, "")})
			view.Keep = append(view.Keep, choice{Name: c.name, Value: value})
		}
	}
	var media []choice
	for _, m := range []grant.Medium{grant.PIN, grant.App, grant.Keycard, grant.Panel} {
		media = append(media, choice{Value: string(m), Label: mediumText(m)})
	}
	view.Filters = []selectFilter{
		eventFilter(l, "outcome", textColumnOutcome, choice{Value: string(grant.Opened), Label: textEventOpened}, choice{Value: string(grant.Refused), Label: textEventRefused}, choice{Value: string(grant.Notice), Label: textEventNotice}),
		eventFilter(l, "medium", textEventBy, media...),
		eventFilter(l, "alarming", textEventsAlarming, choice{Value: toConfirmYes, Label: textEventsAlarmingOnly}),
	}
	return p.show(w, r, http.StatusOK, eventsTemplate(view))
}
