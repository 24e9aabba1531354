"""A GStreamer pipeline as a camera, by Debian's gi: what OpenCV's own decoders cannot reach.

    source of edge.toml ! videoconvert ! GRAY8 or BGR ! appsink, which keeps the newest picture

A live source stamps its buffers on the pipeline's clock, which is made to be time.monotonic(). Some
number them too (`offset` to `offset_end`, one picture; v4l2src by the driver's counter), and most
of what is between the source and us carries the numbers along, so that pictures lost on the way are
known. A decoder such as jpegdec does not, and videorate numbers its own. Offsets in bytes are none.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.address import login, redacted
from edge.vision.introspection import load
from edge.vision.setup import refuse

LOST_S = 3.0
"""So long without a picture, or so far behind its own clock: lost."""

_PACKAGES = "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
_TAIL = (
    "videoconvert ! video/x-raw,format=(string){GRAY8,BGR} ! "
    "appsink name=quanjian-sink drop=true max-buffers=1 sync=false"
)


class GstreamerCamera:
    """One running pipeline."""

    kind = "gstreamer"

    def __init__(
        self,
        name: str,
        source: str,
        *,
        password_file: Path | None = None,
        delay_s: float = 0.0,
        lost_after_s: float = LOST_S,
    ) -> None:
        """Build the pipeline and start it; takes up to `lost_after_s`.

        Args:
            source: a pipeline without its sink, such as "v4l2src device=/dev/video0 ! jpegdec";
                {login} in it stands for the content of the password file.
            password_file: user:password in its first line, mode 0600.
            delay_s: from exposure to the source's stamp, at the most.
            lost_after_s: without a picture for so long, the camera is lost.

        Raises:
            CameraError: GStreamer is missing, the text is no pipeline, or it does not start.
        """
        self.name, self.source = name, redacted(source)
        self._delay_s, self._lost_after_s = delay_s, lost_after_s
        self._gst = load("Gst", "1.0", _PACKAGES)
        load("GstApp", "1.0", _PACKAGES)  # gives the sink its methods
        self._video = load("GstVideo", "1.0", _PACKAGES)
        self._gst.init(None)
        text = source if password_file is None else source.replace("{login}", login(password_file))
        self.pipeline = self._parsed(f"{text} ! {_TAIL}")
        self._sink = self.pipeline.get_by_name("quanjian-sink")
        self._number = -1
        self._counter: int | None = None  # the source's own, of the newest picture
        self._came_s = time.monotonic()
        self._fault: str | None = None
        try:
            self._start()
        except CameraError:
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        """The newest picture that was not read yet; None when none came in time.

        Raises:
            CameraError: the pipeline stopped, gave nothing for 3 s, or what it gave is no picture.
        """
        sample = self._sink.try_pull_sample(round(timeout_s * 1e9))
        arrived_s = time.monotonic()
        self._hear()
        if sample is None:
            if self._fault is not None:
                raise CameraError(self._fault)
            if arrived_s - self._came_s > self._lost_after_s:
                raise CameraError(f"{self.source}: no picture for {self._lost_after_s:g} s")
            return None
        self._came_s = arrived_s
        exposed_s = self._exposed_s(sample, arrived_s)
        return Frame(self.name, self._next_number(sample), exposed_s, self._image(sample))

    def request(self) -> None:
        """Nothing to do: the pipeline runs freely."""

    def apply(self, view: View) -> None:
        """Refuse what this kind cannot be set to, which is everything.

        Raises:
            CameraError: names the key.
        """
        refuse(view, self.source, self.kind)

    def close(self) -> None:
        """Stop the pipeline; safe to call twice."""
        self.pipeline.set_state(self._gst.State.NULL)

    def _parsed(self, text: str) -> Any:
        try:
            return self._gst.parse_launch(text)
        except RuntimeError as exc:  # GLib.Error is one
            told = redacted(str(getattr(exc, "message", exc)))
            raise CameraError(f"{self.source}: no pipeline: {told}") from None

    def _start(self) -> None:
        self.pipeline.use_clock(self._gst.SystemClock.obtain())
        self.pipeline.set_state(self._gst.State.PLAYING)
        result = self.pipeline.get_state(round(self._lost_after_s * 1e9))[0]
        if result == self._gst.StateChangeReturn.FAILURE:
            self._hear()
            raise CameraError(self._fault or f"{self.source}: the pipeline does not start")

    def _hear(self) -> None:
        """Remember an error or the end; all else that a pipeline tells would pile up in memory."""
        types, bus = self._gst.MessageType, self.pipeline.get_bus()
        while (message := bus.pop_filtered(types.ERROR | types.EOS)) is not None:
            if message.type == types.EOS:
                told = "the pipeline has come to its end"
            else:
                told = f"{message.src.get_name()}: {message.parse_error()[0].message}"
            self._fault = self._fault or f"{self.source}: {redacted(told)}"

    def _next_number(self, sample: Any) -> int:
        """By the source's counter; without one the next number, whatever was lost."""
        buffer, before = sample.get_buffer(), self._counter
        counts = buffer.offset_end == buffer.offset + 1
        self._counter = int(buffer.offset) if counts else None
        ahead = 1 if before is None or self._counter is None else self._counter - before
        self._number += max(1, ahead)  # not ahead: it counts anew
        return self._number

    def _exposed_s(self, sample: Any, arrived_s: float) -> float:
        """By the source's stamp; by the arrival where there is none, or one from the future."""
        stamp_ns = sample.get_buffer().pts
        none = self._gst.CLOCK_TIME_NONE
        if stamp_ns == none:
            return arrived_s - self._delay_s
        running_ns = sample.get_segment().to_running_time(self._gst.Format.TIME, stamp_ns)
        if running_ns == none:
            return arrived_s - self._delay_s
        stamp_s = (self.pipeline.get_base_time() + running_ns) / 1e9
        if arrived_s - stamp_s > self._lost_after_s:
            raise CameraError(f"{self.source}: runs {arrived_s - stamp_s:.1f} s behind its clock")
        return float(min(stamp_s, arrived_s) - self._delay_s)

    def _image(self, sample: Any) -> npt.NDArray[np.uint8]:
        """(H, W) or (H, W, 3) uint8; rows of a buffer are longer than those of the picture."""
        picture = self._video.VideoInfo.new_from_caps(sample.get_caps())
        buffer = sample.get_buffer()
        rows = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        height, width, stride = picture.height, picture.width, picture.stride[0]
        if stride * height > rows.size:
            raise CameraError(f"{self.source}: a buffer of {rows.size} bytes is no picture")
        rows = rows[: stride * height].reshape(height, stride)
        if picture.finfo.n_components == 1:
            return rows[:, :width].copy()
        return rows[:, : 3 * width].reshape(height, width, 3).copy()
