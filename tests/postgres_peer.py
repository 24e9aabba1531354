"""A real PostgreSQL for tests: one server per run, a fresh migrated database per test.

It is an embedded server, or the one that QUANJIAN_TEST_DSN names: a user there who may create
databases, on a server for tests alone. Where that has TimescaleDB, every test of the hub runs on
the hub's layer for it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hub import registry
from hub.store import session
from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate

_numbers = count(1)


@dataclass(frozen=True)
class NamedServer:
    """The server of QUANJIAN_TEST_DSN; as an embedded one it has a database `quanjian`."""

    dsn: str

    @property
    def admin(self) -> str:
        """From where databases are made."""
        return self.dsn.replace("dbname=quanjian", "dbname=postgres")


def has_timescale(dsn: str) -> bool:
    """Whether the server could make the extension."""
    known = "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'"
    with psycopg.connect(dsn) as connection:
        return bool(connection.execute(known).rowcount)


@contextmanager
def named_server(dsn: str) -> Iterator[NamedServer]:
    """That server with a migrated database `quanjian`, which is dropped at the end."""
    place = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if key != "dbname"}
    ours = f"{make_conninfo(**place)} dbname=quanjian"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE quanjian TEMPLATE template0")  # fails if it is in use
        try:
            if has_timescale(ours):
                with psycopg.connect(ours, autocommit=True) as inside:
                    inside.execute("CREATE EXTENSION timescaledb")
            migrate(ours)
            # a worker of TimescaleDB in it, or anybody else, would let no copy be made of it
            connection.execute("ALTER DATABASE quanjian ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'quanjian'"
            )
            yield NamedServer(ours)
        finally:
            connection.execute("DROP DATABASE quanjian WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer | NamedServer]:
    """The server; an embedded one's folder is one that `nobody` can reach when we are root."""
    own = os.environ.get("QUANJIAN_TEST_DSN")
    if own is not None:
        with named_server(own) as named:
            yield named
        return
    folder = Path(tempfile.mkdtemp(prefix="qj-test-"))
    folder.chmod(0o755)
    with EmbeddedServer(folder) as server:
        migrate(server.dsn)
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def empty_database(postgres: EmbeddedServer | NamedServer) -> Iterator[str]:
    """The dsn of a new database without tables."""
    with made(postgres, template="template0") as dsn:
        yield dsn


@pytest.fixture
def database(postgres: EmbeddedServer | NamedServer) -> Iterator[str]:
    """The dsn of a new database with the hub's schema and no rows."""
    with made(postgres, template="quanjian") as dsn:
        yield dsn


@pytest.fixture
def connection(database: str) -> Iterator[session.Connection]:
    """A connection to a hub with one node."""
    registry.add(database, "jinan", "line-1", "node-1")
    with session.connect(database, "test") as opened:
        yield opened


@pytest.fixture
def plain(postgres: EmbeddedServer | NamedServer) -> None:
    """Passes over a test of partitions where rows lie in hypertables."""
    if isinstance(postgres, NamedServer) and has_timescale(postgres.admin):
        pytest.skip("rows lie in hypertables on the server of QUANJIAN_TEST_DSN")


@pytest.fixture
def embedded(postgres: EmbeddedServer | NamedServer) -> None:
    """Passes over a test of what only our embedded server is set to."""
    if isinstance(postgres, NamedServer):
        pytest.skip("the server of QUANJIAN_TEST_DSN is set as its owner likes")


@contextmanager
def made(server: EmbeddedServer | NamedServer, template: str) -> Iterator[str]:
    """A database that is dropped at the end, whoever is still connected."""
    name = f"test{next(_numbers)}"
    admin = server.dsn.replace("dbname=quanjian", "dbname=postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield server.dsn.replace("dbname=quanjian", f"dbname={name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
