package panel

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
)

// activityRow is one line of the record.
type activityRow struct {
	Path       string
	When       moment
	What       string
	Detail     string
	Actor      string
	ActorPath  string // "" if there is no page of the actor
	Target     string // "" if it is not shown for itself
	TargetPath string
	Key        string // "" if no security key was used, or it is the target
	KeyPath    string // "" if there is no page of it
	// Computer is the client through which it was done, "" for none or if it is the target.
	Computer     string
	ComputerPath string
	RP           string // on a user's page only, as Account
	Account      string
	Outcome      badge
	Reason       string
	IP           string
}

// activitiesView is the page Activities.
type activitiesView struct {
	Shell     shell
	CanSearch bool // people can be looked for
	Person    string
	Actions   []choice
	Outcomes  []choice
	From      string
	To        string
	FromError string
	ToError   string
	Kept      []choice // filters that the form keeps without showing them
	Presets   []preset
	Chips     []chip
	Who       whoView
	Live      bool
	LivePath  string
	CSV       string
	JSONLines string
	Verify    verifyView
	Columns   []column
	Rows      []activityRow
	Empty     empty
	Pages     pager
}

// preset is a span of days to choose at one press.
type preset struct {
	Name    string
	Path    string
	Current bool
}

// chip is a filter that is set and can be taken away.
type chip struct {
	Label string
	Value string
	Path  string // to the list without it
}

// whoView asks whom the person's text means; shown if it has a title.
type whoView struct {
	Title  string
	People []foundPerson
	More   string
}

type foundPerson struct {
	Name  string
	Email string
	Path  string
}

// activityFilters are the names of the filters in the URL.
func activityFilters() []string {
	return []string{"person", "user", "actor", "target", "action", "outcome", "rp", "security_key", "from", "to", "live"}
}

// activityQuery reads the filters. Days are of the person's zone. The fault names
// the days that cannot be read; they do not filter then.
func activityQuery(v visit, in url.Values) (activity.Query, *fault.Error) {
	q := activity.Query{
		Actor: in.Get("actor"), Target: in.Get("target"), Action: in.Get("action"), Outcome: activity.Outcome(in.Get("outcome")), RPID: in.Get("rp"),
	}
	// An id that is none finds nothing, like one of nobody.
	q.User, q.SecurityKey = id.User(in.Get("user")), id.SecurityKey(in.Get("security_key"))
	var fields []fault.Field
	start := func(name string, later int) time.Time {
		text := in.Get(name)
		if text == "" {
			return time.Time{}
		}
		d, ok := overview.ParseDate(text)
		if !ok {
			fields = append(fields, fault.Field{Name: name, Message: "is not a date like 2026-12-04"})
			return time.Time{}
		}
		return time.Date(d.Year, d.Month, d.Day+later, 0, 0, 0, 0, v.zone)
	}
	q.From, q.To = start("from", 0), start("to", 1)
	if len(fields) > 0 {
		return q, fault.Invalid("invalid_fields", textFormUnreadable, fields...)
	}
	return q, nil
}

func (p *Panel) activities(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showActivities(w, r, v, verifyView{}, http.StatusOK)
}

// showActivities answers with the list, and what verifying has found.
func (p *Panel) showActivities(w http.ResponseWriter, r *http.Request, v visit, verified verifyView, status int) error {
	l, err := p.readList(r, v, nil, activityFilters()...)
	if err != nil {
		return restart(w, r, l, err)
	}
	l.path = "/activities"
	q, wrong := activityQuery(v, l.params)
	if wrong != nil {
		status = http.StatusUnprocessableEntity
	}
	out := p.activitiesView(v, l, wrong)
	out.Shell.Path = l.url() // where verifying is asked for has no page of its own
	out.Verify = verified
	out.Verify.Path = "/activities/verify"
	if _, query, found := strings.Cut(l.url(), "?"); found {
		out.Verify.Path += "?" + query
	}
	one, err := p.findWho(r, v, l, &out)
	if err != nil {
		return err
	}
	if one != "" && kit.IsRead(r) {
		redirect(w, r, one)
		return nil
	}
	if err := p.fillChips(r, v, l, &out); err != nil {
		return err
	}
	q.Page = page.Request{Descending: true, After: l.page.After}
	found, err := p.c.Record.List(r.Context(), v.caller, q)
	if err != nil {
		return err
	}
	called, err := p.namesIn(r.Context(), v, false, found.Items...)
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		row := newTargetedRow(v, e)
		called.put(&row, e)
		out.Rows = append(out.Rows, row)
	}
	if out.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, status, activitiesTemplate(out))
}

func (p *Panel) activitiesView(v visit, l list, wrong *fault.Error) activitiesView {
	in := l.params
	out := activitiesView{
		Shell: p.shell(v, textRecordTitle, crumb{Name: textNavReports}), CanSearch: v.can(auth.UsersRead), Person: in.Get("person"),
		Actions:  []choice{{Label: textRecordAnyAction, Checked: in.Get("action") == ""}},
		Outcomes: []choice{{Label: textRecordAnyOutcome, Checked: in.Get("outcome") == ""}},
		From:     in.Get("from"), To: in.Get("to"), Live: in.Get("live") != "", LivePath: l.url("live", "1"), Columns: activityColumns(true),
		CSV:       exportPath(l, activity.CSV),
		JSONLines: exportPath(l, activity.JSONLines),
	}
	if out.Live {
		out.LivePath = l.url("live", "")
	}
	actions := actionsOffered()
	if a := in.Get("action"); a != "" && !slices.Contains(actions, a) {
		actions = append(actions, a)
	}
	for _, a := range actions {
		done, _ := actionText(a)
		out.Actions = append(out.Actions, choice{Value: a, Label: done, Checked: a == in.Get("action")})
	}
	for _, o := range []activity.Outcome{activity.Success, activity.Refused, activity.Failed} {
		out.Outcomes = append(out.Outcomes, choice{Value: string(o), Label: outcomeBadge(o).Word, Checked: string(o) == in.Get("outcome")})
	}
	for _, name := range []string{"user", "actor", "target", "rp", "security_key", "live"} {
		if value := in.Get(name); value != "" {
			out.Kept = append(out.Kept, choice{Name: name, Value: value})
		}
	}
	if wrong != nil {
		for _, f := range wrong.Fields {
			if f.Name == "from" {
				out.FromError = textRecordDateWrong
			} else {
				out.ToError = textRecordDateWrong
			}
		}
	}
	today := overview.DateOf(v.now, v.zone)
	for _, o := range []struct {
		name string
		days int
	}{{textRecordToday, 1}, {textRecordWeek, 7}, {textRecordMonth, 30}} {
		from := today.Add(1 - o.days).String()
		out.Presets = append(out.Presets, preset{
			Name: o.name, Path: l.url("from", from, "to", today.String()), Current: in.Get("from") == from && in.Get("to") == today.String(),
		})
	}
	out.Presets = append(out.Presets, preset{Name: textRecordAlways, Path: l.url("from", "", "to", ""), Current: in.Get("from") == "" && in.Get("to") == ""})
	out.Empty = empty{Icon: "history", Title: textRecordNone, Text: textRecordNoneText}
	if len(in) > 0 {
		out.Empty = empty{Icon: "search-off", Title: textRecordFoundNone, Text: textRecordFoundHelp, Action: textRecordClear, Path: "/activities"}
	}
	return out
}

// exportPath leads to the export of what the filters show.
func exportPath(l list, f activity.Format) string {
	l.path = "/activities/export"
	return l.url("format", string(f), "live", "", "person", "", "sort", "")
}

// maxWho bounds the people whom a text may mean.
const maxWho = 6

// findWho looks for the people whom the text names. It returns the address of the
// list about the only one there is, if there is one only.
func (p *Panel) findWho(r *http.Request, v visit, l list, out *activitiesView) (string, error) {
	text := l.params.Get("person")
	if text == "" || !v.can(auth.UsersRead) {
		return "", nil
	}
	found, err := p.c.Directory.List(r.Context(), v.caller, text, directory.Query{Page: page.Request{Limit: maxWho}})
	if err != nil {
		return "", err
	}
	for _, u := range found.Items {
		out.Who.People = append(out.Who.People, foundPerson{Name: u.Name(), Email: u.Email, Path: l.url("person", "", "user", string(u.ID))})
	}
	switch {
	case len(found.Items) == 1 && found.Next.IsZero():
		return out.Who.People[0].Path, nil
	case len(found.Items) == 0:
		out.Who.Title = textRecordWhoNone
	default:
		out.Who.Title = textRecordWho
	}
	if !found.Next.IsZero() {
		out.Who.More = textRecordWhoMore
	}
	return "", nil
}

// fillChips names the filters that have no field of their own.
func (p *Panel) fillChips(r *http.Request, v visit, l list, out *activitiesView) error {
	for _, f := range []struct{ name, label string }{{"user", textRecordAbout}, {"actor", textRecordBy}, {"target", textRecordOn}, {"rp", textRecordRP}, {"security_key", textRecordKey}} {
		value := l.params.Get(f.name)
		if value == "" {
			continue
		}
		c := chip{Label: f.label, Value: value, Path: l.url(f.name, "")}
		if u, ok := id.Parse[id.KindUser](value); ok && v.can(auth.UsersRead) {
			user, _, err := p.c.Directory.Find(r.Context(), v.caller, u)
			if _, gone := fault.As(err); err != nil && !gone {
				return err
			}
			if err == nil {
				c.Value = user.Name()
			}
		}
		if k, ok := id.Parse[id.KindSecurityKey](value); ok && v.can(auth.SecurityKeysRead) {
			found, err := p.c.SecurityKeys.Find(r.Context(), v.caller, k)
			if _, gone := fault.As(err); err != nil && !gone {
				return err
			}
			if err == nil {
				c.Value = found.Key.Name + ", " + found.Key.Holder.Name
			}
		}
		called, err := p.calledBy(r.Context(), v, value)
		if err != nil {
			return err
		}
		if called != "" {
			c.Value = called
		}
		out.Chips = append(out.Chips, c)
	}
	return nil
}

// activityColumns are the heads of a table of activities.
func activityColumns(targets bool) []column {
	out := []column{{Name: textColumnWhen}, {Name: textColumnWhat}, {Name: textColumnActor, Class: "kh-middle"}}
	if targets {
		out = append(out, column{Name: textColumnTarget, Class: "kh-middle"})
	}
	return append(out, column{Name: textColumnOutcome}, column{Name: textColumnIP, Class: "kh-wide"})
}

// newActivityRow is a line on the page of what has the id about: only other
// targets are named.
func newActivityRow(v visit, e activity.Event, about string) activityRow {
	row := bareActivityRow(v, e)
	if e.Target.Name != "" && e.Target.ID != about {
		row.What += " “" + e.Target.Name + "”"
	}
	return row
}

// newTargetedRow is a line with what was acted on beside it.
func newTargetedRow(v visit, e activity.Event) activityRow {
	row := bareActivityRow(v, e)
	row.Target, row.TargetPath = targetText(v, e)
	return row
}

func bareActivityRow(v visit, e activity.Event) activityRow {
	done, tried := actionText(e.Action)
	row := activityRow{
		Path: activityPath(e.ID), When: v.moment(e.At), What: done, Detail: detailText(e.Action, e.Detail), Outcome: outcomeBadge(e.Outcome),
		Reason: reasonText(e.Reason), IP: e.IP,
	}
	if e.Outcome != activity.Success {
		row.What = tried
	}
	if e.Count > 1 {
		row.Detail = joined(thousands(e.Count)+" "+textTimes, row.Detail)
	}
	if e.ActorErased {
		row.IP = textErased
	}
	row.Actor, row.ActorPath = actorText(v, e)
	if e.SecurityKey != "" && string(e.SecurityKey) != e.Target.ID {
		row.Key = textWithKey
		if v.can(auth.SecurityKeysRead) {
			row.KeyPath = securityKeyPath(e.SecurityKey)
		}
	}
	if e.Client != "" && e.Target.Type != "client" && e.Actor.Type != "client" {
		row.Computer = string(e.Client)
	}
	return row
}

func joined(a, b string) string {
	if b == "" {
		return a
	}
	return a + ", " + b
}

// partyPath leads to the page of who acted or of what was acted on, "" if there is
// none for the person.
func partyPath(v visit, p activity.Party) string {
	if user, ok := id.Parse[id.KindUser](p.ID); ok && v.can(auth.UsersRead) {
		return userPath(user)
	}
	if key, ok := id.Parse[id.KindAPIKey](p.ID); ok && v.can(auth.APIKeysRead) {
		return apiKeyPath(key)
	}
	if key, ok := id.Parse[id.KindSecurityKey](p.ID); ok && v.can(auth.SecurityKeysRead) {
		return securityKeyPath(key)
	}
	if key, ok := id.Parse[id.KindDigitalKey](p.ID); ok && v.can(auth.DigitalKeysRead) {
		return digitalKeyPath(key)
	}
	if lock, ok := id.Parse[id.KindLock](p.ID); ok && v.can(auth.LocksRead) {
		return lockPath(lock)
	}
	if c, ok := id.Parse[id.KindClient](p.ID); ok && v.can(auth.ClientsRead) {
		return clientPath(c)
	}
	return ""
}

// actorText says who acted and where their page is.
func actorText(v visit, e activity.Event) (name, path string) {
	path = partyPath(v, e.Actor)
	switch {
	case e.ActorErased:
		name = textErased
	case e.Actor.Type == string(auth.APIKey):
		name = "API key “" + e.Actor.Name + "”"
	case e.Actor.Type == string(auth.Client):
		name = "client “" + cmp.Or(e.Actor.Name, e.Actor.ID) + "”"
	case e.Actor.Type == string(auth.Anonymous):
		name = textNobody
	case e.Actor.Type == string(auth.System) && e.Actor.Name == "":
		name = textProduct
	default:
		name = e.Actor.Name
	}
	return name, path
}

// targetText says what was acted on and where its page is.
func targetText(v visit, e activity.Event) (name, path string) {
	path = partyPath(v, e.Target)
	if e.Target.Type == "credential" && e.User != "" && v.can(auth.UsersRead) && v.can(auth.SecurityKeysRead) {
		path = credentialsPath(e.User)
	}
	if e.TargetErased && e.Target.ID != "" {
		return textErased, path
	}
	return e.Target.Name, path
}

// registerActivities is the route registration of the record's pages.
func (p *Panel) registerActivities(mux *http.ServeMux) {
	mux.Handle("GET /activities", p.signed(p.activities))
	mux.Handle("GET /activities/export", p.signed(p.exportActivities))
	mux.Handle("GET /activities/checkpoint", p.signed(p.checkpoint))
	mux.Handle("POST /activities/verify", p.signed(p.verifyRecord))
	mux.Handle("GET /activities/{id}", p.signed(p.activity))
}
