#!/usr/bin/env bash
# Begins a room: the folder with its door, and the list of what else to do.
#   tools/new-room.sh policy
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-}
if ! [[ $name =~ ^[a-z]+$ ]]; then
	echo "Name the room in one singular word: make room NAME=policy" >&2
	exit 2
fi
dir=internal/room/$name
if [ -e "$dir" ]; then
	echo "$dir is there already" >&2
	exit 1
fi
mkdir -p "$dir"
cat >"$dir/$name.go" <<GO
// Package $name decides … It refuses to know …
package $name

import (
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
}

// Service is the room's door. Use New.
type Service struct{ gate activity.Gate[Tx] }

// New returns the room over its storage.
func New(store tx.Runner[Tx], c clock.Clock) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: store, Clock: c}}
}
GO
gofmt -l "$dir"
cat <<TXT
Made $dir/$name.go. Next:
  internal/arch/rules.go              list the package
  make migration NAME=create_$name     its tables
  internal/store/$name.go             its SQL; add ${name}.Tx to internal/store/store_test.go
  internal/edge/api/$name.go          its REST; internal/edge/panel/$name.go + .templ its pages
  internal/app/app.go                 make it
  docs/GLOSSARY.md                    its words
TXT
