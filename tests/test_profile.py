"""The profiles of PLC families: what is in them, and how mistakes in such a file are told."""

from typing import get_args

import pytest

from edge.errors import SettingsError
from edge.plc import profile
from edge.plc.codecs import PROTOCOLS
from edge.plc.devices import Place, place
from edge.settings import BusProtocol

FAMILIES = (
    "delta-dvp",
    "generic",
    "inovance-h3u",
    "inovance-h5u",
    "keyence-kv",
    "mitsubishi-fx3u",
    "mitsubishi-fx3u-modbus",
    "mitsubishi-fx5u",
    "omron-cp",
    "panasonic-fp",
    "siemens-s7-1200",
    "siemens-s7-200-smart",
    "xinje-xc",
    "xinje-xd",
)

GOOD = """
family = "x"
protocols = { value = ["modbus_rtu"], source = "a", verified = true }
gap_ms = { value = 10, source = "a", verified = false }
word_order = { value = "low_first", source = "a", verified = false }
[source]
a = "a page"
[[set_up]]
text = "do it"
source = "a"
verified = true
[[area]]
device = "D"
kind = "holding"
first = "0"
last = "9"
base = 100
source = "a"
verified = true
[[area]]
device = "D"
kind = "holding"
first = "10"
last = "19"
base = 200
source = "a"
verified = true
"""


def test_every_family_is_there_and_reads() -> None:
    assert tuple(profile.names()) == FAMILIES
    for name in FAMILIES:
        assert profile.read(name).family


def test_profiles_and_buses_know_the_same_protocols() -> None:
    assert set(get_args(profile.Speaks)) == set(PROTOCOLS) == set(get_args(BusProtocol))


@pytest.mark.parametrize(
    ("name", "device", "found"),
    [
        ("delta-dvp", "D0", Place("holding", 0x1000)),
        ("delta-dvp", "D5000", Place("holding", 0x9000 + 904)),
        ("delta-dvp", "M1536", Place("coil", 0xB000)),
        ("delta-dvp", "Y10", Place("coil", 0x508)),
        ("inovance-h3u", "R0", Place("holding", 0x3000)),
        ("inovance-h5u", "X10", Place("coil", 0xF808)),
        ("xinje-xc", "X10", Place("coil", 0x4008)),
        ("xinje-xd", "HD0", Place("holding", 0xA080)),
        ("xinje-xd", "Y10", Place("coil", 0x6008)),  # note 5 of the manual's p. 254
        ("xinje-xd", "D1000", Place("holding", 0x03E8)),  # example of its p. 257
        ("mitsubishi-fx3u", "M0", Place("coil", 0x800)),
        ("mitsubishi-fx3u-modbus", "Y377", Place("coil", 0x33FF)),
        ("mitsubishi-fx3u-modbus", "X0", Place("discrete", 0x3400)),
        ("panasonic-fp", "R255F", Place("coil", 0x17FF)),  # ends of the manual's table
        ("panasonic-fp", "Y73F", Place("coil", 0x049F)),
        ("siemens-s7-1200", "DBW8", Place("holding", 4)),
        ("siemens-s7-200-smart", "I1.0", Place("discrete", 8)),
        ("omron-cp", "CIO0", Place("holding", 10_000)),
        ("keyence-kv", "R100", Place("coil", 16)),
        ("generic", "HR7", Place("holding", 7)),
    ],
)
def test_devices_lie_where_the_sources_say(name: str, device: str, found: Place) -> None:
    assert place(profile.read(name).area, device) == found


def test_what_is_marked_verified_names_a_makers_manual() -> None:
    """A page or a section of one; blogs, drivers and hearsay do not count."""
    for name in FAMILIES:
        one = profile.read(name)
        known = [*(k for _, _, k in one.values()), *one.set_up]
        for source in {k.source for k in known if k.verified}:
            text = one.source[source]
            assert "未见" not in text, f"{name}: {text}"
            assert any(w in text for w in ("anual", "Specification", "specifications", "infohub"))
            assert not any(w in text for w in ("csdn", "cnblogs", "HslCommunication", "mbmap"))


def test_delta_speaks_ascii_with_seven_bits_and_rtu_with_the_protocols_own() -> None:
    delta = profile.read("delta-dvp")
    assert delta.defaults("modbus_ascii") == {
        "baudrate": 9600,
        "data_bits": 7,
        "parity": "E",
        "stop_bits": 1,
        "gap_ms": 10.0,
    }
    assert "data_bits" not in delta.defaults("modbus_rtu")
    assert delta.defaults("modbus_tcp") == {}


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no profile is named 'delta'.*'delta-dvp'"):
        profile.read("delta")
    with pytest.raises(SettingsError, match="no profile is named"):
        profile.read("../profile")


def test_a_good_file_is_good() -> None:
    assert profile.parse(GOOD.encode(), "x").area[1].base == 200


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ('first = "0"', 'first = "x"', "[area D] first: 'x' is not decimal"),
        ('last = "9"', 'last = "70000"', "[area D] last: 70000 has address 70100"),
        ('last = "19"', 'last = "5"', "[area D] last: 5 comes before 10"),
        ("base = 200", "base = 105", "[area D] base: shares addresses with D0 to D9"),
        ('first = "10"', 'first = "9"', "[area D] first: shares devices with D0 to D9"),
        ('gap_ms = { value = 10, source = "a"', 'gap_ms = { value = 10, source = "b"',
         "[gap_ms] source: 'b' is no key of [source]; there are ['a']"),
        ('"low_first", source = "a"', '"low_first", source = "d"',
         "[word_order] source: 'd' is no key"),
        ('text = "do it"\nsource = "a"', 'text = "do it"\nsource = "c"',
         "[set_up 1] source: 'c' is no key"),
        ('kind = "holding"\nfirst = "0"', 'kind = "register"\nfirst = "0"',
         "[area 1] kind: got 'register', expected one of"),
        ('["modbus_rtu"]', '["profibus"]', "[protocols] value: got"),
        ("verified = true }", 'verified = "yes" }', "[protocols] verified: got 'yes'"),
        ('device = "D"\nkind', 'device = "d"\nkind', "expected 1 to 4 capital letters"),
        ('family = "x"', 'family = "x"\nbaud = 1', "baud: unknown key"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_profile_is_told(good: str, bad: str, problem: str) -> None:
    assert good in GOOD
    with pytest.raises(SettingsError) as caught:
        profile.parse(GOOD.replace(good, bad, 1).encode(), "x.toml")
    assert any(problem in told for told in caught.value.problems), caught.value.problems


def test_all_mistakes_of_a_profile_are_told_at_once() -> None:
    broken = GOOD.replace('first = "0"', 'first = "x"').replace('family = "x"\n', "")
    broken = broken.replace('["modbus_rtu"]', "[]")
    with pytest.raises(SettingsError) as caught:
        profile.parse(broken.encode(), "x.toml")
    assert len(caught.value.problems) == 3
