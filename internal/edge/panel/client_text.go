package panel

import (
	"strings"

	"github.com/keyhold/keyhold/internal/room/client"
)

// The texts of the programs at workstations.
const (
	textClientsTitle      = "Clients"
	textClientsTable      = "Clients of the workspace"
	textClientsCounters   = "Clients by state"
	textClientsSearch     = "Search clients"
	textClientsSearchHelp = "Beginning of a word of the name"
	textClientsNone       = "No clients yet"
	textClientsNoneText   = "A client is a program at a workstation that asks a security key for what a website wants to know. It enrols with an enrolment code, which approves it at once, or with a Clients key, and waits here for your approval."
	textClientsFoundHelp  = "No client fits. Look for other words, or take the filters away."
	textClientSeen        = "Last seen"
	textClientPinless     = "PINless"

	textClientToolbar        = "What you can do with this client"
	textClientApprove        = "Approve"
	textClientRevoke         = "Revoke"
	textClientRemove         = "Remove"
	textClientEnrolledWith   = "Enrolled with"
	textClientEnrolled       = "Enrolled"
	textClientApprovedAt     = "Approved"
	textClientRevokedAt      = "Revoked"
	textClientFormat         = "Reader format"
	textClientThumbprint     = "Key thumbprint"
	textClientThumbprintHelp = "Of the key that the program made for itself. It never changes."
	textClientRecent         = "Recent activities"
	textClientActivitiesNone = "What is done with this client will be listed here."
	textClientActsOn         = "All on this client"
	textClientActsBy         = "All it was refused"
	textClientActsHelp       = "Sign-ins through this client stand with the people who signed in: see their page, under Activities."

	textClientWaits       = "Waits for your approval"
	textClientWaitsText   = "It can ask for nothing yet. Approve it if you know which computer it is and who set it up."
	textClientRevoked     = "This client was revoked"
	textClientRevokedText = "Whatever it asks for is refused, for good. Its program can enrol again with a new key. It stays in the list until you remove it."

	textApproveLead = "From then on it may ask security keys for what websites want to know."
	textApproveAsk  = "Anybody who has the Clients key can ask to be enrolled, under any name. Make sure that it is the computer that you think it is."
	textApproveID   = "Compare the ID with the one that the program shows at that computer."

	textRevokeAtOnce = "Whatever it asks for is refused as soon as this is done. Nobody signs in with a card at that computer any more."
	textRevokeTaps   = "Cards that were just tapped there, and PINs that were just entered, count no more."
	textRevokeFinal  = "It cannot be approved again. The program can enrol anew with a new key."
	textRevokeKeys   = "People’s cards and their passkeys at websites stay as they are, and work at other computers."
	textRevokeRecord = "What was done stays in the activity record."
	textRemoveRow    = "It goes from the list. Its key is known no more: a program that still has it could ask to be enrolled again."

	textClientChanged        = "Somebody else changed this client in the meantime."
	textClientNameHelp       = "Which computer it is, so that others know it too: “Front desk 2”."
	textClientFormatLead     = "How the card reader at that computer types the number of a card. Hold a card to the reader over an empty text field and compare with the number in Keyhold."
	textClientPinlessAllow   = "Security keys without a PIN work at this client"
	textClientPinlessHelp    = "Only for security keys that are set to “no PIN”. All others ask for their PIN here too."
	textClientPinlessWarning = "Whoever holds such a card, or a copy of it, signs in at this computer as its holder. Allow it only where others watch, such as a counter that is always staffed."

	textCodesTitle       = "Enrolment codes"
	textCodesLead        = "A program enrols with a code alone: it is approved at once, and gets a Clients key of its own. That helps when you set up many computers."
	textCodesGood        = "Codes that are good"
	textCodesNone        = "No codes"
	textCodesNoneText    = "Codes that can still be used are listed here. The codes themselves are shown once, when they are issued."
	textCodeNew          = "New code"
	textCodeIssue        = "Issue code"
	textCodeIssueOne     = "Issue an enrolment code"
	textCodeLife         = "Good for"
	textCodeUses         = "Computers"
	textCodeUsesHelp     = "How many programs it approves: 1 to 1,000."
	textCodeLeft         = "Uses left"
	textCodeEnds         = "Ends"
	textCodeOne          = "Enrolment code"
	textCodeReady        = "The enrolment code is ready"
	textCodeOnce         = "Copy the code now. It will not be shown again: we keep only a fingerprint of it."
	textCodeNextEnter    = "Give it to the program, with the address of this server. It needs no Clients key."
	textCodeNextKey      = "Whoever has the code can enrol a program that is approved at once: pass it on as you would a password."
	textCodeNextKeep     = "Withdraw it here as soon as it is not needed any more."
	textCodeAgain        = "This code was issued already"
	textCodeAgainText    = "The page was sent a second time, and nothing more was done. The code was shown once and cannot be shown again. If you did not store it, withdraw it and issue another."
	textCodeWithdraw     = "Withdraw a code"
	textCodeWithdrawDo   = "Withdraw"
	textCodeWithdrawLead = "Nothing enrols with this code any more."
	textCodeWithdrawLeft = "Clients that it approved stay approved."
)

func approveClientText(name string) string { return "Approve " + name + "?" }

// fromText and byText add who or where to a time, "" for nobody and nowhere.
func fromText(ip string) string {
	if ip == "" {
		return ""
	}
	return "from " + ip
}

func byText(name string) string {
	if name == "" {
		return ""
	}
	return textByPrefix + name
}

func leftOfText(left, uses int) string { return thousands(left) + " of " + thousands(uses) }

// waitingClientsText says how many clients wait for approval.
func waitingClientsText(n int) string {
	if n == 1 {
		return "1 client waits for approval"
	}
	return thousands(n) + " clients wait for approval"
}

func clientBadge(s client.State) badge {
	switch s {
	case client.Pending:
		return badge{Word: "Waiting", Tone: "amber"}
	case client.Approved:
		return badge{Word: "Approved", Tone: "green"}
	case client.Revoked:
		return badge{Word: "Revoked", Tone: "red"}
	}
	return badge{Word: string(s), Tone: "grey"}
}

func clientKind(k client.Kind) kindView {
	switch k {
	case client.Extension:
		return kindView{Name: "Browser extension", Icon: "puzzle", Help: "It answers websites in its browser."}
	case client.Agent:
		return kindView{Name: "Workstation agent", Icon: "device-desktop", Help: "It runs beside the browser, or on its own."}
	case client.CTAPTransport:
		return kindView{Name: "Security key service", Icon: "device-usb", Help: "It looks to the computer like a plugged-in security key."}
	case client.SharedMobile:
		return kindView{Name: "Shared mobile device", Icon: "device-mobile", Help: "A phone or tablet that several people use."}
	}
	return kindView{Name: string(k), Icon: "device-desktop"}
}

// readerFormat is how a card's number is typed, with the number 04A1B2C3 as an example.
func readerFormat(f client.ReaderFormat) choice {
	c := choice{Name: "reader_format", Value: string(f), Label: string(f)}
	switch f {
	case client.Hex:
		c.Label, c.Help = "Hexadecimal", "As Keyhold shows it, such as 04A1B2C3. Most readers do this."
	case client.HexReversed:
		c.Label, c.Help = "Hexadecimal, reversed", "The bytes in the other order: C3B2A104 for the card 04A1B2C3."
	case client.Decimal:
		c.Label, c.Help = "Decimal", "One number in digits: 0077705923 for the card 04A1B2C3."
	case client.DecimalReversed:
		c.Label, c.Help = "Decimal, reversed", "The bytes in the other order, as one number in digits: 3283263748 for the card 04A1B2C3."
	}
	return c
}

func clientFlashText(code string) string {
	switch code {
	case "client_saved":
		return "The changes were saved. Cards that were just tapped there must be tapped again."
	case "client_approved":
		return "The client is approved. It works from now on."
	case "client_revoked":
		return "The client was revoked. Whatever it asks for is refused."
	case "client_removed":
		return "The client was removed."
	case "code_withdrawn":
		return "The code was withdrawn."
	case "credential_deleted":
		return "The credential was deleted."
	}
	return ""
}

func clientFieldLabel(name string) string {
	switch name {
	case "reader_format":
		return textClientFormat
	case "pinless_allowed":
		return textClientPinless
	case "minutes":
		return textCodeLife
	case "uses":
		return textCodeUses
	}
	return ""
}

// clientActionText is what an activity of a client, or with a credential, says.
func clientActionText(action string) (done, tried string) {
	switch action {
	case "client.enrol":
		return "Enrolled a client", "Tried to enrol a client"
	case "client.approve":
		return "Approved a client", "Tried to approve a client"
	case "client.change":
		return "Changed a client", "Tried to change a client"
	case "client.revoke":
		return "Revoked a client", "Tried to revoke a client"
	case "client.delete":
		return "Removed a client", "Tried to remove a client"
	case "client.use", "client.touch":
		return "Used a client", "Tried to use a client"
	case "client.issue_code":
		return "Issued an enrolment code", "Tried to issue an enrolment code"
	case "client.withdraw_code":
		return "Withdrew an enrolment code", "Tried to withdraw an enrolment code"
	case "client.find", "client.list", "client.count", "client.list_codes":
		return "Looked at clients", "Tried to look at clients"
	case "credential.register":
		return "Registered at a website", "Tried to register at a website"
	case "credential.use":
		return "Signed in to a website", "Tried to sign in to a website"
	case "credential.delete":
		return "Deleted a credential", "Tried to delete a credential"
	case "credential.find", "credential.list":
		return "Looked at credentials", "Tried to look at credentials"
	}
	return action, action
}

// clientActionsOffered are the acts of clients and with credentials that the record can be
// searched for.
func clientActionsOffered() []string {
	return []string{
		"credential.register", "credential.use", "credential.delete", "client.enrol", "client.approve", "client.change", "client.revoke", "client.delete",
		"client.use", "client.issue_code", "client.withdraw_code",
	}
}

// clientDetailText is what an activity of a client says in its detail.
func clientDetailText(action, detail string) string {
	if action != "client.change" {
		return detail
	}
	names := strings.Split(detail, ", ")
	for i, name := range names {
		names[i] = fieldLabel(name)
	}
	return strings.Join(names, ", ")
}

// clientReasonText is why a client or an operation at a website was refused, "" for other
// reasons.
func clientReasonText(code string) string {
	switch code {
	case "key_suspended":
		return "the security key is suspended"
	case "key_not_active":
		return "the security key is not active, or not of this workspace"
	case "tap_not_good":
		return "the card had to be tapped again"
	case "options_changed":
		return "the website’s request changed after the tap"
	case "uv_token_not_good":
		return "the PIN was entered too long ago"
	case "pin_needed":
		return "the PIN was needed"
	case "pin_must_change":
		return "the PIN must be changed first"
	case "too_many_tries":
		return "too many tries in a short time"
	case "not_allowed_error":
		return "no credential fits there"
	case "invalid_state_error":
		return "registered there already"
	case "security_error":
		return "the website asked for another site’s credentials"
	case "type_error", "syntax_error":
		return "the website’s request could not be read"
	case "not_supported_error":
		return "the website asked for what is not supported"
	case "constraint_error":
		return "the website asked for more than the security key can do"
	case "unknown_error":
		return "something went wrong on our side"
	case "client_pending":
		return "the client waits for approval"
	case "client_revoked":
		return "the client was revoked"
	case "client_unknown":
		return "the client is not enrolled"
	case "proof_replayed", "invalid_dpop_proof":
		return "the client’s proof was not good, or was used before"
	case "enrolment_code_invalid":
		return "the enrolment code was not good"
	case "key_enrols_nobody":
		return "the API key was reported as leaked or is another client’s, and enrols nobody"
	case "client_known":
		return "the program is a client already"
	case "too_many_pending":
		return "too many clients wait for approval"
	case "vault_full":
		return "the user has too many credentials"
	}
	return ""
}
