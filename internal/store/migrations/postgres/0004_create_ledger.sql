-- +goose Up
CREATE TABLE activity (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace     TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    idx           BIGINT,
    at            BIGINT NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),
    reason        TEXT COLLATE "C" NOT NULL,
    detail        TEXT COLLATE "C" NOT NULL,
    count         BIGINT NOT NULL,
    actor_type    TEXT COLLATE "C" NOT NULL,
    actor_id      TEXT COLLATE "C" NOT NULL,
    actor_name    TEXT COLLATE "C" NOT NULL,
    ip            TEXT COLLATE "C" NOT NULL,
    agent         TEXT COLLATE "C" NOT NULL,
    actor_salt    BYTEA,
    actor_digest  BYTEA NOT NULL,
    target_type   TEXT COLLATE "C" NOT NULL,
    target_id     TEXT COLLATE "C" NOT NULL,
    target_name   TEXT COLLATE "C" NOT NULL,
    target_salt   BYTEA,
    target_digest BYTEA NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL,
    rp_id         TEXT COLLATE "C" NOT NULL,
    request_id    TEXT COLLATE "C" NOT NULL,
    hash          BYTEA
);
CREATE UNIQUE INDEX activity_chain ON activity (workspace, idx) WHERE idx IS NOT NULL;
CREATE INDEX activity_unsealed ON activity (workspace, at, id) WHERE idx IS NULL;
CREATE INDEX activity_at ON activity (workspace, at, id);
CREATE INDEX activity_user ON activity (workspace, user_id, at, id);

CREATE TABLE activity_head (
    workspace TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES workspace (id),
    idx       BIGINT NOT NULL,
    hash      BYTEA NOT NULL
);

CREATE TABLE refusal (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    caller    TEXT COLLATE "C" NOT NULL,
    action    TEXT COLLATE "C" NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL,
    since     BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (workspace, caller, action, reason)
);

CREATE TABLE outbox (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace   TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    kind        TEXT COLLATE "C" NOT NULL,
    payload     BYTEA NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'done', 'dead')),
    attempts    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    holder      TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    last_error  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE state = 'waiting';

CREATE TABLE lease (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL
);
