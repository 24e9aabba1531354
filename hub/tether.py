"""Runs a program that cannot outlive its parent: the kernel signals it when the parent dies.

Started as a script (`python -I -S tether.py SIGNAL PARENT UID GID NICE PROGRAM ARG...`): the death
signal is cleared by a change of user and must be set between that and exec, and a `preexec_fn`
would run Python in a fork of a threaded process. Imports nothing of ours.

The kernel counts the thread that started the program as its parent: start it from one that lives as
long as the program may.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def command(
    program: Sequence[str | Path],
    death: signal.Signals = signal.SIGTERM,
    user: tuple[int, int] | None = None,
    nice: int = 0,
) -> list[str]:
    """The command line that runs `program` tied to this process.

    Args:
        program: the program and its arguments.
        death: the signal it gets when this process dies.
        user: (uid, gid) to drop to; None = stay.
        nice: how much it stands back for others, 0..19.
    """
    uid, gid = user or (-1, -1)
    head = (int(death), os.getpid(), uid, gid, nice)
    return [sys.executable, "-I", "-S", __file__, *map(str, head), *map(str, program)]


def main(arguments: Sequence[str]) -> None:
    """Drop to the user, tie, and become the program."""
    death, parent, uid, gid, nice = map(int, arguments[:5])
    program = list(arguments[5:])
    os.nice(nice)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death)
    if os.getppid() != parent:  # the parent died before we were tied
        sys.exit(1)
    try:
        os.execvp(program[0], program)
    except OSError as wrong:
        sys.exit(f"{program[0]}: {wrong.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
