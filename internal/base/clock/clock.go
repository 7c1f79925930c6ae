// Package clock hands the time to the rooms. It is the only package that reads
// the machine's clock, so that every rule about time can be tried at any time.
package clock

import (
	"sync"
	"time"
)

// Clock tells the present moment, in UTC, cut to milliseconds: the resolution
// that the store keeps.
type Clock interface{ Now() time.Time }

// System is the machine's clock.
type System struct{}

// Now returns the machine's time.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Manual is a clock that stands still until it is moved. It is safe for use by
// several goroutines. The zero value stands at the zero time.
type Manual struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// NewManual returns a clock that stands at now.
func NewManual(now time.Time) *Manual {
	return &Manual{now: now.UTC().Truncate(time.Millisecond)}
}

// Now returns the time at which the clock stands.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock by d and returns the new time.
func (m *Manual) Advance(d time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	return m.now
}

// Shifted is a running clock that can be set ahead: the demo's clock. It is
// safe for use by several goroutines. The zero value tells the machine's time.
type Shifted struct {
	mu    sync.Mutex
	shift time.Duration // guarded by mu
}

// Now returns the machine's time plus all that the clock was advanced.
func (s *Shifted) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return System{}.Now().Add(s.shift)
}

// Advance moves the clock by d and returns the new time.
func (s *Shifted) Advance(d time.Duration) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift += d
	return System{}.Now().Add(s.shift)
}

// Stopwatch measures how long something took, in monotonic time that no shift
// of a Clock moves.
type Stopwatch struct{ start time.Time }

// StartStopwatch returns a running stopwatch.
func StartStopwatch() Stopwatch { return Stopwatch{time.Now()} }

// Elapsed returns the time since the start.
func (w Stopwatch) Elapsed() time.Duration { return time.Since(w.start) }

// Start returns when it was started, by the machine's clock.
func (w Stopwatch) Start() time.Time { return w.start }

// Within says whether less than d has passed since the start, by the monotonic
// clock and by the wall clock too: the former stands still while a machine sleeps.
func (w Stopwatch) Within(d time.Duration) bool {
	now := time.Now()
	return now.Sub(w.start) < d && now.Round(0).Sub(w.start.Round(0)) < d
}
