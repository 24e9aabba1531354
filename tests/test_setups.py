"""Only a real change of a camera's setup is one, and no recipe depends on the one before it."""

from edge.limits import ClassLimits, Light, View
from edge.recipe import Recipe
from edge.setups import clashes, gaps, setups
from edge.vision.setup import AS_FOUND


def recipe(*views: View) -> Recipe:
    return Recipe(name="r", views=views, classes=(ClassLimits(label="hole", threshold=0.5),))


BRIGHT = View(camera="c1", exposure_us=500, light=(Light(channel=2, brightness=90),))


def test_recipes_with_the_same_view_share_a_setup_whatever_their_reference_picture() -> None:
    again = View(
        camera="c1",
        exposure_us=500,
        light=BRIGHT.light,
        reference="good.png",
        reference_sha256="0" * 64,
    )
    dark = View(camera="c1", exposure_us=80, light=BRIGHT.light)
    found = setups("c1", {3: recipe(BRIGHT), 5: recipe(dark), 9: recipe(again)})
    assert {number: setup.number for number, setup in found.items()} == {3: 3, 5: 5, 9: 3}
    assert found[5].view == dark


def test_a_camera_that_no_recipe_speaks_of_stays_as_it_was_found() -> None:
    found = setups("c2", {3: recipe(BRIGHT), 5: recipe()})
    assert {(setup.number, setup.view) for setup in found.values()} == {(AS_FOUND, None)}


def test_a_recipe_that_leaves_what_another_sets_is_told_each_key_once() -> None:
    gain = View(camera="c1", exposure_us=500, gain_db=3)
    assert gaps({1: recipe(BRIGHT), 2: recipe(gain), 3: recipe(), 4: recipe(gain)}) == {
        1: ["[[view]] c1: gain_db missing; recipe 2 of this node sets it"],
        2: ["[[view]] c1: light of channel 2 missing; recipe 1 of this node sets it"],
        3: [
            "[[view]] c1: exposure_us missing; recipe 1 of this node sets it",
            "[[view]] c1: light of channel 2 missing; recipe 1 of this node sets it",
            "[[view]] c1: gain_db missing; recipe 2 of this node sets it",
        ],
        4: ["[[view]] c1: light of channel 2 missing; recipe 1 of this node sets it"],
    }


def test_recipes_that_all_say_the_same_or_nothing_are_fine() -> None:
    other = View(camera="c2", gain_db=3)
    both = recipe(BRIGHT, other)
    assert gaps({1: both, 2: both}) == {}
    assert gaps({1: recipe(), 2: recipe()}) == {}
    assert gaps({1: recipe(BRIGHT)}) == {}


def test_a_lamp_that_two_cameras_see_by_has_one_brightness() -> None:
    dim = View(camera="c2", light=(Light(channel=2, brightness=10),))
    one = {"c1": "l1", "c2": "l1"}
    assert clashes(recipe(BRIGHT, dim), one) == [
        "[[view]] c2: light of channel 2 is 10, but c1 sees by it too and sets it to 90"
    ]
    assert clashes(recipe(BRIGHT, dim), {"c1": "l1", "c2": "l2"}) == []
    assert clashes(recipe(BRIGHT, dim), {"c1": "l1"}) == [
        "[[view]] c2: light: no [[light]] is wired to this camera"
    ]
    same = View(camera="c2", light=BRIGHT.light)
    assert clashes(recipe(BRIGHT, same), one) == []
