"""What makes a part of one product good or bad: limits in a file, and the judgement. Pure.

A recipe is a TOML file; it may change while the line runs, between two parts.

    name = "plate-a"            # shown on screens, stored in every row
    product = "Plate 90 x 72"

    [image]                     # optional: when a picture cannot be judged at all
    dark_below = 12.0           # mean grey value, 0..255
    saturated_share = 0.35      # share of pixels at 255
    frozen = true               # refuse a picture identical to the one before

    [[class]]                   # one for every class of the model, no more and no fewer
    label = "scratch"
    name = "划伤"               # optional: what people call it, for the station page
    threshold = 0.50            # from this score on the part is NG
    undecided_from = 0.35       # optional: from here to the threshold a person must judge
    min_size_px = 12.0          # optional: smaller ones (longer side of the box) do not count

    [[golden]]                  # optional: pictures that prove the model before it may judge
    picture = "golden/ng.png"   # beside the recipe
    expect = "ng"               # ok, ng or undecided

score       0 ........ undecided_from ........ threshold ........ 1
verdict          ok                 undecided              ng
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edge import sections
from edge.errors import SettingsError
from edge.limits import (
    AnomalyModel,
    ClassLimits,
    Golden,
    ImageLimits,
    Motion,
    Section,
    Stop,
    TemplateLimits,
    View,
    Zone,
)
from edge.terms import Code, Detection, Reason, Verdict


class Recipe(Section, frozen=True, kw_only=True):
    """The whole file."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    product: Annotated[str, Meta(max_length=200)] = ""
    image: ImageLimits = ImageLimits()
    motion: Motion = Motion()
    stop: Stop = Stop()
    views: tuple[View, ...] = msgspec.field(name="view", default=())
    zones: tuple[Zone, ...] = msgspec.field(name="zone", default=())
    classes: Annotated[tuple[ClassLimits, ...], Meta(min_length=1)] = msgspec.field(name="class")
    templates: tuple[TemplateLimits, ...] = msgspec.field(name="template", default=())
    anomalies: tuple[AnomalyModel, ...] = msgspec.field(name="anomaly", default=())
    golden: tuple[Golden, ...] = ()

    @property
    def score_floor(self) -> float:
        """Lowest score that can change a verdict: what the detector must at least report."""
        return min(_undecided_from(limits) for limits in self.classes)

    def __post_init__(self) -> None:
        for key, names in (
            ("[[class]] label", [limits.label for limits in self.classes]),
            ("[[view]] camera", [view.camera for view in self.views]),
            ("[[zone]] name", [zone.name for zone in self.zones]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: {twice} more than once")


def read(path: Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        SettingsError: it cannot be read or parsed, or with every mistake in it.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise SettingsError(str(path), [f"cannot be read: {exc}"]) from exc
    return parse(content, str(path))


def parse(content: bytes, name: str) -> Recipe:
    """The recipe in `content`; `name` is for messages.

    Raises:
        SettingsError: with every mistake in it.
    """
    recipe, problems = sections.parse(content, Recipe)
    if recipe is None:
        raise SettingsError(name, problems)
    return recipe


def simple(labels: Sequence[str], threshold: float) -> Recipe:
    """One threshold for every class and any picture: for looking at pictures without a recipe.

    Raises:
        SettingsError: the threshold is not in (0, 1], or there are no labels.
    """
    name = f"threshold {threshold}"
    document = {
        "name": name,
        "image": {"dark_below": 0.0, "saturated_share": 1.0, "frozen": False},
        "class": [{"label": label, "threshold": threshold} for label in labels],
    }
    recipe, problems = sections.convert(document, Recipe)
    if recipe is None:
        raise SettingsError(name, problems)
    return recipe


def check_labels(recipe: Recipe, labels: Sequence[str]) -> list[str]:
    """Where recipe and model do not fit; [] = they fit.

    `labels` are those of everything that the recipe detects with, templates and anomaly models too.
    A class without limits would never make a part NG; one that the model does not have is a
    typing mistake or the wrong model.
    """
    known = {limits.label for limits in recipe.classes}
    return [
        *(f"[[class]] label: the model's class {n!r} is missing" for n in labels if n not in known),
        *(
            f"[[class]] label: {n!r} is no class of the model; it has {list(labels)}"
            for n in sorted(known - set(labels))
        ),
    ]


def judge(detections: Sequence[Detection], recipe: Recipe) -> Verdict:
    """What one view says about the part; the order of the detections does not matter.

    `worst` is the detection with the highest score among those that decided. A score or box that
    is not a number, or a class without limits, is undecided(model_fault), never OK.
    """
    limits = {limits.label: limits for limits in recipe.classes}
    if any(d.label not in limits or not _is_sound(d) for d in detections):
        return Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)
    counted = [d for d in detections if _longer_side_px(d) >= limits[d.label].min_size_px]
    bad = [d for d in counted if d.score >= limits[d.label].threshold]
    if bad:
        return Verdict(Code.NG, worst=_worst(bad))
    unsure = [d for d in counted if d.score >= _undecided_from(limits[d.label])]
    if unsure:
        return Verdict(Code.UNDECIDED, Reason.UNCERTAIN, _worst(unsure))
    return Verdict(Code.OK)


def fuse(views: Sequence[Verdict]) -> Verdict:
    """One verdict from all views of a part.

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


def _worst(detections: Sequence[Detection]) -> Detection:
    return max(detections, key=lambda d: (d.score, _longer_side_px(d), d.label, d.box))


def _undecided_from(limits: ClassLimits) -> float:
    return limits.threshold if limits.undecided_from is None else limits.undecided_from


def _longer_side_px(detection: Detection) -> float:
    x1, y1, x2, y2 = detection.box
    return max(x2 - x1, y2 - y1)


def _is_sound(detection: Detection) -> bool:
    return all(map(math.isfinite, (detection.score, *detection.box)))
