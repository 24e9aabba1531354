"""The bureau's report (工信局): indicators of a period, per line and in total, as page, JSON, CSV.

Every figure comes from hub.metrics. Totals only: no picture, no row of a part, no person.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from hub import metrics
from hub.metrics import FirstLaw, Indicator
from hub.store.pool import Store
from hub.web.asked import Asked, WrongQueryError
from hub.web.page import Pages, language_of, now_utc
from hub.web.periods import KINDS, Kind, Period, period_of
from hub.web.words import Language, sayer

FORMAT = "quanjian-kpi/1"
SUMMED = ("ok", "ng", "undecided", "missed", "bypassed", "samples", "triggers")
NOT_COLLECTED = ("no_audit",)
"""Notes that say: nobody measures this here. Every other empty value has nothing to divide by."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a cell that starts so; in a report from a plant it is always text."""

HEADS = (
    *("kpi.period", "plant", "line", "kpi.key", "kpi.indicator", "kpi.value", "kpi.unit"),
    *("kpi.status", "kpi.numerator", "kpi.denominator", "kpi.formula", "kpi.coverage"),
)
"""Columns of the CSV, as words."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The first law of every epoch of the period: what stands behind the figures."""

    state: str  # the worst: unbalanced, self_counted, unknown, balanced
    epochs: int
    residue: int  # sum over the epochs of what is missing


SETTLED = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined", "elsewhere")


@dataclass(frozen=True, slots=True)
class Day:
    """The first law of one day of an epoch: what its counter rows of that day added."""

    day: date
    station: str
    epoch: int
    law: FirstLaw
    settled: dict[str, int]  # by SETTLED


@dataclass(frozen=True, slots=True)
class Scope:
    """One line, or all of them (plant and line None), with its indicators."""

    plant: str | None
    line: str | None
    coverage: float | None
    ledger: Ledger
    indicators: Sequence[Indicator]
    days: Sequence[Day] = ()  # of a line


@dataclass(frozen=True, slots=True)
class Report:
    """The indicators of one period; `finished` if the period lies wholly in the past."""

    period: Period
    finished: bool
    made_at: datetime
    scopes: tuple[Scope, ...]  # the total first


class Reports:
    """Reads the sums of a period from the store and lets hub.metrics judge them."""

    def __init__(self, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def asked(self, request: Request, now: datetime) -> Period:
        """The period that the query string names; the current month if none.

        Raises:
            WrongQueryError: with everything that is wrong in it.
        """
        asked = Asked(request.query_params)
        named = asked.one_of("period", KINDS)
        day = asked.day("date") or self._pages.local(now).date()
        if asked.problems:
            raise WrongQueryError(asked.problems)
        kind: Kind = next((kind for kind in KINDS if kind == named), "month")
        return period_of(kind, day, self._pages.zone)

    def read(self, request: Request) -> Report:
        """The report of the period that is asked for.

        Raises:
            WrongQueryError, StoreError
        """
        now = now_utc()
        period = self.asked(request, now)
        span = {"since": period.start, "until": period.end, "plant": None, "line": None}
        counts = self._store.rows("counts", **span, station=None)
        seen = self._store.rows("seen_minutes", **span)
        laws = self._store.rows("laws_between", **span)
        days = self._store.rows(
            "law_by_day",
            timezone=self._pages.zone.key,
            first=period.first,
            last=period.last,
            plant=None,
            line=None,
        )
        places = sorted({(r["plant"], r["line"]) for r in (*counts, *seen)})
        scopes = [self._scope(None, period, now, counts, seen, laws, [])]
        for place in places:
            own = [_of(place, rows) for rows in (counts, seen, laws, days)]
            scopes.append(self._scope(place, period, now, *own))
        return Report(period, period.end <= now, now, tuple(scopes))

    def page(self, request: Request) -> HTMLResponse:
        """The report as a page."""
        report = self.read(request)
        return self._pages.page(
            request, "kpi.html", report=report, kinds=KINDS, not_collected=NOT_COLLECTED
        )

    def _scope(
        self,
        place: tuple[str, str] | None,
        period: Period,
        now: datetime,
        counts: Rows,
        seen: Rows,
        laws: Rows,
        days: Rows,
    ) -> Scope:
        plant, line = place or (None, None)
        latency = self._store.rows(
            "latency", since=period.start, until=period.end, plant=plant, line=line, station=None
        )[0]
        minutes = sum(row["minutes"] for row in seen)
        until = min(period.end, now)
        covered = metrics.coverage(minutes, len(seen), period.start, until)
        sums = {key: sum(row[key] for row in counts) for key in SUMMED}
        found = metrics.indicators(sums, latency, covered)
        return Scope(plant, line, covered, ledger_of(laws), found, [day_of(row) for row in days])


def ledger_of(laws: Rows) -> Ledger:
    """The first law of several epochs together."""
    judged = [metrics.first_law(row) for row in laws]
    states = {law.state for law in judged}
    worst = ("unbalanced", "self_counted", "unknown", "balanced")
    state = next((state for state in worst if state in states), "unknown")
    return Ledger(state, len(judged), sum(law.residue or 0 for law in judged))


def day_of(row: dict[str, Any]) -> Day:
    """One row of the query `law_by_day`."""
    settled = {name: int(row[name]) for name in SETTLED}
    return Day(row["day"], row["station"], row["epoch"], metrics.day_law(row), settled)


def status_of(indicator: Indicator) -> str:
    """measured, not_collected or no_data: why a value is there or not."""
    if indicator.value is not None:
        return "measured"
    return "not_collected" if indicator.note in NOT_COLLECTED else "no_data"


def document(report: Report, zone: str) -> dict[str, Any]:
    """The report as JSON; a % is a share of 1, what is not collected is null."""
    period = report.period
    return {
        "format": FORMAT,
        "period": {
            "kind": period.kind,
            "label": period.label,
            "first": period.first.isoformat(),
            "last": period.last.isoformat(),
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "timezone": zone,
            "finished": report.finished,
        },
        "made_at": report.made_at.isoformat(timespec="seconds"),
        "scopes": [
            {
                "plant": scope.plant,
                "line": scope.line,
                "ledger": {
                    "state": scope.ledger.state,
                    "epochs": scope.ledger.epochs,
                    "residue": scope.ledger.residue,
                },
                "indicators": [_entry(scope, one) for one in scope.indicators],
                "days": [
                    {
                        "day": one.day.isoformat(),
                        "station": one.station,
                        "epoch": one.epoch,
                        "state": one.law.state,
                        "triggers": one.law.triggers,
                        **one.settled,
                        "open": one.law.open,
                        "residue": one.law.residue,
                    }
                    for one in scope.days
                ],
            }
            for scope in report.scopes
        ],
    }


def _entry(scope: Scope, one: Indicator) -> dict[str, Any]:
    return {
        "key": one.key,
        "name": one.name_zh,
        "name_en": one.name_en,
        "unit": one.unit,
        "value": one.value,
        "status": status_of(one),
        "numerator": one.numerator,
        "denominator": one.denominator,
        "formula": one.formula_zh,
        "formula_en": one.formula_en,
        "coverage": scope.coverage,
        "note": one.note,
    }


def table(report: Report, language: Language) -> str:
    """The report as CSV text for spreadsheets; a cell never starts a formula."""
    say = sayer(language)
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow([say(head) for head in HEADS])
    for scope in report.scopes:
        place = (scope.plant or say("total"), scope.line or say("total"))
        for one in scope.indicators:
            status = status_of(one)
            cells = (
                report.period.label,
                *place,
                one.key,
                one.name_zh if language == "zh" else one.name_en,
                say(f"kpi.{status}") if one.value is None else _figure(one.value),
                say("kpi.share") if one.unit == "%" else one.unit,
                say(f"kpi.{status}"),
                "" if one.numerator is None else one.numerator,
                "" if one.denominator is None else one.denominator,
                one.formula_zh if language == "zh" else one.formula_en,
                "" if scope.coverage is None else _figure(scope.coverage),
            )
            out.writerow([safe(cell) for cell in cells])
    return text.getvalue()


def safe(cell: object) -> object:
    """Text as a spreadsheet should show it: never run. Numbers stay numbers."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return "'" + cell
    return cell


def _figure(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, 6)


def _of(place: tuple[str, str], rows: Rows) -> Rows:
    return [row for row in rows if (row["plant"], row["line"]) == place]


def _download(report: Report, ending: str) -> dict[str, str]:
    name = f"quanjian-kpi-{report.period.label}.{ending}"
    return {"content-disposition": f'attachment; filename="{name}"'}


def routes(reports: Reports, zone: str) -> APIRouter:
    """/kpi, /kpi.json and /kpi.csv."""
    router = APIRouter()

    @router.get("/kpi")
    def page(request: Request) -> HTMLResponse:
        return reports.page(request)

    @router.get("/kpi.json")
    def as_json(request: Request) -> Response:
        report = reports.read(request)
        return JSONResponse(document(report, zone), headers=_download(report, "json"))

    @router.get("/kpi.csv")
    def as_csv(request: Request) -> Response:
        report = reports.read(request)
        text = table(report, language_of(request))
        headers = _download(report, "csv")
        return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=headers)

    return router
