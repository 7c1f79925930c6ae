package panel

import (
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

const (
	textDigitalKeysNew = "New digital key"
	textDigitalKeyOne  = "Digital key"

	textDigitalKey            = "Digital key"
	textDigitalKeyWhen        = "When"
	textDigitalKeyDoors       = "Doors"
	textDigitalKeyLease       = "Lease"
	textDigitalKeyStarts      = "Start"
	textDigitalKeyEnds        = "End"
	textDigitalKeySurvivors   = "Survives the lease, not over"
	textDigitalKeySurvives    = "Survives the lease"
	textDigitalKeysTable      = "Digital keys"
	textDigitalKeysCounters   = "Digital keys by status"
	textDigitalKeysSearch     = "Search"
	textDigitalKeysSearchHelp = "Description, name or e-mail address"
	textDigitalKeysNone       = "No digital keys yet"
	textDigitalKeysNoneText   = "A digital key lets a person open doors for a time: by PIN, by the app or by a keycard."
	textDigitalKeysFoundHelp  = "No digital key fits. Look for other words, or take the filters away."
	textDigitalKeysBulk       = "What to do with the chosen digital keys"
	textDigitalKeysOutcome    = "What became of each digital key"
	textDigitalKeysBack       = "Back to the digital keys"
	textDigitalKeyOpen        = "Open the digital key"
	textDigitalKeyToolbar     = "What to do with the digital key"
	textDigitalKeyHours       = "Weekly hours"
	textDigitalKeyRole        = "Role"
	textDigitalKeyCard        = "Keycard"
	textDigitalKeyNoCard      = "none yet: teach one at a door of the key"
	textDigitalKeyPINSet      = "set; only its holder can see it"
	textDigitalKeyMail        = "E-mail to the holder"
	textDigitalKeyMailPIN     = "with the PIN"
	textDigitalKeyCreatedBy   = "Created by"
	textDigitalKeyChanged     = "Somebody else changed this digital key meanwhile"
	textDigitalKeyActivities  = "Activities of this digital key"
	textDigitalKeyNoActs      = "What is done with this digital key will be listed here."
	textDigitalKeyHeldBy      = "for"

	textTabReceipts       = "Receipts"
	textReceiptsTable     = "What each door knows of the last change"
	textReceiptsNone      = "No doors"
	textReceiptsNoneText  = "The locks of this key are gone."
	textReceiptsChanged   = "Changed"
	textReceiptsConfirmed = "Confirmed"
	textReceiptsState     = "Lock is"
	textReceiptNot        = "not confirmed"
	textReceiptGives      = "Gives the key"
	textReceiptTakes      = "Takes the key away"

	textPresets        = "Often used times"
	textPresetTonight  = "14:00 today to 10:00 tomorrow"
	textPresetNow      = "Now, 10 minutes"
	textPresetToday    = "Today until midnight"
	textPresetWeekend  = "This weekend"
	textPresetWorkdays = "Next week’s workdays"

	textFormDescription     = "Description"
	textFormDescriptionHelp = "For administrators and the holder, such as “Guests of room 12”. May be left empty."
	textFormLocks           = "Smart locks"
	textFormLocksHelp       = "The key opens all that you choose, 20 at most."
	textFormLocksFind       = "Find a lock by name or place"
	textFormLocksMore       = "There are more: type more of the name."
	textFormLocksNone       = "No smart lock fits."
	textFormLocksNothing    = "There are no smart locks yet. Register one first."
	textFormWhen            = "When it opens"
	textFormStarts          = "From"
	textFormEnds            = "Until"
	textFormZoneNone        = "No lock is chosen yet, so the times are in "
	textFormElsewhere       = "By the clocks of other doors: "
	textFormHours           = "Only at certain hours of the week"
	textFormHoursHelp       = "Without any, it opens all the time between start and end. Hours that end before they begin end on the next day."
	textFormHoursFrom       = "From"
	textFormHoursTo         = "to"
	textFormHoursAdd        = "Add a row"
	textFormRole            = "Role"
	textFormRoleUser        = "ROLE-USER"
	textFormRoleUserHelp    = "The holder opens doors."
	textFormRoleAdmin       = "ROLE-ADMIN"
	textFormRoleAdminHelp   = "For who looks after the doors. Today the app does the same for both."
	textFormTypes           = "Opens by"
	textFormPINHelp         = "Digits at the lock’s keypad."
	textFormAppHelp         = "The holder presses Unlock in the app. The door needs the network for it."
	textFormCardHelp        = "A contactless card that is held to the lock."
	textFormPIN             = "PIN"
	textFormPINKeep         = "Keep the PIN"
	textFormPINMake         = "Generate a PIN"
	textFormPINMakeHelp     = "One that nobody can guess from the holder, and that no other key at these doors has."
	textFormPINType         = "Choose a PIN"
	textFormPINTypeHelp     = "4 to 6 digits, no simple ones."
	textFormPINLength       = "Digits"
	textFormCard            = "Keycard’s number"
	textFormCardNumberHelp  = "As a reader types it, in hex. Left empty, teach the card at a door later. A card’s number is no secret: a copy of the card opens too."
	textFormMail            = "E-mail"
	textFormMailKey         = "Tell the holder by e-mail"
	textFormMailKeyHelp     = "Now, and when the key changes or is cancelled."
	textFormMailPIN         = "With the PIN in it"
	textFormMailPINHelp     = "Whoever reads the mail can open. Without it, the holder sees the PIN in the app."
	textFormSurvives        = "Opens also after a lock’s lease has ended"
	textFormSurvivesHelp    = "For keys of last resort, such as the caretaker’s. A lock that is offline goes on opening with it until its end, even if you cancel it. 20 of a lock at most."
	textFormOutlook         = "What that means at the doors"
	textFormOutlookNone     = "Choose a smart lock to see it."
	textFormPreview         = "Show what that means"
	textFormSave            = "Create the digital key"
	textFormUser            = "For whom"

	textFormPINOnce     = "Give it to the holder. It is not shown again here; the holder sees it in the app."
	textFormPINNew      = "The PIN of the digital key"
	textFormAgainTitle  = "This key was made before"
	textFormAgainText   = "The form was sent twice. The key is there once; its PIN was shown the first time. You can give it another."
	textFormHoursNeeds  = "need a day, a start and an end in each row"
	textCardGiveMissing = "is needed"

	textCancelKeyDo       = "Cancel the digital key"
	textCancelKey         = "Cancel"
	textCancelKeyLead     = "What will happen"
	textCancelKeyEnds     = "It ends at once and for good: it cannot be given back."
	textCancelKeyOnline   = "Doors that are online refuse it within seconds and say so."
	textCancelKeyNever    = "Doors without a controller never knew it."
	textCancelKeyLeft     = "Not at once"
	textCancelKeysDo      = "Cancel them"
	textCancelKeysOffline = "Doors that are offline may open until their leases end. Which those are is told afterwards."
	textCancelKeysNone    = "No digital keys are chosen"
	textCancelKeysHelp    = "Choose keys in the list first."

	textDeleteDKRow    = "Its times, PIN and card go."
	textDeleteDKEvents = "What doors did with it stays among the events."
	textDeleteDKDo     = "Delete the digital key"

	textDoorsNow       = "Doors now"
	textDoorsNone      = "There are no smart locks yet."
	textDoorsAll       = "All smart locks"
	textUserTabDoors   = "Digital keys"
	textUserDoorsTable = "Digital keys of this user"
	textUserDoorsNone  = "No digital keys"
)

func digitalKeyBadge(s digitalkey.Status) badge {
	switch s {
	case digitalkey.Upcoming:
		return badge{Word: string(s), Tone: "amber"}
	case digitalkey.Active:
		return badge{Word: string(s), Tone: "green"}
	case digitalkey.Expired, digitalkey.Cancelled:
	}
	return badge{Word: string(s), Tone: "grey"}
}

func keyTypeText(t digitalkey.Type) string {
	switch t {
	case digitalkey.PIN:
		return "PIN"
	case digitalkey.App:
		return "App"
	case digitalkey.Keycard:
		return "Keycard"
	}
	return string(t)
}

func keyTypeHelp(t digitalkey.Type) string {
	switch t {
	case digitalkey.PIN:
		return textFormPINHelp
	case digitalkey.App:
		return textFormAppHelp
	case digitalkey.Keycard:
		return textFormCardHelp
	}
	return ""
}

// receiptsText says how many doors know a key as it stands.
func receiptsText(c digitalkey.Confirmed) string {
	if c.Locks == 0 {
		return textReceiptsNone
	}
	return strconv.Itoa(c.Applied) + " of " + count(c.Locks, "door")
}

// leaseText says what a lock's lease means for a key that is cancelled.
func leaseText(l digitalkey.LockOutlook, v visit, survives bool) string {
	switch {
	case !l.Enrolled:
		return "No controller yet: it gets the key when one is enrolled."
	case survives && !l.Online:
		return "Offline now. It opens with this key until the key’s end, even if you cancel it, as long as it stays offline."
	case survives:
		return "Online now. Once offline, it opens with this key until the key’s end, even if you cancel it."
	case l.Online:
		return "Online now. Once offline, a cancelled key can open for up to " + spanText(l.Lease) + "."
	case v.now.Before(l.LeaseUntil):
		return "Offline, a cancelled key can open until " + shortIn(l.LeaseUntil, l.Lock.Timezone) + "."
	}
	return "Offline, and its lease has ended: it opens with no key that does not survive the lease."
}

// shortIn is a moment by a door's clock, in few words.
func shortIn(t time.Time, zone string) string {
	return t.In(zoneNamed(zone)).Format("Mon 2 Jan 15:04"+secondsLayout(t)) + ", " + zoneWord(zone)
}

// oddsText says how likely a stranger guesses a PIN.
func oddsText(l digitalkey.LockOutlook) string {
	if l.Odds == 0 {
		return ""
	}
	return "Five free tries open it once in " + thousands(l.Odds) + ", with " + count(l.PINs, "PIN") + " of that length at the time."
}

func endsDigitalKeysText(n int) string {
	if n == 1 {
		return "1 digital key ends, for good."
	}
	return thousands(n) + " digital keys end, for good."
}

func deletesDigitalKeysText(n int) string {
	if n == 1 {
		return "1 digital key that is not over ends and goes."
	}
	return thousands(n) + " digital keys that are not over end and go."
}

// unconfirmedText says of a door that it may open with a key that ended.
func unconfirmedText(r digitalkey.Receipt, v visit) string {
	return r.LockName + ": may open until " + v.exactly(r.AtLatest) + " at the latest"
}

func cancelKeyText(name string) string { return "Cancel “" + name + "”?" }

func cancelOfflineText(lock, until string) string {
	return lock + " is offline: it may open with this key until " + until + " at the latest."
}

func cancelledByText(k digitalkey.DigitalKey, v visit) string {
	switch {
	case k.CancelReason == digitalkey.UserSuspended:
		return "Its holder was suspended or deleted by " + k.CancelledBy + ", " + v.exactly(k.CancelledAt) + "."
	case k.CancelledBy == "":
		return v.exactly(k.CancelledAt) + "."
	}
	return "By " + k.CancelledBy + ", " + v.exactly(k.CancelledAt) + "."
}

func manyCancelText(n int) string { return "Cancel " + count(n, "digital key") + "?" }

func manyCancelledText(done, failed int) string {
	text := count(done, "digital key") + " cancelled."
	if failed > 0 {
		text += " " + thousands(failed) + " failed."
	}
	return text
}

func userDoorsNoneText(name string) string { return name + " has no digital keys." }

func offlineDoorsText(n int) string { return count(n, "smart lock") + " offline" }

func unsafeKeysText(n int) string {
	if n == 1 {
		return "1 cancelled digital key is not confirmed by a door"
	}
	return thousands(n) + " cancelled digital keys are not confirmed by a door"
}

// digitalKeyFieldLabel is how a field of a digital key or of a lock is called, "" for others.
func digitalKeyFieldLabel(name string) string {
	switch name {
	case "locks":
		return textFormLocks
	case "starts_at":
		return "The start"
	case "expires_at":
		return "The end"
	case "weekly_hours":
		return textDigitalKeyHours
	case "role":
		return textFormRole
	case "types":
		return "The ways to open"
	case "pin":
		return textFormPIN
	case "keycard":
		return textFormCard
	case "survives_lease":
		return textDigitalKeySurvives
	case "notify":
		return textFormMail
	case "place":
		return textLockPlace
	case "capabilities":
		return textLockCapabilities
	case "open_seconds":
		return textLockOpenSeconds
	case "lease_hours":
		return textLockLeaseHours
	case "lease_seconds":
		return textLockLeaseLength
	}
	return ""
}

// doorFlashText is the toast of a code about doors, "" for others.
func doorFlashText(code string) string {
	switch code {
	case "lock_created":
		return "The smart lock was registered. Enrol its controller next."
	case "lock_saved":
		return "The changes were saved. The door gets them at once if it is online."
	case "lock_deleted":
		return "The smart lock was deleted."
	case "digital_key_created":
		return "The digital key was created."
	case "digital_key_saved":
		return "The changes were saved. Each door confirms them."
	case "digital_key_cancelled":
		return "The digital key was cancelled. Each door confirms it."
	case "digital_key_deleted":
		return "The digital key was deleted."
	case "digital_key_card":
		return "The digital key has the card now."
	}
	return ""
}

// doorActionText is what an activity about doors says.
func doorActionText(action string) (done, tried string) {
	switch action {
	case "digital_key.create":
		return "Created a digital key", "Tried to create a digital key"
	case "digital_key.update":
		return "Changed a digital key", "Tried to change a digital key"
	case "digital_key.cancel":
		return "Cancelled a digital key", "Tried to cancel a digital key"
	case "digital_key.delete":
		return "Deleted a digital key", "Tried to delete a digital key"
	case "digital_key.show_pin":
		return "Looked at a digital key’s PIN", "Tried to look at a digital key’s PIN"
	case "digital_key.find", "digital_key.list", "digital_key.count", "digital_key.receipts", "digital_key.preview":
		return "Looked at digital keys", "Tried to look at digital keys"
	case "lock.create":
		return "Registered a smart lock", "Tried to register a smart lock"
	case "lock.update":
		return "Changed a smart lock", "Tried to change a smart lock"
	case "lock.delete":
		return "Deleted a smart lock", "Tried to delete a smart lock"
	case "lock.issue_enrolment":
		return "Issued an enrolment for a controller", "Tried to issue an enrolment for a controller"
	case "lock.enrol":
		return "Enrolled a controller", "Tried to enrol a controller"
	case "lock.renew":
		return "Renewed a controller’s certificate", "Tried to renew a controller’s certificate"
	case "lock.open_now":
		return "Asked a door to open", "Tried to open a door from the panel"
	case "lock.teach":
		return "Asked a door to read a card", "Tried to have a door read a card"
	case "lock.card_taught":
		return "Read a card at a door", "Tried to read a card at a door"
	case "lock.open":
		return "Opened a door", "Tried to open a door"
	case "lock.record":
		return "Noted something at a door", "Tried to note something at a door"
	case "lock.lease_warning":
		return "Warned that a lock’s lease ends", "Tried to warn that a lock’s lease ends"
	case "lock.link":
		return "Connected a controller", "Tried to connect a controller"
	case "lock.find", "lock.list", "lock.count", "lock.doors", "lock.unsafe", "lock.events":
		return "Looked at smart locks", "Tried to look at smart locks"
	}
	return action, action
}

// doorActionsOffered are the acts about doors that the record can be searched for.
func doorActionsOffered() []string {
	return []string{
		"digital_key.create", "digital_key.update", "digital_key.cancel", "digital_key.delete", "digital_key.show_pin",
		"lock.create", "lock.update", "lock.delete", "lock.issue_enrolment", "lock.enrol", "lock.renew", "lock.open_now", "lock.teach", "lock.card_taught",
		"lock.open", "lock.record", "lock.lease_warning", "lock.link",
	}
}

// doorDetailText is what an activity about doors says in its detail.
func doorDetailText(action, detail string) string {
	switch {
	case action == "digital_key.update" || action == "lock.update":
		names := strings.FieldsFunc(detail, func(r rune) bool { return r == ',' || r == ' ' })
		for i, name := range names {
			names[i] = fieldLabel(name)
		}
		return strings.Join(names, ", ")
	case detail == string(digitalkey.UserSuspended):
		return "the holder was suspended or deleted"
	case action == "lock.open" && detail != "":
		return "by " + detail
	}
	return detail
}

// zoneHelp says by which clocks the times are.
func zoneHelp(zone string) string { return "By the clocks of the lock: " + zone }

const textLeaveOpenUser = "Open the user"

func suspendedUserText(name string) string { return name + " is suspended" }

func endedDigitalKeysText(n int) string {
	if n == 1 {
		return "1 digital key ended."
	}
	return thousands(n) + " digital keys ended."
}

// doorsText says how many doors there are, and how they are.
func doorsText(n smartlock.Counts) string {
	text := thousands(n.Online) + " of " + count(n.Total, "smart lock") + " online"
	if n.Open > 0 {
		text += ", " + count(n.Open, "door") + " open"
	}
	if n.LowBattery > 0 {
		text += ", " + thousands(n.LowBattery) + " with a low battery"
	}
	if n.NotEnrolled > 0 {
		text += ", " + thousands(n.NotEnrolled) + " without a controller"
	}
	return text + "."
}
