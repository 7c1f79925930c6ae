package mail

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

const productName = "Keyhold"

// letter is what a mail says, for both of its forms. All of its texts are single
// lines. Big stands as it is: a PIN has no other form.
type letter struct {
	Subject  string // and heading
	Greeting string
	Lead     string
	Big      string // a secret to be read and typed, "" for none
	Facts    []fact
	Block    string // a line to be copied as it stands, "" for none
	Advice   string // what to do if this was not wanted
	Action   string // the button that leads to Keyhold
	Path     string // the page that it leads to, "" for the start
	Query    string // of the page's address
	QR       string // what the picture of the page's address is called, "" for no picture
	Footer   string
}

// fact is one line of the table of what happened.
type fact struct{ Name, Value string }

func passkeyRegistered(p outbox.PasskeyRegistered) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "A passkey was added to your account",
		Greeting: greeting(p.To),
		Lead:     "From now on, a new passkey signs in to your account in the workspace " + workspace + ".",
		Facts: facts(
			fact{"Passkey", p.Passkey},
			fact{"Added", moment(p.At, p.To.Timezone)},
			fact{"IP address", p.IP},
			fact{"Browser", p.Agent},
		),
		Advice: "If this was you, there is nothing to do. If it was not, tell an administrator of " + workspace + " at once: whoever holds this passkey can sign in as you.",
		Action: "Open " + productName,
		Footer: "You get this mail because it is about how your account is signed in to.",
	}
}

func apiKeyCreated(p outbox.APIKeyCreated) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "An API key was created in " + workspace,
		Greeting: greeting(p.To),
		Lead:     "A new API key lets a program act in the workspace " + workspace + ".",
		Facts: facts(
			fact{"API key", p.APIKey},
			fact{"Type", apiKeyType(p.Type)},
			fact{"Token ID", p.TokenID},
			fact{"Created by", p.By},
			fact{"Created", moment(p.At, p.To.Timezone)},
		),
		Advice: "If you expected this key, there is nothing to do. If you did not, look into it at once: whoever holds its token can do all that it opens.",
		Action: "Open " + productName,
		Footer: "You get this mail because you are an owner of " + workspace + ".",
	}
}

func apiKeyType(t string) string {
	switch t {
	case "admin":
		return "Admin (the administration API)"
	case "shared_mobile":
		return "Shared mobile"
	case "clients":
		return "Clients (authenticator operations)"
	}
	return t
}

func apiKeyReset(p outbox.APIKeyReset) letter {
	workspace := line(p.Workspace)
	old := "refused since then, everywhere"
	if p.OverlapEndsAt > 0 {
		old = "good until " + moment(p.OverlapEndsAt, p.To.Timezone)
	}
	lead := "An API key of the workspace " + workspace + " has a new token. Programs that still use the old one are refused."
	if p.OverlapEndsAt > 0 {
		lead = "An API key of the workspace " + workspace + " has a new token. The old one stays good for a while, for everything but managing API keys."
	}
	return letter{
		Subject:  "API key " + quoted(p.APIKey) + " was reset",
		Greeting: greeting(p.To),
		Lead:     lead,
		Facts: facts(
			fact{"API key", p.APIKey},
			fact{"New token ID", p.TokenID},
			fact{"Old token ID", p.OldTokenID},
			fact{"Old token", old},
			fact{"Reset by", p.By},
			fact{"Reset", moment(p.At, p.To.Timezone)},
			fact{"IP address", p.IP},
		),
		Advice: "If you know of this, make sure that the programs get the new token. If you do not, disable the key at once: whoever reset it holds its token.",
		Action: "Look at the API key",
		Path:   apiKeyPath(p.KeyID),
		Footer: "You get this mail because you are an owner of " + workspace + ", or because this key goes back to you.",
	}
}

func apiKeyExpiring(p outbox.APIKeyExpiring) letter {
	workspace := line(p.Workspace)
	in := "in " + daysLeft(p.EndsAt-p.At)
	advice := "If a program still needs it, give the key a later expiry, or create a new key for the program, before then. If none does, there is nothing to do."
	if p.Type == "admin" {
		advice = "If a program still needs it, reset the key with an overlap and give the program the new token, or give the key a later expiry, before then. If none does, there is nothing to do."
	}
	return letter{
		Subject:  "API key " + quoted(p.APIKey) + " expires " + in,
		Greeting: greeting(p.To),
		Lead:     "An API key of the workspace " + workspace + " expires " + in + ". From then on every program that uses it is refused.",
		Facts: facts(
			fact{"API key", p.APIKey},
			fact{"Type", apiKeyType(p.Type)},
			fact{"Token ID", p.TokenID},
			fact{"Expires", moment(p.EndsAt, p.To.Timezone)},
		),
		Advice: advice,
		Action: "Look at the API key",
		Path:   apiKeyPath(p.KeyID),
		Footer: "You get this mail because you may manage the API keys of " + workspace + ", or because this key goes back to you.",
	}
}

func apiKeyLeaked(p outbox.APIKeyLeaked) letter {
	workspace := line(p.Workspace)
	lead, advice := leakedTexts(p.Did)
	return letter{
		Subject:  "The token of the API key " + quoted(p.APIKey) + " was reported as leaked",
		Greeting: greeting(p.To),
		Lead:     "Somebody who holds the token of an API key of the workspace " + workspace + " reported that it leaked. " + lead,
		Facts: facts(
			fact{"API key", p.APIKey},
			fact{"Type", apiKeyType(p.Type)},
			fact{"Token ID", p.TokenID},
			fact{"Reported", moment(p.At, p.To.Timezone)},
			fact{"From IP address", p.IP},
		),
		Advice: advice,
		Action: "Look at the API key",
		Path:   apiKeyPath(p.KeyID),
		Footer: "You get this mail because you may manage the API keys of " + workspace + ", or because this key goes back to you.",
	}
}

// leakedTexts says what was done with a key that leaked, and what is left to do.
func leakedTexts(did string) (lead, advice string) {
	const look = " Its activities show what was done with it."
	switch did {
	case outbox.LeakedDisabled:
		return "The key is disabled: nobody gets in with it any more.",
			"Find out where the token was found and who could have read it." + look + " If a program still needs access, create a new key for it; do not enable this one without resetting it right after."
	case outbox.LeakedNoEnrolment:
		return "No device can be enrolled with it any more. Those that are enrolled go on working, until an administrator decides otherwise.",
			"Find out where the token was found and who could have read it." + look + " Create a new key, enrol the devices with it, then delete this one; disable it at once if you see a device that you do not know."
	case outbox.LeakedRetiring:
		return "It was the old token, which a reset had left good for a while: that is over. The key itself goes on working with its new token.",
			"Make sure that all programs have the new token, and find out where the old one was found." + look
	}
	return "", "Look at the key, and find out where the token was found." + look
}

// quoted is a name within a sentence.
func quoted(name string) string { return "“" + clean(name, maxQuoted) + "”" }

// apiKeyPath is the page of an API key, or of all of them if it is not known which.
func apiKeyPath(key string) string {
	if key = line(key); key == "" {
		return "/api-keys"
	}
	return "/api-keys/" + key
}

// daysLeft is a time in days: a begun one counts, and one is the least.
func daysLeft(ms int64) string {
	const day = int64(24 * time.Hour / time.Millisecond)
	if n := (ms + day - 1) / day; n > 1 {
		return strconv.FormatInt(n, 10) + " days"
	}
	return "1 day"
}

func emailChanged(p outbox.EmailChanged) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "Your e-mail address was changed",
		Greeting: greeting(p.To),
		Lead:     "The e-mail address of your account in the workspace " + workspace + " was changed.",
		Facts: facts(
			fact{"Before", p.Old},
			fact{"Now", p.New},
			fact{"Changed by", p.By},
			fact{"Changed", moment(p.At, p.To.Timezone)},
		),
		Advice: "If you know of this, there is nothing to do: mail about your account goes to the new address from now on. If you do not, tell an administrator of " + workspace + " at once.",
		Action: "Open " + productName,
		Footer: "You get this mail, at both addresses, because it is about how your account is reached.",
	}
}

// signInCode says the code: computed here, it stands nowhere else.
func signInCode(p outbox.SignInCode, code string) letter {
	return letter{
		Subject:  "Your sign-in code",
		Greeting: greeting(p.To),
		Lead:     "Type this code in the window in which you asked for it. It works in no other, and only once.",
		Facts: facts(
			fact{"Code", code[:4] + " " + code[4:]},
			fact{"Good until", moment(p.ExpiresAt, p.To.Timezone)},
			fact{"IP address", p.IP},
			fact{"Browser", p.Agent},
		),
		Advice: "If you did not ask for a code, there is nothing to do: without it nobody gets in. Never tell it to anybody, whoever asks.",
		Action: "Open " + productName,
		Path:   "/app",
		Footer: "You get this mail because somebody asked to sign in with your address.",
	}
}

func invitation(p outbox.Invitation) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "You are invited to " + workspace,
		Greeting: greeting(p.To),
		Lead:     "You have an account in the workspace " + workspace + " now. With it you look after your keys: press the button and sign in with this e-mail address. There is no password.",
		Facts: facts(
			fact{"Workspace", p.Workspace},
			fact{"Your e-mail", p.To.Email},
			fact{"Invited by", p.By},
			fact{"Invited", moment(p.At, p.To.Timezone)},
		),
		Advice: "If you do not know " + workspace + ", you can ignore this mail: nothing happens until you sign in.",
		Action: "Open your account",
		Path:   "/app",
		Footer: "You get this mail because somebody of " + workspace + " made an account for this address.",
	}
}

func activityCheckpoint(p outbox.ActivityCheckpoint) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "Checkpoint of the activity record of " + workspace,
		Greeting: greeting(p.To),
		Lead:     "This is how the activity record of the workspace " + workspace + " ended. Keep this mail where nobody who can change the database can reach it.",
		Facts: facts(
			fact{"Lines", strconv.FormatInt(p.Index, 10)},
			fact{"At", moment(p.At, p.To.Timezone)},
		),
		Block:  clean(p.Checkpoint, maxBlock),
		Advice: "To prove later that no line was cut off or rewritten, save the checkpoint above to a file and run: keyhold activity verify --checkpoint FILE. Or paste it into the page Activities, under Verify the record.",
		Action: "Open " + productName,
		Footer: "You get this mail because your address is set for checkpoints in the settings of " + workspace + ". One is sent in every hour in which something happened.",
	}
}

func passkeyWaits(p outbox.PasskeyWaits) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "A passkey waits for your confirmation",
		Greeting: greeting(p.To),
		Lead:     "An administrator of " + workspace + " registered a passkey in the app. It opens the panel once another administrator has confirmed it.",
		Facts: facts(
			fact{"Administrator", p.Holder},
			fact{"E-mail", p.HolderEmail},
			fact{"Passkey", p.Passkey},
			fact{"Registered", moment(p.At, p.To.Timezone)},
			fact{"IP address", p.IP},
			fact{"Browser", p.Agent},
		),
		Advice: "Ask them in person or by telephone before you confirm it: whoever reads their mail could have registered it. If they know nothing of it, remove it.",
		Action: "Look at the passkey",
		Path:   "/administrators/" + line(p.Administrator),
		Footer: "You get this mail because you are an owner of " + workspace + ".",
	}
}

func administratorAdded(p outbox.AdministratorAdded) letter {
	workspace := line(p.Workspace)
	role := "an administrator"
	if p.Owner {
		role = "an owner"
	}
	return letter{
		Subject:  "You are now " + role + " of " + workspace,
		Greeting: greeting(p.To),
		Lead: "You were made " + role + " of the workspace " + workspace + ". To get into its panel, sign in to the app with a code by e-mail, " +
			"add a passkey there, and ask another administrator to confirm it.",
		Facts: facts(
			fact{"Made by", p.By},
			fact{"Made", moment(p.At, p.To.Timezone)},
		),
		Advice: "If you did not expect this, ask whoever made you " + role + " before you do anything.",
		Action: "Sign in to the app",
		Path:   "/app",
		Footer: "You get this mail because it is about what you may do in " + workspace + ".",
	}
}

func greeting(to outbox.Recipient) string {
	if name := line(to.Name); name != "" {
		return "Hello " + name + ","
	}
	return "Hello,"
}

// facts leaves out what is not known.
func facts(all ...fact) []fact {
	var out []fact
	for _, f := range all {
		if f.Value = line(f.Value); f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

// moment writes Unix milliseconds as a time in the recipient's zone, with the
// zone's name and its distance from UTC at that moment.
func moment(ms int64, timezone string) string {
	at := time.UnixMilli(ms).UTC()
	zone, err := time.LoadLocation(timezone)
	if err != nil || timezone == "" || timezone == "UTC" || timezone == "Local" {
		return at.Format(layout) + " UTC"
	}
	at = at.In(zone)
	return at.Format(layout) + " (" + timezone + ", UTC" + at.Format("-07:00") + ")"
}

const layout = "Monday, 2 January 2006, 15:04"

// maxLine bounds each text that comes from people or their browsers, in runes,
// maxQuoted each that stands in a subject, and maxBlock each that is to be copied: a
// line of mail may have no more.
const (
	maxLine   = 300
	maxQuoted = 100
	maxBlock  = 900
)

// line makes one bounded line of foreign text: without controls, and without the
// marks that turn the direction of what follows.
func line(s string) string { return clean(s, maxLine) }

func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return string(runes)
}
