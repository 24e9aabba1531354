"""Brings the schema up to date: plain numbered SQL files, each in one transaction, each once.

An advisory lock lets one program migrate while the others wait. The sha256 of every applied file is
recorded: a file edited since, or a schema newer than this program, is refused.

A second series, migrations/timescale, is applied after the first where the database has the
extension TimescaleDB under its licence `timescale`; also when it gets it later.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from hub.errors import MigrationError, StoreError
from hub.store import session

SHIPPED = Path(__file__).parent / "migrations"
TIMESCALE = SHIPPED / "timescale"
LOCKS = 512  # per transaction: three tables of 160 weeks, each with its indexes, for some sessions
LOCK = 0x716A_0001  # advisory lock "qj" 1: one migration at a time
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    number      integer PRIMARY KEY,
    name        text NOT NULL,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""
_HAS_TIMESCALE = """
SELECT current_setting('timescaledb.license', true) = 'timescale' AS has
FROM pg_extension WHERE extname = 'timescaledb'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql).hexdigest()


def shipped(folder: Path = SHIPPED) -> list[Migration]:
    """The migrations of this program in order.

    Raises:
        MigrationError: a file is misnamed, or numbers are not 1, 2, 3, ...
    """
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        named = _NAME.fullmatch(file.name)
        if named is None:
            raise MigrationError(f"{file.name}: expected a name such as 0002_what_it_does.sql")
        found.append(Migration(int(named[1]), file.name, file.read_bytes()))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations are numbered {numbers}, expected 1, 2, 3, ...")
    return found


def migrate(dsn: str, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is missing and return the names applied now.

    Raises:
        MigrationError: an applied file was edited, the schema is newer, or a file failed (its
            transaction is rolled back, earlier files stay).
        StoreError: the database is away.
    """
    migrations = shipped() if migrations is None else migrations
    with session.connect(dsn, "migrate") as connection:
        with session.converted("migrate"):
            connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        done = _series(connection, "migration", migrations)
        with session.converted("migrate"):
            found = connection.execute(_HAS_TIMESCALE).fetchone()
        if found is not None and found["has"]:
            layer = _series(connection, "migration_timescale", shipped(TIMESCALE))
            done += [f"{TIMESCALE.name}/{name}" for name in layer]
        return done


def advice(dsn: str) -> str | None:
    """What the server should be given for three years of rows, None if it has it.

    Raises:
        StoreError: the database is away.
    """
    with session.connect(dsn, "migrate") as connection, session.converted("migrate"):
        told = connection.execute("SHOW max_locks_per_transaction").fetchall()
    locks = int(told[0]["max_locks_per_transaction"])
    if locks >= LOCKS:
        return None
    return (
        f"the server's max_locks_per_transaction is {locks}: with years of rows, queries over "
        f"every week run out of it; give it {LOCKS} (ALTER SYSTEM SET, then restart PostgreSQL)"
    )


def _series(connection: session.Connection, table: str, migrations: list[Migration]) -> list[str]:
    """Apply what is missing of one series, whose record is `table`."""
    with session.converted("migrate"):
        connection.execute(_TABLE.format(table=table).encode())
        told = connection.execute(f"SELECT * FROM {table}".encode())
        applied = {row["number"]: (row["name"], row["sha256"]) for row in told}
    _refuse(migrations, applied)
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        _apply(connection, table, migration)
    return [migration.name for migration in missing]


def _refuse(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    newest = len(migrations)
    if applied and max(applied) > newest:
        raise MigrationError(
            f"the schema is at {max(applied):04}, this program knows up to {newest:04}"
        )
    for migration in migrations:
        if migration.number in applied and applied[migration.number][1] != migration.sha256:
            raise MigrationError(
                f"{migration.name} was edited after it was applied: expected sha256 "
                f"{applied[migration.number][1]}, got {migration.sha256}"
            )


def _apply(connection: session.Connection, table: str, migration: Migration) -> None:
    try:
        with session.converted(migration.name), connection.transaction():
            connection.execute(migration.sql)
            connection.execute(
                f"INSERT INTO {table} (number, name, sha256) VALUES (%s, %s, %s)".encode(),
                (migration.number, migration.name, migration.sha256),
            )
    except StoreError as wrong:
        raise MigrationError(str(wrong)) from wrong
