package panel

import (
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// The catalogue of who gets in: sign-in, administrators, one's own account.
const (
	textSignInCode = "Sign in to the app with a code by e-mail"

	textNavWorkspace       = "Workspace"
	textAdministrators     = "Administrators"
	textAdministratorsLead = "Who may open this panel, and what they may do here."
	textAdministratorsList = "Administrators of the workspace"
	textAdministratorsNone = "No administrators yet"
	textAdministratorsHelp = "Make a user an administrator, and say what they may do."
	textColumnRole         = "May do"
	textColumnPasskeys     = "Passkeys"
	textWaits              = "Waiting for confirmation"
	textSuspended          = "Suspended"
	textOwner              = "Owner"
	textOwnerHelp          = "May do everything, now and in later versions, and makes other owners."
	textNothingYet         = "Nothing yet"
	textAllPermissions     = "All permissions"

	textAddAdministrator     = "Add administrator"
	textAddAdministratorLead = "They get an e-mail with the way in: sign in to the app, add a passkey, and have it confirmed here."
	textPickUser             = "User"
	textPickSearch           = "Search users"
	textPickHelp             = "Name, e-mail address, user ID or employee ID"
	textPickStart            = "Type the beginning of a name or an e-mail address."
	textPickNone             = "No user matches. Try the beginning of a word, or make the user first."
	textPickMissing          = "must be chosen: search and choose one"
	textGrant                = "What they may do"
	textGrantHelp            = "Without any permission they can sign in and see nothing."
	textCustom               = "Chosen one by one"
	textCustomHelp           = "The permissions that are ticked below."
	textPermissions          = "Permissions"

	textAdministratorTools   = "What you can do with this administrator"
	textAdministratorSave    = "Save permissions"
	textAdministratorChanged = "Somebody else changed this administrator in the meantime."
	textAdministratorAgain   = "What is shown is stored now. Make your change again."
	textAdministratorSince   = "administrator"
	textOpenUser             = "Open user"
	textRemove               = "Remove"
	textRemoveAdministrator  = "Remove administrator"
	textNotChangeable        = "Only who has all permissions changes this; an owner is changed by an owner."

	textPasskeys            = "Passkeys"
	textPasskeysOf          = "Passkeys of this administrator"
	textPasskeysNone        = "No passkeys yet"
	textPasskeysNoneOf      = "They have not registered a passkey. They can do so in the app."
	textColumnState         = "State"
	textColumnLastUsed      = "Last used"
	textColumnAdded         = "Added"
	textConfirmPasskey      = "Confirm"
	textConfirmPasskeyTitle = "Confirm passkey"
	textConfirmPasskeyLead  = "From then on this passkey opens the panel with everything that its holder may do."
	textConfirmPasskeyAsk   = "Ask its holder in person or by telephone first: whoever reads their mail could have registered it."
	textRemovePasskeyTitle  = "Remove passkey"
	textRemovePasskeyLead   = "It stops working at once and cannot be brought back."
	textRemovePasskeyEnds   = "The sessions that it opened end."
	textHolder              = "Holder"

	textSessions          = "Sessions"
	textSessionsOf        = "Open sessions of this administrator"
	textSessionsNone      = "No open sessions"
	textSessionsNoneOf    = "They are not signed in anywhere."
	textColumnBrowser     = "Browser"
	textColumnOpens       = "Opens"
	textColumnLastSeen    = "Last seen"
	textEndSession        = "End"
	textEndSessions       = "End all sessions"
	textEndOtherSessions  = "End all others"
	textThisSession       = "This session"
	textSignedIn          = "signed in"
	textRemoveEnds        = "Their sessions of the panel end at once."
	textRemoveStays       = "The user stays, with everything that is theirs."
	textRemoveKeys        = "API keys that they created go on working."
	textRemovedTitle      = "Administrator removed"
	textRemovedLead       = "API keys that they created go on working. Look whether they are still needed."
	textRemovedKeys       = "API keys that are left"
	textRemovedDone       = "Done"
	textAccountTitle      = "My account"
	textAccountLead       = "How you sign in, where you are signed in, and what you may do."
	textMyPasskeys        = "My passkeys"
	textMyPasskeysHelp    = "Keep two or more, on different devices: then losing one does not lock you out."
	textAddPasskey        = "Add a passkey"
	textAddPasskeyConfirm = "Confirm with your passkey first"
	textRename            = "Rename"
	textPasskeyName       = "Name of the passkey"
	textMySessions        = "My sessions"
	textMyPermissions     = "What I may do"
	textColumnActions     = "Actions"
)

// presetText is how a preset is called and what it is for.
func presetText(name string) (label, help string) {
	switch name {
	case "key_administrator":
		return "Key administrator", "Looks after users, their keys and the clients at workstations, and reads what happened."
	case "account_manager":
		return "Account manager", "Looks after users, smart locks and digital keys."
	case "auditor":
		return "Auditor", "Reads everything, changes nothing."
	}
	return name, ""
}

// roleText says in a word what an administrator may do.
func roleText(a signin.Administrator) string {
	switch preset := signin.PresetOf(a.Permissions); {
	case a.Owner:
		return textOwner
	case preset != "":
		label, _ := presetText(preset)
		return label
	case len(a.Permissions) == 0:
		return textNothingYet
	case a.Permissions.Covers(auth.All()):
		return textAllPermissions
	}
	return count(len(a.Permissions), "permission")
}

func passkeyBadge(k signin.Passkey) badge {
	if k.ConfirmedAt.IsZero() {
		return badge{Word: textWaits, Tone: "amber"}
	}
	return badge{Word: "Opens the panel", Tone: "green"}
}

func scopeText(s signin.Scope) string {
	if s == signin.ScopePanel {
		return "Panel and app"
	}
	return "App"
}

func openedByText(how signin.OpenedBy) string {
	switch how {
	case signin.OpenedByPasskey:
		return "with a passkey"
	case signin.OpenedByCode:
		return "with a code by e-mail"
	case signin.OpenedByLink:
		return "with a demo link"
	}
	return string(how)
}

// browserText is what people call the browser behind an agent's name.
func browserText(agent string) string {
	name := ""
	for _, known := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(agent, known[0]) {
			name = known[1]
			break
		}
	}
	if name == "" {
		first, _, _ := strings.Cut(agent, " ")
		if first == "" {
			return "Unknown browser"
		}
		return first
	}
	for _, known := range [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Macintosh", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, known[0]) {
			return name + " on " + known[1]
		}
	}
	return name
}

func passkeysText(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// permissionNames is a list of permissions as people read it.
func permissionNames(names string) string {
	all := strings.Split(names, ", ")
	for i, name := range all {
		if set, _, ok := auth.ParsePermissions([]string{name}); ok {
			all[i], _ = permissionLabel(set[0])
		}
	}
	return strings.Join(all, ", ")
}

func removeAdministratorText(name, email string) string {
	return name + " (" + email + ") may not open this panel any more."
}
