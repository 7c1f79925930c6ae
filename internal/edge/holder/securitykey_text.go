package holder

import (
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// The catalogue of what the app says about security keys.
const (
	textKeys         = "My security keys"
	textKeysNone     = "You have no security key yet. An administrator of your organisation gives you one."
	textKeysOnly     = "You signed in with a one-time pass."
	textKeysOnlyText = "For ten minutes you can set up your keys here. Everything else takes another way to sign in."
	textKeyActivate  = "Activate"
	textBack         = "Back without a change"
	textToKeys       = "To my security keys"
	textScriptNeeded = "This needs JavaScript, which is switched off in this browser."
	textCheckFields  = "Some fields need your attention."

	textKeySuspended  = "It is suspended and opens nothing. Ask an administrator if you need it back."
	textKeyWaits      = "You did your part. An administrator has to confirm it before it works."
	textKeyLinkOver   = "Its activation is over. Ask an administrator to send it again."
	textKeyPending    = "It waits for you: activate it here, or with the link in your mail."
	textKeyNew        = "It is meant for you. You get a mail when it can be activated."
	textKeyLocked     = "Its PIN is locked after too many wrong tries. Ask an administrator to reset it."
	textKeyPaused     = "Its PIN pauses after wrong tries. Wait a few minutes."
	textKeyMustChange = "Choose a PIN of your own: the present one was made for you."

	textPINTitle  = "Change PIN"
	textPINLead   = "Three wrong tries in a row pause the card for a minute, eight lock it until an administrator resets the PIN."
	textPINOld    = "Present PIN"
	textPINNew    = "New PIN"
	textPINChoose = "Choose a PIN"
	textPINAgain  = "The same again"
	textPINSkip   = "Skip: make one and mail it to me"

	textLost      = "Report lost"
	textLostTitle = "Report as lost"
	textLostDo    = "Yes, it is lost"

	textCardNumber         = "Card number"
	textCardNumberHelp     = "Put the cursor here and hold the card to the reader, or type the number in hex digits: it may stand on the card."
	textProofCard          = "You hold other keys: an administrator has to confirm this card before it works."
	textProofCardText      = "Or show first that it is you, and it works at once."
	textActivateSignIn     = "First show that it is you."
	textActivateSignInText = "With a temporary access pass from an administrator, a code by e-mail, or a passkey that you have."
	textProof              = "You hold other keys, so a code by e-mail is not enough to add one."
	textProofText          = "Sign in with a key that you have, or ask an administrator for a temporary access pass."
	textWithPass           = "Use a temporary access pass"
	textWithSignIn         = "Sign in another way"
	textPasskeyProof       = "You signed in with a code by e-mail and hold keys. To add a passkey, sign in with a key that you have or with a temporary access pass."

	textSignInPass = "Sign in with a temporary access pass"
	textPassTitle  = "Temporary access pass"
	textPassLead   = "An administrator of your organisation has given you a code for a short time."
	textPass       = "Pass"
	textPassHelp   = "Letters and digits, large or small. You have five tries an hour."
	textPassOther  = "Sign in another way"

	textOffline     = "You are offline"
	textOfflineText = "The app needs the network to show your keys. Nothing was changed."
	textTryAgain    = "Try again"
)

// look is how a kind of key is named and shown.
type look struct{ Name, Icon string }

func lookOf(k securitykey.Kind) look {
	switch k {
	case securitykey.ContactlessCard:
		return look{Name: "Card", Icon: "id-badge-2"}
	case securitykey.Smartphone:
		return look{Name: "Phone", Icon: "device-mobile"}
	}
	return look{Name: "FIDO2 key", Icon: "device-usb"}
}

func keyBadge(k securitykey.SecurityKey) kit.Badge {
	switch {
	case k.Shown() == securitykey.Suspended:
		return kit.Badge{Word: "Suspended", Tone: "red"}
	case k.ToConfirm:
		return kit.Badge{Word: "Waits for confirmation", Tone: "amber"}
	case k.Life == securitykey.Active:
		return kit.Badge{Word: "Active", Tone: "green"}
	case k.Life == securitykey.Pending:
		return kit.Badge{Word: "To be activated", Tone: "amber"}
	}
	return kit.Badge{Word: "New", Tone: "grey"}
}

// rulesText says what a PIN must look like.
func rulesText(r securitykey.PINRules) string {
	var with []string
	for _, rule := range []struct {
		set  bool
		text string
	}{{r.Digit, "a digit"}, {r.Lower, "a small letter"}, {r.Upper, "a capital letter"}, {r.Special, "a special character"}} {
		if rule.set {
			with = append(with, rule.text)
		}
	}
	text := strconv.Itoa(r.Min) + " to " + strconv.Itoa(r.Max) + " characters"
	if n := len(with); n > 1 {
		with = append(with[:n-2], with[n-2]+" and "+with[n-1])
	}
	if len(with) > 0 {
		text += ", with " + strings.Join(with, ", ") + " among them"
	}
	return text + ". Nothing that is easy to guess, such as 123456."
}

func lostEffects(k securitykey.Kind) []string {
	out := []string{"It is suspended at once: whoever has it opens nothing with it.", "Administrators are told. Only they can give it back."}
	if k == securitykey.Smartphone {
		out = append(out, "If you are signed in to Keyhold with it, that session ends, also here.")
	}
	return out
}

func activateTitle(k securitykey.Kind) string {
	switch k {
	case securitykey.ContactlessCard:
		return "Activate your card"
	case securitykey.Smartphone:
		return "Activate this phone"
	}
	return "Activate your FIDO2 key"
}

func activateLead(k securitykey.SecurityKey, workspace string) string {
	switch k.Kind {
	case securitykey.ContactlessCard:
		if k.Verification == securitykey.ByPIN {
			return "Hold your card to the reader and choose its PIN. With both you sign in for " + workspace + "."
		}
		return "Hold your card to the reader. With it you sign in for " + workspace + "."
	case securitykey.Smartphone:
		return "With your approval this phone becomes your security key for " + workspace + ": it is unlocked with your fingerprint, your face or its PIN."
	}
	return "Plug your FIDO2 key in, or hold it to the device, and touch it when the browser asks. It becomes your security key for " + workspace + "."
}

func activateButton(k securitykey.Kind) string {
	switch k {
	case securitykey.ContactlessCard:
		return "Activate the card"
	case securitykey.Smartphone:
		return "Approve this phone"
	}
	return "Register the key"
}

func activatedText(k securitykey.Kind, waits, mailed bool) (title, text string) {
	what := map[securitykey.Kind]string{
		securitykey.ContactlessCard: "Your card", securitykey.Smartphone: "This phone", securitykey.FIDO2: "Your FIDO2 key",
	}[k]
	if what == "" {
		what = "Your key"
	}
	title = what + " works"
	text = "You can close this page."
	if waits {
		title, text = what+" waits for an administrator", "You did your part. You get a mail as soon as it works."
	}
	if mailed {
		text = "Its PIN is on its way to you by e-mail. " + text
	}
	return title, text
}
