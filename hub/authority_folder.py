"""The files of the hub's authority: [authority] dir and crl_file. Only `duties` and the `ca`
commands read the key.

    dir/ca.key   0600   signs; nobody but this user may read it
    dir/ca.pem   0644   its certificate
    crl_file     0644   the revocation list that the broker reads
"""

import os
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from hub.authority import Authority
from hub.durable import sync
from hub.errors import AuthorityError

KEY, CERTIFICATE = "ca.key", "ca.pem"


def made(folder: Path, name: str, now: datetime) -> Authority:
    """Make an authority in this folder. A key that stands there alone, because the power was cut
    before its certificate was written, is used: nothing was signed by it.

    Raises:
        AuthorityError: there is one already, or the folder cannot be written.
    """
    if (folder / CERTIFICATE).exists():
        told = f"{folder / CERTIFICATE} exists: a new authority would make every node's void"
        raise AuthorityError(told)
    begun: bytes | None = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(folder.parent)
        with suppress(FileNotFoundError):
            begun = (folder / KEY).read_bytes()
    except OSError as wrong:
        raise AuthorityError(f"{folder}: cannot be made: {wrong}") from wrong
    authority, key = Authority.made(name, now, begun)
    kept(folder / KEY, key, 0o600)
    kept(folder / CERTIFICATE, authority.certificate, 0o644)
    return authority


def opened(folder: Path) -> Authority:
    """The authority of this folder, with its key.

    Raises:
        AuthorityError: there is none, it cannot be read, or others can read its key.
    """
    try:
        mode = (folder / KEY).stat().st_mode & 0o777
        key, certificate = (folder / KEY).read_bytes(), (folder / CERTIFICATE).read_bytes()
    except OSError as wrong:
        raise AuthorityError(f"{folder}: no authority to be read: {wrong}") from wrong
    if mode & 0o077:
        raise AuthorityError(f"{folder / KEY}: mode is {mode:o}, expected 600: others can read it")
    return Authority(certificate, key)


def kept(file: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; after return it survives a power cut.

    Raises:
        AuthorityError: it cannot be written.
    """
    part: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as opened:
            part = Path(opened.name)
            part.chmod(mode)
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
        sync(file.parent)
    except OSError as wrong:
        if part is not None:
            part.unlink(missing_ok=True)
        raise AuthorityError(f"{file}: cannot be written: {wrong}") from wrong
