-- The optional layer where the server has TimescaleDB (licence timescale): the two tables of rows
-- become hypertables in chunks of the same weeks, chunks older than two of them are compressed, and
-- views by hour and day become aggregates that are kept up. Names and columns stay, so every query
-- is the same on both.
DROP VIEW part_by_day;
DROP VIEW part_by_hour;

ALTER TABLE part RENAME TO part_plain;
CREATE TABLE part (LIKE part_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
SELECT create_hypertable('part', by_range('at', INTERVAL '7 days'), create_default_indexes => false);
INSERT INTO part SELECT * FROM part_plain;
DROP TABLE part_plain;

ALTER TABLE ledger_row RENAME TO ledger_row_plain;
CREATE TABLE ledger_row
    (LIKE ledger_row_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
SELECT create_hypertable('ledger_row', by_range('at', INTERVAL '7 days'),
                         create_default_indexes => false);
INSERT INTO ledger_row SELECT * FROM ledger_row_plain;
DROP TABLE ledger_row_plain;

-- A stream's rows lie together and in order: what a chain check or a page of one part asks for.
ALTER TABLE part SET (timescaledb.compress, timescaledb.compress_segmentby = 'stream',
                      timescaledb.compress_orderby = 'at, seq');
ALTER TABLE ledger_row SET (timescaledb.compress, timescaledb.compress_segmentby = 'stream',
                            timescaledb.compress_orderby = 'at, seq');
SELECT add_compression_policy('part', INTERVAL '14 days');
SELECT add_compression_policy('ledger_row', INTERVAL '14 days');

-- Not materialized only: the newest hours are counted from the rows. A row that comes late into hours
-- that were kept up already is seen after the next refresh of them.
CREATE MATERIALIZED VIEW part_by_hour
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', at) AS hour, plant, line, station, recipe, model, mode, code, reason,
       defect, count(*) AS parts, count(latency_ms) AS latency_count,
       sum(latency_ms) AS latency_sum_ms, max(latency_ms) AS latency_max_ms
FROM part GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
WITH NO DATA;
SELECT add_continuous_aggregate_policy('part_by_hour', start_offset => INTERVAL '31 days',
    end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour');

CREATE MATERIALIZED VIEW part_by_day
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 day', hour) AS day, plant, line, station, recipe, model, mode, code, reason,
       defect, sum(parts)::bigint AS parts, sum(latency_count)::bigint AS latency_count,
       sum(latency_sum_ms) AS latency_sum_ms, max(latency_max_ms) AS latency_max_ms
FROM part_by_hour GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
WITH NO DATA;
SELECT add_continuous_aggregate_policy('part_by_day', start_offset => INTERVAL '62 days',
    end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '1 day');
