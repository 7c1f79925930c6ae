package link_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/door"
	"github.com/keyhold/keyhold/internal/door/link"
)

// BenchmarkReceive measures what a door that holds 10,000 grants needs on a real disk: for
// a command, up to its result, and for the removal of a grant, up to its confirmation.
func BenchmarkReceive(b *testing.B) {
	folder, err := link.OpenFolder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	lock, _ := id.FromBytes[id.KindLock](bytes.Repeat([]byte{5}, 16))
	c := link.Identity{Lock: lock, Key: key(1), Secret: secret.New(bytes.Repeat([]byte{7}, 32)), Epoch: 1}.Door()
	c.SigningKeys = append(c.SigningKeys, public(key(2)))
	c.Disk, c.Output, c.Clock, c.BatteryClock = folder, noBolt{}, link.NewClock(), true
	e, err := door.Open(c)
	if err != nil {
		b.Fatal(err)
	}
	receive := func(t grant.Type, body any) {
		frame, err := grant.Sign(t, string(lock), body, key(2))
		if err == nil {
			_, err = e.Receive(frame)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	snapshot := grant.Snapshot{Type: grant.TypeSnapshot, Lock: string(lock), Epoch: 1, Version: 1, LeaseUntil: now().Add(time.Hour).Unix(), OpenSeconds: 5}
	for n := range grant.MaxGrants {
		g := grant.Grant{NotBefore: 1, NotAfter: now().Add(time.Hour).Unix(), Kinds: grant.ByApp | grant.ByPIN, PIN: &grant.Tag{1}}
		binary.BigEndian.PutUint64(g.ID[:], uint64(n))
		snapshot.Grants = append(snapshot.Grants, g)
	}
	receive(grant.TypeSnapshot, snapshot)
	b.Run("open", func(b *testing.B) {
		var n uint64
		for b.Loop() {
			n++
			command := grant.Command{Type: grant.TypeCommand, Lock: string(lock), Op: grant.OpOpen, Grant: &grant.ID{}, NotAfter: now().Add(10 * time.Second).UnixMilli()}
			binary.BigEndian.PutUint64(command.ID[:], uint64(now().UnixNano())+n)
			receive(grant.TypeCommand, command)
		}
	})
	b.Run("remove", func(b *testing.B) {
		for b.Loop() {
			v := e.Status().Version
			receive(grant.TypeDelta, grant.Delta{Type: grant.TypeDelta, Lock: string(lock), Epoch: 1, From: v, To: v + 1, LeaseUntil: now().Add(time.Hour).Unix(), OpenSeconds: 5, Ops: []grant.Op{{Remove: &grant.ID{15: 1}}}})
		}
	})
}

type noBolt struct{}

func (noBolt) Open(time.Duration) error { return nil }
