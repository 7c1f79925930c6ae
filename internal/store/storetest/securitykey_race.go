package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
)

// raceRounds is how often two are let loose on each other.
const raceRounds = 8

// keyRace is a workspace with a user whose keys two are after.
type keyRace struct {
	room  *securitykey.Service
	clock *clock.Manual
	by    auth.Caller
	ada   directory.User
	link  secret.Bytes
}

func newKeyRace(t *testing.T, d Database) keyRace {
	t.Helper()
	w := Workspace(t, d.Store)
	r := keyRace{clock: clock.NewManual(Start()), by: auth.Job(w, "race"), ada: User(t, d.Store, w, "ada"), link: secret.FromString("link key")}
	r.room = securitykey.NewService(securitykey.Config{Store: store.For[securitykey.Tx](d.Store), Clock: r.clock, Secrets: KeySecrets(t), LinkKey: r.link})
	return r
}

func (r keyRace) create(t *testing.T, n securitykey.NewKey) securitykey.SecurityKey {
	t.Helper()
	issued, err := r.room.Create(t.Context(), r.by, r.ada.ID, n)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Key
}

// sent is a named card whose holder has a link.
func (r keyRace) sent(t *testing.T, number string) securitykey.SecurityKey {
	t.Helper()
	return r.create(t, securitykey.NewKey{Kind: securitykey.ContactlessCard, CardNumber: number, Activation: securitykey.ActivateEmail})
}

// activate does it with the link and the card of the mail.
func (r keyRace) activate(t *testing.T, k securitykey.SecurityKey, number string) (securitykey.SecurityKey, error) {
	t.Helper()
	return r.room.ActivateCard(t.Context(), auth.Nobody("192.0.2.1", "", ""), token.Link(r.link, string(k.Link.ID)), securitykey.CardActivation{Number: number})
}

// meet runs all at once.
func meet(all ...func()) {
	begin := make(chan struct{})
	var running sync.WaitGroup
	for _, fn := range all {
		running.Go(func() {
			<-begin
			fn()
		})
	}
	close(begin)
	running.Wait()
}

// answer is the code of a fault, "" for none.
func answer(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	f, ok := fault.As(err)
	if !ok {
		t.Error(err)
		return "error"
	}
	return f.Code
}

func oneLinkTwice(t *testing.T, d Database) {
	for range raceRounds {
		r := newKeyRace(t, d)
		k := r.sent(t, "AABBCCDD")
		var got [2]string
		use := func(i int) func() {
			return func() {
				_, err := r.activate(t, k, "AABBCCDD")
				got[i] = answer(t, err)
			}
		}
		meet(use(0), use(1))
		if (got[0] == "") == (got[1] == "") {
			t.Fatalf("the two are answered with %q, want that one wins", got)
		}
	}
}

// A mailbox makes one key active and not two, even at once.
func twoLinksAtOnce(t *testing.T, d Database) {
	for range raceRounds {
		r := newKeyRace(t, d)
		numbers := [2]string{"AABBCC01", "AABBCC02"}
		keys := [2]securitykey.SecurityKey{r.sent(t, numbers[0]), r.sent(t, numbers[1])}
		var got [2]securitykey.SecurityKey
		use := func(i int) func() {
			return func() {
				var err error
				if got[i], err = r.activate(t, keys[i], numbers[i]); err != nil {
					t.Error(err)
				}
			}
		}
		meet(use(0), use(1))
		if got[0].ToConfirm == got[1].ToConfirm {
			t.Fatalf("of two cards by e-mail both wait: %v, both do not: %v; want that one waits", got[0].ToConfirm, !got[0].ToConfirm)
		}
	}
}

func lastKeyTwice(t *testing.T, d Database) {
	r := newKeyRace(t, d)
	var all []id.SecurityKey
	for range securitykey.MaxKeys - 1 {
		all = append(all, r.create(t, securitykey.NewKey{Kind: securitykey.FIDO2}).ID)
	}
	for range raceRounds {
		var got [2]string
		var made [2]securitykey.Issued
		again := func(i int) func() {
			return func() {
				var err error
				made[i], err = r.room.Create(t.Context(), r.by, r.ada.ID, securitykey.NewKey{Kind: securitykey.FIDO2})
				got[i] = answer(t, err)
			}
		}
		meet(again(0), again(1))
		if got != [2]string{"", "too_many_keys"} && got != [2]string{"too_many_keys", ""} {
			t.Fatalf("the two are answered with %q, want that one wins", got)
		}
		for _, m := range made {
			if m.Key.ID == "" {
				continue
			}
			if err := r.room.Delete(t.Context(), r.by, m.Key.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	keysCounted(t, d, r.ada.Workspace)
	if out, err := r.room.DeleteMany(t.Context(), r.by, all); err != nil || len(out) != len(all) {
		t.Errorf("DeleteMany() = %d outcomes (%v), want %d", len(out), err, len(all))
	}
	keysCounted(t, d, r.ada.Workspace)
}

// Two servers that look after unused keys at once tell of each once, and suspend each
// once.
func lookedAfterTwice(t *testing.T, d Database) {
	const n = 30
	r := newKeyRace(t, d)
	for i := range n {
		u := User(t, d.Store, r.ada.Workspace, fmt.Sprint("u", i))
		if _, err := r.room.Create(t.Context(), r.by, u.ID, securitykey.NewKey{
			Kind: securitykey.ContactlessCard, CardNumber: fmt.Sprintf("AABBCC%02X", i), Activation: securitykey.ActivateNow,
		}); err != nil {
			t.Fatal(err)
		}
	}
	thirty := 30
	if _, err := r.room.UpdateSettings(t.Context(), r.by, securitykey.SettingsChange{UnusedDays: &thirty}, 0); err != nil {
		t.Fatal(err)
	}
	r.lookTwice(t, d, "security_key.notice", 30*24*time.Hour, n)
	r.lookTwice(t, d, "security_key.suspend", 14*24*time.Hour, n)
	keysCounted(t, d, r.ada.Workspace)
}

// lookTwice looks from two sides at once after a while, and asks for n lines of the act.
func (r keyRace) lookTwice(t *testing.T, d Database, action string, wait time.Duration, n int) {
	t.Helper()
	r.clock.Advance(wait)
	var did [2]int
	look := func(i int) func() {
		return func() {
			var err error
			if did[i], err = r.room.LookAfterUnused(t.Context(), auth.Job("", "server")); err != nil {
				t.Error(err)
			}
		}
	}
	meet(look(0), look(1))
	if lines := len(Activities(t, d.Store, r.ada.Workspace, action)); did[0]+did[1] != n || lines != n {
		t.Errorf("%s: two did %v and wrote %d lines, want %d in all", action, did, lines, n)
	}
}

// A holder who is suspended meanwhile activates nothing any more.
func suspendedMeanwhile(t *testing.T, d Database) {
	for range raceRounds {
		r := newKeyRace(t, d)
		k := r.sent(t, "AABBCCDD")
		code := ""
		meet(func() {
			_, err := r.activate(t, k, "AABBCCDD")
			code = answer(t, err)
		}, func() {
			if err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
				return tx.SuspendUser(ctx, r.ada.Workspace, r.ada.ID, Start())
			}); err != nil {
				t.Error(err)
			}
		})
		if got := findSecurityKey(t, d, r.ada.Workspace, k.ID); (got.Life == securitykey.Active) != (code == "") || code != "" && code != "activation_not_found" && code != "user_suspended" {
			t.Fatalf("the answer is %q and the key %s", code, got.Life)
		}
	}
}
