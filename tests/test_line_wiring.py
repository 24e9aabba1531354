"""[[slave]] and [[tag]] of edge.toml: every mistake among them, in words."""

from pathlib import Path

import pytest

from edge import settings
from tests.test_settings import WHOLE, problems_of, written

METER = '[[slave]]\nname = "meter"\nbus = "b1"\nunit = 7\n'


def tag(keys: str, name: str = "t") -> str:
    return f'[[tag]]\nname = "{name}"\naddress = 5\n{keys}\n'


def test_a_line_with_a_meter_and_tags_is_read(tmp_path: Path) -> None:
    text = (
        WHOLE
        + METER
        + tag('slave = "meter"\ntype = "f32"\nscale = 0.000277778', "power")
        + tag('station = "s1"\narea = "coil"\ntype = "bit"\nwords = { "1" = "on" }', "door")
        + tag('station = "s1"\ntype = "bit"\nbit = 3', "lamp")
        + tag('station = "s1"\nrole = "stop_cause"', "why")
        + tag('station = "s1"\nrole = "line_state"', "state")
    )
    read = settings.read(written(tmp_path, text))
    assert [one.name for one in read.tag] == ["power", "door", "lamp", "why", "state"]
    assert read.slave[0].answer_ms == 50


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("", "station, slave: expected one of them, that it is read from"),
        ('station = "s1"\nslave = "meter"', "station, slave: expected one of them, that it is"),
        ('station = "s9"', "station: no [[station]] is named 's9'; there are ['s1']"),
        ('slave = "m9"', "slave: no [[slave]] is named 'm9'; there are ['meter']"),
        ('station = "s1"\narea = "coil"', "type: 'u16' in an area of bits; expected 'bit'"),
        ('station = "s1"\ntype = "bit"', "bit: missing; expected which bit of the register, 0 to"),
        ('station = "s1"\nbit = 3', "bit: only for type 'bit' in a register"),
        ('station = "s1"\nscale = 0', "scale: got 0.0, expected what one count is in `unit`"),
        ('station = "s1"\nscale = nan', "scale: got nan, expected what one count is in `unit`"),
        ('station = "s1"\nscale = 0.1234567', "scale: got 0.123457, expected at most 6 digits"),
        ('station = "s1"\nscale = 1e-12', "scale: got 1e-12, expected at most 6 digits"),
        ('station = "s1"\ntype = "bit"\nbit = 1\nscale = 2', "scale: a bit has none"),
        ('station = "s1"\ndead_band = inf', "dead_band: got inf, expected a number in `unit`"),
        ('slave = "meter"\nrole = "stop_cause"', "role: stop_cause is told by a station's PLC"),
        ('station = "s1"\nrole = "line_state"\ntype = "f32"', "role: line_state is a number of"),
        ('station = "s1"\ncounts = true\ntype = "bit"\nbit = 1', "counts: a bit does not count"),
        ('station = "s1"\nwords = { on = "an" }', "words: 'on' is no value; expected whole num"),
        ('station = "s1"\nscale = 0.1\nwords = { "1" = "an" }', "words: only for a whole number"),
        (f'station = "s1"\nwords = {{ "1" = "{"x" * 41}" }}', "words: 'xxxxxxxxxxxxxxxxxxxxxxx"),
    ],
)
def test_a_tag_that_cannot_be_is_told(tmp_path: Path, keys: str, problem: str) -> None:
    (found,) = problems_of(tmp_path, WHOLE + METER + tag(keys))
    assert found.startswith(f"[tag t] {problem}")


def test_a_tag_that_leaves_the_registers_is_told(tmp_path: Path) -> None:
    text = WHOLE + tag('station = "s1"\ntype = "u32"').replace("address = 5", "address = 65535")
    assert problems_of(tmp_path, text) == [
        "[tag t] address: 65535 and 2 registers leave 0 to 65535"
    ]


def test_tags_and_roles_used_twice_are_told(tmp_path: Path) -> None:
    twice = tag('station = "s1"\nrole = "stop_cause"')
    assert sorted(set(problems_of(tmp_path, WHOLE + twice + twice))) == [
        "[tag t] name: used twice for the same station or slave",
        "[tag t] role: a station has one tag that is its stop_cause",
    ]


@pytest.mark.parametrize(
    ("slaves", "problem"),
    [
        (METER.replace('"b1"', '"b9"'), "[slave meter] bus: no [[bus]] is named 'b9'; there are"),
        (METER.replace('"meter"', '"s1"'), "[slave s1] name: 's1' is used twice; rows name"),
        (METER.replace("unit = 7", "unit = 1"), "[slave meter] unit: 1 is the PLC of [station s1]"),
        (METER + METER.replace("unit = 7", "unit = 8"), "[slave meter] name: 'meter' is used twi"),
        (METER + METER.replace("meter", "other"), "[slave meter] unit: 7 is also [slave other]"),
    ],
)
def test_slaves_that_clash_are_told(tmp_path: Path, slaves: str, problem: str) -> None:
    found = problems_of(tmp_path, WHOLE + slaves)
    assert found[0].startswith(problem)
