package digitalkey_test

import (
	"context"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // the rules of time zones, wherever the tests run

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with an owner, a user and two doors: the gate is enrolled, the shed
// is not.
type house struct {
	storetest.Database
	*digitalkey.Service
	clock      *clock.Manual
	secrets    storetest.FixedSecrets
	w          id.Workspace
	by         auth.Caller
	ada        directory.User
	gate, shed id.Lock
}

func newHouse(t testing.TB) house {
	t.Helper()
	return houseOn(t, storetest.SQLite(t))
}

func houseOn(t testing.TB, d storetest.Database) house {
	t.Helper()
	c, w := clock.NewManual(storetest.Start()), storetest.Workspace(t, d.Store)
	h := house{Database: d, clock: c, secrets: storetest.KeySecrets(t), w: w, by: storetest.Administrator(t, d.Store, w, "owner"), ada: storetest.User(t, d.Store, w, "ada")}
	h.gate, h.shed = storetest.DoorOf(t, d, w, "Gate", h.secrets, true), storetest.DoorOf(t, d, w, "shed", h.secrets, false)
	h.Service = digitalkey.NewService(digitalkey.Config{Store: store.For[digitalkey.Tx](d.Store), Clock: c, Sealing: h.secrets})
	return h
}

// forADay opens the gate by PIN and app from now on.
func (h house) forADay() digitalkey.NewKey {
	now := h.clock.Now()
	return digitalkey.NewKey{
		Description: "Guest of room 7", Locks: []id.Lock{h.gate}, User: h.ada.ID, Types: []digitalkey.Type{digitalkey.App, digitalkey.PIN},
		Span: digitalkey.Span{StartsAt: now, ExpiresAt: now.Add(24 * time.Hour)},
	}
}

func (h house) create(t testing.TB, n digitalkey.NewKey) digitalkey.Issued {
	t.Helper()
	issued, err := h.Create(t.Context(), h.by, n)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// wait moves the clock and keeps the owner's session open.
func (h house) wait(t testing.TB, d time.Duration) time.Time {
	t.Helper()
	now := h.clock.Advance(d)
	storetest.Exec(t, h.Database, `UPDATE signin_session SET expires_at = $1, last_seen_at = $2 WHERE id = $3`,
		now.Add(time.Hour).UnixMilli(), now.UnixMilli(), string(h.by.Session))
	return now
}

// session is Ada signed in to the app.
func (h house) session(t testing.TB) auth.Caller {
	t.Helper()
	return storetest.AppSession(t, h.Store, h.ada, signin.OpenedByCode, h.clock.Now())
}

// told is one thing that a door should know.
type told struct {
	Grant   grant.Grant
	Version int64
	Removed bool
	Applied int64
	SafeAt  int64
}

// told returns what a door should know of a key.
func (h house) told(t testing.TB, l id.Lock, k id.DigitalKey) (out told) {
	t.Helper()
	var body []byte
	if err := h.SQL.QueryRowContext(t.Context(), `SELECT body, version, removed, applied_at, safe_at FROM smartlock_grant WHERE lock_id = $1 AND grant_id = $2`, string(l), string(k)).
		Scan(&body, &out.Version, &out.Removed, &out.Applied, &out.SafeAt); err != nil {
		t.Fatal(err)
	}
	if err := grant.Read(body, &out.Grant); err != nil {
		t.Fatal(err)
	}
	if !out.Grant.Valid() {
		t.Errorf("the grant is not valid: %+v", out.Grant)
	}
	return out
}

// secretOf is what a lock makes its tags with.
func (h house) secretOf(t testing.TB, l id.Lock) (out secret.Bytes) {
	t.Helper()
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		k, _, err := tx.FindKeyLock(ctx, h.w, l, h.clock.Now())
		if err == nil {
			out, err = h.secrets.Sealing.Open(k.SecretSealed, grant.SecretIdentity(string(h.w), string(l)))
		}
		return err
	})
	return out
}

func TestCreate_tellsTheDoors(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Locks = []id.Lock{h.shed, h.gate}
	issued := h.create(t, n)
	k := issued.Key
	if !grant.IsPIN(issued.PIN.ExposeString()) || len(issued.PIN.Expose()) != digitalkey.DefaultDigits {
		t.Errorf("the PIN has %d digits, want %d", len(issued.PIN.Expose()), digitalkey.DefaultDigits)
	}
	if k.Status(h.clock.Now()) != digitalkey.Active || k.Role != digitalkey.RoleUser || k.Timezone != "Europe/Berlin" || len(k.Locks) != 2 || k.Locks[0].ID != h.gate {
		t.Errorf("Create() = %+v, want an active key of the gate and the shed in Berlin", k)
	}
	for _, l := range n.Locks {
		got := h.told(t, l, k.ID)
		if got.Grant.ID != grant.ID(k.ID.Bytes()) || got.Grant.Kinds != grant.ByPIN|grant.ByApp || got.Grant.NotBefore != k.StartsAt.Unix() || got.Grant.NotAfter != k.ExpiresAt.Unix() || got.Removed || got.Applied != 0 || got.Version != 1 {
			t.Errorf("the door is told %+v, want the key by PIN and app", got)
		}
		if *got.Grant.PIN != grant.PINTag(h.secretOf(t, l), issued.PIN) {
			t.Error("the PIN that was shown is not the one at the door")
		}
	}
	line := storetest.Activity(t, h.Store, h.w, "digital_key.create")
	if line.User != h.ada.ID || line.Target.ID != string(k.ID) || line.Detail != "pin, app" {
		t.Errorf("the line is %+v, want Ada's key", line)
	}
	got, err := h.Find(t.Context(), h.by, k.ID)
	if err != nil || !slices.Equal(got.Key.Locks, k.Locks) || len(got.Receipts) != 2 || got.Key.Receipts != (digitalkey.Confirmed{Locks: 2}) {
		t.Errorf("Find() = %+v (%v), want two receipts that wait", got, err)
	}
}

func TestCancel_saysWhenItIsSafe(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Locks, n.Span.ExpiresAt = []id.Lock{h.gate, h.shed}, n.Span.StartsAt.Add(72*time.Hour)
	k := h.create(t, n).Key
	now := h.wait(t, time.Hour)
	got, err := h.Cancel(t.Context(), h.by, k.ID)
	if err != nil || got.Key.Status(now) != digitalkey.Cancelled || got.Key.CancelReason != digitalkey.ByHand || got.Key.Revision != 2 {
		t.Fatalf("Cancel() = %+v (%v), want it cancelled", got, err)
	}
	lease := storetest.Start().Add(24 * time.Hour)
	if r := got.Receipts[0]; r.Lock != h.gate || !r.Removed || !r.AppliedAt.IsZero() || !r.AtLatest.Equal(lease) || r.Version != 2 || !r.Unsafe(now) || r.Unsafe(lease) {
		t.Errorf("the gate's receipt is %+v, want it safe when the lease ends", r)
	}
	if r := got.Receipts[1]; r.Lock != h.shed || !r.Removed || !r.AppliedAt.Equal(now) || r.Unsafe(now) {
		t.Errorf("the shed's receipt is %+v, want it confirmed: nobody is there", r)
	}
	line := storetest.Activity(t, h.Store, h.w, "digital_key.cancel")
	if line.User != h.ada.ID || line.Target.ID != string(k.ID) {
		t.Errorf("the line is %+v, want Ada's key", line)
	}
}
