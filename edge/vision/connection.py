"""One connection to one camera: what every kind can do, and which file serves which kind.

open_camera(settings) --> Camera: read, request, apply, close
"""

from pathlib import Path
from typing import Protocol

from edge.limits import View
from edge.terms import Frame, TriggerMode
from edge.vision.csi import CsiCamera
from edge.vision.folder import FolderCamera
from edge.vision.genicam_camera import GenicamCamera
from edge.vision.gentl import GentlTransport
from edge.vision.gige import AravisTransport
from edge.vision.gstreamer import GstreamerCamera
from edge.vision.rtsp import RtspCamera
from edge.vision.setup import CameraSettings
from edge.vision.shared_memory import SharedMemoryCamera
from edge.vision.v4l2 import V4l2Camera, Wiring
from edge.vision.video import VideoCamera


class Camera(Protocol):
    """One connection to one source of frames, read by one thread."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or a BadFrame in its place; None when none came in time.

        Raises:
            CameraError: the source is lost; close it and open it again.
        """

    def request(self) -> None:
        """Ask a source on demand for one picture; from any thread; else without effect."""

    def apply(self, view: View) -> None:
        """Set exposure, gain, region and strobe, those that the view names; called by the reader.

        On return every exposure that begins is under the new setup.

        Raises:
            CameraError: the source cannot be set so; names the key.
        """

    def close(self) -> None:
        """Let the device go; safe to call twice."""


def open_camera(settings: CameraSettings, trigger: TriggerMode = "free_run") -> Camera:
    """Connect to a source.

    Args:
        trigger: what starts an exposure, where the source can be told.

    Raises:
        CameraError: it cannot be reached, in a sentence that names it.
    """
    if settings.kind == "shared_memory":
        return SharedMemoryCamera(settings.name, Path(settings.source))
    if settings.kind == "folder":
        return FolderCamera(settings.name, Path(settings.source), loop=settings.loop)
    if settings.kind == "video":
        return VideoCamera(settings.name, Path(settings.source), loop=settings.loop)
    if settings.kind in ("gige", "usb3"):
        return GenicamCamera(settings, trigger, AravisTransport(settings.kind, settings.source))
    if settings.kind == "gentl":
        transport = GentlTransport(Path(settings.source), settings.device)
        return GenicamCamera(settings, trigger, transport)
    return _timeless(settings)


def _timeless(settings: CameraSettings) -> Camera:
    """A camera of a kind that does not say when it exposed."""
    name, source, size, fps = settings.name, settings.source, settings.size, settings.fps
    secret = Path(settings.password_file) if settings.password_file else None
    delay_s = (settings.delay_ms or 0) / 1000
    if settings.kind == "rtsp":
        transport = settings.transport
        return RtspCamera(name, source, transport=transport, password_file=secret, delay_s=delay_s)
    if settings.kind == "v4l2":
        wiring = Wiring(size, fps, settings.pixel_format, settings.controls)
        return V4l2Camera(name, source, wiring, delay_s=delay_s)
    if settings.kind == "csi":
        return CsiCamera(name, source, size, fps, delay_s=delay_s)
    return GstreamerCamera(name, source, password_file=secret, delay_s=delay_s)
