"""Figures for Prometheus, of hub and node, and the dashboards that are shipped for them."""

import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.exposition import exposition
from edge.mqtt.message import AlertRow
from edge.standing import Standing
from edge.station import StationPage
from hub.store import session
from tests.broker_peer import free_port
from tests.ledger_rows import epoch_row, stamp
from tests.played_hub import PlayedHub
from tests.serial_peers import until

SHIPPED = Path(__file__).parent.parent / "systemd"
DASHBOARDS = sorted((SHIPPED / "grafana" / "dashboards").glob("*.json"))
Sample = tuple[str, tuple[tuple[str, str], ...]]


def parsed(text: str) -> dict[Sample, float]:
    """Every sample by name and labels; one that is there twice is an error to Prometheus."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: dict[Sample, float], name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_the_hub_tells_what_its_ledger_says(played_hub: PlayedHub) -> None:
    answer = played_hub.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = parsed(answer.text)
    here = {"plant": "licheng", "line": "plate-1", "node": "node-1", "station": "front"}
    [law] = session.rows(
        played_hub.connection, "laws_between", since="2000-01-01", until="2100-01-01",
        plant="licheng", line="plate-1",
    )[:1]  # fmt: skip
    for result in ("ok", "ng", "undecided", "missed"):
        told = value(
            found, "quanjian_parts_total", **{**here, "station": law["station"]}, result=result
        )
        assert told == law[result] > 0, result
    assert value(found, "quanjian_law_residue_parts", **here) == 0
    gone = {"plant": "licheng", "line": "cover-1", "node": "node-3"}
    assert value(found, "quanjian_node_online", **gone) == 0
    assert value(found, "quanjian_node_waiting_rows", **gone) == 128
    assert 0 <= value(found, "quanjian_node_silent_seconds", **gone) < 3600


@contextmanager
def node_page(port: int = 0) -> Iterator[StationPage]:
    standing = Standing("s1", (), {}, ())
    standing.counts["ok"] += 3
    page = StationPage("127.0.0.1", port, "node-1", [standing], lambda: (True, 7))
    page.start()
    try:
        yield page
    finally:
        page.close()


def test_the_node_tells_its_counts_without_a_library() -> None:
    with node_page() as page:
        answer = httpx.get(f"{page.url}metrics")
    found = parsed(answer.text)
    assert value(found, "quanjian_hub_online") == 1
    assert value(found, "quanjian_waiting_rows") == 7
    assert value(found, "quanjian_station_parts_total", station="s1", result="ok") == 3
    assert [key for key in found if key[0] == "quanjian_station_state"], "its state"


def test_what_a_label_holds_cannot_break_the_format() -> None:
    awkward = 'a"b\\c\nd'
    station = {"name": awkward, "state": "x", "triggers": 1, "counts": {}, "alerts": []}
    told = exposition({"hub": "offline", "waiting": 0, "stations": [station]}).decode()
    assert value(parsed(told), "quanjian_station_triggers_total", station=awkward) == 1


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[str]:
    """A real server that reads these pages each second; yields its address."""
    program = shutil.which("prometheus")
    assert program is not None, "prometheus is not installed: apt-get install prometheus"
    shipped = (SHIPPED / "prometheus" / "quanjian.yml").read_text(encoding="utf-8")
    named = re.findall(r'"(127\.0\.0\.1:\d+)"', shipped)
    assert len(named) == len(targets)
    for name, target in zip(named, targets, strict=True):
        shipped = shipped.replace(name, target)
    config = folder / "prometheus.yml"
    config.write_text(shipped.replace("15s", "1s"), encoding="utf-8")
    port = free_port()
    command = [
        *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def asked(address: str, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers; nothing while it starts."""
    try:
        answer = httpx.get(f"{address}/api/v1/query", params={"query": expression}, timeout=10)
    except httpx.TransportError:
        return []
    if answer.status_code == 503:  # still reading its own files
        return []
    told = answer.json()
    assert told["status"] == "success", told
    found: list[dict[str, Any]] = told["data"]["result"]
    return found


def shows(address: str, expression: str) -> bool:
    return bool(asked(address, expression))


@pytest.mark.needs_prometheus
def test_every_panel_of_prometheus_shows_something(played_hub: PlayedHub, tmp_path: Path) -> None:
    hub = played_hub.address.removeprefix("http://")
    alarmed = played_hub.new_node("alarmed")
    alarmed.send(epoch_row(), AlertRow(**stamp(), code="camera", active=True, count=1))
    alarmed.say()
    with node_page() as page, prometheus(tmp_path, hub, page.url.split("/")[2]) as address:
        for title, expression in panels("expr"):
            until(partial(shows, address, expression), within_s=60)
            for sample in asked(address, expression):
                assert not math.isnan(float(sample["value"][1])), title


@pytest.mark.needs_prometheus
def test_the_shipped_configuration_is_one_that_prometheus_takes() -> None:
    config = SHIPPED / "prometheus" / "quanjian.yml"
    done = subprocess.run(["promtool", "check", "config", str(config)], capture_output=True)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_every_panel_of_the_database_shows_something(played_hub: PlayedHub) -> None:
    """With Grafana's time range filled in as its PostgreSQL source does."""
    found = list(panels("rawSql"))
    assert found
    until_s = time.time() + 60
    stamps = {"$__timeFrom()": until_s - 6 * 3600, "$__timeTo()": until_s}
    for title, statement in found:
        for macro, at_s in stamps.items():
            told = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
            statement = statement.replace(macro, f"'{told}'")
        assert "$__" not in statement, title
        rows = played_hub.connection.execute(statement.encode()).fetchall()
        assert rows, title


def panels(kind: str) -> Iterator[tuple[str, str]]:
    """Title and query of every panel that asks so."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                if kind in target:
                    yield panel["title"], target[kind]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_names_the_sources_that_are_provisioned(path: Path) -> None:
    provisioned = (SHIPPED / "grafana/provisioning/datasources/quanjian.yml").read_text()
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == f"quanjian-{path.stem}"
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in board["panels"]:
        assert panel["title"]
        assert f"uid: {panel['datasource']['uid']}\n" in provisioned


def test_every_figure_is_named_on_the_reference_page(played_hub: PlayedHub) -> None:
    page = (SHIPPED.parent / "docs" / "reference.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(quanjian_[a-z_]+)` \|", page, re.MULTILINE))
    with node_page() as node:
        told = played_hub.get("/metrics").text + httpx.get(f"{node.url}metrics").text
    families = re.findall(r"^# TYPE (quanjian_\w+) ", told, re.MULTILINE)
    assert named == set(families)
