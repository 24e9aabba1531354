"""Pure, never OK by default, and it cannot be talked out of an NG: edge.judgement."""

import math
from typing import Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.judgement import Finding, Rule, decide, fuse, judge, weigh
from edge.limits import ClassLimits, Zone
from edge.recipe import Recipe
from edge.terms import Code, Detection, Reason, Verdict

Kind = Literal["forbidden", "tolerant", "ignored"]
LABELS = ("scratch", "pit")
ORDER = (Code.OK, Code.UNDECIDED, Code.NG)
PLAIN = Recipe(
    name="plate-a",
    classes=(
        ClassLimits(label="scratch", threshold=0.5, undecided_from=0.35, min_size_px=12),
        ClassLimits(label="pit", threshold=0.6),
    ),
)

scores = st.floats(0, 1)
sides = st.floats(0, 100)
places = st.floats(0, 150)


@st.composite
def detections(draw: st.DrawFn) -> Detection:
    x, y, width, height = draw(sides), draw(sides), draw(sides), draw(sides)
    width_mm, height_mm, area_mm2 = draw(st.sampled_from([(None, None, None), (9.0, 60.0, 30.0)]))
    return Detection(
        draw(st.sampled_from(LABELS)),
        draw(scores),
        (x, y, x + width, y + height),
        width_mm,
        height_mm,
        area_mm2,
    )


@st.composite
def limits(draw: st.DrawFn, label: str) -> ClassLimits:
    threshold = draw(st.floats(0.01, 1))
    band = draw(st.none() | st.floats(0.01, 1).filter(lambda low: low <= threshold))
    return ClassLimits(
        label=label,
        threshold=threshold,
        undecided_from=band,
        min_size_px=draw(sides),
        min_size_mm=draw(sides),
        min_area_mm2=draw(sides),
        allowed=draw(st.integers(0, 3)),
    )


@st.composite
def some_zones(draw: st.DrawFn, name: str) -> Zone:
    kind: Kind = draw(st.sampled_from(["forbidden", "tolerant", "ignored"]))
    corners = draw(st.lists(st.tuples(places, places), min_size=3, max_size=4))
    size = draw(st.floats(0.5, 100)) if kind == "tolerant" else 0.0
    labels = draw(st.sampled_from([(), ("pit",)]))
    camera = draw(st.sampled_from([None, "c1", "c2"]))
    return Zone(
        name=name,
        kind=kind,
        polygon=tuple(corners),
        min_size_px=size,
        labels=labels,
        camera=camera,
    )


@st.composite
def some_recipes(draw: st.DrawFn) -> Recipe:
    zones = tuple(draw(some_zones(f"z{n}")) for n in range(draw(st.integers(0, 2))))
    return Recipe(name="r", classes=tuple(draw(limits(label)) for label in LABELS), zones=zones)


def found(score: float, label: str = "scratch", side: float = 20.0) -> Detection:
    return Detection(label, score, (10.0, 10.0, 10.0 + side, 12.0))


def worse(after: Verdict, before: Verdict) -> bool:
    """Not better, at least."""
    return ORDER.index(after.code) >= ORDER.index(before.code)


@pytest.mark.parametrize(
    ("score", "side", "code"),
    [
        (0.5, 12.0, Code.NG),
        (0.499, 12.0, Code.UNDECIDED),
        (0.35, 12.0, Code.UNDECIDED),
        (0.349, 12.0, Code.OK),
        (1.0, 11.99, Code.OK),
    ],
)
def test_limits_belong_to_the_side_that_the_recipe_says(
    score: float, side: float, code: Code
) -> None:
    assert judge([found(score, side=side)], PLAIN).code is code


def test_nothing_found_is_ok() -> None:
    assert judge([], PLAIN) == Verdict(Code.OK)


def test_the_worst_is_the_highest_score_among_those_that_decided() -> None:
    recipe = PLAIN
    small = found(0.99, side=2.0)  # below the minimum size: decides nothing
    verdict = judge([small, found(0.7), found(0.8, "pit"), found(0.4)], recipe)
    assert verdict == Verdict(Code.NG, worst=found(0.8, "pit"))
    harmless = found(0.55, "pit")  # below its threshold, and no band
    unsure = judge([small, harmless, found(0.4), found(0.45)], recipe)
    assert unsure == Verdict(Code.UNDECIDED, Reason.UNCERTAIN, found(0.45))


@settings(max_examples=60, deadline=None)
@given(st.lists(detections(), max_size=5), some_recipes(), st.data())
def test_what_is_no_number_or_no_class_of_ours_is_never_ok_or_ng(
    sound: list[Detection], recipe: Recipe, data: st.DataObject
) -> None:
    number = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    place = data.draw(st.integers(0, 7))
    box = [1.0, 1.0, 9.0, 9.0]
    if place < 4:
        box[place] = number
    if place == 6:
        box[2] = 0.5  # right of its left side
    score = number if place == 4 else 0.001
    label = "unheard of" if place == 5 else "pit"
    size_mm = number if place == 7 else None
    bad = Detection(label, score, (box[0], box[1], box[2], box[3]), size_mm, size_mm)
    among = data.draw(st.permutations([*sound, bad]))
    assert judge(among, recipe) == Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)


@settings(max_examples=60, deadline=None)
@given(st.lists(detections(), max_size=5), detections(), some_recipes())
def test_one_more_detection_never_makes_a_part_better(
    some: list[Detection], more: Detection, recipe: Recipe
) -> None:
    for camera in (None, "c1"):
        before, after = judge(some, recipe, camera), judge([*some, more], recipe, camera)
        assert worse(after, before)


STRICTER: dict[str, Any] = {
    "min_size_px": 0.0,
    "min_size_mm": 0.0,
    "min_area_mm2": 0.0,
    "allowed": 0,
}


@settings(max_examples=60, deadline=None)
@given(st.lists(detections(), max_size=5), some_recipes(), st.data())
def test_a_stricter_limit_never_makes_a_part_better(
    some: list[Detection], recipe: Recipe, data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, 1))
    old = recipe.classes[which]
    key = data.draw(st.sampled_from(["threshold", *STRICTER]))
    if key == "threshold":
        threshold = data.draw(st.floats(0.01, old.threshold))
        band = threshold if old.undecided_from is None else min(old.undecided_from, threshold)
        stricter = replace(old, threshold=threshold, undecided_from=band)
    else:
        stricter = replace(old, **{key: STRICTER[key]})
    classes = tuple(stricter if n == which else recipe.classes[n] for n in range(2))
    assert worse(judge(some, replace(recipe, classes=classes)), judge(some, recipe))


@settings(max_examples=60, deadline=None)
@given(st.lists(detections(), max_size=5), some_recipes())
def test_a_zone_more_or_less_makes_a_part_better_only_as_its_kind_says(
    some: list[Detection], recipe: Recipe
) -> None:
    assume(recipe.zones)
    without = replace(recipe, zones=recipe.zones[1:])
    before, after = judge(some, without), judge(some, recipe)
    if recipe.zones[0].kind == "forbidden":
        assert worse(after, before)
    if recipe.zones[0].kind == "ignored":
        assert worse(before, after)


@settings(max_examples=60, deadline=None)
@given(st.lists(detections(), max_size=5), some_recipes(), st.data())
def test_the_order_of_detections_does_not_matter(
    some: list[Detection], recipe: Recipe, data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(some))
    assert judge(mixed, recipe, "c1") == judge(some, recipe, "c1")


@settings(max_examples=60, deadline=None)
@given(st.lists(detections(), max_size=5), some_recipes())
def test_what_lies_below_the_score_floor_never_changes_a_verdict(
    some: list[Detection], recipe: Recipe
) -> None:
    reported = [d for d in some if d.score >= recipe.score_floor]
    assert judge(reported, recipe) == judge(some, recipe)


OK, UNDEFINED = Verdict(Code.OK), Verdict(Code.UNDEFINED)
NG, WORSE = Verdict(Code.NG, worst=found(0.6)), Verdict(Code.NG, worst=found(0.9))
LATE = Verdict(Code.UNDECIDED, Reason.NO_FRAME)
UNSURE = Verdict(Code.UNDECIDED, Reason.UNCERTAIN, found(0.4))
MISSING = Verdict(Code.UNDECIDED, Reason.VIEW_MISSING)


@pytest.mark.parametrize(
    ("views", "fused"),
    [
        ([], MISSING),
        ([OK, OK], OK),
        ([OK, NG, LATE], NG),
        ([NG, WORSE], WORSE),
        ([OK, LATE], LATE),
        ([LATE, UNSURE], UNSURE),
        ([OK, UNDEFINED], MISSING),
        ([UNDEFINED, LATE, UNSURE], UNSURE),
    ],
)
def test_views_are_fused_to_the_worst(views: list[Verdict], fused: Verdict) -> None:
    assert fuse(views) == fused


@given(st.lists(st.sampled_from([OK, NG, WORSE, LATE, UNSURE, UNDEFINED])))
def test_a_part_is_ok_only_when_every_view_is(views: list[Verdict]) -> None:
    assert (fuse(views).code is Code.OK) == (len(views) > 0 and set(views) == {OK})


def square(left: float, top: float, side: float) -> tuple[tuple[float, float], ...]:
    return ((left, top), (left + side, top), (left + side, top + side), (left, top + side))


def zoned(kind: Kind, **keys: Any) -> Recipe:
    """PLAIN with a square zone from (0, 0) to (40, 40)."""
    zone = Zone(name="z", kind=kind, polygon=square(0, 0, 40), **keys)
    return replace(PLAIN, zones=(zone,))


def boxed(x1: float, x2: float, score: float = 0.9, label: str = "pit") -> Detection:
    return Detection(label, score, (x1, 10.0, x2, 20.0))


@pytest.mark.parametrize(
    ("detection", "rule"),
    [
        (boxed(40, 60, 0.7), Rule.FORBIDDEN),  # touches it with its side
        (boxed(40.001, 60, 0.7), Rule.THRESHOLD),
        (boxed(10, 10.1, 0.35, "scratch"), Rule.FORBIDDEN),  # doubtful and tiny
        (boxed(10, 20, 0.34, "scratch"), Rule.SCORE),
    ],
)
def test_whatever_touches_a_forbidden_zone_counts_whatever_its_size(
    detection: Detection, rule: Rule
) -> None:
    recipe = zoned("forbidden")
    (finding,) = weigh([detection], recipe)
    assert finding == Finding(detection, rule, "z" if rule is Rule.FORBIDDEN else None)


def test_a_forbidden_zone_allows_nothing_and_beats_every_other_zone() -> None:
    lenient = replace(PLAIN.classes[1], allowed=5)
    kinds: list[tuple[Kind, float]] = [("ignored", 0.0), ("tolerant", 90.0), ("forbidden", 0.0)]
    zones = tuple(
        Zone(name=kind, kind=kind, polygon=square(0, 0, 40), min_size_px=size)
        for kind, size in kinds
    )
    recipe = replace(PLAIN, classes=(PLAIN.classes[0], lenient), zones=zones)
    assert judge([boxed(10, 20)], recipe).code is Code.NG
    assert judge([boxed(10, 20)], replace(recipe, zones=zones[:2])).code is Code.OK


@pytest.mark.parametrize(
    ("x2", "code"), [(40.0, Code.OK), (40.001, Code.NG)]
)  # on the zone's edge, and across it
def test_only_what_lies_wholly_in_an_ignored_zone_is_ignored(x2: float, code: Code) -> None:
    assert judge([boxed(20, x2)], zoned("ignored")).code is code


def test_in_a_tolerant_zone_its_sizes_hold_instead_of_the_class_s() -> None:
    recipe = zoned("tolerant", min_size_px=15.0)
    assert judge([boxed(10, 24.9)], recipe).code is Code.OK
    assert judge([boxed(10, 25)], recipe).code is Code.NG  # exactly the minimum counts
    assert judge([boxed(30, 41)], recipe).code is Code.NG  # not wholly inside


def test_of_two_tolerant_zones_both_must_tolerate_it() -> None:
    zones = tuple(
        Zone(name=f"z{size}", kind="tolerant", polygon=square(0, 0, 40), min_size_px=size)
        for size in (30.0, 15.0)
    )
    recipe = replace(PLAIN, zones=zones)
    assert judge([boxed(10, 30)], recipe).code is Code.NG
    assert judge([boxed(10, 20)], recipe).code is Code.OK


def test_a_zone_holds_for_its_camera_and_its_classes_only() -> None:
    recipe = zoned("ignored", camera="c1", labels=("pit",))
    assert judge([boxed(10, 20)], recipe, "c1").code is Code.OK
    assert judge([boxed(10, 20)], recipe, "c2").code is Code.NG
    assert judge([boxed(10, 20)], recipe).code is Code.NG  # nobody says that it is c1
    assert judge([boxed(10, 30, label="scratch")], recipe, "c1").code is Code.NG
    forbidden = zoned("forbidden", camera="c1")
    tiny = boxed(10, 11, 0.4, "scratch")
    assert judge([tiny], forbidden).code is Code.NG  # it may be c1
    assert judge([tiny], forbidden, "c2").code is Code.OK


def test_a_size_in_mm_that_nobody_knows_excuses_nothing() -> None:
    strict = replace(PLAIN.classes[1], min_size_mm=2.0, min_area_mm2=3.0)
    recipe = replace(PLAIN, classes=(PLAIN.classes[0], strict))
    unknown = boxed(10, 11)
    assert judge([unknown], recipe).code is Code.NG
    known = Detection("pit", 0.9, (10.0, 10.0, 11.0, 20.0), 1.9, 0.2, 5.0)
    assert [f.rule for f in weigh([known], recipe)] == [Rule.SIZE_MM]
    flat = Detection("pit", 0.9, (10.0, 10.0, 11.0, 20.0), 2.0, 0.2, 2.9)
    assert [f.rule for f in weigh([flat], recipe)] == [Rule.AREA]


@pytest.mark.parametrize(
    ("clear", "doubtful", "code"),
    [
        (2, 0, Code.OK),
        (3, 0, Code.NG),
        (1, 1, Code.OK),  # at most two in any case
        (1, 2, Code.UNDECIDED),  # it may be three
        (0, 3, Code.UNDECIDED),
        (3, 1, Code.NG),
    ],
)
def test_so_many_of_a_class_as_allowed_do_not_make_a_part_ng(
    clear: int, doubtful: int, code: Code
) -> None:
    lenient = replace(PLAIN.classes[0], allowed=2)
    recipe = replace(PLAIN, classes=(lenient, PLAIN.classes[1]))
    some = [found(0.8)] * clear + [found(0.4)] * doubtful
    assert judge(some, recipe).code is code
    assert judge([*some, found(0.9, "pit")], recipe).code is Code.NG


def test_what_is_allowed_counts_over_all_views_of_a_part() -> None:
    lenient = replace(PLAIN.classes[0], allowed=2)
    recipe = replace(PLAIN, classes=(lenient, PLAIN.classes[1]))
    views = [weigh([found(0.8)] * 2, recipe, camera) for camera in ("c1", "c2")]
    verdicts = [decide(findings, recipe) for findings in views]
    assert [verdict.code for verdict in verdicts] == [Code.OK, Code.OK]
    whole = decide([*views[0], *views[1]], recipe)
    assert fuse([*verdicts, whole]) == Verdict(Code.NG, worst=found(0.8))
