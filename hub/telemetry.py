"""The hub in figures for Prometheus: what the database says of nodes, laws and alarms.

`quanjian-hub serve` answers GET /metrics with it. Every figure is read anew from the store, so it
is the same whichever of several processes is asked, and a restart of one loses nothing. Names and
units follow the conventions of Prometheus; docs/reference.md lists them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub import metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST
RESULTS = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined")
_NODE = ("plant", "line", "node")
_STATION = (*_NODE, "station")


class Rows(Protocol):
    """The store, as far as it is asked here."""

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows of a named query; raises StoreError."""


class _Found(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(store: Rows, now: datetime) -> bytes:
    """Every figure in the text format of Prometheus.

    Raises:
        StoreError: the database is away.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found([*_nodes(store, now), *_laws(store), *_troubles(store)]))
    told: bytes = generate_latest(registry)
    return told


def _nodes(store: Rows, now: datetime) -> Iterator[Metric]:
    online = GaugeMetricFamily("quanjian_node_online", "1: the node says it is there", labels=_NODE)
    silent = GaugeMetricFamily(
        "quanjian_node_silent_seconds", "Since the node was last heard", labels=_NODE
    )
    waiting = GaugeMetricFamily(
        "quanjian_node_waiting_rows", "Rows the node had not sent when last heard", labels=_NODE
    )
    for row in store.rows("nodes"):
        if row["revoked_at"] is not None or row["received_at"] is None:
            continue
        node = _labels(row, _NODE)
        heard = max(filter(None, (row["received_at"], row["rows_at"])))
        online.add_metric(node, float(row["online"]))
        silent.add_metric(node, (now - heard).total_seconds())
        waiting.add_metric(node, row["waiting"])
    yield from (online, silent, waiting)


def _laws(store: Rows) -> Iterator[Metric]:
    parts = CounterMetricFamily(
        "quanjian_parts", "Parts by result, over every epoch", labels=(*_STATION, "result")
    )
    counted: dict[tuple[str, ...], int] = {}
    for row in store.rows("laws_all"):
        station = tuple(_labels(row, _STATION))
        for result in RESULTS:
            key = (*station, result)
            counted[key] = counted.get(key, 0) + row[result]
    for key, count in sorted(counted.items()):
        parts.add_metric(key, count)
    residue = GaugeMetricFamily(
        "quanjian_law_residue_parts",
        "Triggers of the PLC without a row, of the newest epoch; must be 0",
        labels=_STATION,
    )
    unsettled = GaugeMetricFamily(
        "quanjian_law_open_parts", "Parts on their way at the last sample", labels=_STATION
    )
    for row in store.rows("laws_now", plant=None, line=None):
        law = metrics.first_law(row)
        if law.residue is not None:
            residue.add_metric(_labels(row, _STATION), law.residue)
        if law.open is not None:
            unsettled.add_metric(_labels(row, _STATION), law.open)
    yield from (parts, residue, unsettled)


def _troubles(store: Rows) -> Iterator[Metric]:
    alarm = GaugeMetricFamily(
        "quanjian_alarm_active",
        "1 for every alarm that stands; no station: the whole node",
        labels=(*_STATION, "code"),
    )
    standing = store.rows("alerts_active", plant=None, line=None)
    for key in sorted({(*_labels(row, _STATION), row["code"]) for row in standing}):
        alarm.add_metric(key, 1.0)  # node and hub may both raise one
    yield alarm
    yield _by_node(
        "quanjian_quarantine_rows",
        "Rows that could not be read, kept aside",
        store.rows("quarantined"),
        lambda row: int(row["rows"]),
    )
    yield _by_node(
        "quanjian_lost_rows",
        "Rows that a node declared lost",
        store.rows("gaps_all"),
        lambda row: int(row["last"] - row["first"] + 1),
    )
    yield _by_node(
        "quanjian_unchecked_rows",
        "Rows whose chain was not verified again yet",
        store.rows("unchecked"),
        lambda row: int(row["next"] - row["checked"]),
    )
    yield _by_node(
        "quanjian_unchecked_age_seconds",
        "Age of the oldest row whose chain was not verified again yet",
        store.rows("unchecked_age", but=[]),
        lambda row: int(row["age_s"]),
    )


def _by_node(
    name: str, told: str, rows: list[dict[str, Any]], size: Callable[[dict[str, Any]], int]
) -> Metric:
    """One figure of each node, summed over its rows."""
    summed: dict[tuple[str, ...], int] = {}
    for row in rows:
        node = tuple(_labels(row, _NODE))
        summed[node] = summed.get(node, 0) + size(row)
    family = GaugeMetricFamily(name, told, labels=_NODE)
    for node, count in sorted(summed.items()):
        family.add_metric(node, count)
    return family


def _labels(row: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    return [row[name] for name in names]
