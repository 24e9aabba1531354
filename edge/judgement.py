"""A part against its recipe: every detection weighed, what counts added up, views fused. Pure.

    detection ──▶ score too low?           does not count
              ──▶ touches a forbidden zone? NG, whatever its size or number
              ──▶ wholly in an ignored one? does not count
              ──▶ too small?                does not count; in a tolerant zone by its sizes
              ──▶ threshold reached?        clear, else doubtful

Of a class, `allowed` clear ones on a part are borne, over all its views: a defect that two cameras
see counts twice. What is not known (a size in mm) never excuses. Nothing here makes a part OK that
has a detection more, or a limit stricter, than one that is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from edge import zones
from edge.limits import ClassLimits, Zone
from edge.recipe import Recipe
from edge.terms import Code, Detection, Reason, Verdict


class Rule(str, Enum):
    """What in the recipe decided about a detection."""

    UNSOUND = "unsound"  # a score or box that is no number, or a class without limits
    SCORE = "score"  # below the class's undecided_from, or its threshold where it has no band
    FORBIDDEN = "forbidden"  # in a forbidden zone
    IGNORED = "ignored"  # in an ignored zone
    SIZE_PX = "size_px"  # smaller than min_size_px, of the class or of a tolerant zone
    SIZE_MM = "size_mm"  # smaller than min_size_mm
    AREA = "area"  # smaller than min_area_mm2
    BAND = "band"  # from undecided_from to the threshold
    THRESHOLD = "threshold"  # at or above it


COUNTING = (Rule.BAND, Rule.THRESHOLD)
"""What `allowed` is compared with; a forbidden zone allows nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One detection against the recipe."""

    detection: Detection
    rule: Rule
    zone: str | None = None  # where a zone's rule decided, or its sizes hold


def judge(detections: Sequence[Detection], recipe: Recipe, camera: str | None = None) -> Verdict:
    """What one view by itself says about the part; the order of the detections does not matter.

    Args:
        camera: whose view it is. Without it, forbidden zones of every camera hold, tolerant and
            ignored ones only where they are for every view.
    """
    return decide(weigh(detections, recipe, camera), recipe)


def weigh(
    detections: Sequence[Detection], recipe: Recipe, camera: str | None = None
) -> tuple[Finding, ...]:
    """Each detection of one view against limits and zones, in the order they came."""
    limits = {limits.label: limits for limits in recipe.classes}
    return tuple(
        _weigh(d, limits[d.label], _zones_for(recipe, camera, d.label))
        if d.label in limits and _is_sound(d)
        else Finding(d, Rule.UNSOUND)
        for d in detections
    )


def decide(findings: Sequence[Finding], recipe: Recipe) -> Verdict:
    """The verdict of weighed detections, of one view or of all views of a part.

    Of a class, `allowed` clear ones are borne; doubtful ones (in the band) are told where they
    could make it more. `worst` is the detection with the highest score among those that decided.
    Anything unsound is undecided(model_fault), never OK.
    """
    if any(finding.rule is Rule.UNSOUND for finding in findings):
        return Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)
    bad = [f.detection for f in findings if f.rule is Rule.FORBIDDEN]
    unsure: list[Detection] = []
    for limits in recipe.classes:
        of_class = [f for f in findings if f.detection.label == limits.label]
        clear = [f.detection for f in of_class if f.rule is Rule.THRESHOLD]
        doubtful = [f.detection for f in of_class if f.rule is Rule.BAND]
        if len(clear) > limits.allowed:
            bad += clear
        elif len(clear) + len(doubtful) > limits.allowed:
            unsure += doubtful
    if bad:
        return Verdict(Code.NG, worst=_worst(bad))
    if unsure:
        return Verdict(Code.UNDECIDED, Reason.UNCERTAIN, _worst(unsure))
    return Verdict(Code.OK)


def fuse(views: Sequence[Verdict]) -> Verdict:
    """One verdict from all views of a part, and from `decide` over the findings of all of them.

    Any NG decides, then anything that is not OK, then OK; no view at all is undecided. Of several
    NG or undecided views the one with the highest score tells, then the first.
    """
    if not views:
        return Verdict(Code.UNDECIDED, Reason.VIEW_MISSING)
    bad = [view for view in views if view.code is Code.NG]
    unsure = [view for view in views if view.code is not Code.OK]
    if not unsure:
        return Verdict(Code.OK)
    chosen = max(bad or unsure, key=lambda view: view.worst.score if view.worst else -1.0)
    if chosen.code is Code.UNDEFINED:  # a view nobody judged
        return Verdict(Code.UNDECIDED, Reason.VIEW_MISSING)
    return chosen


def _weigh(detection: Detection, limits: ClassLimits, places: Sequence[Zone]) -> Finding:
    if detection.score < limits.lowest_score:
        return Finding(detection, Rule.SCORE)
    for zone in places:
        if zone.kind == "forbidden" and zones.touches(zone.polygon, detection.box):
            return Finding(detection, Rule.FORBIDDEN, zone.name)
    inside = [
        zone
        for zone in places
        if zone.kind != "forbidden" and zones.holds(zone.polygon, detection.box)
    ]
    ignored = next((zone for zone in inside if zone.kind == "ignored"), None)
    if ignored is not None:
        return Finding(detection, Rule.IGNORED, ignored.name)
    # of several tolerant zones, all must tolerate it
    tried: list[tuple[Rule | None, str | None]] = [
        (_too_small(detection, zone, limits.min_area_mm2), zone.name) for zone in inside
    ] or [(_too_small(detection, limits, limits.min_area_mm2), None)]
    rule, place = next((one for one in tried if one[0] is None), tried[0])
    if rule is None:
        rule = Rule.THRESHOLD if detection.score >= limits.threshold else Rule.BAND
    return Finding(detection, rule, place)


def _zones_for(recipe: Recipe, camera: str | None, label: str) -> list[Zone]:
    return [
        zone
        for zone in recipe.zones
        if (not zone.labels or label in zone.labels)
        and (
            zone.camera is None
            or zone.camera == camera
            or (camera is None and zone.kind == "forbidden")
        )
    ]


def _too_small(detection: Detection, sizes: ClassLimits | Zone, area_mm2: float) -> Rule | None:
    """Which minimum the detection does not reach; an unknown size in mm reaches any."""
    if longer_side_px(detection) < sizes.min_size_px:
        return Rule.SIZE_PX
    side_mm = longer_side_mm(detection)
    if side_mm is not None and side_mm < sizes.min_size_mm:
        return Rule.SIZE_MM
    if detection.area_mm2 is not None and detection.area_mm2 < area_mm2:
        return Rule.AREA
    return None


def _worst(detections: Sequence[Detection]) -> Detection:
    return max(detections, key=lambda d: (d.score, longer_side_px(d), d.label, d.box))


def longer_side_px(detection: Detection) -> float:
    """Longer side of the box, px."""
    x1, y1, x2, y2 = detection.box
    return max(x2 - x1, y2 - y1)


def longer_side_mm(detection: Detection) -> float | None:
    """The same in mm; None where it is not known."""
    if detection.width_mm is None or detection.height_mm is None:
        return None
    return max(detection.width_mm, detection.height_mm)


def _is_sound(detection: Detection) -> bool:
    x1, y1, x2, y2 = detection.box
    return detection.is_finite and x1 <= x2 and y1 <= y2
