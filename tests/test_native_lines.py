"""PLCs that speak no Modbus on a real pty: replies that come late, and the whole simulated line."""

import argparse
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from edge import simulate
from edge.errors import PlcError, PlcTimeoutError
from edge.plc.blocks import Result
from edge.plc.bus import Bus, BusStation
from edge.plc.codecs import PROTOCOLS
from edge.plc.handshake import Expired, Taken, Triggered
from edge.plc.links import Link
from edge.plc.profile import read
from edge.plc.program import shipped_code
from edge.plc.slave import PtySlave, Slave
from edge.plc.transaction import (
    WRITE_REGISTERS,
    Answer,
    Refusal,
    Refused,
    Request,
    read_registers,
    write_registers,
)
from edge.settings import Bus as BusSettings
from edge.simulation.signals import StopSignals
from edge.terms import Code
from tests.serial_peers import Script, ScriptedPeer, Step
from tests.tiny_plc import READY, TinyPlc, Watcher, answer, ready, station
from tests.wires import answer_to, request_in

FAMILIES = {
    "mitsubishi_fx": "mitsubishi-fx3u",
    "host_link": "omron-cp",
    "mewtocol": "panasonic-fp",
}
NATIVE = tuple(FAMILIES)
TIMEOUT_S = 0.25
READ = read_registers(1, 0, 12)
READ_FAR = read_registers(1, 200, 12)
COUNTERS = read_registers(1, 300, 10)
WRITE = write_registers(1, 105, [1, 2, 3, 4, 5])
WRITE_FAR = write_registers(1, 100, [1, 2, 3, 4, 5])

natives = pytest.mark.parametrize("protocol", NATIVE)


def reply_to(protocol: str, asked: bytes) -> bytes:
    """A good reply in which every register holds its own address."""
    request = request_in(protocol, asked)
    assert isinstance(request, Request)
    return reply_of(protocol, request)


def reply_of(protocol: str, request: Request) -> bytes:
    spoken = PROTOCOLS[protocol]
    return spoken.slave(lambda asked: answer_to(request)).feed(spoken.master().encode(request))


def first_then_good(protocol: str, *said: list[Step]) -> Script:
    """What is said to the first requests; every later one is answered as it should be."""
    return lambda n, asked: said[n] if n < len(said) else [(0, reply_to(protocol, asked))]


def values_of(request: Request) -> tuple[int, ...]:
    return answer_to(request).values


@natives
@pytest.mark.parametrize("following", [READ_FAR, COUNTERS, WRITE])
@pytest.mark.parametrize("late_s", [1.3 * TIMEOUT_S, 1.7 * TIMEOUT_S])
def test_a_late_reply_is_nobodys_answer(protocol: str, following: Request, late_s: float) -> None:
    script = first_then_good(protocol, [(late_s, reply_of(protocol, READ))])
    with (
        ScriptedPeer(script, protocol) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        assert link.transact(following).values == values_of(following)


@natives
@pytest.mark.parametrize("following", [READ, COUNTERS])
def test_a_late_acknowledgement_is_nobodys_answer(protocol: str, following: Request) -> None:
    script = first_then_good(protocol, [(1.5 * TIMEOUT_S, reply_of(protocol, WRITE))])
    with (
        ScriptedPeer(script, protocol) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(WRITE)
        assert link.transact(following).values == values_of(following)


@natives
@pytest.mark.parametrize("asked", [READ, WRITE])
@pytest.mark.parametrize("following", [READ_FAR, COUNTERS, WRITE_FAR])
def test_even_later_than_the_quarantine_a_reply_is_nobodys_answer(
    protocol: str, asked: Request, following: Request
) -> None:
    script = first_then_good(protocol, [], [(0, reply_of(protocol, asked))])
    with (
        ScriptedPeer(script, protocol) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(asked)
        with pytest.raises(PlcError, match="wrong answer"):
            link.transact(following)
        assert link.transact(following).values == values_of(following)


@natives
def test_an_echoing_adapter_with_a_dead_plc_is_never_success(protocol: str) -> None:
    with (
        ScriptedPeer(lambda n, asked: [(0, asked)], protocol) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        for request in (WRITE, READ):
            with pytest.raises(PlcError, match="echoes"):
                link.transact(request)


@pytest.mark.parametrize(
    ("protocol", "meaning"),
    [
        ("mitsubishi_fx", "NAK"),
        ("host_link", "no such words in this PLC"),
        ("mewtocol", "no such registers in this PLC"),
    ],
)
def test_a_refusal_says_what_its_code_means(protocol: str, meaning: str) -> None:
    slave = Slave(1, {0: 0})
    with (
        PtySlave([slave], protocol=protocol) as line,
        closing(Link(BusSettings(name="b", protocol=protocol, port=line.port))) as link,  # type: ignore[arg-type]
        pytest.raises(PlcError, match=f"refuses with code .*{meaning}"),
    ):
        link.transact(READ)


class Forgetful(Slave):
    """A PLC whose port acknowledges results that its program never sees."""

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        if isinstance(asked, Request) and (asked.function, asked.address) == (WRITE_REGISTERS, 105):
            return Answer()
        return super().answer(asked)


@natives
def test_an_acknowledgement_alone_takes_no_verdict(protocol: str) -> None:
    plc = TinyPlc()
    plc.slave = Forgetful(1, dict.fromkeys([*range(12), *range(100, 110), *range(200, 210)], 0))
    with plc, PtySlave([plc.slave], protocol=protocol) as line:
        wiring = BusSettings(name="b", protocol=protocol, port=line.port)  # type: ignore[arg-type]
        bus = Bus(wiring, [station(deadline_ms=600)], {})
        watcher = Watcher(bus.station("s1"))
        watcher.station.status(READY, active_recipe=1)
        watcher.station.alive(1e9)
        bus.start()
        try:
            ready(plc)
            number = plc.part()
            answer(watcher, watcher.wait(Triggered)[-1])
            expired = watcher.wait(Expired)[-1]
        finally:
            bus.close()
    assert (expired.number, expired.written) == (number, True)
    assert watcher.of(Taken) == []
    assert plc.taken == []


def options(protocol: str) -> argparse.Namespace:
    """Of a simulated line that speaks this protocol as its family leaves the factory."""
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    told = read(FAMILIES[protocol]).defaults(protocol)
    return parser.parse_args(
        [
            *("--port", "unused", "--camera", "none", "--protocol", protocol),
            *("--baud", str(told["baudrate"]), "--parity", str(told["parity"])),
            *("--stop-bits", str(told["stop_bits"]), "--rate", "3", "--parts", "6"),
            *("--start-when-ready", "--counters-base", "200"),
        ]
    )


def judged(station: BusStation, done: Callable[[], bool]) -> tuple[dict[int, Code], set[int]]:
    """Judge every part until the line is empty: odd numbers are NG. Verdicts, and those taken."""
    verdicts: dict[int, Code] = {}
    taken: set[int] = set()
    while not done():
        station.alive(time.monotonic() + 1)
        try:
            seen = station.observations.get(timeout=0.05)
        except queue.Empty:
            continue
        if isinstance(seen, Triggered):
            part = seen.trigger.part
            verdicts[part.number] = Code.NG if part.number % 2 else Code.OK
            code = verdicts[part.number]
            station.submit(part.epoch, Result(part.number, code, 0, 0.5, 20), time.monotonic())
        elif isinstance(seen, Taken):
            assert verdicts[seen.number] is seen.code
            taken.add(seen.number)
    return verdicts, taken


@natives
def test_the_whole_simulated_line_runs_over_it_at_the_speed_of_its_factory(
    protocol: str,
) -> None:
    args = options(protocol)
    args.port = None
    line_plan = simulate.plan_from(args)
    simulation = simulate.Simulation(args, line_plan, shipped_code(), None, None, StopSignals())
    summary: dict[str, object] = {}
    thread = threading.Thread(target=lambda: summary.update(simulation.run()), name="line")
    told = read(FAMILIES[protocol]).defaults(protocol)
    with simulation.slave as slave:
        wiring = BusSettings(name="b", protocol=protocol, port=slave.port, **told)  # type: ignore[arg-type]
        bus = Bus(wiring, [station(deadline_ms=600)], {})
        watched = bus.station("s1")
        watched.status(READY, active_recipe=1)
        watched.alive(time.monotonic() + 1)
        bus.start()
        thread.start()
        try:
            verdicts, taken = judged(watched, lambda: not thread.is_alive())
        finally:
            bus.close()
            thread.join(30)
    assert sorted(verdicts) == [1, 2, 3, 4, 5, 6]
    assert taken == set(verdicts)
    assert (summary["ok"], summary["ng"], summary["no_verdict"]) == (3, 3, 0)
    assert (summary["good_bin"], summary["reject_bin"]) == (3, 3)
    assert (summary["good_bin_without_ok"], summary["wrong_words"]) == (0, 0)
    counters = watched.counters
    assert counters is not None
    assert (counters.good, counters.reject_confirmed) == (3, 3)
