"""The ledger's file: its tables, and how a SQLite connection to it is opened.

WAL with synchronous=FULL: a commit is on disk when it returns. The sequence lives in `ledger.head`
and moves in the transaction that writes the row, so that deleting every row never restarts it
(without that, the hub would take new parts for old ones). What must outlive deletion stands beside
the rows: hashes at both ends of the chain, totals, and which numbers of an epoch are settled.
"""

import secrets
import sqlite3
from pathlib import Path

from edge.errors import LedgerError
from edge.ledger.upgrade import SCHEMA_VERSION, upgrade
from edge.mqtt.message import GENESIS

BUSY_MS = 5000
WAL_LIMIT_BYTES = 8 * 1024 * 1024

SCHEMA = """
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    stream TEXT NOT NULL,        -- 32 hex digits, random, made with the file
    first INTEGER NOT NULL,      -- lowest sequence the hub has not acknowledged
    first_prev TEXT NOT NULL,    -- hash of row first-1, or GENESIS
    head INTEGER NOT NULL,       -- sequence the next closed row gets
    head_prev TEXT NOT NULL,     -- hash of row head-1, or GENESIS
    follows TEXT,                -- the stream this one branched off from: a restored disk
    begins INTEGER NOT NULL DEFAULT 1,  -- first sequence of this stream
    sealed TEXT,                 -- UTC day of the newest seal
    CHECK (first >= 1 AND head >= first)
);
CREATE TABLE closed (            -- rows waiting for the hub
    seq INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    row BLOB NOT NULL            -- bytes exactly as hashed
);
CREATE TABLE open_part (         -- computed, not yet settled with the PLC
    station TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (station, epoch, number)
) WITHOUT ROWID;
CREATE TABLE epoch (             -- one run of a PLC counter, with its cumulative totals
    station TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    base INTEGER NOT NULL,
    plc_start INTEGER NOT NULL,
    counter INTEGER NOT NULL,    -- of the last counter row; triggers = counter - base
    known INTEGER NOT NULL,      -- highest number any row speaks of, and when that was
    at_ms INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL,
    boot TEXT NOT NULL,
    ok INTEGER NOT NULL DEFAULT 0,
    ng INTEGER NOT NULL DEFAULT 0,
    undecided INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT 0,
    bypassed INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL DEFAULT 0,  -- in the last counter row
    PRIMARY KEY (station, epoch)
) WITHOUT ROWID;
CREATE TABLE settled (           -- numbers that have their row: disjoint ranges, never adjacent
    station TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (station, epoch, first),
    CHECK (first <= last)
) WITHOUT ROWID;
CREATE TABLE picture (           -- a row may name a picture before its file is there, or after
    sha256 TEXT PRIMARY KEY,
    kind TEXT NOT NULL,          -- ok, not_ok, thumbnail
    state TEXT NOT NULL,         -- named (no file yet), waiting, done, refused
    bytes INTEGER NOT NULL,
    station TEXT,                -- of the latest part whose row names it; NULL = no row does
    epoch INTEGER,
    number INTEGER,
    seq INTEGER,                 -- of the first such row; NULL while it is open
    defect TEXT NOT NULL DEFAULT '',  -- class or reason of that part
    hour TEXT NOT NULL DEFAULT ''     -- boot and monotonic hour of that part
) WITHOUT ROWID;
CREATE INDEX picture_by_row ON picture (kind, seq);
CREATE INDEX picture_alike ON picture (kind, defect, hour, seq);
CREATE INDEX picture_to_send ON picture (state, kind, seq);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the ledger's file for this thread, making it if it is not there.

    Raises:
        LedgerError: not a ledger, another version, damaged, or the disk fails.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
    except (OSError, sqlite3.Error) as wrong:
        raise LedgerError(f"{path}: cannot be opened: {wrong}") from wrong
    try:
        _prepare(connection, path)
    except (sqlite3.Error, LedgerError) as wrong:
        connection.close()
        if isinstance(wrong, LedgerError):
            raise
        raise LedgerError(f"{path}: cannot be opened as a ledger: {wrong}") from wrong
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LedgerError(f"{path}: the disk allows journal mode {mode}, expected wal")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        _create(connection)
    elif version != SCHEMA_VERSION:
        upgrade(connection, path, version)
    stands = connection.execute("SELECT first, head FROM ledger").fetchone()
    if stands is None:
        raise LedgerError(f"{path}: damaged: does not say which rows it holds")
    first, head = stands
    low, high = connection.execute("SELECT min(seq), max(seq) FROM closed").fetchone()
    if (low or head, (high or head - 1) + 1) != (first, head):
        raise LedgerError(
            f"{path}: damaged: holds rows {low} to {high}, expected {first} to {head - 1}"
        )


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO ledger VALUES (1, ?, 1, ?, 1, ?, NULL, 1, NULL)",
        (secrets.token_hex(16), GENESIS, GENESIS),
    )
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
