"""Whether this user can use the files and folders that hub.toml names.

Nothing is left behind, and nobody else is asked: neither the database nor the broker. What the
files hold is for whoever uses them to judge.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hub import authority_folder
from hub.settings import Settings

Named = tuple[str, Path, str]
"""Section and key, the file or folder, and what is expected there."""

_PASSFILE = re.compile(r"\bpassfile\s*=\s*(?:'([^']+)'|([^\s&']+))")
_WRITABLE = "a folder that this user may write or make"


def unusable(settings: Settings) -> list[str]:
    """A sentence for each file that cannot be read and each folder that cannot be written."""
    problems = [_unread(*named) for named in _files(settings)]
    problems += [_unwritten(*named) for named in _folders(settings)]
    return [problem for problem in problems if problem is not None]


def _files(settings: Settings) -> Iterator[Named]:
    """What must be there and readable."""
    broker, nodes, authority = settings.broker, settings.nodes, settings.authority
    if passfile := _PASSFILE.search(settings.database.dsn):
        path = Path(passfile[1] or passfile[2])
        yield "[database] dsn passfile", path, "HOST:PORT:DATABASE:USER:PASSWORD, mode 0600"
    for key, given, expected in (
        ("password_file", broker.password_file, "one line, mode 0600"),
        ("ca_file", broker.ca_file, "the certificate of the broker's authority, PEM"),
        ("certificate_file", broker.certificate_file, "the hub's certificate, PEM"),
        ("key_file", broker.key_file, "its key, PEM, mode 0600"),
    ):
        if given is not None:
            yield f"[broker] {key}", Path(given), expected
    for key in ("ca_file", "certificate_file", "key_file") if nodes is not None else ():
        made = "what `quanjian-hub ca server` writes"
        yield f"[nodes] {key}", Path(getattr(nodes, key)), made
    if authority is not None:
        made = "what `quanjian-hub ca init` makes"
        for name in (authority_folder.KEY, authority_folder.CERTIFICATE):
            yield "[authority] dir", Path(authority.dir) / name, made
        yield "[authority] crl_file", Path(authority.crl_file), made


def _folders(settings: Settings) -> Iterator[Named]:
    """What is written into; but for the list's folder, the services make what is missing."""
    yield "[web] pictures_dir", Path(settings.web.pictures_dir), _WRITABLE
    if settings.retention.archive_dir is not None:
        yield "[retention] archive_dir", Path(settings.retention.archive_dir), _WRITABLE
    if settings.authority is not None:
        folder = Path(settings.authority.crl_file).parent
        yield "[authority] crl_file in", folder, _WRITABLE


def _unread(key: str, file: Path, expected: str) -> str | None:
    try:
        with file.open("rb") as opened:
            if opened.read(1):
                return None
        why = "is empty"
    except FileNotFoundError:
        why = "not there"
    except OSError as wrong:
        why = f"cannot be read: {wrong.strerror}"
    return f"{key} {file}: {why}; expected {expected}"


def _unwritten(key: str, folder: Path, expected: str) -> str | None:
    """By a file that has no name: rights alone do not tell of a full or read-only disk."""
    try:
        there = folder
        while not there.exists():
            there = there.parent
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"quanjian")
    except OSError as wrong:
        return f"{key} {folder}: cannot be written: {wrong.strerror}; expected {expected}"
    return None
