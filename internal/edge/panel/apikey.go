package panel

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// apiKeysView is the page API Key Management.
type apiKeysView struct {
	Shell     shell
	OffersNew bool // beside the title; an empty list offers it itself
	CanWrite  bool
	Query     string
	Sort      string         // the sort that the filters' form keeps
	Filters   []selectFilter // nothing to filter if there are none
	Columns   []column
	Rows      []apiKeyRow
	Empty     empty
	Pages     pager
}

// selectFilter is a filter to choose; one of its values may take a day.
type selectFilter struct {
	Name    string
	Label   string
	Options []choice
	Day     dayFilter // shown while the choice asks for it, if it has a name
}

type dayFilter struct{ Name, Label, Value string }

// apiKeyRow is an API key in a list.
type apiKeyRow struct {
	ID            string
	Name          string
	TokenID       string
	Type          string
	States        []badge
	CreatedBy     string
	CreatedByPath string // "" if there is no page
	Created       moment
	LastUsed      moment
	LastIP        string
	Expires       moment
	Acts          apiKeyActs
}

// apiKeyActs are what the person may do with a key.
type apiKeyActs struct {
	Path                                 string
	Edit, Reset, Disable, Enable, Delete bool
}

const apiKeysPath = "/api-keys"

func apiKeyPath(k id.APIKey) string { return apiKeysPath + "/" + string(k) }

// apiKeyID returns the key whom the address names, as userID does.
func apiKeyID(r *http.Request) id.APIKey {
	k, _ := id.Parse[id.KindAPIKey](r.PathValue("id"))
	return k
}

// canIssueAdminKey says whether making and resetting Admin keys is offered.
func (v visit) canIssueAdminKey() bool {
	return v.can(auth.APIKeysWrite) && v.account.Standing.Permissions.Covers(auth.All())
}

func (v visit) apiKeyActs(k apikey.Key) apiKeyActs {
	may := v.can(auth.APIKeysWrite)
	disabled := !k.DisabledAt.IsZero()
	return apiKeyActs{
		Path: apiKeyPath(k.ID), Edit: may, Delete: may, Disable: may && !disabled,
		Enable: may && (disabled || !k.LeakedAt.IsZero()) && (k.Type != apikey.Admin || v.account.Standing.Permissions.Covers(k.Permissions)),
		Reset:  k.Type == apikey.Admin && v.canIssueAdminKey(),
	}
}

// endsSoon is how long before its end a key is said to end soon.
const endsSoon = 30 * 24 * time.Hour

// apiKeyStates are a key's status and what else is to be known of it.
func apiKeyStates(k apikey.Key, now time.Time) []badge {
	status := k.Status(now)
	out := []badge{apiKeyBadge(status)}
	if !k.LeakedAt.IsZero() {
		out = append(out, leakedBadge())
	}
	if status == apikey.Active && k.EndsAt.Before(now.Add(endsSoon)) {
		out = append(out, endsSoonBadge())
	}
	if status == apikey.Active && k.Retiring.Active(now) {
		out = append(out, retiringBadge())
	}
	return out
}

// ends is when a key ends, as people read it.
func (v visit) ends(k apikey.Key) moment {
	if !k.EndsAt.Before(apikey.Never()) {
		return moment{}
	}
	return v.moment(k.EndsAt)
}

// madeBy says who made a key and where their page is.
func (v visit) madeBy(by activity.Party) (name, path string) {
	if by.Name == "" {
		by.Name = textAPIKeyByCommand
	}
	return by.Name, partyPath(v, by)
}

func (v visit) apiKeyRow(k apikey.Key) apiKeyRow {
	row := apiKeyRow{
		ID: string(k.ID), Name: k.Name, TokenID: k.TokenID, Type: apiKeyType(k.Type), States: apiKeyStates(k, v.now),
		Created: v.moment(k.CreatedAt), LastUsed: v.moment(k.LastUse.At), LastIP: k.LastUse.IP, Expires: v.ends(k), Acts: v.apiKeyActs(k),
	}
	row.CreatedBy, row.CreatedByPath = v.madeBy(k.CreatedBy)
	return row
}

// The filters' values that are no number of days.
const (
	endsBefore  = "before"
	usedNever   = "never"
	unusedSince = "since"
	creatorLeft = "left"
)

// endsPresets and unusedPresets are the offered spans, in days.
func endsPresets() []int   { return []int{7, 30, 90} }
func unusedPresets() []int { return []int{30, 90, 180} }

// apiKeyFilters are the names of the filters in the URL.
func apiKeyFilters() []string {
	return []string{"q", "type", "status", "ends", "before", "used", "since", "creator"}
}

// apiKeyQuery reads the filters, and takes those out of the list that it does not
// know. What ends within some days is what still works, unless a status is asked for.
func (v visit) apiKeyQuery(l list) apikey.Query {
	q := apikey.Query{Begins: strings.TrimSpace(l.params.Get("q")), Type: apikey.Type(l.params.Get("type")), Status: apikey.Status(l.params.Get("status")), Page: l.page}
	if q.Type != "" && !slices.Contains(apikey.Types(), q.Type) {
		q.Type = ""
		l.params.Del("type")
	}
	if q.Status != "" && !slices.Contains(apiKeyStatuses(), q.Status) {
		q.Status = ""
		l.params.Del("status")
	}
	if ends := l.params.Get("ends"); ends != endsBefore {
		l.params.Del("before")
		if days, ok := presetDays(ends, endsPresets()); ok {
			q.ExpiresBefore = v.now.AddDate(0, 0, days)
			if q.Status == "" {
				q.Status = apikey.Active
			}
		} else {
			l.params.Del("ends")
		}
	} else {
		q.ExpiresBefore = v.dayParam(l, "before")
	}
	switch used := l.params.Get("used"); used {
	case usedNever:
		q.NeverUsed = true
		l.params.Del("since")
	case unusedSince:
		q.UnusedSince = v.dayParam(l, "since")
	default:
		l.params.Del("since")
		if days, ok := presetDays(used, unusedPresets()); ok {
			q.UnusedSince = v.now.AddDate(0, 0, -days)
		} else {
			l.params.Del("used")
		}
	}
	if q.CreatorLeft = l.params.Get("creator") == creatorLeft; !q.CreatorLeft {
		l.params.Del("creator")
	}
	return q
}

func apiKeyStatuses() []apikey.Status {
	return []apikey.Status{apikey.Active, apikey.Expired, apikey.Disabled}
}

func presetDays(text string, offered []int) (int, bool) {
	days, err := strconv.Atoi(text)
	return days, err == nil && slices.Contains(offered, days)
}

// dayParam reads a day of the person's zone, and takes it out of the list if it is
// none: it does not filter yet.
func (v visit) dayParam(l list, name string) time.Time {
	at, err := time.ParseInLocation(time.DateOnly, l.params.Get(name), v.zone)
	if err != nil {
		l.params.Del(name)
		return time.Time{}
	}
	return at.UTC()
}

func (p *Panel) apiKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, apikey.Sorts(), apiKeyFilters()...)
	if err != nil {
		return restart(w, r, l, err)
	}
	found, err := p.c.APIKeys.List(r.Context(), v.caller, v.apiKeyQuery(l))
	if err != nil {
		return err
	}
	view := p.apiKeysView(v, l)
	view.OffersNew = view.CanWrite && (len(found.Items) > 0 || len(view.Filters) > 0)
	for _, k := range found.Items {
		view.Rows = append(view.Rows, v.apiKeyRow(k))
	}
	if len(found.Items) == 0 && len(l.params) == 0 && l.page.After.IsZero() {
		view.Filters, view.OffersNew = nil, false
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, apiKeysTemplate(view))
}

func (p *Panel) apiKeysView(v visit, l list) apiKeysView {
	view := apiKeysView{
		Shell: p.shell(v, textAPIKeysTitle, crumb{Name: textNavIntegrations}, crumb{Name: textNavAuthentication}), CanWrite: v.can(auth.APIKeysWrite),
		Query: l.params.Get("q"), Sort: l.params.Get("sort"), Filters: selectFilters(l),
		Columns: []column{
			l.column(textColumnName, apikey.SortName, ""),
			{Name: textColumnType, Class: "kh-wide"},
			{Name: textColumnStatus},
			{Name: textColumnCreatedBy, Class: "kh-wide"},
			l.timeColumn(textColumnCreated, apikey.SortCreated, "kh-widest"),
			l.timeColumn(textAPIKeyLastUsed, apikey.SortLastUse, "kh-middle"),
			l.column(textColumnExpires, apikey.SortExpires, "kh-middle"),
		},
		Empty: empty{Icon: "search-off", Title: textUsersFoundNone, Text: textAPIKeysFoundHelp, Action: textAPIKeysClear, Path: apiKeysPath},
	}
	filters := len(l.params)
	if l.params.Has("sort") {
		filters--
	}
	if filters == 0 {
		view.Empty = empty{Icon: "key", Title: textAPIKeysNoneTitle, Text: textAPIKeysNoneText}
		if view.CanWrite {
			view.Empty.Action, view.Empty.Path, view.Empty.Way = textAPIKeysNew, apiKeysPath+"/new", wayPrimary
		}
	}
	return view
}

// selectFilters are the filters of the list, with what is chosen.
func selectFilters(l list) []selectFilter {
	filter := func(name, label string, options ...choice) selectFilter {
		f := selectFilter{Name: name, Label: label, Options: append([]choice{{Label: textFilterAny}}, options...)}
		for i, o := range f.Options {
			f.Options[i].Checked = o.Value == l.params.Get(name)
		}
		return f
	}
	var types, states, ends []choice
	for _, t := range apikey.Types() {
		types = append(types, choice{Value: string(t), Label: apiKeyType(t)})
	}
	for _, s := range apiKeyStatuses() {
		states = append(states, choice{Value: string(s), Label: apiKeyBadge(s).Word})
	}
	for _, days := range endsPresets() {
		ends = append(ends, choice{Value: strconv.Itoa(days), Label: withinText(days)})
	}
	used := []choice{{Value: usedNever, Label: textFilterNever}}
	for _, days := range unusedPresets() {
		used = append(used, choice{Value: strconv.Itoa(days), Label: unusedText(days)})
	}
	out := []selectFilter{
		filter("type", textFilterType, types...), filter("status", textFilterStatus, states...),
		filter("ends", textFilterEnds, append(ends, choice{Value: endsBefore, Label: textFilterEndsBefore})...),
		filter("used", textFilterUsed, append(used, choice{Value: unusedSince, Label: textFilterUnusedSince})...),
		filter("creator", textFilterCreator, choice{Value: creatorLeft, Label: textFilterLeft}),
	}
	out[2].Day = dayFilter{Name: "before", Label: textFilterBefore, Value: l.params.Get("before")}
	out[3].Day = dayFilter{Name: "since", Label: textFilterSince, Value: l.params.Get("since")}
	out[4].Options[0].Label = textFilterAnyone
	return out
}

// registerAPIKeys is the route registration of the API keys' pages.
func (p *Panel) registerAPIKeys(mux *http.ServeMux) {
	mux.Handle("GET /api-keys", p.signed(p.apiKeys))
	mux.Handle("GET /api-keys/new", p.form(auth.APIKeysWrite, p.newAPIKey))
	mux.Handle("POST /api-keys", p.signed(p.createAPIKey))
	mux.Handle("GET /api-keys/{id}", p.signed(p.apiKey))
	mux.Handle("GET /api-keys/{id}/edit", p.form(auth.APIKeysWrite, p.editAPIKey))
	mux.Handle("POST /api-keys/{id}/edit", p.signed(p.updateAPIKey))
	mux.Handle("GET /api-keys/{id}/reset", p.form(auth.APIKeysWrite, p.askResetAPIKey))
	mux.Handle("POST /api-keys/{id}/reset", p.signed(p.resetAPIKey))
	mux.Handle("POST /api-keys/{id}/end-overlap", p.signed(p.endOverlap))
	mux.Handle("GET /api-keys/{id}/disable", p.form(auth.APIKeysWrite, p.askDisableAPIKey))
	mux.Handle("POST /api-keys/{id}/disable", p.signed(p.disableAPIKey))
	mux.Handle("GET /api-keys/{id}/enable", p.form(auth.APIKeysWrite, p.enableAPIKey))
	mux.Handle("POST /api-keys/{id}/enable", p.signed(p.enableAPIKey))
	mux.Handle("GET /api-keys/{id}/delete", p.form(auth.APIKeysWrite, p.askDeleteAPIKey))
	mux.Handle("POST /api-keys/{id}/delete", p.signed(p.deleteAPIKey))
}
