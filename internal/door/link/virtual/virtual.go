// Package virtual is doors on a page: the real engine and the real link, with a keypad, a
// card reader, a bolt and a clock that are a page's. It decides nothing about who may
// open; it refuses to be a door for real.
package virtual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/door"
	"github.com/keyhold/keyhold/internal/door/link"
)

// DoorConfig says which door it is.
type DoorConfig struct {
	Folder       string // of the controller, which is enrolled
	Name         string // for people; empty for the lock's name at its enrolment
	BatteryClock bool   // at the start; the page can change it
	Software     string // name and version
	Log          *slog.Logger
}

// Door is a virtual door that runs. It is safe for use by several goroutines. Use Start.
type Door struct {
	c        DoorConfig
	folder   *link.Folder
	identity link.Identity
	clock    *shiftedClock
	restarts chan restart
	stop     context.CancelFunc
	stopped  chan struct{}

	mu      sync.RWMutex // held for reading while the engine is used: one engine works on the disk at a time
	on      powered      // guarded by mu
	battery bool         // guarded by mu
	cut     bool         // guarded by mu
}

// powered is what ends with the power.
type powered struct {
	engine *door.Engine
	link   *link.Link
}

// restart asks for the power to be cut and given again.
type restart struct {
	battery bool
	done    chan error
}

// Start starts a door in an enrolled folder. It runs until Stop, or until the context
// ends. The error is link.ErrNotEnrolled or link.ErrFolderLocked where the folder is not
// to be used.
func Start(ctx context.Context, c DoorConfig) (*Door, error) {
	folder, err := link.OpenFolder(c.Folder)
	if err != nil {
		return nil, err
	}
	d := &Door{c: c, folder: folder, clock: newShiftedClock(), battery: c.BatteryClock, restarts: make(chan restart), stopped: make(chan struct{})}
	if d.identity, err = folder.Identity(); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	first, err := d.powerOn(c.BatteryClock)
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	d.on = first
	ctx, d.stop = context.WithCancel(ctx)
	go d.supervise(ctx, first)
	return d, nil
}

// Stop ends the door and gives its folder free.
func (d *Door) Stop() error {
	d.stop()
	<-d.stopped
	return d.folder.Close()
}

// Name returns the door's name.
func (d *Door) Name() string {
	if d.c.Name != "" {
		return d.c.Name
	}
	return d.identity.Name
}

// Lock returns the id of the door's lock.
func (d *Door) Lock() string { return string(d.identity.Lock) }

// supervise keeps what is powered running.
func (d *Door) supervise(ctx context.Context, on powered) {
	defer close(d.stopped)
	for {
		again, ok := d.runUntil(ctx, on)
		if !ok {
			return
		}
		on = d.again(again)
	}
}

// again gives the power again. Without a disk that works the door stays as it was.
func (d *Door) again(r restart) powered {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, err := d.powerOn(r.battery)
	if err == nil {
		d.on, d.battery = next, r.battery
		next.link.Cut(d.cut)
	}
	r.done <- err
	return d.on
}

// runUntil keeps the link until the power is to be cut; ok is false if the context ended.
func (d *Door) runUntil(ctx context.Context, on powered) (again restart, ok bool) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = on.link.Run(ctx) }) // it ends with the context only
	defer running.Wait()
	defer stop()
	select {
	case <-ctx.Done():
		return restart{}, false
	case again = <-d.restarts:
		return again, true
	}
}

// powerOn starts an engine from what the disk holds.
func (d *Door) powerOn(battery bool) (powered, error) {
	c := d.identity.Door()
	c.Disk, c.Output, c.Clock, c.BatteryClock, c.Software = d.folder, bolt{}, d.clock, battery, d.c.Software
	engine, err := door.Open(c)
	if err != nil {
		return powered{}, fmt.Errorf("starting the door: %w", err)
	}
	return powered{engine: engine, link: link.New(link.Config{Engine: engine, Identity: d.identityNow(), Folder: d.folder, Log: d.c.Log})}, nil
}

// identityNow returns the identity as the folder has it: its certificate may be renewed.
func (d *Door) identityNow() link.Identity {
	if i, err := d.folder.Identity(); err == nil {
		return i
	}
	return d.identity
}

// bolt is what the page shows as open, from the engine's status.
type bolt struct{}

func (bolt) Open(time.Duration) error { return nil }

// Enter is a whole entry at the keypad.
func (d *Door) Enter(pin string) door.Verdict {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.on.link.Enter(pin)
}

// Tap is a card at the reader.
func (d *Door) Tap(uid []byte) door.Verdict {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.on.link.Tap(uid)
}

// Status returns what the door says of itself.
func (d *Door) Status() door.Status {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.on.engine.Status()
}

// Cut cuts the network, or connects it again.
func (d *Door) Cut(cut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = cut
	d.on.link.Cut(cut)
}

// CutPower cuts the power and gives it again: the door begins with what its disk holds.
// battery says whether it has a battery clock from then on.
func (d *Door) CutPower(battery bool) error {
	r := restart{battery: battery, done: make(chan error, 1)}
	select {
	case d.restarts <- r:
		return <-r.done
	case <-d.stopped:
		return errors.New("the door has stopped")
	}
}

// Shift moves the door's clock. Forward, time passes; backward, only the machine's date is
// set, as somebody at the door could.
func (d *Door) Shift(by time.Duration) {
	d.clock.shift(by)
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.on.link.Kick()
}

// Unshift sets the machine's date right again, and makes the link anew, so that the server
// says the time.
func (d *Door) Unshift() {
	d.clock.unshift()
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.on.link.Kick()
	d.on.link.Reconnect()
}

// shiftedClock is the machine's clock with what the page moved it by.
type shiftedClock struct {
	machine link.Clock

	mu      sync.Mutex
	wall    time.Duration // guarded by mu
	elapsed time.Duration // never goes back; guarded by mu
}

func newShiftedClock() *shiftedClock { return &shiftedClock{machine: link.NewClock()} }

func (c *shiftedClock) shift(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += by
	c.elapsed += max(0, by)
}

func (c *shiftedClock) unshift() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = 0
}

// Wall returns the machine's date and time.
func (c *shiftedClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.machine.Wall().Add(c.wall)
}

// Elapsed returns the time that passed.
func (c *shiftedClock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.machine.Elapsed() + c.elapsed
}
