package store

import (
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/flow/unlock"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/out/checkpoint"
	"github.com/keyhold/keyhold/internal/out/sequencer"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// One struct is the storage of every room.
var (
	_ directory.Tx      = (*Tx)(nil)
	_ signin.Tx         = (*Tx)(nil)
	_ securitykey.Tx    = (*Tx)(nil)
	_ digitalkey.Tx     = (*Tx)(nil)
	_ apikey.Tx         = (*Tx)(nil)
	_ smartlock.Tx      = (*Tx)(nil)
	_ join.Tx           = (*Tx)(nil)
	_ leave.Tx          = (*Tx)(nil)
	_ unlock.Tx         = (*Tx)(nil)
	_ client.Tx         = (*Tx)(nil)
	_ vault.Tx          = (*Tx)(nil)
	_ authenticate.Tx   = (*Tx)(nil)
	_ overview.Tx       = (*Tx)(nil)
	_ activity.RecordTx = (*Tx)(nil)
	_ outbox.WorkTx     = (*Tx)(nil)
	_ sequencer.Tx      = (*Tx)(nil)
	_ checkpoint.Tx     = (*Tx)(nil)
)
