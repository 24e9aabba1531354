"""The folder of pictures: JPEG files named by their sha256. No database and no HTTP.

ab/abcd...ef.jpg   a picture
part/              pictures on their way
"""

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from hub import durable
from hub.errors import PictureError

_PART = "part"


class PictureFolder:
    """JPEG files named by their sha256, spread over 256 folders."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, sha256: str) -> Path:
        """Where this picture lies or would lie; `sha256` is 64 hex digits."""
        return self._root / sha256[:2] / f"{sha256}.jpg"

    def has(self, sha256: str) -> bool:
        """Whether the file is here."""
        return self.path(sha256).is_file()

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Keep a picture: after return it survives a power cut, and no reader ever saw half of it.

        Raises:
            PictureError: the disk is full or failing; nothing is kept.
        """
        final = self.path(sha256)
        part: Path | None = None
        try:
            durable.make(final.parent)
            durable.make(self._root / _PART)
            with tempfile.NamedTemporaryFile(
                dir=self._root / _PART, suffix=".part", delete=False
            ) as file:
                part = Path(file.name)
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            part.replace(final)
            durable.sync(final.parent)
        except OSError as wrong:
            if part is not None:
                part.unlink(missing_ok=True)
            raise PictureError(f"{final}: cannot be written: {wrong}") from wrong

    def remove(self, sha256: str) -> None:
        """Delete a picture; nothing happens if it is not here.

        Raises:
            PictureError: the disk is failing, or the folder is not ours.
        """
        try:
            self.path(sha256).unlink(missing_ok=True)
        except OSError as wrong:
            raise PictureError(f"{self.path(sha256)}: cannot be deleted: {wrong}") from wrong

    def sweep(self, before_s: float) -> None:
        """Delete what uploads left that were cut off before `before_s`, seconds since 1970.

        Raises:
            PictureError: as `remove`.
        """
        try:
            for part in (self._root / _PART).glob("*.part"):
                with suppress(FileNotFoundError):  # it came to its end
                    if part.stat().st_mtime < before_s:
                        part.unlink()
        except OSError as wrong:
            raise PictureError(f"{self._root / _PART}: cannot be swept: {wrong}") from wrong

    @property
    def mounted(self) -> bool:
        """Whether pictures were ever kept here: a share that is not mounted is an empty folder."""
        try:
            return any(re.fullmatch("[0-9a-f]{2}", entry.name) for entry in self._root.iterdir())
        except OSError:
            return False
