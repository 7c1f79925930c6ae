package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
)

func TestManual_standsStill(t *testing.T) {
	start := time.Date(2026, time.March, 2, 9, 30, 0, 1_999_999, time.FixedZone("", 3600))
	c := clock.NewManual(start)
	want := time.Date(2026, time.March, 2, 8, 30, 0, 1_000_000, time.UTC)
	for range 2 {
		if got := c.Now(); got != want {
			t.Errorf("Now() = %v, want %v: UTC, cut to milliseconds", got, want)
		}
	}
	if got := c.Advance(time.Hour); got != want.Add(time.Hour) || c.Now() != got {
		t.Errorf("Advance() = %v, Now() %v, want both an hour later", got, c.Now())
	}
	var zero clock.Manual
	if !zero.Now().IsZero() {
		t.Errorf("the zero clock stands at %v, want the zero time", zero.Now())
	}
}

func TestShifted_runsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Shifted
		start := c.Now()
		if start != (clock.System{}).Now() {
			t.Errorf("Now() = %v, want the machine's time", start)
		}
		c.Advance(time.Hour)
		time.Sleep(time.Minute) // of the bubble
		if got := c.Now(); got != start.Add(61*time.Minute) {
			t.Errorf("Now() = %v, want 61 minutes after %v", got, start)
		}
	})
}

func TestSystem_isCutToMilliseconds(t *testing.T) {
	now := clock.System{}.Now()
	if now.Location() != time.UTC || now.Nanosecond()%1_000_000 != 0 {
		t.Errorf("Now() = %v, want UTC in milliseconds", now)
	}
}

func TestStopwatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := clock.StartStopwatch()
		time.Sleep(3 * time.Second) // of the bubble
		if got := w.Elapsed(); got != 3*time.Second {
			t.Errorf("Elapsed() = %v, want 3s", got)
		}
	})
}
