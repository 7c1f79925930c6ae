package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// zone is where the demo's doors are.
const zone = "Europe/Berlin"

// doorPIN is that of one digital key that is active when the demo begins, so that there is
// something to type at a virtual door.
const doorPIN = "271828"

// constant: the smart locks of the demo's workspace. The first two have virtual doors.
var locks = []smartlock.NewLock{
	{Name: "Front door", Place: "Kaiserkai 12, ground floor", Timezone: zone},
	{Name: "Workshop", Place: "Kaiserkai 12, basement", Timezone: zone, OpenSeconds: 10},
	{Name: "Garage", Place: "Am Sandtorkai 3", Timezone: zone, Capabilities: []smartlock.Capability{smartlock.PIN, smartlock.App}, OpenSeconds: 20},
}

// virtualDoors is how many of the locks have a virtual door.
const virtualDoors = 2

// hangLocks is the day on which the locks are registered.
func (s *seeder) hangLocks(ctx context.Context) error {
	by, err := s.hands[0].signIn(ctx)
	if err != nil {
		return err
	}
	for _, n := range locks {
		l, err := s.app.Locks.Create(ctx, by, n)
		if err != nil {
			return fmt.Errorf("registering a lock: %w", err)
		}
		s.locks = append(s.locks, l.ID)
		s.pass(4 * time.Minute)
	}
	return s.app.SignIn.SignOut(ctx, by)
}

// doorKey is a digital key of the demo: whose, and from when to when, counted in days from
// the present.
type doorKey struct {
	user     int
	from, to int // days
	key      digitalkey.NewKey
	locks    []int
	cancel   bool
}

// pastDoorKeys are keys that are over: one expired, one was cancelled.
func pastDoorKeys() []doorKey {
	return []doorKey{
		{user: 3, from: -9, to: -6, locks: []int{0}, key: digitalkey.NewKey{Description: "Night shift, first week", Types: []digitalkey.Type{digitalkey.PIN}, Notify: digitalkey.Notify{Email: true, ShowPIN: true}}},
		{user: 30, from: -8, to: 20, locks: []int{0, 1}, cancel: true, key: digitalkey.NewKey{Description: "Auditor's visit", Types: []digitalkey.Type{digitalkey.PIN, digitalkey.App}, Notify: digitalkey.Notify{Email: true}}},
	}
}

// doorKeys are keys that were made yesterday.
func doorKeys() []doorKey {
	weekdays := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	return []doorKey{
		{user: tryUser, from: -1, to: 60, locks: []int{0, 1, 2}, key: digitalkey.NewKey{
			Description: "Front desk", Types: []digitalkey.Type{digitalkey.PIN, digitalkey.App}, PIN: secret.FromString(doorPIN), Notify: digitalkey.Notify{Email: true},
		}},
		{user: 18, from: -1, to: 90, locks: []int{1}, key: digitalkey.NewKey{
			Description: "Workshop, on weekdays", Types: []digitalkey.Type{digitalkey.PIN, digitalkey.Keycard}, CardType: card.UID, CardNumber: cardNumber(40),
			Weekly: []digitalkey.Hours{{Days: weekdays, From: 7 * 60, To: 18 * 60}},
		}},
		{user: 8, from: -1, to: 30, locks: []int{0}, key: digitalkey.NewKey{
			Description: "Early cleaning", Types: []digitalkey.Type{digitalkey.Keycard}, CardType: card.UID, CardNumber: cardNumber(41),
			Weekly: []digitalkey.Hours{{Days: append(weekdays, time.Saturday), From: 5 * 60, To: 9 * 60}},
		}},
		{user: 24, from: 2, to: 5, locks: []int{0, 2}, key: digitalkey.NewKey{
			Description: "Fair in Hall 4", Types: []digitalkey.Type{digitalkey.PIN, digitalkey.App}, Notify: digitalkey.Notify{Email: true, ShowPIN: true},
		}},
		{user: 32, from: -1, to: 365, locks: []int{0, 1}, key: digitalkey.NewKey{
			Description: "Manager on duty", Types: []digitalkey.Type{digitalkey.PIN, digitalkey.App}, SurvivesLease: true, Role: digitalkey.RoleAdmin,
		}},
	}
}

// giveDoorKeys makes the keys, and cancels those that were.
func (s *seeder) giveDoorKeys(ctx context.Context, h *hand, all []doorKey) error {
	by, err := h.signIn(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		d.key.User = s.users[d.user].ID
		for _, n := range d.locks {
			d.key.Locks = append(d.key.Locks, s.locks[n])
		}
		day := func(n int) string { return s.start.AddDate(0, 0, n).Format(time.DateOnly) }
		d.key.Span = digitalkey.Span{LocalStarts: day(d.from), LocalExpires: day(d.to)}
		if err := s.giveDoorKey(ctx, by, d); err != nil {
			return fmt.Errorf("the digital key %q: %w", d.key.Description, err)
		}
	}
	return s.app.SignIn.SignOut(ctx, by)
}

func (s *seeder) giveDoorKey(ctx context.Context, by auth.Caller, d doorKey) error {
	made, err := s.app.DigitalKeys.Create(ctx, by, d.key)
	if err != nil {
		return err
	}
	s.pass(3 * time.Minute)
	if !d.cancel {
		return nil
	}
	_, err = s.app.DigitalKeys.Cancel(ctx, by, made.Key.ID)
	s.pass(3 * time.Minute)
	return err
}

// locksWithDoors are those of the seed that get a virtual door.
func (s *seeder) locksWithDoors() []id.Lock { return s.locks[:virtualDoors] }
