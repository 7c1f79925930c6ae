package door

import (
	"slices"

	"github.com/keyhold/keyhold/internal/base/grant"
)

// segmentEvents is how many events a file of the record holds.
const segmentEvents = 1000

// record is what happened, each event holding the hash of the one before.
type record struct {
	events   []grant.Event // the newest grant.MaxRing, in their order
	last     uint64        // the newest one's number, 0 for none
	hash     [32]byte      // its hash
	segments []segment
	torn     bool // the newest file may end with half a piece
	commands map[grant.CommandID]bool

	acked  uint64 // through which event the server has it
	failed error  // of the last use of the disk
}

// segment is one file of the record.
type segment struct {
	first uint64
	name  string
	count int
}

// first is the number of the oldest event that is kept; the next one's if there is none.
func (r *record) first() uint64 { return r.last - uint64(len(r.events)) + 1 }

// write puts the event into the record and returns once it is on disk. The caller sets
// what happened; time and order are set here.
func (e *Engine) write(event grant.Event) error {
	r := &e.record
	event.Seq, event.Prev = r.last+1, r.hash
	event.At, event.Boot, event.Clock = max(0, e.now()), e.timing.boot, e.timing.quality
	event.Epoch, event.Version, event.Offline = e.held.Epoch, e.held.Version, !e.wire.up
	event.Count = max(event.Count, 1)
	if e.broken.reuseSeq && r.last > r.acked && len(r.events) > 1 {
		old := r.events[len(r.events)-1]
		event.Seq, event.Prev = old.Seq, old.Prev
		r.events = r.events[:len(r.events)-1]
		r.segments[len(r.segments)-1].count--
		r.torn = true
	}
	data, err := pack(event)
	if err == nil {
		err = r.append(e.c.Disk, event.Seq, data)
	}
	r.failed = err
	if err != nil {
		return err
	}
	r.events, r.last, r.hash = append(r.events, event), event.Seq, event.Hash()
	if event.Command != nil {
		r.commands[*event.Command] = true
	}
	r.trim(e.c.Disk)
	return nil
}

// append puts the piece at the end of the newest file, or begins the next file.
func (r *record) append(disk Disk, seq uint64, data []byte) error {
	if n := len(r.segments); n == 0 || r.segments[n-1].count >= segmentEvents {
		name := segmentName(seq)
		if err := disk.Write(name, data); err != nil {
			return err
		}
		r.segments, r.torn = append(r.segments, segment{first: seq, name: name, count: 1}), false
		return nil
	}
	s := &r.segments[len(r.segments)-1]
	if r.torn {
		if err := r.rewrite(disk, s); err != nil {
			return err
		}
	}
	if err := disk.Append(s.name, data); err != nil {
		r.torn = true
		return err
	}
	s.count++
	return nil
}

// rewrite writes the file anew from what is known of it.
func (r *record) rewrite(disk Disk, s *segment) error {
	var whole []byte
	for _, event := range r.events {
		if event.Seq >= s.first {
			data, err := pack(event)
			if err != nil {
				return err
			}
			whole = append(whole, data...)
		}
	}
	if err := disk.Write(s.name, whole); err != nil {
		return err
	}
	r.torn = false
	return nil
}

// trim lets the oldest events go, and files that hold nothing else. A file that cannot be
// removed now is tried again with the next event.
func (r *record) trim(disk Disk) {
	if over := len(r.events) - grant.MaxRing; over > 0 {
		for _, event := range r.events[:over] {
			if event.Command != nil {
				delete(r.commands, *event.Command)
			}
		}
		r.events = slices.Delete(r.events, 0, over)
	}
	for len(r.segments) > 1 && r.segments[1].first <= r.first() {
		if disk.Remove(r.segments[0].name) != nil {
			return
		}
		r.segments = r.segments[1:]
	}
}

// readSegment reads a file of the record up to the first piece that is not whole. torn
// says that there is such a piece.
func readSegment(data []byte) (events []grant.Event, torn bool) {
	for len(data) > 0 {
		body, rest, ok := unpack(data)
		var event grant.Event
		if !ok || grant.Read(body, &event) != nil || !event.Valid() {
			return events, true
		}
		events, data = append(events, event), rest
	}
	return events, false
}

// loadRecord reads the record. Only what hangs together up to the newest event is kept. If
// the server has had more than what is left, numbers go on after that: none is used twice.
func (e *Engine) loadRecord(clock clockFile) error {
	r := &e.record
	r.commands = make(map[grant.CommandID]bool)
	names, err := e.c.Disk.List()
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isSegment(name) })
	slices.Sort(names)
	half := make(map[string]bool)
	for _, name := range names {
		data, _, err := e.c.Disk.Read(name)
		if err != nil {
			return err
		}
		events, torn := readSegment(data)
		half[name] = torn
		for i, event := range events {
			if event.Seq != r.last+1 || event.Prev != r.hash {
				r.events = nil
			}
			if len(r.events) == 0 || i == 0 {
				r.segments = r.kept(event.Seq, name)
			}
			r.events, r.last, r.hash = append(r.events, event), event.Seq, event.Hash()
			r.segments[len(r.segments)-1].count++
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(r.segments, func(s segment) bool { return s.name == name }) {
			if err := e.c.Disk.Remove(name); err != nil {
				return err
			}
		}
	}
	if n := len(r.segments); n > 0 && half[r.segments[n-1].name] {
		if err := r.rewrite(e.c.Disk, &r.segments[n-1]); err != nil {
			return err
		}
	}
	if r.last < clock.Acked {
		r.last, r.hash, r.events = clock.Acked, [32]byte{}, nil
		for _, s := range r.segments {
			if err := e.c.Disk.Remove(s.name); err != nil {
				return err
			}
		}
		r.segments = nil
	}
	r.acked = min(clock.Acked, r.last)
	for _, event := range r.events {
		if event.Command != nil {
			r.commands[*event.Command] = true
		}
	}
	r.trim(e.c.Disk)
	return nil
}

// kept returns the files once one more is read whose first event that counts has the
// number.
func (r *record) kept(first uint64, name string) []segment {
	next := segment{first: first, name: name}
	if len(r.events) == 0 {
		return []segment{next}
	}
	return append(r.segments, next)
}
