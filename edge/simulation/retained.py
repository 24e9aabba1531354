"""What the simulated PLC keeps without power: its start number, in a file that is written whole."""

import json
import time
from pathlib import Path

from edge.errors import OPTIONS_HINT, SettingsError


def next_start(state: Path | None) -> int:
    """The PLC's start number at this power-up, 1..65535, kept in the file `state`.

    Without a file it is drawn from the clock, so that a second run is a new epoch all the same.

    Raises:
        SettingsError: the file is there and is not such a file.
    """
    if state is None:
        return int(time.time()) % 0xFFFF + 1
    last = 0
    if state.exists():
        try:
            last = int(json.loads(state.read_text(encoding="utf-8"))["plc_start"])
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            told = f"--state: not a PLC's memory: {wrong}"
            raise SettingsError(str(state), [told], OPTIONS_HINT) from wrong
    start = last % 0xFFFF + 1
    save_start(state, start)
    return start


def save_start(state: Path | None, start: int) -> None:
    """Keep the start number over a power cut."""
    if state is not None:
        replace_file(state, json.dumps({"plc_start": start}) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step, over an old one.

    Raises:
        SettingsError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be written: {wrong}"], OPTIONS_HINT) from wrong
