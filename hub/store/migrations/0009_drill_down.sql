-- Parts by hour and day with every dimension, for questions that no page asks (Grafana, psql). UTC. Where
-- TimescaleDB is, aggregates that are kept up take their place (migrations/timescale).
CREATE VIEW part_by_hour AS
SELECT date_trunc('hour', at, 'UTC') AS hour, plant, line, station, recipe, model, mode, code, reason,
       defect, count(*) AS parts, count(latency_ms) AS latency_count,
       sum(latency_ms) AS latency_sum_ms, max(latency_ms) AS latency_max_ms
FROM part GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10;

CREATE VIEW part_by_day AS
SELECT date_trunc('day', hour, 'UTC') AS day, plant, line, station, recipe, model, mode, code, reason,
       defect, sum(parts)::bigint AS parts, sum(latency_count)::bigint AS latency_count,
       sum(latency_sum_ms) AS latency_sum_ms, max(latency_max_ms) AS latency_max_ms
FROM part_by_hour GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10;
