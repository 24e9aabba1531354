"""What duties does for the authority, and the commands: lists, kicks, alarms, files."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from edge.mqtt import enrol, identity
from hub import registry, signing
from hub.__main__ import main
from hub.authority import LIST_LIFE, fingerprint
from hub.duties import Duties
from hub.errors import AuthorityError
from hub.settings import Broker
from hub.store import session
from tests.gate_peer import GateHub
from tests.hub_peer import until
from tests.identity_peer import Caller, Plant, ShippedBroker, utc

NOBODY = Broker(host="127.0.0.1", port=9)  # no broker: nobody is thrown out


@pytest.fixture
def hub(database: str, tmp_path: Path) -> GateHub:
    registry.add(database, "p", "l", "n1")
    registry.add(database, "p", "l", "n2")
    return GateHub(database, tmp_path, NOBODY)


@pytest.fixture
def connection(hub: GateHub) -> Iterator[session.Connection]:
    with session.connect(hub.dsn, "test") as opened:
        yield opened


def issued(hub: GateHub, node: str = "n1") -> Path:
    """A certificate by hand: `ca issue`."""
    place = hub.folder / node
    place.mkdir(exist_ok=True)
    files = hub.files(node)
    key = identity.new_key()
    identity.write_key(files.key, key)
    files.authority.write_bytes(hub.authority.certificate)
    (place / "csr").write_bytes(identity.request(key, node))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hub",
            "ca",
            "issue",
            "--config",
            str(config(hub)),
            node,
            place / "csr",
        ],
        capture_output=True,
        check=True,
    )
    files.certificate.write_bytes(done.stdout)
    return files.certificate


def config(hub: GateHub) -> Path:
    """hub.toml of this hub."""
    settings = hub.settings
    assert settings.nodes is not None
    assert settings.authority is not None
    lines = [
        f'[database]\ndsn = "{hub.dsn}"',
        f'[broker]\nhost = "127.0.0.1"\nport = {settings.broker.port}',
        f'[web]\nport = {settings.web.port}\npictures_dir = "pictures"',
        f'[nodes]\nhost = "127.0.0.1"\nport = {hub.port}',
        'ca_file = "ca/ca.pem"\ncertificate_file = "server.pem"\nkey_file = "server.key"',
        '[authority]\ndir = "ca"\ncrl_file = "crl.pem"\n',
    ]
    file = hub.folder / "hub.toml"
    file.write_text("\n".join(lines))
    return file


def listed(hub: GateHub) -> set[str]:
    said = hub.authority.listed((hub.folder / "crl.pem").read_bytes())
    assert said is not None
    return set(said.serials)


def test_the_list_is_signed_when_it_is_missing_a_day_old_or_says_something_else(
    hub: GateHub, connection: session.Connection
) -> None:
    crl, now = hub.folder / "crl.pem", utc()
    assert signing.work(connection, hub.settings, now) == []
    first = crl.read_bytes()
    signing.work(connection, hub.settings, now + timedelta(hours=23))
    assert crl.read_bytes() == first
    signing.work(connection, hub.settings, now + timedelta(hours=25))
    second = crl.read_bytes()
    assert second != first
    issued(hub)
    session.rows(connection, "certificates_revoked", node="n1")
    signing.work(connection, hub.settings, now + timedelta(hours=26))
    assert len(listed(hub)) == 1
    other = Plant(hub.folder / "other").authority
    crl.write_bytes(other.revocation_list([], now))
    signing.work(connection, hub.settings, now + timedelta(hours=26))
    assert len(listed(hub)) == 1
    assert crl.stat().st_mode & 0o777 == 0o644
    assert LIST_LIFE > 7 * signing.LIST_EVERY  # a week without duties closes the broker to nobody


def test_a_certificate_that_ended_leaves_the_list(
    hub: GateHub, connection: session.Connection
) -> None:
    issued(hub)
    session.rows(connection, "certificates_revoked", node="n1")
    signing.work(connection, hub.settings, utc())
    assert len(listed(hub)) == 1
    signing.work(connection, hub.settings, utc() + timedelta(days=93))
    assert listed(hub) == set()


def test_revoking_a_node_revokes_its_certificates_and_a_new_token_gives_none_back(
    hub: GateHub, connection: session.Connection
) -> None:
    issued(hub, "n1")
    issued(hub, "n2")
    assert main(["node", "revoke", "--config", str(config(hub)), "n1"]) == 0
    registry.renew(hub.dsn, "n1")
    signing.work(connection, hub.settings, utc())
    serial = identity.read_certificate(hub.files("n1").certificate).serial_number
    assert listed(hub) == {f"{serial:x}"}


def test_a_certificate_that_nobody_renews_is_an_alarm_of_the_duties(
    hub: GateHub, connection: session.Connection
) -> None:
    issued(hub)
    duties = Duties(connection, hub.settings)
    connection.execute("UPDATE certificate SET not_after = now() + interval '20 days'")
    assert duties.round(utc()) == []
    connection.execute("UPDATE certificate SET not_after = now() + interval '14 days'")
    [alarm] = duties.round(utc())
    assert (alarm.node, alarm.code) == ("n1", "certificate_ending")
    registry.revoke(hub.dsn, "n1")
    assert duties.round(utc()) == []


def test_the_hubs_own_certificate_that_nobody_renews_is_an_alarm_at_every_node(
    hub: GateHub, connection: session.Connection
) -> None:
    for node in ("n1", "n2"):
        issued(hub, node)
    certificate, _ = hub.authority.server(["hub"], utc() - timedelta(days=690))
    (hub.folder / "server.pem").write_bytes(certificate)
    assert signing.work(connection, hub.settings, utc()) == []
    certificate, _ = hub.authority.server(["hub"], utc() - timedelta(days=701))
    (hub.folder / "server.pem").write_bytes(certificate)
    troubles = signing.work(connection, hub.settings, utc())
    assert [(one.node, one.code) for one in troubles] == [
        ("n1", "certificate_ending"),
        ("n2", "certificate_ending"),
    ]
    assert all("server.pem of the hub ends at " in one.detail for one in troubles)


@pytest.mark.parametrize("spoiled", ["missing", "readable", "crl"])
def test_an_authority_that_cannot_sign_is_an_alarm_and_signs_nothing(
    hub: GateHub, connection: session.Connection, spoiled: str
) -> None:
    issued(hub)
    key = hub.folder / "ca" / "ca.key"
    if spoiled == "missing":
        key.rename(key.with_suffix(".away"))
    elif spoiled == "readable":
        key.chmod(0o640)
    else:
        (hub.folder / "crl.pem").mkdir()
    [trouble] = signing.work(connection, hub.settings, utc())
    assert (trouble.node, trouble.code) == ("n1", "authority_failed")


def test_a_hub_without_authority_has_nothing_to_do(
    hub: GateHub, connection: session.Connection
) -> None:
    import msgspec

    plain = msgspec.structs.replace(hub.settings, authority=None)
    assert signing.work(connection, plain, utc()) == []
    assert not (hub.folder / "crl.pem").exists()


@pytest.mark.needs_mosquitto
def test_a_revoked_node_is_thrown_out_of_the_broker_and_stays_out(
    database: str, tmp_path: Path
) -> None:
    registry.add(database, "p", "l", "n1")
    plant = Plant(tmp_path / "plant")
    broker = ShippedBroker(tmp_path, plant)
    hub = GateHub(database, tmp_path / "hub", broker.hub)
    hub.rules(plant)
    with session.connect(database, "test") as connection:
        broker.start()
        try:
            issued(hub)
            live = Caller(broker.port, hub.files())
            assert live.answer() == "in: Success"
            assert main(["ca", "revoke", "--config", str(config(hub)), "n1"]) == 0
            signing.work(connection, hub.settings, utc())
            broker.send(signal.SIGHUP)  # as the path unit does when the list changes

            def out() -> bool:
                signing.work(connection, hub.settings, utc())
                again = Caller(broker.port, hub.files())
                refused = again.answer().startswith("out: ")
                again.close()
                return refused

            until(out)
            live.wait_for(lambda: len(live.answers) == 2)
            live.close()
        finally:
            broker.kill()
    with psycopg.connect(database) as connection_:
        [(kicked,)] = connection_.execute("SELECT kicked_at FROM certificate").fetchall()
    assert kicked is not None


def test_the_commands_make_an_authority_once_and_private(
    hub: GateHub, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(hub)
    file.write_text(file.read_text().replace('dir = "ca"', 'dir = "new/ca"'))
    assert main(["ca", "init", "--config", str(file)]) == 0
    made = hub.folder / "new" / "ca"
    assert capsys.readouterr().out.strip() == fingerprint((made / "ca.pem").read_bytes())
    assert (made.stat().st_mode & 0o777, (made / "ca.key").stat().st_mode & 0o777) == (0o700, 0o600)
    key = (made / "ca.key").read_bytes()
    assert main(["ca", "init", "--config", str(file)]) == 1
    assert (made / "ca.key").read_bytes() == key
    out = hub.folder / "out"
    out.mkdir()
    assert main(["ca", "server", "--config", str(file), "--out", str(out), "hub", "10.0.0.1"]) == 0
    assert sorted(one.name for one in out.iterdir()) == ["ca.pem", "server.key", "server.pem"]
    assert (out / "server.key").stat().st_mode & 0o777 == 0o600
    before = (hub.folder / "crl.pem").read_bytes()
    assert main(["ca", "crl", "--config", str(file)]) == 0
    assert (hub.folder / "crl.pem").read_bytes() != before


def test_mistakes_of_the_commands_are_sentences(
    hub: GateHub, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(config(hub))
    for asked, code, told in (
        (["revoke", "n1"], 1, "n1 has no certificate that is worth anything"),
        (["issue", "n7", file], 1, "not a certificate request"),
        (["issue", "n7", "nowhere"], 2, "nowhere: cannot be read"),
        (["server", "--out", "/nowhere", "hub"], 2, "/nowhere: no such folder"),
    ):
        action, *rest = asked
        assert main(["ca", action, "--config", file, *rest]) == code
        assert told in capsys.readouterr().err
    plain = hub.folder / "plain.toml"
    plain.write_text(Path(file).read_text().split("[nodes]")[0])
    assert main(["ca", "crl", "--config", str(plain)]) == 2
    assert "[authority]: missing; expected dir" in capsys.readouterr().err
    assert main(["node", "enrol", "--config", file, "n7"]) == 1
    assert "no node that may write is named n7" in capsys.readouterr().err


def test_the_token_comes_with_the_fingerprint_and_serve_opens_the_gate(
    hub: GateHub, tmp_path: Path
) -> None:
    """The commands as a person gives them, from `node enrol` to a certificate in place."""
    file = str(config(hub))
    told = subprocess.run(
        [sys.executable, "-m", "hub", "node", "enrol", "--config", file, "n1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert fingerprint(hub.authority.certificate) in told.stderr
    serve = subprocess.Popen([sys.executable, "-m", "hub", "serve", "--config", file])
    try:
        context = identity.believing(hub.authority.certificate)

        def opened() -> bool:
            try:
                return httpx.get(f"{hub.url}/ca", verify=context).status_code == 200
            except httpx.TransportError:
                return False

        until(opened)
        with hub.duties():
            seen = fingerprint(hub.authority.certificate)
            enrol.enrol(hub.url, seen, told.stdout.strip(), hub.files(), "n1")
        page = httpx.get(f"http://127.0.0.1:{hub.settings.web.port}/healthz")
        assert page.status_code == 200
    finally:
        serve.terminate()
        assert serve.wait(30) == 0


def test_a_gate_that_cannot_be_opened_is_a_sentence(
    hub: GateHub, capsys: pytest.CaptureFixture[str]
) -> None:
    (hub.folder / "server.key").write_bytes(b"no key")
    assert main(["serve", "--config", str(config(hub))]) == 1
    assert "[nodes]: a file cannot be used" in capsys.readouterr().err


def test_a_taken_port_of_the_gate_is_told(hub: GateHub) -> None:
    with hub.gate(), pytest.raises(AuthorityError, match="cannot be listened on"), hub.gate():
        pass


def test_nothing_of_a_key_or_token_is_in_the_store(hub: GateHub) -> None:
    token = hub.token()
    issued(hub)
    with psycopg.connect(hub.dsn) as connection:
        kept = [
            json.dumps(
                connection.execute(f"SELECT * FROM {table}".encode()).fetchall(), default=str
            )
            for table in ("enrolment", "signing_request", "certificate", "node")
        ]
    assert token not in "".join(kept)
    assert "PRIVATE" not in "".join(kept)
