-- +goose Up
CREATE INDEX apikey_leaked ON apikey (workspace, leaked_at, id) WHERE leaked_at > 0;
