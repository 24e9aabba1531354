"""mosquitto with the shipped files, against everybody who should not get in or get through."""

import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge.mqtt.identity import Files
from edge.mqtt.message import MAX_BATCH_BYTES
from hub.broker.kick import kick
from hub.broker.link import Link, Message
from hub.errors import BrokerError
from hub.settings import Broker
from tests.hub_peer import until
from tests.identity_peer import Caller, Plant, ShippedBroker, shipped_broker

pytestmark = pytest.mark.needs_mosquitto

IN, DENIED = "in: Success", "Not authorized"
TAKEN = ("Success", "No matching subscribers")
Calls = Callable[..., Caller]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture
def peer(tmp_path: Path, plant: Plant) -> Iterator[ShippedBroker]:
    plant.revoke()
    with shipped_broker(tmp_path, plant) as running:
        yield running


@pytest.fixture
def call(peer: ShippedBroker) -> Iterator[Calls]:
    """Somebody at the nodes' listener."""
    callers: list[Caller] = []

    def begun(files: Files | None, client_id: str = "") -> Caller:
        callers.append(Caller(peer.port, files, client_id))
        return callers[-1]

    yield begun
    for caller in callers:
        caller.close()


@pytest.fixture
def hub(peer: ShippedBroker) -> Iterator[Link]:
    with Link(peer.hub) as link:
        assert link.connected.wait(30)
        yield link


def heard(hub: Link, node: Caller) -> Message:
    """The next message that the hub hears, which this node sent."""
    message = hub.next(30)
    connected = hub.connected.is_set()
    assert message is not None, f"{node.answers} {node.published} hub connected: {connected}"
    return message


def test_a_node_writes_its_own_topics_and_the_hub_hears_them(
    plant: Plant, call: Calls, hub: Link
) -> None:
    node = call(plant.node("n1"))
    assert node.answer() == IN
    for leaf in ("parts", "birth", "notice", "state"):
        topic = f"qj/1/p/l/n1/{leaf}"
        assert node.publish(topic) == "Success"
        assert heard(hub, node).topic == topic


def test_the_hub_answers_one_node_and_no_other_hears_it(
    plant: Plant, call: Calls, hub: Link
) -> None:
    first, second = call(plant.node("n1")), call(plant.node("n2"))
    for node in (first, second):
        assert node.answer() == IN
        node.listen("qj/1/#")
    hub.publish("qj/1/p/l/n1/ack", b"{}")
    hub.publish("qj/1/p/l/n2/ack", b"{}")
    first.wait_for(lambda: bool(first.heard))
    second.wait_for(lambda: bool(second.heard))
    assert (first.heard, second.heard) == (["qj/1/p/l/n1/ack"], ["qj/1/p/l/n2/ack"])


def test_what_is_not_a_nodes_own_is_refused_and_reaches_nobody(
    plant: Plant, call: Calls, hub: Link
) -> None:
    node = call(plant.node("n1"))
    assert node.answer() == IN
    for topic in (
        "qj/1/p/l/n2/parts",
        "qj/1/p/l/n2/state",
        "qj/1/p/l/n1/ack",
        "qj/1/p/l/n2/ack",
        "qj/1/p/l/n1/parts/more",
        "qj/1/p/n1/parts",
        "other",
        "$SYS/broker",
    ):
        assert node.publish(topic) == DENIED, topic
    assert node.publish("qj/1/p/l/n1/parts", b"last") == "Success"
    assert heard(hub, node).payload == b"last"


def test_a_client_id_of_another_node_does_not_push_it_out(plant: Plant, call: Calls) -> None:
    victim = call(plant.node("n1"), client_id="n1")
    assert victim.answer() == IN
    attacker = call(plant.node("n2"), client_id="n1")
    assert attacker.answer() == IN
    assert attacker.publish("qj/1/p/l/n1/parts") == DENIED
    assert attacker.publish("qj/1/p/l/n2/parts") in TAKEN
    assert victim.publish("qj/1/p/l/n1/parts") in TAKEN
    assert victim.answers == [IN]


def test_without_a_certificate_of_this_authority_nobody_gets_in(
    plant: Plant, call: Calls, tmp_path: Path
) -> None:
    nothing = Files(tmp_path / "no", tmp_path / "no", tmp_path / "no")
    rogue = Plant(tmp_path / "rogue").node("n1")
    servers = Files(
        plant.folder / "ca.pem", plant.folder / "server.pem", plant.folder / "server.key"
    )
    over = plant.node("n1", before=timedelta(days=90, minutes=1), folder="over")
    future = plant.node("n1", before=timedelta(days=-2), folder="future")
    for files in (None, nothing, rogue, servers, over, future):
        assert call(files, client_id="n1").answer().startswith("out: ")
    assert call(plant.node("n1")).answer() == IN


def test_tls_1_2_is_not_spoken(plant: Plant, peer: ShippedBroker) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    files = plant.node("n1")
    old.load_cert_chain(files.certificate, files.key)
    with (
        socket.create_connection(("127.0.0.1", peer.port), 30) as wire,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(wire)


def test_a_revoked_node_is_refused_and_a_live_one_thrown_out(
    plant: Plant, call: Calls, peer: ShippedBroker
) -> None:
    files, probe = plant.node("n1"), plant.node("n3")
    live, other = call(files), call(plant.node("n2"))
    assert (live.answer(), other.answer()) == (IN, IN)
    plant.revoke(plant.serial(files), plant.serial(probe))
    peer.send(signal.SIGHUP)
    until(lambda: call(probe).answer().startswith("out: "))  # n1 itself would push `live` out
    assert live.publish("qj/1/p/l/n1/parts") in TAKEN, "the list alone does not end a session"
    kick(peer.hub, "n1")
    live.wait_for(lambda: len(live.answers) >= 2)
    assert live.answers[1].startswith("out: ")
    assert call(files).answer().startswith("out: ")
    assert other.publish("qj/1/p/l/n2/parts") in TAKEN
    kick(peer.hub, "n7")  # who is not there is no error


def test_the_hubs_listener_wants_its_password(peer: ShippedBroker, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    wrong = Broker(
        host="127.0.0.1",
        port=peer.hub_port,
        username="quanjian-hub",
        password_file=str(tmp_path / "wrong"),
    )
    for settings in (wrong, Broker(host="127.0.0.1", port=peer.hub_port)):
        with pytest.raises(BrokerError, match="cannot be thrown out: Not authorized"):
            kick(settings, "n1")


def test_a_broker_that_is_not_there_is_told(tmp_path: Path, plant: Plant) -> None:
    gone = ShippedBroker(tmp_path, plant)
    with pytest.raises(BrokerError, match="n1 cannot be thrown out"):
        kick(gone.hub, "n1")


def test_the_largest_batch_passes_and_a_larger_message_does_not(
    plant: Plant, call: Calls, hub: Link
) -> None:
    node = call(plant.node("n1"))
    assert node.answer() == IN
    assert node.publish("qj/1/p/l/n1/parts", b"x" * MAX_BATCH_BYTES) == "Success"
    assert len(heard(hub, node).payload) == MAX_BATCH_BYTES
    node.send("qj/1/p/l/n1/parts", b"x" * (MAX_BATCH_BYTES + 1))
    node.wait_for(lambda: len(node.answers) >= 2)
    assert node.answers[1].startswith("out: ")  # mosquitto 2.0 hangs up over it
    again = call(plant.node("n1"))
    assert again.answer() == IN
    assert again.publish("qj/1/p/l/n1/parts", b"last") == "Success"
    assert heard(hub, again).payload == b"last"
