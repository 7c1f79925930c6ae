-- +goose Up
-- A moment that never comes is the last millisecond of the year 9999: 253402300799999.
ALTER TABLE apikey ADD COLUMN pepper BIGINT NOT NULL DEFAULT 0;
ALTER TABLE apikey ADD COLUMN issued_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE apikey ADD COLUMN ends_at BIGINT NOT NULL DEFAULT 253402300799999;
ALTER TABLE apikey ADD COLUMN warn_at BIGINT NOT NULL DEFAULT 253402300799999;
ALTER TABLE apikey ADD COLUMN leaked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE apikey ADD COLUMN allowed_ips TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE apikey ADD COLUMN creator_user TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE apikey ADD COLUMN retiring_token_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE apikey ADD COLUMN retiring_hash BYTEA NOT NULL DEFAULT '';
ALTER TABLE apikey ADD COLUMN retiring_pepper BIGINT NOT NULL DEFAULT 0;
ALTER TABLE apikey ADD COLUMN retiring_ends_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE apikey ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
UPDATE apikey SET issued_at = created_at;
UPDATE apikey SET ends_at = expires_at, warn_at = expires_at - 2592000000 WHERE expires_at > 0;
UPDATE apikey SET creator_user = created_by_id WHERE created_by_type = 'administrator';
WITH RECURSIVE root (id, user_id) AS (
    SELECT id, created_by_id FROM apikey WHERE created_by_type = 'administrator'
    UNION
    SELECT k.id, r.user_id FROM root r JOIN apikey k ON k.created_by_type = 'api_key' AND k.created_by_id = r.id
)
UPDATE apikey SET creator_user = COALESCE((SELECT r.user_id FROM root r WHERE r.id = apikey.id), '') WHERE created_by_type = 'api_key';
CREATE INDEX apikey_type ON apikey (workspace, type, name_fold, id);
CREATE INDEX apikey_ends ON apikey (workspace, ends_at, id);
CREATE INDEX apikey_warn ON apikey (warn_at, id) WHERE warn_at < 253402300799999;
CREATE INDEX apikey_creator_user ON apikey (workspace, creator_user, id);
CREATE UNIQUE INDEX apikey_retiring ON apikey (retiring_token_id) WHERE retiring_token_id <> '';

-- When a key was last used, apart from the key: who writes it holds nobody up who
-- withdraws the key. Each key has a row; at 0 says never.
CREATE TABLE apikey_use (
    key_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    at        BIGINT NOT NULL,
    ip        TEXT COLLATE "C" NOT NULL,
    agent     TEXT COLLATE "C" NOT NULL
);
INSERT INTO apikey_use (key_id, workspace, at, ip, agent) SELECT id, workspace, 0, '', '' FROM apikey;
CREATE INDEX apikey_use_at ON apikey_use (workspace, at, key_id);

-- How often a key was used on a day of UTC, counted from 1970-01-01.
CREATE TABLE apikey_usage (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    key_id    TEXT COLLATE "C" NOT NULL,
    day       BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (workspace, key_id, day)
);
CREATE INDEX apikey_usage_day ON apikey_usage (day);

-- Keys that were deleted: how they were used is swept once nobody writes it any more.
CREATE TABLE apikey_gone (
    key_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    at        BIGINT NOT NULL
);
CREATE INDEX apikey_gone_at ON apikey_gone (at);

-- The longest life of an API key in days; 0 for no limit.
ALTER TABLE workspace ADD COLUMN api_key_max_days BIGINT NOT NULL DEFAULT 0;

-- What was withdrawn, numbered in the order of the commits. Who keeps a yes in memory
-- reads on from the last number that it saw.
CREATE TABLE revocation (
    n       BIGINT NOT NULL PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL
);
CREATE TABLE revocation_head (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    n    BIGINT NOT NULL
);
INSERT INTO revocation_head (name, n) VALUES ('all', 0);

-- The servers that keep a yes in memory: how often each has renewed its lease, and up
-- to which number it has forgotten what was withdrawn.
CREATE TABLE replica (
    id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    beat BIGINT NOT NULL,
    seen BIGINT NOT NULL
);
