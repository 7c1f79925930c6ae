-- +goose Up
CREATE TABLE latch (
    name TEXT NOT NULL PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT;

CREATE TABLE workspace (
    id            TEXT NOT NULL PRIMARY KEY,
    name          TEXT NOT NULL,
    sealing_key   BLOB NOT NULL,
    cursor_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE directory_user (
    id               TEXT NOT NULL PRIMARY KEY,
    workspace        TEXT NOT NULL REFERENCES workspace (id),
    user_id          TEXT NOT NULL,
    user_id_fold     TEXT NOT NULL,
    email            TEXT NOT NULL,
    email_fold       TEXT NOT NULL,
    first_name       TEXT NOT NULL,
    last_name        TEXT NOT NULL,
    name_fold        TEXT NOT NULL,
    phone            TEXT NOT NULL,
    employee_id      TEXT NOT NULL,
    language         TEXT NOT NULL,
    timezone         TEXT NOT NULL,
    auditable        INTEGER NOT NULL CHECK (auditable IN (0, 1)),
    status           TEXT NOT NULL CHECK (status IN ('not_invited', 'pending', 'active')),
    revision         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    last_activity_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX directory_user_user_id ON directory_user (workspace, user_id_fold);
CREATE UNIQUE INDEX directory_user_email ON directory_user (workspace, email_fold);
CREATE INDEX directory_user_name ON directory_user (workspace, name_fold, id);
CREATE INDEX directory_user_created ON directory_user (workspace, created_at, id);
CREATE INDEX directory_user_activity ON directory_user (workspace, last_activity_at, id);
CREATE INDEX directory_user_status ON directory_user (workspace, status, name_fold, id);

CREATE TABLE directory_group (
    id          TEXT NOT NULL PRIMARY KEY,
    workspace   TEXT NOT NULL REFERENCES workspace (id),
    name        TEXT NOT NULL,
    name_fold   TEXT NOT NULL,
    description TEXT NOT NULL,
    builtin     INTEGER NOT NULL CHECK (builtin IN (0, 1)),
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX directory_group_name ON directory_group (workspace, name_fold);

CREATE TABLE directory_membership (
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    group_id   TEXT NOT NULL REFERENCES directory_group (id) DEFERRABLE INITIALLY DEFERRED,
    user_id    TEXT NOT NULL REFERENCES directory_user (id) DEFERRABLE INITIALLY DEFERRED,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workspace, group_id, user_id)
) STRICT;
CREATE INDEX directory_membership_user ON directory_membership (workspace, user_id);

CREATE TABLE term (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    kind      TEXT NOT NULL,
    term      TEXT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (workspace, kind, term, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX term_id ON term (workspace, kind, id);

CREATE TABLE tally (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    name      TEXT NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT;
