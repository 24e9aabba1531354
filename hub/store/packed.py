"""Part rows as the bytes of a binary COPY. No IO.

psycopg's own encoding of a row goes through an object per column; for 28 columns that is as dear as
everything else that ingest does with a part. Nearly all columns of a part are those of the part
before it (station, recipe, model, batch, ...), so their bytes are kept and joined again.

A row is a count of fields and for each its length and its bytes (PostgreSQL, COPY, "Binary
Format"); numbers are big-endian, a time is microseconds since 2000, jsonb has a version byte before
its text.
"""

import struct
from collections.abc import Callable

import msgspec

from edge.mqtt.message import PartRow
from hub.intake import Good, Place

BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
COLUMNS = (
    *("stream", "plant", "line", "node"),
    *("seq", "at", "epoch", "number", "code", "computed"),
    *("score", "inspect_ms", "latency_ms"),
    *("station", "reason", "computed_reason", "defect", "mode", "recipe", "model", "trust"),
    *("product", "batch"),
    *("serial", "node_at", "views", "hash", "raw"),
)
"""In the order in which `PartPacker` writes them."""

_NULL = b"\xff\xff\xff\xff"
_EPOCH_MS = 946_684_800_000  # 2000-01-01
_numbers = struct.Struct(">iqiqiqiqihih").pack
_measured = struct.Struct(">iiiqiq").pack
_length = struct.Struct(">i").pack
_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack
_json_head = struct.Struct(">ib").pack  # its length, its version
_HASH_HEAD = _length(64)
_json = msgspec.json.encode


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _number(value: int | None, pack: Callable[[int, int], bytes], size: int) -> bytes:
    return _NULL if value is None else pack(size, value)


def _time_us(at_ms: int) -> int:
    return (at_ms - _EPOCH_MS) * 1000


class PartPacker:
    """Packs the part rows of one stream."""

    def __init__(self, place: Place, stream: str) -> None:
        texts = (stream, place.plant, place.line, place.node)
        self._head = struct.pack(">h", len(COLUMNS)) + b"".join(map(_text, texts))
        self._like: tuple[object, ...] = ()
        self._same = b""

    def pack(self, good: Good, row: PartRow) -> bytes:
        """One row."""
        score, inspect_ms, latency_ms = row.score, row.inspect_ms, row.latency_ms
        if score is None or inspect_ms is None or latency_ms is None:
            measured = (
                _number(score, _int4, 4)
                + _number(inspect_ms, _int8, 8)
                + _number(latency_ms, _int8, 8)
            )
        else:
            measured = _measured(4, score, 8, inspect_ms, 8, latency_ms)
        like = (
            row.station, row.reason, row.computed_reason, row.defect, row.mode, row.recipe,
            row.model, row.trust, row.product, row.batch,
        )  # fmt: skip
        if like != self._like:
            self._like, self._same = like, _like(row)
        views, raw, at_ms = _json(row.views), good.raw, good.at_ms
        time_us = (at_ms - _EPOCH_MS) * 1000
        numbers = _numbers(
            8, good.seq, 8, time_us, 8, row.epoch, 8, row.number, 2, row.code, 2, row.computed
        )
        return b"".join(
            (
                self._head,
                numbers,
                measured,
                self._same,
                _NULL if row.serial is None else _text(row.serial),
                _NULL if at_ms == row.at_ms else _int8(8, _time_us(row.at_ms)),
                _json_head(len(views) + 1, 1),
                views,
                _HASH_HEAD,
                good.hash.encode(),
                _length(len(raw)),
                raw,
            )
        )


def _like(row: PartRow) -> bytes:
    """The columns that are the same in most rows."""
    texts = (
        *(row.station, row.reason and row.reason.value),
        *(row.computed_reason and row.computed_reason.value, row.defect, row.mode.value),
        *(row.recipe, row.model, row.trust, row.product, row.batch),
    )
    return b"".join(map(_text, texts))
