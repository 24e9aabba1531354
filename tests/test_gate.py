"""A node gets its certificates at the gate, and nobody else does."""

import hashlib
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from edge.errors import LinkError
from edge.mqtt import enrol, identity
from edge.mqtt.enrol import Renewal
from edge.mqtt.identity import ClockError, Files
from hub import enrolment, registry, signing
from hub.authority import fingerprint, requested
from hub.errors import AuthorityError
from hub.picture_folder import PictureFolder
from hub.settings import Broker
from hub.store import session
from tests.gate_peer import GateHub
from tests.identity_peer import Plant, of_version_7, spoiled, utc

NOBODY = Broker(host="127.0.0.1", port=9)  # no broker: these tests throw nobody out


@pytest.fixture
def hub(database: str, tmp_path: Path) -> GateHub:
    registry.add(database, "p", "l", "n1")
    registry.add(database, "p", "l", "n2")
    return GateHub(database, tmp_path, NOBODY)


@pytest.fixture
def open_hub(hub: GateHub) -> Iterator[GateHub]:
    """With its gate open and duties at work."""
    with hub.gate(), hub.duties():
        yield hub


def enrolled(hub: GateHub, node: str = "n1") -> Files:
    return enrolled_by(hub, hub.token(node), node)


def enrolled_by(hub: GateHub, token: str, node: str = "n1") -> Files:
    files = hub.files(node)
    enrol.enrol(hub.url, fingerprint(hub.authority.certificate), token, files, node)
    return files


def asked(hub: GateHub, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(hub.dsn) as connection:
        return connection.execute(statement.encode()).fetchall()


def post(hub: GateHub, path: str, **body: Any) -> httpx.Response:
    context = identity.believing(hub.authority.certificate)
    with httpx.Client(verify=context) as client:
        return client.post(hub.url + path, json=body)


def troubles(hub: GateHub, after: timedelta = timedelta()) -> list[tuple[str, str]]:
    with session.connect(hub.dsn, "test") as connection:
        found = signing.work(connection, hub.settings, utc() + after)
    return [(one.node, one.code) for one in found]


def test_a_node_enrols_and_its_files_are_good_and_private(open_hub: GateHub) -> None:
    files = enrolled(open_hub)
    said = identity.examine(files, "n1", utc())
    assert timedelta(days=89) < said.not_after - utc() <= timedelta(days=90)
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in files.key.parent.iterdir()) == [
        *("ca.pem", "node.key", "node.pem")
    ]
    [(node, serial)] = asked(open_hub, "SELECT node, serial FROM certificate")
    number = identity.read_certificate(files.certificate).serial_number
    assert (node, serial) == ("n1", f"{number:x}")


def test_another_authority_is_noticed_before_anything_is_said(
    open_hub: GateHub, tmp_path: Path
) -> None:
    other = fingerprint(Plant(tmp_path / "other").authority.certificate)
    with pytest.raises(LinkError, match="the authority's fingerprint is"):
        enrol.enrol(open_hub.url, other, open_hub.token(), open_hub.files(), "n1")
    assert asked(open_hub, "SELECT used_at FROM enrolment") == [(None,)]
    assert not open_hub.files().key.parent.exists()


def test_a_server_with_the_right_ca_page_but_without_its_key_gets_nothing(
    hub: GateHub, tmp_path: Path
) -> None:
    hub.serve_by(Plant(tmp_path / "other").authority, "127.0.0.1")
    with hub.gate(), pytest.raises(LinkError, match="the server's certificate: "):
        enrolled(hub)
    assert asked(hub, "SELECT used_at FROM enrolment") == [(None,)]


def test_a_server_of_another_name_gets_nothing(hub: GateHub) -> None:
    hub.serve_by(hub.authority, "elsewhere.plant")
    with (
        hub.gate(),
        pytest.raises(LinkError, match="the server's certificate: IP address mismatch"),
    ):
        enrolled(hub)


def test_a_token_works_once_for_its_node_and_a_second_request_is_an_alarm(
    open_hub: GateHub,
) -> None:
    token, seen = open_hub.token("n1"), fingerprint(open_hub.authority.certificate)
    with pytest.raises(LinkError, match="the hub refuses"):
        enrol.enrol(open_hub.url, seen, token, open_hub.files("n2"), "n2")
    enrol.enrol(open_hub.url, seen, token, open_hub.files("n1"), "n1")
    assert troubles(open_hub) == []
    with pytest.raises(LinkError, match="the hub refuses"):
        enrol.enrol(open_hub.url, seen, token, open_hub.files("thief"), "n1")
    assert len(asked(open_hub, "SELECT * FROM certificate")) == 1
    assert troubles(open_hub) == [("n1", "token_reused")]
    open_hub.token("n1")
    assert troubles(open_hub) == []


def test_a_stranger_without_the_token_gets_nothing_and_does_not_spoil_it(
    open_hub: GateHub,
) -> None:
    token = open_hub.token("n1")
    request = identity.request(identity.new_key(), "n1")
    other = identity.request(identity.new_key(), "n1")
    for proof in (enrol.proof_of("guessed", request), enrol.proof_of(token, other), "00" * 32):
        answer = post(open_hub, "/enrol", node="n1", csr=request.decode(), proof=proof)
        assert (answer.status_code, answer.json()) == (403, {"error": "refused"})
    assert troubles(open_hub) == []
    assert enrolled_by(open_hub, token)


def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_request(
    hub: GateHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, seen = hub.token(), fingerprint(hub.authority.certificate)
    monkeypatch.setattr(enrol, "PATIENCE_S", 0.0)
    with hub.gate(), pytest.raises(LinkError, match="did not sign within"):
        enrol.enrol(hub.url, seen, token, hub.files(), "n1")
    monkeypatch.undo()
    with hub.gate(), hub.duties():
        enrol.enrol(hub.url, seen, token, hub.files(), "n1")
        assert len(asked(hub, "SELECT * FROM signing_request")) == 1
        assert troubles(hub) == []


def test_a_token_is_over_after_15_minutes(open_hub: GateHub) -> None:
    token = open_hub.token()
    [(minutes,)] = asked(
        open_hub, "SELECT extract(epoch FROM expires_at - now()) / 60 FROM enrolment"
    )
    assert 14 < minutes <= 15
    with psycopg.connect(open_hub.dsn) as connection:
        connection.execute("UPDATE enrolment SET expires_at = now()")
    seen = fingerprint(open_hub.authority.certificate)
    with pytest.raises(LinkError, match="the hub refuses"):
        enrol.enrol(open_hub.url, seen, token, open_hub.files(), "n1")
    assert troubles(open_hub) == []


def test_a_revoked_node_gets_nothing(open_hub: GateHub) -> None:
    token, seen = open_hub.token(), fingerprint(open_hub.authority.certificate)
    registry.revoke(open_hub.dsn, "n1")
    registry.renew(open_hub.dsn, "n1")  # taken back: the token of before is worth nothing
    with pytest.raises(LinkError, match="the hub refuses"):
        enrol.enrol(open_hub.url, seen, token, open_hub.files(), "n1")


def test_a_request_in_another_name_is_not_taken(open_hub: GateHub) -> None:
    request = identity.request(identity.new_key(), "n2")
    proof = enrol.proof_of(open_hub.token("n1"), request)
    answer = post(open_hub, "/enrol", node="n1", csr=request.decode(), proof=proof)
    assert (answer.status_code, "is for ['n2']" in answer.text) == (422, True)
    with pytest.raises(AuthorityError):
        requested(request, "n1")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"node": "n1"},
        {"node": "N1", "csr": "", "proof": "ab" * 8},
        {"node": "n1", "csr": "x" * 70_000},
    ],
)
def test_what_is_no_request_at_all_is_422(open_hub: GateHub, body: dict[str, str]) -> None:
    for path in ("/enrol", "/renew"):
        assert post(open_hub, path, **body).status_code == 422


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"node":"\xff"}', b"[" * 10_000])
def test_a_body_that_nobody_can_read_is_422(open_hub: GateHub, body: bytes) -> None:
    context = identity.believing(open_hub.authority.certificate)
    with httpx.Client(verify=context) as client:
        for path in ("/enrol", "/renew"):
            assert client.post(open_hub.url + path, content=body).status_code == 422


def test_a_certificate_and_a_request_of_a_version_that_is_none_are_422(open_hub: GateHub) -> None:
    request = identity.request(identity.new_key(), "n1")
    stranger = of_version_7(open_hub.authority.certificate).decode()
    answer = post(open_hub, "/renew", node="n1", csr=request.decode(), certificate=stranger,
                  signature="00" * 70)  # fmt: skip
    assert (answer.status_code, "not a certificate" in answer.text) == (422, True)
    wrong = spoiled(request, "020100", "020107")
    proof = enrol.proof_of(open_hub.token(), wrong)
    answer = post(open_hub, "/enrol", node="n1", csr=wrong.decode(), proof=proof)
    assert (answer.status_code, "not a certificate request" in answer.text) == (422, True)


def test_nothing_but_its_own_addresses_is_served(open_hub: GateHub) -> None:
    picture = PictureFolder(Path(open_hub.settings.web.pictures_dir))
    sha256 = hashlib.sha256(b"\xff\xd8\xff").hexdigest()
    picture.put(sha256, b"\xff\xd8\xff")
    context = identity.believing(open_hub.authority.certificate)
    with httpx.Client(verify=context) as client:
        for path in (
            *("/", "/kpi", "/parts", "/healthz", "/docs", "/openapi.json", "/static/line.js"),
            *(f"/pictures/{sha256}.jpg", f"/pictures/{sha256}", f"/enrol/{'0' * 64}", "/enrol/x"),
        ):
            assert client.get(open_hub.url + path).status_code in (403, 404, 405, 422), path
        upload = client.put(f"{open_hub.url}/pictures/{sha256}", content=b"x")
        assert upload.status_code == 401


def test_the_gate_speaks_tls_1_3_alone(open_hub: GateHub) -> None:
    context = identity.believing(open_hub.authority.certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=context) as client, pytest.raises(httpx.ConnectError):
        client.get(f"{open_hub.url}/ca")


def test_a_node_renews_by_itself_when_two_thirds_are_over_with_a_fresh_key(
    open_hub: GateHub,
) -> None:
    files = enrolled(open_hub)
    before = files.certificate.read_bytes(), files.key.read_bytes()
    renewal = Renewal(open_hub.url, files, "n1")
    renewal.look(utc() + timedelta(days=59))
    assert (files.certificate.read_bytes(), files.key.read_bytes()) == before
    renewal.look(utc() + timedelta(days=60))
    identity.examine(files, "n1", utc())
    assert files.certificate.read_bytes() != before[0]
    assert files.key.read_bytes() != before[1]
    assert not files.new_key.exists()
    assert len(asked(open_hub, "SELECT * FROM certificate")) == 2


def test_renewal_takes_the_current_key_of_a_certificate_that_holds(open_hub: GateHub) -> None:
    files, other = enrolled(open_hub, "n1"), enrolled(open_hub, "n2")
    request = identity.request(identity.new_key(), "n1")

    def renew(certificate: Path, signature: bytes, csr: bytes = request) -> int:
        return post(
            open_hub,
            "/renew",
            node="n1",
            csr=csr.decode(),
            certificate=certificate.read_text(),
            signature=signature.hex(),
        ).status_code

    good = identity.signed(identity.read_key(files.key), request)
    theirs = identity.signed(identity.read_key(other.key), request)
    assert renew(files.certificate, theirs) == 403
    assert renew(other.certificate, theirs) == 403
    assert renew(files.authority, good) == 403
    assert renew(files.certificate, good, identity.request(identity.new_key(), "n1")) == 403
    assert renew(files.certificate, good) == 202
    with psycopg.connect(open_hub.dsn) as connection:
        connection.execute("UPDATE certificate SET not_after = now() WHERE node = 'n1'")
    assert renew(files.certificate, good) == 403
    with psycopg.connect(open_hub.dsn) as connection:
        connection.execute("UPDATE certificate SET not_after = now() + interval '1 day'")
    registry.revoke(open_hub.dsn, "n1")
    assert renew(files.certificate, good) == 403


def test_comments_in_its_files_do_not_keep_a_node_from_renewing(open_hub: GateHub) -> None:
    files = enrolled(open_hub)
    before = files.certificate.read_bytes()
    for file in (files.authority, files.certificate):
        file.write_bytes("# 一号线\n".encode() + file.read_bytes())
    assert enrol.renew(open_hub.url, files, "n1", threading.Event()) is not None
    assert files.certificate.read_bytes() != before


@pytest.mark.parametrize(
    "url", ["http://hub:8443", "https://", "https://[", "https://hub..lan", f"https://{'h' * 64}"]
)
def test_an_address_of_a_gate_that_is_none_is_a_sentence(url: str) -> None:
    with pytest.raises(LinkError, match=r"https://.*: |expected https://HOST:PORT"):
        enrol.authority_of(url, "0" * 64)


def test_a_node_that_asks_for_one_certificate_after_the_other_is_refused_in_time(
    hub: GateHub,
) -> None:
    with hub.gate(), hub.duties():
        files = enrolled(hub)
    key, status = identity.read_key(files.key), []
    with hub.gate() as store:
        for _ in range(enrolment.RENEWALS_A_DAY):
            request = identity.request(identity.new_key(), "n1")
            signature = identity.signed(key, request)
            body = (store, "n1", request, files.certificate.read_bytes(), signature, utc())
            try:
                status.append(len(enrolment.renewed(*body)))
            except enrolment.RefusedError:
                status.append(0)
    assert status == [64] * (enrolment.RENEWALS_A_DAY - 1) + [0]  # the first was the enrolment
    assert len(asked(hub, "SELECT * FROM signing_request")) == enrolment.RENEWALS_A_DAY
    waiting = "SELECT * FROM signing_request WHERE certificate IS NULL AND refused IS NULL"
    assert len(asked(hub, waiting)) == 1


def test_a_renewal_that_cannot_reach_the_gate_costs_nothing(
    hub: GateHub, caplog: pytest.LogCaptureFixture
) -> None:
    with hub.gate(), hub.duties():
        files = enrolled(hub)
    before = files.certificate.read_bytes()
    Renewal(hub.url, files, "n1").look(utc() + timedelta(days=70))
    assert files.certificate.read_bytes() == before
    identity.examine(files, "n1", utc())
    assert "certificate of n1: https://127.0.0.1" in caplog.text


def test_a_change_of_keys_that_was_cut_off_is_finished(open_hub: GateHub, tmp_path: Path) -> None:
    files = enrolled(open_hub)
    old_key = files.key.read_bytes()
    Renewal(open_hub.url, files, "n1").look(utc() + timedelta(days=60))
    files.key.rename(files.new_key)  # as a power cut right after the certificate leaves it
    files.key.touch(mode=0o600)
    files.key.write_bytes(old_key)
    identity.examine(files, "n1", utc())
    assert not files.new_key.exists()


def test_a_clock_that_is_wrong_is_told_as_a_clock(open_hub: GateHub) -> None:
    files = enrolled(open_hub)
    with pytest.raises(
        ClockError, match=r"not valid before .*; the clock of this computer says 19"
    ):
        identity.examine(files, "n1", utc().replace(year=1970))
    with pytest.raises(ClockError, match=r"ended at .*; the clock of this computer says 20"):
        identity.examine(files, "n1", utc() + timedelta(days=91))
