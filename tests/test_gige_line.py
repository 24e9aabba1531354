"""A whole line with a GigE Vision camera, and a change-over while parts keep coming."""

from pathlib import Path

import pytest

from edge import settings
from edge.mqtt.message import PartRow
from edge.node import Node
from edge.terms import Code
from tests.gige_peer import ADDRESS, fake_camera
from tests.small_line import SimulatedPlc, rows_of, running, wire

pytestmark = pytest.mark.needs_aravis

PARTS = 24
SECOND = '\n[[recipe]]\nnumber = 2\npath = "second.toml"\nmodel = "tiny.onnx"\n'


def asking(folder: Path) -> settings.Settings:
    """Two recipes that look at regions of different height, of any brightness."""
    wire(folder, [False])
    recipe, path = folder / "squares.toml", folder / "edge.toml"
    text = recipe.read_text(encoding="utf-8").replace(
        "frozen = false", "frozen = false\ndark_below = 0.0\nsaturated_share = 1.0"
    )
    for name, height in (("squares", 64), ("second", 32)):
        view = f'camera = "c1"\nexposure_us = 100.0\nregion = [0, 0, 64, {height}]'
        named = text.replace('name = "squares"', f'name = "{name}"')
        (folder / f"{name}.toml").write_text(named.replace('camera = "c1"', view), encoding="utf-8")
    wiring = path.read_text(encoding="utf-8")
    wiring = wiring.replace(
        'kind = "folder"\nsource = "pictures"', f'kind = "gige"\nsource = "{ADDRESS}"'
    )
    path.write_text(wiring + SECOND, encoding="utf-8")
    return settings.read(path)


def test_no_part_is_judged_under_another_recipes_setup(tmp_path: Path) -> None:
    with fake_camera():
        node = Node(asking(tmp_path), unsigned=True)
        plc = SimulatedPlc(tmp_path, PARTS, rate=4, at=["2:recipe=2"])
        with running(node):
            plc.summary()
    parts = [row for row in rows_of(tmp_path) if isinstance(row, PartRow)]
    heights = {"squares": 64, "second": 32}
    for part in parts:
        (view,) = part.views
        assert part.code is not Code.OK or view.height == heights[part.recipe]
    passed = [part.recipe for part in parts if part.code is Code.OK]
    assert passed == sorted(passed, reverse=True)
    assert set(passed) == set(heights), [(part.number, part.recipe, part.code) for part in parts]
