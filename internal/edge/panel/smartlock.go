package panel

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// Locks is what the panel asks of the room of smart locks.
type Locks interface {
	Create(ctx context.Context, by auth.Caller, n smartlock.NewLock) (smartlock.Lock, error)
	Change(ctx context.Context, by auth.Caller, lock id.Lock, c smartlock.Change, ifRevision int64) (smartlock.Lock, error)
	Delete(ctx context.Context, by auth.Caller, lock id.Lock, ifRevision int64) error
	Find(ctx context.Context, by auth.Caller, lock id.Lock) (smartlock.Lock, error)
	List(ctx context.Context, by auth.Caller, q smartlock.Query) (page.Page[smartlock.Lock], error)
	Counts(ctx context.Context, by auth.Caller) (smartlock.Counts, error)
	IssueEnrolment(ctx context.Context, by auth.Caller, lock id.Lock) (smartlock.Enrolling, error)
	Open(ctx context.Context, by auth.Caller, lock id.Lock) (smartlock.Command, error)
	Teach(ctx context.Context, by auth.Caller, lock id.Lock) (smartlock.Command, error)
	FindCommand(ctx context.Context, by auth.Caller, c id.LockCommand) (smartlock.Command, error)
	TaughtCard(ctx context.Context, by auth.Caller, c id.LockCommand) (smartlock.Command, secret.Bytes, error)
	ListEvents(ctx context.Context, by auth.Caller, q smartlock.EventQuery) (page.Page[smartlock.Event], error)
	Doors(ctx context.Context, by auth.Caller) (smartlock.Doors, error)
	Pulse(ctx context.Context, by auth.Caller) (string, error)
	ListUnsafe(ctx context.Context, by auth.Caller) ([]smartlock.Unsafe, error)
}

// Signals is where the panel hears of changes at once.
type Signals interface {
	Subscribe(topic signal.Topic) (heard <-chan struct{}, cancel func())
}

// locksView is the page of all smart locks.
type locksView struct {
	Shell    shell
	CanAdd   bool // beside the title; an empty list offers it itself
	Searches bool // there is something to look for
	Count    string
	Counters []statusCounter
	Query    string
	State    string // what the search's form keeps
	Columns  []column
	Rows     []lockRow
	Empty    empty
	Pages    pager
	Unsafe   []unsafeRow
}

// lockRow is a smart lock in a list.
type lockRow struct {
	Name    string
	Place   string
	Path    string
	States  []badge
	Opens   []string
	Seen    moment
	Battery string
	Lease   moment
	Settled badge
}

// unsafeRow is a removal that a lock has not confirmed.
type unsafeRow struct {
	Lock     string
	LockPath string
	Key      string
	KeyPath  string
	Changed  moment
	Latest   moment
	Why      string
}

const locksPath = "/locks"

func lockPath(l id.Lock) string { return locksPath + "/" + string(l) }

// lockID returns the lock that the address names, as userID does.
func lockID(r *http.Request) id.Lock {
	l, _ := id.Parse[id.KindLock](r.PathValue("id"))
	return l
}

// lockStates are how a lock and its door are.
func (v visit) lockStates(l smartlock.Lock) []badge {
	switch {
	case !l.Enrolled():
		return []badge{{Word: textLockNotEnrolled, Tone: "grey"}}
	case !l.Online(v.now):
		return []badge{{Word: textLockOffline, Tone: "red"}}
	}
	out := []badge{{Word: textLockOnline, Tone: "green"}}
	switch l.State.Bolt {
	case "locked":
		out = append(out, badge{Word: textLockLocked, Tone: "grey"})
	case "unlocked":
		out = append(out, badge{Word: textLockUnlocked, Tone: "amber"})
	}
	if l.State.Door == "open" {
		out = append(out, badge{Word: textLockDoorOpen, Tone: "amber"})
	}
	return out
}

// settledBadge says whether the controller knows all that it should.
func settledBadge(l smartlock.Lock) badge {
	switch {
	case !l.Enrolled():
		return badge{}
	case l.Settled():
		return badge{Word: textLockSettled, Tone: "green"}
	}
	return badge{Word: textLockBehind, Tone: "amber"}
}

func (v visit) lockRow(l smartlock.Lock) lockRow {
	row := lockRow{
		Name: l.Name, Place: l.Place, Path: lockPath(l.ID), States: v.lockStates(l), Seen: v.moment(l.State.LastSeenAt), Settled: settledBadge(l),
	}
	for _, c := range l.Capabilities {
		row.Opens = append(row.Opens, capabilityText(c))
	}
	if l.Enrolled() {
		row.Lease = v.moment(l.Sync.LeaseUntil)
	}
	if l.State.Battery >= 0 {
		row.Battery = strconv.Itoa(l.State.Battery) + " %"
	}
	return row
}

// The filters of the list of locks.
const (
	locksOnline  = "online"
	locksOffline = "offline"
	locksProblem = "attention"
)

func (p *Panel) locks(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, []string{smartlock.SortName}, "q", "state")
	if err != nil {
		return restart(w, r, l, err)
	}
	q := smartlock.Query{Words: search.Words(l.params.Get("q")), Page: l.page}
	switch l.params.Get("state") {
	case locksOnline:
		q.Online = new(true)
	case locksOffline:
		q.Online = new(false)
	case locksProblem:
		q.Problem = true
	default:
		l.params.Del("state")
	}
	counts, err := p.c.Locks.Counts(r.Context(), v.caller)
	if err != nil {
		return err
	}
	found, err := p.c.Locks.List(r.Context(), v.caller, q)
	if err != nil {
		return err
	}
	view := p.locksView(v, l, counts)
	for _, lock := range found.Items {
		view.Rows = append(view.Rows, v.lockRow(lock))
	}
	if view.Unsafe, err = p.unsafeRows(r.Context(), v); err != nil {
		return err
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, locksTemplate(view))
}

func (p *Panel) locksView(v visit, l list, n smartlock.Counts) locksView {
	state := l.params.Get("state")
	view := locksView{
		Shell: p.shell(v, textLocksTitle, crumb{Name: textNavDigitalKeys}), CanAdd: v.can(auth.LocksWrite) && n.Total > 0, Searches: n.Total > 0, Query: l.params.Get("q"), State: state,
		Columns: []column{
			l.column(textColumnName, smartlock.SortName, ""),
			{Name: textColumnStatus},
			{Name: textLockOpensBy, Class: "kh-wide"},
			{Name: textLockSeen, Class: "kh-middle"},
			{Name: textLockLease, Class: "kh-wide"},
			{Name: textLockKnows, Class: "kh-middle"},
			{Name: textLockBattery, Class: "kh-widest"},
		},
		Empty: empty{Icon: "search-off", Title: textLocksFoundNone, Text: textLocksFoundHelp, Action: textAPIKeysClear, Path: locksPath},
	}
	for _, c := range []struct {
		name, value, tone string
		n                 int
	}{
		{textUsersTotal, "", "", n.Total},
		{textLockOnline, locksOnline, "green", n.Online},
		{textLockOffline, locksOffline, "red", n.Offline},
		{textLocksAttention, locksProblem, "amber", n.Offline + n.NotEnrolled + n.LowBattery},
	} {
		view.Counters = append(view.Counters, statusCounter{Name: c.name, Count: thousands(c.n), Tone: c.tone, Path: l.url("state", c.value), Current: state == c.value})
	}
	view.Count = count(n.Total, "smart lock")
	if n.Total == 0 {
		view.Empty = empty{Icon: "door", Title: textLocksNone, Text: textLocksNoneText}
		if v.can(auth.LocksWrite) {
			view.Empty.Action, view.Empty.Path, view.Empty.Way = textLocksNew, locksPath+"/new", wayPrimary
		}
	}
	return view
}

// unsafeRows are the removals that locks have not confirmed, those that stay longest first.
func (p *Panel) unsafeRows(ctx context.Context, v visit) ([]unsafeRow, error) {
	if !v.can(auth.LocksRead) {
		return nil, nil
	}
	all, err := p.c.Locks.ListUnsafe(ctx, v.caller)
	if err != nil {
		return nil, err
	}
	out := make([]unsafeRow, 0, len(all))
	for _, u := range all {
		row := unsafeRow{
			Lock: u.LockName, LockPath: lockPath(u.Lock), Key: string(u.DigitalKey), Changed: v.moment(u.ChangedAt), Latest: v.moment(u.SafeAt), Why: textLockOffline,
		}
		if u.Online {
			row.Why = textLockBehind
		}
		if v.can(auth.DigitalKeysRead) {
			row.KeyPath = digitalKeyPath(u.DigitalKey)
		}
		out = append(out, row)
	}
	return out, nil
}

// registerLocks is the route registration of the smart locks' pages.
func (p *Panel) registerLocks(mux *http.ServeMux) {
	write := auth.LocksWrite
	mux.Handle("GET /locks", p.signed(p.locks))
	mux.Handle("GET /locks/new", p.form(write, p.newLock))
	mux.Handle("POST /locks/new", p.signed(p.createLock))
	mux.Handle("GET /locks/{id}", p.signed(p.lock))
	mux.Handle("GET /locks/{id}/edit", p.form(write, p.editLock))
	mux.Handle("POST /locks/{id}/edit", p.signed(p.updateLock))
	mux.Handle("GET /locks/{id}/enrol", p.form(write, p.enrolLock))
	mux.Handle("POST /locks/{id}/enrol", p.signed(p.enrolLock))
	mux.Handle("GET /locks/{id}/open", p.form(write, p.openLock))
	mux.Handle("POST /locks/{id}/open", p.signed(p.openLock))
	mux.Handle("GET /locks/{id}/teach", p.form(write, p.teachCard))
	mux.Handle("POST /locks/{id}/teach", p.signed(p.teachCard))
	mux.Handle("GET /locks/{id}/teach/{command}", p.signed(p.taughtCard))
	mux.Handle("GET /locks/{id}/delete", p.form(write, p.deleteLock))
	mux.Handle("POST /locks/{id}/delete", p.signed(p.deleteLock))
	mux.Handle("GET /lock-events", p.signed(p.lockEvents))
}

func lockQuery(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q.Encode()
}
