"""The sections of edge.toml that say who this node is and where its rows go."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta, Struct
from msgspec.structs import replace

from edge.mqtt.message import Name
from edge.sections import HOST, Host

Port = Annotated[int, Meta(ge=0, le=65535)]
_TLS = ("ca_file", "certificate_file", "key_file")


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class Node(Section, frozen=True, kw_only=True):
    """[node] who this computer is and where it keeps its ledger."""

    plant: Name
    line: Name
    name: Name
    data_dir: str  # ledger and pictures, on a local disk
    pictures_dir: str | None = None  # may be a disk of its own; None: "pictures" in data_dir
    max_pictures_mb: Annotated[int, Meta(ge=10)] = 2000  # oldest pictures go first beyond this


class Hub(Section, frozen=True, kw_only=True):
    """[hub] where rows and pictures go. Without it the node keeps its rows."""

    broker_host: Host
    broker_port: Port = 1883
    pictures_url: str | None = None  # e.g. "http://127.0.0.1:8080"; no pictures are sent without it
    token_file: str | None = None  # file with the node's token, mode 0600
    ca_file: str | None = None  # the hub's authority; with the next two the node speaks TLS 1.3
    certificate_file: str | None = None  # where the node may write: it renews it by itself
    key_file: str | None = None


def web_address(url: str, *schemes: str) -> SplitResult:
    """The parts of an address such as https://HOST:PORT/PATH.

    Raises:
        ValueError: it is none of these schemes, or nobody can be connected to by it.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port  # a ValueError if it is no number
    if parts.scheme not in schemes or port == 0 or not (url.isascii() and re.match(HOST, host)):
        raise ValueError("expected " + " or ".join(f"{scheme}://HOST:PORT" for scheme in schemes))
    return parts


def upstream(hub: Hub | None) -> list[str]:
    """What does not go together in [hub]; keys that are wrong are None and told already."""
    if hub is None:
        return []
    problems = []
    if hub.pictures_url is not None:
        try:
            web_address(hub.pictures_url, "http", "https")
        except ValueError as wrong:
            problems.append(f"[hub] pictures_url: {hub.pictures_url!r}; {wrong}")
    given = [name for name in _TLS if getattr(hub, name) is not None]
    if given and len(given) < len(_TLS):
        told = ", ".join(given)
        problems.append(f"[hub] {', '.join(_TLS)}: give all three or none; given: {told}")
    return problems


def upstream_resolved(hub: Hub, folder: Path) -> Hub:
    """The section with its files made absolute from `folder`."""
    given = {name: getattr(hub, name) for name in ("token_file", *_TLS)}
    return replace(hub, **{name: str(folder / file) for name, file in given.items() if file})
