package panel

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// securityKeysView is the page of all security keys.
type securityKeysView struct {
	Shell    shell
	CanAdd   bool // beside the title; an empty list offers it itself
	CanWrite bool
	Count    string
	Counters []statusCounter
	Query    string
	Sort     string // what the filters' form keeps
	Status   string
	Filters  []selectFilter
	Sorts    []preset
	Columns  []column
	Rows     []securityKeyRow
	Empty    empty
	Pages    pager
}

// securityKeyRow is a security key in a list.
type securityKeyRow struct {
	ID           string
	Name         string
	Model        string
	Icon         string
	Kind         string
	States       []badge
	Holder       string
	HolderPath   string // "" if there is no page
	Access       string
	Created      moment
	LastActivity moment
	Acts         securityKeyActs
}

// securityKeyActs are what the person may do with a key, and what its life allows.
type securityKeyActs struct {
	Path                                                              string
	Edit, Suspend, Activate, Reset, Resend, Confirm, Register, Delete bool
}

const securityKeysPath = "/security-keys"

func securityKeyPath(k id.SecurityKey) string { return securityKeysPath + "/" + string(k) }

// securityKeyID returns the key that the address names, as userID does.
func securityKeyID(r *http.Request) id.SecurityKey {
	k, _ := id.Parse[id.KindSecurityKey](r.PathValue("id"))
	return k
}

func (v visit) securityKeyActs(k securitykey.SecurityKey) securityKeyActs {
	may, suspended := v.can(auth.SecurityKeysWrite), !k.SuspendedAt.IsZero()
	waits := may && !suspended && k.Life != securitykey.Active
	return securityKeyActs{
		Path: securityKeyPath(k.ID), Edit: may, Delete: may, Suspend: may && !suspended, Activate: may && suspended,
		Reset:  may && k.Kind == securitykey.ContactlessCard && k.Life == securitykey.Active,
		Resend: waits, Confirm: waits && k.ToConfirm, Register: waits && k.Kind == securitykey.FIDO2,
	}
}

// securityKeyStates are a key's status and what else is to be known of it.
func (v visit) securityKeyStates(k securitykey.SecurityKey) []badge {
	out := []badge{securityKeyBadge(k.Shown())}
	if k.ToConfirm {
		out = append(out, toConfirmBadge())
	}
	switch {
	case k.PIN.Locked():
		out = append(out, pinLockedBadge())
	case v.now.Before(k.PIN.PausedUntil):
		out = append(out, pinPausedBadge())
	}
	if k.Holder.Suspended {
		out = append(out, holderSuspendedBadge())
	}
	return out
}

func (v visit) securityKeyRow(k securitykey.SecurityKey) securityKeyRow {
	row := securityKeyRow{
		ID: string(k.ID), Name: k.Name, Model: k.Model, Icon: kindWords(k.Kind).Icon, Kind: kindWords(k.Kind).Name, States: v.securityKeyStates(k),
		Holder: k.Holder.Name, Access: textSingleAccount, Created: v.moment(k.CreatedAt), LastActivity: v.moment(k.LastActivityAt), Acts: v.securityKeyActs(k),
	}
	if v.can(auth.UsersRead) {
		row.HolderPath = userPath(k.User)
	}
	return row
}

// unusedKeyPresets are the offered spans without use, in days.
func unusedKeyPresets() []int { return []int{30, 90, 180} }

// toConfirmYes filters for the keys that wait to be confirmed.
const toConfirmYes = "yes"

// securityKeyQuery reads the filters, and takes those out of the list that it does
// not know.
func (v visit) securityKeyQuery(l list) securitykey.Query {
	q := securitykey.Query{Status: securitykey.Status(l.params.Get("status")), Kind: securitykey.Kind(l.params.Get("kind")), Page: l.page}
	if q.Status != "" && !slices.Contains(securitykey.Statuses(), q.Status) {
		q.Status = ""
		l.params.Del("status")
	}
	if q.Kind != "" && !slices.Contains(securitykey.Kinds(), q.Kind) {
		q.Kind = ""
		l.params.Del("kind")
	}
	if q.ToConfirm = l.params.Get("to_confirm") == toConfirmYes; !q.ToConfirm {
		l.params.Del("to_confirm")
	}
	switch unused := l.params.Get("unused"); unused {
	case unusedSince:
		q.UnusedSince = v.dayParam(l, "since")
	default:
		l.params.Del("since")
		if days, ok := presetDays(unused, unusedKeyPresets()); ok {
			q.UnusedSince = v.now.AddDate(0, 0, -days)
		} else {
			l.params.Del("unused")
		}
	}
	return q
}

func (p *Panel) securityKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, securitykey.Sorts(), "q", "status", "kind", "to_confirm", "unused", "since")
	if err != nil {
		return restart(w, r, l, err)
	}
	q := v.securityKeyQuery(l)
	counts, err := p.c.SecurityKeys.Counts(r.Context(), v.caller)
	if err != nil {
		return err
	}
	found, err := p.c.SecurityKeys.List(r.Context(), v.caller, strings.TrimSpace(l.params.Get("q")), q)
	if err != nil {
		return err
	}
	view := p.securityKeysView(v, l, counts)
	for _, k := range found.Items {
		view.Rows = append(view.Rows, v.securityKeyRow(k))
	}
	view.CanAdd = v.canAddSecurityKey() && counts.Total > 0
	if counts.Total == 0 {
		view.Filters, view.Sorts = nil, nil
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, securityKeysTemplate(view))
}

// canAddSecurityKey says whether adding a key is offered: its holder has to be
// found.
func (v visit) canAddSecurityKey() bool {
	return v.can(auth.SecurityKeysWrite) && v.can(auth.UsersRead)
}

func (p *Panel) securityKeysView(v visit, l list, n securitykey.Counts) securityKeysView {
	status := securitykey.Status(l.params.Get("status"))
	view := securityKeysView{
		Shell: p.shell(v, textSecurityKeysTitle, crumb{Name: textNavSecurityKeys}), CanWrite: v.can(auth.SecurityKeysWrite),
		Query: l.params.Get("q"), Sort: l.params.Get("sort"), Status: string(status), Filters: securityKeyFilters(l), Sorts: securityKeySorts(l),
		Columns: []column{
			l.column(textColumnName, securitykey.SortName, ""),
			{Name: textColumnHolder, Class: "kh-middle"},
			{Name: textColumnKind, Class: "kh-wide"},
			{Name: textColumnStatus},
			l.timeColumn(textColumnCreated, securitykey.SortCreated, "kh-widest"),
			l.timeColumn(textColumnLastActive, securitykey.SortLastActivity, "kh-middle"),
		},
		Empty: empty{Icon: "search-off", Title: textUsersFoundNone, Text: textSecurityKeysFoundHelp, Action: textAPIKeysClear, Path: securityKeysPath},
	}
	numbers := map[securitykey.Status]int{
		"": n.Total, securitykey.New: n.New, securitykey.Pending: n.Pending, securitykey.Active: n.Active, securitykey.Suspended: n.Suspended,
	}
	for _, s := range append([]securitykey.Status{""}, securitykey.Statuses()...) {
		b := badge{Word: textUsersTotal}
		if s != "" {
			b = securityKeyBadge(s)
		}
		view.Counters = append(view.Counters, statusCounter{
			Name: b.Word, Count: thousands(numbers[s]), Tone: b.Tone, Path: l.url("status", string(s)), Current: s == status,
		})
	}
	view.Count = count(numbers[status], "security key")
	if status != "" {
		view.Shell.Title = securityKeysOfText(status)
		view.Shell.Crumbs = []crumb{{Name: textNavSecurityKeys}, {Name: textNavKeysAll, Path: securityKeysPath}, {Name: securityKeyBadge(status).Word, Current: true}}
	}
	if others := l.url("status", "", "sort", ""); status != "" && others == l.path {
		view.Empty = empty{Icon: "key", Title: noSecurityKeysText(status), Text: securityKeyStatusHelp(status), Action: textSecurityKeysAll, Path: securityKeysPath}
	}
	if n.Total == 0 {
		view.Empty = empty{Icon: "key", Title: textSecurityKeysNone, Text: textSecurityKeysNoneText}
		if v.canAddSecurityKey() {
			view.Empty.Action, view.Empty.Path, view.Empty.Way = textSecurityKeysAdd, securityKeysPath+"/new", wayPrimary
		}
	}
	return view
}

// securityKeyFilters are the filters of the list, with what is chosen.
func securityKeyFilters(l list) []selectFilter {
	filter := func(name, label string, options ...choice) selectFilter {
		f := selectFilter{Name: name, Label: label, Options: append([]choice{{Label: textFilterAny}}, options...)}
		for i, o := range f.Options {
			f.Options[i].Checked = o.Value == l.params.Get(name)
		}
		return f
	}
	var kinds, unused []choice
	for _, k := range securitykey.Kinds() {
		kinds = append(kinds, choice{Value: string(k), Label: kindWords(k).Name})
	}
	for _, days := range unusedKeyPresets() {
		unused = append(unused, choice{Value: strconv.Itoa(days), Label: unusedText(days)})
	}
	out := []selectFilter{
		filter("kind", textColumnKind, kinds...),
		filter("to_confirm", textFilterConfirm, choice{Value: toConfirmYes, Label: textFilterToConfirm}),
		filter("unused", textFilterUsed, append(unused, choice{Value: unusedSince, Label: textFilterUnusedSince})...),
	}
	out[2].Day = dayFilter{Name: "since", Label: textFilterSince, Value: l.params.Get("since")}
	return out
}

// securityKeySorts are the orders to choose at one press, also where the columns
// have no room.
func securityKeySorts(l list) []preset {
	offer := func(name, sort, value string) preset {
		return preset{Name: name, Path: l.url("sort", value), Current: l.page.Sort == sort || l.page.Sort == "" && sort == securitykey.SortName}
	}
	return []preset{
		offer(textColumnName, securitykey.SortName, ""), offer(textColumnCreated, securitykey.SortCreated, "-"+securitykey.SortCreated),
		offer(textColumnLastActive, securitykey.SortLastActivity, "-"+securitykey.SortLastActivity),
	}
}

// exactly is a moment as a sentence holds it: in full, in the person's zone.
func (v visit) exactly(t time.Time) string {
	return t.In(v.zone).Format("Monday, 2 January 2006, 15:04") + " (" + v.zone.String() + ")"
}

// registerSecurityKeys is the route registration of the security keys' pages.
func (p *Panel) registerSecurityKeys(mux *http.ServeMux) {
	write := auth.SecurityKeysWrite
	mux.Handle("GET /security-keys", p.signed(p.securityKeys))
	mux.Handle("GET /security-keys/new", p.form(write, p.pickHolder))
	mux.Handle("GET /security-keys/bulk", p.form(write, p.askManyKeys))
	mux.Handle("POST /security-keys/bulk", p.signed(p.manyKeys))
	mux.Handle("GET /security-keys/{id}", p.signed(p.securityKey))
	mux.Handle("GET /security-keys/{id}/edit", p.form(write, p.editSecurityKey))
	mux.Handle("POST /security-keys/{id}/edit", p.signed(p.updateSecurityKey))
	mux.Handle("GET /security-keys/{id}/suspend", p.form(write, p.askSuspendKey))
	mux.Handle("POST /security-keys/{id}/suspend", p.signed(p.suspendKey))
	mux.Handle("POST /security-keys/{id}/activate", p.signed(p.activateKey))
	mux.Handle("POST /security-keys/{id}/resend-activation", p.signed(p.resendActivation))
	mux.Handle("GET /security-keys/{id}/confirm", p.form(write, p.confirmKey))
	mux.Handle("POST /security-keys/{id}/confirm", p.signed(p.confirmKey))
	mux.Handle("GET /security-keys/{id}/reset-pin", p.form(write, p.askResetPIN))
	mux.Handle("POST /security-keys/{id}/reset-pin", p.signed(p.resetPIN))
	mux.Handle("GET /security-keys/{id}/delete", p.form(write, p.askDeleteSecurityKey))
	mux.Handle("POST /security-keys/{id}/delete", p.signed(p.deleteSecurityKey))
	mux.Handle("GET /security-keys/{id}/register", p.form(write, p.registerPage))
	mux.Handle("POST /security-keys/{id}/register/options", p.data(p.registerOptions))
	mux.Handle("POST /security-keys/{id}/register", p.data(p.register))
	mux.Handle("GET /users/{id}/security-keys/new", p.form(write, p.newSecurityKey))
	mux.Handle("POST /users/{id}/security-keys/new", p.signed(p.keyWizard))
	mux.Handle("GET /users/{id}/access-pass", p.form(write, p.accessPass))
	mux.Handle("POST /users/{id}/access-pass", p.signed(p.issueAccessPass))
	mux.Handle("POST /users/{id}/access-pass/withdraw", p.signed(p.withdrawAccessPass))
	mux.Handle("GET "+keySettingsPath, p.signed(p.keySettings))
	mux.Handle("POST "+keySettingsPath, p.signed(p.saveKeySettings))
}
