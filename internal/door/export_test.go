package door

import "github.com/keyhold/keyhold/internal/base/grant"

// Faults are ways to break an engine on purpose.
type Faults struct{ SkipFromCheck, ForgetCommands, AckBeforeWrite, IgnoreNotAfter, ReuseSeq bool }

// Break makes the engine wrong, until its next start.
func Break(e *Engine, f Faults) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = faults{f.SkipFromCheck, f.ForgetCommands, f.AckBeforeWrite, f.IgnoreNotAfter, f.ReuseSeq}
}

// ReadSegment reads a file of the record.
func ReadSegment(data []byte) ([]grant.Event, bool) { return readSegment(data) }

// Pack writes one piece as it stands on disk.
func Pack(v any) ([]byte, error) { return pack(v) }

// SegmentEvents is how many events a file holds.
const SegmentEvents = segmentEvents
