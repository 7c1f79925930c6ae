-- +goose Up
-- Secrets of a workspace that rooms use, each sealed under the workspace's sealing key.
CREATE TABLE workspace_secret (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    kind      TEXT COLLATE "C" NOT NULL,
    sealed    BYTEA NOT NULL,
    PRIMARY KEY (workspace, kind)
);

-- What a workspace decided about security keys; without a row it is the defaults.
CREATE TABLE securitykey_setting (
    workspace      TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES workspace (id),
    pin_min        BIGINT NOT NULL,
    pin_max        BIGINT NOT NULL,
    pin_digit      BOOLEAN NOT NULL,
    pin_lower      BOOLEAN NOT NULL,
    pin_upper      BOOLEAN NOT NULL,
    pin_special    BOOLEAN NOT NULL,
    pinless        BOOLEAN NOT NULL,
    models_allowed TEXT COLLATE "C" NOT NULL,
    models_blocked TEXT COLLATE "C" NOT NULL,
    unused_days    BIGINT NOT NULL,
    grace_days     BIGINT NOT NULL,
    revision       BIGINT NOT NULL
);

-- shown is the status that people see: suspended, or else the life's. card_digest is
-- the keyed hash of the card's number in hex, empty for none; link_id names the e-mail link
-- that activates the key, empty for none. used_at is when the key was last used, or
-- else activated, or else made. A pin_wrong of 8 is a locked PIN.
CREATE TABLE securitykey (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace        TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id          TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    kind             TEXT COLLATE "C" NOT NULL CHECK (kind IN ('contactless_card', 'smartphone', 'fido2')),
    name             TEXT COLLATE "C" NOT NULL,
    name_fold        TEXT COLLATE "C" NOT NULL,
    model            TEXT COLLATE "C" NOT NULL,
    aaguid           TEXT COLLATE "C" NOT NULL,
    life             TEXT COLLATE "C" NOT NULL CHECK (life IN ('new', 'pending', 'active')),
    shown            TEXT COLLATE "C" NOT NULL CHECK (shown IN ('new', 'pending', 'active', 'suspended')),
    suspended_at     BIGINT NOT NULL,
    verification     TEXT COLLATE "C" NOT NULL CHECK (verification IN ('pin', 'pinless', 'phone')),
    proximity        BOOLEAN NOT NULL,
    card_type        TEXT COLLATE "C" NOT NULL,
    card_digest      TEXT COLLATE "C" NOT NULL,
    card_sealed      BYTEA NOT NULL,
    card_named       BOOLEAN NOT NULL,
    to_confirm       BOOLEAN NOT NULL,
    link_id          TEXT COLLATE "C" NOT NULL,
    link_expires_at  BIGINT NOT NULL,
    pin_verifier     BYTEA NOT NULL,
    pin_wrong        BIGINT NOT NULL,
    pin_paused_until BIGINT NOT NULL,
    pin_must_change  BOOLEAN NOT NULL,
    pin_set_at       BIGINT NOT NULL,
    total            BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    activated_at     BIGINT NOT NULL,
    last_activity_at BIGINT NOT NULL,
    used_at          BIGINT NOT NULL,
    noticed_at       BIGINT NOT NULL,
    revision         BIGINT NOT NULL
);
CREATE INDEX securitykey_user ON securitykey (workspace, user_id, created_at, id);
CREATE INDEX securitykey_name ON securitykey (workspace, name_fold, id);
CREATE INDEX securitykey_shown ON securitykey (workspace, shown, name_fold, id);
CREATE INDEX securitykey_created ON securitykey (workspace, created_at, id);
CREATE INDEX securitykey_activity ON securitykey (workspace, last_activity_at, id);
CREATE INDEX securitykey_used ON securitykey (workspace, used_at, id);
CREATE UNIQUE INDEX securitykey_card ON securitykey (workspace, card_digest) WHERE card_digest <> '';
CREATE UNIQUE INDEX securitykey_link ON securitykey (link_id) WHERE link_id <> '';
CREATE INDEX securitykey_confirm ON securitykey (workspace, id) WHERE to_confirm = TRUE;
CREATE INDEX securitykey_locked ON securitykey (workspace, id) WHERE pin_wrong >= 8;

-- All keys that were ever bound to a user (NIST SP 800-63B-4 section 4.1): stays when
-- the key goes. ended_as is empty while the key is there.
CREATE TABLE securitykey_binding (
    key_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace    TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id      TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    model        TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT NOT NULL,
    ended_at     BIGINT NOT NULL,
    ended_as     TEXT COLLATE "C" NOT NULL CHECK (ended_as IN ('', 'deleted', 'user_deleted'))
);
CREATE INDEX securitykey_binding_user ON securitykey_binding (workspace, user_id, created_at, key_id);

-- The passkey that a phone or a hardware key holds belongs to its security key.
ALTER TABLE signin_passkey ADD COLUMN security_key TEXT COLLATE "C" NOT NULL DEFAULT '';
-- by_mailbox: registered with nothing but an e-mail code by somebody who had a passkey
-- or a key before, and not confirmed since.
ALTER TABLE signin_passkey ADD COLUMN by_mailbox BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX signin_passkey_security_key ON signin_passkey (workspace, security_key) WHERE security_key <> '';

-- Temporary access passes. digest is the keyed hash of the code.
CREATE TABLE signin_access_pass (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    digest     BYTEA NOT NULL,
    starts_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    one_time   BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    used_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    ended_as   TEXT COLLATE "C" NOT NULL CHECK (ended_as IN ('', 'replaced', 'withdrawn'))
);
CREATE INDEX signin_access_pass_user ON signin_access_pass (workspace, user_id, id);

ALTER TABLE signin_session DROP CONSTRAINT signin_session_opened_by_check;
ALTER TABLE signin_session ADD CONSTRAINT signin_session_opened_by_check CHECK (opened_by IN ('passkey', 'link', 'email_code', 'access_pass'));
ALTER TABLE signin_session DROP CONSTRAINT signin_session_scope_check;
ALTER TABLE signin_session ADD CONSTRAINT signin_session_scope_check CHECK (scope IN ('panel', 'app', 'keys'));
ALTER TABLE signin_session ADD COLUMN pass_id TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX signin_session_pass ON signin_session (workspace, pass_id) WHERE pass_id <> '';

-- How many security keys a user has.
ALTER TABLE directory_user ADD COLUMN security_keys BIGINT NOT NULL DEFAULT 0;
CREATE INDEX directory_user_keyless ON directory_user (workspace, name_fold, id) WHERE security_keys = 0;
INSERT INTO tally (workspace, name, n) SELECT workspace, 'users/without_key', COUNT(*) FROM directory_user GROUP BY workspace;

ALTER TABLE activity ADD COLUMN security_key TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX activity_security_key ON activity (workspace, security_key, at, id) WHERE security_key <> '';

-- Who had all permissions keeps all.
UPDATE signin_administrator SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write users.read users.write workspace.read workspace.write';
UPDATE apikey SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write users.read users.write workspace.read workspace.write';
