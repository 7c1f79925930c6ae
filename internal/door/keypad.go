package door

import (
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// The keypad's patience.
const (
	freeTries  = 5
	firstPause = 30 * time.Second
	longest    = time.Hour
	quietSpan  = time.Hour
)

// keypadFile is what of the keypad is on disk.
type keypadFile struct {
	Wrong uint32 `cbor:"wrong"`
	Pause int64  `cbor:"pause"` // the pause that runs, in milliseconds; 0 for none
}

// keypad counts wrong PINs.
type keypad struct {
	keypadFile
	until time.Duration // elapsed, when the pause ends
	since time.Duration // elapsed, since when it is quiet
}

// pauseAfter returns how long the keypad pauses after the n-th wrong PIN.
func pauseAfter(n uint32) time.Duration {
	if n < freeTries {
		return 0
	}
	d := firstPause
	for range n - freeTries {
		if d *= 2; d >= longest {
			return longest
		}
	}
	return d
}

// Enter is a whole entry at the keypad, which was ended with #. What cannot be a PIN is
// refused and not counted.
func (e *Engine) Enter(pin string) Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	at := e.c.Clock.Elapsed()
	switch {
	case at < e.keypad.until:
		return Verdict{Reason: grant.ReasonKeypadPaused}
	case !grant.IsPIN(pin):
		return Verdict{Reason: grant.ReasonUnknownPIN}
	}
	// The try is spent before it is compared, with the pause that it costs if it is wrong:
	// whoever cuts the power in between gains nothing.
	before := e.keypad.keypadFile
	spent := keypadFile{Wrong: before.Wrong + 1}
	spent.Pause = pauseAfter(spent.Wrong).Milliseconds()
	if err := e.save(fileKeypad, spent); err != nil {
		return Verdict{Reason: grant.ReasonDoorFailed}
	}
	found := e.pins[grant.PINTag(e.c.Secret, secret.FromString(pin))]
	if len(found) > 0 {
		// If this fails the try stays spent on disk, which is the safe side.
		_ = e.save(fileKeypad, before)
		return e.use(found, grant.PIN)
	}
	e.keypad.keypadFile, e.keypad.since = spent, at
	v := e.refuse(grant.Event{Medium: grant.PIN}, grant.ReasonUnknownPIN)
	if spent.Pause > 0 {
		e.keypad.until = at + time.Duration(spent.Pause)*time.Millisecond
		e.refuse(grant.Event{Medium: grant.PIN, Count: spent.Wrong}, grant.ReasonKeypadPaused)
	}
	return v
}

// quiet ends the pause that has run out, and lowers the count for each quiet hour.
func (e *Engine) quiet(at time.Duration) {
	next := e.keypad
	if next.Pause > 0 && at >= next.until {
		next.Pause = 0
	}
	for next.Wrong > 0 && at-next.since >= quietSpan {
		next.Wrong--
		next.since += quietSpan
	}
	if next.keypadFile != e.keypad.keypadFile && e.save(fileKeypad, next.keypadFile) != nil {
		return
	}
	e.keypad = next
}

// startKeypad begins with what was on disk. A pause that ran begins anew, in full.
func (e *Engine) startKeypad(f keypadFile) {
	at := e.c.Clock.Elapsed()
	e.keypad = keypad{keypadFile: f, since: at}
	if f.Pause > 0 {
		e.keypad.until = at + min(time.Duration(f.Pause)*time.Millisecond, longest)
	}
}
