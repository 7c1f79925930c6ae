package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// LiveEvent is one event of a live page: a name, and data that is sent as JSON.
type LiveEvent struct {
	Name string
	Data any
}

// text returns the event as it is sent.
func (e LiveEvent) text() (string, error) {
	data, err := json.Marshal(e.Data)
	return fmt.Sprintf("event: %s\ndata: %s\n\n", e.Name, data), err
}

// How often a stream looks for news, and after how many looks without any it sends a
// comment, so that nobody on the way takes the connection for dead.
const (
	liveEvery = time.Second
	liveQuiet = 20
	// clockSlack is how far a clock may run from the one that was told.
	clockSlack = time.Second
)

// maxStreams bounds how many streams one session has at once: so many pages are open
// and visible.
const maxStreams = 32

// enterStream counts one more stream of a session, or says that it has enough.
func (k *Kit) enterStream(session id.Session) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.streams[session] >= maxStreams {
		return false
	}
	k.streams[session]++
	return true
}

func (k *Kit) leaveStream(session id.Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.streams[session]--; k.streams[session] <= 0 {
		delete(k.streams, session)
	}
}

// Live answers with server-sent events until the reader goes or the server stops.
// It tells the server's time by an event "clock", in Unix milliseconds, at the beginning and
// whenever the clock was set. It calls next every second, and at once when woken, and sends what it returns. woken may
// be nil. When next is refused, the
// stream tells so by an event "ended" and closes: a session that was ended is out
// within a second.
func (k *Kit) Live(w http.ResponseWriter, r *http.Request, by auth.Caller, woken <-chan struct{}, next func(ctx context.Context) ([]LiveEvent, error)) {
	if !k.enterStream(by.Session) {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "This session has too many pages open.", http.StatusTooManyRequests)
		return
	}
	defer k.leaveStream(by.Session)
	eventOf(r.Context()).stream = true
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Time{}) != nil { // else the server takes a quiet reader for gone
		http.Error(w, "This connection cannot stream.", http.StatusNotImplemented)
		return
	}
	liveHead(w)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	told := k.Clock().Now()
	since := clock.StartStopwatch()
	for quiet := 0; ; quiet++ {
		events, err := next(r.Context())
		now := k.Clock().Now()
		if ahead := now.Sub(told.Add(since.Elapsed())); quiet == 0 || ahead.Abs() > clockSlack {
			told, since = now, clock.StartStopwatch()
			events = append(events, LiveEvent{Name: "clock", Data: now.UnixMilli()})
		}
		if f, refused := fault.As(err); refused {
			events = []LiveEvent{{Name: "ended", Data: f.Code}}
		} else if err != nil {
			events = nil // the database is away: the reader waits as everybody does
		}
		text := ""
		for _, e := range events {
			one, marshal := e.text()
			if marshal != nil {
				return
			}
			text += one
		}
		if text == "" && quiet%liveQuiet == 0 {
			text = ": still here\n\n"
		}
		if text != "" {
			if control.SetWriteDeadline(clock.System{}.Now().Add(30*time.Second)) != nil {
				return
			}
			if _, err := w.Write([]byte(text)); err != nil || control.Flush() != nil {
				return
			}
		}
		if _, refused := fault.As(err); refused {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-k.c.Stopping:
			return
		case <-tick.C:
		case <-woken:
		}
	}
}

// LiveEnded answers a reader whose session is over before its stream began: by the event "ended",
// since a page that is sent elsewhere instead of having its stream would stay open. Any other error is
// returned.
func (k *Kit) LiveEnded(w http.ResponseWriter, err error) error {
	f, refused := fault.As(err)
	if !refused {
		return err
	}
	text, err := LiveEvent{Name: "ended", Data: f.Code}.text()
	if err != nil {
		return err
	}
	liveHead(w)
	_, _ = io.WriteString(w, text) // who went in the meantime needs no answer
	return nil
}

// liveHead begins a stream.
func liveHead(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would wait for more
	w.WriteHeader(http.StatusOK)
}

// awaitEvery is how often Await looks if it hears nothing.
const awaitEvery = 250 * time.Millisecond

// Await calls look until it says that it is done, patience is over (done is false then) or
// ctx ends: at once, whenever heard tells of news, and now and then without.
func Await(ctx context.Context, heard <-chan struct{}, patience time.Duration, look func(ctx context.Context) (done bool, err error)) (bool, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		if done, err := look(ctx); done || err != nil {
			return done, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-over.C:
			return look(ctx)
		case <-tick.C:
		case <-heard:
		}
	}
}
