package app

import (
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// readerOf returns a reader that knows nothing yet, as another server has one.
func readerOf(a *App) *secrets {
	return newSecrets(store.For[secretTx](a.store), a.Directory, a.keeper)
}

// However many servers ask first, they get the same secrets; another workspace has
// others.
func TestSecretsOf_areOneForAll(t *testing.T) {
	a := opened(t, "", t.TempDir())
	var found []securitykey.Secrets
	for _, name := range []string{"Harbour", "Lighthouse"} {
		w, err := a.Join.CreateWorkspace(t.Context(), auth.Job("", "test"), name)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]securitykey.Secrets, 8)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() {
				var err error
				if got[i], err = readerOf(a).SecretsOf(t.Context(), w.Workspace.ID); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, s := range got {
			if len(s.CardKey.Expose()) != 32 || len(s.PINKey.Expose()) != 32 || !s.CardKey.Equal(got[0].CardKey) || !s.PINKey.Equal(got[0].PINKey) {
				t.Error("two readers have different secrets, or short ones")
			}
		}
		found = append(found, got[0])
	}
	for _, pair := range [][2]secret.Bytes{{found[0].CardKey, found[1].CardKey}, {found[0].PINKey, found[1].PINKey}, {found[0].CardKey, found[0].PINKey}} {
		if pair[0].Equal(pair[1]) {
			t.Error("two secrets are the same")
		}
	}
	if _, err := readerOf(a).SecretsOf(t.Context(), "ws_none"); err == nil {
		t.Error("a workspace that is not there has secrets")
	}
}

// The room works with the secrets of the server that it is part of.
func TestSecurityKeys_areReadAfterARestart(t *testing.T) {
	folder := t.TempDir()
	a := opened(t, "", folder)
	w, err := a.Join.CreateWorkspace(t.Context(), auth.Job("", "test"), "Harbour")
	if err != nil {
		t.Fatal(err)
	}
	u, by := storetest.User(t, a.store, w.Workspace.ID, "ada"), auth.Job(w.Workspace.ID, "test")
	issued, err := a.SecurityKeys.Create(t.Context(), by, u.ID, securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: "04A1B2C3",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = opened(t, "", folder)
	if found, err := a.SecurityKeys.Find(t.Context(), by, issued.Key.ID); err != nil || found.CardNumber != "04A1B2C3" {
		t.Errorf("the card's number is %q (%v) after a restart, want it as before", found.CardNumber, err)
	}
	if all, err := a.SecurityKeys.List(t.Context(), by, "04:a1:b2:c3", securitykey.Query{}); err != nil || len(all.Items) != 1 {
		t.Errorf("%d keys are found by the number (%v), want 1", len(all.Items), err)
	}
}
