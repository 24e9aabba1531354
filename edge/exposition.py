"""The node in figures for Prometheus: GET /metrics of the station page, as text. Pure.

The format is small enough to be written here; the node needs no library for it. Source: Prometheus
documentation, "Exposition formats", text format 0.0.4.
"""

from collections.abc import Iterator, Mapping
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FAMILIES = (
    ("quanjian_hub_online", "gauge", "1: connected to the hub's broker"),
    ("quanjian_waiting_rows", "gauge", "Closed rows that the hub has not acknowledged"),
    ("quanjian_station_state", "gauge", "1 for the state the station is in"),
    ("quanjian_station_triggers_total", "counter", "The PLC's counter in its present epoch"),
    ("quanjian_station_parts_total", "counter", "Parts by what became of them, since the start"),
    ("quanjian_station_alert_active", "gauge", "1 for every alert that stands"),
)


def exposition(state: Mapping[str, Any]) -> bytes:
    """The figures of `/state.json` in the text format of Prometheus."""
    found = list(_samples(state))
    lines = []
    for family, kind, told in _FAMILIES:
        lines += [f"# HELP {family} {told}", f"# TYPE {family} {kind}"]
        lines += [
            f"{name}{_labelled(labels)} {value}" for name, labels, value in found if name == family
        ]
    return ("\n".join(lines) + "\n").encode()


def _samples(state: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str], int]]:
    yield "quanjian_hub_online", {}, int(state["hub"] == "online")
    yield "quanjian_waiting_rows", {}, state["waiting"]
    for station in state["stations"]:
        name = {"station": station["name"]}
        yield "quanjian_station_state", {**name, "state": station["state"]}, 1
        yield "quanjian_station_triggers_total", name, station["triggers"]
        for word, count in station["counts"].items():
            yield "quanjian_station_parts_total", {**name, "result": word}, count
        for alert in station["alerts"]:
            yield "quanjian_station_alert_active", {**name, "code": alert["code"]}, 1


def _labelled(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
