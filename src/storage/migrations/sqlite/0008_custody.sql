-- The audit as a chain: each entry carries the hash of the one before it, its own, and the signature over its own text.
ALTER TABLE audit ADD COLUMN previous TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN signature TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_by_actor ON audit (actor, at);

-- Legal holds: one row a hold; it stops the clock of the recording's retention from placed_at to released_at.
CREATE TABLE holds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    call TEXT NOT NULL,
    association TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    placed_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    case_number TEXT,
    released_at BIGINT,
    released_by TEXT,
    release_reason TEXT
);
CREATE INDEX holds_by_call ON holds (call, id);
CREATE INDEX holds_open ON holds (id) WHERE released_at IS NULL;

-- What each association was promised, and when: a shorter retention holds only for recordings made after it.
CREATE TABLE retention_promises (
    association TEXT NOT NULL,
    years BIGINT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    PRIMARY KEY (association, since)
);

-- Lists of recordings proposed for deletion, and what became of each recording on them.
CREATE TABLE deletions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL,
    proposed_at BIGINT NOT NULL,
    proposed_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    decision_reason TEXT,
    finished_at BIGINT
);
CREATE INDEX deletions_approved ON deletions (id) WHERE state = 'approved';

CREATE TABLE deletion_items (
    deletion BIGINT NOT NULL REFERENCES deletions (id),
    call TEXT NOT NULL,
    association TEXT NOT NULL,
    state TEXT NOT NULL,
    record TEXT NOT NULL,
    detail TEXT,
    certificate TEXT,
    PRIMARY KEY (deletion, call)
);
CREATE INDEX deletion_items_by_call ON deletion_items (call);

-- The last reading of the clocks: one row; what it says against the next reading tells a clock that was set.
CREATE TABLE clock_marks (
    id BIGINT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
);
CREATE INDEX recordings_by_seal ON recordings (sealed_at);
