package door

import (
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
)

// floorEvery is how often the time is written to disk.
const floorEvery = time.Minute

// timing is the door's own time and lease. Its time runs on from base by the elapsed time
// and never by the machine's date.
type timing struct {
	base    int64         // Unix milliseconds
	at      time.Duration // elapsed, when it was base
	quality grant.Quality
	// slack is how far the server's time may be ahead of base, in milliseconds: what ends is
	// over by the later of the two.
	slack int64
	saved time.Duration // elapsed, when it was last written

	highest int64  // what beacons said at the most, Unix milliseconds
	lease   int64  // until when ordinary grants open, Unix seconds
	serial  uint64 // counts the lease's changes: the highest one on disk holds
	noticed int64  // the lease whose end stands in the record
	boot    uint64
}

// clockFile is what of it is on disk.
type clockFile struct {
	Floor   int64  `cbor:"floor"`
	Highest int64  `cbor:"highest"`
	Lease   int64  `cbor:"lease"`
	Serial  uint64 `cbor:"serial"`
	Noticed int64  `cbor:"noticed"`
	Boot    uint64 `cbor:"boot"`
	Seq     uint64 `cbor:"seq"`   // the last event then: later ones hold later times
	Acked   uint64 `cbor:"acked"` // what the server had of the record then
}

func (t timing) file() clockFile {
	return clockFile{Highest: t.highest, Lease: t.lease, Serial: t.serial, Noticed: t.noticed, Boot: t.boot}
}

// now is the door's time in Unix milliseconds.
func (e *Engine) now() int64 {
	return e.timing.base + (e.c.Clock.Elapsed() - e.timing.at).Milliseconds()
}

// latest is the time that it is at the most, in Unix milliseconds.
func (e *Engine) latest() int64 { return e.now() + e.timing.slack }

// seconds is the door's time in Unix seconds.
func (e *Engine) seconds() int64 { return e.now() / 1000 }

// until is how long it is to the moment, in Unix seconds; at most an hour.
func (e *Engine) until(moment int64) time.Duration {
	now := e.now()
	if moment > now/1000+3600 {
		return time.Hour
	}
	return time.Duration(moment*1000-now) * time.Millisecond
}

// startClock sets the time at the start. Floor is the latest time that is known to have
// passed.
func (e *Engine) startClock(floor int64) {
	t := &e.timing
	t.base, t.at, t.quality = max(floor, t.highest), e.c.Clock.Elapsed(), grant.Untrusted
	if wall := e.c.Clock.Wall().UnixMilli(); e.c.BatteryClock && wall >= t.base {
		t.base, t.quality = wall, grant.Battery
	}
}

// saveClock writes the file with the present time as the floor, unless it has one.
func (e *Engine) saveClock(f clockFile) error {
	if f.Floor == 0 {
		f.Floor = e.now()
	}
	f.Seq, f.Acked = e.record.last, e.record.acked
	if err := e.save(fileClock, f); err != nil {
		return err
	}
	e.timing.saved = e.c.Clock.Elapsed()
	return nil
}

// hear takes a beacon that answers this connection's last hello.
//
// It was made after the hello was said. So the server's time is now at least what it says,
// and at most that plus the hello's age: the door's time is moved into that span and no
// further. A beacon that was held up, or comes twice, cannot set it behind the server's; by
// how much it may be behind is kept as slack.
// What an earlier beacon said at the most is never undercut.
func (e *Engine) hear(b grant.Beacon) error {
	w, t := &e.wire, e.timing
	if b.Now < w.heard {
		return nil // an older one of this connection
	}
	at := e.c.Clock.Elapsed()
	low, high := max(b.Now, t.highest), max(b.Now+(at-w.greeted).Milliseconds(), t.highest)
	if w.heard > 0 {
		high = max(low, min(high, e.latest())) // this connection knows it better than by the hello's age
	}
	t.base, t.at, t.quality = min(max(e.now(), low), high), at, grant.Trusted
	t.slack = high - t.base
	t.highest = max(t.highest, b.Now)
	if t.lease != b.LeaseUntil {
		t.lease, t.serial = b.LeaseUntil, t.serial+1
	}
	f := t.file()
	f.Floor = t.base
	if err := e.saveClock(f); err != nil {
		return err
	}
	e.timing.base, e.timing.at, e.timing.slack, e.timing.quality = t.base, t.at, t.slack, t.quality
	e.timing.highest, e.timing.lease, e.timing.serial = t.highest, t.lease, t.serial
	e.nextEnd = e.findNextEnd()
	w.heard = b.Now
	return nil
}
