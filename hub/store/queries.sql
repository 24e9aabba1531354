-- Every query of the hub, named and described. Parameters are %(name)s; times are aware UTC; a
-- parameter that may be NULL means "any". Loaded by hub/store/queries.py.

-- name: nodes
-- Every node of the hub, with its newest state and the first sequence not stored yet.
SELECT n.plant, n.line, n.node, n.created_at, n.revoked_at, s.online, s.stream, s.waiting,
       s.at, s.received_at, s.stations,
       (SELECT max(c.updated_at) FROM cursor c WHERE c.node = n.node) AS rows_at
FROM node n LEFT JOIN node_state s USING (node)
ORDER BY n.plant, n.line, n.node;

-- name: stations
-- The stations that ever wrote a row on a line: node, station.
SELECT DISTINCT node, station FROM law
WHERE plant = %(plant)s AND line = %(line)s ORDER BY node, station;

-- name: last_not_ok
-- The newest not-OK part of a line (golden samples left out), as in part_detail without raw. A node
-- whose clock is ahead does not stay the newest: its part is as old as its row is here.
SELECT stream, seq, at, received_at, plant, line, node, station, epoch, number, code, reason,
       computed, computed_reason, defect, score, mode, recipe, model, trust, product, batch, serial,
       inspect_ms, latency_ms, views
FROM part
WHERE plant = %(plant)s AND line = %(line)s AND code <> 1 AND mode <> 'sample'
ORDER BY least(at, received_at) DESC, seq DESC LIMIT %(limit)s;

-- name: counts
-- Sums of a period [since, until) per station: ok, ng, undecided, missed, bypassed, samples,
-- triggers, latency_count, latency_sum_ms, latency_max_ms. plant, line, station may be NULL.
SELECT plant, line, station,
       sum(ok)::bigint AS ok, sum(ng)::bigint AS ng, sum(undecided)::bigint AS undecided,
       sum(missed)::bigint AS missed, sum(bypassed)::bigint AS bypassed,
       sum(samples)::bigint AS samples, sum(triggers)::bigint AS triggers,
       sum(latency_count)::bigint AS latency_count, sum(latency_sum_ms)::bigint AS latency_sum_ms,
       max(latency_max_ms)::bigint AS latency_max_ms
FROM minute_count
WHERE minute >= %(since)s AND minute < %(until)s
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
  AND (%(station)s::text IS NULL OR station = %(station)s)
GROUP BY plant, line, station ORDER BY plant, line, station;

-- name: counts_by_bucket
-- As `counts`, of one line, per bucket of `width` (an interval such as '1 minute'): for charts.
SELECT date_bin(%(width)s::interval, minute, %(since)s) AS bucket,
       sum(ok)::bigint AS ok, sum(ng)::bigint AS ng, sum(undecided)::bigint AS undecided,
       sum(missed)::bigint AS missed, sum(bypassed)::bigint AS bypassed,
       sum(samples)::bigint AS samples, sum(triggers)::bigint AS triggers,
       sum(latency_count)::bigint AS latency_count, sum(latency_sum_ms)::bigint AS latency_sum_ms,
       max(latency_max_ms)::bigint AS latency_max_ms
FROM minute_count
WHERE minute >= %(since)s AND minute < %(until)s
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
  AND (%(station)s::text IS NULL OR station = %(station)s)
GROUP BY bucket ORDER BY bucket;

-- name: causes
-- What was wrong in a period: kind (defect, undecided, missed), label, parts; most first.
SELECT kind, label, sum(parts)::bigint AS parts
FROM minute_cause
WHERE minute >= %(since)s AND minute < %(until)s
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
  AND (%(station)s::text IS NULL OR station = %(station)s)
GROUP BY kind, label ORDER BY kind, parts DESC, label;

-- name: latency
-- Percentiles of the latency (ms, sensor edge to echo) of a period's parts, from the rows
-- themselves: parts, p50, p95, p99, max; all NULL without parts.
SELECT count(latency_ms) AS parts,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms) AS p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95,
       percentile_disc(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99,
       max(latency_ms) AS max
FROM part
WHERE at >= %(since)s AND at < %(until)s AND mode <> 'sample'
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
  AND (%(station)s::text IS NULL OR station = %(station)s);

-- name: seen_minutes
-- Minutes of a period in which each node was known to be alive: plant, line, node, minutes.
SELECT plant, line, node, count(*) AS minutes
FROM minute_seen
WHERE minute >= %(since)s AND minute < %(until)s
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
GROUP BY plant, line, node ORDER BY plant, line, node;

-- name: laws_now
-- The newest epoch of each station of a line, every column of `law` (hub.metrics takes this row).
SELECT DISTINCT ON (node, station) *
FROM law
WHERE (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
ORDER BY node, station, opened_at DESC NULLS LAST, epoch DESC, updated_at DESC;

-- name: laws_between
-- Every epoch that was updated in a period: for reports.
SELECT * FROM law
WHERE updated_at >= %(since)s AND coalesce(opened_at, updated_at) < %(until)s
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
ORDER BY plant, line, station, opened_at NULLS LAST, epoch;

-- name: law_by_day
-- The first law per station, epoch and day: what the counter rows of each day added, days cut in
-- `timezone`, of the days first..last. Settled is the sum of the seven counts; `open` is how much more
-- (or less) was under way at the day's last counter row than at the one before the day; base is NULL
-- where the epoch's beginning is not known. hub.metrics.day_law takes a row of it.
WITH ends AS (
    SELECT DISTINCT ON (h.stream, h.station, h.epoch, (h.hour AT TIME ZONE %(timezone)s)::date)
           h.*, (h.hour AT TIME ZONE %(timezone)s)::date AS day
    FROM law_hour h
    WHERE h.hour >= %(first)s::date::timestamp AT TIME ZONE %(timezone)s
      AND h.hour < (%(last)s::date + 1)::timestamp AT TIME ZONE %(timezone)s
    ORDER BY h.stream, h.station, h.epoch, (h.hour AT TIME ZONE %(timezone)s)::date, h.hour DESC
)
SELECT l.plant, l.line, l.node, e.station, e.stream, e.epoch, e.day, l.counted_by, l.base,
       e.counter - coalesce(b.counter, l.base) AS triggers,
       e.ok - coalesce(b.ok, 0) AS ok, e.ng - coalesce(b.ng, 0) AS ng,
       e.undecided - coalesce(b.undecided, 0) AS undecided,
       e.missed - coalesce(b.missed, 0) AS missed,
       e.bypassed - coalesce(b.bypassed, 0) AS bypassed,
       e.quarantined - coalesce(b.quarantined, 0) AS quarantined,
       e.elsewhere - coalesce(b.elsewhere, 0) AS elsewhere,
       e.open - coalesce(b.open, 0) AS open
FROM ends e JOIN law l USING (stream, station, epoch)
LEFT JOIN LATERAL (
    SELECT * FROM law_hour h
    WHERE (h.stream, h.station, h.epoch) = (e.stream, e.station, e.epoch)
      AND h.hour < e.day::timestamp AT TIME ZONE %(timezone)s
    ORDER BY h.hour DESC LIMIT 1
) AS b ON true
WHERE (%(plant)s::text IS NULL OR l.plant = %(plant)s)
  AND (%(line)s::text IS NULL OR l.line = %(line)s)
ORDER BY e.day, l.plant, l.line, e.station, e.stream, e.epoch;

-- name: laws_watched
-- What duties look at: the newest epoch of each station (`newest`), and every other one whose counts
-- cannot be right, every column of `law`. Neither looks at the epochs that are over and balanced.
WITH RECURSIVE place AS (
    (SELECT node, station FROM law ORDER BY node, station LIMIT 1)
    UNION ALL
    SELECT next.node, next.station FROM place,
        LATERAL (SELECT l.node, l.station FROM law l
                 WHERE (l.node, l.station) > (place.node, place.station)
                 ORDER BY l.node, l.station LIMIT 1) AS next
), newest AS (
    SELECT l.* FROM place, LATERAL (
        SELECT * FROM law WHERE law.node = place.node AND law.station = place.station
        ORDER BY opened_at DESC NULLS LAST, epoch DESC, updated_at DESC LIMIT 1) AS l
)
SELECT *, true AS newest FROM newest
UNION ALL
SELECT l.*, false FROM law l
WHERE (l.counter - l.base <> l.settled + l.open
       OR l.counter - l.base
          > l.ok + l.ng + l.undecided + l.missed + l.bypassed + l.quarantined + l.elsewhere)
  AND NOT EXISTS (SELECT FROM newest n WHERE (n.stream, n.station, n.epoch)
                                           = (l.stream, l.station, l.epoch))
ORDER BY plant, line, station, opened_at NULLS LAST, epoch;

-- name: laws_all
-- Every epoch of the hub.
SELECT * FROM law ORDER BY plant, line, station, opened_at NULLS LAST, epoch;

-- name: alerts_active
-- Alerts that stand now, newest first: id, source, node, station, code, count, detail, raised_at;
-- those of a line, or of all; what the hub says of itself (no line) stands with every line's.
SELECT id, source, plant, line, node, station, code, active, count, detail, raised_at, updated_at,
       cleared_at
FROM alert
WHERE active AND (%(plant)s::text IS NULL OR plant IN (%(plant)s, ''))
  AND (%(line)s::text IS NULL OR line IN (%(line)s, ''))
ORDER BY updated_at DESC, id DESC;

-- name: alerts_recent
-- The newest alerts of a line, or of all, standing or cleared; what the hub says of itself too.
SELECT id, source, plant, line, node, station, code, active, count, detail, raised_at, updated_at,
       cleared_at
FROM alert
WHERE (%(plant)s::text IS NULL OR plant IN (%(plant)s, ''))
  AND (%(line)s::text IS NULL OR line IN (%(line)s, ''))
ORDER BY raised_at DESC, id DESC LIMIT %(limit)s;

-- name: part_detail
-- One part with everything, raw included (the bytes that were hashed).
SELECT * FROM part WHERE stream = %(stream)s AND seq = %(seq)s;

-- name: node_by_token
-- The node that a token belongs to, by the sha256 of the token (hex): node, plant, line; not revoked.
SELECT node, plant, line FROM node WHERE token_hash = %(token_hash)s AND revoked_at IS NULL;

-- name: picture
-- A picture that a committed row names: sha256, node, kind, bytes, received_at, evicted_at,
-- purged_at. Pass node = NULL to look for it whoever sent it (pages); with node for an upload.
SELECT sha256, node, kind, stream, seq, at, bytes, received_at, evicted_at, purged_at FROM picture
WHERE sha256 = %(sha256)s AND (%(node)s::text IS NULL OR node = %(node)s)
ORDER BY received_at NULLS LAST LIMIT 1;
