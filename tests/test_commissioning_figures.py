"""The figures of a commissioning: what is sharp, bright, large enough, proved and agreed. Pure."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.commissioning import golden
from edge.commissioning.comparison import compare
from edge.commissioning.focusing import HELD, Focusing
from edge.commissioning.golden import Expect, Pass
from edge.commissioning.grey import Greys
from edge.commissioning.journal import Entry, Judged
from edge.commissioning.scale import Region
from edge.terms import Code

# -- focus ------------------------------------------------------------------------------------


def looked(readings: Sequence[float], wanted: float | None = None) -> Focusing:
    focusing = Focusing(wanted)
    for sharpness in readings:
        focusing.see(sharpness)
    return focusing


THROUGH = [0.2, 0.5, 0.8, 1.0, 0.7, 0.4, 0.7]


def test_a_lens_turned_through_the_sharpest_place_and_held_there_is_in_focus() -> None:
    assert not looked([*THROUGH, *[0.99] * (HELD - 1)]).done
    assert looked([*THROUGH, *[0.99] * HELD]).done
    assert looked([*THROUGH, *[0.99] * HELD]).fault() is None


@given(st.floats(0.01, 5), st.integers(0, 60))
def test_a_lens_that_nobody_turned_is_never_in_focus(sharpness: float, count: int) -> None:
    focusing = looked([sharpness] * count)
    assert not focusing.done
    assert focusing.fault() is not None


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=60))
def test_a_lens_turned_one_way_only_is_never_in_focus(readings: list[float]) -> None:
    climbing = sorted(readings)
    assert not looked([*climbing, *[climbing[-1]] * HELD]).done


def test_a_lens_held_beside_the_sharpest_place_is_not_in_focus() -> None:
    beside = looked([*THROUGH, *[0.93] * (2 * HELD)])
    assert not beside.done
    assert "停住" in (beside.fault() or "")


def test_a_reference_is_reached_and_held_without_turning() -> None:
    assert looked([0.81] * HELD, wanted=0.8).done
    assert not looked([*[0.9] * HELD, 0.79], wanted=0.8).done


def test_a_picture_without_edges_says_so() -> None:
    assert "没有边缘" in (looked([0.0] * 20).fault() or "")


# -- grey values ------------------------------------------------------------------------------


def greys(**counts: int) -> Greys:
    values = [0] * 256
    for name, count in counts.items():
        values[int(name.removeprefix("v"))] = count
    return Greys.of(values)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (greys(v5=90, v120=10), "大半是暗的"),
        (greys(v100=90, v255=10), "10% 的像素过曝"),
        (greys(v240=90, v100=10), "大半偏亮"),
        (greys(v40=90, v200=10), "偏暗，能用"),
        (greys(v60=20, v120=60, v200=20), "亮度合适"),
        (greys(v120=50, v125=50), "明暗差小"),
    ],
)
def test_grey_values_are_told_in_words(seen: Greys, words: str) -> None:
    assert words in seen.words


@given(st.dictionaries(st.integers(0, 255), st.integers(1, 1000), min_size=1, max_size=9))
def test_percentiles_are_in_order_and_shares_are_shares(counts: dict[int, int]) -> None:
    seen = Greys.of([counts.get(value, 0) for value in range(256)])
    assert seen.low <= seen.middle <= seen.high
    assert all(0 <= share <= 1 for share in (seen.dark, seen.bright, seen.full))
    assert 0 <= seen.mean <= 255


def test_no_picture_has_no_grey_values() -> None:
    with pytest.raises(ValueError, match="0 pixels"):
        Greys.of([0] * 256)


# -- region -----------------------------------------------------------------------------------

WHOLE = Region((76, 112, 436, 400), 512, 512, 90.0)


def test_a_known_width_gives_the_scale() -> None:
    assert WHOLE.fault() is None
    assert WHOLE.mm_per_px == 0.25
    assert replace_region(axis="y", width_mm=72.0).mm_per_px == 0.25


def replace_region(**changes: object) -> Region:
    fields = {"box": WHOLE.box, "width": 512, "height": 512, "width_mm": 90.0, "axis": "x"}
    return Region(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"box": (2, 112, 436, 400)}, "碰到画面边缘"),
        ({"box": (76, 112, 436, 510)}, "碰到画面边缘"),
        ({"box": (76, 112, 90, 400)}, "至少要 20"),
        ({"box": (436, 112, 76, 400)}, "没有面积"),
        ({"box": (76, 112, 636, 400)}, "不在 512 x 512"),
        ({"width_mm": 0.0}, "大于 0 mm"),
    ],
)
def test_what_is_no_measurement_is_refused(changes: dict[str, object], words: str) -> None:
    assert words in (replace_region(**changes).fault() or "")


def test_a_scale_that_differs_from_edge_toml_is_refused() -> None:
    assert WHOLE.against(None) is None
    assert WHOLE.against(0.254) is None
    assert "相差 3.8%" in (WHOLE.against(0.26) or "")


# -- golden parts -----------------------------------------------------------------------------

OK, NG = Pass(1, Code.OK), Pass(2, Code.NG, defect="scratch", score=0.9)
LOST = Pass(3, Code.UNDECIDED, reason="no_frame")


@pytest.mark.parametrize(
    ("expect", "passes", "words"),
    [
        ("good", [OK] * 5, None),
        ("bad", [NG] * 5, None),
        ("bad", [NG, NG, OK, NG, NG], "放行了 1 次"),
        ("bad", [NG] * 100 + [OK], "放行了 1 次"),
        ("bad", [NG] * 4, "只过了 4 次"),
        ("bad", [NG] * 4 + [LOST], "没有判成（no_frame）"),
        ("good", [OK] * 4 + [NG], "被判不合格 1 次（scratch）"),
        ("good", [OK] * 4 + [LOST], "没有判成"),
        ("good", [], "只过了 0 次"),
    ],
)
def test_a_golden_part_must_be_judged_right_every_time(
    expect: Expect, passes: list[Pass], words: str | None
) -> None:
    fault = golden.fault("g", expect, passes, 5)
    assert fault is None if words is None else words in (fault or "")


@given(st.lists(st.sampled_from([OK, NG, LOST]), max_size=20), st.integers(1, 10))
def test_a_bad_part_that_passed_once_is_never_accepted(passes: list[Pass], times: int) -> None:
    fault = golden.fault("b", "bad", passes, times)
    assert fault is not None or (OK not in passes and len(passes) >= times)


# -- manual inspection ------------------------------------------------------------------------


def told(number: int, code: Code, epoch: int = 1) -> Judged:
    return Judged(station="s1", epoch=epoch, number=number, code=int(code))


def entry(number: int, good: bool, epoch: int = 1, at_ms: int = 0) -> Entry:
    return Entry(station="s1", epoch=epoch, number=number, good=good, who="李娜", at_ms=at_ms)


def test_escapes_and_overkills_are_counted_with_their_intervals() -> None:
    judged = [told(n, Code.OK if n <= 8 else Code.NG) for n in range(1, 11)]
    judged.append(told(11, Code.UNDECIDED))
    found = [entry(n, good=n != 8) for n in range(1, 12)]
    compared = compare(judged, found, "s1")
    assert [part.number for part in compared.escapes] == [8]
    assert [part.number for part in compared.overkills] == [9, 10, 11]
    assert (compared.parts, compared.bad, compared.good) == (11, 1, 10)
    low, high = compared.overkill_share
    assert 0.10 < low < 0.3 < high < 0.61
    lines = "\n".join(compared.lines())
    assert "漏检 1 / 1 件" in lines
    assert "节点未判定 1 件" in lines
    assert "过检 3 / 10 件" in lines


def test_the_same_number_of_another_epoch_is_another_part() -> None:
    compared = compare([told(5, Code.OK, 2)], [entry(5, False, 1)], "s1")
    assert compared.parts == 0
    assert [one.number for one in compared.unknown] == [5]


def test_of_two_entries_about_one_part_the_newest_counts() -> None:
    compared = compare([told(5, Code.OK)], [entry(5, False), entry(5, True)], "s1")
    assert (compared.bad, compared.good) == (0, 1)


@pytest.mark.parametrize(
    ("escapes", "overkills", "parts", "words"),
    [(0, 0, 50, None), (1, 0, 50, "漏检 1 件"), (0, 3, 50, "过检 3 件"), (0, 0, 49, "只比对了 49")],
)
def test_what_is_too_much_or_too_little_to_go_live_is_said(
    escapes: int, overkills: int, parts: int, words: str | None
) -> None:
    judged = [told(n, Code.NG if n < overkills else Code.OK) for n in range(parts)]
    found = [entry(n, good=n < parts - escapes) for n in range(parts)]
    fault = compare(judged, found, "s1").fault(50, 0, 0.05)
    assert fault is None if words is None else words in (fault or "")
