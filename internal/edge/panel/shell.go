package panel

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
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
		out = append(out, navSection{Title: textNavUsers, Links: []navLink{link(textUsersTitle, "/users", "users")}})
	}
	if v.can(auth.APIKeysRead) {
		out = append(out, navSection{Title: textNavIntegrations, Label: textNavAuthentication, Links: []navLink{link(textAPIKeysTitle, "/api-keys", "key")}})
	}
	if v.can(auth.ActivitiesRead) {
		out = append(out, navSection{Title: textNavReports, Links: []navLink{link(textRecordTitle, "/activities", "history")}})
	}
	return out
}

// initials returns the one or two letters that stand for a name.
func initials(name string) string {
	var out []rune
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	for i, word := range words {
		if i == 0 || i == len(words)-1 {
			first, _ := utf8.DecodeRuneInString(word)
			out = append(out, unicode.ToUpper(first))
		}
	}
	if len(out) == 0 {
		return "?"
	}
	return string(out)
}

type spriteKey struct{}

// sprite returns where the icon of that name is.
func sprite(ctx context.Context, name string) string {
	path, _ := ctx.Value(spriteKey{}).(string)
	return path + "#" + name
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

// notice is a short text in a box.
type notice struct {
	Tone  string // "info" or "danger"
	Icon  string
	Title string
	Text  string
}

// wayPrimary is the looks of the one link or button that a page is about.
const wayPrimary = "btn-primary"

// empty is what a list without rows says, and what to do next.
type empty struct {
	Icon   string
	Title  string
	Text   string
	Action string // the link's text, "" for none
	Path   string
	Way    string // the link's looks: "btn-primary" for what to do next
}

// pager leads to a list's other pages; "" where there is none.
type pager struct{ First, Next string }

// column is a head of a table.
type column struct {
	Name  string
	Sort  string // where a press sorts by it, "" if it cannot
	Order string // aria-sort: "ascending", "descending" or ""
	Class string
}

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

// badge is a state in a word and a colour.
type badge struct {
	Word string
	Tone string // "green", "amber", "red" or "grey"
}

// moment is a time as people read it.
type moment struct {
	Machine  string // for <time datetime>; "" for no time
	Relative string
	Exact    string
}

func (v visit) moment(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{Machine: t.UTC().Format(time.RFC3339), Relative: relative(v.now, t), Exact: exact(t, v.zone)}
}

func exact(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Monday, 2 January 2006, 15:04:05") + " (" + zone.String() + ")"
}

func day(t time.Time, zone *time.Location) string { return t.In(zone).Format("2 January 2006") }

// relative says how far t is from now in words. The page's script knows the same
// words (time.js) and keeps them true.
func relative(now, t time.Time) string {
	d := now.Sub(t)
	future := d < 0
	if future {
		d = -d
	}
	days := int((d + 12*time.Hour) / (24 * time.Hour)) // the nearest: a new key of 90 days has 90
	switch {
	case d < 45*time.Second && future:
		return "in a moment"
	case d < 45*time.Second:
		return "just now"
	case d < time.Hour:
		return away(max(1, int(d/time.Minute)), "minute", future)
	case d < 24*time.Hour:
		return away(int(d/time.Hour), "hour", future)
	case days < 100:
		return away(days, "day", future)
	case days < 730:
		return away(days/30, "month", future)
	}
	return away(days/365, "year", future)
}

func away(n int, unit string, future bool) string {
	words := count(n, unit)
	if future {
		return "in " + words
	}
	return words + " ago"
}

// count returns "1 user", "2 users".
func count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return thousands(n) + " " + unit + "s"
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// field is one input of a form.
type field struct {
	Name         string
	Label        string
	Help         string
	Value        string
	Error        string
	Note         string // what is stored now, if that is another value
	Type         string
	Autocomplete string
	Suggestions  string // the id of a datalist
	Required     bool
	Wide         bool
	MaxLength    int
}

// describedBy names the texts that belong to the input.
func (f field) describedBy() string {
	ids := []string{f.Name + "-error"}
	if f.Note != "" {
		ids = append(ids, f.Name+"-note")
	}
	if f.Help != "" {
		ids = append(ids, f.Name+"-help")
	}
	return strings.Join(ids, " ")
}

// choice is a box to tick or one of several to choose.
type choice struct {
	Name    string
	Value   string
	Label   string
	Help    string
	Checked bool
}

// summary is what is wrong with a form, on top of it.
type summary struct {
	Title string
	Items []summaryItem
}

type summaryItem struct {
	Field string // the input's id, "" for none on the page
	Text  string
}

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
