"""The engineer's pages (工艺质量): parts with pictures and filters, one part with everything."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import HTMLResponse

from edge.mqtt.message import UNREADABLE, PartRow, decode_row
from edge.terms import Code, Reason
from hub.store.pool import Store
from hub.web import draw
from hub.web.asked import Asked, WrongQueryError
from hub.web.line_data import line_data
from hub.web.page import Pages, now_utc, query
from hub.web.part import hashes_of, part_of

PAGE_PARTS = 40
DEFAULT_PERIOD = timedelta(days=1)
CHOICES = ("plant", "line", "station", "recipe", "model", "defect", "undecided")
CODES = {"ok": Code.OK, "ng": Code.NG, "undecided": Code.UNDECIDED}
VERDICTS = ("not_ok", *CODES)
_START = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class PartsAsked:
    """What the filters say. None = any."""

    plant: str | None
    line: str | None
    station: str | None
    verdict: str | None
    reason: str | None
    defect: str | None
    recipe: str | None
    model: str | None  # first digits of the hash
    number: int | None
    since: datetime | None
    until: datetime | None
    after: str | None  # the last part of the page before


def asked_of(request: Request, pages: Pages) -> PartsAsked:
    """Read the query string.

    Raises:
        WrongQueryError: with everything that is wrong in it.
    """
    asked = Asked(request.query_params)
    found = PartsAsked(
        plant=asked.name("plant"),
        line=asked.name("line"),
        station=asked.name("station"),
        verdict=asked.one_of("verdict", VERDICTS),
        reason=asked.one_of("reason", [reason.value for reason in Reason]),
        defect=asked.text("defect"),
        recipe=asked.text("recipe"),
        model=asked.sha256_start("model"),
        number=asked.whole("number"),
        since=asked.moment("since", pages.zone),
        until=asked.moment("until", pages.zone),
        after=asked.text("after"),
    )
    if found.since and found.until and found.since >= found.until:
        asked.problems.append(("asked.order", {}))
    if asked.problems:
        raise WrongQueryError(asked.problems)
    return found


class Quality:
    """Reads parts from the store for the engineer's pages."""

    def __init__(self, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def parts_page(self, request: Request) -> HTMLResponse:
        """The list, its filters, and the Pareto chart of the same period."""
        asked = asked_of(request, self._pages)
        until = asked.until or now_utc() + timedelta(minutes=1)
        since = asked.since or until - DEFAULT_PERIOD
        rows = self._rows(asked, since, until)
        more, rows = len(rows) > PAGE_PARTS, rows[:PAGE_PARTS]
        arrivals = self._store.rows("pictures_of", hashes=hashes_of(rows))
        found = {row["sha256"]: row for row in arrivals}
        place = {"plant": asked.plant, "line": asked.line, "station": asked.station}
        causes = self._store.rows("causes", since=since, until=until, **place)
        others = [row for row in causes if row["kind"] in ("undecided", "missed")]
        defects = [(row["label"], row["parts"]) for row in causes if row["kind"] == "defect"]
        kept = {k: v for k, v in request.query_params.items() if k not in ("after", "lang")}
        return self._pages.page(
            request,
            "parts.html",
            asked={name: getattr(asked, name) for name in asked.__slots__},
            since=since,
            until=until,
            parts=[part_of(row, found, small=True) for row in rows],
            choices=self._choices(since, until),
            others=others,
            pareto=draw.pareto(defects, other="other"),
            kept=kept,
            older=query({**kept, "after": _cursor(rows[-1])}) if more else None,
            newer=query(kept) if asked.after else None,
            data=line_data(self._store, self._pages, asked.plant, asked.line, now_utc()),
        )

    def part_page(self, request: Request, stream: str, seq: int) -> HTMLResponse:
        """One part with every view and its ledger row."""
        row = self._store.first("part_detail", stream=stream, seq=seq)
        if row is None:
            raise HTTPException(404)
        arrivals = self._store.rows("pictures_of", hashes=hashes_of([row]))
        part = part_of(row, {r["sha256"]: r for r in arrivals})
        raw = bytes(row["raw"])
        try:
            ledger = decode_row(raw)
        except UNREADABLE:  # changed in the database: what only the bytes tell is unknown
            ledger = None
        if not isinstance(ledger, PartRow | None):
            raise HTTPException(404)
        told = raw.decode(errors="replace")
        return self._pages.page(request, "part.html", part=part, ledger=ledger, row=row, raw=told)

    def _rows(self, asked: PartsAsked, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """One part more than a page holds, to know whether there is another page."""
        after = _after(asked.after)
        code = CODES.get(asked.verdict or "")
        return self._store.rows(
            "parts_page",
            since=since,
            until=until,
            plant=asked.plant,
            line=asked.line,
            station=asked.station,
            code=None if code is None else int(code),
            not_ok=asked.verdict == "not_ok",
            reason=asked.reason,
            defect=asked.defect,
            recipe=asked.recipe,
            model=asked.model,
            number=asked.number,
            after_at=after[0],
            after_seq=after[1],
            after_stream=after[2],
            limit=PAGE_PARTS + 1,
        )

    def _choices(self, since: datetime, until: datetime) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {kind: [] for kind in CHOICES}
        for row in self._store.rows("choices", since=since, until=until):
            found.setdefault(row["kind"], []).append(row["label"])
        return found


def _cursor(row: dict[str, Any]) -> str:
    """Where the next page starts: microseconds, sequence, stream."""
    at = (row["at"] - _START) // timedelta(microseconds=1)
    return f"{at}.{row['seq']}.{row['stream']}"


def _after(cursor: str | None) -> tuple[datetime | None, int | None, str | None]:
    if cursor is None:
        return None, None, None
    try:
        at, seq, stream = cursor.split(".")
        moment = _START + timedelta(microseconds=int(at))
        if not (2000 <= moment.year <= 2099 and 0 < int(seq) < 2**53):
            raise ValueError(cursor)
        return moment, int(seq), stream
    except (ValueError, OverflowError) as wrong:
        raise WrongQueryError([("asked.cursor", {})]) from wrong


def routes(quality: Quality) -> APIRouter:
    """/parts and /parts/{stream}/{seq}."""
    router = APIRouter()

    @router.get("/parts")
    def parts(request: Request) -> HTMLResponse:
        return quality.parts_page(request)

    @router.get("/parts/{stream}/{seq}")
    def part(
        request: Request,
        stream: Annotated[str, Path(pattern="^[0-9a-f]{32}$")],
        seq: Annotated[int, Path(ge=1, lt=2**53)],
    ) -> HTMLResponse:
        return quality.part_page(request, stream, seq)

    return router
