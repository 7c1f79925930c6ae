package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// TestGone_whileReferredTo deletes a group while somebody joins it: who comes too
// late is told that it is not there.
func TestGone_whileReferredTo(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	onEach(t, func(t *testing.T, open storetest.Opener) {
		s := open(t).Store
		w := storetest.Workspace(t, s)
		room, by := directory.New(store.For[directory.Tx](s), clock.NewManual(storetest.Start())), auth.Job(w, "test")
		ada := storetest.User(t, s, w, "ada")
		for round := range rounds {
			g, err := room.CreateGroup(t.Context(), by, directory.NewGroup{Name: fmt.Sprint("Group ", round)})
			if err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			var joining, deleting error
			both.Go(func() { joining = room.AddMember(t.Context(), by, g.ID, ada.ID) })
			both.Go(func() { deleting = room.DeleteGroup(t.Context(), by, g.ID, 0) })
			both.Wait()
			if f, ok := fault.As(joining); joining != nil && (!ok || f.Kind != fault.KindNotFound) {
				t.Errorf("round %d: AddMember() = %v, want nil or that the group is not there", round, joining)
			}
			if deleting != nil {
				t.Errorf("round %d: DeleteGroup() = %v, want nil", round, deleting)
			}
		}
		if _, groups, err := room.Find(t.Context(), by, ada.ID); err != nil || len(groups) != 1 {
			t.Errorf("Find() = %v, %v, want Everyone alone", groups, err)
		}
	})
}
