-- +goose Up
-- term_doc numbers the rows that can be searched, from 1 in each workspace and kind.
CREATE TABLE term_doc (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    kind      TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    doc       BIGINT NOT NULL,
    PRIMARY KEY (workspace, kind, id)
);
CREATE UNIQUE INDEX term_doc_doc ON term_doc (workspace, kind, doc);

-- posting holds the numbers of the rows that have a term, 4,096 numbers a piece:
-- where two frequent words meet is found by laying their pieces over each other.
CREATE TABLE posting (
    workspace TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    kind      TEXT COLLATE "C" NOT NULL,
    term      TEXT COLLATE "C" NOT NULL,
    piece     BIGINT NOT NULL,
    docs      BYTEA NOT NULL,
    PRIMARY KEY (workspace, kind, term, piece)
);
