"""The judgement: pure, never OK by default, and it cannot be talked out of an NG."""

import math
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge import recipe as recipes
from edge.errors import SettingsError
from edge.limits import ClassLimits
from edge.recipe import Recipe, check_labels, fuse, judge, parse
from edge.terms import Code, Detection, Reason, Verdict

LABELS = ("scratch", "pit")
FILE = b"""
name = "plate-a"
product = "Plate 90 x 72"
[image]
dark_below = 20
[[class]]
label = "scratch"
threshold = 0.5
undecided_from = 0.35
min_size_px = 12
[[class]]
label = "pit"
threshold = 0.6
[[golden]]
picture = "golden/ng.png"
expect = "ng"
"""

scores = st.floats(0, 1)
sides = st.floats(0, 100)


@st.composite
def detections(draw: st.DrawFn) -> Detection:
    x, y, width, height = draw(sides), draw(sides), draw(sides), draw(sides)
    return Detection(draw(st.sampled_from(LABELS)), draw(scores), (x, y, x + width, y + height))


@st.composite
def limits(draw: st.DrawFn, label: str) -> ClassLimits:
    threshold = draw(st.floats(0.01, 1))
    band = draw(st.none() | st.floats(0.01, 1).filter(lambda low: low <= threshold))
    return ClassLimits(
        label=label, threshold=threshold, undecided_from=band, min_size_px=draw(sides)
    )


@st.composite
def some_recipes(draw: st.DrawFn) -> Recipe:
    return Recipe(name="r", classes=tuple(draw(limits(label)) for label in LABELS))


def found(score: float, label: str = "scratch", side: float = 20.0) -> Detection:
    return Detection(label, score, (10.0, 10.0, 10.0 + side, 12.0))


def test_a_recipe_file_is_read() -> None:
    recipe = parse(FILE, "a.toml")
    assert recipe.name == "plate-a"
    assert recipe.product == "Plate 90 x 72"
    assert (recipe.image.dark_below, recipe.image.frozen) == (20, True)
    scratch, pit = recipe.classes
    assert scratch == ClassLimits(
        label="scratch", threshold=0.5, undecided_from=0.35, min_size_px=12
    )
    assert (pit.undecided_from, pit.min_size_px) == (None, 0.0)
    assert [(golden.picture, golden.code) for golden in recipe.golden] == [
        ("golden/ng.png", Code.NG)
    ]
    assert recipe.score_floor == 0.35


def test_every_mistake_in_a_recipe_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'name = ""\ncolour = 1\n[image]\ndark_below = -1\n'
        '[[class]]\nlabel = "a"\nthreshold = 1.5\n[[class]]\nlabel = "b"\nthreshold = 0\n'
        '[[class]]\nlabel = "c"\nthreshold = 0.3\nundecided_from = 0.4\n'
        '[[golden]]\npicture = "x.png"\nexpect = "fine"\n'
    )
    with pytest.raises(SettingsError) as told:
        recipes.read(path)
    text = str(told.value)
    assert str(path) in text
    assert len(told.value.problems) == 7
    for word in ("name", "colour", "dark_below", "1.5", "threshold: got 0", "0.4", "fine"):
        assert word in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"name = ", "TOML"),
        (b'name = "a"', "class"),
        (b'name = "a"\nclass = []', "at least 1"),
        (b'name = "a"\nclass = 3', "double brackets"),
        (FILE + b'[[class]]\nlabel = "pit"\nthreshold = 0.5\n', "'pit'] more than once"),
        (FILE.replace(b"0.6", b"nan"), "nan"),
        (FILE.replace(b"0.6", b"inf"), "inf"),
    ],
)
def test_a_broken_recipe_is_a_sentence(content: bytes, told: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        parse(content, "r.toml")
    assert told in str(wrong.value)


def test_a_recipe_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        recipes.read(tmp_path / "no.toml")


def test_a_recipe_must_name_every_class_of_the_model_and_no_other() -> None:
    recipe = parse(FILE, "r")
    assert check_labels(recipe, ("pit", "scratch")) == []
    assert ["chip" in problem for problem in check_labels(recipe, ("pit", "scratch", "chip"))] == [
        True
    ]
    assert ["scratch" in problem for problem in check_labels(recipe, ("pit",))] == [True]


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01, math.nan, math.inf])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(SettingsError):
        recipes.simple(LABELS, threshold)


def test_without_a_recipe_one_threshold_is_for_every_class() -> None:
    recipe = recipes.simple(LABELS, 0.4)
    assert check_labels(recipe, LABELS) == []
    assert [judge([found(0.4, label, 1)], recipe).code for label in LABELS] == [Code.NG, Code.NG]
    assert judge([found(0.39)], recipe) == Verdict(Code.OK)


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
    assert judge([found(score, side=side)], parse(FILE, "r")).code is code


def test_nothing_found_is_ok() -> None:
    assert judge([], parse(FILE, "r")) == Verdict(Code.OK)


def test_the_worst_is_the_highest_score_among_those_that_decided() -> None:
    recipe = parse(FILE, "r")
    small = found(0.99, side=2.0)  # below the minimum size: decides nothing
    verdict = judge([small, found(0.7), found(0.8, "pit"), found(0.4)], recipe)
    assert verdict == Verdict(Code.NG, worst=found(0.8, "pit"))
    harmless = found(0.55, "pit")  # below its threshold, and no band
    unsure = judge([small, harmless, found(0.4), found(0.45)], recipe)
    assert unsure == Verdict(Code.UNDECIDED, Reason.UNCERTAIN, found(0.45))


@given(st.lists(detections(), max_size=6), some_recipes(), st.data())
def test_what_is_no_number_or_no_class_of_ours_is_never_ok_or_ng(
    sound: list[Detection], recipe: Recipe, data: st.DataObject
) -> None:
    number = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    place = data.draw(st.integers(0, 5))
    box = [1.0, 1.0, 9.0, 9.0]
    if place < 4:
        box[place] = number
    score = number if place == 4 else 0.001
    label = "unheard of" if place == 5 else "pit"
    bad = Detection(label, score, (box[0], box[1], box[2], box[3]))
    among = data.draw(st.permutations([*sound, bad]))
    assert judge(among, recipe) == Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)


@given(st.lists(detections(), max_size=6), detections(), some_recipes())
def test_one_more_detection_never_makes_a_part_better(
    some: list[Detection], more: Detection, recipe: Recipe
) -> None:
    order = (Code.OK, Code.UNDECIDED, Code.NG)
    before, after = judge(some, recipe), judge([*some, more], recipe)
    assert order.index(after.code) >= order.index(before.code)


@given(st.lists(detections(), max_size=6), some_recipes(), st.floats(0.01, 1), st.integers(0, 1))
def test_a_lower_threshold_never_makes_a_part_better(
    some: list[Detection], recipe: Recipe, threshold: float, which: int
) -> None:
    old = recipe.classes[which]
    assume(threshold < old.threshold)
    band = old.undecided_from if (old.undecided_from or 0) <= threshold else threshold
    stricter = ClassLimits(
        label=old.label, threshold=threshold, undecided_from=band, min_size_px=old.min_size_px
    )
    classes = tuple(stricter if n == which else recipe.classes[n] for n in range(2))
    order = (Code.OK, Code.UNDECIDED, Code.NG)
    before, after = judge(some, recipe), judge(some, Recipe(name="r", classes=classes))
    assert order.index(after.code) >= order.index(before.code)


@given(st.lists(detections(), max_size=6), some_recipes(), st.data())
def test_the_order_of_detections_does_not_matter(
    some: list[Detection], recipe: Recipe, data: st.DataObject
) -> None:
    assert judge(data.draw(st.permutations(some)), recipe) == judge(some, recipe)


@given(st.lists(detections(), max_size=6), some_recipes())
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
