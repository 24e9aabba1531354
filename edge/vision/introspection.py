"""Debian's GObject bindings (gi), imported only when a camera needs them: Aravis, GStreamer.

They are not on PyPI as wheels and fit one version of Python, the system's own. A virtual
environment of that version finds them without seeing any other package of the system.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edge.errors import CameraError

DEBIAN = Path("/usr/lib/python3/dist-packages")


def load(namespace: str, version: str, packages: str) -> Any:
    """One library by its introspection data.

    Args:
        namespace: e.g. "Aravis".
        version: of its interface, e.g. "0.8".
        packages: Debian packages that bring it, for the sentence.

    Raises:
        CameraError: not installed, or built for another Python; names the packages.
    """
    try:
        gi = _gi()
        gi.require_version(namespace, version)
        return importlib.import_module(f"gi.repository.{namespace}")
    except (ImportError, ValueError) as exc:
        needs = f"apt-get install python3-gi {packages}"
        raise CameraError(f"{namespace} {version} is not here: {needs}{_built_for()}") from exc


@contextlib.contextmanager
def said(source: str) -> Iterator[None]:
    """What these libraries complain about, as ours: their GLib.Error is a RuntimeError.

    Raises:
        CameraError: with the library's words after `source`.
    """
    try:
        yield
    except RuntimeError as exc:
        raise CameraError(f"{source}: {getattr(exc, 'message', exc)}") from exc


def _gi() -> ModuleType:
    """The bindings of this environment, else Debian's; its folder is on the path only meanwhile."""
    try:
        return importlib.import_module("gi")
    except ImportError:
        if not (DEBIAN / "gi").is_dir():
            raise
    sys.path.append(str(DEBIAN))
    try:
        return importlib.import_module("gi")
    finally:
        sys.path.remove(str(DEBIAN))


def _built_for() -> str:
    """Which Python the installed bindings need, if it is another than this one."""
    tags = sorted(path.name.split(".")[1] for path in (DEBIAN / "gi").glob("_gi.cpython-*.so"))
    own = f"cpython-{sys.version_info.major}{sys.version_info.minor}-"
    if not tags or any(tag.startswith(own) for tag in tags):
        return ""
    return (
        f"; what is installed is built for {tags[0]}, and this is Python "
        f"{sys.version_info.major}.{sys.version_info.minor}: use the system's own Python"
    )
