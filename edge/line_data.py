"""What the buses read of the line, as rows of the ledger: tags and the state of the line.

    bus threads    keep: a row with its time, into memory
    line data      once a second everything that came, in one commit; again until it is on disk

A row that is on disk is numbered, chained and sent like a part's: it is counted once. While the
ledger takes nothing, the oldest readings beyond `MOST_ROWS` go; the log says how many, and how many
a stop cost then. A count loses nothing by that: the next row says what its meter shows.
"""

import logging
import threading
import time
from collections import deque
from typing import Any, get_args

from edge.errors import LedgerError
from edge.mqtt.message import LineRow, LineWord, TagRow
from edge.outbox import Outbox
from edge.plc.line_state import LineSeen
from edge.plc.tag_lane import Reading
from edge.plc.tags import exponent_of
from edge.rows import Rows

log = logging.getLogger(__name__)

EPOCH = 0  # tags belong to no run of a part counter
COMMIT_S = 1.0
COMMIT_ROWS = 200
CLOSE_S = 5.0
MOST_ROWS = 10_000

LINE_WORDS: tuple[LineWord, ...] = get_args(LineWord)  # by PackML number


class LineData:
    """The line data of one node. `keep` may be called from any thread."""

    def __init__(self, ledger: Outbox) -> None:
        self.dropped = 0
        self._ledger = ledger
        self._rows: deque[TagRow | LineRow] = deque()
        self._pending: list[TagRow | LineRow] = []  # of the thread
        self._lock = threading.Lock()
        self._fault: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line data", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def close(self) -> None:
        """Commit what came, if the ledger takes it, and stop. Safe to call twice."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("line data: the ledger did not take the last rows within %.0f s", CLOSE_S)
            return
        with self._lock:
            lost = len(self._pending) + len(self._rows)
            self._pending = []
            self._rows.clear()
        if lost:
            log.error("line data: %d rows are lost: stopped while the ledger took none", lost)

    def keep(self, seen: Reading | LineSeen) -> None:
        """Something worth a row."""
        row = line_row(seen) if isinstance(seen, LineSeen) else tag_row(seen)
        with self._lock:
            self._rows.append(row)
            if len(self._rows) > MOST_ROWS:
                self._rows.popleft()
                self.dropped += 1

    def _run(self) -> None:
        while not self._stop.wait(COMMIT_S):
            self._commit()
        self._commit()

    def _commit(self) -> None:
        """Everything that came, in the order it came; what the ledger refuses now stays."""
        while self._pending or self._take():
            try:
                self._append()
            except LedgerError as wrong:
                self._say(str(wrong))
                return
            self._say(None)

    def _append(self) -> None:
        """All that is pending in one commit, or one by one where a row among it is refused.

        Raises:
            LedgerError: the ledger takes none now; what it has not taken is still pending.
        """
        together = len(self._pending)
        while self._pending:
            try:
                self._ledger.append(*self._pending[:together])
            except LedgerError as wrong:
                if not wrong.permanent:
                    raise
                if together > 1:
                    together = 1
                    continue
                log.error("line data: a row was refused: %s: %s", wrong, self._pending[0])
            del self._pending[:together]

    def _take(self) -> bool:
        with self._lock:
            self._pending = [self._rows.popleft() for _ in range(min(len(self._rows), COMMIT_ROWS))]
        return bool(self._pending)

    def _say(self, fault: str | None) -> None:
        if fault is not None and self._fault is None:
            log.error("line data: rows wait in memory: %s %s", fault, LedgerError.hint)
        elif fault is None and self._fault is not None:
            log.info("line data: the ledger takes rows again, %d were dropped", self.dropped)
        self._fault = fault


def tag_row(reading: Reading) -> TagRow:
    """The row of one reading."""
    tag = reading.tag
    word = None if reading.value is None else tag.words.get(str(reading.value))
    return TagRow(
        **_stamp(reading.source, reading.made_s),
        name=tag.name,
        title=tag.title or None,
        value=reading.value,
        exponent=exponent_of(tag),
        unit=tag.unit,
        counts=tag.counts,
        word=word,
        fault=reading.fault[:200] if reading.fault is not None else None,
    )


def line_row(seen: LineSeen) -> LineRow:
    """The row of a line that runs or stands otherwise than before."""
    return LineRow(
        **_stamp(seen.source, time.monotonic()),
        state=LINE_WORDS[seen.state],
        cause=seen.cause,
        word=seen.word,
    )


def _stamp(source: str, made_s: float) -> dict[str, Any]:
    ago_ms = max(0, round((time.monotonic() - made_s) * 1000))
    return Rows(source).stamp(EPOCH, ago_ms)
