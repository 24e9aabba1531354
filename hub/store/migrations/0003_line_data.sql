-- Line data: what the rows of kind tag and line say, summed up for the pages. The rows themselves are
-- in ledger_row.

-- A tag of one stream as it was read last; the cursor's lock makes ingest the only writer.
CREATE TABLE tag (
    stream      text NOT NULL REFERENCES cursor (stream),
    station     text NOT NULL,                 -- or slave
    name        text NOT NULL,
    plant       text NOT NULL,
    line        text NOT NULL,
    node        text NOT NULL,
    title       text,                          -- what people call it
    value       bigint,                        -- x 10 ** exponent, in unit; NULL = could not be read
    known       bigint,                        -- as it could be read last
    exponent    smallint NOT NULL,
    unit        text NOT NULL,
    counts      boolean NOT NULL,              -- it only goes up: its growth matters
    word        text,                          -- what people call this value
    fault       text,
    at          timestamptz NOT NULL,
    PRIMARY KEY (stream, station, name)
);
CREATE INDEX tag_line ON tag (plant, line, station, name);

-- What a count (pieces, kWh) grew, per minute of the node's time: grown x 10 ** exponent, in unit.
CREATE TABLE tag_growth (
    plant       text NOT NULL,
    line        text NOT NULL,
    node        text NOT NULL,
    station     text NOT NULL,
    name        text NOT NULL,
    exponent    smallint NOT NULL,
    unit        text NOT NULL,
    minute      timestamptz NOT NULL,
    grown       bigint NOT NULL,
    PRIMARY KEY (plant, line, node, station, name, exponent, unit, minute)
);
CREATE INDEX tag_growth_minute ON tag_growth (minute);

-- How the line of a station stands: PackML state, and why if the PLC says so.
CREATE TABLE line_state (
    stream      text NOT NULL REFERENCES cursor (stream),
    station     text NOT NULL,
    plant       text NOT NULL,
    line        text NOT NULL,
    node        text NOT NULL,
    state       text NOT NULL,
    cause       bigint,
    word        text,
    at          timestamptz NOT NULL,          -- since then
    PRIMARY KEY (stream, station)
);
