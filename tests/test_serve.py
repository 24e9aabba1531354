"""The hub's pages as a browser asks for them: hub.serve and hub.web, over a real database."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.mqtt.message import AlertRow, CounterRow, EpochRow, View
from edge.terms import Code, Mode, Reason
from hub.serve import is_local, run
from hub.settings import Broker, Database, Settings, Web
from hub.store.pool import Store
from tests.played_hub import SITE_WORDS, Node, PlayedHub, now_ms, served
from tests.played_shift import part, stamp, station_now

DEADLINE_S = 20.0
PAGES = ("/", "/line/licheng/plate-1", "/parts", "/parts?verdict=not_ok", "/kpi", "/kpi?period=day")


def start_row(station: str = "s", counted_by: Any = "plc") -> EpochRow:
    return EpochRow(
        **stamp(station, now_ms()),
        base=0,
        plc_start=1,
        cause="first_contact" if counted_by == "plc" else "self_counted",
        counted_by=counted_by,
    )


def counter_row(counter: int, in_flight: int = 0, station: str = "s", **more: int) -> CounterRow:
    sensors: dict[str, Any] = dict(more)
    return CounterRow(**stamp(station, now_ms()), counter=counter, open=in_flight, **sensors)


def text_of(answer: httpx.Response) -> str:
    """The page without tags, blanks collapsed."""
    body = answer.text[answer.text.index("<body") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


# pages


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_in_chinese_and_in_english(played_hub: PlayedHub, path: str) -> None:
    chinese = played_hub.get(path)
    english = played_hub.get(path + ("&" if "?" in path else "?") + "lang=en")
    assert (chinese.status_code, english.status_code) == (200, 200)
    assert '<html lang="zh-CN">' in chinese.text
    assert '<html lang="en">' in english.text
    assert re.search("[\u4e00-\u9fff]", text_of(chinese))
    left = re.sub("|".join(("中文", *SITE_WORDS)), "", text_of(english))
    assert not re.search("[\u4e00-\u9fff]", left), "a Chinese word on the English page"


def test_the_language_once_chosen_stays(played_hub: PlayedHub) -> None:
    with httpx.Client(base_url=played_hub.address) as browser:
        browser.get("/?lang=en")
        assert '<html lang="en">' in browser.get("/kpi").text
        browser.get("/?lang=zh")
        assert '<html lang="zh-CN">' in browser.get("/kpi").text


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/healthz", "/static/line.js"])
def test_every_answer_carries_the_security_headers_and_nothing_inline(
    played_hub: PlayedHub, path: str
) -> None:
    answer = played_hub.get(path)
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "server" not in answer.headers
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", answer.text)
    assert not re.search(r"""(src|href)="(https?:)?//""", answer.text), "an outside request"


def test_the_overview_tells_each_lines_state(played_hub: PlayedHub) -> None:
    text = text_of(played_hub.get("/"))
    for line, state in (("plate-1", "运行中"), ("plate-2", "旁路运行"), ("cover-1", "节点离线")):
        card = text[text.index(f"licheng / {line}") :]
        assert state in card[:120]


def test_the_board_shows_counts_both_laws_and_the_last_part_with_its_reason(
    played_hub: PlayedHub,
) -> None:
    text = text_of(played_hub.get("/line/licheng/plate-1"))
    for word in ("运行中", "自动", "在线", "台账平衡", "平衡", "一致", "剔除未确认", "有工件未检"):
        assert word in text
    assert re.search(r"最近一件非合格 .*不合格 (划伤|凹坑|污渍|崩边|缺孔) 0\.\d\d 第 122,", text)


def test_bypass_fills_the_state_red_and_an_unsigned_model_shows_its_banner(
    played_hub: PlayedHub,
) -> None:
    page = played_hub.get("/line/licheng/plate-2").text
    assert '<section class="card state alarm">' in page
    assert page.count('class="banner"') == 2
    assert "未签发模型" in page
    assert "工件未经检测直接放行" in page


def test_an_unbalanced_ledger_is_an_alarm_on_the_board(played_hub: PlayedHub) -> None:
    node = played_hub.new_node("w-residue")
    node.send(start_row(), part("s", 1, now_ms(), Code.OK), counter_row(3))
    node.say(station_now("s", "running", Mode.AUTO, "pinned"))
    text = text_of(played_hub.get("/line/licheng/w-residue"))
    assert "台账不平衡" in text
    assert "不平衡，差 2" in text


def test_a_self_counted_station_prints_that_nobody_checks_it(played_hub: PlayedHub) -> None:
    node = played_hub.new_node("w-self")
    node.send(start_row(counted_by="self"), part("s", 1, now_ms(), Code.OK), counter_row(1))
    text = text_of(played_hub.get("/line/licheng/w-self"))
    assert "自计数，无独立核对" in text
    assert "✓ 平衡" not in text


def test_a_picture_that_has_not_arrived_is_told_in_words(played_hub: PlayedHub) -> None:
    node = played_hub.new_node("w-late")
    view = View(camera="c", code=Code.NG, width=64, height=48, picture="ab" * 32)
    node.send(start_row(), part("s", 1, now_ms(), Code.NG, defect="pit", views=(view,)))
    assert "图片尚未传到" in text_of(played_hub.get("/line/licheng/w-late"))


def test_text_from_the_line_is_shown_and_never_run(played_hub: PlayedHub) -> None:
    node = played_hub.new_node("w-script")
    evil = "<script>alert(1)</script>'\"&"
    bad = part("s", 1, now_ms(), Code.NG, defect=evil, recipe=evil, product=evil)
    node.send(start_row(), bad, AlertRow(**stamp("s", now_ms()), code=evil, active=True, count=1))
    for path in ("/line/licheng/w-script", "/parts?line=w-script", f"/parts/{node.stream}/2"):
        page = played_hub.get(path).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page


# parts


def numbers_on(page: str) -> list[str]:
    return re.findall(r'<td class="figure"><a href="/parts/([0-9a-f]{32}/\d+)"', page)


def test_paging_shows_every_part_once_newest_first(played_hub: PlayedHub) -> None:
    node = played_hub.new_node("w-paging")
    same = now_ms() - 5_000  # many parts of one millisecond: only the keyset's tie-break helps
    node.send(start_row(), *(part("s", n, same + n // 50, Code.OK) for n in range(1, 101)))
    seen: list[str] = []
    path: str | None = "/parts?line=w-paging"
    while path is not None:
        page = played_hub.get(path).text
        seen += numbers_on(page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        path = "/parts" + older[1].replace("&amp;", "&") if older else None
    assert seen == [f"{node.stream}/{seq}" for seq in range(101, 1, -1)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("verdict=ng", [2]),
        ("verdict=not_ok", [3, 2]),
        ("verdict=undecided&reason=bad_image", [3]),
        ("reason=late", []),
        ("defect=pit", [2]),
        ("number=1", [1]),
        ("recipe=other", [3]),
        ("model=5e1f", [3, 2, 1]),
        ("model=00", []),
        ("station=s", [3, 2, 1]),
        ("station=t", []),
        ("since=2099-01-01T00:00", []),
        ("until=2000-01-02T00:00", []),
    ],
)
def test_filters_keep_what_they_say(
    filtered: Node, played_hub: PlayedHub, asked: str, found: list[int]
) -> None:
    page = played_hub.get(f"/parts?line=w-filter&{asked}").text
    assert numbers_on(page) == [f"{filtered.stream}/{number + 1}" for number in found]


@pytest.fixture(scope="module")
def filtered(played_hub: PlayedHub) -> Node:
    """A line with three parts: OK, a pit, a bad image under another recipe."""
    node = played_hub.new_node("w-filter")
    at_ms = now_ms() - 10_000
    doubt = {"reason": Reason.BAD_IMAGE, "computed_reason": Reason.BAD_IMAGE}
    node.send(
        start_row(),
        part("s", 1, at_ms, Code.OK),
        part("s", 2, at_ms + 1, Code.NG, defect="pit", score=9000),
        part("s", 3, at_ms + 2, Code.UNDECIDED, recipe="other", **doubt),
    )
    return node


def test_a_parts_page_shows_its_ledger_row_with_the_hash_it_was_chained_by(
    played_hub: PlayedHub, filtered: Node
) -> None:
    page = played_hub.get(f"/parts/{filtered.stream}/4")
    assert page.status_code == 200
    assert filtered.prev in page.text, "the last hash of the stream is this row's"
    assert "图像不可用" in page.text
    assert "未判定·已剔除" in page.text


def test_a_part_whose_row_was_changed_in_the_database_is_shown_as_far_as_it_is_known(
    played_hub: PlayedHub,
) -> None:
    node = played_hub.new_node("w-changed")
    node.send(start_row(), part("s", 1, now_ms(), Code.NG))
    changed = "UPDATE part SET raw = %s WHERE stream = %s"
    for raw in (b"{ changed", b"\xff", b"[" * 5_000):
        played_hub.connection.execute(changed, (raw, node.stream))
        page = played_hub.get(f"/parts/{node.stream}/2")
        assert page.status_code == 200
        assert raw.decode(errors="replace")[:9] in page.text


# what people mistype and others try


@pytest.mark.parametrize(
    "path",
    [
        "/parts?verdict=maybe",
        "/parts?number=NaN",
        "/parts?number=-1",
        "/parts?number=99999999999999999999999",
        "/parts?number=1e3",
        "/parts?since=yesterday",
        "/parts?since=9999-12-31T23:59",
        "/parts?since=0001-01-01T00:00",
        "/parts?since=2026-11-23T08:00%2B08:00",
        "/parts?since=2026-11-23T08:00&until=2026-11-23T07:00",
        "/parts?after=1.2",
        "/parts?after=9999999999999999999.1.x",
        "/parts?after=-1.-1.x",
        "/parts?defect=%00",
        "/parts?recipe=" + "x" * 201,
        "/parts?line=..%2f..",
        "/parts?model=xyz",
        "/parts?reason=because",
        "/parts/" + "z" * 32 + "/1",
        "/parts/" + "a" * 32 + "/0",
        "/parts/" + "a" * 32 + "/99999999999999999999",
        "/parts/" + "a" * 32 + "/NaN",
        "/kpi?period=decade",
        "/kpi?date=2026-02-30",
        "/kpi?date=9999-12-31",
        "/kpi.csv?date=%00",
        "/line/LICHENG/plate-1",
        "/line/licheng/" + "x" * 33,
    ],
)
def test_a_wrong_request_gets_a_sentence_and_422(played_hub: PlayedHub, path: str) -> None:
    answer = played_hub.get(path)
    assert answer.status_code == 422
    assert "查询条件有误" in answer.text
    assert "<li>" in answer.text
    assert "Traceback" not in answer.text


def test_every_mistake_of_a_query_is_told_at_once(played_hub: PlayedHub) -> None:
    text = text_of(played_hub.get("/parts?verdict=x&number=y&since=z&lang=en"))
    assert "verdict: expected one of not_ok, ok, ng, undecided" in text
    assert "number: expected a whole number" in text
    assert "since: expected a time" in text


@pytest.mark.parametrize(
    "path", ["/nowhere", "/line/licheng/never", "/parts/" + "a" * 32 + "/7", "/events/x/y"]
)
def test_what_is_not_there_gets_a_sentence_and_404(played_hub: PlayedHub, path: str) -> None:
    answer = played_hub.get(path)
    assert answer.status_code == 404
    assert "没有这个页面" in answer.text
    english = httpx.get(played_hub.address + path, headers={"cookie": "language=en"})
    assert english.json()["error"] == "There is no such page"


keys = st.sampled_from(
    [
        "plant",
        "line",
        "station",
        "verdict",
        "reason",
        "defect",
        "recipe",
        "model",
        "number",
        "since",
        "until",
        "after",
        "period",
        "date",
    ]
)


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["/parts", "/kpi", "/kpi.csv", "/kpi.json", "/"]),
    st.dictionaries(keys, st.text(max_size=30) | st.integers().map(str) | st.dates().map(str)),
)
def test_no_query_string_makes_a_page_fail(
    played_hub: PlayedHub, path: str, asked: dict[str, str]
) -> None:
    clean = {key: value.encode("utf-8", "replace").decode() for key, value in asked.items()}
    assert played_hub.get(path, params=clean).status_code in (200, 422)


def test_only_this_computers_own_names_are_answered(played_hub: PlayedHub) -> None:
    answers = [
        httpx.get(played_hub.address + "/parts", headers={"host": host}).status_code
        for host in ("localhost:1", "[::1]:80", "evil.example", "127.0.0.1.evil.example", "")
    ]
    assert answers == [200, 200, 421, 421, 421]


# the service


def test_without_the_database_pages_say_so_with_503(tmp_path: Path) -> None:
    with served(f"host={tmp_path} dbname=gone", tmp_path) as (address, *_):
        answer = httpx.get(address + "/", headers={"accept": "text/html"}, timeout=30)
    assert answer.status_code == 503
    assert "数据库暂时连不上" in answer.text


def test_health_is_told_in_one_word(played_hub: PlayedHub) -> None:
    answer = played_hub.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_an_address_that_others_can_reach_is_refused_with_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    web = Web(host="0.0.0.0", pictures_dir=str(tmp_path))  # type: ignore[arg-type]
    settings = Settings(database=Database(dsn="x"), broker=Broker(host="x"), web=web)
    assert run(settings, Store("x")) == 2
    assert "no accounts yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("hub.example", False),
        ("", False),
    ],
)
def test_a_local_address_is_told_from_others(host: str, local: bool) -> None:
    assert is_local(host) is local
