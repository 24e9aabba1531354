"""Commits what happened to the ledger, in the order it happened; tries again until it is on disk.

A station must not stand still while a disk is slow, and must not forget while a disk is full: what
could not be written stays in memory, is tried again, and `fault` says so, which makes the station
not ready.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from edge.errors import LedgerError

log = logging.getLogger(__name__)

Write = Callable[[], Any]
"""One commit. It may return a list of writes that follow from it, each with its own commit."""

RETRY_S = 0.5  # between two tries at a ledger that refused


class Recorder:
    """One thread that runs ledger writes in order."""

    def __init__(self, name: str) -> None:
        self.fault: str | None = None
        self.proved_s = float("-inf")  # monotonic time of the last commit
        self._name = name
        self._writes: queue.Queue[Write | None] = queue.Queue()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name} record", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Is the thread there?"""
        return self._thread.is_alive()

    def put(self, write: Write) -> None:
        """Run `write` after everything put before it; on LedgerError it is run again."""
        self._writes.put(write)

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish what was put, then stop; what a failing disk refused is left and logged."""
        if not self._thread.is_alive():
            return
        self._writes.put(None)
        self._thread.join(timeout_s)
        self._give_up.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            write = self._writes.get()
            if write is None:
                return
            due = deque([write])
            while due:
                if self._try(due):
                    continue
                if self._give_up.wait(RETRY_S):
                    log.error(
                        "%s: stopped with %d writes not on disk; their parts will be missed rows",
                        self._name,
                        self._writes.qsize() + len(due),
                    )
                    return

    def _try(self, due: deque[Write]) -> bool:
        """Do the first write that is due; it stays due if the disk refuses it."""
        try:
            due.extend(due[0]() or ())
            due.popleft()
        except LedgerError as wrong:
            if wrong.permanent:  # the row is wrong in itself; the law will show what it leaves out
                log.error("%s: a row was refused: %s", self._name, wrong)
                due.popleft()
                return True
            if self.fault is None:
                log.error("%s: %s %s", self._name, wrong, wrong.hint)
            self.fault = str(wrong)
            return False
        if self.fault is not None:
            log.info("%s: the ledger takes rows again", self._name)
        self.fault = None
        self.proved_s = time.monotonic()
        return True
