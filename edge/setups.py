"""Which setup of a camera each recipe needs, so that only a real change is carried out. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from edge.limits import View
from edge.recipe import Recipe
from edge.vision.setup import AS_FOUND, asked


@dataclass(frozen=True, slots=True)
class Setup:
    """What one camera must be set to for a recipe; equal ones have equal numbers."""

    number: int = AS_FOUND
    view: View | None = None


def setups(camera: str, recipes: Mapping[int, Recipe]) -> dict[int, Setup]:
    """The setup of this camera for each recipe, by the recipe's number."""
    found: dict[int, Setup] = {}
    for number in sorted(recipes):
        view = _view(camera, recipes[number])
        same = (setup for setup in found.values() if setup.view == view)
        found[number] = next(same, Setup(number, view) if view is not None else Setup())
    return found


def gaps(recipes: Mapping[int, Recipe]) -> dict[int, list[str]]:
    """What a recipe leaves as the recipe before it set it: then nobody knows how it stands.

    Returns:
        Sentences by the number of the recipe that has to say more; {} = every recipe says all.
    """
    cameras = {view.camera for recipe in recipes.values() for view in recipe.views}
    found: dict[int, list[str]] = {}
    for camera in sorted(cameras):
        said = {number: set(_said(_view(camera, recipe))) for number, recipe in recipes.items()}
        for number, keys in sorted(said.items()):
            for other, more in sorted(said.items()):
                problems = [
                    f"[[view]] {camera}: {key} missing; recipe {other} of this node sets it"
                    for key in sorted(more - keys)
                    if not any(key in said[n] for n in said if n < other)
                ]
                found.setdefault(number, []).extend(problems)
    return {number: problems for number, problems in found.items() if problems}


def clashes(recipe: Recipe, lit: Mapping[str, str]) -> list[str]:
    """Lamps that nobody can switch, and those that two views set differently: the later would win.

    Args:
        lit: the light controller of each camera that has one, by their names.
    """
    told: dict[tuple[str, int], tuple[str, int]] = {}
    problems = [
        f"[[view]] {view.camera}: light: no [[light]] is wired to this camera"
        for view in recipe.views
        if view.light and view.camera not in lit
    ]
    for view in recipe.views:
        for light in view.light if view.camera in lit else ():
            own = view.camera, light.brightness
            camera, brightness = told.setdefault((lit[view.camera], light.channel), own)
            if brightness != light.brightness:
                problems.append(
                    f"[[view]] {view.camera}: light of channel {light.channel} is "
                    f"{light.brightness}, but {camera} sees by it too and sets it to {brightness}"
                )
    return problems


def _view(camera: str, recipe: Recipe) -> View | None:
    """What is asked of the camera; its reference picture asks nothing of it."""
    view = next((view for view in recipe.views if view.camera == camera), None)
    return replace(view, reference=None, reference_sha256=None) if view is not None else None


def _said(view: View | None) -> Iterator[str]:
    if view is None:
        return
    yield from asked(view)
    for light in view.light:
        yield f"light of channel {light.channel}"
