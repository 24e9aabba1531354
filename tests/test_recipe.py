"""A recipe file: read whole, every mistake told at once: edge.recipe."""

import math
from pathlib import Path

import pytest

from edge import recipe as recipes
from edge.errors import SettingsError
from edge.judgement import judge
from edge.limits import ClassLimits
from edge.recipe import check_labels, check_scales, parse
from edge.terms import Code, Detection, Verdict

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
        (b"name = " + b"[" * 20_000, "TOML"),
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


ZONE = b"""
[[zone]]
name = "edge"
kind = "forbidden"
camera = "c1"
polygon = [[0, 0], [50, 0], [50, 20], [0, 20]]
"""


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        (ZONE + b'labels = ["scrach"]\n', "'scrach' is no [[class]] label"),
        (ZONE + b"min_size_px = 3\n", "mean nothing in a forbidden zone"),
        (ZONE.replace(b"forbidden", b"tolerant"), "a tolerant zone needs min_size_px"),
        (ZONE + ZONE, "'edge'] more than once"),
        (ZONE.replace(b", [50, 20], [0, 20]", b""), "at least 3"),
        (
            ZONE.replace(b"[0, 0]", b"[0, 30]").replace(b" 0]", b" 25]")
            + b'[[view]]\ncamera = "c1"\nregion = [500, 500, 50, 10]\n',
            "lies beside the region of c1, which is 50 x 10 px",
        ),
    ],
)
def test_a_zone_that_could_never_act_is_a_mistake(zone: bytes, told: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        parse(FILE + zone, "r.toml")
    assert told in str(wrong.value)


IN_MM = FILE.replace(b"min_size_px = 12", b"min_size_mm = 0.4").replace(
    b"threshold = 0.6", b"threshold = 0.6\nmin_area_mm2 = 2"
)


def test_a_golden_picture_says_whose_view_it_is_where_views_are_compared_apart() -> None:
    template = b'[[template]]\ncamera = "c1"\npictures = ["good.png"]\nlabel = "pit"\n'
    with pytest.raises(SettingsError, match=r"golden/ng.png: camera missing.*\['c1'\]"):
        parse(FILE + template, "r.toml")
    assert parse(FILE + b'camera = "c2"\n' + template, "r.toml").golden[0].camera == "c2"
    assert parse(FILE + template.replace(b'camera = "c1"\n', b""), "r.toml").templates


def test_limits_in_mm_are_refused_where_a_camera_is_not_calibrated() -> None:
    recipe = parse(IN_MM, "r")
    assert check_scales(recipe, {"c1": 0.1, "c2": 0.2}, areas=True) == []
    told = check_scales(recipe, {"c1": 0.1, "c2": None, "c3": None}, areas=True)
    assert [text.split(":")[0] for text in told] == [
        "[class scratch] min_size_mm = 0.4",
        "[class pit] min_area_mm2 = 2",
    ]
    assert all("[camera c2], [camera c3]" in text for text in told)
    only_boxes = check_scales(recipe, {"c1": 0.1})
    assert ["boxes, no areas" in text for text in only_boxes] == [True]


def test_only_the_cameras_that_a_recipe_names_must_be_calibrated_for_it() -> None:
    recipe = parse(IN_MM + b'[[view]]\ncamera = "c1"\n', "r")
    assert check_scales(recipe, {"c1": 0.1, "c2": None}, areas=True) == []


def test_a_zone_of_a_camera_that_is_not_there_is_told() -> None:
    told = check_scales(parse(FILE + ZONE, "r"), {"c2": None})
    assert told == ["[[zone]] camera: no [[camera]] is named 'c1'; there are ['c2']"]
