-- What leaves the database: weeks of rows into sealed archives, old logs; and the hub's own chain, in
-- which every such step is an entry.

-- Entries of the hub, chained as the rows of a node are: hash = sha256(previous hash + seq + "at_ms
-- kind body"). Only ever inserted, by hub/store/chain.py.
CREATE TABLE hub_chain (
    seq         bigint PRIMARY KEY,
    at          timestamptz NOT NULL,          -- whole milliseconds
    kind        text NOT NULL,                 -- archive, purge
    body        text NOT NULL,                 -- JSON, the bytes that were hashed
    prev_hash   text NOT NULL,
    hash        text NOT NULL UNIQUE
);

CREATE FUNCTION insert_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only: % refused', TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER hub_chain_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON hub_chain
    FOR EACH STATEMENT EXECUTE FUNCTION insert_only();

-- Rows [since, until) that something still stands on, such as a frozen report: they stay in the
-- database until keep_until, whatever [retention] says.
CREATE TABLE hold (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what        text NOT NULL,                 -- what stands on them, e.g. the number of a report
    reason      text NOT NULL,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    keep_until  timestamptz NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (since < until),
    CHECK (keep_until >= until + interval '36 months')
);

-- Weeks that left the database. The file is named after the number; its sha256 is in hub_chain too.
CREATE TABLE archive (
    number      bigint PRIMARY KEY,
    file        text NOT NULL UNIQUE,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    rows        bigint NOT NULL,
    parts       bigint NOT NULL,
    bytes       bigint NOT NULL,
    sha256      text NOT NULL,
    sealed_at   timestamptz NOT NULL DEFAULT now()
);

-- Rows first..last of a stream are in that archive; hash is of row last, from which the next goes on.
CREATE TABLE archive_run (
    archive     bigint NOT NULL REFERENCES archive (number),
    stream      text NOT NULL REFERENCES cursor (stream),
    first       bigint NOT NULL,
    last        bigint NOT NULL,
    hash        text NOT NULL,
    PRIMARY KEY (stream, first)
);

-- Refused messages beyond the newest, counted per hour, so that the log goes back far and stays small.
CREATE TABLE refused_hour (
    hour        timestamptz NOT NULL,
    topic       text NOT NULL,                 -- its first 200 characters
    reason      text NOT NULL,                 -- its first 80
    times       bigint NOT NULL,
    PRIMARY KEY (hour, topic, reason)
);

-- Starts of the weeks (of 1970-01-01 and every seventh day) in which rows can lie: those of partitions
-- and chunks, and of rows in default partitions.
CREATE FUNCTION stored_weeks() RETURNS SETOF timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    origin constant timestamptz := '1970-01-01 00:00+00';
BEGIN
    RETURN QUERY
    SELECT DISTINCT date_bin('7 days', from_text::timestamptz, origin)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
         substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']+)''\)') AS from_text
    WHERE i.inhparent IN ('part'::regclass, 'ledger_row'::regclass, 'quarantine'::regclass)
      AND from_text IS NOT NULL;
    IF to_regclass('part_default') IS NOT NULL THEN
        RETURN QUERY SELECT DISTINCT date_bin('7 days', at, origin) FROM part_default;
    END IF;
    IF to_regclass('ledger_row_default') IS NOT NULL THEN
        RETURN QUERY SELECT DISTINCT date_bin('7 days', at, origin) FROM ledger_row_default;
    END IF;
    RETURN QUERY SELECT DISTINCT date_bin('7 days', received_at, origin) FROM quarantine_default;
    IF to_regclass('timescaledb_information.chunks') IS NOT NULL THEN
        RETURN QUERY EXECUTE
            'SELECT DISTINCT date_bin(''7 days'', range_start, $1) FROM timescaledb_information.chunks
             WHERE hypertable_name IN (''part'', ''ledger_row'')' USING origin;
    END IF;
END $$;

-- Takes every row [since, until) out of the three tables, by dropping what holds nothing else.
CREATE FUNCTION drop_rows(since timestamptz, until timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.oid::regclass::text
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
             regexp_match(pg_get_expr(c.relpartbound, c.oid),
                          'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS bound
        WHERE i.inhparent IN ('part'::regclass, 'ledger_row'::regclass, 'quarantine'::regclass)
          AND bound[1]::timestamptz >= since AND bound[2]::timestamptz <= until
    LOOP
        EXECUTE format('DROP TABLE %s', name);
    END LOOP;
    IF to_regclass('timescaledb_information.hypertables') IS NOT NULL THEN
        FOR name IN EXECUTE
            'SELECT hypertable_name::text FROM timescaledb_information.hypertables
             WHERE hypertable_name IN (''part'', ''ledger_row'')'
        LOOP
            EXECUTE 'SELECT drop_chunks($1::regclass, older_than => $2, newer_than => $3)'
                USING name, until, since;
        END LOOP;
    END IF;
    DELETE FROM part WHERE at >= since AND at < until;
    DELETE FROM ledger_row WHERE at >= since AND at < until;
    DELETE FROM quarantine WHERE received_at >= since AND received_at < until;
END $$;
