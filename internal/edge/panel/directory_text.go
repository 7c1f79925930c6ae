package panel

// The texts of users and groups.
const (
	textUsersCounters    = "Users by status"
	textUsersTotal       = "Total"
	textUsersMore        = "More than "
	textUsersFound       = " found"
	textUsersSelect      = "Select "
	textUsersSelectAll   = "Select all on this page"
	textUsersSelected    = "selected"
	textUsersBulk        = "What to do with the selected users"
	textUsersSuspend     = "Suspend"
	textUsersActivate    = "Activate"
	textUsersDelete      = "Delete"
	textUsersAddToGroup  = "Add to a group"
	textUsersInvite      = "Invite"
	textUsersOpen        = "Open"
	textUsersMenu        = "More for "
	textUserTabGroups    = "Groups"
	textUserGroupAdd     = "Add to a group"
	textUserGroupAddDo   = "Add"
	textUserGroupChoose  = "Choose a group"
	textUserGroupNone    = "There is no group left that this user could be added to."
	textUserGroupAlways  = "holds all users"
	textUserGroupTable   = "Groups of this user"
	textUserGroupRemove  = "Remove"
	textUserSuspendedOn  = "Suspended since"
	textUserSuspendedAll = "Nothing of theirs is accepted until they are activated."
	textLeftTitle        = "What still works"
	textLeftWebsites     = "Websites keep sessions of their own: who is signed in there stays so until that session ends."
	textLeftDisable      = "Disable these API keys too"

	textWizardSteps    = "Steps"
	textWizardInfo     = "User info"
	textWizardGroups   = "Groups"
	textWizardReview   = "Review"
	textWizardNext     = "Next"
	textWizardBack     = "Back"
	textWizardCreate   = "Create user"
	textWizardChange   = "Change"
	textWizardInvite   = "Send an invitation by e-mail"
	textWizardInvited  = "The mail says how to sign in. You can also invite later, from the user’s page."
	textWizardSearch   = "Find groups"
	textWizardSearchDo = "Find"
	textWizardChosen   = "Chosen"
	textWizardOffered  = "Groups"
	textWizardNoneLike = "No other group is called so."
	textWizardMore     = "There are more groups: type the beginning of a name to find them."
	textWizardNoGroups = "There are no groups yet besides Everyone, which holds all users."
	textWizardOnlyAll  = "Everyone only"

	textGroupsTitle      = "Groups"
	textGroupsSearch     = "Search groups"
	textGroupsSearchHelp = "Name of the group"
	textGroupsNew        = "New group"
	textGroupsTable      = "Groups of the workspace"
	textGroupsNone       = "No groups found"
	textGroupsNoneHelp   = "No group matches what you are looking for. Try the beginning of a word."
	textGroupsClear      = "Clear the search"
	textGroupMembers     = "Members"
	textGroupDescription = "Description"
	textGroupCreate      = "Create group"
	textGroupSave        = "Save changes"
	textGroupEdit        = "Edit"
	textGroupDelete      = "Delete"
	textGroupRefresh     = "Refresh"
	textGroupToolbar     = "What you can do with this group"
	textGroupBuiltin     = "Built in"
	textGroupEveryone    = "Everyone holds all users, always. It cannot be changed."
	textGroupNameHelp    = "Short and known to all: “Night shift”."
	textGroupChanged     = "Somebody else changed this group in the meantime."
	textGroupChangedHelp = "Where their values differ from yours, they stand under the field. Save again to keep yours."
	textGroupMembersNone = "No members yet"
	textGroupMembersHelp = "Find a user above and add them."
	textGroupFindNone    = "No member matches what you are looking for."
	textGroupFind        = "Search members"
	textGroupAddTitle    = "Add a member"
	textGroupAdd         = "Add"
	textGroupAddFind     = "Find"
	textGroupAddHelp     = "Type a name, an e-mail address, a user ID or an employee ID"
	textGroupAddNone     = "Nobody is found by that."
	textGroupAddMore     = "There are more: type more of the name."
	textGroupIn          = "is a member"
	textGroupRemove      = "Remove"
	textGroupTable       = "Members of this group"
	textGroupGone        = "The group goes for good. Its members stay users."
	textGroupDeleteDo    = "Delete group"

	textLeaveSuspendDo     = "Suspend user"
	textLeaveSuspendLead   = "This is what happens at once:"
	textLeaveNothing       = "Nothing of theirs is accepted any more: no passkey, no code, no session."
	textLeaveBack          = "Passkeys and groups stay, and work again when you activate the user."
	textLeaveKeys          = "Also disable the API keys that they created"
	textLeaveKeysHelp      = "With the keys that those keys created."
	textLeaveKeysNot       = "Disabling them needs a permission that you do not have."
	textLeaveLeft          = "This is left:"
	textLeaveDeleteDo      = "Delete user"
	textLeaveDeleteLead    = "This cannot be undone:"
	textLeaveDeleteUser    = "The user goes for good, with their passkeys, sessions and memberships."
	textLeaveDeleteAdmin   = "They are an administrator no longer."
	textLeaveDeleteRecord  = "What they did stays in the activity record."
	textLeaveDeleteKeys    = "API keys that they created stay and work. Suspend the user first to disable them."
	textLeaveType          = "Type the name to confirm"
	textLeaveTypeWrong     = "is not what stands above"
	textLeaveWrong         = "Nothing was done yet."
	textLeaveConfirm       = "This person is an administrator, so we ask for your passkey again."
	textLeaveManyConfirm   = "Some of these people are administrators, so we ask for your passkey again."
	textLeaveManyNone      = "Nobody is selected"
	textLeaveManyNoneHelp  = "Go back to the list and tick the users that you mean."
	textLeaveManyBack      = "Back to All users"
	textLeaveManyResult    = "Result"
	textLeaveManyTable     = "What became of each user"
	textLeaveManyDone      = "Done"
	textLeaveManyFailed    = "Not done"
	textLeaveManyType      = "Type the number of users to confirm"
	textLeaveManyGroup     = "Group"
	textLeaveManyGroupNone = "There are no groups yet to add users to."
	textLeaveManyGroupMore = "Only the first 200 groups are listed here. For another one, open its page and add the users there."
)

// leftText says how many API keys of somebody go on working.
func leftText(n int) string {
	if n == 1 {
		return "1 API key that they created still works."
	}
	return thousands(n) + " API keys that they created still work."
}

// sessionsText says how many sessions end.
func sessionsText(n int) string {
	switch n {
	case 0:
		return "No session of theirs is open."
	case 1:
		return "1 session ends."
	}
	return thousands(n) + " sessions end."
}

// membersText says what becomes of the members of a group that is deleted.
func membersText(n int) string {
	if n == 1 {
		return "1 user is a member no longer."
	}
	return thousands(n) + " users are members no longer."
}

// manyTitle asks whether to do an act to n users.
func manyTitle(act string, n int) string {
	switch act {
	case actSuspend:
		return "Suspend " + count(n, "user") + "?"
	case actActivate:
		return "Activate " + count(n, "user") + "?"
	case actDelete:
		return "Delete " + count(n, "user") + "?"
	}
	return "Add " + count(n, "user") + " to a group"
}

// manyDo is the button that does an act to n users.
func manyDo(act string, n int) string {
	switch act {
	case actSuspend:
		return "Suspend " + count(n, "user")
	case actActivate:
		return "Activate " + count(n, "user")
	case actDelete:
		return "Delete " + count(n, "user")
	}
	return "Add to the group"
}

// manyEffects says what an act does to many.
func manyEffects(act string) []string {
	switch act {
	case actSuspend:
		return []string{textLeaveNothing, "Their sessions end.", textLeaveBack, textLeftWebsites}
	case actActivate:
		return []string{"What they had before works again. They sign in anew."}
	case actDelete:
		return []string{"They go for good, with their passkeys, sessions and memberships.", textLeaveDeleteRecord, textLeaveDeleteKeys}
	}
	return []string{"Who is a member already stays one."}
}

// manyResult says how an act on many ended.
func manyResult(act string, done, failed int) string {
	text := map[string]string{
		actSuspend: " suspended", actActivate: " activated", actDelete: " deleted", actGroup: " in the group",
	}[act]
	text = count(done, "user") + text
	if failed > 0 {
		text += ", " + thousands(failed) + " not"
	}
	return text + "."
}
