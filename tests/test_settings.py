"""edge.toml: what it means and how its mistakes are told."""

from pathlib import Path
from typing import get_args

import pytest

from edge import settings
from edge.errors import SettingsError
from edge.plc.codecs import PROTOCOLS, data_bits_of

WHOLE = """
[node]
plant = "demo"
line = "line-1"
name = "node-1"
data_dir = "data"

[hub]
broker_host = "127.0.0.1"
token_file = "token"

[[bus]]
name = "b1"
port = "/dev/ttyUSB0"

[[camera]]
name = "c1"
kind = "folder"
source = "pictures"

[[camera]]
name = "c2"
kind = "rtsp"
source = "rtsp://127.0.0.1/one"
delay_ms = 40

[[recipe]]
number = 1
path = "plate.toml"
model = "base.onnx"

[[station]]
name = "s1"
bus = "b1"
trigger = "software"
cameras = ["c1", "c2"]
speed_mm_s = 0
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.read(written(tmp_path, text))
    return caught.value.problems


def test_files_are_found_from_the_folder_of_edge_toml(tmp_path: Path) -> None:
    read = settings.read(written(tmp_path, WHOLE))
    assert read.node.data_dir == str(tmp_path / "data")
    assert read.node.pictures_dir == str(tmp_path / "data" / "pictures")
    assert read.recipe[0].model == str(tmp_path / "base.onnx")
    assert [c.source for c in read.camera] == [str(tmp_path / "pictures"), "rtsp://127.0.0.1/one"]
    assert read.hub is not None
    assert read.hub.token_file == str(tmp_path / "token")


def test_twelve_mistakes_are_twelve_lines(tmp_path: Path) -> None:
    spoiled = (
        WHOLE.replace('plant = "demo"', 'plant = "Demo Plant"\ncity = "jinan"')
        .replace('broker_host = "127.0.0.1"', "broker_port = 70000")
        .replace('port = "/dev/ttyUSB0"', "baudrate = 9601")
        .replace('kind = "folder"', 'kind = "webcam"')
        .replace("number = 1", "number = 0")
        .replace('trigger = "software"', "unit = 900\ndeadline_ms = 5")
        .replace('cameras = ["c1", "c2"]', 'cameras = ["c1", "c9"]')
    )
    found = problems_of(tmp_path, spoiled)
    keys = [line.split(":")[0] for line in found]
    assert keys == [
        "[node] city",
        "[node] plant",
        "[hub] broker_host",
        "[hub] broker_port",
        "[bus b1] baudrate",
        "[camera c1] kind",
        "[recipe 1] number",
        "[station s1] unit",
        "[station s1] trigger",
        "[station s1] deadline_ms",
        "[bus b1] port",
        "[station s1] cameras",
    ]
    assert found[4] == (
        "[bus b1] baudrate: got 9601, expected one of 9600, 19200, 38400, 57600, 115200"
    )


@pytest.mark.parametrize("host", ["broker..lan", "", "b" * 64, "a broker", "泉检..lan"])
def test_a_broker_that_no_name_leads_to_is_a_mistake(tmp_path: Path, host: str) -> None:
    spoiled = WHOLE.replace('broker_host = "127.0.0.1"', f'broker_host = "{host}"')
    (found,) = problems_of(tmp_path, spoiled)
    assert found.startswith("[hub] broker_host: got ")
    assert found.endswith("expected a host name or an IP address")


@pytest.mark.parametrize("host", ["broker", "broker.plant.lan.", "10.0.0.1", "::1", "fe80::1%eth0"])
def test_a_broker_is_a_name_or_an_address(tmp_path: Path, host: str) -> None:
    text = WHOLE.replace('broker_host = "127.0.0.1"', f'broker_host = "{host}"')
    assert settings.read(written(tmp_path, text)).hub is not None


def test_an_address_for_pictures_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    for url in ("ftp://hub", "http://hub..lan:8080", "http://[", "hub:8080", "http://hub:99999"):
        given = f'token_file = "token"\npictures_url = "{url}"'
        (found,) = problems_of(tmp_path, WHOLE.replace('token_file = "token"', given))
        assert found.startswith(f"[hub] pictures_url: '{url}'; ")


def test_names_used_twice_or_never_defined_are_mistakes(tmp_path: Path) -> None:
    spoiled = WHOLE.replace('name = "c2"', 'name = "c1"').replace('bus = "b1"', 'bus = "b9"')
    assert problems_of(tmp_path, spoiled) == [
        "[[camera]] name: 'c1' is used twice",
        "[station s1] bus: no [[bus]] is named 'b9'; there are ['b1']",
        "[station s1] cameras: no [[camera]] is named 'c2'; there are ['c1']",
    ]


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"[node\n", "is not TOML"), (b"\xff\xfe\x00", "is not UTF-8")],
)
def test_a_file_that_is_no_toml_is_one_sentence(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=word):
        settings.read(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.read(tmp_path / "nowhere.toml")


SECOND = """
[[station]]
name = "s2"
bus = "b1"
trigger = "software"
cameras = ["c2"]
speed_mm_s = 0
"""


def test_two_stations_may_not_share_registers_of_one_plc(tmp_path: Path) -> None:
    both = WHOLE.replace('cameras = ["c1", "c2"]', 'cameras = ["c1"]') + SECOND
    found = problems_of(tmp_path, both)
    assert found == [
        "[station s2] read_base: registers 0 to 11 of unit 1 are also in [station s1] read_base",
        "[station s2] write_base: registers 100 to 109 of unit 1 are also in "
        "[station s1] write_base",
    ]
    settings.read(written(tmp_path, both + "unit = 2\n"))


def test_the_blocks_of_one_station_may_not_overlap(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, WHOLE + "write_base = 11\n")
    assert found.startswith("[station s1] write_base: registers 11 to 20")


def test_a_camera_can_serve_one_station_once(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, WHOLE.replace('["c1", "c2"]', '["c1", "c1"]'))
    assert found == "[[station]] cameras: 'c1' is used twice; a frame can show one part only"


def test_a_port_can_be_one_bus_only(tmp_path: Path) -> None:
    again = WHOLE + '\n[[bus]]\nname = "b2"\nport = "/dev/ttyUSB0"\n'
    assert problems_of(tmp_path, again) == ["[[bus]] port: '/dev/ttyUSB0' is used twice"]


def test_a_login_in_an_address_is_a_mistake_that_is_told_without_it(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, WHOLE.replace("//127.0.0.1/one", "//cam:secret@127.0.0.1/one"))
    assert found.startswith("[camera c2] source: a login in it is a mistake; put user:password")
    assert "secret" not in found
    pipeline = 'kind = "gstreamer"\nsource = "rtspsrc location=rtsp://{login}@host/one ! decodebin"'
    whole = WHOLE.replace('kind = "rtsp"\nsource = "rtsp://127.0.0.1/one"', pipeline)
    assert settings.read(written(tmp_path, whole)).camera[1].kind == "gstreamer"
    (found,) = problems_of(tmp_path, whole.replace("//{login}@host", "//host user-pw=secret"))
    assert "a login in it is a mistake" in found
    assert "secret" not in found


def test_a_source_without_exposure_times_must_say_how_late_it_is(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, WHOLE.replace("delay_ms = 40\n", ""))
    assert found.startswith("[camera c2] delay_ms: missing; expected the ms from exposure")


def test_a_stream_that_cannot_tell_a_part_from_the_next_is_refused(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, WHOLE.replace("delay_ms = 40", "delay_ms = 400"))
    assert found.startswith("[camera c2] delay_ms: 400; expected less than the 100 ms")


def test_a_camera_that_counts_no_triggers_is_refused_for_moving_parts(tmp_path: Path) -> None:
    found = problems_of(tmp_path, WHOLE.replace('"software"', '"hardware"'))
    assert [line.split(";")[0] for line in found] == [
        "[station s1] trigger: 'hardware' needs a camera that counts its triggers, "
        "which 'c1' (folder) does not",
        "[station s1] trigger: 'hardware' needs a camera that counts its triggers, "
        "which 'c2' (rtsp) does not",
    ]


@pytest.mark.parametrize("kind", ["gige", "usb3", "gentl"])
def test_an_industrial_camera_for_moving_parts_needs_the_input_of_the_sensor(
    tmp_path: Path, kind: str
) -> None:
    wired = WHOLE.replace('"software"', '"hardware"').replace('["c1", "c2"]', '["c1"]')
    wired = wired.replace('kind = "folder"', f'kind = "{kind}"')
    (found,) = problems_of(tmp_path, wired)
    assert found.startswith("[camera c1] trigger_line: missing; expected the input")
    whole = wired.replace(f'"{kind}"', f'"{kind}"\ntrigger_line = "Line0"')
    assert settings.read(written(tmp_path, whole)).camera[0].trigger_line == "Line0"


@pytest.mark.parametrize(
    ("more", "tolerance_s"),
    [("", 0.1), ("max_rate_per_s = 4\n", 0.25), ("frame_tolerance_ms = 700\n", 0.7)],
)
def test_a_standing_part_is_believed_to_stand_until_the_next_can_be_there(
    tmp_path: Path, more: str, tolerance_s: float
) -> None:
    (station,) = settings.read(written(tmp_path, WHOLE + more)).station
    assert station.tolerance_s == tolerance_s


@pytest.mark.parametrize(
    ("speed", "told"),
    [
        ("", "[station s1] speed_mm_s: missing; expected 0 = parts stand, as 'c2' (rtsp) does not"),
        ("speed_mm_s = 80\n", "[station s1] cameras: parts move at 80 mm/s, and 'c2' (rtsp) does"),
    ],
)
def test_moving_parts_need_exposure_times_and_nobody_may_forget_to_say_that_they_move(
    tmp_path: Path, speed: str, told: str
) -> None:
    (found,) = problems_of(tmp_path, WHOLE.replace("speed_mm_s = 0\n", speed))
    assert found.startswith(told)


def on_the_belt(offset: str, station: str = "") -> str:
    """Two cameras one after the other over a moving belt."""
    pictures = WHOLE.replace('kind = "rtsp"', 'kind = "folder"')
    return pictures.replace("delay_ms = 40\n", offset).replace("speed_mm_s = 0\n", station)


@pytest.mark.parametrize(
    ("offset", "offset_s"), [("offset_ms = 250\n", 0.25), ("offset_mm = 200\n", 0.2), ("", 0.0)]
)
def test_the_way_from_sensor_to_camera_is_a_time_or_a_length(
    tmp_path: Path, offset: str, offset_s: float
) -> None:
    read = settings.read(written(tmp_path, on_the_belt(offset, "speed_mm_s = 1000\n")))
    assert [read.station[0].offset_s(camera) for camera in read.camera] == [0.0, offset_s]


@pytest.mark.parametrize(
    ("offset", "station", "told"),
    [
        ("offset_mm = 200\n", "", "offset_mm: needs speed_mm_s above 0 in [station s1]"),
        ("offset_ms = 1\noffset_mm = 1\n", "", "offset_mm: offset_ms stands there too"),
        ("offset_ms = 350\n", "", "offset: its picture may come 450 ms after the sensor edge, but"),
        ("offset_mm = 350\n", "speed_mm_s = 1000\n", "offset: its picture may come 450 ms after"),
    ],
)
def test_an_offset_that_cannot_be_reckoned_or_leaves_no_time_is_a_mistake(
    tmp_path: Path, offset: str, station: str, told: str
) -> None:
    (found,) = problems_of(tmp_path, on_the_belt(offset, station))
    assert found.startswith(f"[camera c2] {told}")


def on_the_bus(keys: str) -> str:
    """The same node with other keys for its bus."""
    return WHOLE.replace('port = "/dev/ttyUSB0"', keys)


@pytest.mark.parametrize(
    ("keys", "place", "bits"),
    [
        ('port = "/dev/ttyS1"', "/dev/ttyS1", 8),
        ('usb = "1-1.4"\nprotocol = "modbus_ascii"', "usb 1-1.4", 7),
        ('usb = "A5"\nprotocol = "modbus_ascii"\ndata_bits = 8', "usb A5", 8),
        ('host = "192.168.0.9"\nprotocol = "modbus_tcp"', "192.168.0.9:502", 8),
        ('host = "127.0.0.1"\ntcp_port = 1502\nprotocol = "modbus_tcp"', "127.0.0.1:1502", 8),
        ('port = "/dev/ttyS1"\nrs485 = true\nrs485_after_ms = 2\necho = true', "/dev/ttyS1", 8),
    ],
)
def test_a_bus_is_a_serial_port_a_usb_adapter_or_an_address(
    tmp_path: Path, keys: str, place: str, bits: int
) -> None:
    (bus,) = settings.read(written(tmp_path, on_the_bus(keys))).bus
    assert bus.place == place
    assert data_bits_of(bus) == bits


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("baudrate = 9600", "port: missing; expected the serial port, or usb"),
        ('port = "/dev/ttyS1"\nusb = "1-1"', "usb: port stands there too; expected one of them"),
        ('usb = "1-1"\nhost = "10.0.0.1"', "host: usb stands there too; expected one of them"),
        ('port = "a"\nprotocol = "modbus_tcp"', "host: missing; expected the PLC's IP address"),
        ('host = "10.0.0.1"', "host: '10.0.0.1' needs protocol = 'modbus_tcp', and this is"),
        ('host = "plc"\nprotocol = "modbus_tcp"', "host: 'plc'; expected an IP address inside"),
        ('host = "8.8.8.8"\nprotocol = "modbus_tcp"', "host: '8.8.8.8'; expected an IP address"),
        (
            'host = "10.0.0.1"\nprotocol = "modbus_tcp"\nbaudrate = 9600',
            "baudrate: 9600; expected no such key: TCP is no serial line",
        ),
        (
            'host = "10.0.0.1"\nprotocol = "modbus_tcp"\necho = true',
            "echo: True; expected no such key: TCP is no serial line",
        ),
        ('port = "a"\ntcp_port = 503', "tcp_port: 503; expected no such key on a serial line"),
        ('port = "a"\ndata_bits = 7', "data_bits: 7; expected 8, as modbus_rtu sends bytes"),
        ('port = "a"\nrs485_after_ms = 2', "rs485: missing; expected true where RS-485 delays"),
    ],
)
def test_keys_of_a_bus_that_do_not_go_together_are_mistakes(
    tmp_path: Path, keys: str, told: str
) -> None:
    (found,) = problems_of(tmp_path, on_the_bus(keys))
    assert found.startswith(f"[bus b1] {told}")


def test_an_address_can_be_one_bus_only(tmp_path: Path) -> None:
    keys = 'host = "10.0.0.1"\nprotocol = "modbus_tcp"'
    again = on_the_bus(keys) + f'\n[[bus]]\nname = "b2"\n{keys}\n'
    assert problems_of(tmp_path, again) == ["[[bus]] port: '10.0.0.1:502' is used twice"]


def test_every_protocol_that_can_be_written_has_its_codec() -> None:
    assert set(get_args(settings.BusProtocol)) == set(PROTOCOLS)
