-- +goose Up
CREATE TABLE latch (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    n    BIGINT NOT NULL
);

CREATE TABLE workspace (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL,
    sealing_key   BYTEA NOT NULL,
    cursor_secret BYTEA NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE directory_user (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace        TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id          TEXT COLLATE "C" NOT NULL,
    user_id_fold     TEXT COLLATE "C" NOT NULL,
    email            TEXT COLLATE "C" NOT NULL,
    email_fold       TEXT COLLATE "C" NOT NULL,
    first_name       TEXT COLLATE "C" NOT NULL,
    last_name        TEXT COLLATE "C" NOT NULL,
    name_fold        TEXT COLLATE "C" NOT NULL,
    phone            TEXT COLLATE "C" NOT NULL,
    employee_id      TEXT COLLATE "C" NOT NULL,
    language         TEXT COLLATE "C" NOT NULL,
    timezone         TEXT COLLATE "C" NOT NULL,
    auditable        BOOLEAN NOT NULL,
    status           TEXT COLLATE "C" NOT NULL CHECK (status IN ('not_invited', 'pending', 'active')),
    revision         BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    last_activity_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX directory_user_user_id ON directory_user (workspace, user_id_fold);
CREATE UNIQUE INDEX directory_user_email ON directory_user (workspace, email_fold);
CREATE INDEX directory_user_name ON directory_user (workspace, name_fold, id);
CREATE INDEX directory_user_created ON directory_user (workspace, created_at, id);
CREATE INDEX directory_user_activity ON directory_user (workspace, last_activity_at, id);
CREATE INDEX directory_user_status ON directory_user (workspace, status, name_fold, id);

CREATE TABLE directory_group (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace   TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    name        TEXT COLLATE "C" NOT NULL,
    name_fold   TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    builtin     BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX directory_group_name ON directory_group (workspace, name_fold);

CREATE TABLE directory_membership (
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    group_id   TEXT COLLATE "C" NOT NULL REFERENCES directory_group (id) DEFERRABLE INITIALLY DEFERRED,
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id) DEFERRABLE INITIALLY DEFERRED,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, group_id, user_id)
);
CREATE INDEX directory_membership_user ON directory_membership (workspace, user_id);

CREATE TABLE term (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    kind      TEXT COLLATE "C" NOT NULL,
    term      TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, kind, term, id)
);
CREATE INDEX term_id ON term (workspace, kind, id);

CREATE TABLE tally (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    name      TEXT COLLATE "C" NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);
