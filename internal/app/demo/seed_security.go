package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// badges is how many people got a card on the day when the cards came.
const badges = 18

// tryUser is whose cards are there to be tried: the user's place in the list of people. They
// hold the front door's key as well (doorPIN), so that one act of suspending them is seen at
// a website and at a door.
const tryUser = 0

// tryPIN and spareTryPIN are those of the two cards that are there to be tried.
const (
	tryPIN      = "314159"
	spareTryPIN = "161803"
)

// spareTryCard is which number the second of them has.
const spareTryCard = 45

// cardNumber is the number of the n-th card: seven bytes, as most badges have.
func cardNumber(n int) string {
	return fmt.Sprintf("04 %02X %02X %02X 6F %02X 80", 0xA1+n%80, 0x10+n*7%200, 0x33+n*13%180, 0x20+n%90)
}

// give makes a key for somebody.
func (s *seeder) give(ctx context.Context, by auth.Caller, u directory.User, n securitykey.NewKey) (securitykey.SecurityKey, error) {
	out, err := s.app.SecurityKeys.Create(ctx, by, u.ID, n)
	s.pass(2 * time.Minute)
	return out.Key, err
}

// handOutBadges is the day on which the cards came: an owner gives them out at the desk.
func (s *seeder) handOutBadges(ctx context.Context) error {
	by, err := s.hands[0].signIn(ctx)
	if err != nil {
		return err
	}
	for i, u := range s.users[:badges] {
		if i == quentin {
			continue // he was let go the day before
		}
		n := securitykey.NewKey{
			Kind: securitykey.ContactlessCard, Name: "Staff badge", Model: "MIFARE DESFire EV3", Activation: securitykey.ActivateNow, CardNumber: cardNumber(i),
			Delivery: securitykey.DeliverResponse, MustChange: i%3 == 0,
		}
		if i == tryUser {
			n.PIN, n.MustChange = secret.FromString(tryPIN), false
		}
		if _, err := s.give(ctx, by, u, n); err != nil {
			return err
		}
	}
	return s.app.SignIn.SignOut(ctx, by)
}

// keysOfYesterday are keys in every state: what waits, what was sent, what is suspended.
func (s *seeder) keysOfYesterday(ctx context.Context) error {
	by, err := s.hands[1].signIn(ctx)
	if err != nil {
		return err
	}
	if _, err := s.give(ctx, by, s.users[tryUser], securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Name: "Spare badge", Model: "MIFARE DESFire EV3", Activation: securitykey.ActivateNow, CardNumber: cardNumber(spareTryCard),
		PIN: secret.FromString(spareTryPIN), Delivery: securitykey.DeliverResponse,
	}); err != nil {
		return err
	}
	later := s.users[28:]
	for i, n := range []securitykey.NewKey{
		{Kind: securitykey.ContactlessCard, Name: "Staff badge", Activation: securitykey.ActivateEmail, CardNumber: cardNumber(badges)},
		{Kind: securitykey.ContactlessCard, Name: "Staff badge", Activation: securitykey.ActivateEmail},
		{Kind: securitykey.Smartphone, Name: "Work phone", Activation: securitykey.ActivateEmail, Proximity: true},
		{Kind: securitykey.FIDO2, Name: "YubiKey", Activation: securitykey.ActivateEmail},
		{Kind: securitykey.ContactlessCard, Name: "Visitor badge", CardNumber: cardNumber(badges + 1)},
		{Kind: securitykey.Smartphone, Name: "Phone"},
	} {
		if _, err := s.give(ctx, by, later[i], n); err != nil {
			return err
		}
	}
	if err := s.wait(ctx, by, later[6]); err != nil {
		return err
	}
	for _, u := range s.users[2:4] {
		own, err := s.app.SecurityKeys.List(ctx, by, "", securitykey.Query{User: u.ID})
		if err != nil {
			return err
		}
		for _, k := range own.Items {
			if _, err := s.app.SecurityKeys.Suspend(ctx, by, k.ID); err != nil {
				return err
			}
		}
	}
	return s.app.SignIn.SignOut(ctx, by)
}

// wait lets somebody activate a card that nobody named: it waits for an administrator.
func (s *seeder) wait(ctx context.Context, by auth.Caller, u directory.User) error {
	k, err := s.give(ctx, by, u, securitykey.NewKey{Kind: securitykey.ContactlessCard, Name: "Staff badge", Activation: securitykey.ActivateEmail})
	if err != nil {
		return err
	}
	link := s.app.ActivationLink(k.Link.ID)
	_, err = s.app.SecurityKeys.ActivateCard(ctx, auth.Nobody("10.31.0.93", "", "demo"), link, securitykey.CardActivation{
		Number: cardNumber(badges + 2), PIN: secret.FromString("481516"),
	})
	return err
}
