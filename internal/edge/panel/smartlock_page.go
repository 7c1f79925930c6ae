package panel

import (
	"net/http"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// lockView is a smart lock's page. One of its tabs is shown.
type lockView struct {
	Shell   shell
	Row     lockRow
	Refresh string
	Acts    lockActs
	Hints   []keyHint
	Tabs    []tab
	Tab     string
	Details []detail
	Events  eventList
}

// lockActs are what the person may do with a lock.
type lockActs struct {
	Path                             string
	Edit, Enrol, Open, Teach, Delete bool
	NewKey                           string // where a key for it is made; "" if that is not offered
}

const tabEvents = "events"

func (v visit) lockActs(l smartlock.Lock) lockActs {
	may := v.can(auth.LocksWrite)
	out := lockActs{
		Path: lockPath(l.ID), Edit: may, Enrol: may, Open: may && l.Enrolled() && l.Online(v.now), Delete: may,
		Teach: may && l.Enrolled() && l.Online(v.now) && l.Has(smartlock.Keycard),
	}
	if v.can(auth.DigitalKeysWrite) && v.can(auth.UsersRead) {
		out.NewKey = digitalKeysPath + "/new?" + lockQuery("lock", string(l.ID))
	}
	return out
}

// lockShell is the shell of a page about a lock, or of the lock's own page.
func (p *Panel) lockShell(v visit, l smartlock.Lock, title string) shell {
	trail := []crumb{{Name: textNavDigitalKeys}, {Name: textLocksTitle, Path: locksPath}}
	if title != "" {
		return p.shell(v, title, append(trail, crumb{Name: l.Name, Path: lockPath(l.ID)})...)
	}
	return p.shell(v, l.Name, trail...)
}

func (p *Panel) lock(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.c.Locks.Find(r.Context(), v.caller, lockID(r))
	if err != nil {
		return err
	}
	path := lockPath(l.ID)
	view := lockView{Shell: p.lockShell(v, l, ""), Row: v.lockRow(l), Refresh: v.path, Acts: v.lockActs(l), Hints: v.lockHints(l), Tab: tabDetails}
	if r.URL.Query().Get("tab") == tabEvents {
		view.Tab = tabEvents
		if view.Events, err = p.eventList(r, v, smartlock.EventQuery{Lock: l.ID}, "tab"); err != nil {
			return restartTab(w, r, tabEvents, err)
		}
	} else {
		view.Details = v.lockDetails(l)
	}
	view.Tabs = []tab{
		{Name: textTabDetails, Path: path, Icon: "door", Current: view.Tab == tabDetails},
		{Name: textTabEvents, Path: path + "?tab=" + tabEvents, Icon: "history", Current: view.Tab == tabEvents},
	}
	if v.can(auth.DigitalKeysRead) {
		view.Tabs = append(view.Tabs, tab{Name: textNavDigitalKeys, Path: digitalKeysPath + "?" + lockQuery("lock", string(l.ID)), Icon: "key"})
	}
	return p.show(w, r, http.StatusOK, lockTemplate(view))
}

// lockHints say what a lock waits for.
func (v visit) lockHints(l smartlock.Lock) []keyHint {
	var out []keyHint
	if !l.Enrolled() {
		h := keyHint{Tone: "info", Icon: "plug", Title: textLockNoController, Text: textLockNoControllerText}
		if v.can(auth.LocksWrite) {
			h.Action, h.Path = textLockEnrol, lockPath(l.ID)+"/enrol"
		}
		return append(out, h)
	}
	if !l.Online(v.now) {
		text := textLockLeaseOver
		if v.now.Before(l.Sync.LeaseUntil) {
			text = leaseUntilText(v.exactlyIn(l.Sync.LeaseUntil, l.Timezone))
		}
		out = append(out, keyHint{Tone: "danger", Icon: "plug-connected-x", Title: lockOfflineText(relative(v.now, l.State.LastSeenAt)), Text: text})
	}
	if !l.Settled() {
		out = append(out, keyHint{Tone: "info", Icon: "clock", Title: textLockBehind, Text: textLockBehindText})
	}
	if l.State.Battery >= 0 && l.State.Battery <= lowBattery {
		out = append(out, keyHint{Tone: "danger", Icon: "battery-1", Title: lowBatteryText(l.State.Battery), Text: textLockBatteryText})
	}
	if l.Controller.Clock == "untrusted" {
		out = append(out, keyHint{Tone: "danger", Icon: "clock", Title: textLockClockTitle, Text: textLockClockText})
	}
	return out
}

// lowBattery is at how many percent a battery wants to be changed.
const lowBattery = 20

// exactlyIn is exactly in a door's zone.
func (v visit) exactlyIn(t time.Time, zone string) string {
	if z, err := time.LoadLocation(zone); err == nil {
		v.zone = z
	}
	return v.exactly(t)
}

// lockDetails are what is stored of a lock.
func (v visit) lockDetails(l smartlock.Lock) []detail {
	row := v.lockRow(l)
	out := []detail{
		{Label: textLockPlace, Value: l.Place},
		{Label: fieldLabel("timezone"), Value: l.Timezone},
		{Label: textLockOpensBy, List: row.Opens},
		{Label: textLockOpensFor, Value: count(l.OpenSeconds, "second")},
		{Label: textLockLeaseLength, Value: spanText(time.Duration(l.LeaseSeconds) * time.Second), Help: textLockLeaseHelp},
		{Label: textLockState, Value: boltText(l.State)},
		{Label: textLockBattery, Value: row.Battery},
	}
	if l.Enrolled() {
		out = append(
			out,
			detail{Label: textLockSeen, Time: row.Seen, Value: textNever}, detail{Label: textLockLease, Time: row.Lease, Value: textNever},
			detail{Label: textLockVersion, Value: versionText(l), Help: textLockVersionHelp},
			detail{Label: textLockClock, Value: clockText(l.Controller.Clock)}, detail{Label: textLockSoftware, Value: l.Controller.Software},
			detail{Label: textLockEnrolled, Time: v.moment(l.Controller.EnrolledAt)}, detail{Label: textLockCertificate, Time: v.moment(l.Controller.CertificateEnds)},
		)
	}
	return append(out, detail{Label: textColumnCreated, Time: v.moment(l.CreatedAt)}, detail{Label: textAPIKeyID, Value: string(l.ID), Code: true})
}

func versionText(l smartlock.Lock) string {
	text := strconv.FormatInt(l.Sync.AppliedVersion, 10)
	if !l.Settled() {
		text += " of " + strconv.FormatInt(l.Sync.Version, 10)
	}
	return text
}
