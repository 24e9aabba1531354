"""The bureau's report: the same figures in every form, and nothing but totals (hub.web.bureau)."""

import csv
import io

import pytest

from tests.played_hub import PlayedHub


def test_the_report_gives_the_same_figures_as_page_json_and_csv(played_hub: PlayedHub) -> None:
    report = played_hub.get("/kpi.json?period=quarter").json()
    rows = list(csv.DictReader(io.StringIO(csv_text(played_hub))))
    assert report["format"] == "quanjian-kpi/1"
    plates = next(scope for scope in report["scopes"] if scope["line"] == "plate-1")
    told = {one["key"]: one for one in plates["indicators"]}
    assert told["ng_rate"]["value"] == told["ng_rate"]["numerator"] / told["ng_rate"]["denominator"]
    assert plates["ledger"] == {"state": "balanced", "epochs": 2, "residue": 0}
    table = {row["代码"]: row for row in rows if row["产线"] == "plate-1"}
    assert set(table) == set(told)
    assert int(table["triggers"]["数值"]) == told["triggers"]["value"]
    assert float(table["ng_rate"]["数值"]) == pytest.approx(told["ng_rate"]["value"], abs=1e-6)


def test_the_days_of_a_line_add_up_to_its_ledger(played_hub: PlayedHub) -> None:
    report = played_hub.get("/kpi.json?period=quarter").json()
    plates = next(scope for scope in report["scopes"] if scope["line"] == "plate-1")
    assert plates["days"]
    assert {day["state"] for day in plates["days"]} == {"balanced"}
    assert {day["residue"] for day in plates["days"]} == {0}
    settled = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined", "elsewhere", "open")
    for day in plates["days"]:
        assert day["triggers"] == sum(day[name] for name in settled)
    assert "逐日台账" in played_hub.get("/kpi?period=quarter").text


def csv_text(hub: PlayedHub) -> str:
    answer = hub.get("/kpi.csv?period=quarter")
    assert answer.content.startswith(b"\xef\xbb\xbf"), "spreadsheets need the mark for Chinese"
    assert "attachment" in answer.headers["content-disposition"]
    return answer.content.decode("utf-8-sig")


def test_what_is_not_collected_says_so_and_is_never_zero(played_hub: PlayedHub) -> None:
    report = played_hub.get("/kpi.json?period=day").json()
    for scope in report["scopes"]:
        escapes = next(one for one in scope["indicators"] if one["key"] == "escape_rate")
        assert (escapes["value"], escapes["status"]) == (None, "not_collected")
        assert all(
            one["coverage"] == scope["indicators"][0]["coverage"] for one in scope["indicators"]
        )
    assert "不采集" in played_hub.get("/kpi").text
    rows = csv.DictReader(io.StringIO(csv_text(played_hub)))
    assert {row["数值"] for row in rows if row["代码"] == "escape_rate"} == {"不采集"}


def test_a_period_without_rows_has_no_rates(played_hub: PlayedHub) -> None:
    report = played_hub.get("/kpi.json?period=month&date=2001-05-09").json()
    assert report["period"]["first"] == "2001-05-01"
    assert [scope["line"] for scope in report["scopes"]] == [None]
    rates = [one for one in report["scopes"][0]["indicators"] if one["unit"] == "%"]
    assert all(one["value"] is None or one["key"] == "coverage" for one in rates)


def test_the_bureau_gets_no_picture_and_no_part(played_hub: PlayedHub) -> None:
    for path in ("/kpi", "/kpi.json", "/kpi.csv"):
        body = played_hub.get(path).text
        assert "/pictures/" not in body
        assert "/parts/" not in body
        assert not any(node.stream in body for node in played_hub.nodes.values())
