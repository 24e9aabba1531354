-- The node's own time of a row that stands at its arrival, because that time cannot be true (a clock that
-- runs ahead by more than a day, a computer that woke in 1970). NULL = `at` is the node's time.
ALTER TABLE part ADD COLUMN node_at timestamptz;
ALTER TABLE ledger_row ADD COLUMN node_at timestamptz;

ALTER TABLE cursor
    ADD COLUMN misplaced bigint NOT NULL DEFAULT 0,  -- rows that stand at their arrival
    ADD COLUMN misplaced_at timestamptz,             -- the last of them came
    ADD COLUMN checked_hash text,        -- of row checked - 1, as verified; NULL = not known
    ADD COLUMN unchecked_at timestamptz, -- when the oldest row came that is not verified yet
    ADD COLUMN unchecked_low timestamptz,            -- where the rows stand that are not
    ADD COLUMN unchecked_high timestamptz;
UPDATE cursor SET unchecked_at = updated_at, unchecked_low = '1970-01-01+00',
    unchecked_high = '2100-01-01+00' WHERE checked < next;

-- The law of an epoch as it was at the last counter row of each hour. What a day counted is the
-- difference of two of these, so days may be cut in any time zone of whole hours.
CREATE TABLE law_hour (
    stream      text NOT NULL,
    station     text NOT NULL,
    epoch       bigint NOT NULL,
    hour        timestamptz NOT NULL,
    ok          bigint NOT NULL,
    ng          bigint NOT NULL,
    undecided   bigint NOT NULL,
    missed      bigint NOT NULL,
    bypassed    bigint NOT NULL,
    quarantined bigint NOT NULL,
    counter     bigint NOT NULL,
    open        bigint NOT NULL,
    PRIMARY KEY (stream, station, epoch, hour),
    FOREIGN KEY (stream, station, epoch) REFERENCES law (stream, station, epoch)
);
CREATE INDEX law_hour_hour ON law_hour (hour);

-- Duties look at the newest epoch of each station, and at older ones only where they are wrong.
CREATE INDEX law_newest ON law (node, station, opened_at DESC NULLS LAST, epoch DESC);
CREATE INDEX law_wrong ON law (stream) WHERE counter - base <> settled + open
    OR counter - base > ok + ng + undecided + missed + bypassed + quarantined;
