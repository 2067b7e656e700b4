-- Why each call waited: one row a turn (entered, step, passed over, changed). Offers are kept beside.
CREATE TABLE routing_notes (
    call TEXT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (call, number)
);

-- How true the forecasts were, and what they are scaled by: one row a day.
CREATE TABLE forecast_days (
    day TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
);
