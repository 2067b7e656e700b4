-- A call that a regulator has dialled is no call that came: statistics leave it out.
ALTER TABLE calls ADD COLUMN dialled_by TEXT;
