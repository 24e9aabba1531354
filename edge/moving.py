"""What edge.toml says of moving parts, held against each [motion]: for `check` and for the node.

The frame period of a camera that runs freely and the lateness of the bus thread stand nowhere:
`check` has them measured; the node, whose cameras may be away when it starts, counts them as none.
"""

from collections.abc import Mapping

from edge import motion
from edge.plc.plan import BusPlan
from edge.recipe import Recipe
from edge.settings import Camera, Settings, Station

UNSAID = "the speed of parts under the cameras, or 0 = they stand still"


def line_of(
    station: Station, wiring: Settings, frame_period_s: float = 0.0, late_s: float = 0.0
) -> motion.Line | None:
    """What makes a part's place uncertain there; None: nobody has said how fast parts are.

    Args:
        frame_period_s: of a camera that runs freely.
        late_s: of the thread of the bus, as `check --measure` found it.
    """
    if station.speed_mm_s is None:
        return None
    bus = next((bus for bus in wiring.bus if bus.name == station.bus), None)
    if bus is None:  # it counts for itself: nothing is polled
        return motion.Line(station.exposure, station.speed_mm_s, 0.0, 0.0, frame_period_s)
    sharing = [other for other in wiring.station if other.bus == station.bus]
    scan_s = station.scan_ms / 1000
    poll = BusPlan(bus, sharing, wiring.slave, wiring.tag).poll_s
    return motion.Line(station.exposure, station.speed_mm_s, scan_s, poll, frame_period_s, late_s)


def exposure_us(recipe: Recipe, camera: Camera) -> float | None:
    """Of this camera under this recipe, in microseconds; None: not known."""
    view = next((view for view in recipe.views if view.camera == camera.name), None)
    return (view and view.exposure_us) or camera.exposure_us


def unfit(station: Station, wiring: Settings, recipes: Mapping[int, Recipe]) -> dict[int, str]:
    """Recipes that this station cannot be ready for, each with a sentence that says why.

    A recipe without `margin_mm` may run where nobody has said how fast parts are; `check` asks.
    """
    found: dict[int, str] = {}
    line = line_of(station, wiring)
    cameras = [camera for camera in wiring.camera if camera.name in station.cameras]
    for number, recipe in recipes.items():
        problems = [
            f"{camera.name}: {problem}"
            for camera in cameras
            if line is not None
            for problem in motion.problems(
                line, recipe.motion, exposure_us(recipe, camera), camera.mm_per_px
            )
        ]
        if line is None and recipe.motion.margin_mm is not None:
            problems = [f"speed_mm_s: missing, [motion] margin_mm needs it; expected {UNSAID}"]
        if problems:
            found[number] = f"recipe {number}: [station {station.name}] {'; '.join(problems)}"
    return found
