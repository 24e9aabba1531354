"""`quanjian-edge inspect`: a verdict per picture, without a line. For trying a model.

A picture that cannot be read is one undecided line, as it would be one undecided part. Verdicts go
to stdout, everything else to stderr.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import recipe as recipes
from edge.errors import CameraError, EdgeError, ImageError, ModelError
from edge.recipe import Recipe
from edge.still import assemble, judge_still
from edge.terms import Code, Detection, Reason, Verdict
from edge.vision import annotate
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors
from edge.vision.folder import pictures_in, shown
from edge.vision.image import decode_image

THRESHOLD = 0.3
"""Score from which a detection makes a picture NG, where no recipe says otherwise."""

OUT = Path("inspected")
_TELL_EVERY = 20  # pictures

EXAMPLES = """examples:
  quanjian-edge inspect pictures/ --model base.onnx
  quanjian-edge inspect a.png b.png --model base.onnx --recipe plate.toml --out
  quanjian-edge inspect pictures/ --model base.onnx --json > verdicts.jsonl
"""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What came of one picture."""

    path: Path
    verdict: Verdict
    detections: tuple[Detection, ...] = ()
    ms: float = 0.0  # from the decoded picture to its verdict
    fault: str | None = None  # in words, where it could not be judged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="pictures or folders")
    parser.add_argument("--model", type=Path, required=True, help="the ONNX detector")
    parser.add_argument("--sha256", help="of the model, as it must be")
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument("--recipe", type=Path, help="recipe TOML with the limits")
    limits.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        help="score that makes a picture NG, without a recipe (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        nargs="?",
        const=OUT,
        help=f"write pictures with their boxes to this folder (just --out: {OUT}/)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per picture and line")
    parser.add_argument(
        "--threads", type=int, default=0, help="inside one inference (default: cores - 1)"
    )


def run(asked: argparse.Namespace) -> int:
    """Judge every picture; 0 done, 1 the output cannot be written, 2 nothing could be judged."""
    if not 0 <= asked.threads <= 64:
        return _say(f"--threads: got {asked.threads}, expected 0 to 64", 2)
    if not 0 < asked.threshold <= 1:
        return _say(f"--threshold: got {asked.threshold:g}, expected above 0 to 1", 2)
    try:
        paths = _pictures(asked.paths)
        model = Detector(asked.model, asked.sha256, threads=asked.threads)
        recipe, detector = _recipe(asked.recipe, asked.threshold, model)
    except EdgeError as wrong:
        return _say(f"{wrong}\n{wrong.hint}", 2)
    writer = None
    try:
        if asked.out is not None:
            asked.out.mkdir(parents=True, exist_ok=True)
            writer = _Pictures(asked.out)
        found = _counted(_inspected(paths, detector, recipe, writer), len(paths))
        _report(found, asked.json, max(len(shown(path)) for path in paths))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say("stopped", 1)
    except OSError as wrong:
        return _say(f"{asked.out or 'output'}: cannot be written: {wrong}", 1)
    return 0


def _pictures(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those in the folders named.

    Raises:
        CameraError: one is not there, or there is no picture at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += pictures_in(path)
        elif path.exists():
            found.append(path)
        else:
            raise CameraError(f"{path}: no such picture or folder")
    if not found:
        raise CameraError(f"{', '.join(map(str, paths))}: no picture in there")
    return found


def _recipe(path: Path | None, threshold: float, model: Detector) -> tuple[Recipe, Detectors]:
    """The recipe asked for, or the threshold for every class; with all that it detects with.

    Raises:
        SettingsError: mistakes in the recipe, or a threshold outside 0..1.
        ModelError: recipe and model do not fit.
    """
    if path is None:
        return recipes.simple(model.labels, threshold), Detectors(model)
    recipe = recipes.read(path)
    detector = assemble(recipe, path.parent, model)
    problems = recipes.check_labels(recipe, detector.labels)
    if problems:
        raise ModelError(f"{path}: does not fit {model.path}: {'; '.join(problems)}")
    return recipe, detector


def _inspected(
    paths: Sequence[Path], detector: Detectors, recipe: Recipe, writer: "_Pictures | None"
) -> Iterator[Inspected]:
    for path in paths:
        try:
            image = decode_image(path)
        except ImageError as wrong:
            yield Inspected(path, Verdict(Code.UNDECIDED, Reason.BAD_IMAGE), fault=str(wrong))
            continue
        one = _judged(path, image, detector, recipe)
        if writer is not None:
            writer.write(path, annotate.jpeg(annotate.draw(image, one.detections)))
        yield one


def _judged(
    path: Path, image: npt.NDArray[np.uint8], detector: Detectors, recipe: Recipe
) -> Inspected:
    began_s = time.perf_counter()
    still = judge_still(image, detector, recipe)
    ms = (time.perf_counter() - began_s) * 1000
    reported = tuple(d for d in still.detections if d.score >= recipe.score_floor)
    return Inspected(path, still.verdict, reported, ms, still.fault)


class _Pictures:
    """The folder of annotated pictures; two of one name from two folders get two files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: Counter[str] = Counter()

    def write(self, path: Path, content: bytes) -> None:
        self._names[path.name] += 1
        again = self._names[path.name]
        number = f"-{again}" if again > 1 else ""
        (self._folder / f"{path.name}{number}.jpg").write_bytes(content)


def _counted(found: Iterable[Inspected], total: int) -> Iterator[Inspected]:
    """Pass on; tell the progress of a long run, and what came of it, on stderr."""
    codes: Counter[Code] = Counter()
    for done, inspected in enumerate(found, 1):
        yield inspected
        codes[inspected.verdict.code] += 1
        if inspected.fault:
            _say(inspected.fault)
        if total > _TELL_EVERY and done % _TELL_EVERY == 0:
            _say(f"{done} of {total}")
    told = ", ".join(f"{codes[code]} {code.name.lower()}" for code in (Code.OK, Code.NG))
    _say(f"{total} pictures: {told}, {codes[Code.UNDECIDED]} undecided")


def _report(found: Iterable[Inspected], as_json: bool, width: int) -> None:
    if not as_json:
        _row("picture", width, "verdict", "reason", "worst", "ms")
    for one in found:
        verdict, reason = one.verdict.code.name.lower(), one.verdict.reason
        worst = one.verdict.worst
        if as_json:
            sys.stdout.write(json.dumps(_as_json(one)) + "\n")
            sys.stdout.flush()
        else:
            strongest = f"{worst.label} {worst.score:.2f}" if worst else ""
            why = reason.value if reason else ""
            _row(shown(one.path), width, verdict, why, strongest, f"{one.ms:.1f}")
    sys.stdout.flush()


def _row(picture: str, width: int, verdict: str, reason: str, worst: str, ms: str) -> None:
    sys.stdout.write(f"{picture:<{width}}  {verdict:<9}  {reason:<11}  {worst:<20}  {ms:>7}\n")


def _as_json(one: Inspected) -> dict[str, object]:
    reason = one.verdict.reason
    return {
        "path": str(one.path),
        "verdict": one.verdict.code.name.lower(),
        "reason": reason.value if reason else None,
        "detections": [
            {
                "class": found.label,
                "score": round(found.score, 4),
                "box": [round(edge, 1) for edge in found.box],
            }
            for found in one.detections
        ],
        "ms": round(one.ms, 2),
    }


def _say(text: str, code: int = 0) -> int:
    sys.stderr.write(text.rstrip() + "\n")
    return code
