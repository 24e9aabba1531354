"""A sealed archive file: one week of rows as gzip, one JSON object a line, in order of the chains.

    {"quanjian":"archive","v":1,"number":7,"since":"...","until":"..."}
    {"relation":"part","stream":"...","seq":12,"at":"...","received_at":"...","node":"...",
     "hash":"...","raw":"{...}"}

`raw` is the row as its node sent it, so `hash` can be checked with nothing but this file; bytes
that are no UTF-8 (quarantine) stand as base64 in `raw_base64`. A line of quarantine also says
station, epoch, parts and reason.
"""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from edge.mqtt.message import GENESIS, chain
from hub.durable import sync
from hub.errors import ArchiveError

_COMPRESSION = 6


@dataclass(slots=True)
class Run:
    """Rows first..last of one stream, without a gap; hash is of row last."""

    stream: str
    first: int
    last: int
    hash: str


@dataclass(slots=True)
class Content:
    """What a file holds, as read from it."""

    rows: int = 0
    parts: int = 0
    bytes: int = 0
    sha256: str = ""
    runs: list[Run] = field(default_factory=list)


def write(path: Path, header: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a file; after return it survives a power cut, and nobody ever saw half of it.

    Args:
        path: in a folder that is there.

    Returns:
        The number of rows written.

    Raises:
        ArchiveError: the disk is full or failing; nothing is left.
    """
    part = path.with_suffix(".part")
    count = 0
    try:
        with part.open("wb") as file:
            # no name and no time inside: the same rows are the same bytes
            with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:
                packed.write(msgspec.json.encode({"quanjian": "archive", "v": 1, **header}) + b"\n")
                for row in rows:
                    packed.write(_line(row))
                    count += 1
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    except OSError as wrong:
        raise ArchiveError(f"{path}: cannot be written: {wrong}") from wrong
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count


def read(path: Path, hash_before: Callable[[str, int], str | None]) -> Content:
    """Read a file from its first byte to its last and check every row against the one before.

    Args:
        hash_before: hash of row `seq` of a stream where a run starts behind it, None if nobody
            knows (a declared gap): that row is believed, as ingest believed it.

    Raises:
        ArchiveError: unreadable, cut off, or a row does not follow from the row before it.
    """
    content = Content()
    try:
        content.bytes, content.sha256 = path.stat().st_size, digest_of(path)
        with gzip.open(path) as packed:
            for number, row in enumerate(_rows(packed), 2):
                try:
                    _take(content, row, hash_before)
                except (KeyError, TypeError, ValueError) as wrong:
                    raise ArchiveError(f"{path}: line {number}: {wrong}") from wrong
    except (OSError, EOFError, ValueError) as wrong:
        raise ArchiveError(f"{path}: {wrong}") from wrong
    return content


def digest_of(path: Path) -> str:
    """sha256 of a file, however large, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _line(row: Mapping[str, Any]) -> bytes:
    told = {key: value for key, value in row.items() if value is not None and key != "raw"}
    raw = bytes(row["raw"])
    try:
        told["raw"] = raw.decode()
    except UnicodeDecodeError:
        told["raw_base64"] = base64.b64encode(raw).decode()
    for key, value in told.items():
        if isinstance(value, datetime):
            told[key] = value.isoformat()
    return msgspec.json.encode(told) + b"\n"


def _rows(packed: gzip.GzipFile) -> Iterator[dict[str, Any]]:
    header = json.loads(packed.readline() or b"{}")
    if (header.get("quanjian"), header.get("v")) != ("archive", 1):
        raise ValueError("no archive of quanjian, version 1")
    for line in packed:
        yield json.loads(line)


def _take(
    content: Content, row: dict[str, Any], hash_before: Callable[[str, int], str | None]
) -> None:
    stream, seq, told = row["stream"], row["seq"], row["hash"]
    raw = row["raw"].encode() if "raw" in row else base64.b64decode(row["raw_base64"])
    run = content.runs[-1] if content.runs else None
    if run is not None and (run.stream, run.last + 1) == (stream, seq):
        previous: str | None = run.hash
    else:
        previous = GENESIS if seq == 1 else hash_before(stream, seq - 1)
        run = Run(stream, seq, seq, told)
        content.runs.append(run)
    if previous is not None and chain(previous, seq, raw) != told:
        raise ValueError(f"row {seq} of ledger {stream} does not follow from the row before it")
    run.last, run.hash = seq, told
    content.rows += 1
    content.parts += row["relation"] == "part"
