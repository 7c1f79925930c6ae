package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// The files of a data folder.
const (
	databaseFile = "keyhold.db"
	keyFile      = "keyhold.key"
	lockFile     = "keyhold.lock"
	socketFile   = "admin.sock"
)

// maxSocketPath is how long the path of a Unix socket may be on every system that we
// run on.
const maxSocketPath = 103

// ErrFolderLocked says that another process works on the data folder.
var ErrFolderLocked = errors.New("another keyhold process is working on this data folder")

// folder is a data folder that this process has for itself.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes the folder if it is not there (0700) and locks it. The lock
// ends with the process, however it ends.
func openFolder(path string) (*folder, error) {
	if n := len(filepath.Join(path, socketFile)); n > maxSocketPath {
		return nil, wrong("KEYHOLD_DATA", "the folder's path is too long for the socket %s in it: at most %d bytes in all, not %d", socketFile, maxSocketPath, n)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, wrong("KEYHOLD_DATA", "the folder cannot be made: %v", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, wrong("KEYHOLD_DATA", "the folder cannot be written: %v", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrFolderLocked, path), lock.Close())
	}
	return &folder{path: path, lock: lock}, nil
}

// file returns the path of a file in the folder.
func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// close gives the folder free.
func (f *folder) close() error { return f.lock.Close() }
