#!/usr/bin/env bash
# Begins a migration in both engines: tools/new-migration.sh create_policy
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-}
if ! [[ $name =~ ^[a-z]+(_[a-z0-9]+)+$ ]]; then
	echo "Name the migration verb_noun: make migration NAME=create_policy" >&2
	exit 2
fi
last=$(ls internal/store/migrations/sqlite | sed -E 's/^0*([0-9]+)_.*/\1/' | sort -n | tail -n 1)
number=$(printf '%04d' $((last + 1)))
for engine in sqlite postgres; do
	file=internal/store/migrations/$engine/${number}_$name.sql
	printf -- '-- +goose Up\n' >"$file"
	echo "$file"
done
echo "Forward only, safe with the previous binary running. SQLite: STRICT tables, booleans INTEGER CHECK (x IN (0, 1)). PostgreSQL: TEXT COLLATE \"C\", BIGINT, BYTEA, BOOLEAN."
