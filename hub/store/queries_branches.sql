-- What ingest and duties ask about streams that share a past. See queries.sql for the form.

-- name: stream_root
-- The family of a node's stream: root.
SELECT root FROM cursor WHERE stream = %(stream)s AND node = %(node)s;

-- name: family_locked
-- Waits until no transaction of the family's other streams is under way: they then know of this one.
SELECT stream FROM cursor WHERE root = %(root)s ORDER BY stream FOR UPDATE;

-- name: family_alone
-- One transaction of a family at a time, until it ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(root)s, 0));

-- name: branch_of
-- Where a stream branched off: follows, begins.
SELECT follows, begins FROM cursor WHERE stream = %(stream)s;

-- name: settled_below
-- Parts of an epoch that the rows of one stream below `seq` stand for, those in quarantine included.
SELECT (SELECT count(*) FROM part
        WHERE stream = %(stream)s AND seq < %(seq)s AND station = %(station)s
          AND epoch = %(epoch)s AND number > %(base)s)
     + (SELECT coalesce(sum((body->>'last')::bigint
                            - greatest((body->>'first')::bigint, %(base)s + 1) + 1), 0)
        FROM ledger_row
        WHERE stream = %(stream)s AND seq < %(seq)s AND station = %(station)s
          AND epoch = %(epoch)s AND kind IN ('missed', 'bypassed')
          AND (body->>'last')::bigint > %(base)s)
     + (SELECT coalesce(sum(parts + elsewhere), 0) FROM quarantine
        WHERE stream = %(stream)s AND seq < %(seq)s AND station = %(station)s
          AND epoch = %(epoch)s) AS parts;

-- name: epoch_continued
-- Another stream counts this epoch on: its laws in the family's other streams end with what they have.
UPDATE law SET continued_by = %(stream)s
WHERE origin = %(origin)s AND station = %(station)s AND epoch = %(epoch)s
  AND stream <> %(stream)s;

-- name: epoch_streams
-- The family's other streams that count this very epoch: stream, counter.
SELECT stream, counter FROM law
WHERE origin = %(origin)s AND station = %(station)s AND epoch = %(epoch)s
  AND stream <> %(stream)s ORDER BY stream;

-- name: settled_in
-- The numbers first..last of an epoch that these streams have, as ranges: stream, first, last.
SELECT stream, min(number) AS first, max(number) AS last
FROM (SELECT stream, number,
             number - row_number() OVER (PARTITION BY stream ORDER BY number) AS island
      FROM part
      WHERE node = %(node)s AND station = %(station)s AND epoch = %(epoch)s
        AND number BETWEEN %(first)s AND %(last)s AND stream = ANY(%(streams)s)) AS numbers
GROUP BY stream, island
UNION ALL
SELECT stream, (body->>'first')::bigint, (body->>'last')::bigint FROM ledger_row
WHERE node = %(node)s AND station = %(station)s AND epoch = %(epoch)s
  AND kind IN ('missed', 'bypassed') AND stream = ANY(%(streams)s)
  AND (body->>'first')::bigint <= %(last)s AND (body->>'last')::bigint >= %(first)s
UNION ALL
SELECT stream, first_number, last_number FROM quarantine
WHERE stream = ANY(%(streams)s) AND station = %(station)s AND epoch = %(epoch)s
  AND first_number <= %(last)s AND last_number >= %(first)s
ORDER BY first, stream;

-- name: branches
-- Streams that branched off another: plant, line, node, stream, follows, begins.
SELECT plant, line, node, stream, follows, begins FROM cursor
WHERE follows IS NOT NULL ORDER BY started_at, stream;
