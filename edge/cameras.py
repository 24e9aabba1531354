"""`quanjian-edge cameras`: what is connected, and a picture of each.

Looks for V4L2 devices, GigE Vision and USB3 Vision cameras, and those of the GenTL producers in
GENICAM_GENTL64_PATH (the standard's own variable); with --config also at every [[camera]] there.
Each is opened; one that a running node holds says so.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from edge import recipe as recipes
from edge import settings
from edge.errors import CameraError, EdgeError, SettingsError
from edge.limits import View
from edge.settings import Camera, Settings
from edge.terms import Frame, TriggerMode
from edge.vision import aravis, gentl
from edge.vision.address import redacted
from edge.vision.annotate import png
from edge.vision.camera import BadFrame
from edge.vision.connection import open_camera
from edge.vision.found import FoundCamera, search_v4l2
from edge.wiring import GENICAM

PICTURE_S = 5.0  # a camera must send a picture within this

EXAMPLES = """examples:
  quanjian-edge cameras                                    what is connected
  quanjian-edge cameras --config edge.toml --out snapshots also those wired already, with pictures
  quanjian-edge cameras --json                             one JSON object per camera and line
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One camera, as it is printed."""

    name: str  # in edge.toml; "" = not there
    kind: str
    source: str
    device: str | None = None
    model: str = ""
    serial: str = ""
    address: str = ""
    size: str = ""  # width x height of its picture, px
    picture: str | None = None  # file
    fault: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", type=Path, help="edge.toml, whose cameras are looked at too")
    parser.add_argument("--out", type=Path, help="write a picture of each to this folder, as PNG")
    parser.add_argument("--json", action="store_true", help="one JSON object per camera and line")


def run(asked: argparse.Namespace) -> int:
    """List the cameras; 0 done, 1 a camera of edge.toml gives no picture.

    Raises:
        SettingsError: with every mistake in edge.toml.
    """
    wiring = settings.read(asked.config) if asked.config is not None else None
    wired = wiring.camera if wiring is not None else ()
    found = _search(wired)
    failed = 0
    for camera, what in _together(wired, found):
        listed = _look(camera, what, wiring, asked.out)
        failed += bool(listed.fault and listed.name)
        line = json.dumps(asdict(listed), ensure_ascii=False) if asked.json else _line(listed)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if not (wired or found):
        sys.stderr.write("no camera found\n")
    return 1 if failed else 0


def _search(wired: tuple[Camera, ...]) -> list[FoundCamera]:
    """Everything that is connected; what cannot be searched is said."""
    found: list[FoundCamera] = []
    for what, search in _searches(wired):
        try:
            found += search()
        except CameraError as wrong:
            sys.stderr.write(f"{what}: not searched: {wrong}\n")
    return found


def _searches(wired: tuple[Camera, ...]) -> Iterator[tuple[str, Callable[[], list[FoundCamera]]]]:
    yield "v4l2", search_v4l2
    yield "gige and usb3", aravis.search
    folders = os.environ.get("GENICAM_GENTL64_PATH", "").split(os.pathsep)
    producers = [
        path for folder in folders if folder for path in sorted(Path(folder).glob("*.cti"))
    ]
    producers += [Path(camera.source) for camera in wired if camera.kind == "gentl"]
    for producer in dict.fromkeys(producers):
        yield f"gentl {producer.name}", partial(gentl.search, producer)


def _together(
    wired: tuple[Camera, ...], found: list[FoundCamera]
) -> Iterator[tuple[Camera, FoundCamera | None]]:
    """Every camera once: those of edge.toml first, with what was found of them."""
    rest = list(found)
    for camera in wired:
        own = (c for c in rest if c.answers_to(camera.kind, camera.source, camera.device))
        what = next(own, None)
        if what is not None:
            rest.remove(what)
        yield camera, what
    for what in rest:
        yield Camera(name="", kind=what.kind, source=what.source, device=what.device), what


def _look(
    camera: Camera, what: FoundCamera | None, wiring: Settings | None, out: Path | None
) -> Listed:
    listed = Listed(camera.name, camera.kind, redacted(camera.source), camera.device)
    if what is not None:
        listed = replace(listed, model=what.model, serial=what.serial, address=what.address)
    try:
        image = _picture(camera, wiring).image
        listed = replace(listed, size=f"{image.shape[1]} x {image.shape[0]}")
        return replace(listed, picture=_write(out, listed, png(image))) if out else listed
    except EdgeError as wrong:
        return replace(listed, fault=str(wrong))


def _picture(camera: Camera, wiring: Settings | None) -> Frame:
    """One picture, under the first recipe's setup of this camera where there is one."""
    opened = open_camera(camera, trigger_of(camera, wiring))
    try:
        view, since_s, fault = view_of(camera, wiring), float("-inf"), "none came"
        if view is not None:
            opened.apply(view)
            since_s = time.monotonic()
        deadline_s = time.monotonic() + PICTURE_S
        opened.request()
        while (left_s := deadline_s - time.monotonic()) > 0:
            frame = opened.read(left_s)
            if isinstance(frame, BadFrame):
                fault = frame.text
                opened.request()
            elif frame is not None and frame.exposed_s >= since_s:
                return frame
    finally:
        opened.close()
    raise CameraError(f"{redacted(camera.source)}: no picture within {PICTURE_S:g} s: {fault}")


def trigger_of(camera: Camera, wiring: Settings | None) -> TriggerMode:
    """As its station triggers it; no part comes now to trigger a wired one."""
    stations = wiring.station if wiring is not None else ()
    own = next((station for station in stations if camera.name in station.cameras), None)
    if own is None:
        return "free_run"
    wired = own.trigger == "hardware" and camera.kind in GENICAM
    return "software" if wired else own.exposure


def view_of(camera: Camera, wiring: Settings | None) -> View | None:
    """What the first recipe that speaks of this camera asks of it."""
    for entry in sorted(wiring.recipe if wiring is not None else (), key=lambda one: one.number):
        with contextlib.suppress(SettingsError):  # `quanjian-edge check` tells its mistakes
            for view in recipes.read(Path(entry.path)).views:
                if view.camera == camera.name:
                    return view
    return None


def _write(folder: Path, listed: Listed, content: bytes) -> str:
    name = listed.name or f"{listed.kind}-{listed.serial or listed.source}"
    path = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as wrong:
        raise CameraError(f"{path}: cannot be written: {wrong}") from wrong
    return str(path)


def _line(listed: Listed) -> str:
    columns = [listed.name or "-", listed.kind, listed.source, listed.device, listed.model]
    columns += [f"serial {listed.serial}" if listed.serial else "", listed.address, listed.size]
    columns += [listed.picture, f"FAULT {listed.fault}" if listed.fault else ""]
    return "  ".join(column for column in columns if column)
