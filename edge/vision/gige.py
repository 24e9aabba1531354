"""GigE Vision and USB3 Vision cameras by Aravis, for edge.vision.genicam_camera.

On a bench with a camera, GigE or USB3:

    quanjian-edge cameras --out snapshots && quanjian-edge check --config edge.toml
"""

import time
from typing import Any

from edge.errors import CameraError
from edge.vision.aravis import AravisFeatures, connect, load_aravis
from edge.vision.genicam_camera import BUFFERS, Shot
from edge.vision.introspection import said

_NO_NUMBER = 2**64 - 1
_NO_PICTURE = ("cleared", "aborted", "filling")  # of a stream that is being stopped


class AravisTransport:
    """One connected camera."""

    features: Any

    def __init__(self, kind: str, source: str) -> None:
        """Connect and take control.

        Args:
            kind: gige or usb3.
            source: serial number, user name, IP address.

        Raises:
            CameraError: Aravis is missing, no such camera, or another program holds it.
        """
        self.source = source
        self._aravis = load_aravis()
        self._fault: str | None = None
        self._stream: Any = None
        self._camera = connect(kind, source)
        self.features = AravisFeatures(source, self._camera)
        self._lost_signal = self._camera.get_device().connect("control-lost", self._on_lost)

    def start(self) -> None:
        """Let the camera send."""
        with said(self.source):
            self._stream = self._camera.create_stream(None, None)
            payload = self._camera.get_payload()
            for _ in range(BUFFERS):
                _give(self._stream, self._aravis.Buffer.new_allocate(payload))
            self._camera.start_acquisition()

    def stop(self) -> None:
        """Stop it, if it sends; a lost camera is not spoken to, it would only time out."""
        stream, self._stream = self._stream, None
        if stream is not None and self._fault is None:
            with said(self.source):
                self._camera.stop_acquisition()

    def fetch(self, timeout_s: float) -> Shot | None:
        """The next picture; None when none came in time.

        Raises:
            CameraError: the camera is lost.
        """
        if self._fault is not None or self._stream is None:
            raise CameraError(self._fault or f"{self.source}: not sending since it was set up")
        with said(self.source):
            buffer = self._stream.timeout_pop_buffer(round(timeout_s * 1e6))
            if buffer is None:
                return None
            try:
                return _shot(buffer)
            finally:
                _give(self._stream, buffer)

    def close(self) -> None:
        """Let the camera go; safe to call twice."""
        if self._camera is None:
            return
        self._camera.get_device().disconnect(self._lost_signal)
        try:
            self.stop()
        except CameraError:
            self._stream = None  # it went away meanwhile
        # the last reference to them lets the camera go
        self._camera = self.features = None

    def _on_lost(self, _device: Any) -> None:
        self._fault = f"{self.source}: the camera does not answer any more"


def _give(stream: Any, buffer: Any) -> None:
    """Have it filled; it would keep the number of its last picture where a leader is lost."""
    buffer.set_frame_id(_NO_NUMBER)
    stream.push_buffer(buffer)


def _shot(buffer: Any) -> Shot | None:
    status = buffer.get_status().value_nick
    if status in _NO_PICTURE or buffer.get_frame_id() == _NO_NUMBER:
        return None  # a picture without its leader shows as a gap before the next
    whole = status == "success"
    # Aravis stamps with the wall clock, which may be set at any time: too old is the safe side
    age_s = max(0.0, (time.time_ns() - buffer.get_system_timestamp()) / 1e9)
    return Shot(
        counter=buffer.get_frame_id(),
        stamp_ns=buffer.get_timestamp(),
        arrived_s=time.monotonic() - age_s,
        width=buffer.get_image_width() if whole else 0,
        height=buffer.get_image_height() if whole else 0,
        content=buffer.get_data() if whole else b"",  # picture first; chunks may follow it
        fault=None if whole else status,
    )
