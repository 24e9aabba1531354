"""What makes a part of one product good or bad: limits in a file. `edge.judgement` judges by them.

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
    sha256 = "..."              # pins it, as `sha256sum` prints it
    expect = "ng"               # ok, ng or undecided

score       0 ........ undecided_from ........ threshold ........ 1
verdict          ok                 undecided              ng
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edge import sections, zones
from edge.errors import SettingsError
from edge.limits import (
    AnomalyModel,
    ClassLimits,
    Golden,
    ImageLimits,
    Motion,
    Section,
    Spots,
    Stop,
    TemplateLimits,
    Tiles,
    View,
    Web,
    Zone,
)


class Recipe(Section, frozen=True, kw_only=True):
    """The whole file."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    product: Annotated[str, Meta(max_length=200)] = ""
    image: ImageLimits = ImageLimits()
    motion: Motion = Motion()
    stop: Stop = Stop()
    tiles: Tiles | None = None
    spots: Spots | None = None
    web: Web | None = None
    views: tuple[View, ...] = msgspec.field(name="view", default=())
    zones: tuple[Zone, ...] = msgspec.field(name="zone", default=())
    classes: Annotated[tuple[ClassLimits, ...], Meta(min_length=1)] = msgspec.field(name="class")
    templates: tuple[TemplateLimits, ...] = msgspec.field(name="template", default=())
    anomalies: tuple[AnomalyModel, ...] = msgspec.field(name="anomaly", default=())
    golden: tuple[Golden, ...] = ()

    @property
    def score_floor(self) -> float:
        """Lowest score that can change a verdict: what the detector must at least report."""
        return min(limits.lowest_score for limits in self.classes)

    def __post_init__(self) -> None:
        for key, names in (
            ("[[class]] label", [limits.label for limits in self.classes]),
            ("[[view]] camera", [view.camera for view in self.views]),
            ("[[zone]] name", [zone.name for zone in self.zones]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: {twice} more than once")
        if self.spots is not None and self.spots.role == "screen" and self.tiles is None:
            raise ValueError("[spots] role: a screen chooses tiles; there is no [tiles]")
        if self.web is not None and (self.templates or self.anomalies):
            raise ValueError(
                "[web]: has no part whose place [[template]] or [[anomaly]] could find"
            )
        if self.web is not None and self.spots is None and self.tiles is None:
            raise ValueError("[web]: a strip is large; it needs [tiles] or [spots]")
        confirming = [template.camera for template in self.templates if template.confirms]
        if len(confirming) > 1 and (None in confirming or len(set(confirming)) < len(confirming)):
            # the second would weigh the differences that the first found as if they were guesses
            raise ValueError("[[template]] confirms: only one may confirm what a camera sees")
        self._check_references()

    def _check_references(self) -> None:
        """What is compared with a reference needs one, in every view."""
        compared = [key for key in ("sharpness_share", "shift_px") if getattr(self.image, key)]
        without = [view.camera for view in self.views if view.reference is None]
        if compared and (without or not self.views):
            raise ValueError(
                f"[image] {compared[0]}: needs a [[view]] with a reference for every camera; "
                + (f"{without} have none" if without else "there is no [[view]]")
            )


def read(path: Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        SettingsError: it cannot be read or parsed, or with every mistake in it.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        hint = "Name the right file; `quanjian-edge recipe check FILE` lists its mistakes."
        raise SettingsError(str(path), [f"cannot be read: {exc}"], hint) from exc
    return parse(content, str(path))


def parse(content: bytes, name: str) -> Recipe:
    """The recipe in `content`; `name` is for messages.

    Raises:
        SettingsError: with every mistake in it.
    """
    recipe, problems = sections.parse(content, Recipe, crossed)
    if recipe is None:
        raise SettingsError(name, problems)
    return recipe


def crossed(recipe: Recipe) -> list[str]:
    """What would do nothing, unseen: zones with a mistyped class or beside the region, and golden
    pictures that are proved without what looks at their view on the line.

    Keys that are missing or wrong are None here and told already.
    """
    known = {limits.label for limits in recipe.classes or ()}
    regions = {view.camera: view.region for view in recipe.views or ()}
    cameras = [template.camera for template in recipe.templates or ()]
    cameras += [anomaly.camera for anomaly in recipe.anomalies or ()]
    apart = sorted({camera for camera in cameras if camera})
    problems = [
        f"[[golden]] {golden.picture}: camera missing; a [[template]] or [[anomaly]] is for the "
        f"view of {apart} alone"
        for golden in recipe.golden or ()
        if apart and golden.camera is None
    ]
    for zone in recipe.zones or ():
        problems += [
            f"[zone {zone.name}] labels: {label!r} is no [[class]] label; there are {sorted(known)}"
            for label in zone.labels or ()
            if label not in known
        ]
        region = regions.get(zone.camera) if zone.camera else None
        if region and zone.polygon and not zones.touches(zone.polygon, (0, 0, *region[2:])):
            problems.append(
                f"[zone {zone.name}] polygon: lies beside the region of {zone.camera}, which is "
                f"{region[2]} x {region[3]} px"
            )
    return problems


def check_scales(
    recipe: Recipe, scales: Mapping[str, float | None], areas: bool = False
) -> list[str]:
    """Where the recipe asks for what the cameras or the model cannot tell; [] = nowhere.

    Args:
        scales: mm per px of each camera of the node; None = not calibrated.
        areas: whether the model tells areas (it segments).
    """
    named = [view.camera for view in recipe.views]
    problems = [
        f"{key}: no [[camera]] is named {camera!r}; there are {sorted(scales)}"
        for key, cameras in (
            ("[[view]] camera", named),
            ("[[zone]] camera", [zone.camera for zone in recipe.zones]),
            ("[[golden]] camera", [golden.camera for golden in recipe.golden]),
            ("[[template]] camera", [template.camera for template in recipe.templates]),
            ("[[anomaly]] camera", [anomaly.camera for anomaly in recipe.anomalies]),
        )
        for camera in sorted({camera for camera in cameras if camera})
        if camera not in scales
    ]
    blind = sorted(c for c in named or scales if c in scales and scales[c] is None)
    for place, key, value in _mm_limits(recipe):
        if blind:
            problems.append(
                f"{place} {key} = {value:g}: needs mm_per_px of every camera; "
                f"missing in [camera {'], [camera '.join(blind)}]"
            )
        if key == "min_area_mm2" and not areas:
            problems.append(f"{place} {key} = {value:g}: the model tells boxes, no areas")
    return problems


def scale_of(camera: str | None, scales: Mapping[str, float | None]) -> float | None:
    """mm per px of a picture: of its camera, else what all cameras have in common, if anything."""
    known = {scales.get(camera)} if camera is not None else set(scales.values())
    return known.pop() if len(known) == 1 else None


def _mm_limits(recipe: Recipe) -> list[tuple[str, str, float]]:
    """Every limit that needs mm: where it stands, its key, its value."""
    found = [
        (f"[class {limits.label}]", key, value)
        for limits in recipe.classes
        for key, value in (
            ("min_size_mm", limits.min_size_mm),
            ("min_area_mm2", limits.min_area_mm2),
        )
    ]
    found += [(f"[zone {zone.name}]", "min_size_mm", zone.min_size_mm) for zone in recipe.zones]
    return [(place, key, value) for place, key, value in found if value > 0]


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
