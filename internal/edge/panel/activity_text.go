package panel

import (
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/ledger/activity"
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
	case "form.open":
		return "Opened a form", "Tried to open a form"
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
	case "activity.list", "activity.verify":
		return "Looked at the record", "Tried to look at the record"
	}
	return actionTextMore(action)
}

func actionTextMore(action string) (done, tried string) {
	switch action {
	case "user.suspend":
		return "Suspended the user", "Tried to suspend the user"
	case "user.activate":
		return "Activated the user", "Tried to activate the user"
	case "user.delete":
		return "Deleted the user", "Tried to delete the user"
	case "user.invite":
		return "Invited the user", "Tried to invite the user"
	case "user.auditable":
		return "Changed whether sign-ins are recorded", "Tried to change whether sign-ins are recorded"
	case "group.update":
		return "Changed a group", "Tried to change a group"
	case "group.delete":
		return "Deleted a group", "Tried to delete a group"
	case "group.add_member":
		return "Added to a group", "Tried to add to a group"
	case "group.remove_member":
		return "Removed from a group", "Tried to remove from a group"
	case "administrator.add":
		return "Added an administrator", "Tried to add an administrator"
	case "administrator.update":
		return "Changed what an administrator may do", "Tried to change what an administrator may do"
	case "administrator.remove":
		return "Removed an administrator", "Tried to remove an administrator"
	case "passkey.confirm":
		return "Confirmed a passkey", "Tried to confirm a passkey"
	case "passkey.rename":
		return "Renamed a passkey", "Tried to rename a passkey"
	case "passkey.delete":
		return "Deleted a passkey", "Tried to delete a passkey"
	case "workspace.update":
		return "Changed the workspace’s settings", "Tried to change the workspace’s settings"
	case "workspace.suspend":
		return "Suspended the workspace", "Tried to suspend the workspace"
	case "workspace.activate":
		return "Activated the workspace", "Tried to activate the workspace"
	case "activity.export":
		return "Exported the record", "Tried to export the record"
	case "activity.checkpoint":
		return "Took a checkpoint of the record", "Tried to take a checkpoint of the record"
	case "activity.find", "activity.follow":
		return "Looked at the record", "Tried to look at the record"
	case "statistics.find", "dashboard.find":
		return "Looked at statistics", "Tried to look at statistics"
	}
	if done, tried = securityKeyActionText(action); done != action {
		return done, tried
	}
	if done, tried = doorActionText(action); done != action {
		return done, tried
	}
	if done, tried = clientActionText(action); done != action {
		return done, tried
	}
	return apiKeyActionText(action)
}

// actionsOffered are the acts that the record can be searched for.
func actionsOffered() []string {
	return slices.Concat([]string{
		"session.open", "session.end", "session.step_up", "passkey.register", "passkey.confirm", "passkey.rename", "passkey.delete", "setup_link.issue",
		"user.create", "user.update", "user.invite", "user.suspend", "user.activate", "user.delete", "user.auditable",
		"group.create", "group.update", "group.delete", "group.add_member", "group.remove_member",
		"administrator.create", "administrator.add", "administrator.update", "administrator.remove",
		"api_key.create", "api_key.update", "api_key.reset", "api_key.end_overlap", "api_key.disable", "api_key.enable", "api_key.delete", "api_key.report_leaked",
		"api_key.expiring", "api_key.use", "workspace.create", "workspace.update", "workspace.suspend", "workspace.activate",
		"activity.export", "activity.checkpoint",
	}, securityKeyActionsOffered(), clientActionsOffered(), doorActionsOffered())
}

const (
	textNavReports         = "Reports"
	textRecordTitle        = "Activities"
	textRecordLead         = "All that happened in this workspace and all that was refused, the newest first."
	textRecordTable        = "Activities of the workspace"
	textRecordPerson       = "Person"
	textRecordPersonHelp   = "Name, e-mail address or user ID"
	textRecordAction       = "What"
	textRecordAnyAction    = "Anything"
	textRecordOutcome      = "Outcome"
	textRecordAnyOutcome   = "Any outcome"
	textRecordFrom         = "From"
	textRecordTo           = "To"
	textRecordDateWrong    = "This is not a date that we can read. Write it like 2026-12-04."
	textRecordFilter       = "Filter"
	textRecordPresets      = "Days"
	textRecordToday        = "Today"
	textRecordWeek         = "7 days"
	textRecordMonth        = "30 days"
	textRecordAlways       = "All"
	textRecordChips        = "Filters that are set"
	textRecordAbout        = "About"
	textRecordBy           = "By"
	textRecordOn           = "On"
	textRecordRP           = "Website"
	textRecordRemove       = "Remove this filter"
	textRecordWho          = "Whom do you mean?"
	textRecordWhoMore      = "There are more: type more of the name."
	textRecordWhoNone      = "Nobody is found by that name. The filter is not used."
	textRecordLive         = "Live"
	textRecordLiveOn       = "Live: new activities appear by themselves. Press to stop."
	textRecordLiveOff      = "Show new activities as they happen"
	textRecordExportCSV    = "CSV"
	textRecordExportJSON   = "JSON Lines"
	textRecordExport       = "Export what the filters show"
	textRecordCheckpoint   = "Checkpoint"
	textRecordCheckpointOf = "Download a signed checkpoint of the record"
	textRecordVerify       = "Verify the record"
	textRecordVerifyWith   = "Verify with a checkpoint"
	textRecordVerifyHelp   = "Paste a checkpoint that was kept elsewhere, from a download, a mail or a file. With it, a record whose end was cut off is known too."
	textRecordVerifyLead   = "All lines are chained by hashes. Verifying computes each anew and tells whether a line was changed, removed or reordered."
	textRecordNone         = "No activities yet"
	textRecordNoneText     = "What happens in this workspace, and what is refused, will be listed here."
	textRecordFoundNone    = "Nothing found"
	textRecordFoundHelp    = "No activity fits the filters."
	textRecordClear        = "Clear the filters"
	textColumnTarget       = "On"
	textOnPrefix           = "on "
	textRecordWhole        = "The record is whole"
	textRecordDamaged      = "The record was tampered with"
	textRecordGone         = "the line is gone"
	textRecordIndex        = "Index"

	textActivityWhen      = "When"
	textActivityReason    = "Reason"
	textActivityDetail    = "Detail"
	textActivityCount     = "How many"
	textActivityUser      = "Concerns"
	textActivityAgent     = "Program"
	textActivityRequest   = "Request ID"
	textActivityID        = "ID"
	textActivityAction    = "Action"
	textActivityChain     = "Place in the chain"
	textActivityNotSealed = "not sealed yet; that takes a second or so"
	textActivityActorID   = "Actor’s ID"
	textActivityTargetID  = "Target’s ID"
	textActivityAll       = "All by the same"
	textActivityAllTarget = "All on the same"
)

func sealedText(index int64) string { return "sealed as number " + thousands(int(index)) }

// verdictText says what a verdict without damages holds.
func verdictText(v activity.Verdict) string {
	text := count(int(v.Through), "line") + " checked"
	if v.Unsealed > 0 {
		text += ", " + thousands(int(v.Unsealed)) + " not yet in the chain"
	}
	if v.Erased > 0 {
		text += ", personal fields erased in " + thousands(int(v.Erased))
	}
	if v.Checkpoint > 0 {
		text += ". It agrees with the checkpoint at line " + thousands(int(v.Checkpoint))
	} else {
		text += ". Whether its end was cut off, only a checkpoint tells"
	}
	return text + "."
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
	case action == "activity.export" && detail == string(activity.CSV):
		return "as " + textRecordExportCSV
	case action == "activity.export" && detail == string(activity.JSONLines):
		return "as " + textRecordExportJSON
	case action == "session.open" && detail == "email_code":
		return "with a code by e-mail"
	case action == "session.open" && detail == "access_pass":
		return "with a temporary access pass"
	case action == "session.end" && detail == "all":
		return "all sessions"
	case action == "administrator.create" || action == "administrator.delete":
		return permissionNames(detail)
	case action == "user.update" || action == "administrator.update" || action == "security_key.update" || action == "workspace.security_keys":
		names := strings.FieldsFunc(detail, func(r rune) bool { return r == ',' || r == ' ' })
		for i, name := range names {
			names[i] = fieldLabel(name)
		}
		return strings.Join(names, ", ")
	case strings.HasPrefix(action, "security_key."), strings.HasPrefix(action, "access_pass."):
		return securityKeyDetailText(detail)
	case strings.HasPrefix(action, "digital_key."), strings.HasPrefix(action, "lock."):
		return doorDetailText(action, detail)
	case strings.HasPrefix(action, "client."):
		return clientDetailText(action, detail)
	case strings.HasPrefix(action, "api_key."):
		return apiKeyDetailText(action, detail)
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
	case "ip_not_allowed":
		return "from an address that the key does not allow"
	case "reset_admin_only":
		return "only Admin keys can be reset"
	case "wrong_key_type":
		return "a key of the wrong type"
	case "unauthenticated":
		return "not signed in"
	}
	if text := securityKeyReasonText(code); text != "" {
		return text
	}
	if text := clientReasonText(code); text != "" {
		return text
	}
	return strings.ReplaceAll(code, "_", " ")
}

// isNews says whether others want to hear of an act at once: of changes, not of
// comings and goings.
func isNews(action string) bool {
	switch action {
	case "credential.register", "credential.use", "client.use", "security_key.pin_try":
		return false
	}
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
