-- +goose Up
CREATE INDEX activity_actor ON activity (workspace, actor_id, at, id);
CREATE INDEX activity_target ON activity (workspace, target_id, at, id);
