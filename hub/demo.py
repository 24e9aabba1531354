"""quanjian-hub demo: a whole line on this computer, without root, without hardware.

    PostgreSQL, broker   the embedded server and the loopback broker
    ingest duties serve  the hub
    simulate             belt, camera and PLC: its own process with its own clock
    node                 quanjian-edge run with the demo model

It stops in the order in which rows flow: the line runs empty, the node settles and drains, ingest
takes what is left, the database is last. Everything is tied to this process and dies with it.
"""

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from hub import demo_figures, registry
from hub.broker import loopback
from hub.children import Child, refuse_dead
from hub.demo_wiring import (
    LINE,
    NODE,
    PLANT,
    Folder,
    Product,
    free_ports,
    take_folder,
    write_settings,
)
from hub.errors import DemoError, RegistryError
from hub.store import session
from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")  # as edge/vision/folder.py takes them

_START_S = 90.0  # for the slowest part to come up, on a busy computer
_EMPTY_S = 60.0  # for the belt to run empty
_DRAIN_S = 60.0  # for the last rows to reach the hub
_HUB_NICE = 5
_TOLD_S = 10.0  # between two lines of the ledger on the screen


def say(text: str) -> None:
    """One line of talk, to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Order:
    """What to run: where, how fast, for how long, and on what."""

    data: Path
    rate: float  # parts/s
    seconds: float | None  # None: until a signal, or until the own pictures are through
    product: Product
    verdicts: Path | None = None  # JSON lines: what became of every part, with its pictures' names

    @property
    def ends(self) -> bool:
        """Does the line stop by itself?"""
        return self.seconds is not None or self.product.pictures is not None


def run(order: Order) -> int:
    """Run the demo until its parts are over or a signal comes.

    Returns:
        0, or 1 if the laws do not hold (said on stderr). If it ends by itself the last line on
        stdout is one JSON object (hub/demo_figures.py).

    Raises:
        HubError: something did not start or died; everything else was stopped.
    """
    began_s = time.monotonic()
    with ExitStack() as stack, signals() as stop:
        folder = take_folder(order.data)
        stack.callback(folder.lock.close)
        if folder.root != order.data.absolute():
            say(f"{order.data} 已被另一个演示占用，改用 {folder.root}（busy: using {folder.root}）")
        demo = Demo(folder, order, stop, stack)
        demo.start(began_s)
        demo.watch()
        left = demo.finish()
    if order.ends:
        sys.stdout.write(json.dumps(demo_figures.figures(left)) + "\n")
    problems = demo_figures.failures(left)
    for problem in problems:
        say(f"台账不成立 the laws do not hold: {problem}")
    say(demo_figures.sentence(left.laws))
    return 1 if problems else 0


class Demo:
    """The processes of one run. `stack` stops whatever was started, in reverse."""

    def __init__(
        self,
        folder: Folder,
        order: Order,
        stop: threading.Event,
        stack: ExitStack,
    ) -> None:
        self._folder, self._order = folder, order
        self._stop, self._stack = stop, stack
        self._children: dict[str, Child] = {}
        self._setup_s = 0.0
        self._dsn = ""
        self._old: set[tuple[str, str, int]] = set()

    def start(self, began_s: float) -> None:
        """Bring everything up and wait until the node judges parts."""
        folder, stack, ports = self._folder, self._stack, free_ports(self._stack)
        folder.clean()
        stack.callback(folder.clean)
        say(f"数据目录 data: {folder.root}")
        server = EmbeddedServer(folder.root)
        self._dsn = server.start()
        stack.callback(server.stop)
        if folder.root not in server.home.parents:  # PostgreSQL cannot reach the demo's own folder
            say(f"数据库 database: {server.home}")
        migrate(self._dsn)
        self._old = self._epochs()
        product, rate = self._order.product, self._order.rate
        hub, edge = write_settings(folder, ports, self._dsn, self._token(), product, rate)
        self._launch("broker", loopback.program(ports.broker, folder.run))
        loopback.wait_ready(ports.broker)
        for name in ("serve", "duties", "ingest"):
            self._launch(name, [sys.executable, "-m", "hub", name, "--config", str(hub)])
        self._launch("line", self._line())
        own = self._order.product.pictures is not None  # nothing proves a stranger's model
        node = [sys.executable, "-m", "edge", "run", *(("--unsigned",) if own else ())]
        self._launch("node", [*node, "--config", str(edge)])
        web = f"http://127.0.0.1:{ports.web}"
        self._until(lambda: answers(f"{web}/healthz"), _START_S, "the pages answer")
        self._until(self._judges, _START_S, "the node is ready to judge parts")
        self._setup_s = time.monotonic() - began_s
        show_addresses(web, f"http://127.0.0.1:{ports.page}", folder.logs)

    def watch(self) -> None:
        """Let the line run; tell the ledger now and then; end when the line ends or on a signal."""
        tell_at = time.monotonic() + _TOLD_S
        while not self._stop.wait(0.5):
            if self._order.ends and self._children["line"].code == 0:
                return
            refuse_dead(list(self._children.values()))
            if time.monotonic() >= tell_at:
                tell_at += _TOLD_S
                say(demo_figures.sentence(self._laws()))

    def finish(self) -> demo_figures.Run:
        """Run the belt empty, drain the node, and take stock; the processes stop afterwards."""
        say("正在停线：皮带排空，台账上传 … stopping: the belt runs empty, the ledger drains")
        self._children["line"].stop(_EMPTY_S)
        others = [child for name, child in self._children.items() if name != "line"]
        give_up_at = time.monotonic() + _DRAIN_S
        while not self._drained() and time.monotonic() < give_up_at:
            refuse_dead(others)
            time.sleep(0.2)
        for name in ("node", "ingest"):
            self._children[name].stop(30.0)
        return self._stock()

    def _launch(self, name: str, program: Sequence[str | Path]) -> None:
        # in a plant the hub is another computer; here it stands back for the line and the node
        nice = 0 if name in ("line", "node") else _HUB_NICE
        child = Child(name, program, self._folder.logs / f"{name}.log", nice)
        self._children[name] = child
        self._stack.callback(child.stop, 15.0)

    def _line(self) -> list[str | Path]:
        folder, order = self._folder, self._order
        camera = "none" if order.product.pictures else folder.camera
        program: list[str | Path] = [sys.executable, "-m", "edge", "simulate", "--port"]
        program += [folder.serial, "--camera", camera, "--rate", str(order.rate)]
        program += ["--start-when-ready", "--state", folder.root / "plc-state.json"]
        program += ["--seed", str(len(self._old) + 1)]  # other plates in every run
        program += ["--summary", self._summary, "--truth", self._truth]
        if order.seconds is not None:
            program += ["--seconds", str(order.seconds)]
        if order.product.pictures is not None:
            program += ["--parts", str(count_pictures(order.product.pictures))]
        self._summary.unlink(missing_ok=True)
        return program

    @property
    def _summary(self) -> Path:
        return self._folder.run / "line-summary.json"

    @property
    def _truth(self) -> Path:
        return self._folder.run / "line-truth.jsonl"

    def _token(self) -> str:
        try:
            return registry.add(self._dsn, PLANT, LINE, NODE)
        except RegistryError:  # a second run: the node is known
            return registry.renew(self._dsn, NODE)

    def _ask(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        with session.connect(self._dsn, "demo") as connection:
            return session.rows(connection, name, **parameters)

    def _epochs(self) -> set[tuple[str, str, int]]:
        found = self._ask("epoch_keys")
        return {(row["stream"], row["station"], row["epoch"]) for row in found}

    def _laws(self) -> list[dict[str, Any]]:
        """The laws of this run's epochs."""
        return [
            law
            for law in self._ask("laws_all")
            if (law["stream"], law["station"], law["epoch"]) not in self._old
        ]

    def _judges(self) -> bool:
        """The node says that its station is ready or running."""
        return any(
            state["online"] and station["state"] in ("ready", "running")
            for state in self._ask("node_waiting", node=NODE)
            for station in state["stations"]
        )

    def _drained(self) -> bool:
        """Every trigger of the last sample is settled, and the node keeps nothing back."""
        waiting = sum(state["waiting"] for state in self._ask("node_waiting", node=NODE))
        laws = self._laws()
        return waiting == 0 and bool(laws) and not any(law["open"] for law in laws)

    def _until(self, true: Callable[[], bool], timeout_s: float, what: str) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not true():
            refuse_dead(list(self._children.values()))
            if self._stop.is_set():
                raise DemoError(f"stopped before {what}")
            if time.monotonic() > give_up_at:
                raise DemoError(f"not within {timeout_s:.0f} s: {what}; see {self._folder.logs}")
            self._stop.wait(0.1)

    def _stock(self) -> demo_figures.Run:
        line = self._children["line"]
        if not self._summary.exists():
            raise DemoError(f"the line wrote no summary; {line.log_file}:\n{line.tail()}")
        laws = self._laws()
        keys = [{name: law[name] for name in ("stream", "station", "epoch")} for law in laws]
        truth = self._truth.read_text(encoding="utf-8").splitlines()
        if self._order.verdicts is not None:
            found = [part for key in keys for part in self._ask("epoch_verdicts", **key)]
            write_lines(self._order.verdicts, found)
        return demo_figures.Run(
            laws=laws,
            parts=[part for key in keys for part in self._ask("epoch_parts", **key)],
            unjudged=sum(self._ask("epoch_unjudged", **key)[0]["parts"] for key in keys),
            line=json.loads(self._summary.read_text(encoding="utf-8")),
            truth=[json.loads(part) for part in truth],
            setup_s=self._setup_s,
            simulated=self._order.product.pictures is None,
        )


@contextmanager
def signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C, SIGTERM or a closed terminal sets; the next one ends at once,
    and the kernel then ends everything that is tied to us."""
    stop = threading.Event()

    def told(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    before = {
        number: signal.signal(number, told)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield stop
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def count_pictures(folder: Path) -> int:
    """How many parts a folder camera has: its PNG, JPEG and BMP files.

    Raises:
        DemoError: none.
    """
    count = sum(path.suffix.lower() in PICTURES for path in folder.iterdir())
    if count == 0:
        raise DemoError(f"{folder}: no pictures; expected files ending in {', '.join(PICTURES)}")
    return count


def write_lines(path: Path, found: Sequence[dict[str, Any]]) -> None:
    """One JSON object a line.

    Raises:
        DemoError: the file cannot be written.
    """
    try:
        path.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")
    except OSError as wrong:
        raise DemoError(f"{path}: {wrong}") from wrong


def answers(url: str) -> bool:
    """True if a page is there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def show_addresses(web: str, page: str, logs: Path) -> None:
    """Where to look, in both languages."""
    for text in (
        "",
        f"  产线操作工 operator   {web}/line/{PLANT}/{LINE}",
        f"  质量工程师 engineer   {web}/parts",
        f"  工信局统计 bureau     {web}/kpi",
        f"  工位屏     station    {page}/",
        f"  日志       logs       {logs}",
        "  按 Ctrl-C 停止 stop with Ctrl-C",
        "",
    ):
        say(text)
