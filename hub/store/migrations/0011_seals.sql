-- Seals: what a node said the head of its chain was when a day began, as its rows of kind seal say.
CREATE TABLE seal (
    stream        text NOT NULL,
    seq           bigint NOT NULL,             -- of the row that is the seal
    plant         text NOT NULL,
    line          text NOT NULL,
    node          text NOT NULL,
    at            timestamptz NOT NULL,
    day           text NOT NULL,               -- UTC
    sealed_stream text NOT NULL,               -- head is the hash of row `sealed` of this stream
    sealed        bigint NOT NULL,
    head          text NOT NULL,
    certificate   text,                        -- PEM; NULL = unsigned
    signature     text,                        -- DER, hex
    state         text,                        -- NULL until duties looked at it; see hub.seals
    PRIMARY KEY (stream, seq)
);
CREATE INDEX seal_new ON seal (stream, seq) WHERE state IS NULL;
CREATE INDEX seal_wrong ON seal (node, day) WHERE state = 'wrong';
