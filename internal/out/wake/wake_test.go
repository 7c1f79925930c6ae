package wake_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhold/keyhold/internal/out/wake"
)

// lease is a lease that counts what is done with it. What is done runs in one goroutine.
type lease struct {
	renewed []time.Time
	left    bool
	broken  error
	hangs   bool
}

func (l *lease) Renew(ctx context.Context) error {
	l.renewed = append(l.renewed, time.Now())
	if l.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.broken
}

func (l *lease) Leave(context.Context) error {
	l.left = true
	return nil
}

// run starts a waker and returns its log and what ends it and waits.
func run(t *testing.T, l *lease, listen func(ctx context.Context, heard func()) error) (*bytes.Buffer, func()) {
	t.Helper()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	w := wake.New(wake.Config{Lease: l, Listen: listen, Log: slog.New(slog.NewTextHandler(&log, nil))})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	synctest.Wait()
	return &log, func() {
		cancel()
		<-done
	}
}

func silence(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRun_renewsFourTimesInALeasesLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease{}
		_, end := run(t, l, silence)
		time.Sleep(2*time.Second + time.Millisecond)
		synctest.Wait()
		if n := len(l.renewed); n != 5 {
			t.Errorf("renewed %d times in two seconds, want 5: at once and each half second", n)
		}
		end()
		if !l.left {
			t.Error("the lease was not given up at the end")
		}
	})
}

func TestRun_renewsAtOnceWhenASignalIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, signal := &lease{}, make(chan struct{})
		_, end := run(t, l, func(ctx context.Context, heard func()) error {
			for {
				select {
				case <-signal:
					heard()
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		time.Sleep(100 * time.Millisecond)
		signal <- struct{}{}
		synctest.Wait()
		if n := len(l.renewed); n != 2 {
			t.Errorf("renewed %d times once a signal was heard, want 2", n)
		}
		end()
	})
}

func TestRun_tellsOfAFailureOnceAndOfItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease{broken: errors.New("no database")}
		log, end := run(t, l, silence)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		l.broken = nil
		time.Sleep(2 * time.Second)
		end()
		if n := strings.Count(log.String(), "no database"); n != 1 {
			t.Errorf("the failure is told %d times, want once:\n%s", n, log)
		}
		if n := strings.Count(log.String(), "renewed again"); n != 1 {
			t.Errorf("its end is told %d times, want once:\n%s", n, log)
		}
	})
}

func TestRun_goesOnAfterARenewalThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease{hangs: true}
		_, end := run(t, l, silence)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if n := len(l.renewed); n < 2 {
			t.Errorf("asked %d times in four seconds, want more than once", n)
		}
		end()
	})
}

func TestRun_listensAgainAfterTheConnectionFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, tries := &lease{}, 0
		log, end := run(t, l, func(ctx context.Context, _ func()) error {
			if tries++; tries == 1 {
				return errors.New("connection reset")
			}
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if tries != 2 {
			t.Errorf("listened %d times, want again after a second", tries)
		}
		end()
		if !strings.Contains(log.String(), "connection reset") {
			t.Errorf("the log does not tell of it:\n%s", log)
		}
	})
}
