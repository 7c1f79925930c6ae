package apikey

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// key checks the fields and returns the key without token and creator.
func (n NewKey) key(standing auth.Standing, maxDays int, now time.Time) (Key, *fault.Error) {
	var c checker
	k := Key{ID: id.New[id.KindAPIKey](now), Type: n.Type, CreatedAt: now, IssuedAt: now, ExpiresAt: n.ExpiresAt, Revision: 1}
	k.Name = c.name(n.Name)
	if _, known := n.Type.kind(); !known {
		c.wrong("type", "must be admin, shared_mobile or clients")
	}
	c.expiry(k, maxDays, now)
	k.EndsAt = End(k.ExpiresAt, k.IssuedAt, maxDays)
	k.WarnAt = NextWarning(k.EndsAt, now)
	k.AllowedIPs = c.allowedIPs(n.AllowedIPs)
	switch set, unknown, ok := auth.ParsePermissions(n.Permissions); {
	case !ok:
		c.wrong("permissions", "holds an unknown permission: "+unknown)
	case n.Type != Admin && len(set) > 0:
		c.wrong("permissions", "belong to Admin keys only")
	case n.Type == Admin && n.Permissions == nil:
		k.Permissions = standing.Permissions
	case n.Type == Admin && len(set) == 0:
		c.wrong("permissions", "must hold at least one permission")
	default:
		k.Permissions = set
	}
	if f := c.fault(); f != nil {
		return Key{}, f
	}
	return k, nil
}

// maxName bounds the name of a key, in characters.
const maxName = 100

// checker gathers the fields at fault.
type checker struct{ fields []fault.Field }

func (c *checker) wrong(name, message string) {
	c.fields = append(c.fields, fault.Field{Name: name, Message: message})
}

func (c *checker) fault() *fault.Error {
	if len(c.fields) == 0 {
		return nil
	}
	return fault.Invalid("invalid_fields", "Some fields need your attention.", c.fields...)
}

func (c *checker) name(s string) string {
	s = strings.TrimSpace(norm.NFC.String(s))
	switch count := utf8.RuneCountInString(s); {
	case count == 0:
		c.wrong("name", "is needed")
	case count > maxName:
		c.wrong("name", "is too long: at most 100 characters")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		c.wrong("name", "holds a character that is not allowed")
	}
	return s
}

// expiry checks when the key's present token is to expire.
func (c *checker) expiry(k Key, maxDays int, now time.Time) {
	switch {
	case k.ExpiresAt.IsZero():
	case !now.Before(k.ExpiresAt):
		c.wrong("expires_at", "is in the past")
	case !k.ExpiresAt.Before(Never()):
		c.wrong("expires_at", "is too late: leave it out for a key that does not expire")
	case maxDays > 0 && k.ExpiresAt.After(End(time.Time{}, k.IssuedAt, maxDays)):
		c.wrong("expires_at", "is too late: the workspace allows a token "+strconv.Itoa(maxDays)+" days")
	}
}

// maxAllowedIPs bounds a key's list.
const maxAllowedIPs = 50

// allowedIPs reads addresses and networks, sorted and each once.
func (c *checker) allowedIPs(list []string) []netip.Prefix {
	if len(list) > maxAllowedIPs {
		c.wrong("allowed_ips", "holds too many: at most "+strconv.Itoa(maxAllowedIPs))
		return nil
	}
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if a, bad := netip.ParseAddr(s); bad == nil && a.Zone() == "" {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil || p.Addr().Is4In6() {
			c.wrong("allowed_ips", "holds "+strconv.QuoteToASCII(cut(s, 60))+", which is no address and no CIDR like 192.0.2.0/24 or 2001:db8::/32")
			return nil
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// cut returns the beginning of a text, of whole characters.
func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// ParseAllowedIPs is the inverse of AllowedIPsText. What it cannot read it drops.
func ParseAllowedIPs(text string) []netip.Prefix {
	var out []netip.Prefix
	for s := range strings.FieldsSeq(text) {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// AllowedIPsText returns a list in one text, as the store keeps it.
func AllowedIPsText(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return strings.Join(out, " ")
}
