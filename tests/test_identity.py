"""A node and its hub over TLS: the real link, the shipped broker, and every wrong file in words."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge import check, settings
from edge.__main__ import main
from edge.errors import LinkError
from edge.mqtt import identity, session
from edge.mqtt.identity import Files
from edge.mqtt.link import Link
from edge.outbox import Outbox
from edge.settings import Hub, Node
from edge.upstream_settings import upstream, upstream_resolved
from hub import registry
from hub.authority import fingerprint, signed_by
from hub.settings import Broker
from tests.broker_peer import free_port
from tests.gate_peer import GateHub
from tests.hub_peer import HubPeer, until
from tests.identity_peer import Plant, ShippedBroker, shipped_broker, utc
from tests.ledger_rows import epoch_row, part_row
from tests.small_line import EDGE

NODE = Node(plant="p", line="l", name="n1", data_dir="unused")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


def by(files: Files, port: int, host: str = "127.0.0.1") -> Hub:
    """[hub] of a node with these files."""
    return Hub(
        broker_host=host,
        broker_port=port,
        ca_file=str(files.authority),
        certificate_file=str(files.certificate),
        key_file=str(files.key),
    )


def told(hub: Hub, ledger: Outbox, caplog: pytest.LogCaptureFixture) -> str:
    """The first trouble that the link tells."""
    caplog.set_level(logging.WARNING)
    link = Link(NODE, hub, ledger, reconnect_s=(0.05, 0.2))
    link.start()
    try:
        until(lambda: "down: " in caplog.text)
        assert not link.online
    finally:
        link.close()
    return caplog.text


@pytest.fixture
def peer(tmp_path: Path, plant: Plant) -> Iterator[ShippedBroker]:
    plant.revoke()
    with shipped_broker(tmp_path, plant) as running:
        yield running


@pytest.mark.needs_mosquitto
def test_rows_go_over_tls_and_a_renewed_certificate_needs_no_restart(
    peer: ShippedBroker, plant: Plant, ledger: Outbox, tmp_path: Path
) -> None:
    files = plant.node("n1", folder="renewed")
    hub = HubPeer(peer.hub_port, login=("quanjian-hub", tmp_path / "password"))
    link = Link(NODE, by(files, peer.port), ledger, answer_s=0.5, reconnect_s=(0.05, 0.2))
    link.start()
    try:
        ledger.append(*(part_row(number) for number in range(1, 50)))
        hub.wait_for(lambda: hub.next(ledger.stream) == 51)
        plant.revoke(plant.serial(files))
        plant.node("n1", folder="renewed")  # other files in the same place
        peer.kill()
        until(lambda: not link.online)
        peer.start()
        ledger.append(part_row(50))
        hub.wait_for(lambda: hub.next(ledger.stream) == 52)
        until(lambda: ledger.waiting == 0)
    finally:
        link.close()
        hub.close()
    assert hub.broken == []


@pytest.mark.needs_mosquitto
def test_a_certificate_that_the_broker_refuses_is_told_as_that(
    plant: Plant, ledger: Outbox, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    files = plant.node("n1", folder="revoked")
    plant.revoke(plant.serial(files))
    with shipped_broker(tmp_path, plant) as peer:
        assert session.UNGREETED in told(by(files, peer.port), ledger, caplog)
    assert ledger.waiting == 1


@pytest.mark.needs_mosquitto
def test_a_broker_of_another_authority_is_not_believed(
    peer: ShippedBroker, ledger: Outbox, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    rogue = Plant(tmp_path / "rogue").node("n1")
    said = told(by(rogue, peer.port), ledger, caplog)
    assert "the server's certificate: self-signed certificate" in said


@pytest.mark.needs_mosquitto
def test_a_broker_of_another_name_is_not_believed(
    ledger: Outbox, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    plant = Plant(tmp_path / "plant", "elsewhere.plant")
    with shipped_broker(tmp_path, plant) as peer:
        said = told(by(plant.node("n1"), peer.port), ledger, caplog)
    assert "the server's certificate: IP address mismatch" in said


@pytest.mark.needs_mosquitto
def test_a_plain_broker_is_not_spoken_to(
    peer: ShippedBroker, plant: Plant, ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    assert "down: " in told(by(plant.node("n1"), peer.hub_port), ledger, caplog)


def test_a_clock_that_is_wrong_is_told_by_the_link_with_what_to_do(
    plant: Plant, ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    future = plant.node("n1", before=timedelta(days=-30), folder="future")
    said = told(by(future, free_port()), ledger, caplog)
    assert "not valid before" in said
    assert "the clock of this computer says 2" in said
    assert identity.CLOCK_HINT in said


def test_every_file_that_is_wrong_is_named(plant: Plant, tmp_path: Path) -> None:
    def wrong(files: Files, why: str, node: str = "n1") -> None:
        with pytest.raises(LinkError, match=why):
            identity.context(files, node, utc())

    good, other = plant.node("n1"), plant.node("n2")
    rogue = Plant(tmp_path / "rogue").node("n1")
    away = tmp_path / "away"
    identity.context(good, "n1", utc())
    wrong(good, "is of 'n1', but .node. name is 'n2'", "n2")
    wrong(Files(away, good.certificate, good.key), "ca_file .*away: cannot be read")
    wrong(Files(good.authority, away, good.key), "certificate_file .*away: cannot be read")
    wrong(Files(good.authority, good.certificate, away), "key_file .*away: cannot be read")
    wrong(Files(good.key, good.certificate, good.key), "ca_file .*: not a certificate")
    wrong(Files(good.authority, good.certificate, good.authority), "expected 600")
    wrong(Files(good.authority, good.certificate, other.key), "does not belong to certificate_file")
    wrong(Files(rogue.authority, good.certificate, good.key), "not signed by ca_file")
    good.key.chmod(0o640)
    wrong(good, "mode is 640, expected 600: others can read it")
    good.key.chmod(0o600)
    good.key.write_bytes(b"no key")
    wrong(good, "key_file .*: not a key")


def test_a_request_under_way_does_not_touch_the_present_pair(plant: Plant) -> None:
    files = plant.node("n1", folder="waiting")
    identity.write_key(files.new_key, identity.new_key())
    before = files.key.read_bytes()
    identity.examine(files, "n1", utc())
    assert (files.key.read_bytes(), files.new_key.exists()) == (before, True)


def test_a_signer_signs_with_the_key_as_it_is_on_disk(plant: Plant) -> None:
    files = plant.node("n1", folder="signer")
    sign = identity.signer(files)
    before = files.certificate.read_text()
    for _ in range(2):
        certificate, signature = sign(b"a day")
        assert certificate == files.certificate.read_text()
        assert signed_by(certificate.encode(), b"a day", signature)
        plant.node("n1", folder="signer")  # renewed
    assert certificate != before
    files.key.write_bytes(plant.node("n1", folder="another").key.read_bytes())
    with pytest.raises(LinkError, match="not of the key"):
        sign(b"a day")


def test_a_comment_in_any_language_may_stand_in_the_files(plant: Plant) -> None:
    files = plant.node("n1", folder="comments")
    for file in (files.authority, files.certificate):
        file.write_bytes("# 泉检，一号线\n".encode() + file.read_bytes())
    assert len(identity.context(files, "n1", utc()).get_ca_certs()) == 1


def test_a_server_of_any_authority_in_the_file_is_believed(plant: Plant, tmp_path: Path) -> None:
    old, new = plant.authority.certificate, Plant(tmp_path / "new").authority.certificate
    (tmp_path / "both.pem").write_bytes(old + new)
    assert len(identity.server_context(tmp_path / "both.pem").get_ca_certs()) == 2


def test_three_files_or_none() -> None:
    plain = Hub(broker_host="h")
    assert upstream(plain) == []
    assert identity.files_of(plain) is None
    [problem] = upstream(Hub(broker_host="h", ca_file="ca.pem", key_file="node.key"))
    assert problem == (
        "[hub] ca_file, certificate_file, key_file: give all three or none; "
        "given: ca_file, key_file"
    )


def test_files_start_at_the_folder_of_edge_toml() -> None:
    hub = Hub(broker_host="h", ca_file="a", certificate_file="/b/c", key_file="d/e", token_file="t")
    found = upstream_resolved(hub, Path("/etc/quanjian"))
    assert (found.ca_file, found.certificate_file) == ("/etc/quanjian/a", "/b/c")
    assert (found.key_file, found.token_file) == ("/etc/quanjian/d/e", "/etc/quanjian/t")


def edge_toml(folder: Path, port: int, files: Files, gate: str) -> Path:
    """A node's settings with this [hub], well formed; nothing of its line is there."""
    text = EDGE.format(port="/dev/nothing")
    hub = [
        "[hub]",
        'broker_host = "127.0.0.1"',
        f"broker_port = {port}",
        f'pictures_url = "{gate}"',
        f'ca_file = "{files.authority}"',
        f'certificate_file = "{files.certificate}"',
        f'key_file = "{files.key}"\n',
    ]
    config = folder / "edge.toml"
    config.write_text("\n".join([text, *hub]), encoding="utf-8")
    return config


def test_check_says_when_the_certificate_ends_and_who_renews_it(
    plant: Plant, tmp_path: Path
) -> None:
    files = plant.node("node-1", folder="check")
    for gate, renewed in (
        ("https://hub:8443", "renewed by the node itself"),
        ("http://127.0.0.1:8080", "nobody renews it: pictures_url is not https"),
    ):
        wiring = settings.read(edge_toml(tmp_path, free_port(), files, gate))
        trials = dict(check.trials(wiring, unsigned=True))
        said = trials["certificate"]()
        assert f"{utc() + timedelta(days=90):%Y-%m-%d}" in said
        assert renewed in said
    files.key.chmod(0o644)
    with pytest.raises(LinkError, match="others can read it"):
        trials["certificate"]()


@pytest.mark.needs_mosquitto
def test_check_greets_the_broker_with_the_certificate_and_says_why_it_is_refused(
    plant: Plant, tmp_path: Path
) -> None:
    good, revoked = plant.node("node-1", folder="good"), plant.node("node-1", folder="bad")
    rogue = Plant(tmp_path / "rogue").node("node-1")
    plant.revoke(plant.serial(revoked))

    def tried(files: Files, port: int) -> str:
        config = edge_toml(tmp_path, port, files, "https://hub:8443")
        return dict(check.trials(settings.read(config), unsigned=True))["broker"]()

    with shipped_broker(tmp_path, plant) as running:
        assert "takes this node's certificate, TLS 1.3" in tried(good, running.port)
        with pytest.raises(LinkError, match=r"does not take this node's certificate: .*REVOKED"):
            tried(revoked, running.port)
        with pytest.raises(LinkError, match=r"the server's certificate: self-signed"):
            tried(rogue, running.port)
    with pytest.raises(LinkError, match="Connection refused"):
        tried(good, running.port)


def test_enrol_by_the_command_and_its_mistakes(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.add(database, "test", "line-1", "node-1")
    hub = GateHub(database, tmp_path / "hub", Broker(host="127.0.0.1", port=9))
    files = hub.files("node-1")
    config = edge_toml(tmp_path, free_port(), files, hub.url)
    token = tmp_path / "token"
    token.write_text(hub.token("node-1"))
    command = ["enrol", "--config", str(config), "--token-file", str(token), "--hub", hub.url]
    seen = fingerprint(hub.authority.certificate)
    assert main([*command, "--fingerprint", seen]) == 2
    assert "mode is 644, expected 600" in capsys.readouterr().err
    token.chmod(0o600)
    assert main([*command, "--fingerprint", seen]) == 1
    assert "Connection refused" in capsys.readouterr().err
    with hub.gate(), hub.duties():
        assert main([*command, "--fingerprint", "0" * 64]) == 1
        assert f"expected {'0' * 64}" in capsys.readouterr().err
        shown = ":".join(seen[at : at + 2] for at in range(0, 64, 2)).upper()
        assert main([*command, "--fingerprint", shown]) == 0
    assert f"{files.certificate}: until " in capsys.readouterr().out
    assert not token.exists()
    identity.examine(files, "node-1", utc())
    config.write_text(config.read_text().split("ca_file")[0])
    assert main([*command, "--fingerprint", seen]) == 2
    assert "missing; expected where to write them" in capsys.readouterr().err
