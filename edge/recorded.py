"""What a recording says on disk: the request for it, and a line for each part. No IO.

DATA_DIR/record.json                 what `quanjian-edge record` asks of the node
DATA_DIR/recordings/20261130t081500z/
    parts.jsonl                      a RecordedPart a line, after its frames
    s1-3-1207-c1.bmp                 station, epoch, number, camera: the frame, lossless
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge.mqtt.message import Count, Millis, Name, Sha256, StreamId, Text
from edge.terms import Code, Mode, Reason

REQUEST = "record.json"
FOLDER = "recordings"
PARTS = "parts.jsonl"

MAX_LINE_BYTES = 64 * 1024
"""Longest line of a part, and largest request, that is read."""

FrameFile = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,150}\.bmp\Z")]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record until then: times of a monotonic clock are good for one boot only."""

    v: Literal[1] = 1
    boot: StreamId
    until_mono_ms: Millis
    max_bytes: Count  # of all recordings together


class RecordedView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera's frame and what it said."""

    camera: Name
    file: FrameFile | None  # None: no picture came, or it could not be read
    code: Code
    reason: Reason | None = None
    mm_per_px: Annotated[float, Meta(gt=0)] | None = None


class RecordedPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part as it was computed."""

    v: Literal[1] = 1
    station: Name
    epoch: Count
    number: Count
    at_ms: Millis
    mode: Mode
    code: Code
    reason: Reason | None = None
    defect: Text | None = None
    score: float | None = None
    recipe: Text | None = None
    model: Sha256 | None = None
    views: Annotated[tuple[RecordedView, ...], Meta(max_length=16)] = ()


_parts = msgspec.json.Decoder(RecordedPart)
_requests = msgspec.json.Decoder(Request)


def decode_part(line: bytes) -> RecordedPart:
    """Strictly decode one line.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: with what was expected and where.
    """
    return _parts.decode(line)


def decode_request(content: bytes) -> Request:
    """Strictly decode a request.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: with what was expected and where.
    """
    return _requests.decode(content)


def encode(what: Request | RecordedPart) -> bytes:
    """As one line of JSON, without its end."""
    return msgspec.json.encode(what)
