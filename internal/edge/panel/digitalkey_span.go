package panel

import (
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// localLayout is how an input of a local date and time writes it.
const localLayout = "2006-01-02T15:04"

// rangePreset is a span that is offered, as the inputs hold it.
type rangePreset struct {
	Name     string
	Value    string
	Starts   string
	Ends     string
	Selected bool
}

// The presets of a key's time.
const (
	presetTonight  = "tonight"
	presetNow      = "now"
	presetToday    = "today"
	presetWeekend  = "weekend"
	presetWorkdays = "workdays"
)

// rangePresets are the offered spans, by the clocks of the zone.
func rangePresets(now time.Time, zone *time.Location) []rangePreset {
	local := now.In(zone)
	y, m, d := local.Date()
	day := func(days, hour int) time.Time { return time.Date(y, m, d+days, hour, 0, 0, 0, time.UTC) }
	toSaturday := (int(time.Saturday) - int(local.Weekday()) + 7) % 7
	if local.Weekday() == time.Sunday {
		toSaturday = -1 // it has begun
	}
	toMonday := (int(time.Monday)-int(local.Weekday())+6)%7 + 1
	wall := time.Date(y, m, d, local.Hour(), local.Minute(), 0, 0, time.UTC)
	offer := func(name, value string, starts, ends time.Time) rangePreset {
		return rangePreset{Name: name, Value: value, Starts: starts.Format(localLayout), Ends: ends.Format(localLayout)}
	}
	return []rangePreset{
		offer(textPresetTonight, presetTonight, day(0, 14), day(1, 10)),
		offer(textPresetNow, presetNow, wall, wall.Add(10*time.Minute)),
		offer(textPresetToday, presetToday, wall, day(1, 0)),
		offer(textPresetWeekend, presetWeekend, day(toSaturday, 0), day(toSaturday+2, 0)),
		offer(textPresetWorkdays, presetWorkdays, day(toMonday, 0), day(toMonday+5, 0)),
	}
}

// zoneNamed returns the time zone of a name, UTC if there is none.
func zoneNamed(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

// zoneWord is a time zone's name as a sentence holds it: its city.
func zoneWord(name string) string {
	if name == "" {
		return "UTC"
	}
	return strings.ReplaceAll(name[strings.LastIndex(name, "/")+1:], "_", " ")
}

// rangeText is when a key opens, by the clocks of its zone.
func (v visit) rangeText(starts, ends time.Time, zoneName string) string {
	zone := zoneNamed(zoneName)
	from, to, now := starts.In(zone), ends.In(zone), v.now.In(zone)
	text := func(t time.Time) string {
		layout := "Mon 2 Jan 15:04"
		if from.Year() != now.Year() || to.Year() != now.Year() {
			layout = "Mon 2 Jan 2006 15:04"
		}
		return t.Format(layout + secondsLayout(t))
	}
	second := text(to)
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		second = to.Format("15:04" + secondsLayout(to))
	}
	return text(from) + " to " + second + ", " + zoneWord(zoneName)
}

func secondsLayout(t time.Time) string {
	if t.Second() == 0 {
		return ""
	}
	return ":05"
}

// exactRange is a range in full.
func exactRange(starts, ends time.Time, zoneName string) string {
	zone := zoneNamed(zoneName)
	const layout = "Monday, 2 January 2006, 15:04:05 MST"
	return starts.In(zone).Format(layout) + " to " + ends.In(zone).Format(layout) + " (" + zone.String() + ")"
}

// rangeView says in words what the two times mean.
type rangeView struct {
	Text    string // "" if they cannot be read
	Error   string
	Zone    string
	Notes   []string
	Others  []string // the same by the clocks of locks elsewhere
	Presets []rangePreset
}

// newRangeView returns what the span means. zone is the name of the zone in which it is
// entered.
func (v visit) newRangeView(o digitalkey.Outlook, zone string) rangeView {
	out := rangeView{Zone: zone, Presets: rangePresets(v.now, zoneNamed(zone))}
	s := o.Span
	if s.StartsAt.IsZero() {
		return out
	}
	out.Text = v.rangeText(s.StartsAt, s.ExpiresAt, s.Timezone) + "; " + spanText(s.ExpiresAt.Sub(s.StartsAt))
	for _, note := range s.Notes {
		out.Notes = append(out.Notes, rangeNote(note, s))
	}
	seen := map[string]bool{s.Timezone: true}
	for _, l := range o.Locks {
		if name := l.Lock.Timezone; !seen[name] {
			seen[name] = true
			out.Others = append(out.Others, v.rangeText(s.StartsAt, s.ExpiresAt, name))
		}
	}
	return out
}

// rangeNote says in plain words what the clocks do to a span.
func rangeNote(code string, s digitalkey.Resolved) string {
	at := func(t time.Time) string { return t.In(zoneNamed(s.Timezone)).Format("15:04 MST") }
	switch code {
	case digitalkey.NoteStartInGap:
		return "The clocks skip that start: it begins at " + at(s.StartsAt) + "."
	case digitalkey.NoteEndInGap:
		return "The clocks skip that end: it ends at " + at(s.ExpiresAt) + "."
	case digitalkey.NoteStartInFold:
		return "That start comes twice, as the clocks go back: it begins at the first, " + at(s.StartsAt) + "."
	case digitalkey.NoteEndInFold:
		return "That end comes twice, as the clocks go back: it ends at the second, " + at(s.ExpiresAt) + "."
	case digitalkey.NoteDSTInside:
		return "The clocks change in between. It lasts " + spanText(s.ExpiresAt.Sub(s.StartsAt)) + " all the same."
	}
	return code
}

// hoursRow is one span of weekly hours in a form.
type hoursRow struct {
	Number string
	Days   []choice
	From   field
	To     field
}

// weekdays are the days of the week from Monday.
func weekdays() []time.Weekday {
	return []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}
}

func clockOf(minutes int) string {
	return time.Date(2000, 1, 1, 0, minutes%(24*60), 0, 0, time.UTC).Format("15:04")
}

// minutesOf reads a time of the day.
func minutesOf(text string) (int, bool) {
	at, err := time.Parse("15:04", text)
	return at.Hour()*60 + at.Minute(), err == nil
}

// hoursText is weekly hours in words: "Mon, Tue 08:00 to 18:00".
func hoursText(h digitalkey.Hours) string {
	var days []string
	for _, d := range weekdays() {
		for _, have := range h.Days {
			if have == d {
				days = append(days, d.String()[:3])
			}
		}
	}
	to := clockOf(h.To)
	if h.To == 24*60 {
		to = "24:00"
	}
	return strings.Join(days, ", ") + " " + clockOf(h.From) + " to " + to
}

// hoursForm writes weekly hours into a form.
func hoursForm(form map[string][]string, all []digitalkey.Hours) {
	for i, h := range all {
		n := strconv.Itoa(i)
		for _, d := range h.Days {
			form["days_"+n] = append(form["days_"+n], strconv.Itoa(int(d)))
		}
		form["from_"+n], form["to_"+n] = []string{clockOf(h.From)}, []string{clockOf(h.To)}
	}
}
