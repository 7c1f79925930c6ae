-- +goose Up
ALTER TABLE signin_administrator ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- A passkey opens the panel once confirmed_at is set.
ALTER TABLE signin_passkey ADD COLUMN confirmed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signin_passkey ADD COLUMN confirmed_by TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE signin_passkey SET confirmed_at = created_at;
CREATE INDEX signin_passkey_unconfirmed ON signin_passkey (workspace, user_id) WHERE confirmed_at = 0;

ALTER TABLE signin_session DROP CONSTRAINT signin_session_opened_by_check;
ALTER TABLE signin_session ADD CONSTRAINT signin_session_opened_by_check CHECK (opened_by IN ('passkey', 'link', 'email_code'));
ALTER TABLE signin_session ADD COLUMN scope TEXT COLLATE "C" NOT NULL DEFAULT 'panel' CHECK (scope IN ('panel', 'app'));
ALTER TABLE signin_session ADD COLUMN passkey_id TEXT COLLATE "C" NOT NULL DEFAULT '';

-- A code that was sent to an address, for the one browser that asked. It has no
-- workspace: the address is proved first. The code itself is not in the row.
CREATE TABLE signin_code (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    browser    BYTEA NOT NULL,
    email_fold TEXT COLLATE "C" NOT NULL,
    tries_left BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    proved_at  BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX signin_code_browser ON signin_code (browser);
CREATE INDEX signin_code_expires ON signin_code (expires_at);
CREATE INDEX directory_user_address ON directory_user (email_fold, workspace);

-- How often something was asked for since the window began.
CREATE TABLE signin_rate (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL,
    n     BIGINT NOT NULL
);
CREATE INDEX signin_rate_since ON signin_rate (since);
