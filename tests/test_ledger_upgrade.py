"""A ledger that an older program wrote is brought to this version when it is opened."""

import sqlite3
from pathlib import Path

import pytest

from edge.errors import LedgerError
from edge.ledger import schema, upgrade
from edge.mqtt.message import GENESIS, chain, encode
from edge.outbox import Outbox
from edge.pictures import PictureStore
from tests.ledger_rows import BOOT, STATION, drain, epoch_row, part_row

SCHEMA_1 = """
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    stream TEXT NOT NULL,        -- 32 hex digits, random, made with the file
    first INTEGER NOT NULL,      -- lowest sequence the hub has not acknowledged
    first_prev TEXT NOT NULL,    -- hash of row first-1, or GENESIS
    head INTEGER NOT NULL,       -- sequence the next closed row gets
    head_prev TEXT NOT NULL,     -- hash of row head-1, or GENESIS
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
    made_ms INTEGER NOT NULL,    -- UTC of the row or file, for "oldest first" only
    station TEXT,                -- of the latest part whose row names it; NULL = no row does
    epoch INTEGER,
    number INTEGER,
    seq INTEGER                  -- of that row; NULL while it is open
) WITHOUT ROWID;
CREATE INDEX picture_by_age ON picture (kind, made_ms);
CREATE INDEX picture_to_send ON picture (state, kind, seq);
"""
"""The tables as version 1 made them."""

STREAM, PICTURE = "5" * 32, "a" * 64


def ledger_1(path: Path) -> str:
    """A ledger of version 1: an epoch and part 1 acknowledged, 2 closed, 3 open; its last hash."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(SCHEMA_1)
    prev = chain(GENESIS, 1, encode(epoch_row()))
    prev = first_prev = chain(prev, 2, encode(part_row(1)))
    data = encode(part_row(2))
    prev = chain(prev, 3, data)
    db.execute("INSERT INTO ledger VALUES (1, ?, 3, ?, 4, ?)", (STREAM, first_prev, prev))
    db.execute("INSERT INTO closed VALUES (3, ?, ?)", (prev, data))
    db.execute("INSERT INTO open_part VALUES (?, 1, 3, ?)", (STATION, encode(part_row(3))))
    db.execute(
        "INSERT INTO epoch (station, epoch, base, plc_start, counter, known, at_ms, mono_ms, boot,"
        " ok) VALUES (?, 1, 0, 7, 3, 3, 1000, 1000, ?, 2)",
        (STATION, BOOT),
    )
    db.execute("INSERT INTO settled VALUES (?, 1, 1, 2)", (STATION,))
    db.execute(
        "INSERT INTO picture VALUES (?, 'ok', 'waiting', 9, 1000, ?, 1, 1, 2)", (PICTURE, STATION)
    )
    db.execute("PRAGMA user_version = 1")
    db.close()
    return prev


def test_a_ledger_of_version_1_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    head = ledger_1(path)
    ledger = Outbox(path, ballast_bytes=4096)
    assert (ledger.stream, ledger.first, ledger.head) == (STREAM, 3, 4)
    assert (ledger.follows, ledger.begins) == (None, 1)
    totals = ledger.totals(STATION, 1)
    assert (totals.ok, totals.open, totals.triggers) == (2, 1, 3)
    store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)
    assert (store.size_bytes, store.to_send(("ok",), 5)) == (9, [PICTURE])
    row = ledger.open_parts()[0]
    ledger.close_part(STATION, 1, row.number, row.computed, None, 80)
    rows, _ = drain(ledger, ledger.hash_of(2) or "")
    assert [type(row).__name__ for row in rows] == ["PartRow", "PartRow"]
    assert ledger.hash_of(3) == head
    ledger.begin_stream(4)
    ledger.close()
    again = Outbox(path, ballast_bytes=4096)
    assert (again.follows, again.begins, again.waiting) == (STREAM, 4, 1)
    again.close()


def tables(db: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every table's columns and every index, as SQLite tells them."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema ORDER BY name")]
    return {name: db.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in names}


def test_an_upgraded_ledger_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    ledger_1(tmp_path / "old.db")
    old = schema.open_database(tmp_path / "old.db")
    new = schema.open_database(tmp_path / "new.db")
    assert tables(old) == tables(new)
    for db in (old, new):
        assert db.execute("PRAGMA user_version").fetchone() == (upgrade.SCHEMA_VERSION,)
        db.close()


def test_an_upgrade_that_breaks_off_leaves_the_old_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    ledger_1(path)
    broken = upgrade.STEPS | {1: (*upgrade.STEPS[1], "INSERT INTO no_such_table VALUES (1)")}
    monkeypatch.setattr(upgrade, "STEPS", broken)
    with pytest.raises(LedgerError, match="no_such_table"):
        Outbox(path, ballast_bytes=4096)
    monkeypatch.undo()
    ledger = Outbox(path, ballast_bytes=4096)
    assert ledger.waiting == 1
    ledger.close()


def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger_1(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="version 99"):
        Outbox(path, ballast_bytes=4096)
