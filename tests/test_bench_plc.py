"""bench.plc: its parts run, its bars can fail, and its timing holds what needs no quiet machine."""

import math
from pathlib import Path

import numpy as np
import pytest

from bench.wire import codec, paced, silence
from bench.wire.paced import Swept
from edge.plc import modbus_rtu, punctual


def test_no_request_begins_before_the_silence_is_over_beside_a_full_load() -> None:
    bars, figures = silence.run(200)
    assert bars[0]["name"] == "requests of 200 before the silence was over"
    assert bars[0]["ok"]
    assert figures["late_ms"]["min"] >= 0
    assert figures["beside"]["parts"] > 0
    assert figures["beside"]["commits"] > 0


def test_a_master_that_is_too_early_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punctual, "wait_until", lambda due_s: None)
    bars, _ = silence.run(100)
    assert not bars[0]["ok"]
    assert bars[0]["value"] > 50


def test_every_master_is_measured_against_libmodbus_in_c(tmp_path: Path) -> None:
    bars, figures = codec.run(200, tmp_path)
    assert [bar["limit"] for bar in bars] == [codec.TIMES] * 2
    assert all("pty only" in bar["name"] for bar in bars)
    assert figures["ours"]["read"]["median_us"] > 0
    for name in ("pymodbus sync", "pymodbus async", "minimalmodbus"):
        assert figures[name]["read"]["median_us"] > 0
        assert figures[name]["write"]["median_us"] > 0
        assert figures["versions"][name][0].isdigit()


def test_parts_on_a_loaded_bus_are_all_answered_and_the_dead_slave_delays_none() -> None:
    swept = paced.sweep(115200, 12)
    assert len(swept.took_s) == 12
    assert max(swept.took_s) < math.inf
    assert swept.probes >= 1
    assert swept.probes_in_flight == 0


@pytest.mark.parametrize(
    ("foretold_s", "worst_s", "ok"),
    [(0.11, 0.1, [True, True]), (0.09, 0.1, [False, True]), (0.13, 0.1, [True, False])],
)
def test_a_plan_must_be_neither_too_short_nor_too_long(
    foretold_s: float, worst_s: float, ok: list[bool]
) -> None:
    swept = Swept(9600, foretold_s, [0.05, worst_s], probes=1)
    assert [bar["ok"] for bar in paced.bars_of(swept)[:2]] == ok


def test_a_part_that_is_never_answered_fails() -> None:
    bars = paced.bars_of(Swept(9600, 0.1, [0.05, math.inf], probes=1))
    assert not bars[0]["ok"]


def test_the_spread_is_by_nearest_rank() -> None:
    assert silence.spread(np.arange(1.0, 101.0))["p99"] == 100.0


@pytest.mark.parametrize("wait_s", [0.0, 0.0002, 0.002])
def test_a_wait_never_ends_early(wait_s: float) -> None:
    import time

    for _ in range(50):
        due_s = time.monotonic() + wait_s
        punctual.wait_until(due_s)
        assert time.monotonic() >= due_s


def test_the_silence_of_the_bench_is_that_of_the_standard() -> None:
    assert modbus_rtu.silence_s(11 / 115200) == 0.00175
