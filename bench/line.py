"""The whole line, open loop: the demo at 4 parts/s, its laws, its latency and its detector.

    python -m bench.line [--json] [--seconds 60] [--rate 4]

The latency is the PLC's: sensor edge to the scan that took the verdict, every trigger counted, an
unanswered one as infinite. Escapes and overkills are compared with the intervals of the model card.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from edge.stats import wilson

CARD = Path(__file__).parent.parent / "models" / "base" / "figures.json"  # of bench.base_model
MAX_LATENCY_MS = 150.0
MAX_UNJUDGED = 0.005  # (undecided + missed) / triggers


def main(arguments: list[str] | None = None) -> int:
    """Run the demo once in a folder of its own and hold its figures against the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seconds", type=int, default=60, help="how long the line runs")
    parser.add_argument("--rate", type=float, default=4.0, help="parts/s")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="line-") as folder:
        Path(folder).chmod(0o755)  # so that PostgreSQL reaches it when the bench runs as root
        figures, code = run_demo(Path(folder), asked.seconds, asked.rate)
    if figures is None:
        sys.stderr.write(f"the demo gave no figures (exit {code}); its logs are above\n")
        return report.EXIT_FAILED
    figures["demo_exit"] = code
    return report.finish("line", bars(figures), figures, asked.json)


def run_demo(folder: Path, seconds: int, rate: float) -> tuple[dict[str, Any] | None, int]:
    """Run `quanjian-hub demo`; its last line of stdout as figures, and its exit code."""
    command = [sys.executable, "-m", "hub", "demo", "--seconds", str(seconds)]
    done = subprocess.run(
        [*command, "--rate", str(rate), "--data", str(folder / "demo")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=seconds + 300,
    )
    lines = done.stdout.strip().splitlines()
    try:
        figures = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        figures = None
    return figures, done.returncode


def bars(figures: dict[str, Any]) -> list[report.Bar]:
    """What issue 2 demands of the line."""
    unjudged = (figures["undecided"] + figures["missed"]) / max(1, figures["triggers"])
    p99 = figures["latency_ms"]["p99"]
    return [
        report.at_least("triggers", figures["triggers"], 1),
        report.exactly("residue", figures["residue"], 0),
        report.exactly("hub_parts - triggers", figures["hub_parts"] - figures["triggers"], 0),
        report.exactly("wrong_verdicts_at_plc", figures["wrong_verdicts_at_plc"], 0),
        report.exactly("good_bin_without_ok", figures["good_bin_without_ok"], 0),
        report.at_most("undecided + missed, share", unjudged, MAX_UNJUDGED),
        report.at_most("latency p99, ms", math.inf if p99 is None else p99, MAX_LATENCY_MS),
        *detector_bars(figures),
    ]


def detector_bars(figures: dict[str, Any]) -> list[report.Bar]:
    """Escapes and overkills of this run against the model card: their intervals must meet."""
    card = json.loads(CARD.read_text(encoding="utf-8"))
    return [
        report.at_most(
            f"{name}: lower end of this run's 95 % interval",
            wilson(figures[name], figures[of])[0],
            card[name]["high"],
        )
        for name, of in (("escapes", "defective_parts"), ("overkills", "good_parts"))
    ]


if __name__ == "__main__":
    sys.exit(main())
