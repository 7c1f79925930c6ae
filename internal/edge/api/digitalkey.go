package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// lockNameBody is a lock of a key.
type lockNameBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// HoursBody is a span of the week. It is exported for huma, as ListInput is.
type HoursBody struct {
	Days []string `json:"days" nullable:"false" minItems:"1" maxItems:"7" doc:"Of mon, tue, wed, thu, fri, sat, sun."`
	From string   `json:"from" pattern:"^[0-2][0-9]:[0-5][0-9]$" example:"08:00" doc:"In the key's time zone."`
	To   string   `json:"to" pattern:"^[0-2][0-9]:[0-5][0-9]$" example:"18:00" doc:"24:00 is midnight. At or before from it is on the next day."`
}

// notifyBody says what the holder is told by e-mail.
type notifyBody struct {
	Email   bool `json:"email" doc:"The holder gets a mail about the key, and about its changes."`
	ShowPIN bool `json:"show_pin" doc:"The mail holds the PIN."`
}

// confirmedBody says on how many locks the last change is in force.
type confirmedBody struct {
	Locks   int `json:"locks" doc:"How many locks were told of the last change."`
	Applied int `json:"applied" doc:"How many of them confirmed it."`
}

// DigitalKeyBody is a digital key as the API shows it. It is exported for huma, as ListInput
// is.
type DigitalKeyBody struct {
	ID            string         `json:"id" example:"dk_01jd3v9b8eexav2f6hqdr3wzkt"`
	Description   string         `json:"description"`
	Locks         []lockNameBody `json:"locks" nullable:"false"`
	User          holderBody     `json:"user" doc:"Who may open."`
	StartsAt      time.Time      `json:"starts_at"`
	ExpiresAt     time.Time      `json:"expires_at"`
	Timezone      string         `json:"timezone" doc:"In which it was entered."`
	WeeklyHours   []HoursBody    `json:"weekly_hours" nullable:"false" doc:"It opens inside them only; without any, always."`
	Role          string         `json:"role" enum:"ROLE-USER,ROLE-ADMIN"`
	Types         []string       `json:"types" nullable:"false" enum:"pin,app,keycard"`
	Status        string         `json:"status" enum:"UPCOMING,ACTIVE,EXPIRED,CANCELLED"`
	SurvivesLease bool           `json:"survives_lease" doc:"It opens after a lock's lease has ended, and cancelling it works only where the lock hears of it."`
	Notify        notifyBody     `json:"notify"`
	PINLength     *int           `json:"pin_length" doc:"Digits of the PIN; null without one."`
	Keycard       *cardBody      `json:"keycard" doc:"Null without a card. Its number stands in the answer with one key only."`
	Receipts      confirmedBody  `json:"receipts"`
	CreatedAt     time.Time      `json:"created_at"`
	CreatedBy     string         `json:"created_by" doc:"The name of who made it."`
	CancelledAt   *time.Time     `json:"cancelled_at"`
	CancelReason  string         `json:"cancel_reason" enum:",cancelled,user_suspended"`
}

// dayNames are the days of the week as the API writes them.
//
// constant: a list.
var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func renderHours(all []digitalkey.Hours) []HoursBody {
	out := make([]HoursBody, 0, len(all))
	for _, h := range all {
		b := HoursBody{From: fmt.Sprintf("%02d:%02d", h.From/60, h.From%60), To: fmt.Sprintf("%02d:%02d", h.To/60, h.To%60)}
		for _, d := range h.Days {
			b.Days = append(b.Days, dayNames[d])
		}
		out = append(out, b)
	}
	return out
}

func readHours(all []HoursBody) ([]digitalkey.Hours, *fault.Error) {
	out := make([]digitalkey.Hours, 0, len(all))
	minutes := func(text string) int {
		hour, minute, _ := strings.Cut(text, ":")
		h, _ := strconv.Atoi(hour)   // the schema has looked
		m, _ := strconv.Atoi(minute) // the schema has looked
		return h*60 + m
	}
	for _, b := range all {
		h := digitalkey.Hours{From: minutes(b.From), To: minutes(b.To)}
		for _, name := range b.Days {
			day := slices.Index(dayNames, name)
			if day < 0 {
				return nil, fieldFault("weekly_hours", "has a day that is none: write mon, tue, wed, thu, fri, sat or sun")
			}
			h.Days = append(h.Days, time.Weekday(day))
		}
		out = append(out, h)
	}
	return out, nil
}

func (a *restAPI) renderDigitalKey(k digitalkey.DigitalKey) DigitalKeyBody {
	b := DigitalKeyBody{
		ID: string(k.ID), Description: k.Description, Locks: make([]lockNameBody, 0, len(k.Locks)), User: holderBody{ID: string(k.User), Name: k.Holder.Name, Email: k.Holder.Email},
		StartsAt: k.StartsAt, ExpiresAt: k.ExpiresAt, Timezone: k.Timezone, WeeklyHours: renderHours(k.Weekly), Role: string(k.Role), Types: make([]string, 0, len(k.Types)),
		Status: string(k.Status(a.c.Kit.Clock().Now())), SurvivesLease: k.SurvivesLease, Notify: notifyBody{Email: k.Notify.Email, ShowPIN: k.Notify.ShowPIN},
		Receipts: confirmedBody(k.Receipts), CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, CancelledAt: optionalTime(k.CancelledAt), CancelReason: string(k.CancelReason),
	}
	for _, l := range k.Locks {
		b.Locks = append(b.Locks, lockNameBody{ID: string(l.ID), Name: l.Name})
	}
	for _, t := range k.Types {
		b.Types = append(b.Types, string(t))
	}
	if k.PINLength > 0 {
		b.PINLength = &k.PINLength
	}
	if k.CardType != "" {
		b.Keycard = &cardBody{Type: k.CardType}
	}
	return b
}

// digitalKeyOutput is the answer with one digital key.
type digitalKeyOutput struct {
	ETag string `header:"ETag" doc:"The key's revision, for If-Match."`
	Body DigitalKeyBody
}

func (a *restAPI) digitalKeyAnswer(d digitalkey.Detail) *digitalKeyOutput {
	out := &digitalKeyOutput{ETag: etag(d.Key.Revision), Body: a.renderDigitalKey(d.Key)}
	if out.Body.Keycard != nil {
		out.Body.Keycard.Number = d.CardNumber
	}
	return out
}

// issuedDigitalKeyBody is a key with the PIN that is shown this once.
type issuedDigitalKeyBody struct {
	DigitalKeyBody
	PIN                string `json:"pin,omitempty" doc:"A new PIN. It is shown this once; the holder finds it in the app."`
	SecretAlreadyShown bool   `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no pin."`
}

type issuedDigitalKeyOutput struct {
	CacheControl string `header:"Cache-Control"`
	ETag         string `header:"ETag" doc:"The key's revision, for If-Match."`
	Location     string `header:"Location"`
	Body         issuedDigitalKeyBody
}

func (a *restAPI) issuedDigitalKey(i digitalkey.Issued, shown bool) *issuedDigitalKeyOutput {
	return &issuedDigitalKeyOutput{
		CacheControl: "no-store", ETag: etag(i.Key.Revision), Location: Prefix + "/digital-keys/" + string(i.Key.ID),
		Body: issuedDigitalKeyBody{DigitalKeyBody: a.renderDigitalKey(i.Key), PIN: i.PIN.ExposeString(), SecretAlreadyShown: shown},
	}
}

// DigitalKeyPath names one digital key. It is exported for huma, as ListInput is.
type DigitalKeyPath struct {
	ID string `path:"id" doc:"The digital key's id: dk_…"`
}

// digitalKey returns the id, or the zero id if it cannot be one: see KeyPath.
func (p DigitalKeyPath) digitalKey() id.DigitalKey {
	k, _ := id.Parse[id.KindDigitalKey](p.ID)
	return k
}

// NewDigitalKeyBody is what a digital key is made from. It is exported for huma, as
// ListInput is.
type NewDigitalKeyBody struct {
	Description   string        `json:"description,omitempty" maxLength:"1000"`
	Locks         []string      `json:"locks" nullable:"false" minItems:"1" maxItems:"20" doc:"Ids of locks: lock_…"`
	User          string        `json:"user" doc:"Who may open: user_…"`
	StartsAt      string        `json:"starts_at" maxLength:"64" doc:"RFC 3339; or a local time (2026-12-04T14:00) or a day (2026-12-04, from 14:00) in timezone. A time that the clocks skip is the first moment after; one that comes twice is the first."`
	ExpiresAt     string        `json:"expires_at" maxLength:"64" doc:"As starts_at; a day ends at 10:00, and of a time that comes twice it is the second."`
	Timezone      string        `json:"timezone,omitempty" maxLength:"100" doc:"IANA name; that of the first lock, if it is left out."`
	WeeklyHours   []HoursBody   `json:"weekly_hours,omitempty" maxItems:"50"`
	Role          string        `json:"role,omitempty" enum:"ROLE-USER,ROLE-ADMIN" doc:"ROLE-USER, if it is left out."`
	Types         []string      `json:"types" nullable:"false" minItems:"1" doc:"Of pin, app and keycard."`
	PIN           string        `json:"pin,omitempty" maxLength:"16" doc:"4 to 6 digits; one is generated if it is left out."`
	PINLength     int           `json:"pin_length,omitempty" doc:"Digits of a generated one: 4 to 6; 6 if it is left out."`
	Keycard       *newCardInput `json:"keycard,omitempty" doc:"The card's number; it can be read at a lock later."`
	SurvivesLease bool          `json:"survives_lease,omitempty"`
	Notify        notifyInput   `json:"notify,omitempty"`
}

type notifyInput struct {
	Email   bool `json:"email,omitempty" doc:"The holder gets a mail about the key, and about its changes."`
	ShowPIN bool `json:"show_pin,omitempty" doc:"The mail holds the PIN."`
}

type createDigitalKeyInput struct{ Body NewDigitalKeyBody }

// spanOf reads a range. Both ends are instants, or both are local.
func spanOf(starts, expires, zone string) (digitalkey.Span, *fault.Error) {
	s := digitalkey.Span{Timezone: zone}
	from, startsErr := time.Parse(time.RFC3339, starts)
	to, expiresErr := time.Parse(time.RFC3339, expires)
	switch {
	case startsErr == nil && expiresErr == nil:
		s.StartsAt, s.ExpiresAt = from, to
	case startsErr == nil:
		return s, fieldFault("expires_at", "must be a moment like 2026-12-05T09:00:00Z, as starts_at is")
	case expiresErr == nil:
		return s, fieldFault("starts_at", "must be a moment like 2026-12-04T13:00:00Z, as expires_at is")
	default:
		s.LocalStarts, s.LocalExpires = starts, expires
	}
	return s, nil
}

func keyTypes(texts []string) []digitalkey.Type {
	out := make([]digitalkey.Type, len(texts))
	for i, text := range texts {
		out[i] = digitalkey.Type(text)
	}
	return out
}

// newKey reads the body. What is no id becomes the zero id, which nothing has.
func (b NewDigitalKeyBody) newKey() (digitalkey.NewKey, *fault.Error) {
	n := digitalkey.NewKey{
		Description: b.Description, Role: digitalkey.Role(b.Role), Types: keyTypes(b.Types), PIN: secret.FromString(b.PIN), PINLength: b.PINLength,
		SurvivesLease: b.SurvivesLease, Notify: digitalkey.Notify(b.Notify),
	}
	for _, text := range b.Locks {
		n.Locks = append(n.Locks, LockPath{ID: text}.lock())
	}
	n.User, _ = id.Parse[id.KindUser](b.User) // what is none is not found
	var f *fault.Error
	if n.Span, f = spanOf(b.StartsAt, b.ExpiresAt, b.Timezone); f != nil {
		return n, f
	}
	if b.Keycard != nil {
		n.CardType, n.CardNumber = b.Keycard.Type, b.Keycard.Number
	}
	n.Weekly, f = readHours(b.WeeklyHours)
	return n, f
}

type listDigitalKeysInput struct {
	ListInput
	Q         string `query:"q" maxLength:"400" doc:"Beginnings of words in the description or the holder's name and e-mail address."`
	Status    string `query:"status" enum:"UPCOMING,ACTIVE,EXPIRED,CANCELLED" doc:"Only keys of this status."`
	Lock      string `query:"lock" doc:"Only keys of this lock: lock_…"`
	User      string `query:"user" doc:"Only keys of this user: user_…"`
	Type      string `query:"type" enum:"pin,app,keycard" doc:"Only keys of this type."`
	Survivors bool   `query:"survives_lease" doc:"Only keys that survive the lease and are not over: a list of risks."`
	Sort      string `query:"sort" doc:"starts_at, expires_at or created_at, followed by ,ascend or ,descend."`
}

// registerDigitalKeys is the route registration of the digital keys' operations.
func (a *restAPI) registerDigitalKeys() {
	const read, write = "Needs the permission digital_keys.read.", "Needs the permission digital_keys.write."
	register(a, operation("list-digital-keys", http.MethodGet, "/digital-keys", "List digital keys", read), a.listDigitalKeys)
	register(a, operation("list-user-digital-keys", http.MethodGet, "/users/{id}/digital-keys", "List a user's digital keys", read, http.StatusNotFound), a.listUserDigitalKeys)
	create := operation("create-digital-key", http.MethodPost, "/digital-keys", "Create a digital key",
		"For a user, locks and a time. A PIN that cannot be used is refused with one and the same code, whatever the reason is. "+write, http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createDigitalKey, a.repeatCreateDigitalKey)
	registerPost(a, operation("preview-digital-key", http.MethodPost, "/digital-keys/preview", "What a digital key would be",
		"Nothing is made: the range in instants, what the clocks do inside, each lock's lease, and the odds of a lucky guess. "+write), a.previewDigitalKey, a.repeatPreview)
	register(a, operation("list-unconfirmed-cancels", http.MethodGet, "/digital-keys/unconfirmed", "List what is cancelled and not yet safe",
		"Removals that a lock has not confirmed: until at_latest the door may open. Needs the permission locks.read."), a.listUnconfirmed)
	register(a, operation("get-digital-key", http.MethodGet, "/digital-keys/{id}", "Get a digital key", read, http.StatusNotFound), a.getDigitalKey)
	register(a, operation("patch-digital-key", http.MethodPatch, "/digital-keys/{id}", "Change a digital key",
		"A merge patch (RFC 7396), of a key that is not over. "+write, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.patchDigitalKey)
	registerPost(a, operation("cancel-digital-key", http.MethodPost, "/digital-keys/{id}/cancel", "Cancel a digital key",
		"For good. Each lock confirms it as soon as it hears of it; see its receipts. "+write, http.StatusNotFound, http.StatusConflict), a.cancelDigitalKey, a.repeatCancel)
	registerPost(a, operation("cancel-digital-keys", http.MethodPost, "/digital-keys/cancel", "Cancel several digital keys",
		"As cancelling each, with an outcome for each id. "+write), a.cancelDigitalKeys, a.repeatCancelMany)
	register(a, operation("delete-digital-key", http.MethodDelete, "/digital-keys/{id}", "Delete a digital key",
		"Only after it ended, and once no door can open with it any more. Its events stay. "+write, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.deleteDigitalKey)
	register(a, operation("list-digital-key-receipts", http.MethodGet, "/digital-keys/{id}/receipts", "List a digital key's receipts",
		"Whether its last change is in force at each lock. "+read, http.StatusNotFound), a.listReceipts)
}

func (a *restAPI) listDigitalKeys(ctx context.Context, by auth.Caller, in *listDigitalKeysInput) (*listOutput[DigitalKeyBody], error) {
	name := queryName("digital-keys", in.Q, in.Status, in.Lock, in.User, in.Type, strconv.FormatBool(in.Survivors), in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, digitalkey.Sorts())
	if err != nil {
		return nil, err
	}
	q := digitalkey.Query{Status: digitalkey.Status(in.Status), Type: digitalkey.Type(in.Type), Survivors: in.Survivors, Words: search.Words(in.Q), Page: r}
	var ok bool
	if in.Lock != "" {
		if q.Lock, ok = id.Parse[id.KindLock](in.Lock); !ok {
			return nil, fieldFault("lock", "is no lock's id")
		}
	}
	if in.User != "" {
		if q.User, ok = id.Parse[id.KindUser](in.User); !ok {
			return nil, fieldFault("user", "is no user's id")
		}
	}
	p, err := a.c.DigitalKeys.List(ctx, by, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, a.renderDigitalKey)
}
