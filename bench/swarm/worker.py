"""One real `quanjian-hub ingest` for a bench."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HUB = """[database]
dsn = "{dsn}"
[broker]
host = "127.0.0.1"
port = {port}
[web]
pictures_dir = "pictures"
"""


@contextmanager
def ingest(folder: Path, dsn: str, port: int) -> Iterator[int]:
    """Takes from the broker at `port` until the end of the block; yields its pid once it listens.

    Args:
        folder: made here, for its hub.toml and its log.

    Raises:
        RuntimeError: it ended before it was connected; with its log.
    """
    folder.mkdir()
    config, said = folder / "hub.toml", folder / "log"
    config.write_text(HUB.format(dsn=dsn, port=port), encoding="utf-8")
    command = [sys.executable, "-m", "hub", "ingest", "--config", str(config)]
    with said.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            _until_connected(process, said)
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


def _until_connected(process: "subprocess.Popen[bytes]", said: Path) -> None:
    while "connected" not in said.read_text(encoding="utf-8"):
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"the ingest worker ended: {said.read_text(encoding='utf-8')}")
