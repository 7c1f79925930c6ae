package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// latchRace is an invariant that a latch keeps: of two at once one wins.
type latchRace struct {
	name  string
	latch string
	// enter returns what the two of one round do, over storage as it is or with
	// latches that do nothing.
	enter func(t *testing.T, s *store.Store, latched bool, round int) [2]func() error
}

func latchRaces() []latchRace {
	return []latchRace{
		{"one user id", "/user_names", raceUserID},
		{"one e-mail address", "/user_names", raceEmail},
		{"one name of a group", "/group_names", raceGroup},
		{"one first owner", "/first_owner", raceOwner},
		{"one owner stays", "/owners", raceLastOwner},
		{"an owner stays an administrator", "/owners", raceLastOwnerRemoved},
		{"a passkey of an administrator stays", "/passkeys", raceLastPasskey},
		{"one holder of a card", "/cards", raceCard},
		{"one holder of a PIN at a door", "/pins", racePIN},
		{"one client of a name", "/clients", raceClient},
	}
}

// latchOutcome is an invariant that a latch keeps whoever of two at once wins.
type latchOutcome struct {
	name string
	// enter returns what the two of one round do, and what is wrong afterwards, "" for
	// nothing.
	enter func(t *testing.T, s *store.Store, latched bool) ([2]func() error, func() string)
}

func latchOutcomes() []latchOutcome {
	return []latchOutcome{
		{"no key of who was stopped, by the person", raceStopped(false)},
		{"no key of who was stopped, by a key of theirs", raceStopped(true)},
		{"no key outlives the workspace's limit", raceLimit},
	}
}

func apikeysOf(s *store.Store, latched bool) *apikey.Service {
	run := store.For[apikey.Tx](s)
	if !latched {
		run = unlatched[apikey.Tx]{run, func(t apikey.Tx) apikey.Tx { return apikeyUnlatched{t} }}
	}
	return apikey.New(apikey.Config{
		Store: run, Clock: clock.NewManual(storetest.Start()), Peppers: apikey.Peppers{Current: 1, Known: map[int]secret.Bytes{1: secret.FromString("pepper")}},
	})
}

// raceStopped suspends a person and disables what they made, while they make a key,
// or a key of theirs makes one. Nothing that they made may work afterwards.
func raceStopped(byKey bool) func(t *testing.T, s *store.Store, latched bool) ([2]func() error, func() string) {
	return func(t *testing.T, s *store.Store, latched bool) ([2]func() error, func() string) {
		w := storetest.Workspace(t, s)
		storetest.Administrator(t, s, w, "stays")
		by := storetest.Administrator(t, s, w, "goes")
		person, keys := by.User, apikeysOf(s, latched)
		if byKey {
			k, token, err := keys.Create(t.Context(), by, apikey.NewKey{Name: "Maker", Type: apikey.Admin})
			if err != nil {
				t.Fatal(err)
			}
			by = auth.Caller{Kind: auth.APIKey, Workspace: w, APIKey: k.ID, Token: token.ID, Name: k.Name}
		}
		run := store.For[leave.Tx](s)
		if !latched {
			run = unlatched[leave.Tx]{run, func(t leave.Tx) leave.Tx { return leaveUnlatched{t} }}
		}
		flow := leave.New(run, clock.NewManual(storetest.Start()))
		stop := func() error {
			_, err := flow.Suspend(t.Context(), auth.Job(w, "race"), person, leave.Options{DisableCreatedAPIKeys: true})
			return err
		}
		create := func() error {
			_, _, err := keys.Create(t.Context(), by, apikey.NewKey{Name: "Late", Type: apikey.Clients})
			if f, ok := fault.As(err); ok && f.Kind == fault.KindUnauthenticated {
				return nil // it came too late
			}
			return err
		}
		return [2]func() error{stop, create}, func() string { return working(t, s, w, person) }
	}
}

// working names a key of the person that works.
func working(t *testing.T, s *store.Store, w id.Workspace, person id.User) (name string) {
	storetest.Read(t, s, func(ctx context.Context, tx *store.Tx) error {
		list, err := tx.ListCreatedAPIKeys(ctx, w, person, storetest.Start(), 1)
		if len(list) > 0 {
			name = list[0].Name + " works, which was made by who was stopped"
		}
		return err
	})
	return name
}

// raceLimit sets a limit while a key is made.
func raceLimit(t *testing.T, s *store.Store, latched bool) ([2]func() error, func() string) {
	w, days := storetest.Workspace(t, s), 10
	by, room, keys := auth.Job(w, "race"), directoryOf(s, latched), apikeysOf(s, latched)
	limit := func() error {
		_, err := room.UpdateWorkspace(t.Context(), by, directory.Settings{APIKeyMaxDays: &days}, 0)
		return err
	}
	create := func() error {
		_, _, err := keys.Create(t.Context(), by, apikey.NewKey{Name: "Late", Type: apikey.Clients})
		return err
	}
	return [2]func() error{limit, create}, func() string {
		p, err := keys.List(t.Context(), by, apikey.Query{})
		if err != nil || len(p.Items) != 1 {
			return fmt.Sprintf("%d keys (%v), want 1", len(p.Items), err)
		}
		if end := storetest.Start().AddDate(0, 0, days); p.Items[0].EndsAt.After(end) {
			return fmt.Sprintf("the key ends at %v, after the limit's %v", p.Items[0].EndsAt, end)
		}
		return ""
	}
}

// both runs the two of a round at once and says what is wrong afterwards.
func both(enter [2]func() error, wrong func() string) string {
	begin := make(chan struct{})
	var errs [2]error
	var running sync.WaitGroup
	for i, fn := range enter {
		running.Go(func() {
			<-begin
			errs[i] = fn()
		})
	}
	close(begin)
	running.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err.Error()
	}
	return wrong()
}

// unlatched runs transactions over storage whose latches do nothing.
type unlatched[T any] struct {
	tx.Runner[T]
	strip func(T) T
}

func (u unlatched[T]) Write(ctx context.Context, fn tx.Func[T]) error {
	return u.Runner.Write(ctx, func(ctx context.Context, t T) (*fault.Error, error) { return fn(ctx, u.strip(t)) })
}

type (
	directoryUnlatched struct{ directory.Tx }
	joinUnlatched      struct{ join.Tx }
	leaveUnlatched     struct{ leave.Tx }
	signinUnlatched    struct{ signin.Tx }
	apikeyUnlatched    struct{ apikey.Tx }
	keyUnlatched       struct{ securitykey.Tx }
	doorUnlatched      struct{ digitalkey.Tx }
	clientUnlatched    struct{ client.Tx }
)

func (directoryUnlatched) Latch(context.Context, string) error { return nil }
func (joinUnlatched) Latch(context.Context, string) error      { return nil }
func (leaveUnlatched) Latch(context.Context, string) error     { return nil }
func (signinUnlatched) Latch(context.Context, string) error    { return nil }
func (apikeyUnlatched) Latch(context.Context, string) error    { return nil }
func (keyUnlatched) Latch(context.Context, string) error       { return nil }

func (doorUnlatched) Latch(context.Context, string) error { return nil }

func (clientUnlatched) Latch(context.Context, string) error { return nil }

// racePIN lets two managers choose the same PIN for the same door.
func racePIN(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	run := store.For[digitalkey.Tx](s)
	if !latched {
		run = unlatched[digitalkey.Tx]{run, func(t digitalkey.Tx) digitalkey.Tx { return doorUnlatched{t} }}
	}
	secrets := storetest.KeySecrets(t)
	room := digitalkey.NewService(digitalkey.Config{Store: run, Clock: clock.NewManual(storetest.Start()), Sealing: secrets})
	w := storetest.Workspace(t, s)
	door, query, args := storetest.DoorRow(t, w, "Gate", secrets, true)
	storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Must(ctx, query, args...) })
	var out [2]func() error
	for i, name := range []string{"ada", "bob"} {
		u := storetest.User(t, s, w, name)
		out[i] = func() error {
			_, err := room.Create(t.Context(), auth.Job(w, "race"), digitalkey.NewKey{
				Locks: []id.Lock{door}, User: u.ID, Types: []digitalkey.Type{digitalkey.PIN}, PIN: secret.FromString("835296"),
				Span: digitalkey.Span{StartsAt: storetest.Start(), ExpiresAt: storetest.Start().Add(time.Hour)},
			})
			return err
		}
	}
	return out
}

func raceCard(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	run := store.For[securitykey.Tx](s)
	if !latched {
		run = unlatched[securitykey.Tx]{run, func(t securitykey.Tx) securitykey.Tx { return keyUnlatched{t} }}
	}
	room := securitykey.NewService(securitykey.Config{Store: run, Clock: clock.NewManual(storetest.Start()), Secrets: storetest.KeySecrets(t)})
	w := storetest.Workspace(t, s)
	var out [2]func() error
	for i, name := range []string{"ada", "bob"} {
		u := storetest.User(t, s, w, name)
		out[i] = func() error {
			_, err := room.Create(t.Context(), auth.Job(w, "race"), u.ID, securitykey.NewKey{Kind: securitykey.ContactlessCard, CardNumber: "04A1B2C3"})
			return err
		}
	}
	return out
}

// raceClient gives two clients one name. Without the latch the index refuses the second, which
// is an error of the house and no answer.
func raceClient(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	run := store.For[client.Tx](s)
	if !latched {
		run = unlatched[client.Tx]{run, func(t client.Tx) client.Tx { return clientUnlatched{t} }}
	}
	room := client.NewService(client.Config{Store: run, Clock: clock.NewManual(storetest.Start())})
	w := storetest.Workspace(t, s)
	name := "Front desk"
	var out [2]func() error
	for i, before := range []string{"left", "right"} {
		c := client.Client{
			ID: id.New[id.KindClient](storetest.Start()), Workspace: w, Name: before, Kind: client.Agent, State: client.Pending, Thumbprint: before, ReaderFormat: client.Hex, Revision: 1,
		}
		storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.InsertClient(ctx, c) })
		out[i] = func() error {
			_, err := room.Change(t.Context(), auth.Job(w, "race"), c.ID, client.Change{Name: &name}, 0)
			return err
		}
	}
	return out
}

func signinOf(s *store.Store, latched bool) *signin.Service {
	run := store.For[signin.Tx](s)
	if !latched {
		run = unlatched[signin.Tx]{run, func(t signin.Tx) signin.Tx { return signinUnlatched{t} }}
	}
	return signin.New(signin.Config{Store: run, Clock: clock.NewManual(storetest.Start())})
}

func raceLastOwnerRemoved(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	w := storetest.Workspace(t, s)
	room, by := signinOf(s, latched), auth.Job(w, "race")
	remove := func(name string) func() error {
		owner := storetest.Administrator(t, s, w, name)
		return func() error {
			_, err := room.RemoveAdministrator(t.Context(), by, owner.Administrator)
			return err
		}
	}
	return [2]func() error{remove("ada"), remove("bob")}
}

func raceLastPasskey(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	by := storetest.Administrator(t, s, storetest.Workspace(t, s), "ada")
	room := signinOf(s, latched)
	remove := func(name string) func() error {
		key := signin.Passkey{
			ID: id.New[id.KindPasskey](storetest.Start()), Workspace: by.Workspace, User: by.User, Name: name, Record: []byte("{}"),
			ConfirmedAt: storetest.Start(),
		}
		key.CredentialID = []byte(key.ID)
		storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, key) })
		return func() error { return room.DeletePasskey(t.Context(), by, key.ID) }
	}
	return [2]func() error{remove("one"), remove("two")}
}

func directoryOf(s *store.Store, latched bool) *directory.Service {
	run := store.For[directory.Tx](s)
	if !latched {
		run = unlatched[directory.Tx]{run, func(t directory.Tx) directory.Tx { return directoryUnlatched{t} }}
	}
	return directory.New(run, clock.NewManual(storetest.Start()))
}

func raceUsers(t *testing.T, s *store.Store, latched bool, a, b directory.NewUser) [2]func() error {
	room, by := directoryOf(s, latched), auth.Job(storetest.Workspace(t, s), "race")
	create := func(n directory.NewUser) func() error {
		return func() error {
			_, err := room.Create(t.Context(), by, n)
			return err
		}
	}
	return [2]func() error{create(a), create(b)}
}

func raceUserID(t *testing.T, s *store.Store, latched bool, round int) [2]func() error {
	name := fmt.Sprint("ada", round)
	return raceUsers(t, s, latched,
		directory.NewUser{UserID: name, Email: "a@example.org", FirstName: "A"}, directory.NewUser{UserID: strings.ToUpper(name), Email: "b@example.org", FirstName: "B"})
}

func raceEmail(t *testing.T, s *store.Store, latched bool, round int) [2]func() error {
	address := fmt.Sprintf("ada%d@example.org", round)
	return raceUsers(t, s, latched,
		directory.NewUser{UserID: "a", Email: address, FirstName: "A"}, directory.NewUser{UserID: "b", Email: strings.ToUpper(address), FirstName: "B"})
}

func raceGroup(t *testing.T, s *store.Store, latched bool, round int) [2]func() error {
	room, by := directoryOf(s, latched), auth.Job(storetest.Workspace(t, s), "race")
	create := func() error {
		_, err := room.CreateGroup(t.Context(), by, directory.NewGroup{Name: fmt.Sprint("Night shift ", round)})
		return err
	}
	return [2]func() error{create, create}
}

func raceOwner(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	run := store.For[join.Tx](s)
	if !latched {
		run = unlatched[join.Tx]{run, func(t join.Tx) join.Tx { return joinUnlatched{t} }}
	}
	w := storetest.Workspace(t, s)
	var out [2]func() error
	for i, name := range []string{"ada", "bob"} {
		u := storetest.User(t, s, w, name)
		out[i] = func() error {
			return run.Write(t.Context(), func(ctx context.Context, t join.Tx) (*fault.Error, error) {
				if err := join.ClaimOwnership(ctx, t, w); err != nil {
					return nil, err
				}
				owner := signin.Administrator{ID: id.New[id.KindAdministrator](storetest.Start()), Workspace: w, User: u.ID, Owner: true}
				key := signin.Passkey{ID: id.New[id.KindPasskey](storetest.Start()), Workspace: w, User: u.ID, CredentialID: []byte(u.ID), Record: []byte("{}"), ConfirmedAt: storetest.Start()}
				return nil, errors.Join(t.InsertAdministrator(ctx, owner), t.InsertPasskey(ctx, key))
			})
		}
	}
	return out
}

func raceLastOwner(t *testing.T, s *store.Store, latched bool, _ int) [2]func() error {
	run := store.For[leave.Tx](s)
	if !latched {
		run = unlatched[leave.Tx]{run, func(t leave.Tx) leave.Tx { return leaveUnlatched{t} }}
	}
	flow, w := leave.New(run, clock.NewManual(storetest.Start())), storetest.Workspace(t, s)
	var out [2]func() error
	for i, name := range []string{"ada", "bob"} {
		owner := storetest.Administrator(t, s, w, name)
		out[i] = func() error {
			_, err := flow.Suspend(t.Context(), auth.Job(w, "race"), owner.User, leave.Options{})
			return err
		}
	}
	return out
}

// race runs one round and says what is wrong with its outcome, "" for nothing.
func race(enter [2]func() error) string {
	begin := make(chan struct{})
	var errs [2]error
	var both sync.WaitGroup
	for i, fn := range enter {
		both.Go(func() {
			<-begin
			errs[i] = fn()
		})
	}
	close(begin)
	both.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		if f, ok := fault.As(err); !ok || f.Kind != fault.KindConflict {
			return fmt.Sprintf("the loser is told %q, want a conflict", err)
		}
	}
	if won != 1 {
		return fmt.Sprintf("%d of two won, want 1", won)
	}
	return ""
}

func TestLatches_letOneWin(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	onEach(t, func(t *testing.T, open storetest.Opener) {
		s := open(t).Store
		for _, r := range latchRaces() {
			t.Run(r.name, func(t *testing.T) {
				for round := range rounds {
					if wrong := race(r.enter(t, s, true, round)); wrong != "" {
						t.Fatalf("round %d: %s", round, wrong)
					}
				}
			})
		}
	})
}

// Without its latch each invariant breaks: the test above can fail.
func TestLatches_areNeeded(t *testing.T) {
	s := storetest.OpenPostgres(t)
	for _, r := range latchRaces() {
		t.Run(r.name, func(t *testing.T) {
			const rounds = 500
			for round := range rounds {
				if wrong := race(r.enter(t, s, false, round)); wrong != "" {
					t.Logf("round %d: %s", round, wrong)
					return
				}
			}
			t.Errorf("nothing broke in %d rounds without the latch %s, want the race to show", rounds, r.latch)
		})
	}
}

// However the two of a round meet, the invariant holds afterwards.
func TestLatches_keepOutcomes(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	onEach(t, func(t *testing.T, open storetest.Opener) {
		s := open(t).Store
		for _, r := range latchOutcomes() {
			t.Run(r.name, func(t *testing.T) {
				for round := range rounds {
					if wrong := both(r.enter(t, s, true)); wrong != "" {
						t.Fatalf("round %d: %s", round, wrong)
					}
				}
			})
		}
	})
}

func TestLatches_areNeededForOutcomes(t *testing.T) {
	s := storetest.OpenPostgres(t)
	for _, r := range latchOutcomes() {
		t.Run(r.name, func(t *testing.T) {
			const rounds = 1000
			for round := range rounds {
				if wrong := both(r.enter(t, s, false)); wrong != "" {
					t.Logf("round %d: %s", round, wrong)
					return
				}
			}
			t.Errorf("nothing broke in %d rounds without the latch /owners, want the race to show", rounds)
		})
	}
}

func TestLatches_areAllRaced(t *testing.T) {
	var raced []string
	for _, r := range latchRaces() {
		raced = append(raced, r.latch)
	}
	call, name := regexp.MustCompile(`\.Latch\(`), regexp.MustCompile(`\.Latch\(ctx, [^"]*"(/[a-z_]+)"\)`)
	var used []string
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "storetest") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(source)) {
			if found := name.FindStringSubmatch(line); found != nil {
				used = append(used, found[1])
			} else if call.MatchString(line) {
				t.Errorf("%s: %s: the name of this latch cannot be read; want ctx, the workspace + \"/name\"", path, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, latch := range used {
		if !slices.Contains(raced, latch) {
			t.Errorf("the latch %s is raced by no test: add it to latchRaces", latch)
		}
	}
	for _, latch := range raced {
		if !slices.Contains(used, latch) {
			t.Errorf("the latch %s is raced but used nowhere", latch)
		}
	}
}
