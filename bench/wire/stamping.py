"""A slave in a process of its own that notes when things happen on its end of a pty.

    python -m bench.wire.stamping        its port on stdout, then a line per request at the end:
                                         first byte heard, before the reply, after it; monotonic s

It answers at once, so that everything between two requests is the master's. It ends when stdin
closes. CLOCK_MONOTONIC is one clock for every process of a computer.
"""

import contextlib
import os
import select
import sys
import time
import tty

from edge.plc import modbus, modbus_rtu
from edge.plc.transaction import Answer, Request

REALTIME = 10  # priority among SCHED_FIFO: an instrument must not wait for what it measures


def main() -> int:
    """Answer until stdin closes, then tell."""
    line, far_end = os.openpty()
    tty.setraw(far_end)
    os.set_blocking(line, False)
    realtime = False
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME))
        realtime = True
    sys.stdout.write(f"{os.ttyname(far_end)} {'realtime' if realtime else 'normal'}\n")
    sys.stdout.flush()
    for first_s, before_s, after_s in answer(line):
        sys.stdout.write(f"{first_s:.9f} {before_s:.9f} {after_s:.9f}\n")
    return 0


def answer(line: int) -> list[tuple[float, float, float]]:
    """Answer every request; (first byte heard, before the reply, after it) of each."""
    stamps: list[tuple[float, float, float]] = []
    poll = select.poll()
    poll.register(line, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    heard, first_s = b"", 0.0
    while True:
        ready = dict(poll.poll())
        now_s = time.monotonic()
        if 0 in ready:
            return stamps
        first_s = first_s if heard else now_s
        heard += os.read(line, 512)
        reply = reply_to(heard)
        if reply is None:
            continue
        before_s = time.monotonic()
        os.write(line, reply)
        stamps.append((first_s, before_s, time.monotonic()))
        heard = b""


def reply_to(heard: bytes) -> bytes | None:
    """The answer to a whole request; None while it is not whole."""
    asked = modbus.decode_request(heard[0], heard[1:-2]) if modbus_rtu.intact(heard) else None
    if not isinstance(asked, Request):
        return None
    said = Answer((0,) * asked.count if not asked.values else ())
    return modbus_rtu.sealed(asked.unit, modbus.encode_reply(asked, said))


if __name__ == "__main__":
    sys.exit(main())
