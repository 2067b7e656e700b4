-- A place that is used no more may hold copies: what was removed from which place is known of each.
ALTER TABLE copies ADD COLUMN removed_at BIGINT;
