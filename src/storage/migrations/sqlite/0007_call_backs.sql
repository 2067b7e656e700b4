-- A call-back is no call that came: statistics count it with the call whose caller asked for it.
ALTER TABLE calls ADD COLUMN callback_of TEXT;
