"""Which pictures of a part are kept, and under which hash its row names them.

    judged    the frames to keep are held in memory; the PLC hears its verdict at once
    settled   (the PLC's echo, or the deadline) they are encoded, and the closed row names them
    after     the files are written; see edge.pictures for the ring on disk

Every view of a part judged not OK is kept, with a thumbnail that travels first; of parts judged OK
one in `keep_ok_every`, whatever becomes of the verdict. What is held has a bound: on a disk too
slow for it parts go without pictures, counted, and rows never wait for more than that.
"""

import hashlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import EdgeError, LedgerError
from edge.eye import Look
from edge.mqtt.message import PartRow
from edge.pictures import PictureStore
from edge.terms import Code
from edge.vision import annotate

log = logging.getLogger(__name__)

HELD_PARTS = 16
HELD_BYTES = 256_000_000
"""Frames held from the verdict until its files are written, at most; one part in any case."""

Names = tuple[str | None, str | None]
"""sha256 of picture and thumbnail of one view."""

_Key = tuple[int, int]  # epoch and number of a part


@dataclass(frozen=True, slots=True)
class _Held:
    """A part's views whose pictures will be kept."""

    looks: tuple[Look, ...]
    code: Code
    bytes: int


@dataclass(frozen=True, slots=True)
class Shot:
    """The pictures of one view, encoded and not yet on disk."""

    picture: bytes | None = None
    thumbnail: bytes | None = None

    def hashes(self) -> Names:
        """sha256 of picture and thumbnail."""
        return _sha256(self.picture), _sha256(self.thumbnail)


class Evidence:
    """Chooses, encodes and stores the pictures of one station's parts. Safe from its threads."""

    def __init__(
        self,
        store: PictureStore,
        keep_ok_every: int = 20,
        held_parts: int = HELD_PARTS,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.dropped = 0
        """Parts whose pictures should have been kept, and were not: too many were waiting."""
        self._store = store
        self._keep_ok_every = keep_ok_every
        self._held_parts, self._held_bytes = held_parts, held_bytes
        self._lock = threading.Lock()
        self._held: dict[_Key, _Held] = {}
        self._encoded: dict[_Key, tuple[Code, tuple[Shot, ...]]] = {}

    def hold(self, row: PartRow, looks: Sequence[Look]) -> None:
        """Keep the frames of an open row until it is closed, if their pictures will be kept."""
        if not looks or (row.computed is Code.OK and row.number % self._keep_ok_every):
            return
        size = sum(look.frame.image.nbytes for look in looks if look.frame is not None)
        with self._lock:
            parts = len(self._held) + len(self._encoded)
            together = size + sum(held.bytes for held in self._held.values())
            if parts >= self._held_parts or (self._held and together > self._held_bytes):
                self.dropped += 1
                log.warning(
                    "%s: part %d goes without pictures, %d so far: the disk is too slow for them",
                    row.station,
                    row.number,
                    self.dropped,
                )
                return
            self._held[row.epoch, row.number] = _Held(tuple(looks), row.computed, size)

    def name(self, row: PartRow) -> tuple[Names, ...]:
        """Encode what is held of a part; the names for its closed row, () = no pictures.

        May be asked again until `store`.
        """
        key = row.epoch, row.number
        with self._lock:
            held = self._held.get(key)
        if held is not None:
            shots = tuple(_encode(look, held.code) for look in held.looks)
            with self._lock:
                self._encoded[key] = held.code, shots
                self._held.pop(key, None)
        with self._lock:
            _, shots = self._encoded.get(key, (row.computed, ()))
        return tuple(shot.hashes() for shot in shots)

    def store(self, row: PartRow) -> None:
        """Write the pictures of a closed row. One that cannot be written is logged: rows stand."""
        with self._lock:
            code, shots = self._encoded.pop((row.epoch, row.number), (row.computed, ()))
        for shot in shots:
            try:
                self._write(shot, code)
            except LedgerError as wrong:
                log.error("%s: a picture was not kept: %s %s", row.station, wrong, wrong.hint)

    def _write(self, shot: Shot, code: Code) -> None:
        if shot.thumbnail is not None:
            self._store.put(shot.thumbnail, "thumbnail")
        if shot.picture is not None:
            self._store.put(shot.picture, "ok" if code is Code.OK else "not_ok")


def _encode(look: Look, code: Code) -> Shot:
    if look.frame is None or look.frame.image.size == 0:
        return Shot()
    image = look.frame.image
    try:
        if code is Code.OK:
            return Shot(annotate.jpeg(image))
        return Shot(annotate.jpeg(image), annotate.thumbnail(image, look.detections))
    except EdgeError as wrong:
        log.error("%s: a picture was not kept: %s", look.camera, wrong)
        return Shot()


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
