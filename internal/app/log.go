package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/edge/kit"
)

const (
	// logPatience is how long a request's line may wait for company.
	logPatience = 50 * time.Millisecond
	// logBatch is how many bytes are written at once at the latest.
	logBatch = 16 << 10
)

// NewLog returns a logger that writes JSON, one line an event, and a function that
// writes what is left. Lines of requests that went well are written together, at most
// 50 ms late: a system call for each would cost as much as a small answer. All other
// lines are written at once, and in order.
func NewLog(w io.Writer) (*slog.Logger, func() error) {
	l := &lines{w: w}
	return slog.New(jsonHandler{lines: l}), l.flush
}

// lines gathers lines. It is safe for use by several goroutines.
type lines struct {
	w       io.Writer
	mu      sync.Mutex
	b       []byte // guarded by mu
	waiting bool   // guarded by mu: a timer will write
}

// add writes a line, or keeps it for a while.
func (l *lines) add(line []byte, urgent bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, line...)
	if urgent || len(l.b) >= logBatch {
		return l.write()
	}
	if !l.waiting {
		l.waiting = true
		time.AfterFunc(logPatience, func() { _ = l.flush() }) // there is nowhere to tell it
	}
	return nil
}

func (l *lines) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	return l.write()
}

// write writes what is there. The caller has the lock.
func (l *lines) write() error {
	if len(l.b) == 0 {
		return nil
	}
	_, err := l.w.Write(l.b)
	l.b = l.b[:0]
	return err
}

// requestMessage is the message of the lines that may wait (kit.Observe).
const requestMessage = "request"

// jsonHandler is slog's JSON handler for what we log: texts, numbers and moments.
// Everything else is left to encoding/json.
type jsonHandler struct {
	lines *lines
	with  []byte // attributes of With, as they stand in the line
}

// Enabled says whether lines of the level are written: from Info on.
func (jsonHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// buffersOfLines holds what lines are written into. constant: the pool itself is never
// replaced.
var buffersOfLines = sync.Pool{New: func() any { return new([]byte) }}

// Handle writes the record.
func (h jsonHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	return h.HandleAttrs(r.Time, r.Level, r.Message, attrs)
}

// HandleAttrs writes a line.
func (h jsonHandler) HandleAttrs(at time.Time, level slog.Level, message string, attrs []slog.Attr) error {
	b, ok := buffersOfLines.Get().(*[]byte)
	if !ok {
		b = new([]byte)
	}
	defer buffersOfLines.Put(b)
	line := (*b)[:0]
	line = append(line, `{"time":"`...)
	line = at.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","level":"`...)
	line = append(line, level.String()...)
	line = append(line, `","msg":`...)
	line = kit.AppendJSONString(line, message)
	line = append(line, h.with...)
	for i := range attrs {
		line = appendAttr(line, &attrs[i])
	}
	line = append(line, "}\n"...)
	*b = line
	return h.lines.add(line, message != requestMessage || level > slog.LevelInfo)
}

// WithAttrs returns a handler that adds the attributes to each line.
func (h jsonHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := append([]byte(nil), h.with...)
	for i := range attrs {
		with = appendAttr(with, &attrs[i])
	}
	return jsonHandler{lines: h.lines, with: with}
}

// WithGroup returns the handler itself: nothing here logs in groups.
func (h jsonHandler) WithGroup(string) slog.Handler { return h }

func appendAttr(b []byte, a *slog.Attr) []byte {
	v := a.Value
	if v.Kind() == slog.KindLogValuer {
		v = v.Resolve()
	}
	b = append(b, ',')
	b = kit.AppendJSONString(b, a.Key)
	b = append(b, ':')
	switch v.Kind() {
	case slog.KindString:
		return kit.AppendJSONString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindFloat64:
		return strconv.AppendFloat(b, v.Float64(), 'f', -1, 64)
	case slog.KindDuration:
		return strconv.AppendInt(b, int64(v.Duration()), 10)
	case slog.KindTime:
		return kit.AppendJSONString(b, v.Time().Format(time.RFC3339Nano))
	}
	if err, ok := v.Any().(error); ok {
		return kit.AppendJSONString(b, err.Error())
	}
	raw, err := json.Marshal(v.Any())
	if err != nil {
		return kit.AppendJSONString(b, "!ERROR: "+err.Error())
	}
	return append(b, raw...)
}
