"""How late the thread of a bus is on this computer, beside whatever else runs on it.

A thread as that of the bus waits out silences, one after the other, and notes by how much each was
over before it knew. `BusPlan` reckons with what a thread takes at its best in each transaction; the
worst, which a way through the bus meets once, is a matter of the computer: no real-time priority, a
virtual machine whose host is busy, a kernel that does not let go.
"""

import threading
import time

from edge.plc import punctual

PERIOD_S = 0.005  # about a frame, an answer and their silences


class Lateness:
    """Measures while it is entered.

    Args:
        real_time: as the port of the bus has it (edge/plc/punctual.py): serial, not TCP.
    """

    def __init__(self, *, real_time: bool) -> None:
        self.late_s: list[float] = []
        self._real_time = real_time
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lateness", daemon=True)

    def __enter__(self) -> "Lateness":
        punctual.prepare_process()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        punctual.prepare_thread(real_time=self._real_time)
        while not self._stop.is_set():
            due_s = time.monotonic() + PERIOD_S
            punctual.wait_until(due_s)
            self.late_s.append(time.monotonic() - due_s)
