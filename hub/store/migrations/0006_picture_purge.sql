-- Pictures leave by class and age, or when the folder is full; each is a row here before its file goes.
ALTER TABLE picture ADD COLUMN class text;             -- ok, not_ok, thumbnail; set when it came
ALTER TABLE picture ADD COLUMN purged_at timestamptz;  -- the hub deleted it
UPDATE picture p SET class = CASE
    WHEN kind = 'thumbnail' THEN 'thumbnail'
    WHEN EXISTS (SELECT FROM part q WHERE q.stream = p.stream AND q.seq = p.seq AND q.code = 1) THEN 'ok'
    ELSE 'not_ok' END
WHERE received_at IS NOT NULL;
CREATE INDEX picture_kept ON picture (class, at) INCLUDE (bytes)
    WHERE received_at IS NOT NULL AND purged_at IS NULL;

CREATE TABLE picture_purge (
    sha256      text NOT NULL,
    node        text NOT NULL,
    class       text NOT NULL,
    cause       text NOT NULL CHECK (cause IN ('age', 'space')),
    bytes       bigint NOT NULL,
    at          timestamptz NOT NULL,          -- of the part
    entry       bigint NOT NULL REFERENCES hub_chain (seq),  -- its batch
    purged_at   timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,                   -- the file is gone, or another node's row needs it
    PRIMARY KEY (sha256, node, entry)
);
CREATE INDEX picture_purge_waiting ON picture_purge (purged_at) WHERE done_at IS NULL;
CREATE INDEX picture_purge_entry ON picture_purge (entry);
