package panel

import (
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// The texts of security keys.
const (
	textNavSecurityKeys  = "Security keys"
	textNavKeysNew       = "New"
	textNavKeysPending   = "Pending"
	textNavKeysActive    = "Active"
	textNavKeysSuspended = "Suspended"
	textNavKeysAll       = "All"

	textSecurityKeysTitle      = "All security keys"
	textSecurityKey            = "Security key"
	textSecurityKeysAdd        = "Add security key"
	textSecurityKeysAll        = "Show all security keys"
	textSecurityKeysTable      = "Security keys of the workspace"
	textSecurityKeysCounters   = "Security keys by status"
	textSecurityKeysSearch     = "Search security keys"
	textSecurityKeysSearchHelp = "Name, model, holder or card number"
	textSecurityKeysFoundHelp  = "No security key fits the filters. Try the beginning of a word, or the whole number of a card."
	textSecurityKeysNone       = "No security keys yet"
	textSecurityKeysNoneText   = "Security keys are the cards, phones and hardware keys with which people sign in. Add the first one to somebody."
	textSortBy                 = "Sort by"
	textFilterConfirm          = "Waiting"
	textFilterToConfirm        = "waits to be confirmed"
	textColumnHolder           = "Holder"
	textColumnKind             = "Kind"
	textColumnModel            = "Model"
	textColumnDateCreated      = "Date created"
	textDeviceAccess           = "Device access"
	textSingleAccount          = "Single account"
	textKeysBulk               = "What to do with the selected keys"
	textUsersKeyless           = "Without a key"

	textKeyHeldBy         = "held by"
	textKeyToolbar        = "What you can do with this security key"
	textKeyConfirm        = "Confirm"
	textKeyResetPIN       = "Reset PIN"
	textKeySend           = "Send the activation"
	textKeyResend         = "Resend activation"
	textKeyRegister       = "Register here"
	textKeyOpen           = "Open the security key"
	textKeyActivated      = "Activated"
	textKeyActivities     = "Activities of this security key"
	textKeyActivitiesNone = "What happens to this key, and what is done with it, will be listed here."
	textKeyNotDone        = "That was not done"
	textKeyChanged        = "Somebody else changed this security key in the meantime."
	textKeyChangedHelp    = "Where their values differ from yours, they stand under the field. Save again to keep yours."
	textCardNumber        = "Card number"
	textCardNamed         = "Only this card can be activated with the link."
	textAAGUID            = "AAGUID"
	textVerification      = "Verification"
	textProximity         = "Bluetooth proximity"
	textProximityOn       = "On: the phone must be near the computer"
	textProximityOff      = "Off"
	textProximityHelp     = "A sign-in at a computer is accepted only while the phone is in Bluetooth range of it. That keeps somebody far away from using the phone’s holder by a trick."

	textKeySuspendedText = "Nothing is accepted from it until it is activated again. It comes back as it was."
	textKeyWaitsTitle    = "Waits to be confirmed"
	textKeyWaitsText     = "The holder has done their part. Ask them in person or by telephone whether it was them, then confirm."
	textKeyNewTitle      = "Nobody was told yet"
	textKeyNewText       = "The key is assigned. Send its holder the activation by e-mail when you are ready."
	textKeyPendingTitle  = "The activation was sent"
	textKeyLinkOver      = "The activation link has ended"
	textKeyLinkOverText  = "The holder did not use it in time. Send another one."
	textKeyAtDeskTitle   = "Is the key here?"
	textKeyAtDeskText    = "A hardware key that is plugged into this computer can be registered at once, without a link."
	textKeyNoticedTitle  = "The holder was told that it is unused"
	textPINLockedTitle   = "The PIN is locked"
	textPINLockedText    = "It was entered wrong eight times in a row. Nobody can use the card until you reset its PIN."
	textPINPausedTitle   = "The PIN is paused"

	textPIN           = "PIN"
	textPINNone       = "none"
	textPINLocked     = "Locked"
	textPINPaused     = "Paused"
	textPINMustChange = "The holder is to choose another one."

	textSuspendKeyDo     = "Suspend security key"
	textSuspendKeyTold   = "The holder is told by e-mail."
	textSuspendKeyBack   = "It comes back as it was when you activate it."
	textSuspendKeyLink   = "Its activation link stops working."
	textSuspendKeyUse    = "Nothing is accepted from it any more, and the sessions that it opened end."
	textSuspendKeyNew    = "It cannot be activated by its holder any more."
	textKeysRevive       = "They work again as they were. Their holders are told by e-mail."
	textKeysSuspendAll   = "Nothing is accepted from them any more, and the sessions that they opened end."
	textKeysSuspendTold  = "Their holders are told by e-mail."
	textKeysSuspendBack  = "They come back as they were when you activate them."
	textKeysDeleteAll    = "They go for good. Their holders are told by e-mail."
	textKeysDeleteRecord = "What was done with them stays in the activity record."

	textDeleteSecurityKeyDo = "Delete security key"
	textDeleteKeyGoes       = "The key goes for good. Nothing is accepted from it any more, and the sessions that it opened end."
	textDeleteKeyCard       = "Its number is free: the card can be given to somebody else."
	textDeleteKeyBound      = "That the holder had it stays in the list of all keys ever held."

	textConfirmKeyLead = "From then on the key works."
	textConfirmKeyAsk  = "Ask the holder in person or by telephone first: whoever reads their mail could have done it."
	textConfirmKeyThen = "The holder is told by e-mail."
	textConfirmKeyDo   = "Confirm security key"

	textPINGenerate     = "Generate one"
	textPINGenerateHelp = "It fits the rules of the workspace and cannot be guessed from the holder’s name."
	textPINType         = "Type one"
	textPINDelivery     = "How the holder gets it"
	textPINByMail       = "By e-mail to the holder"
	textPINByMailHelp   = "You do not see it."
	textPINShown        = "Show it to me, once"
	textPINShownHelp    = "You hand it over. The holder is told by e-mail that there is a PIN, without it."
	textPINMust         = "The holder must change it"
	textPINMustHelp     = "At the next opportunity, to one that nobody else knows."
	textPINChange       = "Must be changed"
	textPINNew          = "The new PIN is ready"
	textPINOnce         = "Note the PIN now. It will not be shown again: we keep nothing from which it could be read."
	textPINAgain        = "This was done already"
	textPINAgainText    = "The page was sent a second time, and nothing more was done. If the PIN was to be shown, it was shown once and cannot be shown again. If nobody noted it, reset the PIN again."
	textResetPINStops   = "The present PIN stops at once."
	textResetPINUnlocks = "A locked or paused PIN works again, with the new one."
	textResetPINOther   = "Only contactless cards have a PIN that is kept here. A phone is unlocked by the phone itself, and a hardware key keeps a PIN of its own: only its holder can change that."
	textNeeded          = "is needed"
	textNextSteps       = "What comes next"

	textKeyNameHelp  = "So that its holder knows which one it is."
	textKeyNameEmpty = " Left empty, it is called “"
	textKeyModelHelp = "The make, such as MIFARE DESFire EV3. For people only."

	textVerifyPIN      = "PIN"
	textVerifyPinless  = "PINless"
	textVerifyPhone    = "The phone’s own lock"
	textVerifyPINCard  = "The holder has a PIN for the card."
	textVerifyPINFIDO2 = "The hardware key asks its holder for a PIN or a fingerprint of its own."
	textPinlessOff     = "PINless is switched off for this workspace."
	textPinlessWarning = "Whoever holds it is taken for its holder. It works only at clients that are marked “PINless allowed”."
	textPinlessStrong  = "Without a PIN a lost or stolen key opens everything that its holder may open, until somebody reports it."

	textKeysNoneChosen     = "No security key is selected"
	textKeysNoneChosenHelp = "Go back to the list and tick the keys that you mean."
	textKeysBack           = "Back to all security keys"
	textKeysType           = "Type the number of keys to confirm"
	textKeysOutcome        = "What became of each security key"
	textActivityAllKey     = "All with the same key"
	textRecordKey          = "Security key"
	textWithKey            = "with a security key"
	textDashboardAddKeyTo  = "Give somebody a card, phone or hardware key"
)

// The texts of the wizard.
const (
	textAddDevice           = "Add Device"
	textPickHolderLead      = "Who gets it? Find the person, then choose."
	textStepKind            = "Kind"
	textStepOptions         = "Options"
	textStepActivation      = "Activation"
	textStepDone            = "Done"
	textStepReviewKey       = "The key"
	textKindQuestion        = "What kind of key is it?"
	textBeginQuestion       = "How does it begin to work?"
	textCardNumberHelp      = "In hex, 4, 7 or 10 bytes, as a reader types it: hold the card to the reader while this field is chosen. With a link by e-mail it may stay empty; then the card that the holder shows waits for you to confirm it."
	textKeyCreate           = "Add security key"
	textKeyDone             = "Security key added"
	textKeyDid              = "What was done"
	textKeyAnother          = "Add another"
	textKeyAgain            = "This key was added already"
	textKeyAgainText        = "The page was sent a second time, and nothing more was done. A PIN that was to be shown was shown once and cannot be shown again. If nobody noted it, reset the card’s PIN."
	textRegisterPlug        = "Plug the key into this computer, or hold it to its reader."
	textRegisterPIN         = "If the browser asks for a PIN, its holder enters it. A new key lets them choose one."
	textRegisterTouch       = "Touch the key when it blinks."
	textRegisterHeld        = "This hardware key is registered already. Use another one."
	textRegisterLater       = "Not now"
	textRegisterDone        = "This key is registered and works."
	textRegisterNot         = "This key cannot be registered here: it is no hardware key, or it is suspended."
	textKeyNextDesk         = "The key is registered here, on the next page."
	textKeyNextConfirm      = "You are told when the card waits to be confirmed."
	textKeyNextSignIn       = "The card works at once."
	textKeyNextSend         = "Send the activation from the key’s page when you are ready."
	textUserKeysNone        = "No security keys yet"
	textUserKeysTable       = "Security keys of this user"
	textHeldTitle           = "All keys ever held"
	textHeldHelp            = "Every key that was ever bound to this user stays here, also when it is gone."
	textHeldFrom            = "assigned"
	textHeldActivated       = "activated"
	textUserTabCredentials  = "Credentials"
	textCredentialsNone     = "No credentials yet"
	textCredentialsNoneText = "A credential is a passkey for an account at a website. They will be listed here once this user registers at websites with a card."
)

// The texts of temporary access passes.
const (
	textAccessPass       = "Temporary access pass"
	textGetAccessPass    = "Get Temporary Access Pass"
	textAccessPassLead   = "A passcode for a limited time, with which somebody sets up a phone or signs in to the app. It never opens this panel."
	textPassLast         = "Last pass"
	textPassWithdraw     = "Withdraw"
	textPassReplaces     = "There is a pass that is valid or will be. A new one replaces it: the old code stops at once, and what it opened ends."
	textPassLifetime     = "How long is it valid?"
	textPassOther        = "Another time"
	textPassMinutesHelp  = "10 to 43,200, which is 30 days."
	textPassMinutesWrong = "must be a number between 10 and 43200"
	textPassStarts       = "From when on?"
	textPassNow          = "From now on"
	textPassLater        = "Later"
	textPassStartsAt     = "Start"
	textPassZone         = "Date and time in the time zone "
	textPassStartWrong   = "is not a date and time that we can read"
	textPassStartGap     = "does not exist on that day: the clocks are put forward then"
	textPassOneTime      = "One-time"
	textPassOneTimeHelp  = "It works once and opens a session of 10 minutes in which keys are set up, and nothing else."
	textPassLength       = "Length"
	textPassLengthHelp   = "8 to 48 letters and digits. None of them look alike."
	textPassLengthWrong  = "must be a number between 8 and 48"
	textPassIssue        = "Make the pass"
	textPassReady        = "The pass is ready"
	textPassOnce         = "Note the pass now. It will not be shown again: we keep only a fingerprint of it."
	textPassFor          = "For"
	textPassFrom         = "Valid from"
	textPassUntil        = "Valid until"
	textPassIssued       = "Made"
	textPassIssuedBy     = "By"
	textPassUsed         = "Last used"
	textPassAgain        = "This pass was made already"
	textPassAgainText    = "The page was sent a second time, and nothing more was done. The pass was shown once and cannot be shown again. If nobody noted it, make another one: it replaces this one."
	textPassOpen         = "Open the page of the pass"
	textPassNextHand     = "Give the pass to its holder in person or by telephone, not by e-mail."
	textPassNextApp      = "It is entered in the app, under “Sign in with a temporary access pass”, with the e-mail address of the user."
	textPassNextOnce     = "It works once. Who mistypes it may try again."
)

// The texts of the settings.
const (
	textKeySettings       = "Security keys"
	textPINRules          = "PINs of cards"
	textPINRulesHelp      = "They bind PINs that are set from then on. PINs that are easily guessed are refused in any case."
	textPINMin            = "Shortest"
	textPINMinHelp        = "Characters, 4 at least."
	textPINMax            = "Longest"
	textPINMaxHelp        = "Characters, 63 at most."
	textPINClasses        = "A PIN must have"
	textPINDigit          = "a digit"
	textPINLower          = "a lower-case letter"
	textPINUpper          = "an upper-case letter"
	textPINSpecial        = "a special character"
	textPinlessAllow      = "Keys may be set to need no PIN"
	textModelsAllowed     = "Hardware keys that may be registered"
	textModelsAllowedHelp = "If any are named here, no other model is registered. What is registered already stays."
	textModelsBlocked     = "Hardware keys that are refused"
	textModelsBlockedHelp = "Models that are not registered, whatever stands above."
	textModelsAll         = "all models"
	textModelsNone        = "none"
	textModelsChoose      = "Choose from the models that we know"
	textModelsMore        = "Other AAGUIDs"
	textModelsMoreHelp    = "One a line, such as cb69481e-8ff7-4039-93ec-0a2729a154a8."
	textUnusedKeys        = "Unused keys"
	textUnusedKeysHelp    = "A key that nobody uses is one that nobody misses when it is lost. Its holder is told first, and using it is enough to keep it."
	textUnusedDays        = "Tell the holder after so many days without use"
	textUnusedDaysHelp    = "0 for never."
	textGraceDays         = "Suspend it so many days later"
	textGraceDaysHelp     = "1 to 365."
	textUnusedOff         = "Unused keys are left alone."
	textUnusedTry         = "What would this reach now?"
	textTriedNone         = "No key is unused for so long."
	textTriedNotice       = "Their holders would be told"
	textTriedSuspend      = "These would be suspended"
	textNumberWrong       = "must be a whole number"
)

// kindView is how a kind of key is shown.
type kindView struct {
	Name    string
	Default string // what a key is called that has no name
	Icon    string
	Help    string
}

func kindWords(k securitykey.Kind) kindView {
	switch k {
	case securitykey.Smartphone:
		return kindView{Name: "Smartphone", Default: "Phone", Icon: "device-mobile", Help: "The holder’s own phone, unlocked as the phone is. It is set up by its holder, in the app."}
	case securitykey.FIDO2:
		return kindView{Name: "FIDO2 key", Default: "Security key", Icon: "device-usb", Help: "A hardware key that is plugged in or held to a reader, such as a YubiKey. It keeps its own credential."}
	}
	return kindView{Name: "Contactless card", Default: "Card", Icon: "id-badge-2", Help: "A badge that is held to a reader. Its number names it, a PIN unlocks it."}
}

func securityKeyBadge(s securitykey.Status) badge {
	switch s {
	case securitykey.Active:
		return badge{Word: "Active", Tone: "green"}
	case securitykey.Pending:
		return badge{Word: "Pending", Tone: "amber"}
	case securitykey.Suspended:
		return badge{Word: "Suspended", Tone: "red"}
	}
	return badge{Word: "New", Tone: "grey"}
}

// The badges beside the status.
func toConfirmBadge() badge       { return badge{Word: "To confirm", Tone: "amber"} }
func pinLockedBadge() badge       { return badge{Word: "PIN locked", Tone: "red"} }
func pinPausedBadge() badge       { return badge{Word: "PIN paused", Tone: "amber"} }
func holderSuspendedBadge() badge { return badge{Word: "Holder suspended", Tone: "red"} }

// securityKeysOfText is the title of a list of keys of one status.
func securityKeysOfText(s securitykey.Status) string {
	return securityKeyBadge(s).Word + " security keys"
}

func noSecurityKeysText(s securitykey.Status) string {
	return "No " + strings.ToLower(securityKeyBadge(s).Word) + " security keys"
}

// securityKeyStatusHelp says which keys have a status.
func securityKeyStatusHelp(s securitykey.Status) string {
	switch s {
	case securitykey.New:
		return "A key is new when it is assigned to somebody and nobody was told yet."
	case securitykey.Pending:
		return "A key is pending while its holder has an activation link, or waits for you to confirm."
	case securitykey.Active:
		return "A key is active when it works."
	}
	return "A suspended key is accepted nowhere until it is activated again."
}

func keylessText(n int) string { return count(n, "user") + " without a security key" }

func suspendedSinceText(ago string) string { return "Suspended " + ago }

func linkUntilText(until string) string {
	return "The link in the holder’s mail works until " + until + "."
}

func pausedUntilText(until string) string {
	return "It was entered wrong too often. No try is taken until " + until + "."
}

func noticedText(ago string) string {
	return "That was " + ago + ". It is suspended in due time unless it is used."
}

func pinSetText(ago string) string { return "Set " + ago }

// verificationText says how a key's holder proves to be the holder.
func verificationText(k securitykey.SecurityKey) string { return verificationWord(k.Verification) }

func verificationWord(v securitykey.Verification) string {
	switch v {
	case securitykey.Pinless:
		return textVerifyPinless
	case securitykey.ByPhone:
		return textVerifyPhone
	}
	return textVerifyPIN
}

func suspendKeyText(name string) string { return "Suspend " + name + "?" }
func deleteKeyText(name string) string  { return "Delete " + name + "?" }
func confirmKeyText(name string) string { return "Confirm " + name + "?" }
func resetPINText(name string) string   { return "Reset the PIN of " + name + "?" }

// suspendEffect says what suspending takes from a key.
func suspendEffect(k securitykey.SecurityKey) string {
	switch k.Life {
	case securitykey.Active:
		return textSuspendKeyUse
	case securitykey.Pending:
		return textSuspendKeyLink
	}
	return textSuspendKeyNew
}

func otherKeysText(holder string) string { return "Other keys of " + holder + " go on working." }

func deleteKeyEffects(k securitykey.SecurityKey) []string {
	out := []string{textDeleteKeyGoes}
	if k.Card.Digest != "" {
		out = append(out, textDeleteKeyCard)
	}
	return append(out, textSuspendKeyTold)
}

func toldText(name, email string) string {
	return name + " is told by e-mail at " + email + "."
}

// pinRulesText says what a PIN must look like.
func pinRulesText(r securitykey.PINRules) string {
	text := strconv.Itoa(r.Min) + " to " + strconv.Itoa(r.Max) + " characters"
	var must []string
	for _, c := range []struct {
		on   bool
		text string
	}{{r.Digit, textPINDigit}, {r.Lower, textPINLower}, {r.Upper, textPINUpper}, {r.Special, textPINSpecial}} {
		if c.on {
			must = append(must, c.text)
		}
	}
	if n := len(must); n > 1 {
		must = append(must[:n-2], must[n-2]+" and "+must[n-1])
	}
	if len(must) > 0 {
		text += " with " + strings.Join(must, ", ")
	}
	return text + "; nothing that is easily guessed."
}

// manyKeysTitle asks whether to do an act to n keys.
func manyKeysTitle(act string, n int) string { return manyKeysDo(act, n) + "?" }

// manyKeysDo is the button that does an act to n keys.
func manyKeysDo(act string, n int) string {
	verb := map[string]string{actSuspend: "Suspend ", actActivate: "Activate ", actDelete: "Delete "}[act]
	return verb + count(n, "security key")
}

func manyKeysEffects(act string) []string {
	switch act {
	case actSuspend:
		return []string{textKeysSuspendAll, textKeysSuspendTold, textKeysSuspendBack}
	case actDelete:
		return []string{textKeysDeleteAll, textKeysDeleteRecord}
	}
	return []string{textKeysRevive}
}

// manyKeysDone says how an act on many keys ended.
func manyKeysDone(act string, done, failed int) string {
	text := count(done, "security key") + map[string]string{actSuspend: " suspended", actActivate: " activated", actDelete: " deleted"}[act]
	if failed > 0 {
		text += ", " + thousands(failed) + " not"
	}
	return text + "."
}

func addDeviceText(name string) string { return "Add a security key for " + name }

// beginText is a way in which a key can begin.
func beginText(begin string, k securitykey.Kind, name, email string) (label, help string) {
	switch begin {
	case beginNow:
		return "I have the card here: activate it now", "It works as soon as this is done."
	case beginDesk:
		return "The key is here: register it at this desk", "It is registered in this browser, on the next page. That needs a fresh passkey of yours."
	case beginAssign:
		return "Only assign it", "Nobody is told. You send the activation later, from the key’s page."
	}
	what := map[securitykey.Kind]string{
		securitykey.ContactlessCard: "They hold the card to a reader and choose a PIN.", securitykey.Smartphone: "They open it on the phone, sign in and approve.",
		securitykey.FIDO2: "They open it where the key is and register it.",
	}[k]
	return "Send " + name + " an activation link by e-mail", "To " + email + ". It works once, for 72 hours. " + what
}

func keyDoneText(key, user string) string { return key + " was added for " + user }

func registerText(name string) string { return "Register " + name + " here" }

func registerLead(holder string) string {
	return "The key becomes one of " + holder + ". Do this together with them, or before you hand it over."
}

func endedAsText(as string) string {
	switch as {
	case "deleted":
		return "deleted"
	case "user_deleted":
		return "gone with the user"
	}
	return as
}

func userKeysNoneText(name string) string {
	return name + " has no card, phone or hardware key. Add one, and they can sign in with it."
}

func accessPassText(name string) string { return textAccessPass + " for " + name }

// minutesText is a lifetime in words.
func minutesText(minutes int) string {
	switch {
	case minutes%(24*60) == 0:
		return count(minutes/(24*60), "day")
	case minutes%60 == 0:
		return count(minutes/60, "hour")
	}
	return count(minutes, "minute")
}

func modelText(aaguid string) string {
	if name := securitykey.ModelName(aaguid); name != "" {
		return name
	}
	return aaguid
}

func unusedRuleText(days, grace int) string {
	return "The holder is told after " + count(days, "day") + " without use; " + count(grace, "day") + " later the key is suspended."
}

func triedText(days, grace int) string {
	return "With " + count(days, "day") + " and " + count(grace, "day") + ", now"
}

// keysGoText says how many keys go with a user.
func keysGoText(n int) string {
	if n == 1 {
		return "Their security key goes with them. That they had it stays in the record of keys."
	}
	return "Their " + count(n, "security key") + " go with them. That they had them stays in the record of keys."
}

// usesText says how often a key was used.
func usesText(n int64) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 activity in all"
	}
	return thousands(int(n)) + " activities in all"
}

// moreText says how many keys are not listed.
func moreText(n int) string {
	if n == 0 {
		return ""
	}
	return "and " + count(n, "other key")
}

func toConfirmText(n int64, more bool) string {
	switch {
	case n == 1:
		return "1 security key waits to be confirmed"
	case more:
		return thousands(int(n)) + " or more security keys wait to be confirmed"
	}
	return thousands(int(n)) + " security keys wait to be confirmed"
}

func lockedPINText(name, holder string) string {
	return "The PIN of “" + name + "” of " + holder + " is locked"
}
