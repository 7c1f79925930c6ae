package panel

import (
	"net/http"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/overview"
)

// apiKeyPageView is an API key's page. One of its tabs is shown.
type apiKeyPageView struct {
	Shell      shell
	Name       string
	TokenID    string
	States     []badge
	Type       string
	MadeBy     string
	MadeByPath string
	Made       moment
	LastUsed   moment
	Refresh    string
	Acts       apiKeyActs
	Leaked     leakedView   // shown if it has a text
	Retiring   retiringView // shown if it has a token
	Tabs       []tab
	Tab        string
	Details    []detail
	Chart      chart // shown if it has days
	Rows       []apiKeyRow
	More       bool // there are more keys than are listed
	Which      []preset
	Columns    []column
	Activities []activityRow
	Empty      empty // shown instead of what there is none of
	Pages      pager
}

// leakedView says that a key was reported, and what to do.
type leakedView struct {
	Since   moment
	Text    string
	Mistake string // where the report is taken back, "" if the person may not
	New     bool   // a new key is offered
}

// retiringView is the token that a reset left good for a while.
type retiringView struct {
	TokenID string
	Until   moment
	End     string // where it is ended, "" if the person may not
}

const (
	tabUsage = "usage"
	tabMade  = "made"
)

func (p *Panel) apiKey(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := p.findAPIKey(r, v)
	if err != nil {
		return err
	}
	view := p.apiKeyPageView(v, k)
	switch tab := r.URL.Query().Get("tab"); tab {
	case tabUsage:
		err = p.fillUsage(r, v, k, &view)
	case tabMade:
		err = p.fillMade(r, v, k, &view)
	case tabActivities:
		if err := p.fillKeyActivities(r, v, k, &view); err != nil {
			return restartTab(w, r, tabActivities, err)
		}
	default:
		view.Tab, view.Details = tabDetails, v.apiKeyDetails(k)
	}
	if err != nil {
		return err
	}
	view.Tabs = v.apiKeyTabs(k, view.Tab)
	return p.show(w, r, http.StatusOK, apiKeyPageTemplate(view))
}

func (v visit) apiKeyTabs(k apikey.Key, current string) []tab {
	path := apiKeyPath(k.ID)
	tabs := []tab{
		{Name: textTabDetails, Path: path, Icon: "id", Current: current == tabDetails},
		{Name: textAPIKeyTabUsage, Path: path + "?tab=" + tabUsage, Icon: "chart-bar", Current: current == tabUsage},
		{Name: textAPIKeyTabMade, Path: path + "?tab=" + tabMade, Icon: "sitemap", Current: current == tabMade},
	}
	if v.can(auth.ActivitiesRead) {
		tabs = append(tabs, tab{Name: textTabActivities, Path: path + "?tab=" + tabActivities, Icon: "history", Current: current == tabActivities})
	}
	return tabs
}

func (p *Panel) apiKeyPageView(v visit, k apikey.Key) apiKeyPageView {
	row := v.apiKeyRow(k)
	view := apiKeyPageView{
		Shell: p.apiKeysShell(v, k.Name), Name: k.Name, TokenID: k.TokenID, States: row.States, Type: row.Type, MadeBy: row.CreatedBy, MadeByPath: row.CreatedByPath,
		Made: row.Created, LastUsed: row.LastUsed, Refresh: v.path, Acts: row.Acts,
	}
	if !k.LeakedAt.IsZero() {
		view.Leaked = leakedView{Since: v.moment(k.LeakedAt), Text: textAPIKeyLeakedOther, New: v.can(auth.APIKeysWrite)}
		if k.Type == apikey.Admin {
			view.Leaked.Text = textAPIKeyLeakedAdmin
		}
		if row.Acts.Enable {
			view.Leaked.Mistake = row.Acts.Path + "/enable"
		}
	}
	if k.Retiring.Active(v.now) {
		view.Retiring = retiringView{TokenID: k.Retiring.TokenID, Until: v.moment(k.Retiring.EndsAt)}
		if v.can(auth.APIKeysWrite) {
			view.Retiring.End = row.Acts.Path + "/end-overlap"
		}
	}
	return view
}

// apiKeyDetails are what is stored of a key.
func (v visit) apiKeyDetails(k apikey.Key) []detail {
	expires := detail{Label: textColumnExpires, Time: v.ends(k), Value: textNever}
	if k.EndsAt.Before(apikey.Never()) && !k.EndsAt.Equal(k.ExpiresAt) {
		expires.Help = limitText(int(k.EndsAt.Sub(k.IssuedAt).Hours() / 24))
	}
	used := detail{Label: textAPIKeyLastUsed, Time: v.moment(k.LastUse.At), Value: textNever, Help: textAPIKeyUsedDelay}
	if !k.LastUse.At.IsZero() {
		used.Help = usedFrom(k.LastUse)
	}
	ips := detail{Label: textAPIKeyIPs, Value: textAPIKeyEverywhere, List: addressList(k), Wide: len(k.AllowedIPs) > 1}
	name, path := v.madeBy(k.CreatedBy)
	out := []detail{{Label: textColumnType, Value: apiKeyType(k.Type), Help: apiKeyOpens(k.Type), Wide: true}}
	if k.Type == apikey.Admin {
		may := detail{Label: textAPIKeyPermissions, List: permissionLabels(k.Permissions), Wide: true}
		if k.Permissions.Covers(auth.All()) {
			may.Value, may.List = textAPIKeyAll, nil
		}
		out = append(out, may)
	}
	out = append(
		out,
		expires, used,
		detail{Label: textColumnCreatedBy, Value: name, Path: path}, detail{Label: textColumnCreated, Time: v.moment(k.CreatedAt)}, ips,
		detail{Label: textAPIKeyTokenID, Value: k.TokenID, Code: true}, detail{Label: textAPIKeyIssued, Time: v.moment(k.IssuedAt)},
		detail{Label: textAPIKeyID, Value: string(k.ID), Code: true},
	)
	if k.Type != apikey.Admin {
		out = append(out, detail{Label: textAPIKeyReset, Value: textAPIKeyNotReset, Wide: true})
	}
	return out
}

func (p *Panel) fillUsage(r *http.Request, v visit, k apikey.Key, view *apiKeyPageView) error {
	days, err := p.c.APIKeys.Usage(r.Context(), v.caller, k.ID)
	if err != nil {
		return err
	}
	view.Tab, view.Chart = tabUsage, newUsageChart(days)
	view.Empty = empty{Icon: "chart-bar", Title: textUsageNone, Text: textUsageNoneFor}
	return nil
}

// newUsageChart draws the days, and nothing if the key was used on none.
func newUsageChart(days []apikey.DayUsage) chart {
	var total, most int64
	busiest := 0
	for i, d := range days {
		if total += d.N; d.N > most {
			most, busiest = d.N, i
		}
	}
	if total == 0 {
		return chart{}
	}
	at := func(i int) overview.Date {
		return overview.Date{Year: days[i].Day.Year(), Month: days[i].Day.Month(), Day: days[i].Day.Day()}
	}
	out := newScaledChart(most, at(0), at(len(days)/2), at(len(days)-1))
	out.Title, out.Span, out.Label = textUsageTitle, textUsageSpan, usageText(total, most, longDay(at(busiest)))
	out.Heads = []string{textUsageColumn}
	for i, d := range days {
		n := thousands(int(d.N))
		bar := chartDay{Date: longDay(at(i)), Title: longDay(at(i)) + ": " + n, Counts: []string{n}}
		bar.stack(i, len(days), out.top, []stackPart{{Tone: "accent", N: d.N}})
		out.Days = append(out.Days, bar)
	}
	return out
}

func (p *Panel) fillMade(r *http.Request, v visit, k apikey.Key, view *apiKeyPageView) error {
	made, err := p.c.APIKeys.Descendants(r.Context(), v.caller, k.ID)
	for _, m := range made {
		view.Rows = append(view.Rows, v.apiKeyRow(m))
	}
	view.Tab, view.More = tabMade, len(made) == apikey.DescendantsLimit
	view.Columns = []column{
		{Name: textColumnName},
		{Name: textColumnType, Class: "kh-middle"},
		{Name: textColumnStatus},
		{Name: textColumnCreatedBy, Class: "kh-middle"},
		{Name: textAPIKeyLastUsed, Class: "kh-wide"},
	}
	view.Empty = empty{Icon: "sitemap", Title: textMadeNone, Text: textMadeNoneFor}
	return err
}

// byKey chooses what the key did, instead of what was done to it.
const byKey = "by"

func (p *Panel) fillKeyActivities(r *http.Request, v visit, k apikey.Key, view *apiKeyPageView) error {
	l, err := p.readList(r, v, nil, "tab", "of")
	if err != nil {
		return err
	}
	l.page.Descending = true
	q := activity.Query{Target: string(k.ID), Page: l.page}
	by := l.params.Get("of") == byKey
	view.Empty = empty{Icon: "history", Title: textActivitiesNone, Text: textKeyActsNone}
	if by {
		q.Actor, q.Target = q.Target, ""
		view.Empty.Text = textKeyActsNoBy
	}
	view.Which = []preset{{Name: textKeyActsOn, Path: l.url("of", ""), Current: !by}, {Name: textKeyActsBy, Path: l.url("of", byKey), Current: by}}
	found, err := p.c.Record.List(r.Context(), v.caller, q)
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		view.Activities = append(view.Activities, newActivityRow(v, e, string(k.ID)))
	}
	view.Tab, view.Columns = tabActivities, activityColumns(false)
	view.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return err
}

// apiKeysLeftPath lists the keys whose creators left.
func apiKeysLeftPath() string {
	return apiKeysPath + "?" + url.Values{"creator": {creatorLeft}}.Encode()
}
