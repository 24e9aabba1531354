"""Line data at the hub: what batches add up to, however they are cut, sent again or interrupted."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.message import AnyRow, LineRow, TagRow
from hub import metrics
from hub.figures import Figures
from hub.moments import moment
from hub.store import rows as store_rows
from hub.store import session
from tests.ingest_peer import PLACE, asked
from tests.ledger_rows import stamp
from tests.paper_ledger import PaperLedger
from tests.played_hub import PlayedHub, now_ms
from tests.played_shift import stamp as shift_stamp
from tests.test_serve import text_of

MINUTE_MS = 60_000


def tag_row(value: int | None, at_ms: int = 1_000, **keys: Any) -> TagRow:
    told: dict[str, Any] = {"exponent": -3, "unit": "kWh", "counts": True, **keys}
    fault = "no answer" if value is None else None
    at = stamp(0, at_ms, "meter")
    return TagRow(**at, name="energy", value=value, fault=fault, **told)


def line_row(state: Any, at_ms: int = 1_000, **keys: Any) -> LineRow:
    return LineRow(**stamp(0, at_ms), state=state, **keys)


def grown(told: Sequence[TagRow]) -> int:
    figures = Figures({})
    for row in told:
        figures.tag(row, moment(row.at_ms))
    return sum(figures.growth.values())


counts = st.lists(st.one_of(st.none(), st.integers(0, 10_000)), max_size=30)


@given(counts)
def test_a_count_grows_by_its_steps_up_and_by_no_step_back(values: list[int | None]) -> None:
    known = [value for value in values if value is not None]
    steps = [max(0, after - before) for before, after in pairwise(known)]
    assert grown([tag_row(value) for value in values]) == sum(steps)


@given(counts, st.integers(0, 30))
def test_it_does_not_matter_where_the_batches_are_cut(values: list[int | None], cut: int) -> None:
    told = [tag_row(value, at_ms=n * 17_000) for n, value in enumerate(values)]
    whole, first = Figures({}), Figures({})
    for row in told:
        whole.tag(row, moment(row.at_ms))
    for row in told[:cut]:
        first.tag(row, moment(row.at_ms))
    second = Figures(dict(first.tags))
    for row in told[cut:]:
        second.tag(row, moment(row.at_ms))
    assert first.growth + second.growth == whole.growth
    assert second.tags == whole.tags


def test_another_scale_or_unit_starts_anew_and_what_does_not_count_does_not_grow() -> None:
    assert grown([tag_row(5), tag_row(900, exponent=-2), tag_row(910, exponent=-2)]) == 10
    assert grown([tag_row(5), tag_row(900, unit="Wh")]) == 0
    assert grown([tag_row(5, counts=False), tag_row(9, counts=False)]) == 0


def test_energy_is_added_in_kwh_and_exactly() -> None:
    def tag(grown: int, exponent: int, unit: str, counts: bool = True) -> dict[str, Any]:
        return {"grown": grown, "exponent": exponent, "unit": unit, "counts": counts}

    assert metrics.energy_kwh([]) is None
    assert metrics.energy_kwh([tag(5, 0, "mm/s")]) is None
    both = [tag(1234, -3, "kWh"), tag(50, 0, "Wh"), tag(2, -3, "MWh"), tag(7, 0, "kWh", False)]
    assert metrics.energy_kwh(both) == Decimal("3.284")


@given(st.integers(-(10**15), 10**15), st.integers(-9, 9))
def test_a_figure_is_its_value_with_the_point_moved(value: int, exponent: int) -> None:
    assert metrics.figure(value, exponent) == Decimal(value) * Decimal(10) ** exponent


# -- in the database ---------------------------------------------------------------------------


def shift() -> list[AnyRow]:
    """10 minutes of a meter that is silent for a while, and of a line that stops."""
    told: list[AnyRow] = [tag_row(1000 + 20 * n, n * MINUTE_MS) for n in range(5)]
    told += [tag_row(None, 5 * MINUTE_MS), line_row("execute", 5 * MINUTE_MS)]
    told += [tag_row(1200 + 10 * n, (6 + n) * MINUTE_MS) for n in range(4)]
    return [*told, line_row("stopped", 9 * MINUTE_MS, cause=3, word="缺料")]


def test_batches_repeated_and_overlapping_add_each_row_once(
    direct: session.Connection, database: str
) -> None:
    ledger = PaperLedger()
    ledger.write(shift())
    for first, after in ((1, 4), (1, 4), (2, 9), (9, 10), (5, ledger.next), (1, ledger.next)):
        store_rows.taken(direct, PLACE, ledger.batch(first, after))
    (tag,) = asked(database, "SELECT station, name, value, known, exponent, unit, counts FROM tag")
    assert tag == {
        "station": "meter", "name": "energy", "value": 1230, "known": 1230, "exponent": -3,
        "unit": "kWh", "counts": True,
    }  # fmt: skip
    (sum_,) = asked(database, "SELECT sum(grown) AS grown FROM tag_growth")
    assert sum_["grown"] == 230
    (line,) = asked(database, "SELECT station, state, cause, word FROM line_state")
    assert line == {"station": "s1", "state": "stopped", "cause": 3, "word": "缺料"}
    (stored,) = asked(
        database, "SELECT count(*) AS n FROM ledger_row WHERE kind IN ('tag', 'line')"
    )
    assert stored["n"] == len(ledger.entries)
    assert asked(database, "SELECT * FROM law") == []  # tags belong to no epoch


def test_the_query_gives_the_newest_reading_and_the_growth_since_a_time(
    direct: session.Connection,
) -> None:
    ledger = PaperLedger()
    ledger.write(shift())
    store_rows.taken(direct, PLACE, ledger.batch(1, ledger.next))
    place = {"plant": None, "line": "line-1"}
    (late,) = session.rows(direct, "tags_now", since=moment(7 * MINUTE_MS), **place)
    assert (late["value"], late["grown"], late["fault"]) == (1230, 30, None)
    assert session.rows(direct, "tags_now", since=moment(0), plant="x", line=None) == []
    (line,) = session.rows(direct, "lines_now", **place)
    assert (line["state"], line["word"]) == ("stopped", "缺料")


def test_a_nodes_second_ledger_takes_over_from_its_first(direct: session.Connection) -> None:
    for stream, value, at_ms in (("a" * 32, 500, 1_000), ("b" * 32, 700, 2_000)):
        ledger = PaperLedger(stream)
        ledger.write([tag_row(value, at_ms)])
        store_rows.taken(direct, PLACE, ledger.batch(1, 2))
    found = session.rows(direct, "tags_now", since=moment(0), plant=None, line=None)
    assert [row["value"] for row in found] == [700]


# -- on the page -------------------------------------------------------------------------------


def test_the_engineers_page_shows_each_tag_the_energy_of_the_day_and_why_a_line_stands(
    played_hub: PlayedHub,
) -> None:
    node = played_hub.new_node("w-tags")
    at = shift_stamp("meter", now_ms(), 0)
    kwh: dict[str, Any] = {"exponent": -3, "unit": "kWh", "counts": True}
    energy = {**at, **kwh, "name": "energy", "title": "电能"}
    lost = {**at, **kwh, "name": "power", "counts": False, "value": None}
    node.send(
        TagRow(**energy, value=1_000_500),
        TagRow(**energy, value=1_012_345),
        TagRow(**lost, fault="no answer"),
        LineRow(**shift_stamp("s1", now_ms(), 0), state="stopped", cause=3, word="缺料"),
    )
    text = text_of(played_hub.get("/parts?line=w-tags"))
    assert "今日电量 11.845 kWh" in text
    assert "电能 w-tags / meter 1,012.345 kWh +11.845 kWh" in text
    assert "power w-tags / meter 读不到" in text
    assert "w-tags / s1 已停止 缺料" in text


def test_a_page_without_line_data_says_nothing_of_it(played_hub: PlayedHub) -> None:
    played_hub.new_node("w-none")
    assert "产线数据" not in text_of(played_hub.get("/parts?line=w-none"))


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "'\"&"])
def test_words_of_a_plc_are_shown_and_never_run(played_hub: PlayedHub, evil: str) -> None:
    node = played_hub.new_node(f"w-evil-{len(evil)}")
    at = shift_stamp("s1", now_ms(), 0)
    told: dict[str, Any] = {"name": "t", "exponent": 0, "counts": False, "value": 1, "word": evil}
    node.send(TagRow(**at, **told, title=evil, unit=evil[:16]))
    page = played_hub.get(f"/parts?line=w-evil-{len(evil)}").text
    assert "<script>alert" not in page
