"""Light controllers: their protocol byte by byte, and real ports with scripted and real slaves."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import PlcError, PlcTimeoutError
from edge.plc import light_protocol as protocol
from edge.plc.light import LightController
from edge.plc.light_protocol import Command, Outcome, answered
from tests.light_peer import PlayedController, wiring
from tests.serial_peers import Cable, built_libmodbus_slave, libmodbus_slave, pymodbus_slave

commands = st.builds(Command, st.integers(1, 4), st.integers(1, 9), st.integers(0, 255))


@pytest.fixture
def played() -> Iterator[PlayedController]:
    with PlayedController() as controller:
        yield controller


def test_a_command_is_the_eight_characters_of_the_protocol() -> None:
    assert Command(protocol.SET, 2, 128).encode() == b"$320801D"
    assert Command(protocol.ON, 1).encode() == b"$1100014"
    assert Command(protocol.READ, 4, 0).encode() == b"$4400014"


@given(commands, st.integers(0, 255))
def test_a_brightness_comes_back_as_it_was_sent(asked: Command, value: int) -> None:
    reading = Command(protocol.READ, asked.channel)
    answer = Command(protocol.READ, asked.channel, value).encode()
    assert answered(reading, answer) == (Outcome.DONE, value)
    assert answered(reading, answer.lower()) in ((Outcome.DONE, value), (Outcome.WRONG, 0))


@given(commands, st.binary(max_size=20))
def test_noise_is_never_taken_for_done(asked: Command, heard: bytes) -> None:
    outcome, value = answered(asked, heard)
    if outcome is Outcome.DONE and asked.command == protocol.READ:
        assert heard[:4] == f"$4{asked.channel}0".encode()
        assert heard[4:6].upper() == f"{value:02X}".encode()
    elif outcome is Outcome.DONE:
        assert heard == b"$"


@given(commands, st.integers(0, 7), st.integers(1, 255))
def test_a_damaged_answer_is_never_a_brightness(asked: Command, place: int, change: int) -> None:
    reading = Command(protocol.READ, asked.channel)
    answer = bytearray(Command(protocol.READ, asked.channel, asked.value).encode())
    answer[place] ^= change
    outcome, value = answered(reading, bytes(answer))
    assert outcome is not Outcome.DONE or value == asked.value, "only its case may have changed"


def test_channels_shine_as_they_are_set(played: PlayedController) -> None:
    light = LightController(wiring(played.port))
    light.set({1: 200, 3: 0})
    assert (played.brightness[1], played.on) == (200, {1})
    assert light.get(1) == 200
    light.set({1: 0})
    assert played.on == set()
    light.close()
    light.close()


@pytest.mark.parametrize(
    ("say", "kind", "told"),
    [
        (b"&", PlcError, "light l1 at /dev/pts/.*: channel 1: the controller refuses command 3"),
        (b"", PlcTimeoutError, "channel 1: no answer within 0.2 s"),
        (b"\xff\x00", PlcError, "wrong answer"),
        (b"$31080..", PlcError, "wrong answer"),
    ],
)
def test_what_is_no_answer_is_a_sentence_and_the_next_command_gets_through(
    played: PlayedController, say: bytes, kind: type[PlcError], told: str
) -> None:
    light = LightController(wiring(played.port))
    played.others = [say]
    with pytest.raises(kind, match=told):
        light.set({1: 128})
    light.set({1: 129})
    assert played.brightness[1] == 129
    light.close()


def test_a_controller_that_was_without_power_is_named(played: PlayedController) -> None:
    light = LightController(wiring(played.port))
    light.set({1: 200, 3: 0})
    light.hold(lambda: True)
    played.reboot()
    told = "light l1: channel 1 is at 0 and was set to 200: the controller was without power"
    with pytest.raises(PlcError, match=told):
        light.hold(lambda: True)
    light.set({1: 200, 3: 0})
    light.hold(lambda: True)
    light.close()


def test_a_channel_that_kept_its_brightness_and_not_its_light_is_switched_on_again(
    played: PlayedController,
) -> None:
    light = LightController(wiring(played.port))
    light.set({1: 200, 3: 0})
    played.on = {3}
    light.hold(lambda: True)
    assert played.on == {1}
    light.close()


def test_a_channel_that_cannot_be_read_is_set_again(played: PlayedController) -> None:
    light = LightController(wiring(played.port))
    light.set({1: 200})
    played.reboot()
    played.others = [protocol.REFUSED]
    light.hold(lambda: True)
    assert (played.brightness[1], played.on) == (200, {1})
    light.close()


def test_nothing_is_said_to_a_controller_while_a_part_is_under_way(
    played: PlayedController,
) -> None:
    light, looks = LightController(wiring(played.port)), iter([True, False])
    light.set({1: 200, 2: 100})
    said = len(played.heard)
    light.hold(lambda: next(looks))
    asked = [one[1:3] for one in played.heard[said:]]
    assert asked == [b"41", b"11"], "channel 1, then no more"
    light.close()


def test_an_adapter_that_was_pulled_is_a_fault_and_answers_once_it_is_back(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    light = LightController(wiring(str(adapter)))
    with PlayedController() as pulled:
        adapter.symlink_to(pulled.port)
        light.set({1: 200})
    with pytest.raises(PlcError, match=r"light l1 at .*/adapter: channel 1"):
        light.hold(lambda: True)
    adapter.unlink()
    with PlayedController() as back:
        adapter.symlink_to(back.port)
        light.set({1: 200})
        assert back.brightness[1] == 200
        light.close()


def test_an_adapter_that_echoes_is_not_taken_for_a_controller() -> None:
    with PlayedController() as echo:
        echo.others = [Command(protocol.SET, 1, 5).encode()]
        light = LightController(wiring(echo.port))
        with pytest.raises(PlcError, match="echoing adapter"):
            light.set({1: 5})
        light.close()


def test_a_camera_that_hangs_in_its_proof_does_not_keep_the_node_from_closing() -> None:
    light, held, over = LightController(wiring("/dev/no-such-port")), Event(), Event()

    def hang() -> None:
        with light.alone:
            held.set()
            over.wait()

    threads = [Thread(target=hang), Thread(target=light.close, daemon=True)]
    threads[0].start()
    assert held.wait(5)
    threads[1].start()
    threads[1].join(20)
    closed = not threads[1].is_alive()
    over.set()
    threads[0].join()
    assert closed


def test_a_port_that_is_not_there_and_a_channel_too_many_are_sentences() -> None:
    light = LightController(wiring("/dev/no-such-port", channels=2))
    with pytest.raises(PlcError, match="light l1 at /dev/no-such-port"):
        light.set({1: 5})
    with pytest.raises(PlcError, match="light l1: no channel 3; it has 1 to 2"):
        light.set({3: 5})
    with pytest.raises(PlcError, match="no channel 0"):
        light.get(0)
    modbus = LightController(wiring("/dev/no-such-port", "modbus"))
    with pytest.raises(PlcError, match="/dev/no-such-port cannot be opened"):
        modbus.set({1: 5})


def test_a_modbus_controller_is_set_by_one_register_a_channel() -> None:
    with Cable() as cable, pymodbus_slave(cable.far, [0] * 50):
        light = LightController(
            wiring(cable.near, "modbus", base=10, baudrate=115200, reply_timeout_s=1.0)
        )
        light.set({1: 77, 4: 255})
        assert [light.get(channel) for channel in range(1, 5)] == [77, 0, 0, 255]
        light.hold(lambda: True)
        light.close()
        other = LightController(wiring(cable.near, "modbus", base=10, baudrate=115200))
        other.set({4: 9})
        other.close()
        with pytest.raises(PlcError, match="channel 4 is at 9 and was set to 255"):
            light.hold(lambda: True)
        light.close()


@pytest.mark.needs_libmodbus
def test_a_modbus_controller_of_another_make_is_set_too(tmp_path: Path) -> None:
    program = built_libmodbus_slave(tmp_path)
    with Cable() as cable, libmodbus_slave(program, cable.far):
        light = LightController(
            wiring(cable.near, "modbus", base=100, baudrate=115200, reply_timeout_s=1.0)
        )
        assert light.get(2) == 1102
        light.set({2: 60})
        assert light.get(2) == 60
        light.close()


def test_a_modbus_controller_that_refuses_is_a_sentence() -> None:
    with Cable() as cable, pymodbus_slave(cable.far, [0] * 5):
        light = LightController(
            wiring(cable.near, "modbus", base=100, baudrate=115200, reply_timeout_s=1.0)
        )
        with pytest.raises(PlcError, match="refuses with code 2"):
            light.set({1: 77})
        light.close()
