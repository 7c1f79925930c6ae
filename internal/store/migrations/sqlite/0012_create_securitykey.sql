-- +goose Up
-- Secrets of a workspace that rooms use, each sealed under the workspace's sealing key.
CREATE TABLE workspace_secret (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    kind      TEXT NOT NULL,
    sealed    BLOB NOT NULL,
    PRIMARY KEY (workspace, kind)
) STRICT;

-- What a workspace decided about security keys; without a row it is the defaults.
CREATE TABLE securitykey_setting (
    workspace      TEXT NOT NULL PRIMARY KEY REFERENCES workspace (id),
    pin_min        INTEGER NOT NULL,
    pin_max        INTEGER NOT NULL,
    pin_digit      INTEGER NOT NULL CHECK (pin_digit IN (0, 1)),
    pin_lower      INTEGER NOT NULL CHECK (pin_lower IN (0, 1)),
    pin_upper      INTEGER NOT NULL CHECK (pin_upper IN (0, 1)),
    pin_special    INTEGER NOT NULL CHECK (pin_special IN (0, 1)),
    pinless        INTEGER NOT NULL CHECK (pinless IN (0, 1)),
    models_allowed TEXT NOT NULL,
    models_blocked TEXT NOT NULL,
    unused_days    INTEGER NOT NULL,
    grace_days     INTEGER NOT NULL,
    revision       INTEGER NOT NULL
) STRICT;

-- shown is the status that people see: suspended, or else the life's. card_digest is
-- the keyed hash of the card's number in hex, empty for none; link_id names the e-mail link
-- that activates the key, empty for none. used_at is when the key was last used, or
-- else activated, or else made. A pin_wrong of 8 is a locked PIN.
CREATE TABLE securitykey (
    id               TEXT NOT NULL PRIMARY KEY,
    workspace        TEXT NOT NULL REFERENCES workspace (id),
    user_id          TEXT NOT NULL REFERENCES directory_user (id),
    kind             TEXT NOT NULL CHECK (kind IN ('contactless_card', 'smartphone', 'fido2')),
    name             TEXT NOT NULL,
    name_fold        TEXT NOT NULL,
    model            TEXT NOT NULL,
    aaguid           TEXT NOT NULL,
    life             TEXT NOT NULL CHECK (life IN ('new', 'pending', 'active')),
    shown            TEXT NOT NULL CHECK (shown IN ('new', 'pending', 'active', 'suspended')),
    suspended_at     INTEGER NOT NULL,
    verification     TEXT NOT NULL CHECK (verification IN ('pin', 'pinless', 'phone')),
    proximity        INTEGER NOT NULL CHECK (proximity IN (0, 1)),
    card_type        TEXT NOT NULL,
    card_digest      TEXT NOT NULL,
    card_sealed      BLOB NOT NULL,
    card_named       INTEGER NOT NULL CHECK (card_named IN (0, 1)),
    to_confirm       INTEGER NOT NULL CHECK (to_confirm IN (0, 1)),
    link_id          TEXT NOT NULL,
    link_expires_at  INTEGER NOT NULL,
    pin_verifier     BLOB NOT NULL,
    pin_wrong        INTEGER NOT NULL,
    pin_paused_until INTEGER NOT NULL,
    pin_must_change  INTEGER NOT NULL CHECK (pin_must_change IN (0, 1)),
    pin_set_at       INTEGER NOT NULL,
    total            INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    activated_at     INTEGER NOT NULL,
    last_activity_at INTEGER NOT NULL,
    used_at          INTEGER NOT NULL,
    noticed_at       INTEGER NOT NULL,
    revision         INTEGER NOT NULL
) STRICT;
CREATE INDEX securitykey_user ON securitykey (workspace, user_id, created_at, id);
CREATE INDEX securitykey_name ON securitykey (workspace, name_fold, id);
CREATE INDEX securitykey_shown ON securitykey (workspace, shown, name_fold, id);
CREATE INDEX securitykey_created ON securitykey (workspace, created_at, id);
CREATE INDEX securitykey_activity ON securitykey (workspace, last_activity_at, id);
CREATE INDEX securitykey_used ON securitykey (workspace, used_at, id);
CREATE UNIQUE INDEX securitykey_card ON securitykey (workspace, card_digest) WHERE card_digest <> '';
CREATE UNIQUE INDEX securitykey_link ON securitykey (link_id) WHERE link_id <> '';
CREATE INDEX securitykey_confirm ON securitykey (workspace, id) WHERE to_confirm = 1;
CREATE INDEX securitykey_locked ON securitykey (workspace, id) WHERE pin_wrong >= 8;

-- All keys that were ever bound to a user (NIST SP 800-63B-4 section 4.1): stays when
-- the key goes. ended_as is empty while the key is there.
CREATE TABLE securitykey_binding (
    key_id       TEXT NOT NULL PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    user_id      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    model        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    activated_at INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL,
    ended_as     TEXT NOT NULL CHECK (ended_as IN ('', 'deleted', 'user_deleted'))
) STRICT;
CREATE INDEX securitykey_binding_user ON securitykey_binding (workspace, user_id, created_at, key_id);

-- The passkey that a phone or a hardware key holds belongs to its security key.
ALTER TABLE signin_passkey ADD COLUMN security_key TEXT NOT NULL DEFAULT '';
-- by_mailbox: registered with nothing but an e-mail code by somebody who had a passkey
-- or a key before, and not confirmed since.
ALTER TABLE signin_passkey ADD COLUMN by_mailbox INTEGER NOT NULL DEFAULT 0 CHECK (by_mailbox IN (0, 1));
CREATE INDEX signin_passkey_security_key ON signin_passkey (workspace, security_key) WHERE security_key <> '';

-- Temporary access passes. digest is the keyed hash of the code.
CREATE TABLE signin_access_pass (
    id         TEXT NOT NULL PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    user_id    TEXT NOT NULL REFERENCES directory_user (id),
    digest     BLOB NOT NULL,
    starts_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    one_time   INTEGER NOT NULL CHECK (one_time IN (0, 1)),
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    used_at    INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    ended_as   TEXT NOT NULL CHECK (ended_as IN ('', 'replaced', 'withdrawn'))
) STRICT;
CREATE INDEX signin_access_pass_user ON signin_access_pass (workspace, user_id, id);

CREATE TABLE signin_session_next (
    id           TEXT NOT NULL PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    user_id      TEXT NOT NULL REFERENCES directory_user (id),
    digest       BLOB NOT NULL,
    opened_by    TEXT NOT NULL CHECK (opened_by IN ('passkey', 'link', 'email_code', 'access_pass')),
    scope        TEXT NOT NULL DEFAULT 'panel' CHECK (scope IN ('panel', 'app', 'keys')),
    passkey_id   TEXT NOT NULL DEFAULT '',
    pass_id      TEXT NOT NULL DEFAULT '',
    ip           TEXT NOT NULL,
    agent        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    step_up_at   INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL
) STRICT;
INSERT INTO signin_session_next (id, workspace, user_id, digest, opened_by, scope, passkey_id, ip, agent, created_at, expires_at, last_seen_at, step_up_at, ended_at)
    SELECT id, workspace, user_id, digest, opened_by, scope, passkey_id, ip, agent, created_at, expires_at, last_seen_at, step_up_at, ended_at FROM signin_session;
DROP TABLE signin_session;
ALTER TABLE signin_session_next RENAME TO signin_session;
CREATE UNIQUE INDEX signin_session_digest ON signin_session (digest);
CREATE INDEX signin_session_user ON signin_session (workspace, user_id);
CREATE INDEX signin_session_pass ON signin_session (workspace, pass_id) WHERE pass_id <> '';

-- How many security keys a user has.
ALTER TABLE directory_user ADD COLUMN security_keys INTEGER NOT NULL DEFAULT 0;
CREATE INDEX directory_user_keyless ON directory_user (workspace, name_fold, id) WHERE security_keys = 0;
INSERT INTO tally (workspace, name, n) SELECT workspace, 'users/without_key', COUNT(*) FROM directory_user GROUP BY workspace;

ALTER TABLE activity ADD COLUMN security_key TEXT NOT NULL DEFAULT '';
CREATE INDEX activity_security_key ON activity (workspace, security_key, at, id) WHERE security_key <> '';

-- Who had all permissions keeps all.
UPDATE signin_administrator SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write users.read users.write workspace.read workspace.write';
UPDATE apikey SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write users.read users.write workspace.read workspace.write';
