-- Retention: partitions, archives, holds, the hub's own chain. Same form as queries.sql.

-- name: partitioned
-- The tables of rows that are cut into partitions here, and where the newest partition ends that
-- does not begin after `last`.
SELECT p.relname::text AS relation,
       max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz)
           FILTER (WHERE substring(pg_get_expr(c.relpartbound, c.oid)
                                   FROM 'FROM \(''([^'']+)''\)')::timestamptz <= %(last)s)
           AS newest
FROM pg_class p LEFT JOIN (pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid)
     ON i.inhparent = p.oid
WHERE p.oid IN ('part'::regclass, 'ledger_row'::regclass, 'quarantine'::regclass)
  AND p.relkind = 'p'
GROUP BY p.relname ORDER BY p.relname;

-- name: weeks_due
-- Weeks [since, until) to archive before `horizon`, the oldest first: over by then (or absurdly far
-- ahead of `now`, from a wrong clock) and held by nothing.
SELECT week AS since, week + interval '7 days' AS until
FROM (SELECT DISTINCT week FROM stored_weeks() AS week) AS weeks
WHERE (week + interval '7 days' <= %(horizon)s OR week > %(now)s::timestamptz + interval '1 year')
  AND NOT EXISTS (SELECT FROM hold h WHERE h.keep_until > %(now)s
                                       AND h.since < week + interval '7 days' AND h.until > week)
ORDER BY week;

-- name: week_counted
-- What is stored of [since, until): rows, when the newest came, and how many streams have rows
-- there whose chain was not verified yet.
WITH inside AS (
    SELECT stream, seq, received_at FROM part WHERE at >= %(since)s AND at < %(until)s
    UNION ALL
    SELECT stream, seq, received_at FROM ledger_row WHERE at >= %(since)s AND at < %(until)s
    UNION ALL
    SELECT stream, seq, received_at FROM quarantine
    WHERE received_at >= %(since)s AND received_at < %(until)s
), streams AS (
    SELECT stream, count(*) AS rows, max(seq) AS last, max(received_at) AS newest
    FROM inside GROUP BY stream
)
SELECT coalesce(sum(s.rows), 0)::bigint AS rows, max(s.newest) AS newest,
       count(*) FILTER (WHERE s.last >= c.checked) AS unverified
FROM streams s LEFT JOIN cursor c USING (stream);

-- name: week_rows
-- Every row of [since, until) by stream and sequence, with what its bytes do not say themselves.
SELECT 'part' AS relation, stream, seq, at, received_at, node, hash, raw,
       NULL AS station, NULL::bigint AS epoch, NULL::bigint AS parts, NULL AS reason
FROM part WHERE at >= %(since)s AND at < %(until)s
UNION ALL
SELECT 'ledger_row', stream, seq, at, received_at, node, hash, raw, NULL, NULL, NULL, NULL
FROM ledger_row WHERE at >= %(since)s AND at < %(until)s
UNION ALL
SELECT 'quarantine', stream, seq, NULL, received_at, node, hash, raw, station, epoch, parts, reason
FROM quarantine WHERE received_at >= %(since)s AND received_at < %(until)s
ORDER BY stream, seq;

-- name: hash_of_row
-- The hash of one row, wherever it lies: in the database or at the end of an archived run.
SELECT hash FROM part WHERE stream = %(stream)s AND seq = %(seq)s
UNION ALL SELECT hash FROM ledger_row WHERE stream = %(stream)s AND seq = %(seq)s
UNION ALL SELECT hash FROM quarantine WHERE stream = %(stream)s AND seq = %(seq)s
UNION ALL SELECT hash FROM archive_run WHERE stream = %(stream)s AND last = %(seq)s
LIMIT 1;

-- name: archiving
-- True if this session now archives (until it ends); only one does.
SELECT pg_try_advisory_lock(%(lock)s) AS alone;

-- name: archive_newest
-- The archive that was sealed last: number, file, bytes.
SELECT number, file, bytes FROM archive ORDER BY number DESC LIMIT 1;

-- name: archives
-- Every archive in order: number, file, sha256.
SELECT number, file, sha256 FROM archive ORDER BY number;

-- name: archive_sealed
-- An archive is on disk, read again and found whole.
INSERT INTO archive (number, file, since, until, rows, parts, bytes, sha256)
VALUES (%(number)s, %(file)s, %(since)s, %(until)s, %(rows)s, %(parts)s, %(bytes)s, %(sha256)s);

-- name: archive_run_sealed
-- Rows of one stream that follow each other in an archive.
INSERT INTO archive_run (archive, stream, first, last, hash)
VALUES (%(archive)s, %(stream)s, %(first)s, %(last)s, %(hash)s);

-- name: rows_dropped
-- Takes the rows of [since, until) out of the database; they are in a sealed archive.
SELECT drop_rows(%(since)s, %(until)s);

-- name: holds_over
-- What still holds rows of [since, until) at `now`: what, keep_until.
SELECT what, keep_until FROM hold
WHERE keep_until > %(now)s AND since < %(until)s AND until > %(since)s ORDER BY keep_until;

-- name: hold_placed
-- Something stands on the rows [since, until): they stay until keep_until.
INSERT INTO hold (what, reason, since, until, keep_until)
VALUES (%(what)s, %(reason)s, %(since)s, %(until)s, %(keep_until)s);

-- name: archived_over
-- Archives that hold rows of [since, until): number, file.
SELECT number, file FROM archive WHERE since < %(until)s AND until > %(since)s ORDER BY number;

-- name: alerts_trimmed
-- Forgets alerts that were cleared before `before`.
DELETE FROM alert WHERE NOT active AND cleared_at < %(before)s;

-- name: refused_aged
-- Forgets refused messages from before `before`.
DELETE FROM refused WHERE received_at < %(before)s;

-- name: refused_hours_aged
-- Forgets the counts of refused messages from before `before`.
DELETE FROM refused_hour WHERE hour < %(before)s;

-- name: hub_chain_locked
-- One entry at a time: waits for the others' transactions.
SELECT pg_advisory_xact_lock(%(lock)s);

-- name: hub_chain_head
-- The newest entry: seq, hash.
SELECT seq, hash FROM hub_chain ORDER BY seq DESC LIMIT 1;

-- name: hub_chain_appended
-- Adds one entry to the hub's chain.
INSERT INTO hub_chain (seq, at, kind, body, prev_hash, hash)
VALUES (%(seq)s, %(at)s, %(kind)s, %(body)s, %(prev_hash)s, %(hash)s);

-- name: hub_chain_entries
-- Every entry in order.
SELECT seq, at, kind, body, prev_hash, hash FROM hub_chain ORDER BY seq;

-- name: streams
-- Every stream and where it stands: stream, node, next, hash.
SELECT stream, node, next, hash FROM cursor ORDER BY node, started_at, stream;

-- name: stream_rows
-- Every stored row of a stream in order; station, epoch, parts and elsewhere only where it is in
-- quarantine.
SELECT seq, hash, raw, NULL AS station, NULL::bigint AS epoch, NULL::bigint AS parts,
       NULL::bigint AS elsewhere
FROM part WHERE stream = %(stream)s
UNION ALL
SELECT seq, hash, raw, NULL, NULL, NULL, NULL FROM ledger_row WHERE stream = %(stream)s
UNION ALL
SELECT seq, hash, raw, station, epoch, parts, elsewhere FROM quarantine WHERE stream = %(stream)s
ORDER BY seq;

-- name: archived_runs
-- Rows of a stream that are in archives: first, last, hash of the last.
SELECT first, last, hash FROM archive_run WHERE stream = %(stream)s ORDER BY first;

-- name: gaps_of_stream
-- Rows of a stream that are not in it: first, last, and the stream that has them, NULL = none.
SELECT first, last, held_by FROM gap WHERE stream = %(stream)s ORDER BY first;

-- name: laws_of_stream
-- The laws of a stream, every column.
SELECT * FROM law WHERE stream = %(stream)s ORDER BY station, epoch;

-- name: migrations_applied
-- The migrations of this database in order: name, sha256.
SELECT name, sha256 FROM migration ORDER BY number;

-- name: server_version
-- The server's major version, and whether TimescaleDB is in this database.
SELECT current_setting('server_version_num')::integer / 10000 AS major,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS timescale;

-- name: snapshot_exported
-- A name by which pg_dump sees exactly what this transaction sees.
SELECT pg_export_snapshot() AS snapshot;

-- name: relations
-- How many tables, views and sequences of no extension are in this database.
SELECT count(*) AS relations FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e');

-- name: rows_stored
-- How many rows there are: parts, others, quarantined.
SELECT (SELECT count(*) FROM part) AS parts, (SELECT count(*) FROM ledger_row) AS others,
       (SELECT count(*) FROM quarantine) AS quarantined;

-- name: pictures_kept
-- The hashes of the pictures whose files must be there.
SELECT DISTINCT sha256 FROM picture WHERE received_at IS NOT NULL AND purged_at IS NULL
ORDER BY sha256;
