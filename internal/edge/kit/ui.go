package kit

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Document is what a page says of itself to the browser.
type Document struct {
	Title  string
	Theme  string // "light", "dark", or "" for the system's
	Now    string // the server's time, from which scripts count
	Zone   string // the person's time zone, "" if they have none
	Style  string
	Script string
	Icon   string
	Font   string
	// Manifest is where the browser learns how the page is installed as an app, "" for
	// not at all; Touch is the picture for a phone's home screen.
	Manifest string
	Touch    string
}

// Initials returns the one or two letters that stand for a name.
func Initials(name string) string {
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

// WithSprite returns a context in which pages find their icons, at that path.
func WithSprite(ctx context.Context, path string) context.Context {
	return context.WithValue(ctx, spriteKey{}, path)
}

// sprite returns where the icon of that name is.
func sprite(ctx context.Context, name string) string {
	path, _ := ctx.Value(spriteKey{}).(string)
	return path + "#" + name
}

// Notice is a short text in a box.
type Notice struct {
	Tone  string // "info" or "danger"
	Icon  string
	Title string
	Text  string
}

// Empty is what a list without rows says, and what to do next.
type Empty struct {
	Icon   string
	Title  string
	Text   string
	Action string // the link's text, "" for none
	Path   string
	Way    string // the link's looks: "btn-primary" for what to do next
}

// Pager leads to a list's other pages; "" where there is none.
type Pager struct{ First, Next string }

// Column is a head of a table.
type Column struct {
	Name  string
	Sort  string // where a press sorts by it, "" if it cannot
	Order string // aria-sort: "ascending", "descending" or ""
	Class string
}

// Badge is a state in a word and a colour.
type Badge struct {
	Word string
	Tone string // "green", "amber", "red" or "grey"
}

// Moment is a time as people read it.
type Moment struct {
	Machine  string // for <time datetime>; "" for no time
	Relative string
	Exact    string
}

// Exact says a moment in full, in a zone.
func Exact(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Monday, 2 January 2006, 15:04:05") + " (" + zone.String() + ")"
}

// Relative says how far t is from now in words. The page's script knows the same
// words (time.js) and keeps them true.
func Relative(now, t time.Time) string {
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
	words := Count(n, unit)
	if future {
		return "in " + words
	}
	return words + " ago"
}

// Count returns "1 user", "2 users".
func Count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return Thousands(n) + " " + unit + "s"
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Field is one input of a form.
type Field struct {
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

// DescribedBy names the texts that belong to the input.
func (f Field) DescribedBy() string {
	ids := []string{f.Name + "-error"}
	if f.Note != "" {
		ids = append(ids, f.Name+"-note")
	}
	if f.Help != "" {
		ids = append(ids, f.Name+"-help")
	}
	return strings.Join(ids, " ")
}

// Choice is a box to tick or one of several to choose.
type Choice struct {
	Name    string
	Value   string
	Label   string
	Help    string
	Checked bool
}

// Summary is what is wrong with a form, on top of it.
type Summary struct {
	Title string
	Items []SummaryItem
}

// SummaryItem is one thing that is wrong.
type SummaryItem struct {
	Field string // the input's id, "" for none on the page
	Text  string
}

// NewMoment returns t as it is read at now in a zone, the zero Moment for no time.
func NewMoment(now, t time.Time, zone *time.Location) Moment {
	if t.IsZero() {
		return Moment{}
	}
	return Moment{Machine: t.UTC().Format(time.RFC3339), Relative: Relative(now, t), Exact: Exact(t, zone)}
}

// The texts of the components that people read.
const (
	textDismiss   = "Dismiss"
	textPages     = "Pages of the list"
	textPageFirst = "First page"
	textPageNext  = "Next page"
)
