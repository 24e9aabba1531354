"""[[tag]] by device name: area, address and word order of the PLC or slave that it is read from."""

from pathlib import Path
from typing import Any

import pytest

from edge import check, settings
from edge.plc.codecs import speaks
from edge.plc.devices import name_of
from edge.plc.profile import names, read
from edge.plc.tag_lane import groups
from edge.profiled import fill
from tests.test_profiled import with_keys
from tests.test_settings import WHOLE, problems_of, written

METER = '[[slave]]\nname = "meter"\nbus = "b1"\nunit = 7\n'


def tag(address: object, keys: str = "", name: str = "t", source: str = 'station = "s1"') -> str:
    shown = f'"{address}"' if isinstance(address, str) else address
    return f'[[tag]]\nname = "{name}"\naddress = {shown}\n{source}\n{keys}\n'


def line(profile: str, *tags: str, station: str = "", slaves: str = "") -> str:
    return with_keys(f'profile = "{profile}"\n', station) + slaves + "".join(tags)


def read_tag(tmp_path: Path, text: str) -> settings.Tag:
    (found,) = settings.read(written(tmp_path, text)).tag
    return found


# -- devices -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "device", "keys", "area", "address"),
    [
        ("delta-dvp", "D100", "", "holding", 0x1064),
        ("delta-dvp", "D4096", 'type = "u32"', "holding", 0x9000),
        ("delta-dvp", "M10", 'type = "bit"', "coil", 0x080A),
        ("delta-dvp", "Y20", 'type = "bit"', "coil", 0x0510),
        ("delta-dvp", "X17", 'type = "bit"', "discrete", 0x040F),
        ("delta-dvp", "D5", 'type = "bit"\nbit = 3', "holding", 0x1005),
        ("generic", "HR5", "", "holding", 5),
        ("generic", "IR5", 'area = "input"', "input", 5),
        ("panasonic-fp", "DT20", "", "holding", 20),
        ("panasonic-fp", "R1F", 'type = "bit"', "coil", 2048 + 31),
        ("siemens-s7-200-smart", "VW10", "", "holding", 5),
        ("siemens-s7-200-smart", "AIW2", 'type = "i16"', "input", 1),
        ("omron-cp", "CIO1.05", 'type = "bit"', "coil", 21),
        ("omron-cp", "CIO5", "", "holding", 10_005),
    ],
)
def test_a_device_is_its_area_and_address(
    tmp_path: Path, profile: str, device: str, keys: str, area: str, address: int
) -> None:
    found = read_tag(tmp_path, line(profile, tag(device, keys)))
    assert (found.area, found.address) == (area, address)


@pytest.mark.parametrize("profile", names())
def test_first_and_last_device_of_every_area_can_be_a_tag(profile: str) -> None:
    areas = read(profile).area
    devices = [area.device + end for area in areas for end in (area.first, area.last)]
    kinds = [area.kind for area in areas for _ in range(2)]
    document: dict[str, Any] = {
        "bus": [{"name": "b", "profile": profile}],
        "station": [{"name": "s", "bus": "b"}],
        "tag": [
            {"name": f"t{n}", "station": "s", "address": device}
            | ({} if kind in ("holding", "input") else {"type": "bit"})
            for n, (device, kind) in enumerate(zip(devices, kinds, strict=True))
        ],
    }
    assert fill(document) == []
    assert [one["area"] for one in document["tag"]] == kinds
    back = [name_of(areas, one["area"], one["address"]) for one in document["tag"]]
    assert back == devices


def test_a_number_stays_one_beside_a_profile(tmp_path: Path) -> None:
    found = read_tag(tmp_path, line("delta-dvp", tag(100, 'area = "input"')))
    assert (found.area, found.address) == ("input", 100)


def test_every_mistake_of_every_tag_is_told_in_one_go(tmp_path: Path) -> None:
    tags = (
        tag("Q1", name="letter"),
        tag("X18", name="octal"),
        tag("D10000", name="far"),
        tag("D4095", 'type = "u32"', name="end"),
        tag("M10", name="word"),
        tag("M10", 'type = "f32"\nscale = 0', name="float"),
        tag("D5", 'area = "coil"', name="area"),
        tag("D5", 'type = "bit"', name="bit"),
        tag("D5", 'type = "u17"', name="type"),
        tag("HR5", name="bare", source='slave = "meter"'),
        tag("D5", name="nobody", source='station = "s9"'),
    )
    assert problems_of(tmp_path, line("delta-dvp", *tags, slaves=METER)) == [
        "[tag letter] address: 'Q1' is no device of this PLC; there are D, S, Y, M, X",
        "[tag octal] address: 'X18' is no number of X, which counts 0 to 7, 10 to 17, 20",
        "[tag far] address: 'D10000' does not exist; there are D0 to D4095, D4096 to D9999",
        "[tag end] address: D4095 and the register after it, as 'u32' takes both, do not both "
        "exist; there are D0 to D4095, D4096 to D9999",
        "[tag word] type: 'M10' is a single bit, and 'u16' takes registers; expected 'bit', or one "
        "of D0 to D4095, D4096 to D9999",
        "[tag float] type: 'M10' is a single bit, and 'f32' takes registers; expected 'bit', or "
        "one of D0 to D4095, D4096 to D9999",
        "[tag area] area: 'D5' is in 'holding'; expected no area",
        "[tag bare] address: got 'HR5', expected a whole number from 0 to 65535, or a profile in "
        "[slave meter] that knows this device",
        "[tag type] type: got 'u17', expected one of 'bit', 'u16', 'i16', 'u32', 'i32', 'f32'",
        "[tag bit] bit: missing; expected which bit of the register, 0 to 15",
        "[tag nobody] station: no [[station]] is named 's9'; there are ['s1']",
    ]


def test_registers_that_touch_others_are_not_theirs(tmp_path: Path) -> None:
    """D9999 is 9999 and CIO0 is 10000: no 32 bits reach from one into the other."""
    (problem,) = problems_of(tmp_path, line("omron-cp", tag("D9999", 'type = "u32"')))
    assert "D9999 and the register after it" in problem
    (problem,) = problems_of(tmp_path, line("omron-cp", station='read_base = "D9990"\n'))
    assert "read_base: D9990 and the 11 registers after it do not all exist" in problem


@pytest.mark.parametrize("key", ["bus", "slave"])
def test_a_profile_that_is_none_is_told_once_and_its_devices_are_not(
    tmp_path: Path, key: str
) -> None:
    wrong = 'profile = "delta"\n'
    if key == "bus":
        text = with_keys(wrong, 'read_base = "D100"\n') + tag("D5")
    else:
        text = WHOLE + METER + wrong + tag("D5", source='slave = "meter"')
    (problem,) = problems_of(tmp_path, text)
    assert "profile: no profile is named 'delta'" in problem


def test_a_tag_of_a_station_without_a_bus_is_told(tmp_path: Path) -> None:
    text = WHOLE.replace('bus = "b1"\ntrigger = "software"', 'recipe = 1\ntrigger = "camera"')
    (problem,) = problems_of(tmp_path, text + tag("D5"))
    assert problem == (
        "[tag t] station: 's1' has no bus that it could be read by; expected a slave"
    )


# -- word order --------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["DBW40", 20])
def test_the_word_order_is_that_of_the_family(tmp_path: Path, address: object) -> None:
    text = line("siemens-s7-1200", tag(address, 'type = "u32"'))
    assert read_tag(tmp_path, text).word_order == "high_first"


def test_a_word_order_that_is_given_stands(tmp_path: Path) -> None:
    keys = 'type = "u32"\nword_order = "low_first"'
    text = line("siemens-s7-1200", tag("DBW40", keys))
    assert read_tag(tmp_path, text).word_order == "low_first"


@pytest.mark.parametrize("profile", ["", 'profile = "generic"\n'])
def test_a_slave_is_not_of_the_family_of_its_bus(tmp_path: Path, profile: str) -> None:
    own = tag(20, 'type = "u32"', source='slave = "meter"')
    text = line("siemens-s7-1200", own, slaves=METER + profile)
    assert read_tag(tmp_path, text).word_order == "low_first"


def test_a_slave_of_a_family_has_its_devices_and_word_order(tmp_path: Path) -> None:
    own = tag("DBW4", 'type = "u32"', source='slave = "meter"')
    text = WHOLE + METER + 'profile = "siemens-s7-1200"\n' + own
    found = read_tag(tmp_path, text)
    assert (found.address, found.word_order) == (2, "high_first")


# -- what a slave's profile means for its bus --------------------------------------------------


@pytest.mark.parametrize(
    ("bus", "gap_ms"),
    [
        ("", 10.0),
        ("gap_ms = 4\n", 4.0),
        ('profile = "generic"\n', 10.0),
        ('protocol = "modbus_tcp"\n', 0.0),
    ],
)
def test_the_silence_that_a_slave_needs_is_kept_on_its_bus(
    tmp_path: Path, bus: str, gap_ms: float
) -> None:
    text = with_keys(bus) + METER + 'profile = "delta-dvp"\n'
    if "tcp" in bus:
        text = text.replace('port = "/dev/ttyUSB0"', 'host = "192.168.0.10"')
        text = text.replace("delta-dvp", "xinje-xd")
    assert settings.read(written(tmp_path, text)).bus[0].gap_ms == gap_ms


def test_a_slave_whose_family_does_not_speak_as_the_bus_does_is_told(tmp_path: Path) -> None:
    slave = METER + 'profile = "omron-cp"\n'
    assert problems_of(tmp_path, WHOLE + slave) == [
        "[slave meter] profile: omron-cp speaks 'host_link', but [bus b1] is 'modbus_rtu'"
    ]


def test_check_prints_the_profiles_of_slaves(tmp_path: Path) -> None:
    text = WHOLE + METER + 'profile = "generic"\n'
    first, *_ = check.profiles(settings.read(written(tmp_path, text)))
    assert first == "PROFILE slave meter: generic: 通用 Modbus 从站"


# -- protocols that are not Modbus -------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "more", "problem"),
    [
        (
            "host_link",
            tag(5, 'area = "discrete"\ntype = "bit"'),
            "[tag t] address: discrete 5: function 2; Host Link has 1, 3 and 16",
        ),
        (
            "host_link",
            METER.replace("unit = 7", "unit = 40"),
            "[slave meter]: unit 40; Host Link has 0 to 31",
        ),
        (
            "mitsubishi_fx",
            tag(8000),
            "[tag t] address: holding 8000: function 3, 8000 to 8000; the FX programming port has ",
        ),
        (
            "mewtocol",
            tag(5, 'area = "input"'),
            "[tag t] address: input 5: function 4, bits 5 to 5; MEWTOCOL has functions 1, 2, 3",
        ),
    ],
)
def test_what_a_protocol_cannot_ask_is_told(
    tmp_path: Path, protocol: str, more: str, problem: str
) -> None:
    text = with_keys(f'protocol = "{protocol}"\n') + more
    told = [one for one in problems_of(tmp_path, text) if not one.startswith("[station")]
    assert len(told) == 1
    assert told[0].startswith(problem)


def test_neighbours_of_two_areas_are_read_apart(tmp_path: Path) -> None:
    text = line("omron-cp", tag("D9998", name="a"), tag("D9999", name="b"), tag("CIO0", name="c"))
    wiring = settings.read(written(tmp_path, text))
    bus = wiring.bus[0]
    found = groups(wiring.tag, wiring.station, [], lambda request: speaks(bus, request))
    assert [(g.request.address, g.request.count) for g in found] == [(9998, 2), (10_000, 1)]
    assert not speaks(bus, groups(wiring.tag, wiring.station, [])[0].request)
