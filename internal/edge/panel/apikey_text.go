package panel

import (
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// The texts of API keys.
const (
	textAPIKeysTitle      = "API Key Management"
	textAPIKeysLead       = "With an API key a program calls this workspace. Here you see which ones there are, and end what is not needed."
	textAPIKeysTable      = "API keys of the workspace"
	textAPIKeysNew        = "New API key"
	textAPIKeysNoneTitle  = "No API keys yet"
	textAPIKeysNoneText   = "An API key lets a program do what you do here, or lets clients and shared devices in. Each has a name, a type and, better, an end."
	textAPIKeysFoundHelp  = "No API key fits the filters. The search takes the beginning of a name, or a whole token ID."
	textAPIKeysSearch     = "Search API keys"
	textAPIKeysSearchHelp = "Beginning of the name, or a token ID"
	textAPIKeysClear      = "Clear the filters"
	textAPIKeysFilter     = "Filter"
	textAPIKeysMenu       = "More for "

	textColumnType      = "Type"
	textColumnCreatedBy = "Created by"
	textColumnExpires   = "Expires"

	textFilterAny         = "Any"
	textFilterType        = "Type"
	textFilterStatus      = "Status"
	textFilterEnds        = "Expires"
	textFilterEndsBefore  = "before a day"
	textFilterBefore      = "Before"
	textFilterUsed        = "Used"
	textFilterNever       = "never"
	textFilterUnusedSince = "not since a day"
	textFilterSince       = "Not since"
	textFilterCreator     = "Created by"
	textFilterAnyone      = "Anyone"
	textFilterLeft        = "Somebody who left"

	textAPIKeyTokenID        = "Token ID"
	textAPIKeyNameHelp       = "What the program is, so that others know it too: “Payroll sync”."
	textAPIKeyType           = "Type"
	textAPIKeyTypeNotAdmin   = "An Admin key needs all permissions, so you cannot create one."
	textAPIKeyPermissions    = "Permissions"
	textAPIKeyPermissionHelp = "For Admin keys. The key can do this and nothing else."
	textAPIKeyExpiry         = "Expires"
	textAPIKeyExpiryHelp     = "A key that ends by itself is one that nobody has to remember."
	textAPIKeyKeep           = "As it is"
	textAPIKeyKeepReset      = "Like the token before"
	textAPIKeyYear           = "1 year"
	textAPIKeyNever          = "Never"
	textAPIKeyNeverHelp      = "Not recommended: it works until somebody ends it."
	textAPIKeyCustom         = "On a date of your choice"
	textAPIKeyDate           = "Last day"
	textAPIKeyDateHelp       = "The key stops at the end of that day, time zone "
	textAPIKeyDateWrong      = "is not a date that we can read"
	textAPIKeyUntil          = "until "
	textAPIKeyIPs            = "Allowed addresses"
	textAPIKeyIPsHelp        = "One address or network a line, such as 192.0.2.7 or 2001:db8::/32. From anywhere else the key is refused. Left empty, it works from everywhere."
	textAPIKeySave           = "Create API key"
	textAPIKeyDoneTitle      = "Your API key is ready"
	textAPIKeyResetTitle     = "The new token is ready"
	textAPIKeyOnce           = "Copy the token now. It will not be shown again: we keep only a fingerprint of it."
	textAPIKeyToken          = "Token"
	textAPIKeyCopy           = "Copy"
	textAPIKeyCopied         = "Copied"
	textAPIKeyStored         = "I stored it"
	textAPIKeyDone           = "Done"
	textAPIKeyTry            = "Try it"
	textAPIKeyOld            = "Token before"
	textAPIKeyStopped        = "refused from now on"

	textConfirmAPIKeyText = "An Admin key opens your whole workspace to a program, so we ask for your passkey again. What you entered is kept."

	textAPIKeyAgainCreated = "This API key was created already"
	textAPIKeyAgainReset   = "This API key was reset already"
	textAPIKeyAgainText    = "The page was sent a second time, and nothing more was done. The token was shown once and cannot be shown again. If you did not store it, reset the key, or delete it and create another."
	textAPIKeyAgainOpen    = "Open the API key"

	textAPIKeyToolbar     = "What you can do with this API key"
	textAPIKeyEdit        = "Edit"
	textAPIKeyReset       = "Reset"
	textAPIKeyDisable     = "Disable"
	textAPIKeyEnable      = "Enable"
	textAPIKeyDelete      = "Delete"
	textAPIKeyTabs        = "Sections"
	textAPIKeyTabUsage    = "Usage"
	textAPIKeyTabMade     = "Made with it"
	textAPIKeyIssued      = "Token issued"
	textAPIKeyID          = "ID"
	textAPIKeyEverywhere  = "everywhere"
	textAPIKeyAll         = "All permissions"
	textAPIKeyCreatedBy   = "created by"
	textAPIKeyUsed        = "last used"
	textAPIKeyLastUsed    = "Last used"
	textAPIKeyUsedDelay   = "Uses are written within half a minute."
	textAPIKeyNotReset    = "Not for this type: devices are enrolled under the token, and a new one would cut all of them off. Create a second key, enrol them anew, then delete this one."
	textAPIKeyByCommand   = "the server’s command line"
	textAPIKeyOfWorkspace = "Limited by the workspace to "

	textAPIKeyLeakedSince   = "Reported as leaked"
	textAPIKeyLeakedAdmin   = "Somebody who had the token reported it, and the key was disabled at once. Reset it for another token and enable it then, or create another key and delete this one. If the report was a mistake, enable the key again."
	textAPIKeyLeakedOther   = "Somebody who had the token reported it. It enrols nothing more; what is enrolled goes on working until you decide. Create another key, enrol the devices under it, then delete this one. If the report was a mistake, say so."
	textAPIKeyLeakedMistake = "It was a mistake"
	textAPIKeyRetiringTitle = "The token before still works"
	textAPIKeyRetiringEnds  = "ends"
	textAPIKeyRetiringNot   = "It cannot manage API keys. Programs that still use it are to be given the new one."
	textAPIKeyEndOverlap    = "End overlap now"

	textUsageTitle   = "Requests per day"
	textUsageSpan    = "The last 90 days, in days of UTC"
	textUsageColumn  = "Requests"
	textUsageNone    = "No requests in the last 90 days"
	textUsageNoneFor = "Each day’s requests with this key will be drawn here, those that were refused by a permission among them."

	textMadeTitle    = "Keys made with it"
	textMadeTable    = "API keys that were made with this one"
	textMadeNone     = "No keys were made with it"
	textMadeNoneFor  = "API keys that a program creates with this key, and with those in turn, are listed here."
	textMadeMore     = "Only the first 200 are listed."
	textKeyActsOn    = "On this key"
	textKeyActsBy    = "By this key"
	textKeyActsWhich = "Which activities"
	textKeyActsTable = "Activities of this API key"
	textKeyActsNone  = "What happens to this key will be listed here."
	textKeyActsNoBy  = "What programs change with this key will be listed here. Requests that only read are counted under Usage."

	textEditAPIKeySave    = "Save changes"
	textAPIKeyChanged     = "Somebody else changed this API key in the meantime."
	textAPIKeyChangedHelp = "Where their values differ from yours, they stand under the field. Save again to keep yours."
	textEditAPIKeyConfirm = "Another end or other addresses of an Admin key take a fresh passkey. What you entered is kept."

	textDisableLead    = "This is what happens:"
	textDisableAtOnce  = "Requests with it are refused everywhere as soon as this is done."
	textDisableBack    = "You can enable it again. Its token stays the same."
	textDisableLeft    = "This is left:"
	textDisableDo      = "Disable API key"
	textDisableMadeOne = "Also disable the key that was made with it"

	textDeleteKeyLead   = "This cannot be undone:"
	textDeleteKeyToken  = "The key goes for good. Requests with it are refused everywhere as soon as this is done."
	textDeleteKeyRecord = "What it did stays in the activity record."
	textDeleteKeyUsage  = "How often it was used is forgotten."
	textDeleteKeyDo     = "Delete API key"

	textEnableTitle     = "Enable the API key"
	textEnableLead      = "The key is let in again, with the token that it has."
	textEnableTakesBack = "That it was reported as leaked is taken back. Do this only if you know that nobody else has the token."
	textEnableMistake   = "The report was a mistake"

	textResetLead          = "This is what happens:"
	textResetNew           = "The key gets a new token, which is shown once."
	textResetAtOnce        = "The present token stops at once: programs that still use it are refused, unless you choose an overlap."
	textResetStaysDisabled = "The key is disabled and stays so, without an overlap: enable it afterwards."
	textResetTold          = "The owners and who created the key are told by e-mail."
	textResetNeverUsed     = "It was never used."
	textResetOverlap       = "Overlap"
	textResetOverlapHelp   = "How long both tokens work, for a planned change. Not after a leak. The old one cannot manage API keys meanwhile."
	textOverlapNone        = "None: the old token stops now"
	textOverlapHour        = "1 hour"
	textOverlapDay         = "24 hours"
	textOverlapCustom      = "Another time"
	textOverlapMinutes     = "Minutes"
	textOverlapHelp        = "At most 1,440, which is 24 hours."
	textOverlapWrong       = "must be a number between 1 and 1440"
	textResetDo            = "Reset API key"
	textResetNotTitle      = "This key cannot be reset"
)

// apiKeyFlashText is the toast of a code.
func apiKeyFlashText(code string) string {
	switch code {
	case "api_key_saved":
		return "The changes were saved. They hold everywhere."
	case "api_key_disabled":
		return "The API key is disabled. It is refused everywhere."
	case "api_key_enabled":
		return "The API key works again."
	case "api_key_deleted":
		return "The API key was deleted. It is refused everywhere."
	case "overlap_ended":
		return "The token before is refused everywhere."
	}
	return ""
}

// apiKeyFieldLabel is how a field of an API key is called, "" for other fields.
func apiKeyFieldLabel(name string) string {
	switch name {
	case "expires_at":
		return "Expiry"
	case "expires_on":
		return textAPIKeyDate
	case "allowed_ips":
		return textAPIKeyIPs
	case "overlap_minutes":
		return textResetOverlap
	case "minutes":
		return textOverlapMinutes
	case "api_key_max_days":
		return textSettingsMaxDays
	}
	return ""
}

func apiKeyBadge(s apikey.Status) badge {
	switch s {
	case apikey.Active:
		return badge{Word: "Active", Tone: "green"}
	case apikey.Disabled:
		return badge{Word: "Disabled", Tone: "red"}
	}
	return badge{Word: "Expired", Tone: "grey"}
}

// The badges beside the status.
func leakedBadge() badge   { return badge{Word: "Reported leaked", Tone: "red"} }
func endsSoonBadge() badge { return badge{Word: "Ends soon", Tone: "amber"} }
func retiringBadge() badge { return badge{Word: "Two tokens", Tone: "amber"} }

func apiKeyType(t apikey.Type) string { return t.Title() }

func apiKeyOpens(t apikey.Type) string {
	switch t {
	case apikey.Admin:
		return "Opens the REST API, within the permissions of the key: users, administrators, the activity record, settings, API keys."
	case apikey.SharedMobile:
		return "Opens the endpoints for shared mobile devices, and nothing else."
	case apikey.Clients:
		return "Opens the authenticator operations for browser extensions and agents, and nothing else."
	}
	return ""
}

// apiKeyTry is the path that a new token can be tried with.
func apiKeyTry(t apikey.Type) string {
	switch t {
	case apikey.SharedMobile:
		return "/shared-mobile/v1/whoami"
	case apikey.Clients:
		return "/authenticator/v1/whoami"
	}
	return "/api/v1/me"
}

// lifetimeText is an offered lifetime.
func lifetimeText(days int) string {
	if days == 365 {
		return textAPIKeyYear
	}
	return count(days, "day")
}

func withinText(days int) string { return "within " + count(days, "day") }

func unusedText(days int) string { return "not in " + count(days, "day") }

// endedText says when a key ended.
func endedText(on string) string { return "it ended on " + on }

// limitText says how long the workspace lets a token live.
func limitText(days int) string { return textAPIKeyOfWorkspace + count(days, "day") + "." }

// longestText is the choice of no end of one's own.
func longestText(days int) string {
	return "As long as the workspace allows: " + count(days, "day")
}

// lastUseText says when and from where a key was last used, before a reset.
func lastUseText(v visit, u apikey.Use) string {
	if u.At.IsZero() {
		return textResetNeverUsed
	}
	return "It was last used " + relative(v.now, u.At) + ", from " + usedFrom(u) + "."
}

// usedFrom says from where a key was used.
func usedFrom(u apikey.Use) string {
	if u.Agent == "" {
		return u.IP
	}
	return u.IP + " by " + u.Agent
}

// secondResetText says what a reset does to the overlap of the one before.
func secondResetText(tokenID string) string {
	return "The token before it, " + tokenID + ", still works and stops now, too."
}

// madeText offers to disable the keys that were made with one.
func madeText(n int) string {
	switch {
	case n == 1:
		return textDisableMadeOne
	case n >= apikey.DescendantsLimit:
		return "Also disable the keys that were made with it: " + thousands(n) + " or more"
	}
	return "Also disable the " + thousands(n) + " keys that were made with it"
}

// madeLeftText says how many keys that were made with one go on working.
func madeLeftText(n int) string {
	if n == 1 {
		return "1 API key that was made with it still works."
	}
	return thousands(n) + " API keys that were made with it still work."
}

// usageText is what the chart of a key's use shows, for who does not see it.
func usageText(total, most int64, day string) string {
	return count(int(total), "request") + " in 90 days, the most on " + day + ": " + thousands(int(most)) + "."
}

// apiKeyActionText is what an activity says that was done to an API key, and what
// was tried if it was refused.
func apiKeyActionText(action string) (done, tried string) {
	switch action {
	case "api_key.create":
		return "Created an API key", "Tried to create an API key"
	case "api_key.update":
		return "Changed an API key", "Tried to change an API key"
	case "api_key.reset":
		return "Reset an API key", "Tried to reset an API key"
	case "api_key.end_overlap":
		return "Ended the overlap of an API key", "Tried to end the overlap of an API key"
	case "api_key.disable":
		return "Disabled an API key", "Tried to disable an API key"
	case "api_key.enable":
		return "Enabled an API key", "Tried to enable an API key"
	case "api_key.delete":
		return "Deleted an API key", "Tried to delete an API key"
	case "api_key.report_leaked":
		return "Reported an API key as leaked", "Tried to report an API key as leaked"
	case "api_key.expiring":
		return "Warned that an API key ends", "Tried to warn that an API key ends"
	case "api_key.list", "api_key.find", "api_key.usage", "api_key.descendants":
		return "Looked at API keys", "Tried to look at API keys"
	case "api_key.use":
		return "Used an API key", "Tried to use an API key"
	}
	return action, action
}

// apiKeyDetailText is what the detail of an activity on an API key says.
func apiKeyDetailText(action, detail string) string {
	switch action {
	case "api_key.create":
		return "type " + apiKeyType(apikey.Type(detail))
	case "api_key.update":
		var names []string
		for name := range strings.FieldsSeq(detail) {
			names = append(names, fieldLabel(name))
		}
		return strings.Join(names, ", ")
	case "api_key.disable", "api_key.delete":
		if n, ok := strings.CutPrefix(detail, "descendants disabled: "); ok {
			return "keys made with it that were disabled: " + n
		}
	case "api_key.report_leaked":
		return leakText(detail)
	case "api_key.expiring":
		if at, err := time.Parse(time.RFC3339, detail); err == nil {
			return "on " + day(at, time.UTC)
		}
	case "api_key.reset":
		if d, err := time.ParseDuration(strings.TrimPrefix(detail, "overlap ")); err == nil {
			return "both tokens work for " + count(int(d.Round(time.Minute)/time.Minute), "minute")
		}
	}
	return detail
}

// leakText says what became of a key that was reported as leaked.
func leakText(did string) string {
	switch did {
	case outbox.LeakedDisabled:
		return "it was disabled"
	case outbox.LeakedNoEnrolment:
		return "it enrols nothing more"
	case outbox.LeakedRetiring:
		return "the token before the last reset ended"
	}
	return did
}
