package keeper

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// ErrPrepared says that a pepper is prepared already.
var ErrPrepared = errors.New("a new pepper is in the key file already, and not current yet")

// prepared returns the number of the pepper that is to be current next, 0 for none:
// numbers grow, so it is above the current one's.
func (d document) prepared() int {
	for _, p := range d.Peppers {
		if p.ID > d.Peppers[0].ID {
			return p.ID
		}
	}
	return 0
}

// next returns a new pepper with a number that none had before.
func (d document) next() pepper {
	highest := 0
	for _, p := range d.Peppers {
		highest = max(highest, p.ID)
	}
	return pepper{ID: highest + 1, Value: base64.RawURLEncoding.EncodeToString(newPepper())}
}

// Prepare adds a new pepper to the file that is known, but not current: nothing is
// hashed under it before Rotate. So the file can be given to several servers before
// the first of them uses it. It returns ErrPrepared if that was done already.
func (f *File) Prepare() error {
	return f.change(func(d *document) error {
		if d.prepared() != 0 {
			return ErrPrepared
		}
		d.Peppers = append(d.Peppers, d.next())
		return nil
	})
}

// Rotate makes the prepared pepper the current one, or a new one if none is
// prepared. Older ones stay known but for those that it is told to drop, which the
// caller knows to be needed by no hash; the current one and the one before cannot be
// dropped. Checkpoints that were signed under a dropped one stay known, and CodeKey
// stays as it is.
func (f *File) Rotate(drop []int) error {
	return f.change(func(d *document) error {
		current := d.Peppers[0].ID
		if slices.ContainsFunc(drop, func(n int) bool { return n >= current }) {
			return errors.New("the current pepper is needed and is not dropped")
		}
		if d.prepared() == 0 {
			d.Peppers = append(d.Peppers, d.next())
		}
		slices.SortFunc(d.Peppers, func(a, b pepper) int { return b.ID - a.ID }) // the newest first
		return d.drop(drop)
	})
}

// drop takes peppers out of the document, and keeps what else hangs on them.
func (d *document) drop(numbers []int) error {
	var stay []pepper
	var gone []pepper
	for _, p := range d.Peppers {
		if slices.Contains(numbers, p.ID) {
			gone = append(gone, p)
		} else {
			stay = append(stay, p)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	values, err := parsePeppers(d.Peppers)
	if err != nil {
		return err
	}
	codes, err := parseCodes(*d, values)
	if err != nil {
		return err
	}
	d.Codes = base64.RawURLEncoding.EncodeToString(codes.Expose())
	values, err = parsePeppers(gone)
	if err != nil {
		return err
	}
	for _, v := range values {
		private, err := derive(v)
		if err != nil {
			return err
		}
		d.Checkpoints = append(d.Checkpoints, base64.RawURLEncoding.EncodeToString(publicKey(private)))
	}
	d.Peppers = stay
	return nil
}

// change replaces the file by a changed one: whole or not at all, even after a power
// cut. It begins with what is on the disk, which somebody may have put there since the
// file was opened, and refuses another installation's file.
func (f *File) change(fn func(d *document) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	there, err := read(f.path)
	if err != nil {
		return err
	}
	if err := f.belongs(there); err != nil {
		return err
	}
	doc := there.doc
	doc.Peppers = slices.Clone(doc.Peppers)
	if err := fn(&doc); err != nil {
		return err
	}
	raw, err := doc.marshal()
	if err != nil {
		return err
	}
	next, err := parse(raw)
	if err != nil {
		return fmt.Errorf("the key file %s would not be whole: %w", f.path, err)
	}
	if err := replace(f.path, raw); err != nil {
		return fmt.Errorf("replacing the key file %s: %w", f.path, err)
	}
	f.use(next)
	return nil
}

// belongs refuses a file whose keys are others than those in use.
func (f *File) belongs(there *content) error {
	now := f.now.Load()
	var a, b bytes.Buffer
	if err := errors.Join(json.Compact(&a, now.doc.Sealing), json.Compact(&b, there.doc.Sealing)); err != nil {
		return err
	}
	same := bytes.Equal(a.Bytes(), b.Bytes()) && there.doc.Peppers[0].ID >= now.current()
	for n, value := range there.peppers {
		known, ok := now.peppers[n]
		same = same && (!ok || known.Equal(value))
	}
	if !same || there.peppers[now.current()].IsEmpty() {
		return fmt.Errorf("the key file %s was replaced by one that does not go with what runs: put the right one back", f.path)
	}
	return nil
}

// replace puts a new file in the place of path, for the same owner.
func replace(path string, raw []byte) error {
	temp, err := writeBeside(path, raw)
	if err != nil {
		return err
	}
	err = keepOwner(path, temp)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// keepOwner gives the file the owner of the one that it replaces: a command may run
// as root beside a server that does not.
func keepOwner(path, temp string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() && int(owner.Gid) == os.Getegid() {
		return nil
	}
	return os.Chown(temp, int(owner.Uid), int(owner.Gid))
}
