-- +goose Up
CREATE TABLE signin_administrator (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace   TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id     TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    owner       BOOLEAN NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX signin_administrator_user ON signin_administrator (workspace, user_id);

CREATE TABLE signin_passkey (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace     TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id       TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    credential_id BYTEA NOT NULL,
    record        BYTEA NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX signin_passkey_credential ON signin_passkey (credential_id);
CREATE INDEX signin_passkey_user ON signin_passkey (workspace, user_id);

CREATE TABLE signin_session (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace    TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id      TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    digest       BYTEA NOT NULL,
    opened_by    TEXT COLLATE "C" NOT NULL CHECK (opened_by IN ('passkey', 'link')),
    ip           TEXT COLLATE "C" NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    step_up_at   BIGINT NOT NULL,
    ended_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX signin_session_digest ON signin_session (digest);
CREATE INDEX signin_session_user ON signin_session (workspace, user_id);

CREATE TABLE signin_setup_link (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id    TEXT COLLATE "C" NOT NULL,
    digest     BYTEA NOT NULL,
    signs_in   BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX signin_setup_link_digest ON signin_setup_link (digest);
CREATE INDEX signin_setup_link_user ON signin_setup_link (workspace, user_id);

CREATE TABLE signin_ceremony (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace  TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    purpose    TEXT COLLATE "C" NOT NULL CHECK (purpose IN ('register', 'sign_in', 'step_up')),
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX signin_ceremony_expires ON signin_ceremony (expires_at);
