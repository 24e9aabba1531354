"""A real PostgreSQL for tests: one embedded server per run, a fresh migrated database per test."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer]:
    """The server; its data folder is one that `nobody` can reach when tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="qj-test-"))
    folder.chmod(0o755)
    with EmbeddedServer(folder) as server:
        migrate(server.dsn)
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def empty_database(postgres: EmbeddedServer) -> Iterator[str]:
    """The dsn of a new database without tables."""
    with made(postgres, template="template0") as dsn:
        yield dsn


@pytest.fixture
def database(postgres: EmbeddedServer) -> Iterator[str]:
    """The dsn of a new database with the hub's schema and no rows."""
    with made(postgres, template="quanjian") as dsn:
        yield dsn


@contextmanager
def made(server: EmbeddedServer, template: str) -> Iterator[str]:
    """A database that is dropped at the end, whoever is still connected."""
    name = f"test{next(_numbers)}"
    admin = server.dsn.replace("dbname=quanjian", "dbname=postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield server.dsn.replace("dbname=quanjian", f"dbname={name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
