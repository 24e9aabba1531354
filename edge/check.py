"""`quanjian-edge check`: finds every mistake in edge.toml, then tries every device it names.

A line per thing tried, OK or the fault with what to do; the timetable of each station as a table.
Exit 0 all well, 1 a device fails, 2 settings.
"""

import argparse
import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from itertools import pairwise
from pathlib import Path

from edge import bus_check, buses, check_io, measured, motion, moving, settings, speed
from edge import recipe as recipes
from edge.commissioning import commissioned
from edge.errors import (
    OPTIONS_HINT,
    CameraError,
    EdgeError,
    LedgerError,
    LinkError,
    PlcError,
    SettingsError,
)
from edge.mqtt import identity
from edge.pictures import KEEP_FREE_MB, is_own_filesystem
from edge.plc import profile
from edge.plc.blocks import BLOCK_SIZE, PlcBlock
from edge.plc.light import LightController
from edge.plc.links import Link
from edge.plc.transaction import read_registers
from edge.release import load
from edge.settings import Settings
from edge.setups import gaps, setups
from edge.terms import MAP_VERSION
from edge.vision.address import redacted
from edge.vision.connection import open_camera
from edge.wiring import GENICAM

FRAME_S = 3.0  # a camera must send a picture within this
PERIODS = 10  # between frames, of which the longest counts
MEASURE_S = 60.0  # what --measure takes, where --seconds says nothing else
CONNECT_S = 3.0  # the broker must take a connection within this, and judge a certificate

Trial = tuple[str, Callable[[], str]]


def run(asked: argparse.Namespace) -> int:
    """Check the settings and try what they name.

    Raises:
        SettingsError: with every mistake in the file, or an option is wrong.
    """
    if asked.seconds is not None and not asked.measure:
        told = "--seconds: means something only with --measure"
        raise SettingsError("check", [told], OPTIONS_HINT)
    wiring = settings.read(asked.config)
    sys.stdout.write(f"{asked.config}: settings are well formed\n")
    sys.stdout.writelines(f"{line}\n" for line in profiles(wiring))
    failed = 0
    measure_s = (asked.seconds or MEASURE_S) if asked.measure else None
    for name, attempt in trials(wiring, asked.unsigned, measure_s):
        try:
            sys.stdout.write(f"OK     {name}: {attempt()}\n")
        except EdgeError as wrong:
            failed += 1
            sys.stdout.write(f"FAULT  {name}: {wrong}\n       {wrong.hint}\n")
        sys.stdout.flush()
    sys.stdout.writelines(f"{line}\n" for line in commissioned.lines(wiring))
    return 1 if failed else 0


def profiles(wiring: Settings) -> Iterator[str]:
    """What the profiles say, with the source of each value and whether it is sure."""
    named = [(f"bus {bus.name}", bus.profile) for bus in wiring.bus]
    named += [(f"slave {slave.name}", slave.profile) for slave in wiring.slave]
    for owner, name in named:
        if name is not None:
            first, *rest = profile.lines(name)
            yield f"PROFILE {owner}: {first}"
            yield from (f"        {line}" for line in rest)


def trials(wiring: Settings, unsigned: bool, measure_s: float | None = None) -> Iterator[Trial]:
    """Everything edge.toml names, each with a way to try it that returns what was found.

    Args:
        measure_s: measure for so long what the timetable needs; None = not now.
    """
    yield "ledger", lambda: _try_disk(Path(wiring.node.data_dir))
    yield "pictures", lambda: _try_pictures(wiring.node)
    yield from _recipe_trials(wiring, unsigned)
    for camera in wiring.camera:
        yield f"camera {camera.name}", partial(_try_camera, camera, wiring)
    for light in wiring.light:
        yield f"light {light.name}", partial(_try_light, light)
    for line in wiring.bus:
        yield f"bus {line.name}", partial(buses.tried, line)
    for io in wiring.io:
        yield from check_io.trials(io)
    for station in wiring.station:
        yield from _station_trials(station, wiring)
    yield from bus_check.trials(wiring, unsigned, measure_s)
    if wiring.hub is not None:
        hub = wiring.hub
        yield "broker", lambda: _try_broker(hub, wiring.node.name)
        files = identity.files_of(hub)
        if files is not None:
            renews = (hub.pictures_url or "").startswith("https:")
            name = wiring.node.name
            yield "certificate", partial(_try_certificate, files, name, renews)
        if hub.token_file is not None:
            token = Path(hub.token_file)
            yield "token", lambda: _try_token(token)


def _recipe_trials(wiring: Settings, unsigned: bool) -> Iterator[Trial]:
    for recipe in wiring.recipe:
        yield f"recipe {recipe.number}", partial(_try_recipe, recipe, wiring, unsigned)
        web = speed.web_of(recipe)
        if web is not None:
            yield f"web {recipe.number}", partial(speed.fits, wiring, recipe, web)
    if len(wiring.recipe) > 1:
        yield "recipes together", partial(_try_recipes, wiring)


def _station_trials(station: settings.Station, wiring: Settings) -> Iterator[Trial]:
    if station.bus is not None or station.io is None:  # else its contacts were tried already
        yield f"station {station.name}", partial(_try_station, station, wiring)
    for camera in wiring.camera:
        if camera.name in station.cameras:
            name = f"motion {station.name} {camera.name}"
            yield name, partial(_try_motion, station, camera, wiring)


def _try_disk(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe_file = folder / f".check-{os.getpid()}"
        with probe_file.open("wb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            started_s = time.monotonic()
            os.fsync(file.fileno())
        took_ms = (time.monotonic() - started_s) * 1000
        probe_file.unlink()
    except OSError as wrong:
        raise LedgerError(f"{folder}: cannot be written: {wrong}") from wrong
    return f"{folder} takes rows, one fsync {took_ms:.1f} ms"


def _try_pictures(node: settings.Node) -> str:
    data = Path(node.data_dir)
    folder = Path(node.pictures_dir or data / "pictures")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = is_own_filesystem(folder, data)
        disk = shutil.disk_usage(folder)
    except OSError as wrong:
        raise LedgerError(f"{folder}: pictures cannot be kept here: {wrong}") from wrong
    sort = (
        "a filesystem of its own"
        if own
        else f"the ledger's filesystem, {KEEP_FREE_MB} MB stay free"
    )
    wanted = f"up to {node.max_pictures_mb} MB of pictures"
    if node.max_pictures_mb * 1_000_000 > disk.total:
        wanted += f", more than it holds: {disk.total // 1_000_000} MB"
    return f"{folder} is on {sort}; {wanted}, {disk.free // 1_000_000} MB free now"


def _try_recipe(entry: settings.Recipe, wiring: Settings, unsigned: bool) -> str:
    loaded = load(entry, wiring.runtime, unsigned, wiring.scales, lit=wiring.lit)
    eye = Path(entry.model).name if entry.model is not None else "[spots]"
    return (
        f"{loaded.recipe.name} with {eye}, {loaded.trust}, "
        f"runs on {', '.join(loaded.detector.providers)}"
    )


def _try_recipes(wiring: Settings) -> str:
    found = gaps(_readable(wiring))
    if found:
        number, problems = next(iter(found.items()))
        path = next(entry.path for entry in wiring.recipe if entry.number == number)
        raise SettingsError(path, problems)
    return "each sets up the cameras by itself"


def _readable(wiring: Settings) -> dict[int, recipes.Recipe]:
    """The recipes without mistakes; those of the others are told where each is tried."""
    read: dict[int, recipes.Recipe] = {}
    for entry in wiring.recipe:
        with contextlib.suppress(SettingsError):
            read[entry.number] = recipes.read(Path(entry.path))
    return read


def _try_camera(entry: settings.Camera, wiring: Settings) -> str:
    _try_setups(entry, wiring)
    camera = open_camera(entry)
    try:
        deadline_s = time.monotonic() + FRAME_S
        camera.request()
        while time.monotonic() < deadline_s:
            frame = camera.read(deadline_s - time.monotonic())
            if frame is not None:
                height, width = frame.image.shape[:2]
                lossy = entry.kind == "rtsp" and entry.transport == "udp"
                note = "; udp: a lost packet shows pieces of older pictures" if lossy else ""
                return f"{width} x {height} px from {redacted(entry.source)}{note}"
    finally:
        camera.close()
    raise CameraError(f"{redacted(entry.source)}: connected, but no picture within {FRAME_S:.0f} s")


def _try_light(entry: settings.Light) -> str:
    controller = LightController(entry)
    try:
        brightness = [controller.get(channel + 1) for channel in range(entry.channels)]
    finally:
        controller.close()
    return f"channels 1 to {entry.channels} at {entry.port}: {', '.join(map(str, brightness))}"


def _try_setups(entry: settings.Camera, wiring: Settings) -> None:
    """Set the camera to every view that a recipe asks of it, triggered as it will be."""
    own = next((station for station in wiring.station if entry.name in station.cameras), None)
    asked = setups(entry.name, _readable(wiring))
    views = {setup.view for setup in asked.values() if setup.view is not None}
    if not views and entry.kind not in GENICAM:
        return
    camera = open_camera(entry, own.exposure if own is not None else "free_run")
    try:
        for view in views:
            camera.apply(view)
    finally:
        camera.close()


def _try_station(station: settings.Station, wiring: Settings) -> str:
    if station.self_counted:
        return "counts for itself: no PLC, no independent check, rejects nothing"
    bus = next(b for b in wiring.bus if b.name == station.bus)
    link = Link(bus)
    link.open()
    try:
        asked = read_registers(station.unit, station.read_base, BLOCK_SIZE)
        block = PlcBlock.decode(link.transact(asked).values)
    finally:
        link.close()
    if block.map_version != MAP_VERSION:
        raise PlcError(
            f"{bus.place} unit {station.unit}: register {station.read_base + 7} (map version) is "
            f"{block.map_version}, expected {MAP_VERSION}"
        )
    return f"unit {station.unit} on {bus.place}: counter {block.counter}, map {block.map_version}"


def _try_motion(station: settings.Station, camera: settings.Camera, wiring: Settings) -> str:
    where = f"[station {station.name}]"
    if station.speed_mm_s == 0:
        return "parts stand still"
    freely = station.exposure == "free_run" and station.speed_mm_s is not None
    kept = measured.read(wiring)
    late_s = kept.of(station).late_s if kept is not None else 0.0
    line = moving.line_of(station, wiring, frame_period_s(camera) if freely else 0.0, late_s)
    if line is None:
        raise SettingsError(where, [f"speed_mm_s: missing; expected {moving.UNSAID}"])
    told, wrong = [f"{line.displacement_mm:.1f} mm from its place at the most"], []
    for recipe in _readable(wiring).values():
        exposure_us = moving.exposure_us(recipe, camera)
        found = motion.problems(line, recipe.motion, exposure_us, camera.mm_per_px)
        wrong += [f"{recipe.name}: {problem}" for problem in found]
        if exposure_us is not None and camera.mm_per_px is not None:
            told.append(f"{recipe.name} {line.blur_px(exposure_us, camera.mm_per_px):.2f} px blur")
    sentence = "; ".join(told)
    if wrong:
        raise SettingsError(f"{where} {camera.name}: {sentence}", wrong)
    return sentence


def frame_period_s(entry: settings.Camera, within_s: float = FRAME_S) -> float:
    """Of a camera that runs freely, as it does now.

    Raises:
        CameraError: it does not, or is not there.
    """
    camera = open_camera(entry)
    exposed_s: list[float] = []
    try:
        deadline_s = time.monotonic() + within_s
        while len(exposed_s) < PERIODS + 1 and time.monotonic() < deadline_s:
            camera.request()
            frame = camera.read(deadline_s - time.monotonic())
            exposed_s += [frame.exposed_s] if frame is not None else []
    finally:
        camera.close()
    if len(exposed_s) < 2:
        raise CameraError(f"{redacted(entry.source)}: no second picture within {within_s:g} s")
    return max(after - before for before, after in pairwise(exposed_s))


def _try_broker(hub: settings.Hub, name: str) -> str:
    files = identity.files_of(hub)
    where = f"{hub.broker_host}:{hub.broker_port}"
    try:
        with socket.create_connection((hub.broker_host, hub.broker_port), CONNECT_S) as wire:
            if files is None:
                return f"{where} takes connections, not encrypted"
            identity.greet(wire, hub.broker_host, files, name, CONNECT_S)
    except OSError as wrong:
        raise LinkError(f"{where}: {wrong}") from wrong
    return f"{where} takes this node's certificate, TLS 1.3"


def _try_certificate(files: identity.Files, name: str, renews: bool) -> str:
    said = identity.examine(files, name, datetime.now(timezone.utc))
    by = "renewed by the node itself" if renews else "nobody renews it: pictures_url is not https"
    return f"{files.certificate} until {said.not_after:%Y-%m-%d %H:%M} UTC, {by}"


def _try_token(path: Path) -> str:
    identity.secret(path)
    return f"{path} is readable by this node alone"
