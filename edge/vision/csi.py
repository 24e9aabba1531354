"""CSI camera of a Jetson: NVIDIA's camera source through GStreamer.

Only Jetsons have the element nvarguscamerasrc. On a bench with one, the sensor, then the node:

    gst-launch-1.0 nvarguscamerasrc sensor-id=0 num-buffers=60 ! nvvidconv ! fakesink
    quanjian-edge check --config edge.toml
"""

from edge.errors import CameraError
from edge.limits import View
from edge.vision.gstreamer import GstreamerCamera
from edge.vision.setup import refuse

SETTLE_FRAMES = 4
"""Pictures that may still be under the old exposure: those between sensor and sink."""


def pipeline(source: str, size: tuple[int, int] | None, fps: float | None) -> str:
    """The source part of the pipeline.

    Args:
        source: number of the sensor, "0".
        size: width and height in px; None: the sensor's first mode.
        fps: frames per second; None: as the mode has it.

    Raises:
        CameraError: `source` is no number.
    """
    if not source.isdecimal():
        raise CameraError(f"{source}: a csi camera has a number as its source, such as 0")
    caps = "video/x-raw(memory:NVMM)"
    if size is not None:
        caps += f",width={size[0]},height={size[1]}"
    if fps is not None:
        caps += f",framerate={round(fps * 1000)}/1000"
    # a picture that the ISP has softened or sharpened by itself is another one for the model
    still = "tnr-mode=0 ee-mode=0"
    return (
        f"nvarguscamerasrc name=sensor sensor-id={source} {still} ! {caps} ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


def sensor_properties(view: View) -> dict[str, str]:
    """What the element is to be set to: ranges of one value turn its automatics off."""
    properties = {}
    if view.exposure_us is not None:
        exposure_ns = round(view.exposure_us * 1000)
        properties["exposuretimerange"] = f"{exposure_ns} {exposure_ns}"
    if view.gain_db is not None:
        gain = 10 ** (view.gain_db / 20)
        properties["gainrange"] = f"{gain:.4f} {gain:.4f}"
        properties["ispdigitalgainrange"] = "1 1"
    return properties


class CsiCamera(GstreamerCamera):
    """One sensor."""

    kind = "csi"

    def __init__(
        self,
        name: str,
        source: str,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        *,
        delay_s: float = 0.0,
    ) -> None:
        """Start the sensor.

        Raises:
            CameraError: this is no Jetson, or there is no such sensor.
        """
        super().__init__(name, pipeline(source, size, fps), delay_s=delay_s)

    def apply(self, view: View) -> None:
        """Set exposure and gain; drops the pictures that may not be under them yet.

        Raises:
            CameraError: another key, or no pictures any more.
        """
        refuse(view, self.source, self.kind, able=("exposure_us", "gain_db"))
        properties = sensor_properties(view)
        sensor = self.pipeline.get_by_name("sensor")
        for key, value in properties.items():
            sensor.set_property(key, value)
        left = SETTLE_FRAMES if properties else 0
        while left:
            left -= self.read(0.25) is not None
