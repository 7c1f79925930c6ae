package app

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keyhold/keyhold/internal/edge/api"
	"github.com/keyhold/keyhold/internal/edge/authenticator"
	"github.com/keyhold/keyhold/internal/edge/holder"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/edge/kit/assets"
	"github.com/keyhold/keyhold/internal/edge/lockgate"
	"github.com/keyhold/keyhold/internal/edge/panel"
	"github.com/keyhold/keyhold/internal/edge/sharedmobile"
)

// drainTime is how long requests and deliveries under way may take to end after
// the server was told to stop.
const drainTime = 15 * time.Second

// Listen opens the address to serve on. A port that another program has is told
// plainly, with the setting to change.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	return listenOn(ctx, "KEYHOLD_LISTEN", address)
}

func listenOn(ctx context.Context, setting, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, wrong(setting, "another program is using %s: stop it, or choose another port, like localhost:8090", address)
	}
	if err != nil {
		return nil, wrong(setting, "cannot listen on %s: %v", address, err)
	}
	return l, nil
}

// listenLocks opens the port for doors' controllers, if one is set, and says from then on
// where they find it.
func (a *App) listenLocks(ctx context.Context) (net.Listener, error) {
	if a.config.LockListen == "" {
		return nil, nil //nolint:nilnil // no port is what the settings say
	}
	l, err := listenOn(ctx, "KEYHOLD_LOCK_LISTEN", a.config.LockListen)
	if err != nil {
		return nil, err
	}
	link := a.config.LockURL
	if link == "" {
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		link = "wss://" + net.JoinHostPort(a.config.PublicURL.Hostname(), port)
	}
	a.linkURL.Store(link + lockgate.LinkPath)
	return l, nil
}

// Handler returns the server: all edges behind the request event.
func (a *App) Handler(version string) (http.Handler, error) {
	files, err := assets.Load()
	if err != nil {
		return nil, fmt.Errorf("reading the front-end's files: %w", err)
	}
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	k := kit.New(kit.Config{PublicURL: a.config.PublicURL, Clock: a.clock, Log: a.log, Sessions: a.SignIn, Metrics: a.metrics, Proxies: a.config.Proxies, Stopping: a.stopping})
	mux := http.NewServeMux()
	cursors := kit.Cursors{Secrets: a.secrets.CursorsOf}
	if err := api.Register(mux, api.Config{
		Kit: k, Assets: files, Cursors: cursors, Directory: a.Directory, Leave: a.Leave, APIKeys: a.APIKeys, SignIn: a.SignIn, Record: a.Record, Overview: a.Overview, Version: version,
		SecurityKeys: a.SecurityKeys, DigitalKeys: a.DigitalKeys, Locks: a.Locks, Clients: a.Clients, Vault: a.Vault, Signals: a.signals, Log: a.log,
		Reports: &a.reports,
	}); err != nil {
		return nil, err
	}
	panel.New(panel.Config{
		Kit: k, Assets: files, Cursors: cursors, Directory: a.Directory, Leave: a.Leave, SignIn: a.SignIn, Join: a.Join, APIKeys: a.APIKeys,
		SecurityKeys: a.SecurityKeys, Bind: a.Bind, DigitalKeys: a.DigitalKeys, Locks: a.Locks, Clients: a.Clients, Vault: a.Vault, Signals: a.signals,
		Record: a.Record, Overview: a.Overview,
	}).Register(mux)
	authenticator.Register(mux, authenticator.Config{Keys: a.APIKeys, Clients: a.Clients, Authenticate: a.Authenticate, Enrol: a.Enrol, PublicURL: a.config.PublicURL})
	sharedmobile.Register(mux, a.APIKeys)
	holder.New(holder.Config{
		Kit: k, Assets: files, Cursors: cursors, SignIn: a.SignIn, Record: a.Record, SecurityKeys: a.SecurityKeys, Bind: a.Bind,
		DigitalKeys: a.DigitalKeys, Unlock: a.Unlock, Signals: a.signals,
	}).Register(mux)
	a.gate.RegisterPublic(mux)
	mux.Handle("GET "+assets.Prefix, files)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", a.metricsHandler())
	if a.options.Mount != nil {
		a.options.Mount(mux)
	}
	h := k.Observe(k.RedirectToPublic(k.Protect(mux)))
	if a.options.Wrap != nil {
		h = a.options.Wrap(h)
	}
	return h, nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the reader has gone: nothing to do about it
}

// ready says whether requests can be served: the database answers.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.store.Ping(ctx); err != nil {
		_ = kit.NoteError(r.Context(), err) // the answer says less
		answer(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	answer(w, http.StatusOK, "ready")
}

// metricsHandler answers who has the metrics token or, if none is set, who comes
// from this machine itself and not through a proxy on it.
func (a *App) metricsHandler() http.Handler {
	inner := promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.mayReadMetrics(r) {
			answer(w, http.StatusForbidden, "Metrics are read with the token in KEYHOLD_METRICS_TOKEN or, if there is none, from this machine.")
			return
		}
		inner.ServeHTTP(w, r)
	})
}

func (a *App) mayReadMetrics(r *http.Request) bool {
	if want := a.config.MetricsToken; want != "" {
		return subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+want)) == 1
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// Serve runs the server on the listener, with the outbox's worker, the sequencer,
// the teller of checkpoints, the lease, the keys' rounds and the admin socket, until ctx ends. Then it takes no new requests, lets those
// under way end, and returns. ready is called once requests are answered.
func (a *App) Serve(ctx context.Context, l net.Listener, version string, ready func()) error {
	h, err := a.Handler(version)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	socket, err := a.listenSocket(ctx)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	doors, err := a.listenLocks(ctx)
	if err != nil {
		return errors.Join(err, l.Close(), socket.Close())
	}
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var owned sync.WaitGroup
	owned.Go(func() { a.worker.Run(background) })
	owned.Go(func() { a.sequencer.Run(background) })
	owned.Go(func() { a.teller.Run(background) })
	owned.Go(func() { a.waker.Run(background) })
	owned.Go(func() { a.keepKeys(background) })
	owned.Go(func() { a.keepSecurityKeys(background) })
	owned.Go(func() { a.keepDoors(background) })
	owned.Go(func() { a.keepClients(background) })
	owned.Go(func() { a.hearSignals(background) })

	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	admin := &http.Server{Handler: a.commandHandler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 3)
	owned.Go(func() { failed <- server.Serve(l) })
	owned.Go(func() { failed <- admin.Serve(socket) })
	if doors != nil {
		owned.Go(func() {
			if err := a.gate.Serve(background, doors); err != nil {
				failed <- fmt.Errorf("the lock link: %w", err)
			}
		})
	}
	ready()

	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	close(a.stopping) // streams end, or they would be waited for
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err = errors.Join(err, server.Shutdown(drain), admin.Shutdown(drain))
	a.reports.Wait()
	stopBackground()
	owned.Wait()
	if removal := os.Remove(a.folder.file(socketFile)); removal != nil && !errors.Is(removal, os.ErrNotExist) {
		err = errors.Join(err, removal)
	}
	return err
}
