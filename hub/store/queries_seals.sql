-- What ingest and duties ask about the seals of nodes' ledgers. See queries.sql for the form.

-- name: seals_kept
-- Seals came: duties will look at them. rows: JSON, as in the table.
INSERT INTO seal (stream, seq, plant, line, node, at, day, sealed_stream, sealed, head, certificate,
                  signature)
SELECT stream, seq, plant, line, node, at, day, sealed_stream, sealed, head, certificate, signature
FROM json_populate_recordset(NULL::seal, %(rows)s::json)
ON CONFLICT DO NOTHING;

-- name: seals_new
-- Seals nobody looked at yet, the oldest first: every column of `seal`.
SELECT * FROM seal WHERE state IS NULL ORDER BY stream, seq LIMIT %(limit)s;

-- name: seal_judged
-- What a seal is: verified, unverified, unsigned, missing, wrong.
UPDATE seal SET state = %(state)s WHERE stream = %(stream)s AND seq = %(seq)s;

-- name: seals_wrong
-- Seals that do not fit the rows here, or their own signature: plant, line, node, day, stream, sealed.
SELECT plant, line, node, day, sealed_stream AS stream, sealed FROM seal
WHERE state = 'wrong' ORDER BY node, day, seq;
