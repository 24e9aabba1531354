"""The folder of pictures: JPEG files named by their sha256. No database and no HTTP."""

import os
import tempfile
from pathlib import Path

from hub.durable import sync
from hub.errors import PictureError


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
            folder = final.parent
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=final.parent, suffix=".part", delete=False
            ) as file:
                part = Path(file.name)
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            part.replace(final)
            sync(folder)
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

    @property
    def mounted(self) -> bool:
        """Whether the folder is there at all: a share may not be mounted."""
        return self._root.is_dir()
