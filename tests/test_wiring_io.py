"""Mistakes in [[io]] and in stations that use one: edge.wiring_io."""

from pathlib import Path
from typing import get_type_hints

import pytest

from edge import settings
from edge.errors import SettingsError
from edge.plc.panel import BEAT_S
from edge.wiring_io import BEAT_MS, WATCHDOG_LEAST_MS
from tests.test_settings import WHOLE

BOX = """
[[io]]
name = "box"
kind = "modbus"
port = "/dev/ttyUSB1"
part_present = "0"
gate_eye = "1"
gate_after_ms = 900
gate_tolerance_ms = 40
ok = "0"
ready = "1"
warning = "!2"
"""
BESIDE = WHOLE.replace('bus = "b1"', 'bus = "b1"\nio = "box"') + BOX + 'ok_taken = "rising_edge"\n'
ALONE = WHOLE.replace('bus = "b1"', 'io = "box"\nrecipe = 1\nmax_rate_per_s = 0.9') + BOX
ALONE = ALONE.replace('[[bus]]\nname = "b1"\nport = "/dev/ttyUSB0"\n', "")


TAKEN = 'or, if whoever takes OK takes nothing but its rising edge, ok_taken = "rising_edge"'


def problems_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    try:
        settings.read(path)
    except SettingsError as wrong:
        return wrong.problems
    return []


@pytest.mark.parametrize("text", [BESIDE, ALONE])
def test_a_station_takes_an_io_beside_its_bus_or_alone(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text) == []


def beside(old: str, new: str) -> str:
    assert old in BESIDE
    return BESIDE.replace(old, new)


def alone(old: str, new: str) -> str:
    assert old in ALONE
    return ALONE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            beside('ok = "0"', 'ok = "!0"'),
            "[io box] ok: '!0' is on without power; expected no '!': OK is the energised state",
        ),
        (
            beside('ready = "1"', 'ready = "!1"'),
            "[io box] ready: '!1' is on without power; expected no '!': OK is the energised state",
        ),
        (
            beside('ok = "0"\n', ""),
            "[io box] ok: missing; expected the output that says OK",
        ),
        (beside('ready = "1"', 'ready = "0"'), "[io box] ready: line 0 is ok already"),
        (
            beside('kind = "modbus"', 'kind = "gpio"').replace(
                'ok = "0"\nready = "1"', 'ok = "1"\nready = "4"'
            ),
            "[io box] ok: line 1 is gate_eye already",
        ),
        (
            beside('kind = "modbus"', 'kind = "gpio"\nwatchdog_register = 3').replace(
                'ok = "0"\nready = "1"', 'ok = "7"\nready = "8"'
            ),
            "[io box] watchdog_register: lines of the computer have none",
        ),
        (
            beside('ok = "0"', 'ok = "0"\nwatchdog_register = 3\nwatchdog_ms = 950'),
            "[io box] watchdog_ms: 950; expected 900 or 1000, as register 3 counts in "
            "watchdog_unit_ms = 100",
        ),
        (
            beside(
                'ok = "0"',
                'ok = "0"\nwatchdog_register = 3\nwatchdog_ms = 100\nwatchdog_unit_ms = 1000',
            ),
            "[io box] watchdog_ms: 100; expected 1000, as register 3 counts in "
            "watchdog_unit_ms = 1000",
        ),
        (
            beside('io = "box"', 'io = "bax"'),
            "[station s1] io: no [[io]] is named 'bax'; there are ['box']",
        ),
        (
            beside('io = "box"', 'io = "box"\nrecipe = 1'),
            "[station s1] recipe: the PLC on bus 'b1' says it; expected none",
        ),
        (
            beside('ok = "0"', 'ok = "0"\nbypass_key = "7"'),
            "[io box] bypass_key: the PLC on bus 'b1' says it; expected none",
        ),
        (
            beside('ok = "0"', 'ok = "0"\nok_delay_ms = 399'),
            "[station s1] deadline_ms: 400; expected at most 399, when the window of its pulse "
            "begins (ok_delay_ms of [io box])",
        ),
        (
            beside('ok = "0"', 'ok = "0"\nok_width_ms = 100'),
            "[io box] ok_width_ms: 100; expected less than the 100 ms between two parts "
            "(max_rate_per_s of [station s1]): one pulse would mean both",
        ),
        (
            beside("gate_tolerance_ms = 40", "gate_tolerance_ms = 50"),
            "[io box] gate_tolerance_ms: 50; expected less than 50, half of the time between two "
            "parts (max_rate_per_s of [station s1])",
        ),
        (
            beside("gate_after_ms = 900\n", ""),
            "[io box] gate_after_ms: missing; expected ms between the part-present edge and the "
            "gate eye",
        ),
        (
            beside('gate_eye = "1"', 'ok_from = "gate_eye"'),
            "[io box] gate_eye: missing; ok_from counts from it",
        ),
        (
            beside('ok = "0"', 'ok = "0"\nok_from = "gate_eye"\nok_delay_ms = 4'),
            "[io box] ok_delay_ms: 4; expected at least debounce_ms (5): the eye is believed no "
            "earlier",
        ),
        (
            beside('ok = "0"', 'ok = "0"\nok_from = "gate_eye"\nok_delay_ms = 5').replace(
                "gate_after_ms = 900", "gate_after_ms = 300"
            ),
            "[station s1] deadline_ms: 400; expected at most 265, when the window of its pulse "
            "begins (gate_after_ms - gate_tolerance_ms + ok_delay_ms of [io box])",
        ),
        (
            alone('io = "box"', ""),
            "[station s1] bus: missing; expected a [[bus]], or an `io` that counts the parts",
        ),
        (
            alone("recipe = 1", ""),
            "[station s1] recipe: missing; expected a number, as no PLC asks for one",
        ),
        (
            alone('part_present = "0"\n', ""),
            "[io box] part_present: missing; [station s1] has no bus, and counts its parts by it",
        ),
        (
            alone('ready = "1"\n', ""),
            "[io box] ready: missing; [station s1] has no bus, and nothing else drops when the "
            "node hangs",
        ),
        (
            alone("recipe = 1", "recipe = 1\ncounters_base = 9"),
            "[station s1] counters_base: there is no bus to read them from; expected none",
        ),
        *(
            (
                alone('ok = "0"', f'ok = "0"\nwatchdog_ms = 1100{register}'),
                "[io box] watchdog_ms: 1100; expected at most 1061: an OK that a hung node leaves "
                "on must be gone before the next part, which max_rate_per_s in [station s1] lets "
                f"come 1111 ms later; {TAKEN}",
            )
            for register in ("\nwatchdog_register = 5", "")
        ),
        (
            alone("max_rate_per_s = 0.9", "max_rate_per_s = 4")
            .replace('kind = "modbus"', 'kind = "gpio"')
            .replace('ok = "0"\nready = "1"', 'ok = "7"\nready = "8"'),
            "[io box] watchdog_ms: 1000; expected at most 200, sooner than the 250 ms it takes to "
            "tell: an OK that a hung node leaves on must be gone before the next part, which "
            f"max_rate_per_s in [station s1] lets come 250 ms later; {TAKEN}",
        ),
        (
            beside('ok_taken = "rising_edge"\n', ""),
            "[io box] watchdog_ms: 1000; expected at most 50, sooner than the 250 ms it takes to "
            "tell: an OK that a hung node leaves on must be gone before the next part, which "
            f"max_rate_per_s in [station s1] lets come 100 ms later; {TAKEN}",
        ),
        (
            beside('port = "/dev/ttyUSB1"', 'port = "/dev/ttyUSB0"'),
            "[[bus]] port: '/dev/ttyUSB0' is used twice",
        ),
        (
            beside('ready = "1"', 'ready = "one"'),
            '[io box] ready: got \'one\', expected a line as text, "17", or "!17" = on when low',
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    assert told in problems_of(tmp_path, text)
    assert len(problems_of(tmp_path, text)) == 1


def test_a_hung_nodes_ok_is_harmless_where_nothing_but_its_rising_edge_is_taken(
    tmp_path: Path,
) -> None:
    text = alone('ok = "0"', 'ok = "0"\nwatchdog_ms = 1100\nok_taken = "rising_edge"')
    assert problems_of(tmp_path, text) == []


def test_a_hung_node_is_told_no_sooner_than_its_ready_beats_and_a_watchdog_can_be_set() -> None:
    assert BEAT_MS == 1000 * BEAT_S
    least = next(
        one.ge
        for one in get_type_hints(settings.Io, include_extras=True)["watchdog_ms"].__metadata__
    )
    assert least == WATCHDOG_LEAST_MS


def test_an_io_serves_one_station(tmp_path: Path) -> None:
    second = BESIDE.replace('cameras = ["c1", "c2"]', 'cameras = ["c1"]') + (
        '[[station]]\nname = "s2"\nbus = "b1"\nunit = 2\nio = "box"\ntrigger = "software"\n'
        'cameras = ["c2"]\nspeed_mm_s = 0\n'
    )
    assert problems_of(tmp_path, second) == [
        "[[station]] io: 'box' is used twice; an I/O drops the outputs of one station"
    ]
