-- +goose Up
ALTER TABLE apikey ADD COLUMN disabled_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX apikey_creator ON apikey (workspace, created_by_id);

-- A request with an idempotency key, in the transaction of its act.
CREATE TABLE once (
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    digest     TEXT NOT NULL PRIMARY KEY,
    body       TEXT NOT NULL,
    note       TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX once_expires ON once (expires_at);

CREATE INDEX activity_action ON activity (workspace, action, at, id);
CREATE INDEX activity_outcome ON activity (workspace, outcome, at, id) WHERE outcome <> 'success';
CREATE INDEX activity_rp ON activity (workspace, rp_id, at, id) WHERE rp_id <> '';

-- When a workspace's chain was last told to the outside, and how far it was.
CREATE TABLE activity_checkpoint (
    workspace TEXT NOT NULL PRIMARY KEY REFERENCES workspace (id),
    idx       INTEGER NOT NULL,
    at        INTEGER NOT NULL
) STRICT;
