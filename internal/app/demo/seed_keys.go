package demo

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// program is one that comes with an API key.
type program struct {
	kind   apikey.Type
	token  string
	nobody auth.Caller // before its token is known
	daily  int         // about how often on a day
}

// issue makes a key, and remembers the program that comes with it unless it never
// does.
func (s *seeder) issue(ctx context.Context, by auth.Caller, n apikey.NewKey, p program) (auth.Caller, error) {
	_, t, err := s.app.APIKeys.Create(ctx, by, n)
	if err != nil || p.daily == 0 {
		return auth.Caller{}, err
	}
	p.kind, p.token = n.Type, t.Secret().ExposeString()
	s.programs = append(s.programs, p)
	return s.app.APIKeys.Verify(ctx, p.nobody, p.token, p.kind)
}

// importer creates the key of the personnel system and returns the caller behind
// it.
func (s *seeder) importer(ctx context.Context) (auth.Caller, error) {
	return s.issue(ctx, auth.Job(s.workspace, "command line"),
		apikey.NewKey{Name: "Personnel system", Type: apikey.Admin, Permissions: []string{string(auth.UsersRead), string(auth.UsersWrite)}},
		program{nobody: auth.Nobody("10.20.0.14", "personnel-sync/2.4", ""), daily: 9})
}

// payrollEnds is how long after the present a key ends: ten days on, its first warning
// comes.
const payrollEnds = 40 * 24 * time.Hour

// issueKeys creates what the owner has keys for: one that ends, one for workstations,
// and one that nobody has used yet.
func (s *seeder) issueKeys(ctx context.Context, by auth.Caller) error {
	_, err := s.issue(ctx, by,
		apikey.NewKey{
			Name: "Payroll export", Type: apikey.Admin, Permissions: []string{string(auth.UsersRead)}, ExpiresAt: s.start.Add(payrollEnds), AllowedIPs: []string{"10.20.0.0/16"},
		},
		program{nobody: auth.Nobody("10.20.0.22", "payroll/11.3", ""), daily: 2})
	if err != nil {
		return err
	}
	_, err = s.issue(ctx, by, apikey.NewKey{Name: "Front desk workstations", Type: apikey.Clients},
		program{nobody: auth.Nobody("10.31.0.40", "front-desk/1.2", ""), daily: 25})
	if err != nil {
		return err
	}
	_, err = s.issue(ctx, by, apikey.NewKey{Name: "Housekeeping tablets", Type: apikey.SharedMobile}, program{})
	return err
}

// use lets each program do a day's work, less of it at weekends.
func (s *seeder) use(ctx context.Context) error {
	for _, p := range s.programs {
		n := p.daily/2 + s.random.IntN(p.daily+1)
		if day := s.clock.Now().Weekday(); day == time.Saturday || day == time.Sunday {
			n /= 4
		}
		for range n {
			if _, err := s.app.APIKeys.Verify(ctx, p.nobody, p.token, p.kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// quentin is who leaves: the user's place in the list of people.
const quentin = 16

// lend makes somebody an administrator for a while, who creates a key.
func (s *seeder) lend(ctx context.Context) error {
	by, err := s.hands[0].signIn(ctx)
	if err != nil {
		return err
	}
	u := s.users[quentin]
	seat, err := s.app.SignIn.AddAdministrator(ctx, by, signin.NewAdministrator{
		User: u.ID, Permissions: []string{string(auth.UsersRead), string(auth.APIKeysRead), string(auth.APIKeysWrite)},
	})
	if err != nil {
		return err
	}
	s.lent = seat.ID
	if err := s.app.SignIn.SignOut(ctx, by); err != nil {
		return err
	}
	s.pass(11 * time.Minute)
	h, err := newHand(ctx, s.app, s.workspace, s.origin, person{first: u.FirstName, last: u.LastName, email: u.Email, ip: "10.31.0.77"})
	if err != nil {
		return err
	}
	if by, err = h.signIn(ctx); err != nil {
		return err
	}
	_, err = s.issue(ctx, by, apikey.NewKey{Name: "Key cabinet", Type: apikey.Clients}, program{nobody: auth.Nobody("10.31.0.9", "cabinet/0.9", ""), daily: 4})
	if err != nil {
		return err
	}
	return s.app.SignIn.SignOut(ctx, by)
}

// letGo takes what was lent back and suspends who left. Their key works on, and the
// dashboard says so.
func (s *seeder) letGo(ctx context.Context, by auth.Caller) error {
	if _, err := s.app.SignIn.RemoveAdministrator(ctx, by, s.lent); err != nil {
		return err
	}
	_, err := s.app.Leave.Suspend(ctx, by, s.users[quentin].ID, leave.Options{})
	return err
}
