package directory_test

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestUpdateWorkspace(t *testing.T) {
	d := storetest.SQLite(t)
	w, other := storetest.Workspace(t, d.Store), storetest.Workspace(t, d.Store)
	now := clock.NewManual(storetest.Start())
	room := directory.New(store.For[directory.Tx](d.Store), now)
	by := storetest.Administrator(t, d.Store, w, "ada")
	got, err := room.UpdateWorkspace(t.Context(), by, directory.Settings{Name: new(" Harbour Hotels "), Timezone: new("Europe/Berlin"), CheckpointEmail: new("audit@example.org")}, 1)
	if err != nil || got.Name != "Harbour Hotels" || got.Timezone != "Europe/Berlin" || got.CheckpointEmail != "audit@example.org" || got.Revision != 2 {
		t.Fatalf("UpdateWorkspace() = %+v, %v, want the changes at revision 2", got, err)
	}
	if line := storetest.Activity(t, d.Store, w, "workspace.update"); line.Detail != "name, timezone, checkpoint_email" || line.Target.Name != "Harbour Hotels" {
		t.Errorf("line = %+v, want the changed fields", line)
	}
	if again, err := room.Workspace(t.Context(), by); err != nil || again.Name != got.Name || again.Revision != 2 {
		t.Errorf("Workspace() = %+v, %v, want what was saved", again, err)
	}
	if apart, err := room.Workspace(t.Context(), storetest.Administrator(t, d.Store, other, "eve")); err != nil || apart.Name != "Harbour" || apart.CheckpointEmail != "" {
		t.Errorf("another workspace = %+v, %v, want it untouched", apart, err)
	}
	_, err = room.UpdateWorkspace(t.Context(), by, directory.Settings{Name: new("x")}, 1)
	storetest.Refused(t, err, fault.Precondition().Code)
	_, err = room.UpdateWorkspace(t.Context(), by, directory.Settings{Name: new(""), Language: new("?"), Timezone: new("Mars"), CheckpointEmail: new("nobody")}, 0)
	if f := storetest.Fault(t, err, "invalid_workspace"); len(f.Fields) != 4 {
		t.Errorf("fields = %+v, want all four", f.Fields)
	}
	now.Advance(auth.StepUpAge)
	stale := by
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SeeSession(ctx, w, by.Session, now.Now()) })
	if _, err = room.UpdateWorkspace(t.Context(), stale, directory.Settings{Language: new("de")}, 0); err != nil {
		t.Errorf("a language without a fresh passkey: %v, want nil", err)
	}
	_, err = room.UpdateWorkspace(t.Context(), stale, directory.Settings{CheckpointEmail: new("")}, 0)
	storetest.Refused(t, err, "step_up_required")
}

func TestSuspendWorkspace_refusesEverybody(t *testing.T) {
	d := storetest.SQLite(t)
	w, other := storetest.Workspace(t, d.Store), storetest.Workspace(t, d.Store)
	room := directory.New(store.For[directory.Tx](d.Store), clock.NewManual(storetest.Start()))
	owner, key, apart := storetest.Administrator(t, d.Store, w, "ada"), storetest.APIKey(t, d.Store, w, auth.All()...), storetest.Administrator(t, d.Store, other, "eve")
	job := auth.Job(w, "command line")
	for range 2 {
		got, err := room.SuspendWorkspace(t.Context(), job)
		if err != nil || got.SuspendedAt.IsZero() {
			t.Fatalf("SuspendWorkspace() = %+v, %v, want it suspended", got, err)
		}
	}
	for who, by := range map[string]auth.Caller{"an owner": owner, "a key": key} {
		if _, err := room.Me(t.Context(), by); err == nil {
			t.Errorf("%s of a suspended workspace is accepted", who)
		}
	}
	if _, err := room.Me(t.Context(), apart); err != nil {
		t.Errorf("another workspace's owner: %v, want nil", err)
	}
	if _, err := room.ActivateWorkspace(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if _, err := room.Me(t.Context(), key); err != nil {
		t.Errorf("a key after the activation: %v, want nil", err)
	}
	if _, err := room.Me(t.Context(), owner); err == nil {
		t.Error("a session is accepted that was open before the suspension")
	}
	for action, want := range map[string]int{"workspace.suspend": 1, "workspace.activate": 1} {
		if n := len(storetest.Activities(t, d.Store, w, action)); n != want {
			t.Errorf("%d lines %s, want %d", n, action, want)
		}
	}
	for who, by := range map[string]auth.Caller{"an owner": storetest.Administrator(t, d.Store, w, "bob"), "a key": key, "nobody": {}} {
		_, err := room.SuspendWorkspace(t.Context(), by)
		if f, ok := fault.As(err); !ok || f.Code != "system_only" {
			t.Errorf("SuspendWorkspace() as %s = %v, want system_only", who, err)
		}
	}
}

func TestWorkspace_strangers(t *testing.T) {
	d := storetest.SQLite(t)
	room := directory.New(store.For[directory.Tx](d.Store), clock.NewManual(storetest.Start().Add(time.Second)))
	storetest.Strangers(t, d, storetest.Workspace(t, d.Store), storetest.Stranger{
		Action: "workspace.find", Need: auth.WorkspaceRead,
		Call: func(by auth.Caller) error { _, err := room.Workspace(t.Context(), by); return err },
	})
	storetest.Strangers(t, d, storetest.Workspace(t, d.Store), storetest.Stranger{
		Action: "workspace.update", Need: auth.WorkspaceWrite,
		Call: func(by auth.Caller) error {
			_, err := room.UpdateWorkspace(t.Context(), by, directory.Settings{Name: new("x")}, 0)
			return err
		},
	})
}
