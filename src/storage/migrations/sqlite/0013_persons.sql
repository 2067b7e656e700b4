-- The person's first unserved call that a call goes on with, and the wait that it brought: statistics count persons, too.
ALTER TABLE calls ADD COLUMN first_call TEXT;
ALTER TABLE calls ADD COLUMN kept_wait_ms INTEGER NOT NULL DEFAULT 0;
UPDATE calls SET first_call = json_extract(record, '$.person.first_call'),
    kept_wait_ms = coalesce(json_extract(record, '$.person.kept_wait_ms'), 0)
    WHERE json_extract(record, '$.person.first_call') IS NOT NULL;
