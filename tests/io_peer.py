"""An I/O module for tests: libmodbus in C on a cable that can be cut or unplugged.

8 inputs (FC02), 8 outputs (FC01, FC15), and in holding register 100 a watchdog in 100 ms: a module
that hears nothing for so long drops its outputs. It tells each change of an output with its time.
Its cable damages the frames that a test names.
"""

import contextlib
import os
import select
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

from tests.serial_peers import compiled, until

WATCHDOG_REGISTER = 100

MODULE = r"""
#include <modbus.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

static modbus_mapping_t *map;
static uint8_t before[8], jammed[8];

static long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void tell(void) {
    for (int i = 0; i < 8; i++)
        if (map->tab_bits[i] != before[i])
            printf("%d %d %ld\n", i, map->tab_bits[i], now_us());
    memcpy(before, map->tab_bits, 8);
    fflush(stdout);
}

int main(int argc, char **argv) {
    modbus_t *line = modbus_new_rtu(argv[1], 115200, 'N', 8, 1);
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    char said[64];
    long heard_us = now_us();
    setvbuf(stdin, 0, _IONBF, 0);  // else select does not see a second line
    map = modbus_mapping_new(8, 8, 200, 0);
    modbus_set_slave(line, 1);
    if (argc < 2 || modbus_connect(line)) return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int port = modbus_get_socket(line), number, level;
        struct timeval wait = {0, 2000};
        fd_set set;
        FD_ZERO(&set);
        FD_SET(0, &set);
        FD_SET(port, &set);
        select(port + 1, &set, 0, 0, &wait);
        if (FD_ISSET(0, &set)) {
            if (!fgets(said, sizeof said, stdin)) return 0;
            if (sscanf(said, "i %d %d", &number, &level) == 2) map->tab_input_bits[number] = level;
            if (sscanf(said, "j %d", &number) == 1) jammed[number] = 1;
        }
        if (FD_ISSET(port, &set)) {
            int size = modbus_receive(line, query);
            if (size > 0) {
                heard_us = now_us();
                modbus_reply(line, query, size, map);
                for (int i = 0; i < 8; i++) map->tab_bits[i] &= !jammed[i];
            }
        }
        long limit_us = map->tab_registers[100] * 100000L;
        if (limit_us && now_us() - heard_us > limit_us) memset(map->tab_bits, 0, 8);
        tell();
    }
}
"""


class Module:
    """The module, powered from `with` on; the node's end of its cable is `port`."""

    def __init__(self, program: Path, link: Path | None = None) -> None:
        """`link`: a name for the node's end that outlives an unplugged adapter."""
        self.changes: list[tuple[int, bool, float]] = []  # output, on, monotonic s
        self._link = link
        self._far = _pty()
        self._near: tuple[int, int] | None = None
        self.plug()
        self._stop = threading.Event()
        self._cut = False
        self._hit: Callable[[bytes], bool] = lambda _: False
        self._hits, self._hit_answers, self._hit_next = 0, False, False
        self._threads = [
            threading.Thread(target=self._carry, name="module cable"),
            threading.Thread(target=self._listen, name="module"),
        ]
        self._child = subprocess.Popen(
            [str(program), os.ttyname(self._far[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Module":
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._child.kill()
        self._child.communicate(timeout=5)
        for thread in self._threads:
            thread.join(5)
        self.unplug()
        for end in self._far:
            os.close(end)

    def input(self, number: int, closed: bool) -> float:
        """Close or open a contact; returns when."""
        self._say(f"i {number} {int(closed)}")
        return time.monotonic()

    def jam(self, number: int) -> None:
        """This output stays off, whatever is written."""
        self._say(f"j {number}")

    def cut(self, cut: bool = True) -> None:
        """The data wires are through: nothing comes across."""
        self._cut = cut

    def damage(
        self, which: Callable[[bytes], bool], times: int = 1, *, answers: bool = True
    ) -> None:
        """The next requests of which this is true, or the answers to them, get a wrong checksum."""
        self._hit, self._hits, self._hit_answers = which, times, answers

    @property
    def damaged(self) -> bool:
        """Has every frame that was to be damaged gone by?"""
        return self._hits == 0

    def unplug(self) -> None:
        """The adapter is pulled out of the node."""
        near, self._near = self._near, None
        for end in near or ():
            os.close(end)

    def plug(self) -> None:
        """The adapter is there (again)."""
        self._near = _pty()
        self.port = os.ttyname(self._near[1])
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self.port)
            self.port = str(self._link)

    def on(self, number: int) -> bool:
        """Is this output on, as last told?"""
        return next((on for output, on, _ in reversed(self.changes) if output == number), False)

    def pulses(self, number: int) -> list[tuple[float, float]]:
        """From when to when this output was on, each time."""
        spans, since_s = [], None
        for output, on, at_s in list(self.changes):
            if output == number and on:
                since_s = at_s
            elif output == number and since_s is not None:
                spans.append((since_s, at_s))
                since_s = None
        return spans if since_s is None else [*spans, (since_s, float("inf"))]

    def wait_for(self, number: int, on: bool, within_s: float = 10.0) -> None:
        """Until this output is so."""
        until(lambda: self.on(number) == on, within_s)

    def _say(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            number, on, at_us = line.split()
            self.changes.append((int(number), on == "1", int(at_us) / 1e6))

    def _carry(self) -> None:
        while not self._stop.is_set():
            near, far = self._near, self._far[0]
            other = {} if near is None else {far: near[0], near[0]: far}
            for end in select.select({far, *other}, [], [], 0.005)[0]:
                with contextlib.suppress(OSError):  # unplugged meanwhile
                    said = os.read(end, 512)
                    if end in other and not self._cut:
                        os.write(other[end], self._over_the_cable(said, asked=end != far))

    def _over_the_cable(self, said: bytes, *, asked: bool) -> bytes:
        """One frame: each is written at once."""
        if asked and self._hits and self._hit(said):
            self._hits -= 1
            self._hit_next = self._hit_answers
            hit = not self._hit_answers
        else:
            hit = not asked and self._hit_next
            self._hit_next &= asked
        return said[:-1] + bytes([said[-1] ^ 0x10]) if hit else said


def _pty() -> tuple[int, int]:
    line, port = os.openpty()
    tty.setraw(port)
    return line, port


def built(folder: Path) -> Path:
    """Compile the module; needs gcc, pkg-config and libmodbus-dev."""
    return compiled(MODULE, folder, "io-module")
