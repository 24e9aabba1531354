"""What every bench prints: one JSON object with its `bars`, raw figures beside them.

    python -m bench.NAME [--json] [--data DIR]

A bar is `{name, value, rule, limit, ok}`: the figure that an issue demands, and whether it holds.
With `--json` the object is the last line of stdout; without it the same as a table. Exit 1 if a bar
fails, 3 if the bench could not run here (data folder absent), which is never a pass.
"""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

Bar = dict[str, Any]

EXIT_FAILED = 1
EXIT_CANNOT_RUN = 3


def at_most(name: str, value: float, limit: float) -> Bar:
    """A figure that must not be above `limit`."""
    return _bar(name, value, "<=", limit, value <= limit)


def at_least(name: str, value: float, limit: float) -> Bar:
    """A figure that must not be below `limit`."""
    return _bar(name, value, ">=", limit, value >= limit)


def exactly(name: str, value: float, limit: float) -> Bar:
    """A figure that must be `limit` itself, as a residue must be 0."""
    return _bar(name, value, "=", limit, value == limit)


def _bar(name: str, value: float, rule: Literal["<=", ">=", "="], limit: float, ok: bool) -> Bar:
    finite = value if math.isfinite(value) else None  # JSON has no infinity
    return {"name": name, "value": finite, "rule": rule, "limit": limit, "ok": bool(ok)}


def finish(bench: str, bars: Sequence[Bar], figures: Mapping[str, Any], as_json: bool) -> int:
    """Print the outcome and return the exit code.

    Args:
        bench: its name, without the package.
        bars: what must hold; a bench without bars only measures.
        figures: raw figures, any JSON.
        as_json: one line of JSON instead of the table.
    """
    outcome = {"bench": bench, "ok": all(bar["ok"] for bar in bars), "bars": list(bars)}
    if as_json:
        sys.stdout.write(json.dumps({**outcome, **figures}, ensure_ascii=False) + "\n")
    else:
        for bar in bars:
            mark = "ok  " if bar["ok"] else "FAIL"
            demanded = f"{bar['rule']} {shown(bar['limit'])}"
            sys.stdout.write(f"{mark} {bar['name']}: {shown(bar['value'])} ({demanded})\n")
        sys.stdout.write(json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    return 0 if outcome["ok"] else EXIT_FAILED


def shown(value: object) -> str:
    """A figure for a person: four digits that count; what could not be measured is infinite."""
    if value is None:
        return "infinite"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def data_folder(given: str | None, name: str) -> Path | None:
    """The folder of one data set: in or at `given`, else in or at QUANJIAN_TEST_DATA.

    None, with a sentence on stderr, where there is none: the bench then returns EXIT_CANNOT_RUN.
    """
    root = given or os.environ.get("QUANJIAN_TEST_DATA")
    if root:
        inside = Path(root) / name
        if inside.is_dir():
            return inside
        if Path(root).is_dir() and (given or Path(root).name == name):
            return Path(root)
    sys.stderr.write(
        f"data set {name!r} is not here: give --data DIR or set QUANJIAN_TEST_DATA; not run\n"
    )
    return None
