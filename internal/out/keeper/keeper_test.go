package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
)

var _ seal.Keeper = (*File)(nil)

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatalf("Open(%q) error = %v", path, err)
	}
	return f
}

func TestOpen_makesAPrivateWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	f := open(t, path)
	if !f.Created() {
		t.Error("Created() of a new file: want true, got false")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode of the key file: want 0600, got %#o", got)
	}
	if n := len(f.Pepper().Expose()); n != 32 {
		t.Errorf("length of the pepper: want 32, got %d", n)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Version int
		Sealing struct{ PrimaryKeyID uint32 }
		Peppers []struct {
			ID    int
			Value string
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatalf("the key file as JSON: %v", err)
	}
	if doc.Version != 1 || doc.Sealing.PrimaryKeyID == 0 || len(doc.Peppers) != 1 || doc.Peppers[0].ID != 1 {
		t.Errorf("the key file: want version 1, a keyset and pepper 1, got version %d, primary %d, %d pepper(s)", doc.Version, doc.Sealing.PrimaryKeyID, len(doc.Peppers))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("temporary files: want none left, got %v", left)
	}
}

func TestOpen_againGivesTheSameKeys(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "keys.json")
	first := open(t, path)
	wrapped, err := first.Wrap(ctx, secret.FromString("plain"), []byte("row"))
	if err != nil {
		t.Fatal(err)
	}
	second := open(t, path)
	if second.Created() {
		t.Error("Created() of a file that was there: want false, got true")
	}
	plain, err := second.Unwrap(ctx, wrapped, []byte("row"))
	if err != nil || plain.ExposeString() != "plain" {
		t.Errorf("Unwrap() after a reopen: want %q, got %q, error %v", "plain", plain.ExposeString(), err)
	}
	if !first.Pepper().Equal(second.Pepper()) {
		t.Error("Pepper() after a reopen: want the same, got another")
	}
}

func TestOpen_atOnceGivesAllTheSameKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	files := make([]*File, 8)
	var wg sync.WaitGroup
	for i := range files {
		wg.Go(func() {
			f, err := Open(path)
			if err != nil {
				t.Errorf("Open() error = %v", err)
				return
			}
			files[i] = f
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	created := 0
	for _, f := range files {
		if f.Created() {
			created++
		}
		if !f.Pepper().Equal(files[0].Pepper()) {
			t.Error("peppers of files opened at once: want equal, got different ones")
		}
	}
	if created != 1 {
		t.Errorf("files that Created(): want 1, got %d", created)
	}
}

func TestUnwrap_refuses(t *testing.T) {
	ctx := context.Background()
	f := open(t, filepath.Join(t.TempDir(), "keys.json"))
	other := open(t, filepath.Join(t.TempDir(), "keys.json"))
	wrapped, err := f.Wrap(ctx, secret.FromString("plain"), []byte("row 1"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, []byte("plain")) {
		t.Error("Wrap(): want no plain text inside, got it")
	}
	tampered := bytes.Clone(wrapped)
	tampered[len(tampered)-1] ^= 1
	for _, c := range []struct {
		name       string
		by         *File
		wrapped    []byte
		associated string
	}{
		{"another row", f, wrapped, "row 2"},
		{"changed bytes", f, tampered, "row 1"},
		{"cut bytes", f, wrapped[:10], "row 1"},
		{"nothing", f, nil, "row 1"},
		{"another key file", other, wrapped, "row 1"},
	} {
		if plain, err := c.by.Unwrap(ctx, c.wrapped, []byte(c.associated)); err == nil || !plain.IsEmpty() {
			t.Errorf("Unwrap() of %s: want an error, got %d bytes, error %v", c.name, len(plain.Expose()), err)
		}
	}
}

func TestOpen_refusesOpenPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	open(t, path)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if want := "run chmod 600 " + path; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open() at mode %#o: want an error with %q, got %v", mode, want, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestOpen_refusesMalformed(t *testing.T) {
	good, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(good, &doc); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*document)) string {
		d := doc
		change(&d)
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	value := doc.Peppers[0].Value
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "not the JSON"},
		{"cut", string(good[:len(good)/2]), "not the JSON"},
		{"list", "[]", "not the JSON"},
		{"unknown field", `{"version":1,"more":1}`, "not the JSON"},
		{"tail", string(good) + "{}", "something follows"},
		{"newer version", with(func(d *document) { d.Version = 2 }), "version 2"},
		{"no keyset", with(func(d *document) { d.Sealing = nil }), "sealing keys"},
		{"empty keyset", with(func(d *document) { d.Sealing = json.RawMessage(`{}`) }), "sealing keys"},
		{"no pepper", with(func(d *document) { d.Peppers = nil }), "no pepper"},
		{"short pepper", with(func(d *document) { d.Peppers = []pepper{{1, value[:20]}} }), "pepper 1 is not base64url"},
		{"pepper twice", with(func(d *document) { d.Peppers = []pepper{{1, value}, {1, value}} }), "stands twice"},
		{"a checkpoint's key that is none", with(func(d *document) { d.Checkpoints = []string{"AAAA"} }), "public keys"},
		{"a key of codes that is none", with(func(d *document) { d.Codes = "AAAA" }), "key of codes"},
		{"too long", string(good) + strings.Repeat(" ", maxSize), "longer than"},
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open() of a file that is %s: want an error with %q and the path, got %v", c.name, c.want, err)
		}
		if err != nil && strings.Contains(err.Error(), value[:16]) {
			t.Errorf("Open() of a file that is %s: want an error without the keys, got %v", c.name, err)
		}
		if left, _ := os.ReadFile(path); string(left) != c.content {
			t.Errorf("Open() of a file that is %s: want it left alone, got it changed", c.name)
		}
	}
}

func TestOpen_withoutItsFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "keys.json")
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open() in a folder that is not there: want an error with the path, got %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("Open() of a folder: want an error, got %v", err)
	}
}

func TestFile_holdsSealingKeys(t *testing.T) {
	ctx := context.Background()
	f := open(t, filepath.Join(t.TempDir(), "keys.json"))
	key, wrapped, err := seal.NewKey(ctx, f, "ws_1")
	if err != nil {
		t.Fatal(err)
	}
	of := seal.Identity{Workspace: "ws_1", Owner: "user_1", Kind: "pin", ID: "1"}
	sealed, err := key.Seal(secret.FromString("1234"), of)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.OpenKey(ctx, f, "ws_1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, of); err != nil || plain.ExposeString() != "1234" {
		t.Errorf("Open() with the unwrapped key: want 1234, got %q, error %v", plain.ExposeString(), err)
	}
	if _, err := seal.OpenKey(ctx, f, "ws_2", wrapped); err == nil {
		t.Error("OpenKey() for another workspace: want an error, got none")
	}
}

func TestFile_printsNothing(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys.json"))
	if got := fmt.Sprintf("%+v", f.Pepper()); got != "[redacted]" {
		t.Errorf("a printed pepper: want [redacted], got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	good, err := generate()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"sealing":{},"peppers":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if k, err := parse(raw); err == nil && (k.box == nil || len(k.pepper.Expose()) != pepperLen) {
			t.Error("parse(): want an error or whole keys, got neither")
		}
	})
}
