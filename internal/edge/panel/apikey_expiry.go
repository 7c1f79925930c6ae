package panel

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// expiryView is the part of a form that says when a key is to end.
type expiryView struct {
	Error   string
	Keep    choice // offered if it has a name
	Presets []choice
	Custom  choice
	Date    field
	Never   choice
}

// The choices of an expiry beside the presets, which are numbers of days.
const (
	expiryCustom = "custom"
	expiryNever  = "never"
	expiryKeep   = "keep"
)

// expiryPresets are the offered lifetimes in days.
func expiryPresets() []int { return []int{30, 90, 365} }

// defaultExpiry is what a form begins with that has no end to keep, in a workspace
// with that limit.
func defaultExpiry(maxDays int) string {
	for _, days := range []int{90, 30} {
		if maxDays == 0 || days <= maxDays {
			return strconv.Itoa(days)
		}
	}
	return expiryNever
}

// expiryView offers the ends that the workspace's limit leaves to a token that was
// issued then.
func (v visit) expiryView(form url.Values, keep choice, issued time.Time, maxDays int, texts map[string]string) expiryView {
	chosen := form.Get("expiry")
	last := apikey.End(time.Time{}, issued, maxDays)
	offer := func(value, label, help string) choice {
		return choice{Name: "expiry", Value: value, Label: label, Help: help, Checked: chosen == value}
	}
	out := expiryView{Error: texts["expires_at"], Custom: offer(expiryCustom, textAPIKeyCustom, ""), Never: offer(expiryNever, textAPIKeyNever, textAPIKeyNeverHelp)}
	if keep.Label != "" {
		out.Keep = offer(expiryKeep, keep.Label, keep.Help)
	}
	for _, days := range expiryPresets() {
		if at := v.now.AddDate(0, 0, days); !at.After(last) {
			out.Presets = append(out.Presets, offer(strconv.Itoa(days), lifetimeText(days), textAPIKeyUntil+day(at, v.zone)))
		}
	}
	if maxDays > 0 {
		out.Never.Label, out.Never.Help = longestText(maxDays), textAPIKeyUntil+day(last, v.zone)
	}
	out.Date = field{
		Name: "expires_on", Label: textAPIKeyDate, Help: textAPIKeyDateHelp + v.zone.String(), Value: form.Get("expires_on"), Error: texts["expires_on"],
		Type: "date", Autocomplete: "off",
	}
	return out
}

// lastDay is the day that a form's date shows for an end, "" for none.
func (v visit) lastDay(ends time.Time) string {
	if ends.IsZero() {
		return ""
	}
	return ends.In(v.zone).Add(-time.Nanosecond).Format(time.DateOnly)
}

// expiry reads when the key is to end: nil to keep what it has, zero for never. A
// chosen date is the last day on which it works, in the person's time zone.
func (v visit) expiry(form url.Values) (*time.Time, *fault.Error) {
	switch choice := form.Get("expiry"); choice {
	case expiryKeep:
		return nil, nil
	case expiryNever:
		return &time.Time{}, nil
	case expiryCustom:
		date, err := time.ParseInLocation(time.DateOnly, form.Get("expires_on"), v.zone)
		if err != nil {
			return nil, wrongField("expires_on", textAPIKeyDateWrong)
		}
		return new(date.AddDate(0, 0, 1).UTC()), nil
	default:
		days, err := strconv.Atoi(choice)
		if err != nil || !slices.Contains(expiryPresets(), days) {
			return nil, fault.Invalid("invalid_form", textFormUnreadable).Because(err)
		}
		return new(v.now.AddDate(0, 0, days)), nil
	}
}

// wrongField is the fault of one field that was not right.
func wrongField(name, message string) *fault.Error {
	return fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: name, Message: message})
}
