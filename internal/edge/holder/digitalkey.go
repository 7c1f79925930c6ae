package holder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// DigitalKeys is what the app asks of the room of digital keys.
type DigitalKeys interface {
	Own(ctx context.Context, by auth.Caller) ([]digitalkey.Own, error)
	OwnPIN(ctx context.Context, by auth.Caller, k id.DigitalKey) (secret.Bytes, error)
}

// Unlock is what the app asks of the flow that opens a door from afar.
type Unlock interface {
	Open(ctx context.Context, by auth.Caller, k id.DigitalKey, l id.Lock) (smartlock.Command, error)
	Find(ctx context.Context, by auth.Caller, c id.LockCommand) (smartlock.Command, error)
}

// Signals is where the app hears of changes at once.
type Signals interface {
	Subscribe(topic signal.Topic) (heard <-chan struct{}, cancel func())
}

// registerDigitalKeys is the route registration of people's own digital keys.
func (h *Holder) registerDigitalKeys(mux *http.ServeMux) {
	mux.Handle("POST "+Prefix+"/digital-keys/{id}/locks/{lock}/open", byBody(h.data(h.openDoor), h.signed(h.openDoorPage)))
	mux.Handle("POST "+Prefix+"/digital-keys/{id}/pin", byBody(h.data(h.showOwnPIN), h.signed(h.ownPINPage)))
}

// byBody answers our own scripts, which send JSON, and plain forms.
func byBody(script, form http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			script.ServeHTTP(w, r)
			return
		}
		form.ServeHTTP(w, r)
	})
}

// doorCard is one digital key on the home page.
type doorCard struct {
	ID      string
	Heading string // its description, or its locks
	State   kit.Badge
	Words   string // from when to when
	Hours   []string
	Locks   []doorLock
	Turn    string // when its status changes by itself, RFC 3339; empty for never
	Counts  string // what is counted down to Turn; empty for nothing
	PIN     string // where the PIN is shown; empty without one
	Card    string // what to know of its card; empty for nothing
	Over    bool
}

// doorLock is a lock of a key on the home page.
type doorLock struct {
	Name  string
	Place string
	Open  string // where the button posts to; empty for no button
	Note  string // what to know before pressing
}

func (v visit) doorCards(all []digitalkey.Own) []doorCard {
	out := make([]doorCard, 0, len(all))
	for _, o := range all {
		out = append(out, v.doorCard(o))
	}
	return out
}

func (v visit) doorCard(o digitalkey.Own) doorCard {
	k := o.Key
	zone := v.zone
	if z, err := time.LoadLocation(k.Timezone); err == nil {
		zone = z // doors have their own time
	}
	names := make([]string, 0, len(o.Locks))
	for _, l := range o.Locks {
		names = append(names, l.Name)
	}
	card := doorCard{
		ID: string(k.ID), Heading: k.Description, State: doorBadge(o.Status), Words: rangeText(k.StartsAt, k.ExpiresAt, zone), Hours: hoursText(k.Weekly),
		Over: o.Status == digitalkey.Expired || o.Status == digitalkey.Cancelled,
	}
	if card.Heading == "" {
		card.Heading = strings.Join(names, ", ")
	}
	switch o.Status {
	case digitalkey.Upcoming:
		card.Turn, card.Counts = k.StartsAt.Format(time.RFC3339Nano), textDoorStarts
	case digitalkey.Active:
		card.Turn, card.Counts = k.ExpiresAt.Format(time.RFC3339Nano), textDoorEnds
	case digitalkey.Expired, digitalkey.Cancelled:
	}
	if card.Over {
		return card
	}
	if k.Has(digitalkey.PIN) {
		card.PIN = Prefix + "/digital-keys/" + string(k.ID) + "/pin"
	}
	if k.Has(digitalkey.Keycard) {
		card.Card = textDoorCard
		if k.CardType == "" {
			card.Card = textDoorCardNone
		}
	}
	for _, l := range o.Locks {
		card.Locks = append(card.Locks, doorLockOf(o, l))
	}
	return card
}

func doorLockOf(o digitalkey.Own, l digitalkey.OwnLock) doorLock {
	row := doorLock{Name: l.Name, Place: l.Place}
	if o.Status == digitalkey.Active && o.Key.Has(digitalkey.App) {
		row.Open = Prefix + "/digital-keys/" + string(o.Key.ID) + "/locks/" + string(l.ID) + "/open"
	}
	switch {
	case !l.Online:
		row.Note = textDoorOffline
	case !l.Applied:
		row.Note = textDoorNotYet
	}
	return row
}

// pulseOf is a text that changes whenever the person's doors would look different.
func pulseOf(all []digitalkey.Own) string {
	sum := sha256.New() // writing to it never fails
	for _, o := range all {
		_, _ = fmt.Fprintf(sum, "%s %d %s %t\n", o.Key.ID, o.Key.Revision, o.Status, o.Key.CardType != "")
		for _, l := range o.Locks {
			_, _ = fmt.Fprintf(sum, "%s %q %q %t %t\n", l.ID, l.Name, l.Place, l.Online, l.Applied)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// pressed is the answer to a press.
type pressed struct {
	Opened bool   `json:"opened"`
	Text   string `json:"text"`
}

// press asks the door to open, and waits for what it says.
func (h *Holder) press(r *http.Request, by auth.Caller) (pressed, error) {
	k, _ := id.Parse[id.KindDigitalKey](r.PathValue("id")) // what is none is not found
	l, _ := id.Parse[id.KindLock](r.PathValue("lock"))
	c, err := h.c.Unlock.Open(r.Context(), by, k, l)
	if err != nil {
		return pressed{}, err
	}
	heard, cancel := h.c.Signals.Subscribe(signal.Of(by.Workspace, signal.Command, string(c.ID)))
	defer cancel()
	done, err := kit.Await(r.Context(), heard, smartlock.Patience, func(ctx context.Context) (bool, error) {
		c, err = h.c.Unlock.Find(ctx, by, c.ID)
		return c.Outcome != "", err
	})
	switch {
	case err != nil:
		return pressed{}, err
	case !done:
		return pressed{Text: textDoorSilent}, nil
	case c.Outcome == grant.Opened:
		return pressed{Opened: true, Text: textDoorOpened}, nil
	}
	return pressed{Text: doorReason(c.Reason)}, nil
}

// openDoor answers our own script. A refusal is an answer like any other.
func (h *Holder) openDoor(r *http.Request, by auth.Caller) (any, error) {
	out, err := h.press(r, by)
	if f, ok := fault.As(err); ok && (f.Kind == fault.KindConflict || f.Kind == fault.KindForbidden) {
		return pressed{Text: f.Public}, nil
	}
	return out, err
}

// doorView is what a plain form answers: what the door said, or the PIN.
type doorView struct {
	Shell   shell
	Heading string
	Text    string
	Good    bool
	PIN     string
}

func (h *Holder) openDoorPage(w http.ResponseWriter, r *http.Request, v visit) error {
	out, err := h.press(r, v.caller)
	status := http.StatusOK
	if f, ok := fault.As(err); ok && (f.Kind == fault.KindConflict || f.Kind == fault.KindForbidden) {
		out, err, status = pressed{Text: f.Public}, nil, kit.Status(f)
	}
	if err != nil {
		return err
	}
	heading := textDoorShut
	if out.Opened {
		heading = textDoorOpen
	}
	return h.show(w, r, status, doorTemplate(doorView{Shell: h.shell(v, heading), Heading: heading, Text: out.Text, Good: out.Opened}))
}

func (h *Holder) ownPIN(r *http.Request, by auth.Caller) (secret.Bytes, error) {
	k, _ := id.Parse[id.KindDigitalKey](r.PathValue("id")) // what is none is not found
	return h.c.DigitalKeys.OwnPIN(r.Context(), by, k)
}

func (h *Holder) showOwnPIN(r *http.Request, by auth.Caller) (any, error) {
	pin, err := h.ownPIN(r, by)
	return map[string]string{"text": pin.ExposeString()}, err
}

func (h *Holder) ownPINPage(w http.ResponseWriter, r *http.Request, v visit) error {
	pin, err := h.ownPIN(r, v.caller)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return h.show(w, r, http.StatusOK, doorTemplate(doorView{Shell: h.shell(v, textDoorPIN), Heading: textDoorPIN, Text: textDoorPINHow, PIN: pin.ExposeString()}))
}
