"""The verdict lane: one result at a time, the oldest deadline first, until echo or deadline."""

from hypothesis import given
from hypothesis import strategies as st

from edge.plc.blocks import NO_RESULT, Result, result_registers, verdict_word
from edge.plc.lane import REPEAT_S, VerdictLane
from edge.terms import Code


def ok(number: int) -> Result:
    return Result(number, Code.OK)


SCANS_S = 0.03  # what the PLC needs to see a result and show its echo


def wiped() -> VerdictLane:
    lane = VerdictLane(SCANS_S)
    lane.acknowledged(NO_RESULT, 0.0)
    return lane


def echo(lane: VerdictLane, result: Result, read_s: float = 0.0) -> Result | None:
    return lane.echo(result.number & 0xFFFF, verdict_word(result.number, result.code), read_s)


def written(lane: VerdictLane, now_s: float) -> int | None:
    """The number of the result that goes out now, and that the port then has."""
    registers = lane.due(now_s)
    if registers is None:
        return None
    lane.acknowledged(registers, now_s)
    return registers[3]


def test_at_power_up_the_registers_are_wiped_until_that_is_acknowledged() -> None:
    lane = VerdictLane(SCANS_S)
    assert lane.due(0.0) == NO_RESULT
    assert lane.due(0.1) == NO_RESULT
    lane.acknowledged(NO_RESULT, 0.2)
    assert lane.due(0.2) is None


def test_a_verdict_is_repeated_until_its_echo() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.submit(ok(7), 0.1)
    assert lane.due(0.1) == result_registers(ok(7))
    assert lane.due(0.1 + REPEAT_S / 2) is None
    assert lane.due(0.1 + REPEAT_S) == result_registers(ok(7))
    assert lane.echo(7, verdict_word(7, Code.NG), 0.0) is None
    assert lane.echo(6, verdict_word(7, Code.OK), 0.0) is None
    assert echo(lane, ok(7)) == ok(7)
    assert lane.due(0.5) is None
    assert echo(lane, ok(7)) is None
    assert lane.expire(9.0) == []


def test_an_echo_of_a_verdict_that_never_went_out_is_none() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.submit(ok(7), 0.1)
    assert echo(lane, ok(7)) is None
    assert lane.expire(1.1) == [(7, False)]


def test_a_newer_part_waits_for_the_echo_of_the_older() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.expect(8, 1.2)
    lane.submit(ok(7), 0.1)
    assert lane.due(0.1) == result_registers(ok(7))
    lane.submit(ok(8), 0.2)
    assert lane.due(0.3) == result_registers(ok(7))
    assert echo(lane, ok(7)) == ok(7)
    assert lane.due(0.3) == result_registers(ok(8))


def test_an_older_part_that_is_judged_later_does_not_cancel_the_one_under_way() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.expect(8, 1.2)
    lane.submit(ok(8), 0.1)
    assert lane.due(0.1) == result_registers(ok(8))
    lane.submit(ok(7), 0.2)
    assert lane.due(0.2) == result_registers(ok(8))
    assert echo(lane, ok(8)) == ok(8)
    assert lane.due(0.2) == result_registers(ok(7))


def test_a_result_that_the_plc_let_lie_gives_its_place_to_the_next_and_comes_back() -> None:
    lane = wiped()
    for number in (7, 8):
        lane.expect(number, 1.0)
        lane.submit(ok(number), 0.1)
    assert written(lane, 0.1) == 7
    assert lane.echo(0, 0, 0.1 + SCANS_S - 0.001) is None  # a scan may still take it
    assert written(lane, 0.1 + REPEAT_S) == 7
    assert lane.echo(0, 0, 0.1 + SCANS_S) is None  # two scans, and the poll says no
    assert not lane.repeating
    assert written(lane, 0.16) == 8
    assert lane.repeating
    assert echo(lane, ok(8)) == ok(8)
    assert written(lane, 0.17) == 7
    assert echo(lane, ok(7)) == ok(7)
    assert lane.expire(9.0) == []


def test_a_result_that_may_not_have_arrived_keeps_its_place() -> None:
    lane = wiped()
    for number in (7, 8):
        lane.expect(number, 1.0)
        lane.submit(ok(number), 0.1)
    assert lane.due(0.1) == result_registers(ok(7))  # and nobody acknowledges it
    lane.echo(0, 0, 0.4)
    assert written(lane, 0.4) == 7
    assert lane.due(0.5) == result_registers(ok(7))


def test_a_late_echo_of_a_result_that_gave_its_place_is_believed() -> None:
    lane = wiped()
    for number in (7, 8):
        lane.expect(number, 1.0)
        lane.submit(ok(number), 0.1)
    written(lane, 0.1)
    lane.echo(0, 0, 0.2)
    assert written(lane, 0.2) == 8
    assert echo(lane, ok(7), 0.25) == ok(7)
    assert echo(lane, ok(8), 0.3) == ok(8)


def test_two_results_that_are_never_taken_share_the_registers() -> None:
    lane = wiped()
    for number in (7, 8):
        lane.expect(number, 2.0)
        lane.submit(ok(number), 0.1)
    seen, now_s = list[int | None](), 0.1
    for _ in range(20):
        seen.append(written(lane, now_s))
        now_s += 0.05
        lane.echo(0, 0, now_s)
    assert seen[:6] == [7, 8, 7, 8, 7, 8]


def test_an_echo_that_stood_there_before_the_verdict_went_out_is_another_parts() -> None:
    lane = wiped()
    assert echo(lane, ok(7)) is None  # a retentive register
    lane.expect(7, 1.0)
    lane.submit(ok(7), 0.1)
    assert written(lane, 0.1) == 7
    assert echo(lane, ok(7), 0.2) is None
    assert lane.echo(0, 0, 0.3) is None
    assert echo(lane, ok(7), 0.4) == ok(7)


def test_of_several_that_wait_the_oldest_deadline_goes_first() -> None:
    lane = wiped()
    for number in (9, 7, 8):
        lane.expect(number, number / 10)
        lane.submit(ok(number), 0.1)
    assert lane.due(0.2) == result_registers(ok(7))


def test_a_verdict_whose_deadline_passed_is_wiped_from_the_registers() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.submit(ok(7), 0.1)
    assert lane.due(0.9) == result_registers(ok(7))
    assert lane.due(1.1) is None
    assert lane.expire(1.1) == [(7, True)]
    assert lane.due(1.1) == NO_RESULT
    lane.acknowledged(NO_RESULT, 0.2)
    assert lane.due(1.2) is None
    assert echo(lane, ok(7)) is None


def test_a_verdict_for_a_part_that_is_not_expected_or_too_late_is_dropped() -> None:
    lane = wiped()
    lane.submit(ok(7), 0.0)
    lane.expect(8, 1.0)
    lane.submit(ok(8), 1.1)
    assert lane.due(0.5) is None


def test_the_first_verdict_of_a_part_stands() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.submit(Result(7, Code.NG), 0.1)
    lane.submit(ok(7), 0.2)
    assert lane.due(0.3) == result_registers(Result(7, Code.NG))


def test_a_plc_that_counts_anew_drops_everything_and_wipes_the_registers() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.expect(8, 1.0)
    lane.submit(ok(7), 0.1)
    lane.due(0.1)
    assert lane.clear() == [(7, True), (8, False)]
    assert lane.due(0.2) == NO_RESULT
    assert echo(lane, ok(7)) is None


def test_registers_that_hold_a_taken_verdict_are_wiped_too_when_the_plc_counts_anew() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.submit(ok(7), 0.1)
    lane.due(0.1)
    assert echo(lane, ok(7)) == ok(7)
    assert lane.due(0.2) is None
    assert lane.clear() == []
    assert lane.due(0.2) == NO_RESULT


def begin(lane: VerdictLane, what: str, number: int, now_s: float, expected: set[int]) -> None:
    if what == "submit":
        lane.submit(ok(number), now_s)
    elif number not in expected:
        expected.add(number)
        lane.expect(number, now_s + 0.5)


WHAT = ["expect", "submit", "due", "arrived", "echo", "nothing", "expire"]
steps = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 5)), max_size=80)


@given(steps)
def test_every_part_leaves_once_and_no_result_is_overwritten_before_its_time(
    told: list[tuple[str, int]],
) -> None:
    """Overwritten only after its echo, its deadline, or two scans and a read that says no."""
    lane, now_s = wiped(), 0.0
    expected: set[int] = set()
    left: list[int] = []
    standing: int | None = None
    arrived_s: float | None = None
    let_lie = False
    for what, number in told:
        now_s += 0.02
        if what in ("expect", "submit"):
            begin(lane, what, number, now_s, expected)
        elif what == "due":
            registers = lane.due(now_s)
            if registers and registers != NO_RESULT and registers[3] != standing:
                assert standing is None or let_lie
                standing, arrived_s, let_lie = registers[3], None, False
        elif what == "arrived" and standing is not None:
            lane.acknowledged(result_registers(ok(standing)), now_s)
            arrived_s = now_s if arrived_s is None else arrived_s
        elif what in ("echo", "nothing"):
            taken = echo(lane, ok(number), now_s) if what == "echo" else lane.echo(0, 0, now_s)
            left += [taken.number] if taken else []
            if taken and taken.number == standing:
                standing = None
            elif arrived_s is not None and now_s >= arrived_s + SCANS_S:
                let_lie = True
        elif what == "expire":
            gone = [number for number, _ in lane.expire(now_s)]
            left += gone
            standing = None if standing in gone else standing
    left += [number for number, _ in lane.clear()]
    assert sorted(left) == sorted(expected)
