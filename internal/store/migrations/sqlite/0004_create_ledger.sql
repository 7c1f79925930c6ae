-- +goose Up
CREATE TABLE activity (
    id            TEXT NOT NULL PRIMARY KEY,
    workspace     TEXT NOT NULL REFERENCES workspace (id),
    idx           INTEGER,
    at            INTEGER NOT NULL,
    action        TEXT NOT NULL,
    outcome       TEXT NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),
    reason        TEXT NOT NULL,
    detail        TEXT NOT NULL,
    count         INTEGER NOT NULL,
    actor_type    TEXT NOT NULL,
    actor_id      TEXT NOT NULL,
    actor_name    TEXT NOT NULL,
    ip            TEXT NOT NULL,
    agent         TEXT NOT NULL,
    actor_salt    BLOB,
    actor_digest  BLOB NOT NULL,
    target_type   TEXT NOT NULL,
    target_id     TEXT NOT NULL,
    target_name   TEXT NOT NULL,
    target_salt   BLOB,
    target_digest BLOB NOT NULL,
    user_id       TEXT NOT NULL,
    rp_id         TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    hash          BLOB
) STRICT;
CREATE UNIQUE INDEX activity_chain ON activity (workspace, idx) WHERE idx IS NOT NULL;
CREATE INDEX activity_unsealed ON activity (workspace, at, id) WHERE idx IS NULL;
CREATE INDEX activity_at ON activity (workspace, at, id);
CREATE INDEX activity_user ON activity (workspace, user_id, at, id);

CREATE TABLE activity_head (
    workspace TEXT NOT NULL PRIMARY KEY REFERENCES workspace (id),
    idx       INTEGER NOT NULL,
    hash      BLOB NOT NULL
) STRICT;

CREATE TABLE refusal (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    caller    TEXT NOT NULL,
    action    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    since     INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (workspace, caller, action, reason)
) STRICT;

CREATE TABLE outbox (
    id          TEXT NOT NULL PRIMARY KEY,
    workspace   TEXT NOT NULL REFERENCES workspace (id),
    kind        TEXT NOT NULL,
    payload     BLOB NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'dead')),
    attempts    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    holder      TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    last_error  TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE state = 'waiting';

CREATE TABLE lease (
    name   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
) STRICT;
