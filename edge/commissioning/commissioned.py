"""What `quanjian-edge check` says of the commissioning: when, by whom, whether it still holds."""

from pathlib import Path

from edge.commissioning.acceptance_page import shown
from edge.commissioning.journal import GoLive, is_intact
from edge.commissioning.made_with import hashes
from edge.commissioning.signing import differences
from edge.commissioning.store import read
from edge.errors import LedgerError, SettingsError
from edge.settings import Settings


def lines(wiring: Settings) -> list[str]:
    """A line for what holds, and a warning for each thing that does not."""
    try:
        journal = read(Path(wiring.node.data_dir))
    except (LedgerError, SettingsError) as wrong:
        return [f"WARN   commissioned: {wrong}", f"       {wrong.hint}"]
    if journal is None or not journal.signed:
        return ["NOTE   commissioned: never; `quanjian-edge commission` leads through it"]
    return _of(journal.signed[-1], wiring)


def _of(going: GoLive, wiring: Settings) -> list[str]:
    now = hashes(wiring)
    told = [
        f"{key} sha256 {going.made_with[key]}"
        for key in now
        if key.startswith(("recipe ", "model ")) and key in going.made_with
    ]
    first, second = going.first, going.second
    found = [
        f"NOTE   commissioned on {shown(going.at_ms)} by {first.name} ({first.role}) and "
        f"{second.name} ({second.role}); {', '.join(told)}"
    ]
    if not is_intact(going):
        found.append("WARN   commissioned: the record is not what was signed: its sha256 differs")
    found += [
        f"WARN   commissioned: {key} is not what was commissioned, but "
        f"{now.get(key, 'gone')}; commission it anew"
        for key in differences(going, now)
    ]
    return found
