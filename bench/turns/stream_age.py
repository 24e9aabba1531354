"""How old the newest RTSP picture is when a consumer of 10 pictures a second takes it.

A real RTSP server of 25 pictures a second; each picture carries the time at which it was made.
"""

import statistics
import threading
import time
from dataclasses import dataclass

from edge import settings
from edge.vision.camera import Capture
from tests.rtsp_peer import RtspServer, free_port, stamped

TAKE_S = 0.1
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Ages:
    """Ages in seconds."""

    median_s: float
    p99_s: float
    max_s: float
    taken: int


def measure(codec: str, seconds: float) -> Ages:
    """Take pictures for so long.

    Raises:
        TimeoutError: no picture came at all.
    """
    server = RtspServer(free_port(), "--codec", codec).listening()
    wiring = settings.Camera(name="c1", kind="rtsp", source=server.url, delay_ms=0)
    capture = Capture(wiring)
    bell, ages = threading.Event(), []
    try:
        _first(capture)
        due_s = end_s = time.monotonic()
        end_s += seconds
        while due_s < end_s:
            due_s += TAKE_S
            bell.wait(max(0.0, due_s - time.monotonic()))
            frame = capture.latest()
            if frame is not None:
                ages.append(time.monotonic() - stamped(frame.image)[1])
    finally:
        capture.close()
        server.kill()
    ordered = sorted(ages)
    p99_s = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return Ages(statistics.median(ages), p99_s, ordered[-1], len(ages))


def _first(capture: Capture) -> None:
    give_up_s, bell = time.monotonic() + _START_S, threading.Event()
    while capture.latest() is None:
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"no picture within {_START_S:.0f} s: {capture.fault}")
        bell.wait(0.05)
