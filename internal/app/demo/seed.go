package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

type person struct {
	first, last, email, ip string
}

// constant: the owner of the demo's workspace, to whom the printed link belongs.
var owner = person{first: "Olivia", last: "Berger", email: "olivia.berger@harbour.example", ip: "10.20.4.31"}

// constant: who owns the workspace beside her.
var colleagues = []person{
	{first: "Marcus", last: "Feld", email: "marcus.feld@harbour.example", ip: "10.20.4.57"},
	{first: "Ingrid", last: "Solberg", email: "ingrid.solberg@harbour.example", ip: "10.31.0.8"},
}

// constant: the groups of the demo's workspace beside Everyone.
var groups = []struct{ name, description string }{
	{"Front desk", "Reception and guest services, day and night."},
	{"Housekeeping", "Rooms, laundry and stores."},
	{"Engineering", "Building services and the workshop."},
	{"Finance", "Accounts, payroll and purchasing."},
	{"Operations", "Managers on duty."},
}

// constant: the people of the demo's workspace, one a line: first name, last name, group.
var people = strings.Split(`Amara Okafor|Front desk
Benedikt Lindqvist|Front desk
Chiara Romano|Front desk
Daniel Osei|Front desk
Elif Yıldız|Front desk
Farid Rahimi|Front desk
Grace Thompson|Front desk
Hana Kobayashi|Front desk
Ibrahim Traoré|Housekeeping
Jolanta Wiśniewska|Housekeeping
Katarína Horváthová|Housekeeping
Luís Ferreira da Silva|Housekeeping
Mei-Ling Chen|Housekeeping
Nadia Petrova|Housekeeping
Oluwaseun Adeyemi|Housekeeping
Precious Mokoena|Housekeeping
Quentin Dubois|Housekeeping
Rosa Jiménez|Housekeeping
Søren Mikkelsen|Engineering
Tomasz Kowalczyk|Engineering
Uwe Brandt|Engineering
Valentina Greco|Engineering
Willem van den Berg|Engineering
Xiomara Delgado|Engineering
Yusuf Demir|Engineering
Zoë Andersson|Engineering
Aoife Gallagher|Finance
Bao Nguyen|Finance
Céline Fournier|Finance
Dieter Schäfer|Finance
Esther Mwangi|Finance
Fiona MacLeod|Operations
Gustavo Almeida|Operations
Helena Novotná|Operations
Ismael Haddad|Operations
Jürgen Großmann|Operations
Kwame Boateng|Operations
Maximiliana Alexandra von Hohenlohe-Langenburg|Operations
Leila Farahani|Finance`, "\n")

// typedIn is how many people the owner types in by hand; the rest come from the
// personnel system.
const typedIn = 6

// weeks is how far back the demo's record goes.
const weeks = 5

// seeder fills a workspace through the rooms' own doors, with the clock set back
// and moved forward between the acts.
type seeder struct {
	app    *app.App
	clock  *clock.Shifted
	random *rand.Rand
	start  time.Time // when the real present began
	groups map[string]id.Group
	users  []directory.User
	hands  []*hand // the owners', in the order of their appointment

	workspace id.Workspace
	origin    string
	programs  []program
	lent      id.Administrator // of who was an administrator for a while
	locks     []id.Lock        // in the order of their making
}

// seed makes the demo's workspace and returns its id, and the locks that are to have a
// virtual door. The clock is at the present again afterwards.
func seed(ctx context.Context, a *app.App, c *clock.Shifted, origin string) (id.Workspace, []id.Lock, error) {
	s := &seeder{app: a, clock: c, random: rand.New(rand.NewPCG(7, 11)), start: c.Now(), groups: map[string]id.Group{}, origin: origin} //nolint:gosec // believable data, no secret
	c.Advance(-weeks * 7 * 24 * time.Hour)
	f, err := a.Join.CreateWorkspace(ctx, auth.Job("", "demo"), "Harbour Hotel Group")
	if err != nil {
		return "", nil, err
	}
	w := f.Workspace.ID
	s.workspace = w
	as := auth.Job(w, "command line")
	for i, p := range append([]person{owner}, colleagues...) {
		if _, err := a.Join.Appoint(ctx, as, directory.NewUser{
			UserID: strings.ToLower(p.first[:1] + "." + p.last), Email: p.email, FirstName: p.first, LastName: p.last,
			EmployeeID: fmt.Sprintf("H-%04d", i+1), Phone: fmt.Sprintf("+49 40 5550 %d", 101+i), Language: "en", Timezone: "Europe/Berlin",
		}); err != nil {
			return "", nil, err
		}
		s.pass(7 * time.Minute)
		h, err := newHand(ctx, a, w, origin, p)
		if err != nil {
			return "", nil, err
		}
		s.hands = append(s.hands, h)
	}
	s.pass(20 * time.Minute)
	if err := s.fill(ctx); err != nil {
		return "", nil, err
	}
	if err := a.APIKeys.FlushUsage(ctx, auth.Job("", "demo")); err != nil {
		return "", nil, err
	}
	c.Advance(clock.System{}.Now().Sub(c.Now())) // doors have the machine's clock
	return w, s.locksWithDoors(), nil
}

func (s *seeder) fill(ctx context.Context) error {
	by, err := s.hands[0].signIn(ctx)
	if err != nil {
		return err
	}
	if err := s.issueKeys(ctx, by); err != nil {
		return err
	}
	for _, g := range groups {
		made, err := s.app.Directory.CreateGroup(ctx, by, directory.NewGroup{Name: g.name, Description: g.description})
		if err != nil {
			return err
		}
		s.groups[g.name] = made.ID
		s.pass(2 * time.Minute)
	}
	hr, err := s.importer(ctx)
	if err != nil {
		return err
	}
	for i, line := range people {
		if i == typedIn {
			if err := s.app.SignIn.SignOut(ctx, by); err != nil {
				return err
			}
		}
		actor := by
		if i >= typedIn {
			actor = hr
		}
		if err := s.hire(ctx, actor, i, line); err != nil {
			return err
		}
		s.pass(3 * time.Minute)
	}
	return s.weeks(ctx, hr)
}

// invite tells some people of their account, and suspends the one who left.
func (s *seeder) invite(ctx context.Context, by auth.Caller) error {
	for _, u := range s.users[20:26] {
		if _, err := s.app.Directory.Invite(ctx, by, u.ID); err != nil {
			return err
		}
		s.pass(time.Minute)
	}
	return s.letGo(ctx, by)
}

// hire creates the user of one line.
func (s *seeder) hire(ctx context.Context, by auth.Caller, i int, line string) error {
	name, group, _ := strings.Cut(line, "|")
	first, last, _ := strings.Cut(name, " ")
	plain := func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(directory.Fold(text), " ", "-"), "ı", "i")
	}
	local := strings.NewReplacer("ß", "ss", "ø", "oe").Replace(plain(first) + "." + plain(last))
	u, err := s.app.Directory.Create(ctx, by, directory.NewUser{
		UserID: local, Email: local + "@harbour.example", FirstName: first, LastName: last, EmployeeID: fmt.Sprintf("H-%04d", 1001+i*7),
		Phone: fmt.Sprintf("+49 40 5550 %03d", 110+i), Groups: []id.Group{s.groups[group]}, Timezone: "Europe/Berlin",
	})
	s.users = append(s.users, u)
	return err
}

// weeks lives through the time until yesterday: the owners sign in in turn and
// mend records, the personnel system changes some, and tries once what it may not.
func (s *seeder) weeks(ctx context.Context, hr auth.Caller) error {
	for day := 0; s.clock.Now().Before(s.start.Add(-26 * time.Hour)); day++ {
		s.pass(s.untilMorning())
		if day%2 == 0 {
			if err := s.workday(ctx, s.hands[day/2%len(s.hands)]); err != nil {
				return err
			}
		}
		if day%3 == 1 {
			u := s.users[s.random.IntN(len(s.users))]
			phone := fmt.Sprintf("+49 40 5551 %03d", s.random.IntN(1000))
			if _, err := s.app.Directory.Update(ctx, hr, u.ID, directory.Change{Phone: &phone}, 0); err != nil {
				return err
			}
		}
		if err := s.use(ctx); err != nil {
			return err
		}
		if day == 5 {
			if err := s.lend(ctx); err != nil {
				return err
			}
		}
		if day == 8 {
			if err := s.inviting(ctx); err != nil {
				return err
			}
		}
		if day == 10 {
			if err := s.handOutBadges(ctx); err != nil {
				return err
			}
		}
		if day == weeks*7-12 {
			if err := s.hangLocks(ctx); err != nil {
				return err
			}
			if err := s.giveDoorKeys(ctx, s.hands[2], pastDoorKeys()); err != nil {
				return err
			}
		}
		if day == 12 {
			_, _, err := s.app.APIKeys.Create(ctx, hr, apikey.NewKey{Name: "Payroll", Type: apikey.Admin})
			if err := tolerate(err, "missing_permission"); err != nil {
				return err
			}
		}
	}
	if err := s.giveDoorKeys(ctx, s.hands[2], doorKeys()); err != nil {
		return err
	}
	return s.keysOfYesterday(ctx)
}

// inviting is the day on which an owner invites people.
func (s *seeder) inviting(ctx context.Context) error {
	by, err := s.hands[0].signIn(ctx)
	if err != nil {
		return err
	}
	if err := s.invite(ctx, by); err != nil {
		return err
	}
	return s.app.SignIn.SignOut(ctx, by)
}

func (s *seeder) workday(ctx context.Context, h *hand) error {
	by, err := h.signIn(ctx)
	if err != nil {
		return err
	}
	for range 1 + s.random.IntN(3) {
		s.pass(time.Duration(1+s.random.IntN(6)) * time.Minute)
		u := s.users[s.random.IntN(len(s.users))]
		zone := []string{"Europe/Lisbon", "Europe/London", "Europe/Warsaw", "Europe/Berlin"}[s.random.IntN(4)]
		if _, err := s.app.Directory.Update(ctx, by, u.ID, directory.Change{Timezone: &zone}, 0); err != nil {
			return err
		}
	}
	s.pass(time.Duration(4+s.random.IntN(20)) * time.Minute)
	return s.app.SignIn.SignOut(ctx, by)
}

// pass moves the clock on, never past the present.
func (s *seeder) pass(d time.Duration) {
	if left := s.start.Sub(s.clock.Now()); d > left {
		d = max(left, 0)
	}
	s.clock.Advance(d)
}

// untilMorning is how long it is to a time between 7 and 9 the next morning.
func (s *seeder) untilMorning() time.Duration {
	now := s.clock.Now()
	morning := time.Date(now.Year(), now.Month(), now.Day()+1, 7, s.random.IntN(120), s.random.IntN(60), 0, time.UTC)
	return morning.Sub(now)
}
