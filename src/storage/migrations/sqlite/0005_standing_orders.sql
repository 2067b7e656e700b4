-- What holds until somebody says otherwise: numbers added to lists of callers, messages while a region is overrun.
CREATE TABLE standing_orders (
    name TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
);
