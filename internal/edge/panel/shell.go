package panel

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// shell is what stands around every page.
type shell struct {
	Title     string
	Theme     string // "light", "dark", or "" for the system's
	Now       string // the server's time, from which scripts count
	Zone      string // the person's time zone, "" if they have none
	Style     string
	Script    string
	Icon      string
	Font      string
	Path      string // where the theme's form comes back to
	Toast     string
	Bare      bool // nobody is signed in: no navigation, no account
	NoScripts bool // the binary holds no front end
	Workspace string
	Name      string
	Email     string
	Initials  string
	Sections  []navSection
	Crumbs    []crumb
	Themes    []themeChoice
}

// document returns what a page says of itself to the browser.
func (s shell) document() kit.Document {
	return kit.Document{Title: s.Title, Theme: s.Theme, Now: s.Now, Zone: s.Zone, Style: s.Style, Script: s.Script, Icon: s.Icon, Font: s.Font}
}

type navSection struct {
	Title string // "" for none
	Label string // a smaller title inside the section, "" for none
	Links []navLink
}

type navLink struct {
	Name    string
	Path    string
	Icon    string
	Current bool   // the page that is shown is it, or lies under it
	Here    string // aria-current, if Current
}

type crumb struct {
	Name string
	Path string // "" if there is no page of it
	// Current is set for the page that is shown, Parent for the one to go back to.
	Current bool
	Parent  bool
}

type themeChoice struct {
	Name    string
	Value   string
	Icon    string
	Checked bool
}

// shell returns what stands around a page of that title. trail leads to it.
func (p *Panel) shell(v visit, title string, trail ...crumb) shell {
	s := shell{
		Title: title, Theme: v.theme, Now: v.now.Format(time.RFC3339), Zone: v.account.Person.Timezone,
		Style: p.c.Assets.Path("app.css"), Script: p.c.Assets.Path("app.js"), Icon: p.c.Assets.Path("favicon.svg"),
		Path: v.path, Toast: flashText(v.flash), Bare: v.account.Person.User == "", NoScripts: !p.c.Assets.Built(),
	}
	if p.c.Assets.Built() {
		s.Font = p.c.Assets.Path("inter-latin.woff2")
	}
	if s.Bare {
		return s
	}
	s.Workspace, s.Name, s.Email = v.account.Person.WorkspaceName, v.account.Person.Name, v.account.Person.Email
	s.Initials = initials(s.Name)
	s.Sections = sections(v)
	s.Crumbs = slices.Concat(trail, []crumb{{Name: title, Current: true}})
	if i := len(trail) - 1; i >= 0 && trail[i].Path != "" {
		s.Crumbs[i].Parent = true
	}
	s.Themes = []themeChoice{
		{Name: textThemeSystem, Value: "auto", Icon: "device-desktop", Checked: v.theme == ""},
		{Name: textThemeLight, Value: "light", Icon: "sun", Checked: v.theme == "light"},
		{Name: textThemeDark, Value: "dark", Icon: "moon", Checked: v.theme == "dark"},
	}
	return s
}

// sections is the sidebar: what the person may open.
func sections(v visit) []navSection {
	path, _, _ := strings.Cut(v.path, "?")
	link := func(name, to, icon string) navLink {
		l := navLink{Name: name, Path: to, Icon: icon, Current: path == to || strings.HasPrefix(path, to+"/"), Here: "true"}
		if path == to {
			l.Here = "page"
		}
		return l
	}
	out := []navSection{{Links: []navLink{link(textDashboardTitle, homePath, "layout-dashboard")}}}
	if v.can(auth.UsersRead) {
		out = append(out, navSection{Title: textNavUsers, Links: []navLink{link(textUsersTitle, "/users", "users"), link(textGroupsTitle, "/groups", "users-group")}})
	}
	if v.can(auth.SecurityKeysRead) {
		out = append(out, navSection{Title: textNavSecurityKeys, Links: securityKeyLinks(v, link)})
	}
	if doors := doorLinks(v, link); len(doors) > 0 {
		out = append(out, navSection{Title: textNavDigitalKeys, Links: doors})
	}
	var programs []navLink
	if v.can(auth.APIKeysRead) {
		programs = append(programs, link(textAPIKeysTitle, "/api-keys", "key"))
	}
	if v.can(auth.ClientsRead) {
		programs = append(programs, link(textClientsTitle, "/clients", "device-desktop"))
	}
	if len(programs) > 0 {
		out = append(out, navSection{Title: textNavIntegrations, Label: textNavAuthentication, Links: programs})
	}
	if v.can(auth.ActivitiesRead) {
		out = append(out, navSection{Title: textNavReports, Links: []navLink{link(textRecordTitle, "/activities", "history")}})
	}
	var workspace []navLink
	if v.can(auth.WorkspaceRead) {
		settings := link(textSettings, settingsPath, "settings")
		if path == keySettingsPath {
			settings.Current, settings.Here = true, "true"
		}
		workspace = append(workspace, settings)
	}
	if v.can(auth.AdministratorsRead) {
		workspace = append(workspace, link(textAdministrators, administratorsPath, "user-shield"))
	}
	if len(workspace) > 0 {
		out = append(out, navSection{Title: textNavWorkspace, Links: workspace})
	}
	return out
}

// doorLinks are the pages about doors.
func doorLinks(v visit, link func(name, to, icon string) navLink) []navLink {
	var out []navLink
	newPath := digitalKeysPath + "/new"
	if v.canAddDigitalKey() {
		out = append(out, link(textDigitalKeysNew, newPath, "circle-plus"))
	}
	if v.can(auth.DigitalKeysRead) {
		keys := link(textNavDigitalKeys, digitalKeysPath, "door")
		if path, _, _ := strings.Cut(v.path, "?"); path == newPath {
			keys.Current = false
		}
		out = append(out, keys)
	}
	if v.can(auth.LocksRead) {
		out = append(out, link(textLocksTitle, locksPath, "lock"), link(textEventsTitle, "/lock-events", "list-details"))
	}
	return out
}

// securityKeyLinks are the lists of keys by status. The one that is shown is told by
// the address's query; a key's own page lies under All.
func securityKeyLinks(v visit, link func(name, to, icon string) navLink) []navLink {
	path, query, _ := strings.Cut(v.path, "?")
	params, _ := url.ParseQuery(query) // what cannot be read is no status
	var out []navLink
	for _, l := range []struct {
		Name   string
		Status securitykey.Status
		Icon   string
	}{
		{Name: textNavKeysNew, Status: securitykey.New, Icon: "circle-plus"},
		{Name: textNavKeysActive, Status: securitykey.Active, Icon: "circle-check"},
		{Name: textNavKeysPending, Status: securitykey.Pending, Icon: "hourglass"},
		{Name: textNavKeysSuspended, Status: securitykey.Suspended, Icon: "ban"},
		{Name: textNavKeysAll, Icon: "cards"},
	} {
		to := link(l.Name, securityKeysPath, l.Icon)
		if shown := params.Get("status"); path == securityKeysPath {
			to.Current = shown == string(l.Status)
		} else {
			to.Current = to.Current && l.Status == ""
		}
		if l.Status != "" {
			to.Path += "?status=" + string(l.Status)
		}
		out = append(out, to)
	}
	return out
}

// errorPage is the page for an answer that says no.
type errorPage struct {
	Shell     shell
	Status    string
	Message   string
	RequestID string
	Back      string
	SignIn    bool
}

// wayPrimary is the looks of the one link or button that a page is about.
const wayPrimary = "btn-primary"

// column returns a head by which the list is sorted at a press, ascending first.
// In the list's default order sort is the first of its sorts.
func (l list) column(name, sort, class string) column {
	c := column{Name: name, Class: class, Sort: l.url("sort", sort)}
	switch {
	case l.page.Sort != sort && (l.page.Sort != "" || sort != l.sorts[0]):
	case l.page.Descending:
		c.Order = "descending"
	default:
		c.Order, c.Sort = "ascending", l.url("sort", "-"+sort)
	}
	return c
}

// timeColumn is column for times, of which the newest are wanted first.
func (l list) timeColumn(name, sort, class string) column {
	c := l.column(name, sort, class)
	if c.Order == "" {
		c.Sort = l.url("sort", "-"+sort)
	}
	return c
}

func (v visit) moment(t time.Time) moment { return kit.NewMoment(v.now, t, v.zone) }

func day(t time.Time, zone *time.Location) string { return t.In(zone).Format("2 January 2006") }

// wrong returns what a fault says of a form: its summary and a sentence for each
// field. known are the names of the form's inputs.
func wrong(f *fault.Error, known ...string) (summary, map[string]string) {
	s := summary{Title: f.Public}
	texts := map[string]string{}
	for _, field := range f.Fields {
		text := sentence(fieldLabel(field.Name), field.Message)
		item := summaryItem{Text: text}
		for _, name := range known {
			if name == field.Name {
				item.Field, texts[name] = name, text
			}
		}
		s.Items = append(s.Items, item)
	}
	return s, texts
}

// sentence joins a field's label and what is wrong with it.
func sentence(label, message string) string { return label + " " + message + "." }

// isFormFault says whether an error is shown in the form that caused it.
func isFormFault(err error) (*fault.Error, bool) {
	f, ok := fault.As(err)
	return f, ok && (f.Kind == fault.KindInvalid || f.Kind == fault.KindConflict)
}

// What the pages are made of is the kit's; these are its names here.
type (
	moment      = kit.Moment
	badge       = kit.Badge
	notice      = kit.Notice
	empty       = kit.Empty
	pager       = kit.Pager
	column      = kit.Column
	field       = kit.Field
	choice      = kit.Choice
	summary     = kit.Summary
	summaryItem = kit.SummaryItem
)

func initials(name string) string { return kit.Initials(name) }

func count(n int, unit string) string { return kit.Count(n, unit) }

func thousands(n int) string { return kit.Thousands(n) }

func relative(now, t time.Time) string { return kit.Relative(now, t) }
