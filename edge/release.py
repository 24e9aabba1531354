"""The recipes a node may run, each with its model. Nothing runs that is not pinned by sha256.

Until releases are signed, edge.toml pins the hash of every recipe and model, the recipe that of
every file it names, and it must bring a golden picture that its model has to find NG. A file
without a pin runs only with --unsigned; every row then says so and the screens show it in red. A
file with another hash than its pin never runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import comparisons, judgement, pins, recipe_pictures, settings, sight
from edge import recipe as recipes
from edge.assembly import assembled
from edge.errors import EdgeError, ImageError, ModelError, SettingsError
from edge.limits import Golden
from edge.mqtt.message import Trust
from edge.recipe import Recipe
from edge.recipe_pictures import Proof
from edge.setups import clashes, gaps
from edge.terms import Code, Reason, Verdict
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors
from edge.vision.reference import Reference


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verified recipe and its warm detector."""

    number: int  # what the PLC asks for
    recipe: Recipe
    trust: Trust
    detector: Detectors = field(repr=False)
    golden: tuple[Proof, ...] = field(repr=False, default=())
    references: Mapping[str, Reference] = field(repr=False, default_factory=dict)  # by camera
    workers: int = 1  # views of a part judged at once
    scales: Mapping[str, float | None] = field(default_factory=dict)  # mm per px, by camera


def load(
    entry: settings.Recipe,
    runtime: settings.Runtime,
    unsigned: bool,
    scales: Mapping[str, float | None] | None = None,
    warm: dict[str, Detector] | None = None,
    lit: Mapping[str, str] | None = None,
) -> Loaded:
    """Verify, read and warm up one recipe and its model, and prove it on its golden pictures.

    Args:
        scales: mm per px of each camera of the node, which limits in mm need; None = the wiring is
            not known, and sizes in mm excuse nothing.
        warm: models that are loaded already, by file; gets this one.
        lit: the light controller of each camera that has one, by their names; None = not known.

    Raises:
        ModelError: a file is missing, not as pinned, not pinned, or fails its self-test.
        ImageError: a golden or reference picture cannot be used.
        SettingsError: mistakes in the recipe.
    """
    recipe_path = Path(entry.path)
    content, pinned = pins.read(recipe_path, entry.sha256, unsigned)
    if entry.model is not None:
        pinned = pins.verified(Path(entry.model), entry.model_sha256, unsigned) and pinned
    recipe = recipes.parse(content, str(recipe_path))
    warm = {} if warm is None else warm
    model = None
    if entry.model is not None:
        opened = _opened(Path(entry.model), entry.model_sha256, runtime, warm)
        model = opened.with_floor(comparisons.model_floor(recipe))
    detector, all_pinned = assembled(
        recipe,
        recipe_path.parent,
        model,
        lambda path, pin: _opened(path, pin, runtime, warm).with_floor(recipe.score_floor),
        unsigned=unsigned,
        workers=sight.workers(runtime.threads),
    )
    _check_fit(entry, recipe, detector, scales, lit)
    if not unsigned and all(g.expect != "ng" for g in recipe.golden):
        raise ModelError(
            f'{recipe_path}: no [[golden]] with expect = "ng": nothing proves that the model sees'
        )
    golden, golden_pinned = recipe_pictures.golden(recipe, recipe_path.parent, unsigned)
    references, like_pinned = recipe_pictures.references(recipe, recipe_path.parent, unsigned)
    pinned = pinned and all_pinned and golden_pinned and like_pinned
    pinned = pinned and any(g.expect == "ng" for g in recipe.golden)
    trust: Trust = "pinned" if pinned else "unsigned"
    seen = (golden, references, runtime.workers, scales or {})
    loaded = Loaded(entry.number, recipe, trust, detector, *seen)
    for place in proofs(loaded):
        prove(loaded, place)
    return loaded


def _check_fit(
    entry: settings.Recipe,
    recipe: Recipe,
    detector: Detectors,
    scales: Mapping[str, float | None] | None,
    lit: Mapping[str, str] | None,
) -> None:
    """Refuse a recipe that does not go with its model or with the node's wiring.

    Raises:
        ModelError: it has other classes than the model.
        SettingsError: it asks for what cameras or lamps cannot do.
    """
    problems = recipes.check_labels(recipe, detector.labels)
    if problems:
        name = entry.model or "[spots]"
        raise ModelError(f"{entry.path}: does not fit {name}: {'; '.join(problems)}")
    problems = recipes.check_scales(recipe, scales, detector.areas) if scales is not None else []
    problems += clashes(recipe, lit) if lit is not None else []
    if problems:
        raise SettingsError(entry.path, problems)


def _opened(
    path: Path, pin: str | None, runtime: settings.Runtime, warm: dict[str, Detector]
) -> Detector:
    """A model's file; one file is one session, however many recipes name it."""
    name = str(path)
    if name not in warm or warm[name].sha256 != (pin or warm[name].sha256):
        warm[name] = Detector(path, sha256=pin, runtime=runtime)
    return warm[name]


def proofs(loaded: Loaded) -> range:
    """The places of a recipe's proofs, for `prove`; one even where it has no golden picture."""
    return range(max(1, len(loaded.golden)))


def prove(loaded: Loaded, place: int) -> None:
    """Run one golden picture and compare its verdict; without any, only that the detector runs.

    Raises:
        ModelError: the detector fails, or the picture gets another verdict than the recipe expects.
    """
    if not loaded.golden:
        loaded.detector.model.detect(np.full(loaded.detector.imgsz, 128, np.uint8))
        return
    golden, image = loaded.golden[place]
    verdict = _judged(loaded, golden, image)
    if verdict.code is not golden.code:
        raise ModelError(
            f"{golden.picture}: golden picture is {Code(verdict.code).name}, "
            f"expected {golden.code.name}"
        )


def _judged(loaded: Loaded, golden: Golden, image: npt.NDArray[np.uint8]) -> Verdict:
    """As the eye judges: a part that cannot be compared is undecided."""
    try:
        mm_per_px = recipes.scale_of(golden.camera, loaded.scales)
        detections = loaded.detector.seen_by(golden.camera).detect(image, mm_per_px)
    except ImageError:
        return Verdict(Code.UNDECIDED, Reason.BAD_IMAGE)
    return judgement.judge(detections, loaded.recipe, golden.camera)


def load_all(
    entries: tuple[settings.Recipe, ...],
    runtime: settings.Runtime,
    unsigned: bool,
    scales: Mapping[str, float | None] | None = None,
    lit: Mapping[str, str] | None = None,
) -> tuple[dict[int, Loaded], list[EdgeError]]:
    """Load every recipe; what fails is returned, so that the other products can still run."""
    loaded: dict[int, Loaded] = {}
    warm: dict[str, Detector] = {}
    failed: list[EdgeError] = []
    for entry in entries:
        try:
            one = load(entry, runtime, unsigned, scales, warm, lit)
            if one.recipe.web is not None:  # its zones and seams count in rows of the web
                raise SettingsError(
                    entry.path, ["[web]: is for `quanjian-edge web`; a station has parts"]
                )
            loaded[entry.number] = one
        except EdgeError as wrong:
            failed.append(wrong)
    paths = {entry.number: entry.path for entry in entries}
    for number, problems in gaps({n: one.recipe for n, one in loaded.items()}).items():
        failed.append(SettingsError(paths[number], problems))
        del loaded[number]
    return loaded, failed
