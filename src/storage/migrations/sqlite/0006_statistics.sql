-- Statistics read each regulator's changes of state by their time.
CREATE INDEX events_of_regulators ON events (subject, at, sequence) WHERE kind = 'regulator.state';
