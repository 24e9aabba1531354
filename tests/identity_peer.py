"""A plant's authority with its certificates, and mosquitto with the very files that are shipped."""

import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge.mqtt import identity
from edge.mqtt.identity import Files
from hub.authority import Authority, Revoked
from hub.settings import Broker as BrokerSettings
from tests.broker_peer import Broker, free_port

DEADLINE_S = 30.0
SHIPPED = Path(__file__).parent.parent / "systemd" / "mosquitto"
USER, PASSWORD = "quanjian-hub", "secret of the test"


def utc() -> datetime:
    return datetime.now(timezone.utc)


def spoiled(pem: bytes, old: str, new: str) -> bytes:
    """The same PEM with one place of its bytes changed, both hex."""
    text = pem.decode()
    head, foot = text.splitlines()[0], text.splitlines()[-1]
    der = ssl.PEM_cert_to_DER_cert(text.replace(head, ssl.PEM_HEADER).replace(foot, ssl.PEM_FOOTER))
    assert der.count(bytes.fromhex(old)) >= 1
    made = ssl.DER_cert_to_PEM_cert(der.replace(bytes.fromhex(old), bytes.fromhex(new), 1))
    return made.replace(ssl.PEM_HEADER, head).replace(ssl.PEM_FOOTER, foot).encode()


def of_version_7(certificate: bytes) -> bytes:
    """A certificate as no standard has it: cryptography raises what is no ValueError."""
    return spoiled(certificate, "a003020102", "a003020107")


class Plant:
    """One authority, a server's certificate, and a revocation list in a folder."""

    def __init__(self, folder: Path, *names: str) -> None:
        """`names`: what the server's certificate is for; loopback unless given."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.crl = folder / "crl.pem"
        self.authority, key = Authority.made("test", utc())
        self.key = folder / "ca.key"
        self.key.touch(mode=0o600)
        self.key.write_bytes(key)
        (folder / "ca.pem").write_bytes(self.authority.certificate)
        certificate, key = self.authority.server(names or ["127.0.0.1"], utc())
        (folder / "server.pem").write_bytes(certificate)
        (folder / "server.key").write_bytes(key)
        self.revoke()

    def revoke(self, *serials: str) -> None:
        """The list, with these on it."""
        revoked = [Revoked(serial, utc()) for serial in serials]
        self.crl.write_bytes(self.authority.revocation_list(revoked, utc()))

    def node(self, node: str = "n1", before: timedelta = timedelta(), folder: str = "") -> Files:
        """Key and certificate of a node, signed so long ago."""
        place = self.folder / (folder or node)
        place.mkdir(exist_ok=True)
        files = Files(place / "ca.pem", place / "node.pem", place / "node.key")
        key = identity.new_key()
        identity.write_key(files.key, key)
        request = identity.request(key, node)
        files.certificate.write_bytes(self.authority.node(request, node, utc() - before))
        files.authority.write_bytes(self.authority.certificate)
        return files

    def serial(self, files: Files) -> str:
        return f"{identity.read_certificate(files.certificate).serial_number:x}"


class ShippedBroker(Broker):
    """systemd/mosquitto/ as it is, with this machine's folders and free ports."""

    def __init__(self, folder: Path, plant: Plant) -> None:
        super().__init__(folder)
        self.hub_port = free_port()
        passwords = folder / "hub.passwd"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), USER, PASSWORD], check=True)
        (folder / "password").write_text(PASSWORD)
        text = (SHIPPED / "quanjian.conf").read_text(encoding="utf-8")
        for place, here in (
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("listener 1883 127.0.0.1", f"listener {self.hub_port} 127.0.0.1"),
            ("/var/lib/quanjian-broker/crl.pem", str(plant.crl)),
            ("/etc/mosquitto/quanjian/hub.passwd", str(passwords)),
            ("/etc/mosquitto/quanjian/nodes.acl", str(SHIPPED / "nodes.acl")),
            ("/etc/mosquitto/quanjian/hub.acl", str(SHIPPED / "hub.acl")),
            ("/etc/mosquitto/quanjian/", f"{plant.folder}/"),
        ):
            assert place in text, f"{place} is not in the shipped file"
            text = text.replace(place, here)
        own = self._settings.read_text(encoding="utf-8").splitlines()
        process = [line for line in own if line.startswith(("log_", "user "))]
        self._settings.write_text("\n".join([text, *process, ""]), encoding="utf-8")
        self.hub = BrokerSettings(
            host="127.0.0.1",
            port=self.hub_port,
            username=USER,
            password_file=str(folder / "password"),
        )


@contextmanager
def shipped_broker(folder: Path, plant: Plant) -> Iterator[ShippedBroker]:
    """Running, gone afterwards."""
    peer = ShippedBroker(folder, plant)
    peer.start()
    try:
        yield peer
    finally:
        peer.kill()
        sys.stderr.write(peer.said)  # shown if the test fails


class Caller:
    """Anybody who tries the broker, with every answer kept."""

    def __init__(self, port: int, files: Files | None = None, client_id: str = "") -> None:
        self.changed = threading.Condition()
        self.answers: list[str] = []  # what became of the connection
        self.published: list[str] = []  # reason of each publish
        self.heard: list[str] = []  # topics
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.on_connect = lambda *given: self._note(self.answers, f"in: {given[3]}")
        self._client.on_disconnect = lambda *given: self._note(self.answers, f"out: {given[3]}")
        self._client.on_publish = lambda *given: self._note(self.published, str(given[3]))
        self._client.on_message = lambda *given: self._note(self.heard, given[2].topic)
        self._client.on_subscribe = lambda *_: self._note(self.answers, "listens")
        if files is not None:
            self._client.tls_set_context(self._tls(files))
        try:
            self._client.connect("127.0.0.1", port, keepalive=60)
        except OSError as wrong:
            self.answers.append(f"out: {wrong}")
        else:
            self._client.loop_start()

    def _tls(self, files: Files) -> ssl.SSLContext:
        """Without our own checks: what the broker says is what is asked here."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        if files.certificate.exists():
            made.load_cert_chain(files.certificate, files.key)
        return made

    def _note(self, kept: list[str], said: str) -> None:
        with self.changed:
            kept.append(said)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            held = self.changed.wait_for(condition, DEADLINE_S)
            assert held, f"waited in vain: {self.answers} {self.published} {self.heard}"

    def answer(self) -> str:
        """The first thing that became of the connection."""
        self.wait_for(lambda: bool(self.answers))
        return self.answers[0]

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1)

    def publish(self, topic: str, payload: bytes = b"x") -> str:
        """What the broker says to a message."""
        before = len(self.published)
        self.send(topic, payload)
        self.wait_for(lambda: len(self.published) > before)
        return self.published[-1]

    def listen(self, topic: str) -> None:
        before = len(self.answers)
        self._client.subscribe(topic, qos=1)
        self.wait_for(lambda: len(self.answers) > before)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
