// Package migrations holds the schema's steps, one folder per engine, forward
// only. A step that is on main is never edited.
package migrations

import "embed"

// SQLite holds the steps for SQLite.
//
//go:embed sqlite/*.sql
var SQLite embed.FS

// Postgres holds the steps for PostgreSQL.
//
//go:embed postgres/*.sql
var Postgres embed.FS
