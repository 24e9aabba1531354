"""How far a moving part is from its place when its picture is taken, and how blurred. Pure.

sensor edge --scan--> the PLC knows --poll--> the node knows --frame period--> exposure

displacement   speed x (scan + poll + lateness + frame period): nothing where the sensor itself
               fires the camera, no frame period where the node does; the lateness is the
               computer's, where it was measured
blur           speed x exposure / mm per px
"""

from dataclasses import dataclass

from edge.limits import Motion
from edge.terms import TriggerMode


@dataclass(frozen=True, slots=True)
class Line:
    """What makes a part's place uncertain at one station, for one camera."""

    trigger: TriggerMode
    speed_mm_s: float
    scan_s: float
    poll_s: float
    frame_period_s: float = 0.0  # of a camera that runs freely
    late_s: float = 0.0  # the thread of the bus, the longest

    @property
    def wait_s(self) -> float:
        """From the sensor edge to the exposure, at the most; without the camera's own offset."""
        if self.trigger == "hardware":
            return 0.0
        period_s = self.frame_period_s if self.trigger == "free_run" else 0.0
        return self.scan_s + self.poll_s + self.late_s + period_s

    @property
    def displacement_mm(self) -> float:
        """How far parts are from each other's place in the picture, at the most."""
        return self.speed_mm_s * self.wait_s

    def blur_px(self, exposure_us: float, mm_per_px: float) -> float:
        """The part's way during the exposure."""
        return self.speed_mm_s * exposure_us / 1e6 / mm_per_px


def problems(
    line: Line, limits: Motion, exposure_us: float | None, mm_per_px: float | None
) -> list[str]:
    """Why these parts move too far for this recipe, or why nobody can tell; [] = they do not.

    Args:
        exposure_us: of the recipe's [[view]] of this camera, else of edge.toml; None = unknown.
        mm_per_px: of the camera; None = not calibrated.
    """
    if line.speed_mm_s == 0:
        return []
    found = []
    if limits.margin_mm is not None and line.displacement_mm > limits.margin_mm:
        found.append(
            f"[motion] margin_mm: parts are up to {line.displacement_mm:.1f} mm from their place "
            f"({line.speed_mm_s:g} mm/s x {line.wait_s * 1000:.0f} ms), "
            f"expected at most {limits.margin_mm:g}"
        )
    if exposure_us is None:
        found.append(
            "[[view]] exposure_us: missing, in [[camera]] too; without it nobody knows the blur"
        )
    if mm_per_px is None:
        found.append("[[camera]] mm_per_px: missing; without it nobody knows the blur in px")
    if exposure_us is None or mm_per_px is None:
        return found
    blur_px = line.blur_px(exposure_us, mm_per_px)
    if blur_px > limits.blur_px:
        found.append(
            f"[motion] blur_px: {blur_px:.2f} px at {exposure_us:g} us, "
            f"expected at most {limits.blur_px:g}"
        )
    return found
