"""Why a part is what it is, in sentences for an engineer: a finding, and what counts. Pure."""

from collections.abc import Sequence

from edge.judgement import Finding, Rule, longer_side_mm, longer_side_px
from edge.limits import ClassLimits, Zone
from edge.recipe import Recipe
from edge.terms import Detection


def describe(detection: Detection) -> str:
    """Class, score, size and place: `scratch 0.93, 24.0 x 5.0 px (6.0 x 1.3 mm) at (120, 44)`."""
    x1, y1, x2, y2 = detection.box
    text = f"{detection.label} {detection.score:.3f}, {x2 - x1:.1f} x {y2 - y1:.1f} px"
    if detection.width_mm is not None and detection.height_mm is not None:
        text += f" ({detection.width_mm:.2f} x {detection.height_mm:.2f} mm)"
    if detection.area_mm2 is not None:
        text += f", {detection.area_mm2:.2f} mm2"
    return f"{text} at ({x1:.0f}, {y1:.0f})"


def explain(finding: Finding, recipe: Recipe) -> str:
    """Which limit the detection met or missed, and what follows."""
    limits = next((c for c in recipe.classes if c.label == finding.detection.label), None)
    if finding.rule is Rule.UNSOUND or limits is None:
        return "UNDECIDED (model_fault): a number that means nothing, or a class without limits"
    score = finding.detection.score
    zone = next((zone for zone in recipe.zones if zone.name == finding.zone), None)
    match finding.rule:
        case Rule.SCORE:
            return f"does not count: score {score:.3f} is below {_lowest(limits)}"
        case Rule.FORBIDDEN:
            return (
                f"NG: touches the forbidden zone {finding.zone!r}, and score {score:.3f} reaches "
                f"{_lowest(limits)}"
            )
        case Rule.IGNORED:
            return f"does not count: lies wholly in the ignored zone {finding.zone!r}"
        case Rule.BAND:
            return (
                f"doubtful: score {score:.3f} lies between {_lowest(limits)} and threshold "
                f"{limits.threshold:g}{_by_size(finding, limits, zone)}"
            )
        case Rule.THRESHOLD:
            return (
                f"clear: score {score:.3f} reaches threshold {limits.threshold:g}"
                f"{_by_size(finding, limits, zone)}"
            )
    return f"does not count: {_too_small(finding, limits, zone)}"


def count(findings: Sequence[Finding], recipe: Recipe) -> list[str]:
    """Per class with something that counts: how many, against what is allowed."""
    lines = []
    for limits in recipe.classes:
        rules = [f.rule for f in findings if f.detection.label == limits.label]
        clear, doubtful = rules.count(Rule.THRESHOLD), rules.count(Rule.BAND)
        if not clear + doubtful:
            continue
        if clear > limits.allowed:
            follows = "NG"
        elif clear + doubtful > limits.allowed:
            follows = "undecided: a person must judge"
        else:
            follows = "not more than allowed"
        found = f"{clear} clear" + (f", {doubtful} doubtful" if doubtful else "")
        lines.append(f"{limits.label}: {found}; allowed {limits.allowed}: {follows}")
    return lines


def _lowest(limits: ClassLimits) -> str:
    if limits.undecided_from is None:
        return f"threshold {limits.threshold:g}"
    return f"undecided_from {limits.undecided_from:g}"


def _too_small(finding: Finding, limits: ClassLimits, zone: Zone | None) -> str:
    sizes: ClassLimits | Zone = zone or limits
    where = f" of the tolerant zone {zone.name!r}" if zone else ""
    detection = finding.detection
    if finding.rule is Rule.SIZE_PX:
        side_px = longer_side_px(detection)
        return f"longer side {side_px:.1f} px is below min_size_px {sizes.min_size_px:g}{where}"
    if finding.rule is Rule.SIZE_MM:
        side_mm = longer_side_mm(detection) or 0.0
        return f"longer side {side_mm:.2f} mm is below min_size_mm {sizes.min_size_mm:g}{where}"
    return f"area {detection.area_mm2 or 0.0:.2f} mm2 is below min_area_mm2 {limits.min_area_mm2:g}"


def _by_size(finding: Finding, limits: ClassLimits, zone: Zone | None) -> str:
    """What is to be said of the size of one that counts."""
    sizes: ClassLimits | Zone = zone or limits
    texts = []
    if sizes.min_size_px > 0:
        side_px = longer_side_px(finding.detection)
        texts.append(f"longer side {side_px:.1f} px reaches min_size_px {sizes.min_size_px:g}")
    side_mm = longer_side_mm(finding.detection)
    if sizes.min_size_mm > 0 and side_mm is None:
        texts.append(f"its mm are not known, so min_size_mm {sizes.min_size_mm:g} excuses nothing")
    elif sizes.min_size_mm > 0:
        texts.append(f"longer side {side_mm:.2f} mm reaches min_size_mm {sizes.min_size_mm:g}")
    if limits.min_area_mm2 > 0 and finding.detection.area_mm2 is None:
        texts.append(
            f"its area is not known, so min_area_mm2 {limits.min_area_mm2:g} excuses nothing"
        )
    elif limits.min_area_mm2 > 0:
        area_mm2 = finding.detection.area_mm2 or 0.0
        texts.append(f"area {area_mm2:.2f} mm2 reaches min_area_mm2 {limits.min_area_mm2:g}")
    if zone is not None:
        texts.append(f"in the tolerant zone {zone.name!r}")
    return "".join(f"; {text}" for text in texts)
