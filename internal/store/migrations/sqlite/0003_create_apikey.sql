-- +goose Up
CREATE TABLE apikey (
    id              TEXT NOT NULL PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    token_id        TEXT NOT NULL,
    token_hash      BLOB NOT NULL,
    name            TEXT NOT NULL,
    name_fold       TEXT NOT NULL,
    type            TEXT NOT NULL CHECK (type IN ('admin', 'shared_mobile', 'clients')),
    permissions     TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    created_by_type TEXT NOT NULL,
    created_by_id   TEXT NOT NULL,
    created_by_name TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX apikey_token ON apikey (token_id);
CREATE INDEX apikey_name ON apikey (workspace, name_fold, id);
CREATE INDEX apikey_created ON apikey (workspace, created_at, id);
