"""The verdict lane: one result at a time, the oldest deadline first, until echo or deadline."""

from hypothesis import given
from hypothesis import strategies as st

from edge.plc.blocks import NO_RESULT, Result, result_registers, verdict_word
from edge.plc.lane import REPEAT_S, VerdictLane
from edge.terms import Code


def ok(number: int) -> Result:
    return Result(number, Code.OK)


def wiped() -> VerdictLane:
    lane = VerdictLane()
    lane.acknowledged(NO_RESULT)
    return lane


def echo(lane: VerdictLane, result: Result) -> Result | None:
    return lane.echo(result.number & 0xFFFF, verdict_word(result.number, result.code))


def test_at_power_up_the_registers_are_wiped_until_that_is_acknowledged() -> None:
    lane = VerdictLane()
    assert lane.due(0.0) == NO_RESULT
    assert lane.due(0.1) == NO_RESULT
    lane.acknowledged(NO_RESULT)
    assert lane.due(0.2) is None


def test_a_verdict_is_repeated_until_its_echo() -> None:
    lane = wiped()
    lane.expect(7, 1.0)
    lane.submit(ok(7), 0.1)
    assert lane.due(0.1) == result_registers(ok(7))
    assert lane.due(0.1 + REPEAT_S / 2) is None
    assert lane.due(0.1 + REPEAT_S) == result_registers(ok(7))
    assert lane.echo(7, verdict_word(7, Code.NG)) is None
    assert lane.echo(6, verdict_word(7, Code.OK)) is None
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
    lane.acknowledged(NO_RESULT)
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


steps = st.lists(
    st.tuples(st.sampled_from(["expect", "submit", "due", "echo", "expire"]), st.integers(0, 5)),
    max_size=60,
)


@given(steps)
def test_every_expected_part_leaves_exactly_once_and_only_one_result_stands(
    told: list[tuple[str, int]],
) -> None:
    lane, now_s = wiped(), 0.0
    expected: set[int] = set()
    left: list[int] = []
    standing: int | None = None
    for what, number in told:
        now_s += 0.07
        if what == "expect" and number not in expected:
            expected.add(number)
            lane.expect(number, now_s + 0.5)
        elif what == "submit":
            lane.submit(ok(number), now_s)
        elif what == "due":
            registers = lane.due(now_s)
            if registers and registers != NO_RESULT:
                assert standing in (None, registers[3])
                standing = registers[3]
        elif what == "echo":
            taken = echo(lane, ok(number))
            if taken:
                assert taken.number == standing
                left.append(taken.number)
                standing = None
        elif what == "expire":
            gone = [number for number, _ in lane.expire(now_s)]
            left += gone
            standing = None if standing in gone else standing
    left += [number for number, _ in lane.clear()]
    assert sorted(left) == sorted(expected)
