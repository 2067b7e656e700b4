-- Call-backs of versions before 0007 are marked as such too, or statistics of those days would count them as calls that came.
UPDATE calls SET callback_of = json_extract(record, '$.choices.callback_of') WHERE callback_of IS NULL;
