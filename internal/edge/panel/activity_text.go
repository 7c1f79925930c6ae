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
	case action == "administrator.create":
		return detail
	case action == "api_key.create":
		return "type " + apiKeyType(apikey.Type(detail))
	case action == "user.update":
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
	case "wrong_key_type":
		return "a key of the wrong type"
	case "unauthenticated":
		return "not signed in"
	}
	return strings.ReplaceAll(code, "_", " ")
}

// isNews says whether others want to hear of an act at once: of changes, not of
// comings and goings.
func isNews(action string) bool {
	return !strings.HasPrefix(action, "session.") && !strings.HasPrefix(action, "activity.")
}

// newsText says what others just did, "" for nothing.
func newsText(others []activity.Change) string {
	if len(others) == 0 {
		return ""
	}
	last := others[len(others)-1]
	done, _ := actionText(last.Action)
	text := last.Actor.Name + ": " + strings.ToLower(done[:1]) + done[1:]
	if last.Target.Name != "" {
		text += " “" + last.Target.Name + "”"
	}
	if n := len(others) - 1; n > 0 {
		text += ", and " + count(n, "other act")
	}
	return text + "."
}
