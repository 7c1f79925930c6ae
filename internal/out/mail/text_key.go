package mail

import (
	"net/url"

	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The kinds of security keys, as messages name them.
const (
	kindCard  = "contactless_card"
	kindPhone = "smartphone"
)

// keyKind is what people call a kind of security key within a sentence.
func keyKind(kind string) string {
	switch kind {
	case kindCard:
		return "card"
	case kindPhone:
		return "phone"
	}
	return "security key"
}

// activation brings the link: computed here, it stands nowhere else.
func activation(p outbox.SecurityKeyActivation, link string) letter {
	workspace := line(p.Workspace)
	l := letter{
		Greeting: greeting(p.To),
		Facts: facts(
			fact{"Name", p.Key},
			fact{"Workspace", p.Workspace},
			fact{"Sent by", p.By},
			fact{"Good until", moment(p.ExpiresAt, p.To.Timezone)},
		),
		Advice: "The link works once and is yours alone: do not pass it on. If you do not know " + workspace + ", you can ignore this mail.",
		Path:   "/app/activate",
		Query:  url.Values{"link": {link}}.Encode(),
		QR:     "The link as a QR code",
		Footer: "You get this mail because an administrator of " + workspace + " assigned this " + keyKind(p.Kind) + " to you.",
	}
	switch p.Kind {
	case kindCard:
		l.Subject, l.Action = "Activate your card", "Activate the card"
		l.Lead = "A contactless card waits for you in the workspace " + workspace + ". Have the card at hand, open the link, tap the card on a reader or type its number, and choose a PIN."
	case kindPhone:
		l.Subject, l.Action = "Activate your phone", "Activate this phone"
		l.Lead = "Your phone can become a key in the workspace " + workspace + ". Open the link on the phone itself: if you read this on another screen, scan the QR code of the mail with the phone’s camera."
	default:
		l.Subject, l.Action = "Activate your security key", "Activate the security key"
		l.Lead = "A security key waits for you in the workspace " + workspace + ". Have the key at hand, open the link on a computer or phone to which you can connect it, and follow what the browser asks."
	}
	return l
}

// keyPIN says the PIN, which the message holds sealed.
func keyPIN(p outbox.SecurityKeyPIN, pin string) letter {
	workspace := line(p.Workspace)
	l := letter{
		Subject:  "The PIN of your card",
		Greeting: greeting(p.To),
		Lead:     "This is the PIN of your card in the workspace " + workspace + ". Together with the card it lets you in.",
		Big:      pin,
		Facts: facts(
			fact{"Card", p.Key},
			fact{"Set by", p.By},
			fact{"Set", moment(p.At, p.To.Timezone)},
		),
		Advice: "Learn the PIN, then delete this mail. Never tell it to anybody, whoever asks, and keep it away from the card.",
		Action: "Open your keys",
		Path:   "/app",
		Footer: "You get this mail because you hold this card.",
	}
	if p.Reset {
		l.Subject = "Your card has a new PIN"
		l.Lead = "The PIN of your card in the workspace " + workspace + " was reset. The old one does not work any more; this is the new one."
	}
	if p.MustChange {
		l.Advice = "Change it to a PIN of your own in the app, then delete this mail. Never tell a PIN to anybody, whoever asks."
		l.Action = "Choose your own PIN"
	}
	return l
}

func keyNotice(p outbox.SecurityKeyNotice) letter {
	workspace := line(p.Workspace)
	l := noticeTexts(p, workspace)
	l.Greeting = greeting(p.To)
	holder, by := "", p.By
	l.Action, l.Path, l.Footer = "Open your keys", "/app", "You get this mail because you hold this key."
	if toAdministrators(p.Did) {
		holder = p.Holder
		l.Action, l.Path = "Look at the key", "/security-keys"
		if key := line(p.KeyID); key != "" {
			l.Path += "/" + key
		}
		l.Footer = "You get this mail because you look after the security keys of " + workspace + "."
	}
	l.Facts = facts(
		fact{"Name", p.Key},
		fact{"Kind", keyKind(p.Kind)},
		fact{"Holder", holder},
		fact{"Done by", by},
		fact{"At", moment(p.At, p.To.Timezone)},
		fact{"IP address", p.IP},
		fact{"Browser", p.Agent},
	)
	if p.Until > 0 {
		l.Facts = append(l.Facts, fact{"Use it before", moment(p.Until, p.To.Timezone)})
	}
	return l
}

// toAdministrators says whether a notice tells others than the holder.
func toAdministrators(did string) bool { return did == outbox.KeyLost || did == outbox.KeyWaits }

// noticeTexts are the subject, the lead and the advice of a notice.
func noticeTexts(p outbox.SecurityKeyNotice, workspace string) letter {
	kind, in := keyKind(p.Kind), " in the workspace "+workspace
	unexpected := "If you know of this, there is nothing to do. If you do not, tell an administrator of " + workspace + " at once."
	switch p.Did {
	case outbox.KeyActivated:
		return letter{
			Subject: "Your " + kind + " is active", Lead: "Your " + kind + in + " works from now on.",
			Advice: "If this was not you and you did not expect it, tell an administrator of " + workspace + " at once: whoever holds this " + kind + " may get in as you.",
		}
	case outbox.KeySuspended:
		return letter{
			Subject: "Your " + kind + " was suspended", Lead: "Your " + kind + in + " does not work any more, until it is activated again.",
			Advice: "If you need it, ask an administrator of " + workspace + ".",
		}
	case outbox.KeyResumed:
		return letter{Subject: "Your " + kind + " works again", Lead: "Your " + kind + in + " is not suspended any more.", Advice: unexpected}
	case outbox.KeyDeleted:
		return letter{
			Subject: "Your " + kind + " was removed", Lead: "Your " + kind + in + " was removed for good. It opens nothing any more.",
			Advice: "If you still need it, ask an administrator of " + workspace + " for another one.",
		}
	case outbox.KeyPINSet:
		return letter{
			Subject: "A PIN was set for your " + kind, Lead: "An administrator set the PIN of your " + kind + in + " and hands it to you.",
			Advice: "If nobody gives you the PIN, or you did not ask for one, tell another administrator of " + workspace + " at once.",
		}
	case outbox.KeyPINChange:
		return letter{
			Subject: "The PIN of your " + kind + " was changed", Lead: "The PIN of your " + kind + in + " was changed in the app.",
			Advice: "If this was you, there is nothing to do. If it was not, report the " + kind + " lost in the app, or tell an administrator of " + workspace + " at once.",
		}
	case outbox.KeyPinless:
		return letter{
			Subject: "Your " + kind + " needs no PIN any more", Lead: "Your " + kind + in + " opens without a PIN from now on: whoever has it can use it.",
			Advice: "If you lose it, report it lost in the app at once. If you want a PIN, ask an administrator of " + workspace + " to reset it.",
		}
	case outbox.KeyPINLocked:
		return letter{
			Subject: "The PIN of your " + kind + " is locked", Lead: "A wrong PIN was given too often for your " + kind + in + ". No PIN is taken any more until it is reset.",
			Advice: "If this was you, ask an administrator of " + workspace + " to reset the PIN. If it was not, report the " + kind + " lost at once.",
		}
	case outbox.KeyUnused:
		return letter{
			Subject: "Your " + kind + " is not used", Lead: "Your " + kind + in + " was not used for a long time. It is suspended unless you use it.",
			Advice: "If you still need it, use it once before then. If you lost it, report that in the app. Otherwise there is nothing to do.",
		}
	case outbox.KeyLost:
		return letter{
			Subject: "A " + kind + " was reported lost", Lead: "The holder of a " + kind + in + " reported it lost. It is suspended: nobody gets in with it.",
			Advice: "If it does not turn up, delete it and give the holder another one.",
		}
	case outbox.KeyWaits:
		return letter{
			Subject: "A " + kind + " waits to be confirmed", Lead: "The holder of a " + kind + in + " did their part to activate it. It works once an administrator has confirmed it.",
			Advice: "Ask the holder, face to face or by phone, whether it was them. Then confirm the " + kind + ", or delete it.",
		}
	}
	return letter{Subject: "Your " + kind, Lead: "Something was done with your " + kind + in + ".", Advice: unexpected}
}

func accessPassIssued(p outbox.AccessPassIssued) letter {
	workspace := line(p.Workspace)
	use := "It can be used until it ends."
	if p.OneTime {
		use = "It can be used once."
	}
	return letter{
		Subject:  "A temporary access pass was made for you",
		Greeting: greeting(p.To),
		Lead:     "An administrator of " + workspace + " made a temporary access pass for you and tells you its code. With it you sign in to the app and set up your keys. " + use,
		Facts: facts(
			fact{"Made by", p.By},
			fact{"Made", moment(p.At, p.To.Timezone)},
			fact{"Good from", moment(p.StartsAt, p.To.Timezone)},
			fact{"Good until", moment(p.ExpiresAt, p.To.Timezone)},
		),
		Advice: "If you did not ask for it, tell another administrator of " + workspace + " at once: whoever has the code gets in as you.",
		Action: "Open the app",
		Path:   "/app",
		Footer: "You get this mail because it is about how your account is signed in to.",
	}
}
