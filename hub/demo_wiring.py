"""What the demo needs on disk: its folder with a lock, ports, and the settings files it writes."""

import fcntl
import hashlib
import json
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from hub.errors import OPTIONS_HINT, DemoError, SettingsError

PLANT, LINE, NODE, STATION = "demo", "line-1", "node-1", "s1"

_HUB = """# written by quanjian-hub demo at every start
[database]
dsn = {dsn}

[broker]
host = "127.0.0.1"
port = {broker_port}

[web]
host = "127.0.0.1"
port = {web_port}
pictures_dir = {pictures}
"""

_EDGE = """# written by quanjian-hub demo at every start
[node]
plant = "{plant}"
line = "{line}"
name = "{node}"
data_dir = {data_dir}

[hub]
broker_host = "127.0.0.1"
broker_port = {broker_port}
pictures_url = "http://127.0.0.1:{web_port}"
token_file = {token}

[page]
host = "127.0.0.1"
port = {page_port}

[[bus]]
name = "b1"
port = {serial}

[[camera]]
name = "c1"
kind = "{kind}"
source = {camera}
{optics}
[[recipe]]
number = 1
path = {recipe}
sha256 = "{recipe_hash}"
model = {model}
model_sha256 = "{model_hash}"

[[station]]
name = "{station}"
bus = "b1"
counters_base = 20
trigger = "{trigger}"
deadline_ms = {deadline_ms}
frame_tolerance_ms = {tolerance_ms}
max_rate_per_s = {max_rate}
cameras = ["c1"]
speed_mm_s = {speed}
{gate}{tags}"""

_TAGS = """
[[slave]]
name = "meter"
bus = "b1"
unit = 2

[[tag]]
name = "belt-speed"
title = "皮带速度"
station = "s1"
address = 40
unit = "mm/s"
dead_band = 20.0

[[tag]]
name = "stop-cause"
title = "停线原因"
station = "s1"
address = 41
role = "stop_cause"
words = { "1" = "剔除故障", "2" = "视觉请求停线", "3" = "视觉节点无应答" }

[[tag]]
name = "line-state"
title = "产线状态"
station = "s1"
address = 42
role = "line_state"

[[tag]]
name = "good-parts"
title = "良品箱计数"
station = "s1"
address = 43
type = "u32"
counts = true
dead_band = 10.0

[[tag]]
name = "energy"
title = "电能"
slave = "meter"
address = 0
type = "u32"
word_order = "high_first"
scale = 0.001
unit = "kWh"
counts = true
dead_band = 0.004

[[tag]]
name = "power"
title = "功率"
slave = "meter"
address = 2
type = "f32"
word_order = "high_first"
unit = "kW"
dead_band = 0.2
"""

FASTEST_PLATES = 7.5
"""Per second: above, they move more than the `blur_px` of their recipe during the exposure."""

_PITCH_MM = 190.0  # from plate to plate on the simulated belt
_EYE_MM = 34.5  # from under its camera on: the part sensor ...
_GATE_MM, _GATE_S = 490.0, 0.64  # ... and the gate, farther away on a fast belt
_VALVE_MS = 20
_OPTICS = "mm_per_px = 0.25\nexposure_us = 500\n"  # of its camera


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one demo."""

    broker: int
    web: int
    page: int


@dataclass(frozen=True, slots=True)
class Product:
    """What the line inspects: simulated plates, or a folder of somebody's own pictures."""

    recipe: Path
    model: Path
    pictures: Path | None = None  # one part per picture, in name order


@dataclass(frozen=True, slots=True)
class Folder:
    """The demo's folder; whoever holds `lock` runs in it."""

    root: Path
    lock: IO[bytes]

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def token(self) -> Path:
        return self.root / "node-token"

    @property
    def serial(self) -> Path:
        """Where the simulated PLC's port appears."""
        return self.run / "plc"

    @property
    def camera(self) -> Path:
        """The shared memory of the simulated camera: in RAM where there is such a folder."""
        ram = Path("/dev/shm")
        name = "quanjian-" + hashlib.sha256(os.fsencode(self.root)).hexdigest()[:10]
        return ram / name if os.access(ram, os.W_OK) else self.run / "camera"

    def clean(self) -> None:
        """Remove what a line leaves behind when it is killed."""
        for file in (self.serial, self.camera, self.camera.with_name(f"{self.camera.name}.sock")):
            file.unlink(missing_ok=True)


def take_folder(wanted: Path) -> Folder:
    """Lock `wanted`, or `wanted`-2, -3, ... while other demos run.

    Raises:
        DemoError: none can be had.
    """
    for number in range(1, 10):
        root = wanted.absolute() if number == 1 else Path(f"{wanted.absolute()}-{number}")
        try:
            for folder in (root, root / "logs", root / "run", root / "pictures"):
                folder.mkdir(parents=True, exist_ok=True)
            lock = (root / "lock").open("ab")
        except OSError as wrong:
            raise DemoError(f"{root}: {wrong}") from wrong
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return Folder(root, lock)
    raise DemoError(f"{wanted}: nine demos run in it and beside it already")


def free_ports(stack: ExitStack) -> Ports:
    """Three free ports; the pages' usual ones if nobody has them and no other demo will.

    Between choosing a port and listening on it some seconds pass, so the usual ones are claimed by
    a socket with their name, which `stack` closes; demos that start together would share them.
    """
    with socket.socket() as broker, socket.socket() as web, socket.socket() as page:
        broker.bind(("127.0.0.1", 0))
        for listener, usual in ((web, 8080), (page, 8081)):
            claim = stack.enter_context(socket.socket(socket.AF_UNIX))
            try:
                claim.bind(f"\0quanjian-demo-{usual}")
                listener.bind(("127.0.0.1", usual))
            except OSError:
                listener.bind(("127.0.0.1", 0))
        numbers = [listener.getsockname()[1] for listener in (broker, web, page)]
    return Ports(*numbers)


def demo_product() -> Product:
    """The simulated plate: the recipe and the model that come with the program.

    Raises:
        DemoError: they are not there.
    """
    spec = find_spec("models")
    if spec is not None and spec.origin is not None:
        base = Path(spec.origin).parent / "base"
        recipe, model = base / "plate.toml", base / "base.onnx"
        if recipe.exists() and model.exists():
            return Product(recipe, model)
    raise DemoError("models/base/plate.toml and base.onnx are missing: install the whole program")


def own_product(pictures: Path, recipe: Path, model: Path) -> Product:
    """Somebody's own pictures with their model.

    Raises:
        SettingsError: with each of them that is not there.
    """
    problems = [] if pictures.is_dir() else [f"--pictures {pictures}: no such folder"]
    for option, path in (("--model", model), ("--recipe", recipe)):
        problems += [] if path.is_file() else [f"{option} {path}: no such file"]
    if problems:
        raise SettingsError("demo", problems, OPTIONS_HINT)
    return Product(recipe.absolute(), model.absolute(), pictures.absolute())


def write_settings(
    folder: Folder, ports: Ports, dsn: str, token: str, product: Product, rate: float
) -> tuple[Path, Path]:
    """hub.toml and edge.toml of this run, and the node's token, mode 0600.

    Args:
        rate: parts/s of the line; the node believes half as many again.

    Raises:
        DemoError: recipe or model cannot be read.
    """
    own, recipe, model = product.pictures, product.recipe, product.model
    fill = {
        "plant": PLANT, "line": LINE, "node": NODE, "station": STATION,
        "broker_port": ports.broker, "web_port": ports.web, "page_port": ports.page,
        "recipe_hash": _sha256(recipe), "model_hash": _sha256(model),
        "dsn": _text(dsn), "pictures": _text(folder.root / "pictures"),
        "data_dir": _text(folder.root / "node"), "token": _text(folder.token),
        "serial": _text(folder.serial), "camera": _text(own or folder.camera),
        "kind": "folder" if own else "shared_memory",
        "trigger": "software" if own else "hardware", "deadline_ms": 1000 if own else 400,
        "tolerance_ms": 900 if own else 60, "max_rate": min(200.0, 1.5 * rate),
        "recipe": _text(recipe), "model": _text(model), "tags": _TAGS,
        "optics": "" if own else _OPTICS, "speed": 0 if own else rate * _PITCH_MM,
        "gate": "" if own else _gate(rate * _PITCH_MM),
    }  # fmt: skip
    folder.token.touch(mode=0o600)
    folder.token.write_text(f"{token}\n", encoding="utf-8")
    hub, edge = folder.root / "hub.toml", folder.root / "edge.toml"
    hub.write_text(_HUB.format(**fill), encoding="utf-8")
    edge.write_text(_EDGE.format(**fill), encoding="utf-8")
    return hub, edge


def _gate(speed_mm_s: float) -> str:
    """Where the simulated line's gate is, for `quanjian-edge check`."""
    gate_mm = max(_GATE_MM, speed_mm_s * _GATE_S) - _EYE_MM
    return f"gate_mm = {gate_mm:.1f}\nvalve_ms = {_VALVE_MS}\n"


def _text(value: str | Path) -> str:
    """A TOML string."""
    return json.dumps(str(value), ensure_ascii=False)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as wrong:
        raise DemoError(f"{path}: {wrong}") from wrong
