package panel

import (
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

const (
	textNavDigitalKeys = "Digital keys"

	textLocksTitle       = "Smart locks"
	textLocksNew         = "New smart lock"
	textLocksNone        = "No smart locks yet"
	textLocksNoneText    = "Register a lock, enrol the controller at its door, and give people keys for it."
	textLocksFoundNone   = "No smart lock fits"
	textLocksFoundHelp   = "Look for other words, or take the filters away."
	textLocksSearch      = "Search"
	textLocksSearchHelp  = "Name or place"
	textLocksTable       = "Smart locks"
	textLocksCounters    = "Smart locks by state"
	textLocksAttention   = "Want attention"
	textLockOnline       = "Online"
	textLockOffline      = "Offline"
	textLockNotEnrolled  = "No controller"
	textLockLocked       = "Locked"
	textLockUnlocked     = "Unlocked"
	textLockDoorOpen     = "Door open"
	textLockSettled      = "Up to date"
	textLockBehind       = "Changes on their way"
	textLockBehindText   = "The controller has not confirmed all changes yet. Until it does, it gets no longer lease."
	textLockOpensBy      = "Opens by"
	textLockSeen         = "Last seen"
	textLockLease        = "Lease ends"
	textLockLeaseLength  = "Lease"
	textLockLeaseHours   = "Lease in hours"
	textLockLeaseHelp    = "How long the door decides without the network. A cancelled key can open an unreachable door for so long at the most."
	textLockLeaseWrong   = "must be between 1 minute (0.0167) and 168 hours"
	textLockLeaseOver    = "Its lease has ended: it refuses all but keys that survive the lease."
	textLockKnows        = "Keys at the door"
	textLockBattery      = "Battery"
	textLockBatteryText  = "Change it soon: a door without power decides nothing."
	textLockPlace        = "Place"
	textLockPlaceHelp    = "Where it is, for people: House 3, ground floor."
	textLockNameHelp     = "What holders of keys see on their button: Front door."
	textLockZoneHelp     = "In it the times of its keys are entered and shown, like Europe/Berlin."
	textLockOpenSeconds  = "Opens for (seconds)"
	textLockOpensFor     = "Opens for"
	textLockOpenHelp     = "1 to 120 seconds; then it locks by itself."
	textLockState        = "State"
	textLockVersion      = "Version"
	textLockVersionHelp  = "Counts what the controller was told of keys and settings, and has confirmed."
	textLockClock        = "Clock"
	textLockClockTitle   = "The door does not trust its clock"
	textLockClockText    = "It lost power and has not heard the time since: only keys that survive the lease open."
	textLockSoftware     = "Controller"
	textLockEnrolled     = "Enrolled"
	textLockCertificate  = "Certificate ends"
	textLockCapabilities = "It can be opened by"
	textLockChanged      = "Somebody else changed this lock meanwhile"
	textLockToolbar      = "What to do with the lock"
	textTabEvents        = "Events"

	textLockNoController     = "No controller yet"
	textLockNoControllerText = "Enrol the controller at the door. Keys can be made before: it gets them when it comes."
	textLockEnrol            = "Enrol a controller"
	textEnrolLead            = "The controller at the door gets a certificate of its own. You get a command to run there."
	textEnrolOnce            = "Its token works once, for an hour. A token that was made before is dead."
	textEnrolVoids           = "From its use on, the controller that is enrolled now is refused at once."
	textEnrolDo              = "Show the command"
	textEnrolRun             = "Run this at the door"
	textEnrolShown           = "It holds the token, which is not shown again."
	textEnrolUntil           = "Works until"

	textLockOpenNow    = "Open now"
	textOpenLead       = "The door opens at once, for whoever stands before it."
	textOpenRecorded   = "It is recorded with your name."
	textOpened         = "The door says: opened"
	textOpenSilent     = "The door did not answer"
	textOpenSilentText = "It will not open later either: a command is good for ten seconds."
	textOpenRefused    = "The door refused"
	textOpenAgain      = "Try again"
	textLockBack       = "Back to the lock"

	textLockTeach    = "Teach a card"
	textTeachLead    = "Reads the number of a card at this door, so that it can be given to a digital key."
	textTeachHow     = "Start, then hold the card to the door's reader within half a minute. The door does not open for it."
	textTeachDo      = "Start"
	textTeachWaiting = "Hold the card to the door's reader now."
	textTeachSilent  = "No answer came in time."
	textTeachNone    = "No card was read"
	textTeachNumber  = "The card's number"
	textTeachGive    = "Give it to a digital key of this lock:"
	textTeachNewKey  = "Make a new digital key with it"
	textTeachNoKeys  = "No digital key of this lock waits for a card."
	textCardPlain    = "A card's number is no secret, and many cards can be copied: a copy opens too."

	textDeleteLockCertificate = "Its controller's certificate is refused at once."
	textDeleteLockSettings    = "Its settings go."
	textDeleteLockEvents      = "Its events stay."
	textDeleteLockDoor        = "The controller itself keeps what it holds until its lease ends; no key is left on it that is not over."
	textDeleteLockDo          = "Delete the lock"

	textUnsafeTitle  = "Cancelled, not yet safe"
	textUnsafeLead   = "These locks have not confirmed that a key is gone. Until the time given, their doors may open with it."
	textUnsafeKey    = "Key"
	textUnsafeSince  = "Cancelled"
	textUnsafeLatest = "Safe at the latest"
	textUnsafeWhy    = "Lock is"

	textEventsTitle        = "Events"
	textEventsTable        = "What doors did"
	textEventsNone         = "No events"
	textEventsNoneText     = "Openings and refusals appear here as soon as the door has told of them."
	textEventBy            = "By"
	textEventOpened        = "Opened"
	textEventRefused       = "Refused"
	textEventNotice        = "Notice"
	textEventOffline       = "offline"
	textEventUntrusted     = "clock not trusted"
	textEventAfterCancel   = "Opened with a cancelled key: the lock had not heard."
	textEventsAlarming     = "Alarms"
	textEventsAlarmingOnly = "Alarms only"
	textEventsOfLock       = "One lock"
	textEventsOfUser       = "One user"
	textEventsOfKey        = "One digital key"
	textEventLock          = "Lock"
	textEventWho           = "Who"
	textEventKey           = "Key"
	textEventKeyShow       = "Show key"
)

func enrolSteps() []string {
	return []string{
		"Install keyhold-lock on the controller, and run the command there.",
		"Then start it: keyhold-lock run --state /var/lib/keyhold-lock --exec COMMAND, where COMMAND moves the bolt; or --virtual for a door on a page.",
		"The lock shows as online here as soon as it has connected.",
	}
}

func capabilityText(c smartlock.Capability) string {
	switch c {
	case smartlock.PIN:
		return "PIN"
	case smartlock.App:
		return "App"
	case smartlock.Keycard:
		return "Keycard"
	}
	return string(c)
}

func capabilityHelp(c smartlock.Capability) string {
	switch c {
	case smartlock.PIN:
		return "It has a keypad."
	case smartlock.App:
		return "It opens by a button in the holder's app."
	case smartlock.Keycard:
		return "It has a reader for contactless cards."
	}
	return ""
}

func mediumText(m grant.Medium) string {
	switch m {
	case grant.PIN:
		return "PIN"
	case grant.App:
		return "App"
	case grant.Keycard:
		return "Keycard"
	case grant.Panel:
		return "Panel"
	case grant.None:
	}
	return ""
}

func boltText(s smartlock.State) string {
	var parts []string
	switch s.Bolt {
	case "locked":
		parts = append(parts, textLockLocked)
	case "unlocked":
		parts = append(parts, textLockUnlocked)
	}
	switch s.Door {
	case "open":
		parts = append(parts, "door open")
	case "closed":
		parts = append(parts, "door closed")
	}
	return strings.Join(parts, ", ")
}

func clockText(q grant.Quality) string {
	switch q {
	case grant.Trusted:
		return "Told by the server"
	case grant.Battery:
		return "From its battery clock"
	case grant.Untrusted:
		return "Not trusted"
	}
	return ""
}

// spanText says how long something lasts, in its largest whole units.
func spanText(d time.Duration) string {
	var parts []string
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := int(d / u.d); n > 0 {
			parts = append(parts, count(n, u.name))
			d -= time.Duration(n) * u.d
		}
		if len(parts) == 2 {
			break
		}
	}
	if len(parts) == 0 {
		return count(0, "second")
	}
	return strings.Join(parts, " ")
}

func leaseUntilText(until string) string {
	return "PIN and card go on working until its lease ends, " + until + ". The app needs the network."
}

func lockOfflineText(since string) string { return "Offline, last seen " + since }

func lowBatteryText(percent int) string { return "Battery at " + strconv.Itoa(percent) + " %" }

func openLockText(name string) string { return "Open " + name + " now?" }

func openForText(seconds int) string { return "It stays open for " + count(seconds, "second") + "." }

func deleteLockText(name string) string { return "Delete " + name + "?" }

// lockReasonText says for administrators why a door refused, or what it tells.
func lockReasonText(reason string) string {
	switch reason {
	case "":
		return ""
	case grant.ReasonNotYet:
		return "The key has not started yet."
	case grant.ReasonExpired:
		return "The key has ended."
	case grant.ReasonOutsideHours:
		return "Outside the key's weekly hours."
	case grant.ReasonUnknownPIN:
		return "No key at this door has that PIN."
	case grant.ReasonUnknownCard:
		return "No key at this door has that card."
	case grant.ReasonUnknownGrant:
		return "The door does not know the key."
	case grant.ReasonWrongKind:
		return "The key is not to be used that way."
	case grant.ReasonLeaseEnded:
		return "The lease had ended."
	case grant.ReasonClockUntrusted:
		return "The door did not trust its clock."
	case grant.ReasonKeypadPaused:
		return "Too many wrong PINs: the keypad pauses."
	case grant.ReasonLate:
		return "The command came too late."
	case grant.ReasonRepeated:
		return "The command was done before."
	case grant.ReasonDoorFailed:
		return "The bolt did not move."
	case grant.ReasonBoot:
		return "The controller started."
	case grant.ReasonCardTaught:
		return "A card was read."
	case grant.ReasonNoCard:
		return "No card was held to the reader in time."
	case smartlock.ReasonGap:
		return "Events are missing: the controller had overwritten them before they arrived."
	case smartlock.ReasonRecordLost:
		return "The controller lost its record and begins anew."
	case smartlock.ReasonBroken:
		return "The record does not continue where it ended: somebody may have changed it."
	}
	return reason
}

func eventBadge(e smartlock.Event) badge {
	switch e.Outcome {
	case grant.Opened:
		if e.AfterCancel {
			return badge{Word: textEventOpened, Tone: "red"}
		}
		return badge{Word: textEventOpened, Tone: "green"}
	case grant.Refused:
		return badge{Word: textEventRefused, Tone: "red"}
	case grant.Notice:
	}
	if e.Reason == smartlock.ReasonRecordLost || e.Reason == smartlock.ReasonBroken || e.Reason == smartlock.ReasonGap {
		return badge{Word: textEventNotice, Tone: "red"}
	}
	return badge{Word: textEventNotice, Tone: "grey"}
}

// eventText says in one sentence what a door did.
func eventText(e smartlock.Event) string {
	switch {
	case e.Reason == grant.ReasonKeypadPaused:
		return "Keypad paused after " + count(e.Count, "wrong PIN")
	case e.Outcome == grant.Opened && e.Medium == grant.Panel:
		return "Opened from the panel"
	case e.Outcome == grant.Opened:
		return "Opened by " + mediumText(e.Medium)
	case e.Outcome == grant.Refused && e.Medium != grant.None:
		return "Refused by " + mediumText(e.Medium)
	case e.Outcome == grant.Refused:
		return "Refused"
	}
	return strings.TrimSuffix(lockReasonText(e.Reason), ".")
}
