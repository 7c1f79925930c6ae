package door

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/keyhold/keyhold/internal/base/grant"
)

// The files. Those of the record begin with segmentPrefix.
const (
	fileHeld      = "grants"
	fileClock     = "clock"
	fileKeypad    = "keypad"
	segmentPrefix = "events-"
)

// heldFile is what the server said last.
type heldFile struct {
	Epoch       uint64        `cbor:"epoch"`
	Version     uint64        `cbor:"version"`
	Lease       int64         `cbor:"lease"`
	Serial      uint64        `cbor:"serial"` // of the lease: see timing
	OpenSeconds uint16        `cbor:"open_seconds"`
	Grants      []grant.Grant `cbor:"grants"`
}

// encoding is how files are written.
//
// constant: nobody writes it.
var encoding = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

// headSize is the length of what stands before each piece on disk: its length and its
// CRC-32, 4 bytes each.
const headSize = 8

// pack returns v as one piece on disk.
func pack(v any) ([]byte, error) {
	body, err := encoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing %T: %w", v, err)
	}
	out := make([]byte, 0, headSize+len(body))
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...), nil
}

// unpack returns the body of the first piece and what follows it; ok is false if the piece
// is not whole.
func unpack(data []byte) (body, rest []byte, ok bool) {
	if len(data) < headSize {
		return nil, data, false
	}
	size, sum := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
	if uint64(size) > uint64(len(data)-headSize) {
		return nil, data, false
	}
	body = data[headSize : headSize+int(size)]
	if size == 0 || crc32.ChecksumIEEE(body) != sum {
		return nil, data, false
	}
	return body, data[headSize+int(size):], true
}

// save writes v as the file.
func (e *Engine) save(name string, v any) error {
	data, err := pack(v)
	if err == nil {
		err = e.c.Disk.Write(name, data)
	}
	e.record.failed = err
	return err
}

// read reads the file into v, which stays as it is if there is none. The error is
// errDamaged if the file is not what was written.
func (e *Engine) read(name string, v any) error {
	data, found, err := e.c.Disk.Read(name)
	if err != nil || !found {
		return err
	}
	body, rest, ok := unpack(data)
	if !ok || len(rest) > 0 || grant.Read(body, v) != nil {
		return fmt.Errorf("%w: %s", errDamaged, name)
	}
	return nil
}

// load reads all files. It returns the last start's number.
func (e *Engine) load() (boot uint64, err error) {
	var clock clockFile
	if err := e.read(fileClock, &clock); err != nil {
		if !errors.Is(err, errDamaged) {
			return 0, err
		}
		clock = clockFile{} // the record and the server still know
	}
	if err := e.loadRecord(clock); err != nil {
		return 0, err
	}
	if err := e.read(fileHeld, &e.held); err != nil {
		if !errors.Is(err, errDamaged) {
			return 0, err
		}
		e.held = heldFile{} // the server sends it anew
	}
	if e.held.Epoch < e.c.Epoch {
		e.held = heldFile{Epoch: e.c.Epoch}
		clock.Lease, clock.Serial = 0, clock.Serial+1
	}
	e.held.Grants = slices.DeleteFunc(e.held.Grants, func(g grant.Grant) bool { return !g.Valid() })
	e.held.OpenSeconds = max(e.held.OpenSeconds, 1)
	if e.held.Version == 0 {
		e.held.OpenSeconds = defaultOpen
	}
	e.timing.highest, e.timing.noticed = clock.Highest, clock.Noticed
	e.timing.lease, e.timing.serial = clock.Lease, clock.Serial
	if e.held.Serial > clock.Serial {
		e.timing.lease, e.timing.serial = e.held.Lease, e.held.Serial
	}
	floor := clock.Floor
	for _, event := range e.record.events {
		boot = max(boot, event.Boot)
		if event.Seq > clock.Seq {
			floor = max(floor, event.At)
		}
	}
	e.startClock(floor)
	e.index()
	return max(boot, clock.Boot), e.loadKeypad()
}

func (e *Engine) loadKeypad() error {
	var f keypadFile
	if err := e.read(fileKeypad, &f); err != nil {
		if !errors.Is(err, errDamaged) {
			return err
		}
		f = keypadFile{Wrong: freeTries, Pause: firstPause.Milliseconds()} // damage is no way around it
	}
	e.startKeypad(f)
	return nil
}

// index finds grants by what is shown at the door.
func (e *Engine) index() {
	n := len(e.held.Grants)
	e.byID = make(map[grant.ID]*grant.Grant, n)
	e.pins, e.card = make(map[grant.Tag][]*grant.Grant, n), make(map[grant.Tag][]*grant.Grant)
	for i := range e.held.Grants {
		g := &e.held.Grants[i]
		e.byID[g.ID] = g
		if g.PIN != nil {
			e.pins[*g.PIN] = append(e.pins[*g.PIN], g)
		}
		if g.Card != nil {
			e.card[*g.Card] = append(e.card[*g.Card], g)
		}
	}
	e.nextEnd = e.findNextEnd()
}

// findNextEnd returns when the next grant ends, 0 if none does.
func (e *Engine) findNextEnd() int64 {
	now, next := e.seconds(), int64(0)
	for _, g := range e.held.Grants {
		if g.NotAfter > now && (next == 0 || g.NotAfter < next) {
			next = g.NotAfter
		}
	}
	return next
}

// segmentName returns the name of the file of the record that begins with the event.
func segmentName(first uint64) string { return fmt.Sprintf("%s%020d", segmentPrefix, first) }

func isSegment(name string) bool { return strings.HasPrefix(name, segmentPrefix) }
