package holder

import (
	"net/http"
	"strings"

	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// The catalogue: every text of the app that people read.
const (
	textProduct     = "Keyhold"
	textSkip        = "Skip to the content"
	textNavigation  = "Main navigation"
	textThemeLabel  = "Appearance"
	textThemeSystem = "System"
	textThemeLight  = "Light"
	textThemeDark   = "Dark"
	textSignOut     = "Sign out"
	textToPanel     = "Open the panel"
	textNever       = "never"

	textErrorPlain = "Something went wrong on our side. Request ID: "
	textErrorID    = "Request ID"
	textErrorBack  = "Back to the start"
	textNotFound   = "There is no page at this address."

	textInstall = "Your security keys, in your pocket."

	textSignInTitle  = "Sign in to the app"
	textSignInLead   = "With your passkey, or with a code that we send to your e-mail address."
	textSignInButton = "Sign in with a passkey"
	textSignInCode   = "Send me a code"
	textSignInOr     = "or"
	textEmail        = "E-mail address"

	textCodeTitle  = "Type the code"
	textCodeLead   = "If an account has this address, a code of eight digits is on its way to it. It is good for ten minutes, in this browser only."
	textCode       = "Code"
	textCodeHelp   = "Eight digits. You have five tries."
	textCodeWrong  = "That did not work."
	textCodeButton = "Sign in"
	textCodeAgain  = "No mail? Look into the spam folder, or"
	textCodeAnew   = "ask for a new code"

	textEntriesTitle = "Where do you want to go?"
	textEntriesLead  = "Your address has accounts in several workspaces."
	textEntriesNone  = "There is no account that is open to this address. Ask an administrator of your organisation."
	textEntriesBack  = "Try another address"

	textWorkspace        = "Workspace"
	textPasskeys         = "My passkeys"
	textPasskeysNone     = "You have no passkey yet. With one you sign in without a code."
	textPasskeyAdd       = "Add a passkey"
	textPasskeyAddHelp   = "It is kept by this device, your phone or a security key, and used with your fingerprint, your face or its PIN."
	textPasskeyRemove    = "Remove"
	textPasskeyUsed      = "last used"
	textPasskeyCreated   = "added"
	textWaits            = "Waits for confirmation"
	textWaiting          = "You are an administrator, but no passkey of yours opens the panel yet."
	textWaitingText      = "Add a passkey here, then ask another administrator to confirm it."
	textSessions         = "Where I am signed in"
	textSessionHere      = "this browser"
	textSessionEnd       = "Sign out there"
	textSessionSeen      = "last seen"
	textActivity         = "My activity"
	textActivityTable    = "What happened to your account, newest first"
	textActivityNone     = "No activities yet"
	textActivityNoneText = "What you do, and what is done to your account, will be listed here."
	textColumnWhen       = "When"
	textColumnWhat       = "What"
	textColumnOutcome    = "Outcome"
	textColumnIP         = "IP address"
)

func errorTitle(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "Your session has ended"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusNotFound:
		return "Not found"
	case http.StatusConflict:
		return "That did not fit"
	case http.StatusUnprocessableEntity:
		return "That did not work"
	case http.StatusTooManyRequests:
		return "Too many tries"
	case http.StatusServiceUnavailable:
		return "Not available now"
	}
	return "Something went wrong"
}

// flashText is the toast of a code.
func flashText(code string) string {
	switch code {
	case "signed_out":
		return "You are signed out."
	case "passkey_deleted":
		return "The passkey was removed."
	case "pin_changed":
		return "The PIN was changed."
	case "key_lost":
		return "The key is suspended. Administrators were told."
	case "session_ended":
		return "That session was ended."
	}
	return ""
}

func outcomeBadge(o activity.Outcome) kit.Badge {
	switch o {
	case activity.Success:
		return kit.Badge{Word: "Done", Tone: "green"}
	case activity.Refused:
		return kit.Badge{Word: "Refused", Tone: "red"}
	}
	return kit.Badge{Word: "Failed", Tone: "amber"}
}

// actionText says what was done, or tried, to or by the person who reads it.
func actionText(action string, done bool) string {
	texts := map[string][2]string{
		"session.open":                 {"Signed in", "A sign-in was tried"},
		"session.end":                  {"Signed out", "A sign-out was tried"},
		"session.step_up":              {"Confirmed with a passkey", "A confirmation was tried"},
		"passkey.register":             {"A passkey was added", "Adding a passkey was tried"},
		"passkey.rename":               {"A passkey was renamed", "Renaming a passkey was tried"},
		"passkey.delete":               {"A passkey was removed", "Removing a passkey was tried"},
		"passkey.confirm":              {"A passkey was confirmed", "Confirming a passkey was tried"},
		"user.create":                  {"Your account was made", "Making your account was tried"},
		"user.update":                  {"Your account was changed", "Changing your account was tried"},
		"user.auditable":               {"Whether your sign-ins are recorded was changed", "Changing whether your sign-ins are recorded was tried"},
		"user.invite":                  {"You were invited", "Inviting you was tried"},
		"user.suspend":                 {"Your account was suspended", "Suspending your account was tried"},
		"user.activate":                {"Your account was activated", "Activating your account was tried"},
		"group.add_member":             {"You joined a group", "Adding you to a group was tried"},
		"group.remove_member":          {"You left a group", "Removing you from a group was tried"},
		"administrator.add":            {"You became an administrator", "Making you an administrator was tried"},
		"administrator.create":         {"You became an administrator", "Making you an administrator was tried"},
		"administrator.update":         {"What you may do was changed", "Changing what you may do was tried"},
		"administrator.remove":         {"You are an administrator no more", "Ending your administration was tried"},
		"security_key.create":          {"A security key was made for you", "Making a security key for you was tried"},
		"security_key.send_activation": {"A security key's activation was sent to you", "Sending you an activation was tried"},
		"security_key.activate":        {"A security key was activated", "Activating a security key was tried"},
		"security_key.confirm":         {"A security key was confirmed", "Confirming a security key was tried"},
		"security_key.update":          {"A security key was changed", "Changing a security key was tried"},
		"security_key.suspend":         {"A security key was suspended", "Suspending a security key was tried"},
		"security_key.resume":          {"A security key was given back", "Giving a security key back was tried"},
		"security_key.delete":          {"A security key was deleted", "Deleting a security key was tried"},
		"security_key.report_lost":     {"You reported a security key as lost", "Reporting a security key as lost was tried"},
		"security_key.pin_reset":       {"The PIN of a card was reset", "Resetting the PIN of a card was tried"},
		"security_key.pin_change":      {"The PIN of a card was changed", "Changing the PIN of a card was tried"},
		"security_key.pin_try":         {"A PIN was right", "A PIN was wrong"},
		"security_key.notice":          {"You were told that a security key is not used", "Telling you of an unused security key was tried"},
		"access_pass.issue":            {"A temporary access pass was made for you", "Making a temporary access pass for you was tried"},
		"access_pass.withdraw":         {"Your temporary access pass was withdrawn", "Withdrawing your temporary access pass was tried"},
		"access_pass.use":              {"Signed in with a temporary access pass", "A temporary access pass was tried"},
		"setup_link.issue":             {"A setup link was made for you", "Making a setup link for you was tried"},
	}
	text, known := texts[action]
	switch {
	case !known:
		return strings.ReplaceAll(strings.ReplaceAll(action, ".", ": "), "_", " ")
	case done:
		return text[0]
	}
	return text[1]
}

func openedText(how signin.OpenedBy) string {
	switch how {
	case signin.OpenedByPasskey:
		return "with a passkey"
	case signin.OpenedByCode:
		return "with a code by e-mail"
	case signin.OpenedByAccessPass:
		return "with a temporary access pass"
	case signin.OpenedByLink:
		return "with a demo link"
	}
	return ""
}

// browserName says which browser and system an agent names, as far as people know
// them.
func browserName(agent string) string {
	browser, system := "A browser", ""
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(agent, b[0]) {
			browser = b[1]
			break
		}
	}
	for _, s := range [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, s[0]) {
			system = " on " + s[1]
			break
		}
	}
	return browser + system
}
