-- Who a node is: enrolment, certificates, revocation. Same form as queries.sql.

-- name: enrolment_made
-- A new one-time token of a node, in place of any other; returns nothing if no such node may write.
INSERT INTO enrolment (node, token_hash, expires_at)
SELECT node, %(token_hash)s, now() + %(life)s::interval FROM node
WHERE node = %(node)s AND revoked_at IS NULL
ON CONFLICT (node) DO UPDATE SET
    (token_hash, expires_at, used_at, reused_at) = (excluded.token_hash, excluded.expires_at, NULL, NULL)
RETURNING node, expires_at;

-- name: enrolment_of
-- The one-time token of a node that may write: token_hash, used_at, over (too late to use it).
SELECT e.token_hash, e.used_at, e.expires_at <= now() AS over
FROM enrolment e JOIN node n USING (node)
WHERE e.node = %(node)s AND n.revoked_at IS NULL;

-- name: enrolment_used
-- Uses a token up and takes its request, both or nothing; returns nothing if it cannot be used.
WITH used AS (
    UPDATE enrolment SET used_at = now()
    WHERE node = %(node)s AND token_hash = %(token_hash)s AND used_at IS NULL AND expires_at > now()
    RETURNING node
)
INSERT INTO signing_request (request, node, csr, csr_sha256)
SELECT %(request)s, node, %(csr)s, %(csr_sha256)s FROM used
RETURNING request;

-- name: enrolment_reused
-- Notes that a used token was shown again: an alarm until the node gets a new one.
UPDATE enrolment SET reused_at = coalesce(reused_at, now()) WHERE node = %(node)s;

-- name: enrolments_reused
-- Nodes whose used token was shown again: plant, line, node, reused_at.
SELECT n.plant, n.line, e.node, e.reused_at FROM enrolment e JOIN node n USING (node)
WHERE e.reused_at IS NOT NULL ORDER BY e.node;

-- name: renewal_requested
-- Takes a node's request for its next certificate, signed by the one of this sha256; one that waits
-- already is given up for it. Returns nothing if either is revoked, or asked `most` times in a day.
WITH free AS MATERIALIZED (
    SELECT n.node FROM node n JOIN certificate c USING (node)
    WHERE n.node = %(node)s AND n.revoked_at IS NULL
      AND c.sha256 = %(sha256)s AND c.revoked_at IS NULL
      AND (SELECT count(*) FROM signing_request s
           WHERE s.node = %(node)s AND s.asked_at > now() - interval '1 day') < %(most)s
    FOR SHARE OF n, c
), superseded AS (
    UPDATE signing_request s SET refused = 'a newer request came'
    FROM free WHERE s.node = free.node AND s.certificate IS NULL AND s.refused IS NULL
)
INSERT INTO signing_request (request, node, csr, csr_sha256)
SELECT %(request)s, node, %(csr)s, %(csr_sha256)s FROM free
RETURNING request;

-- name: signing_known
-- The request that brought these bytes before, of this node: request.
SELECT request FROM signing_request WHERE csr_sha256 = %(csr_sha256)s AND node = %(node)s;

-- name: signing_state
-- What became of a request: certificate, authority, refused; none is set while it waits.
SELECT certificate, authority, refused FROM signing_request WHERE request = %(request)s;

-- name: signing_waiting
-- Requests that wait for the authority, oldest first: request, node, csr, revoked (its node is).
SELECT s.request, s.node, s.csr, n.revoked_at IS NOT NULL AS revoked
FROM signing_request s JOIN node n USING (node)
WHERE s.certificate IS NULL AND s.refused IS NULL ORDER BY s.asked_at LIMIT %(limit)s;

-- name: signing_signed
-- Keeps a certificate and answers its request with it, both or nothing; returns nothing if the node
-- was revoked or the request was answered since it was read. Whoever revokes locks the node as well.
WITH free AS MATERIALIZED (
    SELECT node FROM node WHERE node = %(node)s AND revoked_at IS NULL FOR SHARE
), asked AS MATERIALIZED (
    SELECT s.request, s.node FROM signing_request s JOIN free USING (node)
    WHERE s.request = %(request)s AND s.certificate IS NULL AND s.refused IS NULL FOR UPDATE OF s
), kept AS (
    INSERT INTO certificate (serial, node, sha256, not_before, not_after)
    SELECT %(serial)s, node, %(sha256)s, %(not_before)s, %(not_after)s FROM asked
)
UPDATE signing_request s SET certificate = %(certificate)s, authority = %(authority)s
FROM asked WHERE s.request = asked.request
RETURNING s.request;

-- name: signing_refused
-- Answers a request with the reason why it is not signed.
UPDATE signing_request SET refused = %(refused)s
WHERE request = %(request)s AND certificate IS NULL;

-- name: signing_trimmed
-- Forgets requests that were answered long ago; certificates stay, and so does what waits.
DELETE FROM signing_request WHERE asked_at < now() - interval '30 days'
  AND (certificate IS NOT NULL OR refused IS NOT NULL);

-- name: certificate_kept
-- Keeps a certificate that was signed by hand; returns nothing if no such node may write.
INSERT INTO certificate (serial, node, sha256, not_before, not_after)
SELECT %(serial)s, node, %(sha256)s, %(not_before)s, %(not_after)s FROM node
WHERE node = %(node)s AND revoked_at IS NULL FOR SHARE
RETURNING serial;

-- name: certificate_known
-- A certificate by its sha256: node, not_after, revoked (it is, or its node may not write).
SELECT c.node, c.not_after, (c.revoked_at IS NOT NULL OR n.revoked_at IS NOT NULL) AS revoked
FROM certificate c JOIN node n USING (node) WHERE c.sha256 = %(sha256)s;

-- name: certificates_revoked
-- Revokes every certificate of a node that is not yet, and refuses what it asked for; returns their
-- serials. In a transaction that has locked the node before, so that none signed meanwhile is missed.
WITH waiting AS (
    UPDATE signing_request SET refused = 'the certificates of the node were revoked'
    WHERE node = %(node)s AND certificate IS NULL AND refused IS NULL
)
UPDATE certificate SET revoked_at = now() WHERE node = %(node)s AND revoked_at IS NULL
RETURNING serial;

-- name: certificates_by_node
-- The newest certificate of each node that may write, unless it is revoked: plant, line, node,
-- not_after.
SELECT DISTINCT ON (n.node) n.plant, n.line, n.node, c.not_after
FROM certificate c JOIN node n USING (node)
WHERE c.revoked_at IS NULL AND n.revoked_at IS NULL ORDER BY n.node, c.not_after DESC;

-- name: revocations
-- Revoked certificates that have not ended by themselves: serial, revoked_at.
SELECT serial, revoked_at FROM certificate
WHERE revoked_at IS NOT NULL AND not_after > %(now)s::timestamptz - interval '2 days' ORDER BY serial;

-- name: kicks_due
-- Nodes with a certificate revoked of late, so that the broker may still know them: node.
SELECT DISTINCT node FROM certificate
WHERE revoked_at IS NOT NULL AND not_after > now()
  AND (kicked_at IS NULL OR kicked_at > now() - %(patience)s::interval) ORDER BY node;

-- name: kicked
-- Notes when a node with revoked certificates was thrown out first.
UPDATE certificate SET kicked_at = coalesce(kicked_at, now())
WHERE node = %(node)s AND revoked_at IS NOT NULL;
