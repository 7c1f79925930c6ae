// Package door is the controller's engine: what a door decides by the last grants that
// were signed for it, with the server or without. It takes snapshots, deltas, beacons and
// commands, decides about PINs and cards, pauses the keypad, keeps its own time and a
// record of what happened. It refuses to know what a grant is for, how frames travel and
// what a disk, a bolt or a clock is: those come in through small interfaces.
package door

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Disk keeps the engine's files. Every call is durable when it returns.
type Disk interface {
	// Read returns the whole file; found is false if there is none.
	Read(name string) (data []byte, found bool, err error)
	// Write replaces the file as a whole or not at all, whenever the power goes.
	Write(name string, data []byte) error
	// Append adds to the file's end, and makes the file if there is none. After a power
	// cut a part of what was added may be there.
	Append(name string, data []byte) error
	// Remove takes the file away. It is no error if there is none.
	Remove(name string) error
	// List returns the names of all files.
	List() ([]string, error)
}

// Output moves the bolt. Open unlocks for d and locks again by itself; it does not wait
// for that. It is called with the engine's lock held and calls no method of the engine.
type Output interface {
	Open(d time.Duration) error
}

// Clock is what the machine knows of the time.
type Clock interface {
	// Wall is the machine's date and time. It is believed at the start only, and then only
	// if the machine has a battery clock.
	Wall() time.Time
	// Elapsed is the time since the process began, by a clock that nobody sets.
	Elapsed() time.Duration
}

// Config is what an engine is made from.
type Config struct {
	Lock        id.Lock
	Secret      secret.Bytes        // the lock's, for tags
	SigningKeys []ed25519.PublicKey // whose signature counts: the current one and the next
	Key         ed25519.PrivateKey  // the controller's, signs batches of events
	// Epoch is that of the enrolment. What is kept of an earlier epoch is dropped: it came
	// from an earlier enrolment.
	Epoch  uint64
	Disk   Disk
	Output Output
	Clock  Clock
	// BatteryClock says that the machine's clock goes on without power.
	BatteryClock bool
	Software     string // name and version, for people
}

// Verdict is what became of an entry at the door. Reason is empty if it opened.
type Verdict struct {
	Opened bool
	Reason string
}

// defaultOpen is how long the door opens before the server told it.
const defaultOpen = 5

// Engine decides for one door. It is safe for use by several goroutines. It starts none:
// whoever has it calls Tick in time. Use Open.
type Engine struct {
	c Config

	mu sync.Mutex // guards all that follows
	// What the server said last, and is on disk.
	held heldFile
	byID map[grant.ID]*grant.Grant
	pins map[grant.Tag][]*grant.Grant
	card map[grant.Tag][]*grant.Grant
	// nextEnd is when the next grant ends, Unix seconds; 0 for none.
	nextEnd int64

	timing timing
	keypad keypad
	record record
	wire   wire
	cards  unknownCards
	teach  teaching

	bolt    time.Duration // elapsed until when it is unlocked
	state   grant.State   // as it was told last
	door    string        // "open", "closed" or ""
	battery *uint8
	broken  faults // set by tests only
}

// faults break the engine on purpose, so that tests prove that they would notice.
type faults struct {
	skipFromCheck  bool // a delta is taken whatever version it starts from
	forgetCommands bool // a command is executed whenever it comes
	ackBeforeWrite bool // a change is confirmed though it is in memory only
	ignoreNotAfter bool // a command is executed however late it is
	reuseSeq       bool // an event that the server has not confirmed is written over by the next
}

// Open reads what the disk holds, counts the start and writes it to the record. The error
// says that the disk does not work. Files that are damaged are no error: what is lost is
// asked of the server again, and a damaged count of wrong PINs begins with a pause.
func Open(c Config) (*Engine, error) {
	e := &Engine{c: c}
	boot, err := e.load()
	if err != nil {
		return nil, fmt.Errorf("reading the door's state: %w", err)
	}
	e.timing.boot = boot + 1
	e.state = e.stateNow()
	if err := e.write(grant.Event{Outcome: grant.Notice, Reason: grant.ReasonBoot}); err != nil {
		return nil, fmt.Errorf("recording the start: %w", err)
	}
	if err := e.saveClock(e.timing.file()); err != nil {
		return nil, fmt.Errorf("recording the time: %w", err)
	}
	return e, nil
}

// Peek returns what the files say, without changing any: the time is the last that was
// written. It may be called while an engine works on the disk.
func Peek(c Config) (Status, error) {
	c.Disk = readOnly{c.Disk}
	c.BatteryClock = false
	e := &Engine{c: c}
	boot, err := e.load()
	if err != nil {
		return Status{}, fmt.Errorf("reading the door's state: %w", err)
	}
	e.timing.boot = boot
	return e.status(), nil
}

// readOnly is a disk that takes no changes.
type readOnly struct{ Disk }

func (readOnly) Write(string, []byte) error  { return nil }
func (readOnly) Append(string, []byte) error { return nil }
func (readOnly) Remove(string) error         { return nil }

// Tap is a card at the reader.
func (e *Engine) Tap(uid []byte) Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	if e.taught(uid) {
		return Verdict{Reason: grant.ReasonCardTaught}
	}
	found := e.card[grant.CardTag(e.c.Secret, uid)]
	if len(found) == 0 {
		e.unknownCard()
		return Verdict{Reason: grant.ReasonUnknownCard}
	}
	return e.use(found, grant.Keycard)
}

// ObserveDoor tells the engine what the door's contact says: "open", "closed" or "" for
// unknown.
func (e *Engine) ObserveDoor(door string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.door = door
}

// ObserveBattery tells the engine what is left of the controller's battery, in percent.
func (e *Engine) ObserveBattery(percent uint8) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.battery = &percent
}

// use opens with one of the grants, all meant by the same entry, or refuses with the
// reason of the one that is nearest to opening.
func (e *Engine) use(found []*grant.Grant, by grant.Medium) Verdict {
	best, reason, far := found[0], "", int64(-1)
	for _, g := range found {
		why := e.decide(g)
		if why == "" {
			return e.open(grant.Event{Medium: by, Grant: &g.ID})
		}
		if d := distance(g, e.seconds(), why); far < 0 || d < far {
			best, reason, far = g, why, d
		}
	}
	return e.refuse(grant.Event{Medium: by, Grant: &best.ID}, reason)
}

// decide says why the grant does not open now; empty if it does.
func (e *Engine) decide(g *grant.Grant) string {
	if why := cmp.Or(g.At(e.seconds()), g.At(e.latest()/1000)); why != "" {
		return why
	}
	switch {
	case g.Flags&grant.SurvivesLease != 0:
		return ""
	case e.timing.quality == grant.Untrusted:
		return grant.ReasonClockUntrusted
	case e.latest()/1000 >= e.timing.lease:
		return grant.ReasonLeaseEnded
	}
	return ""
}

// distance says how far the grant is from opening, in seconds.
func distance(g *grant.Grant, now int64, why string) int64 {
	switch why {
	case grant.ReasonExpired:
		return now - g.NotAfter + 1
	case grant.ReasonNotYet:
		return g.NotBefore - now
	case grant.ReasonOutsideHours:
		near := g.NotAfter - g.NotBefore
		for _, w := range g.Windows {
			if d := w.From - now; d > 0 {
				near = min(near, d)
			} else {
				near = min(near, now-w.To+1)
			}
		}
		return near
	}
	return 0
}

// open writes the event and then moves the bolt.
func (e *Engine) open(event grant.Event) Verdict {
	event.Outcome = grant.Opened
	if err := e.write(event); err != nil {
		return Verdict{Reason: grant.ReasonDoorFailed}
	}
	d := time.Duration(e.held.OpenSeconds) * time.Second
	if err := e.c.Output.Open(d); err != nil {
		return e.refuse(event, grant.ReasonDoorFailed)
	}
	e.bolt = e.c.Clock.Elapsed() + d
	return Verdict{Opened: true}
}

// refuse writes the event and refuses. It refuses as well if the disk does not take it.
func (e *Engine) refuse(event grant.Event, reason string) Verdict {
	event.Outcome, event.Reason = grant.Refused, reason
	_ = e.write(event) // a refusal stands without its line
	return Verdict{Reason: reason}
}

// stateNow says what the door is like.
func (e *Engine) stateNow() grant.State {
	s := grant.State{Lock: "locked", Door: e.door, Battery: e.battery}
	if e.c.Clock.Elapsed() < e.bolt {
		s.Lock = "unlocked"
	}
	return s
}

// The limit of events for cards that the door does not know.
const (
	unknownPer   = time.Minute
	unknownShown = 5
)

// unknownCards keeps cards that nobody knows from filling the record.
type unknownCards struct {
	began  time.Duration // of the minute
	shown  int           // events in it
	hidden uint32        // cards without an event since
}

func (e *Engine) unknownCard() {
	u := &e.cards
	if now := e.c.Clock.Elapsed(); u.shown == 0 || now-u.began >= unknownPer {
		u.began, u.shown = now, 0
	}
	if u.shown >= unknownShown {
		u.hidden++
		return
	}
	u.shown++
	e.writeUnknown(u.hidden + 1)
}

// writeUnknown writes an event for n cards.
func (e *Engine) writeUnknown(n uint32) {
	if e.write(grant.Event{Medium: grant.Keycard, Outcome: grant.Refused, Reason: grant.ReasonUnknownCard, Count: n}) == nil {
		e.cards.hidden = 0
	}
}

// Status is what the door can say of itself, for people.
type Status struct {
	Lock      id.Lock
	Now       time.Time // by the door's own clock
	Clock     grant.Quality
	Boot      uint64
	Online    bool // the link is up
	Epoch     uint64
	Version   uint64
	Lease     time.Time // the zero time if there never was one
	Grants    int
	Wrong     int           // PINs
	PausedFor time.Duration // the keypad
	TeachFor  time.Duration // how long a card is still waited for
	OpenFor   time.Duration // how long the bolt is still unlocked
	First     uint64        // the oldest event that is kept
	Last      uint64        // the newest
	Confirmed uint64        // through which event the server has the record
	Events    []grant.Event // the newest 50, the newest first
	Failed    error         // the last time that the disk was used; nil if it worked
}

const statusEvents = 50

// Status returns what the door can say of itself.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	return e.status()
}

func (e *Engine) status() Status {
	at := e.c.Clock.Elapsed()
	s := Status{
		Lock: e.c.Lock, Now: time.UnixMilli(e.now()).UTC(), Clock: e.timing.quality, Boot: e.timing.boot, Online: e.wire.up,
		Epoch: e.held.Epoch, Version: e.held.Version, Grants: len(e.held.Grants), Wrong: int(e.keypad.Wrong), PausedFor: max(0, e.keypad.until-at),
		OpenFor: max(0, e.bolt-at), First: e.record.first(), Last: e.record.last, Confirmed: e.record.acked, Failed: e.record.failed,
	}
	if e.timing.lease > 0 {
		s.Lease = time.Unix(e.timing.lease, 0).UTC()
	}
	if e.teach.waits {
		s.TeachFor = max(0, e.teach.until-at)
	}
	for i := len(e.record.events) - 1; i >= 0 && len(s.Events) < statusEvents; i-- {
		s.Events = append(s.Events, e.record.events[i])
	}
	return s
}

// Tick does what is due: it keeps the time on disk, ends pauses and waits, and notes the
// lease's end. It returns after how long it is to be called again, at the latest; what is
// to be sent then comes from Outgoing.
func (e *Engine) Tick() (next time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	at := e.c.Clock.Elapsed()
	if at-e.timing.saved >= floorEvery || e.nextEnd > 0 && e.seconds() >= e.nextEnd {
		if e.saveClock(e.timing.file()) == nil {
			e.nextEnd = e.findNextEnd()
		}
	}
	if e.cards.hidden > 0 && at-e.cards.began >= unknownPer {
		e.writeUnknown(e.cards.hidden)
	}
	e.greetAgain(at)
	return e.due(at)
}

// settle ends what has run out: pauses, quiet hours, waits for cards, the lease.
func (e *Engine) settle() {
	at := e.c.Clock.Elapsed()
	e.quiet(at)
	e.endTeaching(at)
	if lease := e.timing.lease; lease > 0 && lease != e.timing.noticed && e.timing.quality != grant.Untrusted && e.seconds() >= lease {
		was := e.timing.noticed
		e.timing.noticed = lease
		if e.write(grant.Event{Outcome: grant.Notice, Reason: grant.ReasonLeaseEnded}) != nil || e.saveClock(e.timing.file()) != nil {
			e.timing.noticed = was
		}
	}
}

// due says after how long something is due.
func (e *Engine) due(at time.Duration) time.Duration {
	next := floorEvery
	soon := func(wanted bool, d time.Duration) {
		if wanted {
			next = min(next, max(d, time.Millisecond))
		}
	}
	soon(true, e.timing.saved+floorEvery-at)
	soon(e.keypad.until > at, e.keypad.until-at)
	soon(e.keypad.Wrong > 0, e.keypad.since+quietSpan-at)
	soon(e.teach.waits, e.teach.until-at)
	soon(e.bolt > at, e.bolt-at)
	soon(e.cards.hidden > 0, e.cards.began+unknownPer-at)
	soon(e.wire.up, e.wire.due()-at)
	soon(e.nextEnd > 0, e.until(e.nextEnd))
	lease := e.timing.lease
	soon(lease > 0 && lease != e.timing.noticed && e.timing.quality != grant.Untrusted, e.until(lease))
	if e.record.failed != nil {
		next = max(next, time.Second) // a disk that fails is not asked all the time
	}
	return next
}

// newNonce returns what makes a beacon the answer to one hello.
func newNonce() []byte {
	nonce := make([]byte, grant.NonceSize)
	_, _ = rand.Read(nonce) // crypto/rand.Read never returns an error
	return nonce
}

// errDamaged says that a file is not what was written to it.
var errDamaged = errors.New("the file is damaged")
