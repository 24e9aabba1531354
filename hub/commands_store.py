"""What `quanjian-hub backup` and `restore` print: progress on stderr, one JSON object on stdout."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hub import backup
from hub.settings import Settings


def run(command: str, settings: Settings, folder: Path, say: Callable[[str], None]) -> int:
    """Run one of the two commands; returns the exit code.

    Args:
        say: writes one line of progress to stderr.

    Raises:
        BackupError, StoreError: as hub.backup says.
    """
    wrong: list[str] = []
    if command == "backup":
        manifest = backup.backup(settings.database.dsn, folder, say)
    else:
        pictures = Path(settings.web.pictures_dir)
        archive_dir = settings.retention.archive_dir
        archives = None if archive_dir is None else Path(archive_dir)
        manifest, wrong = backup.restore(settings.database.dsn, folder, pictures, archives, say)
    told: dict[str, Any] = {
        "made_at": manifest.made_at,
        "rows": manifest.rows,
        "streams": len(manifest.streams),
        "pictures": manifest.pictures,
        "unbalanced": manifest.unbalanced,
        "wrong": wrong,
    }
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    if command == "backup":
        say(f"{folder}: whole. Pictures, archives and the authority's key are not in it: copy")
        say("[web] pictures_dir, [retention] archive_dir and [authority] dir too")
    elif wrong:
        say("restored, but not all is as it was:\n" + "\n".join(f"  {text}" for text in wrong))
    else:
        say("restored: every chain holds, every law is what its rows add up to, no picture and no")
        say("archive is gone; [authority] dir is in no backup: put it back")
        say("next: quanjian-hub migrate, then start ingest; nodes tell what they no longer hold")
    return 1 if wrong else 0
