-- Which pictures go, and what became of them. Same form as queries.sql.

-- name: pictures_size
-- Bytes of all pictures that are here, by class: class, bytes.
SELECT class, sum(bytes)::bigint AS bytes FROM picture
WHERE received_at IS NOT NULL AND purged_at IS NULL GROUP BY class;

-- name: pictures_purged
-- The oldest pictures of a class from before `before` that came before it too (a node's clock may be
-- years behind) are purged from now on, at most `most` of them, and no more than it takes to free `free`
-- bytes: sha256, node, class, bytes, at.
WITH oldest AS (
    SELECT sha256, node, at, bytes FROM picture
    WHERE class = %(class)s AND received_at IS NOT NULL AND purged_at IS NULL
      AND at < %(before)s AND received_at < %(before)s
    ORDER BY at LIMIT %(most)s
), due AS (
    SELECT sha256, node, sum(bytes) OVER (ORDER BY at, sha256, node) - bytes AS freed FROM oldest
)
UPDATE picture p SET purged_at = now() FROM due
WHERE p.sha256 = due.sha256 AND p.node = due.node AND due.freed < %(free)s
RETURNING p.sha256, p.node, p.class, p.bytes, p.at;

-- name: purge_logged
-- One purged picture, of the batch that is entry `entry` of the hub's chain.
INSERT INTO picture_purge (sha256, node, class, cause, bytes, at, entry)
VALUES (%(sha256)s, %(node)s, %(class)s, %(cause)s, %(bytes)s, %(at)s, %(entry)s);

-- name: picture_locked
-- Until the transaction ends nobody else looks whether the file of this picture is here or needed. The
-- advisory lock has two keys: "qj" 5 and the picture's first 32 bits.
SELECT pg_advisory_xact_lock(1902772229, ('x' || left(%(sha256)s, 8))::bit(32)::integer);

-- name: picture_needed
-- Whether a row needs the file of this picture.
SELECT EXISTS (SELECT FROM picture WHERE sha256 = %(sha256)s AND received_at IS NOT NULL
                                     AND purged_at IS NULL) AS needed;

-- name: pictures_known
-- Whether any picture is here.
SELECT EXISTS (SELECT FROM picture WHERE received_at IS NOT NULL AND purged_at IS NULL) AS known;

-- name: purge_waiting
-- Purged pictures whose files may still be there: sha256.
SELECT DISTINCT sha256 FROM picture_purge WHERE done_at IS NULL LIMIT %(most)s;

-- name: purge_done
-- The files of these purged pictures are gone, or needed by another row.
UPDATE picture_purge SET done_at = now() WHERE done_at IS NULL AND sha256 = ANY(%(hashes)s);

-- name: pictures_forgotten
-- Forgets pictures that are not here any more and whose rows are in an archive.
DELETE FROM picture p
WHERE (received_at IS NULL OR purged_at IS NOT NULL)
  AND EXISTS (SELECT FROM archive_run r WHERE r.stream = p.stream
                                          AND r.first <= p.seq AND r.last >= p.seq);
