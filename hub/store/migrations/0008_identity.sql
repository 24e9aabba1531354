-- Who a node is: one-time tokens, requests for certificates, and every certificate that was signed.

-- A token that lets one node ask once for its first certificate. Only its sha256 is kept; a new
-- token replaces the row.
CREATE TABLE enrolment (
    node        text PRIMARY KEY REFERENCES node (node),
    token_hash  text NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    reused_at   timestamptz                    -- shown a second time, with another request
);

-- What the gate took and duties has to sign; asked again with the same bytes it is the same row.
CREATE TABLE signing_request (
    request     text PRIMARY KEY,              -- random: who knows it may ask what became of it
    node        text NOT NULL REFERENCES node (node),
    csr         bytea NOT NULL,
    csr_sha256  text NOT NULL UNIQUE,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    certificate text,                          -- PEM, once signed
    authority   text,                          -- PEM, whose it is
    refused     text                           -- why it is not signed
);
CREATE INDEX signing_request_waiting ON signing_request (asked_at)
    WHERE certificate IS NULL AND refused IS NULL;

-- Certificates of nodes. The revocation list is made from here.
CREATE TABLE certificate (
    serial      text PRIMARY KEY,              -- hex
    node        text NOT NULL REFERENCES node (node),
    sha256      text NOT NULL UNIQUE,          -- of the certificate, hex
    not_before  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    issued_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz,
    kicked_at   timestamptz                    -- first time its node was thrown out of the broker
);
CREATE INDEX certificate_node ON certificate (node);
