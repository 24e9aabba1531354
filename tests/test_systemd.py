"""The units, asked of systemd: every key known, little left to attack, commands that exist."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from edge.plc import punctual

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "systemd").glob("*.service"))
SERVICES = [unit for unit in UNITS if unit.name != "quanjian-broker-reload.service"]
"""Those of ours that run on; the other is one command of systemd's, started by a path unit."""

MAX_EXPOSURE = 2.0

pytestmark = pytest.mark.needs_systemd


def runnable(unit: Path, folder: Path) -> Path:
    """A copy of the unit whose program exists here; a template becomes its first instance.

    `systemd-analyze verify` exits 0 on a misspelt key and only says so on stderr, where a missing
    program would say something too; hence the copy, and hence an empty stderr is the test.
    """
    copy = folder / unit.name.replace("@.", "@1.")
    text = unit.read_text(encoding="utf-8")
    copy.write_text(re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", text, flags=re.M), encoding="utf-8")
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def exposure(unit: Path) -> float:
    """Overall exposure level of a unit, 0 (nothing) to 10 (everything)."""
    said = analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert level, said
    return float(level.group(1))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_against_a_unit(unit: Path, tmp_path: Path) -> None:
    verified = analyze("verify", str(runnable(unit, tmp_path)))
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    copy = runnable(UNITS[0], tmp_path)
    copy.write_text(copy.read_text(encoding="utf-8").replace("ProtectHome", "ProtectHoome"))
    assert "ProtectHoome" in analyze("verify", str(copy)).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_leaves_little_to_attack(unit: Path, tmp_path: Path) -> None:
    assert exposure(runnable(unit, tmp_path)) <= MAX_EXPOSURE


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_is_watched_and_started_again_for_ever(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    for line in ("Type=notify", "Restart=always", "StartLimitIntervalSec=0"):
        assert line in lines
    watchdog = next(line for line in lines if line.startswith("WatchdogSec="))
    assert 0 < int(watchdog.split("=")[1]) <= 60


def test_only_the_node_touches_devices_and_only_named_ones() -> None:
    for unit in UNITS:
        lines = unit.read_text(encoding="utf-8").splitlines()
        if unit.name == "quanjian-edge.service":
            assert "DevicePolicy=closed" in lines
        else:
            assert "PrivateDevices=yes" in lines
            assert not [line for line in lines if line.startswith("DeviceAllow=")]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_the_command_of_a_unit_exists(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    started = re.search(r"^ExecStart=/opt/quanjian/bin/quanjian-(\w+) (.+)$", text, re.M)
    assert started
    module = importlib.import_module(f"{started.group(1)}.__main__")
    parser = getattr(module, "parser", None) or module._parser
    asked = parser().parse_args(started.group(2).split())
    assert asked.config.parent == Path("/etc/quanjian")


def test_the_broker_is_told_when_the_list_that_it_reads_changes(tmp_path: Path) -> None:
    path = ROOT / "systemd" / "quanjian-broker-reload.path"
    for unit in (path, path.with_suffix(".service")):
        (tmp_path / unit.name).write_text(unit.read_text(encoding="utf-8"), encoding="utf-8")
    verified = analyze("verify", str(tmp_path / path.name))
    assert (verified.returncode, verified.stderr) == (0, "")
    watched = re.search(r"^PathChanged=(\S+)$", path.read_text(encoding="utf-8"), re.M)
    broker = (ROOT / "systemd" / "mosquitto" / "quanjian.conf").read_text(encoding="utf-8")
    assert watched
    assert f"crlfile {watched.group(1)}\n" in broker


def test_only_duties_can_read_the_authority() -> None:
    for unit in SERVICES:
        text = unit.read_text(encoding="utf-8")
        closed = "InaccessiblePaths=-/var/lib/quanjian-hub/authority" in text
        assert closed == (
            unit.name in ("quanjian-hub-serve.service", "quanjian-hub-ingest@.service")
        )


def test_the_node_may_make_the_thread_of_a_port_real_time() -> None:
    text = (ROOT / "systemd" / "quanjian-edge.service").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert f"LimitRTPRIO={punctual.PRIORITY}" in lines
    assert "RestrictRealtime=no" in lines
    calls = {
        call for line in lines if line.startswith("SystemCallFilter=") for call in line.split()
    }
    assert {"sched_setscheduler", "sched_setattr", "setpriority"} <= calls


def test_the_user_of_the_node_may_open_its_devices(tmp_path: Path) -> None:
    made = ["systemd-sysusers", f"--root={tmp_path}", str(ROOT / "systemd/quanjian.sysusers.conf")]
    (tmp_path / "etc").mkdir()
    subprocess.run(made, capture_output=True, timeout=60, check=True)
    groups = (tmp_path / "etc" / "group").read_text(encoding="utf-8").splitlines()
    owners = {line.split(":")[0]: line.split(":")[3] for line in groups}
    assert [owners.get(name) for name in ("dialout", "video", "render")] == ["quanjian-edge"] * 3
    assert owners["quanjian-hub"] == ""
