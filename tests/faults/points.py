"""Runs a program that dies, as by kill -9, at a named point of its code.

    python -m tests.faults.points before|after DOTTED.NAME COUNT MODULE [ARGUMENT ...]

The function or method of that name is wrapped: its COUNT-th call ends the process before it begins
or after it returned, without any clean-up. The product itself holds no hook for this.
"""

import functools
import importlib
import itertools
import os
import runpy
import sys
from collections.abc import Callable
from typing import Any

DIED = 137  # as a shell tells of SIGKILL


def found(dotted: str) -> tuple[Any, str]:
    """The module or class that holds the name, and the name in it."""
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ModuleNotFoundError(dotted)


def arm(when: str, dotted: str, count: int) -> None:
    """Let the COUNT-th call be the last thing this process does."""
    owner, name = found(dotted)
    whole: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    @functools.wraps(whole)
    def last(*given: Any, **named: Any) -> Any:
        dies = next(calls) == count
        if dies and when == "before":
            os._exit(DIED)
        answer = whole(*given, **named)
        if dies:
            os._exit(DIED)
        return answer

    setattr(owner, name, last)


if __name__ == "__main__":
    when, dotted, count, module, *arguments = sys.argv[1:]
    arm(when, dotted, int(count))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
