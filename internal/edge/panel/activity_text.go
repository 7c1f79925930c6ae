package panel

import (
	"strings"

	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

func outcomeBadge(o activity.Outcome) badge {
	switch o {
	case activity.Success:
		return badge{Word: "Done", Tone: "green"}
	case activity.Refused:
		return badge{Word: "Refused", Tone: "red"}
	case activity.Failed:
		return badge{Word: "Failed", Tone: "amber"}
	}
	return badge{Word: string(o), Tone: "grey"}
}

// actionText is what an activity says that was done, and what was tried if it was
// refused.
func actionText(action string) (done, tried string) {
	switch action {
	case "user.create":
		return "Created the user", "Tried to create a user"
	case "user.update":
		return "Changed the user", "Tried to change the user"
	case "user.find", "user.list":
		return "Looked at users", "Tried to look at users"
	case "group.create":
		return "Created a group", "Tried to create a group"
	case "group.list":
		return "Looked at groups", "Tried to look at groups"
	case "session.open":
		return "Signed in", "Tried to sign in"
	case "session.end":
		return "Signed out", "Tried to sign out"
	case "session.step_up":
		return "Confirmed with a passkey", "Tried to confirm with a passkey"
	case "passkey.register":
		return "Registered a passkey", "Tried to register a passkey"
	case "passkey.confirm":
		return "Confirmed a passkey", "Tried to confirm a passkey"
	case "passkey.reject":
		return "Refused a passkey", "Tried to refuse a passkey"
	case "passkey.rename":
		return "Renamed a passkey", "Tried to rename a passkey"
	case "passkey.delete":
		return "Removed a passkey", "Tried to remove a passkey"
	case "passkey.list", "session.list", "account.find":
		return "Looked at passkeys or sessions", "Tried to look at passkeys or sessions"
	case "administrator.update":
		return "Changed an administrator", "Tried to change an administrator"
	case "administrator.delete":
		return "Removed an administrator", "Tried to remove an administrator"
	case "administrator.list", "administrator.find":
		return "Looked at administrators", "Tried to look at administrators"
	case "setup_link.issue":
		return "Issued a setup link", "Tried to issue a setup link"
	case "administrator.create":
		return "Made an administrator", "Tried to make an administrator"
	case "workspace.create":
		return "Created the workspace", "Tried to create the workspace"
	case "api_key.create":
		return "Created an API key", "Tried to create an API key"
	case "api_key.list":
		return "Looked at API keys", "Tried to look at API keys"
	case "api_key.use":
		return "Used an API key", "Tried to use an API key"
	case "activity.list", "activity.verify":
		return "Looked at the record", "Tried to look at the record"
	}
	return action, action
}

// detailText is what an activity's detail says.
func detailText(action, detail string) string {
	switch {
	case detail == "":
		return ""
	case action == "session.open" && detail == "passkey":
		return "with a passkey"
	case action == "session.open" && detail == "link":
		return "with a demo link"
	case action == "session.open" && detail == "email_code":
		return "with a code by e-mail"
	case action == "session.end" && detail == "all":
		return "all sessions"
	case action == "administrator.create" || action == "administrator.delete":
		return permissionNames(detail)
	case action == "api_key.create":
		return "type " + apiKeyType(apikey.Type(detail))
	case action == "user.update" || action == "administrator.update":
		names := strings.Split(detail, ", ")
		for i, name := range names {
			names[i] = fieldLabel(name)
		}
		return strings.Join(names, ", ")
	}
	return detail
}

// reasonText is why something was refused.
func reasonText(code string) string {
	switch code {
	case "":
		return ""
	case "missing_permission", "beyond_your_permissions":
		return "a permission is missing"
	case "step_up_required":
		return "no fresh passkey"
	case "passkey_rejected":
		return "the passkey was not accepted"
	case "ceremony_over":
		return "it took too long"
	case "not_an_administrator":
		return "not an administrator"
	case "code_rejected":
		return "the code was not right, or too old"
	case "suspended":
		return "suspended"
	case "owners_only":
		return "only an owner may"
	case "person_only":
		return "only a person may, not a program"
	case "panel_only":
		return "only in the panel"
	case "not_yourself":
		return "not for oneself"
	case "wrong_key_type":
		return "a key of the wrong type"
	case "unauthenticated":
		return "not signed in"
	}
	return strings.ReplaceAll(code, "_", " ")
}
