"""What does not fit together in edge.toml though each key by itself is right. Pure.

Things used twice or never defined, registers and ports that two would share, cameras that cannot do
what their station demands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge import line_wiring
from edge.lines import misfits
from edge.spoken import unspeakable

if TYPE_CHECKING:
    from edge.settings import Camera, Settings, Station

GENICAM = ("gige", "usb3", "gentl")
"""Kinds of camera that can be told what triggers them, and how to expose."""

COUNTING = ("shared_memory", *GENICAM)
"""Kinds whose frames carry a count of the triggers."""

TIMELESS = ("rtsp", "v4l2", "gstreamer", "csi")
"""Kinds of camera whose pictures carry no exposure time."""

LOGIN = re.compile(r"://[^/{\s]*@|-pw\s*=")
"""A password in an address, or in a property of a pipeline; {login} is none."""


def crossed(settings: Settings) -> list[str]:
    """Mistakes that no single key shows: things used twice, never defined, or not fitting.

    Keys that are missing or wrong are None here and told already.
    """
    problems = [problem for bus in settings.bus or () for problem in misfits(bus)]
    problems += [*twice(settings), *overlapping(settings), *misplaced(settings)]
    problems += unspeakable(settings)
    problems += line_wiring.crossed(settings)
    buses = {bus.name for bus in settings.bus or () if bus.name}
    cameras = {camera.name for camera in settings.camera or () if camera.name}
    for station in settings.station or ():
        problems += counting(station, settings)
        if station.bus and station.bus not in buses:
            problems.append(
                f"[station {station.name}] bus: no [[bus]] is named {station.bus!r}; "
                f"there are {sorted(buses)}"
            )
        problems += [
            f"[station {station.name}] cameras: no [[camera]] is named {camera!r}; "
            f"there are {sorted(cameras)}"
            for camera in station.cameras or ()
            if camera not in cameras
        ]
    for light in settings.light or ():
        problems += [
            f"[light {light.name}] cameras: no [[camera]] is named {camera!r}; "
            f"there are {sorted(cameras)}"
            for camera in light.cameras or ()
            if camera not in cameras
        ]
        if light.protocol == "ascii" and (light.channels or 0) > 9:
            problems.append(
                f"[light {light.name}] channels: {light.channels}; the ascii protocol has 9"
            )
    return problems


def counting(station: Station, settings: Settings) -> list[str]:
    """A PLC that counts the parts, or what the station needs to count them itself."""
    where = f"[station {station.name}]"
    if station.trigger is None:
        return []  # wrong, and told already
    if station.trigger not in ("camera", "interval"):
        if station.bus or station.io:
            return []
        return [f"{where} bus: missing; expected a [[bus]], or an `io` that counts the parts"]
    problems = []
    if station.bus:
        problems.append(
            f"{where} bus: {station.bus!r}; trigger = {station.trigger!r} counts for itself and "
            "has no PLC; expected no bus"
        )
    numbers = sorted(recipe.number for recipe in settings.recipe or () if recipe.number)
    if station.recipe not in numbers:
        problems.append(
            f"{where} recipe: got {station.recipe}; expected the number of a [[recipe]], "
            f"one of {numbers}: no PLC asks for one"
        )
    if station.trigger == "interval" and station.interval_ms is None:
        problems.append(f"{where} interval_ms: missing; expected the time between two pieces")
    return problems


def twice(settings: Settings) -> list[str]:
    """Names, numbers, ports and cameras that can be used only once."""
    problems = []
    for kind, things in (
        ("bus", settings.bus),
        ("camera", settings.camera),
        ("io", settings.io),
        ("light", settings.light),
        ("station", settings.station),
    ):
        names = [thing.name for thing in things or () if thing.name]
        problems += [
            f"[[{kind}]] name: {name!r} is used twice"
            for name in set(names)
            if names.count(name) > 1
        ]
    numbers = [recipe.number for recipe in settings.recipe or () if recipe.number]
    problems += [
        f"[[recipe]] number: {n} is used twice" for n in set(numbers) if numbers.count(n) > 1
    ]
    ports = [bus.place for bus in settings.bus or () if bus.port or bus.usb or bus.host]
    ports += [light.port for light in settings.light or () if light.port]
    ports += [io.port for io in settings.io or () if io.port and io.kind == "modbus"]
    problems += [
        f"[[bus]] port: {port!r} is used twice" for port in set(ports) if ports.count(port) > 1
    ]
    lit = [camera for light in settings.light or () for camera in light.cameras or ()]
    problems += [
        f"[[light]] cameras: {camera!r} is used twice; one controller lights a camera"
        for camera in set(lit)
        if lit.count(camera) > 1
    ]
    used = [camera for station in settings.station or () for camera in station.cameras or ()]
    problems += [
        f"[[station]] cameras: {camera!r} is used twice; a frame can show one part only"
        for camera in set(used)
        if used.count(camera) > 1
    ]
    return problems


def overlapping(settings: Settings) -> list[str]:
    """Register blocks of one PLC that share a register: one would answer for the other."""
    owners: dict[tuple[str, int, int], str] = {}
    problems = []
    for station in settings.station or ():
        for key, base, size in (
            ("read_base", station.read_base, 12),
            ("write_base", station.write_base, 10),
            ("counters_base", station.counters_base, 10),
        ):
            if base is None or station.bus is None or station.unit is None:
                continue
            registers = range(base, base + size)
            places = [(station.bus, station.unit, register) for register in registers]
            other = next((owners[place] for place in places if place in owners), None)
            if other is not None:
                problems.append(
                    f"[station {station.name}] {key}: registers {base} to {base + size - 1} of "
                    f"unit {station.unit} are also in {other}"
                )
            owners |= dict.fromkeys(places, f"[station {station.name}] {key}")
    return problems


def misplaced(settings: Settings) -> list[str]:
    """Cameras that cannot do what their station or their kind demands."""
    cameras = {camera.name: camera for camera in settings.camera or () if camera.kind}
    problems = [
        f"[camera {camera.name}] delay_ms: missing; expected the ms from exposure to arrival, at "
        f"the most, because {camera.kind} pictures carry no exposure time"
        for camera in settings.camera or ()
        if camera.kind in TIMELESS and camera.delay_ms is None
    ]
    problems += [
        f"[camera {camera.name}] source: a login in it is a mistake; put user:password into "
        f"password_file, so that it stands in no log and no backup"
        for camera in settings.camera or ()
        if camera.kind in ("rtsp", "gstreamer") and LOGIN.search(camera.source or "")
    ]
    for station in settings.station or ():
        wired = station.cameras or () if station.trigger == "hardware" else ()
        for camera in (cameras[name] for name in wired if name in cameras):
            if camera.kind not in COUNTING:
                problems.append(
                    f"[station {station.name}] trigger: 'hardware' needs a camera that counts its "
                    f"triggers, which {camera.name!r} ({camera.kind}) does not"
                )
            elif camera.kind in GENICAM and camera.trigger_line is None:
                problems.append(
                    f"[camera {camera.name}] trigger_line: missing; expected the input that the "
                    f'part sensor is wired to, such as "Line0", because [station {station.name}] '
                    "has trigger = 'hardware'"
                )
    return problems + moving(settings)


def moving(settings: Settings) -> list[str]:
    """What moving parts forbid, and ways from the sensor that nobody can reckon with."""
    cameras = {camera.name: camera for camera in settings.camera or () if camera.name}
    return [
        problem
        for station in settings.station or ()
        for name in station.cameras or ()
        if name in cameras
        for problem in (*untimed(station, cameras[name]), *misset(station, cameras[name]))
    ]


def untimed(station: Station, camera: Camera) -> list[str]:
    """A moving part is only where its picture's exposure time says."""
    if camera.kind not in TIMELESS:
        return []
    if station.speed_mm_s == 0:
        return unsure(station, camera)
    why = f"{camera.name!r} ({camera.kind}) does not say when it exposed"
    if station.speed_mm_s is None:
        return [f"[station {station.name}] speed_mm_s: missing; expected 0 = parts stand, as {why}"]
    return [
        f"[station {station.name}] cameras: parts move at {station.speed_mm_s:g} mm/s, and {why}; "
        "expected a camera with exposure times, or parts that stand"
    ]


def unsure(station: Station, camera: Camera) -> list[str]:
    """A picture that may be so old that nobody can tell this part from the next."""
    if not (station.trigger and station.max_rate_per_s and camera.delay_ms):
        return []  # wrong, and told already
    tolerance_ms = station.tolerance_s * 1000
    if camera.delay_ms < tolerance_ms:
        return []
    return [
        f"[camera {camera.name}] delay_ms: {camera.delay_ms}; expected less than the "
        f"{tolerance_ms:g} ms of frame_tolerance_ms or max_rate_per_s in [station {station.name}]: "
        "its picture may show the next part"
    ]


def misset(station: Station, camera: Camera) -> list[str]:
    """An offset that is said twice, cannot be reckoned, or leaves no time for a verdict."""
    where = f"[camera {camera.name}]"
    if camera.offset_ms is not None and camera.offset_mm is not None:
        return [f"{where} offset_mm: offset_ms stands there too; expected one of them"]
    if camera.offset_mm and not station.speed_mm_s:
        return [f"{where} offset_mm: needs speed_mm_s above 0 in [station {station.name}]"]
    if not (station.trigger and station.deadline_ms and station.max_rate_per_s):
        return []  # wrong, and told already
    latest_ms = (station.offset_s(camera) + station.tolerance_s) * 1000
    if station.offset_s(camera) > 0 and latest_ms >= station.deadline_ms:
        return [
            f"{where} offset: its picture may come {latest_ms:.0f} ms after the sensor edge, but "
            f"[station {station.name}] deadline_ms is {station.deadline_ms}; expected more"
        ]
    return []
