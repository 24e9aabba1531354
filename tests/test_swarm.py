"""The played nodes of bench.fleet: their few packets of MQTT, and a cell of two nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import fleet
from bench.swarm import mqtt


@given(payloads=st.lists(st.binary(max_size=300), max_size=4), cuts=st.data())
def test_packets_come_whole_however_they_are_cut(
    payloads: list[bytes], cuts: st.DataObject
) -> None:
    sent = b"".join(mqtt.publish(n, "a/b", payload) for n, payload in enumerate(payloads, 1))
    parser, found = mqtt.Parser(), list[mqtt.Packet]()
    while sent:
        size = cuts.draw(st.integers(1, len(sent)))
        found += parser.feed(sent[:size])
        sent = sent[size:]
    assert [packet.published() for packet in found] == list(enumerate(payloads, 1))
    assert {packet.kind for packet in found} <= {mqtt.PUBLISH}


@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384])
def test_lengths_of_one_to_three_bytes(size: int) -> None:
    (packet,) = mqtt.Parser().feed(mqtt.publish(7, "t", bytes(size)))
    assert packet.published() == (7, bytes(size))


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (b"\x20\x03\x00\x00\x00", False),
        (b"\x20\x03\x00\x87\x00", True),  # CONNACK: not authorized
        (b"\x90\x04\x00\x01\x00\x01", False),
        (b"\x90\x04\x00\x01\x00\x87", True),  # SUBACK: not authorized
        (b"\x40\x02\x00\x01", False),
        (b"\x40\x03\x00\x01\x87", True),  # PUBACK: not authorized
    ],
)
def test_a_broker_that_says_no_is_heard(said: bytes, refused: bool) -> None:
    (packet,) = mqtt.Parser().feed(said)
    assert packet.refused is refused


@pytest.mark.needs_mosquitto
def test_the_hub_has_every_row_of_a_cell_and_its_laws_balance() -> None:
    seen = fleet.cell(nodes=2, workers=2, seconds=1.0)
    assert seen["parts"] > 10
    assert (seen["missing"], seen["unbalanced"], seen["waiting"]) == (0, 0, 0)
