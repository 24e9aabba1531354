"""`quanjian-edge record`: asks the running node to keep the full frames of every part for a while.

It leaves a request in the node's data folder, which the node honours within two seconds if the same
user wrote it; see edge.recording. An engineer's right: who may write there may record.
"""

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

from edge import clock, settings
from edge.recorded import FOLDER, REQUEST, Request, encode
from edge.recording import KEEP_DAYS

EXAMPLES = """examples:
  quanjian-edge record --config edge.toml --for 30m --max-gb 20
  quanjian-edge record --config edge.toml --stop
"""
LONGEST_S = 24 * 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        help="edge.toml of the running node (default: %(default)s)",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--for", dest="for_s", type=duration_s, help="so long: 90s, 30m, 8h")
    what.add_argument("--stop", action="store_true", help="end the recording now")
    parser.add_argument(
        "--max-gb",
        type=gigabytes,
        default=20.0,
        help="all recordings together take at most this much (default: %(default)g)",
    )


def duration_s(text: str) -> int:
    """Seconds of `90s`, `30m` or `8h`.

    Raises:
        argparse.ArgumentTypeError: not such a time, or more than a day.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smh])", text)
    seconds = int(found.group(1)) * {"s": 1, "m": 60, "h": 3600}[found.group(2)] if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected such as 90s, 30m or 8h, to 24h")
    return seconds


def gigabytes(text: str) -> float:
    """10^9 bytes.

    Raises:
        argparse.ArgumentTypeError: not a number above 0 to 10000.
    """
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 10_000:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0 to 10000")
    return size


def run(asked: argparse.Namespace) -> int:
    """Leave or take away the request; 1 if this user cannot.

    Raises:
        SettingsError: mistakes in edge.toml.
    """
    data = Path(settings.read(asked.config).node.data_dir)
    try:
        owner = data.stat().st_uid
        if owner != os.geteuid():
            raise PermissionError(f"it belongs to user {owner}: run this as that user")
        if asked.stop:
            (data / REQUEST).unlink(missing_ok=True)
        else:
            _leave(data, asked.for_s, round(asked.max_gb * 1e9))
    except OSError as wrong:
        sys.stderr.write(f"{data}: the node's data folder cannot be used: {wrong}\n")
        return 1
    if asked.stop:
        sys.stdout.write("recording ends within 2 s\n")
    else:
        sys.stdout.write(
            f"every part goes to {data / FOLDER} for {asked.for_s} s, up to {asked.max_gb:g} GB; "
            f"deleted after {KEEP_DAYS} days. "
            "Only a running node records; its log says how it goes.\n"
        )
    return 0


def _leave(data: Path, for_s: int, max_bytes: int) -> None:
    """Write the request beside its place, mode 0600, and put it there whole."""
    request = Request(
        boot=clock.BOOT, until_mono_ms=clock.mono_ms() + for_s * 1000, max_bytes=max_bytes
    )
    descriptor, name = tempfile.mkstemp(prefix=f"{REQUEST}.", dir=data)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(request))
        Path(name).replace(data / REQUEST)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
