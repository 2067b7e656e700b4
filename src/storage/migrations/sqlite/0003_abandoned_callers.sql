-- Callers who hung up unserved: tasks until they are closed. One row a person, or a call where the number is not verified.
CREATE TABLE abandoned_callers (
    id TEXT NOT NULL PRIMARY KEY,
    last_at BIGINT NOT NULL,
    closed_at BIGINT,
    kept_until BIGINT,
    line TEXT NOT NULL,
    association TEXT NOT NULL,
    region TEXT NOT NULL,
    caller TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX abandoned_callers_by_time ON abandoned_callers (last_at, id);
CREATE INDEX abandoned_callers_by_caller ON abandoned_callers (caller, last_at, id);
CREATE INDEX abandoned_callers_open ON abandoned_callers (last_at, id) WHERE closed_at IS NULL;
CREATE INDEX abandoned_callers_kept ON abandoned_callers (kept_until) WHERE kept_until IS NOT NULL;
