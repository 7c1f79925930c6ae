package mail

import (
	"strconv"

	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// lockAlarm says what is not as it should be at a door.
func lockAlarm(p outbox.LockAlarm) letter {
	l := alarmTexts(p.What, line(p.LockName))
	count := ""
	if p.What == outbox.AlarmKeypadPaused && p.Count > 0 {
		count = strconv.Itoa(p.Count)
	}
	l.Greeting = greeting(p.To)
	l.Facts = facts(
		fact{"Lock", p.LockName},
		fact{"Workspace", p.Workspace},
		fact{"Wrong entries", count},
		fact{"Key of", p.User},
		fact{"Digital key", p.DigitalKey},
		fact{"At", moment(p.At, p.To.Timezone)},
	)
	l.Action, l.Path = "Look at the lock", lockPath(p.Lock)
	l.Footer = "You get this mail because you look after the locks of " + line(p.Workspace) + ". Of one lock and kind there is at most one in ten minutes."
	return l
}

// alarmTexts are the subject, the lead and the advice of an alarm.
func alarmTexts(what, lock string) letter {
	switch what {
	case outbox.AlarmKeypadPaused:
		return letter{
			Subject: "Wrong PINs at " + lock,
			Lead:    "So many wrong PINs were entered at " + lock + " that its keypad pauses. The app and cards go on working.",
			Advice:  "Somebody may have forgotten their PIN, or somebody guesses. If it goes on, look who is at the door.",
		}
	case outbox.AlarmOpenedAfterCancel:
		return letter{
			Subject: lock + " opened with a cancelled key",
			Lead:    "A digital key opened " + lock + " after it was cancelled: the lock was out of reach and had not heard of it.",
			Advice:  "Find out who came in. The lock refuses this key as soon as it has confirmed the cancel: its page says whether it has.",
		}
	}
	return letter{
		Subject: "The record of " + lock + " is not whole",
		Lead:    "Events of " + lock + " are missing, or do not follow on those before.",
		Advice:  "Its controller may have been reset or restored, its disk may be damaged, or somebody touched it. Look at the lock’s events and at the controller.",
	}
}

// lockLease says when a lock that is offline decides nothing more by itself.
func lockLease(p outbox.LockLease) letter {
	lock, hours := line(p.LockName), strconv.Itoa(p.Hours)+" hours"
	if p.Hours == 1 {
		hours = "an hour"
	}
	return letter{
		Subject:  lock + " is offline: less than " + hours + " left",
		Greeting: greeting(p.To),
		Lead:     lock + " has no connection to " + productName + ". It goes on deciding by itself until its lease ends; from then on it refuses all digital keys but those that survive the lease.",
		Facts: facts(
			fact{"Lock", p.LockName},
			fact{"Workspace", p.Workspace},
			fact{"Lease ends", moment(p.EndsAt, p.To.Timezone)},
		),
		Advice: "Bring its controller back to the network before then: the lease is extended within a minute.",
		Action: "Look at the lock",
		Path:   lockPath(p.Lock),
		Footer: "You get this mail because you look after the locks of " + line(p.Workspace) + ". There is one when 12, 4 and 1 hours are left.",
	}
}

// lockPath is the lock's page in the panel.
func lockPath(lock string) string {
	path := "/locks"
	if lock = line(lock); lock != "" {
		path += "/" + lock
	}
	return path
}
