package lockgate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// Times of a link.
const (
	helloIn    = 10 * time.Second
	helloEvery = time.Second
	lookEvery  = 2 * time.Second // without a signal, which comes at once
	seenEvery  = 10 * time.Second
	pingEvery  = 8 * time.Second
	pongIn     = 8 * time.Second
	writeIn    = 10 * time.Second
	leaveIn    = 5 * time.Second
	// jumpOver is how far the server's clock may be from where it should be by now before
	// the controller is told at once.
	jumpOver = time.Second
)

// What a link is closed with, besides those of RFC 6455.
const (
	// StatusRefused: the certificate is good no more. It does not help to come back.
	StatusRefused websocket.StatusCode = 4401
	// StatusReplaced: the lock has a newer link.
	StatusReplaced websocket.StatusCode = 4409
)

// link is one connection to a controller. Its fields belong to the goroutine that runs it.
type link struct {
	*Gate
	conn *websocket.Conn
	by   auth.Caller
	name string
	gone <-chan error // says once and again why the connection ended

	at        grant.Applied    // what the controller was last sent
	applied   grant.Applied    // what it last said that it holds
	nonce     []byte           // of its last hello; nil before
	lastHello <-chan time.Time // a second after it
	toldTime  time.Time        // of the last beacon
	toldAgo   clock.Stopwatch  // since then
	sent      map[id.LockCommand]bool
}

// ended says why a link ends.
type ended struct {
	code   websocket.StatusCode
	reason string
}

// Error returns the reason.
func (e ended) Error() string { return e.reason }

func malformed(reason string) error { return ended{websocket.StatusPolicyViolation, reason} }

// run works the link until it ends, and says why it did. It waits for its readers.
func (l *link) run(ctx context.Context) (websocket.StatusCode, string) {
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	frames, gone := make(chan grant.Frame), make(chan error, 2)
	l.gone = gone
	var all sync.WaitGroup
	all.Go(func() { gone <- l.read(reading, frames) })
	all.Go(func() { gone <- l.ping(reading) })
	err := l.work(ctx, frames)
	why := l.reason(ctx, err)
	_ = l.conn.Close(why.code, why.reason) // the other side may be gone
	stop()
	all.Wait()
	if l.nonce != nil && why.code != StatusRefused && why.code != StatusReplaced {
		l.depart(ctx)
	}
	return why.code, why.reason
}

// depart notes that the lock is offline.
func (l *link) depart(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), leaveIn)
	defer stop()
	if err := l.c.Locks.Leave(ctx, l.by, l.name); err != nil {
		l.c.Log.Debug("a lock's link left no note", "lock", string(l.by.Lock), "error", err)
	}
}

// reason turns what ended the link into what the controller is told.
func (l *link) reason(ctx context.Context, err error) ended {
	var told ended
	if errors.As(err, &told) {
		return told
	}
	if ctx.Err() != nil {
		return ended{websocket.StatusGoingAway, "the server stops"}
	}
	if f, is := fault.As(err); is {
		switch {
		case f.Kind == fault.KindUnauthenticated || f.Kind == fault.KindForbidden:
			return ended{StatusRefused, f.Code}
		case f.Code == "link_replaced":
			return ended{StatusReplaced, f.Code}
		case f.Kind == fault.KindUnavailable:
			return ended{websocket.StatusTryAgainLater, f.Code}
		}
		return ended{websocket.StatusPolicyViolation, f.Code}
	}
	if code := websocket.CloseStatus(err); code != -1 {
		return ended{websocket.StatusNormalClosure, "the controller closed it"}
	}
	var here internal
	if errors.As(err, &here) {
		l.c.Log.Error("a lock's link failed", "lock", string(l.by.Lock), "error", err)
		return ended{websocket.StatusInternalError, "internal"}
	}
	return ended{websocket.StatusGoingAway, "the connection is lost"}
}

// internal is an error of the house.
type internal struct{ error }

// Unwrap returns the error.
func (i internal) Unwrap() error { return i.error }

// ours marks what a service answered that is no fault.
func ours(err error) error {
	if _, is := fault.As(err); err == nil || is {
		return err
	}
	return internal{err}
}

// patient forgives that the database is away: what nobody asked for comes later, and a
// controller that stays need not come back with all the others.
func patient(err error) error {
	if errors.Is(err, tx.ErrUnavailable) {
		return nil
	}
	return err
}

// read hands on the controller's frames until the connection ends.
func (l *link) read(ctx context.Context, frames chan<- grant.Frame) error {
	for {
		kind, raw, err := l.conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary {
			return malformed("a frame is text")
		}
		f, err := grant.Decode(raw, grant.MaxUp)
		if err != nil {
			return malformed("a frame is malformed")
		}
		l.told.Add(1)
		select {
		case frames <- f:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ping asks now and then whether the controller is there.
func (l *link) ping(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		waiting, stop := context.WithTimeout(ctx, pongIn)
		err := l.conn.Ping(waiting)
		stop()
		if err != nil {
			return err
		}
	}
}

// work is the link's one thread: whatever is said, it says.
func (l *link) work(ctx context.Context, frames <-chan grant.Frame) error {
	heard, cancel := l.c.Signals.Subscribe(signal.Of(l.by.Workspace, signal.Lock, string(l.by.Lock)))
	defer cancel()
	first := time.NewTimer(helloIn)
	defer first.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-l.gone:
		return err
	case <-first.C:
		return malformed("no hello came in time")
	case f := <-frames:
		if f.Type != grant.TypeHello {
			return malformed("the first frame is no hello")
		}
		if err := l.take(ctx, f); err != nil {
			return err
		}
	}
	look, seen, beacon := time.NewTicker(lookEvery), time.NewTicker(seenEvery), time.NewTicker(smartlock.BeaconEvery)
	defer look.Stop()
	defer seen.Stop()
	defer beacon.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-l.gone:
			return err
		case f := <-frames:
			err = l.take(ctx, f)
		case <-heard:
			err = patient(l.look(ctx))
		case <-look.C:
			if err = patient(l.lookAgain(ctx)); err == nil && l.jumped() {
				err = patient(l.beacon(ctx))
			}
		case <-seen.C:
			err = patient(ours(l.c.Locks.Seen(ctx, l.by, l.name)))
		case <-beacon.C:
			err = patient(l.beacon(ctx))
		}
		if err != nil {
			return err
		}
	}
}

// write sends a frame. A server that stops does not cut it short: the connection could not
// be closed in good order any more.
func (l *link) write(ctx context.Context, frame []byte) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), writeIn)
	defer stop()
	return l.conn.Write(ctx, websocket.MessageBinary, frame)
}

// look sends what the controller should know and do.
func (l *link) look(ctx context.Context) error {
	if err := l.sync(ctx); err != nil {
		return err
	}
	return l.command(ctx)
}

// lookAgain is look for when nobody called: mostly there is nothing, and that is one read.
func (l *link) lookAgain(ctx context.Context) error {
	some, err := l.c.Locks.Waits(ctx, l.by, l.name, l.at)
	if err != nil || !some {
		return ours(err)
	}
	return l.look(ctx)
}

// sync sends what changed since the controller was last sent something.
func (l *link) sync(ctx context.Context) error {
	u, some, err := l.c.Locks.Pull(ctx, l.by, l.name, l.at)
	if err != nil || !some {
		return ours(err)
	}
	if err := l.write(ctx, u.Frame); err != nil {
		return err
	}
	l.at = grant.Applied{Epoch: uint64(u.Epoch), Version: uint64(u.To)}
	return nil
}

// command sends what the controller is to do now, each once.
func (l *link) command(ctx context.Context) error {
	waiting, err := l.c.Locks.Commands(ctx, l.by, l.name)
	if err != nil {
		return ours(err)
	}
	sent := map[id.LockCommand]bool{} // what waits no more is forgotten
	for _, c := range waiting {
		if !l.sent[c.ID] {
			if err := l.write(ctx, c.Frame); err != nil {
				return err
			}
		}
		sent[c.ID] = true
	}
	l.sent = sent
	return nil
}

// jumped says whether the server's clock is ahead of the time that passed since the last
// beacon, or behind that beacon: somebody set it, or the machine slept.
func (l *link) jumped() bool {
	now := l.c.Clock.Now()
	return now.Sub(l.toldTime)-l.toldAgo.Elapsed() > jumpOver || l.toldTime.Sub(now) > jumpOver
}

// beacon tells the time, and before that all that changed until then: a controller that
// hears of a version which it was not sent says hello again, and waits for the answer.
func (l *link) beacon(ctx context.Context) error {
	l.toldTime, l.toldAgo = l.c.Clock.Now(), clock.StartStopwatch()
	frame, err := l.c.Locks.Beacon(ctx, l.by, l.name, l.nonce)
	if err != nil {
		return ours(err)
	}
	if err := l.sync(ctx); err != nil {
		return err
	}
	return l.write(ctx, frame)
}

// take works one frame of the controller.
func (l *link) take(ctx context.Context, f grant.Frame) error {
	switch f.Type {
	case grant.TypeHello:
		return body(f, func(h grant.Hello) error { return l.hello(ctx, h) })
	case grant.TypeApplied:
		return body(f, func(a grant.Applied) error { return l.hold(ctx, a) })
	case grant.TypeState:
		return body(f, func(s grant.State) error { return ours(l.c.Locks.Report(ctx, l.by, l.name, s)) })
	case grant.TypeResult:
		return body(f, func(r grant.Result) error { return ours(l.c.Locks.Result(ctx, l.by, l.name, r)) })
	case grant.TypeRenew:
		return body(f, func(r grant.Renew) error {
			certificate, err := l.c.Locks.Renew(ctx, l.by, l.name, r.CSR)
			if err != nil {
				return ours(err)
			}
			return l.write(ctx, grant.Encode(grant.TypeCertificate, grant.Certificate{Certificate: certificate}))
		})
	case grant.TypeEvents:
		through, err := l.c.Locks.Deliver(ctx, l.by, l.name, f.Body)
		if err != nil {
			return ours(err)
		}
		return l.write(ctx, grant.Encode(grant.TypeEventAck, grant.EventAck{Through: uint64(through)}))
	}
	return malformed("no controller sends such a frame")
}

// body reads the body of an unsigned frame.
func body[T any](f grant.Frame, then func(T) error) error {
	var v T
	if err := grant.Read(f.Body, &v); err != nil {
		return malformed("a frame's body is malformed")
	}
	return then(v)
}

// hello answers a hello: how far the record is kept, what is missing, and the time.
func (l *link) hello(ctx context.Context, h grant.Hello) error {
	if err := l.rest(ctx); err != nil {
		return err
	}
	g, err := l.c.Locks.Connect(ctx, l.by, l.name, h)
	if err != nil {
		return ours(err)
	}
	l.nonce, l.at, l.applied = h.Nonce, grant.Applied{Epoch: h.Epoch, Version: h.Version}, grant.Applied{}
	if err := l.write(ctx, grant.Encode(grant.TypeEventAck, grant.EventAck{Through: uint64(g.Through)})); err != nil {
		return err
	}
	return l.beacon(ctx)
}

// rest waits until a second after the hello before. A link that is replaced or gone
// meanwhile is not to come back by what its controller said before.
func (l *link) rest(ctx context.Context) error {
	if l.lastHello != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-l.gone:
			return err
		case <-l.lastHello:
		}
		if err := l.c.Locks.Seen(ctx, l.by, l.name); err != nil {
			return ours(err)
		}
	}
	l.lastHello = time.After(helloEvery)
	return nil
}

// hold notes what is in force at the door, and extends the lease at once if that is all.
func (l *link) hold(ctx context.Context, a grant.Applied) error {
	if err := l.c.Locks.Applied(ctx, l.by, l.name, a); err != nil {
		return ours(err)
	}
	if a == l.applied || a != l.at {
		return nil
	}
	l.applied = a
	return l.beacon(ctx)
}
