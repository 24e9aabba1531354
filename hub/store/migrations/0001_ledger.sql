-- The hub's ledger: who may write, what was written, the laws it must satisfy, and the minute sums that
-- every page reads. Times are timestamptz (UTC); every count is a bigint. A part is
-- (node, station, epoch, number); a row is (stream, seq).

-- Nodes that may write. Only the sha256 of a node's token is kept.
CREATE TABLE node (
    node        text PRIMARY KEY,
    plant       text NOT NULL,
    line        text NOT NULL,
    token_hash  text NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);

-- One outbox of a node: the next sequence to store, and the hash of the row before it.
-- hash is NULL only right after a declared gap: the next batch then gives it.
CREATE TABLE cursor (
    stream      text PRIMARY KEY,
    plant       text NOT NULL,
    line        text NOT NULL,
    node        text NOT NULL REFERENCES node (node),
    next        bigint NOT NULL CHECK (next >= 1),
    hash        text,
    checked     bigint NOT NULL DEFAULT 1,     -- rows below this were re-verified by duties
    started_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cursor_node ON cursor (node);

-- Rows that a node no longer holds and the hub never got (hub restored from an old backup).
CREATE TABLE gap (
    stream      text NOT NULL REFERENCES cursor (stream),
    first       bigint NOT NULL,
    last        bigint NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, first)
);

-- Closed part rows. raw is the row as sent: hash = sha256(previous hash + seq + raw).
CREATE TABLE part (
    stream          text NOT NULL,
    seq             bigint NOT NULL,
    at              timestamptz NOT NULL,      -- the node's time of the row
    received_at     timestamptz NOT NULL DEFAULT now(),
    plant           text NOT NULL,
    line            text NOT NULL,
    node            text NOT NULL,
    station         text NOT NULL,
    epoch           bigint NOT NULL,
    number          bigint NOT NULL,
    code            smallint NOT NULL,         -- 1 OK, 2 NG, 3 undecided
    reason          text,                      -- set when undecided
    computed        smallint NOT NULL,         -- what the detector said
    computed_reason text,
    defect          text,                      -- class of the deciding detection
    score           integer,                   -- 1e-4
    mode            text NOT NULL,             -- auto, monitor, bypass, sample
    recipe          text NOT NULL,
    model           text,                      -- sha256
    trust           text NOT NULL,             -- signed, pinned, unsigned
    product         text,
    batch           text,
    serial          text,
    inspect_ms      bigint,
    latency_ms      bigint,                    -- sensor edge to the echo seen
    views           jsonb NOT NULL,            -- as edge.mqtt.message.View
    hash            text NOT NULL,
    raw             bytea NOT NULL,
    PRIMARY KEY (stream, seq, at)
) PARTITION BY RANGE (at);
CREATE INDEX part_line_at ON part (plant, line, at DESC);
CREATE INDEX part_not_ok ON part (plant, line, at DESC) WHERE code <> 1;
CREATE INDEX part_number ON part (node, station, epoch, number);

-- A node with a wrong clock must never stop an insert.
CREATE TABLE part_default PARTITION OF part DEFAULT;

-- Every other row of a ledger: missed, bypassed, epoch, counter, state, alert, eviction.
CREATE TABLE ledger_row (
    stream      text NOT NULL,
    seq         bigint NOT NULL,
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    plant       text NOT NULL,
    line        text NOT NULL,
    node        text NOT NULL,
    kind        text NOT NULL,
    station     text NOT NULL,
    epoch       bigint NOT NULL,
    body        jsonb NOT NULL,
    hash        text NOT NULL,
    raw         bytea NOT NULL,
    PRIMARY KEY (stream, seq)
);
CREATE INDEX ledger_row_kind_at ON ledger_row (plant, line, kind, at DESC);

-- Rows whose bytes are chained but cannot be read or stored; kept for a person to look at.
CREATE TABLE quarantine (
    stream      text NOT NULL,
    seq         bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    node        text NOT NULL,
    station     text,                          -- where it could be read
    epoch       bigint,
    parts       bigint NOT NULL,               -- parts it stands for, as far as it could be read
    reason      text NOT NULL,
    hash        text NOT NULL,
    raw         bytea NOT NULL,
    PRIMARY KEY (stream, seq)
);

-- Messages that were not taken at all; only the newest are kept.
CREATE TABLE refused (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    topic       text NOT NULL,
    reason      text NOT NULL,
    head        bytea NOT NULL                 -- first 4 KiB
);

-- First law per (stream, station, epoch), counted in the same transaction as the rows:
--   triggers = ok + ng + undecided + missed + bypassed + quarantined + open, at each counter row.
-- Second law where the line has the sensors. The formulas are in hub/metrics.py.
CREATE TABLE law (
    stream          text NOT NULL REFERENCES cursor (stream),
    station         text NOT NULL,
    epoch           bigint NOT NULL,
    plant           text NOT NULL,
    line            text NOT NULL,
    node            text NOT NULL,
    counted_by      text,                      -- plc or self; NULL until the epoch row came
    cause           text,
    base            bigint,                    -- parts base+1, base+2, ... belong to the epoch
    plc_start       bigint,
    opened_at       timestamptz,
    ok              bigint NOT NULL DEFAULT 0,
    ng              bigint NOT NULL DEFAULT 0,
    undecided       bigint NOT NULL DEFAULT 0,
    missed          bigint NOT NULL DEFAULT 0,
    bypassed        bigint NOT NULL DEFAULT 0,
    quarantined     bigint NOT NULL DEFAULT 0,
    released        bigint NOT NULL DEFAULT 0, -- of these, parts that the PLC lets pass
    -- at the last counter row
    counter         bigint,
    open            bigint,                    -- triggers not settled at that row
    settled         bigint,                    -- ok+ng+undecided+missed+bypassed+quarantined there
    passed          bigint,                    -- released there
    sampled_at      timestamptz,
    moved_at        timestamptz,               -- the last counter row whose counter had moved
    good            bigint,                    -- PLC's own counts at the last row that had them
    rejected        bigint,
    reject_confirmed bigint,
    plc_bypassed    bigint,
    reject_faults   bigint,
    -- the same at the first counter row that had them: where the second law starts
    first_counter   bigint,
    first_settled   bigint,
    first_passed    bigint,
    first_good      bigint,
    first_rejected  bigint,
    first_reject_confirmed bigint,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, station, epoch)
);
CREATE INDEX law_line ON law (plant, line, station, updated_at DESC);

-- Sums per minute of the node's time. Golden samples (mode sample) are only in `samples`.
-- Counts that know no recipe (missed, bypassed, samples, triggers) stand under recipe = model =
-- mode = ''.
CREATE TABLE minute_count (
    plant           text NOT NULL,
    line            text NOT NULL,
    station         text NOT NULL,
    node            text NOT NULL,
    recipe          text NOT NULL,
    model           text NOT NULL,             -- sha256, '' = none
    mode            text NOT NULL,
    minute          timestamptz NOT NULL,
    ok              bigint NOT NULL DEFAULT 0,
    ng              bigint NOT NULL DEFAULT 0,
    undecided       bigint NOT NULL DEFAULT 0,
    missed          bigint NOT NULL DEFAULT 0,
    bypassed        bigint NOT NULL DEFAULT 0,
    samples         bigint NOT NULL DEFAULT 0,
    triggers        bigint NOT NULL DEFAULT 0, -- steps of the PLC's counter between its samples
    latency_count   bigint NOT NULL DEFAULT 0,
    latency_sum_ms  bigint NOT NULL DEFAULT 0,
    latency_max_ms  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (plant, line, station, node, recipe, model, mode, minute)
);
CREATE INDEX minute_count_minute ON minute_count (minute);

-- What was wrong, per minute: defect classes of NG parts, reasons of undecided, causes of missed.
CREATE TABLE minute_cause (
    plant       text NOT NULL,
    line        text NOT NULL,
    station     text NOT NULL,
    node        text NOT NULL,
    recipe      text NOT NULL,
    model       text NOT NULL,
    mode        text NOT NULL,
    minute      timestamptz NOT NULL,
    kind        text NOT NULL,                 -- defect, undecided, missed
    label       text NOT NULL,                 -- class, reason or cause; '' = not told
    parts       bigint NOT NULL,
    PRIMARY KEY (plant, line, station, node, recipe, model, mode, minute, kind, label)
);
CREATE INDEX minute_cause_minute ON minute_cause (minute);

-- Minutes in which the node was known to be alive (it wrote a row or said its state): coverage.
CREATE TABLE minute_seen (
    node        text NOT NULL,
    minute      timestamptz NOT NULL,
    plant       text NOT NULL,
    line        text NOT NULL,
    PRIMARY KEY (node, minute)
);

-- Pictures named in committed rows; a PUT is accepted only for one of these, from its own node.
CREATE TABLE picture (
    sha256      text NOT NULL,
    node        text NOT NULL,
    kind        text NOT NULL,                 -- picture, thumbnail
    stream      text NOT NULL,                 -- the first part row that named it
    seq         bigint NOT NULL,
    at          timestamptz NOT NULL,
    bytes       bigint,                        -- size, set when it came
    received_at timestamptz,
    evicted_at  timestamptz,                   -- the node deleted it to make room
    PRIMARY KEY (sha256, node)
);

-- The node's newest State message.
CREATE TABLE node_state (
    node        text PRIMARY KEY REFERENCES node (node),
    online      boolean NOT NULL,
    stream      text,
    waiting     bigint NOT NULL,
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,          -- when it was heard; a retained one: its own time
    stations    jsonb NOT NULL                 -- as edge.mqtt.message.StationState
);

-- One cause = one alert. source node: from its alert rows; source hub: found by duties.
CREATE TABLE alert (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL CHECK (source IN ('node', 'hub')),
    plant       text NOT NULL,
    line        text NOT NULL,
    node        text NOT NULL,
    station     text NOT NULL,                 -- '' = the whole node
    code        text NOT NULL,
    active      boolean NOT NULL,
    count       bigint NOT NULL,
    detail      text,
    raised_at   timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    cleared_at  timestamptz
);
CREATE UNIQUE INDEX alert_active ON alert (source, node, station, code) WHERE active;
CREATE INDEX alert_line_at ON alert (plant, line, raised_at DESC);
