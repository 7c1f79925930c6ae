package panel

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// dashboardView is the page on which everybody lands.
type dashboardView struct {
	Shell     shell
	Nothing   empty // shown instead of all else if it has a title
	Boxes     []navLink
	Counters  []counter
	Chart     chart // shown if it has days
	NoChart   empty // shown in its place if it has a title
	Statuses  []statusShare
	Keys      []statusShare
	KeysLead  string // how many there are of each kind
	Attention []attentionItem
	Doors     doorsView // shown if it is set
	HasDoors  bool
	Watched   bool // there is something that could need attention
}

// counter is a number with how it changed.
type counter struct {
	Name  string
	Value string
	Path  string // "" for no page
	Icon  string
	Trend trend
}

// trend is how a number changed, in words and an icon.
type trend struct{ Text, Icon string }

// statusShare is how many users or keys have a status.
type statusShare struct {
	Badge badge
	Count string
	Path  string
	Width string // of 100
}

// attentionItem is something that somebody should look at.
type attentionItem struct {
	Icon string
	Text string
	When moment // after the text, if it is set
	Path string // "" for no page
}

func (p *Panel) dashboard(w http.ResponseWriter, r *http.Request, v visit) error {
	found, err := p.c.Overview.Dashboard(r.Context(), v.caller, v.zone)
	if err != nil {
		return err
	}
	view := p.dashboardView(v, found)
	if v.can(auth.LocksRead) {
		if err := p.fillDoorsNow(r.Context(), v, &view); err != nil {
			return err
		}
	}
	if v.can(auth.ClientsRead) {
		n, err := p.c.Clients.Count(r.Context(), v.caller)
		if err != nil {
			return err
		}
		view.Watched = true
		if n.Pending > 0 {
			view.Attention = append(view.Attention, attentionItem{Icon: "device-desktop", Text: waitingClientsText(n.Pending), Path: clientsPath + "?state=pending"})
		}
	}
	return p.show(w, r, http.StatusOK, dashboardTemplate(view))
}

// doorsView is the box of the dashboard about doors.
type doorsView struct {
	Lead  string
	Doors []lockRow
	More  bool // there are others
}

// fillDoorsNow adds what is to be known of doors now.
func (p *Panel) fillDoorsNow(ctx context.Context, v visit, view *dashboardView) error {
	now, err := p.c.Locks.Doors(ctx, v.caller)
	if err != nil {
		return err
	}
	view.HasDoors, view.Watched = true, true
	view.Doors = doorsView{Lead: doorsText(now.Counts), More: now.Counts.Total > len(now.Locks)}
	for _, l := range now.Locks {
		view.Doors.Doors = append(view.Doors.Doors, v.lockRow(l))
	}
	if n := now.Counts.Offline; n > 0 {
		view.Attention = append(view.Attention, attentionItem{Icon: "plug-connected-x", Text: offlineDoorsText(n), Path: locksPath + "?state=" + locksOffline})
	}
	unsafe, err := p.c.Locks.ListUnsafe(ctx, v.caller)
	if err != nil {
		return err
	}
	keys := map[id.DigitalKey]bool{}
	for _, u := range unsafe {
		keys[u.DigitalKey] = true
	}
	if len(keys) > 0 {
		view.Attention = append(view.Attention, attentionItem{Icon: "alert-triangle", Text: unsafeKeysText(len(keys)), Path: locksPath + "#unsafe"})
	}
	return nil
}

func (p *Panel) dashboardView(v visit, d overview.Dashboard) dashboardView {
	out := dashboardView{Shell: p.shell(v, textDashboardTitle)}
	if len(v.account.Standing.Permissions) == 0 {
		out.Nothing = empty{Icon: "door-enter", Title: textWelcomeTitle, Text: textWelcomeText}
		return out
	}
	if v.canAddDigitalKey() {
		out.Boxes = append(out.Boxes, navLink{Name: textDigitalKeysNew, Path: digitalKeysPath + "/new", Icon: "door", Here: textDashboardNewKeyTo})
	}
	if v.can(auth.UsersWrite) {
		out.Boxes = append(out.Boxes, navLink{Name: textDashboardNewUser, Path: "/users/new", Icon: "user-plus", Here: textDashboardNewUserTo})
	}
	if v.canAddSecurityKey() {
		out.Boxes = append(out.Boxes, navLink{Name: textSecurityKeysAdd, Path: securityKeysPath + "/new", Icon: "device-usb", Here: textDashboardAddKeyTo})
	}
	if d.People != nil {
		out.Counters = peopleCounters(*d.People)
		out.Statuses = statusShares(*d.People)
	}
	if d.Keys != nil && d.Keys.Total > 0 {
		out.Keys, out.KeysLead = keyShares(*d.Keys), keyKindsText(*d.Keys)
	}
	if d.Logins != nil {
		out.Counters = append(out.Counters, counter{
			Name: textDashboardLogins, Value: thousands(int(d.Logins.Week)), Path: "/activities?action=session.open&outcome=success", Icon: "login-2",
			Trend: newTrend(d.Logins.Week-d.Logins.Before, weekText(d.Logins.Week-d.Logins.Before)),
		})
		out.Chart = newLoginChart(d.Logins.Days)
		if len(out.Chart.Days) == 0 {
			out.NoChart = empty{Icon: "chart-bar", Title: textChartNone, Text: textChartNoneFor}
		}
	}
	out.Attention = attentionItems(v, d.Attention)
	out.Watched = v.can(auth.SecurityKeysRead) || v.can(auth.APIKeysRead) || v.can(auth.AdministratorsRead) || v.can(auth.WorkspaceRead)
	return out
}

func peopleCounters(n overview.People) []counter {
	active := counter{Name: textDashboardActive, Value: thousands(int(n.ByStatus.Active)), Path: "/users?status=active", Icon: "user-check", Trend: newTrend(0, textDashboardNobody)}
	if n.Total > 0 {
		active.Trend.Text = strconv.FormatInt(n.ByStatus.Active*100/n.Total, 10) + " % " + textDashboardOfAll
	}
	groups := counter{Name: textDashboardGroups, Value: thousands(int(n.Groups)), Icon: "users-group", Trend: newTrend(n.GroupsChange, groupsText(n.GroupsChange))}
	return []counter{
		{Name: textDashboardUsers, Value: thousands(int(n.Total)), Path: "/users", Icon: "users", Trend: newTrend(n.Change, trendText(n.Change))},
		active, groups,
	}
}

func newTrend(change int64, text string) trend {
	switch {
	case change > 0:
		return trend{Text: text, Icon: "trending-up"}
	case change < 0:
		return trend{Text: text, Icon: "trending-down"}
	}
	return trend{Text: text, Icon: "minus"}
}

func statusShares(n overview.People) []statusShare {
	by := n.ByStatus
	return []statusShare{
		share(statusBadge(directory.Active), by.Active, n.Total, "/users?status="+string(directory.Active)),
		share(statusBadge(directory.Pending), by.Pending, n.Total, "/users?status="+string(directory.Pending)),
		share(statusBadge(directory.NotInvited), by.NotInvited, n.Total, "/users?status="+string(directory.NotInvited)),
		share(statusBadge(directory.Suspended), by.Suspended, n.Total, "/users?status="+string(directory.Suspended)),
	}
}

func keyShares(n overview.SecurityKeys) []statusShare {
	by := n.ByStatus
	return []statusShare{
		share(securityKeyBadge(securitykey.Active), by.Active, n.Total, securityKeysPath+"?status="+string(securitykey.Active)),
		share(securityKeyBadge(securitykey.Pending), by.Pending, n.Total, securityKeysPath+"?status="+string(securitykey.Pending)),
		share(securityKeyBadge(securitykey.New), by.New, n.Total, securityKeysPath+"?status="+string(securitykey.New)),
		share(securityKeyBadge(securitykey.Suspended), by.Suspended, n.Total, securityKeysPath+"?status="+string(securitykey.Suspended)),
	}
}

// share is how many of all have a status.
func share(b badge, n, total int64, path string) statusShare {
	out := statusShare{Badge: b, Count: thousands(int(n)), Path: path, Width: "0"}
	if total > 0 {
		out.Width = decimal(float64(n) * 100 / float64(total))
	}
	return out
}

func attentionItems(v visit, a overview.Attention) []attentionItem {
	var out []attentionItem
	if a.KeysToConfirm > 0 {
		out = append(out, attentionItem{
			Icon: "key", Text: toConfirmText(a.KeysToConfirm, a.KeysToConfirm >= overview.ToConfirmLimit), Path: securityKeysPath + "?to_confirm=" + toConfirmYes,
		})
	}
	for _, k := range a.LockedPINs {
		out = append(out, attentionItem{Icon: "lock", Text: lockedPINText(k.Name, k.Holder), Path: securityKeyPath(k.ID)})
	}
	for _, u := range a.WaitingPasskeys {
		out = append(out, attentionItem{Icon: "fingerprint", Text: waitingText(u.Name, u.N), Path: "/administrators"})
	}
	for _, u := range a.SuspendedCreator {
		out = append(out, attentionItem{Icon: "user-off", Text: suspendedText(u.Name, u.N), Path: apiKeysLeftPath()})
	}
	for _, k := range a.LeakedAPIKeys {
		out = append(out, attentionItem{Icon: "alert-triangle", Text: leakedKeyText(k.Name), Path: apiKeyPath(k.ID)})
	}
	for _, k := range a.ExpiringAPIKeys {
		out = append(out, attentionItem{Icon: "key", Text: expiringText(k.Name), When: v.moment(k.ExpiresAt), Path: apiKeyPath(k.ID)})
	}
	if a.DeadMessages > 0 {
		out = append(out, attentionItem{Icon: "mail-off", Text: deadText(a.DeadMessages, a.DeadMessages >= overview.DeadLimit)})
	}
	return out
}

// chart is numbers per day, drawn in a box of 100 by 100 that is stretched to its
// place: what is to be read stands beside it.
type chart struct {
	Title  string
	Span   string
	Label  string   // for who does not see it
	Legend []badge  // of the pieces, if there are several
	Heads  []string // of the table's columns
	Ticks  []string // of the scale, from the top
	First  string   // under the first day, the middle and the last
	Middle string
	Last   string
	Days   []chartDay
	top    int64 // of the scale
}

// chartDay is one bar with its pieces, the lowest first.
type chartDay struct {
	Date   string
	Title  string
	Pieces []chartPiece
	Counts []string // by head, for the table
}

type chartPiece struct{ Tone, X, Y, Width, Height string }

// newScaledChart returns a chart without bars whose scale holds the number.
func newScaledChart(most int64, first, middle, last overview.Date) chart {
	top := scaleTop(most)
	return chart{
		top: top, Ticks: []string{thousands(int(top)), thousands(int(top / 2)), "0"},
		First: shortDay(first), Middle: shortDay(middle), Last: shortDay(last),
	}
}

// stackPart is a number that is a piece of a bar.
type stackPart struct {
	Tone string
	N    int64
}

// stack draws the bar of the i-th of so many days, on a scale that ends with top.
func (d *chartDay) stack(i, days int, top int64, parts []stackPart) {
	slot, low := 100/float64(days), 100.0
	for _, part := range parts {
		if part.N == 0 {
			continue
		}
		height := float64(part.N) * 100 / float64(top)
		low -= height
		d.Pieces = append(d.Pieces, chartPiece{
			Tone: part.Tone, X: decimal((float64(i) + 0.15) * slot), Y: decimal(low), Width: decimal(0.7 * slot), Height: decimal(height),
		})
	}
}

// newLoginChart draws the days, and nothing if nothing happened on any.
func newLoginChart(days []overview.LoginsDay) chart {
	var total, most int64
	busiest := 0
	for i, d := range days {
		n := d.Success + d.Refused + d.Failed
		total += n
		if n > most {
			most, busiest = n, i
		}
	}
	if total == 0 {
		return chart{}
	}
	outcomes := []badge{outcomeBadge(activity.Success), outcomeBadge(activity.Refused), outcomeBadge(activity.Failed)}
	out := newScaledChart(most, days[0].Date, days[len(days)/2].Date, days[len(days)-1].Date)
	out.Title, out.Span, out.Label, out.Legend = textChartTitle, textChartSpan, chartText(total, most, longDay(days[busiest].Date)), outcomes
	for _, o := range outcomes {
		out.Heads = append(out.Heads, o.Word)
	}
	for i, d := range days {
		day := chartDay{Date: longDay(d.Date), Title: longDay(d.Date) + ":"}
		var parts []stackPart
		for k, n := range []int64{d.Success, d.Refused, d.Failed} {
			day.Counts = append(day.Counts, thousands(int(n)))
			day.Title += " " + thousands(int(n)) + " " + outcomes[k].Word
			parts = append(parts, stackPart{Tone: outcomes[k].Tone, N: n})
		}
		day.stack(i, len(days), out.top, parts)
		out.Days = append(out.Days, day)
	}
	return out
}

// scaleTop is a round even number that is not below n.
func scaleTop(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, k := range []int64{2, 4, 6, 8, 10, 12, 16} {
			if top := k * unit; top >= n {
				return top
			}
		}
	}
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func shortDay(d overview.Date) string { return strconv.Itoa(d.Day) + " " + d.Month.String()[:3] }

func longDay(d overview.Date) string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format("2 January 2006")
}

// registerDashboard is the route registration of the dashboard.
func (p *Panel) registerDashboard(mux *http.ServeMux) {
	mux.Handle("GET "+homePath, p.signed(p.dashboard))
}
