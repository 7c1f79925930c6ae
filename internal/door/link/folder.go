package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The files of a controller's folder. The engine's are in a folder of their own.
const (
	identityFile = "identity.json"
	lockFile     = "keyhold-lock.lock"
	engineFolder = "door"
	tempPrefix   = ".new-"
)

// ErrFolderLocked says that another process works on the folder.
var ErrFolderLocked = errors.New("another keyhold-lock is working on this folder")

// ErrNotEnrolled says that the folder belongs to no door yet.
var ErrNotEnrolled = errors.New("this folder belongs to no door yet: enrol it first")

// Folder is a controller's folder, which this process has for itself. It is a door.Disk.
// Whoever opens it closes it.
type Folder struct {
	path string
	lock *os.File
}

// OpenFolder opens the folder and makes it if it is not there, for its owner only. The
// error is ErrFolderLocked if another process has it.
func OpenFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(filepath.Join(path, engineFolder), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("the folder cannot be written: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrFolderLocked, path), lock.Close())
	}
	f := &Folder{path: path, lock: lock}
	for _, dir := range []string{path, f.engine("")} {
		if err := sweep(dir); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return f, nil
}

// sweep removes what was half written when the power went.
func sweep(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close gives the folder free.
func (f *Folder) Close() error { return f.lock.Close() }

func (f *Folder) engine(name string) string { return filepath.Join(f.path, engineFolder, name) }

// Read returns the whole file.
func (f *Folder) Read(name string) (data []byte, found bool, err error) {
	data, err = os.ReadFile(f.engine(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// Write replaces the file as a whole.
func (f *Folder) Write(name string, data []byte) error { return replace(f.engine(name), data) }

// Append adds to the file's end.
func (f *Folder) Append(name string, data []byte) error {
	_, err := os.Stat(f.engine(name))
	isNew := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(f.engine(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil || !isNew {
		return err
	}
	return syncFolder(f.engine(""))
}

// Remove takes the file away.
func (f *Folder) Remove(name string) error {
	if err := os.Remove(f.engine(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(f.engine(""))
}

// List returns the names of all files.
func (f *Folder) List() ([]string, error) {
	entries, err := os.ReadDir(f.engine(""))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// replace writes a file beside and puts it in the place of the one with that name: all of
// it or nothing, whenever the power goes.
func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, tempPrefix) // 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncFolder(dir)
}

// syncFolder makes names durable.
func syncFolder(path string) error {
	dir, err := os.Open(path) //nolint:gosec // as above
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
