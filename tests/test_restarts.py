"""Node or PLC starts anew, by the names of the reference page `plc`: nobody passes by an old OK.

What keeps an old OK from a new part stands on both sides; mutants of either show that the other
side's is enough, and those of both that the test would see it.
"""

import pytest

from edge.plc.blocks import NO_RESULT, Result, result_registers
from edge.plc.handshake import EpochOpened, Handshake, Missed, Taken, Triggered
from edge.plc.images import Settled
from edge.plc.images import Taken as PlcTook
from edge.plc.lane import VerdictLane
from edge.plc.program import program_code, shipped_text
from edge.plc.structured_text.code import BlockCode
from edge.terms import Code
from tests import played_bus
from tests.even_line import WAY_S, Line, all_ng, conveyor, known, line
from tests.played_plc import met, of

# -- restart_mid_cycle -----------------------------------------------------------------------


@pytest.mark.parametrize("dies", ["before the verdict", "before the echo is read", "after it"])
def test_restart_mid_cycle(dies: str) -> None:
    told = line()
    told.belt.feeding = True
    told.until(lambda: told.belt.fed == 1)
    told.belt.feeding = False
    if dies == "before the verdict":
        told.until(lambda: bool(told.of(Triggered)))
    elif dies == "before the echo is read":
        told.until(lambda: bool(told.recorded(PlcTook)))
    else:
        told.until(lambda: bool(told.of(Taken)))
    told.start_node(known(told, 0.0))
    told.run(2.0)
    told.parts(3)
    assert told.passed() == ([] if dies == "before the verdict" else [1]) + [2, 3, 4]
    assert len(told.of(EpochOpened)) == 1
    assert sorted({one.number for one in told.of(Taken)}) == told.passed()
    assert not told.of(Missed)  # its ledger knows of part 1, and settles it


# -- stale_ok_after_restart ------------------------------------------------------------------

CARELESS = (  # what keeps the PLC's program from giving a part the result that lay there before it
    ("alive := heard AND powered;", "alive := heard;"),
    ("(part_old_nr[found] = node[8]) AND (part_old_word[found] = node[9])", "FALSE"),
    ("IF NOT alive THEN\n    refused_nr", "IF FALSE THEN\n    refused_nr"),
)
RESTARTS = [
    *(("plc", before) for before in (1, 2, 3)),
    *(("node", before) for before in (1, 2, 3)),
    *(("node that stays away", before) for before in (4, 5, 6)),  # in flight when it comes back
]


def careless_plc(first: str) -> BlockCode:
    """The program without its guards; one that heeds a dead node is beyond the node's help."""
    text = shipped_text()
    for guard, none in CARELESS[: 2 if first == "node that stays away" else 3]:
        assert text.count(guard) == 1
        text = text.replace(guard, none)
    return program_code(text, "careless.st")


def careless_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node without its own guard: it writes no result 0, and its heartbeat at once."""
    due = VerdictLane.due

    def never_wiping(self: VerdictLane, now_s: float) -> tuple[int, ...] | None:
        registers = due(self, now_s)
        return None if registers == NO_RESULT else registers

    monkeypatch.setattr(VerdictLane, "due", never_wiping)
    opened = property(lambda self: self._matched and self._known)
    monkeypatch.setattr(Handshake, "opened", opened)


def restarted(first: str, before: int, code: BlockCode | None = None) -> tuple[Line, int]:
    """After `before` parts that were OK one side restarts, and no part is OK any more.

    Returns:
        The line, and how many parts it let pass since.
    """
    away = first == "node that stays away"
    way_s = WAY_S if away else 2.5  # the PLC trusts a heartbeat again before the part is there
    told = line(belt=conveyor(way_s=way_s, code=code)).parts(before)
    told.run(way_s)
    assert told.passed() == list(range(1, before + 1))
    told.judge = all_ng
    if first == "plc":
        told.power_cycle()
        told.run(0.05)
        told.parts(3)
        told.start_node(known(told, 0.0))
    elif first == "node":
        told.start_node(known(told, 0.0))
        told.run(0.3)
        told.power_cycle()
        told.run(0.05)
        told.parts(3)
    else:
        told.dead = True
        told.power_cycle()
        told.belt.feeding = True
        told.run(1.4)
        told.start_node(known(told, 1.4))
        told.run(2.0)
        told.belt.feeding = False
    told.parts(6).run(way_s)
    return told, len(told.passed()) - before


@pytest.mark.parametrize("guards", ["both", "the node's alone", "the PLC's alone"])
@pytest.mark.parametrize(("first", "before"), RESTARTS)
def test_stale_ok_after_restart(
    first: str, before: int, guards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registers keep the last OK, the counter begins at 0 again: nobody may pass by it."""
    if guards == "the PLC's alone":
        careless_node(monkeypatch)
    told, passed = restarted(
        first, before, careless_plc(first) if guards == "the node's alone" else None
    )
    assert passed == 0
    assert len([one for one in told.recorded(Settled) if one.action == "reject"]) >= 9
    assert any(one.why == "ng" for one in told.recorded(Settled))  # and the node does judge
    assert len(told.of(EpochOpened)) == 2


@pytest.mark.parametrize("first", ["plc", "node", "node that stays away"])
def test_stale_ok_after_restart_passes_a_part_where_neither_side_guards(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above would not be one."""
    careless_node(monkeypatch)
    befores = [before for one, before in RESTARTS if one == first]
    assert sum(restarted(first, before, careless_plc(first))[1] for before in befores) > 0


@pytest.mark.parametrize("torn", [False, True])
def test_stale_ok_after_restart_is_held_back_while_the_restart_is_only_doubted(torn: bool) -> None:
    """One read of another PLC start number opens no epoch; nothing of the old one goes out."""
    plc = met()
    plc.part()
    plc.submit(1001)
    block = {"plc_start": 10, "counter": 0} | ({"trigger_number": 7} if torn else {})
    assert not of(plc.read(**block), EpochOpened)
    assert plc.handshake.due(plc.now_s) is None
    assert not plc.handshake.opened
    plc.read(counter=0)
    plc.read()
    assert of(plc.seen, EpochOpened)[-1] == EpochOpened(2, 0, 10, "plc_restart")
    assert plc.handshake.due(plc.now_s) == NO_RESULT


def test_a_verdict_goes_out_when_the_next_read_takes_the_other_plc_start_number_back() -> None:
    plc = met()
    plc.part()
    plc.submit(1001)
    plc.read(plc_start=10)
    assert plc.handshake.due(plc.now_s) is None
    plc.read(plc_start=9)
    assert plc.handshake.opened
    assert plc.handshake.due(plc.now_s) == result_registers(Result(1001, Code.OK, 0, 0.5, 20))


def test_between_the_first_block_of_a_restarted_plc_and_the_next_nothing_is_written() -> None:
    bus = played_bus.line(deadline_ms=2400)
    played_bus.stubborn(bus)
    bus.until("verdict")
    bus.plc_start, bus.counter = 2, 0
    bus.now_s += 0.3  # heartbeat and repetition are due
    frames = bus.run(3)
    assert [frame.lane for frame in frames] == ["block", "block", "verdict"]
    assert frames[2].request.values == NO_RESULT
