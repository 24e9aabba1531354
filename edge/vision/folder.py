"""A folder of pictures as a camera: one picture per request, in the order of their names.

For trying a model on pictures that exist already, with PLC and hub and all.
"""

import logging
import threading
import time
from collections import deque
from pathlib import Path

from edge.errors import CameraError, ImageError
from edge.limits import View
from edge.terms import Frame
from edge.vision.image import bad_frame, decode_image
from edge.vision.setup import refuse

_log = logging.getLogger(__name__)

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"))
"""Files that mean to be pictures. Those of a kind that cannot be read become a BadFrame."""


def pictures_in(folder: Path) -> list[Path]:
    """Files of `folder` that mean to be pictures, hidden ones left out, in the order of names.

    Raises:
        CameraError: the folder cannot be listed.
    """
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as exc:
        raise CameraError(f"{folder}: cannot be listed: {exc}") from exc


def shown(path: Path | str) -> str:
    """The path as text that a terminal, a row and a page take, whatever bytes its name has."""
    return str(path).encode(errors="replace").decode()


class FolderCamera:
    """Delivers one picture per `request`, exposed at the moment of the request.

    The folder is listed once. After the last picture nothing comes any more, unless `loop` is set.
    """

    def __init__(self, name: str, folder: Path, *, loop: bool) -> None:
        """List the folder.

        Raises:
            CameraError: there is no such folder, or no picture in it.
        """
        self.name, self.folder, self.loop = name, folder, loop
        self._paths = pictures_in(folder)
        if not self._paths:
            raise CameraError(f"{folder}: no picture in this folder")
        self._next = 0
        self._asked: deque[float] = deque(maxlen=len(self._paths))
        self._bell = threading.Condition()

    def request(self) -> None:
        """The next picture, please."""
        with self._bell:
            self._asked.append(time.monotonic())
            self._bell.notify()

    def read(self, timeout_s: float) -> Frame | None:
        """The picture asked for longest ago, a BadFrame where it cannot be read.

        None when none was asked for within `timeout_s`, or there are no more.
        """
        with self._bell:
            if not self._bell.wait_for(lambda: self._asked, timeout_s):
                return None
            exposed_s = self._asked.popleft()
            number = self._next
            self._next += 1
        if number >= len(self._paths) and not self.loop:
            if number == len(self._paths):
                _log.info(
                    "camera %s: all %d pictures of %s are through", self.name, number, self.folder
                )
            return None
        path = self._paths[number % len(self._paths)]
        try:
            return Frame(self.name, number, exposed_s, decode_image(path), None, shown(path))
        except ImageError as exc:
            told = shown(str(exc))
            return bad_frame(self.name, number, exposed_s, shown(path), told)

    def apply(self, view: View) -> None:
        """Refuse whatever a file cannot be set to.

        Raises:
            CameraError: names the key.
        """
        refuse(view, str(self.folder), "folder")

    def close(self) -> None:
        """Nothing to let go."""
