-- Times are microseconds since 1970 in UTC; ids and JSON are text. What is searched for has a column, the whole stands as JSON beside it.

CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    received_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT,
    trunk TEXT NOT NULL,
    line TEXT NOT NULL,
    association TEXT NOT NULL,
    region TEXT NOT NULL,
    caller TEXT NOT NULL,
    ddi TEXT NOT NULL,
    regulator TEXT,
    outcome TEXT,
    priority BIGINT NOT NULL,
    wait_ms BIGINT,
    talk_ms BIGINT,
    record TEXT NOT NULL
);
CREATE INDEX calls_by_time ON calls (received_at, id);
-- The most telling last: between indexes that look alike, SQLite takes the newest.
CREATE INDEX calls_by_region ON calls (region, received_at, id);
CREATE INDEX calls_by_association ON calls (association, received_at, id);
CREATE INDEX calls_by_line ON calls (line, received_at, id);
CREATE INDEX calls_by_outcome ON calls (outcome, received_at, id);
CREATE INDEX calls_by_regulator ON calls (regulator, received_at, id);
CREATE INDEX calls_by_caller ON calls (caller, received_at, id);
CREATE INDEX calls_open ON calls (received_at) WHERE ended_at IS NULL;

CREATE TABLE legs (
    call TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    side TEXT NOT NULL,
    regulator TEXT,
    sip_call_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    record TEXT NOT NULL,
    PRIMARY KEY (call, number)
);
CREATE INDEX legs_by_sip_call_id ON legs (sip_call_id);

CREATE TABLE offers (
    call TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    regulator TEXT NOT NULL,
    offered_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_how TEXT,
    record TEXT NOT NULL,
    PRIMARY KEY (call, number)
);
CREATE INDEX offers_by_regulator ON offers (regulator, offered_at);

CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    call TEXT,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX events_by_subject ON events (subject, sequence);

-- One row an event and endpoint. Of each subject at each endpoint one row at most is 'due', the others are 'behind' it:
-- so the order holds, and finding what is due reads an index and no backlog.
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    endpoint TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    owed_since BIGINT NOT NULL,
    settled_at BIGINT,
    status BIGINT,
    reason TEXT,
    UNIQUE (event, endpoint)
);
CREATE INDEX outbox_by_state ON outbox (state, endpoint, due_at, position);
CREATE INDEX outbox_by_end ON outbox (settled_at);
CREATE INDEX outbox_by_subject ON outbox (endpoint, subject, state, position);

CREATE TABLE deliveries (
    outbox BIGINT NOT NULL REFERENCES outbox (position) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    at BIGINT NOT NULL,
    elapsed_ms BIGINT NOT NULL,
    status BIGINT,
    error TEXT,
    PRIMARY KEY (outbox, attempt, at)
);

CREATE TABLE recordings (
    call TEXT NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL,
    line TEXT NOT NULL,
    association TEXT NOT NULL,
    region TEXT NOT NULL,
    caller TEXT NOT NULL,
    regulator TEXT,
    outcome TEXT,
    duration_ms BIGINT NOT NULL,
    sealed_at BIGINT NOT NULL,
    seal TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX recordings_by_time ON recordings (started_at, call);
-- The most telling last: between indexes that look alike, SQLite takes the newest.
CREATE INDEX recordings_by_region ON recordings (region, started_at, call);
CREATE INDEX recordings_by_association ON recordings (association, started_at, call);
CREATE INDEX recordings_by_line ON recordings (line, started_at, call);
CREATE INDEX recordings_by_regulator ON recordings (regulator, started_at, call);
CREATE INDEX recordings_by_caller ON recordings (caller, started_at, call);

CREATE TABLE recording_failures (
    call TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX recording_failures_by_time ON recording_failures (at);

CREATE TABLE regulators (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT,
    since BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);

CREATE TABLE bindings (
    regulator TEXT NOT NULL,
    device TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (regulator, device)
);

CREATE TABLE sip_messages (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    call TEXT NOT NULL,
    leg BIGINT NOT NULL,
    at BIGINT NOT NULL,
    received BIGINT NOT NULL,
    peer TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    message TEXT NOT NULL,
    UNIQUE (call, at, leg, received, checksum)
);
CREATE INDEX sip_messages_by_time ON sip_messages (at);

CREATE TABLE audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    act TEXT NOT NULL,
    call TEXT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_call ON audit (call, position);
CREATE INDEX audit_by_time ON audit (at);
