-- +goose Up
-- Clients: programs at workstations. thumbprint names the program's key (RFC 7638), for good:
-- whoever is revoked does not come back with the same key.
CREATE TABLE client (
    id              TEXT NOT NULL PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    name            TEXT NOT NULL,
    name_fold       TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('extension', 'agent', 'ctap_transport', 'shared_mobile')),
    state           TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'revoked')),
    thumbprint      TEXT NOT NULL,
    public_key      TEXT NOT NULL,
    pinless_allowed INTEGER NOT NULL CHECK (pinless_allowed IN (0, 1)),
    reader_format   TEXT NOT NULL CHECK (reader_format IN ('hex', 'hex_reversed', 'decimal', 'decimal_reversed')),
    api_key         TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    created_ip      TEXT NOT NULL,
    approved_at     INTEGER NOT NULL,
    approved_by     TEXT NOT NULL,
    revoked_at      INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,
    last_ip         TEXT NOT NULL,
    agent           TEXT NOT NULL,
    revision        INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX client_thumbprint ON client (workspace, thumbprint);
CREATE UNIQUE INDEX client_name_taken ON client (workspace, name_fold) WHERE state <> 'revoked';
CREATE INDEX client_name ON client (workspace, name_fold, id);
CREATE INDEX client_state ON client (workspace, state, name_fold, id);
CREATE INDEX client_created ON client (workspace, created_at, id);
CREATE INDEX client_seen ON client (workspace, last_seen_at, id);

-- Codes with which a client is approved as soon as it enrols. digest is the keyed hash.
CREATE TABLE client_code (
    id         TEXT NOT NULL PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    digest     BLOB NOT NULL,
    uses       INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX client_code_digest ON client_code (workspace, digest);
CREATE INDEX client_code_expires ON client_code (expires_at, id);

-- Proofs that were used (RFC 9449), until they are too old in any case.
CREATE TABLE client_proof (
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    thumbprint TEXT NOT NULL,
    proof      TEXT NOT NULL,
    until_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace, thumbprint, proof)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_proof_until ON client_proof (until_at);

-- Taps of a card at a client, for one operation each. security_key is empty for a card that
-- nobody here has. The revisions are those at the tap: a tap is void once one of them moved.
CREATE TABLE client_tap (
    id              TEXT NOT NULL PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    client_id       TEXT NOT NULL,
    security_key    TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    card_digest     TEXT NOT NULL,
    operation       TEXT NOT NULL CHECK (operation IN ('create', 'get', 'pin_change')),
    origin          TEXT NOT NULL,
    top_origin      TEXT NOT NULL,
    cross_origin    INTEGER NOT NULL CHECK (cross_origin IN (0, 1)),
    rp_id           TEXT NOT NULL,
    options_hash    TEXT NOT NULL,
    needs           TEXT NOT NULL CHECK (needs IN ('pin', 'none')),
    key_revision    INTEGER NOT NULL,
    user_revision   INTEGER NOT NULL,
    client_revision INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    spent_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_tap_expires ON client_tap (expires_at);

-- What a right PIN gives: verification for more than one tap of the same key at the same
-- client and relying party. digest is the hash of the token.
CREATE TABLE client_uv (
    digest          TEXT NOT NULL PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    client_id       TEXT NOT NULL,
    security_key    TEXT NOT NULL,
    rp_id           TEXT NOT NULL,
    key_revision    INTEGER NOT NULL,
    user_revision   INTEGER NOT NULL,
    client_revision INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    idle_until      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_uv_expires ON client_uv (expires_at);

-- Tries of cards that nobody has, counted as those of cards that somebody has.
CREATE TABLE securitykey_shadow (
    workspace        TEXT NOT NULL REFERENCES workspace (id),
    card_digest      TEXT NOT NULL,
    pin_wrong        INTEGER NOT NULL,
    pin_paused_until INTEGER NOT NULL,
    used_at          INTEGER NOT NULL,
    PRIMARY KEY (workspace, card_digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX securitykey_shadow_used ON securitykey_shadow (used_at);

-- Passkeys of users for websites. sealed holds the private key, bound to the row's user,
-- relying party and id.
CREATE TABLE vault_credential (
    id            TEXT NOT NULL PRIMARY KEY,
    workspace     TEXT NOT NULL REFERENCES workspace (id),
    user_id       TEXT NOT NULL REFERENCES directory_user (id),
    rp_id         TEXT NOT NULL,
    rp_name       TEXT NOT NULL,
    user_handle   BLOB NOT NULL,
    user_name     TEXT NOT NULL,
    display_name  TEXT NOT NULL,
    algorithm     INTEGER NOT NULL,
    raw_id        BLOB NOT NULL,
    public_key    BLOB NOT NULL,
    sealed        BLOB NOT NULL,
    discoverable  INTEGER NOT NULL CHECK (discoverable IN (0, 1)),
    protection    INTEGER NOT NULL,
    hmac_secret   INTEGER NOT NULL CHECK (hmac_secret IN (0, 1)),
    created_at    INTEGER NOT NULL,
    created_key   TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    last_used_at  INTEGER NOT NULL,
    last_key      TEXT NOT NULL,
    uses          INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX vault_credential_raw ON vault_credential (workspace, raw_id);
CREATE INDEX vault_credential_rp ON vault_credential (workspace, user_id, rp_id, created_at, id);
CREATE INDEX vault_credential_user ON vault_credential (workspace, user_id, created_at, id);

ALTER TABLE activity ADD COLUMN client TEXT NOT NULL DEFAULT '';

-- Who had all permissions keeps all.
UPDATE signin_administrator SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write clients.read clients.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
UPDATE apikey SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write clients.read clients.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
