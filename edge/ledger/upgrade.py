"""How a ledger of an older version becomes one of this version: each step in one transaction.

A step changes tables and never a closed row: their bytes are hashed. What an older program cannot
read any more it refuses by the version, so going back needs a copy made before.
"""

import logging
import sqlite3
from pathlib import Path

from edge.errors import LedgerError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 4

STEPS: dict[int, tuple[str, ...]] = {
    # 1 -> 2: branched streams; the order and worth of a picture no longer by the wall clock
    1: (
        "ALTER TABLE ledger ADD COLUMN follows TEXT",
        "ALTER TABLE ledger ADD COLUMN begins INTEGER NOT NULL DEFAULT 1",
        "DROP INDEX picture_by_age",
        "ALTER TABLE picture DROP COLUMN made_ms",
        "ALTER TABLE picture ADD COLUMN defect TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE picture ADD COLUMN hour TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX picture_by_row ON picture (kind, seq)",
        "CREATE INDEX picture_alike ON picture (kind, defect, hour, seq)",
    ),
    # 2 -> 3: seals
    2: ("ALTER TABLE ledger ADD COLUMN sealed TEXT",),
    # 3 -> 4: what the last counter row of an epoch said is open
    3: ("ALTER TABLE epoch ADD COLUMN open INTEGER NOT NULL DEFAULT 0",),
}
"""Version -> the statements that make the next one of it."""


def upgrade(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring a ledger of `version` to this one.

    Raises:
        LedgerError: no way leads from there: a newer program made it.
    """
    while version != SCHEMA_VERSION:
        if version not in STEPS:
            newer = LedgerError(f"{path}: ledger of version {version}, expected {SCHEMA_VERSION}")
            newer.hint = "A newer program wrote it: install that one again."
            raise newer
        db.execute("BEGIN IMMEDIATE")
        for statement in STEPS[version]:
            db.execute(statement)
        version += 1
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("COMMIT")
        log.info("%s: ledger brought to version %d", path, version)
