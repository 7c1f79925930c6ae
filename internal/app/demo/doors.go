package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/door/link"
	"github.com/keyhold/keyhold/internal/door/link/virtual"
)

// doorHost is where the virtual doors' pages are: a host of its own, as a door is a machine
// of its own.
const doorHost = "door.localhost"

// doorsFolder is where the doors keep what they know, below the demo's data: a folder for
// each, with the name of its lock's id.
const doorsFolder = "doors"

// connectIn is how long the demo waits until the doors can decide. It begins without them
// then: they go on trying.
const connectIn = 5 * time.Second

// hall is the demo's virtual doors. They come through the real link, as those of anybody.
type hall struct {
	folder string
	log    *slog.Logger
	port   string // where kept doors look for the server; empty if that is over

	mu     sync.Mutex
	page   http.Handler    // guarded by mu; nil before the doors run
	doors  []*virtual.Door // guarded by mu
	closed bool            // guarded by mu: no door begins any more
}

func newHall(data string, log *slog.Logger) *hall {
	return &hall{folder: filepath.Join(data, doorsFolder), log: log}
}

// ServeHTTP shows the doors.
func (h *hall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	page := h.page
	h.mu.Unlock()
	if page == nil {
		http.Error(w, "The virtual doors do not run yet.", http.StatusServiceUnavailable)
		return
	}
	page.ServeHTTP(w, r)
}

// make makes the folders of doors that are to run from now on.
func (h *hall) make(locks []id.Lock) error {
	for _, l := range locks {
		if err := os.MkdirAll(filepath.Join(h.folder, string(l)), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// locks returns the locks that have a door, the oldest first.
func (h *hall) locks() ([]id.Lock, error) {
	entries, err := os.ReadDir(h.folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []id.Lock
	for _, e := range entries { // by name, and so by age
		if l, ok := id.Parse[id.KindLock](e.Name()); ok {
			out = append(out, l)
		}
	}
	return out, err
}

// listen returns where the server is to wait for the doors: where kept doors will look for
// it, if that is free.
func (h *hall) listen(ctx context.Context) (string, error) {
	all, err := h.locks()
	if err != nil {
		return "", err
	}
	for _, l := range all {
		i, _, _, err := link.Inspect(filepath.Join(h.folder, string(l)))
		if err != nil {
			continue // it will be enrolled
		}
		u, err := url.Parse(i.Link)
		if err != nil {
			continue
		}
		address := net.JoinHostPort("localhost", u.Port())
		if free, err := new(net.ListenConfig).Listen(ctx, "tcp", address); err == nil {
			h.port = u.Port()
			return address, free.Close()
		}
	}
	return "localhost:0", nil
}

// open enrols the doors that are not, over the demo's own address, and runs them. It
// returns once they can decide, or have had their time.
func (h *hall) open(ctx context.Context, a *app.App, w id.Workspace, now clock.Clock, origin, software string) error {
	all, err := h.locks()
	if err != nil {
		return err
	}
	var doors []*virtual.Door
	for _, l := range all {
		if _, err := a.Locks.Find(ctx, auth.Job(w, "demo"), l); err != nil {
			if f, is := fault.As(err); is && f.Kind == fault.KindNotFound {
				continue // somebody deleted it
			}
			return errors.Join(err, stopAll(doors))
		}
		d, err := h.start(ctx, a, w, l, now, origin, software)
		if err != nil {
			return errors.Join(fmt.Errorf("a virtual door: %w", err), stopAll(doors))
		}
		doors = append(doors, d)
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return stopAll(doors)
	}
	h.doors, h.page = doors, virtual.New(virtual.Config{Doors: doors})
	h.mu.Unlock()
	awaitOnline(ctx, doors)
	return nil
}

// start runs one door.
func (h *hall) start(ctx context.Context, a *app.App, w id.Workspace, l id.Lock, now clock.Clock, origin, software string) (*virtual.Door, error) {
	folder := filepath.Join(h.folder, string(l))
	if !usable(folder, h.port, now.Now()) {
		// As if the door got another controller: what the former knew is gone.
		if err := os.RemoveAll(folder); err != nil {
			return nil, err
		}
		issued, err := a.Locks.IssueEnrolment(ctx, auth.Job(w, "demo"), l)
		if err != nil {
			return nil, err
		}
		if _, err := link.Enrol(ctx, origin, issued.Token.ExposeString(), folder); err != nil {
			return nil, err
		}
	}
	return virtual.Start(context.WithoutCancel(ctx), virtual.DoorConfig{Folder: folder, BatteryClock: true, Software: software, Log: h.log}) // close ends it
}

// usable says whether a door may go on with its folder: it was enrolled with this server,
// and has not seen a time that the demo's clock, which begins at the present, has not.
func usable(folder, port string, now time.Time) bool {
	i, s, _, err := link.Inspect(folder)
	if err != nil {
		return false
	}
	u, err := url.Parse(i.Link)
	return err == nil && u.Port() == port && !s.Now.After(now.Add(time.Minute)) && !now.Before(i.Certificate.NotBefore) && now.Before(i.Certificate.NotAfter)
}

// awaitOnline waits until all doors are connected and have a lease, or connectIn is over:
// a door that was enrolled just now gets its first lease only after it confirmed its keys,
// and opens to nobody before.
func awaitOnline(ctx context.Context, doors []*virtual.Door) {
	ctx, stop := context.WithTimeout(ctx, connectIn)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, d := range doors {
		for s := d.Status(); s.Clock != grant.Trusted || !s.Lease.After(s.Now); s = d.Status() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// close stops the doors. None begins afterwards.
func (h *hall) close() error {
	h.mu.Lock()
	doors := h.doors
	h.doors, h.closed = nil, true
	h.mu.Unlock()
	return stopAll(doors)
}

func stopAll(doors []*virtual.Door) error {
	var err error
	for _, d := range doors {
		err = errors.Join(err, d.Stop())
	}
	return err
}
