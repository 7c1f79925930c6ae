package digitalkey

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/secret"
)

func invalid(fields ...fault.Field) *fault.Error {
	return fault.Invalid("invalid_fields", "Some fields need your attention.", fields...)
}

// checker gathers the fields at fault.
type checker struct{ fields []fault.Field }

func (c *checker) wrong(is bool, name, message string) {
	if is {
		c.fields = append(c.fields, fault.Field{Name: name, Message: message})
	}
}

func (c *checker) fault() *fault.Error {
	if len(c.fields) == 0 {
		return nil
	}
	return invalid(c.fields...)
}

// description returns the text in its stored form.
func (c *checker) description(s string) string {
	valid := utf8.ValidString(s)
	s = strings.TrimSpace(norm.NFC.String(strings.ToValidUTF8(s, "")))
	c.wrong(!valid || strings.ContainsFunc(s, isForbidden), "description", "holds a character that is not allowed")
	c.wrong(utf8.RuneCountInString(s) > MaxDescription, "description", "is too long: at most "+strconv.Itoa(MaxDescription)+" characters")
	return s
}

// isForbidden says whether r may not stand in a line of text: controls, and the marks
// that turn the direction of what follows.
func isForbidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// weekly returns the hours in their stored form: the days in order, each once.
func (c *checker) weekly(all []Hours) []Hours {
	c.wrong(len(all) > MaxHours, "weekly_hours", "are too many: at most "+strconv.Itoa(MaxHours)+" spans")
	var out []Hours
	for _, h := range all {
		days := slices.Compact(slices.Sorted(slices.Values(h.Days)))
		c.wrong(len(days) == 0, "weekly_hours", "need a day of the week")
		c.wrong(len(days) > 0 && (days[0] < time.Sunday || days[len(days)-1] > time.Saturday), "weekly_hours", "name a day of the week that does not exist")
		c.wrong(h.From < 0 || h.From >= minutesOfDay || h.To < 0 || h.To > minutesOfDay, "weekly_hours", "must be between 00:00 and 24:00")
		out = append(out, Hours{Days: days, From: h.From, To: h.To})
	}
	return out
}

func (c *checker) role(r Role) Role {
	c.wrong(r != "" && r != RoleUser && r != RoleAdmin, "role", "must be "+string(RoleUser)+" or "+string(RoleAdmin))
	if r == "" {
		return RoleUser
	}
	return r
}

// types returns the types in their one order, each once.
func (c *checker) types(all []Type) []Type {
	c.wrong(len(all) == 0, "types", "are needed: at least one of pin, app and keycard")
	var out []Type
	for _, t := range Types() {
		if slices.Contains(all, t) {
			out = append(out, t)
		}
	}
	for _, t := range all {
		if !slices.Contains(out, t) {
			c.wrong(true, "types", "must be pin, app or keycard")
			break
		}
	}
	return out
}

func (c *checker) notify(n Notify) {
	c.wrong(n.ShowPIN && !n.Email, "notify", "can show the PIN only in an e-mail")
}

// pin checks the form of a chosen PIN, which is no secret rule.
func (c *checker) pin(p secret.Bytes) {
	c.wrong(!p.IsEmpty() && !grant.IsPIN(p.ExposeString()), "pin", "must be "+strconv.Itoa(grant.MinPIN)+" to "+strconv.Itoa(grant.MaxPIN)+" digits")
}

// card returns the number of a card, empty for none.
func (c *checker) card(cardType, typed string) secret.Bytes {
	c.wrong(cardType != "" && cardType != card.UID, "keycard", "must be of the type uid")
	if typed == "" {
		return secret.Bytes{}
	}
	number, ok := card.Parse(typed)
	c.wrong(!ok, "keycard", "must be the card's UID in hex: 4, 7 or 10 bytes")
	return number
}

// check checks what can be said of a new key by itself.
func (n NewKey) check() *fault.Error {
	var c checker
	c.description(n.Description)
	locks := slices.Compact(slices.Sorted(slices.Values(n.Locks)))
	c.wrong(len(n.Locks) == 0, "locks", "are needed: at least one")
	c.wrong(len(n.Locks) > MaxLocks, "locks", "are too many: at most "+strconv.Itoa(MaxLocks))
	c.wrong(len(locks) != len(n.Locks), "locks", "name a lock twice")
	c.wrong(n.User == "", "user", "is needed")
	n.Span.resolve(&c, "")
	c.weekly(n.Weekly)
	c.role(n.Role)
	types := c.types(n.Types)
	byPIN, byCard := slices.Contains(types, PIN), slices.Contains(types, Keycard)
	c.pin(n.PIN)
	c.wrong(!byPIN && (!n.PIN.IsEmpty() || n.PINLength != 0), "pin", "belongs to keys that open by PIN")
	c.wrong(n.PINLength != 0 && (n.PINLength < grant.MinPIN || n.PINLength > grant.MaxPIN), "pin", "must have "+strconv.Itoa(grant.MinPIN)+" to "+strconv.Itoa(grant.MaxPIN)+" digits")
	c.card(n.CardType, n.CardNumber)
	c.wrong(!byCard && n.CardNumber != "", "keycard", "belongs to keys that open by keycard")
	c.notify(n.Notify)
	return c.fault()
}

// spanRule is the rule of a key's start and end, and of hours that never come between.
func spanRule(starts, ends time.Time, weekly []Hours, zone string, now time.Time) *fault.Error {
	var c checker
	switch {
	case !starts.Before(ends):
		c.wrong(true, "expires_at", "must be after the start")
	case !now.Before(ends):
		c.wrong(true, "expires_at", "must be in the future")
	case ends.Sub(starts) > MaxSpan:
		c.wrong(true, "expires_at", "is too late: a key lasts ten years at most")
	default:
		location, _ := zoneOf(zone) // it was looked up before
		from := latest(starts, now)
		c.wrong(len(weekly) > 0 && len(Expand(weekly, location, from, earliest(ends, from.Add(Horizon)))) == 0, "weekly_hours", "never come between the start and the end")
	}
	return c.fault()
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// fold takes case, accents and controls off a text.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(text))
}
