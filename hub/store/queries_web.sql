-- Queries that only the pages ask. Same form as queries.sql: named, described, %(name)s parameters.

-- name: parts_page
-- One page of parts of a period, newest first, filtered (NULL = any); not_ok true = every code but
-- OK; model = the first hex digits of its hash. The next page starts after the last row shown:
-- after_at, after_seq, after_stream. A stream breaks ties, as two nodes may close parts in the same
-- millisecond.
SELECT stream, seq, at, plant, line, node, station, epoch, number, code, reason, computed,
       computed_reason, defect, score, mode, recipe, model, trust, product, batch, serial,
       inspect_ms, latency_ms, views
FROM part
WHERE at >= %(since)s AND at < %(until)s
  AND (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
  AND (%(station)s::text IS NULL OR station = %(station)s)
  AND (%(code)s::smallint IS NULL OR code = %(code)s)
  AND (NOT %(not_ok)s::boolean OR code <> 1)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(defect)s::text IS NULL OR defect = %(defect)s)
  AND (%(recipe)s::text IS NULL OR recipe = %(recipe)s)
  AND (%(model)s::text IS NULL OR starts_with(model, %(model)s))
  AND (%(number)s::bigint IS NULL OR number = %(number)s)
  AND (%(after_at)s::timestamptz IS NULL
       OR (at, seq, stream) < (%(after_at)s, %(after_seq)s::bigint, %(after_stream)s::text))
ORDER BY at DESC, seq DESC, stream DESC LIMIT %(limit)s;

-- name: choices
-- What the filters of the parts page offer for a period: kind (plant, line, station, recipe, model,
-- defect, undecided, missed), label.
SELECT DISTINCT 'plant' AS kind, plant AS label FROM node
UNION SELECT 'line', line FROM node
UNION SELECT 'station', station FROM law
UNION SELECT 'recipe', recipe FROM minute_count
WHERE minute >= %(since)s AND minute < %(until)s AND recipe <> ''
UNION SELECT 'model', model FROM minute_count
WHERE minute >= %(since)s AND minute < %(until)s AND model <> ''
UNION SELECT kind, label FROM minute_cause
WHERE minute >= %(since)s AND minute < %(until)s AND label <> ''
ORDER BY kind, label;

-- name: pictures_of
-- What became of pictures, by their hashes: sha256, received (the file is here), evicted (by the
-- node), purged (by the hub).
SELECT sha256, bool_or(received_at IS NOT NULL AND purged_at IS NULL) AS received,
       bool_or(evicted_at IS NOT NULL) AS evicted, bool_or(purged_at IS NOT NULL) AS purged
FROM picture WHERE sha256 = ANY(%(hashes)s) GROUP BY sha256;

-- name: picture_arrived
-- The picture's file is on disk: sets bytes, class and received_at, and tells the screens of the
-- node's line; nothing if no row of that node names it.
WITH arrived AS (
    UPDATE picture p SET bytes = %(bytes)s, received_at = coalesce(received_at, now()),
        class = CASE WHEN kind = 'thumbnail' THEN 'thumbnail'
                     WHEN EXISTS (SELECT FROM part q WHERE q.stream = p.stream AND q.seq = p.seq
                                                       AND q.code = 1) THEN 'ok'
                     ELSE 'not_ok' END
    WHERE sha256 = %(sha256)s AND node = %(node)s
    RETURNING sha256, node, kind, bytes, received_at
)
SELECT arrived.*, pg_notify('qj_line', json_build_object(
    'kind', 'picture', 'plant', n.plant, 'line', n.line, 'node', n.node)::text) AS told
FROM arrived JOIN node n USING (node);

-- name: line_nodes
-- The nodes of a line (NULL = of every line) as they said last, and when their last row was stored:
-- plant, line, node, online (and not found silent by duties), waiting, at, stations (StationState
-- as JSON), rows_at.
SELECT n.plant, n.line, n.node,
       s.online AND NOT EXISTS (
           SELECT FROM alert a WHERE a.active AND a.source = 'hub' AND a.node = n.node
                                 AND a.code = 'node_offline') AS online,
       s.waiting, s.at, s.stations,
       (SELECT max(c.updated_at) FROM cursor c WHERE c.node = n.node AND c.next > 1) AS rows_at
FROM node n LEFT JOIN node_state s USING (node)
WHERE n.revoked_at IS NULL
  AND (%(plant)s::text IS NULL OR n.plant = %(plant)s)
  AND (%(line)s::text IS NULL OR n.line = %(line)s)
ORDER BY n.plant, n.line, n.node;

-- name: alive
-- Whether the database answers.
SELECT 1 AS alive;
