package panel

import (
	"net/url"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// keyEffects say what adding a key will do, or what it did.
func keyEffects(form url.Values, u directory.User, done bool) []string {
	kind, name := securitykey.Kind(form.Get("kind")), u.Name()
	tense := func(will, did string) string {
		if done {
			return did
		}
		return will
	}
	pinless := form.Get("verification") == string(securitykey.Pinless)
	var out []string
	switch form.Get("activation") {
	case beginNow:
		out = []string{tense("The card works at once.", "The card works.")}
		switch shown := form.Get("pin_delivery") == string(securitykey.DeliverResponse); {
		case pinless:
			out = append(out, "It needs no PIN.")
		case shown:
			out = append(out, tense("Its PIN is shown to you, once.", "It has a PIN. You hand it over."))
		default:
			out = append(out, tense("Its PIN goes to ", "Its PIN went to ")+u.Email+".")
		}
		if !pinless && form.Has("must_change") {
			out = append(out, name+" must change the PIN.")
		}
	case beginEmail:
		out = []string{tense(name+" gets an activation link at ", name+" was sent an activation link at ") + u.Email + "."}
		if kind == securitykey.ContactlessCard && strings.TrimSpace(form.Get("card_number")) != "" {
			out = append(out, "Only the card with that number can be activated with it.")
		} else if kind == securitykey.ContactlessCard {
			out = append(out, "The card that they show waits until you confirm it.")
		}
	case beginDesk:
		out = []string{tense("The key is assigned to "+name+", then you register it here.", "The key is assigned to "+name+".")}
	default:
		out = []string{tense("The key is assigned to "+name+". Nobody is told.", "The key is assigned to "+name+". Nobody was told.")}
	}
	if u.Shown() == directory.NotInvited && form.Get("activation") == beginEmail {
		out = append(out, tense("With it they are invited to the workspace.", "With it they were invited to the workspace."))
	}
	return out
}

// keyNext says what comes after a key was added.
func keyNext(form url.Values, u directory.User) []string {
	kind, name := securitykey.Kind(form.Get("kind")), u.Name()
	switch form.Get("activation") {
	case beginNow:
		if form.Get("pin_delivery") == string(securitykey.DeliverResponse) && form.Get("verification") == string(securitykey.ByPIN) {
			return []string{"Give " + name + " the card and the PIN, apart from each other."}
		}
		return []string{"Give " + name + " the card."}
	case beginAssign, beginDesk:
		return []string{textKeyNextSend}
	}
	if kind == securitykey.ContactlessCard && strings.TrimSpace(form.Get("card_number")) == "" {
		return []string{"Give " + name + " a card, if they have none.", textKeyNextConfirm}
	}
	if kind == securitykey.Smartphone {
		return []string{"If " + name + " has a key already, they sign in to the app with it, or with a temporary access pass from you.", "The key is active as soon as the phone is set up."}
	}
	return []string{"Give " + name + " the key, if you have it. It is active as soon as it was activated with the link."}
}

// securityKeyFlashText is the toast of a code.
func securityKeyFlashText(code string) string {
	switch code {
	case "key_suspended":
		return "The security key is suspended. Nothing is accepted from it."
	case "key_resumed":
		return "The security key is as it was before."
	case "key_sent":
		return "The activation is on its way. An older link stops working."
	case "key_confirmed":
		return "The security key was confirmed. It works now."
	case "key_deleted":
		return "The security key was deleted."
	case "key_saved":
		return "The changes were saved."
	case "key_registered":
		return "The key was registered. It works now."
	case "pin_reset_mailed":
		return "The PIN was reset. The new one is on its way to the holder."
	case "pass_withdrawn":
		return "The pass was withdrawn. What it opened has ended."
	}
	return ""
}

// securityKeyFieldLabel is how a field of a security key is called, "" for others.
func securityKeyFieldLabel(name string) string {
	switch name {
	case "kind":
		return textColumnKind
	case "model":
		return textColumnModel
	case "verification":
		return textVerification
	case "proximity":
		return textProximity
	case "activation":
		return textStepActivation
	case "card_number", "card":
		return textCardNumber
	case "pin":
		return textPIN
	case "pin_delivery":
		return textPINDelivery
	case "pin_min":
		return textPINMin
	case "pin_max":
		return textPINMax
	case "pinless":
		return textVerifyPinless
	case "models_allowed", "models_allowed_more":
		return textModelsAllowed
	case "models_blocked", "models_blocked_more":
		return textModelsBlocked
	case "unused_days":
		return "Days without use"
	case "grace_days":
		return "Days until it is suspended"
	case "lifetime":
		return "Lifetime"
	case "length":
		return textPassLength
	case "starts_at":
		return textPassStartsAt
	}
	return ""
}

// securityKeyActionText is what an activity says that was done to a security key or a
// pass, and what was tried if it was refused.
func securityKeyActionText(action string) (done, tried string) {
	switch action {
	case "security_key.create":
		return "Added a security key", "Tried to add a security key"
	case "security_key.send_activation":
		return "Sent the activation of a security key", "Tried to send the activation of a security key"
	case "security_key.activate":
		return "Activated a security key", "Tried to activate a security key"
	case "security_key.confirm":
		return "Confirmed a security key", "Tried to confirm a security key"
	case "security_key.update":
		return "Changed a security key", "Tried to change a security key"
	case "security_key.suspend":
		return "Suspended a security key", "Tried to suspend a security key"
	case "security_key.resume":
		return "Took back the suspension of a security key", "Tried to take back the suspension of a security key"
	case "security_key.delete":
		return "Deleted a security key", "Tried to delete a security key"
	case "security_key.report_lost":
		return "Reported a security key lost", "Tried to report a security key lost"
	case "security_key.register":
		return "Registered a security key", "Tried to register a security key"
	case "security_key.pin_reset":
		return "Reset a PIN", "Tried to reset a PIN"
	case "security_key.pin_change":
		return "Changed a PIN", "Tried to change a PIN"
	case "security_key.pin_try":
		return "Entered a PIN", "Tried a PIN"
	case "security_key.notice":
		return "Told the holder of an unused security key", "Tried to tell the holder of an unused security key"
	case "security_key.list", "security_key.find", "security_key.history", "security_key.unused":
		return "Looked at security keys", "Tried to look at security keys"
	case "workspace.security_keys":
		return "Changed the settings of security keys", "Tried to change the settings of security keys"
	case "access_pass.issue":
		return "Made a temporary access pass", "Tried to make a temporary access pass"
	case "access_pass.withdraw":
		return "Withdrew a temporary access pass", "Tried to withdraw a temporary access pass"
	case "access_pass.use":
		return "Used a temporary access pass", "Tried to use a temporary access pass"
	case "access_pass.find":
		return "Looked at a temporary access pass", "Tried to look at a temporary access pass"
	}
	return action, action
}

// securityKeyDetailText is what the detail of an activity on a key or a pass says.
func securityKeyDetailText(detail string) string {
	switch {
	case slices.Contains(securitykey.Kinds(), securitykey.Kind(detail)):
		return strings.ToLower(kindWords(securitykey.Kind(detail)).Name[:1]) + kindWords(securitykey.Kind(detail)).Name[1:]
	case detail == "set":
		return "to one that was typed"
	case detail == "generated":
		return "to a generated one"
	case detail == "to confirm":
		return "waits to be confirmed"
	case detail == "unused":
		return "because nobody used it"
	}
	return detail
}

// securityKeyActionsOffered are the acts on keys and passes that the record can be
// searched for.
func securityKeyActionsOffered() []string {
	return []string{
		"security_key.create", "security_key.send_activation", "security_key.activate", "security_key.confirm", "security_key.update", "security_key.suspend",
		"security_key.resume", "security_key.report_lost", "security_key.notice", "security_key.pin_reset", "security_key.pin_change", "security_key.pin_try",
		"security_key.delete", "workspace.security_keys", "access_pass.issue", "access_pass.withdraw", "access_pass.use",
	}
}

// securityKeyReasonText is why something with a key or a pass was refused, "" for
// other reasons.
func securityKeyReasonText(code string) string {
	switch code {
	case "pin_invalid":
		return "the PIN was not right"
	case "pin_paused":
		return "the PIN is paused"
	case "pin_locked":
		return "the PIN is locked"
	case "card_registered":
		return "the card is registered already"
	case "card_mismatch":
		return "not the card that was named"
	case "model_not_allowed":
		return "a model that is not allowed"
	case "stronger_proof", "needs_proof":
		return "more than a mailbox is needed"
	case "keys_only":
		return "the session is for setting up keys only"
	case "security_key_suspended":
		return "the security key is suspended"
	case "activation_not_found":
		return "the link was used, replaced or too old"
	case "pass_rejected":
		return "the pass was not right"
	case "user_suspended":
		return "the user is suspended"
	case "too_many_keys":
		return "the user has too many keys"
	case "key_not_active":
		return "the key is not active"
	case "not_a_card":
		return "only cards have a PIN here"
	}
	return ""
}

func accessPassBadge(s signin.AccessPassState) badge {
	switch s {
	case signin.PassScheduled:
		return badge{Word: "Scheduled", Tone: "amber"}
	case signin.PassValid:
		return badge{Word: "Valid", Tone: "green"}
	case signin.PassUsed:
		return badge{Word: "Used", Tone: "grey"}
	case signin.PassReplaced:
		return badge{Word: "Replaced", Tone: "grey"}
	case signin.PassWithdrawn:
		return badge{Word: "Withdrawn", Tone: "red"}
	}
	return badge{Word: "Expired", Tone: "grey"}
}
