"""Whether a line runs or stands, and why."""

from typing import Any

import pytest

from edge.plc.line_state import LineSeen, LineWatch
from edge.settings import Tag

CAUSE = Tag(name="why", station="s1", address=1, role="stop_cause", words={"3": "no material"})
STATE = Tag(name="state", station="s1", address=2, role="line_state")


class Tags:
    """What the tag lane knows."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, float]] = {}

    def __call__(self, source: str, tag: Tag, now_s: float) -> tuple[int, float] | None:
        assert source == "s1"
        return self.known.get(tag.name)


def seen(state: int, cause: int | None = None, word: str | None = None) -> LineSeen:
    return LineSeen("s1", state, cause, word)


def test_a_line_runs_stands_and_loses_its_plc() -> None:
    watch, tags = LineWatch("s1", []), Tags()
    story: list[tuple[bool | None, LineSeen | None]] = [
        (None, None),  # at the start nobody has to hear of it
        (True, seen(6)),
        (True, None),
        (False, seen(2)),
        (None, seen(0)),
        (True, seen(6)),
    ]
    for moment, (running, told) in enumerate(story):
        assert watch.see(running, tags, moment) == told


def test_the_cause_is_told_as_it_is_read_after_the_stop() -> None:
    watch, tags = LineWatch("s1", [CAUSE]), Tags()
    tags.known["why"] = 3, 0.5  # left over from the stop before
    assert watch.see(True, tags, 1.0) == seen(6)
    assert watch.see(False, tags, 2.0) == seen(2)
    tags.known["why"] = 3, 2.5
    assert watch.see(False, tags, 3.0) == seen(2, 3, "no material")
    assert watch.see(False, tags, 4.0) is None
    tags.known["why"] = 8, 4.5
    assert watch.see(False, tags, 5.0) == seen(2, 8)
    assert watch.see(True, tags, 6.0) == seen(6)


def test_a_plc_that_says_no_cause_has_none() -> None:
    watch, tags = LineWatch("s1", [CAUSE]), Tags()
    watch.see(False, tags, 1.0)
    tags.known["why"] = 0, 2.0
    assert watch.see(False, tags, 3.0) is None


@pytest.mark.parametrize(("said", "state"), [(0, 0), (5, 5), (17, 17), (18, 0), (400, 0)])
def test_a_packml_number_of_the_plc_goes_before_its_running_bit(said: int, state: int) -> None:
    watch, tags = LineWatch("s1", [STATE]), Tags()
    assert watch.see(True, tags, 1.0) is None  # not read yet: undefined, as at the start
    tags.known["state"] = said, 1.5
    told: Any = None if state == 0 else seen(state)
    assert watch.see(True, tags, 2.0) == told


def test_tags_of_other_stations_say_nothing_here() -> None:
    other = Tag(name="why", station="s2", address=1, role="stop_cause")
    watch = LineWatch("s1", [other])
    assert watch.see(False, Tags(), 1.0) == seen(2)
