"""What is written down of a commissioning: every step with time, who, figures and result. Pure.

One JSON document. Records are only appended; which of them still hold is `edge.commissioning.rules`
own question. A go-live is sealed: its sha256 is over everything in it, names and time included.
"""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from edge.mqtt.message import Clock, Text

VERSION = 1
Step = Literal["camera", "focus", "region", "plc", "golden", "monitor", "manual", "sign"]
Result = Literal["passed", "failed", "refused"]
PersonName = Annotated[str, Meta(min_length=1, max_length=50)]


class Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Anything in the file: unknown fields are refused."""


class Record(Stored, frozen=True, kw_only=True):
    """One step, or one point of it, as it was tried once."""

    step: Step
    subject: str  # camera or station, by its name in edge.toml
    point: str = ""  # of step plc: the point; of step golden: the part
    at_ms: int  # UTC, milliseconds since 1970, as good as `clock` says
    clock: Clock
    who: PersonName
    result: Result
    text: str  # what came of it, in a Chinese sentence
    figures: dict[str, Any]
    made_with: dict[str, str]  # sha256 of what it depends on; another one makes it void


class Judged(Stored, frozen=True, kw_only=True):
    """One part that the node judged in monitor mode: what it would have done with it."""

    station: str
    epoch: int
    number: int
    code: int  # edge.terms.Code; every code but 1 means that it would have been rejected
    reason: str | None = None
    defect: str | None = None


class Entry(Stored, frozen=True, kw_only=True):
    """What a person found on one of those parts."""

    station: str
    epoch: int
    number: int
    good: bool
    defect: Text = ""
    who: PersonName
    at_ms: int


class Person(Stored, frozen=True, kw_only=True):
    """Who signs, and as what."""

    name: PersonName
    role: Annotated[str, Meta(min_length=1, max_length=50)]


class GoLive(Stored, frozen=True, kw_only=True):
    """The acceptance: what held at that moment, and who answers for it."""

    plant: str
    line: str
    node: str
    at_ms: int
    clock: Clock
    first: Person
    second: Person
    made_with: dict[str, str]
    records: tuple[Record, ...]  # those that stood
    sha256: str = ""  # over all of the above


class Journal(Stored, frozen=True, kw_only=True):
    """The whole file."""

    v: Literal[1] = 1
    records: tuple[Record, ...] = ()
    judged: tuple[Judged, ...] = ()
    entries: tuple[Entry, ...] = ()
    signed: tuple[GoLive, ...] = ()  # the newest last


def encode(journal: Journal) -> bytes:
    """As it stands on disk: a field a line, for people too."""
    return msgspec.json.format(msgspec.json.encode(journal), indent=1) + b"\n"


def decode(content: bytes) -> Journal:
    """Strictly.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: with what was expected and where.
    """
    return msgspec.json.decode(content, type=Journal)


def sealed(going: GoLive) -> GoLive:
    """The same with its sha256."""
    return replace(going, sha256=_digest(going))


def is_intact(going: GoLive) -> bool:
    """Is it, to the last letter, what was signed?"""
    return going.sha256 == _digest(going)


def _digest(going: GoLive) -> str:
    """Over the encoding with sorted keys: a file that was read and written again hashes alike."""
    content = msgspec.json.encode(replace(going, sha256=""), order="sorted")
    return hashlib.sha256(content).hexdigest()
