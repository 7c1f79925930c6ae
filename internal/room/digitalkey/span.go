package digitalkey

import (
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
)

// Notes of a Resolved.
const (
	NoteStartInGap  = "start_in_gap"  // the clocks skip the start: it is the first moment after
	NoteStartInFold = "start_in_fold" // the start happens twice: it is the first
	NoteEndInGap    = "end_in_gap"
	NoteEndInFold   = "end_in_fold" // the end happens twice: it is the second
	NoteDSTInside   = "dst_inside"  // the clocks change between start and end
)

// probe is farther from a local time, read as UTC, than any zone is from UTC.
const probe = 36 * time.Hour

// instants returns the moments at which clocks in the zone show the time that wall shows in
// UTC: the first and the last of them. Where clocks skip it, both are the first moment
// after, and gap is true.
func instants(wall time.Time, zone *time.Location) (first, last time.Time, gap bool) {
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := offset(wall.Add(-probe)), offset(wall.Add(probe))
	var all []time.Time
	for _, o := range []time.Duration{before, after} {
		if at := wall.Add(-o); offset(at) == o {
			all = append(all, at)
		}
	}
	if len(all) == 0 {
		began, _ := wall.Add(-before).In(zone).ZoneBounds()
		return began.UTC(), began.UTC(), true
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[0].UTC(), all[len(all)-1].UTC(), false
}

// parseLocal reads a local time, of a day alone the default one, as if it were UTC.
func parseLocal(text string, ofDay time.Duration) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.Add(ofDay), true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// zoneOf returns the time zone of a name; false if there is none. Empty is UTC.
func zoneOf(name string) (*time.Location, bool) {
	if name == "" {
		return time.UTC, true
	}
	if name == "Local" || len(name) > 64 {
		return time.UTC, false
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, false
	}
	return zone, true
}

// Resolve returns the span in whole seconds. zone is the name of the time zone if the span
// names none. A start or an end that clocks skip is the first moment after; of one that
// happens twice the start is the first and the end the second. The fault names the fields
// that cannot be read; that the end is after the start is not asked here.
func Resolve(s Span, zone string) (Resolved, *fault.Error) {
	var c checker
	out := s.resolve(&c, zone)
	return out, c.fault()
}

func (s Span) resolve(c *checker, name string) Resolved {
	if s.Timezone != "" {
		name = s.Timezone
	}
	zone, ok := zoneOf(name)
	c.wrong(!ok, "starts_at", "names a time zone that does not exist")
	out := Resolved{Timezone: name}
	if out.Timezone == "" {
		out.Timezone = "UTC"
	}
	if !s.StartsAt.IsZero() && !s.ExpiresAt.IsZero() {
		out.StartsAt, out.ExpiresAt = s.StartsAt.UTC().Truncate(time.Second), s.ExpiresAt.UTC().Truncate(time.Second)
	} else {
		starts, startsOK := parseLocal(s.LocalStarts, DefaultStart)
		ends, endsOK := parseLocal(s.LocalExpires, DefaultEnd)
		c.wrong(!startsOK, "starts_at", "must be a day or a time of a day, like 2026-12-04T14:00")
		c.wrong(!endsOK, "expires_at", "must be a day or a time of a day, like 2026-12-05T10:00")
		if !startsOK || !endsOK {
			return out
		}
		first, last, gap := instants(starts, zone)
		out.StartsAt = first
		out.note(gap, NoteStartInGap)
		out.note(first.Before(last), NoteStartInFold)
		first, last, gap = instants(ends, zone)
		out.ExpiresAt = last
		out.note(gap, NoteEndInGap)
		out.note(first.Before(last), NoteEndInFold)
	}
	out.note(changesInside(out.StartsAt, out.ExpiresAt, zone), NoteDSTInside)
	return out
}

func (r *Resolved) note(is bool, code string) {
	if is {
		r.Notes = append(r.Notes, code)
	}
}

// changesInside says whether the zone's distance from UTC changes after from and before
// until.
func changesInside(from, until time.Time, zone *time.Location) bool {
	_, was := from.In(zone).Zone()
	for at := from.In(zone); ; {
		_, next := at.ZoneBounds()
		if next.IsZero() || !next.Before(until) {
			return false
		}
		if _, is := next.Zone(); is != was {
			return true
		}
		at = next
	}
}

// Expand returns when the hours are between two moments, in order; windows that met are
// one. Clocks that change inside are treated as Resolve treats a start and an end.
func Expand(weekly []Hours, zone *time.Location, from, until time.Time) []grant.Window {
	if !from.Before(until) {
		return nil
	}
	var all []grant.Window
	y, m, d := from.In(zone).Date()
	// One that began on the day before may still be open.
	for day := time.Date(y, m, d-1, 0, 0, 0, 0, time.UTC); day.Add(-probe).Before(until); day = day.AddDate(0, 0, 1) {
		for _, h := range weekly {
			if !slices.Contains(h.Days, day.Weekday()) {
				continue
			}
			to := h.To
			if to <= h.From {
				to += minutesOfDay
			}
			opens, _, _ := instants(day.Add(time.Duration(h.From)*time.Minute), zone)
			_, closes, _ := instants(day.Add(time.Duration(to)*time.Minute), zone)
			w := grant.Window{From: max(opens.Unix(), from.Unix()), To: min(closes.Unix(), until.Unix())}
			if w.From < w.To {
				all = append(all, w)
			}
		}
	}
	return merged(all)
}

const minutesOfDay = 24 * 60

// merged returns the windows in order, with those that meet made one.
func merged(all []grant.Window) []grant.Window {
	slices.SortFunc(all, func(a, b grant.Window) int { return int(a.From - b.From) })
	var out []grant.Window
	for _, w := range all {
		if n := len(out); n > 0 && w.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, w.To)
			continue
		}
		out = append(out, w)
	}
	return out
}
