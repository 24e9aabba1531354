"""`quanjian-edge recipe`: finds every mistake in a recipe, and says why a picture is OK or not.

check    the file, whether it fits model and wiring, and its golden pictures
explain  one picture: each detection with the limit it met or missed, in a sentence
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge import pins, recipe_pictures, settings
from edge import recipe as recipes
from edge.errors import EdgeError, ImageError, ModelError, SettingsError
from edge.judgement import COUNTING, Rule
from edge.limits import Golden
from edge.recipe import Recipe
from edge.sentences import count, describe, explain
from edge.still import Still, Stills, assemble, judge_still
from edge.vision import annotate
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors
from edge.vision.image import decode_image

EXAMPLES = """examples:
  quanjian-edge recipe check plate.toml --model base.onnx
  quanjian-edge recipe check plate.toml --model base.onnx --config edge.toml
  quanjian-edge recipe explain plate.toml bad.png --model base.onnx --out why.jpg
"""
DECIDING = (*COUNTING, Rule.FORBIDDEN, Rule.UNSOUND)
"""Rules after which a detection counts: its box is red, that of any other gray."""

SHOWN = 20  # detections that decide nothing; the rest is a number

Mistake = tuple[str, int]
"""A sentence, and the exit code it deserves: 2 the file is wrong, 1 the model does not see."""

LOOSE = -1
"""Of a sentence about a file without a pin: no mistake, but only --unsigned runs such a recipe."""

MARKS = {LOOSE: "LOOSE", 0: "OK"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commands `check` and `explain`."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="recipe_command")
    checks = commands.add_parser("check", help="every mistake, and the golden pictures")
    explains = commands.add_parser("explain", help="why a picture is OK, NG or undecided")
    for command in (checks, explains):
        command.epilog, command.formatter_class = EXAMPLES, parser.formatter_class
        command.add_argument("recipe", type=Path, metavar="RECIPE", help="recipe TOML")
    explains.add_argument("picture", type=Path, metavar="PICTURE", help="PNG, JPEG or BMP")
    for command in (checks, explains):
        command.add_argument(
            "--model", type=Path, help="the ONNX detector; none where [spots] are the detector"
        )
    checks.add_argument(
        "--config", type=Path, help="edge.toml: whether its cameras fit zones and limits in mm"
    )
    explains.add_argument("--camera", help="whose view the picture is, for zones of one camera")
    explains.add_argument("--mm-per-px", type=float, help="of the picture, for sizes in mm")
    explains.add_argument("--out", type=Path, help="write it with boxes and zones, as JPEG")
    explains.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(asked: argparse.Namespace) -> int:
    """0 done; 1 a golden picture or the model fails; 2 mistakes in the recipe."""
    return _check(asked) if asked.recipe_command == "check" else _explain(asked)


# -- check ------------------------------------------------------------------------------------


def _check(asked: argparse.Namespace) -> int:
    code = 0
    for text, deserves in _mistakes(asked.recipe, asked.model, asked.config):
        mark = MARKS.get(deserves, "FAULT")
        sys.stdout.write(f"{mark:<6} {text}\n")
        sys.stdout.flush()
        code = max(code, deserves)
    return code


def _mistakes(path: Path, model: Path | None, config: Path | None) -> Iterator[Mistake]:
    """Everything that can be said of a recipe; each part is tried whatever the others say."""
    recipe, loaded, scales = None, None, None
    try:
        recipe = recipes.read(path)
        yield f"{path}: {len(recipe.classes)} classes, {len(recipe.zones)} zones", 0
    except SettingsError as wrong:
        yield from ((f"{path}: {problem}", 2) for problem in wrong.problems)
    try:
        if model is not None:
            loaded = Detector(model)
            yield f"{model}: finds {', '.join(loaded.labels)}", 0
    except ModelError as wrong:
        yield f"{wrong} {wrong.hint}", 1
    try:
        scales = settings.read(config).scales if config is not None else None
    except SettingsError as wrong:
        yield from ((f"{config}: {problem}", 2) for problem in wrong.problems)
    if recipe is not None:
        yield from _misfits(path, recipe, model, loaded, scales)


def _misfits(
    path: Path,
    recipe: Recipe,
    model: Path | None,
    loaded: Detector | None,
    scales: Mapping[str, float | None] | None,
) -> Iterator[Mistake]:
    """Where a recipe, whole in itself, does not go with model, wiring or its golden pictures."""
    detector = None
    if model is None or loaded is not None:
        try:
            detector = assemble(recipe, path.parent, loaded)
        except SettingsError as wrong:
            yield from ((f"{path}: {problem}", 2) for problem in wrong.problems)
        except ModelError as wrong:
            yield f"{path}: {wrong}", 2
    problems = recipes.check_labels(recipe, detector.labels) if detector is not None else []
    if scales is not None:
        problems += recipes.check_scales(recipe, scales, detector is None or detector.areas)
    yield from ((f"{path}: {problem}", 2) for problem in problems)
    if all(golden.expect != "ng" for golden in recipe.golden):
        yield f'{path}: no [[golden]] with expect = "ng": nothing proves that the model sees', 2
    for golden in recipe.golden:
        mm_per_px = recipes.scale_of(golden.camera, scales or {})
        yield _golden(golden, path.parent / golden.picture, recipe, detector, mm_per_px)
    try:
        recipe_pictures.references(recipe, path.parent, True)
    except (ImageError, ModelError) as wrong:
        yield f"[[view]] reference: {wrong}", 2
    yield from _loose(recipe, path.parent)


def _golden(
    golden: Golden,
    picture: Path,
    recipe: Recipe,
    detector: Detectors | None,
    mm_per_px: float | None,
) -> Mistake:
    try:
        image, _pinned = pins.picture(picture, golden.sha256, True)
    except (ImageError, ModelError) as wrong:
        return f"[[golden]] picture: {wrong}", 2
    if detector is None:
        return f"[[golden]] {golden.picture}: not judged, there is no model", 1
    looking = detector.seen_by(golden.camera)
    still = judge_still(image, looking, recipe, golden.camera, mm_per_px)
    told = _verdict(still)
    if still.verdict.code is golden.code:
        return f"[[golden]] {golden.picture}: {told}, as expected", 0
    return f"[[golden]] {golden.picture}: {told}, expected {golden.code.name}", 1


def _loose(recipe: Recipe, folder: Path) -> Iterator[Mistake]:
    """What the recipe names without a pin, with the pin to write."""
    for key, name in recipe_pictures.loose(recipe):
        if (folder / name).is_file():  # else it is told already
            told = f"{key}: missing for {name}, whose sha256 is {pins.digest(folder / name)}"
            yield f"{told}: runs --unsigned only", LOOSE


# -- explain ----------------------------------------------------------------------------------


def _explain(asked: argparse.Namespace) -> int:
    if asked.mm_per_px is not None and not 0 < asked.mm_per_px < 1000:
        sys.stderr.write(f"--mm-per-px: got {asked.mm_per_px:g}, expected above 0, below 1000\n")
        return 2
    try:
        stills = Stills(asked.recipe, asked.model)
        image = decode_image(asked.picture)
    except EdgeError as wrong:
        sys.stderr.write(f"{wrong}\n{wrong.hint}\n")
        return 2
    recipe = stills.recipe
    _warn(asked.camera, recipe)
    still = stills.judge(image, asked.camera, asked.mm_per_px)
    lines = _as_json(asked, still, recipe) if asked.json else _as_text(asked.picture, still, recipe)
    sys.stdout.write(lines + "\n")
    if asked.out is None:
        return 0
    zones = [z for z in recipe.zones if z.camera in (None, asked.camera)]
    outlined = annotate.outline(image, [(z.polygon, z.kind, z.name) for z in zones])
    seen = [f for f in still.findings if f.detection.score >= recipe.score_floor]
    spared = [f.detection for f in seen if f.rule not in DECIDING]
    decided = [f.detection for f in seen if f.rule in DECIDING]
    drawn = annotate.draw(annotate.draw(outlined, spared, annotate.GRAY), decided)
    try:
        asked.out.write_bytes(annotate.jpeg(drawn))
    except OSError as wrong:
        sys.stderr.write(f"{asked.out}: cannot be written: {wrong}\n")
        return 1
    return 0


def _warn(camera: str | None, recipe: Recipe) -> None:
    sections = (recipe.views, recipe.zones, recipe.golden, recipe.templates, recipe.anomalies)
    named = sorted({one.camera for section in sections for one in section if one.camera})
    if camera is not None and camera not in named:
        sys.stderr.write(
            f"--camera: the recipe names no camera {camera}, only {', '.join(named) or 'none'}; "
            "what is for one view alone does not look at this picture\n"
        )
    of_cameras = sorted({zone.camera for zone in recipe.zones if zone.camera})
    if of_cameras and camera not in of_cameras:
        sys.stderr.write(
            f"--camera: the recipe has zones of {', '.join(of_cameras)}; for {camera or 'none'} "
            "only those of every view are ignored or tolerant\n"
        )


def _verdict(still: Still) -> str:
    verdict = still.verdict
    text = verdict.code.name
    if verdict.reason is not None:
        text += f" ({verdict.reason.value})"
    if verdict.worst is not None:
        text += f" by {describe(verdict.worst)}"
    return text


def _as_text(picture: Path, still: Still, recipe: Recipe) -> str:
    lines = [f"{picture}: {_verdict(still)}"]
    if still.fault is not None:
        return "\n".join([*lines, f"  {still.fault}"])
    above = [f for f in still.findings if f.detection.score >= recipe.score_floor]
    below = [f for f in still.findings if f.detection.score < recipe.score_floor]
    told = [*above, *below[: max(0, SHOWN - len(above))]]
    lines += [f"  {describe(f.detection)}\n    {explain(f, recipe)}" for f in told]
    if len(told) < len(still.findings):
        lines.append(f"  {len(still.findings) - len(told)} more with lower scores do not count")
    if not still.findings:
        lines.append("  nothing found")
    return "\n".join([*lines, *(f"  {line}" for line in count(still.findings, recipe))])


def _as_json(asked: argparse.Namespace, still: Still, recipe: Recipe) -> str:
    verdict = still.verdict
    document = {
        "path": str(asked.picture),
        "verdict": verdict.code.name.lower(),
        "reason": verdict.reason.value if verdict.reason else None,
        "fault": still.fault,
        "detections": [
            {
                "class": finding.detection.label,
                "score": round(finding.detection.score, 4),
                "box": [round(edge, 1) for edge in finding.detection.box],
                "width_mm": finding.detection.width_mm,
                "height_mm": finding.detection.height_mm,
                "area_mm2": finding.detection.area_mm2,
                "rule": finding.rule.value,
                "zone": finding.zone,
                "why": explain(finding, recipe),
            }
            for finding in still.findings
        ],
        "counts": count(still.findings, recipe),
    }
    return json.dumps(document, ensure_ascii=False)
