"""How late the thread of a bus is on this computer, beside whatever else runs on it.

A thread as that of the bus waits out silences, one after the other, and notes by how much the
worst was over before it knew. `BusPlan` reckons with what a thread takes in each transaction where
nothing keeps it; what keeps it once in a while is the computer's matter: no real-time priority, a
virtual machine whose host is busy, a kernel that does not let go.
"""

import threading
import time

from edge.plc import punctual

PERIOD_S = 0.005  # about a transaction at 115200 baud; slower lines wait less often


class Lateness:
    """Measures while it is entered.

    Args:
        real_time: as the port of the bus has it (edge/plc/punctual.py): serial, not TCP.
    """

    def __init__(self, *, real_time: bool) -> None:
        self.waits = 0
        self.longest_s = 0.0
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
            self.longest_s = max(self.longest_s, time.monotonic() - due_s)
            self.waits += 1
