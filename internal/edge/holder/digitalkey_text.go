package holder

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

const (
	textHome         = "My keys"
	textDoors        = "Digital keys"
	textDoorUnlock   = "Unlock"
	textDoorWorking  = "Opening…"
	textDoorStarts   = "Starts in"
	textDoorEnds     = "Ends in"
	textDoorOpen     = "The door is open"
	textDoorOpened   = "Opened."
	textDoorShut     = "The door did not open"
	textDoorSilent   = "The lock did not answer in time. It will not open later: press again."
	textDoorOffline  = "The lock is out of reach. PIN and card work without it; the button does not."
	textDoorNotYet   = "The lock has not confirmed this key yet."
	textDoorPIN      = "PIN"
	textDoorPINShow  = "Show PIN"
	textDoorPINHide  = "Hide PIN"
	textDoorPINHow   = "Type it at the keypad, and # after it. Tell it nobody."
	textDoorCard     = "Your keycard opens it too."
	textDoorCardNone = "A keycard belongs to it: have it read at the lock."
	textDoorOver     = "Earlier keys"
)

func doorBadge(s digitalkey.Status) kit.Badge {
	switch s {
	case digitalkey.Upcoming:
		return kit.Badge{Word: "UPCOMING", Tone: "amber"}
	case digitalkey.Active:
		return kit.Badge{Word: "ACTIVE", Tone: "green"}
	case digitalkey.Expired, digitalkey.Cancelled:
	}
	return kit.Badge{Word: string(s), Tone: "grey"}
}

// rangeText says from when to when, in the door's time.
func rangeText(from, to time.Time, zone *time.Location) string {
	const day, clock = "Mon 2 Jan", "15:04"
	a, b := from.In(zone), to.In(zone)
	first := a.Format(day)
	if a.Year() != b.Year() {
		first = a.Format(day + " 2006")
	}
	text := first + " " + a.Format(clock) + " to "
	if a.YearDay() != b.YearDay() || a.Year() != b.Year() {
		last := b.Format(day)
		if a.Year() != b.Year() {
			last = b.Format(day + " 2006")
		}
		text += last + " "
	}
	text += b.Format(clock)
	if zone != time.UTC {
		name := zone.String()
		text += ", " + strings.ReplaceAll(name[strings.LastIndex(name, "/")+1:], "_", " ")
	}
	return text
}

// hoursText says the weekly hours, one line for each.
func hoursText(all []digitalkey.Hours) []string {
	out := make([]string, 0, len(all))
	for _, h := range all {
		days := make([]string, 0, len(h.Days))
		for _, d := range h.Days {
			days = append(days, d.String()[:3])
		}
		out = append(out, fmt.Sprintf("%s %02d:%02d to %02d:%02d", strings.Join(days, ", "), h.From/60, h.From%60, h.To/60, h.To%60))
	}
	return out
}

// doorReason says for people why a door refused.
func doorReason(reason string) string {
	switch reason {
	case grant.ReasonNotYet:
		return "Your key has not started yet."
	case grant.ReasonExpired:
		return "Your key has ended."
	case grant.ReasonOutsideHours:
		return "Your key opens at certain hours only, and this is none of them."
	case grant.ReasonUnknownGrant:
		return "The lock does not know your key yet. Try again in a moment."
	case grant.ReasonWrongKind:
		return "Your key is not to be used from the app."
	case grant.ReasonLeaseEnded:
		return "The lock has not heard from the server for too long, and opens for nobody until it has."
	case grant.ReasonClockUntrusted:
		return "The lock does not know the time yet. Try again in a moment."
	case grant.ReasonLate:
		return "The lock got it too late, so it did not open. Press again."
	case grant.ReasonDoorFailed:
		return "The lock tried, and the door did not move."
	}
	return "The lock refused (" + reason + ")."
}
