"""`quanjian-edge tune`: measures which [runtime] is fastest here, and writes it if told to.

Prints the section ready to paste, or with --json the choice with every figure. Exit 0 done, 1 no
provider runs the model or the file cannot be written, 2 wrong usage or settings.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from edge import durable, runtime_section, settings
from edge import recipe as recipes
from edge.errors import OPTIONS_HINT, EdgeError, ModelError, SettingsError
from edge.settings import Runtime, Settings
from edge.tuning import Goal, Trial, candidates, choose, chosen_keys, cores, measure, neighbour
from edge.vision import providers
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from edge.vision.session import built_in

ORDERS = (("cpu",), ("openvino",), ("cuda",), ("tensorrt", "cuda"), ("cann",), ("migraphx",))
"""What is tried where --providers names nothing."""

FRAME = (1080, 1920, 3)
ROUNDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = (
        "example: quanjian-edge tune --config edge.toml --write; "
        "quanjian-edge tune --model m.onnx --model m-int8.onnx --goal throughput --json"
    )
    parser.add_argument("--config", type=Path, help="edge.toml: its models and its [runtime]")
    parser.add_argument(
        "--model", type=Path, action="append", help="ONNX file; several: the fastest is chosen"
    )
    parser.add_argument("--picture", type=Path, help="to measure with (default: golden, or noise)")
    parser.add_argument(
        "--providers",
        action="append",
        help="comma-separated order to try, more than once (default: all that run here)",
    )
    parser.add_argument(
        "--goal",
        choices=("latency", "throughput"),
        default="latency",
        help="one camera, or the most parts a second (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="blocks per candidate (default: %(default)s)"
    )
    parser.add_argument(
        "--neighbour", action="store_true", help="measure with one core kept busy by another"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--write", action="store_true", help="put the choice into edge.toml")


def run(asked: argparse.Namespace) -> int:
    """Measure, choose, print and perhaps write.

    Raises:
        EdgeError: nothing runs, or what was named cannot be read or written.
    """
    if not asked.model and asked.config is None:
        raise SettingsError(
            "tune", ["--config or --model: missing; expected one of them"], OPTIONS_HINT
        )
    if asked.write and asked.config is None:
        raise SettingsError("tune", ["--write: needs --config, the file to write to"], OPTIONS_HINT)
    if asked.rounds < 1:
        told = f"--rounds: got {asked.rounds}, expected 1 or more"
        raise SettingsError("tune", [told], OPTIONS_HINT)
    wiring = None if asked.config is None else settings.read(asked.config)
    base = Runtime() if wiring is None else wiring.runtime
    models = asked.model or [_largest(wiring)]
    image = _picture(asked, wiring)
    trials, failed = _open(models, _orders(asked), base, asked.goal)
    with neighbour(asked.neighbour):
        measure(trials, image, asked.goal, asked.rounds, _say)
    best = choose(trials, asked.goal)
    keys = chosen_keys(best.runtime)
    _tell(asked, best, trials, failed, image)
    if asked.write:
        write(asked.config, keys)
        _say(f"{asked.config}: [runtime] written; restart the node to use it")
    return 0


def write(path: Path, keys: dict[str, object]) -> None:
    """Replace these keys of [runtime] in `path`, whole or not at all.

    Raises:
        SettingsError: the section is written in a way that cannot be replaced safely.
    """
    path = path.resolve()
    try:
        text = path.read_bytes().decode("utf-8")
        made = runtime_section.replaced(text, keys)
        if made is None:
            raise SettingsError(str(path), ["[runtime]: cannot be replaced; paste it by hand"])
        was = path.stat()  # with another owner or mode a service could not read it any more
        durable.write(path, made.encode("utf-8"), was.st_mode & 0o7777, (was.st_uid, was.st_gid))
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be written: {wrong}"]) from wrong


def _open(
    models: list[Path], orders: list[tuple[str, ...]], base: Runtime, goal: Goal
) -> tuple[list[Trial], list[str]]:
    """Every candidate with a warm detector, and why others are none.

    Raises:
        ModelError: there is no candidate.
    """
    trials, failed = [], []
    base = replace(base, allow_fallback=False)  # what falls back would be measured as another
    for model in models:
        for order in orders:
            try:
                trials += [
                    Trial(model, runtime, Detector(model, runtime=runtime))
                    for runtime in candidates(base, order, goal, cores())
                ]
            except EdgeError as wrong:
                failed.append(f"{','.join(order)}: {wrong}")
                _say(f"not here: {failed[-1]}")
    if not trials:
        raise ModelError(f"no provider runs {', '.join(map(str, models))}: {'; '.join(failed)}")
    return trials, failed


def _orders(asked: argparse.Namespace) -> list[tuple[str, ...]]:
    if not asked.providers:
        return [order for order in ORDERS if all(map(_may_run, order))]
    orders = [tuple(name for name in order.split(",") if name) for order in asked.providers]
    if () in orders:
        nothing = asked.providers[orders.index(())]
        problem = f"--providers: got {nothing!r}, expected names such as cpu"
        raise SettingsError("tune", [problem], OPTIONS_HINT)
    return orders


def _may_run(name: str) -> bool:
    """Built in, or a plugin that has to be asked."""
    return name == "openvino" or providers.full_name(name) in built_in()


def _largest(wiring: Settings | None) -> Path:
    """The model that decides whether the line keeps its pace.

    Raises:
        ModelError: no recipe has one.
    """
    named = {Path(r.model) for r in (wiring.recipe if wiring else ()) if r.model is not None}
    there = sorted((path for path in named if path.is_file()), key=lambda p: p.stat().st_size)
    if not there:
        raise ModelError(f"none of the models is there: {sorted(map(str, named))}")
    return there[-1]


def _picture(asked: argparse.Namespace, wiring: Settings | None) -> npt.NDArray[np.uint8]:
    if asked.picture is not None:
        return decode_image(asked.picture)
    for path in _golden(wiring):
        return decode_image(path)
    return np.random.default_rng(0).integers(0, 256, FRAME, np.uint8)


def _golden(wiring: Settings | None) -> Iterator[Path]:
    for entry in wiring.recipe if wiring else ():
        for golden in recipes.read(Path(entry.path)).golden:
            yield Path(entry.path).parent / golden.picture


def _tell(
    asked: argparse.Namespace,
    best: Trial,
    trials: list[Trial],
    failed: list[str],
    image: npt.NDArray[np.uint8],
) -> None:
    """The choice on stdout, the table on stderr."""
    for trial in sorted(trials, key=lambda one: one.cost(asked.goal)):
        runtime = trial.runtime
        _say(
            f"{'*' if trial is best else ' '} {trial.median_ms:8.2f} ms median {trial.p99_ms:8.2f} "
            f"ms p99 {trial.parts_per_s:8.1f} parts/s  {trial.model.name} "
            f"{','.join(runtime.providers)} threads {runtime.threads} workers {runtime.workers}"
            f"{' spinning' if runtime.spinning else ''}"
        )
    if not asked.json:
        sys.stdout.write(f"# {best.model}\n{runtime_section.section(chosen_keys(best.runtime))}")
        return
    answer = {
        **best.figures(),
        "goal": asked.goal,
        "neighbour": asked.neighbour,
        "cores": cores(),
        "picture": list(image.shape),
        "measured": [trial.figures() for trial in trials],
        "failed": failed,
    }
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
