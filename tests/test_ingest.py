"""Ingest: what nodes publish is counted once and acknowledged after the commit."""

import json
import time
from datetime import timedelta, timezone

import psycopg
import pytest
from msgspec.structs import replace

from edge.mqtt.message import (
    AlertRow,
    Birth,
    EvictionRow,
    Mark,
    Notice,
    State,
    StationState,
    View,
    chain,
    encode,
)
from edge.terms import Code, Mode
from hub import metrics, registry
from hub.settings import Settings
from hub.store import rows, session
from tests.ingest_peer import PLACE, asked, shift_of_rows, worker
from tests.ledger_rows import (
    bypassed_row,
    counter_row,
    epoch_row,
    part_row,
    stamp,
)
from tests.loopback_peer import PlayedNode, played_node, wait_for
from tests.paper_ledger import PaperLedger


def test_a_birth_is_answered_with_the_first_row_that_is_missing(
    wired: Settings, node: PlayedNode
) -> None:
    ledger = PaperLedger()
    birth = Birth(v=1, stream=ledger.stream, next=1, head=14, software="test")
    shift_of_rows(ledger)
    with worker(wired):
        asked_first = node.ask("birth", birth)
        assert (asked_first.next, asked_first.hash) == (1, None)
        for told in (node.send(ledger.batch(1, 6)), node.ask("birth", birth)):
            assert (told.next, told.hash) == (6, ledger.hash_before(6))


def test_rows_sums_law_and_cursor_move_together(wired: Settings, node: PlayedNode) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    shift_of_rows(ledger)
    with worker(wired):
        assert node.send(ledger.batch(1, 14)).next == 14
    [law] = asked(dsn, "SELECT * FROM law")
    assert metrics.first_law(law) == metrics.FirstLaw("balanced", 12, 12, 0, 0)
    [count] = asked(
        dsn, "SELECT sum(ok) ok, sum(ng) ng, sum(missed) missed, sum(triggers) t FROM minute_count"
    )
    assert count == {"ok": 7, "ng": 2, "missed": 2, "t": 12}
    causes = asked(dsn, "SELECT kind, label, parts FROM minute_cause ORDER BY kind")
    assert [(c["kind"], c["label"], c["parts"]) for c in causes] == [
        ("defect", "", 2), ("missed", "no_trigger", 2), ("undecided", "uncertain", 1),
    ]  # fmt: skip
    [cursor] = asked(dsn, "SELECT next, hash FROM cursor")
    assert cursor == {"next": 14, "hash": ledger.entries[-1].hash}
    stored = asked(dsn, "SELECT seq, hash, raw FROM part UNION ALL SELECT seq, hash, raw "
                        "FROM ledger_row ORDER BY seq")  # fmt: skip
    before = ledger.hash_before(1)
    for row in stored:
        assert chain(before, row["seq"], row["raw"]) == row["hash"]
        before = row["hash"]
    assert len(stored) == 13


def test_batches_repeated_and_overlapping_are_counted_once(
    direct: session.Connection, database: str
) -> None:
    ledger = PaperLedger()
    ledger.write([epoch_row(), *(part_row(number) for number in range(1, 100))])
    for first, after in ((1, 41), (1, 41), (20, 61), (61, 81), (50, 101), (1, 101)):
        rows.taken(direct, PLACE, ledger.batch(first, after))
    [found] = asked(
        database, "SELECT count(*) n, count(DISTINCT seq) seqs, max(seq) last FROM part"
    )
    assert found == {"n": 99, "seqs": 99, "last": 100}
    [law] = asked(database, "SELECT ok FROM law")
    assert law == {"ok": 99}
    [count] = asked(database, "SELECT sum(ok) ok FROM minute_count")
    assert count == {"ok": 99}


def test_a_batch_beyond_a_gap_is_not_stored_and_the_answer_says_what_is_missing(
    wired: Settings, node: PlayedNode
) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    with worker(wired):
        node.send(ledger.batch(1, 4))
        ack = node.send(ledger.batch(6, 14))
    assert (ack.next, ack.refused) == (4, "expected row 4, got rows from 6")
    assert asked(wired.database.dsn, "SELECT max(seq) n FROM part") == [{"n": 3}]


def test_a_row_changed_on_the_way_is_refused_and_kept_for_a_person(
    wired: Settings, node: PlayedNode
) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    payload = json.loads(encode(ledger.batch(1, 14)))
    payload["rows"][4]["row"]["number"] = 77
    with worker(wired):
        ack = node.ask("parts", json.dumps(payload, separators=(",", ":")).encode())
    assert ack.next == 5
    assert ack.refused == "row 5: its hash does not follow from the row before it"
    [kept] = asked(wired.database.dsn, "SELECT topic, reason FROM refused")
    assert kept == {"topic": "qj/1/jinan/line-1/node-1/parts", "reason": ack.refused}


def test_a_poisoned_row_goes_to_quarantine_is_counted_and_stops_nobody(
    wired: Settings, node: PlayedNode
) -> None:
    ledger = PaperLedger()
    poison = b'{"kind":"part","station":"s1","epoch":1,"number":2,"colour":"red"}'
    ledger.write([epoch_row(), part_row(1), poison, part_row(3), counter_row(3)])
    with worker(wired):
        assert node.send(ledger.batch(1, 6)).next == 6
    [kept] = asked(wired.database.dsn, "SELECT seq, station, epoch, parts, raw FROM quarantine")
    assert kept == {"seq": 3, "station": "s1", "epoch": 1, "parts": 1, "raw": poison}
    [law] = asked(wired.database.dsn, "SELECT * FROM law")
    assert (law["quarantined"], metrics.first_law(law).residue) == (1, 0)


def test_a_row_nested_to_any_depth_is_kept_apart_or_its_batch_is_answered(
    wired: Settings, node: PlayedNode
) -> None:
    """How deep can be read depends on who reads: the batch as a whole, or the row inside a COPY."""
    with worker(wired) as ingest:
        for depth in (*range(900, 1000, 5), 1_100, 100_000):
            poison = b'{"kind":"part","x":' + b"[" * depth + b"]" * depth + b"}"
            ledger = PaperLedger(f"{depth:032x}")
            ledger.write([epoch_row(), part_row(1), poison, part_row(3)])
            ack = node.send(ledger.batch(1, 5))
            assert ack.stream == ledger.stream
            assert ack.next == 5 or "recursion" in (ack.refused or ""), depth
            assert node.send(ledger.batch(1, 3)).next in (3, 5), "the stream goes on"
        assert ingest.counts["failed"] == 0
        assert ingest.counts["quarantined"] > 0
        assert ingest.counts["refused"] > 0


def test_a_row_that_only_the_database_refuses_is_the_only_one_in_quarantine(
    wired: Settings, node: PlayedNode
) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE part ADD CHECK (number <> 5)")
    shift_of_rows(ledger)
    with worker(wired):
        assert node.send(ledger.batch(1, 14)).next == 14
    [kept] = asked(dsn, "SELECT seq, parts, reason FROM quarantine")
    assert (kept["seq"], kept["parts"]) == (6, 1)
    assert "check constraint" in kept["reason"]
    [law] = asked(dsn, "SELECT * FROM law")
    assert metrics.first_law(law).state == "balanced"
    assert (law["ok"], law["quarantined"]) == (6, 1)


@pytest.mark.parametrize(
    "noise", [b"", b"\xff\xfe", b"{}", b'{"v":1}', b"[" * 2000, b'{"stream":"\\ud800"}']
)
def test_noise_on_any_topic_stops_nobody(noise: bytes, wired: Settings, node: PlayedNode) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    with worker(wired) as ingest:
        for leaf in ("parts", "birth", "state", "notice"):
            node.publish(leaf, noise)
        assert node.send(ledger.batch(1, 14)).next == 14
        wait_for(lambda: ingest.counts["refused"] == 4, "four messages refused")


def test_a_node_that_is_not_registered_or_was_revoked_writes_nothing(
    wired: Settings, node: PlayedNode, broker_port: int
) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    shift_of_rows(ledger)
    stranger = PlayedNode(broker_port, "node-9")
    with worker(wired):
        ack = stranger.send(ledger.batch(1, 6))
        assert (ack.next, "not registered" in (ack.refused or "")) == (1, True)
        node.send(ledger.batch(1, 6))
        registry.revoke(dsn, "node-1")
        ack = node.send(ledger.batch(6, 14))
        assert (ack.next, "revoked" in (ack.refused or "")) == (1, True)
    stranger.close()
    assert asked(dsn, "SELECT next FROM cursor") == [{"next": 6}]


def test_a_node_cannot_write_into_the_ledger_of_another(
    wired: Settings, node: PlayedNode, broker_port: int
) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    shift_of_rows(ledger)
    with worker(wired), played_node(broker_port, dsn, "node-2") as other:
        node.send(ledger.batch(1, 6))
        ack = other.send(ledger.batch(6, 14))
    assert (ack.next, ack.refused) == (
        1, f"stream {ledger.stream} belongs to node node-1, not node-2",
    )  # fmt: skip
    assert asked(dsn, "SELECT next FROM cursor") == [{"next": 6}]


def test_a_message_under_the_topic_of_another_node_is_refused(
    wired: Settings, node: PlayedNode
) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    shift_of_rows(ledger)
    birth = Birth(v=1, stream=ledger.stream, next=1, head=14, software="test", node="node-1")
    told = "the message is of node node-2, the topic of node node-1"
    with worker(wired):
        assert node.ask("birth", replace(birth, node="node-2")).refused == told
        assert asked(dsn, "SELECT stream FROM cursor") == []
        assert node.ask("birth", birth).refused is None
        ack = node.send(replace(ledger.batch(1, 14), node="node-2"))
        assert (ack.next, ack.refused) == (1, told)
        assert node.send(replace(ledger.batch(1, 14), node="node-1")).next == 14
        before = len(asked(dsn, "SELECT id FROM refused"))
        node.publish("state", State(v=1, online=True, node="node-2"))
        astray = Notice(v=1, station="s1", epoch=1, number=8, code=Code.NG, at_ms=1, node="node-2")
        node.publish("notice", astray)
        wait_for(lambda: len(asked(dsn, "SELECT id FROM refused")) == before + 2, "refused")
        assert asked(dsn, "SELECT node FROM node_state") == []
        node.publish("state", State(v=1, online=True, node="node-1"))
        wait_for(
            lambda: asked(dsn, "SELECT node FROM node_state") == [{"node": "node-1"}], "its state"
        )


def test_a_batch_from_the_middle_of_a_ledger_never_seen_waits_for_its_birth(
    wired: Settings, node: PlayedNode
) -> None:
    """Its first rows may be under way: only the node's own word makes rows before it lost."""
    dsn, ledger = wired.database.dsn, PaperLedger()
    shift_of_rows(ledger)
    with worker(wired):
        ack = node.send(ledger.batch(4, 14))
        told = f"ledger {ledger.stream} is not known, and row 4 is not its first"
        assert (ack.next, ack.refused) == (1, told)
        assert asked(dsn, "SELECT 1 FROM cursor UNION ALL SELECT 1 FROM gap") == []
        assert node.send(ledger.batch(1, 4)).next == 4
        assert node.send(ledger.batch(4, 14)).next == 14
    assert asked(dsn, "SELECT 1 FROM gap") == []


def test_rows_that_the_node_gave_away_and_the_hub_lost_become_a_declared_gap(
    wired: Settings, node: PlayedNode
) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    shift_of_rows(ledger)
    birth = Birth(v=1, stream=ledger.stream, next=9, head=14, software="test")
    with worker(wired):
        node.send(ledger.batch(1, 6))
        assert node.ask("birth", birth).next == 9
        assert node.send(ledger.batch(9, 14)).next == 14
    assert asked(dsn, "SELECT first, last FROM gap") == [{"first": 6, "last": 8}]
    [law] = asked(dsn, "SELECT * FROM law")
    assert metrics.first_law(law).residue == 3


def test_the_newest_state_of_a_node_stands_and_its_last_will_keeps_the_stations(
    wired: Settings, node: PlayedNode
) -> None:
    dsn = wired.database.dsn
    station = StationState(
        station="s1", state="running", mode=Mode.AUTO, epoch=1, triggers=7, recipe="plate",
        trust="unsigned",
    )  # fmt: skip
    with worker(wired):
        node.publish("state", State(v=1, online=True, waiting=3, at_ms=9, stations=(station,)))
        wait_for(lambda: len(asked(dsn, "SELECT 1 FROM node_state")) == 1, "the state is kept")
        node.publish("state", State(v=1, online=False))
        gone = "SELECT waiting, stations FROM node_state WHERE NOT online"
        wait_for(lambda: len(asked(dsn, gone)) == 1, "the node is known to be gone")
    [state] = asked(dsn, gone)
    assert (state["waiting"], state["stations"][0]["triggers"]) == (3, 7)


def test_pages_are_told_of_committed_rows_and_of_notices(wired: Settings, node: PlayedNode) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    notice = Notice(v=1, station="s1", epoch=1, number=8, code=Code.NG, at_ms=1)
    with psycopg.connect(wired.database.dsn, autocommit=True) as listening, worker(wired):
        listening.execute("LISTEN qj_line")
        node.publish("notice", notice)
        node.send(ledger.batch(1, 14))
        told = [json.loads(n.payload) for n in listening.notifies(timeout=20, stop_after=2)]
    where = {"plant": "jinan", "line": "line-1", "node": "node-1"}
    assert told[0] == {"kind": "notice", "v": 1, "station": "s1", "epoch": 1, "number": 8,
                       "code": 2, "reason": None, "defect": None, "at_ms": 1, **where}  # fmt: skip
    assert told[1] == {"kind": "rows", "stations": ["s1"], "rows": 13, "not_ok": 3, "alerts": 0,
                       **where}  # fmt: skip


def test_pictures_alerts_and_evictions_are_known_by_what_their_rows_say(
    direct: session.Connection, database: str
) -> None:
    big, small = "1" * 64, "2" * 64
    view = View(
        camera="c1",
        code=Code.NG,
        marks=(Mark(label="scratch", score=9000, box=(1, 2, 3, 4)),),
        picture=big,
        thumbnail=small,
    )
    raised = AlertRow(**stamp(), code="camera_lost", active=True, count=1)
    again = AlertRow(**stamp(at_ms=2_000), code="camera_lost", active=True, count=4, detail="c1")
    over = AlertRow(**stamp(at_ms=3_000), code="camera_lost", active=False, count=4)
    ledger = PaperLedger()
    ledger.write([part_row(1, Code.NG, views=(view,)), raised, again])
    rows.taken(direct, PLACE, ledger.batch(1, 4))
    [alert] = asked(database, "SELECT active, count, detail FROM alert")
    assert alert == {"active": True, "count": 4, "detail": "c1"}
    ledger.write([over, EvictionRow(**stamp(), picture=big, bytes=9, cause="space")])
    rows.taken(direct, PLACE, ledger.batch(4, 6))
    assert asked(database, "SELECT active FROM alert") == [{"active": False}]
    named = asked(database, "SELECT sha256, kind, evicted_at IS NULL here FROM picture ORDER BY 1")
    assert [(row["sha256"], row["kind"], row["here"]) for row in named] == [
        (big, "picture", False), (small, "thumbnail", True),
    ]  # fmt: skip
    [part] = asked(database, "SELECT views FROM part")
    assert part["views"][0]["marks"][0]["box"] == [1, 2, 3, 4]


def test_a_part_whose_time_cannot_be_true_stands_at_its_arrival_and_says_so(
    direct: session.Connection, database: str
) -> None:
    now_ms = time.time_ns() // 1_000_000
    yesterday = now_ms - 86_400_000
    ledger = PaperLedger()
    ledger.write(
        [
            epoch_row(),
            replace(part_row(1, at_ms=0), clock="unsynced"),
            part_row(2, at_ms=now_ms + 2 * 86_400_000),
            part_row(3, at_ms=yesterday),
        ]
    )
    assert rows.taken(direct, PLACE, ledger.batch(1, 5)).misplaced == 2
    found = asked(
        database,
        "SELECT number, extract(epoch FROM at) * 1000 AS at, extract(epoch FROM node_at) AS told "
        "FROM part ORDER BY seq",
    )
    arrival = found[0]["at"]
    assert abs(arrival - now_ms) < 3_600_000
    assert [(row["at"], row["told"] is not None) for row in found] == [
        (arrival, True), (arrival, True), (yesterday, False),
    ]  # fmt: skip
    assert found[0]["told"] == 0
    [sums] = asked(database, "SELECT min(minute) AS first, sum(ok) AS ok FROM minute_count")
    assert (sums["first"].timestamp() * 1000 // 60_000, sums["ok"]) == (yesterday // 60_000, 3)
    assert asked(database, "SELECT misplaced, misplaced_at IS NOT NULL AS at FROM cursor") == [
        {"misplaced": 2, "at": True}
    ]


def test_bypassed_parts_are_in_the_law_and_the_minute(
    direct: session.Connection, database: str
) -> None:
    ledger = PaperLedger()
    ledger.write([epoch_row(), bypassed_row(1, 9), counter_row(9)])
    rows.taken(direct, PLACE, ledger.batch(1, 4))
    assert asked(database, "SELECT bypassed, released FROM law") == [{"bypassed": 9, "released": 9}]
    assert asked(database, "SELECT sum(bypassed) n FROM minute_count") == [{"n": 9}]


def test_a_part_of_a_clock_that_runs_ahead_is_the_newest_only_until_the_next_came(
    direct: session.Connection, database: str
) -> None:
    ledger, now_ms = PaperLedger(), time.time_ns() // 1_000_000
    ahead = part_row(1, Code.NG, at_ms=now_ms + 86_400_000)
    ledger.write([ahead])
    rows.taken(direct, PLACE, ledger.batch(1, 2))
    later = time.time_ns() // 1_000_000 + 1
    wait_for(lambda: time.time_ns() // 1_000_000 > later, "the clock moves")
    ledger.write([part_row(2, Code.NG, at_ms=time.time_ns() // 1_000_000)])
    rows.taken(direct, PLACE, ledger.batch(2, 3))
    [newest] = session.rows(direct, "last_not_ok", plant="jinan", line="line-1", limit=1)
    assert newest["number"] == 2


def test_a_state_from_the_end_of_time_can_be_shown_in_any_time_zone(
    direct: session.Connection, database: str
) -> None:
    rows.heard(direct, PLACE, State(v=1, online=True, at_ms=2**53 - 1), retained=True)
    [known] = asked(database, "SELECT at FROM node_state")
    assert known["at"].astimezone(timezone(timedelta(hours=14))).year <= 2100
