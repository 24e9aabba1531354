"""Part rows packed for COPY come out of a real database as they went in."""

from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.mqtt.message import Mark, PartRow, View
from edge.terms import Code, Mode, Reason
from hub.moments import moment
from hub.store import rows, session
from tests.ingest_peer import PLACE
from tests.ledger_rows import stamp
from tests.paper_ledger import PaperLedger

small = st.one_of(st.none(), st.integers(0, 2**31 - 1))
text = st.one_of(
    st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
)
views = st.lists(
    st.builds(
        View,
        camera=st.just("c1"),
        code=st.sampled_from([Code.OK, Code.NG]),
        marks=st.just((Mark(label="划痕", score=9000, box=(1, 2, 3, 4)),)),
    ),
    max_size=3,
).map(tuple)
parts = st.builds(
    PartRow,
    **{name: st.just(value) for name, value in stamp().items() if name != "at_ms"},
    at_ms=st.integers(0, 4_102_444_800_000),
    number=st.integers(0, 2**53 - 1),
    code=st.just(Code.UNDECIDED),
    reason=st.sampled_from(Reason),
    computed=st.sampled_from([Code.OK, Code.NG]),
    computed_reason=st.one_of(st.none(), st.sampled_from(Reason)),
    defect=text,
    score=st.one_of(st.none(), st.integers(0, 10_000)),
    mode=st.sampled_from(Mode),
    recipe=text.map(lambda told: told or ""),
    model=st.one_of(st.none(), st.just("c" * 64)),
    trust=st.sampled_from(["signed", "unsigned"]),
    product=text,
    batch=text,
    serial=text,
    inspect_ms=small,
    latency_ms=small,
    views=views,
)
SHARED = [HealthCheck.function_scoped_fixture]  # one database for every example
SAME = ("station", "epoch", "number", "defect", "score", "recipe", "model", "trust", "product",
        "batch", "serial", "inspect_ms", "latency_ms")  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=SHARED)
@given(st.lists(parts, min_size=1, max_size=12))
def test_every_column_is_what_the_row_says(direct: session.Connection, sent: list[PartRow]) -> None:
    ledger = PaperLedger(uuid4().hex)
    direct.execute("SET synchronous_commit = off")
    direct.execute("DELETE FROM part")
    rows.taken(direct, PLACE, ledger.write(sent))
    found: list[dict[str, Any]] = direct.execute("SELECT * FROM part ORDER BY seq").fetchall()
    assert len(found) == len(sent)
    for seq, (row, kept) in enumerate(zip(sent, found, strict=True), 1):
        assert {name: kept[name] for name in SAME} == {name: getattr(row, name) for name in SAME}
        assert (kept["stream"], kept["seq"]) == (ledger.stream, seq)
        assert (kept["plant"], kept["line"], kept["node"]) == ("jinan", "line-1", "node-1")
        assert (kept["code"], kept["reason"]) == (int(row.code), row.reason and row.reason.value)
        assert kept["computed"] == int(row.computed)
        assert kept["computed_reason"] == (row.computed_reason and row.computed_reason.value)
        assert kept["mode"] == row.mode.value
        assert moment(row.at_ms) == (kept["node_at"] or kept["at"])
        assert (kept["hash"], bytes(kept["raw"])) == (
            ledger.entries[seq - 1].hash, bytes(ledger.entries[seq - 1].row),
        )  # fmt: skip
        assert [view["camera"] for view in kept["views"]] == [v.camera for v in row.views]
