-- +goose Up
-- term_doc numbers the rows that can be searched, from 1 in each workspace and kind.
CREATE TABLE term_doc (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    kind      TEXT NOT NULL,
    id        TEXT NOT NULL,
    doc       INTEGER NOT NULL,
    PRIMARY KEY (workspace, kind, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX term_doc_doc ON term_doc (workspace, kind, doc);

-- posting holds the numbers of the rows that have a term, 4,096 numbers a piece:
-- where two frequent words meet is found by laying their pieces over each other.
CREATE TABLE posting (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    kind      TEXT NOT NULL,
    term      TEXT NOT NULL,
    piece     INTEGER NOT NULL,
    docs      BLOB NOT NULL,
    PRIMARY KEY (workspace, kind, term, piece)
) STRICT, WITHOUT ROWID;
