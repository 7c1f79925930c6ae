package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

// pinHouse is a card with a PIN, and its holder signed in.
type pinHouse struct {
	room  *securitykey.Service
	clock *clock.Manual
	admin auth.Caller
	key   id.SecurityKey
	pin   secret.Bytes
	open  func() auth.Caller
}

func newPINHouse(t *testing.T, d Database) pinHouse {
	t.Helper()
	c := clock.NewManual(Start())
	w := Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	h := pinHouse{clock: c, admin: auth.Job(w, "test"), open: func() auth.Caller { return AppSession(t, d.Store, u, signin.OpenedByPasskey, c.Now()) }}
	h.room = securitykey.NewService(securitykey.Config{Store: store.For[securitykey.Tx](d.Store), Clock: c, Secrets: KeySecrets(t)})
	issued, err := h.room.Create(t.Context(), h.admin, u.ID, securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: "04A1B2C3", Delivery: securitykey.DeliverResponse,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.key, h.pin = issued.Key.ID, issued.PIN
	return h
}

// atOnce tries all the PINs and returns how often each answer was given.
func (h pinHouse) atOnce(t *testing.T, pins []secret.Bytes) map[string]int {
	t.Helper()
	by := h.open()
	answers := make([]string, len(pins))
	var all sync.WaitGroup
	for i, pin := range pins {
		all.Go(func() {
			err := h.room.ChangePIN(t.Context(), by, h.key, pin, secret.FromString(fmt.Sprintf("another-7-%d", i)))
			f, ok := fault.As(err)
			switch {
			case ok:
				answers[i] = f.Code
			case err != nil:
				t.Error(err)
			default:
				answers[i] = "right"
			}
		})
	}
	all.Wait()
	out := map[string]int{}
	for _, a := range answers {
		out[a]++
	}
	return out
}

// many is how many PINs are tried at once.
func many(t *testing.T) int {
	if testing.Short() {
		return 100
	}
	return 1000
}

func wrongPINs(t *testing.T, d Database) {
	h, n := newPINHouse(t, d), many(t)
	wrong := make([]secret.Bytes, n)
	for i := range wrong {
		wrong[i] = secret.FromString(fmt.Sprint("wrong-", i))
	}
	same(t, "the first round", h.atOnce(t, wrong), map[string]int{"pin_invalid": 3, "pin_paused": n - 3})
	h.clock.Advance(securitykey.FirstRest)
	same(t, "the second round", h.atOnce(t, wrong), map[string]int{"pin_invalid": 3, "pin_paused": n - 3})
	h.clock.Advance(securitykey.SecondRest - time.Millisecond)
	same(t, "a moment too early", h.atOnce(t, wrong), map[string]int{"pin_paused": n})
	h.clock.Advance(time.Millisecond)
	same(t, "the third round", h.atOnce(t, wrong), map[string]int{"pin_invalid": 1, "pin_locked": n - 1})
	if got := Count(t, d, `SELECT pin_wrong FROM securitykey WHERE id = $1`, string(h.key)); got != 8 {
		t.Errorf("%d were compared, want 8", got)
	}
	h.clock.Advance(1000 * time.Hour)
	same(t, "the right one", h.atOnce(t, []secret.Bytes{h.pin}), map[string]int{"pin_locked": 1})
	issued, err := h.room.ResetPIN(t.Context(), h.admin, h.key, securitykey.Reset{Delivery: securitykey.DeliverResponse})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the reset one", h.atOnce(t, []secret.Bytes{issued.PIN}), map[string]int{"right": 1})
}

// With the right PIN among wrong ones no more than three wrong are compared before it,
// and no more than three after it.
func rightPINs(t *testing.T, d Database) {
	h, n := newPINHouse(t, d), many(t)
	for range 5 {
		pins := make([]secret.Bytes, n)
		for i := range pins {
			pins[i] = secret.FromString(fmt.Sprint("wrong-", i))
		}
		pins[n/100] = h.pin
		got := h.atOnce(t, pins)
		if got["pin_invalid"] > 6 || got["pin_invalid"] < 3 || got["right"] > 1 || got["right"] == 0 && got["pin_invalid"] != 3 || got["pin_locked"] != 0 {
			t.Errorf("the answers are %v, want three wrong in a row at most", got)
		}
		if stands := Count(t, d, `SELECT pin_wrong FROM securitykey WHERE id = $1`, string(h.key)); stands != 3 {
			t.Errorf("%d wrong in a row stand, want 3", stands)
		}
		issued, err := h.room.ResetPIN(t.Context(), h.admin, h.key, securitykey.Reset{Delivery: securitykey.DeliverResponse})
		if err != nil {
			t.Fatal(err)
		}
		h.pin = issued.PIN
	}
}
