package checkpoint_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/out/checkpoint"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

type signer struct{ key ed25519.PrivateKey }

func (s signer) PublicKey() ed25519.PublicKey     { return ed25519.PublicKey(s.key[32:]) }
func (s signer) Knows(key ed25519.PublicKey) bool { return s.PublicKey().Equal(key) }
func (s signer) Sign(message []byte) []byte       { return ed25519.Sign(s.key, message) }

func key() signer { return signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))} }

// both runs a test on each engine that there is.
func both(t *testing.T, run func(t *testing.T, d storetest.Database)) {
	t.Run("sqlite", func(t *testing.T) { run(t, storetest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { run(t, storetest.Postgres(t)) })
}

type desk struct {
	storetest.Database
	clock  *clock.Manual
	folder string
	teller *checkpoint.Teller
}

func newDesk(t *testing.T, d storetest.Database, folder string) desk {
	c := clock.NewManual(storetest.Start())
	return desk{Database: d, clock: c, folder: folder, teller: checkpoint.New(checkpoint.Config{
		Store: store.For[checkpoint.Tx](d.Store), Clock: c, Signer: key(), Folder: folder, Holder: "here",
	})}
}

// act writes a line of the workspace's record and seals all there are.
func (d desk) act(t *testing.T, w id.Workspace) {
	t.Helper()
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := activity.Append(ctx, tx, auth.Job(w, "test"), activity.Event{Action: "user.create"}, d.clock.Now()); err != nil {
			return err
		}
		_, err := activity.SealNext(ctx, tx, w)
		return err
	})
}

func (d desk) tell(t *testing.T) {
	t.Helper()
	if err := d.teller.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// kept returns the checkpoints in the workspace's file.
func (d desk) kept(t *testing.T, w id.Workspace) []activity.SignedCheckpoint {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.folder, string(w)+".jsonl"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := activity.ParseCheckpoints(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (d desk) mails(t *testing.T, w id.Workspace) (out []outbox.ActivityCheckpoint) {
	t.Helper()
	for _, m := range storetest.Messages(t, d.Store) {
		var p outbox.ActivityCheckpoint
		if err := json.Unmarshal(m.Payload, &p); err != nil || m.Kind != p.MessageKind() {
			t.Fatalf("a message %s: %v", m.Kind, err)
		}
		if m.Workspace == w {
			out = append(out, p)
		}
	}
	return out
}

func TestTell_onceAnHourIfSomethingHappened(t *testing.T) {
	both(t, func(t *testing.T, database storetest.Database) {
		d := newDesk(t, database, t.TempDir())
		w, quiet := storetest.Workspace(t, d.Store), storetest.Workspace(t, d.Store)
		d.tell(t)
		if n := len(d.kept(t, w)); n != 0 {
			t.Errorf("%d checkpoints before anything was sealed, want none", n)
		}
		d.act(t, w)
		for i, step := range []struct {
			pass time.Duration
			act  bool
			want int
		}{
			{0, false, 1},                           // the first
			{0, true, 1},                            // an hour has not gone by
			{time.Hour - time.Second, true, 1},      // nor now
			{time.Second, false, 2},                 // now
			{3 * time.Hour, false, 2},               // nothing happened
			{0, true, 3},                            // an hour has gone by since the last
			{time.Hour - time.Millisecond, true, 3}, // counted from there
		} {
			d.clock.Advance(step.pass)
			if step.act {
				d.act(t, w)
			}
			d.tell(t)
			if n := len(d.kept(t, w)); n != step.want {
				t.Errorf("step %d: %d checkpoints, want %d", i, n, step.want)
			}
		}
		kept := d.kept(t, w)
		record := activity.NewRecord(activity.Gate[activity.RecordTx]{Store: store.For[activity.RecordTx](d.Store), Clock: d.clock}, key())
		if v, err := record.Verify(t.Context(), auth.Job(w, "test"), kept...); err != nil || len(v.Damages) != 0 || v.Checkpoint != kept[2].Index {
			t.Errorf("Verify() with all that was kept = %+v, %v, want whole", v, err)
		}
		if n := len(d.kept(t, quiet)); n != 0 {
			t.Errorf("%d checkpoints of a workspace with nothing sealed, want none", n)
		}
		if n := len(d.mails(t, w)); n != 0 {
			t.Errorf("%d mails without an address, want none", n)
		}
	})
}

func TestTell_mailsWhoeverIsNamed(t *testing.T) {
	both(t, func(t *testing.T, database storetest.Database) {
		d := newDesk(t, database, "")
		w, silent := storetest.Workspace(t, d.Store), storetest.Workspace(t, d.Store)
		storetest.Exec(t, d.Database, `UPDATE workspace SET checkpoint_email = 'auditor@example.org', timezone = 'Europe/Berlin' WHERE id = $1`, w)
		d.act(t, w)
		d.act(t, silent)
		d.tell(t)
		d.tell(t)
		mails := d.mails(t, w)
		if len(mails) != 1 {
			t.Fatalf("%d mails, want 1", len(mails))
		}
		got := mails[0]
		signed, err := activity.ParseCheckpoint([]byte(got.Checkpoint))
		if err != nil || signed.Index != 2 || signed.Workspace != w || !ed25519.Verify(key().PublicKey(), signed.Text(), signed.Signature) {
			t.Errorf("the mail's checkpoint = %+v, %v, want one at 2 of the workspace", signed, err)
		}
		if got.To != (outbox.Recipient{Email: "auditor@example.org", Timezone: "Europe/Berlin"}) || got.Workspace != "Harbour" || got.Index != 2 || got.At != d.clock.Now().UnixMilli() {
			t.Errorf("the mail = %+v", got)
		}
		if n := storetest.Count(t, d.Database, `SELECT COUNT(*) FROM activity_checkpoint WHERE workspace = $1`, silent); n != 0 || len(d.mails(t, silent)) != 0 {
			t.Error("a workspace without an address was told of: want nothing, so that the first mail comes at once when there is one")
		}
	})
}

func TestTell_leavesItToWhoHasTheLease(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t), t.TempDir())
	w := storetest.Workspace(t, d.Store)
	d.act(t, w)
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.TakeLease(ctx, "checkpoint", "there", d.clock.Now(), d.clock.Now().Add(time.Minute))
		return err
	})
	d.tell(t)
	if n := len(d.kept(t, w)); n != 0 {
		t.Errorf("%d checkpoints while another server holds the lease, want none", n)
	}
	d.clock.Advance(time.Minute)
	d.tell(t)
	if n := len(d.kept(t, w)); n != 1 {
		t.Errorf("%d checkpoints once its lease is over, want 1", n)
	}
	// The lease was given back: another server may go on at once.
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if held, err := tx.TakeLease(ctx, "checkpoint", "there", d.clock.Now(), d.clock.Now().Add(time.Minute)); err != nil || !held {
			t.Errorf("TakeLease() after Tell = %v, %v, want true", held, err)
		}
		return nil
	})
}

func TestTell_aFileThatFailsIsTriedAgain(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t), t.TempDir())
	w, other := storetest.Workspace(t, d.Store), storetest.Workspace(t, d.Store)
	storetest.Exec(t, d.Database, `UPDATE workspace SET checkpoint_email = 'auditor@example.org' WHERE id = $1`, w)
	d.act(t, w)
	d.act(t, other)
	inTheWay := filepath.Join(d.folder, string(w)+".jsonl")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.teller.Tell(t.Context()); err == nil {
		t.Error("Tell() with a folder in the file's place: want an error, got none")
	}
	if len(d.mails(t, w)) != 0 || len(d.kept(t, other)) != 1 {
		t.Errorf("%d mails and %d checkpoints of the other workspace, want 0 and 1", len(d.mails(t, w)), len(d.kept(t, other)))
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	d.tell(t)
	if len(d.mails(t, w)) != 1 || len(d.kept(t, w)) != 1 {
		t.Errorf("%d mails and %d checkpoints after it was mended, want 1 and 1", len(d.mails(t, w)), len(d.kept(t, w)))
	}
}

// TestTell_isToldOnce: a server that lost its lease to a moved clock notes nothing.
func TestTell_isToldOnce(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t), "")
	w := storetest.Workspace(t, d.Store)
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for i, step := range []struct {
			index int64
			want  bool
		}{{5, true}, {5, false}, {4, false}, {6, true}} {
			if moved, err := tx.MoveCheckpoint(ctx, w, step.index, d.clock.Now()); err != nil || moved != step.want {
				t.Errorf("step %d: MoveCheckpoint(%d) = %v, %v, want %v", i, step.index, moved, err, step.want)
			}
		}
		return nil
	})
}
