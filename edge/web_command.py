"""`quanjian-edge web`: inspects continuous material, or measures how fast it may run here.

Defects, undecided stretches, intervals and a summary go to stdout, everything else to stderr.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np

from edge import settings, speed
from edge.errors import OPTIONS_HINT, CameraError, SettingsError
from edge.release import Loaded, load
from edge.settings import Settings
from edge.terms import Frame
from edge.vision.connection import Camera, open_camera
from edge.web import Source, Told, WebInspection

MEASURE_S = 12.0
STRIPS = 4
"""Strips of the camera that the measurement goes through, again and again."""

FIRST_STRIP_S = 20.0

MARGIN = 0.6
"""Share of the throughput that a line may use: the camera's driver and other work take time too."""

EXAMPLES = """examples:
  quanjian-edge web --config edge.toml --recipe 3
  quanjian-edge web --config edge.toml --recipe 3 --json > defects.jsonl
  quanjian-edge web --config edge.toml --recipe 3 --measure
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command, beside --config and --unsigned."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--recipe", type=int, required=True, help="number of a [[recipe]]")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--seconds", type=float, help="stop after so long (--measure: 12)")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="only measure how fast the web may run on this computer, for `check`",
    )


def run(asked: argparse.Namespace) -> int:
    """Inspect until stopped.

    Raises:
        SettingsError: mistakes in options, edge.toml or recipe, or rows and columns do not fit.
        ModelError: the recipe's detector cannot be used.
        CameraError: the camera cannot be opened or is lost.
    """
    if asked.seconds is not None and not asked.seconds > 0:
        problem = f"--seconds: got {asked.seconds:g}, expected above 0"
        raise SettingsError("web", [problem], OPTIONS_HINT)
    wiring = settings.read(asked.config)
    entry = next((r for r in wiring.recipe if r.number == asked.recipe), None)
    if entry is None:
        raise SettingsError(str(asked.config), [f"[[recipe]]: none has number {asked.recipe}"])
    loaded = load(entry, wiring.runtime, asked.unsigned, wiring.scales)
    camera, mm_per_px = _camera(wiring, entry, loaded)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    source = open_camera(camera)
    try:
        _set_up(source, loaded, camera.name)
        if asked.measure:
            strips = _strips(source, camera.kind == "folder")
            return _measure(wiring, entry, loaded, strips, mm_per_px, asked.seconds or MEASURE_S)
        if asked.seconds is not None:
            timer = threading.Timer(asked.seconds, stop.set)
            timer.daemon = True
            timer.start()
        ends = camera.kind == "folder"  # which with `loop` never ends
        sees = loaded.detector.seen_by(camera.name)
        web = WebInspection(source, sees, loaded.recipe, mm_per_px, ends=ends)
        web.run(stop, _as_json if asked.json else _as_text)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        stop.set()
        source.close()
    return 0


def _camera(
    wiring: Settings, entry: settings.Recipe, loaded: Loaded
) -> tuple[settings.Camera, float]:
    """The web's camera and its scale.

    Raises:
        SettingsError: there is none, or its pixels are not square.
    """
    web = loaded.recipe.web
    if web is None:
        raise SettingsError(entry.path, ["[web]: missing; this product is no web"])
    try:
        sys.stderr.write(speed.fits(wiring, entry, web) + "\n")
    except SettingsError as wrong:
        camera = next((c for c in wiring.camera if c.name == web.camera), None)
        if camera is None or speed.not_square(camera, web):
            raise
        sys.stderr.write(f"{wrong}\n")  # a web that runs slower can be inspected
    camera = next(c for c in wiring.camera if c.name == web.camera)
    return camera, camera.mm_per_px or 1 / web.rows_per_mm


def _set_up(source: Camera, loaded: Loaded, name: str) -> None:
    """Carry out the recipe's view of this camera.

    Raises:
        CameraError: it cannot be set so.
        SettingsError: the view has lights, which only a node switches and proves.
    """
    view = next((view for view in loaded.recipe.views if view.camera == name), None)
    if view is None:
        return
    if view.light:
        raise SettingsError(loaded.recipe.name, [f"[[view]] {name}: light: of no use on a web"])
    source.apply(view)


def _measure(
    wiring: Settings,
    entry: settings.Recipe,
    loaded: Loaded,
    strips: Sequence[Frame],
    mm_per_px: float,
    seconds: float,
) -> int:
    """Strips of the camera, as fast as they can be inspected; what came of it goes to a file."""
    web = loaded.recipe.web
    if web is None:
        raise SettingsError(entry.path, ["[web]: missing; this product is no web"])
    rows_per_s, undecided = throughput(loaded, strips, mm_per_px, seconds)
    if undecided:
        raise CameraError(f"{undecided}: these strips cannot be judged, so nothing was measured")
    m_min = rows_per_s / web.rows_per_mm / 1000 * 60 * MARGIN
    path = speed.write(wiring, entry, rows_per_s, m_min, strips[0].image.shape[1])
    told = {"speed_m_min": round(m_min, 2), "rows_per_s": round(rows_per_s, 1), "file": str(path)}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _strips(source: Source, on_demand: bool) -> list[Frame]:
    """The first strips of the camera.

    Raises:
        CameraError: too few came.
    """
    strips: list[Frame] = []
    until_s = time.monotonic() + FIRST_STRIP_S
    while len(strips) < STRIPS and time.monotonic() < until_s:
        if on_demand:
            source.request()
        frame = source.read(1.0)
        if frame is not None and frame.image.size:
            strips.append(frame)
    if len(strips) < 2:
        raise CameraError(f"{len(strips)} strips within {FIRST_STRIP_S:g} s; the web has to move")
    return strips


def throughput(
    loaded: Loaded, strips: Sequence[Frame], mm_per_px: float, seconds: float
) -> tuple[float, str]:
    """Rows per second of the whole way, and why some could not be judged ("" = all could)."""
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    told: list[Told] = []

    def keep(one: Told) -> None:
        if one["kind"] == "summary" or (one["kind"] == "undecided" and not told):
            told.append(one)

    sees = loaded.detector.seen_by(strips[0].camera)
    web = WebInspection(_Again(strips), sees, loaded.recipe, mm_per_px)
    timer.start()
    try:
        web.run(stop, keep)
    finally:
        timer.cancel()
    undecided = str(told[0]["text"]) if told[0]["kind"] == "undecided" else ""
    return float(str(told[-1]["rows_per_s"])), undecided


class _Again:
    """The same strips again and again, as fast as they are taken.

    Each carries its number in the lowest bits of its first pixels: what repeats is refused.
    """

    def __init__(self, strips: Sequence[Frame]) -> None:
        self._strips = strips
        self._number = 0

    def read(self, _timeout_s: float) -> Frame:
        strip = self._strips[self._number % len(self._strips)]
        image = strip.image.copy()
        first = image.reshape(-1)[:8]
        first[:] = first & 0xF8 | (self._number >> 3 * np.arange(len(first)) & 7)
        frame = Frame(strip.camera, self._number, time.monotonic(), image)
        self._number += 1
        return frame

    def request(self) -> None:
        """Nothing to do."""


def _as_json(told: Told) -> None:
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _as_text(told: Told) -> None:
    kind = str(told["kind"])
    values = " ".join(f"{key}={value}" for key, value in told.items() if key != "kind")
    sys.stdout.write(f"{kind:<9}  {values}\n")
    sys.stdout.flush()
