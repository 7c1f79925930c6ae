package panel

import (
	"net/http"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// The catalogue: every text of the panel that people read.
const (
	textProduct      = "Keyhold"
	textSkip         = "Skip to the content"
	textNavigation   = "Main navigation"
	textMenuOpen     = "Open the navigation"
	textMenuClose    = "Close the navigation"
	textCrumbs       = "Where you are"
	textNever        = "never"
	textNone         = "not set"
	textYes          = "Yes"
	textNo           = "No"
	textCancel       = "Cancel"
	textActionsLabel = "Actions"

	textSearchTitle    = "Search"
	textSearchHelp     = "Users, groups, keys, pages, acts, an id or a card number"
	textSearchShort    = "Search…"
	textSearchNone     = "Nothing begins with these words. Try fewer of them."
	textSearchActs     = "Do"
	textSearchPages    = "Go to"
	textSearchNewGroup = "New group"
	textSearchAPIKeys  = "API keys"
	textSearchKeys     = "↑ ↓ to move, Enter to open, Esc to close"

	textThemeLabel  = "Appearance"
	textThemeSystem = "System"
	textThemeLight  = "Light"
	textThemeDark   = "Dark"
	textSignOut     = "Sign out"

	textNavUsers          = "Users"
	textNavIntegrations   = "App integrations"
	textNavAuthentication = "Authentication"

	textErrorPlain     = "Something went wrong on our side. Request ID: "
	textErrorID        = "Request ID"
	textErrorBack      = "Go to the start page"
	textErrorSignIn    = "Sign in again"
	textPageNotFound   = "There is no page at this address. It may have been moved, or the address may have a typing error."
	textAppOnly        = "This session opens the app, not the panel. Sign in to the panel with a passkey that an administrator has confirmed."
	textFormUnreadable = kit.TextUnreadable
	textScriptNeeded   = "Passkeys need JavaScript: allow it for this site and try again."
	textNoFrontEnd     = "This server was built without its front end, so passkeys do not work here. Build it with “make web” first."

	textSignInTitle  = "Sign in"
	textSignInLead   = "Use your passkey. There is no password."
	textSignInButton = "Sign in with a passkey"
	textSignInHelp   = "No passkey yet? An administrator of the server can give you a setup link."

	textSetupTitle         = "Set up your workspace"
	textSetupLead          = "You are its first owner. Tell us who you are, then create the passkey with which you will sign in."
	textSetupKnownLead     = "Create the passkey with which you will sign in from now on."
	textSetupButton        = "Create your passkey"
	textSetupContinue      = "Continue without a passkey"
	textSetupContinueHelp  = "Demo only"
	textSetupOr            = "or"
	textSetupPasskey       = "A passkey is kept by this device, your phone or a security key. You use it with your fingerprint, your face or its PIN, and nothing secret ever leaves it."
	textSetupWorkspace     = "Workspace name"
	textSetupWorkspaceHelp = "What your organisation is called here."

	textConfirmTitle  = "Confirm that it is you"
	textConfirmLead   = "What you are about to do needs a fresh passkey. It counts for the next ten minutes."
	textConfirmButton = "Confirm with passkey"

	textUsersTitle       = "All users"
	textUsersSearch      = "Search users"
	textUsersSearchHelp  = "Name, e-mail address, user ID or employee ID"
	textUsersStatus      = "Status"
	textUsersAnyStatus   = "Any status"
	textUsersFilter      = "Search"
	textUsersNew         = "New user"
	textUsersNoneTitle   = "No users yet"
	textUsersNoneText    = "Users are the people of your workspace: those who will hold keys."
	textUsersFoundNone   = "Nothing found"
	textUsersFoundHelp   = "No user matches what you are looking for. Try the beginning of a word, or fewer words."
	textUsersClear       = "Clear the search"
	textUsersTable       = "Users of the workspace"
	textColumnName       = "Name"
	textColumnUserID     = "User ID"
	textColumnEmail      = "E-mail"
	textColumnStatus     = "Status"
	textColumnCreated    = "Created"
	textColumnLastActive = "Last activity"

	textNewUserTitle    = "New user"
	textNewUserSave     = "Create user"
	textEditUserTitle   = "Edit"
	textEditUserSave    = "Save changes"
	textUserChanged     = "Somebody else changed this user in the meantime."
	textUserChangedHelp = "Where their values differ from yours, they stand under the field. Save again to keep yours."
	textUserPerson      = "Person"
	textUserContact     = "Contact and locale"
	textUserRecord      = "Record and groups"
	textUserRecordOnly  = "Record"
	textUserRefresh     = "Refresh"
	textUserEdit        = "Edit"
	textUserToolbar     = "What you can do with this user"
	textUserTabs        = "Sections"
	textTabDetails      = "Details"
	textTabActivities   = "Activities"
	textUserCreated     = "created"
	textUserGroups      = "Groups"
	textUserGroupsHelp  = "Everybody is in Everyone by themselves."
	textUserNoGroups    = "There are no other groups yet."
	textUserNowStored   = "Stored now: "
	textUserNowEmpty    = "Stored now: nothing"
	textAuditable       = "Auditable"
	textAuditableHelp   = "The sign-ins of this user are kept in the activity record. Refusals and administrative acts are always kept."

	textActivitiesTable   = "Activities of this user"
	textActivitiesNone    = "No activities yet"
	textActivitiesNoneFor = "What happens to this user, and what they do, will be listed here."
	textColumnWhen        = "When"
	textColumnWhat        = "What"
	textColumnActor       = "By"
	textColumnOutcome     = "Outcome"
	textColumnIP          = "IP address"
	textErased            = "erased"
	textNobody            = "somebody not signed in"
	textTimes             = "times"
	textByPrefix          = "by "
)

// errorTitle is the title of the page for a status.
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
	case http.StatusPreconditionFailed:
		return "Changed in the meantime"
	case http.StatusUnprocessableEntity:
		return "That could not be read"
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
	case "user_created":
		return "The user was created."
	case "user_saved":
		return "The changes were saved."
	case "administrator_added":
		return "The administrator was added and told by e-mail."
	case "administrator_saved":
		return "The permissions were saved. They hold at once."
	case "administrator_removed":
		return "The administrator was removed."
	case "passkey_added":
		return "The passkey was added."
	case "passkey_renamed":
		return "The passkey was renamed."
	case "passkey_removed":
		return "The passkey was removed."
	case "passkey_confirmed":
		return "The passkey was confirmed. It opens the panel now."
	case "session_ended":
		return "The session was ended."
	case "sessions_ended":
		return "The sessions were ended."
	case "settings_saved":
		return "The settings were saved."
	case "user_created_invited":
		return "The user was created and invited."
	case "user_suspended":
		return "The user is suspended."
	case "user_activated":
		return "The user is active again."
	case "user_deleted":
		return "The user was deleted."
	case "user_invited":
		return "The invitation is on its way."
	case "group_joined":
		return "The user was added to the group."
	case "group_left":
		return "The user was removed from the group."
	case "group_created":
		return "The group was created."
	case "group_saved":
		return "The changes were saved."
	case "group_deleted":
		return "The group was deleted."
	case "member_added":
		return "The member was added."
	case "member_removed":
		return "The member was removed."
	case "signed_out":
		return "You are signed out."
	}
	if text := apiKeyFlashText(code); text != "" {
		return text
	}
	if text := doorFlashText(code); text != "" {
		return text
	}
	if text := clientFlashText(code); text != "" {
		return text
	}
	return securityKeyFlashText(code)
}

// fieldLabel is how a field is called on the page.
func fieldLabel(name string) string {
	switch name {
	case "workspace":
		return textSetupWorkspace
	case "first_name":
		return "First name"
	case "last_name":
		return "Last name"
	case "email":
		return textColumnEmail
	case "user_id":
		return "User ID"
	case "phone":
		return "Phone"
	case "employee_id":
		return "Employee ID"
	case "language":
		return "Language"
	case "timezone":
		return "Time zone"
	case "auditable":
		return textAuditable
	case "groups":
		return textUserGroups
	case "checkpoint_email":
		return textSettingsCheckpoint
	case "group":
		return textLeaveManyGroup
	case "description":
		return textGroupDescription
	case "confirm":
		return "What you typed"
	case "name":
		return "Name"
	case "type":
		return "Type"
	case "permissions":
		return "Permissions"
	case "user":
		return textPickUser
	case "preset":
		return "Preset"
	case "owner":
		return textOwner
	case "checkpoint":
		return textRecordCheckpoint
	}
	if label := apiKeyFieldLabel(name); label != "" {
		return label
	}
	if label := securityKeyFieldLabel(name); label != "" {
		return label
	}
	if label := digitalKeyFieldLabel(name); label != "" {
		return label
	}
	if label := clientFieldLabel(name); label != "" {
		return label
	}
	return strings.ReplaceAll(name, "_", " ")
}

// fieldHelp is what stands under a field.
func fieldHelp(name string) string {
	switch name {
	case "user_id":
		return "What your organisation calls this person. Left empty, it is the e-mail address."
	case "language":
		return "Such as en or de-CH. Left empty, it is the workspace’s."
	case "timezone":
		return "Such as Europe/Berlin. Left empty, it is the workspace’s."
	}
	return ""
}

func statusBadge(s directory.Status) badge {
	switch s {
	case directory.Active:
		return badge{Word: "Active", Tone: "green"}
	case directory.Pending:
		return badge{Word: "Pending", Tone: "amber"}
	case directory.NotInvited:
		return badge{Word: "Not invited", Tone: "grey"}
	case directory.Suspended:
		return badge{Word: "Suspended", Tone: "red"}
	}
	return badge{Word: string(s), Tone: "grey"}
}

func permissionLabel(p auth.Permission) (label, help string) {
	switch p {
	case auth.UsersRead:
		return "Read users", "List and find users and their groups."
	case auth.UsersWrite:
		return "Change users", "Create users and change them."
	case auth.AdministratorsRead:
		return "Read administrators", "List administrators, what they may do, their passkeys and sessions."
	case auth.AdministratorsWrite:
		return "Look after administrators", "Confirm and remove passkeys and end sessions of those who may no more than themselves."
	case auth.WorkspaceRead:
		return "Read settings", "See the settings of the workspace."
	case auth.WorkspaceWrite:
		return "Change settings", "Change the settings of the workspace."
	case auth.SecurityKeysRead:
		return "Read security keys", "List and find security keys, never their PINs."
	case auth.DigitalKeysRead:
		return "Read digital keys", "See who may open which lock, when and how."
	case auth.DigitalKeysWrite:
		return "Change digital keys", "Create, change and cancel digital keys, with their PINs and cards."
	case auth.LocksRead:
		return "Read smart locks", "See their state, and every opening and refusal at the doors."
	case auth.LocksWrite:
		return "Change smart locks", "Register, enrol and change smart locks, and open doors at once."
	case auth.ClientsRead:
		return "Read clients", "List the programs at workstations and the enrolment codes, never the codes themselves."
	case auth.ClientsWrite:
		return "Change clients", "Approve, change and revoke the programs at workstations, and issue enrolment codes."
	case auth.SecurityKeysWrite:
		return "Change security keys", "Create, activate, suspend, reset and delete security keys, and issue temporary access passes."
	case auth.ActivitiesRead:
		return "Read activities", "List the activity record."
	case auth.APIKeysRead:
		return "Read API keys", "List API keys and how they are used, never their tokens."
	case auth.APIKeysWrite:
		return "Change API keys", "Create, change, reset, disable and delete API keys."
	}
	return string(p), ""
}

// languages are suggested where a language is asked for; others may be typed.
func languages() []choice {
	return []choice{
		{Value: "en", Label: "English"},
		{Value: "de", Label: "Deutsch"},
		{Value: "fr", Label: "Français"},
		{Value: "es", Label: "Español"},
		{Value: "it", Label: "Italiano"},
		{Value: "nl", Label: "Nederlands"},
		{Value: "pl", Label: "Polski"},
		{Value: "pt", Label: "Português"},
		{Value: "sv", Label: "Svenska"},
		{Value: "da", Label: "Dansk"},
		{Value: "cs", Label: "Čeština"},
		{Value: "ja", Label: "日本語"},
	}
}
