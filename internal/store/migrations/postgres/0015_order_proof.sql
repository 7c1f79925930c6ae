-- +goose Up
-- Proofs in the order in which they are forgotten: until_at is the proof's own, so it tells a
-- repeat as well. Rows are added at one end and removed at the other. What was spent in the
-- last minutes before the migration is forgotten; its nonces are over soon.
DROP TABLE client_proof;
CREATE TABLE client_proof (
    workspace  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    thumbprint TEXT COLLATE "C" NOT NULL,
    proof      TEXT COLLATE "C" NOT NULL,
    until_at   BIGINT NOT NULL,
    PRIMARY KEY (until_at, workspace, thumbprint, proof)
);
