package app

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// opened is an app over a folder and a database of its own, with a workspace.
func opened(t *testing.T, databaseURL, folder string) *App {
	t.Helper()
	c, err := Settings{Data: folder, PublicURL: "http://localhost:8080", Listen: "localhost:0", DatabaseURL: databaseURL, LogFormat: "text"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), c, Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() }) // what was to be asked is asked
	return a
}

func rotate(t *testing.T, a *App, prepare bool) RotatedPepper {
	t.Helper()
	out, err := a.rotatePepper(t.Context(), RotatePepper{Prepare: prepare})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Where several servers may be, nothing is hashed under a pepper that only one has.
func TestRotatePepper_severalServers(t *testing.T) {
	url := storetest.PostgresURL(t)
	a := opened(t, url, t.TempDir())
	w, err := a.Join.CreateWorkspace(t.Context(), auth.Job("", "test"), "Harbour")
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.APIKeys.Create(t.Context(), auth.Job(w.Workspace.ID, "test"), apikey.NewKey{Name: "R", Type: apikey.Clients})
	if err != nil {
		t.Fatal(err)
	}
	works := func(a *App) bool {
		_, err := a.APIKeys.Verify(t.Context(), auth.Nobody("192.0.2.1", "", ""), secret.Secret().ExposeString(), apikey.Clients)
		return err == nil
	}
	var refused *CommandError
	_, err = a.rotatePepper(t.Context(), RotatePepper{})
	if err = commandError(err); !errors.As(err, &refused) || refused.Code != "pepper_not_prepared" {
		t.Fatalf("rotatePepper() on a shared database = %v, want pepper_not_prepared", err)
	}
	if out := rotate(t, a, true); out.Current != 1 || out.Prepared != 2 {
		t.Errorf("prepared: %+v, want 1 current and 2 prepared", out)
	}
	other := t.TempDir() // the second server gets the file now
	copyFile(t, (&folder{path: a.config.Data}).file(keyFile), (&folder{path: other}).file(keyFile))
	b := opened(t, url, other)
	if out := rotate(t, a, false); out.Current != 2 || out.Left != 1 || !slices.Equal(out.Known, []int{1, 2}) || len(out.Dropped) != 0 {
		t.Errorf("rotated: %+v, want 2 current, both known, one hash left", out)
	}
	if !works(a) || !works(b) {
		t.Error("after the rotation of one server the token is refused by one of them")
	}
	if err := a.APIKeys.FlushUsage(t.Context(), auth.Job("", "test")); err != nil {
		t.Fatal(err)
	}
	if !works(b) {
		t.Error("the token is refused by the server that has not rotated, after its hash has moved")
	}
	if out, err := b.rotatePepper(t.Context(), RotatePepper{}); err != nil || out.Current != 2 || out.Left != 0 || len(out.Dropped) != 0 {
		t.Errorf("rotated on the second server too: %+v (%v), want 2 current, none left, and the one before kept", out, err)
	}
	if !works(a) || !works(b) {
		t.Error("after both rotated the token is refused by one of them")
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
