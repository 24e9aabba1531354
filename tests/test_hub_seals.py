"""Seals at the hub: a real ledger, the node's own key, the ingest transaction, PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from edge.mqtt import identity
from edge.mqtt.identity import Files
from edge.mqtt.message import GENESIS, SealRow, seal_content
from edge.outbox import Outbox
from edge.seal import Sealer, Sign
from hub.authority import facts, fingerprint
from hub.duties import Duties
from hub.seals import State
from hub.store import rows, session
from tests.identity_peer import Plant, of_version_7
from tests.ingest_peer import PLACE, asked
from tests.ledger_rows import epoch_row, part_row, stamp
from tests.paper_ledger import PaperLedger
from tests.test_duties import settings_of

DAY_MS = 86_400_000
NOW_MS = int(datetime.now(timezone.utc).timestamp() * 1000)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path / "plant")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "ledger.db", ballast_bytes=4096)) as outbox:
        yield outbox


def registered(direct: session.Connection, files: Files) -> None:
    """The hub knows the certificate as one that it signed for the node."""
    pem = files.certificate.read_bytes()
    said = facts(pem)
    session.rows(
        direct,
        "certificate_kept",
        serial=said.serial,
        node=PLACE.node,
        sha256=fingerprint(pem),
        not_before=said.not_before,
        not_after=said.not_after,
    )


def drain(direct: session.Connection, ledger: Outbox) -> None:
    while (batch := ledger.batch(ledger.first)) is not None:
        ledger.acknowledge(rows.taken(direct, PLACE, batch).ack.next)


def judged(direct: session.Connection, dsn: str) -> tuple[list[State], set[str]]:
    """What duties make of the seals, in order, and their alarms."""
    alarms = Duties(direct, settings_of(dsn)).round(datetime.now(timezone.utc))
    found = asked(dsn, "SELECT state FROM seal ORDER BY stream, seq")
    return [row["state"] for row in found], {alarm.code for alarm in alarms}


def test_a_seal_signed_by_the_nodes_own_key_is_verified(
    direct: session.Connection, database: str, ledger: Outbox, plant: Plant
) -> None:
    files = plant.node(PLACE.node)
    registered(direct, files)
    sealer = Sealer(PLACE.node, ledger, identity.signer(files))
    ledger.append(epoch_row(), part_row(1))
    sealer.tend(NOW_MS - DAY_MS, 0)
    drain(direct, ledger)
    sealer.tend(NOW_MS, DAY_MS)
    drain(direct, ledger)
    states, alarms = judged(direct, database)
    assert states == ["verified", "verified"]
    assert "seal_wrong" not in alarms
    assert asked(database, "SELECT count(*) n FROM law WHERE station = 'node-1'") == [{"n": 0}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("node-1", "unverified"), ("node-2", "unverified"), (None, "unsigned")],
)
def test_without_a_certificate_that_the_hub_signed_a_seal_is_kept_as_what_it_is(
    direct: session.Connection,
    database: str,
    ledger: Outbox,
    plant: Plant,
    name: str | None,
    expected: State,
) -> None:
    sign: Sign | None = None
    if name is not None:
        sign = identity.signer(plant.node(name))
    Sealer(PLACE.node, ledger, sign).tend(NOW_MS, 0)
    drain(direct, ledger)
    states, alarms = judged(direct, database)
    assert states == [expected]
    assert "seal_wrong" not in alarms


def sealed(ledger: PaperLedger, files: Files, **other: object) -> SealRow:
    """A seal of the last row of this ledger; `other`: what it says instead."""
    sign = identity.signer(files)
    last = ledger.next - 1
    told = {"day": "2026-12-01", "stream": ledger.stream, "sealed": last,
            "head": ledger.hash_before(last + 1), **other}  # fmt: skip
    content = seal_content(PLACE.node, *(told[key] for key in ("day", "stream", "sealed", "head")))  # type: ignore[arg-type]
    certificate, signature = sign(content)
    return SealRow(
        **{**stamp(0, NOW_MS, PLACE.node), **told},
        certificate=certificate,
        signature=signature.hex(),
    )


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda ledger, files: sealed(ledger, files), "verified"),
        (lambda ledger, files: sealed(ledger, files, head=GENESIS), "wrong"),
        (lambda ledger, files: sealed(ledger, files, sealed=1), "wrong"),
        (lambda ledger, files: sealed(ledger, files, sealed=99), "missing"),
        (
            lambda ledger, files: msgspec.structs.replace(sealed(ledger, files), day="2026-11-30"),
            "wrong",
        ),
        (lambda ledger, files: msgspec.structs.replace(sealed(ledger, files), signature="00" * 70),
         "wrong"),
        (
            lambda ledger, files: msgspec.structs.replace(
                sealed(ledger, files), certificate="no certificate"
            ),
            "wrong",
        ),
        (
            lambda ledger, files: msgspec.structs.replace(
                sealed(ledger, files),
                certificate=of_version_7(files.certificate.read_bytes()).decode(),
            ),
            "wrong",
        ),
    ],
)  # fmt: skip
def test_a_seal_that_does_not_fit_is_an_alarm(
    direct: session.Connection,
    database: str,
    plant: Plant,
    spoil: Callable[[PaperLedger, Files], SealRow],
    expected: State,
) -> None:
    files = plant.node(PLACE.node)
    registered(direct, files)
    ledger = PaperLedger()
    ledger.write([epoch_row(), part_row(1)])
    ledger.write([spoil(ledger, files)])
    rows.taken(direct, PLACE, ledger.batch(1, 4))
    states, alarms = judged(direct, database)
    assert states == [expected]
    assert ("seal_wrong" in alarms) is (expected == "wrong")


def test_a_seal_that_nobody_can_judge_keeps_none_after_it_from_being_judged(
    direct: session.Connection, database: str, plant: Plant
) -> None:
    files = plant.node(PLACE.node)
    registered(direct, files)
    ledger = PaperLedger()
    ledger.write([epoch_row(), part_row(1)])
    ledger.write([sealed(ledger, files)])
    ledger.write([sealed(ledger, files)])
    rows.taken(direct, PLACE, ledger.batch(1, 5))
    direct.execute("UPDATE seal SET signature = 'no hex at all' WHERE seq = 3")
    states, alarms = judged(direct, database)
    assert states == ["wrong", "verified"]
    assert "duty_failed" not in alarms


def test_a_row_changed_in_the_database_does_not_fit_its_seal_any_more(
    direct: session.Connection, database: str, plant: Plant
) -> None:
    """Also if whoever did it made the chain after it anew."""
    files = plant.node(PLACE.node)
    registered(direct, files)
    ledger = PaperLedger()
    ledger.write([epoch_row(), part_row(1)])
    ledger.write([sealed(ledger, files)])
    rows.taken(direct, PLACE, ledger.batch(1, 4))
    direct.execute("UPDATE part SET hash = repeat('a', 64) WHERE seq = 2")
    states, alarms = judged(direct, database)
    assert states == ["wrong"]
    assert "seal_wrong" in alarms
