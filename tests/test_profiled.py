"""edge.toml with a profile: defaults that may be overridden, devices in the place of addresses."""

from pathlib import Path

import pytest

from edge import check, settings
from tests.test_settings import WHOLE, problems_of, written

BUS = 'name = "b1"\n'
STATION = "speed_mm_s = 0\n"


def with_keys(bus: str = "", station: str = "") -> str:
    return WHOLE.replace(BUS, BUS + bus).replace(STATION, STATION + station)


def test_a_profile_gives_what_the_bus_does_not_say(tmp_path: Path) -> None:
    read = settings.read(written(tmp_path, with_keys('profile = "delta-dvp"\n')))
    bus = read.bus[0]
    assert (bus.protocol, bus.baudrate, bus.data_bits) == ("modbus_ascii", 9600, 7)
    assert (bus.parity, bus.stop_bits, bus.gap_ms) == ("E", 1, 10.0)


def test_what_edge_toml_says_stands(tmp_path: Path) -> None:
    bus = 'profile = "delta-dvp"\nprotocol = "modbus_rtu"\nbaudrate = 115200\ngap_ms = 12\n'
    read = settings.read(written(tmp_path, with_keys(bus))).bus[0]
    assert (read.protocol, read.baudrate, read.data_bits) == ("modbus_rtu", 115200, None)
    assert (read.gap_ms, read.parity) == (12.0, "E")


def test_a_network_address_needs_no_serial_defaults(tmp_path: Path) -> None:
    text = with_keys('profile = "xinje-xd"\nhost = "192.168.0.10"\n')
    read = settings.read(written(tmp_path, text.replace('port = "/dev/ttyUSB0"\n', ""))).bus[0]
    assert (read.protocol, read.baudrate) == ("modbus_tcp", 115200)


def test_devices_become_addresses(tmp_path: Path) -> None:
    keys = 'read_base = "D100"\nwrite_base = "D5000"\ncounters_base = 20\n'
    text = with_keys('profile = "delta-dvp"\n', keys)
    station = settings.read(written(tmp_path, text)).station[0]
    assert (station.read_base, station.write_base) == (0x1064, 0x9388)
    assert station.counters_base == 20


def test_devices_that_overlap_are_told_by_their_addresses(tmp_path: Path) -> None:
    text = with_keys('profile = "delta-dvp"\n', 'read_base = "D100"\nwrite_base = "D111"\n')
    (problem,) = problems_of(tmp_path, text)
    assert "registers 4207 to 4216 of unit 1 are also in [station s1] read_base" in problem


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("M12", "read_base: 'M12' is a single bit; expected D0 to D4095, D4096 to D9999"),
        ("X18", "read_base: 'X18' is no number of X, which counts 0 to 7, 10 to 17, 20"),
        ("Q1", "read_base: 'Q1' is no device of this PLC"),
        ("D4090", "read_base: D4090 and the 11 registers after it do not all exist"),
        ("D10000", "read_base: 'D10000' does not exist"),
    ],
)
def test_a_device_that_cannot_be_is_told_once(tmp_path: Path, device: str, why: str) -> None:
    text = with_keys('profile = "delta-dvp"\n', f'read_base = "{device}"\n')
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(f"[station s1] {why}")


def test_a_register_that_can_only_be_read_is_no_place_for_a_block(tmp_path: Path) -> None:
    text = with_keys('profile = "generic"\n', 'write_base = "IR5"\n')
    (problem,) = problems_of(tmp_path, text)
    assert problem == "[station s1] write_base: 'IR5' can only be read; expected HR0 to HR65535"


def test_a_device_without_a_profile_is_told_once(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, with_keys("", 'read_base = "D100"\n'))
    assert problem == (
        "[station s1] read_base: got 'D100', expected a whole number from 0 to 65000, or a "
        "profile in [bus b1] that knows this device"
    )


def test_a_profile_that_is_none_is_told_with_those_there_are(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, with_keys('profile = "delta"\n'))
    assert problem.startswith("[bus b1] profile: no profile is named 'delta'; there are ['delta-")


def test_a_protocol_that_the_family_does_not_speak_is_told(tmp_path: Path) -> None:
    bus = 'profile = "mitsubishi-fx3u"\nprotocol = "modbus_rtu"\n'
    (problem,) = problems_of(tmp_path, with_keys(bus))
    assert problem == (
        "[bus b1] protocol: mitsubishi-fx3u speaks 'mitsubishi_fx', not 'modbus_rtu'"
    )


@pytest.mark.parametrize("bus", ["profile = 7\n", 'profile = "generic"\nprotocol = 5\n'])
def test_what_is_no_text_is_told_as_any_other_key(tmp_path: Path, bus: str) -> None:
    (problem,) = problems_of(tmp_path, with_keys(bus))
    assert "expected" in problem


@pytest.mark.parametrize(
    ("bus", "station", "why"),
    [
        ('protocol = "mitsubishi_fx"\n', "unit = 2\n", "unit 2; the FX programming port is one"),
        ('protocol = "host_link"\n', "unit = 40\n", "unit 40; Host Link has 0 to 31"),
        ('protocol = "host_link"\n', "write_base = 9995\n", "registers 9995 to 10004 are neither"),
        ('protocol = "mitsubishi_fx"\n', "read_base = 7990\n", "D0 to D7999"),
        ("", "unit = 0\n", "unit: 0 is every unit in Modbus; expected 1 to 247"),
    ],
)
def test_registers_that_a_protocol_cannot_name_are_told(
    tmp_path: Path, bus: str, station: str, why: str
) -> None:
    problems = problems_of(tmp_path, with_keys(bus, station))
    assert [problem for problem in problems if why in problem], problems


def test_host_link_counts_its_units_from_zero(tmp_path: Path) -> None:
    keys = 'unit = 0\nread_base = "D100"\nwrite_base = "CIO50"\n'
    text = with_keys('profile = "omron-cp"\n', keys)
    read = settings.read(written(tmp_path, text))
    assert (read.station[0].unit, read.station[0].write_base) == (0, 10_050)
    assert (read.bus[0].data_bits, read.bus[0].stop_bits) == (7, 2)


def test_check_prints_every_value_with_its_source_and_whether_it_is_verified(
    tmp_path: Path,
) -> None:
    read = settings.read(written(tmp_path, with_keys('profile = "delta-dvp"\n')))
    first, *rest = check.profiles(read)
    assert first == "PROFILE bus b1: delta-dvp: 台达 DVP（ES2、EX2、SS2、SA2、SX2、SE）"
    told = "\n".join(rest)
    assert "gap_ms     10  已核实 [manual]\n" in told
    assert "parity     E  未核实 [default]\n" in told
    assert "holding    D4096 to D9999 = 36864 (9000h)  未核实 [map]\n" in told
    assert "in the PLC 出厂是 Modbus ASCII" in told
    assert "[manual] DVP-ES2/EX2" in told
    assert list(check.profiles(settings.read(written(tmp_path, WHOLE)))) == []


@pytest.mark.parametrize(
    "text",
    [
        "bus = 3\nstation = 4\n",
        'bus = ["x"]\nstation = [1, 2]\n',
        '[[bus]]\nprofile = "generic"\nname = ["x"]\n[[station]]\nbus = {}\nread_base = "D1"\n',
        '[bus]\nprofile = "generic"\n[station]\nread_base = "D1"\n',
        "slave = 3\ntag = [1, 2]\n",
        '[[slave]]\nprofile = "generic"\nbus = {}\n[[tag]]\nslave = ["x"]\naddress = "D1"\n',
        '[[bus]]\nname = "b"\nprofile = "generic"\n[[station]]\nname = "s"\nbus = "b"\n'
        '[[tag]]\nstation = "s"\naddress = "CO1"\ntype = []\narea = 3\nbit = {}\n',
    ],
)
def test_a_file_of_any_shape_is_told_and_never_raises(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text)
