"""Addresses of network cameras, and their passwords, which stand in a file and in no message."""

import re
from pathlib import Path
from urllib.parse import quote

from edge.errors import CameraError

_LOGIN = re.compile(r"(\w://)\S*@")
_KEY = re.compile(r"(?i)(passw\w*|passphrase|pwd|-pw)(\s*=\s*)(\"[^\"]*\"|[^&\s]+)")


def redacted(text: str) -> str:
    """The same text, with *** in the place of every user:password@ and password=."""
    return _KEY.sub(r"\1\2***", _LOGIN.sub(r"\1***@", text))


def login(path: Path) -> str:
    """The first line of a file, user:password, as it may stand in an address.

    Raises:
        CameraError: it cannot be read, others can read it, or it holds no user:password.
    """
    try:
        mode = path.stat().st_mode & 0o777
        line = path.read_text(encoding="utf-8").partition("\n")[0].strip("\r")
    except (OSError, UnicodeDecodeError) as exc:
        raise CameraError(f"{path}: cannot be read as a password file: {exc}") from None
    if mode & 0o077:
        raise CameraError(f"{path}: mode is {mode:o}, expected 600: others can read the password")
    user, colon, password = line.partition(":")
    if not (user and colon):
        raise CameraError(f"{path}: expected user:password in the first line")
    return f"{quote(user, safe='')}:{quote(password, safe='')}"


def with_login(address: str, path: Path | None) -> str:
    """`address` with the login of the file, if there is one.

    Raises:
        CameraError: of the file.
    """
    if path is None:
        return address
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{login(path)}@{rest}"
