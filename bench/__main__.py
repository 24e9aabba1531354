"""Runs the benches and writes docs/benchmarks.md: `python -m bench [NAME ...]`, or `make bench`.

Each bench is a process of its own. What it prints as its last line of JSON is put between the
markers of its section in the page, with the machine, the date and the versions it ran with; the
sections of benches that were not asked for stay as they are.

    python -m bench                               # all of them
    python -m bench base_model                    # one
    python -m bench vision --measured run.out     # of a run with options of its own
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from bench.report import EXIT_CANNOT_RUN, shown

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
LIBRARIES = ("onnxruntime", "numpy", "opencv-python-headless", "psycopg", "paho-mqtt")
NOT_BENCHES = {"__init__", "__main__", "report", "simulated_web"}
LIMIT_S = 3600
"""No bench may take longer; one that does has failed."""


def benches() -> list[str]:
    """Every module here that answers `python -m bench.NAME --json`."""
    here = Path(__file__).parent
    return sorted(
        path.stem
        for path in here.glob("*.py")
        if path.stem not in NOT_BENCHES and "__main__" in path.read_text(encoding="utf-8")
    )


def run(name: str) -> tuple[int, dict[str, Any] | None]:
    """Run one bench; its exit code and the JSON object of its last line, or None."""
    command = [sys.executable, "-m", f"bench.{name}", "--json"]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, encoding="utf-8", timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"{name}: not finished after {LIMIT_S} s\n")
        return 1, None
    return done.returncode, last_object(done.stdout)


def last_object(printed: str) -> dict[str, Any] | None:
    """The JSON object that a bench printed as its last line; None if there is none."""
    lines = printed.strip().splitlines()
    try:
        outcome = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None
    return outcome if isinstance(outcome, dict) else None


def _read(path: Path, name: str) -> tuple[int, dict[str, Any] | None]:
    """Exit code and outcome, as `run`, of a bench that printed into this file."""
    try:
        outcome = last_object(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as wrong:
        sys.stderr.write(f"{path}: cannot be read: {wrong}\n")
        return 1, None
    if outcome is None or outcome.get("bench") != name:
        sys.stderr.write(f"{path}: its last line is no outcome of bench.{name}\n")
        return 1, None
    return (0 if outcome["ok"] else 1), outcome


def section(name: str, outcome: Mapping[str, Any]) -> str:
    """One bench as markdown: the bars as a table, the raw figures folded below."""
    lines = [f"Measured {_when()} on {machine()}.", ""]
    bars = outcome.get("bars", [])
    if bars:
        lines += ["| bar | measured | demanded | |", "|---|---|---|---|"]
        lines += [
            f"| {bar['name']} | {shown(bar['value'])} | {bar.get('rule', '')} "
            f"{shown(bar['limit'])} | {'ok' if bar['ok'] else '**FAIL**'} |"
            for bar in bars
        ]
        lines.append("")
    figures = {key: value for key, value in outcome.items() if key not in ("bench", "bars", "ok")}
    folded = json.dumps(figures, ensure_ascii=False, indent=1)
    lines += [f"<details><summary>raw figures of {name}</summary>", ""]
    lines += ["```json", folded, "```", "", "</details>"]
    return "\n".join(lines)


def put(page: str, name: str, text: str) -> str:
    """The page with `text` between the markers of `name`; a new section at the end if none."""
    begin, end = f"<!-- bench {name} -->", f"<!-- end {name} -->"
    filled = f"{begin}\n{text}\n{end}"
    found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if found.search(page):
        return found.sub(lambda _match: filled, page, count=1)
    return f"{page.rstrip()}\n\n## {name}\n\n{filled}\n"


def machine() -> str:
    """Processor, cores, system and versions, in one line."""
    where = f"{_processor()} ({os.cpu_count()} cores), {platform.system()}"
    return ", ".join([where, f"Python {platform.python_version()}", *_versions()])


def _versions() -> list[str]:
    installed = {found.name.lower(): found.version for found in distributions()}
    return [f"{name} {installed[name]}" for name in LIBRARIES if name in installed]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model.group(1) if model else platform.machine()


def _when() -> str:
    return datetime.now(tz=timezone.utc).strftime("%Y-%m-%d")


def main(arguments: list[str] | None = None) -> int:
    """Run the benches named, or all; 0 only if every bar of every bench holds."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", nargs="*", help=f"of {', '.join(benches())}")
    parser.add_argument(
        "--measured", type=Path, help="what the one bench named has printed, on this machine"
    )
    given = parser.parse_args(arguments)
    asked = given.name or benches()
    if given.measured is not None and len(given.name) != 1:
        parser.error("--measured is the output of one bench: name that one")
    unknown = sorted(set(asked) - set(benches()))
    if unknown:
        parser.error(f"no bench is named {', '.join(unknown)}; there are {', '.join(benches())}")
    failed = []
    for name in asked:
        sys.stderr.write(f"bench.{name} ...\n")
        code, outcome = run(name) if given.measured is None else _read(given.measured, name)
        if outcome is not None:
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(put(page, name, section(name, outcome)), encoding="utf-8")
        if code == EXIT_CANNOT_RUN:
            sys.stderr.write(f"bench.{name}: could not run here\n")
        if code != 0 or outcome is None:
            failed.append(name)
    sys.stderr.write(f"{len(asked) - len(failed)} of {len(asked)} benches hold their bars\n")
    if failed:
        sys.stderr.write(f"not: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
