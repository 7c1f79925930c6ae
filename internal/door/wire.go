package door

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/grant"
)

const (
	// answerIn is how long the server may take to answer a hello or a batch of events.
	answerIn = 30 * time.Second
	// greetEvery is how often a hello is said on a link that stays up: its beacon sets a
	// clock right that runs fast.
	greetEvery = time.Hour
	// keepEnded is how long a grant that has ended is kept, so that its holder is told why
	// it does not open, in seconds.
	keepEnded = 48 * 3600
	// maxResults bounds the results that wait for a link.
	maxResults = 16
)

// wire is the link as the engine sees it.
type wire struct {
	up      bool
	nonce   []byte        // of the last hello
	greeted time.Duration // elapsed, when it was said
	heard   int64         // the last beacon that answered it, Unix milliseconds
	known   bool          // the server said how much of the record it has
	sent    uint64        // the last event of the batch that is under way; 0 for none
	asked   time.Duration // elapsed, since when an answer is waited for
	queue   [][]byte      // frames that wait
	results [][]byte      // results that wait; they outlive a link
}

// waits says whether an answer is due.
func (w *wire) waits() bool { return !w.known || w.sent > 0 }

// due is when something is to be said again, as elapsed time.
func (w *wire) due() time.Duration {
	next := w.greeted + greetEvery
	if w.waits() {
		next = min(next, w.asked+answerIn)
	}
	return next
}

// Connected says that a link is up. It returns the frames to send first.
func (e *Engine) Connected() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	e.wire = wire{up: true, results: e.wire.results}
	e.state = e.stateNow()
	return [][]byte{e.hello(), grant.Encode(grant.TypeState, e.state)}
}

// Disconnected says that the link is down.
func (e *Engine) Disconnected() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wire = wire{results: e.wire.results}
}

// Outgoing returns the frames that wait: whoever calls any other method calls it after.
func (e *Engine) Outgoing() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &e.wire
	if !w.up {
		return nil
	}
	out := slices.Concat(w.queue, w.results)
	w.queue, w.results = nil, nil
	if s := e.stateNow(); !sameState(s, e.state) {
		e.state = s
		out = append(out, grant.Encode(grant.TypeState, s))
	}
	if batch := e.batch(); batch != nil {
		out = append(out, batch)
	}
	return out
}

func sameState(a, b grant.State) bool {
	return a.Lock == b.Lock && a.Door == b.Door && (a.Battery == nil) == (b.Battery == nil) && (a.Battery == nil || *a.Battery == *b.Battery)
}

// hello returns a hello with a new nonce.
func (e *Engine) hello() []byte {
	w := &e.wire
	w.nonce, w.greeted, w.heard = newNonce(), e.c.Clock.Elapsed(), 0
	w.known, w.sent, w.asked = false, 0, w.greeted
	return grant.Encode(grant.TypeHello, grant.Hello{
		Epoch: e.held.Epoch, Version: e.held.Version, EventFirst: e.record.first(), EventLast: e.record.last,
		Clock: max(0, e.now()), Quality: e.timing.quality, Boot: e.timing.boot, Nonce: w.nonce, Software: e.c.Software,
	})
}

// greetAgain says hello once more if the server owes an answer, or if it is time.
func (e *Engine) greetAgain(at time.Duration) {
	if e.wire.up && at >= e.wire.due() {
		e.wire.queue = append(e.wire.queue, e.hello())
	}
}

// batch returns the next events that the server does not have, signed; nil if there are
// none or some are under way.
func (e *Engine) batch() []byte {
	w, r := &e.wire, &e.record
	if w.waits() || r.acked >= r.last || len(r.events) == 0 {
		return nil
	}
	from := max(r.acked+1, r.first()) - r.first()
	events := r.events[from:]
	for n := min(len(events), grant.MaxBatch); n > 0; n /= 2 {
		frame, err := grant.Sign(grant.TypeEvents, string(e.c.Lock), grant.Events{Type: grant.TypeEvents, Lock: string(e.c.Lock), Events: events[:n]}, e.c.Key)
		if err != nil {
			return nil // the key is no key: nothing can be said
		}
		if len(frame) <= grant.MaxUp {
			w.sent, w.asked = events[n-1].Seq, e.c.Clock.Elapsed()
			return frame
		}
	}
	return nil
}

// Receive takes one frame from the server and returns the frames to answer with. The error
// says that the frame is malformed, that it is not signed for this door, or that the disk
// does not take it: nothing has changed then, and the caller ends that link only.
func (e *Engine) Receive(frame []byte) (out [][]byte, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	f, err := grant.Decode(frame, grant.MaxDown)
	if err != nil {
		return nil, err
	}
	switch f.Type {
	case grant.TypeSnapshot:
		return e.receiveSnapshot(f.Body)
	case grant.TypeDelta:
		return e.receiveDelta(f.Body)
	case grant.TypeBeacon:
		return e.receiveBeacon(f.Body)
	case grant.TypeEventAck:
		return nil, e.receiveAck(f.Body)
	case grant.TypeCommand:
		return e.receiveCommand(f.Body)
	}
	return nil, fmt.Errorf("%w: %q does not go to a door", grant.ErrMalformed, f.Type)
}

func (e *Engine) readSigned(body []byte, t grant.Type, v any) error {
	return grant.ReadSigned(body, t, string(e.c.Lock), v, e.c.SigningKeys...)
}

func (e *Engine) receiveSnapshot(body []byte) ([][]byte, error) {
	var s grant.Snapshot
	if err := e.readSigned(body, grant.TypeSnapshot, &s); err != nil {
		return nil, err
	}
	if s.Epoch < e.held.Epoch || s.Epoch == e.held.Epoch && s.Version <= e.held.Version {
		return e.helloAgain(), nil
	}
	return e.accept(heldFile{Epoch: s.Epoch, Version: s.Version, Lease: s.LeaseUntil, OpenSeconds: s.OpenSeconds, Grants: s.Grants})
}

func (e *Engine) receiveDelta(body []byte) ([][]byte, error) {
	var d grant.Delta
	if err := e.readSigned(body, grant.TypeDelta, &d); err != nil {
		return nil, err
	}
	if d.Epoch != e.held.Epoch || d.From != e.held.Version && !e.broken.skipFromCheck {
		return e.helloAgain(), nil
	}
	next := heldFile{Epoch: d.Epoch, Version: d.To, Lease: d.LeaseUntil, OpenSeconds: d.OpenSeconds}
	changed := make(map[grant.ID]*grant.Grant, len(d.Ops)) // nil: it goes
	var order []grant.ID
	for _, op := range d.Ops {
		grantID := op.Remove
		if op.Put != nil {
			grantID = &op.Put.ID
		}
		if _, twice := changed[*grantID]; !twice {
			order = append(order, *grantID)
		}
		changed[*grantID] = op.Put
	}
	next.Grants = make([]grant.Grant, 0, len(e.held.Grants)+len(order))
	for _, g := range e.held.Grants {
		if _, is := changed[g.ID]; !is {
			next.Grants = append(next.Grants, g)
		}
	}
	for _, grantID := range order {
		if g := changed[grantID]; g != nil {
			next.Grants = append(next.Grants, *g)
		}
	}
	if len(next.Grants) > grant.MaxGrants {
		return nil, fmt.Errorf("%w: that would be %d grants", grant.ErrMalformed, len(next.Grants))
	}
	return e.accept(next)
}

// accept puts into force what the server said: on disk first, then here.
func (e *Engine) accept(next heldFile) ([][]byte, error) {
	next.Serial = e.timing.serial + 1
	if e.timing.quality == grant.Trusted {
		now := e.seconds()
		next.Grants = slices.DeleteFunc(next.Grants, func(g grant.Grant) bool { return g.NotAfter < now-keepEnded })
	}
	if !e.broken.ackBeforeWrite {
		if err := e.save(fileHeld, next); err != nil {
			return nil, err
		}
	}
	e.held, e.timing.lease, e.timing.serial = next, next.Lease, next.Serial
	e.index()
	return [][]byte{grant.Encode(grant.TypeApplied, grant.Applied{Epoch: next.Epoch, Version: next.Version})}, nil
}

// helloAgain says that what was sent is of no use. Without a link there is nobody to say it
// to.
func (e *Engine) helloAgain() [][]byte {
	if !e.wire.up {
		return nil
	}
	return [][]byte{e.hello()}
}

func (e *Engine) receiveBeacon(body []byte) ([][]byte, error) {
	var b grant.Beacon
	if err := e.readSigned(body, grant.TypeBeacon, &b); err != nil {
		return nil, err
	}
	if !e.wire.up || !bytes.Equal(b.Nonce, e.wire.nonce) {
		return nil, nil // it answers another hello
	}
	if err := e.hear(b); err != nil {
		return nil, err
	}
	if b.Epoch > e.held.Epoch || b.Epoch == e.held.Epoch && b.Version > e.held.Version {
		return e.helloAgain(), nil // a change was lost on the way
	}
	return nil, nil
}

func (e *Engine) receiveAck(body []byte) error {
	var a grant.EventAck
	if err := grant.Read(body, &a); err != nil {
		return err
	}
	if !e.wire.up {
		return nil
	}
	e.record.acked = min(a.Through, e.record.last)
	e.wire.known, e.wire.sent = true, 0
	return nil
}

func (e *Engine) receiveCommand(body []byte) ([][]byte, error) {
	var c grant.Command
	if err := e.readSigned(body, grant.TypeCommand, &c); err != nil {
		return nil, err
	}
	if (e.record.commands[c.ID] || e.teach.waits && e.teach.command == c.ID) && !e.broken.forgetCommands {
		return result(grant.Result{ID: c.ID, Outcome: grant.Refused, Reason: grant.ReasonRepeated}), nil
	}
	event := grant.Event{Medium: grant.Panel, Command: &c.ID, Grant: c.Grant}
	if c.Grant != nil {
		event.Medium = grant.App
	}
	if why := e.commandNow(c); why != "" {
		v := e.refuse(event, why)
		return result(grant.Result{ID: c.ID, Outcome: grant.Refused, Reason: v.Reason}), nil
	}
	if c.Op == grant.OpTeachCard {
		e.endTeaching(e.teach.until) // another card is waited for now
		e.teach = teaching{waits: true, command: c.ID, until: e.c.Clock.Elapsed() + grant.TeachSeconds*time.Second}
		return nil, nil
	}
	if v := e.open(event); !v.Opened {
		return result(grant.Result{ID: c.ID, Outcome: grant.Refused, Reason: v.Reason}), nil
	}
	return result(grant.Result{ID: c.ID, Outcome: grant.Opened}), nil
}

// commandNow says why the command is not executed; empty if it is.
func (e *Engine) commandNow(c grant.Command) string {
	switch {
	case e.timing.quality == grant.Untrusted:
		return grant.ReasonClockUntrusted
	case e.latest() >= c.NotAfter && !e.broken.ignoreNotAfter:
		return grant.ReasonLate
	case c.Grant == nil:
		return ""
	}
	g := e.byID[*c.Grant]
	switch {
	case g == nil:
		return grant.ReasonUnknownGrant
	case g.Kinds&grant.ByApp == 0:
		return grant.ReasonWrongKind
	}
	return e.decide(g)
}

func result(r grant.Result) [][]byte { return [][]byte{grant.Encode(grant.TypeResult, r)} }

// later keeps a result until Outgoing is called with a link.
func (e *Engine) later(r grant.Result) {
	w := &e.wire
	if len(w.results) >= maxResults {
		w.results = w.results[1:]
	}
	w.results = append(w.results, result(r)...)
}

// teaching is the wait for the card whose number the server asked for.
type teaching struct {
	waits   bool
	command grant.CommandID
	until   time.Duration // elapsed
}

// taught takes the card if one is waited for: it is reported and opens nothing.
func (e *Engine) taught(uid []byte) bool {
	if !e.teach.waits || !card.IsUID(uid) {
		return false
	}
	command := e.teach.command
	e.teach = teaching{}
	r := grant.Result{ID: command, Outcome: grant.Notice, Reason: grant.ReasonCardTaught, Card: slices.Clone(uid)}
	if e.write(grant.Event{Medium: grant.Keycard, Outcome: grant.Notice, Reason: grant.ReasonCardTaught, Command: &command}) != nil {
		r = grant.Result{ID: command, Outcome: grant.Refused, Reason: grant.ReasonDoorFailed}
	}
	e.later(r)
	return true
}

// endTeaching ends the wait if its time is over.
func (e *Engine) endTeaching(at time.Duration) {
	if !e.teach.waits || at < e.teach.until {
		return
	}
	command := e.teach.command
	e.teach = teaching{}
	_ = e.write(grant.Event{Medium: grant.Keycard, Outcome: grant.Notice, Reason: grant.ReasonNoCard, Command: &command}) // the result says it too
	e.later(grant.Result{ID: command, Outcome: grant.Refused, Reason: grant.ReasonNoCard})
}
