package activity

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// Signer signs checkpoints with an Ed25519 key (RFC 8032) that is not in the
// database.
type Signer interface {
	// PublicKey returns the key by which what Sign makes is checked.
	PublicKey() ed25519.PublicKey
	// Knows says whether a public key is, or once was, this server's.
	Knows(key ed25519.PublicKey) bool
	Sign(message []byte) []byte
}

// Checkpoint says how a workspace's chain ended at a moment: the hash holds all
// lines up to the index. Kept where whoever can change the database cannot reach,
// it proves later that none of them was cut off or rewritten.
type Checkpoint struct {
	Workspace id.Workspace
	Index     int64
	Hash      []byte
	At        time.Time
}

// SignedCheckpoint is a checkpoint with the server's signature over its text.
type SignedCheckpoint struct {
	Checkpoint
	PublicKey ed25519.PublicKey
	Signature []byte
}

// DueCheckpoint is a chain's head of which the outside is to be told, and whom.
type DueCheckpoint struct {
	Workspace id.Workspace
	Head      Head
	Name      string // the workspace's
	Email     string // empty for nobody
	Language  string
	Timezone  string
}

const (
	checkpointVersion = "keyhold/checkpoint/v1"
	// checkpointLayout is RFC 3339 in UTC with milliseconds, what the clock tells.
	checkpointLayout = "2006-01-02T15:04:05.000Z"
	// maxCheckpoint bounds what ParseCheckpoint looks at, in bytes.
	maxCheckpoint = 4 << 10
)

func checkpointTime(t time.Time) string { return t.UTC().Format(checkpointLayout) }

// Text is what is signed: five lines, each ended by a line feed. The first names
// the form; the others are a name, a space and a value: workspace, index in
// decimal, hash in hexadecimal, and at as RFC 3339 in UTC with milliseconds.
//
//	keyhold/checkpoint/v1
//	workspace ws_01jd3v9b8eexav2f6hqdr3wzkt
//	index 4711
//	hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//	at 2026-12-04T14:00:00.000Z
func (c Checkpoint) Text() []byte {
	return fmt.Appendf(nil, "%s\nworkspace %s\nindex %d\nhash %s\nat %s\n",
		checkpointVersion, c.Workspace, c.Index, hex.EncodeToString(c.Hash), checkpointTime(c.At))
}

// checkpointJSON is a signed checkpoint in JSON: the lines of its text, with the
// public key and the signature in base64 (RFC 4648 §4).
type checkpointJSON struct {
	Version   string `json:"version"`
	Workspace string `json:"workspace"`
	Index     int64  `json:"index"`
	Hash      string `json:"hash"`
	At        string `json:"at"`
	PublicKey string `json:"public_key"`
	Signature string `json:"signature"`
}

// MarshalJSON writes the form that ParseCheckpoint reads.
func (c SignedCheckpoint) MarshalJSON() ([]byte, error) {
	return json.Marshal(checkpointJSON{
		Version: checkpointVersion, Workspace: string(c.Workspace), Index: c.Index, Hash: hex.EncodeToString(c.Hash), At: checkpointTime(c.At),
		PublicKey: base64.StdEncoding.EncodeToString(c.PublicKey), Signature: base64.StdEncoding.EncodeToString(c.Signature),
	})
}

// ParseCheckpoint reads one checkpoint in JSON. It does not check the signature:
// Verify does. Its errors are fit for whoever gave the text.
func ParseCheckpoint(raw []byte) (SignedCheckpoint, error) {
	var out SignedCheckpoint
	if len(raw) > maxCheckpoint {
		return out, fmt.Errorf("it is longer than %d bytes", maxCheckpoint)
	}
	var in checkpointJSON
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return out, errors.New("it is not the JSON of a checkpoint")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return out, errors.New("something follows the checkpoint")
	}
	if in.Version != checkpointVersion {
		return out, fmt.Errorf("its version is not %s", checkpointVersion)
	}
	w, ok := id.Parse[id.KindWorkspace](in.Workspace)
	if !ok {
		return out, errors.New("its workspace is no workspace's id")
	}
	if in.Index < 1 {
		return out, errors.New("its index is below 1")
	}
	at, err := time.Parse(checkpointLayout, in.At)
	if err != nil || checkpointTime(at) != in.At {
		return out, errors.New("its time is not like 2026-12-04T14:00:00.000Z")
	}
	out.Checkpoint = Checkpoint{Workspace: w, Index: in.Index, At: at.UTC()}
	if out.Hash, err = hex.DecodeString(in.Hash); err != nil || len(out.Hash) != sha256.Size {
		return SignedCheckpoint{}, fmt.Errorf("its hash is not %d bytes in hexadecimal", sha256.Size)
	}
	if out.PublicKey, err = base64.StdEncoding.Strict().DecodeString(in.PublicKey); err != nil || len(out.PublicKey) != ed25519.PublicKeySize {
		return SignedCheckpoint{}, fmt.Errorf("its public key is not %d bytes in base64", ed25519.PublicKeySize)
	}
	if out.Signature, err = base64.StdEncoding.Strict().DecodeString(in.Signature); err != nil || len(out.Signature) != ed25519.SignatureSize {
		return SignedCheckpoint{}, fmt.Errorf("its signature is not %d bytes in base64", ed25519.SignatureSize)
	}
	return out, nil
}

// ParseCheckpoints reads checkpoints, one on each line or a single one over
// several lines. Empty lines do not count. An error names the line.
func ParseCheckpoints(raw []byte) ([]SignedCheckpoint, error) {
	if one, err := ParseCheckpoint(raw); err == nil {
		return []SignedCheckpoint{one}, nil
	}
	var out []SignedCheckpoint
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		c, err := ParseCheckpoint(line)
		if err != nil {
			return nil, errors.New("line " + strconv.Itoa(n) + ": " + err.Error())
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no checkpoint")
	}
	return out, nil
}

// SignCheckpoint returns the checkpoint of a chain's head, signed. Call it outside
// of transactions.
func SignCheckpoint(w id.Workspace, head Head, at time.Time, s Signer) SignedCheckpoint {
	c := Checkpoint{Workspace: w, Index: head.Index, Hash: head.Hash, At: at.UTC().Truncate(time.Millisecond)}
	return SignedCheckpoint{Checkpoint: c, PublicKey: s.PublicKey(), Signature: s.Sign(c.Text())}
}

// checkCheckpoint says what is wrong with a checkpoint by which the workspace's
// record is to be verified, nil if it counts.
func checkCheckpoint(w id.Workspace, s Signer, c SignedCheckpoint) *fault.Error {
	wrong := func(code, public, message string) *fault.Error {
		return fault.Invalid(code, public, fault.Field{Name: "checkpoint", Message: message})
	}
	switch {
	case c.Workspace != w:
		return wrong("checkpoint_of_another_workspace", "This checkpoint is of another workspace.", "is of another workspace")
	case len(c.PublicKey) != ed25519.PublicKeySize || !s.Knows(c.PublicKey):
		return wrong("checkpoint_not_ours", "This checkpoint was not signed by this server: it says nothing about this record.", "was not signed by this server")
	case !ed25519.Verify(c.PublicKey, c.Text(), c.Signature):
		return wrong("checkpoint_changed", "This checkpoint was changed after it was signed: it says nothing about this record.", "was changed after it was signed")
	}
	return nil
}

// Checkpoint returns how the workspace's record ends now, signed. It answers
// Conflict while nothing is sealed yet. The caller needs activities.read.
func (s *Record) Checkpoint(ctx context.Context, by auth.Caller) (SignedCheckpoint, error) {
	var head Head
	var at time.Time
	err := s.gate.Read(ctx, by, Attempt{Action: "activity.checkpoint", Need: auth.ActivitiesRead}, func(ctx context.Context, t RecordTx, _ auth.Standing, now time.Time) error {
		var err error
		head, err = t.ActivityHead(ctx, by.Workspace)
		if err == nil && head.Index == 0 {
			return fault.Conflict("nothing_sealed", "Nothing of the record is sealed yet. Try again in a few seconds.")
		}
		at = now
		return err
	})
	if err != nil {
		return SignedCheckpoint{}, err
	}
	return SignCheckpoint(by.Workspace, head, at, s.signer), nil
}
