-- Folders of recordings that are copied to a second place: one row a place and folder, what waits has next_at.
CREATE TABLE copies (
    place TEXT NOT NULL,
    folder TEXT NOT NULL,
    -- Counts the changes: a copy that was made of an older one leaves the row waiting.
    version BIGINT NOT NULL,
    waiting_since BIGINT,
    next_at BIGINT,
    attempts BIGINT NOT NULL DEFAULT 0,
    error TEXT,
    copied_at BIGINT,
    locked_until BIGINT,
    is_held BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (place, folder)
);
CREATE INDEX copies_waiting ON copies (place, next_at) WHERE next_at IS NOT NULL;

-- How far each seal log was followed for each place, in bytes.
CREATE TABLE copy_marks (
    place TEXT NOT NULL,
    log TEXT NOT NULL,
    read_bytes BIGINT NOT NULL,
    PRIMARY KEY (place, log)
);

-- Recordings whose audio rests as FLAC, or that have nothing to archive.
CREATE TABLE archived (
    call TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
