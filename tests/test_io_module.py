"""An RS-485 I/O module against libmodbus in C: edge.plc.io_module."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc.contacts import Level
from edge.plc.io_module import IoModule
from tests.io_peer import WATCHDOG_REGISTER, Module, built
from tests.serial_peers import until

pytestmark = pytest.mark.needs_libmodbus


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("io-module"))


@pytest.fixture
def module(program: Path) -> Iterator[Module]:
    with Module(program) as module:
        yield module


def wiring(port: str, **changes: object) -> settings.Io:
    keys: dict[str, object] = {
        **{"name": "box", "kind": "modbus", "port": port, "baudrate": 115200},
        **{"reply_timeout_s": 0.3},
        **{"part_present": "0", "bypass_key": "!3", "ok": "1", "ready": "4", "warning": "6"},
    }
    return settings.Io(**(keys | changes))  # type: ignore[arg-type]


def seen(io: IoModule, role: str) -> bool:
    """What the next look that is answered says."""
    while not (levels := io.read(1.0).levels):
        pass
    return next(level.closed for level in levels if level.role == role)


def test_inputs_are_read_by_role_and_polarity(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    assert (seen(io, "part_present"), seen(io, "bypass_key")) == (False, True)
    module.input(0, True)
    module.input(3, True)
    until(lambda: seen(io, "part_present"))
    until(lambda: not seen(io, "bypass_key"))
    io.close()


def test_a_change_of_an_input_came_no_earlier_than_the_look_before_minus_what_is_unsure(
    module: Module,
) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    io.read(1.0)
    closed_s = module.input(0, True)
    sight = io.read(1.0)
    while not sight.levels or sight.levels[0] != Level("part_present", True, sight.levels[0].at_s):
        sight = io.read(1.0)
    assert sight.levels[0].at_s is not None
    assert sight.levels[0].at_s - sight.unsure_s <= closed_s + 0.01
    assert 0 < sight.unsure_s < 1.0
    io.close()


def test_outputs_switch_together_and_are_off_after_open_and_close(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    io.write(frozenset({"ok", "ready"}))
    until(lambda: module.on(1) and module.on(4))
    on = {at_s for _, level, at_s in module.changes if level}
    assert max(on) - min(on) < 0.001, "one frame"
    io.close()
    until(lambda: not module.on(1) and not module.on(4))
    second = IoModule(wiring(module.port))
    second.open()
    assert not module.on(4)
    second.close()


def of(function: int) -> Callable[[bytes], bool]:
    """The requests of this function."""
    return lambda asked: asked[1] == function


ORDER, READ_BACK = of(15), of(1)


@pytest.mark.parametrize("hit", [ORDER, READ_BACK])
@pytest.mark.parametrize("answers", [True, False])
def test_one_damaged_frame_of_an_order_is_no_lost_module_and_the_next_order_is_known(
    module: Module, hit: Callable[[bytes], bool], answers: bool
) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    module.damage(hit, answers=answers)
    assert not io.write(frozenset({"ok"}))
    assert io.is_open
    assert io.write(frozenset({"ok"}))
    module.wait_for(1, True)
    io.close()


def test_the_third_order_in_a_row_that_is_damaged_is_told(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    for _ in range(2):  # an order that came clears what was before
        module.damage(ORDER, 2)
        assert [io.write(frozenset({"ready"})) for _ in range(3)] == [False, False, True]
    module.damage(ORDER, 3)
    assert [io.write(frozenset({"ok"})) for _ in range(2)] == [False, False]
    with pytest.raises(PlcError, match=r"damaged answer \(checksum\)"):
        io.write(frozenset({"ok"}))
    io.close()


def test_a_damaged_frame_keeps_a_module_neither_from_being_opened_nor_from_being_switched_off(
    module: Module,
) -> None:
    io = IoModule(wiring(module.port))
    module.damage(READ_BACK)
    io.open()
    io.write(frozenset({"ready"}))
    module.wait_for(4, True)
    module.damage(ORDER, 2, answers=False)
    io.close()
    module.wait_for(4, False)


def test_off_is_ordered_though_the_answer_to_a_look_may_still_come(module: Module) -> None:
    io = IoModule(wiring(module.port, reply_timeout_s=1.0))
    io.open()
    io.write(frozenset({"ok"}))
    module.damage(of(2), answers=False)
    until(lambda: not io.read(3.0).levels)
    ordered_s = time.monotonic()
    assert io.write(frozenset())
    module.wait_for(1, False)
    assert module.pulses(1)[-1][1] - ordered_s < 0.9
    io.close()


def test_off_whose_request_was_damaged_is_ordered_again_as_soon_as_it_should_be_answered(
    module: Module,
) -> None:
    io = IoModule(wiring(module.port, reply_timeout_s=1.0))
    io.open()
    io.write(frozenset({"ok"}))
    module.damage(ORDER, 2, answers=False)
    ordered_s = time.monotonic()
    assert [io.write(frozenset()) for _ in range(3)] == [False, False, True]
    read_back_s = time.monotonic() - ordered_s
    module.wait_for(1, False)
    assert module.pulses(1)[-1][1] - ordered_s < 0.5
    assert read_back_s < 0.5, "no late answer to an order is taken for its reading"
    io.close()


@pytest.mark.parametrize("hit", [ORDER, READ_BACK])
def test_while_ok_stands_nothing_is_waited_for_beyond_the_end_of_its_pulse(
    module: Module, hit: Callable[[bytes], bool]
) -> None:
    io = IoModule(wiring(module.port, reply_timeout_s=1.0))
    io.open()
    module.damage(hit, answers=False)
    ordered_s = time.monotonic()
    assert not io.write(frozenset({"ok"}), 0.2)
    assert io.write(frozenset()) or io.write(frozenset())
    module.wait_for(1, False)
    assert time.monotonic() - ordered_s < 0.2 + 2 * 1.0 + 0.3  # the reading waits as ever
    assert all(off_s - ordered_s < 0.7 for _, off_s in module.pulses(1))
    io.close()


def test_a_look_that_nobody_answers_is_back_within_its_time(module: Module) -> None:
    io = IoModule(wiring(module.port, reply_timeout_s=3.0, watchdog_ms=10_000))
    io.open()
    module.damage(of(2), answers=False)
    for _ in range(4):  # the others wait for what may still come to the first
        began_s = time.monotonic()
        io.read(0.1)
        assert time.monotonic() - began_s < 1.0
    assert module.damaged
    until(lambda: bool(io.read(9.0).levels), within_s=20)
    assert io.is_open, "one damaged frame is no lost module"
    io.close()


def test_a_watchdog_is_fed_again_at_once_after_a_damaged_frame(module: Module) -> None:
    io = IoModule(wiring(module.port, watchdog_register=WATCHDOG_REGISTER, watchdog_ms=1000))
    io.open()
    asked: list[int] = []

    def first_read_back(frame: bytes) -> bool:
        asked.append(frame[1])
        return frame[1] == 1 and asked.count(1) == 1

    module.damage(first_read_back, 2)
    until(lambda: bool(io.read(1.0)) and 1 in asked)
    io.read(1.0)
    assert asked[-4:] == [15, 1, 15, 1]
    io.close()


def test_an_output_that_does_not_read_as_set_is_told(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    module.jam(1)
    io.write(frozenset({"ready"}))
    with pytest.raises(PlcError, match=r"outputs read back as \(0, 0, .*, set were \(0, 1, "):
        io.write(frozenset({"ok"}))
    io.close()


def test_the_modules_watchdog_is_set_and_drops_the_outputs_of_a_silent_node(
    module: Module,
) -> None:
    io = IoModule(wiring(module.port, watchdog_register=WATCHDOG_REGISTER, watchdog_ms=300))
    assert io.drops_itself
    io.open()
    io.write(frozenset({"ready"}))
    module.wait_for(4, True)
    io.abandon()
    said_s = time.monotonic()
    module.wait_for(4, False)
    dropped_s = module.pulses(4)[-1][1]
    assert 0.25 < dropped_s - said_s + 0.02 < 0.5
    io.close()


def test_a_watchdog_register_that_does_not_keep_its_value_is_told(module: Module) -> None:
    io = IoModule(wiring(module.port, watchdog_register=5000))
    with pytest.raises(PlcError, match="refuses with code 2"):
        io.open()
    io.close()


def test_while_it_is_looked_at_the_watchdog_is_fed(module: Module) -> None:
    io = IoModule(
        wiring(
            module.port,
            watchdog_register=WATCHDOG_REGISTER,
            watchdog_ms=100,
            part_present=None,
            bypass_key=None,
        )
    )
    io.open()
    io.write(frozenset({"ready"}))
    module.wait_for(4, True)
    until_s = time.monotonic() + 0.6
    while time.monotonic() < until_s:
        io.read(0.05)
    assert module.pulses(4)[-1][1] == float("inf")
    io.close()


def test_a_cut_cable_is_an_error_and_the_module_is_found_again(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    module.cut()
    assert (io.read(1.0).levels, io.read(1.0).levels) == ((), ())  # may be one damaged answer
    with pytest.raises(PlcTimeoutError, match="of io box: unit 1"):
        io.read(1.0)
    module.cut(False)
    io.open()
    assert seen(io, "part_present") is False
    io.close()


def test_a_look_whose_answer_would_come_too_late_is_not_begun(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    assert io.read(0.002).levels == ()
    assert seen(io, "part_present") is False
    io.close()


def test_an_output_left_on_is_seen_without_a_write(module: Module) -> None:
    io = IoModule(wiring(module.port))
    io.open()
    io.write(frozenset({"warning"}))
    io.abandon()
    assert io.left_alone("warning")
    assert not io.left_alone("ok")
    io.close()
