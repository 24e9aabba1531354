"""Every formula of the pages, on counts small enough to check by hand."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.message import AnyRow, CounterRow
from edge.terms import Code, Mode
from hub import metrics
from hub.intake import Bad, Good
from hub.tally import Law, Tally
from tests.ledger_rows import bypassed_row, counter_row, epoch_row, missed_row, part_row, stamp

COUNTS = {
    "ok": 900, "ng": 60, "undecided": 20, "missed": 10, "bypassed": 8, "samples": 2,
    "triggers": 1000, "latency_count": 4, "latency_sum_ms": 250, "latency_max_ms": 90,
}  # fmt: skip
NOTHING = dict.fromkeys(COUNTS, 0)
LATENCY = {"parts": 4, "p50": 60, "p95": 80, "p99": 90, "max": 90}
START = datetime(2026, 11, 23, tzinfo=timezone.utc)


def test_shares_by_hand() -> None:
    assert metrics.ng_rate(COUNTS) == 60 / 980
    assert metrics.first_pass_yield(COUNTS) == 900 / 980
    assert metrics.undecided_rate(COUNTS) == 20 / 980
    assert metrics.trigger_detection_rate(COUNTS) == 980 / 998
    assert metrics.missed_rate(COUNTS) == 10 / 998
    assert metrics.bypass_rate(COUNTS) == 8 / 998


def test_golden_samples_change_no_share_of_a_report() -> None:
    without = COUNTS | {"samples": 0, "triggers": 998}
    shares = [
        [i.value for i in metrics.indicators(counts, LATENCY, 1.0) if i.unit == "%"]
        for counts in (COUNTS, without)
    ]
    assert shares[0] == shares[1]


def test_without_parts_there_is_no_share_and_the_report_says_why() -> None:
    assert metrics.ng_rate(NOTHING) is None
    assert metrics.trigger_detection_rate(NOTHING) is None
    empty = dict.fromkeys(LATENCY)
    notes = {i.key: i.note for i in metrics.indicators(NOTHING, empty, None) if i.value is None}
    assert notes["ng_rate"] == "no_parts"
    assert notes["trigger_detection_rate"] == "no_triggers"
    assert notes["latency_p99_ms"] == "no_latency"
    assert notes["coverage"] == "no_period"
    assert notes["escape_rate"] == "no_audit"


def test_parts_settled_before_the_next_sample_of_the_counter_were_counted_by_the_plc_too() -> None:
    lagging = COUNTS | {"triggers": 990}
    assert metrics.counted(lagging) == 1000
    assert metrics.trigger_detection_rate(lagging) == 980 / 998
    rates = {i.key: i for i in metrics.indicators(lagging, LATENCY, 1.0)}
    assert rates["trigger_detection_rate"].denominator == 998


def test_every_share_of_a_report_can_be_divided_again() -> None:
    report = metrics.indicators(COUNTS, LATENCY, 0.5)
    shares = [i for i in report if i.numerator is not None]
    assert len(shares) == 6
    for indicator in shares:
        assert indicator.denominator is not None
        assert indicator.numerator is not None
        assert indicator.value == indicator.numerator / indicator.denominator
    assert len({indicator.key for indicator in report}) == len(report)


def test_coverage_counts_the_minutes_of_every_node() -> None:
    hour = START + timedelta(hours=1)
    assert metrics.coverage(60, 2, START, hour) == 0.5
    assert metrics.coverage(61, 1, START, hour) == 1.0
    assert metrics.coverage(0, 0, START, hour) is None
    assert metrics.coverage(0, 1, START, START) is None


def law_after(*rows: AnyRow | Bad) -> dict[str, Any]:
    """The row of `law` after these rows of station s1, epoch 1."""
    tally = Tally({})
    for seq, row in enumerate(rows, 1):
        tally.add(row if isinstance(row, Bad) else Good(seq, "", b"", row, row.at_ms))
    law = tally.laws["s1", 1]
    return {field: getattr(law, field) for field in Law.__dataclass_fields__}


def sample(counter: int, waiting: int, good: int, rejected: int) -> CounterRow:
    return CounterRow(
        **stamp(),
        counter=counter,
        open=waiting,
        good=good,
        rejected=rejected,
        reject_confirmed=rejected,
    )


def test_the_law_balances_at_a_sample_whatever_closes_after_it() -> None:
    rows = (
        epoch_row(base=100),
        part_row(101),
        part_row(102, Code.NG),
        missed_row(103, 104),
        bypassed_row(105, 109),
        Bad(6, "", b"", "spoilt", "s1", 1, 1),
        CounterRow(**stamp(), counter=112, open=2),
        part_row(111, Code.UNDECIDED),
    )
    law = metrics.first_law(law_after(*rows))
    assert law == metrics.FirstLaw("balanced", triggers=12, settled=10, open=2, residue=0)


def test_a_trigger_without_a_row_and_a_row_without_a_trigger_show_as_residue() -> None:
    lost = metrics.first_law(law_after(epoch_row(), part_row(1), counter_row(2)))
    assert (lost.state, lost.residue) == ("unbalanced", 1)
    doubled = metrics.first_law(law_after(epoch_row(), part_row(1), part_row(1), counter_row(1)))
    assert (doubled.state, doubled.residue) == ("unbalanced", -1)


def test_parts_up_to_the_base_belong_to_no_epoch() -> None:
    law = law_after(epoch_row(base=10), part_row(10), missed_row(5, 12), counter_row(12))
    assert (law["ok"], law["missed"]) == (0, 2)
    assert metrics.first_law(law).state == "balanced"


def test_a_line_that_counts_itself_is_never_called_balanced() -> None:
    law = law_after(epoch_row(), part_row(1), counter_row(1)) | {"counted_by": "self"}
    assert metrics.first_law(law).state == "self_counted"


def test_before_the_epoch_row_or_a_sample_the_law_is_unknown() -> None:
    assert metrics.first_law(law_after(part_row(1), counter_row(1))).state == "unknown"
    assert metrics.first_law(law_after(epoch_row(), part_row(1))).state == "unknown"


@pytest.mark.parametrize(
    ("good", "rejected", "still_s", "state"),
    [
        (2, 1, 0, "balanced"),
        (1, 0, 0, "in_transit"),  # two parts between camera and gate
        (1, 0, 60, "mismatch"),  # nobody moves and still they did not arrive
        (3, 0, 0, "mismatch"),  # a rejected part in the good bin: at once
    ],
)
def test_the_gate_must_count_what_was_judged(
    good: int, rejected: int, still_s: float, state: str
) -> None:
    law = law_after(
        epoch_row(),
        sample(0, 0, 0, 0),
        part_row(1),
        part_row(2, Code.NG),
        part_row(3),
        sample(3, 0, good, rejected),
    )
    assert metrics.second_law(law, still_s).state == state


def test_without_sensors_the_gate_confirms_nothing() -> None:
    law = law_after(epoch_row(), part_row(1), counter_row(1))
    assert metrics.second_law(law, 0) == metrics.SecondLaw("no_sensors", None, None)


def test_parts_on_their_way_when_the_node_came_are_allowed_for() -> None:
    arriving = (epoch_row(base=50), sample(50, 0, 45, 2), sample(50, 0, 45, 5))
    assert metrics.second_law(law_after(*arriving), 60).state == "balanced"
    too_many = (*arriving, sample(50, 0, 45, 9))
    assert metrics.second_law(law_after(*too_many), 60).state == "mismatch"


def moded(mode: Mode, code: Code) -> AnyRow:
    row = part_row(1, code)
    return type(row)(
        **{name: getattr(row, name) for name in row.__struct_fields__} | {"mode": mode}
    )


@pytest.mark.parametrize(
    ("mode", "code", "passes"),
    [
        (Mode.AUTO, Code.OK, 1),
        (Mode.AUTO, Code.NG, 0),
        (Mode.MONITOR, Code.NG, 1),  # the PLC does not act
        (Mode.SAMPLE, Code.OK, 0),  # a golden sample is always rejected
    ],
)
def test_what_the_plc_lets_pass_depends_on_its_key_switch(
    mode: Mode, code: Code, passes: int
) -> None:
    assert law_after(epoch_row(), moded(mode, code))["released"] == passes


def test_a_golden_sample_is_in_the_law_and_in_no_other_count() -> None:
    tally = Tally({})
    row = moded(Mode.SAMPLE, Code.NG)
    tally.add(Good(1, "", b"", row, row.at_ms))
    [count] = tally.minutes.values()
    assert (count.samples, count.ng, count.undecided, tally.not_ok) == (1, 0, 0, 0)
    assert not tally.causes
    assert tally.laws["s1", 1].ng == 1


@given(
    st.lists(
        st.sampled_from(["ok", "ng", "undecided", "missed", "bypassed", "quarantined", "sample"])
    )
)
def test_any_way_of_settling_parts_in_order_leaves_no_residue(ways: list[str]) -> None:
    rows: list[AnyRow | Bad] = [epoch_row()]
    number = 0
    for way in ways:
        number += 1
        if way == "missed":
            rows.append(missed_row(number, number + 2))
            number += 2
        elif way == "bypassed":
            rows.append(bypassed_row(number, number))
        elif way == "quarantined":
            rows.append(Bad(9, "", b"", "spoilt", "s1", 1, 1))
        elif way == "sample":
            number -= 1
            rows.append(counter_row(number))
        else:
            rows.append(part_row(number, Code[way.upper()]))
    rows.append(counter_row(number))
    assert metrics.first_law(law_after(*rows)).residue == 0
