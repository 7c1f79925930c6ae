package overview

import (
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
)

// Date is a day of the calendar, in whichever zone it is meant.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day of a moment in a zone.
func DateOf(t time.Time, zone *time.Location) Date {
	y, m, d := t.In(zone).Date()
	return Date{y, m, d}
}

// midnight is the day's beginning in UTC: for counting days, which are all alike
// there.
func (d Date) midnight() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// Add returns the day that is n days later.
func (d Date) Add(n int) Date { return DateOf(d.midnight().AddDate(0, 0, n), time.UTC) }

// String returns the day as 2026-12-04.
func (d Date) String() string { return d.midnight().Format(time.DateOnly) }

// ParseDate reads a day like 2026-12-04.
func ParseDate(text string) (Date, bool) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Date{}, false
	}
	return DateOf(t, time.UTC), true
}

// MaxDays and DefaultDays bound a range, and are its length if none is given.
const (
	MaxDays     = 400
	DefaultDays = 30
)

// Range is the days from First to Last, both included, in a zone. Use ParseRange or
// LastDays.
type Range struct {
	First, Last Date
	Zone        *time.Location
}

// LastDays returns the n days that end with today.
func LastDays(n int, now time.Time, zone *time.Location) Range {
	today := DateOf(now, zone)
	return Range{First: today.Add(1 - n), Last: today, Zone: zone}
}

// ParseRange reads a range: days like 2026-12-04 and an IANA zone. Without a zone it
// is UTC; without days it is the last DefaultDays, and with one of them as many
// before or after it, not beyond today.
func ParseRange(from, to, timezone string, now time.Time) (Range, *fault.Error) {
	var fields []fault.Field
	wrong := func(name, message string) { fields = append(fields, fault.Field{Name: name, Message: message}) }
	zone, err := time.LoadLocation(timezone) // UTC for ""
	if err != nil || timezone == "Local" || len(timezone) > 64 {
		wrong("timezone", "is no IANA time zone, such as Europe/Berlin")
		zone = time.UTC
	}
	r := LastDays(DefaultDays, now, zone)
	today := r.Last
	var ok bool
	if to != "" {
		if r.Last, ok = ParseDate(to); !ok {
			wrong("to", "must be a day like 2026-12-04")
		}
		r.First = r.Last.Add(1 - DefaultDays)
	}
	if from != "" {
		if r.First, ok = ParseDate(from); !ok {
			wrong("from", "must be a day like 2026-12-04")
		}
		if last := r.First.Add(DefaultDays - 1); to == "" && !last.midnight().After(today.midnight()) {
			r.Last = last
		} else if to == "" && !r.First.midnight().After(today.midnight()) {
			r.Last = today
		} else if to == "" {
			r.Last = last
		}
	}
	switch n := r.length(); {
	case len(fields) > 0:
	case n < 1:
		wrong("to", "is before from")
	case n > MaxDays:
		wrong("from", fmt.Sprintf("is %d days before to; at most %d days are counted at once", n-1, MaxDays))
	}
	if len(fields) > 0 {
		return Range{}, fault.Invalid("invalid_fields", "Some fields need your attention.", fields...)
	}
	return r, nil
}

func (r Range) length() int {
	return int(r.Last.midnight().Sub(r.First.midnight())/(24*time.Hour)) + 1
}

// Days returns all days of the range, the first one first.
func (r Range) Days() []Date {
	out := make([]Date, 0, max(0, r.length()))
	for d := r.First; len(out) < cap(out); d = d.Add(1) {
		out = append(out, d)
	}
	return out
}

// reach returns moments between which all quarters of the range's days lie: no zone
// is farther from UTC than a day.
func (r Range) reach() (from, before time.Time) {
	return r.First.midnight().AddDate(0, 0, -1), r.Last.midnight().AddDate(0, 0, 2)
}
