"""The overview and the operator's board (产线看板), live."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from edge.mqtt.message import NAME
from hub.settings import Settings
from hub.store.pool import Store
from hub.web import board
from hub.web.feed import Blocks, LineFeed, as_sse
from hub.web.page import Pages, language_of, now_utc
from hub.web.part import Part, hashes_of, part_of
from hub.web.periods import Shift, shift_at
from hub.web.words import Language

Name = Annotated[str, Path(pattern=f"^{NAME}$")]
BLOCKS = ("shift", "banner", "state", "counts", "last", "alerts", "trend", "laws")
MOST_ALERTS = 6


@dataclass(frozen=True, slots=True)
class LineCard:
    """One line on the overview."""

    plant: str
    line: str
    state: board.StateNow
    shift_counts: board.Counts


class Boards:
    """Reads boards from the store and renders their blocks."""

    def __init__(self, settings: Settings, store: Store, pages: Pages) -> None:
        self._settings = settings
        self._store = store
        self._pages = pages

    def known(self, plant: str, line: str) -> bool:
        """Whether any node of this line was ever registered."""
        return bool(self._store.rows("line_nodes", plant=plant, line=line))

    def cards(self, now: datetime) -> list[LineCard]:
        """Every line with its state and the counts of its shift."""
        shift = self._shift(now)
        nodes: dict[tuple[str, str], list[board.NodeNow]] = {}
        for row in self._store.rows("line_nodes", plant=None, line=None):
            nodes.setdefault((row["plant"], row["line"]), []).append(board.node_of(row))
        counted = self._store.rows(
            "counts", since=shift.since, until=shift.until, plant=None, line=None, station=None
        )
        return [
            LineCard(
                plant,
                line,
                board.state_of(found),
                board.counts_of([r for r in counted if (r["plant"], r["line"]) == (plant, line)]),
            )
            for (plant, line), found in nodes.items()
        ]

    def read(self, plant: str, line: str, now: datetime) -> board.Board:
        """The board of one line. Raises StoreError."""
        place = {"plant": plant, "line": line}
        shift = self._shift(now)
        nodes = tuple(map(board.node_of, self._store.rows("line_nodes", **place)))
        minute = now.replace(second=0, microsecond=0)
        hour_ago = minute - timedelta(minutes=board.TREND_MINUTES)
        until = minute + timedelta(minutes=1)
        buckets = self._store.rows(
            "counts_by_bucket", width="1 minute", since=hour_ago, until=until, station=None, **place
        )
        in_shift = self._store.rows(
            "counts", since=shift.since, until=shift.until, station=None, **place
        )
        still_after_s = self._settings.duties.still_after_s
        laws = self._store.rows("laws_now", **place)
        return board.Board(
            plant=plant,
            line=line,
            now=now,
            shift=shift,
            state=board.state_of(nodes),
            nodes=nodes,
            shift_counts=board.counts_of(in_shift),
            hour_counts=board.counts_of(buckets),
            trend=board.trend_of(buckets, hour_ago),
            last=self._last(plant, line),
            alerts=self._alerts(plant, line),
            laws=tuple(board.law_of(row, now, still_after_s) for row in laws),
        )

    def blocks(self, plant: str, line: str, language: Language) -> Blocks:
        """The board's parts as HTML, by name. Raises StoreError."""
        return self.render(self.read(plant, line, now_utc()), language)

    def render(self, shown: board.Board, language: Language) -> Blocks:
        """A board's parts as HTML, by name."""
        return {
            name: self._pages.fragment(language, f"blocks/{name}.html", board=shown).strip()
            for name in BLOCKS
        }

    def _shift(self, now: datetime) -> Shift:
        return shift_at(now, self._pages.zone, self._settings.shifts)

    def _last(self, plant: str, line: str) -> Part | None:
        rows = self._store.rows("last_not_ok", plant=plant, line=line, limit=1)
        if not rows:
            return None
        found = self._store.rows("pictures_of", hashes=hashes_of(rows))
        return part_of(rows[0], {row["sha256"]: row for row in found})

    def _alerts(self, plant: str, line: str) -> tuple[board.AlertNow, ...]:
        """What stands first, then what was; each alert once."""
        active = self._store.rows("alerts_active", plant=plant, line=line)
        recent = self._store.rows("alerts_recent", plant=plant, line=line, limit=MOST_ALERTS)
        rows = active + [row for row in recent if not row["active"]]
        return tuple(map(board.alert_of, rows[:MOST_ALERTS]))


def routes(boards: Boards, feed: LineFeed, pages: Pages) -> APIRouter:
    """/, /line/{plant}/{line} and /events/{plant}/{line}."""
    router = APIRouter()

    @router.get("/")
    def start(request: Request) -> HTMLResponse:
        return pages.page(request, "start.html", lines=boards.cards(now_utc()))

    @router.get("/line/{plant}/{line}")
    def line_board(plant: Name, line: Name, request: Request) -> HTMLResponse:
        if not boards.known(plant, line):
            raise HTTPException(404)
        shown = boards.read(plant, line, now_utc())
        blocks = boards.render(shown, language_of(request))
        return pages.page(request, "line.html", board=shown, blocks=blocks)

    @router.get("/events/{plant}/{line}")
    async def events(plant: Name, line: Name, request: Request) -> StreamingResponse:
        if not await run_in_threadpool(boards.known, plant, line):
            raise HTTPException(404)
        language = language_of(request)

        async def lines() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async with aclosing(feed.watch(plant, line, language)) as changes:
                async for change in changes:
                    yield as_sse(change)

        return StreamingResponse(
            lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    return router
