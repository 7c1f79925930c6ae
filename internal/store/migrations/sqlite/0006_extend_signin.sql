-- +goose Up
ALTER TABLE signin_administrator ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

-- A passkey opens the panel once confirmed_at is set.
ALTER TABLE signin_passkey ADD COLUMN confirmed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signin_passkey ADD COLUMN confirmed_by TEXT NOT NULL DEFAULT '';
UPDATE signin_passkey SET confirmed_at = created_at;
CREATE INDEX signin_passkey_unconfirmed ON signin_passkey (workspace, user_id) WHERE confirmed_at = 0;

CREATE TABLE signin_session_next (
    id           TEXT NOT NULL PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    user_id      TEXT NOT NULL REFERENCES directory_user (id),
    digest       BLOB NOT NULL,
    opened_by    TEXT NOT NULL CHECK (opened_by IN ('passkey', 'link', 'email_code')),
    scope        TEXT NOT NULL DEFAULT 'panel' CHECK (scope IN ('panel', 'app')),
    passkey_id   TEXT NOT NULL DEFAULT '',
    ip           TEXT NOT NULL,
    agent        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    step_up_at   INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL
) STRICT;
INSERT INTO signin_session_next (id, workspace, user_id, digest, opened_by, ip, agent, created_at, expires_at, last_seen_at, step_up_at, ended_at)
    SELECT id, workspace, user_id, digest, opened_by, ip, agent, created_at, expires_at, last_seen_at, step_up_at, ended_at FROM signin_session;
DROP TABLE signin_session;
ALTER TABLE signin_session_next RENAME TO signin_session;
CREATE UNIQUE INDEX signin_session_digest ON signin_session (digest);
CREATE INDEX signin_session_user ON signin_session (workspace, user_id);

-- A code that was sent to an address, for the one browser that asked. It has no
-- workspace: the address is proved first. The code itself is not in the row.
CREATE TABLE signin_code (
    id         TEXT NOT NULL PRIMARY KEY,
    browser    BLOB NOT NULL,
    email_fold TEXT NOT NULL,
    tries_left INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    proved_at  INTEGER NOT NULL,
    used_at    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signin_code_browser ON signin_code (browser);
CREATE INDEX signin_code_expires ON signin_code (expires_at);
CREATE INDEX directory_user_address ON directory_user (email_fold, workspace);

-- How often something was asked for since the window began.
CREATE TABLE signin_rate (
    name  TEXT NOT NULL PRIMARY KEY,
    since INTEGER NOT NULL,
    n     INTEGER NOT NULL
) STRICT;
CREATE INDEX signin_rate_since ON signin_rate (since);
