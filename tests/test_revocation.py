"""Nothing that was revoked is signed, whoever comes first: duties, the gate or the operator."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.mqtt import identity
from hub import enrolment, registry, signing
from hub.__main__ import main
from hub.authority import facts, fingerprint
from hub.enrolment import RefusedError
from hub.settings import Broker
from hub.store import session
from hub.store.pool import Store
from tests.gate_peer import GateHub
from tests.identity_peer import utc
from tests.ingest_peer import asked
from tests.loopback_peer import wait_for
from tests.test_signing import config, issued

NOBODY = Broker(host="127.0.0.1", port=9)  # no broker: nobody is thrown out


@pytest.fixture
def hub(database: str, tmp_path: Path) -> GateHub:
    registry.add(database, "p", "l", "n1")
    return GateHub(database, tmp_path, NOBODY)


@pytest.fixture
def connection(hub: GateHub) -> Iterator[session.Connection]:
    with session.connect(hub.dsn, "test") as opened:
        yield opened


@pytest.fixture
def store(hub: GateHub) -> Iterator[Store]:
    opened = Store(hub.dsn)
    opened.open()
    yield opened
    opened.close()


def renewal(hub: GateHub, store: Store) -> str:
    """A renewal that waits, by whoever has the node's key and certificate."""
    files = hub.files()
    if not files.certificate.exists():
        issued(hub)
    request = identity.request(identity.new_key(), "n1")
    signature = identity.signed(identity.read_key(files.key), request)
    certificate = files.certificate.read_bytes()
    return enrolment.renewed(store, "n1", request, certificate, signature, utc())


def signed(hub: GateHub, waiting: dict[str, Any]) -> dict[str, Any]:
    """What duties would keep of a request that it read."""
    certificate = hub.authority.node(bytes(waiting["csr"]), "n1", utc())
    said = facts(certificate)
    return {
        "request": waiting["request"],
        "node": "n1",
        "serial": said.serial,
        "sha256": fingerprint(certificate),
        "not_before": said.not_before,
        "not_after": said.not_after,
        "certificate": certificate.decode(),
        "authority": hub.authority.certificate.decode(),
    }


def good(hub: GateHub) -> list[str]:
    """Serials that no list will ever name."""
    found = asked(hub.dsn, "SELECT serial FROM certificate WHERE revoked_at IS NULL")
    return [row["serial"] for row in found]


@pytest.mark.parametrize("revoke", [registry.revoke, registry.revoke_certificates])
def test_a_node_revoked_between_reading_its_request_and_signing_it_gets_nothing(
    hub: GateHub, connection: session.Connection, store: Store, revoke: Any
) -> None:
    request = renewal(hub, store)
    [waiting] = session.rows(connection, "signing_waiting", limit=9)
    revoke(hub.dsn, "n1")
    assert session.rows(connection, "signing_signed", **signed(hub, waiting)) == []
    assert good(hub) == []
    with pytest.raises(RefusedError, match="revoked"):
        enrolment.answer(store, request)


@pytest.mark.parametrize("revoke", [registry.revoke, registry.revoke_certificates])
def test_a_certificate_signed_while_its_node_is_being_revoked_is_on_the_list(
    hub: GateHub, connection: session.Connection, store: Store, revoke: Any
) -> None:
    renewal(hub, store)
    [waiting] = session.rows(connection, "signing_waiting", limit=9)
    revoking = threading.Thread(target=revoke, args=(hub.dsn, "n1"))
    kept = signed(hub, waiting)
    with session.connect(hub.dsn, "duties") as duties, duties.transaction():
        assert session.rows(duties, "signing_signed", **kept)
        revoking.start()
        locks = "SELECT 1 AS one FROM pg_locks WHERE NOT granted"
        wait_for(lambda: bool(asked(hub.dsn, locks)), "the revocation waits for the signature")
    revoking.join(30)
    assert good(hub) == []
    named = [row["serial"] for row in session.rows(connection, "revocations", now=utc())]
    assert kept["serial"] in named


def test_what_a_thief_asked_for_before_the_certificates_were_revoked_is_not_signed_after(
    hub: GateHub, connection: session.Connection, store: Store
) -> None:
    request = renewal(hub, store)
    assert main(["ca", "revoke", "--config", str(config(hub)), "n1"]) == 0
    signing.work(connection, hub.settings, utc())
    assert good(hub) == []
    with pytest.raises(RefusedError, match="the certificates of the node were revoked"):
        enrolment.answer(store, request)


def test_a_request_by_a_certificate_revoked_this_moment_is_not_taken(
    hub: GateHub, connection: session.Connection, store: Store
) -> None:
    """The gate has looked at the certificate; then it is revoked; then the request is kept."""
    file = issued(hub)
    registry.revoke_certificates(hub.dsn, "n1")
    request = identity.request(identity.new_key(), "n1")
    digest = hashlib.sha256(request).hexdigest()
    given = {"node": "n1", "request": "a", "csr": request, "csr_sha256": digest, "most": 9}
    sha256 = fingerprint(file.read_bytes())
    assert session.rows(connection, "renewal_requested", sha256=sha256, **given) == []


def test_a_request_that_waits_is_never_forgotten(
    hub: GateHub, connection: session.Connection, store: Store
) -> None:
    request = renewal(hub, store)
    connection.execute("UPDATE signing_request SET asked_at = now() - interval '31 days'")
    session.rows(connection, "signing_trimmed")
    assert enrolment.answer(store, request) is None
    signing.work(connection, hub.settings, utc())
    with pytest.raises(RefusedError, match="nobody asked that"):
        enrolment.answer(store, request)  # answered, and a month old


def test_requests_wait_while_the_authority_has_ended_and_every_node_is_told(
    hub: GateHub, connection: session.Connection, store: Store
) -> None:
    request = renewal(hub, store)
    late = facts(hub.authority.certificate).not_after
    troubles = signing.work(connection, hub.settings, late)
    assert ("n1", "authority_failed") in [(one.node, one.code) for one in troubles]
    assert enrolment.answer(store, request) is None
