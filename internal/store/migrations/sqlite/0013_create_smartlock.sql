-- +goose Up
-- Smart locks. version is what the controller should know, applied_* what it said that it
-- knows; lease_until is the latest end of the lease that it was ever told, in Unix seconds.
-- era counts enrolments: with seq it names an event for good. link names the link that is
-- open now; it counts as open until online_until.
CREATE TABLE smartlock (
    id                TEXT NOT NULL PRIMARY KEY,
    workspace         TEXT NOT NULL REFERENCES workspace (id),
    name              TEXT NOT NULL,
    name_fold         TEXT NOT NULL,
    place             TEXT NOT NULL,
    timezone          TEXT NOT NULL,
    capabilities      TEXT NOT NULL,
    open_seconds      INTEGER NOT NULL,
    lease_seconds     INTEGER NOT NULL,
    secret_sealed     BLOB NOT NULL,
    epoch             INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    applied_epoch     INTEGER NOT NULL,
    applied_version   INTEGER NOT NULL,
    lease_until       INTEGER NOT NULL,
    lease_warned      INTEGER NOT NULL,
    enrol_digest      BLOB NOT NULL,
    enrol_expires_at  INTEGER NOT NULL,
    enrolled_at       INTEGER NOT NULL,
    era               INTEGER NOT NULL,
    cert_serial       TEXT NOT NULL,
    cert_next         TEXT NOT NULL,
    cert_expires_at   INTEGER NOT NULL,
    public_key        BLOB NOT NULL,
    link              TEXT NOT NULL,
    online_until      INTEGER NOT NULL,
    last_seen_at      INTEGER NOT NULL,
    software          TEXT NOT NULL,
    clock             TEXT NOT NULL,
    bolt              TEXT NOT NULL,
    door              TEXT NOT NULL,
    battery           INTEGER NOT NULL,
    event_through     INTEGER NOT NULL,
    event_hash        BLOB NOT NULL,
    created_at        INTEGER NOT NULL,
    revision          INTEGER NOT NULL,
    pulse             INTEGER NOT NULL
) STRICT;
CREATE INDEX smartlock_name ON smartlock (workspace, name_fold, id);
CREATE INDEX smartlock_lease ON smartlock (lease_until, id) WHERE era > 0;

-- What the controller of a lock should hold. A removed grant stays until its removal is
-- confirmed. version is the lock's when it last changed; safe_at is when a removed one opens
-- no more in any case.
CREATE TABLE smartlock_grant (
    lock_id    TEXT NOT NULL REFERENCES smartlock (id),
    grant_id   TEXT NOT NULL,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    body       BLOB NOT NULL,
    version    INTEGER NOT NULL,
    removed    INTEGER NOT NULL CHECK (removed IN (0, 1)),
    survives   INTEGER NOT NULL CHECK (survives IN (0, 1)),
    not_after  INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    applied_at INTEGER NOT NULL,
    safe_at    INTEGER NOT NULL,
    PRIMARY KEY (lock_id, grant_id)
) STRICT;
CREATE INDEX smartlock_grant_version ON smartlock_grant (lock_id, version);
CREATE INDEX smartlock_grant_key ON smartlock_grant (workspace, grant_id, lock_id);
CREATE INDEX smartlock_grant_unsafe ON smartlock_grant (workspace, safe_at, grant_id, lock_id) WHERE removed = TRUE AND applied_at = 0;
CREATE INDEX smartlock_grant_end ON smartlock_grant (not_after, lock_id, grant_id);

-- What a controller is to do at once. sealed holds the number of a card that was taught.
CREATE TABLE smartlock_command (
    id         TEXT NOT NULL PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    lock_id    TEXT NOT NULL REFERENCES smartlock (id),
    op         TEXT NOT NULL CHECK (op IN ('open', 'teach_card')),
    grant_id   TEXT NOT NULL,
    asked_kind TEXT NOT NULL,
    asked_by   TEXT NOT NULL,
    asked_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    done_at    INTEGER NOT NULL,
    outcome    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    sealed     BLOB NOT NULL
) STRICT;
CREATE INDEX smartlock_command_waiting ON smartlock_command (lock_id, id) WHERE done_at = 0;
CREATE INDEX smartlock_command_age ON smartlock_command (created_at, id);

-- What doors did, once each. grant_id is the digital key's id, which may be gone; names are
-- read where they stand. after_cancel: the key was cancelled and the lock had not heard.
CREATE TABLE smartlock_event (
    id           TEXT NOT NULL PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    lock_id      TEXT NOT NULL,
    lock_name    TEXT NOT NULL,
    era          INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    until_seq    INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    boot         INTEGER NOT NULL,
    clock        TEXT NOT NULL,
    grant_id     TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    medium       TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    offline      INTEGER NOT NULL CHECK (offline IN (0, 1)),
    after_cancel INTEGER NOT NULL CHECK (after_cancel IN (0, 1)),
    hash         BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX smartlock_event_seq ON smartlock_event (lock_id, era, seq);
CREATE INDEX smartlock_event_at ON smartlock_event (workspace, at, id);
CREATE INDEX smartlock_event_lock ON smartlock_event (workspace, lock_id, at, id);
CREATE INDEX smartlock_event_user ON smartlock_event (workspace, user_id, at, id) WHERE user_id <> '';
CREATE INDEX smartlock_event_grant ON smartlock_event (workspace, grant_id, at, id) WHERE grant_id <> '';

-- Digital keys. Their status is computed from the clock. weekly is JSON, '' for none.
CREATE TABLE digitalkey (
    id            TEXT NOT NULL PRIMARY KEY,
    workspace     TEXT NOT NULL REFERENCES workspace (id),
    user_id       TEXT NOT NULL REFERENCES directory_user (id),
    description   TEXT NOT NULL,
    starts_at     INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    timezone      TEXT NOT NULL,
    weekly        TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('ROLE-USER', 'ROLE-ADMIN')),
    types         TEXT NOT NULL,
    survives      INTEGER NOT NULL CHECK (survives IN (0, 1)),
    notify_email  INTEGER NOT NULL CHECK (notify_email IN (0, 1)),
    notify_pin    INTEGER NOT NULL CHECK (notify_pin IN (0, 1)),
    pin_sealed    BLOB NOT NULL,
    pin_length    INTEGER NOT NULL,
    card_sealed   BLOB NOT NULL,
    card_type     TEXT NOT NULL,
    expanded_until INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    cancelled_at  INTEGER NOT NULL,
    cancelled_by  TEXT NOT NULL,
    cancel_reason TEXT NOT NULL CHECK (cancel_reason IN ('', 'cancelled', 'user_suspended')),
    revision      INTEGER NOT NULL
) STRICT;
CREATE INDEX digitalkey_starts ON digitalkey (workspace, starts_at, id);
CREATE INDEX digitalkey_created ON digitalkey (workspace, created_at, id);
CREATE INDEX digitalkey_user ON digitalkey (workspace, user_id, starts_at, id);
CREATE INDEX digitalkey_expires ON digitalkey (workspace, expires_at, id);
CREATE INDEX digitalkey_open_starts ON digitalkey (workspace, starts_at, id) WHERE cancelled_at = 0;
CREATE INDEX digitalkey_open_expires ON digitalkey (workspace, expires_at, id) WHERE cancelled_at = 0;
CREATE INDEX digitalkey_cancelled ON digitalkey (workspace, cancelled_at, id) WHERE cancelled_at <> 0;
CREATE INDEX digitalkey_weekly ON digitalkey (expanded_until, id) WHERE expanded_until <> 0;

CREATE TABLE digitalkey_lock (
    key_id    TEXT NOT NULL REFERENCES digitalkey (id),
    lock_id   TEXT NOT NULL REFERENCES smartlock (id),
    workspace TEXT NOT NULL REFERENCES workspace (id),
    PRIMARY KEY (key_id, lock_id)
) STRICT;
CREATE INDEX digitalkey_lock_lock ON digitalkey_lock (workspace, lock_id, key_id);

-- Which PIN or card is whose at a lock and when: from_at belongs to it, until_at does not. A row
-- outlives its key: a PIN stays reserved for a while.
CREATE TABLE digitalkey_tag (
    lock_id   TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('pin', 'card')),
    tag       TEXT NOT NULL,
    key_id    TEXT NOT NULL,
    workspace TEXT NOT NULL REFERENCES workspace (id),
    user_id   TEXT NOT NULL,
    digits    INTEGER NOT NULL,
    from_at   INTEGER NOT NULL,
    until_at  INTEGER NOT NULL,
    PRIMARY KEY (lock_id, kind, tag, key_id)
) STRICT;
CREATE INDEX digitalkey_tag_key ON digitalkey_tag (workspace, key_id);
CREATE INDEX digitalkey_tag_until ON digitalkey_tag (until_at);

-- Who had all permissions keeps all.
UPDATE signin_administrator SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
UPDATE apikey SET permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write digital_keys.read digital_keys.write locks.read locks.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write'
    WHERE permissions = 'activities.read administrators.read administrators.write api_keys.read api_keys.write security_keys.read security_keys.write users.read users.write workspace.read workspace.write';
