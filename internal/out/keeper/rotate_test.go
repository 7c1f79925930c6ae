package keeper

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// holds asks for the numbers of a file's peppers, the current one and the prepared
// one, as the file is opened here and as it is on the disk.
func holds(t *testing.T, f *File, numbers []int, current, prepared int) {
	t.Helper()
	for what, g := range map[string]*File{"in use": f, "on the disk": open(t, f.path)} {
		now, known := g.Peppers()
		if got := slices.Sorted(maps.Keys(known)); !slices.Equal(got, numbers) || now != current || g.Prepared() != prepared || !g.Pepper().Equal(known[current]) {
			t.Errorf("%s: want peppers %v, current %d, prepared %d; got %v, %d, %d", what, numbers, current, prepared, got, now, g.Prepared())
		}
		if g.Created() {
			t.Errorf("%s: want the file not made anew", what)
		}
	}
	info, err := os.Stat(f.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key file: want 0600, got %#o, error %v", info.Mode().Perm(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.path), ".*")); len(left) != 0 {
		t.Errorf("temporary files: want none left, got %v", left)
	}
}

// made returns a file that was there before.
func made(t *testing.T) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	open(t, path)
	return open(t, path)
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s error = %v", what, err)
	}
}

func TestRotate(t *testing.T) {
	f := made(t)
	first, codes, signer := f.Pepper(), f.CodeKey(), f.Signer().PublicKey()
	wrapped, err := f.Wrap(context.Background(), secret.FromString("plain"), nil)
	must(t, "Wrap()", err)
	must(t, "Rotate()", f.Rotate(nil))
	holds(t, f, []int{1, 2}, 2, 0)
	_, known := f.Peppers()
	if !known[1].Equal(first) || f.Pepper().Equal(first) {
		t.Error("after Rotate(): want a new pepper and the old one known")
	}
	again := open(t, f.path)
	if plain, err := again.Unwrap(context.Background(), wrapped, nil); err != nil || plain.ExposeString() != "plain" {
		t.Errorf("after Rotate(): want what was wrapped before opened, got error %v", err)
	}
	if !f.CodeKey().Equal(codes) || !again.CodeKey().Equal(codes) {
		t.Error("after Rotate(): want the key of codes as it was, got another")
	}
	if !f.Signer().PublicKey().Equal(signer) || again.Signer().PublicKey().Equal(signer) {
		t.Error("after Rotate(): want the running signer to go on, and the next start to sign with the new key")
	}
	if !f.Signer().Knows(again.Signer().PublicKey()) || !again.Signer().Knows(signer) {
		t.Error("after Rotate(): want both keys known to both")
	}
	must(t, "Rotate()", f.Rotate(nil))
	holds(t, f, []int{1, 2, 3}, 3, 0)
}

func TestPrepare(t *testing.T) {
	f := made(t)
	first := f.Pepper()
	must(t, "Prepare()", f.Prepare())
	holds(t, f, []int{1, 2}, 1, 2)
	if !f.Pepper().Equal(first) {
		t.Error("after Prepare(): want the current pepper as it was")
	}
	if err := f.Prepare(); !errors.Is(err, ErrPrepared) {
		t.Errorf("Prepare() the second time: want ErrPrepared, got %v", err)
	}
	_, known := f.Peppers()
	must(t, "Rotate()", f.Rotate(nil))
	holds(t, f, []int{1, 2}, 2, 0)
	if !f.Pepper().Equal(known[2]) {
		t.Error("after Rotate(): want the prepared pepper, got another")
	}
	must(t, "Prepare()", f.Prepare())
	holds(t, f, []int{1, 2, 3}, 2, 3)
}

// What hangs on a pepper that is dropped stays.
func TestRotate_drops(t *testing.T) {
	f := made(t)
	codes, first := f.CodeKey(), f.Signer().PublicKey()
	must(t, "Rotate()", f.Rotate(nil))
	f = open(t, f.path)
	second := f.Signer().PublicKey()
	for _, wrong := range [][]int{{2}, {3}, {1, 2}} {
		if err := f.Rotate(wrong); err == nil {
			t.Errorf("Rotate(%v) with the current pepper 2: want an error, got none", wrong)
		}
	}
	holds(t, f, []int{1, 2}, 2, 0)
	must(t, "Rotate()", f.Rotate([]int{1}))
	holds(t, f, []int{2, 3}, 3, 0)
	f = open(t, f.path)
	must(t, "Rotate()", f.Rotate([]int{2, 1}))
	holds(t, f, []int{3, 4}, 4, 0)
	f = open(t, f.path)
	if !f.CodeKey().Equal(codes) {
		t.Error("after the oldest peppers went: want the key of codes as it was, got another")
	}
	if !f.Signer().Knows(first) || !f.Signer().Knows(second) {
		t.Error("after the oldest peppers went: want the checkpoints under them still known")
	}
	raw, err := os.ReadFile(f.path)
	must(t, "ReadFile()", err)
	if n := strings.Count(string(raw), `"id":`); n != 2 {
		t.Errorf("the file has %d peppers, want 2: those that were dropped are gone", n)
	}
}

// A file that was put there since is taken as it is, if it goes with what runs.
func TestRotate_aFileThatWasReplaced(t *testing.T) {
	f := made(t)
	other := open(t, f.path)
	must(t, "Prepare()", other.Prepare()) // as if it came from another server
	must(t, "Rotate()", f.Rotate(nil))
	holds(t, f, []int{1, 2}, 2, 0)
	_, known := other.Peppers()
	if !f.Pepper().Equal(known[2]) {
		t.Error("Rotate(): want the pepper that was prepared elsewhere, got another")
	}

	foreign, err := os.ReadFile(made(t).path)
	must(t, "ReadFile()", err)
	earlier := func() []byte { // the same file before its rotation
		g := made(t)
		raw, err := os.ReadFile(g.path)
		must(t, "ReadFile()", err)
		must(t, "Rotate()", g.Rotate(nil))
		f = g
		return raw
	}()
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"of another installation": {foreign, "does not go with what runs"}, "from before the rotation": {earlier, "does not go with what runs"},
		"cut": {earlier[:40], "not whole"}, "empty": {nil, "not whole"},
	} {
		must(t, "WriteFile()", os.WriteFile(f.path, c.raw, 0o600))
		for what, err := range map[string]error{"Rotate()": f.Rotate(nil), "Prepare()": f.Prepare()} {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), f.path) {
				t.Errorf("%s over a file that is %s: want an error with %q and the path, got %v", what, name, c.want, err)
			}
		}
		if left, _ := os.ReadFile(f.path); string(left) != string(c.raw) {
			t.Errorf("Rotate() over a file that is %s: want it left alone, got it changed", name)
		}
	}
	must(t, "Remove()", os.Remove(f.path))
	if err := f.Rotate(nil); err == nil {
		t.Error("Rotate() without a file: want an error, got none")
	}
}

// Who rotates at once makes one pepper after the other.
func TestRotate_atOnce(t *testing.T) {
	f := made(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := f.Rotate(nil); err != nil {
				t.Errorf("Rotate() error = %v", err)
			}
			_, _ = f.Peppers()
			f.Signer().Sign([]byte("text"))
		})
	}
	all.Wait()
	holds(t, f, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, 9, 0)
}

// If the file cannot be written, it and what is in use stay.
func TestRotate_cannotWrite(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes everywhere")
	}
	f := made(t)
	dir := filepath.Dir(f.path)
	must(t, "Chmod()", os.Chmod(dir, 0o500))
	defer func() { _ = os.Chmod(dir, 0o700) }() // so that it can be removed
	if err := f.Rotate(nil); err == nil || !strings.Contains(err.Error(), f.path) {
		t.Errorf("Rotate() in a folder that cannot be written: want an error with the path, got %v", err)
	}
	holds(t, f, []int{1}, 1, 0)
}
