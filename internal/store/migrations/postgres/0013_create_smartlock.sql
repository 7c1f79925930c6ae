-- +goose Up
-- Smart locks. version is what the controller should know, applied_* what it said that it
-- knows; lease_until is the latest end of the lease that it was ever told, in Unix seconds.
-- era counts enrolments: with seq it names an event for good. link names the link that is
-- open now; it counts as open until online_until.
CREATE TABLE smartlock (
    id                TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace         TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    name              TEXT COLLATE "C" NOT NULL,
    name_fold         TEXT COLLATE "C" NOT NULL,
    place             TEXT COLLATE "C" NOT NULL,
    timezone          TEXT COLLATE "C" NOT NULL,
    capabilities      TEXT COLLATE "C" NOT NULL,
    open_seconds      BIGINT NOT NULL,
    lease_seconds     BIGINT NOT NULL,
    secret_sealed     BYTEA NOT NULL,
    epoch             BIGINT NOT NULL,
    version           BIGINT NOT NULL,
    applied_epoch     BIGINT NOT NULL,
    applied_version   BIGINT NOT NULL,
    lease_until       BIGINT NOT NULL,
    lease_warned      BIGINT NOT NULL,
    enrol_digest      BYTEA NOT NULL,
    enrol_expires_at  BIGINT NOT NULL,
    enrolled_at       BIGINT NOT NULL,
    era               BIGINT NOT NULL,
    cert_serial       TEXT COLLATE "C" NOT NULL,
    cert_next         TEXT COLLATE "C" NOT NULL,
    cert_expires_at   BIGINT NOT NULL,
    public_key        BYTEA NOT NULL,
    link              TEXT COLLATE "C" NOT NULL,
    online_until      BIGINT NOT NULL,
    last_seen_at      BIGINT NOT NULL,
    software          TEXT COLLATE "C" NOT NULL,
    clock             TEXT COLLATE "C" NOT NULL,
    bolt              TEXT COLLATE "C" NOT NULL,
    door              TEXT COLLATE "C" NOT NULL,
    battery           BIGINT NOT NULL,
    event_through     BIGINT NOT NULL,
    event_hash        BYTEA NOT NULL,
    created_at        BIGINT NOT NULL,
    revision          BIGINT NOT NULL,
    pulse             BIGINT NOT NULL
);
CREATE INDEX smartlock_name ON smartlock (workspace, name_fold, id);
CREATE INDEX smartlock_lease ON smartlock (lease_until, id) WHERE era > 0;

-- What the controller of a lock should hold. A removed grant stays until its removal is
-- confirmed. version is the lock's when it last changed; safe_at is when a removed one opens
-- no more in any case.
CREATE TABLE smartlock_grant (
    lock_id    TEXT COLLATE "C" NOT NULL REFERENCES smartlock (id),
    grant_id   TEXT COLLATE "C" NOT NULL,
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    body       BYTEA NOT NULL,
    version    BIGINT NOT NULL,
    removed    BOOLEAN NOT NULL,
    survives   BOOLEAN NOT NULL,
    not_after  BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    applied_at BIGINT NOT NULL,
    safe_at    BIGINT NOT NULL,
    PRIMARY KEY (lock_id, grant_id)
);
CREATE INDEX smartlock_grant_version ON smartlock_grant (lock_id, version);
CREATE INDEX smartlock_grant_key ON smartlock_grant (workspace, grant_id, lock_id);
CREATE INDEX smartlock_grant_unsafe ON smartlock_grant (workspace, safe_at, grant_id, lock_id) WHERE removed = TRUE AND applied_at = 0;
CREATE INDEX smartlock_grant_end ON smartlock_grant (not_after, lock_id, grant_id);

-- What a controller is to do at once. sealed holds the number of a card that was taught.
CREATE TABLE smartlock_command (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    lock_id    TEXT COLLATE "C" NOT NULL REFERENCES smartlock (id),
    op         TEXT COLLATE "C" NOT NULL CHECK (op IN ('open', 'teach_card')),
    grant_id   TEXT COLLATE "C" NOT NULL,
    asked_kind TEXT COLLATE "C" NOT NULL,
    asked_by   TEXT COLLATE "C" NOT NULL,
    asked_name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    done_at    BIGINT NOT NULL,
    outcome    TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA NOT NULL
);
CREATE INDEX smartlock_command_waiting ON smartlock_command (lock_id, id) WHERE done_at = 0;
CREATE INDEX smartlock_command_age ON smartlock_command (created_at, id);

-- What doors did, once each. grant_id is the digital key's id, which may be gone; names are
-- read where they stand. after_cancel: the key was cancelled and the lock had not heard.
CREATE TABLE smartlock_event (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace    TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    lock_id      TEXT COLLATE "C" NOT NULL,
    lock_name    TEXT COLLATE "C" NOT NULL,
    era          BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    until_seq    BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    received_at  BIGINT NOT NULL,
    boot         BIGINT NOT NULL,
    clock        TEXT COLLATE "C" NOT NULL,
    grant_id     TEXT COLLATE "C" NOT NULL,
    user_id      TEXT COLLATE "C" NOT NULL,
    user_name    TEXT COLLATE "C" NOT NULL,
    command_id   TEXT COLLATE "C" NOT NULL,
    medium       TEXT COLLATE "C" NOT NULL,
    outcome      TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    epoch        BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    count        BIGINT NOT NULL,
    offline      BOOLEAN NOT NULL,
    after_cancel BOOLEAN NOT NULL,
    hash         BYTEA NOT NULL
);
CREATE UNIQUE INDEX smartlock_event_seq ON smartlock_event (lock_id, era, seq);
CREATE INDEX smartlock_event_at ON smartlock_event (workspace, at, id);
CREATE INDEX smartlock_event_lock ON smartlock_event (workspace, lock_id, at, id);
CREATE INDEX smartlock_event_user ON smartlock_event (workspace, user_id, at, id) WHERE user_id <> '';
CREATE INDEX smartlock_event_grant ON smartlock_event (workspace, grant_id, at, id) WHERE grant_id <> '';

-- Digital keys. Their status is computed from the clock. weekly is JSON, '' for none.
CREATE TABLE digitalkey (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace     TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id       TEXT COLLATE "C" NOT NULL REFERENCES directory_user (id),
    description   TEXT COLLATE "C" NOT NULL,
    starts_at     BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    timezone      TEXT COLLATE "C" NOT NULL,
    weekly        TEXT COLLATE "C" NOT NULL,
    role          TEXT COLLATE "C" NOT NULL CHECK (role IN ('ROLE-USER', 'ROLE-ADMIN')),
    types         TEXT COLLATE "C" NOT NULL,
    survives      BOOLEAN NOT NULL,
    notify_email  BOOLEAN NOT NULL,
    notify_pin    BOOLEAN NOT NULL,
    pin_sealed    BYTEA NOT NULL,
    pin_length    BIGINT NOT NULL,
    card_sealed   BYTEA NOT NULL,
    card_type     TEXT COLLATE "C" NOT NULL,
    expanded_until BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    created_by    TEXT COLLATE "C" NOT NULL,
    cancelled_at  BIGINT NOT NULL,
    cancelled_by  TEXT COLLATE "C" NOT NULL,
    cancel_reason TEXT COLLATE "C" NOT NULL CHECK (cancel_reason IN ('', 'cancelled', 'user_suspended')),
    revision      BIGINT NOT NULL
);
CREATE INDEX digitalkey_starts ON digitalkey (workspace, starts_at, id);
CREATE INDEX digitalkey_created ON digitalkey (workspace, created_at, id);
CREATE INDEX digitalkey_user ON digitalkey (workspace, user_id, starts_at, id);
CREATE INDEX digitalkey_expires ON digitalkey (workspace, expires_at, id);
CREATE INDEX digitalkey_open_starts ON digitalkey (workspace, starts_at, id) WHERE cancelled_at = 0;
CREATE INDEX digitalkey_open_expires ON digitalkey (workspace, expires_at, id) WHERE cancelled_at = 0;
CREATE INDEX digitalkey_cancelled ON digitalkey (workspace, cancelled_at, id) WHERE cancelled_at <> 0;
CREATE INDEX digitalkey_weekly ON digitalkey (expanded_until, id) WHERE expanded_until <> 0;

CREATE TABLE digitalkey_lock (
    key_id    TEXT COLLATE "C" NOT NULL REFERENCES digitalkey (id),
    lock_id   TEXT COLLATE "C" NOT NULL REFERENCES smartlock (id),
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    PRIMARY KEY (key_id, lock_id)
);
CREATE INDEX digitalkey_lock_lock ON digitalkey_lock (workspace, lock_id, key_id);

-- Which PIN or card is whose at a lock and when: from_at belongs to it, until_at does not. A row
-- outlives its key: a PIN stays reserved for a while.
CREATE TABLE digitalkey_tag (
    lock_id   TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL CHECK (kind IN ('pin', 'card')),
    tag       TEXT COLLATE "C" NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    user_id   TEXT COLLATE "C" NOT NULL,
    digits    BIGINT NOT NULL,
    from_at   BIGINT NOT NULL,
    until_at  BIGINT NOT NULL,
    PRIMARY KEY (lock_id, kind, tag, key_id)
);
CREATE INDEX digitalkey_tag_key ON digitalkey_tag (workspace, key_id);
CREATE INDEX digitalkey_tag_until ON digitalkey_tag (until_at);

-- Who had all permissions keeps all.
UPDATE signin_administrator SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
UPDATE apikey SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
