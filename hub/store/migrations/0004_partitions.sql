-- Every table of rows is cut into weeks, so that a week can be archived and dropped as a whole. The
-- tables as they were become the default partitions: nothing is copied, and duties moves rows of a
-- week into it when it makes the week.
ALTER TABLE ledger_row RENAME TO ledger_row_default;
ALTER TABLE ledger_row_default DROP CONSTRAINT ledger_row_pkey;
ALTER INDEX ledger_row_kind_at RENAME TO ledger_row_default_kind_at;
CREATE TABLE ledger_row (LIKE ledger_row_default INCLUDING DEFAULTS) PARTITION BY RANGE (at);
ALTER TABLE ledger_row ADD PRIMARY KEY (stream, seq, at);
CREATE INDEX ledger_row_kind_at ON ledger_row (plant, line, kind, at DESC);
ALTER TABLE ledger_row ATTACH PARTITION ledger_row_default DEFAULT;

-- A row in quarantine has no time of its own that could be believed: its week is that of its arrival.
ALTER TABLE quarantine RENAME TO quarantine_default;
ALTER TABLE quarantine_default DROP CONSTRAINT quarantine_pkey;
CREATE TABLE quarantine (LIKE quarantine_default INCLUDING DEFAULTS) PARTITION BY RANGE (received_at);
ALTER TABLE quarantine ADD PRIMARY KEY (stream, seq, received_at);
ALTER TABLE quarantine ATTACH PARTITION quarantine_default DEFAULT;
