-- Exports: asked for by one person, approved by another, then fetched. Never removed: they are part of the custody.
CREATE TABLE exports (
    id TEXT NOT NULL PRIMARY KEY,
    requested_at BIGINT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_person TEXT NOT NULL,
    reason TEXT NOT NULL,
    calls TEXT NOT NULL,
    is_redacted BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    decided_person TEXT,
    decision TEXT,
    words TEXT
);
CREATE INDEX exports_by_time ON exports (requested_at, id);
