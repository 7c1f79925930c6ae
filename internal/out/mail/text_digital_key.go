package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The ways in which a digital key opens, as messages name them.
const (
	byPIN     = "pin"
	byApp     = "app"
	byKeycard = "keycard"
)

// readDigitalKey returns a mail about a digital key with the PIN that it may bring.
func (s *Mailer) readDigitalKey(ctx context.Context, m outbox.Message) (outbox.Recipient, letter, error) {
	if m.Kind == (outbox.DigitalKeyIssued{}).MessageKind() {
		var p outbox.DigitalKeyIssued
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			return outbox.Recipient{}, letter{}, fmt.Errorf("reading a %s message: %w", m.Kind, err)
		}
		pin, err := s.openPIN(ctx, m, p.PIN)
		return p.To, digitalKeyIssued(p, pin), err
	}
	var p outbox.DigitalKeyChanged
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		return outbox.Recipient{}, letter{}, fmt.Errorf("reading a %s message: %w", m.Kind, err)
	}
	pin, err := s.openPIN(ctx, m, p.PIN)
	return p.To, digitalKeyChanged(p, pin), err
}

// openPIN opens the PIN of a message, "" for none. The workspace's key may be out of reach
// for a while: that is no reason to give up.
func (s *Mailer) openPIN(ctx context.Context, m outbox.Message, p *outbox.DigitalKeyPIN) (string, error) {
	if p == nil {
		return "", nil
	}
	if s.keyOf == nil || p.WorkspaceID != string(m.Workspace) {
		return "", fmt.Errorf("no sealing key is known for a %s message of %s", m.Kind, line(p.WorkspaceID))
	}
	key, err := s.keyOf(ctx, p.WorkspaceID)
	if err != nil {
		return "", &failure{err: fmt.Errorf("reading the sealing key of %s: %w", p.WorkspaceID, err)}
	}
	pin, err := key.Open(p.Sealed, p.Identity())
	if err != nil {
		return "", fmt.Errorf("opening a PIN: %w", err)
	}
	return pin.ExposeString(), nil
}

func digitalKeyIssued(p outbox.DigitalKeyIssued, pin string) letter {
	workspace := line(p.Workspace)
	l := letter{
		Subject:  "You have a digital key: " + doorsShort(p.Key),
		Greeting: greeting(p.To),
		Lead:     "You can open " + doorsShort(p.Key) + " of " + workspace + " during the times below. " + howTo(p.Key, pin),
		Big:      pin,
		Facts:    append(digitalKeyFacts(p.Key), facts(fact{"Given by", p.By})...),
		Advice:   adviceOf(p.Key, pin, workspace),
		Action:   "Open the app",
		Path:     "/app",
		Footer:   "You get this mail because " + workspace + " gave you a digital key.",
	}
	return l
}

func digitalKeyChanged(p outbox.DigitalKeyChanged, pin string) letter {
	workspace := line(p.Workspace)
	lead := "Your digital key for " + doorsShort(p.Key) + " of " + workspace + " was changed. This is how it is now. "
	if p.NewPIN {
		lead += "It has a new PIN: use the old one no more. "
	}
	return letter{
		Subject:  "Your digital key was changed: " + doorsShort(p.Key),
		Greeting: greeting(p.To),
		Lead:     lead + howTo(p.Key, pin),
		Big:      pin,
		Facts:    append(digitalKeyFacts(p.Key), facts(fact{"Changed by", p.By})...),
		Advice:   adviceOf(p.Key, pin, workspace),
		Action:   "Open the app",
		Path:     "/app",
		Footer:   "You get this mail because you hold this digital key.",
	}
}

func digitalKeyCancelled(p outbox.DigitalKeyCancelled) letter {
	workspace := line(p.Workspace)
	return letter{
		Subject:  "Your digital key was cancelled: " + doorsShort(p.Key),
		Greeting: greeting(p.To),
		Lead:     "Your digital key for " + doorsShort(p.Key) + " of " + workspace + " was cancelled: you cannot open with it any more.",
		Facts:    append(digitalKeyFacts(p.Key), facts(fact{"Cancelled by", p.By}, fact{"Cancelled", moment(p.At, p.Key.Timezone)})...),
		Advice:   "If you still need it, ask an administrator of " + workspace + " for another one.",
		Action:   "Open the app",
		Path:     "/app",
		Footer:   "You get this mail because you held this digital key.",
	}
}

// doorsShort names the doors within a sentence.
func doorsShort(k outbox.DigitalKey) string {
	switch len(k.Doors) {
	case 0:
		return "a door"
	case 1:
		return quoted(k.Doors[0].Name)
	case 2:
		return quoted(k.Doors[0].Name) + " and " + quoted(k.Doors[1].Name)
	}
	return fmt.Sprintf("%s and %d more doors", quoted(k.Doors[0].Name), len(k.Doors)-1)
}

// howTo says how the key opens.
func howTo(k outbox.DigitalKey, pin string) string {
	var ways []string
	if slices.Contains(k.Types, byApp) {
		ways = append(ways, "In the app, sign in with this e-mail address and press Unlock at the door.")
	}
	if slices.Contains(k.Types, byPIN) {
		way := "At the keypad, type your PIN and then #."
		if pin == "" {
			way += " The app shows you the PIN."
		}
		ways = append(ways, way)
	}
	if slices.Contains(k.Types, byKeycard) {
		ways = append(ways, "Or hold your keycard to the reader.")
	}
	if len(ways) == 1 && slices.Contains(k.Types, byKeycard) {
		ways[0] = "Hold your keycard to the reader."
	}
	return strings.Join(ways, " ")
}

func adviceOf(k outbox.DigitalKey, pin, workspace string) string {
	switch {
	case pin != "":
		return "Learn the PIN, then delete this mail. Never tell it to anybody: whoever knows it opens the door in your name."
	case slices.Contains(k.Types, byKeycard) && len(k.Types) == 1:
		return "If you lose the card, tell an administrator of " + workspace + " at once."
	}
	return "The key is yours alone. If you do not know " + workspace + ", you can ignore this mail."
}

// digitalKeyFacts are the doors and times of a key, in its zone.
func digitalKeyFacts(k outbox.DigitalKey) []fact {
	all := []fact{{"Name", k.Description}}
	for _, d := range k.Doors {
		text := line(d.Name)
		if place := line(d.Place); place != "" {
			text += ", " + place
		}
		if d.Timezone != k.Timezone && d.Timezone != "" {
			text += " (there it is the time of " + line(d.Timezone) + ")"
		}
		all = append(all, fact{"Door", text})
	}
	all = append(all, fact{"From", moment(k.StartsAt, k.Timezone)}, fact{"Until", moment(k.ExpiresAt, k.Timezone)})
	for _, h := range k.Hours {
		all = append(all, fact{"Only", hoursText(h)})
	}
	return facts(all...)
}

// hoursText is hours of the week in words: Monday to Friday, 08:00 to 18:00.
func hoursText(h outbox.DigitalKeyHours) string {
	from := fmt.Sprintf("%02d:%02d", h.From/60, h.From%60)
	to := fmt.Sprintf("%02d:%02d", h.To/60, h.To%60)
	if h.To <= h.From {
		to += " on the next day"
	}
	return daysText(h.Days) + ", " + from + " to " + to
}

// daysText names days of the week, Monday first; three or more in a row by their ends.
func daysText(days []int) string {
	const week = 7
	on := [week]bool{}
	for _, d := range days {
		if d >= 0 && d < week {
			on[(d+week-1)%week] = true // Monday is 0
		}
	}
	name := func(i int) string { return time.Weekday((i + 1) % week).String() }
	var parts []string
	for i := 0; i < week; i++ {
		if !on[i] {
			continue
		}
		end := i
		for end+1 < week && on[end+1] {
			end++
		}
		if end-i < 2 {
			parts = append(parts, name(i))
			continue
		}
		parts = append(parts, name(i)+" to "+name(end))
		i = end
	}
	if len(parts) == 1 && on == [week]bool{true, true, true, true, true, true, true} {
		return "Every day"
	}
	return strings.Join(parts, ", ")
}
