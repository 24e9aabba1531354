"""The pure rules of a commissioning: the points, which step may follow, and who may sign."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge.commissioning import points, sentences
from edge.commissioning.journal import (
    GoLive,
    Journal,
    Person,
    Record,
    Step,
    decode,
    encode,
    is_intact,
    sealed,
)
from edge.commissioning.points import BY_NAME, POINTS
from edge.commissioning.rules import Site, following, hindrance, open_fault
from edge.commissioning.signing import differences, persons_fault
from edge.errors import (
    CameraError,
    CommissioningError,
    EdgeError,
    LedgerError,
    LinkError,
    PlcError,
    PlcTimeoutError,
    SettingsError,
)
from edge.plc.blocks import LineCounters
from edge.register_map import STATUS
from edge.terms import Code

DOCS = Path(__file__).parent.parent / "docs"

# -- PLC points -------------------------------------------------------------------------------

BINS = LineCounters(10, 5, 5, 0, 0)


def bins(good: int, confirmed: int) -> LineCounters:
    return LineCounters(10 + good, 5, 5 + confirmed, 0, 0)


def test_only_a_point_that_acts_waits_for_a_line_that_stands() -> None:
    for point in POINTS:
        assert (points.running_fault(point, True) is not None) == point.acts
        assert points.running_fault(point, False) is None
    acting = {point.name for point in POINTS if point.acts}
    assert acting == {
        *("ok", "ng", "undecided", "reject", "sample", "stop", "light", "node-heartbeat")
    }


@pytest.mark.parametrize(("first", "last"), [(7, 8), (8, 8), (6, 6), (5, 7)])
def test_one_part_makes_the_number_step_by_one(first: int, last: int) -> None:
    assert (points.step_fault(6, first, last) is None) == ((first, last) == (7, 7))


def test_only_the_echo_of_what_was_sent_passes() -> None:
    for sent in (Code.OK, Code.NG, Code.UNDECIDED):
        assert points.echo_fault(sent, sent, 400, 0) is None
        for taken in {Code.OK, Code.NG, Code.UNDECIDED} - {sent}:
            assert f"回写的却是 {int(taken)}" in (points.echo_fault(sent, taken, 400, 0) or "")
    assert "400 ms 内 PLC 没有回写寄存器 48、49" in (
        points.echo_fault(Code.OK, None, 400, 40) or ""
    )


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize(("good", "confirmed"), [(1, 0), (0, 1), (0, 0), (1, 1), (2, 0), (0, 2)])
def test_exactly_one_part_in_the_right_bin_passes(passes: bool, good: int, confirmed: int) -> None:
    right = (good, confirmed) == ((1, 0) if passes else (0, 1))
    assert (points.bin_fault(BINS, bins(good, confirmed), passes) is None) == right


def test_a_bin_has_the_name_that_the_manual_gives_it() -> None:
    """剔除口 is the gate there."""
    for passes, name in ((True, "良品箱"), (False, "剔除箱")):
        for after in (bins(0, 0), bins(1, 1)):
            fault = points.bin_fault(BINS, after, passes) or ""
            assert name in fault
            assert "口" not in fault


def test_the_stack_light_has_one_name() -> None:
    name = BY_NAME["light"].zh
    for page in ("electrician", "commissioning", "operator"):
        text = (DOCS / f"{page}.zh-CN.md").read_text(encoding="utf-8")
        assert name in text
        assert not [other for other in ("警示灯", "警告灯", "7 警告") if other in text]
    assert f"7 {name}，" in STATUS[0][1]


# -- what went wrong, in a sentence -----------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "begins"),
    [
        (PlcTimeoutError("b1: no answer"), "PLC 没有按时回答"),
        (PlcError("b1: is held"), "PLC 或它的端口用不了"),
        (CameraError("c1: no picture"), "相机"),
        (SettingsError("x.toml", ["[image] dark: missing"]), "配置或配方有错"),
        (LedgerError("/data: full"), "写不进磁盘"),
        (LinkError("hub: refused"), "没有做成"),
    ],
)
def test_an_error_of_a_device_is_chinese_first_and_its_own_words_follow(
    wrong: EdgeError, begins: str
) -> None:
    told = sentences.of(wrong)
    assert told.startswith(begins)
    assert told.endswith(f"（{' '.join(str(wrong).split())} {wrong.hint}）")
    assert "\n" not in told


def test_an_error_of_the_commissioning_is_chinese_alone() -> None:
    assert sentences.of(CommissioningError("料箱计数器读不到")) == "料箱计数器读不到"


# -- which step may follow --------------------------------------------------------------------

NOW = {
    "camera c1": "a", "scale c1": "0.25", "camera c2": "b", "scale c2": "0.25",
    "plc s1": "c", "wiring": "d", "recipe 1": "e", "model 1": "f",
}  # fmt: skip
SITE = Site({"s1": ("c1", "c2")}, NOW)


def record(step: Step, subject: str, point: str = "", **changes: object) -> Record:
    made = Record(
        step=step, subject=subject, point=point, at_ms=0, clock="synced", who="王强",
        result="passed", text="好", figures={}, made_with=SITE.made_with(step, subject),
    )  # fmt: skip
    return replace(made, **changes)


def everything() -> list[Record]:
    cameras: tuple[Step, ...] = ("camera", "focus", "region")
    found = [record(step, c) for step in cameras for c in ("c1", "c2")]
    found += [record("plc", "s1", point.name) for point in POINTS]
    found += [record("golden", "s1", e, figures={"expect": e}) for e in ("good", "bad")]
    return [*found, record("monitor", "s1"), record("manual", "s1")]


def test_nothing_may_be_signed_before_everything_is_passed() -> None:
    records = everything()
    assert hindrance("sign", "", Journal(records=tuple(records)), SITE) is None
    for left_out in range(len(records)):
        rest = tuple(records[:left_out] + records[left_out + 1 :])
        assert hindrance("sign", "", Journal(records=rest), SITE) is not None


@pytest.mark.parametrize(
    ("step", "subject", "words"),
    [
        ("focus", "c1", "“相机”（c1）还没有做"),
        ("region", "c2", "“相机”（c2）还没有做"),
        ("golden", "s1", "“相机”（c1）还没有做"),
        ("monitor", "s1", "“标准件”（s1）至少要一件"),
        ("manual", "s1", "“观察运行”（s1）还没有做"),
    ],
)
def test_a_step_waits_for_those_before_it(step: Step, subject: str, words: str) -> None:
    assert words in (hindrance(step, subject, Journal(), SITE) or "")


def test_camera_and_plc_may_begin_at_once() -> None:
    assert hindrance("camera", "c1", Journal(), SITE) is None
    assert hindrance("plc", "s1", Journal(), SITE) is None


@pytest.mark.parametrize(
    ("key", "void"),
    [
        ("camera c1", {"camera", "focus", "region", "golden", "monitor", "manual"}),
        ("scale c1", {"region", "golden", "monitor", "manual"}),
        ("plc s1", {"plc", "golden", "monitor", "manual"}),
        ("model 1", {"golden", "monitor", "manual"}),
        ("wiring", {"golden", "monitor", "manual"}),
    ],
)
def test_what_was_changed_makes_void_what_depends_on_it(key: str, void: set[str]) -> None:
    journal = Journal(records=tuple(everything()))
    changed = Site(SITE.cameras, {**NOW, key: "other"})
    subjects: tuple[tuple[Step, str], ...] = (
        ("camera", "c1"), ("focus", "c1"), ("region", "c1"), ("plc", "s1"),
        ("golden", "s1"), ("monitor", "s1"), ("manual", "s1"),
    )  # fmt: skip
    found = {step for step, who in subjects if open_fault(step, who, journal, changed)}
    assert found == void


def test_a_step_that_failed_after_it_passed_is_open_again() -> None:
    records = [*everything(), record("focus", "c2", result="failed", text="糊了")]
    assert following(Journal(records=tuple(records)), SITE) == ("focus", "c2")


def test_a_station_without_a_bus_has_one_record_instead_of_points() -> None:
    alone = Site(SITE.cameras, NOW, {"s1": ()})
    points_done = Journal(records=tuple(record("plc", "s1", point.name) for point in POINTS))
    assert open_fault("plc", "s1", points_done, SITE) is None
    assert "还没有做" in (open_fault("plc", "s1", points_done, alone) or "")
    assert open_fault("plc", "s1", Journal(records=(record("plc", "s1"),)), alone) is None
    assert open_fault("plc", "s1", Journal(records=(record("plc", "s1"),)), SITE) is not None


def test_a_bad_golden_part_that_passed_cannot_be_left_out() -> None:
    worse = record("golden", "s1", "bad-2", figures={"expect": "bad"}, result="failed")
    records = (*everything(), worse)
    assert "bad-2" in (hindrance("monitor", "s1", Journal(records=records), SITE) or "")


def test_golden_parts_of_one_kind_prove_nothing() -> None:
    records = tuple(r for r in everything() if r.point != "bad")
    assert "至少要一件" in (open_fault("golden", "s1", Journal(records=records), SITE) or "")


def test_the_walk_goes_through_every_step_once_and_ends() -> None:
    journal, way = Journal(), []
    while (open_one := following(journal, SITE)) is not None and open_one[0] != "sign":
        step, subject = open_one
        way.append(open_one)
        fresh = [r for r in everything() if (r.step, r.subject) == open_one]
        assert fresh, open_one
        journal = replace(journal, records=(*journal.records, *fresh))
        assert open_fault(step, subject, journal, SITE) is None
    assert [step for step, _ in way] == [
        *("camera", "camera", "focus", "focus", "region", "region"),
        *("plc", "golden", "monitor", "manual"),
    ]


# -- signing ----------------------------------------------------------------------------------


def going() -> GoLive:
    return sealed(
        GoLive(
            plant="jinan", line="line-1", node="node-1", at_ms=1_700_000_000_000, clock="synced",
            first=Person(name="王强", role="工艺"), second=Person(name="李娜", role="质量"),
            made_with=NOW, records=tuple(everything()),
        )
    )  # fmt: skip


def test_a_sealed_go_live_survives_the_disk_and_no_change() -> None:
    journal = Journal(signed=(going(),))
    back = decode(encode(journal)).signed[0]
    assert is_intact(back)
    for changed in (
        replace(back, at_ms=back.at_ms + 1),
        replace(back, second=Person(name="李 娜", role="质量")),
        replace(back, made_with={**NOW, "model 1": "x"}),
        replace(back, records=back.records[1:]),
        replace(back, records=(replace(back.records[0], text="很好"), *back.records[1:])),
    ):
        assert not is_intact(changed)


@pytest.mark.parametrize(
    ("first", "second"),
    [("王强", "王强"), ("王强", "王 强"), ("Li Na", "LI NA"), ("Ｌi", "Li"), ("王强", "  ")],
)
def test_one_person_cannot_sign_twice(first: str, second: str) -> None:
    assert persons_fault(Person(name=first, role="工艺"), Person(name=second, role="质量"))
    assert persons_fault(Person(name="王强", role="工艺"), Person(name="李娜", role="质量")) is None


def test_only_what_was_commissioned_is_no_difference() -> None:
    assert differences(going(), NOW) == []
    assert differences(going(), {**NOW, "model 1": "x"}) == ["model 1"]
    assert differences(going(), {**NOW, "recipe 2": "x"}) == ["recipe 2"]
    assert differences(going(), {k: v for k, v in NOW.items() if k != "recipe 1"}) == ["recipe 1"]


def test_every_point_has_its_name_once_and_a_wire_has_its_own_only_where_it_is() -> None:
    wired = points.beside_wires(["ok", "ready", "stop", "warning", "buzzer"])
    assert len(BY_NAME) == len({point.zh for point in wired}) == len(wired)
    assert [p.name for p in wired if p not in POINTS] == ["ready", "buzzer"]
    assert wired.index(BY_NAME["ready"]) == wired.index(BY_NAME["trigger"]) - 1
    assert points.beside_wires(["ok"]) == POINTS


def test_only_what_the_wire_said_passes() -> None:
    for sent in (Code.OK, Code.NG, Code.UNDECIDED):
        assert points.wire_fault(sent, sent, "3") is None
        assert points.wire_fault(sent, None, "3") is not None
    assert "输出 3 没有读回得电" in (points.wire_fault(Code.OK, None, "3") or "")
