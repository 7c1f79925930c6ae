-- +goose Up
-- Clients: programs at workstations. thumbprint names the program's key (RFC 7638), for good:
-- whoever is revoked does not come back with the same key.
CREATE TABLE client (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace       TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    name            TEXT COLLATE "C" NOT NULL,
    name_fold       TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL CHECK (kind IN ('extension', 'agent', 'ctap_transport', 'shared_mobile')),
    state           TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'revoked')),
    thumbprint      TEXT COLLATE "C" NOT NULL,
    public_key      TEXT COLLATE "C" NOT NULL,
    pinless_allowed BOOLEAN NOT NULL,
    reader_format   TEXT COLLATE "C" NOT NULL CHECK (reader_format IN ('hex', 'hex_reversed', 'decimal', 'decimal_reversed')),
    api_key         TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL,
    created_ip      TEXT COLLATE "C" NOT NULL,
    approved_at     BIGINT NOT NULL,
    approved_by     TEXT COLLATE "C" NOT NULL,
    revoked_at      BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,
    last_ip         TEXT COLLATE "C" NOT NULL,
    agent           TEXT COLLATE "C" NOT NULL,
    revision        BIGINT NOT NULL
);
CREATE UNIQUE INDEX client_thumbprint ON client (workspace, thumbprint);
CREATE UNIQUE INDEX client_name_taken ON client (workspace, name_fold) WHERE state <> 'revoked';
CREATE INDEX client_name ON client (workspace, name_fold, id);
CREATE INDEX client_state ON client (workspace, state, name_fold, id);
CREATE INDEX client_created ON client (workspace, created_at, id);
CREATE INDEX client_seen ON client (workspace, last_seen_at, id);

-- Codes with which a client is approved as soon as it enrols. digest is the keyed hash.
CREATE TABLE client_code (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    digest     BYTEA NOT NULL,
    uses       BIGINT NOT NULL,
    uses_left  BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX client_code_digest ON client_code (workspace, digest);
CREATE INDEX client_code_expires ON client_code (expires_at, id);

-- Proofs that were used (RFC 9449), until they are too old in any case.
CREATE TABLE client_proof (
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    thumbprint TEXT COLLATE "C" NOT NULL,
    proof      TEXT COLLATE "C" NOT NULL,
    until_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace, thumbprint, proof)
);
CREATE INDEX client_proof_until ON client_proof (until_at);

-- Taps of a card at a client, for one operation each. security_key is empty for a card that
-- nobody here has. The revisions are those at the tap: a tap is void once one of them moved.
CREATE TABLE client_tap (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace       TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    client_id       TEXT COLLATE "C" NOT NULL,
    security_key    TEXT COLLATE "C" NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    card_digest     TEXT COLLATE "C" NOT NULL,
    operation       TEXT COLLATE "C" NOT NULL CHECK (operation IN ('create', 'get', 'pin_change')),
    origin          TEXT COLLATE "C" NOT NULL,
    top_origin      TEXT COLLATE "C" NOT NULL,
    cross_origin    BOOLEAN NOT NULL,
    rp_id           TEXT COLLATE "C" NOT NULL,
    options_hash    TEXT COLLATE "C" NOT NULL,
    needs           TEXT COLLATE "C" NOT NULL CHECK (needs IN ('pin', 'none')),
    key_revision    BIGINT NOT NULL,
    user_revision   BIGINT NOT NULL,
    client_revision BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    spent_at        BIGINT NOT NULL
);
CREATE INDEX client_tap_expires ON client_tap (expires_at);

-- What a right PIN gives: verification for more than one tap of the same key at the same
-- client and relying party. digest is the hash of the token.
CREATE TABLE client_uv (
    digest          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace       TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    client_id       TEXT COLLATE "C" NOT NULL,
    security_key    TEXT COLLATE "C" NOT NULL,
    rp_id           TEXT COLLATE "C" NOT NULL,
    key_revision    BIGINT NOT NULL,
    user_revision   BIGINT NOT NULL,
    client_revision BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    idle_until      BIGINT NOT NULL
);
CREATE INDEX client_uv_expires ON client_uv (expires_at);

-- Tries of cards that nobody has, counted as those of cards that somebody has.
CREATE TABLE securitykey_shadow (
    workspace        TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    card_digest      TEXT COLLATE "C" NOT NULL,
    pin_wrong        BIGINT NOT NULL,
    pin_paused_until BIGINT NOT NULL,
    used_at          BIGINT NOT NULL,
    PRIMARY KEY (workspace, card_digest)
);
CREATE INDEX securitykey_shadow_used ON securitykey_shadow (used_at);

-- Passkeys of users for websites. sealed holds the private key, bound to the row's user,
-- relying party and id.
CREATE TABLE vault_credential (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace     TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id       TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    rp_id         TEXT COLLATE "C" NOT NULL,
    rp_name       TEXT COLLATE "C" NOT NULL,
    user_handle   BYTEA NOT NULL,
    user_name     TEXT COLLATE "C" NOT NULL,
    display_name  TEXT COLLATE "C" NOT NULL,
    algorithm     BIGINT NOT NULL,
    raw_id        BYTEA NOT NULL,
    public_key    BYTEA NOT NULL,
    sealed        BYTEA NOT NULL,
    discoverable  BOOLEAN NOT NULL,
    protection    BIGINT NOT NULL,
    hmac_secret   BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL,
    created_key   TEXT COLLATE "C" NOT NULL,
    created_by    TEXT COLLATE "C" NOT NULL,
    client_id     TEXT COLLATE "C" NOT NULL,
    last_used_at  BIGINT NOT NULL,
    last_key      TEXT COLLATE "C" NOT NULL,
    uses          BIGINT NOT NULL
);
CREATE UNIQUE INDEX vault_credential_raw ON vault_credential (workspace, raw_id);
CREATE INDEX vault_credential_rp ON vault_credential (workspace, user_id, rp_id, created_at, id);
CREATE INDEX vault_credential_user ON vault_credential (workspace, user_id, created_at, id);

ALTER TABLE activity ADD COLUMN client TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Who had all permissions keeps all.
UPDATE signin_administrator SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write clients.read clients.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
UPDATE apikey SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write clients.read clients.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
