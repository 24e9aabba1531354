-- The live board asks for the newest not-OK part by the earlier of its own time and its arrival.
CREATE INDEX part_not_ok_known ON part (plant, line, least(at, received_at) DESC, seq DESC)
    WHERE code <> 1;
