-- +goose Up
ALTER TABLE workspace ADD COLUMN language TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE workspace ADD COLUMN timezone TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE workspace ADD COLUMN checkpoint_email TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE workspace ADD COLUMN suspended_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workspace ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

ALTER TABLE directory_user ADD COLUMN suspended_at BIGINT NOT NULL DEFAULT 0;
-- shown is the status that people see: suspended, or else the life's.
ALTER TABLE directory_user ADD COLUMN shown TEXT COLLATE "C" NOT NULL DEFAULT 'not_invited';
UPDATE directory_user SET shown = status;
DROP INDEX directory_user_status;
CREATE INDEX directory_user_shown ON directory_user (workspace, shown, name_fold, id);
INSERT INTO tally (workspace, name, n) SELECT workspace, 'users/' || shown, COUNT(*) FROM directory_user GROUP BY workspace, shown;

ALTER TABLE directory_group ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
INSERT INTO tally (workspace, name, n) SELECT workspace, 'groups', COUNT(*) FROM directory_group GROUP BY workspace;
INSERT INTO tally (workspace, name, n) SELECT workspace, 'members/' || group_id, COUNT(*) FROM directory_membership GROUP BY workspace, group_id;

-- tick counts what happened in each quarter of an hour: what statistics are made from.
-- A quarter is its start in Unix milliseconds.
CREATE TABLE tick (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    name      TEXT COLLATE "C" NOT NULL,
    quarter   BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (workspace, name, quarter)
);
