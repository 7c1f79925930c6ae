package panel

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// DigitalKeys is what the panel asks of the room of digital keys.
type DigitalKeys interface {
	Create(ctx context.Context, by auth.Caller, n digitalkey.NewKey) (digitalkey.Issued, error)
	Preview(ctx context.Context, by auth.Caller, n digitalkey.NewKey) (digitalkey.Outlook, error)
	Change(ctx context.Context, by auth.Caller, k id.DigitalKey, c digitalkey.Change, ifRevision int64) (digitalkey.Issued, error)
	Cancel(ctx context.Context, by auth.Caller, k id.DigitalKey) (digitalkey.Detail, error)
	CancelMany(ctx context.Context, by auth.Caller, ks []id.DigitalKey) ([]digitalkey.Outcome, error)
	Delete(ctx context.Context, by auth.Caller, k id.DigitalKey, ifRevision int64) error
	Find(ctx context.Context, by auth.Caller, k id.DigitalKey) (digitalkey.Detail, error)
	List(ctx context.Context, by auth.Caller, q digitalkey.Query) (page.Page[digitalkey.DigitalKey], error)
	Counts(ctx context.Context, by auth.Caller) (digitalkey.Counts, error)
}

const digitalKeysPath = "/digital-keys"

func digitalKeyPath(k id.DigitalKey) string { return digitalKeysPath + "/" + string(k) }

// digitalKeyID returns the key that the address names, as userID does.
func digitalKeyID(r *http.Request) id.DigitalKey {
	k, _ := id.Parse[id.KindDigitalKey](r.PathValue("id"))
	return k
}

// canAddDigitalKey says whether making a key is offered: its lock and its holder have to be
// found.
func (v visit) canAddDigitalKey() bool {
	return v.can(auth.DigitalKeysWrite) && v.can(auth.UsersRead) && v.can(auth.LocksRead)
}

// digitalKeysView is the page of all digital keys.
type digitalKeysView struct {
	Shell    shell
	CanAdd   bool // beside the title; an empty list offers it itself
	CanWrite bool
	Count    string
	Counters []statusCounter
	Turn     string // when the next of the rows changes by itself
	Query    string
	Keep     []choice // what the filters' form keeps
	Chips    []chip
	Filters  []selectFilter
	Sorts    []preset
	Columns  []column
	Rows     []digitalKeyRow
	Empty    empty
	Pages    pager
	Unsafe   []unsafeRow
}

// digitalKeyRow is a digital key in a list.
type digitalKeyRow struct {
	ID         string
	Name       string
	Holder     string
	HolderPath string // "" if there is no page
	Locks      []keyLink
	Range      string // in the key's zone
	Exact      string // the same in full
	Types      []string
	Status     badge
	Turn       string // when the status changes by itself, "" for never
	Receipts   badge
	Survives   bool
	Acts       digitalKeyActs
}

// digitalKeyActs are what the person may do with a key, and what its time allows.
type digitalKeyActs struct {
	Path                 string
	Edit, Cancel, Delete bool
}

func (v visit) digitalKeyActs(k digitalkey.DigitalKey) digitalKeyActs {
	status := k.Status(v.now)
	over := status == digitalkey.Expired || status == digitalkey.Cancelled
	may := v.can(auth.DigitalKeysWrite)
	return digitalKeyActs{Path: digitalKeyPath(k.ID), Edit: may && !over, Cancel: may && !over, Delete: may && over}
}

// digitalKeyName is how a key is called: as it is described, or after its locks.
func digitalKeyName(k digitalkey.DigitalKey) string {
	switch n := len(k.Locks); {
	case k.Description != "":
		return k.Description
	case n == 0:
		return textDigitalKeyOne
	case n == 1:
		return k.Locks[0].Name
	default:
		return k.Locks[0].Name + " and " + strconv.Itoa(n-1) + " more"
	}
}

func (v visit) digitalKeyRow(k digitalkey.DigitalKey) digitalKeyRow {
	row := digitalKeyRow{
		ID: string(k.ID), Name: digitalKeyName(k), Holder: k.Holder.Name, Range: v.rangeText(k.StartsAt, k.ExpiresAt, k.Timezone), Exact: exactRange(k.StartsAt, k.ExpiresAt, k.Timezone),
		Status: digitalKeyBadge(k.Status(v.now)), Turn: v.digitalKeyTurn(k), Survives: k.SurvivesLease, Acts: v.digitalKeyActs(k),
		Receipts: badge{Word: receiptsText(k.Receipts), Tone: "green"},
	}
	if k.Receipts.Applied < k.Receipts.Locks {
		row.Receipts.Tone = "amber"
	}
	if v.can(auth.UsersRead) {
		row.HolderPath = userPath(k.User)
	}
	for _, l := range k.Locks {
		link := keyLink{Name: l.Name}
		if v.can(auth.LocksRead) {
			link.Path = lockPath(l.ID)
		}
		row.Locks = append(row.Locks, link)
	}
	for _, t := range k.Types {
		row.Types = append(row.Types, keyTypeText(t))
	}
	return row
}

// digitalKeyTurn is the moment at which the key's status changes by itself.
func (v visit) digitalKeyTurn(k digitalkey.DigitalKey) string {
	switch k.Status(v.now) {
	case digitalkey.Upcoming:
		return k.StartsAt.UTC().Format(time.RFC3339Nano)
	case digitalkey.Active:
		return k.ExpiresAt.UTC().Format(time.RFC3339Nano)
	case digitalkey.Expired, digitalkey.Cancelled:
	}
	return ""
}

// digitalKeyQuery reads the filters, and takes those out of the list that it does not know.
func digitalKeyQuery(l list) digitalkey.Query {
	q := digitalkey.Query{Status: digitalkey.Status(l.params.Get("status")), Type: digitalkey.Type(l.params.Get("type")), Words: search.Words(l.params.Get("q")), Page: l.page}
	if !slices.Contains(digitalkey.Statuses(), q.Status) {
		q.Status = ""
		l.params.Del("status")
	}
	if !slices.Contains(digitalkey.Types(), q.Type) {
		q.Type = ""
		l.params.Del("type")
	}
	if q.Survivors = l.params.Get("survives") == toConfirmYes; !q.Survivors {
		l.params.Del("survives")
	}
	var ok bool
	if q.Lock, ok = id.Parse[id.KindLock](l.params.Get("lock")); !ok {
		l.params.Del("lock")
	}
	if q.User, ok = id.Parse[id.KindUser](l.params.Get("user")); !ok {
		l.params.Del("user")
	}
	return q
}

func (p *Panel) digitalKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, digitalkey.Sorts(), "q", "status", "lock", "user", "type", "survives")
	if err != nil {
		return restart(w, r, l, err)
	}
	q := digitalKeyQuery(l)
	counts, err := p.c.DigitalKeys.Counts(r.Context(), v.caller)
	if err != nil {
		return err
	}
	found, err := p.c.DigitalKeys.List(r.Context(), v.caller, q)
	if err != nil {
		return err
	}
	view := p.digitalKeysView(v, l, counts)
	for _, k := range found.Items {
		row := v.digitalKeyRow(k)
		if row.Turn != "" && (view.Turn == "" || row.Turn < view.Turn) {
			view.Turn = row.Turn
		}
		view.Rows = append(view.Rows, row)
	}
	if counts.Total > 0 {
		if view.Filters, err = p.digitalKeyFilters(r.Context(), v, l); err != nil {
			return err
		}
		view.Sorts = digitalKeySorts(l)
	}
	if q.User != "" {
		c := chip{Label: textEventsOfUser, Path: l.url("user", "")}
		if len(found.Items) > 0 {
			c.Label = found.Items[0].Holder.Name
		}
		view.Chips = append(view.Chips, c)
	}
	if view.Unsafe, err = p.unsafeRows(r.Context(), v); err != nil {
		return err
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, digitalKeysTemplate(view))
}

func (p *Panel) digitalKeysView(v visit, l list, n digitalkey.Counts) digitalKeysView {
	status := digitalkey.Status(l.params.Get("status"))
	view := digitalKeysView{
		Shell: p.shell(v, textNavDigitalKeys), CanAdd: v.canAddDigitalKey() && n.Total > 0, CanWrite: v.can(auth.DigitalKeysWrite), Query: l.params.Get("q"), Columns: digitalKeyColumns(&l),
		Empty: empty{Icon: "search-off", Title: textUsersFoundNone, Text: textDigitalKeysFoundHelp, Action: textAPIKeysClear, Path: digitalKeysPath},
	}
	for _, name := range []string{"sort", "status", "user"} {
		if value := l.params.Get(name); value != "" {
			view.Keep = append(view.Keep, choice{Name: name, Value: value})
		}
	}
	numbers := map[digitalkey.Status]int{
		"": n.Total, digitalkey.Upcoming: n.Upcoming, digitalkey.Active: n.Active, digitalkey.Expired: n.Expired, digitalkey.Cancelled: n.Cancelled,
	}
	for _, s := range append([]digitalkey.Status{""}, digitalkey.Statuses()...) {
		b := badge{Word: textUsersTotal}
		if s != "" {
			b = digitalKeyBadge(s)
		}
		view.Counters = append(view.Counters, statusCounter{Name: b.Word, Count: thousands(numbers[s]), Tone: b.Tone, Path: l.url("status", string(s)), Current: s == status})
	}
	view.Count = count(numbers[status], "digital key")
	if n.Total == 0 {
		view.Empty = empty{Icon: "door", Title: textDigitalKeysNone, Text: textDigitalKeysNoneText}
		if v.canAddDigitalKey() {
			view.Empty.Action, view.Empty.Path, view.Empty.Way = textDigitalKeysNew, digitalKeysPath+"/new", wayPrimary
		}
	}
	return view
}

// digitalKeyColumns are the heads of a table of keys; by l it is sorted, if there is one.
func digitalKeyColumns(l *list) []column {
	when := column{Name: textDigitalKeyWhen, Class: "kh-middle"}
	if l != nil {
		when = l.column(textDigitalKeyWhen, digitalkey.SortStarts, "kh-middle")
	}
	return []column{
		{Name: textDigitalKey},
		{Name: textEventLock, Class: "kh-middle"},
		when,
		{Name: textLockOpensBy, Class: "kh-wide"},
		{Name: textColumnStatus, Class: "kh-middle"},
		{Name: textDigitalKeyDoors, Class: "kh-middle"},
	}
}

// digitalKeyFilters are the filters of the list, with what is chosen.
func (p *Panel) digitalKeyFilters(ctx context.Context, v visit, l list) ([]selectFilter, error) {
	var types []choice
	for _, t := range digitalkey.Types() {
		types = append(types, choice{Value: string(t), Label: keyTypeText(t)})
	}
	out := []selectFilter{
		eventFilter(l, "type", textLockOpensBy, types...),
		eventFilter(l, "survives", textDigitalKeyLease, choice{Value: toConfirmYes, Label: textDigitalKeySurvivors}),
	}
	if !v.can(auth.LocksRead) {
		return out, nil
	}
	locks, err := p.c.Locks.List(ctx, v.caller, smartlock.Query{Page: page.Request{Limit: page.MaxLimit}})
	if err != nil {
		return nil, err
	}
	var all []choice
	for _, lock := range locks.Items {
		all = append(all, choice{Value: string(lock.ID), Label: lock.Name})
	}
	if chosen := l.params.Get("lock"); chosen != "" && !slices.ContainsFunc(all, func(c choice) bool { return c.Value == chosen }) {
		all = append(all, choice{Value: chosen, Label: textEventsOfLock})
	}
	return slices.Insert(out, 0, eventFilter(l, "lock", textEventLock, all...)), nil
}

// digitalKeySorts are the orders to choose at one press.
func digitalKeySorts(l list) []preset {
	offer := func(name, sort, value string) preset {
		return preset{Name: name, Path: l.url("sort", value), Current: l.page.Sort == sort || l.page.Sort == "" && sort == digitalkey.SortStarts}
	}
	return []preset{
		offer(textDigitalKeyStarts, digitalkey.SortStarts, ""), offer(textDigitalKeyEnds, digitalkey.SortExpires, digitalkey.SortExpires),
		offer(textColumnCreated, digitalkey.SortCreated, "-"+digitalkey.SortCreated),
	}
}

// registerDigitalKeys is the route registration of the digital keys' pages.
func (p *Panel) registerDigitalKeys(mux *http.ServeMux) {
	write := auth.DigitalKeysWrite
	mux.Handle("GET /digital-keys", p.signed(p.digitalKeys))
	mux.Handle("GET /digital-keys/new", p.form(write, p.newDigitalKey))
	mux.Handle("POST /digital-keys/new", p.signed(p.createDigitalKey))
	mux.Handle("POST /digital-keys/preview", p.signed(p.previewDigitalKey))
	mux.Handle("GET /digital-keys/bulk", p.form(write, p.askManyDigitalKeys))
	mux.Handle("POST /digital-keys/bulk", p.signed(p.manyDigitalKeys))
	mux.Handle("GET /digital-keys/{id}", p.signed(p.digitalKey))
	mux.Handle("GET /digital-keys/{id}/edit", p.form(write, p.editDigitalKey))
	mux.Handle("POST /digital-keys/{id}/edit", p.signed(p.updateDigitalKey))
	mux.Handle("POST /digital-keys/{id}/preview", p.signed(p.previewDigitalKeyChange))
	mux.Handle("POST /digital-keys/{id}/card", p.signed(p.giveCard))
	mux.Handle("GET /digital-keys/{id}/cancel", p.form(write, p.cancelDigitalKey))
	mux.Handle("POST /digital-keys/{id}/cancel", p.signed(p.cancelDigitalKey))
	mux.Handle("GET /digital-keys/{id}/delete", p.form(write, p.deleteDigitalKey))
	mux.Handle("POST /digital-keys/{id}/delete", p.signed(p.deleteDigitalKey))
}
