"""Child processes of the demo: each with a log file, tied to us, stopped in order."""

import logging
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hub import tether
from hub.errors import DemoError

log = logging.getLogger(__name__)

_TAIL_LINES = 12


class Child:
    """One program. What it writes, to stdout too, goes to its log file, which every run appends.

    Start it from a thread that lives as long as it may run (see hub/tether.py). `nice` is how much
    it stands back for the others.
    """

    def __init__(
        self, name: str, program: Sequence[str | Path], log_file: Path, nice: int = 0
    ) -> None:
        self.name = name
        self.log_file = log_file
        with log_file.open("ab") as out:
            self._begin = out.tell()
            self._process = subprocess.Popen(
                tether.command(program, nice=nice),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C at the terminal is the demo's to handle, in order
            )

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """The last lines it wrote in this run."""
        with self.log_file.open("rb") as written:
            written.seek(self._begin)
            lines = written.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; the exit code, or None if it still runs."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout_s: float) -> None:
        """Ask it to end (SIGTERM) and wait; kill it if it does not. May be called twice."""
        if self.code is None:
            self._process.send_signal(signal.SIGTERM)
            if self.wait(timeout_s) is None:
                log.warning("%s does not end within %.0f s and is killed", self.name, timeout_s)
                self._process.kill()
                self._process.wait()


def refuse_dead(children: Sequence[Child]) -> None:
    """Raise if a child has ended that should run.

    Raises:
        DemoError: with its last lines.
    """
    for child in children:
        if child.code is not None:
            raise DemoError(
                f"{child.name} ended with code {child.code}; the last lines of {child.log_file}:\n"
                f"{child.tail()}"
            )
