"""A station by wire: its thread against an I/O module in C on a cable: edge.plc.wires.

Times are those of the module's own outputs, as it tells them.
"""

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edge import settings
from edge.plc.blocks import LineCounters, Result, StatusFlags
from edge.plc.handshake import Bypassed, EpochOpened, Expired, Missed, Sampled, Taken, Triggered
from edge.plc.turns import LinkBack, LinkLost, Seen
from edge.plc.wires import Wires
from edge.terms import Cause, Code
from tests.io_peer import WATCHDOG_REGISTER, Module, built
from tests.serial_peers import until

pytestmark = pytest.mark.needs_libmodbus

OK, LIVE, STOP, LAMP, BUZZER = 1, 4, 5, 6, 7  # the module's outputs
EYE, GATE, KEY, RESET = 0, 1, 2, 3  # and its inputs
READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
One = TypeVar("One")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("io-module"))


@pytest.fixture
def module(program: Path, tmp_path: Path) -> Iterator[Module]:
    with Module(program, tmp_path / "adapter") as module:
        yield module


def box(port: str, **changes: object) -> settings.Io:
    keys: dict[str, object] = {
        **{"name": "box", "kind": "modbus", "port": port, "baudrate": 115200},
        **{"reply_timeout_s": 0.3},
        **{"watchdog_register": WATCHDOG_REGISTER, "watchdog_ms": 300},
        **{"part_present": str(EYE), "bypass_key": str(KEY), "reset_button": str(RESET)},
        **{"ok": str(OK), "ready": str(LIVE), "stop": str(STOP), "warning": str(LAMP)},
        **{"buzzer": str(BUZZER), "ok_delay_ms": 400, "ok_width_ms": 150},
    }
    return settings.Io(**(keys | changes))  # type: ignore[arg-type]


STATION = settings.Station(
    name="s1",
    io="box",
    recipe=1,
    trigger="software",
    cameras=("c1",),
    deadline_ms=400,
    max_rate_per_s=2.0,
)


class Inspecting:
    """What an inspector does: renews the lease, hears, judges each part as `verdict` says."""

    def __init__(
        self,
        module: Module,
        verdict: Code = Code.OK,
        **io: Any,
    ) -> None:
        self.wires = Wires(STATION, box(module.port, **io), None)
        self.verdict = verdict
        self.renews = True
        self.seen: list[Seen] = []

    def __enter__(self) -> "Inspecting":
        self.wires.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wires.close()

    def turn(self) -> None:
        now_s = time.monotonic()
        if self.renews:
            self.wires.status(READY)
            self.wires.alive(now_s + 0.4)
        try:
            seen = self.wires.observations.get(timeout=0.005)
        except queue.Empty:
            return
        self.seen.append(seen)
        if isinstance(seen, Triggered):
            part = seen.trigger.part
            self.wires.submit(part.epoch, Result(part.number, self.verdict, 0, 0.0, 1), now_s)

    def until(self, condition: Callable[[], bool], within_s: float = 10.0) -> None:
        def turned() -> bool:
            self.turn()
            return condition()

        until(turned, within_s)

    def all(self, kind: type[One]) -> list[One]:
        return [one for one in self.seen if isinstance(one, kind)]

    def wait(self, kind: type[One], count: int = 1) -> One:
        self.until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]

    def pass_for(self, wait_s: float) -> None:
        """Turn until so much time has gone by."""
        end_s = time.monotonic() + wait_s
        self.until(lambda: time.monotonic() > end_s, wait_s + 5)


def a_part(line: Inspecting, module: Module, number: int = EYE) -> float:
    """One part breaks the eye for 60 ms; returns when."""
    came_s = module.input(number, True)
    line.pass_for(0.06)
    module.input(number, False)
    return came_s


def test_an_ok_part_gets_one_pulse_inside_its_window_and_its_row_closes_by_it(
    module: Module,
) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        came_s = a_part(line, module)
        taken = line.wait(Taken)
        ((on_s, off_s),) = module.pulses(OK)
    assert (taken.number, taken.code) == (1, Code.OK)
    assert came_s + 0.4 <= on_s <= taken.taken_s
    assert off_s <= came_s + 0.4 + 0.15 + 0.03  # the edge is known to one look
    assert [type(one) for one in line.seen[:2]] == [EpochOpened, LinkBack]


@pytest.mark.parametrize("verdict", [Code.NG, Code.UNDECIDED])
def test_a_part_that_is_not_ok_gets_no_pulse_and_closes_as_its_verdict(
    module: Module, verdict: Code
) -> None:
    with Inspecting(module, verdict) as line:
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        assert line.wait(Taken).code is verdict
    assert module.pulses(OK) == []


def test_a_part_whose_verdict_does_not_come_gets_no_pulse_and_expires(module: Module) -> None:
    with Inspecting(module, Code.UNDEFINED) as line:
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        assert line.wait(Expired).written is False
        line.pass_for(0.3)
    assert module.pulses(OK) == []


def test_when_the_lease_is_not_renewed_ready_drops_and_no_pulse_is_given(module: Module) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        line.wait(Triggered)
        line.renews = False  # the loop hangs; the wires' own thread does not
        line.wires.alive(time.monotonic() + 0.05)
        line.until(lambda: not module.on(LIVE))
        line.wait(Expired)
        assert module.on(LAMP)
    assert module.pulses(OK) == []


def test_parts_that_come_before_readiness_are_missed(module: Module) -> None:
    with Inspecting(module) as line:
        line.renews = False
        line.wait(LinkBack)
        line.pass_for(0.1)
        a_part(line, module)
        assert line.wait(Missed).cause is Cause.NOT_READY
    assert module.pulses(OK) == []


def test_a_cut_wire_of_the_eye_is_no_part_and_no_pulse(module: Module) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        line.pass_for(1.0)  # the input reads 0 for ever
        assert line.all(Triggered) == []
    assert module.pulses(OK) == []


def test_the_key_makes_parts_bypassed_and_the_node_gives_no_pulse_for_them(module: Module) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        module.input(KEY, True)
        line.pass_for(0.1)
        a_part(line, module)
        assert line.wait(Bypassed).first == 1
        line.pass_for(0.7)
    assert module.pulses(OK) == []


def test_an_unplugged_module_is_told_drops_by_itself_and_is_counted_anew_when_back(
    module: Module,
) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        line.wait(Triggered)
        module.unplug()
        assert "is lost" in line.wait(LinkLost).text
        line.until(lambda: not module.on(LIVE))
        assert line.wait(Expired).written is True
        module.plug()
        assert line.wait(EpochOpened, 2).epoch == 2
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        assert (line.wait(Taken).epoch, line.wait(Taken).number) == (2, 1)
    assert len(module.pulses(OK)) == 1


def test_a_cable_cut_under_a_pulse_leaves_the_output_to_the_modules_watchdog(
    module: Module,
) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        line.until(lambda: module.on(OK))
        module.cut()
        cut_s = time.monotonic()
        line.wait(LinkLost)
        line.until(lambda: not module.on(OK))
        assert module.pulses(OK)[0][1] - cut_s < 0.3 + 0.1
        module.cut(False)
        line.wait(EpochOpened, 2)
        line.pass_for(0.5)
    assert len(module.pulses(OK)) == 1


def orders(module: Module, *, ok: bool) -> Callable[[bytes], bool]:
    """Requests that switch OK on; or those that switch it off again."""
    return lambda asked: (
        asked[1] == 15 and bool(asked[7] >> OK & 1) == ok and (ok or module.on(OK))
    )


@pytest.mark.parametrize(("ok", "answers"), [(True, True), (False, True), (False, False)])
def test_a_damaged_frame_costs_neither_a_pulse_nor_the_line(
    module: Module, ok: bool, answers: bool
) -> None:
    with Inspecting(module, ok_width_ms=1000, watchdog_ms=4000) as line:
        line.until(lambda: module.on(LIVE))
        module.damage(orders(module, ok=ok), answers=answers)
        a_part(line, module)
        assert line.wait(Taken).code is Code.OK
        line.until(lambda: module.damaged and not module.on(OK))
        a_part(line, module)
        assert line.wait(Taken, 2).code is Code.OK
        line.until(lambda: not module.on(OK))
    assert (line.all(LinkLost), len(module.pulses(OK))) == ([], 2)
    assert len(line.all(EpochOpened)) == 1, "no part could have gone by unseen"


def test_off_waits_for_no_reading_that_nobody_answers(module: Module) -> None:
    ordered = [False]

    def reading_of_ok(asked: bytes) -> bool:
        if asked[1] == 15:
            ordered[0] = bool(asked[7] >> OK & 1)
        return asked[1] == 1 and ordered[0]

    with Inspecting(module, reply_timeout_s=1.0, watchdog_ms=3000) as line:
        line.until(lambda: module.on(LIVE))
        module.damage(reading_of_ok, answers=False)
        came_s = a_part(line, module)
        line.until(lambda: module.damaged and not module.on(OK))
        assert line.wait(Expired).written is True
    ((_, off_s),) = module.pulses(OK)
    assert off_s < came_s + 0.4 + 0.15 + 0.3


def test_an_ok_that_did_not_come_is_ordered_again_only_while_its_pulse_may_begin(
    module: Module,
) -> None:
    with Inspecting(module, ok_width_ms=500, watchdog_ms=2000) as line:
        line.until(lambda: module.on(LIVE))
        module.damage(orders(module, ok=True), answers=False)  # known after 0.3 s
        a_part(line, module)
        assert line.wait(Expired).written is True
    assert (module.damaged, line.all(LinkLost), module.pulses(OK)) == (True, [], [])


def test_an_ok_output_that_stays_off_is_told_and_its_part_is_not_delivered(module: Module) -> None:
    module.jam(OK)
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
        a_part(line, module)
        assert "read back" in line.wait(LinkLost).text
        assert line.wait(Expired).written is True
    assert line.all(Taken) == []


def test_without_a_watchdog_of_its_own_ready_beats(module: Module) -> None:
    with Inspecting(module, watchdog_register=None) as line:
        line.until(lambda: len(module.pulses(LIVE)) >= 4)
        spans = module.pulses(LIVE)[1:3]
    assert all(0.2 < off_s - on_s < 0.3 for on_s, off_s in spans)


def test_the_pulse_counts_from_the_gate_eye_and_a_part_that_is_not_seen_there_gets_none(
    module: Module,
) -> None:
    gate: dict[str, Any] = {"gate_eye": str(GATE), "ok_from": "gate_eye", "ok_delay_ms": 30}
    place: dict[str, Any] = {"gate_after_ms": 600, "gate_tolerance_ms": 100}
    with Inspecting(module, **gate, **place) as line:
        line.until(lambda: module.on(LIVE))
        came_s = a_part(line, module)
        line.until(lambda: time.monotonic() > came_s + 0.6)
        gate_s = a_part(line, module, GATE)
        assert line.wait(Taken).code is Code.OK
        a_part(line, module)
        assert line.wait(Expired).number == 2
        ((on_s, off_s),) = module.pulses(OK)
    assert gate_s + 0.03 <= on_s < off_s <= gate_s + 0.03 + 0.15 + 0.03


def test_an_eye_behind_the_gate_confirms_rejects(module: Module) -> None:
    place: dict[str, Any] = {"gate_eye": str(GATE), "gate_after_ms": 800, "gate_tolerance_ms": 150}
    with Inspecting(module, **place) as line:
        line.until(lambda: module.on(LIVE))
        came_s = a_part(line, module)
        line.until(lambda: time.monotonic() > came_s + 0.8)
        a_part(line, module, GATE)
        line.verdict = Code.NG
        a_part(line, module)
        line.wait(Taken, 2)
        line.until(lambda: line.wires.counters == LineCounters(1, 1, 1, 0, 0))
        line.until(lambda: Sampled(1, 2) in line.seen)


def test_stop_request_lamp_and_buzzer_follow_the_status_and_reset_is_told(module: Module) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE) and not module.on(LAMP))
        line.renews = False
        line.wires.alive(time.monotonic() + 60)
        line.wires.status(READY | StatusFlags.STOP_REQUEST | StatusFlags.WARNING)
        line.until(lambda: module.on(STOP) and module.on(LAMP) and module.on(BUZZER))
        before = len(line.seen)
        module.input(RESET, True)
        line.until(lambda: len(line.seen) > before)
        line.wires.status(READY)
        line.until(lambda: not module.on(STOP) and not module.on(LAMP))


def test_a_node_that_goes_leaves_every_output_off(module: Module) -> None:
    with Inspecting(module) as line:
        line.until(lambda: module.on(LIVE))
    until(lambda: not module.on(LIVE))
    assert not any(module.on(number) for number in range(8))
