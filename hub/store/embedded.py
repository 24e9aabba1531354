"""Runs PostgreSQL for one hub on one computer: a child process, reached by a unix socket only.

    home/data      the cluster      home/log      what the server said
    home/lock      held while a supervisor runs it, so that two never start one cluster

The server is tied to the thread that calls `start` (hub/tether.py): if that dies in any way, the
kernel asks the server to stop. A cluster left by a killed run, with its stale postmaster.pid, is
taken over.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from hub import tether
from hub.errors import ServerError, StoreError
from hub.store import install, session

_USER = "hub"
_DATABASE = "quanjian"
_MAX_SOCKET_FOLDER = 85  # a socket's whole path holds 107 bytes
_POLL_S = 0.05
_OPTIONS = {
    "listen_addresses": "",  # no TCP at all
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_locks_per_transaction": "512",  # a row by its number alone may lie in any of 160 weeks
    "dynamic_shared_memory_type": "mmap",  # nothing of ours left in /dev/shm after a kill
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_timezone": "UTC",
}


class EmbeddedServer:
    """One PostgreSQL in `data_dir`; `programs` is its installation, None = find one."""

    def __init__(self, data_dir: Path, programs: Path | None = None) -> None:
        self._data_dir = data_dir.absolute()
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._sockets: Path | None = None
        self._install: install.Install | None = None

    def __enter__(self) -> "EmbeddedServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def home(self) -> Path:
        """Where data, log and socket are. Raises ServerError before `start`."""
        if self._install is None:
            raise ServerError("the embedded PostgreSQL was not started")
        return self._install.home

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def dsn(self) -> str:
        """What psycopg needs to connect."""
        return self._dsn(_DATABASE)

    @property
    def pid(self) -> int | None:
        """The server's process while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    def start(self, timeout_s: float = 60.0) -> str:
        """Make the cluster if there is none, start the server, wait until it answers.

        Returns:
            The dsn of the hub's database.

        Raises:
            ServerError: in use by another supervisor, or it did not answer within `timeout_s`.
        """
        self._install = install.prepare(self._data_dir, self._programs)
        give_up_at = time.monotonic() + timeout_s
        try:
            self._take_lock()
            self._make_cluster()
            self._clear_previous(give_up_at)
            self._sockets = self._socket_folder()
            self._launch()
            self._wait_ready(give_up_at)
        except OSError as wrong:
            self.stop()
            raise ServerError(f"{self.home}: {wrong}") from wrong
        except ServerError:
            self.stop()
            raise
        return self.dsn

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop the server (sessions are cut, everything committed is kept); may be called twice."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)  # immediate: recovers from its log next time
                process.wait(timeout_s)
        if self._sockets is not None and self._sockets != self.home:
            shutil.rmtree(self._sockets, ignore_errors=True)
        self._sockets = None
        if self._lock is not None:
            # closing is not enough: a child that another thread starts just now has a copy
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._lock.close()
            self._lock = None

    def _dsn(self, database: str) -> str:
        return f"host='{self._sockets or self.home}' user={_USER} dbname={database}"

    def _take_lock(self) -> None:
        self._lock = (self.home / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as wrong:
            raise ServerError(f"{self.home} is in use by another running hub") from wrong

    def _make_cluster(self) -> None:
        data = self.home / "data"
        version = self._run("postgres", "--version").split()[2].split(".")[0]
        if data.exists():
            kept = (data / "PG_VERSION").read_text(encoding="ascii").strip()
            if kept != version:
                raise ServerError(f"{data} is of PostgreSQL {kept}, the programs are {version}")
            return
        half = self.home / "data.half"  # a killed initdb leaves no half cluster behind
        shutil.rmtree(half, ignore_errors=True)
        self._run("initdb", "-D", str(half), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C")
        half.rename(data)

    def _run(self, program: str, *arguments: str) -> str:
        user = self._install.user if self._install is not None else None
        done = subprocess.run(
            tether.command([self._program(program), *arguments], user=user),
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
            raise ServerError(f"{program} failed ({done.returncode}) and said: {said[-1]}")
        return done.stdout

    def _program(self, name: str) -> Path:
        if self._install is None:
            raise ServerError("the embedded PostgreSQL was not started")
        return self._install.program(name)

    def _clear_previous(self, give_up_at: float) -> None:
        """End a server that a killed supervisor left, and remove a pid file that names nobody.

        PostgreSQL would believe a stale file whose number another program of ours got since.
        """
        data = self.home / "data"
        pid_file = data / "postmaster.pid"
        asked = False
        while pid_file.exists():
            pid = _first_number(pid_file)
            if pid is None or not _runs_in(pid, data):
                pid_file.unlink(missing_ok=True)
                return
            if not asked:
                os.kill(pid, signal.SIGINT)
                asked = True
            if time.monotonic() > give_up_at:
                raise ServerError(f"process {pid}, a previous PostgreSQL in {data}, does not end")
            time.sleep(_POLL_S)

    def _socket_folder(self) -> Path:
        if len(os.fsencode(self.home)) <= _MAX_SOCKET_FOLDER:
            return self.home
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:8]
        folder = Path(tempfile.mkdtemp(prefix=f"qj-{name}-"))  # mode 0700
        if self._install is not None and self._install.user is not None:
            os.chown(folder, *self._install.user)
        return folder

    def _launch(self) -> None:
        options = {**_OPTIONS, "unix_socket_directories": str(self._sockets)}
        arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        user = self._install.user if self._install is not None else None
        data = str(self.home / "data")
        program = [str(self._program("postgres")), "-D", data, *arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tether.command(program, signal.SIGINT, user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C at the terminal is ours to handle, in order
            )

    def _wait_ready(self, give_up_at: float) -> None:
        while True:
            try:
                with session.connect(self._dsn("postgres"), "start") as connection:
                    _make_database(connection)
                    return
            except StoreError as wrong:
                if self.pid is None and not self._start_again():
                    raise ServerError(f"PostgreSQL ended; {_tail(self.log)}") from wrong
                if time.monotonic() > give_up_at:
                    raise ServerError(f"PostgreSQL does not answer; {_tail(self.log)}") from wrong
            time.sleep(_POLL_S)

    def _start_again(self) -> bool:
        """Sessions of a killed server hold its memory for a moment: that start is tried again."""
        if "shared memory block" not in _tail(self.log):
            return False
        (self.home / "data" / "postmaster.pid").unlink(missing_ok=True)
        self._launch()
        return True


def _make_database(connection: session.Connection) -> None:
    with session.converted("create database"):
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,))
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {_DATABASE}".encode())


def _first_number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _runs_in(pid: int, folder: Path) -> bool:
    """True if process `pid` lives and its working folder is `folder`, as a postmaster's is."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder.resolve()
    except OSError:
        return False


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    except OSError:
        lines = []
    return f"{log}: " + " | ".join(lines)
