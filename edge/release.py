"""The recipes a node may run, each with its model. Nothing runs that is not pinned by sha256.

Until releases are signed, edge.toml pins the hash of every recipe and model, and a recipe must
bring a golden picture that its model has to find NG. A file without a pin runs only with
--unsigned; every row then says so and the screens show it in red. A file with another hash than its
pin never runs.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import judgement, settings, sight
from edge import recipe as recipes
from edge.errors import EdgeError, ModelError, SettingsError
from edge.limits import Golden
from edge.mqtt.message import Trust
from edge.recipe import Recipe
from edge.setups import gaps
from edge.terms import Code
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from edge.vision.reference import Reference
from edge.vision.tiled import Sees


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verified recipe and its warm detector."""

    number: int  # what the PLC asks for
    recipe: Recipe
    trust: Trust
    detector: Sees = field(repr=False)
    golden: tuple[tuple[Golden, npt.NDArray[np.uint8]], ...] = field(repr=False, default=())
    references: Mapping[str, Reference] = field(repr=False, default_factory=dict)  # by camera
    workers: int = 1  # views of a part judged at once
    scales: Mapping[str, float | None] = field(default_factory=dict)  # mm per px, by camera


def load(
    entry: settings.Recipe,
    runtime: settings.Runtime,
    unsigned: bool,
    scales: Mapping[str, float | None] | None = None,
    warm: dict[str, Detector] | None = None,
) -> Loaded:
    """Verify, read and warm up one recipe and its model, and prove it on its golden pictures.

    Args:
        scales: mm per px of each camera of the node, which limits in mm need; None = the wiring is
            not known, and sizes in mm excuse nothing.
        warm: models that are loaded already, by file; gets this one.

    Raises:
        ModelError: a file is missing, not as pinned, not pinned, or fails its self-test.
        ImageError: a golden or reference picture cannot be used.
        SettingsError: mistakes in the recipe.
    """
    recipe_path = Path(entry.path)
    pinned = _verified(recipe_path, entry.sha256, unsigned)
    if entry.model is not None:
        pinned = _verified(Path(entry.model), entry.model_sha256, unsigned) and pinned
    recipe = recipes.read(recipe_path)
    warm = {} if warm is None else warm
    model = _model(entry, runtime, recipe, warm) if entry.model is not None else None
    detector = sight.assemble(
        recipe,
        model,
        workers=sight.workers(runtime.threads),
        prepare=sight.flattened(recipe, recipe_path.parent),
    )
    problems = recipes.check_labels(recipe, detector.labels)
    if problems:
        name = entry.model or "[spots]"
        raise ModelError(f"{recipe_path}: does not fit {name}: {'; '.join(problems)}")
    problems = recipes.check_scales(recipe, scales, detector.areas) if scales is not None else []
    if problems:
        raise SettingsError(str(recipe_path), problems)
    if not unsigned and all(g.expect != "ng" for g in recipe.golden):
        raise ModelError(
            f'{recipe_path}: no [[golden]] with expect = "ng": nothing proves that the model sees'
        )
    golden = tuple((g, decode_image(recipe_path.parent / g.picture)) for g in recipe.golden)
    pinned = pinned and any(g.expect == "ng" for g in recipe.golden)
    trust: Trust = "pinned" if pinned else "unsigned"
    references = {
        view.camera: Reference(decode_image(recipe_path.parent / view.reference))
        for view in recipe.views
        if view.reference is not None
    }
    loaded = Loaded(
        entry.number,
        recipe,
        trust,
        detector,
        golden,
        references,
        runtime.workers,
        scales or {},
    )
    for place in proofs(loaded):
        prove(loaded, place)
    return loaded


def _model(
    entry: settings.Recipe, runtime: settings.Runtime, recipe: Recipe, warm: dict[str, Detector]
) -> Detector:
    """The recipe's model; one file is one session, however many recipes name it."""
    path = entry.model or ""
    if path not in warm or warm[path].sha256 != (entry.model_sha256 or warm[path].sha256):
        warm[path] = Detector(Path(path), sha256=entry.model_sha256, runtime=runtime)
    return warm[path].with_floor(recipe.score_floor)


def proofs(loaded: Loaded) -> range:
    """The places of a recipe's proofs, for `prove`; one even where it has no golden picture."""
    return range(max(1, len(loaded.golden)))


def prove(loaded: Loaded, place: int) -> None:
    """Run one golden picture and compare its verdict; without any, only that the detector runs.

    Raises:
        ModelError: the detector fails, or the picture gets another verdict than the recipe expects.
    """
    if not loaded.golden:
        loaded.detector.detect(np.full(loaded.detector.imgsz, 128, np.uint8))
        return
    golden, image = loaded.golden[place]
    mm_per_px = recipes.scale_of(golden.camera, loaded.scales)
    detections = loaded.detector.detect(image, mm_per_px)
    verdict = judgement.judge(detections, loaded.recipe, golden.camera)
    if verdict.code is not golden.code:
        raise ModelError(
            f"{golden.picture}: golden picture is {Code(verdict.code).name}, "
            f"expected {golden.code.name}"
        )


def _verified(path: Path, expected: str | None, unsigned: bool) -> bool:
    """True if `path` is pinned and as pinned; False if it is not pinned and may run unsigned."""
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as wrong:
        raise ModelError(f"{path}: cannot be read: {wrong}") from wrong
    if expected is None and not unsigned:
        raise ModelError(f"{path}: not pinned; its sha256 is {actual}")
    if expected is not None and expected != actual:
        raise ModelError(f"{path}: sha256 is {actual}, expected {expected}")
    return expected is not None


def load_all(
    entries: tuple[settings.Recipe, ...],
    runtime: settings.Runtime,
    unsigned: bool,
    scales: Mapping[str, float | None] | None = None,
) -> tuple[dict[int, Loaded], list[EdgeError]]:
    """Load every recipe; what fails is returned, so that the other products can still run."""
    loaded: dict[int, Loaded] = {}
    warm: dict[str, Detector] = {}
    failed: list[EdgeError] = []
    for entry in entries:
        try:
            loaded[entry.number] = load(entry, runtime, unsigned, scales, warm)
        except EdgeError as wrong:
            failed.append(wrong)
    paths = {entry.number: entry.path for entry in entries}
    for number, problems in gaps({n: one.recipe for n, one in loaded.items()}).items():
        failed.append(SettingsError(paths[number], problems))
        del loaded[number]
    return loaded, failed
