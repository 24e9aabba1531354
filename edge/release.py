"""The recipes a node may run, each with its model. Nothing runs that is not pinned by sha256.

Until releases are signed, edge.toml pins the hash of every recipe and model, and a recipe must
bring a golden picture that its model has to find NG. A file without a pin runs only with
--unsigned; every row then says so and the screens show it in red. A file with another hash than its
pin never runs.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import comparisons, settings
from edge import recipe as recipes
from edge.errors import EdgeError, ImageError, ModelError
from edge.limits import Golden
from edge.mqtt.message import Trust
from edge.recipe import Recipe
from edge.terms import Code, Reason, Verdict
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors
from edge.vision.image import decode_image


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verified recipe and its warm detector."""

    number: int  # what the PLC asks for
    recipe: Recipe
    trust: Trust
    detector: Detectors = field(repr=False)
    golden: tuple[tuple[Golden, npt.NDArray[np.uint8]], ...] = field(repr=False, default=())


def load(entry: settings.Recipe, runtime: settings.Runtime, unsigned: bool) -> Loaded:
    """Verify, read and warm up one recipe and its model, and prove it on its golden pictures.

    Raises:
        ModelError: a file is missing, not as pinned, not pinned, or fails its self-test.
        SettingsError: mistakes in the recipe.
    """
    recipe_path, model_path = Path(entry.path), Path(entry.model)
    pinned = _verified(recipe_path, entry.sha256, unsigned)
    pinned = _verified(model_path, entry.model_sha256, unsigned) and pinned
    recipe = recipes.read(recipe_path)
    model = _model(model_path, entry.model_sha256, runtime, comparisons.model_floor(recipe))
    seconds, all_pinned = comparisons.seconds(
        recipe,
        recipe_path.parent,
        lambda path, pin: _verified(path, pin, unsigned),
        lambda path, pin: _model(path, pin, runtime, recipe.score_floor),
    )
    detector, pinned = Detectors(model, seconds), pinned and all_pinned
    problems = recipes.check_labels(recipe, detector.labels)
    if problems:
        raise ModelError(f"{recipe_path}: does not fit {model_path}: {'; '.join(problems)}")
    if not unsigned and all(g.expect != "ng" for g in recipe.golden):
        raise ModelError(
            f'{recipe_path}: no [[golden]] with expect = "ng": nothing proves that the model sees'
        )
    golden = tuple((g, decode_image(recipe_path.parent / g.picture)) for g in recipe.golden)
    pinned = pinned and any(g.expect == "ng" for g in recipe.golden)
    trust: Trust = "pinned" if pinned else "unsigned"
    loaded = Loaded(entry.number, recipe, trust, detector, golden)
    for place in proofs(loaded):
        prove(loaded, place)
    return loaded


def _model(path: Path, pin: str | None, runtime: settings.Runtime, score_floor: float) -> Detector:
    """A model's file as this node runs it."""
    return Detector(
        path,
        sha256=pin,
        providers=runtime.providers,
        threads=runtime.threads,
        spinning=runtime.spinning,
        score_floor=score_floor,
    )


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
    verdict = _judged(loaded, image)
    if verdict.code is not golden.code:
        raise ModelError(
            f"{golden.picture}: golden picture is {Code(verdict.code).name}, "
            f"expected {golden.code.name}"
        )


def _judged(loaded: Loaded, image: npt.NDArray[np.uint8]) -> Verdict:
    """As the eye judges: a part that cannot be compared is undecided."""
    try:
        detections = loaded.detector.seen_by(None).detect(image)
    except ImageError:
        return Verdict(Code.UNDECIDED, Reason.BAD_IMAGE)
    return recipes.judge(detections, loaded.recipe)


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
    entries: tuple[settings.Recipe, ...], runtime: settings.Runtime, unsigned: bool
) -> tuple[dict[int, Loaded], list[EdgeError]]:
    """Load every recipe; what fails is returned, so that the other products can still run."""
    loaded: dict[int, Loaded] = {}
    failed: list[EdgeError] = []
    for entry in entries:
        try:
            loaded[entry.number] = load(entry, runtime, unsigned)
        except EdgeError as wrong:
            failed.append(wrong)
    return loaded, failed
