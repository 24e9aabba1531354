"""Which pictures of a part are kept, and under which hash its row names them.

Every view of a part judged not OK is kept, with a thumbnail that travels first; of parts judged OK
one in `keep_ok_every`, whatever becomes of the verdict. The hash goes into the row; the file is
written after the PLC has its verdict.
"""

import hashlib
from dataclasses import dataclass

from edge.eye import Look
from edge.pictures import PictureStore
from edge.terms import Code
from edge.vision import annotate


@dataclass(frozen=True, slots=True)
class Shot:
    """The pictures of one view, encoded and not yet on disk."""

    picture: bytes | None = None
    thumbnail: bytes | None = None

    def hashes(self) -> tuple[str | None, str | None]:
        """sha256 of picture and thumbnail."""
        return _sha256(self.picture), _sha256(self.thumbnail)


class Evidence:
    """Chooses, encodes and stores the pictures of one station's parts."""

    def __init__(self, store: PictureStore, keep_ok_every: int = 20) -> None:
        self._store = store
        self._keep_ok_every = keep_ok_every

    def take(self, look: Look, code: Code, number: int) -> Shot:
        """Encode what will be kept of this view; nothing if nothing will."""
        if look.frame is None:
            return Shot()
        if code is Code.OK:
            if number % self._keep_ok_every:
                return Shot()
            return Shot(annotate.jpeg(look.frame.image))
        return Shot(
            annotate.jpeg(look.frame.image), annotate.thumbnail(look.frame.image, look.detections)
        )

    def store(self, shot: Shot, code: Code) -> None:
        """Write the pictures of a committed row.

        Raises:
            LedgerError: they cannot be written; the row stands without them.
        """
        if shot.thumbnail is not None:
            self._store.put(shot.thumbnail, "thumbnail")
        if shot.picture is not None:
            self._store.put(shot.picture, "ok" if code is Code.OK else "not_ok")


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
