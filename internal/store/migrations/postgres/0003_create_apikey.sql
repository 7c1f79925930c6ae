-- +goose Up
CREATE TABLE apikey (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace       TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    token_id        TEXT COLLATE "C" NOT NULL,
    token_hash      BYTEA NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    name_fold       TEXT COLLATE "C" NOT NULL,
    type            TEXT COLLATE "C" NOT NULL CHECK (type IN ('admin', 'shared_mobile', 'clients')),
    permissions     TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    created_by_type TEXT COLLATE "C" NOT NULL,
    created_by_id   TEXT COLLATE "C" NOT NULL,
    created_by_name TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX apikey_token ON apikey (token_id);
CREATE INDEX apikey_name ON apikey (workspace, name_fold, id);
CREATE INDEX apikey_created ON apikey (workspace, created_at, id);
