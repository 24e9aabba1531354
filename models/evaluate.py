"""What a recipe with its model makes of a sealed set, part by part: `quanjian-models evaluate`.

The artefact that ships is judged, by the code of the node: the same resize, the same NMS, the same
limits and zones (edge/still.py). What is written is one row for each part, from which every figure
can be computed again, and the hashes of all that the figures depend on.

    escape      a part with a defect that would pass        overkill    a good part that would not
    seen        a defect's class was found where the defect is, and counted: another class that
                rejects the part does not hide that this one was missed
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge import judgement
from edge.errors import ModelError
from edge.judgement import COUNTING, Finding, Rule
from edge.recipe import Recipe
from edge.stats import at_most, wilson
from edge.still import Stills
from edge.terms import Code, Detection
from edge.vision.image import decode_image
from models import manifest
from models.accuracy import overlap
from models.dataset import DataSet, DataSetError, Mark, Picture, Split

NEAR = 0.3
"""A defect counts as found where a detection of its class overlaps it by so much (IoU): less than
for AP, as a line cares whether it was seen, not how tightly the box lies."""

MAX_BYTES = 256 * 1024 * 1024

Text = Annotated[str, Meta(max_length=300)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part."""

    part: Text
    pictures: list[Sha256]
    has: list[Text]  # classes of its defects; [] = a good part
    seen: list[Text]  # of these, those that were found and counted
    verdict: Literal["ok", "ng", "undecided"]
    scores: dict[Text, Share]  # the highest of each class that was detected at all
    took_ms: float  # of all its pictures, decoding not counted
    fault: Text = ""  # why it could not be judged

    @property
    def passed(self) -> bool:
        """Would it reach the good bin?"""
        return self.verdict == "ok"


class Evaluation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file evaluation.json."""

    format: Literal[1]
    made_at: Text  # UTC
    recipe: Text
    recipe_sha256: Sha256
    model_sha256: Sha256 | None
    labels: list[Text]  # classes of the recipe
    set_name: Text
    set_sha256: Sha256
    licence: Text
    split: Split
    camera: Text | None  # whose view the pictures are
    mm_per_px: float | None
    parts: list[Outcome]


def evaluate(
    recipe: Path,
    model: Path | None,
    folder: Path,
    split: Split,
    progress: Callable[[str], None],
    mm_per_px: float | None = None,
    camera: str | None = None,
) -> Evaluation:
    """Judge every part of one split of a sealed set.

    Args:
        recipe: its TOML.
        model: of the recipe; None where it needs none.
        folder: of the set.
        mm_per_px: of its pictures; a recipe with limits in mm needs it.
        camera: whose view the pictures are; a recipe that names cameras needs it.

    Raises:
        DataSetError: the set is not as it was sealed, has nothing in this split or a class that the
            recipe does not know, or the recipe needs what was not given.
        SettingsError, ModelError, ImageError: recipe or model cannot be used.
    """
    sealed, data = manifest.load(folder)
    parts = by_part(data, split)
    if not parts:
        told = ", ".join(f"{name} {n}" for name, n in manifest.counts(sealed).items())
        way_out = "Name another --split, or take the set in anew with --test."
        raise DataSetError(folder, [f"no pictures in split {split}; it has {told}"], way_out)
    stills = Stills(recipe, model)
    wrong = unfit(stills.recipe, data, mm_per_px, camera)
    if wrong:
        raise DataSetError(recipe, wrong, "Judged without it, the change would not be proved.")
    outcomes = []
    for done, (part, pictures) in enumerate(parts, 1):
        outcomes.append(_outcome(part, pictures, stills, mm_per_px, camera))
        if done % 100 == 0 or done == len(parts):
            progress(f"{done} of {len(parts)} parts")
    return Evaluation(
        format=1,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        recipe=stills.recipe.name,
        recipe_sha256=_digest(recipe),
        model_sha256=None if model is None else _digest(model),
        labels=[limits.label for limits in stills.recipe.classes],
        set_name=sealed.origin.name,
        set_sha256=sealed.sha256,
        licence=sealed.origin.licence,
        split=split,
        camera=camera,
        mm_per_px=mm_per_px,
        parts=outcomes,
    )


def unfit(recipe: Recipe, data: DataSet, mm_per_px: float | None, camera: str | None) -> list[str]:
    """Why this set cannot show what the recipe does, a sentence each; [] = it can."""
    found = []
    named = {
        one.camera
        for part in (recipe.views, recipe.zones, recipe.templates, recipe.anomalies)
        for one in part
        if one.camera is not None
    }
    if named and camera not in named:
        found.append(
            f"names cameras ({', '.join(sorted(named))}): say with --camera whose these are"
        )
    in_mm = any(limits.min_size_mm or limits.min_area_mm2 for limits in recipe.classes)
    if mm_per_px is None and (in_mm or any(zone.min_size_mm for zone in recipe.zones)):
        found.append("has limits in mm: say with --mm-per-px how large a pixel is")
    known = {limits.label for limits in recipe.classes}
    there = {mark.label for picture in data.pictures for mark in picture.marks}
    found += [
        f"has no class {label!r}, which the set has: its parts could not be examined"
        for label in sorted(there - known)
    ]
    return found


def by_part(data: DataSet, split: Split) -> list[tuple[str, list[Picture]]]:
    """The parts of a split with their pictures, in order."""
    found: dict[str, list[Picture]] = defaultdict(list)
    for picture in data.of(split):
        found[picture.part].append(picture)
    return sorted(found.items())


def write(evaluation: Evaluation, path: Path) -> None:
    """Keep it.

    Raises:
        DataSetError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation)) + b"\n")
        fresh.replace(path)
    except OSError as exc:
        raise DataSetError(path, [f"cannot be written: {exc.strerror}"]) from exc


def read(path: Path) -> Evaluation:
    """One that was kept.

    Raises:
        DataSetError: it is none.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataSetError(path, [f"larger than {MAX_BYTES} bytes"])
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise DataSetError(path, [f"no evaluation: {exc}"]) from exc


def figures(evaluation: Evaluation) -> dict[str, object]:
    """What a person asks first, from the rows alone."""
    bad = [part for part in evaluation.parts if part.has]
    good = [part for part in evaluation.parts if not part.has]
    escapes, overkills = sum(p.passed for p in bad), sum(not p.passed for p in good)
    took_ms = sorted(part.took_ms for part in evaluation.parts)
    return {
        "escape": _counted(escapes, len(bad)),
        "overkill": _counted(overkills, len(good)),
        "seen": {
            label: _counted(sum(label in p.seen for p in among), len(among))
            for label in evaluation.labels
            if (among := [part for part in bad if label in part.has])
        },
        "unjudged": sum(bool(part.fault) for part in evaluation.parts),
        "median_ms": round(statistics.median(took_ms), 2),
    }


def _counted(count: int, among: int) -> dict[str, object]:
    """A share with its 95 % interval and the exact one-sided bound; none of nothing."""
    if among == 0:
        return {"n": 0, "k": 0}
    low, high = wilson(count, among)
    return {
        **{"n": among, "k": count, "share": round(count / among, 5)},
        "interval": [round(low, 5), round(high, 5)],
        "at_most": round(at_most(count, among), 5),
    }


def _outcome(
    part: str,
    pictures: Sequence[Picture],
    stills: Stills,
    mm_per_px: float | None,
    camera: str | None,
) -> Outcome:
    findings: list[Finding] = []
    seen: set[str] = set()
    fault, took_s = "", 0.0
    for picture in pictures:
        image = decode_image(picture.path)
        began_s = time.perf_counter()
        still = stills.judge(image, camera, mm_per_px)
        took_s += time.perf_counter() - began_s
        fault = fault or (still.fault or "")
        findings += still.findings
        counted = [f.detection for f in still.findings if _counts(f)]
        seen |= {mark.label for mark in picture.marks if _is_found(mark, counted)}
    code = Code.UNDECIDED if fault else judgement.decide(findings, stills.recipe).code
    return Outcome(
        part=part,
        pictures=[picture.path.stem for picture in pictures],
        has=sorted({mark.label for picture in pictures for mark in picture.marks}),
        seen=sorted(seen),
        verdict={Code.OK: "ok", Code.NG: "ng"}.get(code, "undecided"),  # type: ignore[arg-type]
        scores=_highest(finding.detection for finding in findings),
        took_ms=round(1000 * took_s, 2),
        fault=fault[:300],
    )


def _counts(finding: Finding) -> bool:
    return finding.rule in COUNTING or finding.rule is Rule.FORBIDDEN


def _is_found(mark: Mark, detections: Iterable[Detection]) -> bool:
    return any(
        found.label == mark.label and overlap(found.box, mark.box) >= NEAR for found in detections
    )


def _highest(detections: Iterable[Detection]) -> dict[str, float]:
    found: dict[str, float] = {}
    for detection in detections:
        score = min(1.0, max(0.0, detection.score))
        found[detection.label] = max(found.get(detection.label, 0.0), score)
    return {label: round(score, 5) for label, score in sorted(found.items())}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise ModelError(f"{path}: cannot be read: {exc.strerror}") from exc
