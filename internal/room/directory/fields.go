package directory

import (
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// NewUser is what a user is made from. Email and one of the names are required;
// UserID is the e-mail address if it is empty.
type NewUser struct {
	ID         id.User // zero for a new id; set by flows that had to name it before
	UserID     string
	Email      string
	FirstName  string
	LastName   string
	Phone      string
	EmployeeID string
	Language   string
	Timezone   string
	Auditable  *bool // nil for true
	Groups     []id.Group
	Invite     bool // send an invitation at once
}

// Change is what is to be changed of a user: nil fields stay.
type Change struct {
	UserID     *string
	Email      *string
	FirstName  *string
	LastName   *string
	Phone      *string
	EmployeeID *string
	Language   *string
	Timezone   *string
	Auditable  *bool
}

// Check answers the Invalid fault that Create would give for n, or nil, without
// writing anything.
func (n NewUser) Check() *fault.Error {
	_, f := n.user("", time.Time{})
	return f
}

func (n NewUser) user(w id.Workspace, now time.Time) (User, *fault.Error) {
	u := User{
		ID: n.ID, Workspace: w, UserID: n.UserID, Email: n.Email, FirstName: n.FirstName, LastName: n.LastName,
		Phone: n.Phone, EmployeeID: n.EmployeeID, Language: n.Language, Timezone: n.Timezone,
		Auditable: n.Auditable == nil || *n.Auditable, Status: NotInvited, Revision: 1, CreatedAt: now,
	}
	if u.ID == "" {
		u.ID = id.New[id.KindUser](now)
	}
	defaulted := strings.TrimSpace(u.UserID) == ""
	if defaulted {
		u.UserID = u.Email
	}
	u, f := clean(u)
	if f != nil && defaulted {
		// What is wrong with the e-mail address is said there, once.
		f.Fields = slices.DeleteFunc(f.Fields, func(f fault.Field) bool { return f.Name == "user_id" })
	}
	return u, f
}

// apply returns the user as changed, cleaned and checked, and the public names of
// the fields that differ.
func (c Change) apply(old User) (User, []string, *fault.Error) {
	next := old
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&next.UserID, c.UserID)
	set(&next.Email, c.Email)
	set(&next.FirstName, c.FirstName)
	set(&next.LastName, c.LastName)
	set(&next.Phone, c.Phone)
	set(&next.EmployeeID, c.EmployeeID)
	set(&next.Language, c.Language)
	set(&next.Timezone, c.Timezone)
	if c.Auditable != nil {
		next.Auditable = *c.Auditable
	}
	next, f := clean(next)
	if f != nil {
		return User{}, nil, f
	}
	var changed []string
	differ := func(name string, is bool) {
		if is {
			changed = append(changed, name)
		}
	}
	differ("user_id", next.UserID != old.UserID)
	differ("email", next.Email != old.Email)
	differ("first_name", next.FirstName != old.FirstName)
	differ("last_name", next.LastName != old.LastName)
	differ("phone", next.Phone != old.Phone)
	differ("employee_id", next.EmployeeID != old.EmployeeID)
	differ("language", next.Language != old.Language)
	differ("timezone", next.Timezone != old.Timezone)
	differ("auditable", next.Auditable != old.Auditable)
	return next, changed, nil
}

// clean brings a user's fields into their stored form and answers all that is
// wrong with them at once.
func clean(u User) (User, *fault.Error) {
	var c checker
	u.UserID = c.text("user_id", u.UserID, 1, 254)
	u.Email = c.email("email", u.Email)
	u.FirstName = c.text("first_name", u.FirstName, 0, 100)
	u.LastName = c.text("last_name", u.LastName, 0, 100)
	if u.FirstName == "" && u.LastName == "" {
		c.wrong("first_name", "or last name is needed")
	}
	u.Phone = c.phone("phone", u.Phone)
	u.EmployeeID = c.text("employee_id", u.EmployeeID, 0, 100)
	u.Language = c.language("language", u.Language)
	u.Timezone = c.timezone("timezone", u.Timezone)
	return u, c.fault()
}

// CleanWorkspaceName returns a workspace's name in its stored form.
func CleanWorkspaceName(name string) (string, *fault.Error) {
	var c checker
	name = c.text("workspace", name, 1, 100)
	return name, c.fault()
}

// checker gathers what is wrong with a set of fields.
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

// text trims, composes (NFC) and checks a line of text of minimum..maximum code
// points.
func (c *checker) text(name, s string, minimum, maximum int) string {
	if !utf8.ValidString(s) {
		c.wrong(name, "is not valid UTF-8")
		return ""
	}
	s = strings.TrimSpace(norm.NFC.String(s))
	switch n := utf8.RuneCountInString(s); {
	case n < minimum:
		c.wrong(name, "is needed")
	case n > maximum:
		c.wrong(name, "is too long: at most "+strconv.Itoa(maximum)+" characters")
	case strings.ContainsFunc(s, isForbidden):
		c.wrong(name, "holds a control character")
	}
	return s
}

// isForbidden says whether r may not stand in a line of text: controls, and the
// marks that turn the direction of what follows.
func isForbidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func (c *checker) email(name, s string) string {
	s = c.text(name, s, 1, 254)
	if s == "" {
		return s
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || !strings.Contains(s, "@") {
		c.wrong(name, "is not an e-mail address")
	}
	return s
}

func (c *checker) phone(name, s string) string {
	s = c.text(name, s, 0, 40)
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+ -()./", r):
			c.wrong(name, "is not a phone number")
			return s
		}
	}
	if s != "" && (digits < 3 || digits > 15) {
		c.wrong(name, "is not a phone number")
	}
	return s
}

func (c *checker) language(name, s string) string {
	s = c.text(name, s, 0, 35)
	if s == "" {
		return s
	}
	tag, err := language.Parse(s)
	if err != nil {
		c.wrong(name, "is not a language tag such as en or de-CH")
		return s
	}
	return tag.String()
}

func (c *checker) timezone(name, s string) string {
	s = c.text(name, s, 0, 64)
	if s == "" {
		return s
	}
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		c.wrong(name, "is not a time zone such as Europe/Berlin")
	}
	return s
}

// Fold returns s in the form that is sorted, searched and compared: NFKD, marks
// removed, lower case.
func Fold(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// maxWords bounds how many words of a search count.
const maxWords = 8

// Words returns the folded words of a search text, each once, without those that
// begin another.
func Words(text string) []string {
	words := splitWords(text[:min(len(text), 400)])
	slices.Sort(words)
	var out []string
	for i, w := range words {
		if i+1 < len(words) && strings.HasPrefix(words[i+1], w) {
			continue
		}
		out = append(out, w)
	}
	return out[:min(len(out), maxWords)]
}

// Terms returns the words under which a user is found: those of the names, the
// e-mail address, the user id and the employee id, in whole and in their parts, and
// the domain of an address.
func Terms(u User) []string {
	var terms []string
	for _, s := range []string{u.FirstName, u.LastName, u.Email, u.UserID, u.EmployeeID} {
		for _, word := range splitWords(s) {
			terms = append(terms, word)
			if _, domain, found := strings.Cut(word, "@"); found && domain != "" {
				terms = append(terms, domain)
			}
		}
		for _, whole := range strings.Fields(Fold(s)) {
			terms = append(terms, strings.FieldsFunc(whole, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })...)
		}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// GroupTerms returns the words under which a group is found: those of its name.
func GroupTerms(g Group) []string {
	terms := splitWords(g.Name)
	terms = append(terms, strings.FieldsFunc(Fold(g.Name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })...)
	for i, term := range terms {
		if len(term) > 64 {
			terms[i] = strings.ToValidUTF8(term[:64], "")
		}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// splitWords cuts folded text at white space and bounds each word.
func splitWords(s string) []string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	words := strings.Fields(Fold(s))
	for i, w := range words {
		if len(w) > 64 {
			words[i] = strings.ToValidUTF8(w[:64], "")
		}
	}
	return words
}

func joinNames(names []string) string { return strings.Join(names, ", ") }
