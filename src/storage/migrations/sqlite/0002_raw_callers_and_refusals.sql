-- A caller is also found by the number as the trunk wrote it.
ALTER TABLE calls ADD COLUMN caller_raw TEXT NOT NULL DEFAULT '';
UPDATE calls SET caller_raw = COALESCE(json_extract(record, '$.caller.raw'), '');
CREATE INDEX calls_by_caller_raw ON calls (caller_raw, received_at, id);

ALTER TABLE recordings ADD COLUMN caller_raw TEXT NOT NULL DEFAULT '';
UPDATE recordings SET caller_raw = COALESCE(json_extract(record, '$.record.caller.raw'), '');
CREATE INDEX recordings_by_caller_raw ON recordings (caller_raw, started_at, call);

-- An entry of the audit is never changed: what was then refused is told by a later entry that points back at it.
ALTER TABLE audit ADD COLUMN refuses BIGINT REFERENCES audit (position);
CREATE UNIQUE INDEX audit_by_refused ON audit (refuses) WHERE refuses IS NOT NULL;
