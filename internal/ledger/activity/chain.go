package activity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
)

// Head is where a workspace's chain ends: the last sealed index and its hash.
// The zero value is the head of an empty chain.
type Head struct {
	Index int64
	Hash  []byte
}

// ChainTx is what sealing needs of a transaction.
type ChainTx interface {
	// UnsealedWorkspaces lists at most limit workspaces that have rows without an
	// index, in the order of their ids, after the given one.
	UnsealedWorkspaces(ctx context.Context, after id.Workspace, limit int) ([]id.Workspace, error)
	// ActivityHead returns the head of a workspace's chain.
	ActivityHead(ctx context.Context, w id.Workspace) (Head, error)
	// UnsealedActivities lists rows without an index, oldest first: of each what enters the
	// chain, without the names, addresses and salts.
	UnsealedActivities(ctx context.Context, w id.Workspace, limit int) ([]Row, error)
	// SealActivity gives a row its place and hash.
	SealActivity(ctx context.Context, row Row) error
	// CountSealed adds to the counters that follow the record: each line is sealed once, so
	// each is counted once.
	CountSealed(ctx context.Context, w id.Workspace, sealed []Row) error
	// MoveActivityHead replaces the head if it still is from; it returns false if
	// somebody else moved it.
	MoveActivityHead(ctx context.Context, w id.Workspace, from, to Head) (bool, error)
}

// SealBatch is how many rows one call of SealNext chains at the most.
const SealBatch = 500

// SealNext chains the oldest unsealed rows of a workspace and returns how many.
// Run it in one transaction; the head's fence makes a second sequencer fail with
// an error, which rolls its work back.
func SealNext(ctx context.Context, t ChainTx, w id.Workspace) (int, error) {
	head, err := t.ActivityHead(ctx, w)
	if err != nil {
		return 0, fmt.Errorf("reading the chain's head: %w", err)
	}
	rows, err := t.UnsealedActivities(ctx, w, SealBatch)
	if err != nil {
		return 0, fmt.Errorf("reading unsealed activities: %w", err)
	}
	to := head
	for _, row := range rows {
		row.Index = to.Index + 1
		row.Hash = chainHash(to.Hash, row)
		if err := t.SealActivity(ctx, row); err != nil {
			return 0, fmt.Errorf("sealing %s: %w", row.ID, err)
		}
		to = Head{Index: row.Index, Hash: row.Hash}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	if err := t.CountSealed(ctx, w, rows); err != nil {
		return 0, fmt.Errorf("counting what is sealed: %w", err)
	}
	moved, err := t.MoveActivityHead(ctx, w, head, to)
	if err != nil {
		return 0, fmt.Errorf("moving the chain's head: %w", err)
	}
	if !moved {
		return 0, fmt.Errorf("sealing activities of %s: another sequencer moved the head", w)
	}
	return len(rows), nil
}

// chainHash is the hash of a row in its place: SHA-256 over the hash before it
// and every column but the personal ones, which enter by their digests. Empty
// columns are left out, so that a later version may add columns.
func chainHash(prev []byte, r Row) []byte {
	h := sha256.New()
	put(h, "keyhold/activity/v1", prev)
	putInt(h, "index", r.Index)
	putText(h, "id", string(r.ID))
	putText(h, "workspace", string(r.Workspace))
	putInt(h, "at", r.At.UnixMilli())
	putText(h, "action", r.Action)
	putText(h, "outcome", string(r.Outcome))
	putText(h, "reason", r.Reason)
	putText(h, "detail", r.Detail)
	putInt(h, "count", int64(r.Count))
	putText(h, "actor_type", r.Actor.Type)
	putText(h, "actor_id", r.Actor.ID)
	putText(h, "target_type", r.Target.Type)
	putText(h, "target_id", r.Target.ID)
	putText(h, "user", string(r.User))
	putText(h, "rp_id", r.RPID)
	putText(h, "security_key", string(r.SecurityKey))
	putText(h, "client", string(r.Client))
	putText(h, "request_id", r.RequestID)
	put(h, "actor_digest", r.ActorDigest)
	put(h, "target_digest", r.TargetDigest)
	return h.Sum(nil)
}

func actorDigest(salt []byte, e Event) []byte {
	h := sha256.New()
	put(h, "keyhold/activity/actor/v1", salt)
	putText(h, "name", e.Actor.Name)
	putText(h, "ip", e.IP)
	putText(h, "agent", e.Agent)
	return h.Sum(nil)
}

func targetDigest(salt []byte, e Event) []byte {
	h := sha256.New()
	put(h, "keyhold/activity/target/v1", salt)
	putText(h, "name", e.Target.Name)
	return h.Sum(nil)
}

// put writes name and value with their lengths, so that no two lists of fields
// hash alike. An empty value is left out.
func put(h hash.Hash, name string, value []byte) {
	if len(value) == 0 {
		return
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(name)))
	h.Write(n[:])
	h.Write([]byte(name))
	binary.BigEndian.PutUint64(n[:], uint64(len(value)))
	h.Write(n[:])
	h.Write(value)
}

func putText(h hash.Hash, name, value string) { put(h, name, []byte(value)) }

func putInt(h hash.Hash, name string, v int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(v))
	put(h, name, b[:])
}

// Damage is one place where the record was tampered with.
type Damage struct {
	Index int64
	ID    id.Activity // empty when the row is gone
	What  string      // a sentence for people
}

// Verdict is what verifying a workspace's chain found. The record is whole when
// Damages is empty.
type Verdict struct {
	Workspace id.Workspace
	Through   int64 // the last sealed index
	Unsealed  int64 // rows not yet sealed
	Erased    int64 // sealed rows with erased personal fields
	// Checkpoint is the highest index at which the record was compared with a
	// checkpoint, 0 if it was compared with none.
	Checkpoint int64
	Damages    []Damage
}

// Verifier walks a chain row by row, in the order of the index. It is not safe
// for use by several goroutines. The zero value is not usable: use NewVerifier.
type Verifier struct {
	verdict Verdict
	last    Head
	expect  map[int64][]Checkpoint
}

// maxDamages bounds the list: after that the record is plainly not to be trusted.
const maxDamages = 100

// NewVerifier returns a verifier for one workspace's chain.
func NewVerifier(w id.Workspace) *Verifier {
	return &Verifier{verdict: Verdict{Workspace: w}, expect: map[int64][]Checkpoint{}}
}

// Expect makes the verifier compare the chain with a checkpoint. Call it before
// the first Add.
func (v *Verifier) Expect(c Checkpoint) {
	v.expect[c.Index] = append(v.expect[c.Index], c)
	v.verdict.Checkpoint = max(v.verdict.Checkpoint, c.Index)
}

// Add checks the next sealed row.
func (v *Verifier) Add(r Row) {
	if want := v.last.Index + 1; r.Index != want {
		if r.Index > want {
			v.damage(want, "", fmt.Sprintf("%d row(s) before %s are missing", r.Index-want, r.ID))
		} else {
			v.damage(r.Index, r.ID, "the index stands twice")
		}
		// What is missing cannot be recomputed: go on from what this row claims.
		v.last = Head{Index: r.Index, Hash: r.Hash}
		return
	}
	switch {
	case !bytes.Equal(chainHash(v.last.Hash, r), r.Hash):
		v.damage(r.Index, r.ID, "the row was changed, or another stood in its place")
	case r.ActorErased && (r.Actor.Name != "" || r.IP != "" || r.Agent != ""), r.TargetErased && r.Target.Name != "":
		v.damage(r.Index, r.ID, "personal fields were written where they had been erased")
	case !r.ActorErased && !bytes.Equal(actorDigest(r.ActorSalt, r.Event), r.ActorDigest):
		v.damage(r.Index, r.ID, "the actor's name, IP or agent was changed")
	case !r.TargetErased && !bytes.Equal(targetDigest(r.TargetSalt, r.Event), r.TargetDigest):
		v.damage(r.Index, r.ID, "the target's name was changed")
	}
	if r.ActorErased || r.TargetErased {
		v.verdict.Erased++
	}
	for _, c := range v.expect[r.Index] {
		if !bytes.Equal(c.Hash, r.Hash) {
			v.damage(r.Index, r.ID, "the record was rewritten: the checkpoint of "+checkpointTime(c.At)+" tells of another row here")
		}
	}
	v.last = Head{Index: r.Index, Hash: r.Hash}
}

// Done compares the end of the chain with the stored head and returns the
// verdict. unsealed is the number of rows that have no index yet.
func (v *Verifier) Done(head Head, unsealed int64) Verdict {
	switch {
	case head.Index > v.last.Index:
		v.damage(v.last.Index+1, "", fmt.Sprintf("%d row(s) at the end are missing", head.Index-v.last.Index))
	case head.Index < v.last.Index:
		v.damage(head.Index, "", "the stored head is older than the record")
	case !bytes.Equal(head.Hash, v.last.Hash):
		v.damage(head.Index, "", "the stored head is not the last row's hash")
	}
	if c := v.verdict.Checkpoint; c > v.last.Index {
		v.damage(v.last.Index+1, "", fmt.Sprintf("the end was cut: the checkpoint of %s tells of %d row(s) more", checkpointTime(v.expect[c][0].At), c-v.last.Index))
	}
	v.verdict.Through, v.verdict.Unsealed = v.last.Index, unsealed
	return v.verdict
}

func (v *Verifier) damage(index int64, row id.Activity, what string) {
	if len(v.verdict.Damages) < maxDamages {
		v.verdict.Damages = append(v.verdict.Damages, Damage{Index: index, ID: row, What: what})
	}
}

// RefusalWindow is how long like refusals of one caller are counted into one line.
const RefusalWindow = time.Minute
