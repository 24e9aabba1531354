-- What the hub knows of the time, one row: a clock that stands before it, or far beyond it, is not believed
-- (hub/store/clock.py).
CREATE TABLE clock (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    seen        timestamptz NOT NULL DEFAULT now(),  -- the newest round of duties whose clock was believed
    jumped      timestamptz                          -- the first round of a clock that left it by a jump
);
INSERT INTO clock DEFAULT VALUES;
