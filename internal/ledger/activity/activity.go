// Package activity is the record of what happened and of what was refused. It
// decides what a line holds, how lines are chained, and that no room acts for a
// caller who is not allowed to (Gate). It refuses to know what the acts mean.
package activity

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
)

// Outcome says how an act ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success" // it was done
	Refused Outcome = "refused" // a rule or a missing right said no
	Failed  Outcome = "failed"  // it was tried and could not be done
)

// Party is who acted or what was acted on. Name is as it was at that moment.
type Party struct {
	Type string
	ID   string
	Name string
}

// Event is one line of the record.
type Event struct {
	ID        id.Activity
	Workspace id.Workspace
	Index     int64 // place in the chain, from 1; 0 until it is sealed
	At        time.Time
	Action    string // noun.verb: "user.create"
	Outcome   Outcome
	Reason    string // stable code; empty for success
	Detail    string // what changed, in names of fields; never values
	Count     int    // how many like events the line stands for; 1 but for repeated refusals
	Actor     Party
	Target    Party
	User      id.User // the user whom it concerns, if it concerns one
	// SecurityKey is the key with which it was done, or that it was done to.
	SecurityKey id.SecurityKey
	Client      id.Client // the workstation's program through which it was done
	RPID        string
	IP          string
	Agent       string
	RequestID   string

	// ActorErased and TargetErased say that the personal fields of that side were
	// erased; their digests still hold the chain together.
	ActorErased  bool
	TargetErased bool
}

// Row is an event as it is stored. The personal fields of each side (actor: name,
// IP, agent; target: name) enter the chain as a digest with a salt, so that value
// and salt can be erased without breaking the chain.
type Row struct {
	Event
	ActorSalt    []byte
	ActorDigest  []byte
	TargetSalt   []byte
	TargetDigest []byte
	Hash         []byte // nil until it is sealed
}

// Tx is what the record needs of a transaction to append to it.
type Tx interface {
	InsertActivity(ctx context.Context, row Row) error
}

// Append writes one line in the caller's name. It fills ID, Workspace, At, Actor,
// IP, Agent, RequestID and, for a client, Client from by and now; a Workspace or Actor already set in e
// stands (an act before anybody is signed in names its person itself).
func Append(ctx context.Context, t Tx, by auth.Caller, e Event, now time.Time) error {
	e.ID = id.New[id.KindActivity](now)
	e.At = now
	if e.Workspace == "" {
		e.Workspace = by.Workspace
	}
	if e.Actor == (Party{}) {
		e.Actor = Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}
	}
	if e.Client == "" {
		e.Client = by.Client
	}
	if e.Outcome == "" {
		e.Outcome = Success
	}
	if e.Count == 0 {
		e.Count = 1
	}
	e.IP, e.Agent, e.RequestID = by.IP, clip(by.Agent, 400), by.RequestID
	row := Row{Event: e, ActorSalt: newSalt(), TargetSalt: newSalt()}
	row.ActorDigest = actorDigest(row.ActorSalt, e)
	row.TargetDigest = targetDigest(row.TargetSalt, e)
	return t.InsertActivity(ctx, row)
}

func newSalt() []byte {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // crypto/rand.Read never returns an error
	return salt
}

// clip cuts foreign text to n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
