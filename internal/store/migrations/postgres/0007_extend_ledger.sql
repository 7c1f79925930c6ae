-- +goose Up
ALTER TABLE apikey ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX apikey_creator ON apikey (workspace, created_by_id);

-- A request with an idempotency key, in the transaction of its act.
CREATE TABLE once (
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    digest     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body       TEXT COLLATE "C" NOT NULL,
    note       TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX once_expires ON once (expires_at);

CREATE INDEX activity_action ON activity (workspace, action, at, id);
CREATE INDEX activity_outcome ON activity (workspace, outcome, at, id) WHERE outcome <> 'success';
CREATE INDEX activity_rp ON activity (workspace, rp_id, at, id) WHERE rp_id <> '';

-- When a workspace's chain was last told to the outside, and how far it was.
CREATE TABLE activity_checkpoint (
    workspace TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES workspace (id),
    idx       BIGINT NOT NULL,
    at        BIGINT NOT NULL
);
