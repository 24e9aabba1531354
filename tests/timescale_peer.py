"""A real TimescaleDB: of the server that QUANJIAN_TEST_DSN names, else in WebAssembly under node.

The WebAssembly one (tests/timescale) is TimescaleDB with every feature but background workers and
COPY, and has one database; so its tests put rows in by INSERT and run its jobs themselves.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from hub.store.embedded import EmbeddedServer
from tests.postgres_peer import NamedServer, has_timescale

FOLDER = Path(__file__).parent / "timescale"


@contextmanager
def in_webassembly() -> Iterator[str]:
    """The dsn of an empty database of its own, without the extension yet."""
    with subprocess.Popen(
        ["node", "server.mjs"],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            assert port, "node server.mjs said nothing: is tests/timescale/node_modules there?"
            yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable"
        finally:
            server.stdin.close()  # it ends with its stdin


@contextmanager
def on_named_server(server: NamedServer) -> Iterator[str]:
    """The same on the server of QUANJIAN_TEST_DSN."""
    dsn = server.dsn.replace("dbname=quanjian", "dbname=quanjian_layer")
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE quanjian_layer TEMPLATE template0")
        try:
            yield dsn
        finally:
            connection.execute("DROP DATABASE quanjian_layer WITH (FORCE)")


@pytest.fixture(scope="module")
def bare_timescale(postgres: EmbeddedServer | NamedServer) -> Iterator[str]:
    """The dsn of a database on a server with TimescaleDB, without tables and extension."""
    named = isinstance(postgres, NamedServer) and has_timescale(postgres.admin)
    place = on_named_server(postgres) if named else in_webassembly()  # type: ignore[arg-type]
    with place as dsn:
        yield dsn
