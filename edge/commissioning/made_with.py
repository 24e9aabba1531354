"""The sha256 of everything a commissioning depends on: recipes, models, and the wiring.

    camera c1    its section of edge.toml and its light's, without the scale
    scale c1     mm_per_px
    plc s1       its section, its bus's and its io's
    wiring       all sections that have to do with inspecting: not [node], [hub] and [page], nor
                 [[slave]] and [[tag]], which are only read; recipes by their files
    recipe 1     the file; so is model 1

A key of edge.toml that stands at its default does not count, so that a newer version of the
software with more keys finds the wiring unchanged.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import fields, replace

from edge.commissioning.points import POINTS, Point, beside_wires
from edge.commissioning.rules import Site
from edge.settings import OUTPUTS, Camera, Settings, Station

UNREADABLE = "unreadable"


def site(wiring: Settings) -> Site:
    """Stations, cameras, and the hashes as they are now; a file that is not there is unreadable."""
    cameras = {one.name: one.cameras for one in wiring.station}
    return Site(cameras, hashes(wiring), {one.name: points(wiring, one) for one in wiring.station})


def points(wiring: Settings, station: Station) -> tuple[Point, ...]:
    """The points of this station that are tried one by one."""
    if station.bus is None:
        return ()
    if station.io is None:
        return POINTS
    io = next(one for one in wiring.io if one.name == station.io)
    return beside_wires([role for role in OUTPUTS if getattr(io, role) is not None])


def hashes(wiring: Settings) -> dict[str, str]:
    """Every key of `edge.commissioning.rules.depends_on`."""
    found: dict[str, str] = {}
    for camera in wiring.camera:
        found[f"camera {camera.name}"] = _camera(wiring, camera)
        found[f"scale {camera.name}"] = f"{camera.mm_per_px}"
    for station in wiring.station:
        buses = [bus for bus in wiring.bus if bus.name == station.bus]
        ios = [io for io in wiring.io if io.name == station.io]
        found[f"plc {station.name}"] = digest([station, *buses, *ios])
    lines = (*wiring.bus, *wiring.io)
    parts = (*lines, *wiring.camera, *wiring.light, *wiring.station, wiring.runtime)
    found["wiring"] = digest(parts)
    for recipe in wiring.recipe:
        found[f"recipe {recipe.number}"] = _of_file(recipe.path)
        if recipe.model is not None:
            found[f"model {recipe.number}"] = _of_file(recipe.model)
    return found


def _camera(wiring: Settings, camera: Camera) -> str:
    lights = [light for light in wiring.light if camera.name in light.cameras]
    return digest([replace(camera, mm_per_px=None), *lights])


def digest(sections: Iterable[msgspec.Struct]) -> str:
    """sha256 over what stands in these sections, key by key."""
    said = [_said(section) for section in sections]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _said(section: msgspec.Struct) -> dict[str, Any]:
    """What stands in it that is not the default."""
    return {
        one.encode_name: getattr(section, one.name)
        for one in fields(section)
        if one.required or getattr(section, one.name) != _default(one)
    }


def _default(one: msgspec.structs.FieldInfo) -> object:
    made = one.default_factory
    return one.default if made is msgspec.NODEFAULT else made()


def _of_file(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return UNREADABLE
