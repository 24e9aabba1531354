"""How fast a web may run: what this computer was measured for, and what the recipe asks for.

`quanjian-edge web --measure` writes one small file per recipe into the node's data_dir; `check`
compares. Another computer, [runtime], model or recipe was not measured.
"""

import hashlib
import os
import platform
import re
from pathlib import Path

import msgspec

from edge import recipe as recipes
from edge import settings
from edge.errors import EdgeError, SettingsError
from edge.limits import Web
from edge.settings import Settings

MAX_FILE_BYTES = 10_000


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file web-speed-NUMBER.json."""

    machine: str
    runtime: str  # [runtime] of edge.toml
    recipe_sha256: str
    model_sha256: str | None
    speed_m_min: float  # a margin is left already
    rows_per_s: float  # without margin
    width_px: int


def machine() -> str:
    """Processor and cores: what the speed depends on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = model.group(1).strip() if model else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def stamp(entry: settings.Recipe) -> tuple[str, str | None]:
    """Hash of the recipe's and of the model's file as they are now.

    Raises:
        SettingsError: one cannot be read.
    """
    hashes = []
    for path in (entry.path, entry.model):
        try:
            content = Path(path).read_bytes() if path is not None else None
        except OSError as exc:
            raise SettingsError(str(path), [f"cannot be read: {exc}"]) from exc
        hashes.append(None if content is None else hashlib.sha256(content).hexdigest())
    return hashes[0] or "", hashes[1]


def write(
    wiring: Settings, entry: settings.Recipe, rows_per_s: float, speed: float, px: int
) -> Path:
    """Keep what was measured; returns the file.

    Raises:
        SettingsError: it cannot be written.
    """
    path = _path(wiring, entry)
    here = machine(), _runtime(wiring)
    measured = Measured(*here, *stamp(entry), round(speed, 2), round(rows_per_s, 1), px)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(measured))
        fresh.replace(path)
    except OSError as exc:
        raise SettingsError(str(path), [f"cannot be written: {exc}"]) from exc
    return path


def web_of(entry: settings.Recipe) -> Web | None:
    """The recipe's [web], if it has one and can be read at all."""
    try:
        return recipes.read(Path(entry.path)).web
    except EdgeError:  # told where the recipe itself is tried
        return None


def fits(wiring: Settings, entry: settings.Recipe, web: Web) -> str:
    """What was found, where camera, encoder and computer do what the recipe asks for.

    Raises:
        SettingsError: every figure that does not fit.
    """
    camera = next((c for c in wiring.camera if c.name == web.camera), None)
    if camera is None:
        names = sorted(c.name for c in wiring.camera)
        raise SettingsError(
            entry.path, [f"[web] camera: no [[camera]] is named {web.camera!r}; there are {names}"]
        )
    problems = [*not_square(camera, web), *_too_fast(wiring, entry, web)]
    if problems:
        raise SettingsError(entry.path, problems)
    return f"{web.rows_per_mm:g} rows per mm, up to {web.speed_m_min:g} m/min"


def not_square(camera: settings.Camera, web: Web) -> list[str]:
    """Where the encoder's rows and the camera's columns do not make square pixels."""
    if camera.mm_per_px is None:
        return [f"[camera {camera.name}] mm_per_px: missing; a web's rows are compared with it"]
    along_mm = 1 / web.rows_per_mm
    if abs(along_mm - camera.mm_per_px) <= web.square_share * camera.mm_per_px:
        return []
    return [
        f"[web] rows_per_mm: {web.rows_per_mm:g} makes a row {along_mm:.5g} mm, but a column of "
        f"[camera {camera.name}] is {camera.mm_per_px:.5g} mm: set the encoder to "
        f"{1 / camera.mm_per_px:.5g} rows per mm (allowed: {web.square_share:.0%} off)"
    ]


def _too_fast(wiring: Settings, entry: settings.Recipe, web: Web) -> list[str]:
    key = f"[web] speed_m_min: {web.speed_m_min:g}"
    remedy = f"run `quanjian-edge web --measure --recipe {entry.number}` first"
    measured = _read(_path(wiring, entry))
    if measured is None:
        return [f"{key}, but this computer was never measured for it: {remedy}"]
    now = machine(), _runtime(wiring), *stamp(entry)
    was = measured.machine, measured.runtime, measured.recipe_sha256, measured.model_sha256
    if was != now:
        return [f"{key}, but computer, [runtime], recipe or model changed since then: {remedy}"]
    if web.speed_m_min > measured.speed_m_min:
        return [f"{key}, but this computer was measured for {measured.speed_m_min:g} m/min"]
    return []


def _runtime(wiring: Settings) -> str:
    return msgspec.json.encode(wiring.runtime).decode()


def _path(wiring: Settings, entry: settings.Recipe) -> Path:
    return Path(wiring.node.data_dir) / f"web-speed-{entry.number}.json"


def _read(path: Path) -> Measured | None:
    """What was measured; anything that is no such file counts as not measured."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_FILE_BYTES), type=Measured)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
