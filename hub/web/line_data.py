"""Line data for a page: each tag as it was read last, the energy of the day, how lines stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from hub import metrics
from hub.store.pool import Store
from hub.web.page import Pages
from hub.web.periods import period_of


@dataclass(frozen=True, slots=True)
class TagNow:
    """One tag, ready to be written."""

    line: str
    station: str
    title: str
    figure: str | None  # in `unit`; None = it could not be read
    word: str | None
    unit: str
    grown: str | None  # today, where it counts
    fault: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class LineDataNow:
    """What the plant's own figures say now."""

    tags: Sequence[TagNow]
    lines: Sequence[dict[str, Any]]  # as the query `lines_now` gives them
    energy_kwh: str | None  # of today; None = no tag counts energy


def line_data(
    store: Store, pages: Pages, plant: str | None, line: str | None, now: datetime
) -> LineDataNow:
    """Read it from the store; None = every plant, every line.

    Raises:
        StoreError: the database cannot be read.
    """
    today = period_of("day", pages.local(now).date(), pages.zone)
    place = {"plant": plant, "line": line}
    tags = store.rows("tags_now", since=today.start, **place)
    energy = metrics.energy_kwh(tags)
    return LineDataNow(
        [tag_of(row) for row in tags],
        store.rows("lines_now", **place),
        None if energy is None else written(energy),
    )


def tag_of(row: dict[str, Any]) -> TagNow:
    """A tag from a row of `tags_now`."""
    exponent, value = row["exponent"], row["value"]
    return TagNow(
        row["line"],
        row["station"],
        row["title"] or row["name"],
        None if value is None else written(metrics.figure(value, exponent)),
        row["word"],
        row["unit"],
        written(metrics.figure(row["grown"], exponent)) if row["counts"] else None,
        row["fault"],
        row["at"],
    )


def written(figure: Decimal) -> str:
    """12345.60 as 12,345.60: every digit that the row has, no exponent."""
    return f"{figure:,f}"
