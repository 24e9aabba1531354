"""OpenCV's VideoCapture, with every fault as a CameraError and every text without its password."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import CameraError
from edge.vision.address import redacted


class Stream:
    """One opened source. Used by one thread at a time."""

    def __init__(self, source: str, kind: str, place: str, api: int, limits: Sequence[int]) -> None:
        """Open it.

        Args:
            source: as it stands in edge.toml, for messages.
            kind: of the camera, for messages.
            place: what OpenCV is to open; may hold a password.
            api: one of cv2's CAP_ numbers.
            limits: pairs of a property and its value, as `cv2.VideoCapture` takes them.

        Raises:
            CameraError: it cannot be opened.
        """
        self.source = redacted(source)
        try:
            self._capture = cv2.VideoCapture(place, api, list(limits))
        except cv2.error as exc:
            wrong = redacted(str(exc))
            raise CameraError(f"{self.source}: cannot be opened as {kind}: {wrong}") from None
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(f"{self.source}: cannot be opened as {kind}")

    def read(self) -> npt.NDArray[np.uint8] | None:
        """The next picture; None when there is none any more, or none within the time limit.

        Raises:
            CameraError: reading failed.
        """
        try:
            came, image = self._capture.read()
        except cv2.error as exc:
            raise CameraError(f"{self.source}: reading failed: {redacted(str(exc))}") from None
        return np.asarray(image, np.uint8) if came and image is not None else None

    def get(self, key: int) -> float:
        """A property of the source or of the picture read last; 0 where it has none."""
        return self._capture.get(key)

    def close(self) -> None:
        """Let the source go; safe to call twice."""
        self._capture.release()
