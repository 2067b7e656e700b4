-- Calls of test numbers are marked, and statistics leave them out.
ALTER TABLE calls ADD COLUMN is_test INTEGER NOT NULL DEFAULT 0;
UPDATE calls SET is_test = 1 WHERE json_extract(record, '$.person.is_test');
