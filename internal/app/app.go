// Package app puts Keyhold together: settings → store → rooms → edges and ways
// out. It is the only package that sees everything, and decides nothing that a
// room decides.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/edge/lockgate"
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/flow/bind"
	"github.com/keyhold/keyhold/internal/flow/enrol"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/flow/unlock"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/out/checkpoint"
	"github.com/keyhold/keyhold/internal/out/keeper"
	"github.com/keyhold/keyhold/internal/out/mail"
	"github.com/keyhold/keyhold/internal/out/sequencer"
	"github.com/keyhold/keyhold/internal/out/wake"
	"github.com/keyhold/keyhold/internal/out/worker"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/room/vault"
	"github.com/keyhold/keyhold/internal/store"
)

// Options are what only a demo sets.
type Options struct {
	// Clock is the server's time; nil for the machine's.
	Clock clock.Clock
	// LinksSignIn lets setup links open a session without a passkey.
	LinksSignIn bool
	// Mount adds handlers of its own to the server's.
	Mount func(mux *http.ServeMux)
	// Wrap wraps the whole server, from outside.
	Wrap func(http.Handler) http.Handler
}

// App is Keyhold, put together. Use Open.
type App struct {
	Directory *directory.Service
	SignIn    *signin.Service
	Join      *join.Service
	Leave     *leave.Service
	APIKeys   *apikey.Service
	Record    *activity.Record
	Overview  *overview.Service
	// SecurityKeys is the room of the keys that people sign in with.
	SecurityKeys *securitykey.Service
	// Bind makes phones and hardware keys security keys.
	Bind *bind.Service
	// DigitalKeys is the room of who may open which door, Locks that of the doors.
	DigitalKeys *digitalkey.Service
	Locks       *smartlock.Service
	// Unlock is how people open a door from afar.
	Unlock *unlock.Service
	// Clients is the room of the programs at workstations, Vault that of the passkeys which
	// people have at websites.
	Clients *client.Service
	Vault   *vault.Service
	// Authenticate is how a card at a workstation registers and signs in.
	Authenticate *authenticate.Service
	// Enrol is how a workstation begins with an enrolment code alone.
	Enrol *enrol.Service

	config    Config
	options   Options
	log       *slog.Logger
	clock     clock.Clock
	folder    *folder // nil when only reading
	store     *store.Store
	keeper    *keeper.File
	secrets   *secrets
	signals   *signal.Hub
	metrics   *prometheus.Registry
	lease     *lease.Holder
	waker     *wake.Waker
	worker    *worker.Worker
	sequencer *sequencer.Sequencer
	gate      *lockgate.Gate
	linkURL   atomic.Value  // string: where controllers find the link; unset while there is none
	stopping  chan struct{} // closed when Serve ends
	teller    *checkpoint.Teller
	reports   sync.WaitGroup // what requests left to be done, see api.Config

	rotating sync.Mutex // held while the key file is changed
}

// Open locks the data folder, opens the store, brings its schema up to date and
// makes the rooms. Nothing runs yet. Whoever opens an App closes it.
func Open(ctx context.Context, c Config, o Options, log *slog.Logger) (_ *App, err error) {
	a, err := openReading(ctx, c, o, log, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	steps, err := a.store.Migrate(ctx)
	if err != nil {
		return nil, err
	}
	if len(steps) > 0 {
		log.Info("the database was brought up to date", "steps", strings.Join(steps, " "))
	}
	if err := a.checkKeyFile(ctx); err != nil {
		return nil, err
	}
	if err := a.openWaysOut(); err != nil {
		return nil, err
	}
	return a, nil
}

// checkKeyFile refuses a key file that is not the one this database was made with:
// no API key and no sealed secret would be good any more.
func (a *App) checkKeyFile(ctx context.Context) error {
	all, err := a.Join.Workspaces(ctx, auth.Job("", "start"))
	if err != nil || len(all) == 0 {
		return err
	}
	if _, err = a.secrets.CursorsOf(ctx, all[0].ID); err == nil {
		return a.checkPeppers(ctx, all[0].ID)
	}
	path := filepath.Join(a.config.Data, keyFile)
	if a.keeper.Created() {
		return errors.Join(wrong("KEYHOLD_DATA", "the key file %s is missing, and the database cannot be used without it: put it back from your backup", path), os.Remove(path))
	}
	return wrong("KEYHOLD_DATA", "the key file %s does not belong to this database: %v", path, err)
}

// openReading opens everything but what writes by itself. Without lock the data
// folder may belong to a running server: call nothing that writes.
func openReading(ctx context.Context, c Config, o Options, log *slog.Logger, lock bool) (_ *App, err error) {
	a := &App{config: c, options: o, log: log, clock: o.Clock, metrics: prometheus.NewRegistry(), signals: signal.NewHub(), stopping: make(chan struct{})}
	if a.clock == nil {
		a.clock = clock.System{}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	place := &folder{path: c.Data}
	if lock {
		if a.folder, err = openFolder(c.Data); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(place.file(keyFile)); err != nil {
		// Only who has the folder for himself may make what is missing there.
		return nil, wrong("KEYHOLD_DATA", "there is no data folder with a %s at %s", keyFile, c.Data)
	}
	if a.store, err = openStore(ctx, c, place); err != nil {
		return nil, err
	}
	if a.keeper, err = keeper.Open(place.file(keyFile)); err != nil {
		return nil, err
	}
	if err := a.openRooms(); err != nil {
		return nil, err
	}
	return a, nil
}

func openStore(ctx context.Context, c Config, f *folder) (*store.Store, error) {
	if c.DatabaseURL != "" {
		s, err := store.OpenPostgres(ctx, c.DatabaseURL)
		if err != nil {
			return nil, wrong("KEYHOLD_DATABASE_URL", "%v", err)
		}
		return s, nil
	}
	return store.OpenSQLite(ctx, f.file(databaseFile))
}

func (a *App) openRooms() error {
	party, err := signin.NewRelyingParty(a.config.PublicURL.Hostname(), a.config.PublicURL.String())
	if err != nil {
		return err
	}
	a.Directory = directory.New(store.For[directory.Tx](a.store), a.clock)
	a.secrets = newSecrets(store.For[secretTx](a.store), a.Directory, a.keeper)
	a.store.TellSignalsTo(a.signals)
	a.SignIn = signin.New(signin.Config{Store: store.For[signin.Tx](a.store), Clock: a.clock, Party: party, LinksSignIn: a.options.LinksSignIn, CodeKey: a.keeper.CodeKey()})
	a.Join = join.New(join.Config{Store: store.For[join.Tx](a.store), Clock: a.clock, Keeper: a.keeper, Party: party, LinksSignIn: a.options.LinksSignIn})
	a.Leave = leave.New(store.For[leave.Tx](a.store), a.clock)
	cache := apikey.NewCache()
	a.lease = a.newLease(cache)
	a.store.SettleBy(a.lease.Settle)
	a.APIKeys = apikey.New(apikey.Config{
		Store: store.For[apikey.Tx](a.store), Clock: a.clock, Peppers: a.peppers(), Cache: cache, Leases: a.lease, Rate: a.config.APIRate, Burst: burst(a.config.APIRate),
	})
	a.Record = activity.NewRecord(activity.Gate[activity.RecordTx]{Store: store.For[activity.RecordTx](a.store), Clock: a.clock}, a.keeper.Signer())
	a.Overview = overview.New(store.For[overview.Tx](a.store), a.clock)
	a.SecurityKeys = securitykey.NewService(securitykey.Config{
		Store: store.For[securitykey.Tx](a.store), Clock: a.clock, LinkKey: a.keeper.CodeKey(),
		Secrets: a.secrets,
	})
	a.Bind = bind.New(bind.Config{Store: store.For[bind.Tx](a.store), Clock: a.clock, Party: party, LinkKey: a.keeper.CodeKey()})
	a.DigitalKeys = digitalkey.NewService(digitalkey.Config{Store: store.For[digitalkey.Tx](a.store), Clock: a.clock, Sealing: a.secrets})
	a.Locks = smartlock.NewService(smartlock.Config{
		Store: store.For[smartlock.Tx](a.store), Clock: a.clock, Authorities: a.secrets, Sealing: a.secrets, LinkURL: a.lockLink,
	})
	a.Unlock = unlock.NewService(unlock.Config{Store: store.For[unlock.Tx](a.store), Clock: a.clock})
	a.Clients = client.NewService(client.Config{Store: store.For[client.Tx](a.store), Clock: a.clock, CodeKey: a.keeper.CodeKey()})
	a.Vault = vault.NewService(vault.Config{Store: store.For[vault.Tx](a.store), Clock: a.clock})
	a.Authenticate = authenticate.NewService(authenticate.Config{
		Store: store.For[authenticate.Tx](a.store), Clock: a.clock, Secrets: a.secrets, RPID: a.config.PublicURL.Hostname(),
	})
	a.Enrol = enrol.NewService(enrol.Config{Store: store.For[enrol.Tx](a.store), Clock: a.clock, Clients: a.Clients, Keys: a.APIKeys})
	a.gate = lockgate.New(lockgate.Config{Locks: a.Locks, Authorities: a.secrets, Signals: a.signals, Clock: a.clock, Log: a.log, Stopping: a.stopping})
	return nil
}

// lockLink returns where controllers find the link, "" while there is none.
func (a *App) lockLink() string {
	link, _ := a.linkURL.Load().(string)
	return link
}

// peppers are the key file's keys of the stored hashes.
func (a *App) peppers() apikey.Peppers {
	current, known := a.keeper.Peppers()
	return apikey.Peppers{Current: current, Known: known}
}

// burst is how many requests an API key may make at once: what it may make in two
// seconds, and never fewer than ten.
func burst(perMinute int) int { return max(perMinute/30, 10) }

// newLease makes this server's part in withdrawing what is kept in memory. A server
// that has its database for itself waits for nobody.
func (a *App) newLease(cache *apikey.Cache) *lease.Holder {
	replica := ""
	if a.store.Shared() {
		replica = "server-" + rand.Text()
	}
	return lease.New(lease.Config{
		Store: store.For[lease.ReplicaTx](a.store), Replica: replica, Forget: cache.Forget, Signal: a.store.Signal,
		Start: func() lease.Watch { return clock.StartStopwatch() },
		Pause: func(ctx context.Context, d time.Duration) error {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
}

// openWaysOut makes the outbox's worker, the sequencer and the teller of
// checkpoints. They run in Serve.
func (a *App) openWaysOut() error {
	holder := "server-" + rand.Text()
	c := worker.Config{Store: store.For[outbox.WorkTx](a.store), Clock: a.clock, Holder: holder, Log: a.log}
	if a.config.SMTPURL != "" {
		m, err := mail.New(mail.Config{
			URL: a.config.SMTPURL, From: a.config.MailFrom, PublicURL: a.config.PublicURL, Clock: a.clock, CodeKey: a.keeper.CodeKey(), Sealing: a.sealingKey,
		})
		if err != nil {
			return wrong("KEYHOLD_SMTP_URL", "%v", err)
		}
		c.Deliver = m
	}
	a.worker = worker.New(c)
	a.waker = wake.New(wake.Config{Lease: a.lease, Listen: a.store.Listen, Log: a.log})
	a.sequencer = sequencer.New(sequencer.Config{Store: store.For[sequencer.Tx](a.store), Clock: a.clock, Holder: holder, Log: a.log})
	if folder := a.config.Checkpoints; folder != "" {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return wrong("KEYHOLD_CHECKPOINTS", "the folder cannot be made: %v", err)
		}
	}
	a.teller = checkpoint.New(checkpoint.Config{
		Store: store.For[checkpoint.Tx](a.store), Clock: a.clock, Signer: a.keeper.Signer(), Folder: a.config.Checkpoints, Holder: holder, Log: a.log,
	})
	return nil
}

// Close waits for what requests left to be done, closes the store and gives the data
// folder free.
func (a *App) Close() error {
	a.reports.Wait()
	var errs []error
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.folder != nil {
		errs = append(errs, a.folder.close())
	}
	return errors.Join(errs...)
}

// PublicURL returns the address of a page, with a query if there is one.
func (a *App) PublicURL(path string, query url.Values) string {
	u := a.config.PublicURL.JoinPath(path)
	u.RawQuery = query.Encode()
	return u.String()
}

// ActivationLink returns the secret of the link that activates a key, as its mail has it.
func (a *App) ActivationLink(link id.Activation) secret.Bytes {
	return token.Link(a.keeper.CodeKey(), string(link))
}

// SetupURL returns the address at which a setup link's secret is used.
func (a *App) SetupURL(link secret.Bytes) string {
	return a.PublicURL("/setup", url.Values{"link": {link.ExposeString()}})
}

// sealingKey returns a workspace's sealing key, for mail that holds a sealed secret.
func (a *App) sealingKey(ctx context.Context, workspace string) (seal.Key, error) {
	return a.secrets.SealingOf(ctx, id.Workspace(workspace))
}
