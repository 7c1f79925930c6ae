package app_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/door/link"
	"github.com/keyhold/keyhold/internal/door/link/virtual"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// A whole server with its lock link, and a real controller at it: who is suspended stands
// before a closed door at once, and everything ends in good order.
func TestServe_suspendedUserStandsBeforeAClosedDoor(t *testing.T) {
	r := serve(t, app.Settings{Data: t.TempDir(), LockListen: "localhost:0"}, app.Options{})
	ctx := t.Context()
	made, err := r.app.Join.CreateWorkspace(ctx, auth.Job("", "test"), "Harbour")
	if err != nil {
		t.Fatal(err)
	}
	by := auth.Job(made.Workspace.ID, "test")
	ada, err := r.app.Directory.Create(ctx, by, directory.NewUser{Email: "ada@example.org", FirstName: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := r.app.Locks.Create(ctx, by, smartlock.NewLock{Name: "Front door", Timezone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	enrolling, err := r.app.Locks.IssueEnrolment(ctx, by, lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "door")
	if _, err := link.Enrol(ctx, r.url, enrolling.Token.ExposeString(), folder); err != nil {
		t.Fatal(err)
	}
	door, err := virtual.Start(ctx, virtual.DoorConfig{Folder: folder, Software: "test/1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	find := func() smartlock.Lock {
		l, err := r.app.Locks.Find(ctx, by, lock.ID)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	until(t, "the door to be online", func() bool { l := find(); return l.Settled() && l.Online(time.Now()) })
	now := time.Now()
	k, err := r.app.DigitalKeys.Create(ctx, by, digitalkey.NewKey{
		Locks: []id.Lock{lock.ID}, User: ada.ID, Types: []digitalkey.Type{digitalkey.PIN}, Span: digitalkey.Span{StartsAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	pin := k.PIN.ExposeString()
	until(t, "the door to confirm the key", func() bool { return find().Settled() })
	if v := door.Enter(pin); !v.Opened {
		t.Errorf("the PIN = %+v, want it to open", v)
	}
	begun := time.Now()
	if _, err := r.app.Leave.Suspend(ctx, by, ada.ID, leave.Options{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the door to confirm the removal", func() bool { return find().Settled() })
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the removal took %v, want a second at most", took)
	}
	if v := door.Enter(pin); v.Opened {
		t.Errorf("the PIN of a suspended user = %+v, want it refused", v)
	}
	d, err := r.app.DigitalKeys.Find(ctx, by, k.Key.ID)
	if err != nil || d.Key.Status(time.Now()) != digitalkey.Cancelled || d.Key.CancelReason != digitalkey.UserSuspended {
		t.Errorf("the key = %+v (%v), want it cancelled since its user is suspended", d.Key, err)
	}
	r.stop() // while the link is open
	if err := door.Stop(); err != nil {
		t.Errorf("Stop() = %v", err)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, part := range []string{"internal/edge/lockgate", "internal/door/link"} {
		if strings.Contains(string(stacks), part+".(") {
			t.Errorf("goroutines of %s are left:\n%s", part, stacks)
		}
	}
	if log := r.log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log has an error:\n%s", log)
	}
}

// A port that is taken is told by its setting, and the server leaves nothing behind.
func TestServe_lockPortThatIsTaken(t *testing.T) {
	l, err := app.Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	main, err := app.Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := app.Settings{Data: t.TempDir(), Listen: main.Addr().String(), LockListen: l.Addr().String(), LogFormat: "json"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), c, app.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = a.Serve(t.Context(), main, "test", func() { t.Error("the server is ready") })
	if err == nil || !strings.Contains(fmt.Sprint(err), "KEYHOLD_LOCK_LISTEN") {
		t.Errorf("Serve() = %v, want it to name KEYHOLD_LOCK_LISTEN", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if again, err := app.Listen(t.Context(), main.Addr().String()); err != nil {
		t.Errorf("the public port is still taken: %v", err)
	} else {
		_ = again.Close() // it was free
	}
}
