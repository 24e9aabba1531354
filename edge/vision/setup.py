"""What edge.toml and a [[view]] ask of a camera, and the answer of one that cannot do it."""

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from edge.errors import CameraError
from edge.limits import View

AS_FOUND = 0
"""The setup of a camera that no recipe has a [[view]] for."""

StreamTransport = Literal["tcp", "udp"]

KEYS = ("exposure_us", "gain_db", "region", "strobe")
"""Keys of a [[view]] that the camera itself carries out; lights have a controller of their own."""


class CameraSettings(Protocol):
    """What a source needs to know: a [[camera]] of edge.toml."""

    @property
    def name(self) -> str:
        """Of the camera, in rows and log lines."""

    @property
    def kind(self) -> str:
        """What connects it: one of those in docs/reference.md."""

    @property
    def source(self) -> str:
        """File, folder, address, device, pipeline or number."""

    @property
    def loop(self) -> bool:
        """Folder and video: start again at the end."""

    @property
    def device(self) -> str | None:
        """GenTL: which of the producer's cameras."""

    @property
    def pixel_format(self) -> str | None:
        """V4L2, GigE, USB3 and GenTL: what the pixels are sent as; None: as the camera is set."""

    @property
    def trigger_line(self) -> str | None:
        """GigE, USB3 and GenTL: the input that the sensor is wired to."""

    @property
    def strobe_line(self) -> str | None:
        """GigE, USB3 and GenTL: the output that the lamp is wired to."""

    @property
    def delay_ms(self) -> int | None:
        """Of kinds without exposure times: from exposure to arrival, at the most."""

    @property
    def transport(self) -> StreamTransport:
        """RTSP: what carries the pictures."""

    @property
    def password_file(self) -> str | None:
        """RTSP and GStreamer: file with user:password."""

    @property
    def size(self) -> tuple[int, int] | None:
        """V4L2 and CSI: width and height, px."""

    @property
    def fps(self) -> float | None:
        """V4L2 and CSI: frames per second."""

    @property
    def controls(self) -> Mapping[str, int]:
        """V4L2: values by name."""


def asked(view: View) -> list[str]:
    """The keys that this view sets."""
    return [key for key in KEYS if getattr(view, key) is not None]


def refuse(view: View, source: str, kind: str, able: Collection[str] = ()) -> None:
    """Refuse a view with a key that is not among those this kind of source is `able` to set.

    Raises:
        CameraError: names the first such key.
    """
    key = next((key for key in asked(view) if key not in able), None)
    if key is not None:
        raise CameraError(f"{source}: [[view]] {key}: a {kind} camera cannot be set so")
