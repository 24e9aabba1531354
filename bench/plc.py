"""The serial link: silences, turnarounds, what the codec costs, and the worst verdict foretold.

    python -m bench.plc --json
    python -m bench.plc --only paced --share 0.1     # while working on it

silence   10,000 transactions in the slave's own timestamps while this process infers and commits
codec     our master beside libmodbus in C, pymodbus and minimalmodbus; pty only
paced     20 tags and a dead slave at 9600, 19200 and 115200 baud, parts swept over the cycle
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.wire import codec, paced, silence
from edge.plc import punctual

CODEC = 5_000
SECTIONS = ("silence", "codec", "paced")


def main(arguments: list[str] | None = None) -> int:
    """Run the sections and hold their figures against the bars."""
    parser = argparse.ArgumentParser(prog="bench.plc", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="a section; several")
    parser.add_argument("--share", type=float, default=1.0, help="of the counts; 1 is what is due")
    asked = parser.parse_args(arguments)
    punctual.prepare_process()
    bars: list[report.Bar] = []
    figures: dict[str, Any] = {"share": asked.share}
    for section in asked.only or SECTIONS:
        sys.stderr.write(f"{section} ...\n")
        try:
            found, figures[section] = measured(section, asked.share)
        except RuntimeError as wrong:
            sys.stderr.write(f"{section}: could not run here: {wrong}\n")
            return report.EXIT_CANNOT_RUN
        bars += found
    return report.finish("plc", bars, figures, asked.json)


def measured(section: str, share: float) -> tuple[list[report.Bar], dict[str, Any]]:
    """One section's bars and figures."""
    if section == "silence":
        return silence.run(max(100, round(share * silence.REQUESTS)))
    if section == "paced":
        return paced.run(share)
    with tempfile.TemporaryDirectory(prefix="plc-") as folder:
        return codec.run(max(200, round(share * CODEC)), Path(folder))


if __name__ == "__main__":
    sys.exit(main())
