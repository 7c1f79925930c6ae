-- +goose Up
CREATE TABLE signin_administrator (
    id          TEXT NOT NULL PRIMARY KEY,
    workspace   TEXT NOT NULL REFERENCES workspace (id),
    user_id     TEXT NOT NULL REFERENCES directory_user (id),
    owner       INTEGER NOT NULL CHECK (owner IN (0, 1)),
    permissions TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signin_administrator_user ON signin_administrator (workspace, user_id);

CREATE TABLE signin_passkey (
    id            TEXT NOT NULL PRIMARY KEY,
    workspace     TEXT NOT NULL REFERENCES workspace (id),
    user_id       TEXT NOT NULL REFERENCES directory_user (id),
    credential_id BLOB NOT NULL,
    record        BLOB NOT NULL,
    name          TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signin_passkey_credential ON signin_passkey (credential_id);
CREATE INDEX signin_passkey_user ON signin_passkey (workspace, user_id);

CREATE TABLE signin_session (
    id           TEXT NOT NULL PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    user_id      TEXT NOT NULL REFERENCES directory_user (id),
    digest       BLOB NOT NULL,
    opened_by    TEXT NOT NULL CHECK (opened_by IN ('passkey', 'link')),
    ip           TEXT NOT NULL,
    agent        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    step_up_at   INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signin_session_digest ON signin_session (digest);
CREATE INDEX signin_session_user ON signin_session (workspace, user_id);

CREATE TABLE signin_setup_link (
    id         TEXT NOT NULL PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    user_id    TEXT NOT NULL,
    digest     BLOB NOT NULL,
    signs_in   INTEGER NOT NULL CHECK (signs_in IN (0, 1)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signin_setup_link_digest ON signin_setup_link (digest);
CREATE INDEX signin_setup_link_user ON signin_setup_link (workspace, user_id);

CREATE TABLE signin_ceremony (
    id         TEXT NOT NULL PRIMARY KEY,
    workspace  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    purpose    TEXT NOT NULL CHECK (purpose IN ('register', 'sign_in', 'step_up')),
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX signin_ceremony_expires ON signin_ceremony (expires_at);
