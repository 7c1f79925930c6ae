package panel

import "github.com/keyhold/keyhold/internal/room/overview"

const (
	textDashboardTitle     = "Dashboard"
	textDashboardBoxes     = "What you can begin with"
	textDashboardNewUser   = "New user"
	textDashboardNewUserTo = "Add a person to the workspace"
	textDashboardNewKeyTo  = "Let somebody open doors for a time"
	textDashboardCounters  = "Numbers"
	textDashboardUsers     = "Users"
	textDashboardActive    = "Active users"
	textDashboardGroups    = "Groups"
	textDashboardLogins    = "Sign-ins in 7 days"
	textDashboardNobody    = "nobody yet"
	textDashboardOfAll     = "of all users"
	textDashboardSame      = "unchanged in 7 days"
	textDashboardNoGroups  = "none new in 7 days"
	textDashboardSameWeek  = "as many as in the 7 days before"

	textChartTitle   = "Sign-ins per day"
	textChartSpan    = "The last 30 days, here and at websites"
	textChartTable   = "Show as a table"
	textChartDay     = "Day"
	textChartNone    = "No sign-ins in the last 30 days"
	textChartNoneFor = "Each day’s sign-ins will be drawn here, with those that were refused or failed."

	textStatusesTitle = "Users by status"

	textKeyStatusesTitle = "Security keys by status"
	textStatusesNone     = "There are no users yet."

	textAttentionTitle = "Needs attention"
	textAttentionNone  = "Nothing needs your attention."
	textDeadMessages   = "could not be delivered in the last 7 days"

	textWelcomeTitle = "You are signed in"
	textWelcomeText  = "You have no permissions in this workspace yet, so there is nothing to show here. Ask one of its owners to give you some; they take effect at once."
)

// trendText says how a number changed over the last seven days.
func trendText(change int64) string {
	switch {
	case change > 0:
		return thousands(int(change)) + " more than 7 days ago"
	case change < 0:
		return thousands(int(-change)) + " fewer than 7 days ago"
	}
	return textDashboardSame
}

// groupsText says how many groups are new.
func groupsText(n int64) string {
	if n == 0 {
		return textDashboardNoGroups
	}
	return thousands(int(n)) + " new in 7 days"
}

// weekText compares a week with the one before.
func weekText(change int64) string {
	switch {
	case change > 0:
		return thousands(int(change)) + " more than in the 7 days before"
	case change < 0:
		return thousands(int(-change)) + " fewer than in the 7 days before"
	}
	return textDashboardSameWeek
}

// chartText is what the chart shows, for who does not see it.
func chartText(total, most int64, day string) string {
	return count(int(total), "sign-in") + " in 30 days, the most on " + day + ": " + thousands(int(most)) + "."
}

// expiringText is what is said of an API key that ends soon, before when it does.
func expiringText(name string) string { return "API key “" + name + "” expires" }

// leakedKeyText is what is said of an API key that was reported.
func leakedKeyText(name string) string { return "API key “" + name + "” was reported as leaked" }

func waitingText(name string, n int64) string {
	if n == 1 {
		return name + ": a passkey waits for confirmation"
	}
	return name + ": " + thousands(int(n)) + " passkeys wait for confirmation"
}

func suspendedText(name string, n int64) string {
	if n == 1 {
		return name + " is suspended, but an API key they created still works"
	}
	return name + " is suspended, but " + thousands(int(n)) + " API keys they created still work"
}

func deadText(n int64, more bool) string {
	text := count(int(n), "mail")
	if more {
		text = thousands(int(n)) + " or more mails"
	}
	return text + " " + textDeadMessages
}

// keyKindsText says how many keys there are of each kind.
func keyKindsText(n overview.SecurityKeys) string {
	return count(int(n.ByKind.ContactlessCard), "card") + ", " + count(int(n.ByKind.Smartphone), "phone") + ", " + count(int(n.ByKind.FIDO2), "FIDO2 key")
}
