"""pg_dump and pg_restore as child processes: a whole database into a folder and out of it.

The programs are those of the server's own version, else the next newer ones that can be found: an
older pg_dump refuses a newer server, and a newer pg_restore says what an older server does not
know.
"""

import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hub.errors import BackupError, ServerError
from hub.store import install
from hub.store.session import Connection, converted

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_DEBIAN = Path("/usr/lib/postgresql")


def dump(dsn: str, folder: Path, snapshot: str, server: int, tell: Callable[[str], None]) -> int:
    """Write the database, as `snapshot` sees it, to a new folder; `tell` gets each table's name.

    Returns:
        The major version of the pg_dump that wrote it.

    Raises:
        BackupError: no pg_dump as new as the server (major version `server`), or it failed.
    """
    written_by, program = _program("pg_dump", server)
    command = [str(program), "--format=directory", f"--file={folder}", f"--snapshot={snapshot}"]
    _run([*command, "--verbose", f"--dbname={dsn}"], r"dumping contents of table \"(.+)\"", tell)
    return written_by


def load(dsn: str, folder: Path, written_by: int, tell: Callable[[str], None]) -> None:
    """Restore a dump all or nothing: if it fails, the database is as empty as it was.

    Args:
        written_by: as `dump` returned.

    Raises:
        BackupError: no pg_restore as new as the dump, or it failed.
    """
    _, program = _program("pg_restore", written_by)
    command = [str(program), "--exit-on-error", "--single-transaction", "--no-owner"]
    command += ["--no-privileges", "--verbose", f"--dbname={dsn}", str(folder)]
    _run(command, r"processing data for table \"(.+)\"", tell)


@contextmanager
def timescale_told(connection: Connection, needed: bool) -> Iterator[None]:
    """TimescaleDB (if the dump needs it) is told before and after a restore.

    Raises:
        StoreError: this server does not have it.
    """
    if not needed:
        yield
        return
    with converted("timescaledb"):
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute("SELECT timescaledb_pre_restore()")
    try:
        yield
    finally:
        with converted("timescaledb"):
            connection.execute("SELECT timescaledb_post_restore()")


def _program(name: str, at_least: int) -> tuple[int, Path]:
    """The oldest `name` here of version `at_least` or newer, and its version."""
    places = list(_DEBIAN.glob("*/bin"))
    named = shutil.which(name)
    places += [Path(named).parent] if named is not None else []
    with suppress(ServerError):
        places.append(install.find() / "bin")
    found = {_version(place / name): place / name for place in places if (place / name).exists()}
    fit = [version for version in found if version >= at_least]
    if not fit:
        told = f"the newest here is {max(found)}" if found else "there is none here"
        raise BackupError(f"{name} of PostgreSQL {at_least} or newer is needed; {told}")
    return min(fit), found[min(fit)]


def _version(program: Path) -> int:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = _VERSION.search(told.stdout)
    return int(version[1]) if version else 0


def _run(command: Sequence[str], table: str, tell: Callable[[str], None]) -> None:
    name, last = Path(command[0]).name, deque[str](maxlen=10)
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as child:
            assert child.stderr is not None
            for line in child.stderr:
                last.append(line.strip())
                reached = re.search(table, line)
                if reached is not None:
                    tell(reached[1])
    except OSError as wrong:
        raise BackupError(f"{command[0]}: {wrong}") from wrong
    if child.returncode != 0:
        said = [line for line in last if "error:" in line or "FATAL" in line] or list(last)
        raise BackupError(f"{name} failed ({child.returncode}): {' | '.join(said)}")
