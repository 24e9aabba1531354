-- What ingest, duties and the node registry ask and write. See queries.sql for the form.

-- name: node_may_write
-- The node of a topic, if it is registered there and not revoked.
SELECT node FROM node
WHERE node = %(node)s AND plant = %(plant)s AND line = %(line)s AND revoked_at IS NULL;

-- name: node_added
-- Registers a node; returns nothing if its name is taken.
INSERT INTO node (node, plant, line, token_hash)
VALUES (%(node)s, %(plant)s, %(line)s, %(token_hash)s)
ON CONFLICT (node) DO NOTHING
RETURNING node;

-- name: node_token
-- Gives a node a new token and takes back a revocation; returns nothing if it is not known.
UPDATE node SET token_hash = %(token_hash)s, revoked_at = NULL WHERE node = %(node)s
RETURNING node, plant, line;

-- name: node_revoked
-- From now on nothing of this node is taken and its one-time token is worth nothing; what it wrote
-- stays. Locks the node, as certificates_revoked wants it.
WITH token AS (
    DELETE FROM enrolment WHERE node = %(node)s
)
UPDATE node SET revoked_at = coalesce(revoked_at, now()) WHERE node = %(node)s RETURNING node;

-- name: node_locked
-- Until the transaction ends nobody signs for this node or revokes anything of it.
SELECT node FROM node WHERE node = %(node)s FOR NO KEY UPDATE;

-- name: cursor_locked
-- The cursor of a stream, locked until the transaction ends; may_write: as node_may_write; known: the
-- newest moment that the store is sure of.
SELECT c.node, c.next, c.hash, c.started_at, now() AS now, c.root,
       (SELECT greatest(max(applied_at), (SELECT seen FROM clock)) FROM migration) AS known,
       EXISTS (SELECT FROM cursor o WHERE o.root = c.root AND o.stream <> c.stream) AS branched,
       EXISTS (SELECT FROM node n WHERE n.node = %(node)s AND n.plant = %(plant)s
               AND n.line = %(line)s AND n.revoked_at IS NULL) AS may_write
FROM cursor c WHERE c.stream = %(stream)s FOR UPDATE OF c;

-- name: stream_known
-- Makes the cursor of a new stream.
INSERT INTO cursor (stream, plant, line, node, next, checked, hash, checked_hash, begins, follows,
                    root)
VALUES (%(stream)s, %(plant)s, %(line)s, %(node)s, %(next)s, %(next)s, %(hash)s, %(hash)s,
        %(begins)s, %(follows)s, %(root)s)
ON CONFLICT (stream) DO NOTHING;

-- name: gap_declared
-- Rows first..last of a stream are lost: the node no longer holds them and the hub never got them;
-- or, with held_by, they are the rows of the stream that this one branched off from.
INSERT INTO gap (stream, first, last, held_by)
VALUES (%(stream)s, %(first)s, %(last)s, %(held_by)s)
ON CONFLICT DO NOTHING;

-- name: laws_of
-- The laws that some rows touch, each with its stream. wanted: JSON, [{stream, station, epoch}, ...].
SELECT l.* FROM json_to_recordset(%(wanted)s::json) AS w(stream text, station text, epoch bigint)
JOIN law l USING (stream, station, epoch);

-- name: batch_added
-- What a batch adds up to, in one statement, and the cursor after it. laws, hours, minutes, causes,
-- seen, pictures: JSON, rows as in their tables. The cursor's lock makes this the only writer of its
-- laws; minutes are added to; a picture that was named before stays as it was. The rows of the batch
-- stand between `low` and `high`, `misplaced` of them at their arrival; chain checks have still to
-- look at them.
WITH added_laws AS (
    INSERT INTO law (stream, plant, line, node, station, epoch, counted_by, cause, base, plc_start,
                     opened_at, ok, ng, undecided, missed, bypassed, quarantined, released, counter,
                     open, settled, passed, sampled_at, moved_at, good, rejected, reject_confirmed,
                     plc_bypassed, reject_faults, first_counter, first_settled, first_passed,
                     first_good, first_rejected, first_reject_confirmed, origin,
                     elsewhere)
    SELECT stream, plant, line, node, station, epoch, counted_by, cause, base, plc_start,
           opened_at, ok, ng, undecided, missed, bypassed, quarantined, released, counter,
           open, settled, passed, sampled_at, moved_at, good, rejected, reject_confirmed,
           plc_bypassed, reject_faults, first_counter, first_settled, first_passed,
           first_good, first_rejected, first_reject_confirmed,
           coalesce(origin, stream), elsewhere
    FROM json_populate_recordset(NULL::law, %(laws)s::json)
    ON CONFLICT (stream, station, epoch) DO UPDATE SET
        (counted_by, cause, base, plc_start, opened_at, ok, ng, undecided, missed, bypassed,
         quarantined, released, counter, open, settled, passed, sampled_at, moved_at, good, rejected,
         reject_confirmed, plc_bypassed, reject_faults, first_counter, first_settled, first_passed,
         first_good, first_rejected, first_reject_confirmed, elsewhere, updated_at) =
        (excluded.counted_by, excluded.cause, excluded.base, excluded.plc_start, excluded.opened_at,
         excluded.ok, excluded.ng, excluded.undecided, excluded.missed, excluded.bypassed,
         excluded.quarantined, excluded.released, excluded.counter, excluded.open, excluded.settled,
         excluded.passed, excluded.sampled_at, excluded.moved_at, excluded.good, excluded.rejected,
         excluded.reject_confirmed, excluded.plc_bypassed, excluded.reject_faults,
         excluded.first_counter, excluded.first_settled, excluded.first_passed, excluded.first_good,
         excluded.first_rejected, excluded.first_reject_confirmed, excluded.elsewhere, now())
), added_hours AS (
    INSERT INTO law_hour (stream, station, epoch, hour, ok, ng, undecided, missed, bypassed,
                          quarantined, elsewhere, counter, open)
    SELECT stream, station, epoch, hour, ok, ng, undecided, missed, bypassed, quarantined,
           elsewhere, counter, open
    FROM json_populate_recordset(NULL::law_hour, %(hours)s::json)
    ON CONFLICT (stream, station, epoch, hour) DO UPDATE SET
        (ok, ng, undecided, missed, bypassed, quarantined, elsewhere, counter, open) =
        (excluded.ok, excluded.ng, excluded.undecided, excluded.missed, excluded.bypassed,
         excluded.quarantined, excluded.elsewhere, excluded.counter, excluded.open)
), added_minutes AS (
    INSERT INTO minute_count AS m (plant, line, station, node, recipe, model, mode, minute, ok, ng,
                                   undecided, missed, bypassed, samples, triggers, latency_count,
                                   latency_sum_ms, latency_max_ms)
    SELECT plant, line, station, node, recipe, model, mode, minute, ok, ng, undecided, missed, bypassed,
           samples, triggers, latency_count, latency_sum_ms, latency_max_ms
    FROM json_populate_recordset(NULL::minute_count, %(minutes)s::json)
    ON CONFLICT (plant, line, station, node, recipe, model, mode, minute) DO UPDATE SET
        ok = m.ok + excluded.ok,
        ng = m.ng + excluded.ng,
        undecided = m.undecided + excluded.undecided,
        missed = m.missed + excluded.missed,
        bypassed = m.bypassed + excluded.bypassed,
        samples = m.samples + excluded.samples,
        triggers = m.triggers + excluded.triggers,
        latency_count = m.latency_count + excluded.latency_count,
        latency_sum_ms = m.latency_sum_ms + excluded.latency_sum_ms,
        latency_max_ms = greatest(m.latency_max_ms, excluded.latency_max_ms)
), added_causes AS (
    INSERT INTO minute_cause AS m (plant, line, station, node, recipe, model, mode, minute, kind, label,
                                   parts)
    SELECT plant, line, station, node, recipe, model, mode, minute, kind, label, parts
    FROM json_populate_recordset(NULL::minute_cause, %(causes)s::json)
    ON CONFLICT (plant, line, station, node, recipe, model, mode, minute, kind, label) DO UPDATE SET
        parts = m.parts + excluded.parts
), added_seen AS (
    INSERT INTO minute_seen (node, minute, plant, line)
    SELECT node, minute, plant, line FROM json_populate_recordset(NULL::minute_seen, %(seen)s::json)
    ON CONFLICT DO NOTHING
), added_pictures AS (
    INSERT INTO picture (sha256, node, kind, stream, seq, at)
    SELECT sha256, node, kind, stream, seq, at
    FROM json_populate_recordset(NULL::picture, %(pictures)s::json)
    ON CONFLICT DO NOTHING
)
UPDATE cursor SET next = %(next)s, hash = %(hash)s, updated_at = now(),
    unchecked_at = coalesce(unchecked_at, now()),
    unchecked_low = least(unchecked_low, %(low)s), unchecked_high = greatest(unchecked_high, %(high)s),
    misplaced = misplaced + %(misplaced)s,
    misplaced_at = CASE WHEN %(misplaced)s > 0 THEN now() ELSE misplaced_at END
WHERE stream = %(stream)s;

-- name: seen_now
-- The node is alive in this minute.
INSERT INTO minute_seen (node, minute, plant, line)
VALUES (%(node)s, date_trunc('minute', now()), %(plant)s, %(line)s) ON CONFLICT DO NOTHING;

-- name: pictures_evicted
-- The node deleted pictures to make room. rows: JSON, as in the table.
UPDATE picture p SET evicted_at = r.evicted_at
FROM json_populate_recordset(NULL::picture, %(rows)s::json) AS r
WHERE p.sha256 = r.sha256 AND p.node = r.node;

-- name: alert_raised
-- An alert stands: a new one, or the same counted up.
INSERT INTO alert (source, plant, line, node, station, code, active, count, detail, raised_at,
                   updated_at)
VALUES (%(source)s, %(plant)s, %(line)s, %(node)s, %(station)s, %(code)s, true, %(count)s,
        %(detail)s, %(at)s, %(at)s)
ON CONFLICT (source, node, station, code) WHERE active DO UPDATE SET
    count = excluded.count, detail = excluded.detail, updated_at = excluded.updated_at;

-- name: alert_cleared
-- The cause is gone; returns the alert if it stood.
UPDATE alert SET active = false, cleared_at = %(at)s, updated_at = %(at)s
WHERE active AND source = %(source)s AND node = %(node)s AND station = %(station)s
  AND code = %(code)s
RETURNING plant, line, node, station, code;

-- name: state_heard
-- The node's newest State. The last will knows no stations: what was known is kept.
INSERT INTO node_state AS s (node, online, stream, waiting, at, received_at, stations)
VALUES (%(node)s, %(online)s, %(stream)s, %(waiting)s, %(at)s,
        CASE WHEN %(retained)s THEN %(at)s ELSE now() END, %(stations)s)
ON CONFLICT (node) DO UPDATE SET
    online = excluded.online,
    stream = coalesce(excluded.stream, s.stream),
    waiting = CASE WHEN excluded.online THEN excluded.waiting ELSE s.waiting END,
    at = greatest(excluded.at, s.at),
    received_at = CASE WHEN %(retained)s THEN s.received_at ELSE now() END,
    stations = CASE WHEN excluded.online THEN excluded.stations ELSE s.stations END;

-- name: refused_kept
-- The beginning of a message that was not taken.
INSERT INTO refused (topic, reason, head) VALUES (%(topic)s, %(reason)s, %(head)s);

-- name: refused_trimmed
-- Keeps the newest messages as they came and counts the older ones per hour, topic and reason, which
-- is told without its numbers, ledgers and quoted words; an hour has at most `kinds` of these, and one
-- more row for all others: senders choose topic and reason, and must not fill the disk with them.
WITH older AS (
    DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - %(keep)s
    RETURNING date_trunc('hour', received_at) AS hour, left(topic, 200) AS topic,
              left(regexp_replace(reason, '`[^`]*`|[0-9a-f]{8,}|[0-9]+', '#', 'g'), 80) AS reason
), kinds AS (
    SELECT hour, topic, reason, count(*) AS times FROM older GROUP BY hour, topic, reason
), ranked AS (
    SELECT k.*, h.times IS NOT NULL AS known,
           (SELECT count(*) FROM refused_hour r WHERE r.hour = k.hour) + row_number() OVER
               (PARTITION BY k.hour, h.times IS NULL ORDER BY k.times DESC, k.topic, k.reason) AS place
    FROM kinds k LEFT JOIN refused_hour h USING (hour, topic, reason)
), named AS (
    SELECT hour, times, CASE WHEN known OR place <= %(kinds)s THEN topic ELSE '' END AS topic,
           CASE WHEN known OR place <= %(kinds)s THEN reason ELSE 'others' END AS reason
    FROM ranked
)
INSERT INTO refused_hour AS h (hour, topic, reason, times)
SELECT hour, topic, reason, sum(times) FROM named GROUP BY hour, topic, reason
ON CONFLICT (hour, topic, reason) DO UPDATE SET times = h.times + excluded.times;

-- name: duties_lead
-- True if this session now leads the duties (until it ends).
SELECT pg_try_advisory_lock(%(lock)s) AS lead;

-- name: clock_kept
-- What is known of the time: seen, jumped (of `clock`), migrated (the newest migration), now (here).
SELECT seen, jumped, (SELECT max(applied_at) FROM migration) AS migrated, now() AS now FROM clock;

-- name: clock_seen
-- What is known of the time after a round of duties.
UPDATE clock SET seen = %(seen)s, jumped = %(jumped)s;

-- name: unchecked
-- Streams whose rows were not all re-verified yet, the longest waiting first; where those rows stand.
SELECT stream, plant, line, node, checked, next, checked_hash, unchecked_low, unchecked_high
FROM cursor WHERE checked < next ORDER BY unchecked_at NULLS FIRST, stream;

-- name: unchecked_age
-- How long the oldest row of each node waits that is not verified yet, in seconds, and its stream.
SELECT DISTINCT ON (node) plant, line, node, stream,
       extract(epoch FROM now() - unchecked_at)::float AS age_s
FROM cursor WHERE checked < next AND unchecked_at IS NOT NULL AND stream <> ALL (%(but)s::text[])
ORDER BY node, unchecked_at;

-- name: chain_checked
-- Rows [first, after) of a stream in order, of every table, hashed by the database as a node hashes
-- them, from `before` on (hash of row first - 1; NULL = not known, as after a gap: row `first` is
-- believed). rows, highest, last_hash, received_at (newest); twice: a number that stands twice; wrong:
-- the first row whose hash does not follow; jumps: ranges of numbers that are not there. low and high
-- are where the rows stand, so that no other partition is looked at.
WITH found AS (
    SELECT seq, hash, raw, received_at FROM part
    WHERE stream = %(stream)s AND seq >= %(first)s AND seq < %(after)s
      AND at >= %(low)s AND at <= %(high)s
    UNION ALL
    SELECT seq, hash, raw, received_at FROM ledger_row
    WHERE stream = %(stream)s AND seq >= %(first)s AND seq < %(after)s
      AND at >= %(low)s AND at <= %(high)s
    UNION ALL
    SELECT seq, hash, raw, received_at FROM quarantine
    WHERE stream = %(stream)s AND seq >= %(first)s AND seq < %(after)s
), linked AS (
    SELECT seq, hash, raw, received_at, lag(seq, 1, %(first)s::bigint - 1) OVER w AS seq_before,
           lag(hash, 1, %(before)s::text) OVER w AS hash_before
    FROM found WINDOW w AS (ORDER BY seq)
)
SELECT count(*) AS rows, max(seq) AS highest, max(received_at) AS received_at,
       (SELECT hash FROM found ORDER BY seq DESC LIMIT 1) AS last_hash,
       min(seq) FILTER (WHERE seq_before = seq) AS twice,
       min(seq) FILTER (WHERE seq_before = seq - 1 AND hash_before IS NOT NULL AND CASE
           WHEN hash_before ~ '^[0-9a-f]{64}$' THEN encode(
               sha256(decode(hash_before, 'hex') || int8send(seq) || raw), 'hex') <> hash
           ELSE true END) AS wrong,
       array_agg(ARRAY[seq_before + 1, seq - 1] ORDER BY seq)
           FILTER (WHERE seq_before < seq - 1) AS jumps
FROM linked;

-- name: gaps
-- Declared gaps of a stream in order: first, last.
SELECT first, last FROM gap WHERE stream = %(stream)s ORDER BY first;

-- name: gaps_all
-- Every range of lost rows: plant, line, node, stream, first, last, declared_at.
SELECT c.plant, c.line, c.node, g.stream, g.first, g.last, g.declared_at
FROM gap g JOIN cursor c USING (stream) WHERE g.held_by IS NULL ORDER BY g.declared_at;

-- name: checked_moved
-- Rows of a stream below `checked` were re-verified; `hash` is that of the last of them, received_at
-- when the newest of them came. Rows that came since stay to be verified.
UPDATE cursor SET checked = %(checked)s, checked_hash = %(hash)s,
    unchecked_at = CASE WHEN next <= %(checked)s THEN NULL
                        ELSE greatest(unchecked_at, %(received_at)s) END,
    unchecked_low = CASE WHEN next <= %(checked)s THEN NULL ELSE unchecked_low END,
    unchecked_high = CASE WHEN next <= %(checked)s THEN NULL ELSE unchecked_high END
WHERE stream = %(stream)s;

-- name: quarantined
-- Rows in quarantine per node and stream: plant, line, node, stream, rows, parts.
SELECT c.plant, c.line, c.node, q.stream, count(*) AS rows, sum(q.parts)::bigint AS parts
FROM quarantine q JOIN cursor c USING (stream)
GROUP BY c.plant, c.line, c.node, q.stream ORDER BY c.node, q.stream;

-- name: misplaced
-- Streams with rows of the last `hours` that stand at their arrival, as their time could not be true.
SELECT plant, line, node, stream, misplaced FROM cursor
WHERE misplaced_at > now() - make_interval(hours => %(hours)s) ORDER BY node, stream;

-- name: hub_alerts
-- The hub's own standing alerts: node, station, code.
SELECT plant, line, node, station, code, detail FROM alert WHERE active AND source = 'hub';

-- name: lines_told
-- Tells the pages of several lines at once.
SELECT pg_notify('qj_line', told) FROM unnest(%(payloads)s::text[]) AS told;

-- name: line_told
-- Tells the pages that something about a line changed.
SELECT pg_notify('qj_line', %(payload)s);

-- name: epoch_keys
-- The epochs the hub knows: stream, station, epoch. The demo tells its own run by them.
SELECT stream, station, epoch FROM law;

-- name: epoch_parts
-- The part rows of one epoch: number, code, computed, and the PLC start they belong to.
SELECT p.number, p.code, p.computed, l.plc_start
FROM part p JOIN law l USING (stream, station, epoch)
WHERE p.stream = %(stream)s AND p.station = %(station)s AND p.epoch = %(epoch)s;

-- name: epoch_verdicts
-- The part rows of one epoch with what each view saw, in order of their numbers.
SELECT number, code, reason, defect, score, inspect_ms, latency_ms, views
FROM part
WHERE stream = %(stream)s AND station = %(station)s AND epoch = %(epoch)s
ORDER BY number;

-- name: epoch_unjudged
-- Parts in the missed, bypassed and quarantined rows of one epoch, counted from the rows.
SELECT coalesce((SELECT sum((body->>'last')::bigint
                          - greatest((body->>'first')::bigint, l.base + 1) + 1)
                 FROM ledger_row r JOIN law l USING (stream, station, epoch)
                 WHERE r.stream = %(stream)s AND r.station = %(station)s AND r.epoch = %(epoch)s
                   AND r.kind IN ('missed', 'bypassed') AND (body->>'last')::bigint > l.base), 0
       )::bigint
     + coalesce((SELECT sum(parts) FROM quarantine
                 WHERE stream = %(stream)s AND station = %(station)s AND epoch = %(epoch)s), 0
       )::bigint AS parts;

-- name: node_waiting
-- How the node stands, for the demo: online, waiting, stations.
SELECT online, waiting, at, stations FROM node_state WHERE node = %(node)s;
