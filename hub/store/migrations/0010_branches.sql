-- A node's ledger whose disk was restored or copied goes on as a stream of its own: a branch.

-- begins: first sequence of the stream; follows: the stream that has the rows below it; root: the
-- first stream of the family. Streams of one family share a past, so that a part may stand in two.
ALTER TABLE cursor ADD COLUMN begins bigint NOT NULL DEFAULT 1;
ALTER TABLE cursor ADD COLUMN follows text REFERENCES cursor (stream);
ALTER TABLE cursor ADD COLUMN root text;
UPDATE cursor SET root = stream;
ALTER TABLE cursor ALTER COLUMN root SET NOT NULL;
CREATE INDEX cursor_root ON cursor (root);

-- held_by: the stream that has these rows; NULL = they are lost.
ALTER TABLE gap ADD COLUMN held_by text;

-- origin: the stream in which the epoch was opened, so that (origin, station, epoch) is one run of a
-- PLC's counter. elsewhere: parts of it that another stream of the family settled, and that are in no
-- other count here. continued_by: the stream that counts the epoch on after a branch.
ALTER TABLE law ADD COLUMN origin text;
UPDATE law SET origin = stream;
ALTER TABLE law ALTER COLUMN origin SET NOT NULL;
ALTER TABLE law ADD COLUMN elsewhere bigint NOT NULL DEFAULT 0;
ALTER TABLE law ADD COLUMN continued_by text;
CREATE INDEX law_origin ON law (origin, station, epoch);

-- A readable row some of whose parts another stream of the family has: which numbers it names, and how
-- many of them count there (elsewhere) and so not in `parts`.
ALTER TABLE quarantine ADD COLUMN elsewhere bigint NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN first_number bigint;
ALTER TABLE quarantine ADD COLUMN last_number bigint;

CREATE INDEX ledger_row_passed ON ledger_row (node, station, epoch)
    WHERE kind IN ('missed', 'bypassed');

ALTER TABLE law_hour ADD COLUMN elsewhere bigint NOT NULL DEFAULT 0;
DROP INDEX law_wrong;
CREATE INDEX law_wrong ON law (stream) WHERE counter - base <> settled + open
    OR counter - base > ok + ng + undecided + missed + bypassed + quarantined + elsewhere;
